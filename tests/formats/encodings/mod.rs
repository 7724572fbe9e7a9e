//! What encodings write is what the page says, and short.

mod alone;
mod entropy;
mod ordered;
mod stepped;
