//! What a new tensor may be coded against: the content of a base, or what a formula makes of bases.

use std::sync::Arc;

use super::chain::{Chain, Checks, predict};
use super::encode::CHUNK_LEN;
use super::formula::StoredFormula;
use super::{NewTensor, Result};
use crate::codec::formula::{AbsmaxOrder, Formula};
use crate::planning::Relation;
use crate::tensor::{ContentId, Dtype};

/// A content that a new tensor may be coded against.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) content_id: ContentId,
    /// The type that the model it is taken from sees it as.
    pub(super) dtype: Dtype,
    pub(super) relation: Relation,
}

/// What a new tensor is coded against.
#[derive(Clone, Debug)]
pub(super) struct Basis<'c> {
    pub(super) formula: Option<StoredFormula>,
    pub(super) chains: Vec<Arc<Chain<'c>>>,
}

impl<'c> Basis<'c> {
    /// The content of a base itself.
    pub(super) fn plain(chain: Arc<Chain<'c>>) -> Self {
        Basis { formula: None, chains: vec![chain] }
    }

    /// What a formula makes of one base, seen as `dtype`.
    fn of(formula: Formula, dtype: &Dtype, chain: &Arc<Chain<'c>>) -> Self {
        let base = (chain.record().header().content_id, dtype.clone());
        let formula = Some(StoredFormula::new(formula, [base].into_iter()));
        Basis { formula, chains: vec![Arc::clone(chain)] }
    }

    /// All bases of `tensor`, over all candidates, whose checksums are checked. `sample` as below.
    pub(super) fn of_candidates(
        tensor: &NewTensor<'_>,
        sample: &[u8],
        candidates: &[(Candidate, Arc<Chain<'c>>)],
    ) -> Result<Vec<Self>> {
        let mut bases = Vec::new();
        for (candidate, chain) in candidates {
            // Nothing is built on a damaged base.
            chain.check()?;
            bases.extend(Self::all_of(tensor, sample, candidate, chain)?);
        }
        Ok(bases)
    }

    /// The bases of `tensor` against a candidate. `sample` is the tensor's beginning: at least a
    /// chunk, unless the tensor is shorter.
    fn all_of(
        tensor: &NewTensor<'_>,
        sample: &[u8],
        candidate: &Candidate,
        chain: &Arc<Chain<'c>>,
    ) -> Result<Vec<Self>> {
        let whole = sample.len() as u64 == tensor.byte_len;
        let columns = tensor.shape.dims().last().copied().unwrap_or(1);
        match candidate.relation {
            Relation::Same => {
                let mut all = vec![Basis::plain(Arc::clone(chain))];
                if tensor.dtype == Dtype::I8 && whole {
                    let mut base = vec![0; sample.len()];
                    chain.read(0, &mut base, Checks::First)?;
                    let formula = Formula::requantise(columns, &base, sample);
                    all.extend(formula.map(|formula| Basis::of(formula, &Dtype::I8, chain)));
                }
                Ok(all)
            }
            Relation::Resized => Ok(vec![Basis::of(Formula::Resize, &tensor.dtype, chain)]),
            Relation::Converted if tensor.dtype == Dtype::I8 => {
                Self::absmax(sample, columns, candidate, chain)
            }
            Relation::Converted => {
                let formula = Formula::cast(&candidate.dtype, &tensor.dtype);
                Ok(formula
                    .map(|formula| Basis::of(formula, &candidate.dtype, chain))
                    .into_iter()
                    .collect())
            }
        }
    }

    /// Rows of floats as integers, in the order of operations that comes nearest in the first
    /// chunk.
    fn absmax(
        sample: &[u8],
        columns: u64,
        candidate: &Candidate,
        chain: &Arc<Chain<'c>>,
    ) -> Result<Vec<Self>> {
        let sample = &sample[..sample.len().min(CHUNK_LEN)];
        let mut best: Option<(usize, Basis<'c>)> = None;
        for order in AbsmaxOrder::ALL {
            let Some(formula) = Formula::absmax(&candidate.dtype, columns, order) else { break };
            let basis = Basis::of(formula, &candidate.dtype, chain);
            let mut predicted = vec![0; sample.len()];
            basis.read(0, &mut predicted, Checks::First)?;
            let wrong = sample.iter().zip(&predicted).filter(|(a, b)| a != b).count();
            if best.as_ref().is_none_or(|(least, _)| wrong < *least) {
                best = Some((wrong, basis));
            }
        }
        Ok(best.into_iter().map(|(_, basis)| basis).collect())
    }

    /// Bytes that the formula itself takes.
    pub(super) fn own_len(&self) -> u64 {
        self.formula.as_ref().map_or(0, |formula| formula.encode().len() as u64)
    }

    /// Content id of the first base.
    pub(super) fn base_id(&self) -> ContentId {
        self.chains.first().map_or(ContentId::NONE, |chain| chain.record().header().content_id)
    }

    /// Content ids of the further bases.
    pub(super) fn more_bases(&self) -> Vec<ContentId> {
        let id = |chain: &Arc<Chain<'c>>| chain.record().header().content_id;
        self.chains.iter().skip(1).map(id).collect()
    }

    /// Depth of what is coded against this.
    pub(super) fn depth(&self) -> u8 {
        let depths = self.chains.iter().map(|chain| chain.record().header().depth);
        depths.max().unwrap_or(0).saturating_add(1)
    }

    /// The bytes from `start` on that are coded against. Behind a formula they may go beyond the
    /// bases.
    pub(super) fn read(&self, start: u64, out: &mut [u8], checks: Checks) -> Result<()> {
        if let Some(formula) = &self.formula {
            let lens: Vec<u64> = self.chains.iter().map(|chain| chain.raw_len()).collect();
            return predict(formula.formula(), start, out, &lens, &|base, start, bytes| {
                self.chains[base].read(start, bytes, checks)
            });
        }
        self.chains.iter().try_for_each(|chain| chain.read(start, out, checks))
    }
}
