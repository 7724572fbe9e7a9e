//! Interleaved range-variant asymmetric numeral systems (rANS) with static tables per context.
//!
//! Symbols are dealt to `LANES` states in turn: symbol `i` belongs to state `i % LANES`. A state
//! is 31 bits, refilled by 16 from one stream of words that all states share, in the order in
//! which the symbols are decoded. Frequencies of a context sum to 2^`BITS`: [`FINE`](super::frequencies::FINE) or
//! [`COARSE`](super::frequencies::COARSE).
//!
//! After J. Duda, "Asymmetric numeral systems" (2013), and F. Giesen, "Interleaved entropy
//! coders" (2014).

use super::encode_wide::WideEncoder;
use super::frequencies::{CONTEXTS_MAX, FINE, Histogram, STATE_MIN, SYMBOLS_MAX};
use crate::codec::cpu::{Target, on_cpu};

/// What coding one symbol needs, with the division by its frequency made a multiplication.
#[derive(Clone, Copy, Debug, Default)]
struct EncodeStep {
    /// From this state on, a word leaves it first.
    state_max: u32,
    reciprocal: u32,
    bias: u32,
    complement: u16,
    shift: u16,
}

impl EncodeStep {
    fn new<const BITS: u32>(start: u32, freq: u32) -> Self {
        let state_max = freq << (31 - BITS);
        let total = 1 << BITS;
        let complement = (total - freq) as u16;
        if freq < 2 {
            let bias = start + total - 1;
            return EncodeStep { state_max, reciprocal: u32::MAX, bias, complement, shift: 0 };
        }
        let shift = 32 - (freq - 1).leading_zeros();
        let reciprocal = ((1u64 << (shift + 31)).div_ceil(u64::from(freq))) as u32;
        EncodeStep { state_max, reciprocal, bias: start, complement, shift: shift as u16 - 1 }
    }
}

/// Encodes symbols with their contexts. Its memory is kept from stream to stream.
#[derive(Debug, Default)]
pub(in crate::codec) struct Encoder {
    steps: Vec<[EncodeStep; SYMBOLS_MAX]>,
    words: Vec<u16>,
    wide: WideEncoder,
}

impl Encoder {
    /// Takes over these frequencies.
    fn fill<const BITS: u32>(&mut self, contexts: &[Histogram]) {
        self.steps.resize(contexts.len(), [EncodeStep::default(); SYMBOLS_MAX]);
        for (steps, freqs) in self.steps.iter_mut().zip(contexts) {
            let mut start = 0;
            for (step, freq) in steps.iter_mut().zip(freqs).filter(|(_, freq)| **freq > 0) {
                *step = EncodeStep::new::<BITS>(start, *freq);
                start += freq;
            }
        }
    }

    /// Appends the stream of [`coded`] symbols, all of which have a frequency in `contexts`. First
    /// the states, 4 bytes each, then the words, 2 bytes each.
    #[inline(always)]
    pub(in crate::codec) fn encode<const LANES: usize, const BITS: u32>(
        &mut self,
        contexts: &[Histogram],
        coded: &[u16],
        out: &mut Vec<u8>,
    ) {
        self.fill::<BITS>(contexts);
        if self.words.len() < coded.len() {
            self.words.resize(coded.len(), 0);
        }
        let mut states = [STATE_MIN; LANES];
        let mut at = coded.len();
        let (whole, rest) = coded.as_chunks::<LANES>();
        for part in std::iter::once(rest).chain(whole.iter().rev().map(<[u16; LANES]>::as_slice)) {
            for (coded, state) in part.iter().zip(&mut states).rev() {
                let [symbol, context] = coded.to_le_bytes();
                let steps = self.steps.get(usize::from(context));
                let step = steps.and_then(|steps| steps.get(usize::from(symbol)));
                let step = step.copied().unwrap_or_default();
                // Written in any case, and kept if the state is full: which is anyone's guess.
                if let Some(word) = self.words.get_mut(at.wrapping_sub(1)) {
                    *word = *state as u16;
                }
                let full = *state >= step.state_max;
                at = at.wrapping_sub(usize::from(full));
                let state_now = std::hint::select_unpredictable(full, *state >> 16, *state);
                let quotient = (u64::from(state_now) * u64::from(step.reciprocal)) >> 32;
                let quotient = (quotient as u32) >> (step.shift & 31);
                let more = quotient.wrapping_mul(step.complement.into());
                *state = state_now.wrapping_add(step.bias).wrapping_add(more);
            }
        }
        let words = self.words.get(at..coded.len()).unwrap_or_default();
        states.iter().for_each(|state| out.extend_from_slice(&state.to_le_bytes()));
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// [`encode`](Self::encode) with 32 states, in wide registers where there are some.
    #[inline(always)]
    pub(super) fn encode_wide<const BITS: u32, T: Target>(
        &mut self,
        cpu: T,
        contexts: &[Histogram],
        coded: &[u16],
        out: &mut Vec<u8>,
    ) {
        match (cpu.avx512(), cpu.avx2()) {
            #[cfg(target_arch = "x86_64")]
            (Some(cpu), _) => self.wide.encode::<BITS, _>(cpu, contexts, coded, out),
            #[cfg(target_arch = "x86_64")]
            (_, Some(cpu)) => self.wide.encode::<BITS, _>(cpu, contexts, coded, out),
            _ => self.encode::<{ super::WIDE_LANES }, BITS>(contexts, coded, out),
        }
    }
}

/// The stream of [`coded`] symbols with 32 states.
pub(in crate::codec) fn encode_wide<const BITS: u32>(
    contexts: &[Histogram],
    coded: &[u16],
) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    on_cpu!(cpu => encoder.encode_wide::<BITS, _>(cpu, contexts, coded, &mut out));
    out
}

