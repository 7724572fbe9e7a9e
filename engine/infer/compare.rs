//! How much of one model is in another.

use std::collections::HashSet;

use half::{bf16, f16};
use rayon::prelude::*;

use super::member::{Member, MemberTensor};
use super::samples::{self, Samples};
use crate::planning::{INHERITED_FROM, Likeness, Steps};
use crate::store::Result;
use crate::tensor::{ContentId, Dtype};

/// What sketches say of two models.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Resemblance {
    /// Mean correlation of the tensors that can tell.
    pub correlation: f64,
    /// How many standard deviations that is from what strangers have.
    pub deviations: f64,
    /// The share of the smaller model's elements, in tensors that can tell, that are inherited.
    pub inherited: f64,
    /// Bits that the two have in common, by the sketches.
    pub shared_bits: f64,
}

impl Resemblance {
    /// Whether one descends from the other, or both from a third.
    pub fn is_kinship(&self) -> bool {
        self.deviations > 8.0 && self.inherited > 0.1
    }
}

/// Bits that an element of the coarser of two types takes alone.
fn coarser_limit(a: &Dtype, b: &Dtype) -> f64 {
    Steps::coarse(a, a, 1.0).limit().min(Steps::coarse(b, b, 1.0).limit())
}

/// Compares two models by their sketches: no weight is read.
pub fn resemble(a: &Member<'_>, b: &Member<'_>) -> Resemblance {
    let telling = |member: &Member<'_>| -> f64 {
        let tensors = member.tensors().iter().filter(|tensor| tensor.sketch.is_telling());
        tensors.map(|tensor| tensor.sketch.elements() as f64).sum()
    };
    let (mut result, mut likeness) = (Resemblance::default(), Likeness::default());
    for (here, there) in a.pairs(b) {
        let (Some(left), Some(right)) = (a.tensors().get(here), b.tensors().get(there)) else {
            continue;
        };
        let Some(estimate) = left.sketch.estimate(&right.sketch) else { continue };
        let elements = estimate.elements as f64;
        let limit = coarser_limit(&left.dtype, &right.dtype);
        let correlation = if left.id == right.id { 1.0 } else { estimate.correlation };
        if correlation > INHERITED_FROM {
            result.shared_bits += (limit - estimate.coarse_bits.min(limit)) * elements;
        }
        likeness.add((&left.sketch, &right.sketch), &estimate, left.id == right.id);
    }
    if likeness.tensors > 0.0 {
        result.correlation = likeness.correlation / likeness.tensors;
        result.deviations = likeness.deviations();
        result.inherited = likeness.inherited / telling(a).min(telling(b)).max(1.0);
    }
    result
}

/// What sketches say of two models that are kin; nothing of strangers. Models of the same tensors
/// are kin even where these are too small or too plain for their sketches to tell.
pub(super) fn kin(a: &Member<'_>, b: &Member<'_>) -> Option<Resemblance> {
    let resemblance = resemble(a, b);
    (resemblance.is_kinship() || have_same_tensors(a, b)).then_some(resemblance)
}

fn have_same_tensors(a: &Member<'_>, b: &Member<'_>) -> bool {
    // Most strangers have no tensor of the other's first content, or not as many.
    let Some(first) = a.tensors().first() else { return false };
    let may_be = a.tensors().len() == b.tensors().len();
    if !may_be || !b.tensors().iter().any(|tensor| tensor.id == first.id) {
        return false;
    }
    fn tensors<'m>(member: &'m Member<'_>) -> HashSet<(&'m str, &'m Dtype, &'m ContentId)> {
        let key = |tensor: &'m MemberTensor| (tensor.name.as_str(), &tensor.dtype, &tensor.id);
        member.tensors().iter().map(key).collect()
    }
    tensors(a) == tensors(b)
}

