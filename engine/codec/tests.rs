//! Every encoding gives every chunk back, and no bytes make a decoder panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::float_delta::{self, FloatLayout, Version};
use super::formula::Formula;
use super::{Cpu, Encoding, Lane, Profile, decode, encode_delta, encode_plain, encode_standalone};
use crate::tensor::Dtype;

#[path = "../../tests/second/float_delta.rs"]
#[allow(unreachable_pub, reason = "the tests of the page use it too")]
pub(super) mod page;

fn lanes() -> impl Strategy<Value = Lane> {
    let lanes: Vec<Lane> = Dtype::all_known().map(|(dtype, _)| Lane::of(&dtype)).collect();
    proptest::sample::select(lanes)
}

proptest! {
    #[test]
    fn every_chunk_comes_back(
        profile in proptest::sample::select(Profile::ALL.to_vec()),
        lane in lanes(),
        base in proptest::collection::vec(0u8.., 0..1200),
        flips in proptest::collection::vec((0usize..1200, 0u8..), 0..40),
        zeroed in proptest::collection::vec(0usize..300, 0..20),
    ) {
        let mut chunk = base.clone();
        for (at, bits) in flips {
            if let Some(byte) = chunk.get_mut(at) { *byte ^= bits; }
        }
        for at in zeroed {
            let lane = chunk.len().min(at * lane.width())..chunk.len().min((at + 1) * lane.width());
            chunk[lane].fill(0);
        }
        let mut stored = vec![1, 2, 3];
        let encoding = encode_delta(profile, lane, &chunk, &base, &mut stored);
        let stored = &stored[3..];
        prop_assert!(stored.len() <= chunk.len());
        let mut out = base.clone();
        decode(encoding, lane, stored, &mut out).unwrap();
        prop_assert_eq!(&out, &chunk);
        let mut stored = Vec::new();
        let encoding = encode_standalone(Profile::Dense, lane, &chunk, &mut stored);
        prop_assert!(stored.len() <= chunk.len() && !encoding.needs_base());
        let mut out = vec![0xaa; chunk.len()];
        decode(encoding, lane, &stored, &mut out).unwrap();
        prop_assert_eq!(&out, &chunk);
        // The coders themselves, whatever is shorter.
        let number = lane.number();
        if super::entropy::fits(number, chunk.len()) {
            let mut stored = Vec::new();
            super::entropy::encode(number, &chunk, usize::MAX >> 8, &mut stored);
            let mut out = vec![0xaa; chunk.len()];
            if chunk.len() <= 256 * stored.len() {
                super::entropy::decode(number, &stored, &mut out).unwrap();
                prop_assert_eq!(&out, &chunk);
            }
        }
        if super::int_delta::fits(number, chunk.len()) {
            let mut stored = Vec::new();
            super::int_delta::encode(number, &chunk, &base, &mut stored);
            let mut out = base.clone();
            super::int_delta::decode(number, &stored, &mut out).unwrap();
            prop_assert_eq!(&out, &chunk);
        }
        let mut stored = Vec::new();
        let encoding = encode_plain(&chunk, &mut stored);
        let mut out = vec![0; chunk.len()];
        decode(encoding, lane, &stored, &mut out).unwrap();
        prop_assert_eq!(out, chunk);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        lane in lanes(),
        stored in proptest::collection::vec(0u8.., 0..200),
        len in 0usize..300,
    ) {
        for encoding in Encoding::ALL {
            let mut out = vec![0; len];
            let _ = decode(encoding, lane, &stored, &mut out);
        }
    }

    /// The conditioned difference itself, whatever `encode_delta` would choose, on floats of all
    /// kinds: NaN payloads, infinities, denormals, negative zeros.
    #[test]
    fn floats_of_all_kinds_come_back(
        lane in proptest::sample::select(vec![Dtype::Bf16, Dtype::F16, Dtype::F32]),
        base in proptest::collection::vec(
            prop_oneof![Just(0u32), Just(1), Just(0x8000_8000), Just(0x7f80_7c00),
                Just(0xff80_fc01),
                Just(0x7fff_7fff), 0u32..], 0..600),
        moves in proptest::collection::vec(-3i32..4, 600),
        wild in proptest::collection::vec((0usize..600, 0u32..), 0..20),
    ) {
        let layout = Lane::of(&lane).float().unwrap();
        let mut child: Vec<u32> =
            base.iter().zip(&moves).map(|(base, step)| base.wrapping_add_signed(*step)).collect();
        for (at, bits) in wild {
            if let Some(element) = child.get_mut(at) { *element = bits; }
        }
        let bytes = |elements: &[u32]| -> Vec<u8> {
            elements.iter().flat_map(|e| e.to_le_bytes()).collect()
        };
        let (base, chunk) = (bytes(&base), bytes(&child));
        let mut stored = Vec::new();
        float_delta::encode(layout, &chunk, &base, &mut stored);
        let mut out = base.clone();
        float_delta::decode(Version::Second, layout, &stored, &mut out).unwrap();
        prop_assert_eq!(&out, &chunk);
        // A cut or hurt stream is an error or other bytes of the same length.
        for at in 0..stored.len().min(64) {
            let mut hurt = stored.clone();
            hurt[at] ^= 0x55;
            let mut out = base.clone();
            let _ = float_delta::decode(Version::Second, layout, &hurt, &mut out);
            let mut out = base.clone();
            let _ = float_delta::decode(Version::Second, layout, &stored[..at], &mut out);
        }
    }
}

