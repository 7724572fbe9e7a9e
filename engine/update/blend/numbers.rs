//! Elements as doubles, and back.

use half::{bf16, f16};

use super::super::UpdateError;
use crate::store::Tensor;
use crate::tensor::Dtype;

/// Bytes of a tensor that are read at a time: stored chunks are decoded once.
pub(super) const PIECE_LEN: usize = 1 << 20;

/// Elements that are reckoned with at a time.
pub(super) const BLOCK: usize = 1 << 12;

/// Whether elements of this type are numbers that blends reckon with.
pub(super) fn is_number(dtype: &Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64)
}

/// Elements `start..start + count` of a tensor, as they are stored.
pub(super) fn read(tensor: &Tensor, start: u64, count: usize) -> Result<Vec<u8>, UpdateError> {
    let lane = tensor.dtype().lane_bytes();
    let mut bytes = vec![0; count * lane];
    tensor.read_range_into(start * lane as u64, &mut bytes)?;
    Ok(bytes)
}

/// Elements from `start` on of what was read, as doubles: as many as `out` holds.
pub(super) fn doubles(dtype: &Dtype, bytes: &[u8], start: usize, out: &mut [f64]) {
    let bytes = bytes.get(start * dtype.lane_bytes()..).unwrap_or_default();
    match dtype {
        Dtype::F16 => {
            let values = bytes.as_chunks().0.iter().map(|it| f16::from_le_bytes(*it).to_f64());
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
        }
        Dtype::Bf16 => {
            let values = bytes.as_chunks().0.iter().map(|it| bf16::from_le_bytes(*it).to_f64());
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
        }
        Dtype::F32 => {
            let values = bytes.as_chunks().0.iter().map(|it| f64::from(f32::from_le_bytes(*it)));
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
        }
        _ => {
            let values = bytes.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it));
            out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
        }
    }
}

/// Doubles as elements: rounded to single precision first, but for F64. Every NaN becomes the one
/// that arithmetic makes, whatever the processor.
pub(super) fn elements(dtype: &Dtype, values: &[f64], out: &mut [u8]) {
    match dtype {
        Dtype::F16 => {
            for (value, out) in values.iter().zip(out.as_chunks_mut::<2>().0) {
                let bits = f16::from_f32(*value as f32).to_bits();
                *out = if value.is_nan() { 0x7e00 } else { bits }.to_le_bytes();
            }
        }
        Dtype::Bf16 => {
            for (value, out) in values.iter().zip(out.as_chunks_mut::<2>().0) {
                let bits = bf16::from_f32(*value as f32).to_bits();
                *out = if value.is_nan() { 0x7fc0 } else { bits }.to_le_bytes();
            }
        }
        Dtype::F32 => {
            for (value, out) in values.iter().zip(out.as_chunks_mut::<4>().0) {
                let bits = (*value as f32).to_bits();
                *out = if value.is_nan() { 0x7fc0_0000 } else { bits }.to_le_bytes();
            }
        }
        _ => {
            for (value, out) in values.iter().zip(out.as_chunks_mut::<8>().0) {
                let bits = value.to_bits();
                *out = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { bits }.to_le_bytes();
            }
        }
    }
}

/// Calls `each` with the elements of two tensors of one shape, in order, a block at a time; `start`
/// is the number of elements before it.
pub(super) fn for_each_block(
    (a, b): (&Tensor, &Tensor),
    mut each: impl FnMut(u64, &[f64], &[f64]),
) -> Result<(), UpdateError> {
    let lane = a.dtype().lane_bytes().max(1);
    let (count, piece) = (a.byte_len() / lane as u64, PIECE_LEN / lane);
    let (mut of_a, mut of_b) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut start = 0;
    while start < count {
        let len = (count - start).min(piece as u64) as usize;
        let (bytes_a, bytes_b) = (read(a, start, len)?, read(b, start, len)?);
        for at in (0..len).step_by(BLOCK) {
            let block = BLOCK.min(len - at);
            let (Some(of_a), Some(of_b)) = (of_a.get_mut(..block), of_b.get_mut(..block)) else {
                break;
            };
            doubles(a.dtype(), &bytes_a, at, of_a);
            doubles(b.dtype(), &bytes_b, at, of_b);
            each(start + at as u64, of_a, of_b);
        }
        start += len as u64;
    }
    Ok(())
}
