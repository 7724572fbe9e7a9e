//! Decoding a block, eight elements at a time: what [`super::block_portable`] does, in registers of
//! AVX2. Property-tested against it.

use std::arch::x86_64::*;

use super::block::{
    BlockMachine, BlockModel, Context, FunctionTable, OPEN_BYTES, OPEN_END, OpenBits, WORD_BYTES,
};
use super::floats::FloatLayout;
use super::frequencies::{FINE, STATE_MIN};
use super::symbols::FIRST_CLASS;
use super::{BLOCK_LEN, WIDE_LANES, ZEROED, steps};
use crate::codec::cpu::Avx2;

/// Elements that are handled at once.
const LANES: usize = 8;
/// Registers of states.
const REGISTERS: usize = WIDE_LANES / LANES;
/// Short floats that are handled at once.
const SHORT_LANES: usize = 16;
/// From this symbol on, one leaves more bits open than short floats have.
const SHORT_END: u32 = 119;
/// So many symbols of a block that leave bits open are looked at one by one.
const FEW_OPEN: usize = 16;

/// For each set of lanes, which of the next words each of them takes.
static TAKEN: [u64; 1 << LANES] = taken();

#[expect(clippy::indexing_slicing, reason = "constant evaluation checks the bounds")]
const fn taken() -> [u64; 1 << LANES] {
    let mut all = [0; 1 << LANES];
    let mut set = 0;
    while set < all.len() {
        let (mut lane, mut word) = (0, 0);
        while lane < LANES {
            if set >> lane & 1 == 1 {
                all[set] |= word << (8 * lane);
                word += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    all
}

impl BlockMachine for Avx2 {
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

/// The states in registers.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn load_states(states: &[u32; WIDE_LANES]) -> [__m256i; REGISTERS] {
    let mut registers = [_mm256_setzero_si256(); REGISTERS];
    for (register, states) in registers.iter_mut().zip(states.as_chunks::<LANES>().0) {
        // SAFETY: eight numbers are read.
        *register = unsafe { _mm256_loadu_si256(states.as_ptr().cast()) };
    }
    registers
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn store_states(registers: [__m256i; REGISTERS], states: &mut [u32; WIDE_LANES]) {
    for (register, states) in registers.iter().zip(states.as_chunks_mut::<LANES>().0) {
        // SAFETY: eight numbers are written.
        unsafe { _mm256_storeu_si256(states.as_mut_ptr().cast(), *register) };
    }
}

/// # Panics
///
/// If `table` is shorter than the contexts need.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn decode_block<const BYTES: usize, const BITS: u32>(
    BlockModel { layout, context, function }: BlockModel<'_>,
    states: &mut [u32; WIDE_LANES],
    table: &[u32],
    words: &[u8; WORD_BYTES],
    open: &mut OpenBits<'_>,
    block: &mut [[u8; BYTES]; BLOCK_LEN],
) -> usize {
    let (mut contexts, mut symbols) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
    match context {
        Context::BySize { size, shift, max } => {
            contexts_by_size(layout, size, shift, max, block, &mut contexts);
        }
        Context::Always(context) => contexts.fill(context),
    }
    let used = decode_symbols::<BITS>(states, table, words, &contexts, &mut symbols);
    put_back(layout, function, &symbols, open, block);
    used
}

/// The contexts of a block's elements.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn contexts_by_size<const BYTES: usize>(
    layout: FloatLayout,
    size: i32,
    shift: u32,
    max: u8,
    block: &[[u8; BYTES]; BLOCK_LEN],
    contexts: &mut [u8; BLOCK_LEN],
) {
    let (one, mask) = (set(1), set(layout.magnitude_mask()));
    let (size, max) = (set(size as u32), set(max.into()));
    let rounds = block.as_chunks::<WIDE_LANES>().0.iter();
    for (round, contexts) in rounds.zip(contexts.as_chunks_mut::<WIDE_LANES>().0) {
        let mut found = [_mm256_setzero_si256(); REGISTERS];
        for (found, parents) in found.iter_mut().zip(round.as_chunks::<LANES>().0) {
            let exponent = _mm256_and_si256(load(parents), mask);
            let exponent = _mm256_srl_epi32(exponent, count_of(layout.mantissa_bits));
            let exponent = _mm256_max_epu32(exponent, one);
            let size = _mm256_sub_epi32(size, _mm256_slli_epi32::<1>(exponent));
            let size = _mm256_sra_epi32(size, count_of(shift));
            let size = _mm256_max_epi32(size, _mm256_setzero_si256());
            *found = _mm256_min_epi32(size, max);
        }
        store_bytes(found, contexts);
    }
}

/// # Panics
///
/// If the table is shorter than its largest context needs.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn decode_symbols<const BITS: u32>(
    states: &mut [u32; WIDE_LANES],
    table: &[u32],
    words: &[u8; WORD_BYTES],
    contexts: &[u8; BLOCK_LEN],
    symbols: &mut [u8; BLOCK_LEN],
) -> usize {
    let max = (table.len() >> BITS).min(256);
    assert!(max > 0, "a table for every context");
    let max = set(max as u32 - 1);
    let mut registers = load_states(states);
    let mut used = 0;
    let rounds = contexts.as_chunks::<WIDE_LANES>().0.iter();
    for (contexts, symbols) in rounds.zip(symbols.as_chunks_mut::<WIDE_LANES>().0) {
        let mut wide = [_mm256_setzero_si256(); REGISTERS];
        for (wide, contexts) in wide.iter_mut().zip(contexts.as_chunks::<LANES>().0) {
            *wide = _mm256_min_epu32(load_bytes(contexts), max);
        }
        // SAFETY: a context is at most `max`, for which there is a table.
        let found = unsafe { decode_32::<BITS>(&mut registers, wide, table, words, &mut used) };
        store_bytes(found, symbols);
    }
    store_states(registers, states);
    used
}

/// Decodes a symbol of each of the states, which become those after it. `used` are the bytes of
/// `words` that were used. One step of all registers comes before the next, so that the processor
/// sees what it can do at once.
///
/// # Safety
///
/// `table` has the entries of each of the contexts.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
unsafe fn decode_32<const BITS: u32>(
    states: &mut [__m256i; REGISTERS],
    contexts: [__m256i; REGISTERS],
    table: &[u32],
    words: &[u8; WORD_BYTES],
    used: &mut usize,
) -> [__m256i; REGISTERS] {
    let (slot_mask, freq_mask) = (set((1 << BITS) - 1), set((1 << FINE) - 1));
    let mut entries = contexts;
    for (entry, state) in entries.iter_mut().zip(states.iter()) {
        let context = _mm256_sll_epi32(*entry, count_of(BITS));
        let place = _mm256_or_si256(context, _mm256_and_si256(*state, slot_mask));
        // SAFETY: a place is a context, shifted by the precision, plus less than the precision's
        // range: the caller's table has it.
        *entry = unsafe { look_up(table, place) };
    }
    for (state, entry) in states.iter_mut().zip(&mut entries) {
        let freq = _mm256_and_si256(_mm256_srli_epi32::<8>(*entry), freq_mask);
        let freq = _mm256_add_epi32(freq, set(1));
        let high = _mm256_srl_epi32(*state, count_of(BITS));
        let place = _mm256_srli_epi32::<20>(*entry);
        *state = _mm256_add_epi32(_mm256_mullo_epi32(freq, high), place);
        *entry = _mm256_and_si256(*entry, set(0xff));
    }
    for state in states {
        let next = *state;
        let refill = _mm256_cmpeq_epi32(_mm256_min_epu32(next, set(STATE_MIN - 1)), next);
        let lanes = _mm256_movemask_ps(_mm256_castsi256_ps(refill)) as u32 & 0xff;
        let taken = TAKEN.get(lanes as usize).copied().unwrap_or(0);
        let taken = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(taken as i64));
        // At most 16 bytes were used by each eight before.
        let from = (*used).min(WORD_BYTES - 2 * LANES);
        // SAFETY: 16 bytes from `from` on are inside `words`.
        let fresh = unsafe { _mm_loadu_si128(words.as_ptr().add(from).cast()) };
        let fresh = _mm256_permutevar8x32_epi32(_mm256_cvtepu16_epi32(fresh), taken);
        let fresh = _mm256_or_si256(_mm256_slli_epi32::<16>(next), fresh);
        *state = _mm256_blendv_epi8(next, fresh, refill);
        *used += 2 * lanes.count_ones() as usize;
    }
    entries
}

