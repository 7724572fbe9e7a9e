use std::io::{Read, Write};

use super::{Kind, Method};

/// zstd at level 19 on the child's bytes, without the parent.
pub struct Zstd(super::Zstd);

impl Zstd {
    pub fn new() -> Self {
        Zstd(super::Zstd::new(19))
    }
}

impl Method for Zstd {
    fn encode(&mut self, _: Kind, child: &[u8], _: &[u8], out: &mut Vec<u8>) {
        self.0.encode(child, out);
    }

    fn decode(&mut self, _: Kind, stored: &[u8], _: &[u8], out: &mut [u8]) {
        self.0.decode(stored, out);
    }
}

/// LZMA at its usual level on the child's bytes, without the parent.
pub struct Lzma;

impl Method for Lzma {
    fn encode(&mut self, _: Kind, child: &[u8], _: &[u8], out: &mut Vec<u8>) {
        let mut encoder = liblzma::write::XzEncoder::new(out, 6);
        encoder.write_all(child).expect("memory");
        encoder.finish().expect("memory");
    }

    fn decode(&mut self, _: Kind, stored: &[u8], _: &[u8], out: &mut [u8]) {
        liblzma::read::XzDecoder::new(stored).read_exact(out).expect("a stream");
    }
}
