//! Promise: in families of small networks that were really trained, what is claimed with 0.9 and more
//! is right nearly always, parents that are there are next to their children, and siblings whose parent is not there
//! are told as such. A small part of what `examples/parents` reports; the networks are made here.

#[path = "../../examples/common/digits.rs"]
mod digits;
#[path = "../../examples/parents/families.rs"]
#[allow(dead_code, reason = "the example makes larger ones")]
mod families;
#[path = "../../examples/parents/files.rs"]
mod files;
#[path = "../../examples/parents/network.rs"]
#[allow(dead_code, reason = "the example measures accuracies")]
mod network;
#[path = "../../examples/parents/score.rs"]
#[allow(dead_code, reason = "the example prints tables")]
mod score;
#[path = "../../examples/parents/task.rs"]
#[allow(dead_code, reason = "the example names the kinds")]
mod task;
#[path = "../../examples/parents/truth.rs"]
#[allow(dead_code, reason = "the example puts other rules beside")]
mod truth;

use std::path::Path;

use families::Family;
use mgit::infer::{Kinship, Member, arrange};
use mgit::interchange::ModelSource;
use rayon::prelude::*;
use score::Score;
use truth::Known;

fn score_of(seed: u64, folder: &Path) -> Score {
    let folder = folder.join(seed.to_string());
    files::write(&Family::sized(seed, Some([24, 16]), 8), &folder).unwrap();
    let known = Known::read(&folder).unwrap();
    let (names, files): (Vec<&str>, Vec<ModelSource>) = known
        .files
        .iter()
        .rev()
        .map(|(name, path)| (name.as_str(), ModelSource::open(path).unwrap()))
        .unzip();
    let label = |(at, file)| Member::source(format!("m{at}"), file).unwrap();
    let members: Vec<Member<'_>> = files.iter().enumerate().map(label).collect();
    let found: Vec<Kinship> = arrange(&members).unwrap();
    let score = Score::of(&known, &names, &found);
    println!("{seed}: {}", score.row(&known.kind));
    score
}

#[test]
fn claims_of_parents_are_right_and_siblings_are_told() {
    let home = tempfile::tempdir().unwrap();
    // Two of each kind, of the half from which no weight was learnt.
    let seeds: Vec<u64> = (12..24).chain(36..48).collect();
    let scores: Vec<Score> = seeds.par_iter().map(|seed| score_of(*seed, home.path())).collect();
    let mut all = Score::default();
    scores.iter().for_each(|score| all.add(score));
    println!("{}\n{}", all.row("all"), all.reliability());
    // One in twenty over many families; here are some twenty claims.
    assert!(all.wrong * 10 <= all.claimed + all.wrong, "{all:?}");
    assert!(all.claimed >= 10 && all.next_to * 10 >= all.children * 8, "{all:?}");
    assert!(all.told * 10 >= all.siblings * 6, "{all:?}");
}
