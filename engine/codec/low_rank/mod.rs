//! Children that are their parent plus a product of two thin matrices: a merged low-rank adapter.
//!
//! [`Factors`] are the two matrices of the formula `lora`, with a scale of 1. What is left between
//! its prediction and the child is for a difference coder. [`find`] looks for such factors; it may
//! find none, or some that predict badly, and nothing rests on it.

mod find;
mod linear;

#[cfg(test)]
mod tests;

pub use find::find;

use super::formula::Formula;
use crate::tensor::Dtype;

/// The most columns of `u` and rows of `v`.
pub const RANK_MAX: usize = 64;

/// The matrices `u`, `rows * rank` numbers row by row, and `v`, `rank * cols` numbers row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    rank: usize,
    u: Vec<f32>,
    v: Vec<f32>,
}

impl Factors {
    /// The formula that predicts a child of type `own` from its parent and the two matrices, in
    /// this order; `None` when they are too large for it.
    pub fn formula(&self, own: &Dtype) -> Option<Formula> {
        let columns = self.v.len().checked_div(self.rank).unwrap_or(0) as u64;
        Formula::lora(own, &Dtype::F32, (columns, self.rank as u32), 1.0)
    }

    /// The numbers of `u` and of `v`, little-endian.
    pub fn to_bytes(&self) -> [Vec<u8>; 2] {
        [&self.u, &self.v].map(|side| side.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    /// Columns of `u` and rows of `v`.
    pub fn rank(&self) -> usize {
        self.rank
    }
}
