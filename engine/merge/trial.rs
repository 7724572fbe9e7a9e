//! The merged model on trial: it is tested before anybody can see it.

use super::{MergeError, MergePlan, tests_of};
use crate::container::{TemporaryFolder, TemporaryKind};
use crate::lineage::{How, NodeId};
use crate::model_tests::{
    Builtin, RunOptions, Runner, Selector, Status, Test, TestResult, Unkept, What,
};
use crate::store::{Model, NewModel, Snapshot, Store};
use crate::update::{Chosen, Draft, DraftTensor};

/// What a trial found.
#[derive(Debug, Default)]
pub(super) struct Trial {
    pub(super) results: Vec<TestResult>,
    /// For the store, once the model is in it.
    pub(super) unkept: Unkept,
}

fn copy(model: &Model) -> Result<Draft, MergeError> {
    Ok(Draft::like_each(&Chosen::all(model), |tensor| Ok([DraftTensor::keep(tensor)]))?)
}

/// What decides about a merge besides the models: the tests of both sides, and the version that the
/// merged model follows. Others may change it while the tests run.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) tests: Vec<Test>,
    previous: Option<NodeId>,
}

impl Terms {
    pub(super) fn read(
        snapshot: &Snapshot,
        plan: &MergePlan,
        name: &str,
    ) -> Result<Self, MergeError> {
        let tests = tests_of::of_both(snapshot, &plan.ours, &plan.theirs)?;
        let latest = name.parse().ok().map(|name| snapshot.graph().latest(&name));
        let previous = latest.transpose()?.flatten().filter(|_| needs_previous(&tests));
        Ok(Terms { tests, previous })
    }

    /// Whether a trial under these terms would be the same under others.
    pub(super) fn are_same(&self, other: &Self) -> bool {
        let lines = |terms: &Self| -> Vec<_> {
            terms.tests.iter().map(|test| (test.name.clone(), test.to_json())).collect()
        };
        lines(self) == lines(other) && self.previous == other.previous
    }
}

/// Runs the tests of both sides on the merged model, in a store of its own beside `store`, which is
/// removed again. Both sides are copied there where a test measures a model against its parents,
/// and the version that the merged model follows where one measures it against that.
///
/// Cost: the disk for the models that are copied.
///
/// # Errors
///
/// [`MergeError::TestsFailed`] when not all pass, those that could not be run among them.
pub(super) fn run(
    store: &Store,
    (snapshot, terms): (&Snapshot, &Terms),
    plan: &MergePlan,
    new: NewModel<'_>,
    name: &str,
    options: RunOptions<'_>,
) -> Result<Trial, MergeError> {
    let [_, ours, theirs] = &plan.models;
    let mut tests = terms.tests.clone();
    if tests.is_empty() {
        return Ok(Trial::default());
    }
    tests.iter_mut().for_each(|test| test.on = Selector::All);
    let beside = store.path().parent().map(std::path::Path::to_path_buf);
    let beside = beside.filter(|it| !it.as_os_str().is_empty());
    let folder = tempdir(beside)?;
    let scratch = Store::create(folder.path().join("merged.mgit"))?;
    let mut transaction = scratch.begin_write()?;
    if let Some(previous) = terms.previous {
        let model = snapshot.model_of(snapshot.graph().expect(previous)?)?;
        transaction.add_model(copy(&model)?.model(name).kind(model.node().row.kind.as_str()))?;
    }
    let mut new = new;
    if needs_parents(&tests) {
        for side in [ours, theirs] {
            let row = &side.node().row;
            // A name of its own, so that it stands before no other.
            let name = format!("{}/{}", row.name, row.version);
            let report = transaction.add_model(copy(side)?.model(&name).kind(row.kind.as_str()))?;
            new = new.parent(report.node.id.to_string(), How::Merge);
        }
    }
    let merged = transaction.add_model(new)?.node;
    transaction.commit()?;
    let snapshot = scratch.snapshot()?;
    let report = Runner::new(&snapshot, options).run(None, &tests, &[merged])?;
    let bad = |result: &&TestResult| result.status != Status::Passed;
    let failed: Vec<(String, String)> = report
        .results
        .iter()
        .filter(bad)
        .map(|it| (it.test.clone(), format!("{}: {}", it.status.name(), it.reasons.join("; "))))
        .collect();
    match failed.is_empty() {
        true => Ok(Trial { results: report.results, unkept: report.unkept }),
        false => Err(MergeError::TestsFailed { failed }),
    }
}

fn tempdir(beside: Option<std::path::PathBuf>) -> Result<TemporaryFolder, MergeError> {
    let folder = beside.unwrap_or_else(|| std::path::PathBuf::from("."));
    let made = TemporaryFolder::create(&folder, TemporaryKind::Merge);
    Ok(made.map_err(crate::update::UpdateError::work(&folder))?)
}

fn needs_parents(tests: &[Test]) -> bool {
    let builtin = |builtin: &Builtin| builtin.needs_parents();
    tests.iter().any(|test| {
        test.bounds.iter().any(crate::model_tests::Bound::needs_parents)
            || matches!(&test.what, What::Builtin(it) if builtin(it))
    })
}

fn needs_previous(tests: &[Test]) -> bool {
    tests.iter().any(|test| test.bounds.iter().any(crate::model_tests::Bound::needs_previous))
}
