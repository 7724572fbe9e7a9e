//! The bytes: the store's own format, held against its page and against a second reader, and the
//! formats of others.

#[path = "../common/mod.rs"]
mod common;
mod compat;
mod eight_bits;
mod encodings;
mod hostile;
mod interchange;
mod onnx;
#[path = "../second/mod.rs"]
mod second;
mod second_reader;
mod spec;
