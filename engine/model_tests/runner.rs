//! Running tests on models: what is known is looked up, the rest is done side by side.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::external::{External, run_command};
use super::open_models::{OpenModels, Opened};
use super::report::{RunReport, Status, TestResult};
use super::side_by_side::side_by_side;
use super::summaries::{BATCH_MAX, Summaries, Summarised, Unkept};
use super::{CommandTrust, Finding, Metric, Summary, Test, TestError, TestFailure, What};
use crate::container::full_message;
use crate::lineage::{Node, NodeId};
use crate::store::{Model, Snapshot, Store, TestResultRow};
use crate::tensor::ContentId;

/// A test in the program itself. [`RunOptions::code`] gives it to a run, under the name by which a
/// registered test asks for it ([`What::Code`]).
///
/// ```
/// use mgit::Model;
/// use mgit::model_tests::{Metric, ModelTest, TestFailure};
///
/// struct Mean;
///
/// impl ModelTest for Mean {
///     fn version(&self) -> String {
///         "1".into()
///     }
///
///     fn run(&self, model: &Model) -> Result<Vec<Metric>, TestFailure> {
///         let values = model.tensor("head.weight")?.view()?.to_f32()?;
///         let mean = values.iter().sum::<f32>() / values.len() as f32;
///         Ok(vec![Metric::new("mean", mean, None)])
///     }
/// }
/// ```
pub trait ModelTest: Sync {
    /// Whatever changes what it finds, such as a version and the hash of its data: results are
    /// kept by it.
    fn version(&self) -> String;

    /// Looks at a model: its tensors are read as they are stored. `Ok` holds its metrics.
    ///
    /// # Errors
    ///
    /// Why the model fails.
    fn run(&self, model: &Model) -> Result<Vec<Metric>, TestFailure>;
}

/// Told of each run that ended: test, model, and the bytes read of tensors so far.
pub type Watch<'a> = dyn Fn(&str, &str, u64) + Sync + 'a;

/// How tests are run.
#[derive(Clone, Default)]
pub struct RunOptions<'a> {
    /// The number of tests that run at the same time; 0: one for each core.
    pub jobs: usize,
    /// Run also what is known.
    pub fresh: bool,
    /// Run nothing: only what is known is told.
    pub known_only: bool,
    /// Which commands may run.
    pub trust: CommandTrust,
    /// Where models are written for commands; none for the system's temporary folder.
    pub work_folder: Option<PathBuf>,
    /// The program's own tests, by name.
    pub code: HashMap<String, &'a dyn ModelTest>,
    /// Set to end early: commands are killed.
    pub cancel: Option<&'a AtomicBool>,
    /// Told of each run that ended.
    pub progress: Option<&'a Watch<'a>>,
}

impl<'a> RunOptions<'a> {
    /// Gives the runner a test of the program's own, which registered tests name by
    /// [`What::Code`].
    pub fn code(mut self, name: impl Into<String>, test: &'a dyn ModelTest) -> Self {
        self.code.insert(name.into(), test);
        self
    }
}

impl std::fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// A run's raw outcome.
#[derive(Clone, Debug)]
enum Raw {
    Found { finding: Finding, was_known: bool },
    Error(String),
    NotRun(String),
}

impl Raw {
    fn finding(&self) -> Option<&Finding> {
        match self {
            Raw::Found { finding, .. } => Some(finding),
            _ => None,
        }
    }
}

/// Runs tests on the models of one snapshot.
pub struct Runner<'a> {
    snapshot: &'a Snapshot,
    options: RunOptions<'a>,
    bytes_read: AtomicU64,
    runs: AtomicU64,
    new_rows: Mutex<Vec<TestResultRow>>,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A panic elsewhere has not left the rows half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a test is run on once: the test's place, the model's content, and its name for a command
/// that asks for it.
type Group = (usize, ContentId, String);

fn group_of(at: usize, test: &Test, node: &Node) -> Group {
    let name = match &test.what {
        What::Command(t) if t.placeholders().any(|name| name == "name") => node.full_name(),
        _ => String::new(),
    };
    (at, node.row.manifest, name)
}

fn set(answers: &mut [Option<Raw>], place: usize, raw: Raw) {
    if let Some(answer) = answers.get_mut(place) {
        *answer = Some(raw);
    }
}

impl<'a> Runner<'a> {
    /// A runner on a snapshot.
    pub fn new(snapshot: &'a Snapshot, options: RunOptions<'a>) -> Self {
        let (bytes_read, runs) = (AtomicU64::new(0), AtomicU64::new(0));
        Runner { snapshot, options, bytes_read, runs, new_rows: Mutex::default() }
    }

