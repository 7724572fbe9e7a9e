//! Elements that one factor has shrunk again and again: an optimizer's moments of what had no
//! gradient.

use super::cast::{FloatType, rounded, write_singles};
use super::{Formula, FormulaError, wrong};
use crate::codec::cpu::on_cpu;
use crate::codec::formula::arithmetic::{settled, singles};
use crate::tensor::Dtype;

/// The most times: bounds the work of a read.
const TIMES_MAX: u16 = 1 << 10;

/// Elements that are worked on together.
const PIECE: usize = 1 << 12;

/// How an element becomes the next. Each result is rounded to the content's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `x * factor`
    Product,
    /// `x - factor * x`, the product not rounded.
    Fused,
    /// `x - factor * x`, the product rounded.
    Difference,
}

impl Way {
    const ALL: [Way; 3] = [Way::Product, Way::Fused, Way::Difference];

    fn code(self) -> u8 {
        match self {
            Way::Product => 0,
            Way::Fused => 1,
            Way::Difference => 2,
        }
    }

    #[inline(always)]
    fn next(self, value: f32, factor: f32) -> f32 {
        match self {
            Way::Product => value * factor,
            Way::Fused => (-factor).mul_add(value, value),
            Way::Difference => value - factor * value,
        }
    }
}

/// Every element shrunk so many times.
#[derive(Clone, Debug, PartialEq)]
pub struct Decay {
    of: FloatType,
    factor: f32,
    times: u16,
    way: Way,
}

impl Decay {
    pub(super) fn parameters(&self) -> Vec<u8> {
        let (factor, times) = (self.factor.to_le_bytes(), self.times.to_le_bytes());
        [&factor[..], &times, &[self.way.code()]].concat()
    }

    pub(super) fn parse(of: FloatType, parameters: &[u8]) -> Result<Self, FormulaError> {
        let &[a, b, c, d, low, high, way] = parameters else {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        };
        let (factor, times) = (f32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
        match Way::ALL.into_iter().find(|known| known.code() == way) {
            Some(way) if (1..=TIMES_MAX).contains(&times) => Ok(Decay { of, factor, times, way }),
            _ => wrong(format!("{times} times in way {way}")),
        }
    }

    pub(super) fn predict(&self, base: &[u8], out: &mut [u8]) {
        let mut values = singles(self.of, base, out.len() / self.of.bytes());
        for piece in values.chunks_mut(PIECE) {
            on_cpu!(_cpu => self.shrink(piece));
        }
        write_singles(self.of, &values, out);
    }

    #[inline(always)]
    fn shrink(&self, values: &mut [f32]) {
        match self.way {
            Way::Product => {
                self.shrink_by(values, |value, factor| Way::Product.next(value, factor))
            }
            Way::Fused => self.shrink_by(values, |value, factor| Way::Fused.next(value, factor)),
            Way::Difference => {
                self.shrink_by(values, |value, factor| Way::Difference.next(value, factor));
            }
        }
        values.iter_mut().for_each(|value| *value = settled(*value));
    }

    #[inline(always)]
    fn shrink_by(&self, values: &mut [f32], next: impl Fn(f32, f32) -> f32) {
        for _ in 0..self.times {
            match self.of {
                FloatType::F32 => {
                    values.iter_mut().for_each(|value| *value = next(*value, self.factor));
                }
                of => values
                    .iter_mut()
                    .for_each(|value| *value = rounded(of, next(*value, self.factor))),
            }
        }
    }
}

/// So many elements that shrank alike are enough.
const ALIKE: usize = 48;
/// Of so many looked at, one at least.
const ALIKE_SHARE: usize = 32;
/// So many elements are looked at first: nearly all tensors are something else. Fewer of them need
/// be alike.
const FIRST_LOOK: usize = 512;
const FIRST_ALIKE: usize = 8;
/// How near quotients are that one factor made, in single precision.
const NEAR: f64 = 4e-6;

/// The quotient that most of some elements have to their bases', if many have one, and places of
/// those elements.
fn common_quotient(
    base: &[f32],
    child: &[f32],
    near: f64,
    least: usize,
) -> Option<(f64, Vec<usize>)> {
    let quotient = |at: usize| {
        let (base, child) = (f64::from(*base.get(at)?), f64::from(*child.get(at)?));
        // Numbers that are nearly nothing have lost bits.
        let counts = child.abs() > f64::from(f32::MIN_POSITIVE) * 1e3;
        // What hardly changed has not shrunk.
        let shrank = |quotient: f64| quotient > 0.0 && quotient < 1.0 - near;
        Some((child / base, at)).filter(|(quotient, _)| counts && shrank(*quotient))
    };
    let mut found: Vec<(f64, usize)> = (0..child.len()).filter_map(quotient).collect();
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut best, mut end) = (0..0, 0);
    for (start, (low, _)) in found.iter().enumerate() {
        while found.get(end).is_some_and(|(high, _)| *high <= low * (1.0 + near)) {
            end += 1;
        }
        if end - start > best.len() {
            best = start..end;
        }
    }
    let alike = found.get(best)?;
    let enough = alike.len() >= least.max(child.len() / ALIKE_SHARE);
    let (middle, _) = alike.get(alike.len() / 2)?;
    enough.then(|| (*middle, alike.iter().map(|(_, at)| *at).collect()))
}

