//! One model, made by a function and added to the store with its recipe.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use super::{Creation, Draft, Functions, Input, Inputs, Recipe, UpdateError, UpdateMarker};
use super::{RECIPE_KEY, UPDATE_KEY};
use crate::codec::Profile;
use crate::lineage::{How, ModelRef, NodeId};
use crate::store::{ImportReport, NewModel, Snapshot, Store, Transaction};

/// A model to be made by a function.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Make {
    name: String,
    kind: Option<String>,
    function: String,
    parents: Vec<(ModelRef, Option<How>)>,
    old: Option<ModelRef>,
    inputs: Inputs,
    seeded: bool,
    profile: Profile,
}

impl Make {
    /// A model of this name, or its next version, by the function of this name.
    pub fn new(name: impl Into<String>, function: impl Into<String>) -> Self {
        Make { name: name.into(), function: function.into(), ..Make::default() }
    }

    /// Adds a parent; how the model is derived from it is the function's to say when it is `None`.
    pub fn parent(mut self, model: impl Into<ModelRef>, how: impl Into<Option<How>>) -> Self {
        self.parents.push((model.into(), how.into()));
        self
    }

    /// Gives the function the version that is to be replaced, and what that was derived from.
    pub fn old(mut self, model: impl Into<ModelRef>) -> Self {
        self.old = Some(model.into());
        self
    }

    /// Sets a parameter.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.inputs.parameters.insert(name.into(), value.into());
        self
    }

    /// Sets the line of a command, for a function that runs one.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.inputs.command = command.into();
        self
    }

    /// Sets the seed; otherwise it is random. It is kept with the model either way.
    pub fn seed(mut self, seed: u64) -> Self {
        (self.inputs.seed, self.seeded) = (seed, true);
        self
    }

    /// Says what kind of model it is; otherwise it is of the first parent's kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Says whether the model is to be encoded for speed or for size.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Makes the model and commits it. The store is not kept from others while the function works,
    /// where it was opened with [`lock_per_transaction`](crate::store::OpenOptions): the model then
    /// has the parents that were there before it, also when they have newer versions behind it.
    ///
    /// # Errors
    ///
    /// An input that is not there; those of the function; [`UpdateError::InputRemoved`] for one that
    /// was removed while it worked, [`UpdateError::NotAdded`] with what a program has made; those of
    /// [`add_model`](crate::store::Transaction::add_model). The store is then as it was.
    pub fn run(self, store: &Store, functions: &Functions) -> Result<ImportReport, UpdateError> {
        let function = functions.get(&self.function)?;
        let snapshot = store.snapshot()?;
        let mut inputs = self.inputs;
        inputs.making.clone_from(&self.name);
        let mut edges = Vec::new();
        let mut kind = self.kind;
        for (reference, how) in &self.parents {
            let model = snapshot.model(reference)?;
            edges.push((model.node().id, how.unwrap_or_else(|| function.how())));
            kind.get_or_insert_with(|| model.node().row.kind.clone());
            let role = unused_role(&inputs.parents, &model.node().row.name);
            inputs.parents.push(Input { role, model });
        }
        if let Some(old) = &self.old {
            let old = snapshot.model(old)?;
            inputs.old_parents = parents_of(&snapshot, old.node().id)?;
            inputs.old = Some(old);
        }
        if !self.seeded {
            inputs.seed = random_seed()?;
        }
        if !function.takes_old(&inputs) {
            (inputs.old, inputs.old_parents) = (None, Vec::new());
        }
        let draft = guarded(&*function, &inputs)?;
        let addition = Addition {
            name: &self.name,
            kind: kind.as_deref().unwrap_or_default(),
            edges: &edges,
            recipe: &Recipe::of(&self.function, &inputs),
            marker: None,
            profile: self.profile,
        };
        add(store, &snapshot, &addition, &draft).map_err(|error| draft.not_added(error))
    }
}

fn add(
    store: &Store,
    before: &Snapshot,
    addition: &Addition<'_>,
    draft: &Draft,
) -> Result<ImportReport, UpdateError> {
    let mut transaction = store.begin_write()?;
    addition.check_inputs(draft, &transaction, before)?;
    let mut report = transaction.add_model(addition.model(draft))?;
    transaction.commit()?;
    report.notes = draft.notes();
    Ok(report)
}

/// The models that a node was derived from.
pub(super) fn parents_of(
    snapshot: &Snapshot,
    node: NodeId,
) -> Result<Vec<crate::store::Model>, UpdateError> {
    let graph = snapshot.graph();
    let edges = graph.parents(node)?;
    edges.iter().map(|edge| Ok(snapshot.model_of(graph.expect(edge.parent)?)?)).collect()
}

/// A role of this name that no other input has.
fn unused_role(inputs: &[Input], name: &str) -> String {
    let taken = |role: &str| inputs.iter().any(|input| input.role == role);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|role| !taken(role)).unwrap_or_default()
}

/// A seed that every reader of JSON takes as it is: 53 bits.
fn random_seed() -> Result<u64, UpdateError> {
    let NodeId(bytes) = NodeId::random()?;
    Ok((u128::from_be_bytes(bytes) >> 75) as u64)
}

/// Runs a function; a panic of it is an error of it.
pub(super) fn guarded(function: &dyn Creation, inputs: &Inputs) -> Result<Draft, UpdateError> {
    catch_unwind(AssertUnwindSafe(|| function.make(inputs))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(UpdateError::failed(format!("it panicked: {}", text.unwrap_or_default())))
    })
}

/// What is added to the store beside the tensors.
#[derive(Debug)]
pub(super) struct Addition<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) edges: &'a [(NodeId, How)],
    pub(super) recipe: &'a Recipe,
    pub(super) marker: Option<&'a UpdateMarker>,
    pub(super) profile: Profile,
}

impl Addition<'_> {
    /// Looks again at what the function was given: others may have written while it worked. A
    /// parent is the version that it was given, whatever versions came meanwhile.
    pub(super) fn check_inputs(
        &self,
        draft: &Draft,
        transaction: &Transaction,
        before: &Snapshot,
    ) -> Result<(), UpdateError> {
        let parents = self.edges.iter().map(|(parent, _)| *parent);
        draft.check_inputs(self.name, parents, &transaction.graph()?, before)
    }

    pub(super) fn model<'d>(&self, draft: &'d Draft) -> NewModel<'d> {
        let mut model = draft.model(self.name).profile(self.profile);
        if !self.kind.is_empty() {
            model = model.kind(self.kind);
        }
        for (parent, how) in self.edges {
            model = model.parent(parent.to_string(), *how);
        }
        model = model.metadata(RECIPE_KEY, self.recipe.to_json());
        match self.marker {
            Some(marker) => model.metadata(UPDATE_KEY, marker.to_json()),
            None => model,
        }
    }
}
