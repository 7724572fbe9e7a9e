//! XOR with the parent and byte planes, and back, in the widest registers of the processor.

/// Elements that are handled at once: a few wide registers, in loops of fixed length.
const BLOCK: usize = 64;

/// Runs `work`, compiled for the widest registers that the processor has: what is inlined into
/// it is compiled so.
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
        {
            // SAFETY: the processor has these.
            return unsafe { avx512(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it.
            return unsafe { avx2(work) };
        }
    }
    work()
}

/// `child ^ base`, all first bytes of the elements, then all second bytes and so on, into
/// `planes`. All are equally long, a multiple of `width` (2 or 4).
pub fn xor_split(width: usize, child: &[u8], base: &[u8], planes: &mut [u8]) {
    assert!(child.len() == base.len() && child.len() == planes.len());
    assert!(child.len().is_multiple_of(width));
    match width {
        2 => wide(|| split_2(child, base, planes)),
        4 => wide(|| split_4(child, base, planes)),
        _ => unreachable!("a float of 2 or 4 bytes"),
    }
}

/// The child again, into `out`.
pub fn join_xor(width: usize, planes: &[u8], base: &[u8], out: &mut [u8]) {
    assert!(out.len() == base.len() && out.len() == planes.len());
    assert!(out.len().is_multiple_of(width));
    match width {
        2 => wide(|| join_2(planes, base, out)),
        4 => wide(|| join_4(planes, base, out)),
        _ => unreachable!("a float of 2 or 4 bytes"),
    }
}

macro_rules! planes {
    ($split:ident, $join:ident, $word:ty, $width:literal) => {
        #[inline(always)]
        fn $split(child: &[u8], base: &[u8], planes: &mut [u8]) {
            let count = child.len() / $width;
            let (child, child_rest) = child.as_chunks::<{ BLOCK * $width }>();
            let (base, base_rest) = base.as_chunks::<{ BLOCK * $width }>();
            for (at, (child, base)) in child.iter().zip(base).enumerate() {
                let mut words: [$word; BLOCK] = [0; BLOCK];
                let child = child.as_chunks::<$width>().0.iter();
                let base = base.as_chunks::<$width>().0.iter();
                for (word, (child, base)) in words.iter_mut().zip(child.zip(base)) {
                    *word = <$word>::from_le_bytes(*child) ^ <$word>::from_le_bytes(*base);
                }
                for place in 0..$width {
                    let plane = planes[place * count + at * BLOCK..].first_chunk_mut::<BLOCK>();
                    let plane = plane.expect("a block of every plane");
                    for (byte, word) in plane.iter_mut().zip(&words) {
                        *byte = (word >> (8 * place)) as u8;
                    }
                }
            }
            let done = child.len() * BLOCK;
            for (at, (child, base)) in child_rest.iter().zip(base_rest).enumerate() {
                planes[at % $width * count + done + at / $width] = child ^ base;
            }
        }

        #[inline(always)]
        fn $join(planes: &[u8], base: &[u8], out: &mut [u8]) {
            let count = out.len() / $width;
            let (out, out_rest) = out.as_chunks_mut::<{ BLOCK * $width }>();
            let (base, base_rest) = base.as_chunks::<{ BLOCK * $width }>();
            let done = out.len() * BLOCK;
            for (at, (out, base)) in out.iter_mut().zip(base).enumerate() {
                let mut words: [$word; BLOCK] = [0; BLOCK];
                for place in 0..$width {
                    let plane = planes[place * count + at * BLOCK..].first_chunk::<BLOCK>();
                    let plane = plane.expect("a block of every plane");
                    for (word, byte) in words.iter_mut().zip(plane) {
                        *word |= <$word>::from(*byte) << (8 * place);
                    }
                }
                let out = out.as_chunks_mut::<$width>().0.iter_mut();
                let base = base.as_chunks::<$width>().0.iter();
                for (word, (out, base)) in words.iter().zip(out.zip(base)) {
                    *out = (word ^ <$word>::from_le_bytes(*base)).to_le_bytes();
                }
            }
            for (at, (out, base)) in out_rest.iter_mut().zip(base_rest).enumerate() {
                *out = base ^ planes[at % $width * count + done + at / $width];
            }
        }
    };
}

planes!(split_2, join_2, u16, 2);
planes!(split_4, join_4, u32, 4);
