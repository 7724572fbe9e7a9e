//! Floats as numbers that sort as the floats do, and the step from a parent to a child.

/// The layout of a binary float: a sign bit on top, then the exponent, then the mantissa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) struct FloatLayout {
    /// Bytes of an element.
    pub(in crate::codec) bytes: usize,
    /// Bits of the mantissa, the implied one left out.
    pub(in crate::codec) mantissa_bits: u32,
    /// The exponent that stands for 1.
    pub(in crate::codec) bias: i32,
}

impl FloatLayout {
    pub(in crate::codec) const F16: FloatLayout =
        FloatLayout { bytes: 2, mantissa_bits: 10, bias: 15 };
    pub(in crate::codec) const BF16: FloatLayout =
        FloatLayout { bytes: 2, mantissa_bits: 7, bias: 127 };
    pub(in crate::codec) const F32: FloatLayout =
        FloatLayout { bytes: 4, mantissa_bits: 23, bias: 127 };

    /// The sign bit.
    #[inline(always)]
    pub(in crate::codec) fn sign(self) -> u32 {
        1 << (8 * self.bytes - 1)
    }

    /// All bits but the sign's.
    #[inline(always)]
    pub(in crate::codec) fn magnitude_mask(self) -> u32 {
        self.sign() - 1
    }

    /// The inverse of [`step_parts`](Self::step_parts), for a step of this magnitude that is negative when
    /// `negative` is all ones. Steps that lead out of the type wrap.
    #[inline(always)]
    pub(in crate::codec) fn apply(self, parent: u32, magnitude: u32, negative: u32) -> u32 {
        let from = parent & self.magnitude_mask();
        let away = from.wrapping_add(magnitude);
        let towards = from.wrapping_sub(magnitude);
        // Behind zero: the other sign, and magnitudes count from zero again.
        let crossed = if magnitude > from { negative } else { 0 };
        let to = if negative == 0 { away } else { towards ^ crossed };
        (parent ^ crossed) & self.sign() | to & self.magnitude_mask()
    }

    /// The exponent field; a denormal counts as the lowest exponent that is not zero.
    #[inline(always)]
    pub(in crate::codec) fn exponent(self, element: u32) -> i32 {
        ((element & self.magnitude_mask()) >> self.mantissa_bits).max(1) as i32
    }

    /// The value, for the encoder's estimates. What is not finite gives any number.
    #[inline(always)]
    pub(in crate::codec) fn value(self, element: u32) -> f32 {
        match self.mantissa_bits {
            7 => f32::from_bits(element << 16),
            // The exponent's bias is mended by a factor of 2^(127 - 15).
            10 => {
                let magnitude = f32::from_bits((element & self.magnitude_mask()) << 13);
                let value = magnitude * f32::from_bits(239 << 23);
                if element & self.sign() == 0 { value } else { -value }
            }
            _ => f32::from_bits(element),
        }
    }

    /// The steps from `parent` to `child` in the direction of the parent's magnitude: positive
    /// away from zero, negative towards it and through it. Their magnitude, and 1 when negative.
    #[inline(always)]
    pub(in crate::codec) fn step_parts(self, parent: u32, child: u32) -> (u32, u32) {
        let mask = self.magnitude_mask();
        let (p, c) = (parent & mask, child & mask);
        let same = (parent ^ child) & self.sign() == 0;
        (if same { c.abs_diff(p) } else { c + p + 1 }, u32::from(!same || c < p))
    }

    /// The elements of little-endian bytes, and zeros behind them.
    #[inline(always)]
    pub(in crate::codec) fn load<const N: usize>(self, bytes: &[u8], out: &mut [u32; N]) {
        if bytes.len() != N * self.bytes {
            *out = [0; N];
        }
        if self.bytes == 2 {
            let words = bytes.as_chunks::<2>().0.iter();
            out.iter_mut().zip(words).for_each(|(x, b)| *x = u32::from(u16::from_le_bytes(*b)));
        } else {
            let words = bytes.as_chunks::<4>().0.iter();
            out.iter_mut().zip(words).for_each(|(x, b)| *x = u32::from_le_bytes(*b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The number of floats between two floats, counted on one line: the obvious way.
    fn naive(layout: FloatLayout, parent: u32, child: u32) -> i64 {
        let line = |x: u32| {
            let magnitude = i64::from(x & layout.magnitude_mask());
            if x & layout.sign() == 0 { magnitude } else { -magnitude - 1 }
        };
        let difference = line(child) - line(parent);
        if parent & layout.sign() == 0 { difference } else { -difference }
    }

    proptest! {
        #[test]
        fn steps_count_floats_and_come_back(parent in 0u32.., child in 0u32..) {
            for layout in [FloatLayout::F16, FloatLayout::BF16, FloatLayout::F32] {
                let all = layout.sign() | layout.magnitude_mask();
                let (parent, child) = (parent & all, child & all);
                let step = naive(layout, parent, child);
                let (magnitude, negative) = (step.unsigned_abs() as u32, (step >> 63) as u32);
                prop_assert_eq!(layout.apply(parent, magnitude, negative), child);
                let parts = layout.step_parts(parent, child);
                prop_assert_eq!(parts, (magnitude, u32::from(step < 0)));
            }
        }
    }
}
