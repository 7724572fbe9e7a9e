//! The three-way merge of metadata and kind.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{MergeError, MergeOptions, Resolution};
use crate::architecture::LAYERS_KEY;
use crate::lineage::{OWN_KEYS, glob_matches};
use crate::store::Model;
use crate::update::{RECIPE_KEY, UPDATE_KEY};

/// What a take of metadata begins with.
pub(super) const PREFIX: &str = "metadata:";

/// The key under which a merged model keeps what was merged.
pub(super) const MERGE_KEY: &str = "mgit.merge";

/// A key of the metadata that both sides have changed differently.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ValueConflict {
    /// The key; `kind` without a prefix is the models' kind.
    pub key: String,
    /// Ours's value; none where it has none.
    pub ours: Option<Value>,
    /// Theirs's.
    pub theirs: Option<Value>,
    /// Whose is taken: theirs where the merge is settled so, else ours.
    pub taken: Resolution,
}

/// Merged metadata.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) metadata: Map<String, Value>,
    pub(super) kind: String,
    pub(super) conflicts: Vec<ValueConflict>,
}

/// Whose value a key gets when both have changed it.
fn side(key: &str, options: &MergeOptions) -> Resolution {
    let taken = options
        .takes
        .iter()
        .find(|take| take.glob.strip_prefix(PREFIX).is_some_and(|glob| glob_matches(glob, key)));
    match taken.map(|take| take.resolution).or(options.on_conflict) {
        Some(Resolution::Theirs) => Resolution::Theirs,
        _ => Resolution::Ours,
    }
}

/// What both have; of both the one that has changed; `None` where both have, differently.
fn three_way<T: PartialEq + Clone>([base, ours, theirs]: [&T; 3]) -> Option<T> {
    match (ours == base, theirs == base) {
        (_, true) => Some(ours.clone()),
        (true, _) => Some(theirs.clone()),
        _ => (ours == theirs).then(|| ours.clone()),
    }
}

/// Merges what users have written. Recipes and layers are the engine's own, and what the store has
/// noted of a model, such as that it is pinned, is not true of the merged one.
pub(super) fn merge(models: [&Model; 3], options: &MergeOptions) -> Result<Values, MergeError> {
    let [base, ours, theirs] = models;
    let maps = [base.metadata()?, ours.metadata()?, theirs.metadata()?];
    let engine = [RECIPE_KEY, UPDATE_KEY, LAYERS_KEY, MERGE_KEY];
    let keys: BTreeSet<&String> = maps.iter().flat_map(Map::keys).collect();
    let (mut metadata, mut conflicts) = (Map::new(), Vec::new());
    let [of_base, of_ours, of_theirs] = &maps;
    let is_own = |key: &str| engine.contains(&key) || OWN_KEYS.contains(&key);
    for key in keys.into_iter().filter(|key| !is_own(key)) {
        let (base, ours) = (of_base.get(key).cloned(), of_ours.get(key).cloned());
        let theirs = of_theirs.get(key).cloned();
        let value = three_way([&base, &ours, &theirs]).unwrap_or_else(|| {
            let taken = side(key, options);
            let (ours, theirs) = (ours.clone(), theirs.clone());
            let value = if taken == Resolution::Theirs { &theirs } else { &ours }.clone();
            conflicts.push(ValueConflict { key: key.clone(), ours, theirs, taken });
            value
        });
        if let Some(value) = value {
            metadata.insert(key.clone(), value);
        }
    }
    let kinds = models.map(|model| &model.node().row.kind);
    let kind = three_way(kinds).unwrap_or_else(|| {
        let taken = side("kind", options);
        let [_, ours, theirs] = kinds;
        conflicts.push(ValueConflict {
            key: "kind".to_owned(),
            ours: Some(ours.clone().into()),
            theirs: Some(theirs.clone().into()),
            taken,
        });
        if taken == Resolution::Theirs { theirs } else { ours }.clone()
    });
    Ok(Values { metadata, kind, conflicts })
}
