//! Every encoding gives every chunk back, and no bytes make a decoder panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::{Encoding, Lane, decode, encode_delta, encode_plain};
use crate::tensor::Dtype;

fn lanes() -> impl Strategy<Value = Lane> {
    let dtypes = [Dtype::U8, Dtype::I16, Dtype::Bf16, Dtype::F16, Dtype::F32, Dtype::F64];
    proptest::sample::select(dtypes.map(|dtype| Lane::of(&dtype)).to_vec())
}

proptest! {
    #[test]
    fn every_chunk_comes_back(
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
        let encoding = encode_delta(lane, &chunk, &base, &mut stored);
        let stored = &stored[3..];
        prop_assert!(stored.len() <= chunk.len());
        let mut out = base.clone();
        decode(encoding, lane, stored, &mut out).unwrap();
        prop_assert_eq!(&out, &chunk);
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
            prop_oneof![Just(0u32), Just(1), Just(0x8000_8000), Just(0x7f80_7c00), Just(0xff80_fc01),
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
        super::ordered::encode(layout, &chunk, &base, &mut stored);
        let mut out = base.clone();
        super::ordered::decode(layout, &stored, &mut out).unwrap();
        prop_assert_eq!(&out, &chunk);
        // A cut or hurt stream is an error or other bytes of the same length.
        for at in 0..stored.len().min(64) {
            let mut hurt = stored.clone();
            hurt[at] ^= 0x55;
            let mut out = base.clone();
            let _ = super::ordered::decode(layout, &hurt, &mut out);
            let mut out = base.clone();
            let _ = super::ordered::decode(layout, &stored[..at], &mut out);
        }
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
    let encoding = encode_delta(Lane::of(&Dtype::F32), &chunk, &base, &mut stored);
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

#[test]
fn unchanged_parts_cost_next_to_nothing() {
    let base = weights(1 << 18, 3);
    let mut child = base.clone();
    child[77_777] += 0.001;
    let len = coded_len(&child, &base);
    assert!(len < 200, "{len}");
}
