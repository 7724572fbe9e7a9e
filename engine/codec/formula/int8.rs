//! Rows of 8-bit integers made of integers with another scale.

use super::{FormulaError, wrong};

/// A rounded value as an 8-bit integer; a NaN becomes 0.
pub(super) fn integer(value: f32) -> u8 {
    value.round_ties_even().clamp(-128.0, 127.0) as i8 as u8
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
