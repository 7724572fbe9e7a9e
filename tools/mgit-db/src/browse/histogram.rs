//! How the numbers of a tensor, or of the difference of two, are spread.

use mgit::full_message;
use mgit::{Dtype, Tensor};

use crate::values::{element_len, reals};

/// Bins that are counted; fewer are drawn where there is less room.
const BINS: usize = 240;
/// Elements that are read at once.
const PIECE: u64 = 1 << 18;
/// Elements that are looked at: those of a larger tensor behind them are not.
const ELEMENTS_MAX: u64 = 1 << 24;

/// Counts of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// How many numbers lie in each of equal parts of `low..=high`.
    pub bins: Vec<u64>,
    /// The lowest finite number.
    pub low: f64,
    /// The highest finite number.
    pub high: f64,
    /// Finite numbers.
    pub count: u64,
    /// Those that are zero.
    pub zeros: u64,
    /// NaN and the infinities.
    pub others: u64,
    /// Of the finite ones.
    pub mean: f64,
    /// Root of their mean squared distance from the mean.
    pub deviation: f64,
    /// Elements of the tensor that were not looked at.
    pub left: u64,
}

/// Something that gives numbers piece by piece, the same each time.
type Pieces<'a> = dyn Fn(u64, u64, &mut Vec<f64>) -> Result<(), String> + 'a;

fn elements(tensor: &Tensor) -> Result<u64, String> {
    Ok(tensor.byte_len() / element_len(tensor.dtype())?)
}

/// Reads `count` elements from element `from` on.
fn read(tensor: &Tensor, from: u64, count: u64, out: &mut Vec<f64>) -> Result<(), String> {
    let len = element_len(tensor.dtype())?;
    let mut bytes = vec![0; (count * len) as usize];
    tensor.read_range_into(from * len, &mut bytes).map_err(|error| full_message(&error))?;
    out.clear();
    reals(tensor.dtype(), &bytes, out)
}

fn is_complex(tensor: &Tensor) -> bool {
    *tensor.dtype() == Dtype::C64
}

impl Histogram {
    /// Of a tensor's values. Reads it twice, a piece at a time.
    ///
    /// # Errors
    ///
    /// Says why there are no numbers, or that the tensor is damaged.
    pub fn of(tensor: &Tensor) -> Result<Self, String> {
        if is_complex(tensor) {
            return Err("complex numbers have no order".to_owned());
        }
        Self::count(elements(tensor)?, &|from, count, out| read(tensor, from, count, out))
    }

    /// Of a tensor's values less those of another of the same shape.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of); other shapes.
    pub fn of_delta(tensor: &Tensor, base: &Tensor) -> Result<Self, String> {
        if tensor.shape() != base.shape() {
            return Err(format!("its shape was {}", base.shape()));
        }
        if is_complex(tensor) || is_complex(base) {
            return Err("complex numbers have no order".to_owned());
        }
        let total = elements(tensor)?.min(elements(base)?);
        Self::count(total, &|from, count, out| {
            let mut old = Vec::new();
            read(tensor, from, count, out)?;
            read(base, from, count, &mut old)?;
            out.iter_mut().zip(old).for_each(|(new, old)| *new -= old);
            Ok(())
        })
    }

    fn count(total: u64, pieces: &Pieces<'_>) -> Result<Self, String> {
        let looked_at = total.min(ELEMENTS_MAX);
        let mut numbers = Vec::new();
        let mut each = |work: &mut dyn FnMut(f64)| -> Result<(), String> {
            let mut from = 0;
            while from < looked_at {
                let count = PIECE.min(looked_at - from);
                pieces(from, count, &mut numbers)?;
                numbers.iter().copied().for_each(&mut *work);
                from += count;
            }
            Ok(())
        };
        let mut found = Histogram {
            bins: vec![0; BINS],
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            count: 0,
            zeros: 0,
            others: 0,
            mean: 0.0,
            deviation: 0.0,
            left: total - looked_at,
        };
        let mut squares = 0.0;
        each(&mut |number| {
            if !number.is_finite() {
                found.others += 1;
                return;
            }
            found.count += 1;
            found.zeros += u64::from(number == 0.0);
            (found.low, found.high) = (found.low.min(number), found.high.max(number));
            // Welford: no difference of large sums.
            let step = number - found.mean;
            found.mean += step / found.count as f64;
            squares += step * (number - found.mean);
        })?;
        if found.count == 0 {
            return Err(if total == 0 { "no elements" } else { "no finite numbers" }.to_owned());
        }
        found.deviation = (squares / found.count as f64).max(0.0).sqrt();
        let (low, high) = (found.low, found.high);
        let bins = &mut found.bins;
        each(&mut |number| {
            if number.is_finite() {
                // Halved, so that no width of finite numbers overflows.
                let part = (number / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
                let at = if part.is_finite() { (part * BINS as f64) as usize } else { BINS / 2 };
                bins[at.min(BINS - 1)] += 1;
            }
        })?;
        Ok(found)
    }

    /// The counts in `columns` parts.
    pub fn columns(&self, columns: usize) -> Vec<u64> {
        let columns = columns.clamp(1, self.bins.len());
        let mut counts = vec![0; columns];
        for (at, count) in self.bins.iter().enumerate() {
            counts[at * columns / self.bins.len()] += count;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> Result<Histogram, String> {
        Histogram::count(numbers.len() as u64, &|from, count, out| {
            out.clear();
            out.extend_from_slice(&numbers[from as usize..(from + count) as usize]);
            Ok(())
        })
    }

    #[test]
    fn numbers_are_counted() {
        let found = of(&[0.0, 1.0, 2.0, 3.0, 4.0, f64::NAN, f64::INFINITY]).unwrap();
        assert_eq!((found.low, found.high, found.count, found.zeros), (0.0, 4.0, 5, 1));
        assert_eq!((found.others, found.mean, found.left), (2, 2.0, 0));
        assert!((found.deviation - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(found.bins.iter().sum::<u64>(), 5);
        assert_eq!((found.bins[0], found.bins[BINS - 1]), (1, 1));
        assert_eq!(found.columns(5), [1, 1, 1, 1, 1]);
        assert_eq!(found.columns(10_000).len(), BINS);
    }

    #[test]
    fn all_equal_and_the_extremes_are_counted_too() {
        assert_eq!(of(&[7.0; 9]).unwrap().bins.iter().sum::<u64>(), 9);
        let wide = of(&[f64::MIN, 0.0, f64::MAX]).unwrap();
        assert_eq!((wide.bins[0], wide.bins[BINS / 2], wide.bins[BINS - 1]), (1, 1, 1));
        assert_eq!(of(&[]), Err("no elements".to_owned()));
        assert_eq!(of(&[f64::NAN]), Err("no finite numbers".to_owned()));
    }
}
