//! A family of small real networks, brought up to date after its base.
//!
//! What the networks are is told in `common`.
//!
//! What it does: trains a base and four tasks (two of them with children made by built-in
//! functions); trains the base further; updates the family by training each task again, with one
//! job and with two, and by rebase, without training; tests every version on its own task; then
//! plants a bug in the base's history and finds it by bisection.
//!
//! ```text
//! cargo run --example update_cascade
//! ```

mod common;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

use mgit::lineage::Node;
use mgit::model_tests::{
    Better, Metric, ModelTest, RunOptions, Runner, Test, TestFailure, What, bisect, path_between,
};
use mgit::update::{Draft, Functions, Inputs, Make, Update, UpdateError, UpdateMethod};
use mgit::{How, Model, Store};

use common::{Network, Result, Task};

/// The test of every model: its accuracy on its own task.
struct Accuracy;

impl ModelTest for Accuracy {
    fn version(&self) -> String {
        "4000 pictures of seed 0x7e57".to_owned()
    }

    fn run(&self, model: &Model) -> Result<Vec<Metric>, TestFailure> {
        let network = Network::of(model).map_err(|error| TestFailure::new(error.to_string()))?;
        let accuracy = network.accuracy(Task::of(model.node().name()));
        Ok(vec![Metric::new("accuracy", accuracy, Some(Better::Higher))])
    }
}

/// Trains on pictures of the parameter `task`, from the parent on.
fn fine_tune(inputs: &Inputs) -> Result<Draft, UpdateError> {
    let mut network = match inputs.parents.as_slice() {
        [] => Network::new(inputs.seed),
        _ => Network::of(inputs.only_parent()?)?,
    };
    let task = inputs.parameters.get("task").and_then(|task| task.as_str()).unwrap_or_default();
    let count = inputs.number("pictures")?.unwrap_or(10_000.0) as usize;
    let lies = inputs.parameters.contains_key("bug");
    let label = |digit| if lies && digit == 3 { 8 } else { digit };
    network.train(Task::of(task), (count, 0.02), inputs.seed, label);
    network.draft()
}

fn functions() -> Functions {
    Functions::new().with("fine-tune", fine_tune)
}

/// Accuracies of models, by the registered test: what is known is not run again.
fn accuracies(store: &Store, names: &[String]) -> Result<BTreeMap<String, f64>> {
    let snapshot = store.snapshot()?;
    let nodes: Vec<Node> = names
        .iter()
        .map(|name| Ok(snapshot.model(name)?.node().clone()))
        .collect::<mgit::store::Result<_>>()?;
    let code = HashMap::from([("accuracy".to_owned(), &Accuracy as &dyn ModelTest)]);
    let options = RunOptions { code, ..RunOptions::default() };
    let report =
        Runner::new(&snapshot, options).run(Some(store), &Test::all(&snapshot)?, &nodes)?;
    let value = |result: &mgit::model_tests::TestResult| {
        let accuracy = result.finding.value("accuracy").unwrap_or(f64::NAN);
        (result.node.full_name(), accuracy)
    };
    Ok(report.results.iter().map(value).collect())
}

/// What an update made of every model, how long it took, and bytes: of the models, in the file.
struct Column {
    names: HashMap<String, String>,
    seconds: f64,
    bytes: (u64, u64),
}

fn update(store: &Store, method: UpdateMethod, jobs: usize) -> Result<Column> {
    let start = Instant::now();
    let outcome =
        Update::new("base@1", "base@2").method(method).jobs(jobs).run(store, &functions())?;
    let seconds = start.elapsed().as_secs_f64();
    if !outcome.is_complete() {
        return Err(format!("not complete: {:?}", outcome.failed).into());
    }
    let of = |step: &usize| outcome.plan.steps[*step].node.full_name();
    let made = outcome.made.iter();
    let bytes = made.clone().fold((0, 0), |(logical, added), (_, report)| {
        (logical + report.node.logical_bytes(), added + report.added_bytes)
    });
    let names = made.map(|(step, report)| (of(step), report.node.full_name())).collect();
    Ok(Column { names, seconds, bytes })
}

