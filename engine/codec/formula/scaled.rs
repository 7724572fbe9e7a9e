//! Floats of eight bits that one scale has brought into the type's range: a tensor's own.

use super::arithmetic::settled;
use super::cast::{FloatType, with_singles};
use super::eight::FloatEight;
use super::{Formula, FormulaError, wrong};
use crate::tensor::{Dtype, float8_bits};

/// How a value and the scale are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// value / scale
    Quotient,
    /// value * scale
    Product,
}

/// Every element with a scale as a float of eight bits, the largest for what is larger.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    from: FloatType,
    to: FloatEight,
    scale: f32,
    order: Order,
}

impl Scaled {
    /// The content's elements of the base's bytes.
    pub(super) fn element_bytes(&self) -> usize {
        self.from.bytes()
    }

    pub(super) fn parameters(&self) -> Vec<u8> {
        let order = match self.order {
            Order::Quotient => 0,
            Order::Product => 1,
        };
        [&self.scale.to_le_bytes()[..], &[order]].concat()
    }

    pub(super) fn parse(
        own: &Dtype,
        base: &Dtype,
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        let (Some(from), Some(to)) = (FloatType::cast_of(base), FloatEight::of(own)) else {
            return wrong(format!("{base} with a scale as {own}"));
        };
        let &[a, b, c, d, order] = parameters else {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        };
        let order = match order {
            0 => Order::Quotient,
            1 => Order::Product,
            _ => return wrong(format!("order {order}")),
        };
        Ok(Scaled { from, to, scale: f32::from_le_bytes([a, b, c, d]), order })
    }

    pub(super) fn predict(&self, base: &[u8], out: &mut [u8]) {
        let (scale, largest) = (self.scale, self.to.largest());
        // A NaN stays one, whichever a processor makes.
        let fit = |value: f32| settled(value).clamp(-largest, largest);
        with_singles(self.from, base, |values| match self.order {
            Order::Quotient => self.to.write(&mut values.map(|value| fit(value / scale)), out),
            Order::Product => self.to.write(&mut values.map(|value| fit(value * scale)), out),
        });
    }
}

/// Scales of an interval that are tried.
const TRIED: usize = 8;

/// Between which factors every value times the factor becomes its code; `None` where there are
/// none.
fn factors(to: FloatEight, values: &[f32], codes: &[u8]) -> Option<(f64, f64)> {
    let known = to.values().map(f64::from);
    let of = |code: u8| known.get(usize::from(code)).copied().filter(|value| value.is_finite());
    let (mut low, mut high) = (0f64, f64::INFINITY);
    for (value, code) in values.iter().zip(codes) {
        let (value, magnitude) = (f64::from(value.abs()), code & 0x7f);
        let Some(own) = of(magnitude).filter(|_| value.is_normal()) else { continue };
        if let Some(below) = magnitude.checked_sub(1).and_then(of) {
            low = low.max((below + own) / 2.0 / value);
        }
        if let Some(above) = of(magnitude + 1) {
            high = high.min((own + above) / 2.0 / value);
        }
    }
    (low > 0.0 && low <= high && high.is_finite()).then_some((low, high))
}

impl Formula {
    /// A scale that makes each of some numbers the one beside it, of a type of eight bits.
    pub(crate) fn scale_between(
        dtype: &Dtype,
        from: &[f32],
        to: impl Iterator<Item = f32>,
    ) -> Option<f64> {
        let eight = FloatEight::of(dtype)?;
        let codes: Vec<u8> = to.filter_map(|value| float8_bits(dtype, value)).collect();
        factors(eight, from, &codes).map(|(low, high)| (low + high) / 2.0)
    }

    /// The scale that makes floats of eight bits `child` of those of `base`, of type `from`: one that
    /// makes all, or one that brings both to the same size. Both begin at the same element.
    pub(crate) fn guess_scaled(
        from: &Dtype,
        dtype: &Dtype,
        base: &[u8],
        child: &[u8],
    ) -> Option<Self> {
        let (from, to) = (FloatType::cast_of(from)?, FloatEight::of(dtype)?);
        let values = from.singles(base);
        let child = child.get(..values.len().min(child.len()))?;
        let size = |values: &mut dyn Iterator<Item = f32>| -> f64 {
            values.filter(|value| value.is_finite()).map(|value| f64::from(value.abs())).sum()
        };
        let decoded = to.values();
        let codes = child.iter().filter_map(|code| decoded.get(usize::from(*code)).copied());
        let about = size(&mut codes.into_iter()) / size(&mut values.iter().copied());
        let (low, high) = factors(to, &values, child).unwrap_or((about, about));
        let tried = if low < high { TRIED } else { 1 };
        let places = (0..tried).map(|at| (at as f64 + 0.5) / tried as f64);
        let tried = places.map(|part| low + (high - low) * part).flat_map(|factor| {
            [(Order::Product, factor as f32), (Order::Quotient, (1.0 / factor) as f32)]
        });
        let mut best: Option<(usize, Scaled)> = None;
        let mut made = vec![0; child.len()];
        for (order, scale) in tried.filter(|(_, scale)| scale.is_normal()) {
            let scaled = Scaled { from, to, scale, order };
            if best.as_ref().is_some_and(|(wrong, known)| *wrong == 0 || *known == scaled) {
                continue;
            }
            scaled.predict(base, &mut made);
            let wrong = made.iter().zip(child).filter(|(a, b)| a != b).count();
            if best.as_ref().is_none_or(|(least, _)| wrong < *least) {
                best = Some((wrong, scaled));
            }
        }
        best.map(|(_, scaled)| Formula::Scaled(scaled))
    }
}
