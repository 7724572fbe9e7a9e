//! A merge, from two names to a commit.

use serde_json::json;

use super::build::Built;
use super::trial::{self, Terms, Trial};
use super::values::MERGE_KEY;
use super::{Class, MERGE_FUNCTION, MergeError, MergeOptions, MergePlan, tests_of};
use crate::codec::Profile;
use crate::lineage::{How, ModelRef};
use crate::model_tests::{RunOptions, Test, TestResult};
use crate::store::{ImportReport, NewModel, Snapshot, Store, StoreError, Transaction};
use crate::update::{Input, Inputs, RECIPE_KEY, Recipe, UpdateError};

/// Two models to be merged.
#[derive(Clone, Debug)]
#[must_use]
pub struct Merge {
    ours: ModelRef,
    theirs: ModelRef,
    name: String,
    options: MergeOptions,
    profile: Profile,
}

/// What a merge did.
#[derive(Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Merged {
    /// What was planned, and done.
    pub plan: MergePlan,
    /// The merged model.
    pub report: ImportReport,
    /// What the tests of both sides found, where they had to be passed.
    pub tests: Vec<TestResult>,
    /// The names of tests that were registered for the merged model.
    pub inherited: Vec<String>,
    /// Why what the tests found is not kept, if it is not.
    #[serde(serialize_with = "crate::model_tests::as_text")]
    pub not_kept: Option<StoreError>,
}

impl Merge {
    /// A merge of two models, `name`, `name@version`, tag or node id, as a model of this name.
    pub fn new(
        ours: impl Into<ModelRef>,
        theirs: impl Into<ModelRef>,
        name: impl Into<String>,
    ) -> Self {
        Merge {
            ours: ours.into(),
            theirs: theirs.into(),
            name: name.into(),
            options: MergeOptions::default(),
            profile: Profile::default(),
        }
    }

    /// Says how conflicts are to be settled.
    pub fn options(mut self, options: MergeOptions) -> Self {
        self.options = options;
        self
    }

    /// Says whether the model is to be encoded for speed or for size.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// What it would do. Cost: no bytes of tensors are read.
    ///
    /// # Errors
    ///
    /// As [`MergePlan::of`].
    pub fn plan(&self, snapshot: &Snapshot) -> Result<MergePlan, MergeError> {
        self.options.check()?;
        let (ours, theirs) = (snapshot.model(&self.ours)?, snapshot.model(&self.theirs)?);
        MergePlan::of(&ours, &theirs, &self.options)
    }

    /// Merges: one commit, with both models as parents and the recipe. Where layers of both sides
    /// meet, the tests of both sides must pass first, run as `tests` says. Others are not kept out
    /// meanwhile, where the store was opened with
    /// [`lock_per_transaction`](crate::store::OpenOptions::lock_per_transaction): should the tests,
    /// or the version before the merged model, change while they run, they run again.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan); [`MergeError::Unresolved`], [`MergeError::TestsFailed`];
    /// [`UpdateError::InputRemoved`]; tensors
    /// that cannot be mixed; those of the store. The store is then as it was.
    pub fn run(mut self, store: &Store, tests: RunOptions<'_>) -> Result<Merged, MergeError> {
        let snapshot = store.snapshot()?;
        if let Some(base) = &mut self.options.base {
            // The recipe must mean the same model for ever.
            *base = snapshot.find(&*base)?.id.into();
        }
        let mut plan = self.plan(&snapshot)?;
        let built = plan.build(&self.options)?;
        plan.forget_paths();
        let recipe = self.recipe(&plan);
        let (trial, mut transaction, now) = self.try_on(store, &snapshot, &plan, &built, tests)?;
        let what = json!({
            "base": plan.base.id.to_string(),
            "conflicts": plan.count(Class::Conflict),
            "possible_conflicts": plan.count(Class::Possible),
            "tests": trial.results.len(),
        });
        let model = self
            .bare_model(&plan, &built)
            .parent(plan.ours.id.to_string(), How::Merge)
            .parent(plan.theirs.id.to_string(), How::Merge)
            .metadata(RECIPE_KEY, recipe.to_json())
            .metadata(MERGE_KEY, what);
        let known: Vec<String> = now.tests()?.into_iter().map(|(name, _)| name).collect();
        let mut report = transaction.add_model(model)?;
        report.notes = built.draft.notes();
        let inherited = tests_of::for_node(&plan.inherited_tests, &report.node, &known);
        inherited.iter().try_for_each(|test: &Test| test.register(&mut transaction))?;
        transaction.commit()?;
        let inherited = inherited.into_iter().map(|test| test.name).collect();
        let not_kept = trial.unkept.keep(store).err();
        Ok(Merged { plan, report, tests: trial.results, inherited, not_kept })
    }

    /// What the merge is made again from.
    fn recipe(&self, plan: &MergePlan) -> Recipe {
        let [_, ours, theirs] = &plan.models;
        let role = |role: &str, model| Input { role: role.to_owned(), model };
        let inputs = Inputs {
            parents: vec![role("ours", ours.clone()), role("theirs", theirs.clone())],
            parameters: self.options.to_parameters(),
            seed: self.options.seed,
            ..Inputs::default()
        };
        Recipe::of(MERGE_FUNCTION, &inputs)
    }

    /// The merged model without its parents, as it is tested.
    fn bare_model<'b>(&self, plan: &MergePlan, built: &'b Built) -> NewModel<'b> {
        let model = built.draft.model(&self.name).kind(plan.kind.as_str());
        let mut model = model.profile(self.profile);
        for (key, value) in &plan.metadata {
            model = model.metadata(key, value.clone());
        }
        match &built.architecture {
            Some(architecture) => model.layers(architecture),
            None => model,
        }
    }

    /// Runs the tests that the merged model must pass until they are those that are registered
    /// when it may be stored: gives what they found, the transaction, and what it sees.
    fn try_on(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        plan: &MergePlan,
        built: &Built,
        tests: RunOptions<'_>,
    ) -> Result<(Trial, Transaction, Snapshot), MergeError> {
        let mut now = snapshot.clone();
        loop {
            let terms = Terms::read(&now, plan, &self.name)?;
            let trial = match plan.needs_tests() {
                true => {
                    let (terms, new) = ((&now, &terms), self.bare_model(plan, built));
                    trial::run(store, terms, plan, new, &self.name, tests.clone())?
                }
                false => Trial::default(),
            };
            let transaction = store.begin_write()?;
            // Others may have written while the tests ran; from now on they do not.
            now = store.snapshot()?;
            self.check_inputs(plan, &now)?;
            if !plan.needs_tests() || terms.are_same(&Terms::read(&now, plan, &self.name)?) {
                return Ok((trial, transaction, now));
            }
        }
    }

    /// Whether both sides, and the base that was named, are still there.
    fn check_inputs(&self, plan: &MergePlan, now: &Snapshot) -> Result<(), MergeError> {
        let base = self.options.base.as_ref().map(|_| &plan.base);
        for node in [&plan.ours, &plan.theirs].into_iter().chain(base) {
            if now.graph().node(node.id)?.is_none() {
                let (model, input) = (self.name.clone(), node.full_name());
                return Err(UpdateError::InputRemoved { model, input }.into());
            }
        }
        Ok(())
    }
}
