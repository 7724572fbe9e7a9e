//! Promise: a merge takes of each side what that side has changed, finds what meets by the layers'
//! graph, asks the tests of both sides where it does, and makes one commit or nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Random, contents, new_store, shape, write};
use mgit::architecture::{Architecture, Layer, LayerKind, LayerSource};
use mgit::error::{LineageError, StoreError, UpdateError};
use mgit::merge::{Class, Merge, MergeError, MergeOptions, Merged, Resolution, Touch, functions};
use mgit::model_tests::{Builtin, RunOptions, Selector, Test, What};
use mgit::update::{Functions, Strategy, Update, UpdateMethod, remake};
use mgit::{Dtype, How, NewModel, NewTensor, Store};
use proptest::prelude::*;
use serde_json::json;

/// Elements of a tensor.
const COUNT: usize = 6;

fn values(seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..COUNT).map(|_| (random.below(2001) as f32 - 1000.0) / 512.0).collect()
}

/// A model as the tests know it: for each layer the seed of its weights, if it has the layer.
type Seeds = BTreeMap<usize, u64>;

fn architecture(seeds: &Seeds, edges: &[(usize, usize)]) -> Architecture {
    let places: Vec<usize> = seeds.keys().copied().collect();
    let layer = |at: &usize| Layer {
        name: format!("l{at}"),
        kind: LayerKind::Linear,
        attributes: Default::default(),
        tensors: vec![format!("l{at}.weight")],
    };
    let layers = places.iter().map(layer).collect();
    let place = |at: &usize| places.iter().position(|it| it == at);
    let edges = edges.iter().filter_map(|(from, to)| Some((place(from)?, place(to)?)));
    Architecture::new(LayerSource::Given, layers, edges).unwrap()
}

fn add_with(
    store: &Store,
    name: &str,
    parents: &[&str],
    (seeds, edges): (&Seeds, &[(usize, usize)]),
    more: impl for<'x> Fn(NewModel<'x>) -> NewModel<'x>,
) {
    let bytes: Vec<(String, Vec<u8>)> = seeds
        .iter()
        .map(|(at, seed)| (format!("l{at}.weight"), bytemuck::cast_slice(&values(*seed)).to_vec()))
        .collect();
    let new = more(NewModel::new(name)).layers(&architecture(seeds, edges));
    let new = parents.iter().fold(new, |new, parent| new.parent(*parent, How::FineTune));
    let new = bytes.iter().fold(new, |new, (name, bytes)| {
        new.tensor(NewTensor::from_bytes(name, Dtype::F32, shape(&[COUNT as u64]), bytes))
    });
    write(store, |t| t.add_model(new).map(drop)).unwrap();
}

fn add(store: &Store, name: &str, parents: &[&str], seeds: &Seeds, edges: &[(usize, usize)]) {
    add_with(store, name, parents, (seeds, edges), |new| new);
}

fn chain(count: usize) -> (Seeds, Vec<(usize, usize)>) {
    let seeds = (0..count).map(|at| (at, at as u64)).collect();
    (seeds, (1..count).map(|at| (at - 1, at)).collect())
}

fn with(seeds: &Seeds, edits: &[(usize, u64)]) -> Seeds {
    let mut seeds = seeds.clone();
    seeds.extend(edits.iter().copied());
    seeds
}

fn on_conflict(resolution: Resolution) -> MergeOptions {
    MergeOptions { on_conflict: Some(resolution), ..MergeOptions::default() }
}

fn run(store: &Store, options: MergeOptions) -> Result<Merged, MergeError> {
    Merge::new("a", "b", "m").options(options).run(store, RunOptions::default())
}

fn merged(store: &Store) -> BTreeMap<String, Vec<f32>> {
    let model = store.snapshot().unwrap().model("m").unwrap();
    let tensor = |tensor: mgit::Tensor| {
        (tensor.name().to_owned(), tensor.view().unwrap().as_slice::<f32>().unwrap().to_vec())
    };
    model.tensors().map(tensor).collect()
}

