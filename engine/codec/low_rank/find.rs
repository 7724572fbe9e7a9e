//! Looking for factors: is the difference of low rank, and which factors explain it best?
//!
//! A sample of rows and columns tells the rank: the difference beyond it is no larger than what
//! rounding the child left. A random projection gives the first factors (N. Halko, P.-G.
//! Martinsson, J. Tropp, "Finding structure with randomness", 2011). They are then fitted row by
//! row and column by column, each element with the weight of its rounding: where weights are
//! small their grid is fine and tells most.

use super::linear::{eigenvalues, orthonormalise, solve};
use super::{Factors, RANK_MAX};
use crate::codec::Lane;

/// Rows and columns of the sample that tells the rank.
const SAMPLE: usize = 144;
/// How many times the energy of rounding may be left beyond the rank.
const NOISE_TIMES: f64 = 3.0;
/// Rounds of fitting rows, then columns.
const ROUNDS: usize = 6;

/// The difference of two matrices of floats, and how exactly it is known.
struct Difference<'a> {
    lane: Lane,
    cols: usize,
    parent: &'a [u8],
    child: &'a [u8],
}

impl Difference<'_> {
    /// The difference of an element, and the weight that it is known with. Nothing is known of
    /// what is not finite.
    #[inline]
    fn at(&self, row: usize, col: usize) -> (f64, f64) {
        let Some(layout) = self.lane.float() else { return (0.0, 0.0) };
        let place = (row * self.cols + col) * layout.bytes;
        let element = |bytes: &[u8]| {
            let mut word = [0; 4];
            let from = bytes.get(place..place + layout.bytes).unwrap_or_default();
            word.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            u32::from_le_bytes(word)
        };
        let (parent, child) = (element(self.parent), element(self.child));
        let difference = f64::from(layout.value(child)) - f64::from(layout.value(parent));
        if !difference.is_finite() || difference.abs() > 1e30 {
            return (0.0, 0.0);
        }
        let unit = |exponent: i32| f64::from(exponent - layout.mantissa_bits as i32).exp2();
        let rounded = unit(layout.exponent(child) - layout.bias);
        // The sum itself was rounded to f32.
        let summed = difference.abs() * f64::from(f32::EPSILON);
        (difference, 1.0 / (rounded * rounded + summed * summed))
    }
}

/// Finds factors of at most `rank_max` (and [`RANK_MAX`]) that explain `child - parent`, matrices
/// of `rows * cols` F16, BF16 or F32. `None` when the difference is nothing, is not of such a rank,
/// or factors would take more than half of the child's bytes. Gives the same for the same bytes on
/// one machine; what it gives is not part of any format. Cost: some passes over the matrices for
/// each rank; scratch memory of the factors.
pub fn find(
    lane: Lane,
    rows: usize,
    cols: usize,
    parent: &[u8],
    child: &[u8],
    rank_max: usize,
) -> Option<Factors> {
    let layout = lane.float()?;
    let len = rows.checked_mul(cols)?.checked_mul(layout.bytes)?;
    if parent.len() != len || child.len() != len || parent == child {
        return None;
    }
    // Factors have four bytes a number.
    let room = len / 2 / 4 / (rows + cols);
    let difference = Difference { lane, cols, parent, child };
    let rank_max = rank_max.min(RANK_MAX).min(room);
    let rank = rank_of(&difference, rows, rank_max)?;
    let (mut u, mut v) = project(&difference, rows, rank);
    for _ in 0..ROUNDS {
        fit(&mut u, &v, rank, |row, col| difference.at(row, col));
        fit(&mut v, &u, rank, |col, row| difference.at(row, col));
    }
    fit(&mut u, &v, rank, |row, col| difference.at(row, col));
    let narrow = |number: &f64| *number as f32;
    // Kept as columns for fitting, `v` is stored by rows.
    let by_rows = (0..rank).flat_map(|k| v.iter().skip(k).step_by(rank)).map(narrow).collect();
    let factors = Factors { rank, u: u.iter().map(narrow).collect(), v: by_rows };
    let finite = factors.u.iter().chain(&factors.v).all(|number| number.is_finite());
    finite.then_some(factors)
}

