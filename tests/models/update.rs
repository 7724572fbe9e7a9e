//! Promise: an update makes exactly the models that need it, each once, parents first, with the
//! right edges, whatever the graph; skips and stops have effect; cut off after any commit it goes
//! on to the same graph; a failure keeps back only what stands on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{memory_folder, shape, write};
use mgit::error::{LineageError, StoreError};
use mgit::lineage::Node;
use mgit::update::{
    Draft, Event, Functions, Inputs, Make, Outcome, StepState, Stopped, Update, UpdateError,
    UpdateMarker, UpdateMethod,
};
use mgit::{Dtype, How, NewModel, NewTensor, Snapshot, Store};
use proptest::prelude::*;
use tempfile::TempDir;

/// A parent of a model that is made: one that is there, or one that is made too by its old name;
/// and how.
type Made = (Result<String, String>, How);

/// Takes the sum of its parents and a little more. Cheap, and different for every model.
fn functions() -> Functions {
    Functions::new().with("sum", |inputs: &Inputs| {
        let mut sum = 1.0;
        for parent in &inputs.parents {
            sum += parent.model.tensor("w")?.view()?.as_slice::<f32>()?[0];
        }
        Draft::new().floats("w", [1], vec![sum])
    })
}

fn add(store: &Store, name: &str, parents: &[String], value: f32) {
    let bytes = value.to_le_bytes();
    let tensor = NewTensor::from_bytes("w", Dtype::F32, shape(&[1]), &bytes);
    let hows = How::ALL.iter().cycle();
    let new =
        parents.iter().zip(hows).fold(NewModel::new(name), |new, (p, how)| new.parent(p, *how));
    write(store, |t| t.add_model(new.kind("toy").tensor(tensor)).map(drop)).unwrap();
}

fn sum() -> UpdateMethod {
    UpdateMethod::Function("sum".to_owned())
}

/// A model as the oracle knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    name: String,
    version: usize,
    parents: Vec<(String, How)>,
    previous: Option<String>,
    /// What an update has made it in the place of.
    of: Option<String>,
}

impl Plain {
    fn full(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// A graph as a plain list, in the order in which its models were added.
#[derive(Clone, Debug, Default)]
struct PlainGraph(Vec<Plain>);

impl PlainGraph {
    fn add(&mut self, name: &str, parents: Vec<(String, How)>, of: Option<String>) -> String {
        let versions = self.0.iter().filter(|it| it.name == name).count();
        let previous = (versions > 0).then(|| format!("{name}@{versions}"));
        let version = versions + 1;
        self.0.push(Plain { name: name.to_owned(), version, parents, previous, of });
        format!("{name}@{version}")
    }

    fn get(&self, full: &str) -> &Plain {
        self.0.iter().find(|it| it.full() == full).unwrap()
    }

    /// The names of the newer versions of a model.
    fn newer(&self, full: &str) -> Vec<String> {
        let it = self.get(full);
        let newer = self.0.iter().filter(|o| o.name == it.name && o.version > it.version);
        newer.map(Plain::full).collect()
    }

    fn stands_on(&self, child: &str, parent: &str) -> bool {
        let parents = &self.get(child).parents;
        parents.iter().any(|(p, _)| p == parent || self.stands_on(p, parent))
    }
}

/// What an update does.
#[derive(Default)]
struct Expected {
    /// The models that are made, and what each descends from: made ones as what they are made of.
    made: BTreeMap<String, Vec<Made>>,
    /// Those that would have a parent twice.
    failed: BTreeSet<String>,
    /// Those that stand on one that cannot be made.
    blocked: BTreeSet<String>,
}

/// The naive way to see what an update does: every rule as it is said, by recursion.
struct Oracle<'o> {
    graph: &'o PlainGraph,
    old: &'o str,
    new: &'o str,
    skip: &'o dyn Fn(&str) -> bool,
    stop: &'o dyn Fn(&str) -> bool,
}

impl Oracle<'_> {
    /// The old model, or a version between it and the new one that descends from it.
    fn is_replaced(&self, full: &str) -> bool {
        let older = self.graph.newer(full).contains(&self.new.to_owned());
        full == self.old || older && self.is_behind(full)
    }

