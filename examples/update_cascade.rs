//! A family of small real networks, brought up to date after its base.
//!
//! Networks of 18,922 weights learn to read digits. The digits are drawn by this program: a font of
//! 5 by 7 dots, put somewhere in 12 by 12, with strokes that fade, dots that are missing, and noise.
//! It is a real task, with accuracies on pictures that no network has seen, but an easy one: no
//! handwriting, no photographs. Nothing is downloaded, and there is no other language.
//!
//! What it does: trains a base and four tasks (two of them with children made by built-in
//! functions); trains the base further; updates the family by training each task again, with one
//! job and with two, and by rebase, without training; tests every version on its own task; then
//! plants a bug in the base's history and finds it by bisection.
//!
//! ```text
//! cargo run --example update_cascade
//! ```

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use mgit::checks::{
    Better, Metric, ModelTest, RunOptions, Runner, Test, What, bisect, path_between,
};
use mgit::lineage::Node;
use mgit::update::{Draft, Functions, Inputs, Make, Update, UpdateError, Way};
use mgit::{How, Model, Store};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Pictures are so many dots wide and high.
const SIDE: usize = 12;
/// Neurons of every layer, the dots of a picture first.
const LAYERS: [usize; 4] = [SIDE * SIDE, 96, 48, 10];

/// Rows of five dots of every digit, the highest bit left.
const FONT: [[u8; 7]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 2, 4, 8, 31],
    [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

/// splitmix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From 0 to 1.
    fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Which pictures of digits.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Plain,
    Mirrored,
    Inverted,
    UpsideDown,
    Noisy,
}

impl Task {
    fn of(name: &str) -> Self {
        match name.split(['-', '@']).next() {
            Some("mirrored") => Task::Mirrored,
            Some("inverted") => Task::Inverted,
            Some("upside") => Task::UpsideDown,
            Some("noisy") => Task::Noisy,
            _ => Task::Plain,
        }
    }

    /// A picture and its digit.
    fn picture(self, random: &mut Random) -> (Vec<f32>, usize) {
        let digit = random.below(10);
        let (right, down) = (random.below(SIDE - 4), random.below(SIDE - 6));
        let ink = 0.5 + 0.5 * random.share();
        let noise = if self == Task::Noisy { 0.7 } else { 0.3 };
        let mut dots = vec![0.0; SIDE * SIDE];
        for (row, bits) in FONT[digit].iter().enumerate() {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                if random.below(14) > 0 {
                    dots[(row + down) * SIDE + column + right] = ink;
                }
            }
        }
        for dot in &mut dots {
            *dot += (random.share() - 0.5) * noise;
        }
        match self {
            Task::Mirrored => dots.chunks_mut(SIDE).for_each(<[f32]>::reverse),
            Task::UpsideDown => dots.reverse(),
            Task::Inverted => dots.iter_mut().for_each(|dot| *dot = -*dot),
            Task::Plain | Task::Noisy => {}
        }
        (dots, digit)
    }
}