/// Places spread over `0..len`, at most [`SAMPLE`].
fn sample(len: usize) -> Vec<usize> {
    let count = len.min(SAMPLE);
    // Not evenly: a period of the matrix must not be met.
    let spread = |at: usize| {
        let random = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        (at * len + (random as usize) % len) / count
    };
    (0..count).map(spread).collect()
}

/// The least rank beyond which only rounding is left, if there is one.
fn rank_of(difference: &Difference<'_>, rows: usize, rank_max: usize) -> Option<usize> {
    let (rows, cols) = (sample(rows), sample(difference.cols));
    let mut noise = 0.0;
    let mut part: Vec<Vec<f64>> = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut numbers = Vec::with_capacity(cols.len());
        for col in &cols {
            let (number, weight) = difference.at(*row, *col);
            noise += if weight > 0.0 { 1.0 / weight / 12.0 } else { 0.0 };
            numbers.push(number);
        }
        part.push(numbers);
    }
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let mut gram: Vec<f64> = part.iter().flat_map(|a| part.iter().map(|b| dot(a, b))).collect();
    let values = eigenvalues(&mut gram, part.len());
    let mut left: f64 = values.iter().map(|value| value.max(0.0)).sum();
    for (rank, value) in values.iter().enumerate().take(rank_max + 1) {
        if left <= NOISE_TIMES * noise {
            return (rank > 0).then_some(rank);
        }
        left -= value.max(0.0);
    }
    None
}

/// Factors from a random projection: `u` row by row, `v` column by column.
#[expect(clippy::indexing_slicing, reason = "loops over the matrices' own places")]
fn project(difference: &Difference<'_>, rows: usize, rank: usize) -> (Vec<f64>, Vec<f64>) {
    let cols = difference.cols;
    let mut state = 0x6d67_6974u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / f64::from(1 << 24) - 0.5
    };
    let directions: Vec<f64> = (0..cols * rank).map(|_| random()).collect();
    let mut u = vec![0.0; rows * rank];
    for (row, u) in u.chunks_exact_mut(rank).enumerate() {
        for (col, direction) in directions.chunks_exact(rank).enumerate() {
            let (number, _) = difference.at(row, col);
            u.iter_mut().zip(direction).for_each(|(u, direction)| *u += number * direction);
        }
    }
    orthonormalise(&mut u, rank);
    let mut v = vec![0.0; cols * rank];
    for (row, u) in u.chunks_exact(rank).enumerate() {
        for col in 0..cols {
            let (number, _) = difference.at(row, col);
            for k in 0..rank {
                v[col * rank + k] += number * u[k];
            }
        }
    }
    (u, v)
}

/// Fits each row of one factor to the other, which lies row by row too: weighted least squares.
#[expect(clippy::indexing_slicing, reason = "loops over the matrices' own places")]
fn fit(
    fitted: &mut [f64],
    other: &[f64],
    rank: usize,
    difference: impl Fn(usize, usize) -> (f64, f64),
) {
    let others = other.len() / rank;
    // More than enough of a long line says what all of it would.
    let step = others.div_ceil(64 * rank + 2048).max(1);
    let mut gram = vec![0.0; rank * rank];
    let mut right = vec![0.0; rank];
    for (line, fitted) in fitted.chunks_exact_mut(rank).enumerate() {
        gram.fill(0.0);
        right.fill(0.0);
        for (place, other) in other.chunks_exact(rank).enumerate().skip(line % step).step_by(step) {
            let (number, weight) = difference(line, place);
            for i in 0..rank {
                let weighted = weight * other[i];
                right[i] += weighted * number;
                for j in 0..=i {
                    gram[i * rank + j] += weighted * other[j];
                }
            }
        }
        if solve(&mut gram, &mut right) {
            fitted.copy_from_slice(&right);
        }
    }
}
