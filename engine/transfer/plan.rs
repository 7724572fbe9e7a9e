//! What is missing on the other side, and in which order it goes there.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::entry::{NodeEntry, Nodes, Tests};
use super::error::Apart;
use super::source::{Piece, Source};
use super::{Result, Selection, TransferError};
use crate::format::Manifest;
use crate::lineage::NodeId;
use crate::store::Error;
use crate::tensor::ContentId;

/// Tensors, each behind its bases, with about as many bytes as their records take.
pub(super) type Ordered = Vec<(ContentId, u64)>;

/// What is to travel.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Models that the other side does not have, each behind what it descends from.
    pub(super) models: Vec<NodeId>,
    /// Models that both sides have.
    pub(super) known: Vec<NodeId>,
    /// Of these, those whose rows are to be replaced there.
    pub(super) updates: Vec<NodeId>,
    /// Of these, those whose rows are alike, which is not remembered yet.
    pub(super) settled: Vec<NodeId>,
    /// Registered tests that are not there.
    pub(super) tests: Vec<String>,
    /// The new models' manifests.
    pub(super) manifests: HashMap<ContentId, Vec<u8>>,
    /// Models that both sides have and whose tensors were missing there: they come now.
    pub(super) completed: Vec<NodeId>,
    /// Of the tensors those that are to stand alone there: what they are coded against is there for
    /// nothing else and takes more than that saves.
    pub(super) alone: HashSet<ContentId>,
    /// The tensors that are missing there.
    pub(super) tensors: Ordered,
}

impl Plan {
    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
            && self.updates.is_empty()
            && self.tests.is_empty()
            && self.tensors.is_empty()
    }

    /// Bytes of the tensors' records.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, (_, len)| sum.saturating_add(*len))
    }
}

/// The models that are wanted and what they descend from, each behind its ancestors.
fn closure(source: &dyn Source, selection: Selection<'_>) -> Result<Vec<NodeId>> {
    let nodes = source.nodes();
    let mut order: Vec<(&str, u32, NodeId)> = Vec::new();
    for (id, node) in nodes.iter().filter(|(_, node)| (selection.wants)(&node.name)) {
        order.push((&node.name, node.version, *id));
    }
    order.sort_unstable();
    let starts: Vec<NodeId> = order.into_iter().map(|(.., id)| id).collect();
    if starts.is_empty() && !nodes.is_empty() {
        return Err(TransferError::NothingSelected);
    }
    let lost = |id: &NodeId| {
        TransferError::damaged(source.name(), format!("an edge leads to {id}, which is not there"))
    };
    below_first(&starts, &|id| nodes.get(id).ok_or_else(|| lost(id))?.upward(), &|id| {
        TransferError::damaged(source.name(), format!("model {id} is its own ancestor"))
    })
}

/// Everything that is reached from `starts`, each behind what it leads to.
pub(super) fn below_first<K: Copy + Eq + std::hash::Hash>(
    starts: &[K],
    next: &dyn Fn(&K) -> Result<Vec<K>>,
    circle: &dyn Fn(&K) -> TransferError,
) -> Result<Vec<K>> {
    let mut order = Vec::new();
    let mut done: HashMap<K, bool> = HashMap::new();
    for start in starts {
        let mut stack = vec![(*start, false)];
        while let Some((key, is_left)) = stack.pop() {
            if is_left {
                done.insert(key, true);
                order.push(key);
                continue;
            }
            match done.get(&key) {
                Some(true) => continue,
                Some(false) => return Err(circle(&key)),
                None => done.insert(key, false),
            };
            stack.push((key, true));
            for below in next(&key)? {
                match done.get(&below) {
                    Some(true) => {}
                    Some(false) => return Err(circle(&below)),
                    None => stack.push((below, false)),
                }
            }
        }
    }
    Ok(order)
}

/// What the other side has already.
pub(super) struct There<'a> {
    pub(super) nodes: &'a BTreeSet<NodeId>,
    pub(super) tests: &'a Tests,
    pub(super) has_tensor: &'a dyn Fn(ContentId) -> Result<bool>,
    /// Tensors of a model that are promised there.
    pub(super) lacking: &'a dyn Fn(NodeId) -> Result<Vec<ContentId>>,
}

