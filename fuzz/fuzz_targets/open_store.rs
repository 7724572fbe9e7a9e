//! The target `open_store`: its invariants are listed at [`mgit_fuzz::open_store`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::open_store(data));
