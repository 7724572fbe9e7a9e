//! The bytes: the store's own format, held against its page and against a second reader, and the
//! formats of others.

#[path = "../common/mod.rs"]
mod common;
mod compat;
mod door;
mod eight_bits;
mod encodings;
mod file_models;
mod gguf;
mod hostile;
mod interchange;
mod layout_reads;
mod layouts;
mod numpy;
mod onnx;
mod pytorch;
mod same_weights;
#[path = "../second/mod.rs"]
mod second;
mod second_reader;
mod source;
mod spec;
mod zip_writer;
