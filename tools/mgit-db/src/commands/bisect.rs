//! `bisect`: the first model on a way that fails a test.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;

use mgit::lineage::{Edges, Node};
use mgit::model_tests::{
    Bisection, RunOptions, Runner, Selector, Status, Test, TestError, TestResult, bisect,
    path_between,
};
use mgit::{Snapshot, Store};
use serde_json::{Value, json};

use super::test::run::{WhichArguments, keep, trust};
use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::partial::open_to_read;
use crate::text::count;

/// Find the first model on a path that fails a test.
///
/// The path leads from GOOD, which passes, to BAD, which fails: through the versions between them,
/// else through models derived from one another. Besides the two ends, log2 of the models on the
/// path are tested. The result is right if every model after a failing one fails too; models that
/// were not tested are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db bisect family.mgit --test accuracy base@1 base@40
  mgit-db bisect family.mgit --builtin finite base tasks/sst2")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// A model that passes
    good: ModelArgument,
    /// A later model that fails
    bad: ModelArgument,
    #[command(flatten)]
    which: WhichArguments,
    /// Test every model on the path
    #[arg(long)]
    all: bool,
    /// Run tests again whose results are stored
    #[arg(long)]
    fresh: bool,
    /// Run a command of the store that you have not trusted before: read it first, with `test ls`
    #[arg(long)]
    trust: bool,
}

/// Tests the models of the way, and remembers what it found.
struct Prober<'s> {
    snapshot: &'s Snapshot,
    arguments: &'s Arguments,
    test: Test,
    path: Vec<Node>,
    /// Why results are not kept.
    not_kept: RefCell<Option<String>>,
}

impl Prober<'_> {
    fn result(&self, place: usize, known_only: bool) -> Result<TestResult, Failure> {
        let arguments = self.arguments;
        let options = RunOptions {
            known_only,
            fresh: arguments.fresh && !known_only,
            trust: trust(arguments.trust),
            ..RunOptions::default()
        };
        let nodes = std::slice::from_ref(&self.path[place]);
        let tests = std::slice::from_ref(&self.test);
        let store = self.brought(&nodes[0], known_only)?;
        let snapshot = store.as_ref().map(Store::snapshot).transpose()?;
        let snapshot = snapshot.as_ref().unwrap_or(self.snapshot);
        let report = Runner::new(snapshot, options).run(None, tests, nodes)?;
        // The snapshot does not see it: it is for the next run.
        if let Some(reason) = keep(&arguments.store, &report) {
            self.not_kept.replace(Some(reason));
        }
        let result = report.results.into_iter().next();
        result.ok_or_else(|| Failure::failed("no-result", "the test gave no result"))
    }

    /// The store anew, when something of the model was not there and has been brought.
    fn brought(&self, node: &Node, known_only: bool) -> Result<Option<Store>, Failure> {
        if known_only || self.snapshot.model_of(node.clone())?.missing_tensors()? == 0 {
            return Ok(None);
        }
        open_to_read(&self.arguments.store, |_| Ok(vec![node.id()])).map(Some)
    }
}

fn passed(result: &TestResult) -> Option<bool> {
    match result.status {
        Status::Passed => Some(true),
        Status::Failed => Some(false),
        Status::Error | Status::NotRun => None,
    }
}

/// Finds the first failing model.
///
/// # Errors
///
/// No way leads from one model to the other; the ends are not as they were said to be.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let mut tests = arguments.which.tests(&snapshot)?;
    let (Some(mut test), true) = (tests.pop(), tests.is_empty()) else {
        return Err(Failure::usage("name one test, with --test or --builtin"));
    };
    // The models of the way are tested whomever the test is for.
    test.on = Selector::All;
    let graph = snapshot.graph();
    let (good, bad) = (graph.find(&arguments.good)?, graph.find(&arguments.bad)?);
    let (path, edges) = path_between(&graph, &good, &bad)?;
    let path = path.into_iter().map(|id| graph.expect(id)).collect::<Result<Vec<_>, _>>()?;
    let prober =
        Prober { snapshot: &snapshot, arguments, test, path, not_kept: RefCell::default() };
    let (found, results) = search(&prober)?;
    let via = match edges {
        Edges::Version => "versions",
        Edges::Provenance => "provenance",
        Edges::Both => "versions and provenance",
    };
    let not_kept = prober.not_kept.take();
    let verdict = Verdict { path: &prober.path, via, found, results, not_kept };
    output.print(verdict.document(), &verdict.text())?;
    Ok(ExitCode::SUCCESS)
}