    /// Whether there is a way from the old model that no stop and not the new model cuts.
    fn is_behind(&self, full: &str) -> bool {
        full != self.new
            && self
                .graph
                .get(full)
                .parents
                .iter()
                .any(|(p, _)| self.is_replaced(p) || (self.is_behind(p) && !(self.stop)(p)))
    }

    fn is_reached(&self, full: &str) -> bool {
        self.is_behind(full) && !self.is_replaced(full)
    }

    fn is_on_new(&self, full: &str) -> bool {
        full == self.new || self.graph.stands_on(full, self.new)
    }

    fn is_wanted(&self, full: &str) -> bool {
        if !self.is_reached(full) || (self.skip)(full) {
            return false;
        }
        let newer = self.graph.newer(full);
        if newer.iter().any(|v| self.is_on_new(v) && !self.is_reached(v)) {
            return false;
        }
        let is_child = |it: &&Plain| it.parents.iter().any(|(p, _)| p == full);
        newer.iter().all(|v| self.is_on_new(v))
            || self.graph.0.iter().filter(is_child).any(|it| self.is_wanted(&it.full()))
    }

    fn is_made(&self, full: &str) -> bool {
        let is_new = |(parent, _): &(String, How)| {
            let upstream = self.is_replaced(parent) || self.is_reached(parent);
            upstream && (self.is_made(parent) || self.present(parent) != *parent)
        };
        self.is_wanted(full) && self.graph.get(full).parents.iter().any(is_new)
    }

    /// What stands in a parent's place, when it is not made.
    fn present(&self, full: &str) -> String {
        if self.is_replaced(full) || full == self.new {
            return self.new.to_owned();
        }
        let newer = self.graph.newer(full);
        newer.into_iter().rfind(|v| !self.is_reached(v)).unwrap_or_else(|| full.to_owned())
    }

    /// What is made, and what cannot be.
    fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for it in self.graph.0.iter().filter(|it| self.is_made(&it.full())) {
            let mut parents: Vec<Made> = Vec::new();
            for (parent, how) in &it.parents {
                let to = match self.is_made(parent) {
                    true => Err(parent.clone()),
                    false => Ok(self.present(parent)),
                };
                parents.push((to, *how));
            }
            let full = it.full();
            let is_kept_back = parents.iter().any(|(to, _)| match to {
                Ok(_) => false,
                Err(step) => !expected.made.contains_key(step),
            });
            let is_twice = |at: usize| parents[..at].iter().any(|(to, _)| *to == parents[at].0);
            if is_kept_back {
                expected.blocked.insert(full);
            } else if (0..parents.len()).any(is_twice) {
                expected.failed.insert(full);
            } else {
                expected.made.insert(full, parents);
            }
        }
        expected
    }
}

/// The graph of a store, with what the models of an update say of themselves.
fn graph_of(snapshot: &Snapshot) -> BTreeMap<String, Plain> {
    let graph = snapshot.graph();
    let name = |id| graph.expect(id).unwrap().full_name();
    let plain = |node: Node| {
        let parents = graph.parents(node.id()).unwrap();
        let previous = graph.previous(node.id()).unwrap();
        let of = UpdateMarker::read(&graph, node.id()).unwrap().map(|mark| name(mark.of));
        assert!(of.is_none() || node.kind() == "toy");
        Plain {
            name: node.name().to_owned(),
            version: node.version() as usize,
            parents: parents.iter().map(|edge| (name(edge.parent), edge.how)).collect(),
            previous: previous.map(name),
            of,
        }
    };
    snapshot.nodes().unwrap().into_iter().map(plain).map(|it| (it.full(), it)).collect()
}

/// A random graph, an update of it, and what is skipped and stopped at.
#[derive(Clone, Debug)]
struct Case {
    /// Of every model its name and its parents among those before it.
    models: Vec<(usize, Vec<usize>)>,
    old: usize,
    /// The new model's own parents.
    new: Vec<usize>,
    /// Models that are added when the new one is there, which may stand on it.
    later: Vec<(usize, Vec<usize>)>,
    skip: BTreeSet<usize>,
    stop: BTreeSet<usize>,
}

