//! Tensors that are made of others, element by element or row by row.

use rayon::prelude::*;

use super::super::{DraftTensor, UpdateError};
use crate::codec::formula::Formula;
use crate::store::{Tensor, TensorView};
use crate::tensor::Dtype;

/// Bytes of a tensor that are made at a time.
const PIECE_LEN: usize = 1 << 20;

/// Whether elements of this type are numbers that functions reckon with.
pub(super) fn is_number(dtype: &Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64)
}

/// A formula of a code, for tensors of these types.
pub(super) fn formula(
    tensor: &str,
    code: u8,
    (own, bases): (&Dtype, &[Dtype]),
    parameters: &[u8],
) -> Result<Formula, UpdateError> {
    Formula::parse(code, own, bases, parameters)
        .map_err(|error| UpdateError::tensor(tensor, error.to_string()))
}

/// What `formula` makes of `bases`, as a tensor like `like` but of type `dtype`.
pub(super) fn by_formula(
    like: &Tensor,
    dtype: Dtype,
    formula: Formula,
    bases: Vec<Tensor>,
) -> Result<DraftTensor, UpdateError> {
    let byte_len = byte_len(like, &dtype)?;
    let make = move || {
        let views = views(&bases)?;
        let views: Vec<&[u8]> = views.iter().map(|view| &**view).collect();
        predict(&formula, &views, byte_len)
    };
    Ok(DraftTensor::lazy(like.name(), dtype, like.shape().clone(), byte_len, make))
}

/// What `reckon` makes of elements of `bases` at the same place, in double precision, each rounded
/// to single precision and then to `dtype` (to F64 not at all), as a tensor like `like`.
pub(super) fn by_numbers(
    like: &Tensor,
    dtype: Dtype,
    bases: Vec<Tensor>,
    reckon: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
) -> Result<DraftTensor, UpdateError> {
    let byte_len = byte_len(like, &dtype)?;
    let own = dtype.clone();
    let make = move || {
        let columns: Vec<Vec<f64>> = bases.iter().map(doubles).collect::<Result<_, _>>()?;
        let count = columns.iter().map(Vec::len).min().unwrap_or(0);
        let reckoned: Vec<f64> = (0..count)
            .into_par_iter()
            .map_init(
                || vec![0.0; columns.len()],
                |row, at| {
                    for (cell, column) in row.iter_mut().zip(&columns) {
                        *cell = column.get(at).copied().unwrap_or_default();
                    }
                    settled(reckon(row))
                },
            )
            .collect();
        elements(&own, &reckoned, byte_len)
    };
    Ok(DraftTensor::lazy(like.name(), dtype, like.shape().clone(), byte_len, make))
}

/// The one NaN that arithmetic makes, whatever the processor.
pub(super) fn settled(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { value }
}

fn byte_len(like: &Tensor, dtype: &Dtype) -> Result<u64, UpdateError> {
    let len = dtype.byte_len(like.shape());
    let len = len.map_err(|error| UpdateError::tensor(like.name(), error.to_string()))?;
    len.ok_or_else(|| UpdateError::tensor(like.name(), format!("{dtype} has no known length")))
}

fn views(tensors: &[Tensor]) -> Result<Vec<TensorView>, UpdateError> {
    tensors.iter().map(|tensor| Ok(tensor.view()?)).collect()
}

/// What a formula makes of whole bases, on all cores.
pub(super) fn predict(
    formula: &Formula,
    bases: &[&[u8]],
    byte_len: u64,
) -> Result<Vec<u8>, UpdateError> {
    let mut out = zeroed(byte_len)?;
    out.par_chunks_mut(PIECE_LEN).enumerate().for_each(|(at, piece)| {
        let start = (at * PIECE_LEN) as u64;
        let range = start..start + piece.len() as u64;
        let needed = formula.needs(&range);
        let part = |(base, range): (&&'_ [u8], std::ops::Range<u64>)| -> (usize, usize) {
            let len = base.len() as u64;
            (range.start.min(len) as usize, range.end.min(len) as usize)
        };
        let parts: Vec<&[u8]> = bases
            .iter()
            .zip(needed)
            .map(|(base, range)| {
                let (start, end) = part((base, range));
                base.get(start..end).unwrap_or_default()
            })
            .collect();
        formula.predict(&range, &parts, piece);
    });
    Ok(out)
}

/// Zeros, or an error where there is no memory.
fn zeroed(len: u64) -> Result<Vec<u8>, UpdateError> {
    let mut bytes = Vec::new();
    let none = || UpdateError::Store(crate::store::StoreError::OutOfMemory { bytes: len });
    let count = usize::try_from(len).map_err(|_| none())?;
    bytes.try_reserve_exact(count).map_err(|_| none())?;
    bytes.resize(count, 0);
    Ok(bytes)
}

/// A tensor's elements in another float type, as the format casts them.
fn cast(bytes: &[u8], from: &Dtype, to: &Dtype, count: usize) -> Result<Vec<u8>, UpdateError> {
    match Formula::cast(from, to) {
        Some(formula) => predict(&formula, &[bytes], (count * to.lane_bytes()) as u64),
        None => Ok(bytes.to_vec()),
    }
}

/// A tensor's elements in double precision.
pub(super) fn doubles(tensor: &Tensor) -> Result<Vec<f64>, UpdateError> {
    let view = tensor.view()?;
    doubles_of(tensor.dtype(), &view)
}

/// Elements in double precision.
pub(super) fn doubles_of(dtype: &Dtype, bytes: &[u8]) -> Result<Vec<f64>, UpdateError> {
    let bytes = cast(bytes, dtype, &Dtype::F64, bytes.len() / dtype.lane_bytes().max(1))?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

/// Numbers as elements of a type.
pub(super) fn elements(
    dtype: &Dtype,
    values: &[f64],
    byte_len: u64,
) -> Result<Vec<u8>, UpdateError> {
    let mut bytes = cast(bytemuck::cast_slice(values), &Dtype::F64, dtype, values.len())?;
    bytes.resize(usize::try_from(byte_len).unwrap_or(bytes.len()), 0);
    Ok(bytes)
}