/// What reading a pair of tensors has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TensorPair {
    /// Places in the two members.
    pub(super) at: (usize, usize),
    pub(super) elements: f64,
    pub(super) rank: usize,
    /// All bytes are equal.
    pub(super) identical: bool,
    /// Bits an element that the two have in common.
    pub(super) bits_per_element: f64,
    /// Sum of squares of the differences, for all elements, of floats.
    pub(super) distance2: f64,
    pub(super) correlation: f64,
    /// Shares of elements whose magnitude is smaller in the second, and in the first.
    pub(super) shrunk: (f64, f64),
    /// Mean magnitude of the second over that of the first.
    pub(super) ratio: f64,
    /// Elements that have changed by one and the same factor, as far as singles can say, the
    /// logarithm of that factor, and of how many elements.
    pub(super) factor: Factor,
    /// The second is a cast of the first; the first of the second.
    pub(super) cast: (bool, bool),
    pub(super) quantised: (bool, bool),
    /// The second is the first with zeros put in; the first is the second so.
    pub(super) pruned: (bool, bool),
    /// The difference's rank, when it is far from full.
    pub(super) low_rank: Option<usize>,
}

/// The factor by which most of the elements that changed by the same one have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Factor {
    pub(super) log: f64,
    pub(super) shared_by: f64,
    pub(super) of: f64,
}

/// The share of changed weights that have one factor in common, from which on it is decay, and the
/// smallest such factor's logarithm: below it, it may be rounding.
const DECAYED_FROM: f64 = 0.01;
const DECAY_MIN: f64 = 1e-5;
/// As far as decay reproduces a single, over many steps that are each rounded.
pub(super) const DECAY_ROUNDING: f64 = 4e-6;

impl Factor {
    /// The logarithm, where enough weights share it for it to be weight decay.
    pub(super) fn decay(&self) -> Option<f64> {
        (self.shared_by > DECAYED_FROM * self.of && self.log.abs() > DECAY_MIN).then_some(self.log)
    }
}

/// What is left of the step from `a` to `b` when `a` has shrunk by `factor` as all that a training
/// does not move: nothing, where only rounding is left.
pub(super) fn beside_decay(a: f64, b: f64, factor: f64) -> f64 {
    let step = b - factor * a;
    if step.abs() < DECAY_ROUNDING * a.abs() { 0.0 } else { step }
}

/// Two models, compared by their weights.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Comparison {
    pub(super) tensors: Vec<TensorPair>,
    /// Tensors of the first, and of the second, without a partner.
    pub(super) alone: (usize, usize),
    /// Pairs of tensors that are not equal and could not be compared: of types without numbers.
    pub(super) opaque: usize,
}

impl Comparison {
    /// Compares two models. Cost: reads at most 2^18 elements of each tensor of both; nothing of
    /// tensors that are equal.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub fn of(a: &Member<'_>, b: &Member<'_>) -> Result<Self> {
        let pairs = a.pairs(b);
        let compare = |at: &(usize, usize)| compare_tensors(a, b, *at);
        let tensors: Vec<Option<TensorPair>> =
            pairs.par_iter().map(compare).collect::<Result<_>>()?;
        let tensors: Vec<TensorPair> = tensors.into_iter().flatten().collect();
        let alone = (a.tensors().len() - pairs.len(), b.tensors().len() - pairs.len());
        let opaque = pairs.len() - tensors.len();
        Ok(Comparison { tensors, alone, opaque })
    }

    /// The same with the two members exchanged.
    pub fn reversed(&self) -> Self {
        let swap = |(a, b): (bool, bool)| (b, a);
        let tensor = |tensor: &TensorPair| TensorPair {
            at: (tensor.at.1, tensor.at.0),
            shrunk: (tensor.shrunk.1, tensor.shrunk.0),
            ratio: if tensor.ratio > 0.0 { 1.0 / tensor.ratio } else { 0.0 },
            factor: Factor { log: -tensor.factor.log, ..tensor.factor },
            cast: swap(tensor.cast),
            quantised: swap(tensor.quantised),
            pruned: swap(tensor.pruned),
            ..tensor.clone()
        };
        let tensors = self.tensors.iter().map(tensor).collect();
        Comparison { tensors, alone: (self.alone.1, self.alone.0), opaque: self.opaque }
    }

    /// Whether all tensors that both have are equal.
    pub(super) fn is_equal(&self) -> bool {
        let is_same = self.tensors.iter().all(|pair| pair.identical);
        is_same && self.opaque == 0 && !self.tensors.is_empty()
    }

    /// The factor by which most weights that only decayed have done so, as a logarithm: positive when
    /// they are larger in the second. None where not enough of them have one in common.
    pub(super) fn decay(&self) -> Option<f64> {
        let pairs = || self.tensors.iter().filter(|pair| pair.correlation > 0.1);
        let tensor = pairs().max_by(|a, b| a.factor.shared_by.total_cmp(&b.factor.shared_by))?;
        let log = tensor.factor.log;
        let same = pairs().filter(|pair| (pair.factor.log - log).abs() <= DECAY_ROUNDING);
        let shared_by = same.map(|pair| pair.factor.shared_by).sum();
        Factor { log, shared_by, of: pairs().map(|pair| pair.factor.of).sum() }.decay()
    }

    /// Bits an element, over the first member's tensors for which `core` holds, that both have in
    /// common, and the distance of their weights there.
    pub(super) fn shared(&self, core: &dyn Fn(usize) -> bool) -> (f64, f64) {
        let (mut bits, mut elements, mut distance2) = (0.0, 0.0, 0.0);
        for tensor in self.tensors.iter().filter(|tensor| core(tensor.at.0)) {
            bits += tensor.bits_per_element * tensor.elements;
            elements += tensor.elements;
            distance2 += tensor.distance2;
        }
        (bits / f64::max(elements, 1.0), distance2.sqrt())
    }
}

