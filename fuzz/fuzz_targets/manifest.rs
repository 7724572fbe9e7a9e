//! The target `manifest`: its invariants are listed at [`mgit_fuzz::manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::manifest(data));