/// Bisects. Returns what was found, and what is known of each model of the way.
fn search(prober: &Prober<'_>) -> Result<(Bisection, Vec<Option<TestResult>>), Failure> {
    let mut results: Vec<Option<TestResult>> = vec![None; prober.path.len()];
    let mut probe = |place: usize| -> Result<Option<bool>, Failure> {
        if results[place].is_none() {
            results[place] = Some(prober.result(place, false)?);
        }
        let result = results[place].as_ref();
        Ok(result.and_then(passed))
    };
    if prober.arguments.all {
        for place in 0..prober.path.len() {
            probe(place)?;
        }
    }
    let found = bisect(prober.path.len(), &|_| None, &mut probe)?;
    let found =
        found.map_err(|(place, _)| wrong_end(&prober.path[place], place, &results[place]))?;
    // What others have found before costs nothing, and may say that it is not so simple.
    for (place, result) in results.iter_mut().enumerate().filter(|(_, result)| result.is_none()) {
        let known = prober.result(place, true)?;
        *result = Some(known).filter(|known| passed(known).is_some());
    }
    Ok((found, results))
}

/// What a bisection found.
struct Verdict<'v> {
    path: &'v [Node],
    /// The edges that the path follows.
    via: &'static str,
    found: Bisection,
    /// The result of each model on the path, if there is one.
    results: Vec<Option<TestResult>>,
    not_kept: Option<String>,
}

impl Verdict<'_> {
    fn name(&self, place: usize) -> String {
        self.path[place].full_name()
    }

    /// How many models nothing is known of.
    fn unseen(&self) -> usize {
        self.results.iter().filter(|result| result.is_none()).count()
    }

    fn reasons(&self) -> Option<&[String]> {
        let result = self.results[self.found.first_bad].as_ref();
        result.map(|result| result.reasons.as_slice())
    }

    /// Models that pass behind the first that fails, or fail before it.
    fn contradictions(&self) -> Vec<String> {
        let found = &self.found;
        let contradicts = |place: &usize| {
            let passes = self.results[*place].as_ref().and_then(passed);
            let open = found.last_good < *place && *place < found.first_bad;
            passes.is_some_and(|passes| !open && passes != (*place < found.first_bad))
        };
        (0..self.results.len()).filter(contradicts).map(|place| self.name(place)).collect()
    }

    fn text(&self) -> String {
        let found = &self.found;
        let mut text = String::new();
        for (place, passed) in &found.looked_at {
            let word = match passed {
                Some(true) => "passes",
                Some(false) => "fails",
                None => "has no result",
            };
            text += &format!("{} {word}\n", self.name(*place));
        }
        match found.is_exact() {
            true => text += &format!("the first that fails is {}\n", self.name(found.first_bad)),
            false => {
                let (from, to) = (self.name(found.last_good + 1), self.name(found.first_bad));
                text += &format!("the first that fails is one of those from {from} to {to}: ");
                text += "those between them cannot be tested\n";
            }
        }
        let models = count(self.path.len() as u64, "model");
        let (seen, via) = (found.looked_at.len(), self.via);
        text += &format!("{seen} of {models} on the path (by {via}) tested");
        text += &match (self.unseen(), self.contradictions().as_slice()) {
            (0, []) => ", and all are known\n".to_owned(),
            (unseen, []) => {
                format!("; {unseen} not tested: assumed to fail after a failing model\n")
            }
            (_, names) => format!(
                "; the history goes back and forth: {} say otherwise, so that this is one place \
                 of several where it turns (--all looks at all)\n",
                names.join(", ")
            ),
        };
        if let Some(reasons) = self.reasons() {
            text += &format!("  {}\n", crate::text::shown(&reasons.join("; ")));
        }
        if let Some(reason) = &self.not_kept {
            text += &format!("{reason}\n");
        }
        text
    }

    fn document(&self) -> Value {
        let found = &self.found;
        let looked_at = found
            .looked_at
            .iter()
            .map(|(place, passed)| json!({ "model": self.name(*place), "passed": passed }));
        json!({
            "not_kept": self.not_kept,
            "first_failing": self.name(found.first_bad),
            "last_passing": self.name(found.last_good),
            "exact": found.is_exact(),
            "reasons": self.reasons(),
            "by": self.via,
            "models": self.path.len(),
            "runs": found.looked_at.len(),
            "looked_at": looked_at.collect::<Vec<Value>>(),
            "not_looked_at": self.unseen(),
            "all_known": self.unseen() == 0,
            "contradictions": self.contradictions(),
        })
    }
}

fn wrong_end(node: &Node, place: usize, result: &Option<TestResult>) -> Failure {
    let (wanted, found) = match (result, result.as_ref().and_then(passed)) {
        // One model for both ends is at one place.
        (_, Some(true)) => ("fail", "passes".to_owned()),
        (_, Some(false)) => ("pass", "fails".to_owned()),
        (result, None) => {
            let found = match result {
                Some(result) => format!("cannot be tested ({})", result.reasons.join("; ")),
                None => "was not tested".to_owned(),
            };
            (if place == 0 { "pass" } else { "fail" }, found)
        }
    };
    let reason = format!("must {wanted} and {found}: name other ends");
    TestError::WrongEnd { model: node.full_name(), reason }.into()
}
