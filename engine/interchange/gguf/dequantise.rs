//! `Q8_0` blocks as `F32` numbers.

use std::io;

/// Elements of a block.
pub const Q8_0_BLOCK_ELEMENTS: usize = 32;
/// Bytes of a block: a scale of half precision, then a signed byte for each element.
pub const Q8_0_BLOCK_BYTES: usize = 34;
/// Bytes that a block becomes.
const F32_BYTES: usize = Q8_0_BLOCK_ELEMENTS * size_of::<f32>();
/// Blocks that are read at a time.
const BLOCKS_AT_ONCE: usize = 512;

/// Fills `out` with the bytes from `offset` on of what a tensor of type `Q8_0` is as `F32`,
/// little-endian: each element is the block's scale times its byte. `read` fills a buffer from a
/// place of the tensor's own bytes on. Memory: 17 KiB, whatever is asked for.
///
/// The format: `block_q8_0` of `ggml-common.h`; the same numbers as its `dequantize_row_q8_0`.
///
/// # Errors
///
/// What `read` returns, also for a range that ends behind the tensor; of kind `InvalidInput` for one
/// that ends behind 2^64.
pub fn q8_0_as_f32(
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    offset: u64,
    out: &mut [u8],
) -> io::Result<()> {
    let too_far = || io::Error::new(io::ErrorKind::InvalidInput, "no such elements");
    offset.checked_add(out.len() as u64).ok_or_else(too_far)?;
    let mut block = offset / F32_BYTES as u64;
    // The first block may be wanted from its middle on.
    let mut skip = (offset % F32_BYTES as u64) as usize;
    let mut out = out;
    let mut blocks = Vec::new();
    while !out.is_empty() {
        let count = (skip + out.len()).div_ceil(F32_BYTES).min(BLOCKS_AT_ONCE);
        blocks.resize(count * Q8_0_BLOCK_BYTES, 0);
        read(block.checked_mul(Q8_0_BLOCK_BYTES as u64).ok_or_else(too_far)?, &mut blocks)?;
        for bytes in blocks.chunks_exact(Q8_0_BLOCK_BYTES) {
            let numbers = dequantised(bytes);
            let wanted = numbers.get(skip..).unwrap_or_default();
            let (now, rest) = out.split_at_mut(wanted.len().min(out.len()));
            now.copy_from_slice(wanted.get(..now.len()).unwrap_or_default());
            (out, skip) = (rest, 0);
        }
        block += count as u64;
    }
    Ok(())
}

/// A block's elements, as bytes.
fn dequantised(block: &[u8]) -> [u8; F32_BYTES] {
    let mut out = [0; F32_BYTES];
    let Some((scale, quants)) = block.split_first_chunk() else { return out };
    let scale = half::f16::from_le_bytes(*scale).to_f32();
    for (out, quant) in out.chunks_exact_mut(4).zip(quants) {
        out.copy_from_slice(&(scale * f32::from(quant.cast_signed())).to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_range_is_that_part_of_the_whole() {
        let blocks: Vec<u8> = (0u32..3)
            .flat_map(|at| {
                let scale = half::f16::from_f32(0.25 * at as f32 - 0.3).to_le_bytes();
                let quants = (0u32..32).map(move |place| (at * 91 + place * 7) as u8);
                scale.into_iter().chain(quants).collect::<Vec<u8>>()
            })
            .collect();
        let read = |offset: u64, out: &mut [u8]| {
            let part = blocks.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        };
        let mut whole = vec![0; 3 * F32_BYTES];
        q8_0_as_f32(read, 0, &mut whole).unwrap();
        let scale = half::f16::from_f32(-0.05).to_f32();
        assert_eq!(whole[F32_BYTES..][..4], (scale * 91.0).to_le_bytes());
        assert_eq!(whole[F32_BYTES + 8..][..4], (scale * 105.0).to_le_bytes());
        for offset in 0..whole.len() {
            for len in [0, 1, 5, 127, 128, 129, 200].map(|len| len.min(whole.len() - offset)) {
                let mut part = vec![0; len];
                q8_0_as_f32(read, offset as u64, &mut part).unwrap();
                assert_eq!(part, whole[offset..offset + len], "{offset} {len}");
            }
        }
        assert!(q8_0_as_f32(read, 0, &mut vec![0; whole.len() + 1]).is_err());
        assert!(q8_0_as_f32(read, u64::MAX, &mut [0]).is_err());
    }
}
