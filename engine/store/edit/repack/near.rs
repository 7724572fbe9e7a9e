//! What a model that came last changes for those that are there: it may be the better base of some.

use std::collections::HashSet;

use rayon::prelude::*;

use super::options::{AroundReport, Repack};
use super::run::{note, repack_scope};
use super::scope::{Scope, manifest_of};
use super::search::takes_much;
use crate::catalog::{RecordRow, Table};
use crate::format::{Manifest, RecordKind};
use crate::lineage::{ModelRef, Node, NodeId};
use crate::planning::{INHERITED_FROM, Relation, Sketch, TensorKey, model_bands, pair_tensors};
use crate::store::base::relatives::{BaseFinder, look_alikes};
use crate::store::error::Result;
use crate::store::read::chain::Chain;
use crate::store::read::record::record_row;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// Models that are looked at. A store of no more is looked at as a whole.
const LOOKED_AT_MAX: usize = 16;
/// With those that the graph names.
const NEIGHBOURS_MAX: usize = 32;
/// Rounds of shaking a plan: what is found soon is enough, a repack of the store looks longer.
const SHAKES: usize = 6;
/// Records that are followed down from a content.
const STANDS_ON_MAX: usize = 16;
/// Tensors by which it is told whether a model is worth a look at all of its tensors.
const PROBES_MAX: usize = 8;
/// A model is stored anew where sketches say that this part of it is saved, and so many bytes.
const SAVES_ONE_IN: f64 = 8.0;
const SAVES_FROM: f64 = 4096.0;
/// The contents that are stored anew together: so many times the model that came, and so much more.
const TIMES_MAX: u64 = 4;
const MORE_MAX: u64 = 64 << 20;
/// A model whose tensors could be paired in more ways is not looked at.
const PAIRS_MAX: usize = 1 << 22;

/// A stored model, and what it would save on another base.
struct Neighbour {
    node: Node,
    /// Predicted bytes.
    saved: f64,
    is_helped: bool,
}

/// See [`Transaction::repack_around`].
pub(in crate::store) fn repack_around(
    transaction: &mut Transaction,
    model: &ModelRef,
    how: &Repack,
) -> Result<AroundReport> {
    transaction.check_whole()?;
    let node = transaction.find(model.clone())?;
    let manifest = manifest_of(transaction, &node)?;
    let mut around = AroundReport::default();
    let neighbours = neighbours(transaction, &node, &manifest, how)?;
    if !neighbours.iter().any(|neighbour| neighbour.is_helped) {
        return Ok(around);
    }
    let mut room = node.row.logical_bytes.saturating_mul(TIMES_MAX).saturating_add(MORE_MAX);
    let mut nodes = vec![node];
    for neighbour in neighbours {
        let left = room.checked_sub(neighbour.node.row.logical_bytes);
        match left {
            Some(left) => {
                room = left;
                if neighbour.is_helped {
                    around.helped.push(neighbour.node.clone());
                }
                nodes.push(neighbour.node);
            }
            None if neighbour.is_helped => {
                around.left_bytes += neighbour.saved as u64;
                around.left.push(neighbour.node);
            }
            None => {}
        }
    }
    if around.helped.is_empty() {
        return Ok(around);
    }
    let scope = Scope::of(transaction, nodes)?;
    let how = &Repack { shakes: SHAKES, ..how.clone() };
    if !is_sound(transaction, &scope)? {
        // Nobody asked for them to be read: a repack of the store says what is damaged.
        around.left.append(&mut around.helped);
        return Ok(around);
    }
    let report = transaction.change(|this| repack_scope(this, &scope, how, &|_| ()))?;
    if !how.dry_run {
        note(transaction, how, &report);
    }
    around.report = report;
    Ok(around)
}

