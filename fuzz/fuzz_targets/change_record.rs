//! The target `change_record`: its invariants are listed at [`mgit_fuzz::change_record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::change_record(data));
