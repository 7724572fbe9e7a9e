//! Interleaved range-variant asymmetric numeral systems (rANS) with static tables per context.
//!
//! Symbols are dealt to `LANES` states in turn: symbol `i` belongs to state `i % LANES`. A state
//! is 31 bits, refilled by 16 from one stream of words that all states share, in the order in
//! which the symbols are decoded. Frequencies of a context sum to 2^12.
//!
//! After J. Duda, "Asymmetric numeral systems" (2013), and F. Giesen, "Interleaved entropy
//! coders" (2014).

use super::bits::{BitReader, BitWriter};

/// Frequencies sum to 2^`PRECISION_BITS`.
pub(in crate::codec) const PRECISION_BITS: u32 = 12;
const TOTAL: u32 = 1 << PRECISION_BITS;
/// A state is never below this between symbols, and below this times 2^16: 31 bits, so that the
/// encoder can divide by multiplying.
pub(super) const STATE_MIN: u32 = 1 << 15;
/// The most symbols an alphabet has.
pub(in crate::codec) const SYMBOLS_MAX: usize = 256;
/// The most contexts a stream has.
pub(in crate::codec) const CONTEXTS_MAX: usize = 32;

/// How often each symbol of one context occurs.
pub(in crate::codec) type Histogram = [u32; SYMBOLS_MAX];

