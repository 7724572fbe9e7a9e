//! Families of small networks whose lineage is known, and how often parents are found in them.
//!
//! `cargo run --release --example parents -- make DIR [COUNT]` trains the networks, one folder a family
//! (about nine minutes on half a core for 480); `learn DIR` prints the weights of the evidence that
//! make one half of the families likeliest, as they stand in `engine/infer/belief.rs`; `report DIR...`
//! prints how often what is claimed is right, on the other half and on any other folder with a
//! `lineage.json`, beside the rules of MGit and MoTHer; `rates DIR...` is that without these.

#[path = "../common/digits.rs"]
mod digits;
mod families;
mod files;
mod learn;
mod network;
mod rules;
mod score;
mod task;
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use digits::Random;
use families::Family;
use learn::Sample;
use mgit::infer::{Member, arrange, neighbours};
use mgit::interchange::ModelSource;
use mgit::{Model, NewModel, Store};
use score::Score;
use truth::{Known, Relation};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Families that are made where no other number is given.
const FAMILIES: u64 = 480;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["make", folder] => make(Path::new(folder), FAMILIES),
        ["make", folder, count] => make(Path::new(folder), count.parse()?),
        ["learn", folder] => print_weights(Path::new(folder)),
        ["report", ref folders @ ..] if !folders.is_empty() => report(folders, true),
        ["rates", ref folders @ ..] if !folders.is_empty() => report(folders, false),
        [] => {
            let folder = tempfile::tempdir()?;
            make(folder.path(), 24)?;
            report(&[&folder.path().display().to_string()], true)
        }
        _ => Err("make DIR [COUNT], learn DIR, report DIR... or rates DIR...".into()),
    }
}

fn make(folder: &Path, count: u64) -> Result<()> {
    let mut accuracies = BTreeMap::<&str, Vec<f64>>::new();
    for seed in 0..count {
        let family = Family::of(seed);
        files::write(&family, &folder.join(format!("{seed:04}")))?;
        let accuracy = family.members[0].network.accuracy(family.task);
        accuracies.entry(family.task.kind()).or_default().push(accuracy);
    }
    println!("{count} families in {}", folder.display());
    for (kind, all) in accuracies {
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        println!("first networks for {kind}: {:.0} % of new examples right", 100.0 * mean);
    }
    Ok(())
}

/// The families in a folder, or the one that it is.
fn families_in(folder: &Path) -> Result<Vec<Known>> {
    if folder.join("lineage.json").is_file() {
        return Ok(vec![Known::read(folder)?]);
    }
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join("lineage.json").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    folders.iter().map(|folder| Known::read(folder)).collect()
}

/// Whether the weights may be learnt from a family: one half of those that are made, kind by kind.
fn is_for_learning(known: &Known) -> bool {
    known.seed.is_some_and(|seed| (seed / families::KINDS.len() as u64).is_multiple_of(2))
}

/// The places of a family's models, in an order that says nothing.
fn shuffled(known: &Known) -> Vec<usize> {
    let mut random = Random(known.seed.unwrap_or(1) + 9);
    let mut order: Vec<usize> = (0..known.files.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    order
}

/// The files of a family, opened, in that order, with their names.
fn opened(known: &Known) -> Result<(Vec<&str>, Vec<ModelSource>)> {
    let order = shuffled(known).into_iter().map(|at| &known.files[at]);
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for (name, path) in order {
        names.push(name.as_str());
        files.push(ModelSource::open(path)?);
    }
    Ok((names, files))
}

/// As members whose labels say nothing.
fn members(files: &[ModelSource]) -> Result<Vec<Member<'_>>> {
    let member = |(at, file)| Ok(Member::source(format!("m{at}"), file)?);
    files.iter().enumerate().map(member).collect()
}

fn print_weights(folder: &Path) -> Result<()> {
    let mut samples = Vec::new();
    for known in families_in(folder)?.iter().filter(|known| is_for_learning(known)) {
        let (names, files) = opened(known)?;
        for found in neighbours(&members(&files)?)? {
            let truth = match known.relation(names[found.ends.0], names[found.ends.1]) {
                Relation::Parent => 0,
                Relation::Child => 1,
                _ => 2,
            };
            let (directed, undirected) = (found.directed, found.undirected);
            samples.push(Sample { directed, undirected, truth });
        }
    }
    let (directed, undirected) = learn::weights(&samples);
    println!("learnt from {} pairs of neighbours", samples.len());
    println!("directed: {directed:.2?}\nundirected: {undirected:.2?}");
    Ok(())
}

fn report(folders: &[&str], beside: bool) -> Result<()> {
    for folder in folders {
        let families = families_in(Path::new(folder))?;
        let mut by_kind = BTreeMap::<String, Score>::new();
        let mut totals = BTreeMap::<&str, Score>::new();
        let own = families.iter().filter(|known| !is_for_learning(known));
        let own: Vec<&Known> = own.collect();
        for known in &own {
            let (names, files) = opened(known)?;
            let ours = Score::of(known, &names, &arrange(&members(&files)?)?);
            by_kind.entry(known.kind.clone()).or_default().add(&ours);
            totals.entry("ours").or_default().add(&ours);
            if !beside {
                continue;
            }
            let home = tempfile::tempdir()?;
            let stored = stored(&home.path().join("s.mgit"), &files)?;
            let others = [
                ("MGit's rule", rules::mgit_rule(&stored)),
                ("MoTHer", rules::mother(&stored, known.families())),
            ];
            for (method, edges) in others {
                let score = Score::of_claims(known, &names, &edges);
                totals.entry(method).or_default().add(&score);
            }
        }
        println!("\n## {folder}: {} families\n\n{}", own.len(), Score::HEAD);
        by_kind.iter().for_each(|(kind, score)| println!("{}", score.row(kind)));
        totals
            .iter()
            .for_each(|(method, score)| println!("{}", score.row(&format!("all, {method}"))));
        if let Some(score) = totals.get("ours") {
            println!("\n{}", score.reliability());
        }
    }
    Ok(())
}

/// The models in a store of their own, in their order.
fn stored(path: &Path, files: &[ModelSource]) -> Result<Vec<Model>> {
    let store = Store::create(path)?;
    let mut transaction = store.begin_write()?;
    for (at, file) in files.iter().enumerate() {
        transaction.add_model(NewModel::new(format!("m{at}")).source(file))?;
    }
    transaction.commit()?;
    let snapshot = store.snapshot()?;
    (0..files.len()).map(|at| Ok(snapshot.model(format!("m{at}"))?)).collect()
}
