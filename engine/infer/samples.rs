//! Runs of elements of two tensors, side by side.

use super::member::Member;
use crate::store::Result;
use crate::tensor::{Dtype, number, number_bytes};

/// The most elements of a tensor that a comparison reads.
const ELEMENTS_MAX: u64 = 1 << 18;
/// A run of a tensor without rows, or with long ones.
const RUN: u64 = 4096;
/// The longest row that is a run.
const ROW_MAX: u64 = 1 << 16;

/// Elements of two tensors at the same places.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) a: Vec<f64>,
    pub(super) b: Vec<f64>,
    /// Elements of a row, where runs are whole rows of a matrix; else 0.
    pub(super) row: usize,
}

/// Samples of tensors `at` of two members, which have equally many elements: whole rows, evenly
/// spread, at most 2^18 elements.
pub(super) fn read(
    (a, b): (&Member<'_>, &Member<'_>),
    at: (usize, usize),
) -> Result<Option<Samples>> {
    let (Some(left), Some(right)) = (a.tensors().get(at.0), b.tensors().get(at.1)) else {
        return Ok(None);
    };
    let widths = number_bytes(&left.dtype).zip(number_bytes(&right.dtype));
    let elements = left.sketch.elements();
    let Some(widths) = widths.filter(|_| elements == right.sketch.elements() && elements > 0)
    else {
        return Ok(None);
    };
    let rows = left.shape.rows().max(1);
    let row = elements / rows;
    let by_rows = left.shape.rank() >= 2 && row > 0 && row <= ROW_MAX && row * rows == elements;
    let run = if by_rows { row } else { RUN.min(elements) };
    let runs = elements.div_ceil(run);
    // Neighbouring rows together, so that a block of the difference can be looked at.
    let group = if by_rows { (RUN / run).clamp(1, runs) } else { 1 };
    let groups = runs.div_ceil(group);
    let taken = (ELEMENTS_MAX / (run * group)).clamp(1, groups);
    let mut samples = Samples { row: if by_rows { row as usize } else { 0 }, ..Samples::default() };
    let mut buffer = Vec::new();
    for nth in 0..taken {
        let first = (u128::from(groups) * u128::from(nth) / u128::from(taken)) as u64;
        let start = first * group * run;
        let count = (group * run).min(elements - start);
        for (member, at, width, dtype, out) in [
            (a, at.0, widths.0, &left.dtype, &mut samples.a),
            (b, at.1, widths.1, &right.dtype, &mut samples.b),
        ] {
            buffer.resize(count as usize * width, 0);
            member.read(at, start * width as u64, &mut buffer)?;
            numbers(dtype, &buffer, width, out);
        }
    }
    Ok(Some(samples))
}

/// Appends at most about `max` elements of a tensor, in runs that are evenly spread: the same places
/// in every tensor of as many elements.
pub(super) fn some_of(
    member: &Member<'_>,
    at: usize,
    max: usize,
    out: &mut Vec<f32>,
) -> Result<()> {
    const SHORT_RUN: u64 = 256;
    let Some(tensor) = member.tensors().get(at) else { return Ok(()) };
    let Some(width) = number_bytes(&tensor.dtype) else { return Ok(()) };
    let elements = tensor.sketch.elements();
    let run = SHORT_RUN.min(elements).max(1);
    let runs = elements.div_ceil(run);
    let taken = (max as u64 / run).clamp(1, runs.max(1));
    let mut buffer = Vec::new();
    let mut values = Vec::new();
    for nth in 0..taken {
        let start = (u128::from(runs) * u128::from(nth) / u128::from(taken)) as u64 * run;
        let count = run.min(elements.saturating_sub(start));
        buffer.resize(count as usize * width, 0);
        member.read(at, start * width as u64, &mut buffer)?;
        values.clear();
        numbers(&tensor.dtype, &buffer, width, &mut values);
        out.extend(values.iter().map(|value| *value as f32));
    }
    Ok(())
}

fn numbers(dtype: &Dtype, bytes: &[u8], width: usize, out: &mut Vec<f64>) {
    out.extend(bytes.chunks_exact(width).map(|element| number(dtype, element)));
}
