//! The target `numpy`: its invariants are listed at [`mgit_fuzz::numpy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::numpy(data));