/// Finds what is missing. Cost: the rows of the source's graph, the manifests of what is missing,
/// and a look for each of their tensors.
pub(super) fn plan(
    source: &dyn Source,
    there: &There<'_>,
    selection: Selection<'_>,
) -> Result<Plan> {
    let (known, models) =
        closure(source, selection)?.into_iter().partition(|id| there.nodes.contains(id));
    let tests = source.tests().keys().filter(|name| !there.tests.contains_key(*name)).cloned();
    let mut plan = Plan { models, known, tests: tests.collect(), ..Plan::default() };
    let mut wanted = Vec::new();
    let mut seen = HashSet::new();
    for id in &plan.models {
        let Some(node) = source.nodes().get(id) else { continue };
        let manifest = node.manifest_id()?;
        if seen.insert(manifest) {
            wanted.push((manifest, node.full_name()));
        }
    }
    let ids: Vec<ContentId> = wanted.iter().map(|(id, _)| *id).collect();
    source.expect_manifests(&ids);
    let mut pieces: HashMap<ContentId, Piece> = HashMap::new();
    for (id, model) in wanted {
        let bytes = source.manifest(id)?;
        let what = || format!("{}: manifest {}", source.name(), id.short());
        let manifest =
            Manifest::decode(&bytes).map_err(|error| TransferError::damaged(what(), error))?;
        plan.manifests.insert(id, bytes);
        for tensor in manifest.tensors.iter().filter(|_| !selection.graph_only) {
            let id = tensor.content_id;
            if !pieces.contains_key(&id) && !(there.has_tensor)(id)? {
                pieces.insert(id, piece_of(source, id, Some((&model, tensor.name)))?);
            }
        }
    }
    for id in plan.known.iter().filter(|_| !selection.graph_only) {
        let lacking = (there.lacking)(*id)?;
        let mut comes = !lacking.is_empty();
        for id in lacking {
            if let Entry::Vacant(vacant) = pieces.entry(id) {
                let piece = source.piece(id)?;
                comes &= piece.is_some();
                if let Some(piece) = piece {
                    vacant.insert(piece);
                }
            }
        }
        if comes {
            plan.completed.push(*id);
        }
    }
    (plan.tensors, plan.alone) = in_order(source, pieces, there.has_tensor)?;
    Ok(plan)
}

/// Tensors and the bases that they need and that are not there, each behind its bases, with about
/// as many bytes as their records take; apart from that in the order of the medium. And which of
/// them are to stand alone, so that bases of theirs need not go.
pub(super) fn in_order(
    source: &dyn Source,
    mut pieces: HashMap<ContentId, Piece>,
    has_tensor: &dyn Fn(ContentId) -> Result<bool>,
) -> Result<(Ordered, HashSet<ContentId>)> {
    let named: HashSet<ContentId> = pieces.keys().copied().collect();
    let mut starts: Vec<((usize, u64), ContentId)> =
        pieces.iter().map(|(id, piece)| (piece.place, *id)).collect();
    // Bases that no model names any more come along; all are read in the order of the medium.
    let mut at = 0;
    while let Some((_, id)) = starts.get(at).copied() {
        at += 1;
        let bases = pieces.get(&id).map(|piece| piece.bases.clone()).unwrap_or_default();
        for base in bases {
            if !pieces.contains_key(&base) && !has_tensor(base)? {
                let piece = piece_of(source, base, None)?;
                starts.push((piece.place, base));
                pieces.insert(base, piece);
            }
        }
    }
    starts.sort_unstable();
    let starts: Vec<ContentId> = starts.into_iter().map(|(_, id)| id).collect();
    let bases = |id: &ContentId| {
        let bases = pieces.get(id).map(|piece| piece.bases.iter());
        Ok(bases.into_iter().flatten().filter(|id| pieces.contains_key(*id)).copied().collect())
    };
    let order = below_first(&starts, &bases, &|id| {
        TransferError::damaged(source.name(), format!("tensor {} is its own base", id.short()))
    })?;
    let (alone, left) = stand_alone(&order, &pieces, &named);
    let len = |id: ContentId| {
        let piece = pieces.get(&id);
        let raw_len = piece.and_then(|piece| piece.raw_len).filter(|_| alone.contains(&id));
        (id, raw_len.or(piece.map(|piece| piece.len)).unwrap_or(0))
    };
    let order: Vec<_> = order.into_iter().filter(|id| !left.contains(id)).map(len).collect();
    Ok((order, alone))
}

