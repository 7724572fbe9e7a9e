//! The target `codec_decode`: its invariants are listed at [`mgit_fuzz::codec_decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::codec_decode(data));
