//! Families of small networks whose lineage is known, and how often parents are found in them.
//!
//! `cargo run --release --example parents -- make DIR [COUNT | FROM TO]` trains the networks, one
//! folder a family (two and a half minutes of a core for 960); `learn DIR` prints the weights of the
//! evidence that make one half of the families likeliest, as they stand in `engine/infer/triple.rs` (set
//! these first, and learn again) and `engine/infer/belief.rs`; `report DIR...` prints how often what is
//! claimed is right, on the other half and on any other folder with a `lineage.json`, beside the rules
//! of MGit and MoTHer; `rates DIR...` is that without these. `misses DIR` prints what is wrong, one by
//! one, in the half that the weights are learnt from, and elsewhere; `arrivals DIR...` how often a
//! model that comes alone into a store of the others finds its parent.

mod arrivals;
#[path = "../common/digits.rs"]
mod digits;
mod families;
mod files;
mod learn;
mod misses;
mod network;
mod rules;
mod score;
mod task;
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrivals::Arrivals;
use digits::Random;
use families::Family;
use learn::{Sample, Three};
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
        ["make", folder] => make(Path::new(folder), 0..FAMILIES),
        ["make", folder, count] => make(Path::new(folder), 0..count.parse()?),
        ["make", folder, from, to] => make(Path::new(folder), from.parse()?..to.parse()?),
        ["learn", folder] => print_weights(Path::new(folder)),
        ["misses", folder] => misses(Path::new(folder)),
        ["arrivals", ref folders @ ..] if !folders.is_empty() => arrivals(folders),
        ["report", ref folders @ ..] if !folders.is_empty() => report(folders, true),
        ["rates", ref folders @ ..] if !folders.is_empty() => report(folders, false),
        [] => {
            let folder = tempfile::tempdir()?;
            make(folder.path(), 0..24)?;
            report(&[&folder.path().display().to_string()], true)
        }
        _ => {
            Err("make DIR [COUNT | FROM TO], learn DIR, misses DIR, arrivals DIR..., report DIR... or rates DIR..."
                .into())
        }
    }
}

fn make(folder: &Path, seeds: std::ops::Range<u64>) -> Result<()> {
    let count = seeds.end.saturating_sub(seeds.start);
    let mut accuracies = BTreeMap::<&str, Vec<f64>>::new();
    for seed in seeds {
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

/// The files of a family, opened, in an order that says nothing, with their names.
fn opened(known: &Known) -> Result<(Vec<&str>, Vec<ModelSource>)> {
    opened_in(known, shuffled(known))
}

fn opened_in(known: &Known, order: Vec<usize>) -> Result<(Vec<&str>, Vec<ModelSource>)> {
    let order = order.into_iter().map(|at| &known.files[at]);
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
    let (mut samples, mut threes) = (Vec::new(), Vec::new());
    for known in families_in(folder)?.iter().filter(|known| is_for_learning(known)) {
        let (names, files) = opened(known)?;
        let (neighbours, found) = neighbours(&members(&files)?)?;
        for found in neighbours {
            let truth = match known.relation(names[found.ends.0], names[found.ends.1]) {
                Relation::Parent => 0,
                Relation::Child => 1,
                _ => 2,
            };
            let (directed, undirected) = (found.directed, found.undirected);
            samples.push(Sample { directed, undirected, truth });
        }
        for three in found {
            let truth = known.middle(three.places.map(|at| names[at]));
            threes.extend(truth.map(|truth| Three { signs: three.signs, truth }));
        }
    }
    let (of_each, none) = learn::weights_of_threes(&threes);
    println!("learnt from {} threes: {of_each:.2?}, none of them {none:.2}", threes.len());
    let (directed, undirected) = learn::weights(&samples);
    println!("learnt from {} pairs of neighbours", samples.len());
    println!("directed: {directed:.2?}\nundirected: {undirected:.2?}");
    Ok(())
}

fn misses(folder: &Path) -> Result<()> {
    let may_look = |known: &&Known| known.seed.is_none() || is_for_learning(known);
    for known in families_in(folder)?.iter().filter(may_look) {
        let (names, files) = opened(known)?;
        misses::print(known, &names, &arrange(&members(&files)?)?);
    }
    Ok(())
}

/// Models that come one by one: in the true order, parents first, and in one that says nothing.
fn arrivals(folders: &[&str]) -> Result<()> {
    for folder in folders {
        let (mut in_order, mut shuffled) = (Arrivals::default(), Arrivals::default());
        let families = families_in(Path::new(folder))?;
        for known in families.iter().filter(|known| !is_for_learning(known)) {
            shuffled.add(&arrived(known, self::shuffled(known))?);
            in_order.add(&arrived(known, known.parents_first())?);
        }
        println!("\n## {folder}\n\n{}", Arrivals::HEAD);
        println!("{}\n{}", in_order.row("parents first"), shuffled.row("any"));
    }
    Ok(())
}

fn arrived(known: &Known, order: Vec<usize>) -> Result<Arrivals> {
    let (names, files) = opened_in(known, order)?;
    Arrivals::of(known, &names, &files)
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