/// The stream of [`coded`] symbols with fewer.
pub(in crate::codec) fn encode_narrow<const LANES: usize, const BITS: u32>(
    contexts: &[Histogram],
    coded: &[u16],
) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::default(), Vec::new());
    encoder.encode::<LANES, BITS>(contexts, coded, &mut out);
    out
}

/// For every context and slot: the symbol (8 bits), its frequency less one (12 bits), and the
/// slot's place among the symbol's (12 bits).
#[derive(Debug, Default)]
pub(in crate::codec) struct DecodeTable<const BITS: u32> {
    entries: Vec<u32>,
    /// The largest context.
    context_max: u8,
}

impl<const BITS: u32> DecodeTable<BITS> {
    /// For every context, as many entries as the precision has slots; and the largest context.
    #[inline]
    pub(in crate::codec) fn entries(&self) -> (&[u32], u8) {
        (&self.entries, self.context_max)
    }

    /// The table for contexts of these frequencies, in memory that becomes its own. A context that
    /// is not there decodes as the last one, one without symbols as symbol 0.
    pub(in crate::codec) fn new(mut entries: Vec<u32>, contexts: &[Histogram]) -> Self {
        const { assert!(8 + 2 * BITS <= u32::BITS) };
        let count = contexts.len().clamp(1, CONTEXTS_MAX);
        entries.resize(count << BITS, 0);
        let mut rest = entries.as_mut_slice();
        for freqs in contexts.iter().take(count) {
            let (table, behind) = rest.split_at_mut(1 << BITS);
            rest = behind;
            let mut at = 0;
            for (symbol, freq) in freqs.iter().enumerate().filter(|(_, freq)| **freq > 0) {
                let end = at + *freq as usize;
                let packed = symbol as u32 | (freq - 1) << 8;
                let own = table.get_mut(at..end).unwrap_or_default();
                own.iter_mut().zip(0u32..).for_each(|(entry, place)| *entry = packed | place << 20);
                at = end;
            }
            table.get_mut(at..).unwrap_or_default().fill(0);
        }
        rest.fill(0);
        DecodeTable { entries, context_max: (count - 1) as u8 }
    }

    /// Its memory.
    pub(in crate::codec) fn into_memory(self) -> Vec<u32> {
        self.entries
    }
}

/// States that share one look at the words.
const GROUP: usize = 4;

/// Passes over bytes of words. Half a word is never read, and stays.
#[inline(always)]
pub(in crate::codec) fn skip(words: &mut &[u8], bytes: usize) {
    *words = words.get(bytes.min(words.len() & !1)..).unwrap_or_default();
}

/// The next words, when they are fewer than `N` bytes; then zeros.
#[cold]
pub(in crate::codec) fn words_at_end<const N: usize>(words: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let whole = words.as_chunks::<2>().0.as_flattened();
    bytes.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
    bytes
}

/// Decodes a symbol by one state. Also says whether the next word
/// was needed.
#[inline(always)]
pub(super) fn decode_step<const BITS: u32>(
    state: &mut u32,
    table: &[u32],
    context: u8,
    word: u16,
) -> (u8, bool) {
    let slot = u32::from(context) << BITS | *state & ((1 << BITS) - 1);
    let entry = table.get(slot as usize).copied().unwrap_or(0);
    let freq = (entry >> 8 & ((1 << FINE) - 1)) + 1;
    let next = freq.wrapping_mul(*state >> BITS).wrapping_add(entry >> 20);
    // Whether a word is needed is anyone's guess: no branch.
    let refill = next < STATE_MIN;
    *state = std::hint::select_unpredictable(refill, next << 16 | u32::from(word), next);
    (entry as u8, refill)
}