/// What a strategy makes of one element, by the formulas; densities are 1, weights given.
fn mixed(strategy: Strategy, base: f32, ours: f32, theirs: f32, w: [f64; 2]) -> f32 {
    let (base, ours, theirs) = (f64::from(base), f64::from(ours), f64::from(theirs));
    let (a, b) = (w[0] * (ours - base), w[1] * (theirs - base));
    (match strategy {
        Strategy::Linear => (w[0] * ours + w[1] * theirs) / (w[0] + w[1]),
        Strategy::TaskArithmetic | Strategy::Dare => base + (a + b),
        _ => {
            let sign = if a + b >= 0.0 { 1.0 } else { -1.0 };
            let (mut sum, mut weight) = (0.0, 0.0);
            for (delta, w) in [(a, w[0]), (b, w[1])] {
                if delta * sign > 0.0 {
                    (sum, weight) = (sum + delta, weight + w);
                }
            }
            base + if weight > 0.0 { sum / weight } else { 0.0 }
        }
    }) as f32
}

/// An edit of a layer by the sides.
#[derive(Clone, Copy, Debug)]
enum Edit {
    None,
    Ours,
    Theirs,
    Alike,
    Both,
    OursRemoves,
    TheirsRemoves,
}

fn any_edit() -> impl Strategy_ {
    prop_oneof![
        4 => Just(Edit::None),
        2 => Just(Edit::Ours),
        2 => Just(Edit::Theirs),
        1 => Just(Edit::Alike),
        1 => Just(Edit::Both),
        1 => Just(Edit::OursRemoves),
        1 => Just(Edit::TheirsRemoves),
    ]
}

