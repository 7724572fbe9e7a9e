//! Steps from a *predicted* child: what fine-tuning did to a matrix is nearly of low rank.
//!
//! The difference of a fine-tuned matrix from its parent is far from noise: a few products of a
//! row factor and a column factor explain a fifth to two thirds of its energy. A chunk carries such
//! factors, as small integers. Parent and factors give a predicted child, and how far that was
//! rounded; the steps from there to the child are coded under contexts of their predicted size, as
//! in [`super::float_delta`], and of the rounding. The cells of both share tables as the encoder
//! finds best.
//!
//! How wide the matrix is nobody says: the encoder finds the distance at which the difference
//! resembles itself ([`columns`]).
//!
//! Steps are counted above a *floor* six octaves below the block's scale: between the parent's
//! sign and the other one there are thousands of floats so small that no child is one of them.
//!
//! The layout, byte for byte, is in `format-spec.md`.

mod columns;
mod decode;
mod encode;
mod factors;
mod fit;
mod model;
mod predict;
mod scales;
mod tables;

#[cfg(test)]
mod tests;

pub(super) use decode::decode;
pub(super) use encode::encode;

/// Predicted sizes that are told apart, in halves of an octave.
const SIZES: usize = 32;
/// Whether a predicted child was rounded by more than a quarter of a step: two ways.
const CELLS: usize = 2 * SIZES;
/// The most products of factors.
const RANK_MAX: usize = 31;
/// The symbol of an element that became zero, with the sign of its parent.
const ZEROED: u8 = 255;
/// The largest difference of scales that a symbol can tell.
const SCALE_JUMP_MAX: i32 = 126;

/// How a chunk lies in a matrix: its first element is in column `phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    width: usize,
    phase: usize,
}

impl Columns {
    /// Rows of which so many elements are part.
    fn rows(self, elements: usize) -> usize {
        (elements + self.phase).div_ceil(self.width)
    }
}
