//! How often symbols occur in each context: what rANS codes by.

use super::bits::{BitReader, BitWriter};

/// Frequencies that are told finely sum to 2 to this power.
pub(in crate::codec) const FINE: u32 = 12;

/// Those that are told coarsely sum to 2 to this power: tables are a quarter as long, and what rare
/// symbols cost more is less than what the frequencies themselves cost less.
pub(in crate::codec) const COARSE: u32 = 10;

/// A state is never below this between symbols, and below this times 2^16: 31 bits, so that the
/// encoder can divide by multiplying.
pub(in crate::codec) const STATE_MIN: u32 = 1 << 15;

/// The most symbols an alphabet has.
pub(in crate::codec) const SYMBOLS_MAX: usize = 256;

/// The most contexts a stream has.
pub(in crate::codec) const CONTEXTS_MAX: usize = 32;

/// How often each symbol of one context occurs.
pub(in crate::codec) type Histogram = [u32; SYMBOLS_MAX];

/// Scales counts to frequencies that sum to 2^`BITS`; what occurs keeps at least 1. All zeros stay
/// zeros.
pub(in crate::codec) fn normalise<const BITS: u32>(counts: &Histogram) -> Histogram {
    const { assert!(1 << BITS >= SYMBOLS_MAX) };
    let total = 1 << BITS;
    let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let mut freqs = [0; SYMBOLS_MAX];
    if sum == 0 {
        return freqs;
    }
    let scaled = |count: u32| (u64::from(count) * u64::from(total) / sum) as u32;
    for (freq, count) in freqs.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
        *freq = scaled(*count).max(1);
    }
    // Rounding leaves a little over or under: it goes where it costs least, to the most frequent.
    let mut order: Vec<usize> = (0..SYMBOLS_MAX).filter(|at| counts.get(*at) > Some(&0)).collect();
    order.sort_by_key(|at| std::cmp::Reverse(counts.get(*at)));
    loop {
        let sum: u32 = freqs.iter().sum();
        if sum == total {
            return freqs;
        }
        let mut rest = sum.abs_diff(total);
        for at in &order {
            let Some(freq) = freqs.get_mut(*at) else { continue };
            if rest == 0 {
                break;
            }
            if sum < total {
                let more = (rest / 2).max(1);
                *freq += more;
                rest -= more;
            } else if *freq > 1 {
                let less = (rest / 2).max(1).min(*freq - 1);
                *freq -= less;
                rest -= less;
            }
        }
    }
}

/// Writes one context's frequencies: for each symbol that occurs, how many do not before it, and
/// its frequency, both as gamma codes. They end where the sum is complete.
pub(in crate::codec) fn write_freqs(freqs: &Histogram, out: &mut BitWriter) {
    let mut gap = 1;
    for freq in freqs {
        if *freq == 0 {
            gap += 1;
            continue;
        }
        out.put_gamma(gap);
        out.put_gamma(*freq);
        gap = 1;
    }
}

/// Reads what [`write_freqs`] wrote of frequencies that sum to 2^`BITS`.
pub(in crate::codec) fn read_freqs<const BITS: u32>(
    input: &mut BitReader<'_>,
) -> Result<Histogram, String> {
    let total = 1 << BITS;
    let mut freqs = [0; SYMBOLS_MAX];
    let (mut symbol, mut sum) = (0usize, 0u32);
    while sum < total {
        let gap = input.take_gamma().ok_or("a symbol beyond the alphabet")?;
        let freq = input.take_gamma().ok_or("a frequency beyond the total")?;
        symbol += gap as usize - 1;
        sum = sum.saturating_add(freq);
        let slot = freqs.get_mut(symbol).ok_or("a symbol beyond the alphabet")?;
        if sum > total {
            return Err(format!("frequencies that sum to {sum}"));
        }
        *slot = freq;
        symbol += 1;
    }
    Ok(freqs)
}

/// A symbol with its context in the upper byte.
#[inline(always)]
pub(in crate::codec) fn coded(context: u8, symbol: u8) -> u16 {
    u16::from(context) << 8 | u16::from(symbol)
}

/// Symbols with contexts are below this.
pub(in crate::codec) const CODED_MAX: usize = CONTEXTS_MAX * SYMBOLS_MAX;
