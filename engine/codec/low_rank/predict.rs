//! The prediction itself: fast, and the same bits everywhere.

use half::{bf16, f16};

use super::Factors;
use crate::codec::Lane;

/// Turns the parent's bytes in `out`, from element `first` of the matrix on, into the prediction
/// that [`Factors`] define. Elements that are not F16, BF16 or F32, or lie behind the matrix, stay
/// as they are. Cost: `rank` multiplications an element; a few times slower on a processor without
/// fused multiply-add.
pub fn predict(factors: &Factors, lane: Lane, first: usize, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { predict_fma(factors, lane, first, out) };
    }
    predict_any(factors, lane, first, out);
}

/// [`predict_any`], compiled for fused multiply-adds in wide registers.
///
/// # Safety
///
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn predict_fma(factors: &Factors, lane: Lane, first: usize, out: &mut [u8]) {
    predict_any(factors, lane, first, out);
}

#[inline(always)]
fn predict_any(factors: &Factors, lane: Lane, first: usize, out: &mut [u8]) {
    match lane.float().map(|layout| (layout.bytes, layout.mantissa_bits)) {
        Some((4, _)) => run(factors, first, out, f32::from_le_bytes, |x| x.to_le_bytes()),
        Some((2, 7)) => run(
            factors,
            first,
            out,
            |bytes| bf16::from_le_bytes(bytes).to_f32(),
            |x| bf16::from_f32(x).to_le_bytes(),
        ),
        Some((2, _)) => run(
            factors,
            first,
            out,
            |bytes| f16::from_le_bytes(bytes).to_f32(),
            |x| f16::from_f32(x).to_le_bytes(),
        ),
        _ => {}
    }
}

/// What every NaN becomes.
const NAN: f32 = f32::from_bits(0x7fc0_0000);

/// Elements whose sums are made side by side.
const TILE: usize = 256;

#[inline(always)]
fn run<const BYTES: usize>(
    factors: &Factors,
    first: usize,
    out: &mut [u8],
    from: impl Fn([u8; BYTES]) -> f32,
    to: impl Fn(f32) -> [u8; BYTES],
) {
    let cols = factors.cols();
    let mut rest = out.as_chunks_mut::<BYTES>().0;
    let mut at = first;
    let mut sums = [0f32; TILE];
    while !rest.is_empty() && cols > 0 {
        let (row, col) = (at / cols, at % cols);
        let Some(u) = factors.u.get(row * factors.rank..(row + 1) * factors.rank) else { return };
        let len = rest.len().min(cols - col).min(TILE);
        let (elements, behind) = rest.split_at_mut(len);
        let sums = sums.get_mut(..len).unwrap_or_default();
        sums.fill(0.0);
        for (u, v) in u.iter().zip(factors.v.chunks_exact(cols)) {
            let v = v.get(col..col + len).unwrap_or_default();
            for (sum, v) in sums.iter_mut().zip(v) {
                *sum = u.mul_add(*v, *sum);
            }
        }
        for (element, sum) in elements.iter_mut().zip(sums.iter()) {
            let predicted = from(*element) + sum;
            // The payload of a NaN would be the machine's.
            *element = to(if predicted.is_nan() { NAN } else { predicted });
        }
        at += len;
        rest = behind;
    }
}
