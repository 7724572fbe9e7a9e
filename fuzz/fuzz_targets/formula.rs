//! The target `formula`: its invariants are listed at [`mgit_fuzz::formula`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::formula(data));
