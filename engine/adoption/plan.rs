//! What was found of the models that come, and what is to be done: names, ids and places, and
//! nothing that keeps a snapshot of the store alive, so that the imports can use again what earlier
//! ones have freed.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::arrivals::FailedArrival;
use super::parentage::{Parentage, RelativePlace};
use super::standing::Known;
use crate::infer::{DeclaredBase, Kinship};
use crate::interchange::{FoundForm, LeftOut, SourceOptions};
use crate::lineage::How;

/// What is to be done with models that come. A *place* is that of a model in
/// [`models`](Self::models).
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct AdoptionPlan {
    /// The models, in the order in which they were found.
    pub models: Vec<PlannedModel>,
    /// Those of one name: parents before children, in the order of the imports.
    pub lines: Vec<PlannedLine>,
    /// Relatives among the models without a direction that is sure. Members are places.
    pub unsure: Vec<Kinship>,
    /// What the weights say of the bases that new models are said to have. Members are places.
    pub bases: Vec<DeclaredBase>,
    /// What is in the folders and no part of a model.
    pub left_out: Vec<LeftOut>,
    /// What cannot be read, and why.
    pub failed: Vec<FailedArrival>,
    /// How the models' files are taken.
    #[serde(skip)]
    pub(super) options: SourceOptions,
}

/// Models of one name, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedLine {
    /// Their places.
    pub places: Vec<usize>,
    /// How many of the lines are above it.
    pub depth: usize,
}

/// A model that comes, and what was found of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedModel {
    /// Where it is.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// What it is.
    pub form: FoundForm,
    /// The name that it has in the store, or gets there.
    pub name: String,
    /// The version that it is or becomes.
    pub version: u32,
    /// What it is called in this plan: its name, and the version where there are several.
    pub label: String,
    /// Whether it is in the store already.
    pub known: Known,
    /// The place of the version before it among the models that come.
    pub previous: Option<usize>,
    /// Where it has the weights of that version: how many tensors only that one has, and only this
    /// one.
    pub same_weights: Option<(usize, usize)>,
    /// Where it comes from, as far as the weights say.
    pub parentage: Parentage,
    /// The parent that it gets when it is imported. A version of its own name in the store is none:
    /// that has its own kind of edge.
    pub parent: Option<PlannedParent>,
    /// Of a model that is in the store already: its first parent there.
    pub stored_parent: Option<StoredParent>,
    /// The places of those that it may be a sibling of.
    pub kin: Vec<usize>,
    /// What is not seen of its files.
    pub notes: Vec<FileNote>,
}

impl PlannedModel {
    /// Whether it is in the store already, or comes twice.
    pub fn is_known(&self) -> bool {
        self.known != Known::No
    }
}

/// A parent that a model gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedParent {
    /// Where it is. Of the store it is the node: names may be given to others meanwhile.
    pub place: RelativePlace,
    /// How the model was made of it.
    pub how: How,
}

/// The parent that a model has in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredParent {
    /// Its name and version.
    pub name: String,
    /// How the model was made of it.
    pub how: How,
    /// The place of the model that it is, where it comes too.
    pub place: Option<usize>,
}

/// What is to be said of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileNote {
    /// Its path in the model's folder.
    pub file: String,
    /// What is not seen of it, and why.
    pub note: String,
}

impl AdoptionPlan {
    /// What the model at a place is called in this plan; nothing where there is none.
    pub fn label(&self, place: usize) -> &str {
        self.models.get(place).map_or("", |model| &model.label)
    }

    /// The places of the models, in the order of the imports: parents before children, versions in
    /// their order.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().flat_map(|line| line.places.iter().copied())
    }

    /// How many models are not in the store.
    pub fn new_count(&self) -> usize {
        self.models.iter().filter(|model| !model.is_known()).count()
    }

    /// How many names are new and get no parent.
    pub fn root_count(&self) -> usize {
        let heads = self.lines.iter().filter_map(|line| self.models.get(*line.places.first()?));
        heads.filter(|model| !model.is_known() && model.parentage.parent().is_none()).count()
    }

    /// Whether no relative was found of the model at a place, in the store or among the models.
    pub fn is_alone(&self, place: usize) -> bool {
        let Some(model) = self.models.get(place) else { return true };
        let line = self.lines.iter().find(|line| line.places.contains(&place));
        let is_of_line = |place: &usize| line.is_some_and(|line| line.places.contains(place));
        let mut unsure = self.unsure.iter();
        !model.is_known()
            && model.parentage.nearest.is_none()
            && !self.models.iter().filter_map(place_of_parent).any(|parent| is_of_line(&parent))
            && !unsure.any(|kinship| kinship.parent == place || kinship.child == place)
    }

    /// Whether another parent is found of the model at a place than it has in the store, where it
    /// is there already. What the store has stays.
    pub fn disagrees(&self, place: usize) -> bool {
        let Some(model) = self.models.get(place).filter(|model| model.is_known()) else {
            return false;
        };
        let Some(found) = model.parentage.parent() else { return false };
        let is_same = |stored: &StoredParent| {
            stored.name == found.name
                || stored.place.is_some_and(|place| self.label(place) == found.name)
        };
        !model.stored_parent.as_ref().is_some_and(is_same)
    }
}

/// The place of the parent that is found among the models that come.
fn place_of_parent(model: &PlannedModel) -> Option<usize> {
    match model.parentage.parent()?.place {
        RelativePlace::Arrival(place) => Some(place),
        RelativePlace::Store(_) => None,
    }
}

/// A path as text, also where it is not UTF-8.
pub(super) fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
