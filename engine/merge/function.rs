//! The merge as a creation function, so that it can be made again and follow an update.

use super::{MergeError, MergeOptions, MergePlan};
use crate::lineage::How;
use crate::store::Model;
use crate::update::{Creation, Draft, Functions, Inputs, UpdateError};

/// The name of the function in recipes.
pub const MERGE_FUNCTION: &str = "merge";

/// A three-way merge of its two parents, with [`MergeOptions`] as parameters.
///
/// Where no base is among these, it is looked for in the parents' own snapshot: an update compares
/// the new versions of both sides with what these have in common. Tests are not run.
#[derive(Clone, Copy, Debug, Default)]
pub struct MergeFunction;

/// `functions` with the merge, as `remake` and [`Update`](crate::update::Update) need it where
/// models were merged.
pub fn functions(functions: Functions) -> Functions {
    functions.with(MERGE_FUNCTION, MergeFunction)
}

/// Both sides of a merge.
pub(super) fn sides(inputs: &Inputs) -> Result<(&Model, &Model), MergeError> {
    match inputs.parents.as_slice() {
        [ours, theirs] => Ok((&ours.model, &theirs.model)),
        parents => {
            let reason = format!("a merge needs two parents, {} are given", parents.len());
            Err(UpdateError::Inputs { reason }.into())
        }
    }
}

impl Creation for MergeFunction {
    fn how(&self) -> How {
        How::Merge
    }

    fn takes_old(&self, _inputs: &Inputs) -> bool {
        false
    }

    fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError> {
        let (ours, theirs) = sides(inputs)?;
        let options = MergeOptions::from_parameters(&inputs.parameters, inputs.seed)?;
        Ok(MergePlan::of(ours, theirs, &options)?.build(&options)?.draft)
    }
}