/// Elements of a block that are alike, and how they change: what a chunk is made of below.
#[derive(Clone, Debug)]
struct Part {
    parent: u32,
    spread: u32,
    change: Change,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// Up to so many steps.
    Steps(u32),
    /// The same number of steps for all.
    Shift(i32),
    To(u32),
    Wild,
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let edges = [
        0u32,
        1,
        0x007f_ffff,
        0x3f80_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7fff_ffff,
        0x8000_0000,
        0xff80_0001,
        u32::MAX,
        // 16 bits wide: the least and the greatest of F16 and BF16, tiny and huge.
        0x0080,
        0x03ff,
        0x0400,
        0x7bff,
        0x7c00,
        0x7f7f,
        0x7fff,
        0x8000,
        0xffff,
    ];
    let element = || prop_oneof![proptest::sample::select(edges.to_vec()), 0u32..];
    let change = prop_oneof![
        Just(Change::Nothing),
        (1u32..2000).prop_map(Change::Steps),
        any::<i32>().prop_map(Change::Shift),
        (-9i32..10).prop_map(Change::Shift),
        element().prop_map(Change::To),
        Just(Change::Wild),
    ];
    let spread = proptest::sample::select(vec![0u32, 1, 0xff, 0xffff, 0x7f_ffff, u32::MAX]);
    let len = proptest::sample::select(vec![1usize, 100, 128, 128, 128, 256, 5000]);
    let part = (element(), spread, change, len).prop_map(|(parent, spread, change, len)| Part {
        parent,
        spread,
        change,
        len,
    });
    proptest::collection::vec(part, 1..12)
}

/// Parent and child, as the low bytes of words.
fn elements_of(parts: &[Part], seed: u64, outliers: u64) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random(seed);
    let mut bits = move || (random.next() << 16 ^ random.next()) as u32;
    let (mut parents, mut children) = (Vec::new(), Vec::new());
    for part in parts {
        for _ in 0..part.len {
            let parent = part.parent ^ bits() & part.spread;
            let change =
                if u64::from(bits() % 1000) < outliers { Change::Wild } else { part.change };
            parents.push(parent);
            children.push(match change {
                Change::Nothing => parent,
                Change::Steps(most) => parent.wrapping_add(bits() % most).wrapping_sub(most / 2),
                Change::Shift(steps) => parent.wrapping_add_signed(steps),
                Change::To(child) => child,
                Change::Wild => bits(),
            });
        }
    }
    (parents, children)
}

fn low_bytes(elements: &[u32], bytes: usize) -> Vec<u8> {
    elements.iter().flat_map(|e| e.to_le_bytes().into_iter().take(bytes)).collect()
}

/// The conditioned difference of these elements gives them back, and is what `format-spec.md` says,
/// in every way that this processor has.
fn assert_comes_back(dtype: &Dtype, parents: &[u32], children: &[u32]) -> Vec<u8> {
    let layout = Lane::of(dtype).float().unwrap();
    let (base, chunk) = (low_bytes(parents, layout.bytes), low_bytes(children, layout.bytes));
    let mut stored = Vec::new();
    float_delta::encode(layout, &chunk, &base, &mut stored);
    let float = page::Float { bytes: layout.bytes, mantissa_bits: layout.mantissa_bits };
    assert!(page::decode(float, page::TOTAL_2, &stored, &base) == chunk);
    let mut first = Vec::new();
    float_delta::encode_first(layout, &chunk, &base, &mut first);
    assert!(page::decode(float, page::TOTAL_1, &first, &base) == chunk);
    for cpu in Cpu::available() {
        cpu.lowered(|| {
            let mut again = Vec::new();
            float_delta::encode(layout, &chunk, &base, &mut again);
            assert!(again == stored, "{cpu} writes other bytes");
            assert!(float_delta::gives(layout, &stored, &base, &chunk), "{cpu}");
            let mut out = base.clone();
            float_delta::decode(Version::Second, layout, &stored, &mut out).unwrap();
            assert!(out == chunk, "{cpu}");
            let mut out = base.clone();
            float_delta::decode(Version::First, layout, &first, &mut out).unwrap();
            assert!(out == chunk, "{cpu}, the first version");
            let mut other = chunk.clone();
            if let Some(last) = other.last_mut() {
                *last ^= 1;
                assert!(!float_delta::gives(layout, &stored, &base, &other), "{cpu}");
            }
        });
    }
    stored
}

