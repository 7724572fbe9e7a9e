//! Row and column factors, as small integers.

use super::{Columns, RANK_MAX};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::parts::{unzigzag, zigzag};
use crate::codec::float_delta::bits::{BitReader, BitWriter};

/// The largest magnitude of a factor.
pub(super) const FACTOR_MAX: i32 = 127;
/// The largest exponent by which a product is shifted.
pub(super) const SHIFT_MAX: u32 = 15;
/// The largest magnitude of a column's scale.
pub(super) const COLUMN_SCALE_MAX: i32 = 15;

/// Factors of a chunk: an element is predicted to move by the sum of the products of its row's and
/// its column's factors, in units of a power of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Factors {
    /// The binary logarithm of the unit.
    pub(super) exponent: i32,
    pub(super) products: Vec<Product>,
}

/// One product of factors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) shift: u32,
    pub(super) rows: Vec<i32>,
    pub(super) columns: Vec<i32>,
}

/// Appends integers as Golomb-Rice codes, with the parameter that is best for them.
pub(super) fn write_integers(values: &[i32], out: &mut BitWriter) {
    let cost =
        |low: u32| -> u32 { values.iter().map(|value| (zigzag(*value) >> low) + 1 + low).sum() };
    let low = (0..8).min_by_key(|low| cost(*low)).unwrap_or(0);
    out.put(low, 3);
    for value in values {
        let zigzag = zigzag(*value);
        let mut upper = zigzag >> low;
        while upper >= 32 {
            out.put(0, 32);
            upper -= 32;
        }
        out.put(0, upper);
        out.put(1, 1);
        out.put(zigzag & ((1 << low) - 1), low);
    }
}

/// Reads what [`write_integers`] wrote, so many of them of at most this magnitude.
pub(super) fn read_integers(
    count: usize,
    most: i32,
    input: &mut BitReader<'_>,
) -> Result<Vec<i32>, String> {
    let low = input.take(3);
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let upper = input.take_unary(2 * most as u32).ok_or("an integer without an end")?;
        let value = unzigzag(upper << low | input.take(low));
        if value.abs() > most {
            return Err(format!("an integer of {value}"));
        }
        values.push(value);
    }
    Ok(values)
}

impl Factors {
    /// Whether so many products are in proportion to a chunk.
    pub(super) fn fit(rank: usize, columns: Columns, elements: usize) -> bool {
        rank <= RANK_MAX && rank * (columns.rows(elements) + columns.width) <= elements
    }

    /// The unit of the sums.
    pub(super) fn unit(&self) -> f32 {
        f32::from_bits(((self.exponent + 127).clamp(1, 254) as u32) << 23)
    }

    /// Appends the factors.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.put(zigzag(self.exponent) & 0xffff, 16);
        for product in &self.products {
            out.put(product.shift, 4);
            write_integers(&product.rows, out);
            write_integers(&product.columns, out);
        }
    }

    /// Reads what [`write`](Self::write) wrote, `rank` products.
    pub(super) fn read(
        rank: usize,
        columns: Columns,
        elements: usize,
        input: &mut BitReader<'_>,
    ) -> Result<Self, String> {
        let exponent = unzigzag(input.take(16));
        if !(-126..=127).contains(&exponent) {
            return Err(format!("factors in units of 2^{exponent}"));
        }
        let mut products = Vec::with_capacity(rank);
        for _ in 0..rank {
            let shift = input.take(4);
            let rows = read_integers(columns.rows(elements), FACTOR_MAX, input)?;
            let columns = read_integers(columns.width, FACTOR_MAX, input)?;
            products.push(Product { shift, rows, columns });
        }
        Ok(Factors { exponent, products })
    }

    /// What the elements from `start` on move by, in units. Those of the first block are many.
    #[inline(always)]
    pub(super) fn sums(&self, columns: Columns, start: usize, sums: &mut [i32; BLOCK_LEN]) {
        *sums = [0; BLOCK_LEN];
        if self.products.is_empty() {
            return;
        }
        for_rows(
            columns,
            start,
            sums,
            #[inline(always)]
            |row, from, sums| {
                for product in &self.products {
                    let row = product.rows.get(row).copied().unwrap_or(0) << product.shift;
                    let columns = product.columns.get(from..).unwrap_or_default();
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = sum.wrapping_add(row.wrapping_mul(*column));
                    }
                }
            },
        );
    }
}

/// Calls `work` for each part of a block that lies in one row: with the row, the part's first
/// column, and the part.
#[inline(always)]
pub(super) fn for_rows(
    columns: Columns,
    start: usize,
    block: &mut [i32; BLOCK_LEN],
    mut work: impl FnMut(usize, usize, &mut [i32]),
) {
    let place = start + columns.phase;
    let (mut row, mut from) = (place / columns.width, place % columns.width);
    let mut rest = block.as_mut_slice();
    while !rest.is_empty() {
        let len = rest.len().min(columns.width - from);
        let (part, behind) = rest.split_at_mut(len);
        work(row, from, part);
        (rest, row, from) = (behind, row + 1, 0);
    }
}
