//! A base and the product of two factor matrices that are stored as tensors: a merged adapter.

use std::ops::Range;

use super::arithmetic::{settled, singles};
use super::cast::{FloatType, write_singles};
use super::{FormulaError, ROW_BYTES_MAX, wrong};
use crate::codec::cpu::on_cpu;
use crate::tensor::Dtype;

/// The largest rank.
const RANK_MAX: u32 = 1024;

/// Rows of a base plus a factor times the product of two matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    pub(super) of: FloatType,
    /// The type of both matrices.
    pub(super) factors: FloatType,
    /// Elements a row.
    pub(super) columns: u64,
    pub(super) rank: u32,
    pub(super) scale: f32,
}

impl Lora {
    pub(super) fn fits(&self) -> bool {
        let product = self.columns.checked_mul(u64::from(self.rank) * self.factors.bytes() as u64);
        let sized = (1..=RANK_MAX).contains(&self.rank) && self.columns > 0;
        sized && product.is_some_and(|len| len <= ROW_BYTES_MAX)
    }

    pub(super) fn parameters(&self) -> Vec<u8> {
        [&self.columns.to_le_bytes()[..], &self.rank.to_le_bytes(), &self.scale.to_le_bytes()]
            .concat()
    }

    pub(super) fn parse(
        own: &Dtype,
        bases: &[Dtype],
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        let [base, left, right] = bases else { return wrong(format!("{} bases", bases.len())) };
        let (of, factors) = (FloatType::of(own), FloatType::of(left));
        let parts = parameters.split_first_chunk().and_then(|(columns, rest)| {
            let (rank, rest) = rest.split_first_chunk()?;
            let scale = f32::from_le_bytes(rest.try_into().ok()?);
            Some((u64::from_le_bytes(*columns), u32::from_le_bytes(*rank), scale))
        });
        let (Some(of), Some(factors), Some((columns, rank, scale))) = (of, factors, parts) else {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        };
        let lora = Lora { of, factors, columns, rank, scale };
        let single = of != FloatType::F64 && factors != FloatType::F64;
        if own != base || left != right || !single || !lora.fits() {
            return wrong(format!("rank {rank} of {left} on {columns} columns of {base}"));
        }
        Ok(lora)
    }

    /// The range itself; the left matrix's rows of it; the whole right matrix.
    pub(super) fn needs(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let row = self.columns * self.of.bytes() as u64;
        let (first, end) = (range.start / row, range.end.div_ceil(row));
        let left = u64::from(self.rank) * self.factors.bytes() as u64;
        vec![
            range.clone(),
            first.saturating_mul(left)..end.saturating_mul(left),
            0..self.columns * left,
        ]
    }

    pub(super) fn predict(&self, range: &Range<u64>, bases: &[&[u8]], out: &mut [u8]) {
        let [base, left, right] = [0, 1, 2].map(|at| bases.get(at).copied().unwrap_or_default());
        let (columns, rank) = (self.columns as usize, self.rank as usize);
        let start = range.start / self.of.bytes() as u64;
        let count = out.len() / self.of.bytes();
        let mut values = singles(self.of, base, count);
        let mut column = (start % self.columns) as usize;
        let rows = (column + count).div_ceil(columns);
        let left = singles(self.factors, left, rows * rank);
        let right = singles(self.factors, right, rank * columns);
        let mut product = vec![0f32; columns];
        let mut rest = values.as_mut_slice();
        for left in left.chunks(rank) {
            product.fill(0.0);
            for (left, right) in left.iter().zip(right.chunks(columns)) {
                multiply_add(*left, right, &mut product);
            }
            let wanted = product.get(column..).unwrap_or_default();
            let (part, behind) = rest.split_at_mut(wanted.len().min(rest.len()));
            for (value, product) in part.iter_mut().zip(wanted) {
                *value = settled(*value + *product * self.scale);
            }
            (rest, column) = (behind, 0);
        }
        write_singles(self.of, &values, out);
    }
}

/// `sums + left * right`, each with one rounding.
pub(crate) fn multiply_add(left: f32, right: &[f32], sums: &mut [f32]) {
    on_cpu!(_cpu => multiply_add_portable(left, right, sums));
}

#[inline(always)]
fn multiply_add_portable(left: f32, right: &[f32], sums: &mut [f32]) {
    for (sum, right) in sums.iter_mut().zip(right) {
        *sum = left.mul_add(*right, *sum);
    }
}
