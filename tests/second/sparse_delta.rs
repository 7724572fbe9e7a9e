//! The `sparse-delta` encoding as its page tells it: a second reader, written from the page.

use super::coded::{Bits, parts};
use super::float_delta::{self, Float};

/// The chunk that is stored as `stored` against `base`.
pub fn decode(float: Float, stored: &[u8], base: &[u8]) -> Vec<u8> {
    let low = u64::from(stored[0]);
    let [runs, gaps @ .., changed] = parts::<10>(&stored[1..]);
    let live = live_blocks(runs, base.len().div_ceil(64 * float.bytes));

    // The elements of each class, by their numbers in the chunk.
    let mut classes: [Vec<usize>; 8] = Default::default();
    for (at, parent) in base.chunks(float.bytes).enumerate().filter(|(at, _)| live[at / 64]) {
        let parent = parent.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let exponent_bits = 8 * float.bytes as u32 - 1 - float.mantissa_bits;
        let exponent = parent >> float.mantissa_bits & ((1 << exponent_bits) - 1);
        let class = if exponent <= low { 0 } else { (exponent - low).min(7) };
        classes[class as usize].push(at);
    }
    let mut places: Vec<usize> = Vec::new();
    for (elements, gaps) in classes.iter().zip(gaps) {
        places.extend(numbers(gaps).into_iter().map(|number| elements[number]));
    }
    places.sort_unstable();

    let bytes_of = |at: &usize| at * float.bytes..(at + 1) * float.bytes;
    let parents: Vec<u8> = places.iter().flat_map(|at| base[bytes_of(at)].to_vec()).collect();
    let children = float_delta::decode(float, float_delta::TOTAL_2, changed, &parents);
    let mut out = base.to_vec();
    for (at, child) in places.iter().zip(children.chunks(float.bytes)) {
        out[bytes_of(at)].copy_from_slice(child);
    }
    out
}

/// Which blocks are live.
fn live_blocks(runs: &[u8], blocks: usize) -> Vec<bool> {
    if runs.is_empty() {
        return vec![true; blocks];
    }
    let mut bits = Bits::new(runs);
    let mut live = vec![false; bits.gamma() as usize - 1];
    let mut turn = true;
    while live.len() < blocks {
        live.extend(vec![turn; bits.gamma() as usize]);
        turn = !turn;
    }
    assert_eq!(live.len(), blocks, "no run leads behind the last block");
    bits.end();
    live
}

/// The numbers of the changed elements in the sequence of their class.
fn numbers(gaps: &[u8]) -> Vec<usize> {
    let mut bits = Bits::new(gaps);
    let (mut sum, mut count, mut next) = (16, 1, 0);
    let mut numbers = Vec::new();
    while bits.ones_left() {
        let b = (0..=15).rev().find(|b| count << b <= sum).unwrap_or(0);
        let mut t = 0;
        while bits.number(1) == 0 {
            t += 1;
        }
        assert!(t <= 16, "at most 16 zeros");
        let gap = if t == 16 { bits.number(32) } else { (t << b) + bits.number(b) };
        sum += gap.min(16 << b);
        count += 1;
        if count == 128 {
            (sum, count) = (sum / 2, count / 2);
        }
        numbers.push((next + gap) as usize);
        next += gap + 1;
    }
    bits.end();
    numbers
}
