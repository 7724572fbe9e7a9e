//! Children that are their parent plus a product of two thin matrices: a merged low-rank adapter.
//!
//! [`Factors`] say what is added, to the bit, so that every machine predicts the same child from
//! the parent; what is left between prediction and child is for a difference coder. [`find`] looks
//! for such factors; it may find none, or some that predict badly, and nothing rests on it.

mod find;
mod linear;
mod predict;

#[cfg(test)]
mod tests;

pub use find::find;
pub use predict::predict;

/// The most columns of `u` and rows of `v`.
pub const RANK_MAX: usize = 64;

/// The matrices `u`, `rows * rank` numbers row by row, and `v`, `rank * cols` numbers row by row.
///
/// # What they predict
///
/// For element (`i`, `j`) of the parent, `sum` starts as +0 and becomes, for every `k` from 0 up,
/// the fused multiply-add `u[i, k] * v[k, j] + sum`, rounded once to `f32`. `sum` is added to the
/// parent's element as an `f32`, rounded to `f32`, made the NaN of bits 7fc00000 if it is one, and
/// rounded to the element's type; all roundings are to the nearest, ties to even. That is what the
/// formula `lora` of the file format makes, with a scale of 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    rank: usize,
    u: Vec<f32>,
    v: Vec<f32>,
}

impl Factors {
    /// Factors of a matrix of this shape from the numbers of `u` and `v`, little-endian, one after
    /// the other, as [`to_bytes`](Self::to_bytes) gives them. `None` when `bytes` are not as many
    /// as that takes, the rank is 0 or above [`RANK_MAX`], or a number is not finite.
    pub fn from_bytes(rank: usize, rows: usize, cols: usize, bytes: &[u8]) -> Option<Self> {
        let lens = (rank.checked_mul(rows)?, rank.checked_mul(cols)?);
        let (words, rest) = bytes.as_chunks::<4>();
        let right = rest.is_empty() && words.len() == lens.0.checked_add(lens.1)?;
        if rank == 0 || rank > RANK_MAX || !right {
            return None;
        }
        let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        if !numbers.iter().all(|number| number.is_finite()) {
            return None;
        }
        let (u, v) = numbers.split_at_checked(lens.0)?;
        Some(Factors { rank, u: u.to_vec(), v: v.to_vec() })
    }

    /// The numbers of `u` and then of `v`, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.u.iter().chain(&self.v).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Columns of `u` and rows of `v`.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Columns of the matrix.
    fn cols(&self) -> usize {
        self.v.len().checked_div(self.rank).unwrap_or(0)
    }
}
