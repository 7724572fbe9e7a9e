//! Every chunk comes back, on every processor, and is what `format-spec.md` says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::FloatLayout;
use super::decode::{decode, gives};
use super::encode::encode;
use crate::codec::cpu::Cpu;
use crate::codec::cpu::tests::on_every_way;

#[path = "../../../tests/second/rice_delta.rs"]
#[allow(unreachable_pub, reason = "the tests of the page use it too")]
mod page;

pub(in crate::codec) const LAYOUTS: [FloatLayout; 3] =
    [FloatLayout::F16, FloatLayout::BF16, FloatLayout::F32];

pub(in crate::codec) fn bytes_of(elements: &[u32], bytes: usize) -> Vec<u8> {
    elements.iter().flat_map(|e| e.to_le_bytes().into_iter().take(bytes)).collect()
}

/// What a chunk becomes; every way writes the same.
fn encoded(layout: FloatLayout, base: &[u8], chunk: &[u8]) -> Option<Vec<u8>> {
    on_every_way(|| {
        let mut stored = b"before".to_vec();
        let done = encode(&mut super::Scratch::default(), layout, chunk, base, &mut stored);
        let stored = stored.strip_prefix(b"before").unwrap().to_vec();
        assert!(done || stored.is_empty());
        done.then_some(stored)
    })
}

/// What is read; every way reads the same.
fn decoded(layout: FloatLayout, base: &[u8], stored: &[u8]) -> Result<Vec<u8>, String> {
    on_every_way(|| {
        let mut out = base.to_vec();
        decode(layout, stored, &mut out).map(|()| out)
    })
}

/// Every way writes the same bytes, and all readers give the chunk back.
fn assert_comes_back(layout: FloatLayout, parents: &[u32], children: &[u32]) -> Option<Vec<u8>> {
    let (base, chunk) = (bytes_of(parents, layout.bytes), bytes_of(children, layout.bytes));
    let stored = encoded(layout, &base, &chunk)?;
    let float = page::Float { bytes: layout.bytes, mantissa_bits: layout.mantissa_bits };
    assert!(page::decode(float, &stored, &base) == chunk);
    assert!(decoded(layout, &base, &stored).unwrap() == chunk);
    for cpu in Cpu::available() {
        assert!(cpu.lowered(|| gives(layout, &stored, &base, &chunk)), "{cpu}");
    }
    Some(stored)
}

fn element() -> impl Strategy<Value = u32> {
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
    prop_oneof![proptest::sample::select(edges.to_vec()), 0u32..]
}

/// What happens to a run of elements.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) enum Change {
    Nothing,
    /// Up to so many steps.
    Steps(u32),
    Shift(i32),
    To(u32),
    /// To zero, the sign kept, for one in so many.
    Zeroed(u32),
    Wild,
}

pub(in crate::codec) fn parts() -> impl Strategy<Value = Vec<(u32, u32, Change, usize)>> {
    let change = prop_oneof![
        Just(Change::Nothing),
        (1u32..2000).prop_map(Change::Steps),
        (1u32..1 << 28).prop_map(Change::Steps),
        any::<i32>().prop_map(Change::Shift),
        (-9i32..10).prop_map(Change::Shift),
        element().prop_map(Change::To),
        (1u32..5).prop_map(Change::Zeroed),
        Just(Change::Wild),
    ];
    let spread = proptest::sample::select(vec![0u32, 1, 0xff, 0xffff, 0x7f_ffff, u32::MAX]);
    let len = proptest::sample::select(vec![1usize, 5, 63, 64, 64, 64, 65, 128, 500]);
    proptest::collection::vec((element(), spread, change, len), 1..12)
}

/// A seeded stream of pseudo-random numbers.
pub(in crate::codec) struct Random(pub(in crate::codec) u64);

impl Random {
    pub(in crate::codec) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }
}

pub(in crate::codec) fn elements_of(
    layout: FloatLayout,
    parts: &[(u32, u32, Change, usize)],
    seed: u64,
    outliers: u32,
) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random(seed);
    let (mut parents, mut children) = (Vec::new(), Vec::new());
    for (value, spread, change, len) in parts {
        for _ in 0..*len {
            let parent = value ^ random.next() & spread;
            let wild = random.next() % 1000 < outliers;
            parents.push(parent);
            children.push(match change {
                _ if wild => random.next(),
                Change::Nothing => parent,
                Change::Steps(most) => {
                    parent.wrapping_add(random.next() % most).wrapping_sub(most / 2)
                }
                Change::Shift(steps) => parent.wrapping_add_signed(*steps),
                Change::To(child) => *child,
                Change::Zeroed(one_in) => {
                    let zeroed = random.next().is_multiple_of(*one_in);
                    if zeroed { parent & layout.sign() } else { parent }
                }
                Change::Wild => random.next(),
            });
        }
    }
    (parents, children)
}

