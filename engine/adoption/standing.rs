//! Which models are in the store already, and which versions the others become.

use serde::Serialize;

use super::arrivals::{Arrival, Arrivals};
use super::error::AdoptionError;
use crate::infer::Member;
use crate::lineage::{ModelName, Node, NodeId};
use crate::store::{Snapshot, StoreError};
use crate::tensor::ContentId;

/// Whether a model that comes is there already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Known {
    /// It is new.
    #[default]
    No,
    /// As this version of the store.
    Stored(Node),
    /// As the version that another becomes, of this place.
    Arrival(usize),
}

/// How each of the models that come stands to the store.
pub(super) struct Standing {
    known: Vec<Known>,
    versions: Vec<u32>,
}

/// A version that may be the same: of the store, or one that comes.
struct Version<'m> {
    member: &'m Member<'m>,
    id: Option<ContentId>,
    known: Known,
    number: u32,
}

impl Standing {
    /// Compares the models with the versions of their names, and of the names that they had with
    /// other files beside them. Reads all of one only where a version has the same weights.
    ///
    /// # Errors
    ///
    /// A model that cannot be read; those of the store.
    pub(super) fn of(
        arrivals: &Arrivals,
        members: &[Member<'_>],
        snapshot: &Snapshot,
    ) -> Result<Self, AdoptionError> {
        let count = members.len();
        let mut standing = Standing { known: vec![Known::No; count], versions: vec![0; count] };
        for line in &arrivals.lines {
            let Some(first) = line.first().and_then(|at| arrivals.all.get(*at)) else { continue };
            let name: ModelName = first.name.parse()?;
            let mut stored = stored(arrivals, line, &name, snapshot)?;
            if let Some(other) = &first.other_name {
                stored.extend(self::stored(arrivals, line, &other.parse()?, snapshot)?);
            }
            let mut versions: Vec<Version<'_>> = Vec::new();
            versions.extend(stored.iter().map(|(node, member)| Version {
                member,
                id: Some(node.manifest_id()),
                known: Known::Stored(node.clone()),
                number: node.version(),
            }));
            let mut next = snapshot.graph().highest_version(&name)?;
            for at in line {
                let Some((arrival, member)) = arrivals.all.get(*at).zip(members.get(*at)) else {
                    continue;
                };
                let same = same_as(arrivals, arrival, member, &mut versions)?;
                let (known, number) = same.unwrap_or_else(|| {
                    next += 1;
                    (Known::No, next)
                });
                if matches!(known, Known::No) {
                    let known = Known::Arrival(*at);
                    versions.push(Version { member, id: None, known, number });
                }
                let slots = standing.known.get_mut(*at).zip(standing.versions.get_mut(*at));
                if let Some(slots) = slots {
                    (*slots.0, *slots.1) = (known, number);
                }
            }
        }
        Ok(standing)
    }

    /// The place of a model that is this one of the store.
    pub(super) fn place_of(&self, id: NodeId) -> Option<usize> {
        let is_it = |known: &Known| matches!(known, Known::Stored(node) if node.id() == id);
        self.known.iter().position(is_it)
    }

    /// Whether a model is there.
    pub(super) fn known(&self, at: usize) -> &Known {
        self.known.get(at).unwrap_or(&Known::No)
    }

    pub(super) fn is_known(&self, at: usize) -> bool {
        *self.known(at) != Known::No
    }

    /// The version that a model is or becomes.
    pub(super) fn version(&self, at: usize) -> u32 {
        self.versions.get(at).copied().unwrap_or_default()
    }
}

/// The versions of a name in the store that have the size of one that comes.
fn stored(
    arrivals: &Arrivals,
    line: &[usize],
    name: &ModelName,
    snapshot: &Snapshot,
) -> Result<Vec<(Node, Member<'static>)>, StoreError> {
    let graph = snapshot.graph();
    let mut stored = Vec::new();
    for id in graph.versions(name)? {
        let node = graph.expect(id)?;
        let mut own = line.iter().filter_map(|at| arrivals.all.get(*at));
        if own.any(|arrival| has_size_of(arrival, &node)) {
            stored.push((node.clone(), Member::stored(snapshot.model_of(node)?)?));
        }
    }
    Ok(stored)
}

fn has_size_of(arrival: &Arrival, node: &Node) -> bool {
    let tensors = arrival.input.source().files().iter().map(|file| file.tensors().len() as u64);
    arrival.input.logical_bytes() == node.logical_bytes()
        && tensors.sum::<u64>() == u64::from(node.tensor_count())
}

/// The version whose content a model has.
fn same_as(
    arrivals: &Arrivals,
    arrival: &Arrival,
    member: &Member<'_>,
    versions: &mut [Version<'_>],
) -> Result<Option<(Known, u32)>, StoreError> {
    let mut own = None;
    for version in versions {
        let bytes = match version.known {
            Known::Arrival(other) => arrivals.all.get(other).map(|it| it.input.logical_bytes()),
            _ => None,
        };
        let is_size = bytes.is_none_or(|bytes| bytes == arrival.input.logical_bytes());
        let is_same = member.beyond(version.member) == Some((0, 0))
            || member.tensors().is_empty() && version.member.tensors().is_empty();
        if !(is_size && is_same) {
            continue;
        }
        let content = |arrival: &Arrival| arrival.input.model(&arrival.name).content_id();
        let own_id = match own {
            Some(id) => id,
            None => *own.insert(content(arrival)?),
        };
        let other = match (version.id, &version.known) {
            (Some(id), _) => Some(id),
            (None, Known::Arrival(other)) => arrivals.all.get(*other).map(content).transpose()?,
            (None, _) => None,
        };
        version.id = other;
        if other == Some(own_id) {
            return Ok(Some((version.known.clone(), version.number)));
        }
    }
    Ok(None)
}