    fn jobs(&self) -> usize {
        match self.options.jobs {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            jobs => jobs,
        }
    }

    /// Runs each test on those of the models that it is for, and keeps in `store` what will be
    /// found again; without a store that is left to the caller. Models that bounds are measured
    /// against are tested too.
    ///
    /// # Errors
    ///
    /// Those of the catalogue. A model that is damaged, or a command that cannot be run, is a
    /// result of its own.
    pub fn run(
        &self,
        store: Option<&Store>,
        tests: &[Test],
        nodes: &[Node],
    ) -> Result<RunReport, TestError> {
        let mut wanted: Vec<(usize, Node)> = Vec::new();
        for node in nodes {
            let of = tests.iter().enumerate().filter(|(_, test)| test.on.matches(node));
            wanted.extend(of.map(|(at, _)| (at, node.clone())));
        }
        let mut all: Vec<(usize, Node)> = Vec::new();
        let mut seen = HashSet::new();
        for (at, node) in &wanted {
            let Some(test) = tests.get(*at) else { continue };
            let before = self.before(test, node.id)?.into_iter();
            for node in std::iter::once(node.clone()).chain(before.map(|(_, node)| node)) {
                if seen.insert((*at, node.id)) {
                    all.push((*at, node));
                }
            }
        }
        let (raw, summaries) = self.run_raw(tests, &all)?;
        let raw: HashMap<(usize, NodeId), Raw> =
            all.iter().map(|(at, node)| (*at, node.id)).zip(raw).collect();
        let mut report = RunReport::default();
        for (at, node) in wanted {
            let Some((test, found)) = tests.get(at).zip(raw.get(&(at, node.id))) else { continue };
            report.results.push(self.judge(test, node, found, &|id| {
                raw.get(&(at, id)).and_then(Raw::finding).cloned()
            })?);
        }
        report.bytes_read = self.bytes_read.load(Ordering::Relaxed);
        report.runs = self.runs.load(Ordering::Relaxed);
        let unkept = Unkept { rows: std::mem::take(&mut *lock(&self.new_rows)), summaries };
        report.not_kept = store.and_then(|store| unkept.keep(store).err());
        if store.is_none() || report.not_kept.is_some() {
            report.unkept = unkept;
        }
        Ok(report)
    }

    /// The nodes that a test's bounds are measured against: whether as a parent, and which.
    fn before(&self, test: &Test, id: NodeId) -> Result<Vec<(bool, Node)>, TestError> {
        let graph = self.snapshot.graph();
        let mut nodes = Vec::new();
        if test.bounds.iter().any(super::Bound::needs_parents) {
            for edge in graph.parents(id)? {
                nodes.push((true, graph.expect(edge.parent)?));
            }
        }
        if test.bounds.iter().any(super::Bound::needs_previous)
            && let Some(previous) = graph.previous(id)?
        {
            nodes.push((false, graph.expect(previous)?));
        }
        Ok(nodes)
    }

    fn judge(
        &self,
        test: &Test,
        node: Node,
        raw: &Raw,
        finding_of: &dyn Fn(NodeId) -> Option<Finding>,
    ) -> Result<TestResult, TestError> {
        let name = test.name.clone();
        let (finding, was_known) = match raw {
            Raw::Found { finding, was_known } => (finding.clone(), *was_known),
            Raw::Error(reason) | Raw::NotRun(reason) => {
                let is_error = matches!(raw, Raw::Error(_));
                let status = if is_error { Status::Error } else { Status::NotRun };
                let (reasons, finding) = (vec![reason.clone()], Finding::default());
                return Ok(TestResult {
                    test: name,
                    node,
                    status,
                    reasons,
                    finding,
                    was_known: false,
                });
            }
        };
        let mut reasons: Vec<String> = finding.failure.iter().cloned().collect();
        let before = self.before(test, node.id)?;
        for bound in &test.bounds {
            let Some(value) = finding.value(bound.metric()) else {
                reasons.push(format!("{bound} cannot be judged: it gave no {}", bound.metric()));
                continue;
            };
            let against = before.iter().filter(|(is_parent, _)| match is_parent {
                true => bound.needs_parents(),
                false => bound.needs_previous(),
            });
            let values: Vec<(String, Option<f64>)> = against
                .map(|(_, node)| {
                    let value = finding_of(node.id).and_then(|found| found.value(bound.metric()));
                    (node.full_name(), value)
                })
                .collect();
            reasons.extend(bound.broken_by(value, &values));
        }
        let status = if reasons.is_empty() { Status::Passed } else { Status::Failed };
        Ok(TestResult { test: name, node, status, reasons, finding, was_known })
    }

