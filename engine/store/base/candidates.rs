//! What the tensors of a new model may be coded against: found, ranked, opened.

use std::collections::HashMap;
use std::sync::Arc;

use super::candidate::{Candidate, Derivation, OpenCandidate};
use super::relatives::{BaseFinder, Reach, Relative};
use crate::catalog::Table;
use crate::format::{CHAIN_DEPTH_LIMIT, FORMULA_BASES_MAX, Manifest, ManifestTensor, RecordKind};
use crate::lineage::NodeId;
use crate::planning::{BASES_TRIED_MAX, Ranking, Relation, Sketch, TensorKey};
use crate::store::error::Result;
use crate::store::read::chain::Chain;
use crate::store::read::record::record_row;
use crate::tensor::{ContentId, Dtype};

/// By so much formulas may make a chain longer than its bound.
pub(in crate::store) const FORMULAS_OVER: u8 = 4;

/// The two matrices of an adapter for a tensor, and their rank.
struct Adapter<'m> {
    left: ManifestTensor<'m>,
    right: ManifestTensor<'m>,
    rank: u32,
}

/// The adapters of a model by the names of the tensors that they change, when it is one: names as
/// the PEFT library gives them.
fn adapters(manifest: &Manifest) -> HashMap<String, Adapter<'_>> {
    if !manifest.tensors.iter().any(|tensor| tensor.name.contains(".lora_A.")) {
        return HashMap::new();
    }
    let by_name: HashMap<&str, ManifestTensor<'_>> =
        manifest.tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
    let adapter = |right: ManifestTensor<'_>| {
        let (module, _) = right.name.split_once(".lora_A.")?;
        let left = *by_name.get(right.name.replacen(".lora_A.", ".lora_B.", 1).as_str())?;
        let (&[rank, _], &[_, same]) = (right.shape.dims(), left.shape.dims()) else { return None };
        let rank = u32::try_from(rank).ok().filter(|rank| u64::from(*rank) == same)?;
        let module = module.strip_prefix("base_model.model.").unwrap_or(module);
        let right = *by_name.get(right.name)?;
        Some((format!("{module}.weight"), Adapter { left, right, rank }))
    };
    manifest.tensors.iter().filter_map(adapter).collect()
}

/// By the name of what they change, the factors and the rank.
pub(super) fn adapters_of(manifest: &Manifest) -> AdaptersOf {
    let based = |tensor: ManifestTensor<'_>| (tensor.content_id, tensor.dtype.clone());
    let all = adapters(manifest).into_iter();
    all.map(|(name, it)| (name, (based(it.left), based(it.right), it.rank))).collect()
}

pub(super) fn push(
    candidates: &mut Vec<Candidate>,
    bases: Vec<(ContentId, Dtype)>,
    derivation: Derivation,
) {
    let candidate = Candidate { bases, derivation };
    if !candidates.contains(&candidate) {
        candidates.push(candidate);
    }
}

/// Adds what `parents` make together: for every tensor its equals in each of them.
fn combine(candidates: &mut Vec<Candidate>, parents: &[Option<(ContentId, Dtype)>]) {
    let equals: Option<Vec<_>> = parents.iter().cloned().collect();
    let Some(equals) = equals.filter(|all| (2..=FORMULA_BASES_MAX).contains(&all.len())) else {
        return;
    };
    if let [a, b, c] = equals.as_slice() {
        for order in [[a, b, c], [b, a, c], [c, a, b]] {
            push(candidates, order.map(Clone::clone).to_vec(), Derivation::TaskVector);
        }
    }
    push(candidates, equals, Derivation::Mean);
}

/// What the tensors of a new model may be coded against. Worked out tensor by tensor, since there
/// can be a million.
pub(in crate::store) struct Candidates {
    pub(super) relatives: Vec<Relative>,
    /// How many of the relatives are declared.
    declared: usize,
    /// How many of these are what it was derived from, and how many, from behind, what it was
    /// computed from.
    parents: usize,
    made_of: usize,
    pub(super) sketches: Vec<Sketch>,
    /// `None` without sketches: all relatives are tried, in order.
    ranking: Option<Ranking>,
    /// Which of a full chain takes the place of the one that it is full at.
    level: usize,
    /// The adapters of those that are declared, and of others that are looked at.
    pub(super) adapters: Vec<AdaptersOf>,
}

/// A content, and the type that a model sees it as.
pub(super) type Based = (ContentId, Dtype);

/// What the adapters of a model change: factors and rank.
pub(super) type AdaptersOf = HashMap<String, (Based, Based, u32)>;

impl Candidates {
    pub(super) fn base(&self, relative: usize, at: usize) -> Option<(Based, Relation)> {
        let relative = self.relatives.get(relative)?;
        let (base, relation) = (*relative.pairs.get(at)?)?;
        let base = relative.manifest.tensors.get(base)?;
        Some(((base.content_id, base.dtype.clone()), relation))
    }

    /// The relatives to try for a tensor, the most promising first.
    fn ranked(&self, at: usize) -> Vec<usize> {
        let all = 0..self.relatives.len();
        let Some(ranking) = &self.ranking else { return all.collect() };
        let bits = |relative: usize| self.relatives.get(relative)?.bits(at);
        let is_pair = |relative: &usize| {
            self.relatives
                .get(*relative)
                .is_some_and(|it| it.pairs.get(at).is_some_and(Option::is_some))
        };
        let mut ranked = ranking.of(bits);
        // What sketches cannot judge is tried in order, as far as tensors are tried at all.
        ranked.extend(all.filter(|it| is_pair(it) && bits(*it).is_none()));
        // Sketches tell nothing of formulas: what a declared one would make is tried.
        for relative in 0..self.declared {
            if is_pair(&relative) && !ranked.contains(&relative) {
                ranked.push(relative);
            }
        }
        ranked
    }