fn case() -> impl Strategy<Value = Case> {
    let model = || (0..8usize, proptest::collection::vec(0..64usize, 0..4));
    let few = || proptest::collection::btree_set(0..8usize, 0..3);
    (
        proptest::collection::vec(model(), 1..12),
        0..12usize,
        proptest::collection::vec(0..64usize, 0..2),
        proptest::collection::vec(model(), 0..3),
        few(),
        few(),
    )
        .prop_map(|(models, old, new, later, skip, stop)| Case {
            models,
            old,
            new,
            later,
            skip,
            stop,
        })
}

/// A case with its store: the models are there, the update is not.
struct Scene {
    folder: TempDir,
    graph: PlainGraph,
    old: String,
    new: String,
    skip: BTreeSet<String>,
    stop: BTreeSet<String>,
}

impl Scene {
    fn new(case: &Case) -> Self {
        let (folder, mut graph) = (memory_folder(), PlainGraph::default());
        let store = Store::create(folder.path().join("s")).unwrap();
        let mut add = |name: String, parents: &[usize]| {
            let count = graph.0.len();
            let parents: BTreeSet<usize> =
                parents.iter().filter(|_| count > 0).map(|p| p % count).collect();
            let parents: Vec<String> = parents.iter().map(|p| graph.0[*p].full()).collect();
            self::add(&store, &name, &parents, count as f32);
            let hows = How::ALL.iter().cycle().copied();
            graph.add(&name, parents.into_iter().zip(hows).collect(), None)
        };
        let mut all = Vec::new();
        for (name, parents) in &case.models {
            all.push(add(format!("m{name}"), parents));
        }
        let old = all[case.old % all.len()].clone();
        let new = add(old.split('@').next().unwrap().to_owned(), &case.new);
        for (name, parents) in &case.later {
            add(format!("m{name}"), parents);
        }
        let names = |set: &BTreeSet<usize>| set.iter().map(|name| format!("m{name}@1")).collect();
        let (skip, stop) = (names(&case.skip), names(&case.stop));
        Scene { folder, graph, old, new, skip, stop }
    }

    /// A copy of the store as it was before the update.
    fn store(&self, name: &str) -> Store {
        let path = self.folder.path().join(name);
        std::fs::copy(self.folder.path().join("s"), &path).unwrap();
        Store::open(path).unwrap()
    }

