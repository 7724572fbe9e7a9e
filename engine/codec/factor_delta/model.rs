//! What is written of a chunk before its streams.

use super::factors::{COLUMN_SCALE_MAX, Factors, for_rows, read_integers, write_integers};
use super::predict::{Predicted, predict};
use super::{CELLS, Columns, SIZES};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::parts::{unzigzag, zigzag};
use crate::codec::float_delta::FloatLayout;
use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::float_delta::frequencies::CONTEXTS_MAX;

/// The model of a chunk, but for its frequency tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// The scale that the first difference of scales starts from.
    pub(super) first_scale: i32,
    /// What is taken from a predicted size before it selects a cell.
    pub(super) size_low: i32,
    /// The table of each cell.
    pub(super) cells: [u8; CELLS],
    /// How many tables there are.
    pub(super) tables: usize,
    /// The matrix, if the chunk is a part of one.
    pub(super) matrix: Option<Matrix>,
}

/// The matrix that a chunk is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    pub(super) columns: Columns,
    /// What is added to the scale in each column; empty for nothing.
    pub(super) scales: Vec<i32>,
    pub(super) factors: Factors,
}

/// What is known of a block's elements before their symbols are.
pub(super) struct Known {
    pub(super) predicted: [u32; BLOCK_LEN],
    /// All ones where a step is told negated, else 0.
    pub(super) flips: [u32; BLOCK_LEN],
    /// The predicted size, without the block's scale.
    pub(super) sizes: [i32; BLOCK_LEN],
    /// Where the cells of the rounding begin.
    pub(super) far: [u32; BLOCK_LEN],
}

impl Known {
    pub(super) fn new() -> Self {
        let zeros = [0; BLOCK_LEN];
        Known { predicted: zeros, flips: zeros, sizes: [0; BLOCK_LEN], far: zeros }
    }
}

impl Matrix {
    fn write(&self, out: &mut BitWriter) {
        out.put_gamma(self.columns.width as u32);
        out.put_gamma(self.columns.phase as u32 + 1);
        out.put(u32::from(!self.scales.is_empty()), 1);
        if !self.scales.is_empty() {
            write_integers(&self.scales, out);
        }
        out.put(self.factors.products.len() as u32, 5);
        if !self.factors.products.is_empty() {
            self.factors.write(out);
        }
    }

    fn read(elements: usize, input: &mut BitReader<'_>) -> Result<Self, String> {
        let width = input.take_gamma().ok_or("a width beyond its bits")? as usize;
        let phase = input.take_gamma().ok_or("a phase beyond its bits")? as usize - 1;
        if width > elements || phase >= width {
            return Err(format!("a matrix of {width} columns, from column {phase} on"));
        }
        let columns = Columns { width, phase };
        let scales = if input.take(1) == 0 {
            Vec::new()
        } else {
            read_integers(width, COLUMN_SCALE_MAX, input)?
        };
        let rank = input.take(5) as usize;
        if !Factors::fit(rank, columns, elements) {
            return Err(format!("{rank} products of {width} columns"));
        }
        let factors = if rank == 0 {
            Factors::default()
        } else {
            Factors::read(rank, columns, elements, input)?
        };
        Ok(Matrix { columns, scales, factors })
    }
}

impl Model {
    /// Appends the model.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.put(zigzag(self.first_scale) & 0xffff, 16);
        out.put(zigzag(self.size_low) & 0xffff, 16);
        out.put(self.tables as u32, 6);
        let mut before = 0;
        for cell in &self.cells {
            out.put(u32::from(*cell == before), 1);
            if *cell != before {
                out.put(u32::from(*cell), 5);
                before = *cell;
            }
        }
        out.put(u32::from(self.matrix.is_some()), 1);
        if let Some(matrix) = &self.matrix {
            matrix.write(out);
        }
    }

    /// Reads what [`write`](Self::write) wrote of a chunk of so many elements.
    pub(super) fn read(elements: usize, input: &mut BitReader<'_>) -> Result<Self, String> {
        let first_scale = unzigzag(input.take(16));
        let size_low = unzigzag(input.take(16));
        let tables = input.take(6) as usize;
        if tables > CONTEXTS_MAX {
            return Err(format!("{tables} tables"));
        }
        let (mut cells, mut before) = ([0; CELLS], 0);
        for cell in &mut cells {
            if input.take(1) == 0 {
                before = input.take(5) as u8;
            }
            *cell = before;
        }
        let matrix = if input.take(1) == 0 { None } else { Some(Matrix::read(elements, input)?) };
        Ok(Model { first_scale, size_low, cells, tables, matrix })
    }

    /// What is known of the elements from `start` on, whose parents are given.
    #[inline(always)]
    pub(super) fn know(
        &self,
        layout: FloatLayout,
        start: usize,
        parents: &[u32; BLOCK_LEN],
        known: &mut Known,
    ) {
        know(layout, self.matrix.as_ref(), start, parents, known);
    }

    /// The table of an element in a block of this scale.
    #[inline(always)]
    pub(super) fn table(&self, scale: i32, size: i32, far: u32) -> u8 {
        let size = scale.wrapping_add(size).wrapping_sub(self.size_low);
        let size = size.clamp(0, SIZES as i32 - 1);
        self.cells.get(far as usize + size as usize).copied().unwrap_or(0)
    }
}

/// See [`Model::know`].
#[inline(always)]
pub(super) fn know(
    layout: FloatLayout,
    matrix: Option<&Matrix>,
    start: usize,
    parents: &[u32; BLOCK_LEN],
    known: &mut Known,
) {
    let (mut sums, mut unit) = ([0; BLOCK_LEN], 0.0);
    known.sizes = [0; BLOCK_LEN];
    if let Some(matrix) = matrix {
        matrix.factors.sums(matrix.columns, start, &mut sums);
        unit = matrix.factors.unit();
        if !matrix.scales.is_empty() {
            for_rows(
                matrix.columns,
                start,
                &mut known.sizes,
                #[inline(always)]
                |_, from, sizes| {
                    let scales = matrix.scales.get(from..).unwrap_or_default();
                    sizes.iter_mut().zip(scales).for_each(|(size, scale)| *size = *scale);
                },
            );
        }
    }
    let elements = parents.iter().zip(&sums);
    let of = known.predicted.iter_mut().zip(&mut known.flips).zip(&mut known.far);
    for ((((predicted, flip), far), size), (parent, sum)) in of.zip(&mut known.sizes).zip(elements)
    {
        let found: Predicted = predict(layout, *parent, *sum, unit);
        *predicted = found.element;
        *flip = 0u32.wrapping_sub(found.flip);
        *far = found.far * SIZES as u32;
        *size -= 2 * layout.exponent(found.element);
    }
}
