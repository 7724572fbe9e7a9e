//! Factors that explain a difference: orthogonal iteration on the difference over the scales of its
//! rows and columns, and a step for each factor that is as coarse as it may be.

use super::factors::{FACTOR_MAX, Factors, Product, SHIFT_MAX};
use super::{Columns, RANK_MAX};

/// Rounds of iteration from nothing, and from the factors of the first fit.
const ROUNDS: [usize; 2] = [4, 2];
/// A product pays when it explains as much as coding its factors takes: bits that an element of
/// them takes, and bits that an element of the chunk saves for each part of energy explained.
const FACTOR_BITS: f32 = 3.0;
const SAVED_BITS: f32 = 0.72;
/// The coarsest step of factors, over their root mean square.
const STEP_MAX: f32 = 2.5;
/// Factors are at most this part of the elements.
const FACTORS_PART: usize = 6;

/// The inner product of two slices, in lanes as wide registers have them.
#[inline(always)]
pub(super) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (whole, rest) = one.as_chunks::<16>();
    let (other_whole, other_rest) = other.as_chunks::<16>();
    for (one, other) in whole.iter().zip(other_whole) {
        for (sum, (one, other)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += one * other;
        }
    }
    let rest: f32 = rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + rest
}

#[inline(always)]
fn add_scaled(to: &mut [f32], scale: f32, from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
}

/// A chunk as a matrix whose first and last rows may be filled with zeros.
struct Fit {
    width: usize,
    differences: Vec<f32>,
    /// The differences over the scales of row and column.
    scaled: Vec<f32>,
    row_scales: Vec<f32>,
    column_scales: Vec<f32>,
    /// An orthonormal column factor for each product, and the row factor that belongs to it.
    columns: Vec<Vec<f32>>,
    rows: Vec<Vec<f32>>,
}

/// The factors that pay, none if none do. `differences` are those of the chunk.
#[inline(always)]
pub(super) fn fit(differences: &[f32], columns: Columns) -> Factors {
    let elements = differences.len();
    let rows = columns.rows(elements);
    let rank = RANK_MAX.min(elements / FACTORS_PART / (rows + columns.width)).min(rows / 2);
    let mean = differences.iter().map(|d| f64::from(d.abs())).sum::<f64>() / elements as f64;
    if rank == 0 || mean <= 1e-30 {
        return Factors::default();
    }
    let exponent = mean.log2().round() as i32;
    let scale = (-f64::from(exponent)).exp2();
    let mut padded = vec![0f32; columns.phase];
    padded.extend(differences.iter().map(|d| (f64::from(*d) * scale) as f32));
    padded.resize(rows * columns.width, 0.0);
    let mut fit = Fit::new(padded, columns.width, rows, rank);
    let mut factors = Factors::default();
    for rounds in ROUNDS {
        fit.rescale(&factors);
        fit.iterate(rounds);
        factors = fit.quantised();
        if factors.products.is_empty() {
            break;
        }
    }
    factors.exponent += exponent;
    let fits = (-126..=127).contains(&factors.exponent);
    if fits { factors } else { Factors::default() }
}

impl Fit {
    fn new(differences: Vec<f32>, width: usize, rows: usize, rank: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        Fit {
            width,
            scaled: vec![0.0; differences.len()],
            differences,
            row_scales: vec![1.0; rows],
            column_scales: vec![1.0; width],
            columns: (0..rank).map(|_| (0..width).map(|_| random()).collect()).collect(),
            rows: vec![vec![0.0; rows]; rank],
        }
    }

    /// Finds the scales of what `factors` leave, and scales the differences by them.
    #[inline(always)]
    fn rescale(&mut self, factors: &Factors) {
        let unit = factors.unit();
        let mut column_sums = vec![0f32; self.width];
        let mut rest = vec![0f32; self.differences.len()];
        let rows = self.differences.chunks(self.width).zip(rest.chunks_mut(self.width));
        for ((at, scale), (differences, rest)) in self.row_scales.iter_mut().enumerate().zip(rows) {
            rest.copy_from_slice(differences);
            for product in &factors.products {
                let row = product.rows.get(at).map_or(0, |row| row << product.shift);
                let row = row as f32 * unit;
                for (rest, column) in rest.iter_mut().zip(&product.columns) {
                    *rest -= row * *column as f32;
                }
            }
            rest.iter_mut().for_each(|rest| *rest = rest.abs());
            *scale = dot(rest, &vec![1.0; rest.len()]) / self.width as f32;
        }
        let most = self.row_scales.iter().copied().fold(0f32, f32::max);
        for (scale, rest) in self.row_scales.iter_mut().zip(rest.chunks(self.width)) {
            *scale = scale.max(1e-3 * most).max(1e-20);
            add_scaled(&mut column_sums, 1.0 / *scale, rest);
        }
        let most = column_sums.iter().copied().fold(0f32, f32::max) / self.row_scales.len() as f32;
        for (scale, sum) in self.column_scales.iter_mut().zip(&column_sums) {
            *scale = (sum / self.row_scales.len() as f32).max(1e-2 * most).max(1e-20);
        }
        let inverse: Vec<f32> = self.column_scales.iter().map(|scale| 1.0 / scale).collect();
        let rows = self.differences.chunks(self.width).zip(self.scaled.chunks_mut(self.width));
        for (scale, (differences, scaled)) in self.row_scales.iter().zip(rows) {
            let row = 1.0 / scale;
            let of = scaled.iter_mut().zip(differences.iter().zip(&inverse));
            of.for_each(|(scaled, (difference, column))| *scaled = difference * row * column);
        }
    }

