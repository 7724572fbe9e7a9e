//! The target `codec_roundtrip`: its invariants are listed at [`mgit_fuzz::codec_roundtrip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::codec_roundtrip(data));
