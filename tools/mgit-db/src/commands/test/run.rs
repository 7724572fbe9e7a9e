//! `test run`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mgit::Snapshot;
use mgit::container::Destination;
use mgit::lineage::NodeId;
use mgit::model_tests::{
    Builtin, CommandTrust, RunOptions, RunReport, Runner, Status, Test, TestResult, What,
};
use serde_json::{Value, json};

use super::junit;
use super::register::parse_builtin;
use crate::destination::{Force, write_text};
use crate::failure::Failure;
use crate::opening;
use crate::output::{Ink, Output, json_float};
use crate::partial::open_to_read;
use crate::progress::Progress;
use crate::select::select;
use crate::text::{Side, Table, count, size};

/// Lines of the end of a test's output that are shown where it did not pass.
const OUTPUT_LINES: usize = 8;

/// Run tests; a test that fails gives exit code 1.
///
/// A test with a stored result for equal content is not run again. Results are stored. Others can
/// write to the store while tests run; a writer that is still at work afterwards is waited for, as
/// --wait says.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Models: name, name@version, tag, node id, or a name with * and ? [default: all]
    model: Vec<String>,
    /// Which tests
    #[command(flatten)]
    which: WhichArguments,
    /// The number of tests that run at the same time; 0: one for each core
    #[arg(short, long, default_value_t = 0)]
    jobs: usize,
    /// Run tests again whose results are stored
    #[arg(long)]
    fresh: bool,
    /// Run commands of the store that you have not trusted before: read them first, with `test ls`
    #[arg(long)]
    trust: bool,
    /// Show only what did not pass
    #[arg(long)]
    failed: bool,
    /// Write the results as JUnit XML. Results that this command wrote there before are replaced,
    /// another file only with --force
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    /// The folder where models are written for commands [default: the temporary folder]
    #[arg(long, value_name = "FOLDER")]
    work_folder: Option<PathBuf>,
}

/// Which tests are meant.
#[derive(Debug, clap::Args)]
pub struct WhichArguments {
    /// Only this test; may be given several times
    #[arg(short, long, value_name = "NAME")]
    test: Vec<String>,
    /// A built-in test that need not be registered: finite, norm-drift, sparsity, statistics
    #[arg(long, value_name = "TEST", value_parser = parse_builtin)]
    builtin: Vec<Builtin>,
}

impl WhichArguments {
    /// The tests: those that are named, or all that are registered.
    ///
    /// # Errors
    ///
    /// There is none of a name, or none at all.
    pub fn tests(&self, snapshot: &Snapshot) -> Result<Vec<Test>, Failure> {
        let named = self.test.iter().map(|name| Test::find(snapshot, name));
        let mut tests = named.collect::<Result<Vec<_>, _>>()?;
        let builtin = |builtin: &Builtin| Test::new(builtin.name(), What::Builtin(*builtin));
        tests.extend(self.builtin.iter().map(builtin));
        if self.test.is_empty() && self.builtin.is_empty() {
            tests = Test::all(snapshot)?;
        }
        match tests.is_empty() {
            true => Err(Failure::failed(
                "no-tests",
                "no tests are registered: `test add` adds one, --builtin finite needs none",
            )),
            false => Ok(tests),
        }
    }
}

/// The models that tests of these read: also what they are held against.
fn read_by(snapshot: &Snapshot, models: &[String]) -> Result<Vec<NodeId>, Failure> {
    let graph = snapshot.graph();
    let mut read = Vec::new();
    for node in select(snapshot, models)? {
        read.push(node.id());
        read.extend(graph.parents(node.id())?.into_iter().map(|edge| edge.parent));
        read.extend(graph.previous(node.id())?);
    }
    Ok(read)
}

/// Which commands may run.
pub fn trust(everything: bool) -> CommandTrust {
    if everything { CommandTrust::Everything } else { CommandTrust::of_user() }
}

/// Keeps what was found. Says why that could not be done.
pub fn keep(path: &Path, report: &RunReport) -> Option<String> {
    if report.unkept.is_empty() {
        return None;
    }
    let kept = opening::options().open(path).and_then(|store| report.unkept.keep(&store));
    kept.err().map(|error| format!("the results are not kept: {}", opening::named(path, error)))
}

