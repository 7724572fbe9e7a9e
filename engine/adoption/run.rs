//! The models into the store, one after the other.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arrivals::FailedArrival;
use super::error::AdoptionError;
use super::input::ModelInput;
use super::parentage::{Descent, Kin, RelativePlace};
use super::plan::{AdoptionPlan, PlannedModel, shown};
use super::standing::Known;
use crate::lineage::Node;
use crate::store::{AroundReport, ImportReport, NewModel, Repack, Store, StoreError};

/// How models are imported.
#[derive(Clone)]
#[must_use]
pub struct AdoptionOptions<'a> {
    repack: Option<Repack>,
    progress: &'a (dyn Fn(Advance<'_>) + Sync),
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Advance<'p> {
    /// The model that is imported.
    pub path: &'p Path,
    /// Bytes that were done since the last time; 0 when it begins.
    pub bytes: u64,
    /// Bytes of its files.
    pub of: u64,
}

impl fmt::Debug for AdoptionOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptionOptions").field("repack", &self.repack).finish_non_exhaustive()
    }
}

impl Default for AdoptionOptions<'_> {
    fn default() -> Self {
        AdoptionOptions { repack: Some(Repack::default()), progress: &|_| () }
    }
}

impl<'a> AdoptionOptions<'a> {
    /// Models of the store for which one that comes is a better base are stored anew with it.
    pub fn new() -> Self {
        AdoptionOptions::default()
    }

    /// Says how models for which one that comes is a better base are stored anew; with `None` they
    /// stay as they are.
    pub fn repack(mut self, repack: impl Into<Option<Repack>>) -> Self {
        self.repack = repack.into();
        self
    }

    /// Calls `progress` when the import of a model begins, and while it goes on.
    pub fn progress(mut self, progress: &'a (dyn Fn(Advance<'_>) + Sync)) -> Self {
        self.progress = progress;
        self
    }
}

/// A model, and what became of it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Brought {
    /// Its place in the plan.
    pub place: usize,
    /// Where it is.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a model.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was in the store already, as this version.
    AlreadyThere(Node),
    /// It was added.
    Added(Box<Added>),
    /// It was not imported, for a reason that is its own.
    Failed(FailedArrival),
}

/// A model that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Added {
    /// What adding it did.
    pub report: ImportReport,
    /// What it changed for those that were there before it.
    pub around: AroundReport,
    /// Whether it has no parent, since the one of the plan was not imported.
    pub without_parent: bool,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Adopted {
    /// The models that are in the store now, with their places in the plan.
    pub models: Vec<(usize, Node)>,
    /// Those of them that were added.
    pub added: Vec<Added>,
    /// What could not be imported, and why.
    pub failed: Vec<FailedArrival>,
}

impl AdoptionPlan {
    /// Imports the models, parents before children, each in a transaction of its own.
    ///
    /// Each is imported when the iterator that this returns is asked for it: whoever stops asking
    /// stops the adoption, and what was added stays. [`Adoption::finish`] imports all.
    ///
    /// Cost: reads the files; their files are open for as long as a model is imported.
    pub fn run<'a>(&'a self, store: &'a Store, options: AdoptionOptions<'a>) -> Adoption<'a> {
        let mut order: Vec<usize> = self.order().collect();
        order.reverse();
        let (nodes, added) = (HashMap::new(), Vec::new());
        Adoption { plan: self, store, options, left: order, nodes, added }
    }
}

/// The import of the models of a plan, one after the other.
///
/// An error is not about a single model: it is [`AdoptionError::Stopped`], and the last.
#[derive(Debug)]
#[must_use = "nothing is imported before it is asked for"]
pub struct Adoption<'a> {
    plan: &'a AdoptionPlan,
    store: &'a Store,
    options: AdoptionOptions<'a>,
    /// The places that are left, the next one last.
    left: Vec<usize>,
    /// What is in the store, by its place.
    nodes: HashMap<usize, Node>,
    /// The names of what was added.
    added: Vec<String>,
}

