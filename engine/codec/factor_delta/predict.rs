//! From a parent to the child that factors predict, and the steps from there.
//!
//! Only operations that give the same everywhere: sums and products of integers and of `f32`, one
//! by one.

use crate::codec::float_delta::FloatLayout;

/// The floor of steps is so many octaves below the scale.
const FLOOR_OCTAVES: i32 = 6;

/// A predicted child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Predicted {
    pub(super) element: u32,
    /// 1 when it was rounded towards what is away from zero, else 0: steps towards zero are then
    /// the likelier ones.
    pub(super) flip: u32,
    /// 1 when it was rounded by more than a quarter of a step.
    pub(super) far: u32,
}

/// The child that is predicted of `parent`, which the factors move by `sum * unit`. What is not
/// finite or not moved is its own prediction.
#[inline(always)]
pub(super) fn predict(layout: FloatLayout, parent: u32, sum: i32, unit: f32) -> Predicted {
    let exponents = layout.magnitude_mask() >> layout.mantissa_bits;
    let infinite = exponents << layout.mantissa_bits;
    let value = layout.value(parent) + sum as f32 * unit;
    let bits = value.to_bits();
    let (wide, dropped) = match layout.mantissa_bits {
        7 => (bits & 0x7fff_ffff, 16),
        // The exponent's bias is mended by a factor of 2^(15 - 127).
        10 => ((f32::from_bits(bits & 0x7fff_ffff) * f32::from_bits(15 << 23)).to_bits(), 13),
        _ => (bits & 0x7fff_ffff, 0),
    };
    let magnitude = ((wide + ((1 << dropped) >> 1)) >> dropped).min(infinite - 1);
    let rest = wide as i32 - (magnitude << dropped) as i32;
    let moved = sum != 0 && parent & layout.magnitude_mask() < infinite;
    let sign = if bits >> 31 == 0 { 0 } else { layout.sign() };
    Predicted {
        element: if moved { sign | magnitude } else { parent },
        flip: u32::from(moved && rest < 0),
        far: u32::from(moved && rest.unsigned_abs() > (1 << dropped) >> 2),
    }
}

/// The magnitude from which steps are counted in a block of this scale.
#[inline(always)]
pub(super) fn floor(layout: FloatLayout, scale: i32) -> u32 {
    let exponents = (layout.magnitude_mask() >> layout.mantissa_bits) as i32;
    (((scale >> 1) - FLOOR_OCTAVES).clamp(0, exponents) as u32) << layout.mantissa_bits
}

/// The step from a predicted element to the child: its magnitude, and 1 when it is negative.
///
/// Magnitudes are counted from the floor on, and those below it behind the largest. A predicted
/// element below the floor is between both signs, and 0 means itself.
#[inline(always)]
pub(super) fn step(layout: FloatLayout, floor: u32, predicted: u32, child: u32) -> (u32, u32) {
    let mask = layout.magnitude_mask();
    let magnitude = predicted & mask;
    let to = (child & mask).wrapping_sub(floor) & mask;
    let same = (predicted ^ child) & layout.sign() == 0;
    let below = magnitude < floor;
    let from = magnitude.saturating_sub(floor);
    let along = if below { to + 1 } else { to.abs_diff(from) };
    let step = if same { along } else { from + to + 1 };
    let negative = !same || (!below && to < from);
    if predicted == child { (0, 0) } else { (step, u32::from(negative)) }
}

/// The inverse of [`step`], for a step that is negative when `negative` is all ones. Steps that
/// lead out of the type wrap.
#[inline(always)]
pub(super) fn apply(
    layout: FloatLayout,
    floor: u32,
    predicted: u32,
    step: u32,
    negative: u32,
) -> u32 {
    let mask = layout.magnitude_mask();
    let magnitude = predicted & mask;
    let from = magnitude.saturating_sub(floor);
    let away = from.wrapping_add(step).wrapping_sub(u32::from(magnitude < floor));
    let towards = from.wrapping_sub(step);
    // Behind zero: the other sign, and magnitudes count from the floor again.
    let crossed = if step > from { negative } else { 0 };
    let to = if negative == 0 { away } else { towards ^ crossed };
    let child = (predicted ^ crossed) & layout.sign() | to.wrapping_add(floor) & mask;
    if step == 0 { predicted } else { child }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUTS: [FloatLayout; 3] = [FloatLayout::F16, FloatLayout::BF16, FloatLayout::F32];

    proptest! {
        #[test]
        fn steps_lead_to_the_child(predicted in 0u32.., child in 0u32.., scale in -40i32..600) {
            for layout in LAYOUTS {
                let all = layout.sign() | layout.magnitude_mask();
                let (predicted, child) = (predicted & all, child & all);
                let floor = floor(layout, scale);
                let (magnitude, negative) = step(layout, floor, predicted, child);
                let found = apply(layout, floor, predicted, magnitude, 0u32.wrapping_sub(negative));
                prop_assert_eq!(found, child);
            }
        }

        #[test]
        fn predictions_are_the_nearest_floats(parent in -4.0f32..4.0, sum in -9999i32..9999) {
            let unit = 2f32.powi(-14);
            let exact = f64::from(parent) + f64::from(sum) * f64::from(unit);
            for layout in LAYOUTS {
                let element = match layout.mantissa_bits {
                    7 => u32::from(half::bf16::from_f32(parent).to_bits()),
                    10 => u32::from(half::f16::from_f32(parent).to_bits()),
                    _ => parent.to_bits(),
                };
                let from = f64::from(layout.value(element)) + exact - f64::from(parent);
                let found = predict(layout, element, sum, unit).element;
                let far = (f64::from(layout.value(found)) - from).abs();
                let step = f64::from(layout.exponent(found) - layout.bias).exp2()
                    * f64::from(-(layout.mantissa_bits as i32)).exp2();
                prop_assert!(far <= 0.51 * step, "{element:x} moves to {found:x}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays() {
        for layout in LAYOUTS {
            let infinite = layout.magnitude_mask() >> layout.mantissa_bits << layout.mantissa_bits;
            for element in [infinite, infinite + 1, layout.sign() | infinite, layout.sign()] {
                let own = Predicted { element, flip: 0, far: 0 };
                let sum = if element == layout.sign() { 0 } else { 7 };
                assert_eq!(predict(layout, element, sum, 1.0), own);
            }
            let largest = predict(layout, infinite - 1, i32::MAX, f32::MAX);
            assert_eq!(largest.element, infinite - 1);
        }
    }
}