fn compare_tensors(
    a: &Member<'_>,
    b: &Member<'_>,
    at: (usize, usize),
) -> Result<Option<TensorPair>> {
    let (Some(left), Some(right)) = (a.tensors().get(at.0), b.tensors().get(at.1)) else {
        return Ok(None);
    };
    let elements = left.sketch.elements() as f64;
    let mut pair = TensorPair { at, elements, rank: left.shape.rank(), ..TensorPair::default() };
    if left.id == right.id && left.dtype == right.dtype {
        let limit = Steps::coarse(&left.dtype, &left.dtype, 1.0).limit();
        pair.identical = true;
        pair.correlation = 1.0;
        pair.bits_per_element = limit;
        pair.ratio = 1.0;
        return Ok(Some(pair));
    }
    let Some(samples) = samples::read((a, b), at)? else { return Ok(None) };
    measure(&mut pair, left, right, &samples);
    Ok(Some(pair))
}

fn measure(pair: &mut TensorPair, left: &MemberTensor, right: &MemberTensor, samples: &Samples) {
    let count = samples.a.len().max(1) as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(&samples.a), mean(&samples.b));
    let both = || samples.a.iter().copied().zip(samples.b.iter().copied());
    let (mut aa, mut bb, mut ab, mut dd) = (0.0, 0.0, 0.0, 0.0);
    let (mut abs_a, mut abs_b) = (0.0, 0.0);
    let (mut shrunk, mut grown) = (0.0, 0.0);
    for (a, b) in both() {
        dd += (b - a) * (b - a);
        shrunk += f64::from(b.abs() < a.abs());
        grown += f64::from(b.abs() > a.abs());
        (abs_a, abs_b) = (abs_a + a.abs(), abs_b + b.abs());
        let (a, b) = (a - mean_a, b - mean_b);
        (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
    }
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    pair.correlation = finite(ab / (aa * bb).sqrt());
    pair.shrunk = (shrunk / count, grown / count);
    pair.ratio = finite(abs_b / abs_a);
    let floats = left.dtype.is_float() && right.dtype.is_float();
    if left.dtype == Dtype::F32 && right.dtype == Dtype::F32 && pair.rank >= 2 {
        pair.factor = common_factor(&samples.a, &samples.b);
    }
    if floats {
        pair.distance2 = finite(dd) * pair.elements / count;
    }
    let limit = coarser_limit(&left.dtype, &right.dtype);
    let narrower = left.dtype.bits() < right.dtype.bits();
    let (from, to) =
        if narrower { (&right.dtype, &left.dtype) } else { (&left.dtype, &right.dtype) };
    let mut steps = Steps::coarse(from, to, if aa > 0.0 { finite(ab / aa) } else { 1.0 });
    // What is zero in both says nothing: two that were pruned alike are no nearer for it. And what
    // only decayed was not moved: else a sibling that decayed as much would be nearer than the parent.
    let decay = pair.factor.decay().map(f64::exp);
    let (mut told, mut known) = (0usize, 0usize);
    for (a, b) in both().filter(|(a, b)| *a != 0.0 || *b != 0.0) {
        told += 1;
        // A zero has no exponent from which a step could be counted.
        if a == 0.0 || b == 0.0 {
            continue;
        }
        known += 1;
        let b = decay.map_or(b, |factor| a + beside_decay(a, b, factor));
        if narrower { steps.add(b, a) } else { steps.add(a, b) }
    }
    let known = known as f64 / told.max(1) as f64;
    let inherited = told > 0 && (pair.correlation > INHERITED_FROM || pair.elements < 2.0);
    pair.bits_per_element =
        if inherited { known * (limit - steps.bits().min(limit)).max(0.0) } else { 0.0 };
    pair.cast = (
        is_cast(&samples.a, &samples.b, &left.dtype, &right.dtype),
        is_cast(&samples.b, &samples.a, &right.dtype, &left.dtype),
    );
    pair.quantised = (
        is_quantised(&samples.a, &samples.b, &right.dtype, samples.row),
        is_quantised(&samples.b, &samples.a, &left.dtype, samples.row),
    );
    pair.pruned = (is_pruned(&samples.a, &samples.b), is_pruned(&samples.b, &samples.a));
    if pair.cast.0 || pair.cast.1 || pair.quantised.0 || pair.quantised.1 {
        pair.bits_per_element = limit;
    }
    if let Some(kept) = kept_of(pair.pruned, samples) {
        // Of two that the zeros were put into, the one that lost less is nearer.
        pair.bits_per_element = limit * (1.0 - PRUNE_BREAK * (1.0 - kept));
    }
    if floats && samples.row > 0 {
        pair.low_rank = low_rank(samples);
    }
}

