//! How far apart two tensors are.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::store::{Result, Tensor};
use crate::tensor::{Dtype, number, number_bytes};

/// Elements that are compared at a time.
const PIECE: u64 = 1 << 18;

/// How far apart two tensors of equally many elements are.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct TensorDistance {
    /// Elements of each.
    pub elements: u64,
    /// Elements whose bits, or for different types whose values, differ.
    pub changed: u64,
    /// The length of the difference.
    pub l2: f64,
    /// The length of the first.
    pub norm: f64,
    /// The largest difference of an element; NaN when one is not a number.
    pub max: f64,
    /// The cosine of the angle between them; NaN when one is zero.
    pub cosine: f64,
    /// Bits that differ, when the types are the same.
    pub bits: Option<u64>,
}

impl TensorDistance {
    /// The share of elements that differ.
    pub fn share(&self) -> f64 {
        if self.elements == 0 { 0.0 } else { self.changed as f64 / self.elements as f64 }
    }

    /// The length of the difference over that of the first tensor.
    pub fn relative(&self) -> f64 {
        if self.norm > 0.0 { self.l2 / self.norm } else { f64::from(self.l2 > 0.0) }
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    changed: u64,
    bits: u64,
    dd: f64,
    aa: f64,
    bb: f64,
    ab: f64,
    max: f64,
}

impl Sums {
    fn join(self, other: Sums) -> Sums {
        Sums {
            changed: self.changed + other.changed,
            bits: self.bits + other.bits,
            dd: self.dd + other.dd,
            aa: self.aa + other.aa,
            bb: self.bb + other.bb,
            ab: self.ab + other.ab,
            max: if self.max.is_nan() { self.max } else { larger(self.max, other.max) },
        }
    }
}

fn larger(max: f64, value: f64) -> f64 {
    if value.is_nan() || value > max { value } else { max }
}

/// Compares two tensors element by element; `None` when they have other numbers of elements, or
/// elements that are not known here. Adds to `read` the bytes it reads.
pub(super) fn distance(a: &Tensor, b: &Tensor, read: &AtomicU64) -> Result<Option<TensorDistance>> {
    let widths = number_bytes(a.dtype()).zip(number_bytes(b.dtype()));
    let Some((width_a, width_b)) = widths else { return Ok(None) };
    let elements = a.byte_len() / width_a as u64;
    if elements != b.byte_len() / width_b as u64 || a.shape().elements() != b.shape().elements() {
        return Ok(None);
    }
    let pieces: Vec<u64> = (0..elements.div_ceil(PIECE)).collect();
    let piece = |piece: &u64| -> Result<Sums> {
        let (start, count) = (piece * PIECE, PIECE.min(elements - piece * PIECE));
        let load = |tensor: &Tensor, width: usize| -> Result<Vec<u8>> {
            let mut bytes = vec![0; count as usize * width];
            tensor.read_range_into(start * width as u64, &mut bytes)?;
            read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes)
        };
        let (left, right) = (load(a, width_a)?, load(b, width_b)?);
        Ok(sums((a.dtype(), &left, width_a), (b.dtype(), &right, width_b)))
    };
    let sums: Vec<Sums> = pieces.par_iter().map(piece).collect::<Result<_>>()?;
    // One after the other: the same sum on every machine.
    let sums = sums.into_iter().fold(Sums::default(), Sums::join);
    Ok(Some(TensorDistance {
        elements,
        changed: sums.changed,
        l2: sums.dd.sqrt(),
        norm: sums.aa.sqrt(),
        max: sums.max,
        cosine: sums.ab / (sums.aa.sqrt() * sums.bb.sqrt()),
        bits: (a.dtype() == b.dtype()).then_some(sums.bits),
    }))
}

type Piece<'p> = (&'p Dtype, &'p [u8], usize);

fn sums((dtype_a, left, width_a): Piece<'_>, (dtype_b, right, width_b): Piece<'_>) -> Sums {
    let same_type = dtype_a == dtype_b;
    let mut sums = Sums::default();
    for (left, right) in left.chunks_exact(width_a).zip(right.chunks_exact(width_b)) {
        let (a, b) = (number(dtype_a, left), number(dtype_b, right));
        sums.aa += a * a;
        sums.bb += b * b;
        sums.ab += a * b;
        // A cast keeps NaN, and infinities: these are no changes.
        let same = if same_type { left == right } else { a == b || (a.is_nan() && b.is_nan()) };
        if same {
            continue;
        }
        if same_type {
            let bits = left.iter().zip(right).map(|(a, b)| (a ^ b).count_ones());
            sums.bits += u64::from(bits.sum::<u32>());
        }
        sums.changed += 1;
        sums.dd += (b - a) * (b - a);
        sums.max = if sums.max.is_nan() { sums.max } else { larger(sums.max, (b - a).abs()) };
    }
    sums
}
