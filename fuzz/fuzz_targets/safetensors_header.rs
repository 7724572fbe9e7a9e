//! The target `safetensors_header`: its invariants are listed at [`mgit_fuzz::safetensors_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::safetensors_header(data));
