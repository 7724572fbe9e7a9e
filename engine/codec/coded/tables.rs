//! Frequency tables told in a few bits a symbol, so that small tensors can pay for them.
//!
//! A table is a *level* for each symbol: the frequency's binary logarithm in quarters. That is
//! exact enough: it costs less than 0.002 bits a symbol.

use std::sync::LazyLock;

use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::float_delta::frequencies::{FINE, Histogram, SYMBOLS_MAX};

const TOTAL: u64 = 1 << FINE;
/// The level of the most frequent symbol; 0 is that of a symbol that does not occur.
const LEVEL_MAX: i32 = 49;
/// Weights of levels 1, 2, 3 and 4: fourths of an octave; each four levels more double them.
const QUARTERS: [u64; 4] = [16_384, 19_484, 23_170, 27_554];
/// About what a symbol that occurs adds to a table, in bits: for the encoder's choices.
pub(in crate::codec) const SYMBOL_BITS: f32 = 4.5;

/// A level for every symbol.
pub(in crate::codec) type Levels = [u8; SYMBOLS_MAX];

fn weight(level: u8) -> u64 {
    let place = u32::from(level.max(1) - 1);
    QUARTERS.get(place as usize % 4).map_or(0, |quarter| quarter << (place / 4))
}

/// The levels that counts are told as. No symbol at all gives no level.
pub(in crate::codec) fn levels(counts: &Histogram) -> Levels {
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut levels = [0; SYMBOLS_MAX];
    for (level, count) in levels.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
        let below = (4.0 * (f64::from(*count) / f64::from(most)).log2()).round() as i32;
        *level = (LEVEL_MAX + below).max(1) as u8;
    }
    levels
}

/// The frequencies that levels stand for: they sum to 2^12, or are all zero.
pub(in crate::codec) fn frequencies(levels: &Levels) -> Histogram {
    let mut freqs = [0; SYMBOLS_MAX];
    let occurs = levels.iter().filter(|level| **level > 0).count() as u64;
    if occurs == 0 {
        return freqs;
    }
    let sum: u64 = levels.iter().filter(|level| **level > 0).map(|level| weight(*level)).sum();
    let mut left = TOTAL;
    for (freq, level) in freqs.iter_mut().zip(levels).filter(|(_, level)| **level > 0) {
        let share = 1 + weight(*level) * (TOTAL - occurs) / sum;
        *freq = share as u32;
        left = left.saturating_sub(share);
    }
    // What rounding left goes to the first of the most frequent.
    let mut most = 0;
    for (at, level) in levels.iter().enumerate() {
        if levels.get(most).is_some_and(|known| level > known) {
            most = at;
        }
    }
    if let Some(freq) = freqs.get_mut(most) {
        *freq += left as u32;
    }
    freqs
}

/// Writes a table: how many symbols it has from the first to the last that occurs, the first, and
/// each level as its difference from the one before.
pub(in crate::codec) fn write(levels: &Levels, out: &mut BitWriter) {
    let occurs = |level: &u8| *level > 0;
    let Some(first) = levels.iter().position(occurs) else {
        out.put_gamma(1);
        return;
    };
    let last = levels.iter().rposition(occurs).unwrap_or(first);
    out.put_gamma((last - first) as u32 + 2);
    out.put(first as u32, 8);
    let mut before = LEVEL_MAX;
    for level in levels.get(first..=last).unwrap_or_default() {
        let difference = i32::from(*level) - before;
        out.put_gamma(((difference << 1) ^ (difference >> 31)) as u32 + 1);
        before = i32::from(*level);
    }
}

/// Reads what [`write`] wrote.
pub(in crate::codec) fn read(input: &mut BitReader<'_>) -> Result<Levels, String> {
    let mut levels = [0; SYMBOLS_MAX];
    let beyond = || "a table beyond its alphabet".to_owned();
    let len = input.take_gamma().ok_or_else(beyond)? as usize - 1;
    if len == 0 {
        return Ok(levels);
    }
    let first = input.take(8) as usize;
    let mut before = LEVEL_MAX;
    let places = first.checked_add(len).and_then(|end| levels.get_mut(first..end));
    for level in places.ok_or_else(beyond)? {
        let zigzag = input.take_gamma().ok_or_else(beyond)? - 1;
        before = before.saturating_add((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32));
        if !(0..=LEVEL_MAX).contains(&before) {
            return Err(format!("a frequency of level {before}"));
        }
        *level = before as u8;
    }
    Ok(levels)
}

/// Bits that coding so many symbols with their own frequencies takes.
pub(in crate::codec) fn entropy_bits<'c>(counts: impl Iterator<Item = &'c u32> + Clone) -> f32 {
    let total: u32 = counts.clone().sum();
    let own = |count: &u32| *count as f32 * log2_of(*count);
    let occurring = counts.filter(|count| **count > 0);
    total as f32 * log2_of(total.max(1)) - occurring.map(own).sum::<f32>()
}

/// The binary logarithm of a number, which is not 0; that of a small one is looked up.
pub(in crate::codec) fn log2_of(number: u32) -> f32 {
    static SMALL: LazyLock<Vec<f32>> =
        LazyLock::new(|| (0..1 << 12).map(|number| (number as f32).log2()).collect());
    SMALL.get(number as usize).copied().unwrap_or_else(|| (number as f32).log2())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tables_come_back_and_fill_the_total(
            counts in proptest::collection::vec((0usize..256, 0u32..1 << 24), 0..300),
        ) {
            let mut histogram = [0; SYMBOLS_MAX];
            for (symbol, count) in counts { histogram[symbol] = count; }
            let levels = levels(&histogram);
            let mut out = BitWriter::default();
            write(&levels, &mut out);
            let bytes = out.finish();
            let mut input = BitReader::new(&bytes);
            prop_assert_eq!(read(&mut input).unwrap(), levels);
            prop_assert!(input.is_finished());
            let freqs = frequencies(&levels);
            let sum: u32 = freqs.iter().sum();
            prop_assert_eq!(u64::from(sum), if levels == [0; 256] { 0 } else { TOTAL });
            for (freq, count) in freqs.iter().zip(&histogram) {
                prop_assert_eq!(*freq > 0, *count > 0);
            }
        }
    }
}
