//! Contents that are repacked together, and what they take.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rayon::prelude::*;

use super::costs::{costs, sample};
use super::member::{Family, Member, Searched};
use super::options::{Repack, WORTH_ONE_IN};
use super::rows::OldRows;
use super::scope::{Scope, manifest_of};
use super::search::search;
use crate::catalog::RecordRow;
use crate::format::{Manifest, RecordKind};
use crate::planning::{BaseCosts, Making, Stand};
use crate::store::base::policy::EncodePolicy;
use crate::store::base::sketches::{kept_sketch, unkept_sketch};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::chain::Chain;
use crate::store::read::formula::StoredFormula;
use crate::store::shared::Shared;
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype};

/// Bytes of a content by which differences are judged, in two pieces.
const SAMPLE_LEN: usize = 1 << 18;
/// Bytes of samples that are held at once.
const SAMPLES_MAX: usize = 256 << 20;

/// A family with what its members take in all the ways that are tried.
pub(in crate::store) struct Kin<'c> {
    pub(in crate::store) members: Vec<Member<'c>>,
    pub(in crate::store) places: HashMap<ContentId, usize>,
    pub(in crate::store) costs: BaseCosts,
    /// For each the formulas of its makings, in their order.
    pub(in crate::store) formulas: Vec<Vec<StoredFormula>>,
}

impl Kin<'_> {
    /// The places of a formula's bases, each once; `None` when one is not here.
    pub(in crate::store) fn bases(&self, formula: &StoredFormula) -> Option<Vec<usize>> {
        let places: Option<Vec<usize>> =
            formula.base_ids().map(|base| self.places.get(&base).copied()).collect();
        let mut places = places?;
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    /// What a member that stands alone would save alone as it is encoded now: it may have been
    /// stored in haste, or for another profile.
    pub(in crate::store) fn saved_alone(&self, at: usize) -> u64 {
        let (member, stored) = (&self.members[at], self.members[at].row.stored_len);
        if member.fixed || self.costs.present[at] != Stand::Alone {
            return 0;
        }
        // Pieces do not tell the last bit.
        let saved = stored.saturating_sub(self.costs.alone[at]);
        if saved > stored / WORTH_ONE_IN { saved } else { 0 }
    }

    /// Adds a formula that a member may be made by, unless it is there or needs what is not here.
    pub(in crate::store) fn add(
        &mut self,
        at: usize,
        formula: StoredFormula,
        cost: u64,
        exact: bool,
    ) {
        let known = self.formulas[at].contains(&formula);
        if let Some(bases) = self.bases(&formula).filter(|_| !known) {
            self.costs.made[at].push(Making { bases, cost, exact });
            self.formulas[at].push(formula);
        }
    }
}

/// Manifests that are kept open while models near them are looked at.
#[derive(Default)]
struct Recent {
    manifests: VecDeque<Arc<Manifest>>,
    tensors: usize,
}

impl Recent {
    /// Tensors of all of them together.
    const TENSORS_MAX: usize = 1 << 16;

    fn keep(&mut self, manifest: Arc<Manifest>) {
        self.tensors += manifest.tensors.len();
        self.manifests.push_back(manifest);
        while self.tensors > Self::TENSORS_MAX {
            let Some(first) = self.manifests.pop_front() else { break };
            self.tensors -= first.tensors.len();
        }
    }
}

/// Groups that become one when something connects them.
struct Joined(Vec<usize>);

