//! Who descends from whom, found again from the weights alone: files under names and in an order
//! that say nothing, against what their folders' `lineage.json` tells.
//!
//! The demo's models are always there; `MGIT_MODELS` names more folders with a `lineage.json`.

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::models::Random;
use mgit::diff::{LayerGraph, Mode, divergence};
use mgit::infer::{Member, arrange, place};
use mgit::interchange::{ModelSource, OpenFile};
use mgit::store::Transaction;
use mgit::{Dtype, How, Model, NewModel, NewTensor, Shape, Store, Tensor};

/// Orders in which the files come.
const SHUFFLES: u64 = 5;

struct Known {
    name: String,
    path: PathBuf,
    parent: Option<String>,
}

fn known(folder: &Path) -> Vec<Known> {
    let text = std::fs::read(folder.join("lineage.json")).expect("lineage.json");
    let lineage: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let members = lineage["members"].as_array().expect("members");
    let text = |member: &serde_json::Value, key: &str| member[key].as_str().map(str::to_owned);
    let names = || members.iter().filter_map(|member| member["name"].as_str());
    members
        .iter()
        .map(|member| {
            // "int8 of A-v1": made of that one, whoever is listed as the parent.
            let how = text(member, "how").unwrap_or_default();
            let of = how.split_once("int8 of ").map(|(_, of)| of);
            let made_of = of.and_then(|of| names().find(|name| name.ends_with(of)));
            Known {
                name: text(member, "name").expect("a name"),
                path: folder.join(text(member, "file").expect("a file")),
                parent: made_of.map(str::to_owned).or(text(member, "parent")),
            }
        })
        .filter(|known| known.path.is_file())
        .collect()
}

fn folders() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/mgit-db/demo")];
    if let Some(more) = std::env::var_os("MGIT_MODELS") {
        folders.extend(std::env::split_paths(&more).filter(|f| f.join("lineage.json").is_file()));
    }
    folders
}

/// The family of a model, by the first part of its name.
fn family(name: &str) -> String {
    let first = name.split('-').next().unwrap_or_default();
    first.trim_start_matches('p').replace("1ccx", "1x").to_owned()
}

/// What a method said of one order of one folder.
#[derive(Default, Clone, Copy)]
struct Score {
    true_edges: u64,
    kin_right: u64,
    kin_wrong: u64,
    claimed_right: u64,
    claimed_wrong: u64,
}