/// Bits that a share of zeros put in costs: decides between sources that are otherwise equal.
const PRUNE_BREAK: f64 = 1e-4;

/// The share of elements that were kept, where one is the other with zeros put in.
fn kept_of((forward, backward): (bool, bool), samples: &Samples) -> Option<f64> {
    let kept = samples.a.iter().zip(&samples.b).filter(|(a, b)| a == b).count();
    (forward != backward).then(|| kept as f64 / samples.a.len().max(1) as f64)
}

/// The factor that most elements have changed by: where a training moves a weight by nothing but its
/// decay, all have the same. Looks at 2^14 elements at most.
fn common_factor(a: &[f64], b: &[f64]) -> Factor {
    /// As near as the factors of singles are known.
    const STEP: f64 = 2e-6;
    const LOOKED_AT_MAX: usize = 1 << 14;
    let every = a.len().div_ceil(LOOKED_AT_MAX).max(1);
    let small = 0.01 * a.iter().map(|value| value.abs()).sum::<f64>() / a.len().max(1) as f64;
    let both = a.iter().zip(b).step_by(every);
    let changed = both.filter(|(a, b)| a != b && *a * *b > 0.0 && a.abs() > small);
    let mut steps: Vec<i64> = changed.map(|(a, b)| ((b / a).ln() / STEP).floor() as i64).collect();
    steps.sort_unstable();
    // The fullest two steps next to each other: rounding puts neighbours on both sides of a bound.
    let (mut first, mut best) = (0, (0usize, 0i64));
    for (last, step) in steps.iter().enumerate() {
        while steps.get(first).is_some_and(|low| low + 1 < *step) {
            first += 1;
        }
        best = best.max((last + 1 - first, *step));
    }
    let (shared_by, step) = best;
    Factor { log: step as f64 * STEP, shared_by: shared_by as f64, of: steps.len() as f64 }
}