    fn update(&self) -> Update<'_> {
        Update::new(&self.old, &self.new)
            .method(sum())
            .skip(|node| self.skip.contains(&node.full_name()))
            .stop(|node| self.stop.contains(&node.full_name()))
    }

    fn run(&self, store: &Store, jobs: usize) -> Outcome {
        let outcome = self.update().jobs(jobs).resume(true).run(store, &functions()).unwrap();
        let is_twice = |(_, error): &(usize, UpdateError)| error.code() == "duplicate-parent";
        assert!(outcome.failed.iter().all(is_twice) && outcome.stopped.is_none(), "{outcome:?}");
        outcome
    }

    /// Checks a finished update against the oracle.
    fn check(&self, store: &Store, outcome: &Outcome) {
        let (skip, stop) = (|m: &str| self.skip.contains(m), |m: &str| self.stop.contains(m));
        let (old, new) = (self.old.as_str(), self.new.as_str());
        let oracle = Oracle { graph: &self.graph, old, new, skip: &skip, stop: &stop };
        let Expected { made: expected, failed, blocked } = oracle.expected();
        let of = |step: &usize| outcome.plan.steps[*step].node.full_name();
        assert_eq!(
            outcome.failed.iter().map(|(step, _)| of(step)).collect::<BTreeSet<_>>(),
            failed
        );
        assert_eq!(outcome.blocked.iter().map(of).collect::<BTreeSet<_>>(), blocked);
        let mut made: BTreeMap<String, String> = BTreeMap::new();
        let found = graph_of(&store.snapshot().unwrap());
        let before = self.graph.0.len();
        assert_eq!(found.len(), before + expected.len(), "{:?}", expected.keys());
        for (step, report) in &outcome.made {
            let of = outcome.plan.steps[*step].node.full_name();
            let full = report.node.full_name();
            let plain = &found[&full];
            assert_eq!(plain.of.as_deref(), Some(of.as_str()));
            // Parents first: they are made by now.
            let parents: Vec<(String, How)> = expected[&of]
                .iter()
                .map(|(to, how)| match to {
                    Ok(there) => (there.clone(), *how),
                    Err(step) => (made[step].clone(), *how),
                })
                .collect();
            assert_eq!(plain.parents, parents, "{of}");
            let newest = format!("{}@{}", plain.name, plain.version - 1);
            assert_eq!(plain.previous.as_ref(), Some(&newest));
            assert_eq!(made.insert(of, full), None, "made twice");
        }
        assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        // What was there is as it was.
        for it in &self.graph.0 {
            assert_eq!(found[&it.full()], *it);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn exactly_what_a_naive_oracle_says_is_made(case in case(), jobs in 1..3usize) {
        let scene = Scene::new(&case);
        let store = scene.store("a");
        let outcome = scene.run(&store, jobs);
        let kept_back = outcome.failed.len() + outcome.blocked.len();
        prop_assert_eq!(outcome.is_complete(), kept_back == 0);
        scene.check(&store, &outcome);
        // Once more makes nothing.
        let graph = graph_of(&store.snapshot().unwrap());
        let resume = kept_back > 0;
        let again = scene.update().resume(resume).run(&store, &functions()).unwrap();
        prop_assert!(again.made.is_empty() && again.plan.left() == kept_back, "{:?}", again.plan);
        prop_assert_eq!(again.plan.made(), outcome.made.len());
        prop_assert_eq!(graph_of(&store.snapshot().unwrap()), graph);
    }

    #[test]
    fn cut_off_after_any_commit_it_goes_on_to_the_same_graph(case in case(), jobs in 1..3usize) {
        let scene = Scene::new(&case);
        let whole = scene.store("whole");
        let outcome = scene.run(&whole, jobs);
        let graph = graph_of(&whole.snapshot().unwrap());
        for commits in 0..outcome.made.len() {
            let store = scene.store(&format!("cut-{commits}"));
            let made = AtomicUsize::new(0);
            let watch = |event: Event<'_>| match event {
                Event::Begins(_) if commits == 0 => ControlFlow::Break(()),
                Event::Made(..) if made.fetch_add(1, Ordering::SeqCst) + 1 == commits => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            };
            let cut = scene.update().watch(watch).run(&store, &functions()).unwrap();
            prop_assert!(matches!(cut.stopped, Some(Stopped::Told)));
            prop_assert_eq!(cut.made.len(), commits);
            // As after a kill: only what is committed is left.
            drop(store);
            let store = Store::open(scene.folder.path().join(format!("cut-{commits}"))).unwrap();
            if commits > 0 {
                let refused = scene.update().run(&store, &functions()).unwrap_err();
                let has_begun = matches!(refused, UpdateError::Begun { .. });
                prop_assert!(has_begun);
            }
            let rest = scene.run(&store, jobs);
            prop_assert_eq!(rest.made.len(), outcome.made.len() - commits);
            prop_assert_eq!(&graph_of(&store.snapshot().unwrap()), &graph);
        }
    }
}

/// A base, two tasks, a merge of both, what stands on it, and a task apart; then a new base.
fn diamond(folder: &TempDir) -> Store {
    let store = Store::create(folder.path().join("s")).unwrap();
    let parents = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    add(&store, "base", &[], 1.0);
    add(&store, "left", &parents(&["base"]), 2.0);
    add(&store, "right", &parents(&["base"]), 3.0);
    add(&store, "merged", &parents(&["left", "right"]), 4.0);
    add(&store, "pruned", &parents(&["merged"]), 5.0);
    add(&store, "apart", &parents(&["base"]), 6.0);
    add(&store, "base", &parents(&["base"]), 7.0);
    store
}

fn names(store: &Store) -> Vec<String> {
    store.snapshot().unwrap().nodes().unwrap().iter().map(Node::full_name).collect()
}

