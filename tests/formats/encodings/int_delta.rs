//! Promise: a difference of integers, of F64 and of floats of 8 bits decodes as `format-spec.md`
//! says: a second reader, written from the page, reads what the codec writes.

use mgit::Dtype;
use mgit::codec::{Encoding, Lane, Profile, decode, encode_delta};

use crate::second::int_delta;
use crate::second::int_delta::Type;

const KINDS: [(Dtype, usize, Option<u32>); 14] = [
    (Dtype::F64, 8, Some(52)),
    (Dtype::F8E4M3, 1, Some(3)),
    (Dtype::F8E5M2, 1, Some(2)),
    (Dtype::F8E4M3Fnuz, 1, Some(3)),
    (Dtype::F8E5M2Fnuz, 1, Some(2)),
    (Dtype::F8E8M0, 1, None),
    (Dtype::I8, 1, None),
    (Dtype::U8, 1, None),
    (Dtype::I16, 2, None),
    (Dtype::U16, 2, None),
    (Dtype::I32, 4, None),
    (Dtype::U32, 4, None),
    (Dtype::I64, 8, None),
    (Dtype::U64, 8, None),
];

/// A seeded stream of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 31
    }

    /// From -`most` to `most`, mostly near 0.
    fn near(&mut self, most: i64) -> i64 {
        (0..4).map(|_| (self.next() % (most as u64 / 2 + 1)) as i64 - most / 4).sum()
    }
}

fn parent(random: &mut Random, bytes: usize, mantissa_bits: Option<u32>) -> u64 {
    match (bytes, mantissa_bits) {
        (8, Some(_)) => (random.near(1 << 30) as f64 / f64::from(1 << 30)).to_bits(),
        (1, Some(_)) => (random.near(30) + 40) as u64 | (random.next() % 2) << 7,
        _ => random.near(1 << (8 * bytes as u32 - 2).min(30)) as u64,
    }
}

/// What becomes of an element: by its bits, and the bits of its type.
fn child(random: &mut Random, change: usize, at: usize, base: u64, bits: u32) -> u64 {
    let step = 1i64 << (bits / 2).min(24);
    match change {
        0 => base.wrapping_add_signed(random.near(4)),
        1 => base.wrapping_add_signed(random.near(step)),
        2 if at % 3_000 < 2_000 => base,
        2 => base.wrapping_add_signed(random.near(step)),
        3 if random.next().is_multiple_of(2) => base & 1 << (bits - 1),
        3 => base,
        4 if random.next().is_multiple_of(40) => random.next() << 32 ^ random.next(),
        4 => base.wrapping_add_signed(random.near(step)),
        5 => base.wrapping_neg(),
        _ => random.next() << 32 ^ random.next(),
    }
}

#[test]
fn what_the_codec_writes_decodes_as_the_page_says() {
    let mut random = Random(5);
    let mut seen = 0;
    for (dtype, bytes, mantissa_bits) in KINDS {
        let lane = Lane::of(&dtype);
        for len in [1, 128, 129, 4_000, 16_384, 20_001] {
            for change in 0..7 {
                let (mut base, mut chunk) = (Vec::new(), Vec::new());
                for at in 0..len {
                    let parent = match change {
                        6 => random.next() << 32 ^ random.next(),
                        _ => parent(&mut random, bytes, mantissa_bits),
                    };
                    let child = child(&mut random, change, at, parent, 8 * bytes as u32);
                    base.extend_from_slice(&parent.to_le_bytes()[..bytes]);
                    chunk.extend_from_slice(&child.to_le_bytes()[..bytes]);
                }
                let what = format!("{dtype}, {len} elements, change {change}");
                let mut stored = Vec::new();
                let encoding = encode_delta(Profile::Balanced, lane, &chunk, &base, &mut stored);
                let mut out = base.clone();
                decode(encoding, lane, &stored, &mut out).unwrap();
                assert!(out == chunk, "{what}");
                if encoding == Encoding::IntDelta {
                    let page = int_delta::decode(Type { bytes, mantissa_bits }, &stored, &base);
                    assert!(page == chunk, "{what}: the page");
                    seen += 1;
                }
                let clear = len >= 4_000 && [0, 2].contains(&change);
                assert!(!clear || encoding == Encoding::IntDelta, "{what}: {encoding:?}");
            }
        }
    }
    assert!(seen > 200, "only {seen} chunks");
}
