//! The formulas of a store by what they stand on.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::catalog::RecordRow;
use crate::tensor::ContentId;

/// Formulas by their bases, as of one transaction: (base, what stands on it). What it lists may
/// have been stored in another way since; what is not listed is no formula.
#[derive(Debug, Default)]
pub(in crate::store) struct Formulas(BTreeSet<(ContentId, ContentId)>);

impl Formulas {
    /// Notes a row that was put.
    pub(in crate::store) fn note(&mut self, id: ContentId, row: &RecordRow) {
        if row.formula != 0 {
            self.0.extend(row.bases().map(|base| (base, id)));
        }
    }

    /// What may be a formula over `base`.
    pub(in crate::store) fn over(&self, base: ContentId) -> Vec<ContentId> {
        let first = ContentId::from_bytes([0; 32]);
        let range = self.0.range((Bound::Included((base, first)), Bound::Unbounded));
        range.take_while(|(of, _)| *of == base).map(|(_, id)| *id).collect()
    }
}
