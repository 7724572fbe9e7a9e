//! The target `record_header`: its invariants are listed at [`mgit_fuzz::record_header`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::record_header(data));
