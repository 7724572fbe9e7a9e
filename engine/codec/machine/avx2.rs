//! [`Machine`] in AVX2 registers. There are no masks here: a comparison gives registers of ones, of
//! which a mask of 64 bits is made, and back. With `avx512.rs`, the one place with `unsafe` in this
//! coder. Property-tested against the portable machine.

use std::arch::x86_64::*;

use super::portable;
use super::{BLOCK_BYTES_16, BLOCK_BYTES_32, Bits, Machine};
use crate::codec::cpu::Avx2;

/// Calls an intrinsic that asks for nothing but features.
macro_rules! on {
    ($call:expr) => {
        // SAFETY: reached only by methods of `Avx2`, which is made only where the features are.
        unsafe { $call }
    };
}

/// 64 bytes, of which those with a one in the mask are all ones.
#[inline(always)]
fn bytes_of_mask(mask: u64) -> [__m256i; 2] {
    on!({
        const ONES: i64 = 0x0101_0101_0101_0101;
        let mask = _mm256_set1_epi64x(mask as i64);
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
        let low = _mm256_shuffle_epi8(mask, _mm256_setr_epi64x(0, ONES, 2 * ONES, 3 * ONES));
        let order = _mm256_setr_epi64x(4 * ONES, 5 * ONES, 6 * ONES, 7 * ONES);
        let high = _mm256_shuffle_epi8(mask, order);
        [
            _mm256_cmpeq_epi8(_mm256_and_si256(low, bit), bit),
            _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit),
        ]
    })
}

/// A register of 16 numbers, of which those with a one in the mask's lowest bits are all ones.
#[inline(always)]
fn words_of_mask(mask: u32) -> __m256i {
    on!({
        let bit = _mm256_setr_epi16(
            1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768,
        );
        let spread = _mm256_set1_epi16(mask as i16);
        _mm256_cmpeq_epi16(_mm256_and_si256(spread, bit), bit)
    })
}

/// The same of 8 numbers.
#[inline(always)]
fn doubles_of_mask(mask: u32) -> __m256i {
    on!({
        let bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        let spread = _mm256_set1_epi32(mask as i32);
        _mm256_cmpeq_epi32(_mm256_and_si256(spread, bit), bit)
    })
}

/// The highest bits of all bytes.
#[inline(always)]
fn mask_of_bytes([a, b]: [__m256i; 2]) -> u64 {
    let (a, b) = (on!(_mm256_movemask_epi8(a)), on!(_mm256_movemask_epi8(b)));
    u64::from(a as u32) | u64::from(b as u32) << 32
}

/// Numbers of 16 bits, below 256 without signs or all ones, as bytes in their order.
#[inline(always)]
fn pack_words([a, b, c, d]: [__m256i; 4]) -> [__m256i; 2] {
    on!({
        [
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(a, b)),
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(c, d)),
        ]
    })
}

/// The same of 32 bits.
#[inline(always)]
fn pack_doubles([a, b, c, d, e, f, g, h]: [__m256i; 8]) -> [__m256i; 2] {
    on!({
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let low = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
        let high = _mm256_packus_epi16(_mm256_packus_epi32(e, f), _mm256_packus_epi32(g, h));
        [_mm256_permutevar8x32_epi32(low, order), _mm256_permutevar8x32_epi32(high, order)]
    })
}

/// A mask of which of 64 numbers of 16 bits are all ones; the others are zeros.
#[inline(always)]
fn mask_of_words([a, b, c, d]: [__m256i; 4]) -> u64 {
    on!({
        mask_of_bytes([
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(a, b)),
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(c, d)),
        ])
    })
}

/// The same of 32 bits.
#[inline(always)]
fn mask_of_doubles([a, b, c, d, e, f, g, h]: [__m256i; 8]) -> u64 {
    on!({
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let low = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        let high = _mm256_packs_epi16(_mm256_packs_epi32(e, f), _mm256_packs_epi32(g, h));
        mask_of_bytes([
            _mm256_permutevar8x32_epi32(low, order),
            _mm256_permutevar8x32_epi32(high, order),
        ])
    })
}

