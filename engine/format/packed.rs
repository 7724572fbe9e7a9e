//! Text that is kept compressed in memory.

use std::fmt;
use std::sync::Arc;

/// Bytes that are compressed together.
const PIECE_LEN: usize = 1 << 16;

/// Bytes that are needed seldom and as a whole, such as the header of a file with a million
/// tensors: kept in compressed pieces, which take a fraction of their length where they repeat
/// themselves. Clones share them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PackedBytes(Arc<Packed>);

#[derive(Default, PartialEq, Eq)]
struct Packed {
    len: usize,
    stored: Vec<u8>,
    /// Where each piece ends in `stored`.
    ends: Vec<usize>,
}

impl PackedBytes {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The bytes, piece by piece, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut start = 0;
        let mut left = self.0.len;
        self.0.ends.iter().map(move |end| {
            let stored = self.0.stored.get(start..*end).unwrap_or_default();
            let len = left.min(PIECE_LEN);
            (start, left) = (*end, left - len);
            if stored.len() == len {
                return stored.to_vec();
            }
            // Written by `from`: it decompresses.
            lz4_flex::block::decompress(stored, len).unwrap_or_default()
        })
    }

    /// All bytes. Cost: decompresses them.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.pieces().for_each(|piece| bytes.extend_from_slice(&piece));
        bytes
    }
}

impl From<&[u8]> for PackedBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut packed = Packed { len: bytes.len(), ..Packed::default() };
        for piece in bytes.chunks(PIECE_LEN) {
            let stored = lz4_flex::block::compress(piece);
            // As it is, where that is no longer: so that the lengths tell the two apart.
            let stored = if stored.len() < piece.len() { &stored } else { piece };
            packed.stored.extend_from_slice(stored);
            packed.ends.push(packed.stored.len());
        }
        packed.stored.shrink_to_fit();
        packed.ends.shrink_to_fit();
        PackedBytes(Arc::new(packed))
    }
}

impl From<Vec<u8>> for PackedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl PartialEq<[u8]> for PackedBytes {
    fn eq(&self, other: &[u8]) -> bool {
        self.len() == other.len()
            && self.pieces().zip(other.chunks(PIECE_LEN)).all(|(piece, other)| piece == other)
    }
}

impl fmt::Debug for PackedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let noise: Vec<u8> = (0..PIECE_LEN + 7).map(|_| noise()).collect();
        for bytes in [&b""[..], b"{}", &noise, &[7; 3 * PIECE_LEN], &noise[..PIECE_LEN]] {
            let packed = PackedBytes::from(bytes);
            assert_eq!((packed.len(), packed.is_empty()), (bytes.len(), bytes.is_empty()));
            assert_eq!(packed.to_vec(), bytes);
            assert!(packed == *bytes && packed == PackedBytes::from(bytes.to_vec()));
        }
        let packed = PackedBytes::from(&b"ab"[..]);
        assert!(packed != *b"ba".as_slice());
        assert!(PackedBytes::from(&[7; 3 * PIECE_LEN][..]).0.stored.len() < PIECE_LEN);
    }
}