    fn run_raw(
        &self,
        tests: &[Test],
        all: &[(usize, Node)],
    ) -> Result<(Vec<Raw>, Summaries), TestError> {
        let opened = OpenModels::of(self.snapshot, tests, all)?;
        let summaries = self.summaries(&opened.summarised(tests, all))?;
        // Equal content is tested once, whatever its names.
        let mut groups: HashMap<Group, Vec<usize>> = HashMap::new();
        let mut answers: Vec<Option<Raw>> = vec![None; all.len()];
        for (place, (at, node)) in all.iter().enumerate() {
            let Some(test) = tests.get(*at) else { continue };
            let model = match opened.model(node.id) {
                Some(Ok(model)) => model,
                Some(Err(reason)) => {
                    set(&mut answers, place, Raw::Error(reason.clone()));
                    continue;
                }
                None => continue,
            };
            if let What::Builtin(builtin) = &test.what {
                let parents = opened.parents(node.id);
                let raw = judge_builtin(*builtin, model, &parents, &summaries, &self.options);
                set(&mut answers, place, raw);
                continue;
            }
            groups.entry(group_of(*at, test, node)).or_default().push(place);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_unstable_by_key(|(_, places)| places.first().copied());
        let found = self.run_groups(tests, all, &opened, &groups);
        for ((_, places), raw) in groups.iter().zip(found) {
            for place in places {
                set(&mut answers, *place, raw.clone());
            }
        }
        let none = || Raw::NotRun("it was not asked for".to_owned());
        let answers = answers.into_iter().map(|answer| answer.unwrap_or_else(none)).collect();
        Ok((answers, summaries))
    }

    /// Runs each test once on each content. The answers are in the order of the groups.
    fn run_groups(
        &self,
        tests: &[Test],
        all: &[(usize, Node)],
        opened: &OpenModels,
        groups: &[(Group, Vec<usize>)],
    ) -> Vec<Raw> {
        let run_ids: Vec<Result<ContentId, String>> =
            tests.iter().map(|test| self.run_id(test)).collect();
        side_by_side(self.jobs(), groups, |((at, manifest, name), places)| {
            let node = places.first().and_then(|place| all.get(*place));
            let (Some(test), Some((_, node))) = (tests.get(*at), node) else {
                return Raw::NotRun(String::new());
            };
            let run = match run_ids.get(*at) {
                Some(Ok(id)) => ContentId::of(&[&id.as_bytes()[..], name.as_bytes()].concat()),
                Some(Err(reason)) => return Raw::NotRun(reason.clone()),
                None => return Raw::NotRun(String::new()),
            };
            match opened.model(node.id) {
                Some(Ok(model)) => self.run_one(test, model, run, *manifest),
                _ => Raw::NotRun(String::new()),
            }
        })
    }

    /// What the results of a test are kept under; why it cannot be run.
    fn run_id(&self, test: &Test) -> Result<ContentId, String> {
        match &test.what {
            What::Builtin(_) => Ok(ContentId::NONE),
            What::Command(template) => {
                // Nor are files of this user's read at the word of a store.
                self.options.trust.check(template).map_err(|error| full_message(&error))?;
                let id = template.fingerprint().map_err(|error| full_message(&error))?;
                Ok(ContentId::of(&[b"mgit test command 1\0", &id.as_bytes()[..]].concat()))
            }
            What::Code(name) => match self.options.code.get(name) {
                Some(code) => {
                    let text = format!("mgit test code 1\0{name}\0{}", code.version());
                    Ok(ContentId::of(text.as_bytes()))
                }
                None => Err(format!("the test {name:?} is part of a program, and not of this one")),
            },
        }
    }

    fn run_one(&self, test: &Test, model: &Model, run: ContentId, manifest: ContentId) -> Raw {
        if !self.options.fresh {
            match self.snapshot.test_result(run, manifest) {
                Ok(row) => {
                    if let Some(finding) = row.and_then(|row| Finding::decode(&row)) {
                        return Raw::Found { finding, was_known: true };
                    }
                }
                Err(error) => return Raw::Error(full_message(&error)),
            }
        }
        if self.options.known_only {
            return Raw::NotRun("it was not run on this content".to_owned());
        }
        if self.options.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Raw::NotRun("cancelled".to_owned());
        }
        self.runs.fetch_add(1, Ordering::Relaxed);
        let external = match &test.what {
            What::Command(template) => {
                let work = self.options.work_folder.clone().unwrap_or_else(std::env::temp_dir);
                run_command(test, template, model, &work, self.options.cancel)
            }
            What::Code(name) => match self.options.code.get(name) {
                Some(code) => Ok(run_code(*code, model)),
                None => Err("it is not part of this program".to_owned()),
            },
            What::Builtin(_) => Err("it was judged before".to_owned()),
        };
        self.tell(&test.name, &model.full_name());
        match external {
            Ok(External { finding, is_lasting: true }) => {
                lock(&self.new_rows).push((run, manifest, finding.encode()));
                Raw::Found { finding, was_known: false }
            }
            Ok(External { finding, is_lasting: false }) => Raw::Error(match &finding.failure {
                Some(failure) => match &test.what {
                    What::Command(_) => format!("{failure}: {}", last_line(&finding.output)),
                    _ => failure.clone(),
                },
                None => "it ended in an unknown way".to_owned(),
            }),
            Err(reason) => Raw::Error(reason),
        }
    }