#[inline(always)]
fn widen_words([a, b]: [__m256i; 2]) -> [__m256i; 4] {
    on!({
        [
            _mm256_cvtepu8_epi16(_mm256_castsi256_si128(a)),
            _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(a)),
            _mm256_cvtepu8_epi16(_mm256_castsi256_si128(b)),
            _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(b)),
        ]
    })
}

#[inline(always)]
fn widen_doubles([a, b]: [__m256i; 2]) -> [__m256i; 8] {
    on!({
        let quarters = [
            _mm256_castsi256_si128(a),
            _mm256_extracti128_si256::<1>(a),
            _mm256_castsi256_si128(b),
            _mm256_extracti128_si256::<1>(b),
        ];
        let [a, b, c, d] = quarters;
        [
            _mm256_cvtepu8_epi32(a),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(a)),
            _mm256_cvtepu8_epi32(b),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(b)),
            _mm256_cvtepu8_epi32(c),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(c)),
            _mm256_cvtepu8_epi32(d),
            _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(d)),
        ]
    })
}

/// How many bits numbers of 32 bits have: by the exponent of a float, which is not rounded up
/// without the second bit.
#[inline(always)]
fn bit_lens(a: __m256i) -> __m256i {
    on!({
        let a = _mm256_andnot_si256(_mm256_srli_epi32::<1>(a), a);
        let bits = _mm256_castps_si256(_mm256_cvtepi32_ps(a));
        let lens = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(126));
        // Of a negative one, the highest bit is set.
        let lens = _mm256_blendv_epi8(lens, _mm256_set1_epi32(32), _mm256_srai_epi32::<31>(a));
        _mm256_max_epi32(lens, _mm256_setzero_si256())
    })
}

#[inline(always)]
fn bit_lens_of_both(word: __m256i) -> __m256i {
    let low = bit_lens(on!(_mm256_and_si256(word, _mm256_set1_epi32(0xffff))));
    let high = bit_lens(on!(_mm256_srli_epi32::<16>(word)));
    on!(_mm256_or_si256(low, _mm256_slli_epi32::<16>(high)))
}

#[inline(always)]
fn bit_lens_of_words([a, b, c, d]: [__m256i; 4]) -> [__m256i; 2] {
    let [a, b] = [bit_lens_of_both(a), bit_lens_of_both(b)];
    pack_words([a, b, bit_lens_of_both(c), bit_lens_of_both(d)])
}

#[inline(always)]
fn bit_lens_of_doubles(words: [__m256i; 8]) -> [__m256i; 2] {
    let [a, b, c, d, e, f, g, h] = words;
    let [a, b, c, d] = [bit_lens(a), bit_lens(b), bit_lens(c), bit_lens(d)];
    let [e, f, g, h] = [bit_lens(e), bit_lens(f), bit_lens(g), bit_lens(h)];
    pack_doubles([a, b, c, d, e, f, g, h])
}

/// Numbers of 16 bits, each shifted by its own count: there is only an instruction for 32.
#[inline(always)]
fn shl_words(a: __m256i, counts: __m256i) -> __m256i {
    on!({
        let lower = _mm256_set1_epi32(0xffff);
        let low = _mm256_sllv_epi32(a, _mm256_and_si256(counts, lower));
        let high = _mm256_andnot_si256(lower, a);
        let high = _mm256_sllv_epi32(high, _mm256_srli_epi32::<16>(counts));
        _mm256_blend_epi16::<0b1010_1010>(low, high)
    })
}

#[inline(always)]
fn shr_words(a: __m256i, counts: __m256i) -> __m256i {
    on!({
        let lower = _mm256_set1_epi32(0xffff);
        let low = _mm256_and_si256(a, lower);
        let low = _mm256_srlv_epi32(low, _mm256_and_si256(counts, lower));
        let high = _mm256_srlv_epi32(a, _mm256_srli_epi32::<16>(counts));
        _mm256_blend_epi16::<0b1010_1010>(low, high)
    })
}

