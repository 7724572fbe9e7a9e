//! A base and what is to be added to it: the tensor of a model that was made lossy.

use std::ops::Range;

use super::arithmetic::{common_type, settled};
use super::cast::{FloatType, write_singles};
use super::{FormulaError, wrong};
use crate::tensor::Dtype;

/// What a lossy tensor adds to its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Multiples from -128 to 127.
    Narrow,
    /// Multiples of 16 bits: the lower and the upper eight are bases of their own.
    Wide,
    /// Numbers of half precision.
    Half,
}

/// A base plus a factor times the numbers of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Increment {
    pub(super) of: FloatType,
    pub(super) added: Added,
    pub(super) factor: f32,
}

impl Increment {
    pub(super) fn parse(
        own: &Dtype,
        bases: &[Dtype],
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        let Some((base, added)) = bases.split_first() else { return wrong("no base") };
        let of = common_type(own, std::slice::from_ref(base))?;
        let added = match added {
            [Dtype::I8] => Added::Narrow,
            [Dtype::I8, Dtype::I8] => Added::Wide,
            [Dtype::F16] => Added::Half,
            _ => return wrong(format!("increments of types {added:?}")),
        };
        let Ok(factor) = parameters.try_into() else { return wrong("not one factor") };
        Ok(Increment { of, added, factor: f32::from_le_bytes(factor) })
    }

    /// The range of the base, and the same elements of the others.
    pub(super) fn needs(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let width = self.of.bytes() as u64;
        let elements = range.start / width..range.end.div_ceil(width);
        let twice = elements.start.saturating_mul(2)..elements.end.saturating_mul(2);
        match self.added {
            Added::Narrow => vec![range.clone(), elements],
            Added::Wide => vec![range.clone(), elements.clone(), elements],
            Added::Half => vec![range.clone(), twice],
        }
    }

    pub(super) fn predict(&self, bases: &[&[u8]], out: &mut [u8]) {
        let [base, low, high] = [0, 1, 2].map(|at| bases.get(at).copied().unwrap_or_default());
        let width = self.of.bytes();
        let count = out.len() / width;
        let mut added = match self.added {
            Added::Half => FloatType::F16.singles(low),
            Added::Narrow | Added::Wide => low.iter().map(|low| f32::from(*low as i8)).collect(),
        };
        added.resize(count, 0.0);
        if self.added == Added::Wide {
            let upper = |(sum, high): (&mut f32, &u8)| *sum += 256.0 * f32::from(*high as i8);
            added.iter_mut().zip(high).for_each(upper);
        }
        let mut values = self.of.singles(base);
        values.resize(count, 0.0);
        for (value, added) in values.iter_mut().zip(&added) {
            *value = settled(*value + self.factor * *added);
        }
        write_singles(self.of, &values, out);
        // To which nothing is added, that stays to the bit: a NaN's payload, the sign of a zero.
        let elements = out.chunks_exact_mut(width).zip(base.chunks_exact(width)).zip(&added);
        for ((out, base), _) in elements.filter(|(_, added)| **added == 0.0) {
            out.copy_from_slice(base);
        }
    }
}
