//! How far apart two tensors are.

use std::sync::atomic::{AtomicU64, Ordering};

use half::{bf16, f16};
use rayon::prelude::*;

use crate::store::{OpenTensor, Result, Tensor};
use crate::tensor::{Dtype, number, number_bytes};

/// Elements that are compared at a time: whole chunks of any type, so that each is decoded once.
const PIECE: u64 = 1 << 20;

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
    let (open_a, open_b) = (a.opened()?, b.opened()?);
    let pieces: Vec<u64> = (0..elements.div_ceil(PIECE)).collect();
    let piece = |piece: &u64| -> Result<Sums> {
        let (start, count) = (piece * PIECE, PIECE.min(elements - piece * PIECE));
        let mut buffers = [Vec::new(), Vec::new()];
        let [left, right] = &mut buffers;
        let left = load(&open_a, (start, count), width_a, left)?;
        let right = load(&open_b, (start, count), width_b, right)?;
        read.fetch_add((left.len() + right.len()) as u64, Ordering::Relaxed);
        Ok(sums((a.dtype(), left, width_a), (b.dtype(), right, width_b)))
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

/// Elements of a tensor: those of the file where they lie raw in it, else decoded into `buffer`.
fn load<'b>(
    tensor: &'b OpenTensor<'_>,
    (start, count): (u64, u64),
    width: usize,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8]> {
    let (start, len) = (start * width as u64, count as usize * width);
    if let Some(raw) = tensor.raw(start, len)? {
        return Ok(raw);
    }
    buffer.resize(len, 0);
    tensor.read(start, buffer)?;
    Ok(buffer)
}

type Piece<'p> = (&'p Dtype, &'p [u8], usize);

/// Sums that are taken side by side, and added up at the end of a piece.
const LANES: usize = 8;

/// The sums of two pieces of one type, which is asked for once, and not for each element.
fn same_sums<const WIDTH: usize>(
    left: &[u8],
    right: &[u8],
    number: impl Fn([u8; WIDTH]) -> f64,
) -> Sums {
    let mut lanes = [Sums::default(); LANES];
    let mut add = |left: &[[u8; WIDTH]; LANES], right: &[[u8; WIDTH]; LANES]| {
        for (sums, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            let (a, b) = (number(*left), number(*right));
            // A NaN that has stayed is no change.
            let is_changed = left != right;
            let change = if is_changed { b - a } else { 0.0 };
            sums.aa += a * a;
            sums.bb += b * b;
            sums.ab += a * b;
            sums.dd += change * change;
            sums.changed += u64::from(is_changed);
            // Where the square is no number the largest is none either, which is seen at the end.
            sums.max = if change.abs() > sums.max { change.abs() } else { sums.max };
        }
    };
    let (left_rows, left_rest) = left.as_chunks().0.as_chunks();
    let (right_rows, right_rest) = right.as_chunks().0.as_chunks();
    left_rows.iter().zip(right_rows).for_each(|(left, right)| add(left, right));
    // Two zeros add nothing.
    let mut last = [[[0; WIDTH]; LANES]; 2];
    for (last, rest) in last.iter_mut().zip([left_rest, right_rest]) {
        last.iter_mut().zip(rest).for_each(|(last, rest)| *last = *rest);
    }
    add(&last[0], &last[1]);
    let mut sums = lanes.into_iter().fold(Sums::default(), Sums::join);
    if sums.dd.is_nan() {
        sums.max = f64::NAN;
    }
    Sums { bits: bits_changed(left, right), ..sums }
}

/// How many bits differ, eight bytes at a time.
fn bits_changed(left: &[u8], right: &[u8]) -> u64 {
    let (left, left_rest) = left.as_chunks();
    let (right, right_rest) = right.as_chunks();
    let words = left.iter().zip(right);
    let words = words.map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    let rest = left_rest.iter().zip(right_rest).map(|(a, b)| u64::from(a ^ b));
    words.chain(rest).map(|word| u64::from(word.count_ones())).sum()
}

