//! Lossy differences: the values that a tensor gets instead of its own, on request.
//!
//! A tensor's values become those of its parent and a rounded difference. What comes out is a
//! tensor like any other; that its values are not the ones that came in is for whoever asks for
//! them to remember.

mod singles;

use std::fmt;
use std::str::FromStr;

use self::singles::Rounder;
use super::formula::{FloatType, Formula, settled};
use crate::tensor::Dtype;

/// The largest multiple of a step: both its halves fit eight bits.
const MULTIPLE_MAX: f64 = 32_639.0;

/// How differences from a parent are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Lossy {
    /// To half precision. No value moves by more than 2^-11 of the difference plus 2^-25.
    Fp16,
    /// To multiples of `2 ln(1 + eps)`, as MGit does. No value moves by more than `ln(1 + eps)`.
    Quantised {
        /// The relative error that the step is made from.
        eps: f64,
    },
}

/// Text that is not a lossy method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no lossy method: write fp16, or quantised:EPS with EPS from 1e-12 to 1, such as \
     quantised:1e-4"
)]
pub struct UnknownLossy(String);

impl fmt::Display for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lossy::Fp16 => f.write_str("fp16"),
            Lossy::Quantised { eps } => write!(f, "quantised:{eps:?}"),
        }
    }
}

impl FromStr for Lossy {
    type Err = UnknownLossy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if ["fp16", "f16"].contains(&text) {
            return Ok(Lossy::Fp16);
        }
        let eps = text.strip_prefix("quantised:").and_then(|eps| eps.parse().ok());
        match eps.filter(|eps| (1e-12..=1.0).contains(eps)) {
            Some(eps) => Ok(Lossy::Quantised { eps }),
            None => Err(UnknownLossy(text.to_owned())),
        }
    }
}

/// What rounding did to the elements of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Elements looked at.
    pub elements: u64,
    /// Those that kept their value because the rounded one is not within the bound.
    pub exact: u64,
    /// The sum of the squares of all errors.
    pub squared_error: f64,
    /// The largest error.
    pub largest_error: f64,
    /// Whether a multiple does not fit eight bits.
    pub wide: bool,
}

impl Loss {
    /// Adds what was found in another piece.
    pub fn add(&mut self, other: Loss) {
        self.elements += other.elements;
        self.exact += other.exact;
        self.squared_error += other.squared_error;
        self.largest_error = self.largest_error.max(other.largest_error);
        self.wide |= other.wide;
    }
}

/// Which halves of the multiples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The lower eight bits; all of a difference in half precision.
    Lower,
    /// The upper eight bits.
    Upper,
}

impl Lossy {
    /// What the numbers that are added are multiples of. Never above the step, so that rounding
    /// does not lead beyond the bound more often than it must.
    pub fn factor(self) -> f32 {
        let Lossy::Quantised { eps } = self else { return 1.0 };
        let step = 2.0 * eps.ln_1p();
        let factor = step as f32;
        if f64::from(factor) > step { factor.next_down() } else { factor }
    }

    /// By how much a value may move that differs from its parent's by `difference`.
    pub fn bound(self, difference: f64) -> f64 {
        match self {
            Lossy::Fp16 => difference.abs() / 2048.0 + 2f64.powi(-25),
            Lossy::Quantised { eps } => eps.ln_1p(),
        }
    }

    /// The bound for all elements, where there is one.
    pub fn absolute_bound(self) -> Option<f64> {
        match self {
            Lossy::Fp16 => None,
            Lossy::Quantised { .. } => Some(self.bound(0.0)),
        }
    }

    /// What is rounded to multiples with, where it is to multiples.
    fn rounder(self) -> Option<Rounder> {
        let factor = self.factor();
        let bound = self.absolute_bound()?;
        Some(Rounder { factor, step: f64::from(factor), bound })
    }
}

/// How the tensors of one type are rounded.
#[derive(Clone, Copy, Debug)]
pub struct LossyCoder {
    lossy: Lossy,
    of: FloatType,
}

impl LossyCoder {
    /// For tensors of this type; `None` for one that is not made lossy: floats of at most 32 bits
    /// are.
    pub fn new(lossy: Lossy, dtype: &Dtype) -> Option<Self> {
        let of = FloatType::of(dtype).filter(|of| *of != FloatType::F64)?;
        Some(LossyCoder { lossy, of })
    }

    /// How differences are rounded.
    pub fn lossy(self) -> Lossy {
        self.lossy
    }

