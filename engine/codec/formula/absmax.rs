//! Rows of floats as numbers of eight bits: their largest magnitude becomes the type's largest.

use std::ops::Range;

use super::cast::{FloatType, with_singles};
use super::int8::integer;
use super::{ABSMAX_F8_CODE, ABSMAX_INT8_CODE, FormulaError, ROW_BYTES_MAX, wrong};
use crate::tensor::{Dtype, e4m3_bits};

/// In which order a value, the row's largest magnitude and the largest number of the type, 127 or
/// 448, are brought together. All steps
/// are in single precision, each rounded to nearest, ties to even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbsmaxOrder {
    /// value / (largest / 127)
    Scale,
    /// value * (127 / largest)
    Inverse,
    /// (value * 127) / largest
    Product,
}

impl AbsmaxOrder {
    /// Every order.
    pub const ALL: [AbsmaxOrder; 3] =
        [AbsmaxOrder::Scale, AbsmaxOrder::Inverse, AbsmaxOrder::Product];

    fn code(self) -> u8 {
        match self {
            AbsmaxOrder::Scale => 0,
            AbsmaxOrder::Inverse => 1,
            AbsmaxOrder::Product => 2,
        }
    }
}

/// What rows become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eight {
    /// I8, from -127 to 127.
    Integer,
    /// F8_E4M3, from -448 to 448.
    Float,
}

impl Eight {
    fn of(dtype: &Dtype) -> Option<Self> {
        match dtype {
            Dtype::I8 => Some(Eight::Integer),
            Dtype::F8E4M3 => Some(Eight::Float),
            _ => None,
        }
    }

    /// The largest magnitude.
    fn largest(self) -> f32 {
        match self {
            Eight::Integer => 127.0,
            Eight::Float => 448.0,
        }
    }

    /// The nearest number of the type.
    fn bits(self, value: f32) -> u8 {
        match self {
            Eight::Integer => integer(value),
            Eight::Float => e4m3_bits(value),
        }
    }
}

/// Rows of floats as integers or floats of eight bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absmax {
    from: FloatType,
    to: Eight,
    /// Elements a row.
    columns: u64,
    order: AbsmaxOrder,
}

impl Absmax {
    pub(super) fn new(from: &Dtype, to: &Dtype, columns: u64, order: AbsmaxOrder) -> Option<Self> {
        let (from, to) = (FloatType::of(from)?, Eight::of(to)?);
        let row = columns.checked_mul(from.bytes() as u64)?;
        (1..=ROW_BYTES_MAX).contains(&row).then_some(Absmax { from, to, columns, order })
    }

    pub(super) fn code(&self) -> u8 {
        match self.to {
            Eight::Integer => ABSMAX_INT8_CODE,
            Eight::Float => ABSMAX_F8_CODE,
        }
    }

    pub(super) fn parameters(&self) -> Vec<u8> {
        [&self.columns.to_le_bytes()[..], &[self.order.code()]].concat()
    }

    pub(super) fn parse(
        own: &Dtype,
        base: &Dtype,
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        let Some((columns, &[order])) = parameters.split_first_chunk() else {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        };
        let columns = u64::from_le_bytes(*columns);
        let known = AbsmaxOrder::ALL.into_iter().find(|known| known.code() == order);
        let absmax = known.and_then(|order| Absmax::new(base, own, columns, order));
        let what = || format!("rows of {columns} of {base} as {own} in order {order}");
        absmax.ok_or_else(|| FormulaError(what()))
    }

    /// Whole rows of the base.
    pub(super) fn needs(&self, range: &Range<u64>) -> Range<u64> {
        let row = self.columns * self.from.bytes() as u64;
        let (first, end) = (range.start / self.columns, range.end.div_ceil(self.columns));
        first.saturating_mul(row)..end.saturating_mul(row)
    }

    pub(super) fn predict(&self, range: &Range<u64>, base: &[u8], out: &mut [u8]) {
        let columns = self.columns as usize;
        let mut skip = (range.start % self.columns) as usize;
        let (mut rest, mut singles) = (out, Vec::with_capacity(columns));
        for row in base.chunks(columns * self.from.bytes()) {
            singles.clear();
            with_singles(self.from, row, |values| singles.extend(values));
            let largest = singles.iter().fold(0.0f32, |largest, value| {
                let magnitude = value.abs();
                if magnitude > largest { magnitude } else { largest }
            });
            let wanted = singles.get(skip..).unwrap_or_default();
            let (part, behind) = rest.split_at_mut(wanted.len().min(rest.len()));
            let most = self.to.largest();
            let (scale, inverse) = (largest / most, most / largest);
            let make = |part: &mut [u8], made: &dyn Fn(f32) -> f32| {
                let pairs = part.iter_mut().zip(wanted);
                pairs.for_each(|(out, value)| *out = self.to.bits(made(*value)));
            };
            match self.order {
                _ if largest == 0.0 => make(part, &|value| value),
                AbsmaxOrder::Scale => make(part, &|value| value / scale),
                AbsmaxOrder::Inverse => make(part, &|value| value * inverse),
                AbsmaxOrder::Product => make(part, &|value| value * most / largest),
            }
            (rest, skip) = (behind, 0);
        }
        rest.fill(0);
    }
}