/// What each way makes of stored bytes that may be hurt: all the same.
fn assert_alike(version: Version, layout: FloatLayout, stored: &[u8], base: &[u8]) {
    let outcomes = Cpu::available().map(|cpu| {
        let mut out = base.to_vec();
        cpu.lowered(|| float_delta::decode(version, layout, stored, &mut out)).map(|()| out)
    });
    let outcomes: Vec<Result<Vec<u8>, String>> = outcomes.collect();
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}

proptest! {
    /// Blocks of every size of element and step behind one another, tiny beside huge.
    #[test]
    fn wild_blocks_come_back(
        dtype in proptest::sample::select(vec![Dtype::Bf16, Dtype::F16, Dtype::F32, Dtype::C64]),
        parts in parts(),
        seed in 0u64..,
        outliers in proptest::sample::select(vec![0u64, 0, 5, 100]),
        hurt in proptest::collection::vec((0usize..1 << 16, 1u8..), 0..30),
    ) {
        let (parents, children) = elements_of(&parts, seed, outliers);
        let mut stored = assert_comes_back(&dtype, &parents, &children);
        let layout = Lane::of(&dtype).float().unwrap();
        let len = stored.len();
        for (at, bits) in hurt {
            // Most of them in the lengths and the model.
            let at = if at % 2 == 0 { at / 2 % 64 } else { at / 2 };
            stored[at % len] ^= bits;
            assert_alike(Version::First, layout, &stored, &low_bytes(&parents, layout.bytes));
            assert_alike(Version::Second, layout, &stored, &low_bytes(&parents, layout.bytes));
        }
    }
}

/// Chunks too short to gain from it, and the lengths around which something changes.
#[test]
fn short_and_long_chunks_come_back() {
    for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32] {
        for len in [0u32, 1, 3, 4, 5, 31, 127, 128, 129, 255, 256, 257, 16_383, 16_384, 16_385] {
            let parents: Vec<u32> = (0..len).map(|at| at.wrapping_mul(0x9e37_79b9)).collect();
            assert_comes_back(&dtype, &parents, &parents);
            let children: Vec<u32> =
                parents.iter().map(|parent| parent.wrapping_add(parent >> 13 & 7)).collect();
            assert_comes_back(&dtype, &parents, &children);
            assert_comes_back(&dtype, &children, &vec![0; len as usize]);
        }
    }
}

/// The function's entries are told apart by bits of the mantissa; BF16 has 7 of them.
#[test]
fn a_function_has_no_more_bits_than_the_mantissa() {
    let chunk = vec![1u32; 10_000];
    let stored = assert_comes_back(&Dtype::F32, &vec![0; chunk.len()], &chunk);
    let layout = Lane::of(&Dtype::Bf16).float().unwrap();
    let reason =
        float_delta::decode(Version::Second, layout, &stored, &mut vec![0; 20_000]).unwrap_err();
    assert_eq!(reason, "a function of 10 bits");
}

/// Scales that jump by more than one symbol can tell, in both directions.
#[test]
fn scales_that_jump_come_back() {
    for (dtype, sizes) in [
        (Dtype::Bf16, [0x0081, 0x7e81, 0x0001, 0x3f81]),
        (Dtype::F16, [0x0001, 0x7b01, 0x0401, 0x3c01]),
        (Dtype::F32, [0x0080_0001, 0x7e80_0001, 0x0000_0001, 0x3f80_0001]),
    ] {
        let parents: Vec<u32> =
            (0..12_000).map(|at| sizes[at / 128 % 4] + at as u32 % 50).collect();
        let children: Vec<u32> =
            parents.iter().zip(0..).map(|(parent, at)| parent + at % 7 % 3).collect();
        assert_comes_back(&dtype, &parents, &children);
        let twice: Vec<u32> = parents.iter().map(|parent| parent ^ 0x40).collect();
        assert_comes_back(&dtype, &parents, &twice);
    }
}

/// A step so far from the function's that no symbol tells how far.
#[test]
fn steps_far_from_the_function_come_back() {
    for (common, outlier) in [
        ((0, 0x7fff_ffff), (0x7fff_f000, 0xffff_ffff)),
        ((0x7fff_0000, 0xffff_ffff), (0, 0x7fff_ffff)),
        ((0x4000_0000, 0xbfff_fffe), (0x0000_0000, 0x7fff_ffff)),
        ((0x4000_0000, 0x7fff_ffff), (0x7f80_0000, 0xffff_ffff)),
    ] {
        let mut parents = vec![common.0; 10_000];
        let mut children = vec![common.1; 10_000];
        for at in [77, 5_000, 9_999] {
            (parents[at], children[at]) = outlier;
        }
        assert_comes_back(&Dtype::F32, &parents, &children);
    }
}

