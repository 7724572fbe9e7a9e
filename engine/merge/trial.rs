//! The merged model on trial: it is tested before anybody can see it.

use super::{MergeError, MergePlan, tests_of};
use crate::checks::{Builtin, RunOptions, Runner, Selector, Status, Test, TestResult, What};
use crate::container::{TemporaryFolder, TemporaryKind};
use crate::lineage::How;
use crate::store::{Model, NewModel, Store, TestResultRow};
use crate::update::{Draft, DraftTensor};

/// What a trial found.
#[derive(Debug, Default)]
pub(super) struct Trial {
    pub(super) results: Vec<TestResult>,
    /// For the store, once the model is in it.
    pub(super) unkept: Vec<TestResultRow>,
}

fn copy(model: &Model) -> Result<Draft, MergeError> {
    Ok(Draft::like(model, |tensor| Ok(DraftTensor::keep(tensor)))?)
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
    plan: &MergePlan,
    new: NewModel<'_>,
    name: &str,
    options: RunOptions<'_>,
) -> Result<Trial, MergeError> {
    let [_, ours, theirs] = &plan.models;
    let mut tests = tests_of::of_both(ours.snapshot(), &plan.ours, &plan.theirs)?;
    if tests.is_empty() {
        return Ok(Trial::default());
    }
    tests.iter_mut().for_each(|test| test.on = Selector::All);
    let beside = store.path().parent().map(std::path::Path::to_path_buf);
    let beside = beside.filter(|it| !it.as_os_str().is_empty());
    let folder = tempdir(beside)?;
    let scratch = Store::create(folder.path().join("merged.mgit"))?;
    let mut transaction = scratch.begin_write()?;
    let previous = match name.parse().ok() {
        Some(name) => ours.snapshot().graph().latest(&name)?,
        None => None,
    };
    if let (true, Some(previous)) = (needs_previous(&tests), previous) {
        let snapshot = ours.snapshot();
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
    TemporaryFolder::create(&folder, TemporaryKind::Merge).map_err(|error| {
        let reason = format!("no folder for the trial in {}: {error}", folder.display());
        crate::update::UpdateError::Failed { reason }.into()
    })
}

fn needs_parents(tests: &[Test]) -> bool {
    let builtin = |builtin: &Builtin| builtin.needs_parents();
    tests.iter().any(|test| {
        test.bounds.iter().any(crate::checks::Bound::needs_parents)
            || matches!(&test.what, What::Builtin(it) if builtin(it))
    })
}

fn needs_previous(tests: &[Test]) -> bool {
    tests.iter().any(|test| test.bounds.iter().any(crate::checks::Bound::needs_previous))
}
