//! The target `operations`: its invariants are listed at [`mgit_fuzz::operations`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::operations(data));
