//! A matrix with a product of two others added, and its rows or columns brought to given lengths:
//! what the formula of the file format does not say. In single precision, as the formula `lora`
//! says, where no matrix is F64: so does the PEFT library, and the results are its own. A length is
//! summed in double precision, in order, and rounded; what it is scaled by, and the result, are
//! rounded to single precision too. Otherwise all is in double precision, every operation rounded,
//! sums in order. The result is then rounded to the matrix's type. Made row by row, so that no
//! matrix need be in memory as a whole.

use std::io;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::super::UpdateError;
use super::super::draft_tensor::as_io;
use super::arithmetic::{doubles, doubles_of, elements, settled};
use crate::codec::formula::multiply_add;
use crate::store::{Tensor, TensorSource};
use crate::tensor::Dtype;

/// The longest row that is made as a whole, in elements.
pub(super) const COLUMNS_MAX: u64 = 1 << 22;

/// Which lengths the magnitudes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lengths {
    Rows,
    Columns,
}

/// The matrix to be made.
pub(super) struct Adapted {
    pub(super) base: Tensor,
    pub(super) columns: usize,
    /// Of `rank` columns; with `rank` rows where it is used as its transpose.
    pub(super) left: Tensor,
    /// Of `rank` rows.
    pub(super) right: Tensor,
    pub(super) rank: usize,
    /// Whether the product is that of the transposes: of `right` and `left`.
    pub(super) transposed: bool,
    pub(super) scale: f64,
    pub(super) magnitude: Option<(Tensor, Lengths)>,
    pub(super) prepared: Mutex<Option<std::sync::Arc<Prepared>>>,
}

/// The factors, row by row, and by what rows or columns are multiplied.
pub(super) struct Prepared {
    left: Vec<f64>,
    right: Vec<f64>,
    /// Both again, where all is in single precision; they are then empty above.
    singles: Option<(Vec<f32>, Vec<f32>)>,
    magnitude: Vec<f64>,
}

/// The nearest number of single precision.
pub(super) fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

fn transpose(values: &[f64], columns: usize) -> Vec<f64> {
    let column = |at: usize| values.iter().skip(at).step_by(columns.max(1)).copied();
    (0..columns).flat_map(column).collect()
}

impl Adapted {
    /// Whether all is in single precision.
    fn is_single(&self) -> bool {
        [&self.base, &self.left, &self.right].iter().all(|matrix| *matrix.dtype() != Dtype::F64)
    }

    /// What a row or column of this sum of squares is multiplied by, to get a length.
    fn factor(&self, length: f64, squares: f64) -> f64 {
        match self.is_single() {
            true => single(single(length) / single(squares.sqrt())),
            false => length / squares.sqrt(),
        }
    }