/// Whether `b` is `a` rounded to its type, which is another float type of fewer bits.
fn is_cast(a: &[f64], b: &[f64], from: &Dtype, to: &Dtype) -> bool {
    let narrower = from.bits() > to.bits() || (*from == Dtype::F16 && *to == Dtype::Bf16);
    if !from.is_float() || !narrower {
        return false;
    }
    let round: fn(f64) -> f64 = match to {
        Dtype::F32 => |value| f64::from(value as f32),
        Dtype::F16 => |value| f16::from_f32(value as f32).to_f64(),
        Dtype::Bf16 => |value| bf16::from_f32(value as f32).to_f64(),
        _ => return false,
    };
    a.iter().zip(b).all(|(a, b)| round(*a) == *b || a.is_nan() && b.is_nan())
}

/// Whether `b` is `a` in steps of a 127th of the largest magnitude, of each row or of all. One
/// step of difference is allowed for other ways of rounding, in one of a hundred elements.
fn is_quantised(a: &[f64], b: &[f64], to: &Dtype, row: usize) -> bool {
    if *to != Dtype::I8 || a.len() < 16 {
        return false;
    }
    let fits = |run: usize| {
        let mut missed = 0usize;
        for (a, b) in a.chunks(run).zip(b.chunks(run)) {
            let largest = a.iter().fold(0.0f64, |max, value| max.max(value.abs()));
            if largest.is_nan() || largest <= 0.0 {
                return false;
            }
            for (a, b) in a.iter().zip(b) {
                let off = ((a / largest * 127.0).round_ties_even() - b).abs();
                if off > 1.0 {
                    return false;
                }
                missed += usize::from(off > 0.0);
            }
        }
        missed * 100 <= a.len()
    };
    (row > 0 && fits(row)) || fits(a.len())
}

/// Whether `b` is `a` with zeros put in.
fn is_pruned(a: &[f64], b: &[f64]) -> bool {
    let zeros = a.iter().zip(b).filter(|(a, b)| **b == 0.0 && **a != 0.0).count();
    zeros * 100 > a.len() && a.iter().zip(b).all(|(a, b)| a == b || *b == 0.0)
}

/// The rank of a block of the difference of two matrices, when it is at most half of full.
fn low_rank(samples: &Samples) -> Option<usize> {
    const SIDE: usize = 48;
    let rows = samples.a.len().checked_div(samples.row)?;
    if rows < SIDE || samples.row < SIDE {
        return None;
    }
    // Rows and columns spread over all there are.
    let row_at = |row: usize| row * rows / SIDE;
    let column_at = |column: usize| column * samples.row / SIDE;
    let mut block = Vec::with_capacity(SIDE);
    for row in 0..SIDE {
        let element = |column: usize| -> Option<f64> {
            let at = row_at(row) * samples.row + column_at(column);
            Some(samples.b.get(at)? - samples.a.get(at)?)
        };
        block.push((0..SIDE).map(element).collect::<Option<Vec<f64>>>()?);
    }
    let largest =
        |block: &[Vec<f64>]| block.iter().flatten().fold(0.0f64, |max, value| max.max(value.abs()));
    let scale = largest(&block);
    if scale.is_nan() || scale <= 0.0 || !scale.is_finite() {
        return None;
    }
    // Gauss's elimination with the largest element as pivot, until nothing but rounding is left.
    for rank in 0..=SIDE / 2 {
        if largest(&block) < scale * 2e-4 {
            return Some(rank);
        }
        let places = block.iter().enumerate().flat_map(|(row, values)| {
            values.iter().enumerate().map(move |(column, value)| (row, column, value.abs()))
        });
        let (row, column, _) = places.max_by(|a, b| a.2.total_cmp(&b.2))?;
        let pivot_row = block.swap_remove(row);
        let pivot = *pivot_row.get(column)?;
        for values in &mut block {
            let factor = values.get(column)? / pivot;
            values.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    None
}