/// Makes the family: a base, tasks, and what built-in functions make of two of them.
fn family(path: &Path) -> Result<Store> {
    let store = Store::create(path)?;
    let functions = functions();
    let train = |name: &str, pictures: u32, seed: u64| {
        let make = Make::new(name, "fine-tune").parameter("task", name).seed(seed);
        make.parameter("pictures", pictures)
    };
    train("base", 120_000, 1).run(&store, &functions)?;
    for (seed, name) in (2..).zip(["mirrored", "inverted", "upside-down", "noisy"]) {
        let make = train(name, 80_000, seed).parent("base@1", Some(How::FineTune));
        make.run(&store, &functions)?;
    }
    let half = Make::new("noisy-f16", "cast").parent("noisy", None).parameter("dtype", "f16");
    half.run(&store, &functions)?;
    let pruned = Make::new("inverted-half", "prune").parent("inverted", None);
    pruned.parameter("sparsity", 0.5).run(&store, &functions)?;
    // The base, trained further.
    let more = train("base", 120_000, 6).parent("base@1", Some(How::FineTune));
    more.run(&store, &functions)?;
    let mut transaction = store.begin_write()?;
    Test::new("accuracy", What::Code("accuracy".to_owned())).register(&mut transaction)?;
    transaction.commit()?;
    Ok(store)
}

/// Eight more versions of the base, the labels of the fourth and of those behind it wrong: finds
/// the first that reads fewer than 93 of 100 digits.
fn find_bug(store: &Store) -> Result<()> {
    for version in 3..11u64 {
        let mut make = Make::new("base", "fine-tune").parent("base", Some(How::FineTune));
        if version >= 6 {
            make = make.parameter("bug", true);
        }
        make.parameter("pictures", 12_000).seed(version).run(store, &functions())?;
    }
    let snapshot = store.snapshot()?;
    let find = |name: &str| Ok::<_, mgit::store::StoreError>(snapshot.model(name)?.node().clone());
    let (way, _) = path_between(&snapshot.graph(), &find("base@2")?, &find("base@10")?)?;
    let mut runs = Vec::new();
    let mut probe = |place: usize| {
        let model = snapshot.graph().expect(way[place]).ok();
        let name = model.map(|node| node.full_name()).unwrap_or_default();
        let found = accuracies(store, std::slice::from_ref(&name)).ok();
        let accuracy = found.and_then(|found| found.get(&name).copied());
        runs.push(format!("{name} {:.1} %", accuracy.unwrap_or(f64::NAN) * 100.0));
        Ok::<_, Infallible>(accuracy.map(|accuracy| accuracy >= 0.93))
    };
    let found = bisect(way.len(), &|_| None, &mut probe)?;
    let found = found.map_err(|end| format!("an end is not what it must be: {end:?}"))?;
    println!("\nA bug in the base's history: from base@6 on, threes are learned as eights.");
    println!("Looked at {} of {} versions: {}", runs.len(), way.len(), runs.join(", "));
    let first = snapshot.graph().expect(way[found.first_bad])?.full_name();
    println!("The first that fails: {first}");
    Ok(())
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("family.mgit");
    let start = Instant::now();
    drop(family(&path)?);
    println!("Trained a family of 8 in {:.1} s.\n", start.elapsed().as_secs_f64());

    // The same update with two jobs, on a copy.
    let copy = folder.path().join("copy.mgit");
    std::fs::copy(&path, &copy)?;
    let with_two = update(&Store::open(&copy)?, UpdateMethod::Recorded, 2)?;
    let store = Store::open(&path)?;
    let retrained = update(&store, UpdateMethod::Recorded, 1)?;
    let rebased = update(&store, UpdateMethod::Rebase, 1)?;

    let mut old: Vec<&String> = retrained.names.keys().collect();
    old.sort();
    let names: Vec<String> = old
        .iter()
        .flat_map(|name| {
            [(*name).clone(), retrained.names[*name].clone(), rebased.names[*name].clone()]
        })
        .chain(["base@1".to_owned(), "base@2".to_owned()])
        .collect();
    let accuracy = accuracies(&store, &names)?;
    let percent = |name: &str| format!("{:.1} %", accuracy[name] * 100.0);
    println!("| model | old | made again by its recipe | rebased |");
    println!("|---|---|---|---|");
    println!("| base | {} | {} (trained further) | |", percent("base@1"), percent("base@2"));
    for name in old {
        let (again, moved) = (&retrained.names[name], &rebased.names[name]);
        let (name, old) = (name.split('@').next().unwrap_or_default(), percent(name));
        println!("| {name} | {old} | {} | {} |", percent(again), percent(moved));
    }
    for (what, column) in [("their recipes", &retrained), ("rebase", &rebased)] {
        let (logical, added) = column.bytes;
        println!("\nBy {what}: {logical} bytes of models took {added} bytes of the file.");
    }
    println!(
        "\nBy their recipes: {:.2} s with one job, {:.2} s with two; by rebase: {:.2} s.",
        retrained.seconds, with_two.seconds, rebased.seconds
    );
    find_bug(&store)
}