/// Whether all in scope can be read.
fn is_sound(transaction: &Transaction, scope: &Scope) -> Result<bool> {
    let shared = transaction.shared_arc();
    let check = |(id, row): (&ContentId, &RecordRow)| {
        Chain::open(&shared, &scope.old, RecordKind::Tensor, *id, row.clone())?.check()
    };
    match scope.old.0.par_iter().try_for_each(check) {
        Ok(()) => Ok(true),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The models near one, those first that it helps most.
fn neighbours(
    transaction: &Transaction,
    node: &Node,
    manifest: &Manifest,
    how: &Repack,
) -> Result<Vec<Neighbour>> {
    let shared = transaction.shared_arc();
    let finder = transaction.finder(&shared, how.policy())?;
    let tables = transaction.tables()?;
    let mut sketches: Vec<Option<Sketch>> = Vec::with_capacity(manifest.tensors.len());
    for tensor in manifest.tensors.iter() {
        sketches.push(finder.sketch(tensor.content_id, tensor.dtype)?);
    }
    let (mut others, _) = finder.declared(node.id)?;
    others.extend(finder.beside(node.id)?);
    let bands = model_bands(sketches.iter().flatten().map(|sketch| (&ContentId::NONE, sketch)));
    others.extend(look_alikes(tables, &bands, LOOKED_AT_MAX as u64, LOOKED_AT_MAX)?);
    let mut seen: HashSet<NodeId> = HashSet::from([node.id]);
    others.retain(|other| seen.insert(*other));
    others.truncate(NEIGHBOURS_MAX);
    let mut found: Vec<Neighbour> = Vec::new();
    for other in others {
        // A stale row may name a node that is gone.
        let Some(other) = transaction.graph()?.node(other)? else { continue };
        found.extend(neighbour(&finder, (manifest, &sketches), other)?);
    }
    found.sort_by(|a, b| b.is_helped.cmp(&a.is_helped).then(b.saved.total_cmp(&a.saved)));
    Ok(found)
}

/// What a model has in common with the new one, and would save on it; `None` for strangers.
fn neighbour(
    finder: &BaseFinder<'_, '_>,
    (manifest, sketches): (&Manifest, &[Option<Sketch>]),
    node: Node,
) -> Result<Option<Neighbour>> {
    let theirs = finder.manifest_of(&node)?;
    if theirs.tensors.len().saturating_mul(manifest.tensors.len()) > PAIRS_MAX {
        return Ok(None);
    }
    let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
    let children: Vec<TensorKey<'_>> = theirs.tensors.iter().map(Into::into).collect();
    let mut pairs: Vec<(usize, usize)> = pair_tensors(&children, &keys)
        .into_iter()
        .enumerate()
        .filter_map(|(child, pair)| match pair? {
            (_, Relation::Resized) => None,
            (base, Relation::Same | Relation::Converted) => Some((child, base)),
        })
        .collect();
    pairs.sort_by_key(|(child, _)| std::cmp::Reverse(children[*child].byte_len));
    let (mut now, mut saved, mut kin) = (0.0, 0.0, false);
    for (place, (child, base)) in pairs.into_iter().enumerate() {
        if place == PROBES_MAX && (!kin || saved * SAVES_ONE_IN < now) {
            break;
        }
        let (Some(sketch), Some(tensor)) = (&sketches[base], theirs.tensors.get(child)) else {
            continue;
        };
        let id = tensor.content_id;
        if Some(id) == manifest.tensors.get(base).map(|new| new.content_id) {
            kin |= sketch.is_telling();
            continue;
        }
        let Some(its) = finder.sketch(id, tensor.dtype)? else { continue };
        let Some(estimate) = sketch.estimate(&its) else { continue };
        kin |= its.is_telling() && estimate.correlation > INHERITED_FROM;
        let present = finder.present_bits(id, &its)?;
        let mut gain = present - estimate.bits;
        let Some(new) = manifest.tensors.get(base) else { continue };
        if gain > 0.0 && finder.stands_on(new.content_id, id)? {
            // The two would change places.
            gain -= sketch.alone_bits() - finder.present_bits(new.content_id, sketch)?;
        }
        now += present * its.elements() as f64 / 8.0;
        saved += gain.max(0.0) * its.elements() as f64 / 8.0;
    }
    let is_helped = saved >= SAVES_FROM && saved * SAVES_ONE_IN >= now;
    Ok(kin.then_some(Neighbour { node, saved, is_helped }))
}

impl BaseFinder<'_, '_> {
    /// Whether a stored content is decoded from another one.
    fn stands_on(&self, id: ContentId, below: ContentId) -> Result<bool> {
        let mut open = vec![id];
        let mut seen = HashSet::new();
        while let Some(id) = open.pop().filter(|_| seen.len() < STANDS_ON_MAX) {
            if id == below {
                return Ok(true);
            }
            if seen.insert(id) {
                let row = record_row(self.tables, Table::Tensors, id.as_bytes())?;
                open.extend(row.iter().flat_map(RecordRow::bases));
            }
        }
        Ok(false)
    }

    /// The bits an element that sketches predict for a stored content as it stands now. What it
    /// really takes is not comparable: predictions are a bit or two too low.
    fn present_bits(&self, id: ContentId, sketch: &Sketch) -> Result<f64> {
        let Some(row) = record_row(self.tables, Table::Tensors, id.as_bytes())? else {
            return Ok(0.0);
        };
        if !takes_much(&row) {
            return Ok(0.0);
        }
        if row.base_id.is_none() {
            return Ok(sketch.alone_bits());
        }
        let mut base = (row.base_id, sketch.dtype().clone());
        let real = row.stored_len as f64 * 8.0 / sketch.elements().max(1) as f64;
        if row.formula != 0 {
            let chain = match Chain::open(self.shared, self.tables, RecordKind::Tensor, id, row) {
                // It is not this that was asked for.
                Err(error) if error.is_damage() => return Ok(0.0),
                chain => chain?,
            };
            let record = chain.record();
            let mut bases = record.formula().into_iter().flat_map(|formula| formula.bases());
            match (bases.next(), bases.next()) {
                (Some(one), None) => base = one,
                _ => return Ok(real),
            }
        }
        let kept = self.sketch(base.0, &base.1)?;
        let estimate = kept.and_then(|kept| kept.estimate(sketch));
        Ok(estimate.map_or(real, |estimate| estimate.bits))
    }
}