/// Turns parents into children: of short floats sixteen at once, unless a symbol leaves more bits
/// open than those have.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn put_back<const BYTES: usize>(
    layout: FloatLayout,
    function: Option<FunctionTable<'_>>,
    symbols: &[u8; BLOCK_LEN],
    open: &mut OpenBits<'_>,
    block: &mut [[u8; BYTES]; BLOCK_LEN],
) {
    if BYTES == 2
        && function.is_none()
        && let Some(opened) = short_open(symbols)
    {
        return put_back_short(layout, symbols, opened, open, block);
    }
    let symbols = symbols.as_chunks::<LANES>().0.iter();
    for (symbols, block) in symbols.zip(block.as_chunks_mut::<LANES>().0) {
        store(put_back_8(layout, function, load_bytes(symbols), load(block), open), block);
    }
}

/// Which symbols leave bits open; `None` if one leaves more than short floats have.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn short_open(symbols: &[u8; BLOCK_LEN]) -> Option<u128> {
    let (mut opened, mut any_long) = (0, _mm256_setzero_si256());
    for part in symbols.as_chunks::<WIDE_LANES>().0.iter().rev() {
        // SAFETY: 32 bytes are read.
        let part = unsafe { _mm256_loadu_si256(part.as_ptr().cast()) };
        let beyond = |first| {
            let rest = _mm256_subs_epu8(part, _mm256_set1_epi8((first - 1) as u8 as i8));
            _mm256_cmpeq_epi8(rest, _mm256_setzero_si256())
        };
        // All ones where it is not so.
        let (none, short, end) = (beyond(FIRST_CLASS), beyond(SHORT_END), beyond(OPEN_END));
        any_long = _mm256_or_si256(any_long, _mm256_andnot_si256(short, end));
        let own = _mm256_movemask_epi8(_mm256_andnot_si256(none, end)) as u32;
        opened = opened << WIDE_LANES | u128::from(own);
    }
    (_mm256_testz_si256(any_long, any_long) == 1).then_some(opened)
}

