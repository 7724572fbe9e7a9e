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

/// zstd at level 19 on the XOR of child and parent: what needs no knowledge of floats.
pub struct XorZstd(super::Zstd, Vec<u8>);

impl XorZstd {
    pub fn new() -> Self {
        XorZstd(super::Zstd::new(19), Vec::new())
    }
}

impl Method for XorZstd {
    fn encode(&mut self, _: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        self.1.clear();
        self.1.extend(child.iter().zip(base).map(|(child, base)| child ^ base));
        self.0.encode(&self.1, out);
    }

    fn decode(&mut self, _: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        self.0.decode(stored, out);
        out.iter_mut().zip(base).for_each(|(out, base)| *out ^= base);
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