use proptest::strategy::Strategy as PropStrategy;
trait Strategy_: PropStrategy<Value = Edit> {}
impl<T: PropStrategy<Value = Edit>> Strategy_ for T {}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Against the closure of the graph, by hand; the bytes against the formulas.
    #[test]
    fn random_edits_of_random_graphs_are_merged_as_the_oracle_says(
        edits in prop::collection::vec(any_edit(), 1..9),
        edges in prop::collection::vec((0usize..9, 0usize..9), 0..14),
        which in 0usize..5,
        weights in (0.125f64..2.0, 0.125f64..2.0),
    ) {
        let count = edits.len();
        let edges: Vec<(usize, usize)> =
            edges.into_iter().filter(|(from, to)| from < to && *to < count).collect();
        let base: Seeds = (0..count).map(|at| (at, at as u64)).collect();
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        for (at, edit) in edits.iter().enumerate() {
            let seed = at as u64;
            match edit {
                Edit::None => {}
                Edit::Ours => _ = ours.insert(at, 100 + seed),
                Edit::Theirs => _ = theirs.insert(at, 200 + seed),
                Edit::Alike => {
                    ours.insert(at, 300 + seed);
                    theirs.insert(at, 300 + seed);
                }
                Edit::Both => {
                    ours.insert(at, 100 + seed);
                    theirs.insert(at, 200 + seed);
                }
                Edit::OursRemoves => _ = ours.remove(&at),
                Edit::TheirsRemoves => _ = theirs.remove(&at),
            }
        }
        let (_folder, _, store) = new_store();
        add(&store, "base", &[], &base, &edges);
        add(&store, "a", &["base"], &ours, &edges);
        add(&store, "b", &["base"], &theirs, &edges);

        // The closure, by Warshall.
        let mut reach = vec![vec![false; count]; count];
        edges.iter().for_each(|(from, to)| reach[*from][*to] = true);
        for via in 0..count {
            for from in 0..count {
                for to in 0..count {
                    reach[from][to] |= reach[from][via] && reach[via][to];
                }
            }
        }
        let by_ours = |at: usize| matches!(edits[at], Edit::Ours | Edit::OursRemoves | Edit::Both);
        let by_theirs =
            |at: usize| matches!(edits[at], Edit::Theirs | Edit::TheirsRemoves | Edit::Both);
        let joined = |at: usize, other: &dyn Fn(usize) -> bool| {
            (0..count).any(|to| other(to) && (reach[at][to] || reach[to][at]))
        };
        let mut wanted: BTreeMap<String, Class> = BTreeMap::new();
        for (at, edit) in edits.iter().enumerate() {
            let class = match edit {
                Edit::None => continue,
                Edit::Both => Class::Conflict,
                Edit::Alike => Class::None,
                Edit::Ours | Edit::OursRemoves if joined(at, &by_theirs) => Class::Possible,
                Edit::Theirs | Edit::TheirsRemoves if joined(at, &by_ours) => Class::Possible,
                _ => Class::None,
            };
            wanted.insert(format!("l{at}"), class);
        }
        let strategies = [
            None,
            Some(Strategy::Linear),
            Some(Strategy::TaskArithmetic),
            Some(Strategy::Ties),
            Some(Strategy::Dare),
        ];
        let strategy = strategies[which];
        let mut options = on_conflict(strategy.map_or(Resolution::Theirs, Resolution::Blend));
        let w = [weights.0, weights.1];
        if let Some(strategy) = strategy {
            options.blend.insert("weight".into(), json!(w));
            if [Strategy::Ties, Strategy::Dare].contains(&strategy) {
                options.blend.insert("density".into(), json!(1));
            }
        }
        let done = run(&store, options).unwrap();
        let found: BTreeMap<String, Class> =
            done.plan.layers().map(|it| (it.name.clone(), it.class)).collect();
        prop_assert_eq!(&found, &wanted);
        prop_assert_eq!(done.plan.unchanged, count - wanted.len());
        for layer in done.plan.layers() {
            // Every path is one, of edges, and of no two changes of one side only.
            let path: Vec<usize> =
                layer.path.iter().map(|name| name[1..].parse().unwrap()).collect();
            prop_assert_eq!(path.is_empty(), layer.class != Class::Possible);
            prop_assert!(path.windows(2).all(|pair| edges.contains(&(pair[0], pair[1]))));
            if let (Some(first), Some(last)) = (path.first(), path.last()) {
                let ends = [*first, *last];
                prop_assert!(ends.into_iter().any(by_ours) && ends.into_iter().any(by_theirs));
                let is_end = ends.iter().any(|at| layer.name == format!("l{at}"));
                prop_assert!(is_end, "{:?}", path);
            }
        }
        let mut expected: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (at, edit) in edits.iter().enumerate() {
            let seed = at as u64;
            let (of_ours, of_theirs) = (values(100 + seed), values(200 + seed));
            let numbers = match (edit, strategy) {
                (Edit::OursRemoves | Edit::TheirsRemoves, _) => continue,
                (Edit::None, _) => values(seed),
                (Edit::Ours, _) => of_ours,
                (Edit::Theirs, _) | (Edit::Both, None) => of_theirs,
                (Edit::Alike, _) => values(300 + seed),
                (Edit::Both, Some(strategy)) => (0..COUNT)
                    .map(|e| mixed(strategy, values(seed)[e], of_ours[e], of_theirs[e], w))
                    .collect(),
            };
            expected.insert(format!("l{at}.weight"), numbers);
        }
        prop_assert_eq!(merged(&store), expected);
        let model = store.snapshot().unwrap().model("m").unwrap();
        let remade = remake(&model, &functions(Functions::new())).unwrap();
        prop_assert_eq!(remade.differences(&model).unwrap(), Vec::<String>::new());
        let graph_names: BTreeSet<String> =
            model.architecture().unwrap().layers().iter().map(|it| it.name.clone()).collect();
        let kept = |at: &usize| !matches!(edits[*at], Edit::OursRemoves | Edit::TheirsRemoves);
        let names: BTreeSet<String> =
            (0..count).filter(kept).map(|at| format!("l{at}")).collect();
        prop_assert_eq!(graph_names, names);
    }
}

/// Three towers that meet nowhere; ours works on one, theirs on another.
#[test]
fn changes_that_nothing_joins_are_no_conflict() {
    let (_folder, _, store) = new_store();
    let (seeds, edges) = ((0..4).map(|at| (at, at as u64)).collect(), [(0, 1), (2, 3)]);
    add(&store, "base", &[], &seeds, &edges);
    add(&store, "a", &["base"], &with(&seeds, &[(0, 10)]), &edges);
    add(&store, "b", &["base"], &with(&seeds, &[(3, 20)]), &edges);
    // A test that no model can pass: it is not asked.
    let never = |t: &mut mgit::store::Transaction| {
        Test {
            bounds: vec!["nan < 0".parse().unwrap()],
            ..Test::new("never", What::Builtin(Builtin::Finite))
        }
        .register(t)
        .unwrap();
        Ok(())
    };
    write(&store, never).unwrap();
    let done = run(&store, MergeOptions::default()).unwrap();
    assert!(done.plan.layers().all(|layer| layer.class == Class::None));
    assert!(done.tests.is_empty() && !done.plan.needs_tests());
    assert_eq!(merged(&store)["l0.weight"], values(10));
    assert_eq!(merged(&store)["l3.weight"], values(20));
    let snapshot = store.snapshot().unwrap();
    let parents = snapshot.graph().parents(done.report.node.id()).unwrap();
    let expected = ["a", "b"].map(|name| snapshot.model(name).unwrap().node().id());
    assert_eq!(parents.iter().map(|edge| edge.parent).collect::<Vec<_>>(), expected);
    assert!(parents.iter().all(|edge| edge.how == How::Merge));
}

