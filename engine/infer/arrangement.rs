//! Models that come into a store together.

use super::family::{Kinship, arrange_all};
use super::member::Member;
use super::placement::{Placement, place};
use crate::store::{Model, Result, Snapshot};

/// Where a model belongs that comes with others.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It comes from another of them.
    Member(Kinship),
    /// It is the next version of another of them.
    Version {
        /// The place of the version before it.
        previous: usize,
    },
    /// It comes from none of them, as far as is sure: its place among the models of the store.
    Store(Placement),
}

/// A parent that is claimed.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'o> {
    /// The member at this place.
    Member(usize),
    /// A model of the store.
    Stored(&'o Model),
}

impl Origin {
    /// The parent, where one is sure enough to be claimed. A version has none of its own.
    pub fn parent(&self) -> Option<(Parent<'_>, &Kinship)> {
        match self {
            Origin::Member(kinship) => Some((Parent::Member(kinship.parent), kinship)),
            Origin::Version { .. } => None,
            Origin::Store(placement) => {
                placement.parent().map(|(model, kinship)| (Parent::Stored(model), kinship))
            }
        }
    }
}

/// Where models belong that come together.
#[derive(Clone, Debug, Default)]
pub struct Arrangement {
    /// Of each, in order.
    pub origins: Vec<Origin>,
    /// Kinships among them whose direction is not sure.
    pub unsure: Vec<Kinship>,
}

/// Finds the places of `members`: among each other first, as [`arrange`](super::arrange) does, then
/// of those that come from none of the others among the models of a store, as [`place`] does.
///
/// Cost: that of [`arrange`](super::arrange), and of [`place`] for each that is left.
///
/// # Errors
///
/// Those of the catalogue and of reading.
pub fn arrange_in(snapshot: &Snapshot, members: &[Member<'_>]) -> Result<Arrangement> {
    arrange_known(snapshot, &members.iter().collect::<Vec<_>>(), &[])
}

/// As [`arrange_in`]; those that are known to be in the store get no place there.
pub(super) fn arrange_known(
    snapshot: &Snapshot,
    members: &[&Member<'_>],
    is_known: &[bool],
) -> Result<Arrangement> {
    let mut claimed: Vec<Option<Kinship>> = vec![None; members.len()];
    let mut unsure = Vec::new();
    for kinship in arrange_all(members)? {
        match claimed.get_mut(kinship.child).filter(|_| kinship.is_claimed()) {
            Some(child) => *child = Some(kinship),
            None => unsure.push(kinship),
        }
    }
    let mut origins = Vec::with_capacity(members.len());
    for (at, (member, kinship)) in members.iter().zip(claimed).enumerate() {
        origins.push(match kinship {
            Some(kinship) => Origin::Member(kinship),
            None if is_known.get(at) == Some(&true) => Origin::Store(Placement::default()),
            None => Origin::Store(place(snapshot, member)?),
        });
    }
    Ok(Arrangement { origins, unsure })
}
