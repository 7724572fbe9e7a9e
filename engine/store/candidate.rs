//! Contents that a new tensor may be coded against, and how it may have come from them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Result;
use super::chain::Chain;
use super::open::Shared;
use super::record::record_row;
use super::transaction::Transaction;
use crate::catalog::Table;
use crate::format::{CHAIN_DEPTH_LIMIT, FORMULA_BASES_MAX, Manifest, ManifestTensor, RecordKind};
use crate::lineage::NodeId;
use crate::planning::{BASES_TRIED_MAX, Relation, Sketch, TensorKey};
use crate::tensor::{ContentId, Dtype};

/// By so much formulas may make a chain longer than its bound.
const FORMULAS_OVER: u8 = 4;

/// How a tensor may have come from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From one, as types and shapes tell.
    Related(Relation),
    /// From one, as a formula that holds exactly and not as a difference: its chain is full.
    Made,
    /// As the mean of all of them.
    Mean,
    /// As the first and a multiple of the difference of the others.
    TaskVector,
    /// As the first and a multiple of the product of the others.
    Lora { rank: u32 },
}

/// Contents that a new tensor may be coded against.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Their ids, and the types that the models they are taken from see them as.
    pub(super) bases: Vec<(ContentId, Dtype)>,
    pub(super) way: Way,
}

/// A candidate, and the chains of its contents.
pub(super) type OpenCandidate<'c> = (Candidate, Vec<Arc<Chain<'c>>>);

/// The two matrices of an adapter for a tensor, and their rank.
struct Adapter<'m> {
    left: &'m ManifestTensor,
    right: &'m ManifestTensor,
    rank: u32,
}

/// The adapters of a model by the names of the tensors that they change, when it is one: names as
/// the PEFT library gives them.
fn adapters(manifest: &Manifest) -> HashMap<String, Adapter<'_>> {
    let by_name: HashMap<&str, &ManifestTensor> =
        manifest.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let adapter = |right: &'_ ManifestTensor| {
        let (module, _) = right.name.split_once(".lora_A.")?;
        let left = by_name.get(right.name.replacen(".lora_A.", ".lora_B.", 1).as_str())?;
        let (&[rank, _], &[_, same]) = (right.shape.dims(), left.shape.dims()) else { return None };
        let rank = u32::try_from(rank).ok().filter(|rank| u64::from(*rank) == same)?;
        let module = module.strip_prefix("base_model.model.").unwrap_or(module);
        Some((format!("{module}.weight"), left.name.clone(), right.name.clone(), rank))
    };
    let found: Vec<_> = manifest.tensors.iter().filter_map(adapter).collect();
    let pair = |(name, left, right, rank): (String, String, String, u32)| {
        let (left, right) = (*by_name.get(left.as_str())?, *by_name.get(right.as_str())?);
        Some((name, Adapter { left, right, rank }))
    };
    found.into_iter().filter_map(pair).collect()
}

fn push(candidates: &mut Vec<Candidate>, bases: Vec<(ContentId, Dtype)>, way: Way) {
    let candidate = Candidate { bases, way };
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
            push(candidates, order.map(Clone::clone).to_vec(), Way::TaskVector);
        }
    }
    push(candidates, equals, Way::Mean);
}

impl Transaction {
    /// For every tensor, what it may be coded against: the models of `declared`, of which the
    /// first `parents` are what it was derived from and the last `made_of` what it was computed
    /// from, and models that the sketches of all tensors, where they are given, show to be kin.
    pub(super) fn candidates(
        &self,
        tensors: &[TensorKey<'_>],
        sketches: &[Sketch],
        declared: &[NodeId],
        (parents, made_of): (usize, usize),
    ) -> Result<Vec<Vec<Candidate>>> {
        let mut candidates = vec![Vec::new(); tensors.len()];
        let (relatives, ranked) = self.relatives(tensors, sketches, declared)?;
        let mut equals = vec![vec![None; declared.len()]; tensors.len()];
        for (at, ranked) in ranked.iter().enumerate() {
            for (place, relative) in relatives.iter().enumerate().take(declared.len()) {
                if let Some((base, Relation::Same)) = relative.pairs[at] {
                    let base = &relative.manifest.tensors[base];
                    equals[at][place] = Some((base.content_id, base.dtype.clone()));
                }
            }
            for relative in ranked.iter().map(|place| &relatives[*place]) {
                let Some((base, relation)) = relative.pairs[at] else { continue };
                let base = &relative.manifest.tensors[base];
                let base = vec![(base.content_id, base.dtype.clone())];
                push(&mut candidates[at], base, Way::Related(relation));
            }
        }
        self.settle_levels(sketches, &mut candidates)?;
        let manifests = || relatives.iter().take(declared.len()).map(|relative| &relative.manifest);
        for (candidates, equals) in candidates.iter_mut().zip(&equals) {
            combine(candidates, &equals[..parents.min(equals.len())]);
            combine(candidates, &equals[equals.len().saturating_sub(made_of)..]);
        }
        for adapters in manifests().map(adapters).filter(|adapters| !adapters.is_empty()) {
            for (at, tensor) in tensors.iter().enumerate() {
                let Some(Adapter { left, right, rank }) = adapters.get(tensor.name) else {
                    continue;
                };
                let factor = |tensor: &ManifestTensor| (tensor.content_id, tensor.dtype.clone());
                for base in equals[at].clone().into_iter().flatten() {
                    let bases = vec![base, factor(left), factor(right)];
                    push(&mut candidates[at], bases, Way::Lora { rank: *rank });
                }
            }
        }
        Ok(candidates)
    }

    /// The candidates to try, with their chains, each short enough to be stood on.
    pub(super) fn open_candidates<'c>(
        &self,
        shared: &'c Shared,
        id: ContentId,
        candidates: &[Candidate],
    ) -> Result<Vec<OpenCandidate<'c>>> {
        let mut opened: Vec<OpenCandidate<'c>> = Vec::new();
        let mut single = 0;
        for candidate in candidates {
            let alone = matches!(candidate.way, Way::Related(_));
            if alone && single == BASES_TRIED_MAX {
                continue;
            }
            let mut candidate = candidate.clone();
            let mut chains = Vec::new();
            for (base, _) in &mut candidate.bases {
                chains.extend(self.open_base(shared, base, candidate.way)?.map(Arc::new));
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

    /// The chain of a base. For a difference from one of as many steps as there may be, it starts
    /// again nearer its root, where something of the same elements is; `base` then becomes that one.
    /// Formulas may go beyond by one step, and exactly holding ones are none.
    fn open_base<'c>(
        &self,
        shared: &'c Shared,
        base: &mut ContentId,
        way: Way,
    ) -> Result<Option<Chain<'c>>> {
        let open = |base: ContentId| -> Result<Option<Chain<'c>>> {
            let row = record_row(self.tables()?, Table::Tensors, base.as_bytes())?;
            let open = |row| Chain::open(shared, self.tables()?, RecordKind::Tensor, base, row);
            row.map(open).transpose()
        };
        let max = self.chain_depth_max;
        let bound = max.saturating_add(FORMULAS_OVER).min(CHAIN_DEPTH_LIMIT);
        let mut chain = open(*base)?;
        if way == Way::Related(Relation::Same)
            && let Some(root) = chain.as_ref().and_then(|chain| chain.restart(max, bound))
        {
            *base = root;
            chain = open(root)?;
        }
        Ok(chain.filter(|chain| max > 0 && chain.record().header().depth < bound))
    }
}