/// Of bases that no model names: those that take more than it costs to send what stands on them
/// alone. Gives back what is sent alone then, and what stays where it is. `order` has each behind
/// its bases.
fn stand_alone(
    order: &[ContentId],
    pieces: &HashMap<ContentId, Piece>,
    named: &HashSet<ContentId>,
) -> (HashSet<ContentId>, HashSet<ContentId>) {
    let (mut alone, mut left) = (HashSet::new(), HashSet::new());
    if named.len() == pieces.len() {
        return (alone, left);
    }
    let bases = |id: &ContentId| pieces.get(id).into_iter().flat_map(|piece| &piece.bases);
    // What stands on each base, and how much of it still does.
    let mut over: HashMap<ContentId, HashSet<ContentId>> = HashMap::new();
    for id in pieces.keys() {
        for base in bases(id).filter(|base| pieces.contains_key(*base)) {
            over.entry(*base).or_default().insert(*id);
        }
    }
    let mut standing: HashMap<ContentId, usize> =
        over.iter().map(|(id, over)| (*id, over.len())).collect();
    for base in order.iter().rev().filter(|id| !named.contains(*id)) {
        let stands = |id: &&ContentId| !alone.contains(*id) && !left.contains(*id);
        let over: Vec<ContentId> =
            over.get(base).into_iter().flatten().filter(stands).copied().collect();
        let (mut raw, mut saved) = (Some(0u64), 0u64);
        for piece in over.iter().filter_map(|id| pieces.get(id)) {
            raw = raw.zip(piece.raw_len).map(|(sum, len)| sum.saturating_add(len));
            saved = saved.saturating_add(piece.len);
        }
        // Bases that nothing stands on without them stay, and so on down.
        let (mut going, mut stays, mut taken) = (over.clone(), Vec::new(), Vec::new());
        while let Some(id) = going.pop() {
            let below: HashSet<&ContentId> = bases(&id).collect();
            for below in below {
                let Some(count) = standing.get_mut(below) else { continue };
                *count = count.saturating_sub(1);
                taken.push(*below);
                if *count == 0 && !named.contains(below) && !over.contains(below) {
                    saved = saved.saturating_add(pieces.get(below).map_or(0, |piece| piece.len));
                    stays.push(*below);
                    going.push(*below);
                }
            }
        }
        if !over.is_empty() && raw.is_some_and(|raw| raw < saved) {
            alone.extend(over);
            alone.retain(|id| !stays.contains(id));
            left.extend(stays);
        } else {
            for below in taken {
                standing.entry(below).and_modify(|count| *count += 1);
            }
        }
    }
    (alone, left)
}

/// What is known of a tensor that must be there, with the names of a model and of the tensor in it.
pub(super) fn piece_of(
    source: &dyn Source,
    id: ContentId,
    of: Option<(&str, &str)>,
) -> Result<Piece> {
    if let Some(piece) = source.piece(id)? {
        return Ok(piece);
    }
    match (of, source.promised_at(id)?) {
        (Some((model, tensor)), Some(place)) => {
            let (model, tensor) = (model.to_owned(), tensor.to_owned());
            Err(Error::Promised { model, tensor, place }.into())
        }
        _ => {
            let reason = format!("tensor {} is not there", id.short());
            Err(TransferError::damaged(source.name(), reason))
        }
    }
}

fn by_name<'n>(
    nodes: impl Iterator<Item = &'n NodeEntry>,
) -> BTreeMap<&'n str, Vec<&'n NodeEntry>> {
    let mut names: BTreeMap<&str, Vec<&NodeEntry>> = BTreeMap::new();
    for node in nodes {
        names.entry(&node.name).or_default().push(node);
    }
    names.values_mut().for_each(|nodes| nodes.sort_by_key(|node| node.version));
    names
}

