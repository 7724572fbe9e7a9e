use super::planes::wide;
use super::{Kind, Method, Zstd};

/// BitX: XOR with the parent, the exponents' bits in one stream, sign and mantissa in another,
/// each under zstd at level 3.
pub struct BitX {
    zstd: Zstd,
    exponents: Vec<u8>,
    rest: Vec<u8>,
}

impl BitX {
    pub fn new() -> Self {
        BitX { zstd: Zstd::new(3), exponents: Vec::new(), rest: Vec::new() }
    }

    fn resize(&mut self, kind: Kind, bytes: usize) {
        let count = bytes / kind.bytes();
        self.exponents.resize(count, 0);
        self.rest.resize(count * rest_bytes(kind), 0);
    }
}

/// Bytes of sign and mantissa in the second stream.
fn rest_bytes(kind: Kind) -> usize {
    match kind {
        Kind::F32 => 3,
        Kind::F16 => 2,
        Kind::Bf16 => 1,
    }
}

impl Method for BitX {
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        assert_eq!(child.len(), base.len());
        self.resize(kind, child.len());
        let (exponents, rest) = (&mut self.exponents[..], &mut self.rest[..]);
        match kind {
            Kind::F32 => wide(|| split_f32(child, base, exponents, rest)),
            Kind::F16 => wide(|| split_f16(child, base, exponents, rest)),
            Kind::Bf16 => wide(|| split_bf16(child, base, exponents, rest)),
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        self.zstd.encode(&self.exponents, out);
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.zstd.encode(&self.rest, out);
    }

    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        assert_eq!(out.len(), base.len());
        self.resize(kind, out.len());
        let (len, stored) = stored.split_first_chunk().expect("a length");
        let (exponents, rest) = stored.split_at(u32::from_le_bytes(*len) as usize);
        self.zstd.decode(exponents, &mut self.exponents);
        self.zstd.decode(rest, &mut self.rest);
        let (exponents, rest) = (&self.exponents[..], &self.rest[..]);
        match kind {
            Kind::F32 => wide(|| join_f32(exponents, rest, base, out)),
            Kind::F16 => wide(|| join_f16(exponents, rest, base, out)),
            Kind::Bf16 => wide(|| join_bf16(exponents, rest, base, out)),
        }
    }
}

#[inline(always)]
fn xor_32(a: &[u8; 4], b: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*a) ^ u32::from_le_bytes(*b)
}

#[inline(always)]
fn xor_16(a: &[u8; 2], b: &[u8; 2]) -> u16 {
    u16::from_le_bytes(*a) ^ u16::from_le_bytes(*b)
}

#[inline(always)]
fn split_f32(child: &[u8], base: &[u8], exponents: &mut [u8], rest: &mut [u8]) {
    let xor = child.as_chunks().0.iter().zip(base.as_chunks().0);
    let places = exponents.iter_mut().zip(rest.as_chunks_mut::<3>().0);
    for ((child, base), (exponent, rest)) in xor.zip(places) {
        let bits = xor_32(child, base);
        *exponent = (bits >> 23) as u8;
        let low = bits & 0x7f_ffff | bits >> 31 << 23;
        *rest = [low as u8, (low >> 8) as u8, (low >> 16) as u8];
    }
}

#[inline(always)]
fn join_f32(exponents: &[u8], rest: &[u8], base: &[u8], out: &mut [u8]) {
    let streams = exponents.iter().zip(rest.as_chunks::<3>().0);
    let places = out.as_chunks_mut::<4>().0.iter_mut().zip(base.as_chunks::<4>().0);
    for ((exponent, rest), (out, base)) in streams.zip(places) {
        let low = u32::from_le_bytes([rest[0], rest[1], rest[2], 0]);
        let bits = low >> 23 << 31 | u32::from(*exponent) << 23 | low & 0x7f_ffff;
        *out = (bits ^ u32::from_le_bytes(*base)).to_le_bytes();
    }
}

#[inline(always)]
fn split_f16(child: &[u8], base: &[u8], exponents: &mut [u8], rest: &mut [u8]) {
    let xor = child.as_chunks().0.iter().zip(base.as_chunks().0);
    let places = exponents.iter_mut().zip(rest.as_chunks_mut::<2>().0);
    for ((child, base), (exponent, rest)) in xor.zip(places) {
        let bits = xor_16(child, base);
        *exponent = (bits >> 10) as u8 & 0x1f;
        *rest = (bits & 0x3ff | bits >> 15 << 10).to_le_bytes();
    }
}

#[inline(always)]
fn join_f16(exponents: &[u8], rest: &[u8], base: &[u8], out: &mut [u8]) {
    let streams = exponents.iter().zip(rest.as_chunks::<2>().0);
    let places = out.as_chunks_mut::<2>().0.iter_mut().zip(base.as_chunks::<2>().0);
    for ((exponent, rest), (out, base)) in streams.zip(places) {
        let low = u16::from_le_bytes(*rest);
        let bits = low >> 10 << 15 | u16::from(*exponent) << 10 | low & 0x3ff;
        *out = (bits ^ u16::from_le_bytes(*base)).to_le_bytes();
    }
}

#[inline(always)]
fn split_bf16(child: &[u8], base: &[u8], exponents: &mut [u8], rest: &mut [u8]) {
    let xor = child.as_chunks().0.iter().zip(base.as_chunks().0);
    for ((child, base), (exponent, rest)) in xor.zip(exponents.iter_mut().zip(rest)) {
        let bits = xor_16(child, base);
        *exponent = (bits >> 7) as u8;
        *rest = (bits & 0x7f | bits >> 15 << 7) as u8;
    }
}

#[inline(always)]
fn join_bf16(exponents: &[u8], rest: &[u8], base: &[u8], out: &mut [u8]) {
    let places = out.as_chunks_mut::<2>().0.iter_mut().zip(base.as_chunks::<2>().0);
    for ((exponent, rest), (out, base)) in exponents.iter().zip(rest).zip(places) {
        let low = u16::from(*rest);
        let bits = low >> 7 << 15 | u16::from(*exponent) << 7 | low & 0x7f;
        *out = (bits ^ u16::from_le_bytes(*base)).to_le_bytes();
    }
}
