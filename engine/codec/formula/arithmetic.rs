//! Sums, means, products and thresholds, element by element.

use super::cast::{FloatType, with_singles, write_singles};
use super::{FormulaError, wrong};
use crate::tensor::Dtype;

/// The one NaN that arithmetic makes: which one a processor would make is its own affair.
pub(in crate::codec) fn settled(value: f32) -> f32 {
    if value.is_nan() { f32::from_bits(0x7fc0_0000) } else { value }
}

/// The type of floats that are reckoned with in single precision, all of the same.
pub(super) fn common_type(own: &Dtype, bases: &[Dtype]) -> Result<FloatType, FormulaError> {
    match FloatType::of(own) {
        Some(FloatType::F64) | None => wrong(format!("arithmetic of {own}")),
        Some(_) if bases.iter().any(|base| base != own) => wrong("bases of another type"),
        Some(of) => Ok(of),
    }
}

/// The first `count` elements of a base; zeros where it is too short.
pub(super) fn singles(of: FloatType, base: &[u8], count: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    with_singles(of, base, |elements| values.extend(elements.take(count)));
    values.resize(count, 0.0);
    values
}

/// Every element times a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    pub(super) of: FloatType,
    pub(super) factor: f32,
}

impl Scale {
    pub(super) fn parse(of: FloatType, parameters: &[u8]) -> Result<Self, FormulaError> {
        let Ok(factor) = parameters.try_into() else { return wrong("not one factor") };
        Ok(Scale { of, factor: f32::from_le_bytes(factor) })
    }

    pub(super) fn predict(&self, base: &[u8], out: &mut [u8]) {
        let mut values = singles(self.of, base, out.len() / self.of.bytes());
        values.iter_mut().for_each(|value| *value = settled(*value * self.factor));
        write_singles(self.of, &values, out);
    }
}

/// Every element whose magnitude is not above a threshold becomes zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    pub(super) of: FloatType,
    /// The bits of the largest magnitude that becomes zero.
    pub(super) threshold: u64,
    /// Whether zeros keep the sign of what they stand for.
    pub(super) signed: bool,
}

impl Prune {
    pub(super) fn parameters(&self) -> Vec<u8> {
        [&self.threshold.to_le_bytes()[..], &[u8::from(self.signed)]].concat()
    }

    pub(super) fn parse(
        own: &Dtype,
        base: &Dtype,
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        let Some(of) = FloatType::of(own).filter(|_| own == base) else {
            return wrong(format!("pruning of {base} to {own}"));
        };
        match parameters.split_first_chunk() {
            Some((threshold, &[signed @ 0..=1])) => {
                let threshold = u64::from_le_bytes(*threshold);
                Ok(Prune { of, threshold, signed: signed == 1 })
            }
            _ => wrong("not a threshold"),
        }
    }

    /// The threshold that makes `child` of `base`, and whether signs are kept: when every element
    /// is either the base's or zero, and some was made zero.
    pub(super) fn fit(of: FloatType, base: &[u8], child: &[u8]) -> Option<Self> {
        let (mut threshold, mut kept, mut signed) = (None, u64::MAX, true);
        let sign = 1u64 << (8 * of.bytes() - 1);
        for (base, child) in base.chunks_exact(of.bytes()).zip(child.chunks_exact(of.bytes())) {
            let (base, child) = (number(base), number(child));
            let magnitude = base & !sign;
            if base == child && magnitude != 0 {
                kept = kept.min(magnitude);
            } else if child & !sign == 0 {
                signed &= child & sign == base & sign;
                threshold = threshold.max(Some(magnitude).filter(|magnitude| *magnitude > 0));
            } else {
                return None;
            }
        }
        threshold.filter(|threshold| *threshold < kept).map(|threshold| Prune {
            of,
            threshold,
            signed,
        })
    }

    pub(super) fn predict(&self, base: &[u8], out: &mut [u8]) {
        let (width, sign) = (self.of.bytes(), 1u64 << (8 * self.of.bytes() - 1));
        let len = base.len().min(out.len());
        let (covered, behind) = out.split_at_mut(len);
        covered.copy_from_slice(base.get(..len).unwrap_or_default());
        behind.fill(0);
        for element in covered.chunks_exact_mut(width) {
            let bits = number(element);
            if bits & !sign <= self.threshold {
                element.fill(0);
                if let (true, Some(last)) = (self.signed && bits & sign != 0, element.last_mut()) {
                    *last = 0x80;
                }
            }
        }
    }
}

