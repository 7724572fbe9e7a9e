//! The target `pickle`: its invariants are listed at [`mgit_fuzz::pickle`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::pickle(data));
