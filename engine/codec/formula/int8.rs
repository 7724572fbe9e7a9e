//! Rows of 8-bit integers: made of floats, or of integers with another scale.

use std::ops::Range;

use super::cast::{FloatType, with_singles};
use super::{FormulaError, ROW_BYTES_MAX, wrong};
use crate::tensor::Dtype;

/// In which order a value, the row's largest magnitude and 127 are brought together. All steps
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

/// A rounded value as an 8-bit integer; a NaN becomes 0.
fn integer(value: f32) -> u8 {
    value.round_ties_even().clamp(-128.0, 127.0) as i8 as u8
}

/// Rows of floats as 8-bit integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absmax {
    pub(super) from: FloatType,
    /// Elements a row.
    pub(super) columns: u64,
    pub(super) order: AbsmaxOrder,
}

impl Absmax {
    pub(super) fn parameters(&self) -> Vec<u8> {
        [&self.columns.to_le_bytes()[..], &[self.order.code()]].concat()
    }

    pub(super) fn parse(base: &Dtype, parameters: &[u8]) -> Result<Self, FormulaError> {
        let Some(from) = FloatType::of(base) else { return wrong(format!("absmax of {base}")) };
        let Some((columns, &[order])) = parameters.split_first_chunk() else {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        };
        let columns = u64::from_le_bytes(*columns);
        let order = AbsmaxOrder::ALL.into_iter().find(|known| known.code() == order);
        let row = columns.checked_mul(from.bytes() as u64).filter(|len| *len <= ROW_BYTES_MAX);
        match (order, row) {
            (Some(order), Some(1..)) => Ok(Absmax { from, columns, order }),
            _ => wrong(format!("rows of {columns} in order {order:?}")),
        }
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
            let (scale, inverse) = (largest / 127.0, 127.0 / largest);
            let pairs = part.iter_mut().zip(wanted);
            match self.order {
                _ if largest == 0.0 => part.fill(0),
                AbsmaxOrder::Scale => pairs.for_each(|(out, v)| *out = integer(v / scale)),
                AbsmaxOrder::Inverse => pairs.for_each(|(out, v)| *out = integer(v * inverse)),
                AbsmaxOrder::Product => {
                    pairs.for_each(|(out, v)| *out = integer(v * 127.0 / largest));
                }
            }
            (rest, skip) = (behind, 0);
        }
        rest.fill(0);
    }
}

/// Integers of another scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Requantise {
    /// Elements a row.
    columns: u64,
    /// A factor for every row; for rows behind the last, 1.
    factors: Vec<f32>,
}

impl Requantise {
    pub(super) fn fit(columns: u64, base: &[u8], child: &[u8]) -> Option<Self> {
        let width = usize::try_from(columns).ok().filter(|width| *width > 0)?;
        let fit = |(base, child): (&[u8], &[u8])| {
            let (mut both, mut square) = (0i64, 0i64);
            for (base, child) in base.iter().zip(child) {
                let (base, child) = (i64::from(*base as i8), i64::from(*child as i8));
                both += base * child;
                square += base * base;
            }
            if both > 0 { both as f32 / square as f32 } else { 1.0 }
        };
        let factors = base.chunks(width).zip(child.chunks(width)).map(fit).collect();
        Some(Requantise { columns, factors })
    }

    pub(super) fn parameters(&self) -> Vec<u8> {
        let mut bytes = self.columns.to_le_bytes().to_vec();
        self.factors.iter().for_each(|factor| bytes.extend_from_slice(&factor.to_le_bytes()));
        bytes
    }

    pub(super) fn parse(parameters: &[u8]) -> Result<Self, FormulaError> {
        let Some((columns, factors)) = parameters.split_first_chunk() else {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        };
        let columns = u64::from_le_bytes(*columns);
        let (factors, []) = factors.as_chunks::<4>() else { return wrong("part of a factor") };
        if columns == 0 {
            return wrong("rows of no columns");
        }
        let factors = factors.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Requantise { columns, factors })
    }

    pub(super) fn predict(&self, start: u64, base: &[u8], out: &mut [u8]) {
        let (mut at, mut base, mut rest) = (start, base, out);
        while !rest.is_empty() {
            let (row, column) = (at / self.columns, at % self.columns);
            let len = (self.columns - column).min(rest.len() as u64) as usize;
            let factor = usize::try_from(row).ok().and_then(|row| self.factors.get(row));
            let factor = factor.copied().unwrap_or(1.0);
            let (part, behind) = rest.split_at_mut(len);
            let (from, base_behind) = base.split_at(len.min(base.len()));
            let (covered, uncovered) = part.split_at_mut(from.len());
            for (out, base) in covered.iter_mut().zip(from) {
                *out = integer(f32::from(*base as i8) * factor);
            }
            uncovered.fill(0);
            (at, base, rest) = (at + len as u64, base_behind, behind);
        }
    }
}