#[test]
fn a_failure_keeps_back_only_what_stands_on_it() {
    let folder = memory_folder();
    let store = diamond(&folder);
    let fails = |inputs: &Inputs| match inputs.old.as_ref().map(|old| old.node().name().to_owned())
    {
        Some(name) if name == "right" => Err(UpdateError::failed("no luck")),
        _ => Draft::new().floats("w", [1], vec![9.0]),
    };
    let functions = functions().with("sum", fails);
    let update = || Update::new("base@1", "base@2").method(sum());
    for jobs in [1, 2] {
        let outcome = update().jobs(jobs).resume(jobs == 2).run(&store, &functions).unwrap();
        let name = |step: &usize| outcome.plan.steps[*step].node.full_name();
        assert_eq!(outcome.failed.iter().map(|(s, _)| name(s)).collect::<Vec<_>>(), ["right@1"]);
        assert_eq!(outcome.failed[0].1.to_string(), "no luck");
        let blocked: BTreeSet<String> = outcome.blocked.iter().map(name).collect();
        assert_eq!(blocked, ["merged@1", "pruned@1"].map(str::to_owned).into());
        assert!(!outcome.is_complete() && outcome.stopped.is_none());
    }
    assert!(names(&store).contains(&"left@2".to_owned()));
    let rest = update().resume(true).run(&store, &self::functions()).unwrap();
    assert_eq!((rest.made.len(), rest.plan.made()), (3, 2));
    let found = graph_of(&store.snapshot().unwrap());
    let parents: Vec<&str> = found["merged@2"].parents.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(parents, ["left@2", "right@2"]);
}

#[test]
fn every_way_has_models_of_its_own_and_versions_by_hand_are_taken() {
    let folder = memory_folder();
    let store = diamond(&folder);
    add(&store, "right", &["base@2".to_owned()], 8.0);
    let update = |method| Update::new("base@1", "base@2").method(method);
    let by_sum = update(sum()).run(&store, &functions()).unwrap();
    assert_eq!(by_sum.made.len(), 4);
    let found = graph_of(&store.snapshot().unwrap());
    let parents: Vec<&str> = found["merged@2"].parents.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(parents, ["left@2", "right@2"], "right@2 was there");
    let by_rebase = update(UpdateMethod::Rebase).run(&store, &functions()).unwrap();
    assert_eq!(by_rebase.made.len(), 4);
    // 7 + (2 - 1): the change of the base, and what left had learned.
    let left = store.snapshot().unwrap().model("left@3").unwrap();
    assert_eq!(left.tensor("w").unwrap().view().unwrap().as_slice::<f32>().unwrap(), [8.0]);
    // By its recipes: the newest versions are rebases of models that had none.
    add(&store, "base", &["base@2".to_owned()], 10.0);
    let recorded = Update::new("base@2", "base@3").method(UpdateMethod::Recorded);
    let plan = recorded.plan(&store.snapshot().unwrap()).unwrap();
    let state = |name: &str| {
        let step = plan.steps.iter().find(|step| step.node.name() == name);
        step.map(|step| step.state.clone())
    };
    assert_eq!(state("left"), Some(StepState::ToDo("rebase".to_owned())));
    assert!(matches!(state("right"), Some(StepState::Impossible(_))), "made by hand");
    let outcome = recorded.run(&store, &functions()).unwrap();
    let made: BTreeSet<String> =
        outcome.made.iter().map(|(_, report)| report.node.full_name()).collect();
    assert_eq!(made, ["apart@4", "left@4"].map(str::to_owned).into());
    assert_eq!((outcome.failed.len(), outcome.blocked.len()), (1, 2));
}

