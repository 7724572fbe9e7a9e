use super::{Kind, Method, huffman, planes};

/// ZipNN without a parent: the sign moved to the end, so that the exponent is a byte of its own,
/// byte groups, and a Huffman code for each group of each chunk that gets shorter by it.
#[derive(Default)]
pub struct ZipNn {
    moved: Vec<u8>,
    groups: Vec<u8>,
    zeros: Vec<u8>,
}

/// Set in a group's length where it has a Huffman code.
const CODED: u32 = 1 << 31;

impl Method for ZipNn {
    fn encode(&mut self, kind: Kind, child: &[u8], _: &[u8], out: &mut Vec<u8>) {
        self.resize(child.len());
        let moved = &mut self.moved[..];
        planes::wide(|| match kind {
            Kind::F32 => turn_32(child, moved, 1),
            Kind::F16 | Kind::Bf16 => turn_16(child, moved, 1),
        });
        planes::xor_split(kind.bytes(), moved, &self.zeros, &mut self.groups);
        for group in self.groups.chunks(child.len() / kind.bytes()) {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            let coded = huffman::encode(group, out);
            if !coded {
                out.extend_from_slice(group);
            }
            let len = (out.len() - start - 4) as u32 | if coded { CODED } else { 0 };
            out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        }
    }

    fn decode(&mut self, kind: Kind, mut stored: &[u8], _: &[u8], out: &mut [u8]) {
        self.resize(out.len());
        for group in self.groups.chunks_mut(out.len() / kind.bytes()) {
            let (len, rest) = stored.split_first_chunk().expect("a length");
            let len = u32::from_le_bytes(*len);
            let (bytes, rest) = rest.split_at((len & !CODED) as usize);
            stored = rest;
            if len & CODED != 0 {
                huffman::decode(bytes, group);
            } else {
                group.copy_from_slice(bytes);
            }
        }
        planes::join_xor(kind.bytes(), &self.groups, &self.zeros, &mut self.moved);
        planes::wide(|| match kind {
            Kind::F32 => turn_32(&self.moved, out, 31),
            Kind::F16 | Kind::Bf16 => turn_16(&self.moved, out, 15),
        });
    }
}

impl ZipNn {
    fn resize(&mut self, len: usize) {
        for scratch in [&mut self.moved, &mut self.groups, &mut self.zeros] {
            scratch.resize(len, 0);
        }
    }
}

#[inline(always)]
fn turn_32(from: &[u8], to: &mut [u8], by: u32) {
    for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
        *to = u32::from_le_bytes(*from).rotate_left(by).to_le_bytes();
    }
}

#[inline(always)]
fn turn_16(from: &[u8], to: &mut [u8], by: u32) {
    for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
        *to = u16::from_le_bytes(*from).rotate_left(by).to_le_bytes();
    }
}