#[test]
fn a_possible_conflict_passes_the_tests_of_both_or_changes_nothing() {
    let (folder, _, store) = new_store();
    let (seeds, edges) = chain(4);
    add(&store, "base", &[], &seeds, &edges);
    add(&store, "a", &["base"], &with(&seeds, &[(0, 10)]), &edges);
    add(&store, "b", &["base"], &with(&seeds, &[(3, 20)]), &edges);
    let register = |name: &str, on: Selector, bound: &str| {
        let test = Test {
            on,
            bounds: vec![bound.parse().unwrap()],
            ..Test::new(name, What::Builtin(Builtin::Finite))
        };
        write(&store, |t| {
            test.register(t).unwrap();
            Ok(())
        })
        .unwrap();
    };
    register("ours", Selector::glob("a").unwrap(), "nan <= 0");
    register("theirs", Selector::glob("b").unwrap(), "nan < 0");
    register("stranger", Selector::glob("x").unwrap(), "nan < 0");
    let before =
        (contents(&store.snapshot().unwrap()).unwrap(), store.snapshot().unwrap().sequence());
    let error = run(&store, MergeOptions::default()).unwrap_err();
    assert!(matches!(&error, MergeError::TestsFailed { failed } if failed.len() == 1));
    let after =
        (contents(&store.snapshot().unwrap()).unwrap(), store.snapshot().unwrap().sequence());
    assert!(before == after, "a refused merge has changed the store");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");

    register("theirs", Selector::glob("b").unwrap(), "nan < 1");
    let done = run(&store, MergeOptions::default()).unwrap();
    assert_eq!((done.tests.len(), done.inherited.len()), (2, 2));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
    let snapshot = store.snapshot().unwrap();
    let model = snapshot.model("m").unwrap();
    // Both tests run the same thing with other bounds: both go with the merged model.
    let tests = Test::all(&snapshot).unwrap();
    let own: Vec<&str> = tests
        .iter()
        .filter(|test| test.on.matches(model.node()))
        .map(|test| test.name.as_str())
        .collect();
    assert_eq!(own, ["ours/m-1", "theirs/m-1"]);
    let plan = Merge::new("a", "b", "m").plan(&snapshot).unwrap();
    assert_eq!(plan.test_conflicts.len(), 1);
    let paths: Vec<Vec<String>> = plan.layers().map(|layer| layer.path).collect();
    let path = ["l0", "l1", "l2", "l3"].map(str::to_owned);
    assert_eq!(paths, [&path[..], &path[..]]);
}

#[test]
fn a_conflict_is_settled_by_somebody_or_refused() {
    let (_folder, _, store) = new_store();
    let (seeds, edges) = chain(3);
    add(&store, "base", &[], &seeds, &edges);
    add(&store, "a", &["base"], &with(&seeds, &[(0, 10), (1, 11)]), &edges);
    add(&store, "b", &["base"], &with(&seeds, &[(0, 20), (1, 21), (2, 22)]), &edges);
    let sequence = store.snapshot().unwrap().sequence();
    let error = run(&store, MergeOptions::default()).unwrap_err();
    assert!(matches!(&error, MergeError::Unresolved { layers } if *layers == ["l0", "l1"]));
    assert_eq!(store.snapshot().unwrap().sequence(), sequence);
    let take = |takes: &[&str]| MergeOptions {
        takes: takes.iter().map(|take| take.parse().unwrap()).collect(),
        ..MergeOptions::default()
    };
    // The first that fits counts; a tensor's name is as good as its layer's.
    run(&store, take(&["l1.weight=theirs", "l*=ours"])).unwrap();
    let found = merged(&store);
    assert_eq!(found["l0.weight"], values(10));
    assert_eq!(found["l1.weight"], values(21));
    assert_eq!(found["l2.weight"], values(2), "taken from ours, which has not changed it");
    let error = run(&store, take(&["l7*=ours", "*=ours"])).unwrap_err();
    assert!(matches!(error, MergeError::NothingTaken { .. }));
    assert!("l1".parse::<mgit::merge::Take>().is_err());
    assert!("l1=mine".parse::<mgit::merge::Take>().is_err());
    let mut options = on_conflict(Resolution::Ours);
    options.blend.insert("density".into(), json!(0.5));
    assert!(matches!(
        run(&store, options).unwrap_err(),
        MergeError::Update(UpdateError::Parameter { .. })
    ));
    // Slerp of what is far apart, and each of the others, makes a model.
    for strategy in Strategy::ALL {
        let done = run(&store, on_conflict(Resolution::Blend(strategy))).unwrap();
        assert_eq!(done.plan.count(Class::Conflict), 2, "{strategy}");
    }
}

