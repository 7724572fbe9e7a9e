//! What one pass over a tensor tells.

use half::{bf16, f16};

use crate::store::{Result, Tensor};
use crate::tensor::{ContentId, Dtype, number, number_bytes};

/// Bytes that are read at a time.
const PIECE_LEN: u64 = 4 << 20;

/// What one pass over a tensor's elements tells. Sums are in double precision and in order, so
/// that they are the same on every machine. A complex number counts as two elements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Elements.
    pub elements: u64,
    /// Those that are no number.
    pub nan: u64,
    /// Those that are infinite.
    pub infinite: u64,
    /// Those that are zero.
    pub zeros: u64,
    /// Sum of the finite ones.
    pub sum: f64,
    /// Sum of the squares of the finite ones.
    pub squares: f64,
    /// The smallest finite one; 0 without any.
    pub min: f64,
    /// The largest finite one; 0 without any.
    pub max: f64,
}

impl Summary {
    const LEN: usize = 64;

    /// Whether the elements of a tensor of this type can be read.
    pub fn is_possible(dtype: &Dtype) -> bool {
        number_bytes(dtype).is_some()
    }

    /// What its summaries are kept under. Before version 2, NaN and infinities of eight-bit floats
    /// were taken for numbers.
    pub(super) fn run_id(dtype: &Dtype) -> ContentId {
        let version = if dtype.name().starts_with("F8") { 2 } else { 1 };
        ContentId::of(format!("mgit summary {version}\0{dtype}").as_bytes())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let counts = [self.elements, self.nan, self.infinite, self.zeros];
        let sums = [self.sum, self.squares, self.min, self.max].map(f64::to_bits);
        counts.into_iter().chain(sums).flat_map(u64::to_le_bytes).collect()
    }

    /// A row that cannot be read is as good as none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok());
        let mut next = || words.next().map(u64::from_le_bytes);
        let summary = Summary {
            elements: next()?,
            nan: next()?,
            infinite: next()?,
            zeros: next()?,
            sum: f64::from_bits(next()?),
            squares: f64::from_bits(next()?),
            min: f64::from_bits(next()?),
            max: f64::from_bits(next()?),
        };
        (bytes.len() == Self::LEN).then_some(summary)
    }

    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.zeros += u64::from(value == 0.0);
            self.sum += value;
            self.squares += value * value;
            self.min = if value < self.min { value } else { self.min };
            self.max = if value > self.max { value } else { self.max };
        } else {
            self.nan += u64::from(value.is_nan());
            self.infinite += u64::from(!value.is_nan());
        }
    }

    fn feed(&mut self, dtype: &Dtype, bytes: &[u8], width: usize) {
        fn all<const N: usize>(bytes: &[u8], mut add: impl FnMut([u8; N])) {
            bytes.as_chunks::<N>().0.iter().for_each(|element| add(*element));
        }
        match dtype {
            Dtype::F32 | Dtype::C64 => all(bytes, |b| self.add(f32::from_le_bytes(b).into())),
            Dtype::F16 => all(bytes, |b| self.add(f16::from_le_bytes(b).to_f32().into())),
            Dtype::Bf16 => all(bytes, |b| self.add(bf16::from_le_bytes(b).to_f32().into())),
            _ => bytes.chunks_exact(width).for_each(|element| self.add(number(dtype, element))),
        }
        self.elements += (bytes.len() / width) as u64;
    }

    /// Reads a tensor once, in pieces of a few mebibytes; none when its elements cannot be read.
    /// `read` is told the bytes.
    ///
    /// # Errors
    ///
    /// A damaged tensor.
    pub fn of(tensor: &Tensor, read: &dyn Fn(u64)) -> Result<Option<Self>> {
        let Some(width) = number_bytes(tensor.dtype()) else { return Ok(None) };
        let mut summary = Summary { min: f64::MAX, max: f64::MIN, ..Summary::default() };
        let mut piece = vec![0; PIECE_LEN.min(tensor.byte_len()) as usize];
        let mut offset = 0;
        while offset < tensor.byte_len() {
            let len = PIECE_LEN.min(tensor.byte_len() - offset);
            let part = piece.get_mut(..len as usize).unwrap_or_default();
            tensor.read_range_into(offset, part)?;
            summary.feed(tensor.dtype(), part, width);
            read(len);
            offset += len;
        }
        Ok(Some(summary.with_known_ends()))
    }

    fn with_known_ends(mut self) -> Self {
        if self.finite() == 0 {
            (self.min, self.max) = (0.0, 0.0);
        }
        self
    }

    /// Elements that are numbers and not infinite.
    pub fn finite(&self) -> u64 {
        self.elements - self.nan - self.infinite
    }

    /// The length of the finite elements as a vector.
    pub fn norm(&self) -> f64 {
        self.squares.sqrt()
    }

    /// The mean of the finite elements; 0 without any.
    pub fn mean(&self) -> f64 {
        self.sum / self.finite().max(1) as f64
    }

    /// The standard deviation of the finite elements.
    pub fn deviation(&self) -> f64 {
        let mean = self.mean();
        (self.squares / self.finite().max(1) as f64 - mean * mean).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_as_what_they_are() {
        let mut summary = Summary { min: f64::MAX, max: f64::MIN, ..Summary::default() };
        let values = [1.0f32, -3.0, 0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let halves: Vec<u8> =
            values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        summary.feed(&Dtype::F16, &halves, 2);
        let summary = summary.with_known_ends();
        let expected = Summary {
            elements: 7,
            nan: 1,
            infinite: 2,
            zeros: 2,
            sum: -2.0,
            squares: 10.0,
            min: -3.0,
            max: 1.0,
        };
        assert_eq!(summary, expected);
        assert_eq!((summary.mean(), summary.finite()), (-0.5, 4));
        assert_eq!(Summary::decode(&summary.encode()), Some(summary));
        assert_eq!(Summary::decode(&[0; 63]), None);
        assert_eq!(Summary::decode(&[0; 72]), None);
    }
}
