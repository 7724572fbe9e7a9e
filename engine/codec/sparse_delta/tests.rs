//! Every chunk comes back, on every processor, and is what `format-spec.md` says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::decode::Parts;
use super::gaps::{GapReader, GapWriter};
use super::{decode, encode, gives, with_scratch};
use crate::codec::coded::parts::put_len;
use crate::codec::cpu::tests::on_every_way;
use crate::codec::cpu::{Cpu, on_cpu};
use crate::codec::float_delta::{self, FloatLayout};
use crate::codec::machine::Bits;
use crate::codec::rice_delta::tests::{LAYOUTS, Random, bytes_of, elements_of, parts};

#[path = "../../../tests/second"]
#[allow(unreachable_pub, dead_code, reason = "the tests of the page use it too, and all of it")]
mod page {
    pub mod coded;
    pub mod sparse_delta;

    pub(super) use crate::codec::tests::page as float_delta;
}

/// What a chunk becomes; every way writes the same.
fn encoded(layout: FloatLayout, base: &[u8], chunk: &[u8]) -> Option<Vec<u8>> {
    on_every_way(|| {
        let mut stored = b"before".to_vec();
        let done = encode(layout, chunk, base, &mut stored);
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

/// What the page makes of it.
fn read_by_page(layout: FloatLayout, base: &[u8], stored: &[u8]) -> Vec<u8> {
    let FloatLayout { bytes, mantissa_bits, .. } = layout;
    page::sparse_delta::decode(page::float_delta::Float { bytes, mantissa_bits }, stored, base)
}

/// What is checked before a chunk is stored.
fn is_believed(layout: FloatLayout, stored: &[u8], base: &[u8], chunk: &[u8]) -> bool {
    with_scratch(|scratch| {
        super::encode::encode(scratch, layout, chunk, base, &mut Vec::new());
        gives(scratch, layout, stored, base)
    })
}

/// Every way writes the same bytes, and all readers give the chunk back.
fn assert_comes_back(layout: FloatLayout, parents: &[u32], children: &[u32]) -> Option<Vec<u8>> {
    let (base, chunk) = (bytes_of(parents, layout.bytes), bytes_of(children, layout.bytes));
    let stored = encoded(layout, &base, &chunk)?;
    assert!(read_by_page(layout, &base, &stored) == chunk);
    assert!(decoded(layout, &base, &stored).unwrap() == chunk);
    for cpu in Cpu::available() {
        assert!(cpu.lowered(|| is_believed(layout, &stored, &base, &chunk)), "{cpu}");
    }
    Some(stored)
}

/// Weights: the smaller, the fewer; of every magnitude below the largest as many.
fn weights(random: &mut Random, layout: FloatLayout, len: usize) -> Vec<u32> {
    let largest = if layout.mantissa_bits == 10 { 13 } else { 121 };
    let weight = |_| {
        let exponent = largest - random.next().trailing_zeros().min(12);
        let mantissa = random.next() & ((1 << layout.mantissa_bits) - 1);
        let sign = if random.next() >> 31 == 1 { layout.sign() } else { 0 };
        sign | exponent << layout.mantissa_bits | mantissa
    };
    (0..len).map(weight).collect()
}

/// Which elements change.
#[derive(Clone, Copy, Debug)]
enum Which {
    /// One of so many.
    Any(u32),
    /// One of so many of the smallest weights; the probability halves with each exponent.
    Small(u32),
    /// One of so many, in one of sixteen runs of so many elements.
    Rows(u32, usize),
}

impl Which {
    fn has(self, random: &mut Random, layout: FloatLayout, at: usize, parent: u32) -> bool {
        let one_in = match self {
            Which::Any(one_in) => one_in,
            Which::Small(one_in) => {
                let exponent = (parent & layout.magnitude_mask()) >> layout.mantissa_bits;
                let least = if layout.mantissa_bits == 10 { 1 } else { 109 };
                one_in << exponent.saturating_sub(least).min(16)
            }
            Which::Rows(one_in, len) if (at / len).is_multiple_of(16) => one_in,
            Which::Rows(..) => return false,
        };
        random.next().is_multiple_of(one_in)
    }
}

/// Children that differ in few elements; of these one of so many by more than a step.
fn children(
    random: &mut Random,
    layout: FloatLayout,
    parents: &[u32],
    which: Which,
    wild: u32,
) -> Vec<u32> {
    let child = |(at, parent): (usize, &u32)| {
        if !which.has(random, layout, at, *parent) {
            return *parent;
        }
        match random.next() % (5 * wild) {
            0 => parent ^ layout.sign(),
            1 => parent & layout.sign(),
            2 => random.next(),
            // Infinity, and what is no number.
            3 => layout.magnitude_mask() >> layout.mantissa_bits << layout.mantissa_bits,
            4 => layout.magnitude_mask(),
            other if other.is_multiple_of(2) => parent.wrapping_add(1),
            _ => parent.wrapping_sub(1),
        }
    };
    parents.iter().enumerate().map(child).collect()
}

fn which() -> impl Strategy<Value = Which> {
    let one_in = proptest::sample::select(vec![8u32, 9, 12, 20, 50, 300]);
    (one_in, 0u32..3, 1usize..700).prop_map(|(one_in, kind, len)| match kind {
        0 => Which::Any(one_in),
        1 => Which::Small(1 + one_in / 8),
        _ => Which::Rows(one_in, len),
    })
}

proptest! {
    #[test]
    fn few_changes_of_all_kinds_come_back(
        layout in proptest::sample::select(LAYOUTS.to_vec()),
        parts in parts(),
        (usual, which) in (0usize..9000, which()),
        wild in proptest::sample::select(vec![1u32, 10, 1000]),
        seed in 0u64..,
        hurt in proptest::collection::vec((0usize..1 << 16, 1u8..), 0..20),
    ) {
        let mut random = Random(seed);
        let mut parents = elements_of(layout, &parts, seed, 0).0;
        parents.extend(weights(&mut random, layout, usual));
        let children = children(&mut random, layout, &parents, which, wild);
        if let Some(mut stored) = assert_comes_back(layout, &parents, &children) {
            let base = bytes_of(&parents, layout.bytes);
            let len = stored.len();
            for (at, bits) in hurt {
                // Most of them in the lengths and the first parts.
                let at = if at % 2 == 0 { at / 2 % 64 } else { at / 2 };
                stored[at % len] ^= bits;
                let _ = decoded(layout, &base, &stored);
            }
        }
    }

    /// Whatever runs and gaps are: where they lead to elements, the page says the same.
    #[test]
    fn arbitrary_parts_are_refused_or_decoded_alike(
        layout in proptest::sample::select(LAYOUTS.to_vec()),
        low in prop_oneof![0u8.., 105u8..125],
        runs in proptest::collection::vec(0u8.., 0..4),
        gaps in proptest::collection::vec(proptest::collection::vec(0u8.., 0..6), 8),
        (len, seed) in (0usize..3000, 0u64..),
    ) {
        let mut random = Random(seed);
        let base = bytes_of(&weights(&mut random, layout, len), layout.bytes);
        let mut stored = vec![low];
        let parts: Vec<&[u8]> = [&runs].into_iter().chain(&gaps).map(Vec::as_slice).collect();
        parts.iter().for_each(|part| put_len(part.len(), &mut stored));
        parts.iter().for_each(|part| stored.extend_from_slice(part));
        let found = with_scratch(|scratch| {
            let found = Parts::read(&stored).unwrap().find(layout, &base, scratch);
            found.map(|()| scratch.parents.clone())
        });
        if let Ok(parents) = &found {
            let children: Vec<u8> = parents.iter().map(|byte| byte ^ 1).collect();
            float_delta::encode(layout, &children, parents, &mut stored);
        }
        let out = decoded(layout, &base, &stored);
        prop_assert_eq!(out.as_ref().err(), found.as_ref().err());
        if let Ok(out) = out {
            prop_assert!(read_by_page(layout, &base, &stored) == out);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_decoded_alike(
        layout in proptest::sample::select(LAYOUTS.to_vec()),
        stored in proptest::collection::vec(prop_oneof![0u8.., 0u8..3], 0..500),
        base in proptest::collection::vec(0u8.., 0..1200),
    ) {
        let len = base.len() / layout.bytes * layout.bytes;
        let _ = decoded(layout, &base[..len], &stored);
        let _ = decode(layout, &stored, &mut vec![0; base.len()]);
    }

    /// Side by side, and as far apart as only the escaped code tells.
    #[test]
    fn gaps_come_back(
        gaps in proptest::collection::vec(
            prop_oneof![0usize..3, 0usize..200, 0usize..90_000],
            0..300,
        ),
        holes in proptest::sample::select(vec![u64::MAX, 0x5555_5555_5555_5555, 1 << 63, 0xff0f]),
        behind in 0usize..100,
    ) {
        let mut members: Vec<bool> = Vec::new();
        for gap in gaps {
            members.extend(std::iter::repeat_n(false, gap));
            members.push(true);
        }
        members.extend(std::iter::repeat_n(false, behind));
        let in_block = holes.count_ones() as usize;
        let blocks: Vec<u64> = members
            .chunks(in_block)
            .map(|members| {
                let word = (0..).zip(members).fold(0, |w, (at, one)| w | u64::from(*one) << at);
                crate::codec::cpu::Portable.deposit(word, holes)
            })
            .collect();
        let mut writer = GapWriter::new();
        blocks.iter().for_each(|changed| writer.put(holes, *changed));
        let stored = writer.finish();
        for cpu in Cpu::available() {
            let mut reader = GapReader::new(&stored);
            for changed in &blocks {
                let read = cpu.lowered(|| on_cpu!(cpu => reader.take_block(cpu, holes)));
                prop_assert_eq!(read, *changed, "{}", cpu);
            }
            prop_assert!(reader.is_finished());
        }
    }
}

/// The lengths around which something changes.
#[test]
fn short_and_long_chunks_come_back() {
    let mut random = Random(5);
    for layout in LAYOUTS {
        for len in [0, 1, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 16_385] {
            let parents = weights(&mut random, layout, len);
            assert_comes_back(layout, &parents, &parents);
            for place in [0, len / 2, len.saturating_sub(1)] {
                let mut children = parents.clone();
                children.iter_mut().skip(place).take(1).for_each(|child| *child ^= 1);
                let stored = assert_comes_back(layout, &parents, &children);
                assert!(stored.is_some() || len < 64, "{len} elements");
            }
        }
    }
}

/// What is checked before a chunk is stored notices a chunk that is another: by an element that
/// changed, by one that did not.
#[test]
fn another_chunk_is_noticed() {
    let base = bytes_of(&(0..1000).map(|at| 0x3f80_0000 + at * 999).collect::<Vec<u32>>(), 4);
    for at in [0, 252, 256, 2_000, 3_996] {
        let mut chunk = base.clone();
        chunk[at] ^= 1;
        let stored = encoded(FloatLayout::F32, &base, &chunk).unwrap();
        let gives = |chunk: &[u8]| is_believed(FloatLayout::F32, &stored, &base, chunk);
        assert!(gives(&chunk));
        for (other, bits) in [(at, 1), (at, 2), (0, 4), (1_024, 1), (3_999, 1)] {
            chunk[other] ^= bits;
            assert!(!gives(&chunk), "byte {other}, where byte {at} changed");
            chunk[other] ^= bits;
        }
    }
}

/// Why a chunk of 128 elements of one class with these parts is refused.
fn refused(runs: &[u8], gaps: &[u8]) -> String {
    let mut stored = vec![255];
    put_len(runs.len(), &mut stored);
    put_len(gaps.len(), &mut stored);
    stored.extend([0; 7]);
    stored.extend([runs, gaps].concat());
    decoded(FloatLayout::BF16, &[0; 256], &stored).unwrap_err()
}

#[test]
fn heads_that_no_writer_writes_are_refused() {
    let reason = |stored: &[u8], len| decoded(FloatLayout::F32, &vec![0; len], stored).unwrap_err();
    assert_eq!(reason(&[0; 30], 255), "255 bytes are not whole elements");
    assert_eq!(reason(&[], 256), "0 bytes, shorter than its parts");
    assert_eq!(reason(&[0; 9], 256), "lengths that do not end");
    assert_eq!(reason(&[255; 30], 256), "lengths that do not end");
    assert_eq!(reason(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1], 256), "11 bytes, shorter than its parts");
    // From the lowest bit up: the first run is empty (1), the second has two blocks (010), three
    // (011), or two with something behind.
    assert_eq!(refused(&[0b1101], &[]), "a run behind the last block");
    assert_eq!(refused(&[0], &[]), "a run that does not end");
    assert_eq!(refused(&[0b0101, 0], &[]), "runs of another length");
    assert_eq!(refused(&[0b1000_0101], &[]), "runs of another length");
    let open = "gaps that do not end with the chunk";
    // Eight times sixteen elements: behind the last of the 128.
    assert_eq!(refused(&[], &[0, 1]), open);
    // Nothing but zeros; a byte of zeros behind a gap; a gap whose low bits are cut off.
    assert_eq!(refused(&[], &[0]), open);
    assert_eq!(refused(&[], &[1, 0]), open);
    assert_eq!(refused(&[], &[0b1000_0000]), open);
    // Escaped, without its 32 bits and with them.
    assert_eq!(refused(&[], &[0, 0, 1]), open);
    assert_eq!(refused(&[], &[0, 0, 0xff, 0xff, 0xff, 0xff, 0x01]), open);
}

#[test]
fn streams_that_are_cut_are_refused() {
    let mut random = Random(9);
    let parents = weights(&mut random, FloatLayout::BF16, 2_000);
    let which = Which::Rows(12, 100);
    let children = children(&mut random, FloatLayout::BF16, &parents, which, 10);
    let stored = assert_comes_back(FloatLayout::BF16, &parents, &children).unwrap();
    let base = bytes_of(&parents, 2);
    for len in 0..stored.len() {
        assert!(decoded(FloatLayout::BF16, &base, &stored[..len]).is_err(), "{len} bytes");
    }
}

/// What the steps alone take, the elements that did not change among them.
fn steps_len(layout: FloatLayout, parents: &[u32], children: &[u32]) -> usize {
    let (base, chunk) = (bytes_of(parents, layout.bytes), bytes_of(children, layout.bytes));
    let mut steps = Vec::new();
    float_delta::encode(layout, &chunk, &base, &mut steps);
    steps.len()
}

/// Where it is used it is no loss, but for the lengths of its parts in a short chunk.
#[test]
fn it_is_not_larger_than_the_steps_alone() {
    let mut random = Random(3);
    let (mut seen, mut larger) = (0, Vec::new());
    let any = [1_000, 100, 33, 20, 10].map(Which::Any);
    let others = [Which::Small(1), Which::Small(3), Which::Rows(20, 128), Which::Rows(9, 1000)];
    for layout in LAYOUTS {
        for (len, wild) in
            [5_000, 40_000, 300_000].map(|len| [3, 20, 1_000].map(|w| (len, w))).as_flattened()
        {
            for which in any.iter().chain(&others) {
                let parents = weights(&mut random, layout, *len);
                let children = children(&mut random, layout, &parents, *which, *wild);
                let Some(stored) = assert_comes_back(layout, &parents, &children) else { continue };
                seen += 1;
                let changed = parents.iter().zip(&children).filter(|(p, c)| p != c).count();
                let (part, head) = match layout.bytes {
                    // As much as that is lost by codes of whole bits.
                    2 if changed * 12 > *len => (0.007, 24.0),
                    2 => (0.003, 24.0),
                    // Steps that are short and dense look like a function of the parent to the
                    // coder of steps, when they are many; they are not.
                    _ if changed >= 1 << 13 => (0.12, 24.0),
                    _ => (0.003, 80.0),
                };
                let steps = steps_len(layout, &parents, &children) as f64;
                let what = format!("{} bits, {len}, {which:?}, {wild}", layout.mantissa_bits);
                let stored = stored.len() as f64;
                if stored > steps * (1.0 + part) + head {
                    larger.push(format!("{what}: {stored} of {steps}"));
                }
            }
        }
    }
    assert!(larger.is_empty(), "{}", larger.join("\n"));
    assert!(seen > 200, "only {seen} chunks");
}

/// What it is for: of weights of which the small ones changed, classes tell which in less.
#[test]
fn changes_of_small_weights_take_a_quarter_less() {
    let mut random = Random(4);
    for layout in LAYOUTS {
        let parents = weights(&mut random, layout, 300_000);
        let children = children(&mut random, layout, &parents, Which::Small(1), 1_000);
        let stored = assert_comes_back(layout, &parents, &children).unwrap().len();
        let steps = steps_len(layout, &parents, &children);
        assert!(4 * stored <= 3 * steps, "{stored} of {steps}");
    }
}
