//! What a new tensor may be coded against: the content of a base, or what a formula makes of bases.

use std::sync::Arc;

use super::candidate::{Derivation, OpenCandidate};
use super::chunks::{EncodedChunks, standalone_chunks};
use crate::codec::formula::{AbsmaxOrder, FloatType, Formula};
use crate::codec::{Lane, Profile, low_rank};
use crate::format::CHUNK_LEN;
use crate::planning::Relation;
use crate::store::error::Result;
use crate::store::read::chain::{Chain, Verify, predict};
use crate::store::read::formula::StoredFormula;
use crate::store::slabs::read_source;
use crate::store::source::{NewTensor, Source};
use crate::tensor::{ContentId, Dtype};

/// The number of bytes that are read to guess a formula.
const LOOK_LEN: usize = 1 << 16;

/// Pieces of so many bytes are read to see whether elements shrank, and how many.
const DECAY_LOOK_LEN: usize = 1 << 14;
const DECAY_LOOKS: u64 = 3;

/// A shorter tensor is not looked at for a low rank.
const LOW_RANK_FROM: usize = 1 << 14;

/// What a new tensor is coded against.
#[derive(Clone, Debug)]
pub(in crate::store) struct Prediction<'c> {
    pub(in crate::store) formula: Option<StoredFormula>,
    pub(in crate::store) chains: Vec<Arc<Chain<'c>>>,
    /// Further bases, of F32, that are not in the store yet.
    pub(in crate::store) unstored: Vec<UnstoredBase>,
    /// Depth of what is coded against this, when it is not one more than its bases'.
    pub(in crate::store) depth: Option<u8>,
    /// Whether it serves only where nothing differs from it.
    pub(in crate::store) exact: bool,
}

/// A content that is to be stored with the tensor that stands on it.
#[derive(Clone, Debug)]
pub(in crate::store) struct UnstoredBase {
    pub(in crate::store) content_id: ContentId,
    pub(in crate::store) bytes: Vec<u8>,
    pub(in crate::store) chunks: Arc<EncodedChunks>,
}

impl UnstoredBase {
    fn new(bytes: Vec<u8>) -> Self {
        let chunks = standalone_chunks(Profile::Dense, Lane::of(&Dtype::F32), &bytes);
        UnstoredBase { content_id: ContentId::of(&bytes), bytes, chunks: Arc::new(chunks) }
    }
}

impl<'c> Prediction<'c> {
    /// A content itself.
    pub(in crate::store) fn plain(chains: Vec<Arc<Chain<'c>>>, depth: Option<u8>) -> Self {
        Prediction { formula: None, chains, unstored: Vec::new(), depth, exact: false }
    }

    /// What a formula makes of a candidate's contents.
    fn of(formula: Formula, (candidate, chains): &OpenCandidate<'c>) -> Self {
        let formula = Some(StoredFormula::new(formula, candidate.bases.iter().cloned()));
        let exact = candidate.derivation == Derivation::Made;
        Prediction { formula, chains: chains.clone(), unstored: Vec::new(), depth: None, exact }
    }

    /// Whether a record of this type may be coded against it.
    pub(in crate::store) fn is_for(&self, dtype: &Dtype) -> bool {
        self.formula.as_ref().is_none_or(|formula| formula.is_for(dtype))
    }