type Scores = BTreeMap<(&'static str, String), Score>;

/// An edge as a method reports it: parent, child, and whether it claims the direction.
type Edge = (usize, usize, bool);

fn count(scores: &mut Scores, method: &'static str, models: &[&Known], edges: &[Edge]) {
    for known in models {
        let score = scores.entry((method, family(&known.name))).or_default();
        score.true_edges += u64::from(known.parent.is_some());
    }
    for (parent, child, claimed) in edges {
        let (parent, child) = (models[*parent], models[*child]);
        let right = child.parent.as_deref() == Some(&parent.name);
        let reversed = parent.parent.as_deref() == Some(&child.name);
        let score = scores.entry((method, family(&child.name))).or_default();
        score.kin_right += u64::from(right || reversed);
        score.kin_wrong += u64::from(!right && !reversed);
        score.claimed_right += u64::from(*claimed && right);
        score.claimed_wrong += u64::from(*claimed && !right);
    }
}

/// Tensors of two stored models that have one name and as many elements, as numbers.
fn common_values(a: &Model, b: &Model) -> Vec<(Vec<f32>, Vec<f32>)> {
    let mut pairs = Vec::new();
    for tensor in a.tensors().filter(|tensor| tensor.shape().elements() > 1) {
        let Ok(other) = b.tensor(tensor.name()) else { continue };
        if other.shape() == tensor.shape() {
            pairs.extend(values(&tensor).zip(values(&other)));
        }
    }
    pairs
}

fn values(tensor: &Tensor) -> Option<Vec<f32>> {
    let view = tensor.view().expect("a tensor");
    match tensor.dtype() {
        Dtype::F32 => Some(view.as_slice::<f32>().expect("F32").to_vec()),
        Dtype::Bf16 => {
            let halves = view.as_slice::<mgit::half::bf16>().expect("BF16");
            Some(halves.iter().map(|half| half.to_f32()).collect())
        }
        Dtype::I8 => Some(view.iter().map(|byte| f32::from(byte.cast_signed())).collect()),
        _ => None,
    }
}

fn kurtosis(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let power = |n| values.iter().map(|v| (f64::from(*v) - mean).powi(n)).sum::<f64>() / count;
    let variance = power(2);
    if variance > 0.0 { power(4) / (variance * variance) } else { 0.0 }
}

/// MoTHer (Horwitz, Shul, Hoshen: "Unsupervised Model Tree Heritage Recovery", full fine-tuning):
/// the distance of two models is that of their weights; of two, the one with the higher kurtosis
/// is the parent; a wrong direction costs 0.3 of the mean distance; the tree is the cheapest
/// directed one. The number of trees is given, as in the paper: as many edges are left out, the
/// longest first. Only models that share half of their tensors are compared.
fn mother(models: &[Model], trees: usize) -> Vec<Edge> {
    let count = models.len();
    let mut distance = vec![vec![f64::INFINITY; count]; count];
    let mut wrong_way = vec![vec![0.0; count]; count];
    let mut sum = (0.0, 0.0);
    for a in 0..count {
        for b in 0..a {
            let pairs = common_values(&models[a], &models[b]);
            if 2 * pairs.len() < models[a].tensors().len().max(models[b].tensors().len()) {
                continue;
            }
            let squares = pairs.iter().flat_map(|(a, b)| a.iter().zip(b));
            let d = squares.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            let lean: f64 = pairs.iter().map(|(a, b)| kurtosis(a) - kurtosis(b)).sum();
            (distance[a][b], distance[b][a]) = (d, d);
            // parent, child: wrong when the child's is the higher.
            wrong_way[a][b] = f64::from(u8::from(lean < 0.0));
            wrong_way[b][a] = f64::from(u8::from(lean > 0.0));
            sum = (sum.0 + d, sum.1 + 1.0);
        }
    }
    let mean = sum.0 / f64::max(sum.1, 1.0);
    let cost = |parent: usize, child: usize| {
        distance[parent][child] + 0.3 * mean * wrong_way[parent][child]
    };
    // The forest without the longest edges, each tree hung by its cheapest root: with a cost of
    // direction that is the same for all edges, that is the cheapest directed tree.
    let mut edges: Vec<(usize, usize)> =
        (0..count).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    edges.retain(|(a, b)| distance[*a][*b].is_finite());
    edges.sort_by(|x, y| distance[x.0][x.1].total_cmp(&distance[y.0][y.1]));
    let mut group: Vec<usize> = (0..count).collect();
    let mut forest: Vec<(usize, usize)> = Vec::new();
    for (a, b) in edges {
        if group[a] != group[b] && forest.len() + trees < count {
            let (from, to) = (group[a], group[b]);
            group.iter_mut().filter(|own| **own == from).for_each(|own| *own = to);
            forest.push((a, b));
        }
    }
    let hang = |root: usize| -> Vec<Edge> {
        let mut hung: Vec<Edge> = Vec::new();
        let mut reached = vec![root];
        let mut next = 0;
        while next < reached.len() {
            let at = reached[next];
            for (a, b) in &forest {
                for (parent, child) in [(*a, *b), (*b, *a)] {
                    if parent == at && !reached.contains(&child) {
                        hung.push((parent, child, true));
                        reached.push(child);
                    }
                }
            }
            next += 1;
        }
        hung
    };
    let mut groups = group.clone();
    groups.sort_unstable();
    groups.dedup();
    let mut all = Vec::new();
    for own in groups {
        let roots = (0..count).filter(|at| group[*at] == own);
        let price = |edges: &Vec<Edge>| edges.iter().map(|(p, c, _)| cost(*p, *c)).sum::<f64>();
        let hung = roots.map(hang).min_by(|a, b| price(a).total_cmp(&price(b)));
        all.extend(hung.unwrap_or_default());
    }
    all
}

/// MGit's rule: each model, as it comes, becomes the child of the one before it from which it
/// diverges least by contents; where nothing is equal, by structure; else it is a root.
fn mgit_rule(models: &[Model]) -> Vec<Edge> {
    let graphs: Vec<LayerGraph> =
        models.iter().map(|model| LayerGraph::of(model).expect("layers")).collect();
    let mut edges = Vec::new();
    for child in 1..models.len() {
        let nearest = |mode| {
            let scores = (0..child).map(|at| (divergence(&graphs[at], &graphs[child], mode), at));
            scores.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score < 1.0)
        };
        let found = nearest(Mode::Contextual).or_else(|| nearest(Mode::Structural));
        edges.extend(found.map(|(_, parent)| (parent, child, true)));
    }
    edges
}