/// Quotients are so near to the smallest one of most, in more than one of so many elements, where
/// what shrank has also grown a little.
const EDGE: f64 = 1.0 / 512.0;
const EDGE_SHARE: usize = 8;

/// The smallest quotient, but for a few, that elements without a sign have to their bases', if many
/// are near it: second moments of what had next to no gradient.
fn lower_edge(base: &[f32], child: &[f32]) -> Option<f32> {
    let pairs = base.iter().zip(child).filter(|(base, _)| **base != 0.0);
    let mut found = Vec::with_capacity(child.len());
    for (base, child) in pairs {
        if *base < 0.0 || *child < 0.0 {
            return None;
        }
        found.push(child / base);
    }
    found.sort_unstable_by(f32::total_cmp);
    let low = *found.get(found.len() / 256)?;
    let end =
        found.partition_point(|quotient| f64::from(*quotient) <= f64::from(low) * (1.0 + EDGE));
    let is_factor = low > 0.0 && low < 1.0 && found.len() >= ALIKE;
    (is_factor && end * EDGE_SHARE >= found.len()).then_some(low)
}

impl Formula {
    /// The factor that many elements of `child` have been shrunk by from those of `base`, and how
    /// often: parts of a tensor and of its base, of which one at least shows it; most of those elements
    /// are then made exactly. Or the factor that elements without a sign have been shrunk by before
    /// something was added.
    pub(crate) fn guess_decay(dtype: &Dtype, base: &[u8], child: &[u8]) -> Option<Self> {
        let of = FloatType::of(dtype).filter(|of| *of != FloatType::F64)?;
        let near = match of {
            FloatType::F32 => NEAR,
            FloatType::F16 => 1.0 / 1024.0,
            _ => 1.0 / 128.0,
        };
        let count = child.len() / of.bytes();
        let (from, to) = (singles(of, base, count), singles(of, child, count));
        let step = (count / FIRST_LOOK).max(1);
        let some = |of: &[f32]| -> Vec<f32> { of.iter().step_by(step).copied().collect() };
        let (some_from, some_to) = (some(&from), some(&to));
        if common_quotient(&some_from, &some_to, near, FIRST_ALIKE).is_none() {
            lower_edge(&some_from, &some_to)?;
        }
        let Some((quotient, alike)) = common_quotient(&from, &to, near, ALIKE) else {
            let factor = lower_edge(&from, &to)?;
            return Some(Formula::Decay(Decay { of, factor, times: 1, way: Way::Product }));
        };
        // A few of them tell.
        let some = alike.iter().step_by((alike.len() / 256).max(1)).copied();
        let some: Vec<(f32, f32)> =
            some.filter_map(|at| Some((*from.get(at)?, *to.get(at)?))).collect();
        let mut best: Option<(usize, Decay)> = None;
        for (kept, times) in repeated(quotient, near) {
            let ways = [(Way::Product, kept as f32), (Way::Fused, (1.0 - kept) as f32)];
            let unfused = (Way::Difference, (1.0 - kept) as f32);
            for (way, factor) in ways.into_iter().chain([unfused]) {
                let decay = Decay { of, factor, times, way };
                let made = |from: f32| {
                    (0..times).fold(from, |value, _| rounded(of, way.next(value, factor)))
                };
                let right = some.iter().filter(|(from, to)| made(*from) == *to).count();
                if best.as_ref().is_none_or(|(most, _)| right > *most) {
                    best = Some((right, decay));
                }
            }
        }
        best.filter(|(right, _)| right * 2 > some.len()).map(|(_, decay)| Formula::Decay(decay))
    }
}

/// Factors that a person may have chosen, each with how often it makes about `quotient`.
fn repeated(quotient: f64, near: f64) -> impl Iterator<Item = (f64, u16)> {
    // Of coarse numbers more factors would come near than can be told apart.
    let coarse = near > 1e-4;
    let most = if coarse { 128 } else { TIMES_MAX };
    (1..=most).filter_map(move |times| {
        let root = (quotient.ln() / f64::from(times)).exp();
        let unit = match root {
            _ if coarse => 100.0,
            _ if root > 0.999 => 1e5,
            _ => 1e4,
        };
        let kept = (root * unit).round() / unit;
        let made = (kept.ln() * f64::from(times)).exp();
        let is_near = kept < 1.0 && (made / quotient - 1.0).abs() < near;
        is_near.then_some((kept, times))
    })
}