proptest! {
    #[test]
    fn blocks_of_all_kinds_come_back(
        layout in proptest::sample::select(LAYOUTS.to_vec()),
        parts in parts(),
        seed in 0u64..,
        outliers in proptest::sample::select(vec![0u32, 0, 5, 100]),
        kept in proptest::sample::select(vec![0u32, 0, 0, 3, 7, 16, 23]),
        hurt in proptest::collection::vec((0usize..1 << 16, 1u8..), 0..20),
    ) {
        let (parents, mut children) = elements_of(layout, &parts, seed, outliers);
        for (child, parent) in children.iter_mut().zip(&parents) {
            let mask = (1 << kept.min(layout.mantissa_bits)) - 1;
            *child = *child & !mask | parent & mask;
        }
        if let Some(mut stored) = assert_comes_back(layout, &parents, &children) {
            let base = bytes_of(&parents, layout.bytes);
            let len = stored.len();
            for (at, bits) in hurt {
                // Most of them in the modes and scales.
                let at = if at % 2 == 0 { at / 2 % 64 } else { at / 2 };
                stored[at % len] ^= bits;
                let _ = decoded(layout, &base, &stored);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_decoded_alike(
        layout in proptest::sample::select(LAYOUTS.to_vec()),
        kept in 0u8..30,
        mut stored in proptest::collection::vec(0u8.., 1..2000),
        base in proptest::collection::vec(0u8.., 0..1200),
    ) {
        stored[0] = kept;
        let len = base.len() / layout.bytes * layout.bytes;
        let _ = decoded(layout, &base[..len], &stored);
        let _ = decode(layout, &stored, &mut vec![0; base.len()]);
    }
}

/// The lengths around which something changes.
#[test]
fn short_and_long_chunks_come_back() {
    for layout in LAYOUTS {
        for len in [0u32, 1, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 16_385] {
            let parents: Vec<u32> = (0..len).map(|at| at.wrapping_mul(0x9e37_79b9)).collect();
            assert_comes_back(layout, &parents, &parents);
            let children: Vec<u32> =
                parents.iter().map(|parent| parent.wrapping_add(parent >> 13 & 7)).collect();
            assert_comes_back(layout, &parents, &children);
            assert_comes_back(layout, &children, &vec![0; len as usize]);
        }
    }
}

/// What is checked before a chunk is stored notices a chunk that is another.
#[test]
fn another_chunk_is_noticed() {
    let base = bytes_of(&(0..1000).map(|at| 0x3f80_0000 + at * 999).collect::<Vec<u32>>(), 4);
    for at in [0, 1, 255, 256, 2_000, 3_996, 3_999] {
        let mut chunk = base.clone();
        chunk[at] ^= 1;
        let mut stored = Vec::new();
        assert!(super::encode(FloatLayout::F32, &chunk, &base, &mut stored));
        assert!(gives(FloatLayout::F32, &stored, &base, &chunk));
        chunk[at] ^= 2;
        assert!(!gives(FloatLayout::F32, &stored, &base, &chunk), "byte {at}");
    }
}

#[test]
fn modes_behind_the_last_block_are_refused() {
    let reason = decode(FloatLayout::F32, &[0, 0b100, 9], &mut [0; 256]).unwrap_err();
    assert_eq!(reason, "modes behind the last block");
    let reason = decode(FloatLayout::F32, &[0, 0], &mut [0; 255]).unwrap_err();
    assert_eq!(reason, "255 bytes are not whole elements");
    let reason = decode(FloatLayout::BF16, &[8, 0], &mut [0; 128]).unwrap_err();
    assert_eq!(reason, "8 bits kept of a mantissa");
}

/// Numbers that were widened from fewer bits are stored as if they had not been.
#[test]
fn widened_numbers_cost_what_they_did_before() {
    let mut random = Random(3);
    let parents: Vec<u32> = (0..20_000).map(|_| 0x3d00 + random.next() % 0x180).collect();
    let children: Vec<u32> = parents.iter().map(|p| p + random.next() % 3).collect();
    let widened = |elements: &[u32]| -> Vec<u32> { elements.iter().map(|e| e << 16).collect() };
    let narrow = assert_comes_back(FloatLayout::BF16, &parents, &children).unwrap();
    let wide =
        assert_comes_back(FloatLayout::F32, &widened(&parents), &widened(&children)).unwrap();
    assert!(wide.len() < narrow.len() + narrow.len() / 50, "{} {}", wide.len(), narrow.len());
}
