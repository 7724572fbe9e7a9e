//! Matrices in numbers of eight bits: rounded to them, stored as them, and back.

use std::collections::HashSet;

use rayon::prelude::*;

use super::super::chosen::{Chosen, TENSORS, globs};
use super::super::{Draft, DraftTensor, Inputs, UpdateError};
use super::arithmetic::{by_formula, doubles, doubles_of, elements, is_number};
use super::reduce::{SCALE_SUFFIX, is_scale};
use super::work::{OF_ANOTHER, Work};
use crate::architecture::LayerKind;
use crate::codec::formula::{AbsmaxOrder, Formula};
use crate::lineage::glob_matches;
use crate::store::Tensor;
use crate::tensor::{Dtype, Shape, number};

/// What the parameter `to` of `quantise` may be, the type, and its largest number.
const TARGETS: [(&str, Dtype, f32); 2] =
    [("int8", Dtype::I8, 127.0), ("fp8", Dtype::F8E4M3, 448.0)];

/// Matrices in numbers of eight bits. Without `to` every row is rounded to 255 steps from minus to
/// plus its largest magnitude, and stays in its own type. With it, matrices of two dimensions that
/// are no embeddings become I8 or F8_E4M3, and the scale of every row stands beside them. Those that
/// `keep` names stay as they are, and so do other tensors.
pub(super) fn quantise(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&["to", "keep", TENSORS])?;
    let model = inputs.only_parent()?;
    let keep = globs(&inputs.parameters, "keep", model)?;
    let chosen = Chosen::read(&inputs.parameters, model)?;
    let is_kept = |tensor: &Tensor| keep.iter().any(|glob| glob_matches(glob, tensor.name()));
    let mut work = Work::new("quantised");
    let Some(to) = inputs.parameters.get("to") else {
        let draft = Draft::like_each(&chosen, |tensor| {
            if is_scale(model, tensor) {
                return Ok([work.left(tensor, OF_ANOTHER)]);
            }
            if is_kept(tensor) || tensor.shape().dims().len() < 2 {
                return Ok([DraftTensor::keep(tensor)]);
            }
            if !is_number(tensor.dtype()) {
                return Ok([work.left_by_type(tensor)]);
            }
            work.done += 1;
            Ok([rounded(tensor)?])
        })?;
        return work.checked("matrix", model).map(|()| draft);
    };
    let target = TARGETS.into_iter().find(|(name, ..)| to.as_str() == Some(name));
    let Some((_, dtype, largest)) = target else {
        return Err(UpdateError::parameter("to", format!("{to} is none of int8 and fp8")));
    };
    let architecture = model.architecture()?;
    let tables = architecture.layers().iter().filter(|layer| layer.kind == LayerKind::Embedding);
    let tables: HashSet<&str> =
        tables.flat_map(|layer| layer.tensors.iter().map(String::as_str)).collect();
    let draft = Draft::like_each(&chosen, |tensor| {
        if is_scale(model, tensor) {
            return Ok(vec![work.left(tensor, OF_ANOTHER)]);
        }
        let is_vector = tensor.shape().dims().len() < 2;
        if is_kept(tensor) || is_vector || tensor.byte_len() == 0 {
            return Ok(vec![DraftTensor::keep(tensor)]);
        }
        if !is_number(tensor.dtype()) {
            return Ok(vec![work.left_by_type(tensor)]);
        }
        let left = |why: &str| Ok(vec![work.left(tensor, why)]);
        let &[rows, columns] = tensor.shape().dims() else {
            return left("it has more than two dimensions");
        };
        if tables.contains(tensor.name()) {
            return left("an embedding");
        }
        let formula = Formula::absmax(tensor.dtype(), &dtype, columns, AbsmaxOrder::Scale);
        let Some(formula) = formula else { return left("its rows are too long") };
        let Some(scales) = scales(tensor, columns, largest)? else {
            return left("it has values that are not finite, or too small for a scale");
        };
        work.done += 1;
        let name = format!("{}{SCALE_SUFFIX}", tensor.name());
        if model.tensor(&name).is_ok() {
            let reason = format!("{name:?} is there already, and its scales would be called so");
            return Err(UpdateError::tensor(tensor.name(), reason));
        }
        let shape = Shape::new(&[rows, 1]);
        let shape = shape.map_err(|error| UpdateError::tensor(&name, error.to_string()))?;
        let scales = bytemuck::cast_slice(&scales).to_vec();
        Ok(vec![
            by_formula(tensor, dtype.clone(), formula, vec![tensor.clone()])?,
            DraftTensor::from_bytes(&name, Dtype::F32, shape, scales),
        ])
    })?;
    work.checked("matrix", model).map(|()| draft)
}

/// The scale of every row: its largest magnitude over `largest`; 0 for a row of zeros. None where a
/// value is not finite or a scale is too small.
fn scales(tensor: &Tensor, columns: u64, largest: f32) -> Result<Option<Vec<f32>>, UpdateError> {
    let view = tensor.view()?;
    let row_bytes = columns as usize * tensor.dtype().lane_bytes();
    let scale = |row: &[u8]| {
        let values = doubles_of(tensor.dtype(), row)?;
        let mut most = 0f32;
        for value in values {
            let magnitude = (value as f32).abs();
            if !magnitude.is_finite() {
                return Ok(None);
            }
            most = most.max(magnitude);
        }
        let scale = most / largest;
        Ok((most == 0.0 || scale > 0.0).then_some(scale))
    };
    view.par_chunks(row_bytes.max(1)).map(scale).collect()
}

