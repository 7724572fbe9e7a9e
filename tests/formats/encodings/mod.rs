//! What encodings write is what the page says, and short.

mod entropy;
mod factor_delta;
mod float_delta;
mod int_delta;
mod sparse;
mod sparse_delta;