/// Scales counts to frequencies that sum to [`TOTAL`]; what occurs keeps at least 1. All zeros
/// stay zeros.
pub(super) fn normalise(counts: &Histogram) -> Histogram {
    let sum: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let mut freqs = [0; SYMBOLS_MAX];
    if sum == 0 {
        return freqs;
    }
    let scaled = |count: u32| (u64::from(count) * u64::from(TOTAL) / sum) as u32;
    for (freq, count) in freqs.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
        *freq = scaled(*count).max(1);
    }
    // Rounding leaves a little over or under: it goes where it costs least, to the most frequent.
    let mut order: Vec<usize> = (0..SYMBOLS_MAX).filter(|at| counts.get(*at) > Some(&0)).collect();
    order.sort_by_key(|at| std::cmp::Reverse(counts.get(*at)));
    loop {
        let sum: u32 = freqs.iter().sum();
        if sum == TOTAL {
            return freqs;
        }
        let mut rest = TOTAL.abs_diff(sum);
        for at in &order {
            let Some(freq) = freqs.get_mut(*at) else { continue };
            if rest == 0 {
                break;
            }
            if sum < TOTAL {
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
pub(super) fn write_freqs(freqs: &Histogram, out: &mut BitWriter) {
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

/// Reads what [`write_freqs`] wrote.
pub(super) fn read_freqs(input: &mut BitReader<'_>) -> Result<Histogram, String> {
    let mut freqs = [0; SYMBOLS_MAX];
    let (mut symbol, mut sum) = (0usize, 0u32);
    while sum < TOTAL {
        let gap = input.take_gamma().ok_or("a symbol beyond the alphabet")?;
        let freq = input.take_gamma().ok_or("a frequency beyond the total")?;
        symbol += gap as usize - 1;
        sum = sum.saturating_add(freq);
        let slot = freqs.get_mut(symbol).ok_or("a symbol beyond the alphabet")?;
        if sum > TOTAL {
            return Err(format!("frequencies that sum to {sum}"));
        }
        *slot = freq;
        symbol += 1;
    }
    Ok(freqs)
}

/// What coding one symbol needs, with the division by its frequency made a multiplication.
#[derive(Clone, Copy, Debug, Default)]
struct EncodeStep {
    state_max: u64,
    reciprocal: u32,
    shift: u32,
    bias: u32,
    complement: u32,
}

impl EncodeStep {
    fn new(start: u32, freq: u32) -> Self {
        let state_max = u64::from(freq) << (31 - PRECISION_BITS);
        let complement = TOTAL - freq;
        if freq < 2 {
            let bias = start + TOTAL - 1;
            return EncodeStep { state_max, reciprocal: u32::MAX, shift: 0, bias, complement };
        }
        let shift = 32 - (freq - 1).leading_zeros();
        let reciprocal = ((1u64 << (shift + 31)).div_ceil(u64::from(freq))) as u32;
        EncodeStep { state_max, reciprocal, shift: shift - 1, bias: start, complement }
    }
}

/// Encodes symbols with their contexts.
#[derive(Debug)]
pub(in crate::codec) struct Encoder {
    steps: Vec<[EncodeStep; SYMBOLS_MAX]>,
}

impl Encoder {
    /// An encoder for contexts of these frequencies.
    pub(in crate::codec) fn new(contexts: &[Histogram]) -> Self {
        let steps = contexts.iter().map(|freqs| {
            let mut start = 0;
            let mut steps = [EncodeStep::default(); SYMBOLS_MAX];
            for (step, freq) in steps.iter_mut().zip(freqs).filter(|(_, freq)| **freq > 0) {
                *step = EncodeStep::new(start, *freq);
                start += freq;
            }
            steps
        });
        Encoder { steps: steps.collect() }
    }

    /// The stream of `symbols`, each with its place in `contexts`; every symbol has a frequency there. First
    /// the states, 4 bytes each, then the words, 2 bytes each.
    #[expect(clippy::indexing_slicing, reason = "lanes are taken modulo their number")]
    pub(in crate::codec) fn encode<const LANES: usize>(
        &self,
        contexts: &[u8],
        symbols: &[u8],
    ) -> Vec<u8> {
        let mut states = [STATE_MIN; LANES];
        let mut words: Vec<u16> = Vec::with_capacity(symbols.len() / 2 + 16);
        for (at, (context, symbol)) in contexts.iter().zip(symbols).enumerate().rev() {
            let step = &self.steps[usize::from(*context)][usize::from(*symbol)];
            let mut state = states[at % LANES];
            if u64::from(state) >= step.state_max {
                words.push(state as u16);
                state >>= 16;
            }
            let quotient =
                ((u64::from(state) * u64::from(step.reciprocal)) >> 32) as u32 >> step.shift;
            states[at % LANES] =
                state.wrapping_add(step.bias).wrapping_add(quotient.wrapping_mul(step.complement));
        }
        let mut out = Vec::with_capacity(4 * LANES + 2 * words.len());
        states.iter().for_each(|state| out.extend_from_slice(&state.to_le_bytes()));
        words.iter().rev().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out
    }
}

/// For every context and slot: the symbol (8 bits), its frequency less one (12 bits), and the
/// slot's place among the symbol's (12 bits).
#[derive(Debug)]
pub(in crate::codec) struct DecodeTable {
    entries: Vec<u32>,
    /// The largest context.
    context_max: u8,
}

impl DecodeTable {
    /// A table for contexts of these frequencies. A context that is not there decodes as the last
    /// one, one without symbols as symbol 0.
    pub(in crate::codec) fn new(contexts: &[Histogram]) -> Self {
        let count = contexts.len().clamp(1, CONTEXTS_MAX);
        let mut entries: Vec<u32> = Vec::with_capacity(count << PRECISION_BITS);
        for freqs in contexts.iter().take(count) {
            let start = entries.len();
            for (symbol, freq) in freqs.iter().enumerate().filter(|(_, freq)| **freq > 0) {
                let packed = symbol as u32 | (freq - 1) << 8;
                entries.extend((0..*freq).map(|place| packed | place << 20));
            }
            entries.resize(start + TOTAL as usize, 0);
        }
        entries.resize(count << PRECISION_BITS, 0);
        DecodeTable { entries, context_max: (count - 1) as u8 }
    }
}

/// Decodes symbols.
#[derive(Debug)]
pub(in crate::codec) struct Decoder<'a, const LANES: usize> {
    states: [u32; LANES],
    words: &'a [u8],
    /// Whether wide registers may be used.
    wide: bool,
}

impl<'a, const LANES: usize> Decoder<'a, LANES> {
    /// A decoder of a stream.
    pub(in crate::codec) fn new(stream: &'a [u8]) -> Result<Self, String> {
        let (head, words) = stream
            .split_at_checked(4 * LANES)
            .ok_or_else(|| format!("{} bytes, shorter than the states", stream.len()))?;
        let mut states = [0; LANES];
        for (state, bytes) in states.iter_mut().zip(head.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
        }
        #[cfg(target_arch = "x86_64")]
        let wide = super::rans_avx512::is_available();
        #[cfg(not(target_arch = "x86_64"))]
        let wide = false;
        Ok(Decoder { states, words, wide })
    }

    /// Only the portable rounds, for tests.
    #[cfg(test)]
    fn portable(mut self) -> Self {
        self.wide = false;
        self
    }

    /// Decodes the next symbols, one for each of `contexts`, into `symbols`. The first belongs to
    /// state 0, so every call but the last is for a multiple of `LANES`. Contexts beyond the
    /// table's are held down to its last.
    #[inline]
    pub(in crate::codec) fn decode(
        &mut self,
        table: &DecodeTable,
        contexts: &mut [u8],
        symbols: &mut [u8],
    ) {
        contexts.iter_mut().for_each(|context| *context = (*context).min(table.context_max));
        let done = self.decode_wide(table, contexts, symbols);
        let contexts = contexts.get(done..).unwrap_or_default();
        let symbols = symbols.get_mut(done..).unwrap_or_default();
        for (contexts, symbols) in contexts.chunks(LANES).zip(symbols.chunks_mut(LANES)) {
            self.round(table, contexts, symbols);
        }
    }

    /// Decodes as many whole rounds as the processor's wide registers can; says how many symbols.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn decode_wide(&mut self, table: &DecodeTable, contexts: &[u8], symbols: &mut [u8]) -> usize {
        use super::rans_avx512;

        let Some(states) = self.states.first_chunk_mut::<{ rans_avx512::LANES }>() else {
            return 0;
        };
        if LANES != rans_avx512::LANES || !self.wide {
            return 0;
        }
        // SAFETY: `wide` was set by `is_available`. `decode` holds every context down to
        // `context_max`, and the table has `(context_max + 1) << PRECISION_BITS` entries.
        let (done, used) =
            unsafe { rans_avx512::rounds(states, &table.entries, self.words, contexts, symbols) };
        self.words = self.words.get(used..).unwrap_or_default();
        done
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn decode_wide(&mut self, _: &DecodeTable, _: &[u8], _: &mut [u8]) -> usize {
        0
    }

    #[inline]
    fn round(&mut self, table: &DecodeTable, contexts: &[u8], symbols: &mut [u8]) {
        let lanes = self.states.iter_mut().zip(contexts).zip(symbols);
        for ((state, context), symbol) in lanes {
            let slot = usize::from(*context) << PRECISION_BITS | (*state & (TOTAL - 1)) as usize;
            let entry = table.entries.get(slot).copied().unwrap_or(0);
            *symbol = entry as u8;
            let freq = (entry >> 8 & (TOTAL - 1)) + 1;
            let next = freq.wrapping_mul(*state >> PRECISION_BITS).wrapping_add(entry >> 20);
            *state = if next < STATE_MIN {
                let word = match self.words.split_first_chunk::<2>() {
                    Some((word, rest)) => {
                        self.words = rest;
                        u16::from_le_bytes(*word)
                    }
                    None => 0,
                };
                next << 16 | u32::from(word)
            } else {
                next
            };
        }
    }

    /// Whether the stream ended where it must: all words read, all states as they began.
    pub(in crate::codec) fn is_finished(&self) -> bool {
        self.words.is_empty() && self.states.iter().all(|state| *state == STATE_MIN)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn round_trip<const LANES: usize>(symbols: &[(u8, u8)]) {
        let mut counts = vec![[0u32; SYMBOLS_MAX]; 3];
        for (context, symbol) in symbols {
            counts[usize::from(*context)][usize::from(*symbol)] += 1;
        }
        let freqs: Vec<Histogram> = counts.iter().map(normalise).collect();
        let mut bits = BitWriter::default();
        freqs
            .iter()
            .filter(|freqs| freqs.iter().any(|f| *f > 0))
            .for_each(|freqs| write_freqs(freqs, &mut bits));
        let bits = bits.finish();
        let mut input = BitReader::new(&bits);
        for freqs in freqs.iter().filter(|freqs| freqs.iter().any(|f| *f > 0)) {
            assert_eq!(&read_freqs(&mut input).unwrap(), freqs);
            assert_eq!(freqs.iter().sum::<u32>(), TOTAL);
        }
        let (contexts, plain): (Vec<u8>, Vec<u8>) = symbols.iter().copied().unzip();
        let stream = Encoder::new(&freqs).encode::<LANES>(&contexts, &plain);
        let table = DecodeTable::new(&freqs);
        let decoder = Decoder::<LANES>::new(&stream).unwrap();
        let portable = Decoder::<LANES>::new(&stream).unwrap().portable();
        for mut decoder in [decoder, portable] {
            let mut contexts: Vec<u8> = symbols.iter().map(|s| s.0).collect();
            let mut out = vec![0; symbols.len()];
            decoder.decode(&table, &mut contexts, &mut out);
            assert!(decoder.is_finished());
            assert!(out.iter().zip(symbols).all(|(a, b)| *a == b.1));
        }
    }

    proptest! {
        #[test]
        fn symbols_come_back(
            symbols in proptest::collection::vec(
                (0u8..3, prop_oneof![Just(0u8), Just(7), 0u8..]),
                0..3000,
            ),
        ) {
            round_trip::<1>(&symbols);
            round_trip::<4>(&symbols);
            round_trip::<32>(&symbols);
        }
    }

    #[test]
    fn a_lone_symbol_costs_nothing() {
        let symbols = vec![9u8; 10_000];
        let mut counts = [0; SYMBOLS_MAX];
        counts[9] = 10_000;
        let stream = Encoder::new(&[normalise(&counts)]).encode::<4>(&[0; 10_000], &symbols);
        assert_eq!(stream.len(), 16);
    }
}
