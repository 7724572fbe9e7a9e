//! The encoding rounds of [`super::rans`] for 32 states, sixteen at a time. With the calls of it and
//! of the functions compiled like it, the one place with `unsafe` in encoding. Property-tested
//! against the portable rounds.

use std::arch::x86_64::*;

use super::WIDE_LANES;
use super::frequencies::{CODED_MAX, Histogram, PRECISION_BITS, STATE_MIN, SYMBOLS_MAX, TOTAL};
use crate::codec::cpu::Avx512;

/// A symbol's frequency, and from bit 0 on in [`PRECISION_BITS`] those of the symbols before it.
type Frequency = u32;

/// Symbols encoded at once.
const LANES: usize = 16;

/// What [`Encoder::encode`](super::rans::Encoder::encode) does for 32 states, in wide registers.
#[derive(Debug, Default)]
pub(in crate::codec) struct WideEncoder {
    table: Vec<Frequency>,
    words: Vec<u16>,
}

impl WideEncoder {
    /// Appends the stream of [`coded`] symbols to `out`. The memory of the encoder is kept for the
    /// next stream.
    #[inline(always)]
    pub(in crate::codec) fn encode(
        &mut self,
        cpu: Avx512,
        contexts: &[Histogram],
        coded: &[u16],
        out: &mut Vec<u8>,
    ) {
        self.table.resize(CODED_MAX, 0);
        for (table, freqs) in self.table.as_chunks_mut::<SYMBOLS_MAX>().0.iter_mut().zip(contexts) {
            let mut start = 0;
            for (entry, freq) in table.iter_mut().zip(freqs) {
                *entry = *freq << PRECISION_BITS | start & (TOTAL - 1);
                start += freq;
            }
        }
        let Some(table) = self.table.first_chunk::<CODED_MAX>() else { return };
        let (whole, rest) = coded.as_chunks::<WIDE_LANES>();
        let mut states = [STATE_MIN; WIDE_LANES];
        if self.words.len() < coded.len() {
            self.words.resize(coded.len(), 0);
        }
        // The last symbols, which are no whole round, come first. Their states are full of nothing
        // yet, so that at most one word a state is written.
        let mut at = self.words.len();
        for (coded, state) in rest.iter().zip(&mut states).rev() {
            let entry = table.get(usize::from(*coded)).copied().unwrap_or(0);
            let (freq, start) = ((entry >> PRECISION_BITS).max(1), entry & (TOTAL - 1));
            if *state >= freq << (31 - PRECISION_BITS) {
                at -= 1;
                if let Some(word) = self.words.get_mut(at) {
                    *word = *state as u16;
                }
                *state >>= 16;
            }
            *state = ((*state / freq) << PRECISION_BITS) + *state % freq + start;
        }
        let room = self.words.get_mut(..at).unwrap_or_default();
        let start = rounds(cpu, table, whole, &mut states, room);
        states.iter().for_each(|state| out.extend_from_slice(&state.to_le_bytes()));
        out.extend_from_slice(bytemuck::cast_slice(self.words.get(start..).unwrap_or_default()));
    }
}

/// Encodes `coded`, the last symbol first, onto `states`. Words are written to the end of `words`,
/// which has room for one a symbol; returns where they begin.
#[inline(always)]
fn rounds(
    _cpu: Avx512,
    table: &[Frequency; CODED_MAX],
    coded: &[[u16; WIDE_LANES]],
    states: &mut [u32; WIDE_LANES],
    words: &mut [u16],
) -> usize {
    // SAFETY: the token exists only where the processor has the features.
    unsafe { wide_rounds(table, coded, states, words) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
fn wide_rounds(
    table: &[Frequency; CODED_MAX],
    coded: &[[u16; WIDE_LANES]],
    states: &mut [u32; WIDE_LANES],
    words: &mut [u16],
) -> usize {
    assert!(words.len() >= coded.len() * WIDE_LANES, "room for a word a symbol");
    let mut at = words.len();
    let (low, high) = states.split_at_mut(LANES);
    // SAFETY: each half is 16 numbers long.
    let (mut low_state, mut high_state) = unsafe {
        (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()))
    };
    let place_mask = _mm512_set1_epi32(CODED_MAX as i32 - 1);
    let slot_mask = _mm512_set1_epi32((1 << PRECISION_BITS) - 1);
    let total = _mm512_set1_epi32(1 << PRECISION_BITS);
    for round in coded.iter().rev() {
        for coded in round.as_chunks::<LANES>().0.iter().rev() {
            let state = high_state;
            // SAFETY: 16 numbers of 2 bytes are read; a place is below the table's length.
            let entry = unsafe {
                let place = _mm256_loadu_si256(coded.as_ptr().cast());
                let place = _mm512_and_si512(_mm512_cvtepu16_epi32(place), place_mask);
                _mm512_i32gather_epi32::<4>(place, table.as_ptr().cast())
            };
            let start = _mm512_and_si512(entry, slot_mask);
            let freq = _mm512_srli_epi32::<PRECISION_BITS>(entry);
            let limit = _mm512_slli_epi32::<{ 31 - PRECISION_BITS }>(freq);
            let full = _mm512_cmpge_epu32_mask(state, limit);
            let count = full.count_ones();
            let out = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, state));
            at -= count as usize;
            // SAFETY: every symbol before this one wrote at most one word and `words` has room for
            // one each, so `at` did not wrap; the mask lets `count` words through.
            unsafe {
                let to = words.as_mut_ptr().add(at);
                _mm256_mask_storeu_epi16(to.cast(), ((1u32 << count) - 1) as u16, out);
            }
            let state = _mm512_mask_srli_epi32::<16>(state, full, state);
            // Quotients are below 2^19, so a float is off by less than a quarter: the whole number
            // is right, or one too small.
            let quotient = _mm512_div_ps(_mm512_cvtepi32_ps(state), _mm512_cvtepi32_ps(freq));
            let quotient = _mm512_sub_ps(quotient, _mm512_set1_ps(0.25));
            let quotient = _mm512_cvttps_epi32(quotient);
            let rest = _mm512_sub_epi32(state, _mm512_mullo_epi32(quotient, freq));
            let short = _mm512_cmpge_epu32_mask(rest, freq);
            let next = _mm512_slli_epi32::<PRECISION_BITS>(quotient);
            let next = _mm512_add_epi32(next, _mm512_add_epi32(rest, start));
            let more = _mm512_sub_epi32(total, freq);
            let next = _mm512_mask_add_epi32(next, short, next, more);
            (high_state, low_state) = (low_state, next);
        }
    }
    // SAFETY: as for the loads.
    unsafe {
        _mm512_storeu_si512(low.as_mut_ptr().cast(), low_state);
        _mm512_storeu_si512(high.as_mut_ptr().cast(), high_state);
    }
    at
}
