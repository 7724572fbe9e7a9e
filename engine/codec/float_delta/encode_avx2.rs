//! The encoding rounds of [`super::rans`] for 32 states, eight at a time. Property-tested against
//! the portable rounds.

use std::arch::x86_64::*;

use super::WIDE_LANES;
use super::block_avx2::count_of;
use super::encode_wide::{Frequency, Rounds};
use super::frequencies::CODED_MAX;
use crate::codec::cpu::Avx2;

/// Symbols encoded at once.
const LANES: usize = 8;
/// Registers of states.
const REGISTERS: usize = WIDE_LANES / LANES;

/// For each set of lanes, which lane each takes to bring those of the set to the end, in order.
static TO_END: [u64; 1 << LANES] = to_end();

#[expect(clippy::indexing_slicing, reason = "constant evaluation checks the bounds")]
const fn to_end() -> [u64; 1 << LANES] {
    let mut all = [0; 1 << LANES];
    let mut set = 0;
    while set < all.len() {
        let (mut lane, mut to) = (LANES, LANES);
        while lane > 0 {
            lane -= 1;
            if set >> lane & 1 == 1 {
                to -= 1;
                all[set] |= (lane as u64) << (8 * to);
            }
        }
        set += 1;
    }
    all
}

impl Rounds for Avx2 {
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
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn wide_rounds<const BITS: u32>(
    table: &[Frequency; CODED_MAX],
    coded: &[[u16; WIDE_LANES]],
    states: &mut [u32; WIDE_LANES],
    words: &mut [u16],
) -> usize {
    assert!(words.len() >= coded.len() * WIDE_LANES + LANES, "room for a word a symbol");
    let mut at = words.len();
    let mut registers = [_mm256_setzero_si256(); REGISTERS];
    for (register, states) in registers.iter_mut().zip(states.as_chunks::<LANES>().0) {
        // SAFETY: eight numbers are read.
        *register = unsafe { _mm256_loadu_si256(states.as_ptr().cast()) };
    }
    for round in coded.iter().rev() {
        let mut entries = [_mm256_setzero_si256(); REGISTERS];
        for (entry, coded) in entries.iter_mut().zip(round.as_chunks::<LANES>().0) {
            // SAFETY: eight numbers of 2 bytes are read; a place is below the table's length.
            *entry = unsafe {
                let place = _mm256_cvtepu16_epi32(_mm_loadu_si128(coded.as_ptr().cast()));
                let place = _mm256_and_si256(place, _mm256_set1_epi32(CODED_MAX as i32 - 1));
                _mm256_i32gather_epi32::<4>(table.as_ptr().cast(), place)
            };
        }
        for (state, entry) in registers.iter_mut().zip(&entries).rev() {
            let freq = _mm256_srl_epi32(*entry, count_of(BITS));
            let limit = _mm256_sll_epi32(freq, count_of(31 - BITS));
            let full = _mm256_cmpeq_epi32(_mm256_max_epu32(*state, limit), *state);
            let lanes = _mm256_movemask_ps(_mm256_castsi256_ps(full)) as u32 & 0xff;
            let to_end = TO_END.get(lanes as usize).copied().unwrap_or(0);
            let to_end = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(to_end as i64));
            let out = _mm256_permutevar8x32_epi32(*state, to_end);
            let out = _mm256_and_si256(out, _mm256_set1_epi32(0xffff));
            let high = _mm256_extracti128_si256::<1>(out);
            let out = _mm_packus_epi32(_mm256_castsi256_si128(out), high);
            // SAFETY: every symbol before this one moved `at` by at most one and `words` has room
            // for one each and for eight more, so eight are in front of `at`.
            unsafe { _mm_storeu_si128(words.as_mut_ptr().add(at - LANES).cast(), out) };
            at -= lanes.count_ones() as usize;
            *state = _mm256_blendv_epi8(*state, _mm256_srli_epi32::<16>(*state), full);
        }
        for (state, entry) in registers.iter_mut().zip(&entries) {
            *state = next::<BITS>(*state, *entry);
        }
    }
    for (register, states) in registers.iter().zip(states.as_chunks_mut::<LANES>().0) {
        // SAFETY: eight numbers are written.
        unsafe { _mm256_storeu_si256(states.as_mut_ptr().cast(), *register) };
    }
    at
}

/// The states after symbols of these entries.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn next<const BITS: u32>(state: __m256i, entry: __m256i) -> __m256i {
    let start = _mm256_and_si256(entry, _mm256_set1_epi32((1 << BITS) - 1));
    let freq = _mm256_srl_epi32(entry, count_of(BITS));
    // Quotients are below 2^21, so floats are off by at most a quarter: the whole number is
    // right, or one too small.
    let quotient = _mm256_div_ps(_mm256_cvtepi32_ps(state), _mm256_cvtepi32_ps(freq));
    let quotient = _mm256_cvttps_epi32(_mm256_sub_ps(quotient, _mm256_set1_ps(0.5)));
    let rest = _mm256_sub_epi32(state, _mm256_mullo_epi32(quotient, freq));
    let right = _mm256_cmpgt_epi32(freq, rest);
    let next = _mm256_sll_epi32(quotient, count_of(BITS));
    let next = _mm256_add_epi32(next, _mm256_add_epi32(rest, start));
    let more = _mm256_sub_epi32(_mm256_set1_epi32(1 << BITS), freq);
    _mm256_add_epi32(next, _mm256_andnot_si256(right, more))
}
