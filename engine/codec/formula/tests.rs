//! Tests of the formulas against plain arithmetic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::cast::{FloatType, cast};
use super::{AbsmaxOrder, Formula};
use crate::tensor::Dtype;

/// The nearest bfloat16, found by looking at both neighbours.
fn naive_brain(value: f32) -> u16 {
    let low = (value.to_bits() >> 16) as u16;
    let candidates = [low, low.wrapping_add(1)];
    let of = |bits: u16| match bits & 0x7fff {
        // The value that would follow the largest: the tie lies half-way to it.
        0x7f80 => f64::from(f32::from_bits(0x7f7f_0000)) * (256.0 / 255.0),
        _ => f64::from(f32::from_bits(u32::from(bits & 0x7fff) << 16)),
    };
    let distance = |bits: &u16| (f64::from(value.abs()) - of(*bits)).abs();
    let (a, b) = (distance(&candidates[0]), distance(&candidates[1]));
    if a < b || (a == b && low & 1 == 0) { candidates[0] } else { candidates[1] }
}

proptest! {
    #[test]
    fn every_range_of_a_formula_is_a_part_of_the_whole(
        which in 0usize..16,
        columns in 1u64..40,
        values in proptest::collection::vec(any::<u32>(), 0..200),
        longer in 0u64..60,
        cut in any::<proptest::sample::Selector>(),
    ) {
        let base: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let orders = AbsmaxOrder::ALL;
        let (formula, own, from, unit) = match which {
            0 => (Formula::Resize, Dtype::F32, Dtype::F32, 4u64),
            1 => (Formula::cast(&Dtype::F32, &Dtype::Bf16).unwrap(), Dtype::Bf16, Dtype::F32, 2),
            2 => (Formula::cast(&Dtype::F16, &Dtype::F32).unwrap(), Dtype::F32, Dtype::F16, 4),
            3 => (Formula::cast(&Dtype::F64, &Dtype::F16).unwrap(), Dtype::F16, Dtype::F64, 2),
            4 => {
                let child: Vec<u8> = base.iter().map(|b| b.wrapping_mul(3)).collect();
                let formula = Formula::requantise(columns, &base, &child).unwrap();
                (formula, Dtype::I8, Dtype::I8, 1)
            }
            11 => {
                let formula = Formula::cast(&Dtype::F32, &Dtype::F8E5M2).unwrap();
                (formula, Dtype::F8E5M2, Dtype::F32, 1)
            }
            12 => {
                let formula = Formula::cast(&Dtype::F8E4M3, &Dtype::F64).unwrap();
                (formula, Dtype::F64, Dtype::F8E4M3, 8)
            }
            14 => {
                let parameters = [0x66, 0x66, 0x66, 0x3f, columns as u8, 0, (columns % 3) as u8];
                let types = (Dtype::Bf16, Dtype::Bf16);
                let formula = Formula::parse(14, &types.0, std::slice::from_ref(&types.1), &parameters);
                (formula.unwrap(), types.0, types.1, 2)
            }
            15 => {
                let parameters = [0, 0, 0xc0, 0x3f, (columns % 2) as u8];
                let formula = Formula::parse(15, &Dtype::F8E5M2, &[Dtype::F32], &parameters);
                (formula.unwrap(), Dtype::F8E5M2, Dtype::F32, 1)
            }
            13 => {
                let formula = Formula::cast(&Dtype::F8E5M2Fnuz, &Dtype::F8E4M3).unwrap();
                (formula, Dtype::F8E4M3, Dtype::F8E5M2Fnuz, 1)
            }
            order => {
                let (to, order) = match order.checked_sub(8) {
                    Some(order) => (Dtype::F8E4M3, orders[order]),
                    None => (Dtype::I8, orders[order - 5]),
                };
                let formula = Formula::absmax(&Dtype::F32, &to, columns, order).unwrap();
                (formula, to, Dtype::F32, 1)
            }
        };
        let bytes = formula.parameters();
        let read = Formula::parse(formula.code(), &own, std::slice::from_ref(&from), &bytes);
        // NaN factors are equal in their bits only.
        prop_assert_eq!(read.unwrap().parameters(), bytes);
        let len = (values.len() as u64 + longer) * unit;
        let predict = |range: std::ops::Range<u64>| {
            let need = formula.needs(&range)[0].clone();
            let end = need.end.min(base.len() as u64);
            let part = &base[need.start.min(end) as usize..end as usize];
            let mut out = vec![7; (range.end - range.start) as usize];
            formula.predict(&range, &[part], &mut out);
            out
        };
        let whole = predict(0..len);
        let cut = cut.select(0..=len / unit) * unit;
        prop_assert_eq!([predict(0..cut), predict(cut..len)].concat(), whole);
    }

    #[test]
    fn parsing_arbitrary_parameters_is_an_error_or_a_formula(
        code in 0u8..17,
        own in 0u8..23,
        base in 1u8..23,
        parameters in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let own = Dtype::from_code(own).unwrap_or(Dtype::I8);
        let base = Dtype::from_code(base).unwrap();
        if let Ok(formula) = Formula::parse(code, &own, &[base], &parameters) {
            let need = formula.needs(&(0..64))[0].clone();
            prop_assert!(need.end - need.start <= super::ROW_BYTES_MAX * 64);
            formula.predict(&(0..64), &[&parameters], &mut [0; 64]);
        }
    }

    #[test]
    fn brain_floats_are_the_nearest(bits in any::<u32>()) {
        let value = f32::from_bits(bits);
        let mut out = [0; 2];
        cast(FloatType::F32, FloatType::Bf16, &value.to_le_bytes(), &mut out);
        let out = u16::from_le_bytes(out);
        if value.is_nan() {
            prop_assert_eq!(out, (bits >> 16) as u16 | 0x40);
        } else if value.is_finite() {
            prop_assert_eq!(out, naive_brain(value));
        }
    }
}