/// A network of full layers with rectified sums between them.
#[derive(Clone)]
struct Network {
    /// Of every layer its matrix, a row for every neuron, and its biases.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let layer = |ends: &[usize]| {
            let scale = (2.0 / ends[0] as f32).sqrt();
            // A sum of four is near enough to normal.
            let mut normal = || ((0..4).map(|_| random.share()).sum::<f32>() - 2.0) * 1.732 * scale;
            ((0..ends[0] * ends[1]).map(|_| normal()).collect(), vec![0.0; ends[1]])
        };
        Network { layers: LAYERS.windows(2).map(layer).collect() }
    }

    fn of(model: &Model) -> Result<Self, UpdateError> {
        let read = |name: String| -> Result<Vec<f32>, UpdateError> {
            let tensor = model.tensor(&name)?;
            let view = tensor.view()?;
            Ok(match tensor.dtype() {
                mgit::Dtype::F16 => {
                    view.as_slice::<mgit::half::f16>()?.iter().map(|v| v.to_f32()).collect()
                }
                _ => view.as_slice::<f32>()?.to_vec(),
            })
        };
        let layer = |at| Ok((read(format!("layer{at}.weight"))?, read(format!("layer{at}.bias"))?));
        Ok(Network {
            layers: (0..LAYERS.len() - 1).map(layer).collect::<Result<_, UpdateError>>()?,
        })
    }

    fn draft(self) -> Result<Draft, UpdateError> {
        let mut draft = Draft::new();
        for (at, (weights, biases)) in self.layers.into_iter().enumerate() {
            let (columns, rows) = (LAYERS[at] as u64, LAYERS[at + 1] as u64);
            draft = draft.floats(&format!("layer{at}.weight"), &[rows, columns], weights)?;
            draft = draft.floats(&format!("layer{at}.bias"), &[rows], biases)?;
        }
        Ok(draft)
    }

    /// The values of every layer for a picture.
    fn values(&self, picture: &[f32]) -> Vec<Vec<f32>> {
        let mut all = vec![picture.to_vec()];
        for (at, (weights, biases)) in self.layers.iter().enumerate() {
            let below = &all[at];
            let neuron = |(row, bias): (&[f32], &f32)| {
                let sum: f32 = row.iter().zip(below).map(|(w, v)| w * v).sum::<f32>() + bias;
                if at + 1 < self.layers.len() { sum.max(0.0) } else { sum }
            };
            let values = weights.chunks(LAYERS[at]).zip(biases).map(neuron).collect();
            all.push(values);
        }
        all
    }

    /// One step of gradient descent on one picture.
    fn learn(&mut self, picture: &[f32], digit: usize, rate: f32) {
        let values = self.values(picture);
        let last = &values[self.layers.len()];
        let largest = last.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f32> = last.iter().map(|value| (value - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        let mut slopes: Vec<f32> = powers.iter().map(|power| power / sum).collect();
        slopes[digit] -= 1.0;
        for at in (0..self.layers.len()).rev() {
            let (weights, biases) = &mut self.layers[at];
            let below = &values[at];
            let mut next = vec![0.0; below.len()];
            for ((row, bias), slope) in weights.chunks_mut(LAYERS[at]).zip(biases).zip(&slopes) {
                if *slope == 0.0 {
                    continue;
                }
                for ((weight, value), next) in row.iter_mut().zip(below).zip(&mut next) {
                    *next += slope * *weight;
                    *weight -= rate * slope * value;
                }
                *bias -= rate * slope;
            }
            for (slope, value) in next.iter_mut().zip(below) {
                if at > 0 && *value <= 0.0 {
                    *slope = 0.0;
                }
            }
            slopes = next;
        }
    }

    /// Learns from pictures of a task; `label` may lie about a digit.
    fn train(&mut self, task: Task, count: usize, seed: u64, label: impl Fn(usize) -> usize) {
        let mut random = Random(seed);
        for step in 0..count {
            let (picture, digit) = task.picture(&mut random);
            let rate = 0.02 * (1.0 - 0.9 * step as f32 / count as f32);
            self.learn(&picture, label(digit), rate);
        }
    }

    /// The share of new pictures of a task that it reads rightly.
    fn accuracy(&self, task: Task) -> f64 {
        let (mut random, count) = (Random(0x7e57), 4000);
        let right = |_: &usize| {
            let (picture, digit) = task.picture(&mut random);
            let values = self.values(&picture);
            let best =
                values[self.layers.len()].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            best.is_some_and(|(read, _)| read == digit)
        };
        (0..count).filter(right).count() as f64 / count as f64
    }
}

/// The test of every model: its accuracy on its own task.
struct Accuracy;

impl ModelTest for Accuracy {
    fn version(&self) -> String {
        "4000 pictures of seed 0x7e57".to_owned()
    }

    fn run(&self, model: &Model) -> Result<Vec<Metric>, String> {
        let network = Network::of(model).map_err(|error| error.to_string())?;
        let accuracy = network.accuracy(Task::of(&model.node().row.name));
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
    network.train(Task::of(task), count, inputs.seed, label);
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
        .collect::<mgit::Result<_>>()?;
    let code = HashMap::from([("accuracy".to_owned(), &Accuracy as &dyn ModelTest)]);
    let options = RunOptions { code, ..RunOptions::default() };
    let report =
        Runner::new(&snapshot, options).run(Some(store), &Test::all(&snapshot)?, &nodes)?;
    let value = |result: &mgit::checks::TestResult| {
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

fn update(store: &Store, way: Way, jobs: usize) -> Result<Column> {
    let start = Instant::now();
    let outcome = Update::new("base@1", "base@2").way(way).jobs(jobs).run(store, &functions())?;
    let seconds = start.elapsed().as_secs_f64();
    if !outcome.is_complete() {
        return Err(format!("not complete: {:?}", outcome.failed).into());
    }
    let of = |step: &usize| outcome.plan.steps[*step].node.full_name();
    let made = outcome.made.iter();
    let bytes = made.clone().fold((0, 0), |(logical, added), (_, report)| {
        (logical + report.node.row.logical_bytes, added + report.added_bytes)
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

/// Eight more versions of the base, the labels of the fourth and of those behind it wrong: finds the
/// first that reads fewer than 93 of 100 digits.
fn find_bug(store: &Store) -> Result<()> {
    for version in 3..11u64 {
        let mut make = Make::new("base", "fine-tune").parent("base", Some(How::FineTune));
        if version >= 6 {
            make = make.parameter("bug", true);
        }
        make.parameter("pictures", 12_000).seed(version).run(store, &functions())?;
    }
    let snapshot = store.snapshot()?;
    let find = |name: &str| Ok::<_, mgit::Error>(snapshot.model(name)?.node().clone());
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
    let with_two = update(&Store::open(&copy)?, Way::Recorded, 2)?;
    let store = Store::open(&path)?;
    let retrained = update(&store, Way::Recorded, 1)?;
    let rebased = update(&store, Way::Rebase, 1)?;

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
