//! Tensors that are taken from one of the models instead of being mixed.

use serde_json::{Map, Value};

use super::super::chosen::fits_weights;
use super::super::{DraftTensor, Input, UpdateError};
use crate::lineage::glob_matches;
use crate::store::Model;

/// The parameter's name, as of merges.
const TAKE: &str = "take";

/// Whose tensors are taken, by globs of their names; the first that fits counts.
pub(in super::super) struct Takes<'m>(Vec<(String, &'m Model)>);

impl<'m> Takes<'m> {
    /// Takes the parameter `take` from `parameters`: `GLOB=PARENT`, or a list of them; a parent is
    /// called as in commands, or by its number, from 1 on.
    ///
    /// # Errors
    ///
    /// Something else; a parent that is none; a glob that fits none of its weights, or none of
    /// those of `first`, whose tensors the result has.
    pub(in super::super) fn read(
        parameters: &mut Map<String, Value>,
        parents: &'m [Input],
        first: &Model,
    ) -> Result<Self, UpdateError> {
        let bad = |reason: String| UpdateError::parameter(TAKE, reason);
        let list = match parameters.remove(TAKE) {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
        };
        let take = |value: &Value| {
            let text = value.as_str().and_then(|text| text.rsplit_once('='));
            let Some((glob, parent)) = text.filter(|(glob, _)| !glob.is_empty()) else {
                return Err(bad(format!("{value} is not GLOB=PARENT")));
            };
            let by_number = || parents.get(parent.parse::<usize>().ok()?.checked_sub(1)?);
            let found = parents.iter().find(|input| input.role == parent).or_else(by_number);
            let Some(input) = found else {
                let roles: Vec<&str> = parents.iter().map(|input| input.role.as_str()).collect();
                return Err(bad(format!("{parent:?} is no parent: {}", roles.join(", "))));
            };
            fits_weights(glob, &input.model).map_err(bad)?;
            fits_weights(glob, first).map_err(bad)?;
            Ok((glob.to_owned(), &input.model))
        };
        list.iter().map(take).collect::<Result<_, _>>().map(Takes)
    }

    /// The globs.
    pub(in super::super) fn globs(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(glob, _)| glob.clone())
    }

    /// The tensor of this name, where it is to be taken from a model.
    ///
    /// # Errors
    ///
    /// The model has none of this name.
    pub(in super::super) fn of(&self, tensor: &str) -> Result<Option<DraftTensor>, UpdateError> {
        let found = self.0.iter().find(|(glob, _)| glob_matches(glob, tensor));
        let Some((_, model)) = found else { return Ok(None) };
        Ok(Some(DraftTensor::keep(&model.tensor(tensor)?)))
    }
}