impl Iterator for Adoption<'_> {
    type Item = Result<Brought, AdoptionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let plan = self.plan;
        let (place, model) = loop {
            let place = self.left.pop()?;
            if let Some(model) = plan.models.get(place) {
                break (place, model);
            }
        };
        let path = model.path.clone();
        Some(match self.bring(place, model) {
            Ok(outcome) => Ok(Brought { place, path, outcome }),
            Err(error) if error.is_of_one_model() => {
                let outcome = Outcome::Failed(FailedArrival { path: path.clone(), error });
                Ok(Brought { place, path, outcome })
            }
            Err(error) => {
                self.left.clear();
                let (added, source) = (std::mem::take(&mut self.added), Box::new(error));
                Err(AdoptionError::Stopped { path, added, source })
            }
        })
    }
}

impl Adoption<'_> {
    /// Imports all that is left.
    ///
    /// # Errors
    ///
    /// [`AdoptionError::Stopped`], which names what was added before.
    pub fn finish(self) -> Result<Adopted, AdoptionError> {
        let mut adopted = Adopted::default();
        for brought in self {
            let Brought { place, outcome, .. } = brought?;
            match outcome {
                Outcome::AlreadyThere(node) => adopted.models.push((place, node)),
                Outcome::Added(added) => {
                    adopted.models.push((place, added.report.node.clone()));
                    adopted.added.push(*added);
                }
                Outcome::Failed(failed) => adopted.failed.push(failed),
            }
        }
        Ok(adopted)
    }

    fn bring(&mut self, place: usize, model: &PlannedModel) -> Result<Outcome, AdoptionError> {
        let there = match &model.known {
            Known::No => None,
            Known::Stored(node) => Some(node),
            Known::Arrival(other) => self.nodes.get(other),
        };
        if let Some(node) = there.cloned() {
            self.nodes.insert(place, node.clone());
            return Ok(Outcome::AlreadyThere(node));
        }
        let (descent, without_parent) = self.descent(model);
        let (report, around) = self.import(model, &descent)?;
        self.nodes.insert(place, report.node.clone());
        if report.already_there {
            return Ok(Outcome::AlreadyThere(report.node));
        }
        self.added.push(report.node.full_name());
        Ok(Outcome::Added(Box::new(Added { report, around, without_parent })))
    }

    /// What is written of where a model comes from, and whether its parent was not imported.
    fn descent(&self, model: &PlannedModel) -> (Descent, bool) {
        let mut descent = Descent::default();
        if let Some(parent) = &model.parent {
            let id = match parent.place {
                RelativePlace::Store(id) => Some(id),
                RelativePlace::Arrival(place) => self.nodes.get(&place).map(Node::id),
            };
            descent.parent = id.map(|id| (id, parent.how));
        }
        // Of two, the one that comes second names the first.
        let there = model.kin.iter().filter_map(|place| self.nodes.get(place));
        let kin = there.map(|node| Kin { name: node.full_name(), id: node.id() });
        descent.kin = kin.chain(model.parentage.kin()).collect();
        let without_parent = model.parent.is_some() && descent.parent.is_none();
        (descent, without_parent)
    }

    fn import(
        &self,
        model: &PlannedModel,
        descent: &Descent,
    ) -> Result<(ImportReport, AroundReport), AdoptionError> {
        // Its files are open for as long as it is imported.
        let input = ModelInput::open(&model.path, &self.plan.options)?;
        let (path, of) = (model.path.as_path(), input.logical_bytes());
        let progress = |bytes| (self.options.progress)(Advance { path, bytes, of });
        progress(0);
        let new = input.model(&model.name).unless_known().progress(&progress);
        Ok(add(self.store, descent.add_to(new), self.options.repack.as_ref())?)
    }
}

/// Adds a model in a transaction of its own; with `repack`, models for which it is a better base
/// are stored anew with it.
///
/// # Errors
///
/// Those of the store, and of reading the model.
pub fn add(
    store: &Store,
    model: NewModel<'_>,
    repack: Option<&Repack>,
) -> Result<(ImportReport, AroundReport), StoreError> {
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    let mut around = AroundReport::default();
    if let Some(repack) = repack.filter(|_| !report.already_there) {
        around = transaction.repack_around(&report.node, repack)?;
    }
    transaction.commit()?;
    Ok((report, around))
}