/// Decodes symbols.
#[derive(Debug)]
pub(in crate::codec) struct Decoder<'a, const LANES: usize> {
    states: [u32; LANES],
    words: &'a [u8],
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
        Ok(Decoder { states, words })
    }

    /// Decodes the next symbols, one for each of `contexts`, into `symbols`. The first belongs to
    /// state 0, so every call but the last is for a multiple of `LANES`. Contexts beyond the
    /// table's are held down to its last.
    #[inline(always)]
    pub(in crate::codec) fn decode<const BITS: u32>(
        &mut self,
        table: &DecodeTable<BITS>,
        contexts: &mut [u8],
        symbols: &mut [u8],
    ) {
        contexts.iter_mut().for_each(|context| *context = (*context).min(table.context_max));
        for (contexts, symbols) in contexts.chunks(LANES).zip(symbols.chunks_mut(LANES)) {
            let states = self.states.chunks_mut(GROUP);
            let lanes = states.zip(contexts.chunks(GROUP)).zip(symbols.chunks_mut(GROUP));
            for ((states, contexts), symbols) in lanes {
                // Words that are not there are zeros.
                let words = self.words.first_chunk::<{ 2 * GROUP }>().copied();
                let words = words.unwrap_or_else(|| words_at_end(self.words));
                let mut words = u64::from_le_bytes(words);
                let mut used = 0;
                for ((state, context), symbol) in states.iter_mut().zip(contexts).zip(symbols) {
                    let refilled;
                    (*symbol, refilled) =
                        decode_step::<BITS>(state, &table.entries, *context, words as u16);
                    words >>= 16 * u32::from(refilled);
                    used += usize::from(refilled);
                }
                skip(&mut self.words, 2 * used);
            }
        }
    }

    /// States and the words to come, for who decodes in another way; what they use of the words is
    /// [skipped](skip).
    #[inline]
    pub(in crate::codec) fn inside(&mut self) -> (&mut [u32; LANES], &mut &'a [u8]) {
        (&mut self.states, &mut self.words)
    }

    /// Whether the stream ended where it must: all words read, all states as they began.
    pub(in crate::codec) fn is_finished(&self) -> bool {
        self.words.is_empty() && self.states.iter().all(|state| *state == STATE_MIN)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::bits::{BitReader, BitWriter};
    use super::super::frequencies::{COARSE, coded, normalise, read_freqs, write_freqs};
    use super::*;
    use crate::codec::cpu::Cpu;
    use proptest::prelude::*;

    fn round_trip<const LANES: usize, const BITS: u32>(symbols: &[(u8, u8)]) {
        let mut counts = vec![[0u32; SYMBOLS_MAX]; 3];
        for (context, symbol) in symbols {
            counts[usize::from(*context)][usize::from(*symbol)] += 1;
        }
        let freqs: Vec<Histogram> = counts.iter().map(normalise::<BITS>).collect();
        let mut bits = BitWriter::default();
        freqs
            .iter()
            .filter(|freqs| freqs.iter().any(|f| *f > 0))
            .for_each(|freqs| write_freqs(freqs, &mut bits));
        let bits = bits.finish();
        let mut input = BitReader::new(&bits);
        for freqs in freqs.iter().filter(|freqs| freqs.iter().any(|f| *f > 0)) {
            assert_eq!(&read_freqs::<BITS>(&mut input).unwrap(), freqs);
            assert_eq!(freqs.iter().sum::<u32>(), 1 << BITS);
        }
        let coded: Vec<u16> =
            symbols.iter().map(|(context, symbol)| coded(*context, *symbol)).collect();
        let stream = encode_narrow::<LANES, BITS>(&freqs, &coded);
        for cpu in Cpu::available().filter(|_| LANES == super::super::WIDE_LANES) {
            let mut encoder = Encoder::default();
            for _ in 0..2 {
                let mut wide = Vec::new();
                cpu.lowered(|| {
                    on_cpu!(cpu => encoder.encode_wide::<BITS, _>(cpu, &freqs, &coded, &mut wide));
                });
                assert_eq!(wide, stream, "{cpu}");
            }
        }
        let table = DecodeTable::<BITS>::new(vec![9; 100_000], &freqs);
        let mut decoder = Decoder::<LANES>::new(&stream).unwrap();
        let mut contexts: Vec<u8> = symbols.iter().map(|s| s.0).collect();
        let mut out = vec![0; symbols.len()];
        decoder.decode(&table, &mut contexts, &mut out);
        assert!(decoder.is_finished());
        assert!(out.iter().zip(symbols).all(|(a, b)| *a == b.1));
        let decoder = Decoder::<{ super::super::WIDE_LANES }>::new(&stream);
        let Some(mut decoder) = decoder.ok().filter(|_| LANES == 32) else { return };
        let ways: Vec<Cpu> = Cpu::available().collect();
        for (block, cpu) in symbols.as_chunks::<128>().0.iter().zip(ways.iter().cycle()) {
            let (contexts, mut out) = (block.map(|symbol| symbol.0), [0; 128]);
            cpu.lowered(|| decoder.decode_whole(&table, &contexts, &mut out));
            assert_eq!(out, block.map(|symbol| symbol.1));
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
            round_trip::<1, FINE>(&symbols);
            round_trip::<1, COARSE>(&symbols);
            round_trip::<4, FINE>(&symbols);
            round_trip::<4, COARSE>(&symbols);
            round_trip::<32, FINE>(&symbols);
            round_trip::<32, COARSE>(&symbols);
        }
    }

    #[test]
    fn a_lone_symbol_costs_nothing() {
        let symbols = vec![9u16; 10_000];
        let mut counts = [0; SYMBOLS_MAX];
        counts[9] = 10_000;
        let stream = encode_narrow::<4, FINE>(&[normalise::<FINE>(&counts)], &symbols);
        assert_eq!(stream.len(), 16);
    }
}
