//! [`Machine`] in AVX-512 registers. With `avx2.rs`, the one place with `unsafe` here.
//! Property-tested against the portable machine.

use std::arch::x86_64::*;

use super::{BLOCK_BYTES_16, BLOCK_BYTES_32, Bits, Machine};
use crate::codec::cpu::Avx512;

/// Calls an intrinsic that asks for nothing but features.
macro_rules! on {
    ($call:expr) => {
        // SAFETY: methods of `Avx512`, which is made only where the features are.
        unsafe { $call }
    };
}

impl Bits for Avx512 {
    type Bytes = __m512i;

    #[inline(always)]
    fn bytes(self, value: u8) -> Self::Bytes {
        on!(_mm512_set1_epi8(value as i8))
    }
    #[inline(always)]
    fn sub_saturating(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        on!(_mm512_subs_epu8(a, b))
    }
    #[inline(always)]
    fn read(self, bytes: &[u8; 72], shift: u32) -> Self::Bytes {
        let from = bytes.as_ptr();
        // SAFETY: the features are there, and 64 bytes from 0 and from 8 on.
        let (low, high) =
            unsafe { (_mm512_loadu_epi64(from.cast()), _mm512_loadu_epi64(from.add(8).cast())) };
        let shift = shift as i32;
        // A shift by 64 leaves nothing.
        let (down, up) = (on!(_mm_cvtsi32_si128(shift)), on!(_mm_cvtsi32_si128(64 - shift)));
        on!(_mm512_or_si512(_mm512_srl_epi64(low, down), _mm512_sll_epi64(high, up)))
    }
    #[inline(always)]
    fn write(self, a: Self::Bytes, bytes: &mut [u8; 64], bits: u64, count: u32) -> u64 {
        let count = count as i32;
        let (up, down) = (on!(_mm_cvtsi32_si128(count)), on!(_mm_cvtsi32_si128(64 - count)));
        let words = on!({
            // Each word's place has the one before it.
            let before = _mm512_alignr_epi64::<7>(a, _mm512_setzero_si512());
            let bits = _mm512_zextsi128_si512(_mm_cvtsi64_si128(bits as i64));
            let both = _mm512_or_si512(_mm512_sll_epi64(a, up), _mm512_srl_epi64(before, down));
            _mm512_or_si512(both, bits)
        });
        // SAFETY: the features are there, and 64 bytes.
        unsafe { _mm512_storeu_epi64(bytes.as_mut_ptr().cast(), words) }
        let last = on!(_mm256_extract_epi64::<3>(_mm512_extracti64x4_epi64::<1>(a)));
        last as u64 >> 1 >> (63 - count)
    }
    #[inline(always)]
    fn add_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        on!(_mm512_add_epi8(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        on!(_mm512_min_epu8(a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        on!(_mm512_max_epu8(a, b))
    }
    #[inline(always)]
    fn add_where(self, a: Self::Bytes, mask: u64, value: u8) -> Self::Bytes {
        on!(_mm512_mask_add_epi8(a, mask, a, _mm512_set1_epi8(value as i8)))
    }
    #[inline(always)]
    fn keep(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        on!(_mm512_maskz_mov_epi8(mask, a))
    }
    #[inline(always)]
    fn fill(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        on!(_mm512_mask_set1_epi8(a, mask, -1))
    }
    #[inline(always)]
    fn above(self, a: Self::Bytes, value: u8) -> u64 {
        on!(_mm512_cmpgt_epu8_mask(a, _mm512_set1_epi8(value as i8)))
    }
    #[inline(always)]
    fn has_bit(self, a: Self::Bytes, bit: u32) -> u64 {
        on!(_mm512_test_epi8_mask(a, _mm512_set1_epi8((1u8 << bit) as i8)))
    }
    #[inline(always)]
    fn sum(self, a: Self::Bytes) -> u32 {
        on!(_mm512_reduce_add_epi64(_mm512_sad_epu8(a, _mm512_setzero_si512()))) as u32
    }
    #[inline(always)]
    fn greatest(self, a: Self::Bytes) -> u8 {
        let [low, high] = halves(a);
        let words = on!(_mm512_max_epu16(_mm512_cvtepu8_epi16(low), _mm512_cvtepu8_epi16(high),));
        let [low, high] = halves(words);
        let words = on!(_mm512_max_epu32(_mm512_cvtepu16_epi32(low), _mm512_cvtepu16_epi32(high),));
        on!(_mm512_reduce_max_epu32(words)) as u8
    }
    #[inline(always)]
    fn deposit(self, word: u64, mask: u64) -> u64 {
        on!(_pdep_u64(word, mask))
    }
    #[inline(always)]
    fn extract(self, word: u64, mask: u64) -> u64 {
        on!(_pext_u64(word, mask))
    }
}

/// [`Machine`] for one width of elements, from its intrinsics.
macro_rules! machine {
    (
        $block_bytes:ident, registers: $count:literal, at: $($at:literal),+;
        lane: $lane:ty, mask: $mask:ty,
        mask bits: $mask_bits:literal, splat: $splat:ident, add: $add:ident, sub: $sub:ident,
        shl: $shl:ident, shr: $shr:ident, shl_each: $shl_each:ident, shr_each: $shr_each:ident,
        max: $max:ident, min: $min:ident, blend: $blend:ident, less: $less:ident, equal: $equal:ident, narrow: $narrow:ident,
        narrow_saturating: $narrow_saturating:ident, widen: $widen:ident,
        join: $join:ident, split: $split:ident, bit lens: $bit_lens:ident,
    ) => {
        impl Machine<$block_bytes> for Avx512 {
            type Words = [__m512i; $count];

            #[inline(always)]
            fn load(self, bytes: &[u8; $block_bytes]) -> Self::Words {
                let from = bytes.as_ptr();
                // SAFETY: the features are there, and 64 bytes of the block for each register.
                [$(unsafe { _mm512_loadu_epi8(from.add(64 * $at).cast()) }),+]
            }
            #[inline(always)]
            fn store(self, words: Self::Words, bytes: &mut [u8; $block_bytes]) {
                let to = bytes.as_mut_ptr();
                // SAFETY: the features are there, and 64 bytes of the block for each register.
                $(unsafe { _mm512_storeu_epi8(to.add(64 * $at).cast(), words[$at]) };)+
            }
            #[inline(always)]
            fn words(self, value: u32) -> Self::Words {
                [on!($splat(value as $lane)); $count]
            }
            #[inline(always)]
            fn and(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!(_mm512_and_si512(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn or(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!(_mm512_or_si512(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!(_mm512_xor_si512(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn add(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!($add(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn sub(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!($sub(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn abs_diff(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!($sub($max(a[$at], b[$at]), $min(a[$at], b[$at])))),+]
            }
            #[inline(always)]
            fn shl(self, a: Self::Words, count: u32) -> Self::Words {
                let count = on!(_mm_cvtsi32_si128(count as i32));
                [$(on!($shl(a[$at], count))),+]
            }
            #[inline(always)]
            fn shr(self, a: Self::Words, count: u32) -> Self::Words {
                let count = on!(_mm_cvtsi32_si128(count as i32));
                [$(on!($shr(a[$at], count))),+]
            }
            #[inline(always)]
            fn shl_each(self, a: Self::Words, counts: Self::Words) -> Self::Words {
                [$(on!($shl_each(a[$at], counts[$at]))),+]
            }
            #[inline(always)]
            fn shr_each(self, a: Self::Words, counts: Self::Words) -> Self::Words {
                [$(on!($shr_each(a[$at], counts[$at]))),+]
            }
            #[inline(always)]
            fn select(self, mask: u64, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!($blend((mask >> ($mask_bits * $at)) as $mask, b[$at], a[$at]))),+]
            }
            #[inline(always)]
            fn less(self, a: Self::Words, b: Self::Words) -> u64 {
                $(u64::from(on!($less(a[$at], b[$at]))) << ($mask_bits * $at))|+
            }
            #[inline(always)]
            fn equal(self, a: Self::Words, b: Self::Words) -> u64 {
                $(u64::from(on!($equal(a[$at], b[$at]))) << ($mask_bits * $at))|+
            }
            #[inline(always)]
            fn narrow(self, a: Self::Words) -> Self::Bytes {
                $join([$(on!($narrow(a[$at]))),+])
            }
            #[inline(always)]
            fn narrow_saturating(self, a: Self::Words) -> Self::Bytes {
                $join([$(on!($narrow_saturating(a[$at]))),+])
            }
            #[inline(always)]
            fn bit_lens(self, a: Self::Words) -> Self::Bytes {
                $bit_lens(a)
            }
            #[inline(always)]
            fn widen(self, a: Self::Bytes) -> Self::Words {
                let parts = $split(a);
                [$(on!($widen(parts[$at]))),+]
            }
        }
    };
}

#[inline(always)]
fn halves(a: __m512i) -> [__m256i; 2] {
    on!([_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a)])
}

#[inline(always)]
fn join_halves([a, b]: [__m256i; 2]) -> __m512i {
    on!(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b))
}

#[inline(always)]
fn quarters(a: __m512i) -> [__m128i; 4] {
    on!([
        _mm512_castsi512_si128(a),
        _mm512_extracti32x4_epi32::<1>(a),
        _mm512_extracti32x4_epi32::<2>(a),
        _mm512_extracti32x4_epi32::<3>(a),
    ])
}

#[inline(always)]
fn join_quarters([a, b, c, d]: [__m128i; 4]) -> __m512i {
    let low = on!(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b));
    let high = on!(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d));
    join_halves([low, high])
}

/// How many bits sixteen numbers of 32 bits have.
#[inline(always)]
fn bit_lens(a: __m512i) -> __m128i {
    let zeros = on!(_mm512_lzcnt_epi32(a));
    on!(_mm512_cvtepi32_epi8(_mm512_sub_epi32(_mm512_set1_epi32(32), zeros)))
}

#[inline(always)]
fn bit_lens_of_words([a, b]: [__m512i; 2]) -> __m512i {
    let ([a, b], [c, d]) = (halves(a), halves(b));
    join_quarters([
        bit_lens(on!(_mm512_cvtepu16_epi32(a))),
        bit_lens(on!(_mm512_cvtepu16_epi32(b))),
        bit_lens(on!(_mm512_cvtepu16_epi32(c))),
        bit_lens(on!(_mm512_cvtepu16_epi32(d))),
    ])
}

#[inline(always)]
fn bit_lens_of_doubles([a, b, c, d]: [__m512i; 4]) -> __m512i {
    join_quarters([bit_lens(a), bit_lens(b), bit_lens(c), bit_lens(d)])
}

machine! {
    BLOCK_BYTES_16, registers: 2, at: 0, 1; lane: i16, mask: __mmask32,
    mask bits: 32, splat: _mm512_set1_epi16, add: _mm512_add_epi16, sub: _mm512_sub_epi16,
    shl: _mm512_sll_epi16, shr: _mm512_srl_epi16,
    shl_each: _mm512_sllv_epi16, shr_each: _mm512_srlv_epi16,
    max: _mm512_max_epu16, min: _mm512_min_epu16, blend: _mm512_mask_blend_epi16, less: _mm512_cmplt_epu16_mask,
    equal: _mm512_cmpeq_epi16_mask, narrow: _mm512_cvtepi16_epi8,
    narrow_saturating: _mm512_cvtusepi16_epi8, widen: _mm512_cvtepu8_epi16,
    join: join_halves, split: halves, bit lens: bit_lens_of_words,
}

machine! {
    BLOCK_BYTES_32, registers: 4, at: 0, 1, 2, 3; lane: i32, mask: __mmask16,
    mask bits: 16, splat: _mm512_set1_epi32, add: _mm512_add_epi32, sub: _mm512_sub_epi32,
    shl: _mm512_sll_epi32, shr: _mm512_srl_epi32,
    shl_each: _mm512_sllv_epi32, shr_each: _mm512_srlv_epi32,
    max: _mm512_max_epu32, min: _mm512_min_epu32, blend: _mm512_mask_blend_epi32, less: _mm512_cmplt_epu32_mask,
    equal: _mm512_cmpeq_epi32_mask, narrow: _mm512_cvtepi32_epi8,
    narrow_saturating: _mm512_cvtusepi32_epi8, widen: _mm512_cvtepu8_epi32,
    join: join_quarters, split: quarters, bit lens: bit_lens_of_doubles,
}
