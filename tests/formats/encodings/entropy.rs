//! Promise: numbers without a base decode as `format-spec.md` says: a second reader, written from
//! the page, reads what the codec writes. And they take less room than they would in plain.

use crate::second::entropy;
use mgit::Dtype;
use mgit::codec::{Encoding, Lane, Profile, decode, encode_delta, encode_standalone};

/// A type, its bytes, the bits of its mantissa, and how a number is put into it.
type Kind = (Dtype, usize, u32, fn(f64) -> u64);

const KINDS: [Kind; 8] = [
    (Dtype::F16, 2, 10, |x| mgit::half::f16::from_f64(x).to_bits().into()),
    (Dtype::Bf16, 2, 7, |x| mgit::half::bf16::from_f64(x).to_bits().into()),
    (Dtype::F32, 4, 23, |x| (x as f32).to_bits().into()),
    (Dtype::C64, 4, 23, |x| (x as f32).to_bits().into()),
    (Dtype::F64, 8, 52, f64::to_bits),
    (Dtype::I8, 1, 0, |x| (x * 60.0) as i8 as u8 as u64),
    (Dtype::U8, 1, 0, |x| (x.abs() * 60.0) as u8 as u64),
    // The upper half of an f16 is an E5M2.
    (Dtype::F8E5M2, 1, 0, |x| u64::from(mgit::half::f16::from_f64(x).to_bits() >> 8)),
];

const LENS: [usize; 7] = [1, 127, 128, 129, 3_000, 16_384, 20_001];

/// A seeded stream of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 32
    }

    /// From -1 to 1, mostly near 0.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.next() as f64 / f64::from(u32::MAX) - 0.5).sum::<f64>() / 3.0
    }
}

/// Weights of some habit, as the numbers of a tensor have.
fn element(random: &mut Random, habit: usize, at: usize, kind: &Kind) -> u64 {
    let put = kind.3;
    let bits = 8 * kind.1 as u32;
    let scale = 2f64.powi((at / 900 % 7) as i32 - 4);
    match habit {
        0 => put(random.bell()),
        1 => put(random.bell() * scale),
        2 if at % 2_000 < 700 => 0,
        2 => put(random.bell()),
        3 => put(random.bell().abs() + 0.2),
        // As many bits as a bf16 has, in parts.
        4 if at % 5_000 < 2_000 => put(f64::from(mgit::half::bf16::from_f64(random.bell()))),
        4 => put(random.bell()),
        5 if at.is_multiple_of(50) => (random.next() << 32 | random.next()) >> (64 - bits),
        5 => put(random.bell() * scale),
        6 => put([0.0, -0.0, f64::NAN, f64::INFINITY, 1.0, 1e-310][at % 6]),
        _ => (random.next() << 32 | random.next()) >> (64 - bits),
    }
}

#[test]
fn what_the_codec_writes_decodes_as_the_page_says() {
    let mut random = Random(3);
    for kind in &KINDS {
        let (dtype, bytes, mantissa_bits, _) = kind;
        let lane = Lane::of(dtype);
        for len in LENS {
            for habit in 0..8 {
                let elements = (0..len).map(|at| element(&mut random, habit, at, kind));
                let chunk: Vec<u8> =
                    elements.flat_map(|e| e.to_le_bytes()[..*bytes].to_vec()).collect();
                let what = format!("{dtype:?}, {len} elements, habit {habit}");
                let mut stored = Vec::new();
                let encoding = encode_standalone(Profile::Dense, lane, &chunk, &mut stored);
                assert!(stored.len() <= chunk.len(), "{what}");
                assert!(!encoding.needs_base(), "{what}");
                let mut out = vec![0xaa; chunk.len()];
                decode(encoding, lane, &stored, &mut out).unwrap();
                assert!(out == chunk, "{what}");
                if encoding == Encoding::Entropy {
                    let page = entropy::decode(*bytes, *mantissa_bits, &stored, chunk.len());
                    assert!(page == chunk, "{what}: the page");
                }
                // Weights of every type have exponents, or sizes, to gain from.
                let gains = len >= 3_000 && habit < 2;
                assert!(!gains || encoding == Encoding::Entropy, "{what}: {encoding:?}");
            }
        }
    }
}

#[test]
fn a_base_that_says_nothing_is_not_used() {
    let mut random = Random(4);
    let mut weights =
        || (0..9_000).flat_map(|_| (random.bell() as f32).to_le_bytes()).collect::<Vec<u8>>();
    let (base, chunk) = (weights(), weights());
    let lane = Lane::of(&Dtype::F32);
    let (mut alone, mut delta) = (Vec::new(), Vec::new());
    encode_standalone(Profile::Dense, lane, &chunk, &mut alone);
    let encoding = encode_delta(Profile::Balanced, lane, &chunk, &base, &mut delta);
    assert_eq!(encoding, Encoding::Entropy);
    assert_eq!(alone, delta);
    assert!(delta.len() * 10 < chunk.len() * 9, "{} bytes", delta.len());
}

#[test]
fn only_the_dense_profile_compresses_roots() {
    let chunk: Vec<u8> = (0..4_000u32).flat_map(|at| (at as f32).to_le_bytes()).collect();
    let lane = Lane::of(&Dtype::F32);
    for profile in [Profile::Fast, Profile::Balanced] {
        let mut stored = Vec::new();
        assert_eq!(encode_standalone(profile, lane, &chunk, &mut stored), Encoding::Raw);
        assert!(stored == chunk);
    }
}

#[test]
fn a_chunk_far_longer_than_its_stored_bytes_is_refused() {
    let lane = Lane::of(&Dtype::F32);
    let chunk = vec![0; 1 << 20];
    let mut stored = Vec::new();
    let encoding = encode_standalone(Profile::Dense, lane, &chunk, &mut stored);
    assert!(stored.len() >= chunk.len() / 256, "{encoding:?} in {} bytes", stored.len());
    let error =
        decode(Encoding::Entropy, lane, &[0; 100], &mut vec![0; 100 * 256 + 4]).unwrap_err();
    assert_eq!(error.reason, "25604 bytes from 100");
}
