//! Choosing a model for a chunk, and writing the chunk with it.

use super::factors::COLUMN_SCALE_MAX;
use super::model::{Known, Matrix, Model, know};
use super::scales::{Block, count, hold, open_of, refine};
use super::tables::share;
use super::{SIZES, columns, fit};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::parts::{
    Parts, SymbolCounts, encode_classes, encode_symbols, put_wide, zigzag,
};
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::FloatLayout;
use crate::codec::float_delta::bits::BitWriter;

/// Rounds of looking for better scales.
const ROUNDS: usize = 2;
/// Columns have scales of their own where they are seen in so many rows.
const ROWS_MIN: usize = 32;
/// A difference over the scale of its block counts no more than this.
const WILD: f32 = 4.0;

/// Appends the encoded `chunk` to `out`. `chunk` and `base` have the same length, a multiple of
/// the element's.
pub(in crate::codec) fn encode(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    on_cpu!(_cpu => encode_any(layout, chunk, base, out));
}

/// The numbers of each layout are constants in its copy of the code.
#[inline(always)]
fn encode_any(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    match layout {
        FloatLayout::F16 => encode_as(FloatLayout::F16, chunk, base, out),
        FloatLayout::BF16 => encode_as(FloatLayout::BF16, chunk, base, out),
        _ => encode_as(FloatLayout::F32, chunk, base, out),
    }
}

#[inline(always)]
fn encode_as(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    let elements = chunk.len() / layout.bytes;
    let mut blocks = blocks(layout, chunk, base);
    lay(layout, None, &mut blocks);
    let differences = differences(layout, &blocks, elements);
    scale(layout, &differences, None, &mut blocks);
    let found = columns::find(&over_scales(layout, &blocks, &differences));
    let mut best = write(layout, None, &mut blocks, elements);
    if let Some(columns) = found {
        let factors = fit::fit(&differences, columns);
        let mut matrix = Matrix { columns, scales: Vec::new(), factors };
        let rest = rest(&differences, &matrix);
        lay(layout, Some(&matrix), &mut blocks);
        scale(layout, &rest, Some(&mut matrix), &mut blocks);
        let other = write(layout, Some(matrix), &mut blocks, elements);
        if other.len() < best.len() {
            best = other;
        }
    }
    out.extend_from_slice(&best);
}

/// The elements of a chunk and its base.
#[inline(always)]
fn blocks(layout: FloatLayout, chunk: &[u8], base: &[u8]) -> Vec<Block> {
    let bytes = BLOCK_LEN * layout.bytes;
    let pairs = chunk.chunks(bytes).zip(base.chunks(bytes));
    let block = |(chunk, base): (&[u8], &[u8])| {
        let zeros = [0; BLOCK_LEN];
        let mut block = Block {
            len: chunk.len() / layout.bytes,
            scale: None,
            parents: zeros,
            children: zeros,
            predicted: zeros,
            flips: zeros,
            sizes: [0; BLOCK_LEN],
            far: zeros,
        };
        layout.load(chunk, &mut block.children);
        layout.load(base, &mut block.parents);
        block
    };
    pairs.map(block).collect()
}

/// Fills in what is known of the elements before their steps.
#[inline(always)]
fn lay(layout: FloatLayout, matrix: Option<&Matrix>, blocks: &mut [Block]) {
    let mut known = Known::new();
    for (at, block) in blocks.iter_mut().enumerate() {
        know(layout, matrix, at * BLOCK_LEN, &block.parents, &mut known);
        block.predicted = known.predicted;
        block.flips = known.flips;
        block.sizes = known.sizes;
        block.far = known.far;
    }
}

/// How far the elements moved; nothing where that is not a number, or is beyond all measure.
#[inline(always)]
fn differences(layout: FloatLayout, blocks: &[Block], elements: usize) -> Vec<f32> {
    let mut differences = Vec::with_capacity(blocks.len() * BLOCK_LEN);
    for block in blocks {
        differences.extend(block.children.iter().zip(&block.parents).map(|(child, parent)| {
            let difference = layout.value(*child) - layout.value(*parent);
            if difference.abs() < 1e30 { difference } else { 0.0 }
        }));
    }
    differences.truncate(elements);
    differences
}

/// What factors leave of the differences.
#[inline(always)]
fn rest(differences: &[f32], matrix: &Matrix) -> Vec<f32> {
    let (mut sums, unit) = ([0; BLOCK_LEN], matrix.factors.unit());
    let mut rest = differences.to_vec();
    for (at, rest) in rest.chunks_mut(BLOCK_LEN).enumerate() {
        matrix.factors.sums(matrix.columns, at * BLOCK_LEN, &mut sums);
        rest.iter_mut().zip(&sums).for_each(|(rest, sum)| *rest -= *sum as f32 * unit);
    }
    rest
}

/// Gives every block that moved the scale of its mean difference, and every column of a matrix
/// its own, which is added.
#[inline(always)]
fn scale(
    layout: FloatLayout,
    differences: &[f32],
    matrix: Option<&mut Matrix>,
    blocks: &mut [Block],
) {
    let mut before = 2 * layout.bias;
    for (block, differences) in blocks.iter_mut().zip(differences.chunks(BLOCK_LEN)) {
        block.scale = (block.children != block.parents).then(|| {
            let sum: f32 = differences.iter().map(|difference| difference.abs()).sum();
            let mean = sum / differences.len() as f32;
            if mean > 0.0 && mean.is_finite() {
                before = (2.0 * mean.log2()).round() as i32 + 2 * layout.bias;
            }
            before
        });
    }
    if let Some(matrix) = matrix {
        scale_columns(layout, differences, matrix, blocks);
    }
    hold(blocks);
}

