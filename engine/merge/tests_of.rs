//! The tests of both sides: what the merged model must pass, and what it inherits.

use std::collections::BTreeMap;

use super::MergeError;
use crate::lineage::Node;
use crate::model_tests::{Selector, Test};
use crate::store::{Model, Snapshot};

/// A test that both sides have, each with other bounds or another time limit than the base.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TestConflict {
    /// What it runs, as JSON.
    pub run: String,
    /// Ours's tests of it, by name.
    pub ours: Vec<String>,
    /// Theirs's.
    pub theirs: Vec<String>,
}

/// What becomes of the tests.
#[derive(Debug)]
pub(super) struct MergedTests {
    pub(super) inherited: Vec<Test>,
    pub(super) conflicts: Vec<TestConflict>,
}

/// The tests that are for either of two models.
pub(super) fn of_both(
    snapshot: &Snapshot,
    ours: &Node,
    theirs: &Node,
) -> Result<Vec<Test>, MergeError> {
    let mut tests = Test::all(snapshot)?;
    tests.retain(|test| test.on.matches(ours) || test.on.matches(theirs));
    Ok(tests)
}

/// What a test runs, and how it is judged, without whom it is for.
fn run_and_judgement(test: &Test) -> (String, String) {
    let mut object = test.to_json();
    let run = object.remove("run").unwrap_or_default().to_string();
    object.remove("on");
    (run, serde_json::Value::Object(object).to_string())
}

/// The three-way merge of tests, by what they run: a test that a side has added, or judges
/// otherwise than the base does, is inherited; one that a side no longer has is not; where both
/// have changed it differently both are inherited. Tests for all models need no inheriting.
pub(super) fn merge(models: [&Model; 3]) -> Result<MergedTests, MergeError> {
    let [_, ours, _] = models;
    let all = Test::all(ours.snapshot())?;
    // By what they run: for each model the judgements, with the tests that have them.
    type Judged<'t> = [BTreeMap<String, &'t Test>; 3];
    let mut runs: BTreeMap<String, Judged<'_>> = BTreeMap::new();
    for test in all.iter().filter(|test| !matches!(test.on, Selector::All)) {
        let (run, judgement) = run_and_judgement(test);
        for (place, model) in models.iter().enumerate() {
            if test.on.matches(model.node())
                && let Some(of) = runs.entry(run.clone()).or_default().get_mut(place)
            {
                of.entry(judgement.clone()).or_insert(test);
            }
        }
    }
    let (mut inherited, mut conflicts) = (Vec::new(), Vec::new());
    for (run, [base, ours, theirs]) in runs {
        let is_same =
            |a: &BTreeMap<String, &Test>, b: &BTreeMap<String, &Test>| a.keys().eq(b.keys());
        let mut kept = match (is_same(&base, &ours), is_same(&base, &theirs)) {
            (_, true) => ours,
            (true, _) => theirs,
            _ if is_same(&ours, &theirs) => ours,
            _ => {
                let names = |tests: &BTreeMap<String, &Test>| {
                    tests.values().map(|test| test.name.clone()).collect::<Vec<_>>()
                };
                if !ours.is_empty() && !theirs.is_empty() {
                    let (ours, theirs) = (names(&ours), names(&theirs));
                    conflicts.push(TestConflict { run, ours, theirs });
                }
                let mut both = ours;
                both.extend(theirs);
                both
            }
        };
        inherited.extend(std::mem::take(&mut kept).into_values().cloned());
    }
    Ok(MergedTests { inherited, conflicts })
}

/// The inherited tests that are not for the merged model as they stand, made so: under their names
/// with the model's behind it.
pub(super) fn for_node(inherited: &[Test], node: &Node, known: &[String]) -> Vec<Test> {
    let mut taken: Vec<String> = known.to_vec();
    let mut tests = Vec::new();
    for test in inherited.iter().filter(|test| !test.on.matches(node)) {
        let wanted = format!("{}/{}-{}", test.name, node.row.name, node.row.version);
        let numbered = (2..).map(|number| format!("{wanted}-{number}"));
        let mut names = std::iter::once(wanted.clone()).chain(numbered);
        let name = names.find(|name| !taken.contains(name)).unwrap_or_default();
        taken.push(name.clone());
        tests.push(Test { name, on: Selector::Node(node.id), ..test.clone() });
    }
    tests
}
