//! Which tensors of a model a function works on.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::UpdateError;
use crate::lineage::glob_matches;
use crate::store::Model;

/// The parameter that names the tensors to work on.
pub(super) const TENSORS: &str = "tensors";
/// First keys that a note names.
const KEYS_MAX: usize = 5;

/// Which tensors of a model a function works on: its weights, but not what is the state of a
/// training; or those that are named.
#[derive(Debug)]
pub(crate) struct Chosen<'m> {
    model: &'m Model,
    /// The state of a training in one file with the weights: names, with their first keys.
    state: HashMap<String, String>,
    /// Nothing but these.
    only: Vec<String>,
    /// These too, whatever they are.
    also: Vec<String>,
}

impl<'m> Chosen<'m> {
    /// All tensors of the weights, the state of a training too.
    pub(crate) fn all(model: &'m Model) -> Self {
        Chosen { model, state: HashMap::new(), only: Vec::new(), also: Vec::new() }
    }

    /// The weights.
    pub(crate) fn weights(model: &'m Model) -> Self {
        let tensors = model.training_state().into_iter().filter_map(|at| model.tensor_at(at));
        let names = model.manifest().training_names();
        let state = tensors.map(|tensor| {
            let key = names.key(tensor.name()).unwrap_or("storages of it");
            (tensor.name().to_owned(), key.to_owned())
        });
        Chosen { state: state.collect(), ..Chosen::all(model) }
    }

    /// What the parameter `tensors` names, a glob or a list of them; the weights without it.
    ///
    /// # Errors
    ///
    /// Something else; an empty list; a glob that fits none of the model's weights.
    pub(super) fn read(
        parameters: &Map<String, Value>,
        model: &'m Model,
    ) -> Result<Self, UpdateError> {
        let only = globs(parameters, TENSORS, model)?;
        if only.is_empty() && parameters.contains_key(TENSORS) {
            return Err(UpdateError::parameter(TENSORS, "the list names no tensor to work on"));
        }
        Ok(Chosen { only, ..Chosen::weights(model) })
    }

    /// With the tensors that fit these globs, whatever they are.
    pub(super) fn with(mut self, globs: impl IntoIterator<Item = String>) -> Self {
        self.also.extend(globs);
        self
    }

    pub(super) fn model(&self) -> &'m Model {
        self.model
    }

    pub(super) fn is_chosen(&self, tensor: &str) -> bool {
        let fits = |globs: &[String]| globs.iter().any(|glob| glob_matches(glob, tensor));
        let own = match self.only.is_empty() {
            true => !self.state.contains_key(tensor),
            false => fits(&self.only),
        };
        own || fits(&self.also)
    }

    /// What is to be said of the state of a training that is left as it is.
    ///
    /// # Errors
    ///
    /// The model has nothing else.
    pub(super) fn left(&self) -> Result<Option<String>, UpdateError> {
        let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, key) in self.state.iter().filter(|(name, _)| !self.is_chosen(name)) {
            *keys.entry(key).or_default() += 1;
        }
        let count: usize = keys.values().sum();
        if count == 0 {
            return Ok(None);
        }
        if count == self.model.weights().len() {
            let (name, tensors) = (self.model.full_name(), TENSORS);
            let reason = "all of its tensors are the state of a training, not weights";
            return Err(UpdateError::failed(format!(
                "{name}: {reason}: those that are to be worked on are named by {tensors}=GLOB"
            )));
        }
        let (noun, verb) = if count == 1 { ("tensor", "is") } else { ("tensors", "are") };
        let more = if keys.len() > KEYS_MAX { ", and more" } else { "" };
        let keys: Vec<&str> = keys.into_keys().take(KEYS_MAX).collect();
        Ok(Some(format!(
            "left as they were: {count} {noun} that {verb} the state of a training, not weights: \
             {}{more}",
            keys.join(", ")
        )))
    }
}

/// The globs of a parameter, a text or a list of them; none where it is not given.
///
/// # Errors
///
/// Something else; a glob that fits none of the model's weights.
pub(super) fn globs(
    parameters: &Map<String, Value>,
    name: &str,
    model: &Model,
) -> Result<Vec<String>, UpdateError> {
    let list = match parameters.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let bad = |reason: String| UpdateError::parameter(name, reason);
    let glob = |value: &Value| {
        let glob = value.as_str().ok_or_else(|| bad(format!("{value} is no glob")))?;
        fits_weights(glob, model).map_err(bad)?;
        Ok(glob.to_owned())
    };
    list.iter().map(glob).collect()
}

/// Whether a glob fits tensors that functions work on: those of the weights.
///
/// # Errors
///
/// Why not.
pub(super) fn fits_weights(glob: &str, model: &Model) -> Result<(), String> {
    let tensors = &model.manifest().tensors;
    let fits = |name: &str| glob_matches(glob, name);
    if tensors.iter().take(model.weights().len()).any(|tensor| fits(tensor.name)) {
        return Ok(());
    }
    let beside = model.files().filter(|file| !file.is_weights());
    let beside = beside.filter(|file| file.tensors().any(|(tensor, _)| fits(tensor.name())));
    let paths: Vec<String> = beside.map(|file| file.path().to_owned()).collect();
    let (first, verb, it) = match paths.as_slice() {
        [] => return Err(format!("{glob:?} fits no tensor of {}", model.full_name())),
        [path] => (path.clone(), "is", "it"),
        [path, _] => (format!("{path} and 1 more file"), "are", "them"),
        [path, more @ ..] => (format!("{path} and {} more files", more.len()), "are", "them"),
    };
    Err(format!(
        "{glob:?} fits tensors of {first} only, which {verb} beside the weights: functions do not \
         work on {it}"
    ))
}