#[inline(always)]
fn shl_doubles(a: __m256i, counts: __m256i) -> __m256i {
    on!(_mm256_sllv_epi32(a, counts))
}

#[inline(always)]
fn shr_doubles(a: __m256i, counts: __m256i) -> __m256i {
    on!(_mm256_srlv_epi32(a, counts))
}

impl Bits for Avx2 {
    type Bytes = [__m256i; 2];

    #[inline(always)]
    fn bytes(self, value: u8) -> Self::Bytes {
        [on!(_mm256_set1_epi8(value as i8)); 2]
    }
    #[inline(always)]
    fn sub_saturating(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        [on!(_mm256_subs_epu8(a[0], b[0])), on!(_mm256_subs_epu8(a[1], b[1]))]
    }
    #[inline(always)]
    fn read(self, bytes: &[u8; 72], shift: u32) -> Self::Bytes {
        let from = bytes.as_ptr();
        // SAFETY: the features are there, and twice 32 bytes from 0 and from 8 on.
        let [low, next, high, last] = unsafe {
            [
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(8).cast()),
                _mm256_loadu_si256(from.add(32).cast()),
                _mm256_loadu_si256(from.add(40).cast()),
            ]
        };
        let shift = shift as i32;
        // A shift by 64 leaves nothing.
        let (down, up) = (on!(_mm_cvtsi32_si128(shift)), on!(_mm_cvtsi32_si128(64 - shift)));
        on!({
            [
                _mm256_or_si256(_mm256_srl_epi64(low, down), _mm256_sll_epi64(next, up)),
                _mm256_or_si256(_mm256_srl_epi64(high, down), _mm256_sll_epi64(last, up)),
            ]
        })
    }
    #[inline(always)]
    fn write(self, [low, high]: Self::Bytes, bytes: &mut [u8; 64], bits: u64, count: u32) -> u64 {
        let count = count as i32;
        let (up, down) = (on!(_mm_cvtsi32_si128(count)), on!(_mm_cvtsi32_si128(64 - count)));
        let [first, second] = on!({
            // Each word's place has the one before it.
            let none = _mm256_setzero_si256();
            let before = _mm256_permute4x64_epi64::<0b10_01_00_00>(low);
            let before = _mm256_blend_epi32::<0b11>(before, none);
            let last = _mm256_permute4x64_epi64::<0b00_00_00_11>(low);
            let next = _mm256_permute4x64_epi64::<0b10_01_00_00>(high);
            let next = _mm256_blend_epi32::<0b11>(next, last);
            let bits = _mm256_zextsi128_si256(_mm_cvtsi64_si128(bits as i64));
            let first = _mm256_or_si256(_mm256_sll_epi64(low, up), _mm256_srl_epi64(before, down));
            [
                _mm256_or_si256(first, bits),
                _mm256_or_si256(_mm256_sll_epi64(high, up), _mm256_srl_epi64(next, down)),
            ]
        });
        let to = bytes.as_mut_ptr().cast::<__m256i>();
        // SAFETY: the features are there, and twice 32 bytes.
        unsafe {
            _mm256_storeu_si256(to, first);
            _mm256_storeu_si256(to.add(1), second);
        }
        on!(_mm256_extract_epi64::<3>(high)) as u64 >> 1 >> (63 - count)
    }
    #[inline(always)]
    fn add_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        [on!(_mm256_add_epi8(a[0], b[0])), on!(_mm256_add_epi8(a[1], b[1]))]
    }
    #[inline(always)]
    fn min(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        [on!(_mm256_min_epu8(a[0], b[0])), on!(_mm256_min_epu8(a[1], b[1]))]
    }
    #[inline(always)]
    fn max(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        [on!(_mm256_max_epu8(a[0], b[0])), on!(_mm256_max_epu8(a[1], b[1]))]
    }
    #[inline(always)]
    fn add_where(self, a: Self::Bytes, mask: u64, value: u8) -> Self::Bytes {
        self.add_bytes(a, self.keep(mask, self.bytes(value)))
    }
    #[inline(always)]
    fn keep(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        let [low, high] = bytes_of_mask(mask);
        [on!(_mm256_and_si256(a[0], low)), on!(_mm256_and_si256(a[1], high))]
    }
    #[inline(always)]
    fn fill(self, mask: u64, a: Self::Bytes) -> Self::Bytes {
        let [low, high] = bytes_of_mask(mask);
        [on!(_mm256_or_si256(a[0], low)), on!(_mm256_or_si256(a[1], high))]
    }
    #[inline(always)]
    fn above(self, a: Self::Bytes, value: u8) -> u64 {
        // There is no larger number than 255.
        let least = self.bytes(value.saturating_add(1));
        let mask = mask_of_bytes([
            on!(_mm256_cmpeq_epi8(_mm256_max_epu8(a[0], least[0]), a[0])),
            on!(_mm256_cmpeq_epi8(_mm256_max_epu8(a[1], least[1]), a[1])),
        ]);
        if value == u8::MAX { 0 } else { mask }
    }
    #[inline(always)]
    fn has_bit(self, a: Self::Bytes, bit: u32) -> u64 {
        let count = on!(_mm_cvtsi32_si128(7 - bit as i32));
        mask_of_bytes([on!(_mm256_sll_epi16(a[0], count)), on!(_mm256_sll_epi16(a[1], count))])
    }
    #[inline(always)]
    fn sum(self, a: Self::Bytes) -> u32 {
        on!({
            let zero = _mm256_setzero_si256();
            let sums = _mm256_add_epi64(_mm256_sad_epu8(a[0], zero), _mm256_sad_epu8(a[1], zero));
            let sums =
                _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            (_mm_cvtsi128_si32(sums) + _mm_extract_epi32::<2>(sums)) as u32
        })
    }
    #[inline(always)]
    fn greatest(self, a: Self::Bytes) -> u8 {
        on!({
            let both = _mm256_max_epu8(a[0], a[1]);
            let halves =
                _mm_max_epu8(_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
            // The least of what is missing to 255, of two neighbours and then of all.
            let missing = _mm_xor_si128(halves, _mm_set1_epi8(-1));
            let pairs = _mm_min_epu8(missing, _mm_srli_epi16::<8>(missing));
            let pairs = _mm_and_si128(pairs, _mm_set1_epi16(0xff));
            255 - _mm_cvtsi128_si32(_mm_minpos_epu16(pairs)) as u8
        })
    }
    #[inline(always)]
    fn deposit(self, word: u64, mask: u64) -> u64 {
        if self.has_fast_pext() {
            on!(_pdep_u64(word, mask))
        } else {
            portable::deposit(word, mask)
        }
    }
    #[inline(always)]
    fn extract(self, word: u64, mask: u64) -> u64 {
        if self.has_fast_pext() {
            on!(_pext_u64(word, mask))
        } else {
            portable::extract(word, mask)
        }
    }
}