/// Matrices of numbers of eight bits with scales beside them as floats of the parameter `dtype`,
/// without the scales; other tensors as they are.
pub(super) fn dequantise(inputs: &Inputs) -> Result<Draft, UpdateError> {
    inputs.only_parameters(&["dtype"])?;
    let name = inputs.parameters.get("dtype").map_or(Some("f32"), |value| value.as_str());
    let to = Dtype::from_spoken(name.unwrap_or_default());
    if !is_number(&to) {
        let reason = "say f16, bf16, f32 or f64";
        return Err(UpdateError::parameter("dtype", reason));
    }
    let model = inputs.only_parent()?;
    let is_eight = |tensor: &Tensor| matches!(tensor.dtype(), Dtype::I8 | Dtype::F8E4M3);
    let scales_of =
        |tensor: &Tensor| model.tensor(&format!("{}{SCALE_SUFFIX}", tensor.name())).ok();
    let mut count = 0;
    let draft = Draft::like_each(&Chosen::weights(model), |tensor| {
        if let Some(of) = tensor.name().strip_suffix(SCALE_SUFFIX)
            && model.tensor(of).is_ok_and(|of| is_eight(&of))
        {
            return Ok(Vec::new());
        }
        if !is_eight(tensor) {
            return Ok(vec![DraftTensor::keep(tensor)]);
        }
        let Some(scales) = scales_of(tensor) else {
            let note = format!("left as it was: no {}{SCALE_SUFFIX}", tensor.name());
            return Ok(vec![DraftTensor::keep(tensor).noted(note)]);
        };
        count += 1;
        Ok(vec![scaled(tensor, scales, &to)?])
    })?;
    match count {
        0 => {
            let name = model.full_name();
            Err(UpdateError::inputs(format!("{name} has no matrix of I8 or F8_E4M3 with scales")))
        }
        _ => Ok(draft),
    }
}

/// Every element times the scale of its row, or the only one, in single precision.
fn scaled(tensor: &Tensor, scales: Tensor, to: &Dtype) -> Result<DraftTensor, UpdateError> {
    let (elements_all, count) = (tensor.shape().elements(), scales.shape().elements());
    let rows = tensor.shape().dims().first().copied().unwrap_or(1);
    if !is_number(scales.dtype()) || count != 1 && count != rows {
        let reason = format!("{} is neither a scale nor one a row", scales.described());
        return Err(UpdateError::tensor(tensor.name(), reason));
    }
    let wrong = |error: String| UpdateError::tensor(tensor.name(), error);
    let byte_len = to.byte_len(tensor.shape()).map_err(|error| wrong(error.to_string()))?;
    let byte_len = byte_len.ok_or_else(|| wrong("it has no known length".to_owned()))?;
    let (base, dtype) = (tensor.clone(), to.clone());
    let row = usize::try_from(elements_all / count.max(1)).unwrap_or(usize::MAX).max(1);
    let make = move || {
        let number = |code: u8| number(base.dtype(), &[code]) as f32;
        let table: Vec<f32> = (0..=u8::MAX).map(number).collect();
        let (view, scales) = (base.view()?, doubles(&scales)?);
        let mut values = vec![0f64; view.len()];
        let rows = values.par_chunks_mut(row).zip(view.par_chunks(row)).zip(&scales);
        rows.for_each(|((values, codes), scale)| {
            let scale = *scale as f32;
            for (value, code) in values.iter_mut().zip(codes) {
                let number = table.get(usize::from(*code)).copied().unwrap_or_default();
                *value = (number * scale).into();
            }
        });
        elements(&dtype, &values, byte_len)
    };
    Ok(DraftTensor::lazy(tensor.name(), to.clone(), tensor.shape().clone(), byte_len, make))
}

/// A matrix of floats whose rows are rounded to 255 steps.
fn rounded(tensor: &Tensor) -> Result<DraftTensor, UpdateError> {
    let columns = tensor.shape().dims().last().copied().unwrap_or(0);
    if columns == 0 {
        return Ok(DraftTensor::keep(tensor));
    }
    let (base, dtype) = (tensor.clone(), tensor.dtype().clone());
    let (shape, byte_len) = (tensor.shape().clone(), tensor.byte_len());
    let make = move || {
        let mut values = doubles(&base)?;
        let columns = usize::try_from(columns).unwrap_or(usize::MAX);
        values.chunks_mut(columns).for_each(round_row);
        elements(base.dtype(), &values, byte_len)
    };
    Ok(DraftTensor::lazy(tensor.name(), dtype, shape, byte_len, make))
}

/// Rounds a row in single precision: `round(v / (m / 127)) * (m / 127)`, with `m` the largest
/// finite magnitude. What is not finite stays.
fn round_row(row: &mut [f64]) {
    let single = |value: &f64| *value as f32;
    let finite = row.iter().map(single).filter(|value| value.is_finite());
    let scale = finite.fold(0.0f32, |largest, value| largest.max(value.abs())) / 127.0;
    for value in row.iter_mut().filter(|value| value.is_finite()) {
        let steps = (single(value) / scale).round_ties_even().clamp(-127.0, 127.0);
        *value = if scale > 0.0 { f64::from(steps * scale) } else { 0.0 };
    }
}
