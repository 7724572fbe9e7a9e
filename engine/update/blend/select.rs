//! Which elements of a difference are its largest, found in bounded memory.

use super::super::UpdateError;
use super::numbers::for_each_block;
use crate::store::Tensor;

/// Where a difference is cut: magnitudes above are kept, and of equal ones the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The bits of the smallest magnitude that is kept, in single precision.
    magnitude: u32,
    /// The place of the last element of just that magnitude that is kept.
    last: u64,
}

/// The order of magnitudes: that of the bits, where the sign is gone.
fn magnitude(difference: f64) -> u32 {
    (difference.abs() as f32).to_bits() & 0x7fff_ffff
}

/// By how much an element has changed: not at all where it is equal, be it infinite.
pub(super) fn difference(value: f64, base: f64) -> f64 {
    if value == base { 0.0 } else { value - base }
}

impl Cut {
    /// Keeps all.
    pub(super) const NONE: Cut = Cut { magnitude: 0, last: u64::MAX };

    /// Whether the element at `place` is kept.
    pub(super) fn keeps(&self, place: u64, difference: f64) -> bool {
        let found = magnitude(difference);
        found > self.magnitude || (found == self.magnitude && place <= self.last)
    }

    /// Where `tensor - base` is cut so that `density` of its elements are left: rounded down, at
    /// least one. Cost: reads both up to three times.
    pub(super) fn of(tensor: &Tensor, base: &Tensor, density: f64) -> Result<Self, UpdateError> {
        let count = tensor.byte_len() / tensor.dtype().lane_bytes().max(1) as u64;
        if density >= 1.0 || count == 0 || tensor.is_same(base) {
            return Ok(Cut::NONE);
        }
        let mut left = ((density * count as f64) as u64).clamp(1, count);
        let mut prefix = 0;
        let mut same = 0;
        for (shift, known) in [(16, 0), (0, 0xffff_0000u32)] {
            let mut counts = vec![0u64; 1 << 16];
            for_each_block((tensor, base), |_, tensor, base| {
                for (value, base) in tensor.iter().zip(base) {
                    let bits = magnitude(difference(*value, *base));
                    if bits & known == prefix
                        && let Some(count) = counts.get_mut((bits >> shift & 0xffff) as usize)
                    {
                        *count += 1;
                    }
                }
            })?;
            for (digits, count) in (0..1u32 << 16).rev().zip(counts.iter().rev()) {
                if *count >= left {
                    (prefix, same) = (prefix | digits << shift, *count);
                    break;
                }
                left -= count;
            }
        }
        if left == same {
            return Ok(Cut { magnitude: prefix, last: u64::MAX });
        }
        let (mut seen, mut last) = (0, 0);
        for_each_block((tensor, base), |start, tensor, base| {
            for (place, (value, base)) in (start..).zip(tensor.iter().zip(base)) {
                if seen < left && magnitude(difference(*value, *base)) == prefix {
                    (seen, last) = (seen + 1, place);
                }
            }
        })?;
        Ok(Cut { magnitude: prefix, last })
    }
}
