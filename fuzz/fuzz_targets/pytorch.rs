//! The target `pytorch`: its invariants are listed at [`mgit_fuzz::pytorch`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::pytorch(data));
