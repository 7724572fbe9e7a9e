//! The merged model as a draft.

use std::collections::HashMap;

use super::layers::{Entry, OURS, THEIRS, is_same};
use super::plan::{obstacle, resolution};
use super::{MergeError, MergeOptions, MergePlan, Resolution};
use crate::architecture::{Architecture, Layer};
use crate::store::{Model, Tensor};
use crate::update::{Draft, DraftTensor, UpdateError, blend_tensor};

/// A merged model, and its layers where some were given with the models.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) draft: Draft,
    pub(super) architecture: Option<Architecture>,
}

impl MergePlan {
    /// The merged model: in ours's files where it has ours's tensors, in theirs's where it has just
    /// theirs's, else in ours's too, with ours's metadata, where tensors that only theirs has
    /// follow in the last.
    ///
    /// # Errors
    ///
    /// [`MergeError::Unresolved`]; tensors that cannot be mixed.
    pub(super) fn build(&self, options: &MergeOptions) -> Result<Built, MergeError> {
        let layers: Vec<String> = self.unsettled().map(|layer| layer.name.clone()).collect();
        if !layers.is_empty() {
            // What stands in the way is said where it is one layer and more than a conflict.
            let one = self.unsettled().find(|layer| !layer.settled.is_empty());
            if let Some((layer, why)) = one.and_then(|it| Some((it, it.unsettled.as_ref()?))) {
                let (tensor, reason) = (layer.name.clone(), why.clone());
                return Err(UpdateError::Tensor { tensor, reason }.into());
            }
            return Err(MergeError::Unresolved { layers });
        }
        let [_, ours, theirs] = &self.models;
        // By the name that the merged model gives it; where ours, else theirs, has its place.
        let mut made: HashMap<String, DraftTensor> = HashMap::new();
        let mut kept: Vec<Option<Layer>> = Vec::new();
        for (entry, touched) in self.merged.entries.iter().zip(&self.touched) {
            let mut tensors = Vec::new();
            let mut any = false;
            for slot in &entry.slots {
                let Some(resolution) = resolution(entry, Some(slot), *touched, options) else {
                    continue;
                };
                if let Some(tensor) = tensor(slot, resolution, options)? {
                    tensors.push(tensor.name().to_owned());
                    made.insert(tensor.name().to_owned(), tensor);
                    any = true;
                }
            }
            let resolution = resolution(entry, None, *touched, options);
            kept.push(layer(entry, resolution, any, tensors));
        }
        let draft = match arranged(&made, ours).or_else(|| arranged(&made, theirs)) {
            Some(draft) => draft,
            None => in_order(made, ours, theirs)?,
        };
        Ok(Built { draft, architecture: self.merged.architecture(&kept) })
    }
}

/// What stands in a place of the merged model.
fn tensor(
    slot: &[Option<Tensor>; 3],
    resolution: Resolution,
    options: &MergeOptions,
) -> Result<Option<DraftTensor>, MergeError> {
    let [base, ours, theirs] = slot;
    let one = match resolution {
        Resolution::Ours => ours,
        Resolution::Theirs => theirs,
        Resolution::Blend(strategy) => {
            if let Some(reason) = obstacle(slot, resolution) {
                let tensor = slot.iter().flatten().next().map(|it| it.name().to_owned());
                let tensor = tensor.unwrap_or_default();
                return Err(UpdateError::Tensor { tensor, reason }.into());
            }
            match (ours, theirs) {
                (Some(a), Some(b)) if !is_same(a, b) => {
                    let settings = options.settings(strategy)?;
                    let parts = [a.clone(), b.clone()];
                    return Ok(Some(blend_tensor(strategy, &settings, base.as_ref(), &parts)?));
                }
                _ => ours,
            }
        }
    };
    let name = ours.as_ref().or(one.as_ref()).map(Tensor::name);
    Ok(one.as_ref().zip(name).map(|(tensor, name)| DraftTensor::keep(tensor).named(name)))
}

/// The layer of the merged model, if it has one: without tensors, it is there as its side has it.
fn layer(
    entry: &Entry,
    resolution: Option<Resolution>,
    any: bool,
    tensors: Vec<String>,
) -> Option<Layer> {
    let of = |side: usize| entry.layers.get(side).and_then(Option::as_ref);
    let side = match resolution {
        Some(Resolution::Theirs) => of(THEIRS),
        _ => of(OURS),
    };
    let layer = match (side, any) {
        (Some(layer), _) => layer,
        (None, true) => of(OURS).or(of(THEIRS))?,
        (None, false) => return None,
    };
    Some(Layer { name: entry.name().to_owned(), tensors, ..layer.clone() })
}

/// The tensors in the files of `model`, where they are just those that it has.
fn arranged(made: &HashMap<String, DraftTensor>, model: &Model) -> Option<Draft> {
    if model.tensors().len() != made.len() {
        return None;
    }
    let fits = |tensor: Tensor| made.get(tensor.name()).is_some_and(|new| new.is_like(&tensor));
    if !model.tensors().all(fits) {
        return None;
    }
    let missing = || UpdateError::failed("a tensor is missing");
    Draft::like(model, |tensor| made.get(tensor.name()).cloned().ok_or_else(missing)).ok()
}

fn in_order(
    mut made: HashMap<String, DraftTensor>,
    ours: &Model,
    theirs: &Model,
) -> Result<Draft, UpdateError> {
    let mut tensors = Vec::new();
    for tensor in ours.tensors().chain(theirs.tensors()) {
        if let Some(tensor) = made.remove(tensor.name()) {
            tensors.push(tensor);
        }
    }
    Draft::in_files_of(ours, tensors)
}
