//! The target `salvage`: its invariants are listed at [`mgit_fuzz::salvage`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::salvage(data));