/// [`Machine`] for one width of elements, from its intrinsics.
macro_rules! machine {
    (
        $block_bytes:ident, registers: $count:literal, at: $($at:literal),+;
        lane: $lane:ty, mask bits: $mask_bits:literal, of mask: $of_mask:ident,
        mask of: $mask_of:ident, splat: $splat:ident, add: $add:ident, sub: $sub:ident,
        shl: $shl:ident, shr: $shr:ident, shl_each: $shl_each:ident, shr_each: $shr_each:ident,
        max: $max:ident, min: $min:ident, equal: $equal:ident, pack: $pack:ident,
        widen: $widen:ident, bit lens: $bit_lens:ident,
    ) => {
        impl Machine<$block_bytes> for Avx2 {
            type Words = [__m256i; $count];

            #[inline(always)]
            fn load(self, bytes: &[u8; $block_bytes]) -> Self::Words {
                let from = bytes.as_ptr().cast::<__m256i>();
                // SAFETY: the features are there, and 32 bytes of the block for each register.
                [$(unsafe { _mm256_loadu_si256(from.add($at)) }),+]
            }
            #[inline(always)]
            fn store(self, words: Self::Words, bytes: &mut [u8; $block_bytes]) {
                let to = bytes.as_mut_ptr().cast::<__m256i>();
                // SAFETY: the features are there, and 32 bytes of the block for each register.
                $(unsafe { _mm256_storeu_si256(to.add($at), words[$at]) };)+
            }
            #[inline(always)]
            fn words(self, value: u32) -> Self::Words {
                [on!($splat(value as $lane)); $count]
            }
            #[inline(always)]
            fn and(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!(_mm256_and_si256(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn or(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!(_mm256_or_si256(a[$at], b[$at]))),+]
            }
            #[inline(always)]
            fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words {
                [$(on!(_mm256_xor_si256(a[$at], b[$at]))),+]
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
                [$($shl_each(a[$at], counts[$at])),+]
            }
            #[inline(always)]
            fn shr_each(self, a: Self::Words, counts: Self::Words) -> Self::Words {
                [$($shr_each(a[$at], counts[$at])),+]
            }
            #[inline(always)]
            fn select(self, mask: u64, a: Self::Words, b: Self::Words) -> Self::Words {
                [$({
                    let mask = $of_mask((mask >> ($mask_bits * $at)) as u32);
                    on!(_mm256_blendv_epi8(b[$at], a[$at], mask))
                }),+]
            }
            #[inline(always)]
            fn less(self, a: Self::Words, b: Self::Words) -> u64 {
                // Less, unless it is the larger of both.
                !$mask_of([$(on!($equal($max(a[$at], b[$at]), a[$at]))),+])
            }
            #[inline(always)]
            fn equal(self, a: Self::Words, b: Self::Words) -> u64 {
                $mask_of([$(on!($equal(a[$at], b[$at]))),+])
            }
            #[inline(always)]
            fn narrow(self, a: Self::Words) -> Self::Bytes {
                let low = on!($splat(0xff));
                $pack([$(on!(_mm256_and_si256(a[$at], low))),+])
            }
            #[inline(always)]
            fn narrow_saturating(self, a: Self::Words) -> Self::Bytes {
                let most = on!($splat(0xff));
                $pack([$(on!($min(a[$at], most))),+])
            }
            #[inline(always)]
            fn bit_lens(self, a: Self::Words) -> Self::Bytes {
                $bit_lens(a)
            }
            #[inline(always)]
            fn widen(self, a: Self::Bytes) -> Self::Words {
                $widen(a)
            }
        }
    };
}

machine! {
    BLOCK_BYTES_16, registers: 4, at: 0, 1, 2, 3; lane: i16, mask bits: 16,
    of mask: words_of_mask, mask of: mask_of_words, splat: _mm256_set1_epi16,
    add: _mm256_add_epi16, sub: _mm256_sub_epi16,
    shl: _mm256_sll_epi16, shr: _mm256_srl_epi16, shl_each: shl_words, shr_each: shr_words,
    max: _mm256_max_epu16, min: _mm256_min_epu16, equal: _mm256_cmpeq_epi16, pack: pack_words,
    widen: widen_words, bit lens: bit_lens_of_words,
}

machine! {
    BLOCK_BYTES_32, registers: 8, at: 0, 1, 2, 3, 4, 5, 6, 7; lane: i32, mask bits: 8,
    of mask: doubles_of_mask, mask of: mask_of_doubles, splat: _mm256_set1_epi32,
    add: _mm256_add_epi32, sub: _mm256_sub_epi32,
    shl: _mm256_sll_epi32, shr: _mm256_srl_epi32, shl_each: shl_doubles, shr_each: shr_doubles,
    max: _mm256_max_epu32, min: _mm256_min_epu32, equal: _mm256_cmpeq_epi32, pack: pack_doubles,
    widen: widen_doubles, bit lens: bit_lens_of_doubles,
}
