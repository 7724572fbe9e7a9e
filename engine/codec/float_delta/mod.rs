//! The conditioned difference of floats: what this project exists for.
//!
//! A float is read as a number that sorts as the floats do; a child's element is so many steps
//! away from its parent's. How many is predicted by what the decoder knows: an optimiser moves
//! all weights of a neighbourhood about equally far, so a block of 128 elements gets one *scale*
//! (a binary logarithm, in halves), and the parent's exponent tells how many steps that is. Steps
//! are coded as symbols of a small alphabet under contexts of that predicted size.
//!
//! Blocks that did not change cost a fraction of a bit. Blocks in which the child is a function
//! of the parent (weights that only decayed) are coded against a table that gives the step for
//! the highest bits of the parent's mantissa, which the encoder reads off the majority.
//!
//! There are two versions, which differ in how finely frequencies are told. The second is written,
//! both are read. The layout, byte for byte, is in `format-spec.md`.

pub(super) mod bits;
mod block;
#[cfg(target_arch = "x86_64")]
mod block_avx2;
#[cfg(target_arch = "x86_64")]
mod block_avx512;
mod block_portable;
mod decode;
mod elements;
mod encode;
#[cfg(target_arch = "x86_64")]
mod encode_avx2;
#[cfg(target_arch = "x86_64")]
mod encode_avx512;
mod encode_wide;
mod floats;
pub(super) mod frequencies;
mod function;
mod model;
mod open;
mod pairs;
pub(super) mod rans;
mod refine;
mod short;
mod steps;
mod streams;
pub(super) mod symbols;

pub(super) use decode::{decode, gives};
pub(super) use encode::encode;
#[cfg(test)]
pub(super) use encode::encode_first;
pub(super) use floats::FloatLayout;
pub(super) use refine::log2;
pub(super) use steps::{Steps, load, store};

/// How finely a chunk's frequencies are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// They sum to 2^12.
    First,
    /// They sum to 2^10: what is written.
    Second,
}

/// Elements of a block.
const BLOCK_LEN: usize = 128;
/// The symbol of an element whose magnitude became zero and whose sign stayed.
const ZEROED: u8 = 255;
/// Chunks of at least this many elements are coded by 32 interleaved states, shorter ones by 4.
pub(super) const WIDE_FROM: usize = 1 << 14;
/// Interleaved states of long chunks.
pub(super) const WIDE_LANES: usize = 32;
/// Interleaved states of short chunks.
pub(super) const NARROW_LANES: usize = 4;
/// Bytes before the model: the lengths of model, class stream and step stream.
const HEAD_LEN: usize = 12;