    /// Bytes of an element.
    pub fn element_bytes(self) -> usize {
        self.of.bytes()
    }

    /// The type of the numbers that are added.
    pub fn added_type(self) -> Dtype {
        if self.lossy == Lossy::Fp16 { Dtype::F16 } else { Dtype::I8 }
    }

    /// The formula that makes the values of the parent's and of what is added.
    pub fn formula(self, own: &Dtype, wide: bool) -> Option<Formula> {
        Formula::increment(own, &self.added_type(), wide, self.lossy.factor())
    }

    /// The values that take the place of `own`, of which `base` are the parent's, into `values`:
    /// all of them of the tensor's type. Every one is within the bound, or is the one of `own`.
    pub fn round(self, base: &[u8], own: &[u8], values: &mut [u8]) -> Loss {
        let (of, rounder) = (self.of, self.lossy.rounder());
        if let (FloatType::F32, Some(rounder)) = (of, rounder) {
            let (base, own) = (base.as_chunks().0, own.as_chunks().0);
            return rounder.round(base, own, values.as_chunks_mut().0);
        }
        let (factor, bound) = (self.lossy.factor(), self.lossy.absolute_bound());
        let mut loss = Loss::default();
        let (bases, owns) = (of.singles(base), of.singles(own));
        let mut rounded = Vec::with_capacity(owns.len());
        for (base, own) in bases.iter().zip(&owns) {
            let added = added(rounder, *base, *own);
            loss.wide |= !(-128.0..=127.0).contains(&added);
            rounded.push(if added == 0.0 { *base } else { settled(*base + factor * added) });
        }
        of.write(&rounded, values);
        let width = of.bytes();
        let found = of.singles(values);
        let elements = values.chunks_exact_mut(width).zip(own.chunks_exact(width));
        let numbers = found.iter().zip(&owns).zip(&bases);
        for ((value, own), ((found, wanted), base)) in elements.zip(numbers) {
            let (wanted, base) = (f64::from(*wanted), f64::from(*base));
            let error = (f64::from(*found) - wanted).abs();
            // A NaN is within no bound.
            if error <= bound.unwrap_or_else(|| self.lossy.bound(wanted - base)) {
                loss.squared_error += error * error;
                loss.largest_error = loss.largest_error.max(error);
            } else {
                value.copy_from_slice(own);
                loss.exact += 1;
            }
        }
        loss.elements = owns.len() as u64;
        loss
    }

    /// One half of what is added for `own`, into `out`: an element of
    /// [`added_type`](Self::added_type) for every one of `own`.
    pub fn write_added(self, base: &[u8], own: &[u8], half: Half, out: &mut [u8]) {
        let (of, rounder) = (self.of, self.lossy.rounder());
        if let (FloatType::F32, Some(rounder)) = (of, rounder) {
            return rounder.halves(half, base.as_chunks().0, own.as_chunks().0, out);
        }
        let numbers = of.singles(base).into_iter().zip(of.singles(own));
        let added = numbers.map(|(base, own)| added(rounder, base, own));
        if self.lossy == Lossy::Fp16 {
            for (out, added) in out.chunks_exact_mut(2).zip(added) {
                out.copy_from_slice(&half::f16::from_f32(added).to_le_bytes());
            }
            return;
        }
        out.iter_mut().zip(added).for_each(|(out, added)| *out = half.of(added.into()));
    }
}

/// What is added to `base` for `own`: a multiple of the factor, or the difference in half precision.
fn added(rounder: Option<Rounder>, base: f32, own: f32) -> f32 {
    match rounder {
        Some(rounder) => rounder.multiple(base, own) as f32,
        None => half::f16::from_f32((f64::from(own) - f64::from(base)) as f32).to_f32(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn methods_are_read_as_they_are_written() {
        assert_eq!("f16".parse(), Ok(Lossy::Fp16));
        for text in ["fp16", "quantised:0.0001", "quantised:1e-9"] {
            let lossy: Lossy = text.parse().unwrap();
            assert_eq!(lossy.to_string().parse(), Ok(lossy), "{text}");
        }
        for text in ["", "fp8", "quantised", "quantised:", "quantised:0", "quantised:nan"] {
            assert!(text.parse::<Lossy>().is_err(), "{text}");
        }
        let step = f64::from(Lossy::Quantised { eps: 1e-4 }.factor());
        assert!(step <= 2.0 * 1e-4f64.ln_1p() && step > 1.9998e-4);
    }
}