    fn prepared(&self) -> Result<std::sync::Arc<Prepared>, UpdateError> {
        let lock = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = &*lock() {
            return Ok(std::sync::Arc::clone(prepared));
        }
        let (left, right) = (doubles(&self.left)?, doubles(&self.right)?);
        let (left, right) = match self.transposed {
            // The transpose of a product is the product of the transposes, turned round.
            true => {
                let rows = right.len() / self.rank.max(1);
                (transpose(&right, rows), transpose(&left, self.rank))
            }
            false => (left, right),
        };
        let mut prepared = Prepared { left, right, singles: None, magnitude: Vec::new() };
        if self.is_single() {
            let singles = |values: &mut Vec<f64>| -> Vec<f32> {
                std::mem::take(values).into_iter().map(|value| value as f32).collect()
            };
            prepared.singles = Some((singles(&mut prepared.left), singles(&mut prepared.right)));
        }
        if let Some((magnitude, lengths)) = &self.magnitude {
            let magnitude = doubles(magnitude)?;
            if *lengths == Lengths::Columns {
                prepared.magnitude = self.by_columns(&prepared, magnitude)?;
            } else {
                prepared.magnitude = magnitude;
            }
        }
        let prepared = std::sync::Arc::new(prepared);
        *lock() = Some(std::sync::Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Magnitudes over the lengths of the columns: a pass over the whole matrix.
    fn by_columns(&self, prepared: &Prepared, mut by: Vec<f64>) -> Result<Vec<f64>, UpdateError> {
        let rows = self.base.shape().elements() / self.columns.max(1) as u64;
        let mut squares = vec![0.0; self.columns];
        for row in 0..rows {
            let sums = self.sums(prepared, row)?;
            squares.iter_mut().zip(sums).for_each(|(sum, value)| *sum += value * value);
        }
        by.iter_mut().zip(squares).for_each(|(by, square)| *by = self.factor(*by, square));
        Ok(by)
    }

    /// A row of the base with its product added.
    fn sums(&self, prepared: &Prepared, row: u64) -> Result<Vec<f64>, UpdateError> {
        let dtype = self.base.dtype();
        let mut bytes = vec![0; self.columns * dtype.lane_bytes()];
        self.base.read_range_into(row * bytes.len() as u64, &mut bytes)?;
        let mut values = doubles_of(dtype, &bytes)?;
        let start = row as usize * self.rank;
        if let Some((left, right)) = &prepared.singles {
            let mut product = vec![0f32; self.columns];
            let left = left.get(start..start + self.rank).unwrap_or_default();
            for (left, right) in left.iter().zip(right.chunks(self.columns)) {
                multiply_add(*left, right, &mut product);
            }
            let scale = self.scale as f32;
            for (value, product) in values.iter_mut().zip(product) {
                *value = (*value as f32 + product * scale).into();
            }
            return Ok(values);
        }
        let mut product = vec![0.0; self.columns];
        let left = prepared.left.get(start..start + self.rank).unwrap_or_default();
        for (left, right) in left.iter().zip(prepared.right.chunks(self.columns)) {
            product.iter_mut().zip(right).for_each(|(sum, right)| *sum += left * right);
        }
        values.iter_mut().zip(product).for_each(|(value, it)| *value += it * self.scale);
        Ok(values)
    }

    fn row(&self, prepared: &Prepared, row: u64) -> Result<Vec<u8>, UpdateError> {
        let mut values = self.sums(prepared, row)?;
        match &self.magnitude {
            Some((_, Lengths::Rows)) => {
                let squares = values.iter().fold(0.0, |sum, value| sum + value * value);
                let length = prepared.magnitude.get(row as usize).copied().unwrap_or(f64::NAN);
                let by = self.factor(length, squares);
                values.iter_mut().for_each(|value| *value *= by);
            }
            Some((_, Lengths::Columns)) => {
                values.iter_mut().zip(&prepared.magnitude).for_each(|(value, by)| *value *= by);
            }
            None => {}
        }
        values.iter_mut().for_each(|value| *value = settled(*value));
        let byte_len = values.len() * self.base.dtype().lane_bytes();
        elements(self.base.dtype(), &values, byte_len as u64)
    }
}

impl TensorSource for Adapted {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let prepared = self.prepared().map_err(as_io)?;
        let width = (self.columns * self.base.dtype().lane_bytes()).max(1) as u64;
        let end = offset + out.len() as u64;
        let skip = (offset % width) as usize;
        // The first row may be asked for in part.
        let (first, rest) = out.split_at_mut(((width as usize) - skip).min(out.len()));
        let copy = |row: u64, skip: usize, out: &mut [u8]| -> io::Result<()> {
            let bytes = self.row(&prepared, row).map_err(as_io)?;
            let part = bytes.get(skip..skip + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(part);
            Ok(())
        };
        if offset == end {
            return Ok(());
        }
        copy(offset / width, skip, first)?;
        let rows = rest.par_chunks_mut(width as usize).enumerate();
        rows.map(|(at, out)| copy(offset / width + 1 + at as u64, 0, out)).collect()
    }
}
