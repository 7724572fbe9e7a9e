//! Decoding a block, sixteen elements at a time: what [`super::decode`] and [`super::rans`] do
//! element by element, in wide registers. Property-tested against them. With the calls of it and of
//! the functions compiled like it, the one place with `unsafe` in decoding.

use std::arch::x86_64::*;

use super::block::{
    BlockMachine, BlockModel, Context, FunctionTable, OPEN_BYTES, OPEN_END, OpenBits, WORD_BYTES,
};
use super::floats::FloatLayout;
use super::frequencies::{FINE, STATE_MIN};
use super::{BLOCK_LEN, WIDE_LANES, ZEROED};
use crate::codec::cpu::Avx512;

/// Elements that are handled at once.
const LANES: usize = 16;
impl BlockMachine for Avx512 {
    #[inline(always)]
    fn decode_block<const BYTES: usize, const BITS: u32>(
        self,
        model: BlockModel<'_>,
        states: &mut [u32; WIDE_LANES],
        table: &[u32],
        words: &[u8; WORD_BYTES],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) -> usize {
        // SAFETY: the token exists only where the processor has the features.
        unsafe { decode_block::<BYTES, BITS>(model, states, table, words, open, block) }
    }

    #[inline(always)]
    fn decode_symbols<const BITS: u32>(
        self,
        states: &mut [u32; WIDE_LANES],
        table: &[u32],
        words: &[u8; WORD_BYTES],
        contexts: &[u8; BLOCK_LEN],
        symbols: &mut [u8; BLOCK_LEN],
    ) -> usize {
        // SAFETY: as above.
        unsafe { decode_symbols::<BITS>(states, table, words, contexts, symbols) }
    }

    #[inline(always)]
    fn put_back<const BYTES: usize>(
        self,
        layout: FloatLayout,
        function: Option<FunctionTable<'_>>,
        symbols: &[u8; BLOCK_LEN],
        open: &mut OpenBits<'_>,
        block: &mut [[u8; BYTES]; BLOCK_LEN],
    ) {
        // SAFETY: as above.
        unsafe { put_back(layout, function, symbols, open, block) }
    }
}

/// Decodes a block's symbols and turns the parents in `block` into the children that they tell.
/// `words` are the next of the step stream, `open.at` is below 8 and moves on. Returns how many
/// bytes of `words` were used.
///
/// # Panics
///
/// If `table` is shorter than the contexts need.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
pub(super) fn decode_block<const BYTES: usize, const BITS: u32>(
    BlockModel { layout, context, function }: BlockModel<'_>,
    states: &mut [u32; WIDE_LANES],
    table: &[u32],
    words: &[u8; WORD_BYTES],
    open: &mut OpenBits<'_>,
    block: &mut [[u8; BYTES]; BLOCK_LEN],
) -> usize {
    let (Context::BySize { max, .. } | Context::Always(max)) = context;
    assert!(table.len() >> BITS > usize::from(max), "a table for every context");
    let slot_mask = _mm512_set1_epi32((1 << BITS) - 1);
    let one = _mm512_set1_epi32(1);
    let (low, high) = states.split_at_mut(LANES);
    // SAFETY: each half is 16 numbers long.
    let (mut state, mut next_state) = unsafe {
        (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()))
    };
    let mut used = 0;
    for block in block.as_chunks_mut::<LANES>().0 {
        let parent = load(block);
        let place = match context {
            Context::BySize { size, shift, max } => {
                let exponent = _mm512_and_si512(parent, set(layout.magnitude_mask()));
                let exponent = _mm512_srl_epi32(exponent, count_of(layout.mantissa_bits));
                let exponent = _mm512_max_epu32(exponent, one);
                let size = _mm512_sub_epi32(set(size as u32), _mm512_slli_epi32::<1>(exponent));
                let size = _mm512_sra_epi32(size, count_of(shift));
                let size = _mm512_max_epi32(size, _mm512_setzero_si512());
                _mm512_sll_epi32(_mm512_min_epi32(size, set(max.into())), count_of(BITS))
            }
            Context::Always(context) => set(u32::from(context) << BITS),
        };
        let place = _mm512_or_si512(place, _mm512_and_si512(state, slot_mask));
        // SAFETY: a place is a context, at most `max`, shifted by the precision, plus less than the
        // precision's range: inside `table`.
        let (symbol, next) = unsafe { decode_16::<BITS>(state, place, table, words, &mut used) };
        (state, next_state) = (next_state, next);
        store(put_back_16(layout, function, symbol, parent, open), block);
    }
    // SAFETY: as for the loads.
    unsafe {
        _mm512_storeu_si512(low.as_mut_ptr().cast(), state);
        _mm512_storeu_si512(high.as_mut_ptr().cast(), next_state);
    }
    used
}

