//! The target `hub`: its invariants are listed at [`mgit_fuzz::hub`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::hub(data));