#[inline(always)]
fn scale_columns(
    layout: FloatLayout,
    differences: &[f32],
    matrix: &mut Matrix,
    blocks: &mut [Block],
) {
    let columns = matrix.columns;
    if columns.rows(differences.len()) < ROWS_MIN {
        return;
    }
    let mut sums = vec![(0f32, 0f32); columns.width];
    let mut at = columns.phase;
    for (block, differences) in blocks.iter().zip(differences.chunks(BLOCK_LEN)) {
        let Some(scale) = block.scale else {
            at = (at + differences.len()) % columns.width;
            continue;
        };
        let inverse = ((2 * layout.bias - scale) as f32 / 2.0).exp2();
        for difference in differences {
            if let Some((sum, count)) = sums.get_mut(at) {
                *sum += difference.abs() * inverse;
                *count += 1.0;
            }
            at = if at + 1 == columns.width { 0 } else { at + 1 };
        }
    }
    let scales = sums.into_iter().map(|(sum, count)| {
        let scale = (2.0 * (sum / count).log2()).round();
        let most = COLUMN_SCALE_MAX as f32;
        // Without a column's sum there is nothing to say.
        if scale.is_finite() { scale.clamp(-most, most) as i32 } else { 0 }
    });
    matrix.scales = scales.collect();
    lay(layout, Some(&*matrix), blocks);
}

/// The differences over the scales of their blocks.
#[inline(always)]
fn over_scales(layout: FloatLayout, blocks: &[Block], differences: &[f32]) -> Vec<f32> {
    let mut over = Vec::with_capacity(differences.len());
    for (block, differences) in blocks.iter().zip(differences.chunks(BLOCK_LEN)) {
        let inverse =
            block.scale.map_or(0.0, |scale| ((2 * layout.bias - scale) as f32 / 2.0).exp2());
        over.extend(differences.iter().map(|d| (d * inverse).clamp(-WILD, WILD)));
    }
    over
}

/// What is taken from predicted sizes: a few outliers share the first cell.
#[inline(always)]
fn lowest_size(blocks: &[Block]) -> i32 {
    const RANGE: usize = 4096;
    const MIDDLE: i32 = RANGE as i32 / 2;
    let mut counts = vec![0u32; RANGE];
    let mut total = 0;
    for block in blocks {
        let Some(scale) = block.scale else { continue };
        for size in block.sizes.iter().take(block.len) {
            let place = (scale + size + MIDDLE).clamp(0, RANGE as i32 - 1);
            if let Some(count) = counts.get_mut(place as usize) {
                *count += 1;
            }
            total += 1;
        }
    }
    let mut seen = 0;
    let place = counts.iter().position(|count| {
        seen += count;
        seen > total / 500
    });
    place.map_or(0, |place| place as i32 - MIDDLE)
}

/// The chunk as bytes, with the matrix that was laid.
#[inline(always)]
fn write(
    layout: FloatLayout,
    matrix: Option<Matrix>,
    blocks: &mut [Block],
    elements: usize,
) -> Vec<u8> {
    let low = lowest_size(blocks) - (SIZES as i32) / 16;
    for _ in 0..ROUNDS {
        refine(layout, blocks, low);
    }
    let (cells, tables) = share(&count(layout, blocks, low));
    let first_scale = blocks.iter().find_map(|block| block.scale).unwrap_or(0);
    let model = Model { first_scale, size_low: low, cells, tables: tables.len(), matrix };

    let (mut contexts, mut symbols) = (Vec::with_capacity(elements), Vec::with_capacity(elements));
    let mut open = BitWriter::default();
    let mut classes = Vec::with_capacity(blocks.len());
    let mut before = first_scale;
    for block in blocks.iter() {
        let Some(scale) = block.scale else {
            classes.push(0);
            continue;
        };
        classes.push(1 + zigzag(scale - before) as u8);
        before = scale;
        let (own, magnitudes) = block.symbols(layout, scale);
        let of = own.iter().zip(&magnitudes).zip(block.cells(low, scale));
        for ((symbol, magnitude), cell) in of.take(block.len) {
            let (bits, count) = open_of(*symbol, *magnitude);
            put_wide(u64::from(bits), count, &mut open);
            contexts.push(model.cells.get(usize::from(cell)).copied().unwrap_or(0));
            symbols.push(*symbol);
        }
    }
    let mut bits = BitWriter::default();
    model.write(&mut bits);
    let class_stream = encode_classes(&classes, &mut bits);
    let freqs = SymbolCounts(tables).write(&mut bits);
    let symbol_stream = encode_symbols(elements, &freqs, &contexts, &symbols);
    let parts = Parts {
        model: &bits.finish(),
        classes: &class_stream,
        symbols: &symbol_stream,
        open: &open.finish(),
    };
    let mut out = Vec::new();
    parts.write(&mut out);
    out
}

/// Whether factors would be looked for: for tests.
#[cfg(test)]
pub(super) fn found(
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
) -> Option<(super::Columns, super::factors::Factors)> {
    let mut blocks = blocks(layout, chunk, base);
    let differences = differences(layout, &blocks, chunk.len() / layout.bytes);
    scale(layout, &differences, None, &mut blocks);
    let columns = columns::find(&over_scales(layout, &blocks, &differences))?;
    Some((columns, fit::fit(&differences, columns)))
}