/// Of the names of these models of ours: those of which the other side has versions that are not
/// here, or has given a number of theirs to another model.
pub(super) fn grown_apart(ours: &Nodes, theirs: &Nodes, models: &[NodeId]) -> Vec<Apart> {
    let new: HashSet<&NodeId> = models.iter().collect();
    let sent: Vec<&NodeEntry> = models.iter().filter_map(|id| ours.get(id)).collect();
    let there = by_name(theirs.values());
    let here = by_name(ours.values());
    let is_new = |node: &NodeEntry| {
        NodeId::from_hex(&node.id).is_some_and(|id| new.contains(&id) || !theirs.contains_key(&id))
    };
    let is_known =
        |node: &NodeEntry| NodeId::from_hex(&node.id).is_some_and(|id| ours.contains_key(&id));
    let mut apart = Vec::new();
    for (name, sent) in by_name(sent.into_iter()) {
        let Some(there) = there.get(name) else { continue };
        let numbers: HashSet<u32> = sent.iter().map(|node| node.version).collect();
        let stands_in_the_way =
            |node: &NodeEntry| !is_known(node) || numbers.contains(&node.version);
        let full = |nodes: Vec<&&NodeEntry>| nodes.iter().map(|node| node.full_name()).collect();
        let theirs: Vec<String> =
            full(there.iter().filter(|node| stands_in_the_way(node)).collect());
        if theirs.is_empty() {
            continue;
        }
        let here = here.get(name).map(Vec::as_slice).unwrap_or_default();
        let common = here.iter().rfind(|node| !is_new(node)).map(|node| node.full_name());
        let ours = full(here.iter().filter(|node| is_new(node)).collect());
        apart.push(Apart { name: name.to_owned(), ours, theirs, common });
    }
    apart
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Tensors by letter: bytes of the record, of the content, bases. Lower case: no model names
    /// it. Gives what is sent alone, and what stays.
    fn alone(tensors: &[(char, u64, u64, &str)]) -> (String, String) {
        let id = |letter: char| ContentId::of(&[letter as u8]);
        let mut pieces = HashMap::new();
        for (letter, len, raw_len, bases) in tensors {
            let bases = bases.chars().map(id).collect();
            let piece = Piece { len: *len, raw_len: Some(*raw_len), bases, place: (0, 0) };
            pieces.insert(id(*letter), piece);
        }
        let named = tensors.iter().filter(|(letter, ..)| letter.is_uppercase());
        let named = named.map(|(letter, ..)| id(*letter)).collect();
        let order: Vec<ContentId> = tensors.iter().map(|(letter, ..)| id(*letter)).collect();
        let (alone, left) = stand_alone(&order, &pieces, &named);
        let letters = |ids: &HashSet<ContentId>| -> String {
            let all = tensors.iter().map(|(letter, ..)| *letter);
            all.filter(|letter| ids.contains(&id(*letter))).collect()
        };
        (letters(&alone), letters(&left))
    }

    #[test]
    fn hidden_bases_stay_where_they_cost_more_than_they_save() {
        let is = |found: (String, String), alone: &str, left: &str| {
            assert_eq!((found.0.as_str(), found.1.as_str()), (alone, left));
        };
        // What a model names goes anyway.
        is(alone(&[('B', 100, 100, ""), ('T', 30, 100, "B")]), "", "");
        is(alone(&[('b', 100, 100, ""), ('T', 30, 100, "b")]), "T", "b");
        is(alone(&[('b', 100, 100, ""), ('S', 30, 100, "b"), ('T', 30, 100, "b")]), "", "");
        is(alone(&[('b', 100, 100, ""), ('S', 70, 100, "b"), ('T', 70, 100, "b")]), "ST", "b");
        // What stands on one that is sent alone stays a difference.
        is(alone(&[('b', 100, 100, ""), ('S', 30, 100, "b"), ('T', 30, 100, "S")]), "S", "b");
        // A whole chain of hidden ones, and one whose foot another tensor needs.
        is(alone(&[('a', 100, 100, ""), ('b', 30, 100, "a"), ('T', 30, 100, "b")]), "T", "ab");
        let foot = [('A', 100, 100, ""), ('b', 30, 100, "A"), ('T', 30, 100, "b")];
        is(alone(&foot), "", "");
        // Of a formula over a parent and small hidden differences nothing is gained.
        is(alone(&[('P', 100, 100, ""), ('h', 25, 25, ""), ('T', 1, 100, "Ph")]), "", "");
        // Two bases of one tensor, one of them shared.
        let shared = [
            ('a', 90, 90, ""),
            ('b', 90, 90, ""),
            ('S', 9, 90, "ab"),
            ('T', 9, 90, "b"),
            ('U', 9, 90, "b"),
        ];
        is(alone(&shared), "S", "a");
    }
}