#[test]
fn layers_that_come_and_go() {
    let (_folder, _, store) = new_store();
    let (seeds, _) = chain(3);
    let edges = [(0, 1), (1, 2), (2, 3), (2, 4), (2, 5)];
    add(&store, "base", &[], &seeds, &edges);
    // Ours adds a head; theirs another, and both one that they do not agree on.
    add(&store, "a", &["base"], &with(&seeds, &[(3, 30), (5, 50)]), &edges);
    add(&store, "b", &["base"], &with(&seeds, &[(4, 40), (5, 51)]), &edges);
    let plan = Merge::new("a", "b", "m").plan(&store.snapshot().unwrap()).unwrap();
    let layer = |name: &str| plan.layers().find(|it| it.name == name).unwrap();
    assert_eq!((layer("l3").ours, layer("l3").theirs), (Touch::Added, Touch::Same));
    assert_eq!(layer("l5").class, Class::Conflict);
    // There is no base of it: a difference from it means nothing.
    let error = run(&store, on_conflict(Resolution::Blend(Strategy::Ties))).unwrap_err();
    assert!(matches!(error, MergeError::Update(UpdateError::Tensor { .. })), "{error}");
    run(&store, on_conflict(Resolution::Blend(Strategy::Linear))).unwrap();
    let found = merged(&store);
    assert_eq!(found.len(), 6);
    assert_eq!((&found["l3.weight"], &found["l4.weight"]), (&values(30), &values(40)));
    let model = store.snapshot().unwrap().model("m").unwrap();
    assert_eq!(model.architecture().unwrap().edges().len(), 5);
    // One removes what the other changes: only a side can be taken.
    add(&store, "c", &["base"], &with(&seeds, &[(2, 60)]), &edges);
    let mut less = seeds.clone();
    less.remove(&2);
    add(&store, "d", &["base"], &less, &edges);
    let merge =
        |options| Merge::new("c", "d", "m").options(options).run(&store, RunOptions::default());
    let error = merge(on_conflict(Resolution::Blend(Strategy::Linear))).unwrap_err();
    assert!(matches!(error, MergeError::Update(UpdateError::Tensor { .. })), "{error}");
    merge(on_conflict(Resolution::Theirs)).unwrap();
    assert_eq!(merged(&store).len(), 2);
    merge(on_conflict(Resolution::Ours)).unwrap();
    assert_eq!(merged(&store)["l2.weight"], values(60));
}

