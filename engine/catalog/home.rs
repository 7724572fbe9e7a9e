//! Where in the database the rows of a table lie.
//!
//! A table of the database takes a page, however little is in it, and a commit writes a page of each
//! that it changes. So the tables that are short in most stores share one, where a byte before the
//! key says whose row it is. Stores from before that have a table of the database for each.

use super::Table;
use super::Table::*;

/// The name of the table that many share.
const SHARED: &str = "rows";

/// How the tables of a store lie in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// A table of the database for each.
    Apart,
    /// One for those that have a [code](Table::code).
    Shared,
}

/// Where a table's rows are: a table of the database, and the byte before each key, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) name: &'static str,
    code: Option<u8>,
}

impl Table {
    /// The byte before the table's keys in the table that many share; `None` for the tables that
    /// are apart in every store: those that are long wherever there are many tensors, and those of
    /// long values.
    pub fn code(self) -> Option<u8> {
        Some(match self {
            Meta => 0,
            Nodes => 1,
            Versions => 2,
            Names => 3,
            Parents => 4,
            Children => 5,
            Metadata => 6,
            Manifests => 7,
            Changes => 8,
            Tags => 9,
            TagsOf => 10,
            EdgeMetadata => 11,
            Bands => 12,
            Tests => 13,
            TestResults => 14,
            Arrivals => 15,
            Remotes => 16,
            Agreed => 17,
            Promised => 18,
            Tensors | Sketches | Packs => return None,
        })
    }
}

impl Arrangement {
    pub(super) fn home(self, table: Table) -> Home {
        match (self, table.code()) {
            (Arrangement::Shared, Some(code)) => Home { name: SHARED, code: Some(code) },
            _ => Home { name: table.name(), code: None },
        }
    }

    /// A place for the table of the database, the same for all tables that are in it.
    pub(super) fn slot(self, table: Table) -> usize {
        match self.home(table).code {
            Some(_) => Meta as usize,
            None => table as usize,
        }
    }

    /// Every table of the database once, by a table that is in it.
    pub(super) fn apart(self) -> impl Iterator<Item = Table> {
        Table::ALL.into_iter().filter(move |table| self.slot(*table) == *table as usize)
    }

    /// Whether every store has the table of the database that this one is in.
    pub(super) fn is_from_the_start(self, table: Table) -> bool {
        self.home(table).code.is_some() || table.is_from_the_start()
    }
}

impl Home {
    /// Whether other tables are there too.
    pub(super) fn is_shared(self) -> bool {
        self.code.is_some()
    }

    /// The key as the database has it.
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        [self.code.as_slice(), key].concat()
    }

    /// The key of a row as the table has it.
    pub(super) fn inner(self, key: &[u8]) -> &[u8] {
        key.get(usize::from(self.code.is_some())..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_table_has_a_place_of_its_own() {
        for arrangement in [Arrangement::Apart, Arrangement::Shared] {
            let homes = Table::ALL.map(|table| {
                let home = arrangement.home(table);
                assert_eq!(home.inner(&home.key(b"key")), b"key");
                (home.name, home.key(&[]))
            });
            assert_eq!(BTreeSet::from(homes).len(), Table::ALL.len());
            let names: BTreeSet<_> = Table::ALL.map(|table| arrangement.home(table).name).into();
            assert_eq!(arrangement.apart().count(), names.len());
        }
    }
}