/// Turns parents of 2 bytes into children. `opened` are the symbols that leave bits open, at most
/// 13 each.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn put_back_short<const BYTES: usize>(
    layout: FloatLayout,
    symbols: &[u8; BLOCK_LEN],
    opened: u128,
    open: &mut OpenBits<'_>,
    block: &mut [[u8; BYTES]; BLOCK_LEN],
) {
    // Sixteen elements have the 32 bytes of a register.
    const { assert!(BYTES >= 2) };
    let count = opened.count_ones() as usize;
    let all_open = count > FEW_OPEN;
    // Few are looked at one by one: which of the others stand beside one is anyone's guess.
    let mut few = [(0, 0); FEW_OPEN];
    if !all_open {
        let mut rest = opened;
        for few in few.iter_mut().take(count) {
            let place = rest.trailing_zeros() as usize % BLOCK_LEN;
            rest &= rest.wrapping_sub(1);
            let symbol = symbols.get(place).copied().unwrap_or(0);
            let (magnitude, negative) = open.step(symbol);
            let parent = block.get(place).map_or(0, steps::load);
            *few = (place, layout.apply(parent, magnitude, negative));
        }
    }
    let symbols = symbols.as_chunks::<SHORT_LANES>().0.iter();
    for (symbols, block) in symbols.zip(block.as_chunks_mut::<SHORT_LANES>().0) {
        // SAFETY: 16 bytes are read; sixteen elements of 2 bytes are read and written.
        unsafe {
            let symbols = _mm256_cvtepu8_epi16(_mm_loadu_si128(symbols.as_ptr().cast()));
            let parents = _mm256_loadu_si256(block.as_ptr().cast());
            let children = put_back_16(symbols, parents, all_open.then_some(&mut *open));
            _mm256_storeu_si256(block.as_mut_ptr().cast(), children);
        }
    }
    for (place, child) in few.iter().take(if all_open { 0 } else { count }) {
        if let Some(element) = block.get_mut(*place) {
            steps::store(*child, element);
        }
    }
}

