//! The target `onnx`: its invariants are listed at [`mgit_fuzz::onnx`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::onnx(data));
