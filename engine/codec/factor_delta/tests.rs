//! Chunks come back, factors and the width of the matrix are found, and no bytes panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::encode::found;
use super::{Columns, decode, encode};
use crate::codec::float_delta::FloatLayout;

/// A seeded stream of numbers near 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
            sum += (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5;
        }
        sum
    }
}

fn bytes_of(layout: FloatLayout, value: f32) -> Vec<u8> {
    match layout.mantissa_bits {
        7 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        10 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

/// A matrix that moved by two products and as much noise, cut out of a larger one.
fn moved(layout: FloatLayout, columns: Columns, elements: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random(7);
    let rows = columns.rows(elements);
    let rows: Vec<[f32; 2]> = (0..rows).map(|_| [random.next(), random.next()]).collect();
    let across: Vec<[f32; 2]> =
        (0..columns.width).map(|_| [random.next(), random.next()]).collect();
    let (mut chunk, mut base) = (Vec::new(), Vec::new());
    for at in 0..elements {
        let place = at + columns.phase;
        let (row, column) = (rows[place / columns.width], across[place % columns.width]);
        let parent = 0.1 * random.next();
        let step = row[0] * column[0] + row[1] * column[1] + 0.3 * random.next();
        base.extend(bytes_of(layout, parent));
        let parent = layout.value(match layout.bytes {
            2 => u32::from(u16::from_le_bytes(base[2 * at..].first_chunk().copied().unwrap())),
            _ => u32::from_le_bytes(base[4 * at..].first_chunk().copied().unwrap()),
        });
        chunk.extend(bytes_of(layout, parent + 0.002 * step));
    }
    (chunk, base)
}

fn stored(layout: FloatLayout, chunk: &[u8], base: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    encode(layout, chunk, base, &mut stored);
    let mut out = base.to_vec();
    decode(layout, &stored, &mut out).unwrap();
    assert!(out == chunk, "{layout:?}: {} bytes do not come back", chunk.len());
    stored
}

#[test]
fn width_phase_and_factors_are_found() {
    for (width, phase) in [(384, 128), (768, 512), (80, 0), (1024, 0)] {
        let columns = Columns { width, phase };
        let (chunk, base) = moved(FloatLayout::BF16, columns, 1 << 16);
        let (found, factors) = found(FloatLayout::BF16, &chunk, &base).unwrap();
        assert_eq!(found, columns);
        assert!(factors.products.len() >= 2, "of {width} columns");
    }
}

proptest! {
    #[test]
    fn floats_of_all_kinds_come_back(
        layout in proptest::sample::select(
            vec![FloatLayout::BF16, FloatLayout::F16, FloatLayout::F32]),
        base in proptest::collection::vec(
            prop_oneof![Just(0u32), Just(1), Just(0x8000_8000), Just(0x7f80_7c00),
                Just(0xff80_fc01), Just(0x7fff_7fff), 0u32..], 0..600),
        moves in proptest::collection::vec(-3i32..4, 600),
        wild in proptest::collection::vec((0usize..600, 0u32..), 0..20),
    ) {
        let mut child: Vec<u32> =
            base.iter().zip(&moves).map(|(base, step)| base.wrapping_add_signed(*step)).collect();
        for (at, bits) in wild {
            if let Some(element) = child.get_mut(at) { *element = bits; }
        }
        let bytes = |elements: &[u32]| -> Vec<u8> {
            elements.iter().flat_map(|e| e.to_le_bytes()).collect()
        };
        let (base, chunk) = (bytes(&base), bytes(&child));
        let stored = stored(layout, &chunk, &base);
        // A cut or hurt stream is an error or other bytes of the same length.
        for at in 0..stored.len().min(64) {
            let mut hurt = stored.clone();
            hurt[at] ^= 0x55;
            let mut out = base.clone();
            let _ = decode(layout, &hurt, &mut out);
            let mut out = base.clone();
            let _ = decode(layout, &stored[..at], &mut out);
        }
    }

}

proptest! {
    // Each is a search for factors.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn matrices_come_back_and_hurt_ones_do_not_panic(
        layout in proptest::sample::select(
            vec![FloatLayout::BF16, FloatLayout::F16, FloatLayout::F32]),
        width in 2usize..20,
        phase in 0usize..32,
        elements in 4_096usize..6_000,
        wild in proptest::collection::vec((0usize..4_096, 0u8..), 0..20),
        hurt in proptest::collection::vec((0usize..400, 0u8..), 8),
    ) {
        let columns = Columns { width: 16 * width, phase: phase % (16 * width) };
        let (mut chunk, mut base) = moved(layout, columns, elements);
        for (at, byte) in wild {
            chunk[at] = byte;
            base[at / 2] ^= byte;
        }
        let stored = stored(layout, &chunk, &base);
        for (at, bits) in hurt {
            let mut hurt = stored.clone();
            if let Some(byte) = hurt.get_mut(at) { *byte ^= bits; }
            let mut out = base.clone();
            let _ = decode(layout, &hurt, &mut out);
        }
    }
}
