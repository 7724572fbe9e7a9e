//! The decoding rounds of [`super::rans`] for 32 states, sixteen at a time. With the calls of it and
//! of the functions compiled like it, the one place with `unsafe` in the codec. Property-tested
//! against the portable rounds.

use std::arch::x86_64::*;

use super::rans::{PRECISION_BITS, STATE_MIN};

/// States decoded in one round.
pub(super) const LANES: usize = 32;
/// Bytes of words that a round may look at.
pub(super) const ROUND_BYTES: usize = 2 * LANES + 32;

/// Whether this processor has what [`rounds`] needs, and what chunks are encoded with.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
}

/// Decodes whole rounds: symbol `i` of `contexts` by state `i % LANES`. Returns how many symbols
/// were decoded and how many bytes of `words` were used; it stops before a round that might look
/// behind the end of `words`.
///
/// # Safety
///
/// The processor [has the features](is_available). Every context, shifted by the precision, plus
/// the precision's range lies inside `table`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn rounds(
    states: &mut [u32; LANES],
    table: &[u32],
    words: &[u8],
    contexts: &[u8],
    symbols: &mut [u8],
) -> (usize, usize) {
    // SAFETY: `states` is 32 u32 long.
    let (mut low, mut high) = unsafe {
        let start = states.as_ptr();
        (_mm512_loadu_epi32(start.cast()), _mm512_loadu_epi32(start.add(16).cast()))
    };
    let slot_mask = _mm512_set1_epi32((1 << PRECISION_BITS) - 1);
    let byte_mask = _mm512_set1_epi32(0xff);
    let one = _mm512_set1_epi32(1);
    let state_min = _mm512_set1_epi32(STATE_MIN as i32);
    let mut used = 0;
    let mut done = 0;
    let count = contexts.len().min(symbols.len()) / LANES * LANES;
    while done < count && used + ROUND_BYTES <= words.len() {
        for half in 0..2 {
            let state = if half == 0 { low } else { high };
            let at = done + 16 * half;
            // SAFETY: `at + 16 <= count`, which is within both slices. The gathered places are a
            // context shifted by the precision plus less than the precision's range: inside
            // `table`, as the caller promises. A round uses at most 32 words from `used` on, and
            // each load reads 16 of them: `used + ROUND_BYTES` is inside `words`.
            let (entry, fresh) = unsafe {
                let context = _mm_loadu_si128(contexts.as_ptr().add(at).cast());
                let context = _mm512_slli_epi32::<PRECISION_BITS>(_mm512_cvtepu8_epi32(context));
                let place = _mm512_or_si512(context, _mm512_and_si512(state, slot_mask));
                let entry = _mm512_i32gather_epi32::<4>(place, table.as_ptr().cast());
                let fresh = _mm256_loadu_si256(words.as_ptr().add(used).cast());
                (entry, _mm512_cvtepu16_epi32(fresh))
            };
            let symbol = _mm512_cvtepi32_epi8(_mm512_and_si512(entry, byte_mask));
            // SAFETY: `at + 16 <= symbols.len()`.
            unsafe { _mm_storeu_si128(symbols.as_mut_ptr().add(at).cast(), symbol) };
            let freq = _mm512_and_si512(_mm512_srli_epi32::<8>(entry), slot_mask);
            let freq = _mm512_add_epi32(freq, one);
            let next = _mm512_mullo_epi32(freq, _mm512_srli_epi32::<PRECISION_BITS>(state));
            let next = _mm512_add_epi32(next, _mm512_srli_epi32::<20>(entry));
            let refill = _mm512_cmplt_epu32_mask(next, state_min);
            let shifted = _mm512_slli_epi32::<16>(next);
            let words_in_place = _mm512_maskz_expand_epi32(refill, fresh);
            let next = _mm512_mask_or_epi32(next, refill, shifted, words_in_place);
            used += 2 * refill.count_ones() as usize;
            if half == 0 {
                low = next;
            } else {
                high = next;
            }
        }
        done += LANES;
    }
    // SAFETY: as for the loads.
    unsafe {
        let start = states.as_mut_ptr();
        _mm512_storeu_epi32(start.cast(), low);
        _mm512_storeu_epi32(start.add(16).cast(), high);
    }
    (done, used)
}
