//! The run of an update: functions side by side, every model a commit of its own.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::make::{Addition, guarded, parents_of};
use super::plan::{Event, Step, StepSource, StepState, Update, UpdatePlan};
use super::{Draft, Functions, Input, Inputs, Recipe, UpdateError, UpdateMarker};
use crate::lineage::{How, LineageError, Node, NodeId};
use crate::store::{ImportReport, Snapshot, Store};

/// Why an update has ended before everything was tried.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stopped {
    /// It was told to.
    Told,
    /// The store has failed.
    Failed(UpdateError),
}

/// What an update did. Steps are numbered as in the plan.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Outcome {
    /// What it set out to do.
    pub plan: UpdatePlan,
    /// The models it made, in the order of their commits.
    pub made: Vec<(usize, ImportReport)>,
    /// The models whose function failed.
    pub failed: Vec<(usize, UpdateError)>,
    /// The models that were not tried, because one that they need could not be made.
    pub blocked: Vec<usize>,
    /// Why it ended before its end, if it did.
    pub stopped: Option<Stopped>,
}

impl Outcome {
    /// Whether everything that was planned is made.
    pub fn is_complete(&self) -> bool {
        self.made.len() == self.plan.left()
    }
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Running,
    Made(NodeId),
    Failed,
    Blocked,
}

/// What the threads of a run share.
struct Work {
    progress: Vec<Progress>,
    made: Vec<(usize, ImportReport)>,
    failed: Vec<(usize, UpdateError)>,
    blocked: Vec<usize>,
    stopped: Option<Stopped>,
}

/// What a thread finds to do.
enum Next {
    Make(usize),
    Block(usize),
    Wait,
    End,
}

impl Work {
    fn new(plan: &UpdatePlan) -> Self {
        let progress = |step: &Step| match &step.state {
            StepState::Made(node) => Progress::Made(node.id),
            _ => Progress::Waiting,
        };
        Work {
            progress: plan.steps.iter().map(progress).collect(),
            made: Vec::new(),
            failed: Vec::new(),
            blocked: Vec::new(),
            stopped: None,
        }
    }

    fn of(&self, step: usize) -> Progress {
        self.progress.get(step).copied().unwrap_or(Progress::Blocked)
    }

    fn set(&mut self, step: usize, progress: Progress) {
        if let Some(place) = self.progress.get_mut(step) {
            *place = progress;
        }
    }

    fn next(&self, plan: &UpdatePlan) -> Next {
        if self.stopped.is_some() {
            return Next::End;
        }
        for (at, step) in plan.steps.iter().enumerate() {
            if self.of(at) != Progress::Waiting {
                continue;
            }
            let needed = step.parents.iter().filter_map(|parent| match parent.to {
                StepSource::Step(step) => Some(self.of(step)),
                StepSource::Node(_) => None,
            });
            let needed: Vec<Progress> = needed.collect();
            if needed.iter().any(|it| matches!(it, Progress::Failed | Progress::Blocked)) {
                return Next::Block(at);
            }
            let open = |it: &Progress| matches!(it, Progress::Waiting | Progress::Running);
            let older = step.after.iter().map(|step| self.of(*step));
            if !needed.into_iter().chain(older).any(|it| open(&it)) {
                return Next::Make(at);
            }
        }
        if self.progress.contains(&Progress::Running) { Next::Wait } else { Next::End }
    }
}

/// A run of a plan.
struct Run<'r, 'a> {
    update: &'r Update<'a>,
    store: &'r Store,
    functions: &'r Functions,
    plan: &'r UpdatePlan,
    work: Mutex<Work>,
    changed: Condvar,
}