    /// Turns the column factors towards the strongest products, and finds their row factors.
    #[inline(always)]
    fn iterate(&mut self, rounds: usize) {
        orthonormalise(&mut self.columns);
        for round in 0..=rounds {
            for (at, scaled) in self.scaled.chunks(self.width).enumerate() {
                for (column, row) in self.columns.iter().zip(&mut self.rows) {
                    if let Some(row) = row.get_mut(at) {
                        *row = dot(scaled, column);
                    }
                }
            }
            if round == rounds {
                break;
            }
            self.columns.iter_mut().for_each(|column| column.fill(0.0));
            for (at, scaled) in self.scaled.chunks(self.width).enumerate() {
                for (column, row) in self.columns.iter_mut().zip(&self.rows) {
                    add_scaled(column, row.get(at).copied().unwrap_or(0.0), scaled);
                }
            }
            orthonormalise(&mut self.columns);
        }
    }

    /// The products that pay, as integers.
    fn quantised(&self) -> Factors {
        let elements = self.scaled.len() as f32;
        let lengths = (self.row_scales.len() + self.width) as f32;
        let mut products: Vec<_> =
            self.rows.iter().zip(&self.columns).map(|(r, c)| (dot(r, r), r, c)).collect();
        products.sort_by(|one, other| other.0.total_cmp(&one.0));
        let explained: f32 = products.iter().map(|product| product.0).sum();
        let rest = (dot(&self.scaled, &self.scaled) - explained).max(1e-6 * explained);
        products.retain(|(energy, ..)| {
            energy / rest * elements * SAVED_BITS >= lengths * FACTOR_BITS && *energy > 0.0
        });
        let steps: Vec<[f32; 2]> = products
            .iter()
            .map(|(energy, rows, columns)| {
                let noise = |other: usize| (12.0 * rest / (energy * other as f32)).sqrt();
                let step = |values: &[f32], scales: &[f32], other: usize| {
                    let mean = dot(values, values) / values.len() as f32;
                    let inverse: f32 = scales.iter().map(|scale| 1.0 / (scale * scale)).sum();
                    noise(other).min(STEP_MAX) * mean.sqrt()
                        / (inverse / scales.len() as f32).sqrt()
                };
                [
                    step(rows, &self.row_scales, self.width),
                    step(columns, &self.column_scales, self.row_scales.len()),
                ]
            })
            .collect();
        // The product of the steps is a power of two.
        let exponents = steps.iter().map(|[rows, columns]| (rows * columns).log2().round() as i32);
        let exponents: Vec<i32> = exponents.collect();
        let exponent = exponents.iter().copied().min().unwrap_or(0);
        let of = products.iter().zip(steps.iter().zip(&exponents));
        let products = of.map(|((_, rows, columns), ([row_step, column_step], own))| {
            let shift = ((own - exponent) as u32).min(SHIFT_MAX);
            let wanted = ((exponent + shift as i32) as f32).exp2();
            let mend = (wanted / (row_step * column_step)).sqrt();
            let integers = |values: &[f32], scales: &[f32], step: f32| -> Vec<i32> {
                let of = values.iter().zip(scales).map(|(value, scale)| value * scale / step);
                of.map(|v| (v.round() as i32).clamp(-FACTOR_MAX, FACTOR_MAX)).collect()
            };
            Product {
                shift,
                rows: integers(rows, &self.row_scales, row_step * mend),
                columns: integers(columns, &self.column_scales, column_step * mend),
            }
        });
        Factors { exponent, products: products.collect() }
    }
}

/// Makes vectors orthonormal; what depends on those before becomes zero.
#[inline(always)]
fn orthonormalise(vectors: &mut [Vec<f32>]) {
    for at in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(at);
        let Some(vector) = rest.first_mut() else { return };
        let length = dot(vector, vector).sqrt();
        // Twice is enough.
        for other in before.iter().chain(before.iter()) {
            let along = dot(vector, other);
            add_scaled(vector, -along, other);
        }
        let left = dot(vector, vector).sqrt();
        let scale = if left > 1e-5 * length { 1.0 / left } else { 0.0 };
        vector.iter_mut().for_each(|value| *value *= scale);
    }
}
