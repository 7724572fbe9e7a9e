//! The target `superblock`: its invariants are listed at [`mgit_fuzz::superblock`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mgit_fuzz::superblock(data));