impl Update<'_> {
    /// Makes what is to be made: every model in a commit of its own, behind what it needs. One that
    /// cannot be made keeps back only what needs it.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan); [`UpdateError::Begun`] when an earlier run was cut short and
    /// [`resume`](Self::resume) was not said. What goes wrong later is in the outcome.
    pub fn run(&self, store: &Store, functions: &Functions) -> Result<Outcome, UpdateError> {
        let plan = self.plan(&store.snapshot()?)?;
        let (made, left) = (plan.made(), plan.left());
        if made > 0 && left > 0 && !self.resume {
            return Err(UpdateError::Begun { made, left });
        }
        let work = Mutex::new(Work::new(&plan));
        let run =
            Run { update: self, store, functions, plan: &plan, work, changed: Condvar::new() };
        std::thread::scope(|scope| {
            let jobs = self.jobs.min(left);
            for _ in 1..jobs {
                // A thread that cannot be had is not waited for: this one does the work.
                let steps = || run.take_steps();
                let _ = std::thread::Builder::new().spawn_scoped(scope, steps);
            }
            if jobs > 0 {
                run.take_steps();
            }
        });
        let Work { made, failed, blocked, stopped, .. } =
            run.work.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Outcome { plan, made, failed, blocked, stopped })
    }
}

impl Run<'_, '_> {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: Event<'_>) {
        let Some(watch) = &self.update.watch else { return };
        // A panic must not leave the other threads waiting.
        let told = catch_unwind(AssertUnwindSafe(|| watch(event)));
        if !matches!(told, Ok(ControlFlow::Continue(()))) {
            self.lock().stopped.get_or_insert(Stopped::Told);
        }
    }

    /// Does what there is to do, until nothing is left.
    fn take_steps(&self) {
        loop {
            let mut work = self.lock();
            let (at, blocked) = match work.next(self.plan) {
                Next::End => {
                    self.changed.notify_all();
                    return;
                }
                Next::Wait => {
                    let _waited = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Next::Make(at) => (at, false),
                Next::Block(at) => (at, true),
            };
            let Some(step) = self.plan.steps.get(at) else { return };
            if blocked {
                work.set(at, Progress::Blocked);
                work.blocked.push(at);
                drop(work);
                self.tell(Event::Blocked(step));
            } else {
                work.set(at, Progress::Running);
                drop(work);
                self.tell(Event::Begins(step));
                self.finish(at, step, self.make(step));
            }
            self.changed.notify_all();
        }
    }

    /// Notes how a step ended.
    fn finish(&self, at: usize, step: &Step, made: Result<Made, UpdateError>) {
        match made {
            Ok(Made::Now(report)) => {
                let mut work = self.lock();
                work.set(at, Progress::Made(report.node.id));
                work.made.push((at, (*report).clone()));
                drop(work);
                self.tell(Event::Made(step, &report));
            }
            Ok(Made::Before(node)) => self.lock().set(at, Progress::Made(node.id)),
            Err(UpdateError::Interrupted) => self.lock().set(at, Progress::Waiting),
            Err(error) if error.is_fatal() => {
                let mut work = self.lock();
                work.set(at, Progress::Waiting);
                work.stopped = Some(Stopped::Failed(error));
            }
            Err(error) => {
                self.tell(Event::Failed(step, &error));
                let mut work = self.lock();
                work.set(at, Progress::Failed);
                work.failed.push((at, error));
            }
        }
    }

    /// The nodes that take the places of a step's parents.
    fn sources(&self, step: &Step) -> Vec<NodeId> {
        let work = self.lock();
        let source = |source: &StepSource| match source {
            StepSource::Node(node) => Some(node.id),
            StepSource::Step(step) => match work.of(*step) {
                Progress::Made(id) => Some(id),
                _ => None,
            },
        };
        step.parents.iter().filter_map(|parent| source(&parent.to)).collect()
    }

    fn make(&self, step: &Step) -> Result<Made, UpdateError> {
        let function = match &step.state {
            StepState::ToDo(function) => function,
            StepState::Impossible(reason) => {
                let twice = |it: &Node| LineageError::DuplicateParent { parent: it.full_name() };
                let twice = step.twice().map(|it| twice(it).into());
                return Err(twice.unwrap_or_else(|| UpdateError::failed(reason)));
            }
            StepState::Made(node) => return Ok(Made::Before(node.clone())),
        };
        let sources = self.sources(step);
        let creation = self.functions.get(function)?;
        let snapshot = self.store.snapshot()?;
        let mut inputs = self.inputs(&snapshot, step, &sources)?;
        inputs.making = step.node.full_name();
        if !creation.takes_old(&inputs) {
            (inputs.old, inputs.old_parents) = (None, Vec::new());
        }
        let draft = guarded(&*creation, &inputs)?;
        if self.lock().stopped.is_some() {
            return Err(UpdateError::Interrupted);
        }
        let edges: Vec<(NodeId, How)> =
            sources.iter().zip(&step.parents).map(|(source, it)| (*source, it.how)).collect();
        let marker = UpdateMarker {
            plan: self.plan.id.clone(),
            of: step.node.id,
            old: self.plan.old.id,
            new: self.plan.new.id,
        };
        let row = &step.node.row;
        let addition = Addition {
            name: &row.name,
            kind: &row.kind,
            edges: &edges,
            recipe: &Recipe::of(function, &inputs),
            marker: Some(&marker),
            profile: self.update.profile,
        };
        let added = self.add(step, &snapshot, &addition, &marker, &draft);
        added.map_err(|error| draft.not_added(error))
    }

    fn add(
        &self,
        step: &Step,
        before: &Snapshot,
        addition: &Addition<'_>,
        marker: &UpdateMarker,
        draft: &Draft,
    ) -> Result<Made, UpdateError> {
        let mut transaction = self.store.begin_write()?;
        // Another run of this update may have been quicker.
        if let Some(node) = UpdateMarker::find(&transaction.graph()?, &marker.plan, &step.node)? {
            return Ok(Made::Before(node));
        }
        addition.check_inputs(draft, &transaction, before)?;
        let mut report = transaction.add_model(addition.model(draft))?;
        transaction.commit()?;
        report.notes = draft.notes();
        Ok(Made::Now(Box::new(report)))
    }

    fn inputs(
        &self,
        snapshot: &Snapshot,
        step: &Step,
        sources: &[NodeId],
    ) -> Result<Inputs, UpdateError> {
        let graph = snapshot.graph();
        let recipe = step.recipe.as_ref();
        if let Some(recipe) = recipe.filter(|recipe| recipe.parents.len() != sources.len()) {
            let (told, found) = (recipe.parents.len(), sources.len());
            let reason = format!("its recipe takes {told} parents, and it has {found}");
            return Err(UpdateError::inputs(reason));
        }
        let mut inputs = Inputs {
            old: Some(snapshot.model_of(step.node.clone())?),
            old_parents: parents_of(snapshot, step.node.id)?,
            seed: seed_of(self.plan, &step.node),
            ..Inputs::default()
        };
        if let Some(recipe) = recipe {
            inputs.parameters = recipe.parameters.clone();
            inputs.command = recipe.command.clone();
            inputs.seed = recipe.seed;
        }
        for (place, (source, parent)) in sources.iter().zip(&step.parents).enumerate() {
            let role = match recipe.and_then(|recipe| recipe.parents.get(place)) {
                Some(parent) => parent.role.clone(),
                None => graph.expect(parent.from)?.row.name,
            };
            let model = snapshot.model_of(graph.expect(*source)?)?;
            inputs.parents.push(Input { role, model });
        }
        Ok(inputs)
    }
}

/// A model that a step has, or had already.
enum Made {
    Now(Box<ImportReport>),
    Before(Node),
}

/// A seed for a model that has no recipe yet: the same whenever the update is resumed.
fn seed_of(plan: &UpdatePlan, node: &Node) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(plan.id.as_bytes()).update(&node.id.0);
    let bytes = hasher.finalize();
    let first = bytes.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first) >> 11
}
