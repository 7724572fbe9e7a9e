//! How far apart two tensors are.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::codec::run_wide;
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

/// How many sums of a kind are taken side by side.
const LANES: usize = 8;

/// Sums that are taken side by side, and added up at the end of a piece: each kind in an array of
/// its own, which compilers make wide registers of.
#[derive(Default)]
struct Lanes {
    changed: [u64; LANES],
    dd: [f64; LANES],
    aa: [f64; LANES],
    bb: [f64; LANES],
    ab: [f64; LANES],
    max: [f64; LANES],
}

#[expect(clippy::indexing_slicing, reason = "arrays of LANES, at numbers below it")]
impl Lanes {
    #[inline(always)]
    fn add<const WIDTH: usize>(
        &mut self,
        left: &[[u8; WIDTH]; LANES],
        right: &[[u8; WIDTH]; LANES],
        number: impl Fn([u8; WIDTH]) -> f32,
    ) {
        let numbers = |of: &[[u8; WIDTH]; LANES]| of.map(|bytes| f64::from(number(bytes)));
        let (a, b) = (numbers(left), numbers(right));
        for at in 0..LANES {
            // A NaN that has stayed is no change.
            let is_changed = left[at] != right[at];
            let change = if is_changed { b[at] - a[at] } else { 0.0 };
            self.aa[at] += a[at] * a[at];
            self.bb[at] += b[at] * b[at];
            self.ab[at] += a[at] * b[at];
            self.dd[at] += change * change;
            self.changed[at] += u64::from(is_changed);
            // Where the square is no number the largest is none either, which is seen at the end.
            self.max[at] = if change.abs() > self.max[at] { change.abs() } else { self.max[at] };
        }
    }

    fn sums(&self) -> Sums {
        let lane = |at: usize| Sums {
            changed: self.changed[at],
            bits: 0,
            dd: self.dd[at],
            aa: self.aa[at],
            bb: self.bb[at],
            ab: self.ab[at],
            max: self.max[at],
        };
        let sums = (0..LANES).map(lane).fold(Sums::default(), Sums::join);
        Sums { max: if sums.dd.is_nan() { f64::NAN } else { sums.max }, ..sums }
    }
}

/// The sums of two pieces of one type, which is asked for once, and not for each element.
fn same_sums<const WIDTH: usize>(
    left: &[u8],
    right: &[u8],
    number: impl Fn([u8; WIDTH]) -> f32 + Copy,
) -> Sums {
    run_wide(
        #[inline(always)]
        || {
            let mut lanes = Lanes::default();
            let (left_rows, left_rest) = left.as_chunks().0.as_chunks();
            let (right_rows, right_rest) = right.as_chunks().0.as_chunks();
            for (left, right) in left_rows.iter().zip(right_rows) {
                lanes.add(left, right, number);
            }
            // Two zeros add nothing.
            let mut last = [[[0; WIDTH]; LANES]; 2];
            for (last, rest) in last.iter_mut().zip([left_rest, right_rest]) {
                last.iter_mut().zip(rest).for_each(|(last, rest)| *last = *rest);
            }
            lanes.add(&last[0], &last[1], number);
            Sums { bits: bits_changed(left, right), ..lanes.sums() }
        },
    )
}

/// A float of 16 bits as one of 32, without a branch: what a loop over it can be made wide of.
#[inline(always)]
fn widened(half: [u8; 2]) -> f32 {
    const SMALLEST_NORMAL: u32 = 113 << 23;
    let bits = u32::from(u16::from_le_bytes(half));
    let (sign, rest) = ((bits & 0x8000) << 16, bits & 0x7fff);
    let normal = (rest << 13) + (112 << 23);
    let none = normal + (112 << 23);
    // Its digits behind a one, and that one taken away again.
    let small = f32::from_bits(SMALLEST_NORMAL | rest << 13) - f32::from_bits(SMALLEST_NORMAL);
    let below = if rest < 0x400 { small.to_bits() } else { normal };
    f32::from_bits(sign | if rest < 0x7c00 { below } else { none })
}

/// How many bits differ, eight bytes at a time.
#[inline(always)]
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
            // Its bits are the upper half of those of an f32.
            return same_sums(left, right, |[low, high]| f32::from_le_bytes([0, 0, low, high]));
        }
        Dtype::F16 if same_type => return same_sums(left, right, widened),
        Dtype::F32 if same_type => return same_sums(left, right, f32::from_le_bytes),
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
    use half::{bf16, f16};

    use super::*;
    use crate::codec::on_every_way;

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
                let found = on_every_way(|| {
                    let found = sums((&dtype, &left, width), (&dtype, &right, width));
                    let reals = [found.aa, found.bb, found.ab, found.dd, found.max];
                    // To the last bit.
                    (found.changed, found.bits, reals.map(f64::to_bits))
                });
                let (found_counts, found) = ((found.0, found.1), found.2.map(f64::from_bits));
                let (changed, bits, expected) = by_number(&dtype, &left, &right, width);
                assert_eq!(found_counts, (changed, bits), "{dtype} {count}");
                for (found, expected) in found.into_iter().zip(expected) {
                    assert!((found - expected).abs() <= expected.abs() * 1e-12, "{dtype} {count}");
                }
            }
        }
    }

    #[test]
    fn every_float_of_16_bits_is_widened_as_it_is() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (widened(bits.to_le_bytes()), f16::from_bits(bits).to_f32());
            let is_same = found.to_bits() == expected.to_bits();
            assert!(is_same || (found.is_nan() && expected.is_nan()), "{bits:x}: {found}");
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