fn table() {
    for folder in folders() {
        let known = known(&folder);
        println!("\n== {} ({} models, {SHUFFLES} orders)", folder.display(), known.len());
        let mut order: Vec<usize> = (0..known.len()).collect();
        let mut scores = Scores::new();
        for seed in 0..SHUFFLES {
            let mut random = Random(seed);
            for at in (1..order.len()).rev() {
                order.swap(at, random.next() as usize % (at + 1));
            }
            let models: Vec<&Known> = order.iter().map(|at| &known[*at]).collect();
            let open = |known: &&Known| ModelSource::open(&known.path).expect("a model file");
            let files: Vec<ModelSource> = models.iter().map(open).collect();
            let label = |(at, file)| Member::source(format!("m{at}"), file).expect("its tensors");
            let members: Vec<Member<'_>> = files.iter().enumerate().map(label).collect();
            let found = arrange(&members).expect("families");
            if seed == 0 {
                for kin in &found {
                    let (parent, child) = (models[kin.parent], models[kin.child]);
                    let mark = match child.parent.as_deref() == Some(&parent.name) {
                        true if kin.is_claimed() => "right",
                        true => "right, not claimed",
                        false => "WRONG",
                    };
                    let (how, sure) = (kin.how, kin.confidence);
                    println!("{mark}: {} <- {}, {how}, {sure:.3}", child.name, parent.name);
                }
            }
            let ours: Vec<Edge> =
                found.iter().map(|kin| (kin.parent, kin.child, kin.is_claimed())).collect();
            count(&mut scores, "ours", &models, &ours);

            let home = common::models::scratch();
            let store = Store::create(home.path().join("s.mgit")).expect("a store");
            let mut transaction = store.begin_write().expect("a transaction");
            for (at, file) in files.iter().enumerate() {
                let new = NewModel::new(format!("m{at}")).source(file);
                transaction.add_model(new).expect("a model");
            }
            transaction.commit().expect("a commit");
            let snapshot = store.snapshot().expect("a snapshot");
            let stored: Vec<Model> = (0..files.len())
                .map(|at| snapshot.model(format!("m{at}")).expect("a model"))
                .collect();
            count(&mut scores, "MGit", &models, &mgit_rule(&stored));
            // The quadratic reading of all weights, once: the order does not matter to it.
            if seed == 0 {
                let trees = models.iter().filter(|known| known.parent.is_none()).count();
                count(&mut scores, "MoTHer", &models, &mother(&stored, trees));
            }
        }
        println!(
            "| method | family | true edges | kin found | false kin | claimed right | wrong |"
        );
        println!("|---|---|---|---|---|---|---|");
        for ((method, family), score) in scores {
            let Score { true_edges, kin_right, kin_wrong, claimed_right, claimed_wrong } = score;
            println!(
                "| {method} | {family} | {true_edges} | {kin_right} | {kin_wrong} | \
                 {claimed_right} | {claimed_wrong} |"
            );
        }
    }
}