impl Joined {
    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// All contents, in families; and by which formulas it is tried to make them. In a group in the
/// order in which models name them, those last that none names.
pub(in crate::store) fn families(
    transaction: &Transaction,
    scope: &Scope,
    policy: EncodePolicy,
) -> Result<(Vec<Family>, Searched)> {
    let mut place: HashMap<u64, usize> = HashMap::new();
    let mut groups: Vec<Vec<ContentId>> = Vec::new();
    let (mut named, mut skeletons) = (HashSet::new(), HashSet::new());
    let mut searched = Searched::new();
    let mut put = |id: ContentId, row: &RecordRow| {
        let at = *place.entry(row.raw_len).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(id);
    };
    let old = &scope.old;
    let mut recent = Recent::default();
    for node in &scope.nodes {
        let manifest = manifest_of(transaction, node)?;
        recent.keep(manifest.clone());
        for id in manifest.tensors.iter().map(|tensor| tensor.content_id) {
            if let Some(row) = old.0.get(&id).filter(|_| named.insert(id)) {
                put(id, row);
            }
        }
        skeletons.extend(manifest.skeletons.iter().map(|skeleton| skeleton.content_id));
        search(transaction, (scope, policy), node, &manifest, &mut searched)?;
    }
    // What is no tensor of any model, but a file's other bytes, stays as it is.
    let is_hidden = |id: &ContentId| !named.contains(id) && !skeletons.contains(id);
    let mut hidden: Vec<_> = old.0.iter().filter(|(id, _)| is_hidden(id)).collect();
    hidden.sort_unstable_by_key(|(id, _)| **id);
    hidden.into_iter().for_each(|(id, row)| put(*id, row));

    let group_of = |id: &ContentId| {
        let row = old.0.get(id)?;
        place.get(&row.raw_len).copied()
    };
    let mut joined = Joined((0..groups.len()).collect());
    for (id, row) in &old.0 {
        let candidates = searched.get(id).into_iter().flatten().flat_map(|it| &it.candidates);
        let tried = candidates.flat_map(|it| it.bases.iter().map(|(base, _)| *base));
        for base in row.bases().chain(tried) {
            if let (Some(at), Some(base)) = (group_of(id), group_of(&base)) {
                joined.join(at, base);
            }
        }
    }
    let mut families: BTreeMap<usize, Family> = BTreeMap::new();
    for (at, group) in groups.into_iter().enumerate() {
        families.entry(joined.root(at)).or_default().push(group);
    }
    Ok((families.into_values().collect(), searched))
}

/// The members of a family, with their costs alone, against each other, and as they are.
pub(in crate::store) fn kin_of<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    scope: &Scope,
    family: &[Vec<ContentId>],
    (how, progress): (&Repack, &dyn Fn(u64)),
) -> Result<Kin<'c>> {
    let mut members: Vec<Member<'c>> = Vec::new();
    let (mut alone, mut edges) = (Vec::new(), Vec::new());
    for ids in family {
        let mut group = open_members(transaction, shared, &scope.old, ids)?;
        for member in &mut group {
            member.fixed = scope.fixed.contains(&member.id);
            member.hidden &= !member.fixed;
        }
        let first = members.len();
        for (cost, near) in costs(&group, how) {
            alone.push(cost);
            let near = near.into_iter().map(|(base, cost): (usize, u64)| (first + base, cost));
            edges.push(near.collect::<Vec<_>>());
        }
        for member in &mut group {
            (member.sketch, member.sample) = (None, Vec::new());
        }
        // The other half of the work is to write what changes.
        progress(group.iter().map(|member| member.row.raw_len).sum::<u64>() / 2);
        members.append(&mut group);
    }
    let count = members.len();
    let places: HashMap<ContentId, usize> =
        members.iter().enumerate().map(|(at, member)| (member.id, at)).collect();
    let present = |member: &Member<'_>| match places.get(&member.row.base_id) {
        _ if member.fixed => Stand::Alone,
        // The first of its formulas is the one that it has.
        _ if member.row.formula != 0 => Stand::Made(0),
        Some(base) => Stand::On(*base),
        None => Stand::Alone,
    };
    let costs = BaseCosts {
        alone,
        edges,
        made: vec![Vec::new(); count],
        present: members.iter().map(present).collect(),
        fixed: members.iter().map(|it| it.fixed.then_some(it.row.depth)).collect(),
        hidden: members.iter().map(|it| it.hidden).collect(),
        ..BaseCosts::default()
    };
    Ok(Kin { members, places, costs, formulas: vec![Vec::new(); count] })
}

fn open_members<'c>(
    transaction: &Transaction,
    shared: &'c Shared,
    old: &OldRows,
    ids: &[ContentId],
) -> Result<Vec<Member<'c>>> {
    let room = (SAMPLES_MAX / ids.len().max(1)).min(SAMPLE_LEN) / 16 * 16;
    let open = |id: &ContentId| -> Result<Member<'c>> {
        let row = old.0.get(id).cloned();
        let row = row.ok_or_else(|| damaged(*id, 0)(&"missing from the catalogue"))?;
        let chain = Chain::open(shared, old, RecordKind::Tensor, *id, row.clone())?;
        let code = chain.record().header().dtype_code;
        let dtype = Dtype::from_code(code).unwrap_or(Dtype::Unknown("".into()));
        let (id, chain, hidden) = (*id, Arc::new(chain), row.holders == 0);
        let (sketch, sample, fixed) = (None, Vec::new(), false);
        Ok(Member { id, row, dtype, chain, fixed, hidden, sketch, sample })
    };
    let mut members = ids.iter().map(open).collect::<Result<Vec<_>>>()?;
    for member in &mut members {
        member.sketch = kept_sketch(transaction.tables()?, member.id, &member.dtype)?;
    }
    members.par_iter_mut().try_for_each(|member| {
        member.chain.check()?;
        if member.sketch.is_none() {
            member.sketch = unkept_sketch(&member.chain, &member.dtype)?;
        }
        member.sample = sample(&member.chain, room)?;
        Ok::<_, StoreError>(())
    })?;
    Ok(members)
}
