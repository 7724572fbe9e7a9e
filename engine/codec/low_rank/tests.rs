//! Factors are found where there are some, and predict as their definition says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use half::{bf16, f16};
use proptest::prelude::*;

use super::{Factors, find};
use crate::codec::Lane;
use crate::tensor::Dtype;

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::Bf16, Dtype::F16];

fn to_bytes(dtype: &Dtype, value: f32) -> Vec<u8> {
    match dtype {
        Dtype::F32 => value.to_le_bytes().to_vec(),
        Dtype::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => f16::from_f32(value).to_le_bytes().to_vec(),
    }
}

fn from_bytes(dtype: &Dtype, bytes: &[u8]) -> f32 {
    match dtype {
        Dtype::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
        Dtype::Bf16 => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        _ => f16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
    }
}

fn random(len: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut state = seed;
    let mut unit = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (unit() + unit() + unit()) * scale).collect()
}

/// What the formula makes of the parent's elements from `first` on, to which `base` belongs.
fn predict(factors: &Factors, dtype: &Dtype, first: usize, base: &[u8]) -> Vec<u8> {
    let width = if *dtype == Dtype::F32 { 4 } else { 2 };
    let formula = factors.formula(dtype).unwrap();
    let range = (first * width) as u64..(first * width + base.len()) as u64;
    let needs = formula.needs(&range);
    let [u, v] = factors.to_bytes();
    let part = |bytes: &[u8], range: &std::ops::Range<u64>| {
        let end = (range.end as usize).min(bytes.len());
        bytes[(range.start as usize).min(end)..end].to_vec()
    };
    let (u, v) = (part(&u, &needs[1]), part(&v, &needs[2]));
    let mut out = vec![0; base.len()];
    formula.predict(&range, &[base, &u, &v], &mut out);
    out
}

/// The definition, element by element.
fn naive(factors: &Factors, dtype: &Dtype, cols: usize, first: usize, base: &[u8]) -> Vec<u8> {
    let width = if *dtype == Dtype::F32 { 4 } else { 2 };
    let element = |(at, bytes): (usize, &[u8])| {
        let (row, col) = ((first + at) / cols, (first + at) % cols);
        let mut sum = 0f32;
        for k in 0..factors.rank {
            sum = factors.u[row * factors.rank + k].mul_add(factors.v[k * cols + col], sum);
        }
        let sum = from_bytes(dtype, bytes) + sum;
        to_bytes(dtype, if sum.is_nan() { f32::from_bits(0x7fc0_0000) } else { sum })
    };
    base.chunks(width).enumerate().flat_map(element).collect()
}

proptest! {
    #[test]
    fn every_range_is_predicted_as_defined(
        dtype in proptest::sample::select(DTYPES.to_vec()),
        rank in 1usize..5,
        rows in 1usize..6,
        cols in 1usize..600,
        seed in 0u64..,
        special in proptest::collection::vec((0usize..3000, 0u32..), 0..9),
        range in (0usize..3000, 0usize..3000),
    ) {
        let factors = Factors {
            rank,
            u: random(rows * rank, seed, 1.0),
            v: random(cols * rank, seed ^ 1, 0.01),
        };
        let mut base: Vec<u8> =
            random(rows * cols, seed ^ 2, 0.1).iter().flat_map(|x| to_bytes(&dtype, *x)).collect();
        let width = base.len() / (rows * cols);
        for (at, bits) in special {
            if let Some(element) = base.chunks_mut(width).nth(at) {
                let bytes = match bits % 3 {
                    0 => to_bytes(&dtype, f32::INFINITY),
                    _ => bits.to_le_bytes().to_vec(),
                };
                element.copy_from_slice(&bytes[..width]);
            }
        }
        let (from, to) = (range.0 % (rows * cols + 1), range.1 % (rows * cols + 1));
        let (from, to) = (from.min(to), from.max(to));
        let base = &base[from * width..to * width];
        let out = predict(&factors, &dtype, from, base);
        prop_assert_eq!(out, naive(&factors, &dtype, cols, from, base));
    }
}

/// A parent, and a child made of it with factors of a rank.
fn merged(dtype: &Dtype, rows: usize, cols: usize, rank: usize) -> (Vec<u8>, Vec<u8>) {
    let parent: Vec<u8> =
        random(rows * cols, 1, 0.1).iter().flat_map(|x| to_bytes(dtype, *x)).collect();
    let factors = Factors { rank, u: random(rows * rank, 2, 0.2), v: random(cols * rank, 3, 0.01) };
    let child = naive(&factors, dtype, cols, 0, &parent);
    (parent, child)
}

#[test]
fn a_merged_adapter_is_found() {
    for (dtype, rows, cols, rank, exact) in [
        (Dtype::F32, 384, 384, 8, 85),
        (Dtype::F32, 100, 1000, 1, 85),
        (Dtype::Bf16, 384, 384, 8, 85),
        (Dtype::F16, 512, 256, 3, 85),
    ] {
        let (parent, child) = merged(&dtype, rows, cols, rank);
        let lane = Lane::of(&dtype);
        let factors = find(lane, rows, cols, &parent, &child, 64).unwrap();
        assert_eq!(factors.rank(), rank, "{dtype}");
        let out = predict(&factors, &dtype, 0, &parent);
        let width = lane.width();
        let equal = out.chunks(width).zip(child.chunks(width)).filter(|(a, b)| a == b).count();
        assert!(100 * equal >= exact * rows * cols, "{dtype}: {equal} of {}", rows * cols);
    }
}

#[test]
fn what_is_not_of_low_rank_gives_none() {
    let lane = Lane::of(&Dtype::F32);
    let bytes =
        |values: Vec<f32>| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    let parent = bytes(random(300 * 300, 1, 0.1));
    let noise = bytes(random(300 * 300, 2, 0.1));
    assert_eq!(find(lane, 300, 300, &parent, &noise, 64), None);
    assert_eq!(find(lane, 300, 300, &parent, &parent, 64), None);
    assert_eq!(find(lane, 300, 299, &parent, &noise, 64), None);
    assert_eq!(find(lane, 0, 0, &[], &[], 64), None);
    let not_numbers = bytes(vec![f32::NAN; 300 * 300]);
    assert_eq!(find(lane, 300, 300, &parent, &not_numbers, 64), None);
    let (parent, child) = merged(&Dtype::F32, 384, 384, 9);
    assert_eq!(find(lane, 384, 384, &parent, &child, 8), None);
    assert_eq!(find(Lane::of(&Dtype::F64), 192, 384, &parent, &child, 8), None);
}