#[test]
fn every_half_survives_the_way_through_wider_floats() {
    for (narrow, quiet) in [(FloatType::F16, 0x0200), (FloatType::Bf16, 0x0040)] {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(|bits| bits.to_le_bytes()).collect();
        for wide in [FloatType::F32, FloatType::F64] {
            let mut widened = vec![0; all.len() / 2 * wide.bytes()];
            cast(narrow, wide, &all, &mut widened);
            let mut back = vec![0; all.len()];
            cast(wide, narrow, &widened, &mut back);
            for (before, after) in all.as_chunks::<2>().0.iter().zip(back.as_chunks::<2>().0) {
                let (before, after) = (u16::from_le_bytes(*before), u16::from_le_bytes(*after));
                let infinity = if quiet == 0x0200 { 0x7c00 } else { 0x7f80 };
                let nan = before & 0x7fff > infinity;
                assert_eq!(after, if nan { before | quiet } else { before });
            }
        }
    }
}

#[test]
fn absmax_and_requantising_by_hand() {
    let floats = [1.0f32, -2.0, 0.5, 0.0, 0.0, 0.0, 3.0, f32::NAN, -1.5];
    let base: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    for order in AbsmaxOrder::ALL {
        let formula = Formula::absmax(&Dtype::F32, &Dtype::I8, 3, order).unwrap();
        let mut out = [9; 10];
        formula.predict(&(0..10), &[&base], &mut out);
        // 63.5 is a tie, 31.75 is not; the tenth element has no base.
        assert_eq!(out.map(|b| b as i8), [64, -127, 32, 0, 0, 0, 127, 0, -64, 0]);
    }
    let bytes = |values: &[i8]| values.iter().map(|v| *v as u8).collect::<Vec<u8>>();
    let (old, new) = (bytes(&[10, -20, 100, 7]), bytes(&[12, -24, 120, 0]));
    let formula = Formula::requantise(3, &old, &new).unwrap();
    let mut out = [0; 4];
    formula.predict(&(0..4), &[&old], &mut out);
    assert_eq!(out.map(|b| b as i8), [12, -24, 120, 7]);
}