/// An element's bits.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// In which order the elements of several bases become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeanOrder {
    /// The sum, from the first base on, divided by their number.
    Quotient,
    /// The sum times the reciprocal of their number.
    Product,
    /// Every element times the reciprocal of their number, then the sum.
    Weighted,
    /// As `Quotient`, in double precision, then rounded to single.
    Double,
}

impl MeanOrder {
    /// Every order.
    pub const ALL: [MeanOrder; 4] =
        [MeanOrder::Quotient, MeanOrder::Product, MeanOrder::Weighted, MeanOrder::Double];

    fn code(self) -> u8 {
        match self {
            MeanOrder::Quotient => 0,
            MeanOrder::Product => 1,
            MeanOrder::Weighted => 2,
            MeanOrder::Double => 3,
        }
    }
}

/// The mean of the elements of several bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mean {
    pub(super) of: FloatType,
    pub(super) count: usize,
    pub(super) order: MeanOrder,
}

impl Mean {
    pub(super) fn parameters(&self) -> Vec<u8> {
        vec![self.order.code()]
    }

    pub(super) fn parse(
        of: FloatType,
        count: usize,
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        let known = |order: &MeanOrder| [order.code()] == *parameters;
        match MeanOrder::ALL.into_iter().find(known) {
            Some(order) if count > 1 => Ok(Mean { of, count, order }),
            _ => wrong(format!("a mean of {count} in order {parameters:?}")),
        }
    }

    pub(super) fn predict(&self, bases: &[&[u8]], out: &mut [u8]) {
        let len = out.len() / self.of.bytes();
        let count = self.count as f32;
        let reciprocal = 1.0 / count;
        if self.order == MeanOrder::Double {
            let mut sums = vec![0f64; len];
            for (at, base) in bases.iter().enumerate() {
                let values = singles(self.of, base, len);
                let add = |(sum, value): (&mut f64, f32)| {
                    *sum = if at == 0 { f64::from(value) } else { *sum + f64::from(value) };
                };
                sums.iter_mut().zip(values).for_each(add);
            }
            let mean = |sum: f64| settled((sum / f64::from(count)) as f32);
            let means: Vec<f32> = sums.into_iter().map(mean).collect();
            return write_singles(self.of, &means, out);
        }
        let mut sums = vec![0f32; len];
        for (at, base) in bases.iter().enumerate() {
            let values = singles(self.of, base, len);
            for (sum, value) in sums.iter_mut().zip(values) {
                let value =
                    if self.order == MeanOrder::Weighted { value * reciprocal } else { value };
                *sum = if at == 0 { value } else { *sum + value };
            }
        }
        for sum in &mut sums {
            *sum = settled(match self.order {
                MeanOrder::Quotient => *sum / count,
                MeanOrder::Product => *sum * reciprocal,
                MeanOrder::Weighted | MeanOrder::Double => *sum,
            });
        }
        write_singles(self.of, &sums, out);
    }
}

/// The first base and the difference of two others: a task vector.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskVector {
    pub(super) of: FloatType,
    pub(super) factor: f32,
}

impl TaskVector {
    pub(super) fn parse(of: FloatType, parameters: &[u8]) -> Result<Self, FormulaError> {
        let Ok(factor) = parameters.try_into() else { return wrong("not one factor") };
        Ok(TaskVector { of, factor: f32::from_le_bytes(factor) })
    }

    pub(super) fn predict(&self, bases: &[&[u8]], out: &mut [u8]) {
        let len = out.len() / self.of.bytes();
        let [a, b, c] =
            [0, 1, 2].map(|at| singles(self.of, bases.get(at).copied().unwrap_or_default(), len));
        let sums = a.iter().zip(&b).zip(&c);
        let sums: Vec<f32> = sums.map(|((a, b), c)| settled(a + self.factor * (b - c))).collect();
        write_singles(self.of, &sums, out);
    }
}