    /// All bases of `tensor`, over all candidates, whose checksums are checked. `sample` is the
    /// tensor's beginning: at least a chunk, unless the tensor is shorter.
    pub(in crate::store) fn of_candidates(
        tensor: &NewTensor<'_>,
        sample: &[u8],
        candidates: &[OpenCandidate<'c>],
    ) -> Result<Vec<Self>> {
        let mut bases = Vec::new();
        for candidate in candidates {
            // Nothing is built on a damaged base.
            candidate.1.iter().try_for_each(|chain| chain.check())?;
            bases.extend(Self::all_of(tensor, sample, candidate)?);
        }
        Ok(bases)
    }

    /// The bases of `tensor` over one candidate.
    fn all_of(
        tensor: &NewTensor<'_>,
        sample: &[u8],
        open: &OpenCandidate<'c>,
    ) -> Result<Vec<Self>> {
        let (candidate, chains) = open;
        let dtype = &tensor.dtype;
        let columns = columns_of(tensor);
        let look = &sample[..sample.len().min(LOOK_LEN)];
        let beginnings =
            || chains.iter().map(|chain| beginning(chain, look.len())).collect::<Result<Vec<_>>>();
        let formula = match candidate.derivation {
            Derivation::Related(Relation::Same) | Derivation::Made => {
                return Self::over_same(tensor, sample, open);
            }
            Derivation::Related(Relation::Resized) => Some(Formula::Resize),
            Derivation::Related(Relation::Converted) => match candidate.bases.as_slice() {
                [(_, from)] => return Self::converted(sample, columns, (from, dtype), open),
                _ => None,
            },
            Derivation::Mean => {
                let bases = beginnings()?;
                let bases: Vec<&[u8]> = bases.iter().map(Vec::as_slice).collect();
                Formula::guess_mean(dtype, &bases, look)
            }
            Derivation::TaskVector => match beginnings()?.as_slice() {
                [a, b, c] => Formula::guess_task_vector(dtype, [a, b, c], look),
                _ => None,
            },
            Derivation::Lora { rank } => match (chains.as_slice(), candidate.bases.as_slice()) {
                ([base, left, right], [_, (_, factors), _]) => {
                    let base = beginning(base, look.len())?;
                    let left = left.reconstruct(Verify::Checksums)?;
                    let right = right.reconstruct(Verify::Checksums)?;
                    let bases = [&base[..], left.as_bytes(), right.as_bytes()];
                    Formula::guess_lora(dtype, factors, (columns, rank), bases, look)
                }
                _ => None,
            },
        };
        Ok(formula.map(|formula| Prediction::of(formula, open)).into_iter().collect())
    }

    /// Over bases of the tensor's own type and shape: the base itself, unless what is stored is
    /// another's product, and a formula of one base where one is seen.
    fn over_same(
        tensor: &NewTensor<'_>,
        sample: &[u8],
        open: &OpenCandidate<'c>,
    ) -> Result<Vec<Self>> {
        let (candidate, chains) = open;
        let dtype = &tensor.dtype;
        let is_made = candidate.derivation == Derivation::Made;
        let whole = sample.len() as u64 == tensor.byte_len;
        let look = &sample[..sample.len().min(LOOK_LEN)];
        let mut all = Vec::new();
        if !is_made {
            all.push(Prediction::plain(chains.clone(), None));
        }
        let [chain] = chains.as_slice() else { return Ok(all) };
        let mut guess = None;
        if *dtype == Dtype::I8 && whole {
            let base = beginning(chain, sample.len())?;
            guess = Formula::requantise(columns_of(tensor), &base, sample);
        } else if let Some(seen) =
            Formula::guess_of_one(dtype, &beginning(chain, look.len())?, look)
        {
            if is_made && !Prediction::of(seen.clone(), open).makes(look)? {
                return Ok(all);
            }
            // All that is at hand, for the right threshold.
            let base = beginning(chain, sample.len())?;
            guess = Formula::guess_of_one(dtype, &base, sample).or(Some(seen));
        }
        if guess.is_none() && !is_made {
            guess = Self::decayed(tensor, sample, chain)?;
        }
        all.extend(guess.map(|formula| Prediction::of(formula, open)));
        Ok(all)
    }

    /// What shrinks many elements of a base to a tensor's, as pieces of its beginning, its middle and
    /// its end show: rows of an embedding that no batch held lie together.
    fn decayed(
        tensor: &NewTensor<'_>,
        sample: &[u8],
        chain: &Arc<Chain<'c>>,
    ) -> Result<Option<Formula>> {
        if FloatType::of(&tensor.dtype).is_none() || sample.is_empty() {
            return Ok(None);
        }
        let piece = sample.len().min(DECAY_LOOK_LEN);
        // A difference is decoded for it, which is only done where it is likely.
        let is_cheap = chain.record().header().depth == 0 || tensor.byte_len <= CHUNK_LEN as u64;
        let looks = if is_cheap || is_moment(&tensor.name) { DECAY_LOOKS } else { 1 };
        let (mut base, mut child) = (Vec::new(), Vec::new());
        for part in 0..looks {
            let start = (tensor.byte_len - piece as u64) / (DECAY_LOOKS - 1) * part;
            let start = start / 8 * 8;
            let (mut before, mut after) = (vec![0; piece], vec![0; piece]);
            chain.read(start, &mut before, Verify::Checksums)?;
            let range = start as usize..start as usize + piece;
            match tensor.source {
                _ if range.end <= sample.len() => after.copy_from_slice(&sample[range]),
                Source::Bytes(bytes) => after.copy_from_slice(&bytes[range]),
                _ => read_source(tensor, start, &mut after)?,
            }
            base.extend(before);
            child.extend(after);
        }
        Ok(Formula::guess_decay(&tensor.dtype, &base, &child))
    }

    /// The base's elements as the tensor's type: of a cast and, where there are such formulas, of
    /// rows or all with a scale in every order of operations, what comes nearest in the first chunk.
    fn converted(
        all: &[u8],
        columns: u64,
        (from, to): (&Dtype, &Dtype),
        open: &OpenCandidate<'c>,
    ) -> Result<Vec<Self>> {
        let sample = &all[..all.len().min(CHUNK_LEN)];
        let rows = |order| Formula::absmax(from, to, columns, order);
        let formulas = Formula::cast(from, to).into_iter();
        let formulas: Vec<_> =
            formulas.chain(AbsmaxOrder::ALL.into_iter().filter_map(rows)).collect();
        let is_eight = to.is_float() && to.bits() == Some(8);
        if let ([only], false) = (formulas.as_slice(), is_eight) {
            return Ok(vec![Prediction::of(only.clone(), open)]);
        }
        let mut best: Option<(usize, Prediction<'c>)> = None;
        let mut consider = |formula: Formula| -> Result<bool> {
            let prediction = Prediction::of(formula, open);
            let mut predicted = vec![0; sample.len()];
            prediction.read(0, &mut predicted, Verify::Checksums)?;
            let wrong = sample.iter().zip(&predicted).filter(|(a, b)| a != b).count();
            if best.as_ref().is_none_or(|(least, _)| wrong < *least) {
                best = Some((wrong, prediction));
            }
            Ok(wrong == 0)
        };
        let mut exact = false;
        for formula in formulas {
            exact = exact || consider(formula)?;
        }
        if let (false, true, [chain], Some(bits)) =
            (exact, is_eight, open.1.as_slice(), from.bits())
        {
            // All that is at hand, for the right scale.
            let base = beginning(chain, all.len() * bits as usize / 8)?;
            Formula::guess_scaled(from, to, &base, all).map(consider).transpose()?;
        }
        Ok(best.into_iter().map(|(_, prediction)| prediction).collect())
    }

    /// The factors of a difference of low rank from a plain base, if `bytes` are of such a one.
    pub(in crate::store) fn low_rank(
        &self,
        tensor: &NewTensor<'_>,
        bytes: &[u8],
    ) -> Result<Option<Self>> {
        let (&[rows, columns], [chain], None) =
            (tensor.shape.dims(), self.chains.as_slice(), &self.formula)
        else {
            return Ok(None);
        };
        if bytes.len() < LOW_RANK_FROM {
            return Ok(None);
        }
        let mut base = vec![0; bytes.len()];
        chain.read(0, &mut base, Verify::Checksums)?;
        let lane = Lane::of(&tensor.dtype);
        let (rows, columns) = (rows as usize, columns as usize);
        let found = low_rank::find(lane, rows, columns, &base, bytes, low_rank::RANK_MAX);
        let Some(factors) = found else { return Ok(None) };
        let Some(formula) = factors.formula(&tensor.dtype) else { return Ok(None) };
        let unstored: Vec<UnstoredBase> =
            factors.to_bytes().into_iter().map(UnstoredBase::new).collect();
        let base = (chain.record().header().content_id, tensor.dtype.clone());
        let factors = unstored.iter().map(|unstored| (unstored.content_id, Dtype::F32));
        let formula = StoredFormula::new(formula, [base].into_iter().chain(factors));
        let (formula, chains) = (Some(formula), self.chains.clone());
        Ok(Some(Prediction { formula, chains, unstored, depth: self.depth, exact: false }))
    }

    /// Whether `beginning` is what this makes of its bases' beginnings.
    fn makes(&self, beginning: &[u8]) -> Result<bool> {
        let mut made = vec![0; beginning.len()];
        self.read(0, &mut made, Verify::Checksums)?;
        Ok(made == beginning)
    }

    /// Whether this number of bytes of differences from the prediction may be stored.
    pub(in crate::store) fn accepts(&self, stored_len: u64) -> bool {
        stored_len == 0 || !self.exact
    }

    /// Bytes that the formula itself takes, and bases that only it needs.
    pub(in crate::store) fn own_len(&self) -> u64 {
        let unstored: u64 = self.unstored.iter().map(|unstored| unstored.chunks.stored_len()).sum();
        self.formula.as_ref().map_or(0, |formula| formula.encode().len() as u64) + unstored
    }

    /// Content id of the first base.
    pub(in crate::store) fn base_id(&self) -> ContentId {
        self.chains.first().map_or(ContentId::NONE, |chain| chain.record().header().content_id)
    }

    /// Content ids of the further bases.
    pub(in crate::store) fn more_bases(&self) -> Vec<ContentId> {
        self.formula.iter().flat_map(|formula| formula.base_ids().skip(1)).collect()
    }

    /// Depth of what is coded against this.
    pub(in crate::store) fn depth(&self) -> u8 {
        if let Some(depth) = self.depth {
            return depth;
        }
        let depths = self.chains.iter().map(|chain| chain.record().header().depth);
        depths.max().unwrap_or(0).saturating_add(1)
    }

    /// The bytes from `start` on that are coded against. Behind a formula they may go beyond the
    /// bases.
    pub(in crate::store) fn read(&self, start: u64, out: &mut [u8], verify: Verify) -> Result<()> {
        if let Some(formula) = &self.formula {
            let lens = self.chains.iter().map(|chain| chain.raw_len());
            let unstored = self.unstored.iter().map(|unstored| unstored.bytes.len() as u64);
            let lens: Vec<u64> = lens.chain(unstored).collect();
            return predict(formula.formula(), start, out, &lens, &|base, start, out| {
                if let Some(chain) = self.chains.get(base) {
                    return chain.read(start, out, verify);
                }
                let bytes = &self.unstored[base - self.chains.len()].bytes;
                out.copy_from_slice(&bytes[start as usize..start as usize + out.len()]);
                Ok(())
            });
        }
        self.chains.iter().try_for_each(|chain| chain.read(start, out, verify))
    }
}

/// Whether a name is that of an optimizer's moments, or not known.
fn is_moment(name: &str) -> bool {
    let words = ["exp_avg", "moment", "square_avg", "state"];
    name.is_empty() || words.iter().any(|word| name.contains(word))
}

fn columns_of(tensor: &NewTensor<'_>) -> u64 {
    tensor.shape.dims().last().copied().unwrap_or(1)
}

/// The first `len` bytes of a base, or all of a shorter one.
fn beginning(chain: &Chain<'_>, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len.min(chain.raw_len() as usize)];
    chain.read(0, &mut bytes, Verify::Checksums)?;
    Ok(bytes)
}