/// The children of sixteen parents of 2 bytes. Without open bits, those of symbols that leave some
/// are of no meaning.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn put_back_16(symbol: __m256i, parent: __m256i, open: Option<&mut OpenBits<'_>>) -> __m256i {
    let (zero, one) = (_mm256_setzero_si256(), _mm256_set1_epi16(1));
    let sign_bit = _mm256_set1_epi16(i16::MIN);
    let known = _mm256_cmpgt_epi16(_mm256_set1_epi16(OPEN_END as i16), symbol);
    let negative = _mm256_cmpeq_epi16(_mm256_and_si256(symbol, one), zero);
    let exact = _mm256_srli_epi16::<1>(_mm256_add_epi16(symbol, one));
    let mut magnitude = _mm256_and_si256(known, exact);
    if let Some(open) = open {
        let least = _mm256_set1_epi16(FIRST_CLASS as i16 - 1);
        let has_open = _mm256_and_si256(known, _mm256_cmpgt_epi16(symbol, least));
        magnitude = _mm256_blendv_epi8(magnitude, with_open_16(symbol, has_open, open), has_open);
    }
    let from = _mm256_andnot_si256(sign_bit, parent);
    let signed = _mm256_sub_epi16(_mm256_xor_si256(magnitude, negative), negative);
    let inside = _mm256_cmpeq_epi16(_mm256_max_epu16(magnitude, from), from);
    let crossed = _mm256_andnot_si256(inside, negative);
    let to = _mm256_xor_si256(_mm256_add_epi16(from, signed), crossed);
    let sign = _mm256_and_si256(_mm256_xor_si256(parent, crossed), sign_bit);
    let moved = _mm256_or_si256(_mm256_andnot_si256(sign_bit, to), sign);
    let zeroed = _mm256_cmpeq_epi16(symbol, _mm256_set1_epi16(ZEROED.into()));
    _mm256_blendv_epi8(moved, _mm256_and_si256(parent, sign_bit), zeroed)
}

/// The magnitudes of sixteen symbols that leave at most 13 bits open. Two neighbours' bits are
/// taken as one number.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn with_open_16(symbol: __m256i, has_open: __m256i, open: &mut OpenBits<'_>) -> __m256i {
    let low_half = set(0xffff);
    let above = _mm256_sub_epi16(symbol, _mm256_set1_epi16(7));
    let above = _mm256_and_si256(above, has_open);
    let count = _mm256_srli_epi16::<3>(above);
    let (low_count, high_count) =
        (_mm256_and_si256(count, low_half), _mm256_srli_epi32::<16>(count));
    let taken = open.take_8(_mm256_add_epi32(low_count, high_count));
    let quarter = _mm256_and_si256(_mm256_srli_epi16::<1>(above), _mm256_set1_epi16(3));
    let first = _mm256_or_si256(quarter, _mm256_set1_epi16(4));
    // Above the lower neighbour's bits: its first bits. Above those of the higher one: its own.
    let low_first = _mm256_sllv_epi32(_mm256_and_si256(first, low_half), low_count);
    let low_taken = _mm256_andnot_si256(_mm256_sllv_epi32(set(u32::MAX), low_count), taken);
    let high_first = _mm256_sllv_epi32(_mm256_srli_epi32::<16>(first), high_count);
    let high = _mm256_or_si256(high_first, _mm256_srlv_epi32(taken, low_count));
    let low = _mm256_or_si256(low_first, low_taken);
    _mm256_or_si256(low, _mm256_slli_epi32::<16>(high))
}