fn sums((dtype_a, left, width_a): Piece<'_>, (dtype_b, right, width_b): Piece<'_>) -> Sums {
    let same_type = dtype_a == dtype_b;
    match dtype_a {
        Dtype::Bf16 if same_type => {
            let number = |bytes| f64::from(bf16::from_le_bytes(bytes).to_f32());
            return same_sums(left, right, number);
        }
        Dtype::F16 if same_type => {
            return same_sums(left, right, |bytes| f16::from_le_bytes(bytes).to_f64());
        }
        Dtype::F32 if same_type => {
            return same_sums(left, right, |bytes| f64::from(f32::from_le_bytes(bytes)));
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The sums of the same numbers of a type, by the loop that knows every type.
    fn by_number(dtype: &Dtype, left: &[u8], right: &[u8], width: usize) -> (u64, u64, [f64; 5]) {
        let (mut changed, mut bits, mut sums) = (0, 0, [0.0; 5]);
        for (left, right) in left.chunks_exact(width).zip(right.chunks_exact(width)) {
            let (a, b) = (number(dtype, left), number(dtype, right));
            let is_changed = left != right;
            changed += u64::from(is_changed);
            bits +=
                left.iter().zip(right).map(|(a, b)| u64::from((a ^ b).count_ones())).sum::<u64>();
            let change = if is_changed { b - a } else { 0.0 };
            let more = [a * a, b * b, a * b, change * change];
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            sums[4] =
                if change.is_nan() || change.abs() > sums[4] { change.abs() } else { sums[4] };
        }
        (changed, bits, sums)
    }

    #[test]
    fn a_type_with_a_loop_of_its_own_has_the_same_sums() {
        for (dtype, width) in [(Dtype::Bf16, 2), (Dtype::F16, 2), (Dtype::F32, 4)] {
            for count in [0, 1, 7, 8, 9, 1000] {
                // Numbers of about one, of both signs, one of three moved.
                let bytes = |step: usize| -> Vec<u8> {
                    let element = |at: usize| {
                        let moved = if at.is_multiple_of(3) { step } else { 0 };
                        let low = (at * 37 + moved) as u8 & 0x7f;
                        let high = if at.is_multiple_of(2) { 0x3f } else { 0xbf };
                        let mut element = vec![low; width];
                        element[width - 1] = high;
                        element
                    };
                    (0..count).flat_map(element).collect()
                };
                let (left, right) = (bytes(0), bytes(5));
                let found = sums((&dtype, &left, width), (&dtype, &right, width));
                let (changed, bits, expected) = by_number(&dtype, &left, &right, width);
                assert_eq!((found.changed, found.bits), (changed, bits), "{dtype} {count}");
                let sums = [found.aa, found.bb, found.ab, found.dd, found.max];
                for (found, expected) in sums.into_iter().zip(expected) {
                    assert!((found - expected).abs() <= expected.abs() * 1e-12, "{dtype} {count}");
                }
            }
        }
    }

    #[test]
    fn a_nan_that_stays_is_no_change_and_one_that_comes_is_the_largest() {
        let [nan, one, two] = [f32::NAN, 1.0, 2.0].map(|value| bf16::from_f32(value).to_le_bytes());
        let of = |left: [[u8; 2]; 2], right: [[u8; 2]; 2]| {
            let (left, right) = (left.concat(), right.concat());
            sums((&Dtype::Bf16, &left, 2), (&Dtype::Bf16, &right, 2))
        };
        let stayed = of([nan, one], [nan, two]);
        assert_eq!((stayed.changed, stayed.dd, stayed.max), (1, 1.0, 1.0));
        let came = of([one, one], [nan, two]);
        assert_eq!(came.changed, 2);
        assert!(came.max.is_nan() && came.dd.is_nan());
    }
}
