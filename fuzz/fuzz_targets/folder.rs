//! The target `folder`: its invariants are listed at [`mgit_fuzz::folder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::folder(data));
