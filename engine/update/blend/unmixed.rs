//! What becomes of tensors that cannot be mixed.

use super::super::{DraftTensor, UpdateError};
use crate::store::Tensor;
use crate::tensor::Dtype;

/// The value of one integer; `None` for other types.
fn integer(dtype: &Dtype, bytes: &[u8]) -> Option<i128> {
    fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.first_chunk().copied()
    }
    Some(match dtype {
        Dtype::I8 => i8::from_le_bytes(array(bytes)?).into(),
        Dtype::I16 => i16::from_le_bytes(array(bytes)?).into(),
        Dtype::I32 => i32::from_le_bytes(array(bytes)?).into(),
        Dtype::I64 => i64::from_le_bytes(array(bytes)?).into(),
        Dtype::U8 => u8::from_le_bytes(array(bytes)?).into(),
        Dtype::U16 => u16::from_le_bytes(array(bytes)?).into(),
        Dtype::U32 => u32::from_le_bytes(array(bytes)?).into(),
        Dtype::U64 => u64::from_le_bytes(array(bytes)?).into(),
        _ => return None,
    })
}

/// One tensor of the same place in several models, of a type that is not mixed: where all that have
/// changed it have changed it alike, their value; of counters, that is, single integers of one type,
/// the greatest, which is noted.
///
/// # Errors
///
/// Anything else: its type and shape, and what may be said.
pub(in super::super) fn unmixed(
    base: Option<&Tensor>,
    parts: &[Tensor],
) -> Result<DraftTensor, UpdateError> {
    let Some(first) = parts.first() else {
        return Err(UpdateError::inputs("no models are given to be mixed"));
    };
    let mut changed = parts.iter().filter(|part| !base.is_some_and(|base| base.is_same(part)));
    let one = changed.next().unwrap_or(first);
    if changed.all(|other| other.is_same(one)) {
        return Ok(DraftTensor::keep(one).named(first.name()));
    }
    let dtype = first.dtype().clone();
    let is_counter = integer(&dtype, &[0; 8]).is_some() && first.shape().elements() == 1;
    if is_counter && parts.iter().all(|part| *part.dtype() == dtype) {
        let (all, of) = (parts.to_vec(), dtype.clone());
        let greatest = move || {
            let mut greatest: Option<(i128, Vec<u8>)> = None;
            for part in &all {
                let bytes = part.view()?.to_vec();
                let value = integer(&of, &bytes).unwrap_or_default();
                if greatest.as_ref().is_none_or(|(known, _)| value > *known) {
                    greatest = Some((value, bytes));
                }
            }
            Ok(greatest.map(|(_, bytes)| bytes).unwrap_or_default())
        };
        let (name, shape, len) = (first.name(), first.shape().clone(), first.byte_len());
        let tensor = DraftTensor::lazy(name, dtype, shape, len, greatest);
        return Ok(tensor.noted("the models differ in this integer: the greatest is taken"));
    }
    let types: Vec<String> = parts.iter().map(Tensor::described).collect();
    let name = first.name();
    let reason = format!("the models differ in it, and it cannot be mixed: {}", types.join(", "));
    Err(UpdateError::tensor(name, reason))
}
