//! The merged model as a draft.

use super::layers::{Entry, Layers, OURS, Slot, THEIRS, is_same};
use super::plan::{is_left_to_ours, obstacle, resolution};
use super::{MergeError, MergeOptions, MergePlan, Resolution};
use crate::architecture::{Architecture, Layer};
use crate::store::{Model, Tensor};
use crate::update::{Chosen, Draft, DraftTensor, UpdateError, blend_tensor, passed_over};

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
        let mut layers = Vec::new();
        for layer in self.unsettled() {
            // What stands in the way is said where it is one layer and more than a conflict.
            if let (false, Some(reason)) = (layer.settled.is_empty(), layer.unsettled) {
                return Err(UpdateError::Tensor { tensor: layer.name, reason }.into());
            }
            layers.push(layer.name);
        }
        if !layers.is_empty() {
            return Err(MergeError::Unresolved { layers });
        }
        let [_, ours, theirs] = &self.models;
        let mut made = Vec::new();
        let mut kept: Vec<Option<Layer>> = Vec::new();
        let is_given = self.merged.is_given();
        let mut states = 0u64;
        let how = (options, &self.states);
        for (entry, touched) in self.merged.entries().zip(&self.touched) {
            let (first, mut names) = (made.len(), Vec::new());
            for (at, slot) in entry.slot_places().zip(entry.slots()) {
                let Some(resolution) = resolution(&entry, Some(&slot), *touched, how) else {
                    continue;
                };
                states += u64::from(is_left_to_ours(&slot, *touched, resolution, how));
                if let Some(name) = name_of(&slot, resolution) {
                    if is_given {
                        names.push(name.to_owned());
                    }
                    made.push((at as u32, resolution));
                }
            }
            if is_given {
                let resolution = resolution(&entry, None, *touched, how);
                kept.push(layer(&entry, resolution, made.len() > first, names));
            }
        }
        let made = Made::new(&self.merged, made, options);
        let draft = match made.arranged(ours)? {
            Some(draft) => draft,
            None => match made.arranged(theirs)? {
                // The files beside the weights are those of ours.
                Some(draft) if ours.is_folder() == theirs.is_folder() => {
                    draft.with_sides_of(ours)?
                }
                _ => made.in_order(ours, theirs)?,
            },
        };
        let mut said = self.files_passed_over()?;
        if states > 0 {
            let (noun, ours) = (if states == 1 { "tensor" } else { "tensors" }, ours.full_name());
            said.push(format!(
                "not mixed: {states} {noun} of the state of a training, taken from {ours}"
            ));
        }
        let draft = said.into_iter().fold(draft, Draft::said);
        let architecture = is_given.then(|| self.merged.architecture(&kept)).flatten();
        Ok(Built { draft, architecture })
    }
}

impl MergePlan {
    /// What theirs has changed of the files beside the weights and the merged model does not have:
    /// it has those of ours. For people. Cost: as [`diff_files`](crate::diff::diff_files), thrice.
    ///
    /// # Errors
    ///
    /// A record that cannot be read.
    pub fn files_passed_over(&self) -> Result<Vec<String>, MergeError> {
        let [base, ours, theirs] = &self.models;
        Ok(passed_over(base, ours, theirs)?)
    }
}

/// Which side has what stands in a place of the merged model; `None` where nothing does.
fn taken(slot: &Slot, resolution: Resolution) -> Option<&Tensor> {
    let [_, ours, theirs] = slot;
    match resolution {
        Resolution::Theirs => theirs.as_ref(),
        Resolution::Ours | Resolution::Blend(_) => ours.as_ref(),
    }
}

/// The name that the merged model gives it.
fn name_of(slot: &Slot, resolution: Resolution) -> Option<&str> {
    let [_, ours, _] = slot;
    let taken = taken(slot, resolution)?;
    Some(ours.as_ref().unwrap_or(taken).name())
}

/// The merged model's tensors: in what place of the layers, and how settled.
struct Made<'m> {
    layers: &'m Layers,
    options: &'m MergeOptions,
    /// By the names that the merged model gives them.
    tensors: Vec<(u32, Resolution)>,
}