#[test]
fn the_base_is_the_nearest_common_ancestor() {
    let (_folder, _, store) = new_store();
    let (seeds, edges) = chain(2);
    add(&store, "base", &[], &seeds, &edges);
    add(&store, "a", &["base"], &with(&seeds, &[(0, 10)]), &edges);
    add(&store, "b", &["base"], &with(&seeds, &[(1, 20)]), &edges);
    add(&store, "lonely", &[], &with(&seeds, &[(1, 30)]), &edges);
    let snapshot = store.snapshot().unwrap();
    let refused = |ours, theirs| Merge::new(ours, theirs, "m").plan(&snapshot).unwrap_err();
    assert!(matches!(refused("a", "a"), MergeError::SameModel { .. }));
    assert!(matches!(refused("a", "lonely"), MergeError::NoCommonAncestor { .. }));
    let nobody = refused("a", "nobody");
    let is_unknown =
        matches!(nobody, MergeError::Store(StoreError::Lineage(LineageError::NoSuchModel { .. })));
    assert!(is_unknown, "{nobody:?}");
    let given = MergeOptions { base: Some("base".into()), ..MergeOptions::default() };
    let plan = Merge::new("a", "lonely", "m").options(given.clone()).plan(&snapshot).unwrap();
    assert_eq!(plan.base.full_name(), "base@1");
    Merge::new("a", "lonely", "m").options(given).run(&store, RunOptions::default()).unwrap();
    assert_eq!(merged(&store)["l1.weight"], values(30));
    // What descends from the other side brings only its own changes.
    add(&store, "a2", &["a"], &with(&seeds, &[(0, 10), (1, 40)]), &edges);
    let plan = Merge::new("a", "a2", "m").plan(&store.snapshot().unwrap()).unwrap();
    assert_eq!((plan.base.full_name().as_str(), plan.layers().len()), ("a@1", 1));
    // Two criss-cross merges: two ancestors are as near.
    add(&store, "x", &["a", "b"], &with(&seeds, &[(0, 50)]), &edges);
    add(&store, "y", &["b", "a"], &with(&seeds, &[(0, 60)]), &edges);
    let plan = Merge::new("x", "y", "m").plan(&store.snapshot().unwrap()).unwrap();
    assert_eq!(plan.other_bases.len(), 1);
    assert!(plan.base.id() < plan.other_bases[0].id());
}

#[test]
fn metadata_is_merged_three_ways() {
    let (_folder, _, store) = new_store();
    let (seeds, edges) = chain(1);
    let model = |name: &str, parents: &[&str], kind: &str, pairs: &[(&str, &str)]| {
        add_with(&store, name, parents, (&seeds, &edges), |new| {
            let new = new.kind(kind);
            pairs.iter().fold(new, |new, (key, value)| new.metadata(*key, *value))
        });
    };
    let base = [("same", "0"), ("ours", "0"), ("theirs", "0"), ("gone", "0"), ("both", "0")];
    model("base", &[], "bert", &base);
    let ours = [("same", "0"), ("ours", "1"), ("theirs", "0"), ("both", "1"), ("new", "1")];
    model("a", &["base"], "bert", &ours);
    let theirs = [
        ("same", "0"),
        ("ours", "0"),
        ("theirs", "2"),
        ("gone", "0"),
        ("both", "2"),
        ("more", "2"),
    ];
    model("b", &["base"], "roberta", &theirs);
    let done = run(&store, MergeOptions::default()).unwrap();
    let keys: Vec<&str> = done.plan.metadata_conflicts.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["both"]);
    let metadata = || {
        let mut found = store.snapshot().unwrap().model("m").unwrap().metadata().unwrap();
        found.retain(|key, _| !key.starts_with("mgit."));
        serde_json::Value::from(found)
    };
    let mut wanted =
        json!({ "same": "0", "ours": "1", "theirs": "2", "both": "1", "new": "1", "more": "2" });
    assert_eq!(metadata(), wanted);
    assert_eq!(done.report.node.kind(), "roberta");
    let takes = vec!["metadata:bo*=theirs".parse().unwrap()];
    run(&store, MergeOptions { takes, ..MergeOptions::default() }).unwrap();
    wanted["both"] = "2".into();
    assert_eq!(metadata(), wanted);
}

/// A merged model follows a new base: both sides anew, merged anew, against the new base.
#[test]
fn an_update_merges_anew() {
    let (_folder, _, store) = new_store();
    let (seeds, edges) = chain(2);
    add(&store, "base", &[], &seeds, &edges);
    add(&store, "a", &["base"], &with(&seeds, &[(0, 10)]), &edges);
    add(&store, "b", &["base"], &with(&seeds, &[(1, 20)]), &edges);
    run(&store, MergeOptions::default()).unwrap();
    add(&store, "base", &[], &with(&seeds, &[(0, 5), (1, 6)]), &edges);
    let functions = functions(Functions::new());
    let update = Update::new("base@1", "base@2").method(UpdateMethod::Auto);
    let outcome = update.run(&store, &functions).unwrap();
    assert_eq!(outcome.made.len(), 3, "{:?}", outcome.failed);
    let (model, found) = (store.snapshot().unwrap(), merged(&store));
    for (side, layer) in [("a", "l0.weight"), ("b", "l1.weight")] {
        let view = model.model(side).unwrap().tensor(layer).unwrap().view().unwrap();
        assert_eq!(view.as_slice::<f32>().unwrap(), found[layer], "{side}");
    }
}
