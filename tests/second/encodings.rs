//! How chunks are encoded. A new encoding of the page is a new line of [`ENCODINGS`].

use super::{entropy, factor_delta, float_delta, int_delta, rice_delta, sparse_delta};

/// A stored chunk, and what it is decoded with.
pub struct Stored<'a> {
    pub bytes: &'a [u8],
    /// The same range of the base's content.
    pub base: Option<&'a [u8]>,
    /// The code of the record's element type.
    pub dtype: u8,
    /// Length of the decoded chunk.
    pub len: usize,
}

impl Stored<'_> {
    fn base(&self) -> &[u8] {
        self.base.expect("an encoding with a base")
    }
}

type Decode = fn(&Stored<'_>) -> Vec<u8>;

/// Every encoding by its code.
pub const ENCODINGS: [(u64, Decode); 11] = [
    (0, |chunk| chunk.bytes.to_vec()),
    (1, |chunk| chunk.base().to_vec()),
    (2, |chunk| lz4(chunk.bytes)),
    (3, xor_lz4),
    (4, |chunk| by_steps(float_delta::TOTAL_1, chunk)),
    (5, |chunk| {
        let (bytes, mantissa_bits) = float(chunk.dtype);
        rice_delta::decode(rice_delta::Float { bytes, mantissa_bits }, chunk.bytes, chunk.base())
    }),
    (6, |chunk| {
        let (bytes, mantissa_bits) = match chunk.dtype {
            14 => (2, 10),
            15 => (2, 7),
            18 | 19 => (4, 23),
            20 => (8, 52),
            other => {
                assert_eq!(lane(other), 1, "element type {other}");
                (1, 0)
            }
        };
        entropy::decode(bytes, mantissa_bits, chunk.bytes, chunk.len)
    }),
    (7, |chunk| {
        let mantissa_bits = match chunk.dtype {
            7 | 11 => Some(2),
            8 | 10 => Some(3),
            14 => Some(10),
            15 => Some(7),
            18 | 19 => Some(23),
            20 => Some(52),
            _ => None,
        };
        let of = int_delta::Type { bytes: lane(chunk.dtype), mantissa_bits };
        int_delta::decode(of, chunk.bytes, chunk.base())
    }),
    (8, |chunk| {
        let (bytes, mantissa_bits) = float(chunk.dtype);
        let of = factor_delta::Float { bytes, mantissa_bits };
        factor_delta::decode(of, chunk.bytes, chunk.base())
    }),
    (9, |chunk| {
        let (bytes, mantissa_bits) = float(chunk.dtype);
        let of = float_delta::Float { bytes, mantissa_bits };
        sparse_delta::decode(of, chunk.bytes, chunk.base())
    }),
    (10, |chunk| by_steps(float_delta::TOTAL_2, chunk)),
];

fn by_steps(total: u64, chunk: &Stored<'_>) -> Vec<u8> {
    let (bytes, mantissa_bits) = float(chunk.dtype);
    let of = float_delta::Float { bytes, mantissa_bits };
    float_delta::decode(of, total, chunk.bytes, chunk.base())
}

/// Bytes and mantissa bits of the floats that have encodings of their own.
fn float(dtype: u8) -> (usize, u32) {
    match dtype {
        14 => (2, 10),
        15 => (2, 7),
        18 | 19 => (4, 23),
        other => panic!("element type {other}"),
    }
}

/// Width of the numbers that an encoding looks at.
fn lane(dtype: u8) -> usize {
    match dtype {
        0..=11 => 1,
        12..=15 => 2,
        16..=19 => 4,
        20..=22 => 8,
        other => panic!("element type {other}"),
    }
}

fn xor_lz4(chunk: &Stored<'_>) -> Vec<u8> {
    let lane = lane(chunk.dtype);
    let width = if chunk.len.is_multiple_of(lane) { lane } else { 1 };
    let plane_len = chunk.len / width;
    let mut out = chunk.base().to_vec();
    let mut at = 4 * width;
    for k in 0..width {
        let len = u32::from_le_bytes(chunk.bytes[4 * k..4 * k + 4].try_into().unwrap()) as usize;
        let stored = &chunk.bytes[at..at + len];
        at += len;
        let plane = match len {
            0 => vec![0; plane_len],
            len if len == plane_len => stored.to_vec(),
            _ => lz4(stored),
        };
        assert_eq!(plane.len(), plane_len);
        for (i, byte) in plane.iter().enumerate() {
            out[i * width + k] ^= byte;
        }
    }
    assert_eq!(at, chunk.bytes.len(), "nothing is behind the last plane");
    out
}

/// One LZ4 block: a token, literals, then a copy from what was decoded, and again.
pub fn lz4(stored: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    let mut next = || {
        at += 1;
        stored.get(at - 1).copied().map(usize::from)
    };
    // Fifteen means that bytes follow which are added, up to the first that is not 255.
    fn length(short: usize, next: &mut dyn FnMut() -> Option<usize>) -> usize {
        let mut length = short;
        let mut more = short == 15;
        while more {
            let byte = next().unwrap();
            length += byte;
            more = byte == 255;
        }
        length
    }
    while let Some(token) = next() {
        for _ in 0..length(token >> 4, &mut next) {
            out.push(next().unwrap() as u8);
        }
        // The last sequence has no copy.
        let Some(low) = next() else { break };
        let distance = low | next().unwrap() << 8;
        for _ in 0..length(token & 15, &mut next) + 4 {
            out.push(out[out.len() - distance]);
        }
    }
    out
}