impl<'m> Made<'m> {
    fn new(
        layers: &'m Layers,
        mut tensors: Vec<(u32, Resolution)>,
        options: &'m MergeOptions,
    ) -> Self {
        let named = |(at, resolution): &(u32, Resolution)| {
            let slot = layers.slot(*at as usize);
            name_of(&slot, *resolution).unwrap_or_default().to_owned()
        };
        // Of two of one name the last one stays: sorting is stable.
        let mut names: Vec<(Box<str>, u32)> =
            tensors.iter().zip(0..).map(|(it, at)| (named(it).into_boxed_str(), at)).collect();
        names.sort();
        names.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        let sorted = names.iter().filter_map(|(_, at)| tensors.get(*at as usize).copied());
        tensors = sorted.collect();
        Made { layers, options, tensors }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let of = |(at, resolution): &(u32, Resolution)| {
            let slot = self.layers.slot(*at as usize);
            name_of(&slot, *resolution).unwrap_or_default().cmp(name)
        };
        self.tensors.binary_search_by(of).ok()
    }

    fn tensor(&self, at: usize) -> Result<Option<DraftTensor>, MergeError> {
        let Some((at, resolution)) = self.tensors.get(at) else { return Ok(None) };
        tensor(&self.layers.slot(*at as usize), *resolution, self.options)
    }

    /// The tensors in the files of `model`, where they are just those that it has.
    fn arranged(&self, model: &Model) -> Result<Option<Draft>, MergeError> {
        if model.weights().len() != self.tensors.len() {
            return Ok(None);
        }
        for tensor in model.weights() {
            let Some(at) = self.find(tensor.name()) else { return Ok(None) };
            if !self.tensor(at)?.is_some_and(|new| new.is_like(&tensor)) {
                return Ok(None);
            }
        }
        let missing = || UpdateError::failed("a tensor is missing");
        let new = |tensor: &Tensor| {
            let at = self.find(tensor.name()).ok_or_else(missing)?;
            let new = self.tensor(at)?;
            new.ok_or_else(missing)
        };
        Ok(Draft::like_each(&Chosen::all(model), |tensor| Ok([new(tensor)?])).ok())
    }

    fn in_order(&self, ours: &Model, theirs: &Model) -> Result<Draft, MergeError> {
        let mut tensors = Vec::new();
        let mut left = vec![true; self.tensors.len()];
        for tensor in ours.weights().chain(theirs.weights()) {
            let Some(at) = self.find(tensor.name()) else { continue };
            if left.get_mut(at).is_some_and(std::mem::take)
                && let Some(tensor) = self.tensor(at)?
            {
                tensors.push(tensor);
            }
        }
        Ok(Draft::in_files_of(ours, tensors)?)
    }
}

/// What stands in a place of the merged model.
fn tensor(
    slot: &Slot,
    resolution: Resolution,
    options: &MergeOptions,
) -> Result<Option<DraftTensor>, MergeError> {
    if let Resolution::Blend(strategy) = resolution {
        if let Some(error) = obstacle(slot, resolution) {
            return Err(error.into());
        }
        if let [base, Some(a), Some(b)] = slot
            && !is_same(a, b)
        {
            let settings = options.settings(strategy)?;
            let parts = [a.clone(), b.clone()];
            return Ok(Some(blend_tensor(strategy, &settings, base.as_ref(), &parts)?));
        }
    }
    let name = name_of(slot, resolution);
    let taken = taken(slot, resolution);
    Ok(taken.zip(name).map(|(tensor, name)| DraftTensor::keep(tensor).named(name)))
}

/// The layer of the merged model, if it has one: without tensors, it is there as its side has it.
fn layer(
    entry: &Entry<'_>,
    resolution: Option<Resolution>,
    any: bool,
    tensors: Vec<String>,
) -> Option<Layer> {
    let side = if resolution == Some(Resolution::Theirs) { THEIRS } else { OURS };
    match (entry.has(side), any) {
        (true, _) => entry.layer(side, tensors),
        (false, true) if entry.has(OURS) => entry.layer(OURS, tensors),
        (false, true) => entry.layer(THEIRS, tensors),
        (false, false) => None,
    }
}