/// Decodes a symbol of each of sixteen states: gives the symbols and the states after them. `used`
/// are the bytes of `words` that were used.
///
/// # Safety
///
/// The places are inside `table`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
unsafe fn decode_16<const BITS: u32>(
    state: __m512i,
    place: __m512i,
    table: &[u32],
    words: &[u8; WORD_BYTES],
    used: &mut usize,
) -> (__m512i, __m512i) {
    let freq_mask = _mm512_set1_epi32((1 << FINE) - 1);
    // At most 32 bytes were used by each round before.
    let from = (*used).min(WORD_BYTES - 2 * LANES);
    // SAFETY: the caller's, of the places. 32 bytes from `from` on are inside `words`.
    let (entry, fresh) = unsafe {
        (
            _mm512_i32gather_epi32::<4>(place, table.as_ptr().cast()),
            _mm256_loadu_si256(words.as_ptr().add(from).cast()),
        )
    };
    let symbol = _mm512_and_si512(entry, _mm512_set1_epi32(0xff));
    let freq = _mm512_and_si512(_mm512_srli_epi32::<8>(entry), freq_mask);
    let freq = _mm512_add_epi32(freq, _mm512_set1_epi32(1));
    let next = _mm512_mullo_epi32(freq, _mm512_srl_epi32(state, count_of(BITS)));
    let next = _mm512_add_epi32(next, _mm512_srli_epi32::<20>(entry));
    let refill = _mm512_cmplt_epu32_mask(next, _mm512_set1_epi32(STATE_MIN as i32));
    let fresh = _mm512_maskz_expand_epi32(refill, _mm512_cvtepu16_epi32(fresh));
    let next = _mm512_mask_or_epi32(next, refill, _mm512_slli_epi32::<16>(next), fresh);
    *used += 2 * refill.count_ones() as usize;
    (symbol, next)
}

/// Decodes a block's symbols; returns how many bytes of `words` were used.
///
/// # Panics
///
/// If the table is shorter than its largest context needs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
fn decode_symbols<const BITS: u32>(
    states: &mut [u32; WIDE_LANES],
    table: &[u32],
    words: &[u8; WORD_BYTES],
    contexts: &[u8; BLOCK_LEN],
    symbols: &mut [u8; BLOCK_LEN],
) -> usize {
    let tables = (table.len() >> BITS).min(256);
    assert!(tables > 0, "a table for every context");
    let max = tables as u32 - 1;
    let (low, high) = states.split_at_mut(LANES);
    // SAFETY: each half is 16 numbers long.
    let (mut state, mut next_state) = unsafe {
        (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()))
    };
    let slot_mask = _mm512_set1_epi32((1 << BITS) - 1);
    let mut used = 0;
    let contexts = contexts.as_chunks::<LANES>().0.iter();
    for (contexts, symbols) in contexts.zip(symbols.as_chunks_mut::<LANES>().0) {
        // SAFETY: 16 bytes are read.
        let context = unsafe { _mm_loadu_si128(contexts.as_ptr().cast()) };
        let context = _mm_min_epu8(context, _mm_set1_epi8(max as i8));
        let place = _mm512_sll_epi32(_mm512_cvtepu8_epi32(context), count_of(BITS));
        let place = _mm512_or_si512(place, _mm512_and_si512(state, slot_mask));
        // SAFETY: as in `decode_block`.
        let (symbol, next) = unsafe { decode_16::<BITS>(state, place, table, words, &mut used) };
        // SAFETY: 16 bytes are written.
        unsafe {
            _mm_storeu_si128(symbols.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(symbol));
        }
        (state, next_state) = (next_state, next);
    }
    // SAFETY: as for the loads.
    unsafe {
        _mm512_storeu_si512(low.as_mut_ptr().cast(), state);
        _mm512_storeu_si512(high.as_mut_ptr().cast(), next_state);
    }
    used
}

