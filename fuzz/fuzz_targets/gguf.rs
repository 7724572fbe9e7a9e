//! The target `gguf`: its invariants are listed at [`mgit_fuzz::gguf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::gguf(data));