/// Members made from a real one: every weight of a parent moved a little, in a tree of families.
fn insert_cost() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/mgit-db/demo");
    let file = ModelSource::open(path.join("ani-1x-m0.safetensors")).expect("the demo's model");
    let real = file.files().first().expect("a file");
    let opened = OpenFile::open(path.join("ani-1x-m0.safetensors")).expect("the demo's model");
    let base: Vec<(String, Shape, Vec<f32>)> = real
        .tensors()
        .iter()
        .map(|entry| {
            let bytes = opened.bytes(entry.begin, entry.end - entry.begin).expect("its bytes");
            let floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            // The first rows only, so that ten thousand members fit.
            let (rows, row) = (entry.shape.rows(), entry.shape.elements() / entry.shape.rows());
            let kept = rows.min(16);
            let mut dims = entry.shape.dims().to_vec();
            dims[0] = kept;
            let values = floats.take((kept * row) as usize).collect();
            (entry.name.clone(), Shape::new(&dims).expect("a shape"), values)
        })
        .collect();
    let mut random = Random(1);
    let mut moved = |parent: &[Vec<f32>], by: f32| -> Vec<Vec<f32>> {
        let mut unit = || (random.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let mut tensor = |values: &Vec<f32>| -> Vec<f32> {
            let scale = values.iter().map(|value| value.abs()).sum::<f32>() / values.len() as f32;
            values.iter().map(|value| value + unit() * scale * by).collect()
        };
        parent.iter().map(&mut tensor).collect()
    };
    let add =
        |transaction: &mut Transaction, name: &str, values: &[Vec<f32>], parent: Option<&str>| {
            let mut new = NewModel::new(name);
            for ((name, shape, _), values) in base.iter().zip(values) {
                let bytes = mgit::bytemuck::cast_slice(values);
                new = new.tensor(NewTensor::from_bytes(name, Dtype::F32, shape.clone(), bytes));
            }
            if let Some(parent) = parent {
                new = new.parent(parent, How::FineTune);
            }
            transaction.add_model(new).expect("a model");
        };
    let home = common::models::scratch();
    let store = Store::create(home.path().join("s.mgit")).expect("a store");
    let root: Vec<Vec<f32>> = base.iter().map(|(_, _, values)| values.clone()).collect();
    let mut recent: Vec<(String, Vec<Vec<f32>>)> = Vec::new();
    let (mut made, mut right, mut asked) = (0, 0, 0);
    println!("\n== Finding the parent of one more model");
    println!("| models | ms (median of 15) | looked at | parent right |");
    println!("|---|---|---|---|");
    for size in [10, 100, 1_000, 10_000] {
        while made < size {
            let mut transaction = store.begin_write().expect("a transaction");
            for _ in 0..(size - made).min(500) {
                // A new family every fifty models: as far from the others as strangers are.
                let (parent, values) = if made % 50 == 0 {
                    recent.clear();
                    (None, moved(&root, 20.0))
                } else {
                    let at = made * 7919 % recent.len();
                    let (parent, values) = &recent[at];
                    (Some(parent.clone()), moved(values, 0.02))
                };
                let name = format!("m{made}");
                add(&mut transaction, &name, &values, parent.as_deref());
                recent.push((name, values));
                made += 1;
            }
            transaction.commit().expect("a commit");
        }
        let snapshot = store.snapshot().expect("a snapshot");
        let (mut times, mut looked_at) = (Vec::new(), Vec::new());
        let (mut right_here, rounds) = (0, 15);
        for round in 0..rounds {
            let (parent, values) = &recent[round * 31 % recent.len()];
            let child = moved(values, 0.02);
            let other = Store::create(home.path().join(format!("n{size}-{round}.mgit"))).unwrap();
            let mut transaction = other.begin_write().expect("a transaction");
            add(&mut transaction, "new", &child, None);
            transaction.commit().expect("a commit");
            let new = other.snapshot().expect("a snapshot").model("new").expect("a model");
            let member = Member::stored(new).expect("its sketches");
            let start = std::time::Instant::now();
            let found = place(&snapshot, &member).expect("its place");
            times.push(start.elapsed().as_secs_f64() * 1e3);
            looked_at.push(found.looked_at);
            let nearest = found.nearest.map(|model| model.node().name().to_owned());
            right_here += usize::from(nearest.as_ref() == Some(parent));
        }
        right += right_here;
        asked += rounds;
        let (time, looked_at) = (common::median(times), common::median(looked_at));
        println!("| {size} | {time:.2} | {looked_at} | {right_here} of {rounds} |");
    }
    println!("nearest was the parent: {right} of {asked}");
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    table();
    insert_cost();
}