/// The children of eight parents.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn put_back_8(
    layout: FloatLayout,
    function: Option<FunctionTable<'_>>,
    symbol: __m256i,
    parent: __m256i,
    open: &mut OpenBits<'_>,
) -> __m256i {
    let (zero, one) = (_mm256_setzero_si256(), set(1));
    let sign_bit = set(layout.sign());
    let known = _mm256_cmpgt_epi32(set(OPEN_END), symbol);
    let mut negative = _mm256_cmpeq_epi32(_mm256_and_si256(symbol, one), zero);
    let exact = _mm256_srli_epi32::<1>(_mm256_add_epi32(symbol, one));
    let mut magnitude = _mm256_and_si256(known, exact);
    let has_open = _mm256_and_si256(known, _mm256_cmpgt_epi32(symbol, set(14)));
    if _mm256_testz_si256(has_open, has_open) == 0 {
        magnitude = _mm256_blendv_epi8(magnitude, with_open(symbol, has_open, open), has_open);
    }
    if let Some(function) = function {
        (magnitude, negative) = add_function(function, parent, magnitude, negative);
    }
    let from = _mm256_and_si256(parent, set(layout.magnitude_mask()));
    let signed = _mm256_sub_epi32(_mm256_xor_si256(magnitude, negative), negative);
    let inside = _mm256_cmpeq_epi32(_mm256_max_epu32(magnitude, from), from);
    let crossed = _mm256_andnot_si256(inside, negative);
    let to = _mm256_xor_si256(_mm256_add_epi32(from, signed), crossed);
    // The sign is the parent's, the other one behind zero.
    let sign = _mm256_and_si256(_mm256_xor_si256(parent, crossed), sign_bit);
    let moved = _mm256_or_si256(_mm256_andnot_si256(sign_bit, to), sign);
    let moved = _mm256_and_si256(moved, set(layout.sign() | layout.magnitude_mask()));
    let zeroed = _mm256_cmpeq_epi32(symbol, set(ZEROED.into()));
    _mm256_blendv_epi8(moved, _mm256_and_si256(parent, sign_bit), zeroed)
}

/// The magnitudes of symbols that leave bits open.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn with_open(symbol: __m256i, has_open: __m256i, open: &mut OpenBits<'_>) -> __m256i {
    let above = _mm256_and_si256(_mm256_sub_epi32(symbol, set(7)), has_open);
    let count = _mm256_srli_epi32::<3>(above);
    let taken = open.take_8(count);
    let quarter = _mm256_and_si256(_mm256_srli_epi32::<1>(above), set(3));
    let least = _mm256_sllv_epi32(_mm256_or_si256(quarter, set(4)), count);
    _mm256_or_si256(least, taken)
}

impl OpenBits<'_> {
    /// The next bits of each lane, as many as `count` says: at most 29 each.
    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
    fn take_8(&mut self, count: __m256i) -> __m256i {
        let end = running_sum(count);
        let place = _mm256_add_epi32(_mm256_sub_epi32(end, count), set(self.at as u32 & 7));
        let byte = (self.at / 8).min(OPEN_BYTES - 32);
        // At most 7 + 8 * 29 bits: in one register.
        // SAFETY: 32 bytes from `byte` on are inside `bytes`.
        let bits = unsafe { _mm256_loadu_si256(self.bytes.as_ptr().add(byte).cast()) };
        let word = _mm256_srli_epi32::<5>(place);
        let shift = _mm256_and_si256(place, set(31));
        let low = _mm256_permutevar8x32_epi32(bits, word);
        let high = _mm256_permutevar8x32_epi32(bits, _mm256_add_epi32(word, set(1)));
        // A shift by 32 leaves nothing.
        let left = _mm256_sub_epi32(set(32), shift);
        let taken = _mm256_or_si256(_mm256_srlv_epi32(low, shift), _mm256_sllv_epi32(high, left));
        self.at += _mm256_extract_epi32::<7>(end) as usize;
        _mm256_andnot_si256(_mm256_sllv_epi32(set(u32::MAX), count), taken)
    }
}

/// The sum of each lane and all before it.
#[inline]
#[target_feature(enable = "avx2")]
fn running_sum(lanes: __m256i) -> __m256i {
    let sum = _mm256_add_epi32(lanes, _mm256_slli_si256::<4>(lanes));
    let sum = _mm256_add_epi32(sum, _mm256_slli_si256::<8>(sum));
    // The last of the lower half, in all lanes of the upper one.
    let lower = _mm256_permute2x128_si256::<0x08>(sum, sum);
    _mm256_add_epi32(sum, _mm256_shuffle_epi32::<0xff>(lower))
}