/// Turns the parents in `block` into the children that `symbols` tell. `open.at` is below 8 and
/// moves on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
pub(super) fn put_back<const BYTES: usize>(
    layout: FloatLayout,
    function: Option<FunctionTable<'_>>,
    symbols: &[u8; BLOCK_LEN],
    open: &mut OpenBits<'_>,
    block: &mut [[u8; BYTES]; BLOCK_LEN],
) {
    let symbols = symbols.as_chunks::<LANES>().0.iter();
    for (symbols, block) in symbols.zip(block.as_chunks_mut::<LANES>().0) {
        // SAFETY: 16 bytes are read.
        let symbol = unsafe { _mm_loadu_si128(symbols.as_ptr().cast()) };
        let symbol = _mm512_cvtepu8_epi32(symbol);
        store(put_back_16(layout, function, symbol, load(block), open), block);
    }
}

/// The children of sixteen parents.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
fn put_back_16(
    layout: FloatLayout,
    function: Option<FunctionTable<'_>>,
    symbol: __m512i,
    parent: __m512i,
    open: &mut OpenBits<'_>,
) -> __m512i {
    let one = _mm512_set1_epi32(1);
    let seven = _mm512_set1_epi32(7);
    let magnitude_mask = set(layout.magnitude_mask());
    let sign_bit = set(layout.sign());
    let known = _mm512_cmplt_epu32_mask(symbol, set(OPEN_END));
    let mut negative = _mm512_testn_epi32_mask(symbol, one);
    let above = _mm512_sub_epi32(_mm512_max_epu32(symbol, seven), seven);
    let count = _mm512_maskz_srli_epi32::<3>(known, above);
    let exact = _mm512_srli_epi32::<1>(_mm512_add_epi32(symbol, one));
    let mut magnitude = _mm512_maskz_mov_epi32(known, exact);
    let has_open = _mm512_test_epi32_mask(count, count);
    if has_open != 0 {
        let end = running_sum(count);
        let place = _mm512_add_epi32(_mm512_sub_epi32(end, count), set(open.at as u32 & 7));
        let byte = (open.at / 8).min(OPEN_BYTES - 64);
        // At most 7 + 16 * 29 bits: in one register.
        // SAFETY: 64 bytes from `byte` on are inside `open`.
        let bits = unsafe { _mm512_loadu_si512(open.bytes.as_ptr().add(byte).cast()) };
        let word = _mm512_srli_epi32::<5>(place);
        let shift = _mm512_and_si512(place, _mm512_set1_epi32(31));
        let low = _mm512_permutexvar_epi32(word, bits);
        let high = _mm512_permutexvar_epi32(_mm512_add_epi32(word, one), bits);
        // A shift by 32 leaves nothing.
        let left = _mm512_sub_epi32(_mm512_set1_epi32(32), shift);
        let taken = _mm512_or_si512(_mm512_srlv_epi32(low, shift), _mm512_sllv_epi32(high, left));
        let behind = _mm512_sllv_epi32(_mm512_set1_epi32(-1), count);
        let taken = _mm512_andnot_si512(behind, taken);
        let quarter = _mm512_and_si512(_mm512_srli_epi32::<1>(above), _mm512_set1_epi32(3));
        let least = _mm512_sllv_epi32(_mm512_or_si512(quarter, _mm512_set1_epi32(4)), count);
        magnitude = _mm512_mask_or_epi32(magnitude, has_open, least, taken);
        open.at += _mm_extract_epi32::<3>(_mm512_extracti32x4_epi32::<3>(end)) as usize;
    }
    if let Some(function) = function {
        (magnitude, negative) = add_function(function, parent, magnitude, negative);
    }
    let from = _mm512_and_si512(parent, magnitude_mask);
    let away = _mm512_add_epi32(from, magnitude);
    let crossed = _mm512_mask_cmpgt_epu32_mask(negative, magnitude, from);
    let to = _mm512_mask_sub_epi32(away, negative, from, magnitude);
    let to = _mm512_mask_xor_epi32(to, crossed, to, _mm512_set1_epi32(-1));
    let to = _mm512_and_si512(to, magnitude_mask);
    let sign = _mm512_and_si512(parent, sign_bit);
    let zeroed = _mm512_cmpeq_epi32_mask(symbol, _mm512_set1_epi32(ZEROED.into()));
    let moved = _mm512_or_si512(_mm512_mask_xor_epi32(sign, crossed, sign, sign_bit), to);
    _mm512_mask_mov_epi32(moved, zeroed, sign)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn set(number: u32) -> __m512i {
    _mm512_set1_epi32(number as i32)
}

/// By how many bits a shift of all lanes goes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn count_of(bits: u32) -> __m128i {
    _mm_cvtsi32_si128(bits as i32)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn load<const BYTES: usize>(block: &[[u8; BYTES]; LANES]) -> __m512i {
    const { assert!(BYTES == 2 || BYTES == 4) };
    // SAFETY: the block is 16 times 2 or 4 bytes long, and so much is read.
    unsafe {
        if BYTES == 2 {
            _mm512_cvtepu16_epi32(_mm256_loadu_si256(block.as_ptr().cast()))
        } else {
            _mm512_loadu_si512(block.as_ptr().cast())
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store<const BYTES: usize>(elements: __m512i, block: &mut [[u8; BYTES]; LANES]) {
    const { assert!(BYTES == 2 || BYTES == 4) };
    // SAFETY: as for `load`.
    unsafe {
        if BYTES == 2 {
            _mm256_storeu_si256(block.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(elements));
        } else {
            _mm512_storeu_si512(block.as_mut_ptr().cast(), elements);
        }
    }
}

/// The sum of each lane and all before it.
#[inline]
#[target_feature(enable = "avx512f")]
fn running_sum(lanes: __m512i) -> __m512i {
    let zero = _mm512_setzero_si512();
    let sum = _mm512_add_epi32(lanes, _mm512_alignr_epi32::<15>(lanes, zero));
    let sum = _mm512_add_epi32(sum, _mm512_alignr_epi32::<14>(sum, zero));
    let sum = _mm512_add_epi32(sum, _mm512_alignr_epi32::<12>(sum, zero));
    _mm512_add_epi32(sum, _mm512_alignr_epi32::<8>(sum, zero))
}

/// Steps of magnitude and sign with the function's steps added.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512cd,avx512dq,popcnt,lzcnt,bmi1,bmi2")]
fn add_function(
    function: FunctionTable<'_>,
    parent: __m512i,
    magnitude: __m512i,
    negative: __mmask16,
) -> (__m512i, __mmask16) {
    let FunctionTable { steps, shift } = function;
    if !steps.len().is_power_of_two() || steps.len() > 1 << 16 {
        return (magnitude, negative);
    }
    let place = _mm512_srl_epi32(parent, count_of(shift));
    let place = _mm512_and_si512(place, _mm512_set1_epi32(steps.len() as i32 - 1));
    // SAFETY: a place is below the length, which is a power of two.
    let own = unsafe { _mm512_i32gather_epi32::<4>(place, steps.as_ptr()) };
    let own_negative = _mm512_movepi32_mask(own);
    let own = _mm512_abs_epi32(own);
    let opposed = negative ^ own_negative;
    let sum = _mm512_add_epi32(magnitude, own);
    let farther = _mm512_cmpgt_epu32_mask(own, magnitude);
    let least = _mm512_min_epu32(own, magnitude);
    let rest = _mm512_sub_epi32(_mm512_max_epu32(own, magnitude), least);
    // Opposed steps leave the sign of the longer one.
    (_mm512_mask_mov_epi32(sum, opposed, rest), negative ^ (opposed & farther))
}
