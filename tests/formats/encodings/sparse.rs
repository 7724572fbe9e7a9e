//! Promise: a child that differs in few weights costs little more than telling which, and how.

use mgit::Dtype;
use mgit::codec::{Encoding, Lane, Profile, encode_delta};

/// A seeded stream of pseudo-random numbers.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 32
    }

    pub(super) fn bell(&mut self) -> f32 {
        (0..4).map(|_| self.next() as f32 / u32::MAX as f32 - 0.5).sum::<f32>() * 0.05
    }
}

const ELEMENTS: usize = 1 << 18;

pub(super) fn to_bytes(dtype: &Dtype, value: f32) -> Vec<u8> {
    match dtype {
        Dtype::F32 => value.to_le_bytes().to_vec(),
        Dtype::Bf16 => mgit::half::bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => mgit::half::f16::from_f32(value).to_le_bytes().to_vec(),
    }
}

#[test]
fn one_weight_in_a_hundred_costs_little_more_than_its_entropy() {
    // Blocks of 16-bit floats have no class yet that leaves the parent's exponent out.
    for (dtype, most) in [(Dtype::F32, 1.15), (Dtype::Bf16, 1.15), (Dtype::F16, 1.15)] {
        let mut random = Random(11);
        let base: Vec<u8> = (0..ELEMENTS).flat_map(|_| to_bytes(&dtype, random.bell())).collect();
        let width = base.len() / ELEMENTS;
        let mut child = base.clone();
        let (mut changed, mut bits_of_how) = (0u32, 0f64);
        for element in child.chunks_mut(width) {
            if !random.next().is_multiple_of(100) {
                continue;
            }
            // So many units of the last place, up or down: half of them 1, a quarter 2, ...
            let mut step = 1i64;
            while random.next().is_multiple_of(2) {
                step += 1;
            }
            changed += 1;
            bits_of_how += step as f64 + 1.0;
            let step = if random.next().is_multiple_of(2) { step } else { -step };
            let number = element.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
            let moved = number.wrapping_add_signed(step).to_le_bytes();
            element.copy_from_slice(&moved[..width]);
        }
        let part = f64::from(changed) / ELEMENTS as f64;
        let which = -part * part.log2() - (1.0 - part) * (1.0 - part).log2();
        let entropy = (which * ELEMENTS as f64 + bits_of_how) / 8.0;
        let stored: usize = base
            .chunks(1 << 20)
            .zip(child.chunks(1 << 20))
            .map(|(base, child)| {
                let mut out = Vec::new();
                encode_delta(Profile::Balanced, Lane::of(&dtype), child, base, &mut out);
                out.len()
            })
            .sum();
        let ratio = stored as f64 / entropy;
        println!("{dtype}: {stored} bytes, {ratio:.3} of {entropy:.0}");
        assert!(ratio <= most, "{dtype}: {stored} bytes, {ratio:.3} of {entropy:.0}");
    }
}

#[test]
fn what_did_not_change_costs_nothing() {
    for (dtype, _) in Dtype::all_known() {
        let bytes = vec![7; 4096];
        let mut out = Vec::new();
        let encoding = encode_delta(Profile::Balanced, Lane::of(&dtype), &bytes, &bytes, &mut out);
        assert_eq!((encoding, out.len()), (Encoding::Unchanged, 0), "{dtype}");
    }
}
