//! Contents that are repacked together, and what they take.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::candidate::{Candidate, Way};
use super::chain::Chain;
use super::error::damaged;
use super::formula::StoredFormula;
use super::model::read_manifest;
use super::open::Shared;
use super::repack::{OldRows, Repack, WORTH_ONE_IN};
use super::repack_costs::{costs, sample};
use super::sketches::kept_sketch;
use super::transaction::Transaction;
use super::{Error, Result};
use crate::catalog::RecordRow;
use crate::format::{Manifest, RecordKind};
use crate::lineage::Node;
use crate::planning::{BaseCosts, Making, Relation, Sketch, Stand, TensorKey};
use crate::tensor::{ContentId, Dtype, Shape};

/// Bytes of a content by which differences are judged, in two pieces.
const SAMPLE_LEN: usize = 1 << 18;
/// Bytes of samples that are held at once.
const SAMPLES_MAX: usize = 256 << 20;

/// The contents of some lengths, by length: what any of them stands on is one of them.
pub(super) type Family = Vec<Vec<ContentId>>;

/// What a content that is made of hidden ones may be made of instead, as an import of one of its
/// models would look for it.
pub(super) struct Search {
    pub(super) dtype: Dtype,
    pub(super) shape: Shape,
    pub(super) candidates: Vec<Candidate>,
}

/// By content.
pub(super) type Searched = HashMap<ContentId, Vec<Search>>;

/// A content of a family.
pub(super) struct Member<'c> {
    pub(super) id: ContentId,
    pub(super) row: RecordRow,
    pub(super) dtype: Dtype,
    pub(super) chain: Arc<Chain<'c>>,
    /// Whether it stays as it is.
    pub(super) fixed: bool,
    /// Whether no model names it: it is there for what stands on it.
    pub(super) hidden: bool,
    /// While the costs of its group are measured.
    pub(super) sketch: Option<Sketch>,
    pub(super) sample: Vec<u8>,
}

/// A family with what its members take in all the ways that are tried.
pub(super) struct Kin<'c> {
    pub(super) members: Vec<Member<'c>>,
    pub(super) places: HashMap<ContentId, usize>,
    pub(super) costs: BaseCosts,
    /// For each the formulas of its makings, in their order.
    pub(super) formulas: Vec<Vec<StoredFormula>>,
}

impl Kin<'_> {
    /// The places of a formula's bases, each once; `None` when one is not here.
    pub(super) fn bases(&self, formula: &StoredFormula) -> Option<Vec<usize>> {
        let places: Option<Vec<usize>> =
            formula.base_ids().map(|base| self.places.get(&base).copied()).collect();
        let mut places = places?;
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    /// What a member that stands alone would save alone as it is encoded now: it may have been
    /// stored in haste, or for another profile.
    pub(super) fn saved_alone(&self, at: usize) -> u64 {
        let (member, stored) = (&self.members[at], self.members[at].row.stored_len);
        if member.fixed || self.costs.present[at] != Stand::Alone {
            return 0;
        }
        // Pieces do not tell the last bit.
        let saved = stored.saturating_sub(self.costs.alone[at]);
        if saved > stored / WORTH_ONE_IN { saved } else { 0 }
    }

    /// Adds a formula that a member may be made by, unless it is there or needs what is not here.
    pub(super) fn add(&mut self, at: usize, formula: StoredFormula, cost: u64, exact: bool) {
        let known = self.formulas[at].contains(&formula);
        if let Some(bases) = self.bases(&formula).filter(|_| !known) {
            self.costs.made[at].push(Making { bases, cost, exact });
            self.formulas[at].push(formula);
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

impl Transaction {
    /// All contents, in families; and what is to be looked at for those that are made of hidden
    /// ones. In a group in the order in which models name them, hidden ones last.
    pub(super) fn families(&self, old: &OldRows) -> Result<(Vec<Family>, Searched)> {
        let mut place: HashMap<u64, usize> = HashMap::new();
        let mut groups: Vec<Vec<ContentId>> = Vec::new();
        let mut named = HashSet::new();
        let mut searched = Searched::new();
        let mut put = |id: ContentId, row: &RecordRow| {
            let at = *place.entry(row.raw_len).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[at].push(id);
        };
        for node in self.graph()?.nodes()? {
            let manifest = read_manifest(&self.shared, self.tables()?, node.row.manifest)?;
            for id in manifest.tensors.iter().map(|tensor| tensor.content_id) {
                if let Some(row) = old.0.get(&id).filter(|_| named.insert(id)) {
                    put(id, row);
                }
            }
            self.search(old, &node, &manifest, &mut searched)?;
        }
        let mut hidden: Vec<_> = old.0.iter().filter(|(id, _)| !named.contains(id)).collect();
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

    /// Notes what an import would try for those tensors of a model that are made of hidden ones.
    fn search(
        &self,
        old: &OldRows,
        node: &Node,
        manifest: &Manifest,
        searched: &mut Searched,
    ) -> Result<()> {
        let is_hidden = |base: ContentId| old.0.get(&base).is_some_and(|base| base.holders == 0);
        let lost = |id: &ContentId| {
            let row = old.0.get(id).filter(|row| row.formula != 0);
            row.is_some_and(|row| row.bases().any(is_hidden))
        };
        if !manifest.tensors.iter().any(|tensor| lost(&tensor.content_id)) {
            return Ok(());
        }
        let mut relatives: Vec<_> =
            self.graph()?.parents(node.id)?.into_iter().map(|edge| edge.parent).collect();
        let parents = relatives.len();
        relatives.extend(self.graph()?.previous(node.id)?);
        if relatives.is_empty() {
            return Ok(());
        }
        let keys: Vec<TensorKey<'_>> = manifest.tensors.iter().map(Into::into).collect();
        let all = self.candidates(&keys, Vec::new(), &relatives, (parents, 0))?;
        for (at, tensor) in manifest.tensors.iter().enumerate() {
            if lost(&tensor.content_id) {
                let mut candidates = self.candidates_of(&all, at, tensor.name)?;
                // Differences are tried anyhow.
                candidates.retain(|it| it.way != Way::Related(Relation::Same));
                let (dtype, shape) = (tensor.dtype.clone(), tensor.shape.clone());
                let search = Search { dtype, shape, candidates };
                searched.entry(tensor.content_id).or_default().push(search);
            }
        }
        Ok(())
    }

    /// The members of a family, with their costs alone, against each other, and as they are.
    pub(super) fn kin_of<'c>(
        &self,
        shared: &'c Shared,
        (old, pinned): (&OldRows, &HashSet<ContentId>),
        family: &[Vec<ContentId>],
        how: &Repack,
    ) -> Result<Kin<'c>> {
        let mut members: Vec<Member<'c>> = Vec::new();
        let (mut alone, mut edges) = (Vec::new(), Vec::new());
        for ids in family {
            let mut group = self.members(shared, old, ids)?;
            for member in &mut group {
                member.fixed = pinned.contains(&member.id);
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

    fn members<'c>(
        &self,
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
            member.sketch = kept_sketch(self.tables()?, member.id, &member.dtype)?;
        }
        members.par_iter_mut().try_for_each(|member| {
            member.chain.check()?;
            member.sample = sample(&member.chain, room)?;
            Ok::<_, Error>(())
        })?;
        Ok(members)
    }
}