    /// Adds what several contents make of a tensor: what the declared models make together, and
    /// adapters beside the first `bases` of the relatives.
    pub(super) fn add_combined(
        &self,
        candidates: &mut Vec<Candidate>,
        at: usize,
        name: &str,
        bases: usize,
    ) {
        let equal = |relative: usize| {
            let same = self.base(relative, at).filter(|(_, relation)| *relation == Relation::Same);
            same.map(|(base, _)| base)
        };
        let equals: Vec<Option<Based>> = (0..bases.max(self.declared)).map(equal).collect();
        let declared = &equals[..self.declared];
        combine(candidates, &declared[..self.parents.min(self.declared)]);
        combine(candidates, &declared[self.declared.saturating_sub(self.made_of)..]);
        for adapters in &self.adapters {
            let Some((left, right, rank)) = adapters.get(name) else { continue };
            for base in equals.iter().flatten() {
                let bases = vec![base.clone(), left.clone(), right.clone()];
                push(candidates, bases, Derivation::Lora { rank: *rank });
            }
        }
    }

    /// The base that is tried first, where it is of the same elements.
    fn first(&self, at: usize) -> Option<Based> {
        let mut ranked = self.ranked(at).into_iter();
        let (base, relation) = ranked.find_map(|relative| self.base(relative, at))?;
        (relation == Relation::Same).then_some(base)
    }
}

impl<'c> BaseFinder<'_, 'c> {
    /// What the tensors of a model may be coded against: the models of `declared`, of which the
    /// first `parents` are what it was derived from and the last `made_of` what it was computed
    /// from, and models that the sketches of all tensors, where they are given, show to be kin.
    pub(in crate::store) fn candidates(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: Vec<Sketch>,
        declared: &[NodeId],
        (parents, made_of): (usize, usize),
    ) -> Result<Candidates> {
        let reach = Reach::of_import(self.siblings(declared)?);
        let made_by = (parents, made_of);
        let mut found = self.candidates_within(tensors, sketches, declared, made_by, &reach)?;
        found.level = self.level_of(&found.sketches, &|at| found.first(at))?;
        Ok(found)
    }

    /// As [`candidates`](Self::candidates), of the models within reach, wherever chains are full.
    pub(in crate::store) fn candidates_within(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: Vec<Sketch>,
        declared: &[NodeId],
        (parents, made_of): (usize, usize),
        reach: &Reach,
    ) -> Result<Candidates> {
        let (relatives, ranking) = self.relatives(tensors, &sketches, declared, reach)?;
        let adapters =
            relatives.iter().take(declared.len()).map(|it| adapters_of(&it.manifest)).collect();
        let declared = declared.len();
        Ok(Candidates {
            relatives,
            declared,
            parents,
            made_of,
            sketches,
            ranking,
            level: 1,
            adapters,
        })
    }

    /// What one tensor may be coded against, the most promising first.
    pub(in crate::store) fn candidates_of(
        &self,
        all: &Candidates,
        at: usize,
        name: &str,
    ) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for relative in all.ranked(at) {
            if let Some((base, relation)) = all.base(relative, at) {
                push(&mut candidates, vec![base], Derivation::Related(relation));
            }
        }
        if let Some(sketch) = all.sketches.get(at) {
            self.settle_level(all.level, sketch, &mut candidates)?;
        }
        all.add_combined(&mut candidates, at, name, all.declared);
        Ok(candidates)
    }

    /// The candidates to try, with their chains, each short enough to be stood on.
    pub(in crate::store) fn open_candidates(
        &self,
        id: ContentId,
        candidates: &[Candidate],
    ) -> Result<Vec<OpenCandidate<'c>>> {
        let mut opened: Vec<OpenCandidate<'c>> = Vec::new();
        let mut single = 0;
        for candidate in candidates {
            let alone = matches!(candidate.derivation, Derivation::Related(_));
            if alone && single == BASES_TRIED_MAX {
                continue;
            }
            let mut candidate = candidate.clone();
            let mut chains = Vec::new();
            for (base, _) in &mut candidate.bases {
                chains.extend(self.open_base(base, candidate.derivation)?.map(Arc::new));
            }
            let whole = chains.len() == candidate.bases.len();
            let itself = candidate.bases.iter().any(|(base, _)| *base == id);
            if whole && !itself && !opened.iter().any(|(tried, _)| *tried == candidate) {
                single += usize::from(alone);
                opened.push((candidate, chains));
            }
        }
        Ok(opened)
    }

    /// The chain of a base. If the chain is as long as allowed, a difference takes a base nearer
    /// the root that has the same elements, if there is one; `base` is then replaced by it.
    /// Formulas may exceed the limit by one step; those that hold exactly do not count.
    fn open_base(&self, base: &mut ContentId, derivation: Derivation) -> Result<Option<Chain<'c>>> {
        let open = |base: ContentId| -> Result<Option<Chain<'c>>> {
            let row = record_row(self.tables, Table::Tensors, base.as_bytes())?;
            let open = |row| Chain::open(self.shared, self.tables, RecordKind::Tensor, base, row);
            row.map(open).transpose()
        };
        let max = self.depth_max;
        let bound = max.saturating_add(FORMULAS_OVER).min(CHAIN_DEPTH_LIMIT);
        let mut chain = open(*base)?;
        if derivation == Derivation::Related(Relation::Same)
            && let Some(root) = chain.as_ref().and_then(|chain| chain.restart(max, bound))
        {
            *base = root;
            chain = open(root)?;
        }
        Ok(chain.filter(|chain| max > 0 && chain.record().header().depth < bound))
    }
}
