//! The encoding rounds of [`super::rans`] for 32 states, sixteen at a time. Property-tested against
//! the portable rounds.

use std::arch::x86_64::*;

use super::WIDE_LANES;
use super::block_avx512::count_of;
use super::encode_wide::{Frequency, Rounds};
use super::frequencies::CODED_MAX;
use crate::codec::cpu::Avx512;

/// Symbols encoded at once.
const LANES: usize = 16;

impl Rounds for Avx512 {
    #[inline(always)]
    fn rounds<const BITS: u32>(
        self,
        table: &[Frequency; CODED_MAX],
        coded: &[[u16; WIDE_LANES]],
        states: &mut [u32; WIDE_LANES],
        words: &mut [u16],
    ) -> usize {
        // SAFETY: the token exists only where the processor has the features.
        unsafe { wide_rounds::<BITS>(table, coded, states, words) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
fn wide_rounds<const BITS: u32>(
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
    let slot_mask = _mm512_set1_epi32((1 << BITS) - 1);
    let total = _mm512_set1_epi32(1 << BITS);
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
            let freq = _mm512_srl_epi32(entry, count_of(BITS));
            let limit = _mm512_sll_epi32(freq, count_of(31 - BITS));
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
            // Quotients are below 2^21, so floats are off by at most a quarter: the whole number
            // is right, or one too small.
            let quotient = _mm512_div_ps(_mm512_cvtepi32_ps(state), _mm512_cvtepi32_ps(freq));
            let quotient = _mm512_sub_ps(quotient, _mm512_set1_ps(0.5));
            let quotient = _mm512_cvttps_epi32(quotient);
            let rest = _mm512_sub_epi32(state, _mm512_mullo_epi32(quotient, freq));
            let short = _mm512_cmpge_epu32_mask(rest, freq);
            let next = _mm512_sll_epi32(quotient, count_of(BITS));
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