/// Steps of magnitude and sign with the function's steps added.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
fn add_function(
    function: FunctionTable<'_>,
    parent: __m256i,
    magnitude: __m256i,
    negative: __m256i,
) -> (__m256i, __m256i) {
    let FunctionTable { steps, shift } = function;
    if !steps.len().is_power_of_two() || steps.len() > 1 << 16 {
        return (magnitude, negative);
    }
    let place = _mm256_srl_epi32(parent, count_of(shift));
    let place = _mm256_and_si256(place, set(steps.len() as u32 - 1));
    // SAFETY: a place is below the length, which is a power of two.
    let own = unsafe { _mm256_i32gather_epi32::<4>(steps.as_ptr(), place) };
    let opposed = _mm256_xor_si256(negative, _mm256_srai_epi32::<31>(own));
    let own = _mm256_abs_epi32(own);
    let sum = _mm256_add_epi32(magnitude, own);
    let least = _mm256_min_epu32(own, magnitude);
    let rest = _mm256_sub_epi32(_mm256_max_epu32(own, magnitude), least);
    // Opposed steps leave the sign of the longer one.
    let farther = _mm256_andnot_si256(_mm256_cmpeq_epi32(least, own), opposed);
    (_mm256_blendv_epi8(sum, rest, opposed), _mm256_xor_si256(negative, farther))
}

/// The entries at eight places. Loaded one by one: with the instruction that gathers them, decoding
/// is 4 % slower on Zen 3.
///
/// # Safety
///
/// The places are inside `table`.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,lzcnt,bmi1,bmi2")]
pub(super) unsafe fn look_up(table: &[u32], places: __m256i) -> __m256i {
    let (low, high) = (_mm256_castsi256_si128(places), _mm256_extracti128_si256::<1>(places));
    let two = |places: i64| {
        let (first, second) = (places as u32 as usize, (places as u64 >> 32) as usize);
        // SAFETY: the caller's.
        let (first, second) = unsafe { (table.get_unchecked(first), table.get_unchecked(second)) };
        _mm_insert_epi32::<1>(_mm_cvtsi32_si128(*first as i32), *second as i32)
    };
    let four = |places: __m128i| {
        let (first, second) = (_mm_cvtsi128_si64(places), _mm_extract_epi64::<1>(places));
        _mm_unpacklo_epi64(two(first), two(second))
    };
    _mm256_set_m128i(four(high), four(low))
}

#[inline]
#[target_feature(enable = "avx2")]
fn set(number: u32) -> __m256i {
    _mm256_set1_epi32(number as i32)
}

/// By how many bits a shift of all lanes goes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn count_of(bits: u32) -> __m128i {
    _mm_cvtsi32_si128(bits as i32)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; LANES]) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*bytes)))
}

/// The lowest bytes of 32 numbers below 2^8.
#[inline]
#[target_feature(enable = "avx2")]
fn store_bytes([a, b, c, d]: [__m256i; REGISTERS], bytes: &mut [u8; WIDE_LANES]) {
    // Halves are packed on their own, so that fours come in another order.
    let packed = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let packed = _mm256_permutevar8x32_epi32(packed, order);
    // SAFETY: 32 bytes are written.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), packed) };
}

/// The lower halves of eight numbers below 2^16.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(numbers: __m256i) -> __m128i {
    _mm_packus_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256::<1>(numbers))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load<const BYTES: usize>(block: &[[u8; BYTES]; LANES]) -> __m256i {
    const { assert!(BYTES == 2 || BYTES == 4) };
    // SAFETY: the block is 8 times 2 or 4 bytes long, and so much is read.
    unsafe {
        if BYTES == 2 {
            _mm256_cvtepu16_epi32(_mm_loadu_si128(block.as_ptr().cast()))
        } else {
            _mm256_loadu_si256(block.as_ptr().cast())
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const BYTES: usize>(elements: __m256i, block: &mut [[u8; BYTES]; LANES]) {
    const { assert!(BYTES == 2 || BYTES == 4) };
    // SAFETY: as for `load`.
    unsafe {
        if BYTES == 2 {
            _mm_storeu_si128(block.as_mut_ptr().cast(), narrow(elements));
        } else {
            _mm256_storeu_si256(block.as_mut_ptr().cast(), elements);
        }
    }
}