    fn tell(&self, test: &str, model: &str) {
        if let Some(progress) = self.options.progress {
            progress(test, model, self.bytes_read.load(Ordering::Relaxed));
        }
    }

    /// The summaries of every tensor of some models: those that are kept, and the others each
    /// read once.
    fn summaries(&self, models: &[&Model]) -> Result<Summaries, TestError> {
        let mut summaries = Summaries::of(models);
        let mut missing: Vec<u32> = Vec::new();
        for at in 0..summaries.len() {
            let Some((id, dtype)) = summaries.key(at) else { continue };
            if !Summary::is_possible(dtype) {
                summaries.set(at, Ok(None));
                continue;
            }
            let kept = match self.options.fresh {
                true => None,
                false => self.snapshot.test_result(Summary::run_id(dtype), id)?,
            };
            match kept.and_then(|row| Summary::decode(&row)) {
                Some(summary) => summaries.set(at, Ok(Some(summary))),
                None => missing.push(at as u32),
            }
        }
        if self.options.known_only || missing.is_empty() {
            return Ok(summaries);
        }
        // The longest first, so that none is left alone at the end.
        missing.sort_by_key(|at| std::cmp::Reverse(summaries.byte_len(*at as usize, models)));
        let read = |len| {
            self.bytes_read.fetch_add(len, Ordering::Relaxed);
        };
        for batch in missing.chunks(BATCH_MAX) {
            let found = side_by_side(self.jobs(), batch, |at| {
                let tensor = summaries.tensor(*at as usize, models)?;
                let summary = Summary::of(&tensor, &read).map_err(|error| full_message(&error));
                self.tell("", tensor.name());
                Some(summary)
            });
            for (at, summary) in batch.iter().zip(found) {
                summary.into_iter().for_each(|found| summaries.set_new(*at as usize, found));
            }
        }
        Ok(summaries)
    }
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or("it wrote nothing")
}

fn judge_builtin(
    builtin: super::Builtin,
    model: &Model,
    parents: &[Option<&Opened>],
    summaries: &Summaries,
    options: &RunOptions<'_>,
) -> Raw {
    let start = Instant::now();
    // Each is known, or why it is not is the answer.
    let check = |model: &Model| -> Result<(), Raw> {
        model.manifest().tensors.iter().try_for_each(|tensor| match summaries.get(tensor) {
            Some(Ok(_)) => Ok(()),
            Some(Err(reason)) => Err(Raw::Error(format!("{}: {reason}", tensor.name))),
            None => Err(Raw::NotRun("it was not run on this content".to_owned())),
        })
    };
    let judge = || -> Result<Finding, Raw> {
        check(model)?;
        let mut theirs = Vec::new();
        for parent in parents {
            match parent {
                Some(Ok(parent)) => {
                    check(parent)?;
                    theirs.push(Summarised { model: parent, summaries });
                }
                Some(Err(reason)) => return Err(Raw::Error(format!("a parent: {reason}"))),
                None => return Err(Raw::Error("a parent is missing".to_owned())),
            }
        }
        Ok(builtin.judge(&Summarised { model, summaries }, &theirs))
    };
    match judge() {
        Ok(mut finding) => {
            finding.seconds = start.elapsed().as_secs_f64();
            Raw::Found { finding, was_known: options.known_only }
        }
        Err(raw) => raw,
    }
}

/// A panic of the test is its failure, and no other's.
fn run_code(code: &dyn ModelTest, model: &Model) -> External {
    let start = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| code.run(model)));
    let found = ran.unwrap_or_else(|_| Err(TestFailure::passing("it panicked")));
    let is_lasting = found.as_ref().err().is_none_or(TestFailure::is_lasting);
    let seconds = start.elapsed().as_secs_f64();
    let finding = match found {
        Ok(metrics) => Finding { metrics, seconds, ..Finding::default() },
        Err(failure) => {
            Finding { failure: Some(failure.to_string()), seconds, ..Finding::default() }
        }
    };
    External { finding, is_lasting }
}
