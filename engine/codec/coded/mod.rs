//! What the coders without a table of their own share: numbers of every type, frequency tables
//! that are told coarsely, floats as symbols and open bits, and the parts of an encoded chunk.

pub(super) mod floats;
pub(super) mod number;
pub(super) mod parts;
pub(super) mod tables;

/// Elements of a block.
pub(super) const BLOCK_LEN: usize = 128;