/// Runs the tests.
///
/// # Errors
///
/// A test or model is not there; the JUnit file cannot be written.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let overwrite = arguments.force.overwrite_marked(junit::MARK);
    let junit = arguments.junit.as_deref().map(|path| Destination::new(path, overwrite));
    let junit = junit.transpose()?;
    // Read-only, so that others can write while tests run.
    let store = open_to_read(&arguments.store, |snapshot| read_by(snapshot, &arguments.model))?;
    let snapshot = store.snapshot()?;
    let tests = arguments.which.tests(&snapshot)?;
    let nodes = select(&snapshot, &arguments.model)?;
    let bar = Progress::unbounded(format!("test {}", arguments.store.display()));
    let told = std::sync::atomic::AtomicU64::new(0);
    let progress = |_: &str, _: &str, bytes: u64| {
        let before = told.fetch_max(bytes, std::sync::atomic::Ordering::Relaxed);
        bar.advance(bytes.saturating_sub(before));
    };
    let options = RunOptions {
        jobs: arguments.jobs,
        fresh: arguments.fresh,
        trust: trust(arguments.trust),
        work_folder: arguments.work_folder.clone(),
        progress: Some(&progress),
        ..RunOptions::default()
    };
    let report = Runner::new(&snapshot, options).run(None, &tests, &nodes)?;
    drop(bar);
    drop((snapshot, store));
    let not_kept = keep(&arguments.store, &report);
    if let Some(destination) = &junit {
        write_text(destination, &junit::document(&report.results))?;
    }
    let counts = Counts::of(&report);
    let mut text = lines(&report.results, arguments.failed, output);
    text += &counts.text(&report);
    if let Some(not_kept) = &not_kept {
        text += &format!("{not_kept}\n");
    }
    if report.results.iter().any(is_of_damage) {
        let store = arguments.store.display().to_string();
        text += &format!(
            "{} is damaged; `mgit-db verify` lists the models that it hurts\n",
            crate::text::shown(&store)
        );
    }
    let document = json!({
        "passed": counts.passed,
        "failed": counts.failed,
        "errors": counts.errors,
        "not_run": counts.not_run,
        "runs": report.runs,
        "bytes_read": report.bytes_read,
        "not_kept": not_kept,
        "results": report.results.iter().map(json_of).collect::<Vec<_>>(),
    });
    output.print(document, &text)?;
    Ok(if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a test could not be run because a record is damaged. The library keeps of an error only
/// its text.
fn is_of_damage(result: &TestResult) -> bool {
    let is_damage = |reason: &String| reason.contains("damaged record of content");
    result.status == Status::Error && result.reasons.iter().any(is_damage)
}

/// How many results there are of each status.
struct Counts {
    passed: usize,
    failed: usize,
    errors: usize,
    not_run: usize,
}

impl Counts {
    fn of(report: &RunReport) -> Self {
        let of = |status| report.results.iter().filter(|result| result.status == status).count();
        Counts {
            passed: of(Status::Passed),
            failed: of(Status::Failed),
            errors: of(Status::Error),
            not_run: of(Status::NotRun),
        }
    }

    fn text(&self, report: &RunReport) -> String {
        let mut text = format!("{} passed, {} failed", self.passed, self.failed);
        for (number, what) in [(self.errors, "with an error"), (self.not_run, "not run")] {
            if number > 0 {
                text += &format!(", {number} {what}");
            }
        }
        let known = report.results.iter().filter(|result| result.was_known).count();
        let (runs, read) = (count(report.runs, "run"), size(report.bytes_read));
        text + &format!(" ({runs}, {known} known before, {read} of tensors read)\n")
    }
}

/// A result as JSON.
pub fn json_of(result: &TestResult) -> Value {
    let metrics: Vec<Value> = result
        .finding
        .metrics
        .iter()
        .map(|metric| {
            let direction = metric.better.map(mgit::model_tests::Better::name);
            let value = json_float(metric.value);
            json!({ "metric": metric.name, "value": value, "direction": direction })
        })
        .collect();
    json!({
        "test": result.test,
        "model": result.node.full_name(),
        "id": result.node.id().to_string(),
        "status": result.status.name(),
        "metrics": metrics,
        "reasons": result.reasons,
        "output": result.finding.output,
        "seconds": result.finding.seconds,
        "known": result.was_known,
    })
}

/// The results as lines, those that did not pass last.
pub fn lines(results: &[TestResult], only_failed: bool, output: &Output) -> String {
    let mut table = Table::new(&[("", Side::Left), ("", Side::Left), ("", Side::Left)]);
    let is_passed = |result: &&TestResult| result.status == Status::Passed;
    for result in results.iter().filter(|result| is_passed(result) && !only_failed) {
        let metrics = result.finding.metrics.iter();
        let metrics: Vec<_> = metrics.map(|m| format!("{} {}", m.name, m.value)).collect();
        let test = format!("{} {}", result.status.name(), result.test);
        table.row([test, result.node.full_name(), metrics.join(", ")]);
    }
    let mut text = table.lines("");
    for result in results.iter().filter(|result| !is_passed(result)) {
        let ink = if result.status == Status::NotRun { Ink::Faint } else { Ink::Bad };
        let status = output.paint(ink, result.status.name());
        let (test, model) = (crate::text::shown(&result.test), result.node.full_name());
        text += &format!("{status} {test}  {}", output.paint(Ink::Name, &model));
        let reasons = crate::text::shown(&result.reasons.join("; "));
        text += &format!("  {reasons}\n");
        // The end says why.
        let lines: Vec<&str> = result.finding.output.lines().collect();
        let before = lines.len().saturating_sub(OUTPUT_LINES);
        if before > 0 {
            text += &format!("    ({} before)\n", count(before as u64, "line"));
        }
        for line in lines.iter().skip(before) {
            text += &format!("    {}\n", crate::text::shown(line));
        }
    }
    text
}