#[test]
fn a_recorded_recipe_is_followed_with_the_new_parents() {
    let folder = memory_folder();
    let store = diamond(&folder);
    let scaled = |inputs: &Inputs| {
        let by = inputs.number("by")?.unwrap_or_default() as f32 + inputs.seed as f32;
        let base = inputs.parent("base")?.tensor("w")?.view()?.as_slice::<f32>()?[0];
        Draft::new().floats("w", [1], vec![base * by])
    };
    let functions = functions().with("scaled", scaled);
    let make = Make::new("task", "scaled").parent("base@1", None).parameter("by", 10).seed(5);
    make.run(&store, &functions).unwrap();
    let update = Update::new("base@1", "base@2").skip(|node| node.name() != "task");
    let outcome = update.run(&store, &functions).unwrap();
    assert_eq!(outcome.made.len(), 1);
    let task = store.snapshot().unwrap().model("task@2").unwrap();
    assert_eq!(task.tensor("w").unwrap().view().unwrap().as_slice::<f32>().unwrap(), [105.0]);
    // A rebase does not displace the recipe.
    add(&store, "base", &[], 8.0);
    let task = |node: &Node| node.name() != "task";
    let update = Update::new("base@2", "base@3").method(UpdateMethod::Rebase).skip(task);
    assert_eq!(update.run(&store, &functions).unwrap().made.len(), 1);
    add(&store, "base", &[], 9.0);
    let plan = Update::new("base@3", "base@4").skip(task).plan(&store.snapshot().unwrap());
    assert_eq!(plan.unwrap().steps[0].state, StepState::ToDo("scaled".to_owned()));
}

#[test]
fn a_model_that_would_have_a_parent_twice_is_refused_by_name() {
    let folder = memory_folder();
    let store = Store::create(folder.path().join("s")).unwrap();
    (1..4u8).for_each(|value| add(&store, "run", &[], value.into()));
    let functions = functions();
    let make = Make::new("soup", "average").parent("run@1", None).parent("run@2", None);
    make.run(&store, &functions).unwrap();
    add(&store, "tuned", &["soup".to_owned()], 5.0);
    add(&store, "apart", &["run@1".to_owned()], 6.0);
    let before = names(&store);
    let update = Update::new("run@1", "run@3");
    let plan = update.plan(&store.snapshot().unwrap()).unwrap();
    let soup = plan.steps.iter().find(|step| step.node.name() == "soup").unwrap();
    assert_eq!(soup.state, StepState::Impossible("run@3 is named twice as a parent".to_owned()));
    for method in [UpdateMethod::Auto, UpdateMethod::Recorded, UpdateMethod::Rebase, sum()] {
        let update = Update::new("run@1", "run@3").method(method).skip(|it| it.name() == "apart");
        let outcome = update.run(&store, &functions).unwrap();
        let [(0, error)] = outcome.failed.as_slice() else { panic!("{outcome:?}") };
        assert_eq!(error.code(), "duplicate-parent");
        assert_eq!(error.to_string(), "run@3 is named twice as a parent");
        assert_eq!((outcome.blocked, outcome.stopped.is_none()), (vec![1], true));
        assert_eq!(names(&store), before);
    }
    let outcome = update.run(&store, &functions).unwrap();
    assert_eq!((outcome.made.len(), outcome.failed.len(), outcome.blocked.len()), (1, 1, 1));
    assert!(names(&store).contains(&"apart@2".to_owned()));
}

#[test]
fn what_cannot_be_updated_is_refused() {
    let folder = memory_folder();
    let store = diamond(&folder);
    type Is = fn(&UpdateError) -> bool;
    let is_of_inputs: Is = |error| matches!(error, UpdateError::Inputs { .. });
    let is_no_model: Is = |error| {
        matches!(error, UpdateError::Store(StoreError::Lineage(LineageError::NoSuchModel { .. })))
    };
    let is_no_name: Is = |error| {
        matches!(error, UpdateError::Store(StoreError::Lineage(LineageError::InvalidName { .. })))
    };
    for (old, new, is_right) in [
        ("base@1", "base@1", is_of_inputs),
        ("gone", "base@1", is_no_model),
        ("base@1", "gone", is_no_model),
        ("base@", "base", is_no_name),
    ] {
        let error = Update::new(old, new).run(&store, &functions()).unwrap_err();
        assert!(is_right(&error), "{error}");
    }
    let outcome = Update::new("pruned", "base@2").run(&store, &functions()).unwrap();
    assert!(outcome.plan.steps.is_empty() && outcome.is_complete());
    let panics = |_: Event<'_>| -> ControlFlow<()> { panic!("a watcher's own fault") };
    let update = Update::new("base@1", "base@2").method(sum()).jobs(2).watch(panics);
    let outcome = update.run(&store, &functions()).unwrap();
    assert!(matches!(outcome.stopped, Some(Stopped::Told)));
}