/// A seeded stream of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32
    }
}

fn weights(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..len).map(|_| (0..4).map(|_| random.unit() - 0.5).sum::<f32>() * 0.05).collect()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

fn coded_len(chunk: &[f32], base: &[f32]) -> usize {
    let (chunk, base) = (bytes_of(chunk), bytes_of(base));
    let mut stored = Vec::new();
    let encoding =
        encode_delta(Profile::Balanced, Lane::of(&Dtype::F32), &chunk, &base, &mut stored);
    let mut out = base;
    decode(encoding, Lane::of(&Dtype::F32), &stored, &mut out).unwrap();
    assert!(out == chunk);
    stored.len()
}

#[test]
fn a_function_of_the_parent_costs_next_to_nothing() {
    let base = weights(1 << 18, 1);
    let mut decayed = base.clone();
    for _ in 0..50 {
        decayed.iter_mut().for_each(|weight| *weight -= *weight * 5e-7);
    }
    let len = coded_len(&decayed, &base);
    assert!(len < 4 * base.len() / 100, "{len} bytes for {} elements", base.len());
}

#[test]
fn pruned_weights_cost_less_than_a_mask() {
    let base = weights(1 << 18, 2);
    let pruned: Vec<f32> =
        base.iter().map(|w| if w.abs() < 0.017 { 0.0f32.copysign(*w) } else { *w }).collect();
    let len = coded_len(&pruned, &base);
    assert!(len < base.len() / 8, "{len} bytes for {} elements", base.len());
}

/// Whatever little a base says, what is coded against it takes no more than alone.
#[test]
fn what_a_base_says_little_of_takes_no_more_than_alone() {
    let base = weights(1 << 15, 4);
    let noise = weights(1 << 15, 5);
    for part in [0.3f32, 1.0, 2.0] {
        let child: Vec<f32> = base.iter().zip(&noise).map(|(a, b)| a + part * b).collect();
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::F8E4M3] {
            let cast = |values: &[f32]| {
                let Some(cast) = Formula::cast(&Dtype::F32, &dtype) else {
                    return bytes_of(values);
                };
                let mut out = vec![0; values.len() * Lane::of(&dtype).width()];
                cast.predict(&(0..out.len() as u64), &[&bytes_of(values)], &mut out);
                out
            };
            let (lane, chunk, base) = (Lane::of(&dtype), cast(&child), cast(&base));
            let (mut delta, mut alone) = (Vec::new(), Vec::new());
            encode_delta(Profile::Balanced, lane, &chunk, &base, &mut delta);
            encode_standalone(Profile::Dense, lane, &chunk, &mut alone);
            let (delta, alone) = (delta.len(), alone.len());
            assert!(delta <= alone, "{dtype}, {part}: {delta} bytes, {alone} alone");
        }
    }
}

#[test]
fn unchanged_parts_cost_next_to_nothing() {
    let base = weights(1 << 18, 3);
    let mut child = base.clone();
    child[77_777] += 0.001;
    let len = coded_len(&child, &base);
    assert!(len < 200, "{len}");
}

/// What a thread keeps of a chunk does not tell in the next one: not of symbols that only some of
/// many blocks have.
#[test]
fn what_was_encoded_before_does_not_matter() {
    let layout = FloatLayout::BF16;
    let chunk = |seed: u32, odd: bool| {
        let parents = (0..1 << 18).map(|at: u32| 0x3c00 + (at.wrapping_mul(seed) >> 22));
        let step = |(at, parent): (u32, u32)| match at.wrapping_mul(0x9e37_79b9) >> 20 {
            // In odd blocks alone, or everywhere.
            0..4 if !odd || at >> 7 & 1 == 1 => parent + 40,
            4..200 => parent + (at >> 9 & 3),
            _ => parent,
        };
        let parents: Vec<u32> = parents.collect();
        let children: Vec<u32> = (0..).zip(parents.iter().copied()).map(step).collect();
        (low_bytes(&parents, 2), low_bytes(&children, 2))
    };
    let encoded = |(base, chunk): &(Vec<u8>, Vec<u8>)| {
        let mut stored = Vec::new();
        float_delta::encode(layout, chunk, base, &mut stored);
        stored
    };
    let (first, second) = (chunk(0x9e37_79b9, false), chunk(0x85eb_ca6b, true));
    let fresh = std::thread::scope(|scope| scope.spawn(|| encoded(&second)).join().unwrap());
    encoded(&first);
    assert!(encoded(&second) == fresh);
}
