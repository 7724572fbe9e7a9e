//! Promise: a difference of floats decodes as `format-spec.md` says, of every profile: a second
//! reader, written from the page, reads what the codec writes.

use mgit::Dtype;
use mgit::codec::{Encoding, Lane, Profile, decode, encode_delta};

use crate::second::float_delta;
use crate::second::float_delta::Float;
use crate::second::rice_delta;

const F16: Float = Float { bytes: 2, mantissa_bits: 10 };
const BF16: Float = Float { bytes: 2, mantissa_bits: 7 };
const F32: Float = Float { bytes: 4, mantissa_bits: 23 };

const SIZES: [usize; 8] = [1, 100, 128, 129, 5_000, 16_383, 16_384, 40_000];

/// A seeded stream of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }

    /// From -1 to 1, mostly near 0.
    fn bell(&mut self) -> f32 {
        (0..4).map(|_| self.next() as f32 / u32::MAX as f32 - 0.5).sum::<f32>() * 0.5
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// The bits of a number in the type.
fn bits_of(float: Float, value: f32) -> u32 {
    match (float.bytes, float.mantissa_bits) {
        (4, _) => value.to_bits(),
        (_, 10) => mgit::half::f16::from_f32(value).to_bits().into(),
        _ => mgit::half::bf16::from_f32(value).to_bits().into(),
    }
}

fn value_of(float: Float, bits: u32) -> f32 {
    match (float.bytes, float.mantissa_bits) {
        (4, _) => f32::from_bits(bits),
        (_, 10) => mgit::half::f16::from_bits(bits as u16).to_f32(),
        _ => mgit::half::bf16::from_bits(bits as u16).to_f32(),
    }
}

fn bytes_of(float: Float, elements: &[u32]) -> Vec<u8> {
    elements.iter().flat_map(|bits| bits.to_le_bytes()[..float.bytes].to_vec()).collect()
}

/// Encodes, reads it both ways, and tells how it was stored.
fn check(
    profile: Profile,
    dtype: &Dtype,
    float: Float,
    chunk: &[u32],
    base: &[u32],
    what: &str,
) -> Encoding {
    let (chunk, base) = (bytes_of(float, chunk), bytes_of(float, base));
    let mut stored = Vec::new();
    let encoding = encode_delta(profile, Lane::of(dtype), &chunk, &base, &mut stored);
    let mut out = base.clone();
    decode(encoding, Lane::of(dtype), &stored, &mut out).unwrap();
    assert!(out == chunk, "{what}");
    if encoding == Encoding::FloatDelta2 {
        let read = float_delta::decode(float, float_delta::TOTAL_2, &stored, &base);
        assert!(read == chunk, "{what}: the page");
    }
    if encoding == Encoding::RiceDelta {
        let float = rice_delta::Float { bytes: float.bytes, mantissa_bits: float.mantissa_bits };
        assert!(rice_delta::decode(float, &stored, &base) == chunk, "{what}: the page");
    }
    encoding
}

/// What happens to an element, given its number and bits.
type Change = fn(&mut Random, Float, usize, u32) -> u32;

const CHANGES: [(&str, Change); 9] = [
    ("small steps of one size", |random, float, _, bits| {
        bits_of(float, value_of(float, bits) + random.bell() * 1e-3)
    }),
    ("weight decay", |_, float, _, bits| bits_of(float, value_of(float, bits) * 0.99973)),
    ("decay with noise", |random, float, _, bits| {
        let value = value_of(float, bits) * 0.9973;
        bits_of(float, if random.one_in(9) { value * 1.001 } else { value })
    }),
    ("pruning", |_, float, _, bits| {
        let value = value_of(float, bits);
        bits_of(float, if value.abs() < 0.01 { 0.0f32.copysign(value) } else { value })
    }),
    ("decay and pruning", |_, float, _, bits| {
        let value = value_of(float, bits);
        bits_of(float, if value.abs() < 0.01 { 0.0f32.copysign(value) } else { value * 0.9973 })
    }),
    ("unchanged parts", |random, float, at, bits| {
        let moved = value_of(float, bits) + random.bell() * 1e-4;
        if at % 1_000 < 700 { bits } else { bits_of(float, moved) }
    }),
    ("sign crossings", |random, float, _, bits| {
        bits_of(float, value_of(float, bits) + random.bell() * 0.05)
    }),
    ("some wild bits", |random, float, _, bits| {
        if random.one_in(40) { random.next() >> (32 - 8 * float.bytes) } else { bits ^ 1 }
    }),
    ("steps of floats", |random, _, _, bits| bits ^ (random.next() & 3)),
];

/// Elements of a parent: weights, and one in `special` (0: none) of a special kind.
fn parent(random: &mut Random, float: Float, len: usize, special: u32) -> Vec<u32> {
    let infinity = bits_of(float, f32::INFINITY);
    let negative = 1 << (8 * float.bytes - 1);
    let element = |_| {
        if special == 0 || !random.one_in(special) {
            return bits_of(float, random.bell() * 0.05);
        }
        let sign = if random.one_in(2) { negative } else { 0 };
        sign | match random.next() % 5 {
            0 => 0,
            1 => infinity,
            2 => infinity + 1 + random.next() % 50,
            3 => 1 + random.next() % 100,
            _ => random.next() % infinity,
        }
    };
    (0..len).map(element).collect()
}

#[test]
fn what_the_codec_writes_decodes_as_the_page_says() {
    let mut random = Random(7);
    let mut ordered = std::collections::BTreeMap::<_, u32>::new();
    let mut rice = ordered.clone();
    for (dtype, float) in
        [(Dtype::F16, F16), (Dtype::Bf16, BF16), (Dtype::F32, F32), (Dtype::C64, F32)]
    {
        for len in SIZES {
            for special in [0, 100, 4] {
                let base = parent(&mut random, float, len, special);
                for (name, change) in CHANGES {
                    let chunk: Vec<u32> = base
                        .iter()
                        .enumerate()
                        .map(|(at, bits)| change(&mut random, float, at, *bits))
                        .collect();
                    let what = format!("{dtype:?}, {len} elements, {special}: {name}");
                    let encoding = |profile| check(profile, &dtype, float, &chunk, &base, &what);
                    *ordered.entry((len, name)).or_insert(0) +=
                        // Or it takes still less without the base.
                        u32::from(matches!(
                            encoding(Profile::Balanced),
                            Encoding::FloatDelta2 | Encoding::Entropy
                        ));
                    *rice.entry((len, name)).or_insert(0) +=
                        u32::from(encoding(Profile::Fast) == Encoding::RiceDelta);
                }
            }
        }
    }
    // Where it pays, that is: hardly ever in a block, always in many. Chunks below 32 KiB, which
    // are all of 5,000 elements, are tried as `rice-delta` too: that may be shorter.
    let least = |len| match len {
        0..5_000 => 0,
        5_000..16_384 => 5,
        _ => 11,
    };
    assert!(ordered.iter().all(|((len, _), count)| *count >= least(*len)), "{ordered:?}");
    assert!(rice.iter().all(|((len, _), count)| *len < 5_000 || *count >= 9), "{rice:?}");
}
