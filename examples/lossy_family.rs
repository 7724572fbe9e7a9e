//! A family stored with less and less of its differences, as far as a gate bears it.
//!
//! A base learns to read digits (see `common`), four tasks go on from it, and each of them has
//! eight further versions, as a deployed model that is trained on what comes in: 37 models. The
//! family is stored as it is, and then with differences rounded to multiples of a growing step. A
//! gate reads 4,000 pictures that no network has seen: no model may lose more than half a point.
//!
//! ```text
//! cargo run --release --example lossy_family
//! ```

mod common;

use std::path::Path;

use common::{Network, Result, Task, floats};
use mgit::codec::Lossy;
use mgit::store::LossyDraft;
use mgit::{How, NewModel, Profile, Store};

/// By how much the accuracy of a model may fall.
const DROP_MAX: f64 = 0.005;
const TASKS: [&str; 4] = ["plain", "noisy", "inverted", "mirrored"];
const VERSIONS: u64 = 9;

/// A trained model.
struct Member {
    name: String,
    parent: Option<String>,
    network: Network,
    task: Task,
    accuracy: f64,
}

/// The base, and the versions of each task.
fn family() -> Vec<Member> {
    let member = |name: &str, parent: Option<String>, network: Network| {
        let task = Task::of(name);
        Member { name: name.to_owned(), parent, accuracy: network.accuracy(task), network, task }
    };
    let mut base = Network::new(1);
    base.train(Task::Plain, (240_000, 0.02), 1, |digit| digit);
    let mut members = vec![member("base", None, base.clone())];
    for (at, name) in TASKS.iter().enumerate() {
        let mut network = base.clone();
        for version in 1..=VERSIONS {
            // The first learns the task, the others go on with a little more of it.
            let work = if version == 1 { (40_000, 0.005) } else { (5_000, 0.001) };
            network.train(Task::of(name), work, 100 * at as u64 + version, |digit| digit);
            let parent =
                if version == 1 { "base@1".to_owned() } else { format!("{name}@{}", version - 1) };
            members.push(member(name, Some(parent), network.clone()));
        }
    }
    members
}

/// The family in a store, with differences rounded as far as accuracy bears it, or as they are: a
/// row of what it takes.
fn store(members: &[Member], path: &Path, lossy: Option<Lossy>) -> Result<String> {
    let store = Store::create(path)?;
    let (mut logical, mut added, mut rounded, mut kept, mut worst) = (0, 0, 0, 0, 0.0f64);
    for member in members {
        let gate = |draft: &LossyDraft<'_>| {
            let network = Network::read(|name| {
                let tensor = draft.tensors().find(|tensor| tensor.name() == name);
                let tensor = tensor.ok_or_else(|| format!("no {name}"))?;
                let bytes = tensor.bytes().map_err(|error| error.to_string())?;
                Ok::<_, String>(floats(tensor.dtype(), &bytes))
            })?;
            Ok(member.accuracy - network.accuracy(member.task) <= DROP_MAX)
        };
        let tensors = member.network.tensors();
        let new = || {
            let new = NewModel::new(&member.name).profile(Profile::Dense);
            let new = tensors.iter().fold(new, |new, tensor| new.tensor(tensor.to_new()));
            member.parent.iter().fold(new, |new, parent| new.parent(parent, How::FineTune))
        };
        let mut transaction = store.begin_write()?;
        let asked = lossy.map(|lossy| new().lossy(lossy).gate(gate));
        let report = match asked.map(|asked| transaction.add_model(asked)) {
            None => transaction.add_model(new())?,
            Some(Err(mgit::store::StoreError::GateRefused)) => {
                kept += tensors.len() as u64;
                transaction.add_model(new())?
            }
            Some(report) => report?,
        };
        transaction.commit()?;
        logical += report.node.logical_bytes();
        added += report.added_bytes;
        if let Some(loss) = &report.lossy {
            rounded += loss.tensors;
            kept += loss.kept_tensors;
        }
        let stored = store.snapshot()?.model(report.node.full_name())?;
        worst = worst.max(member.accuracy - Network::of(&stored)?.accuracy(member.task));
    }
    let way = lossy.map_or("lossless".to_owned(), |lossy| lossy.to_string());
    let ratio = logical as f64 / added as f64;
    let worst = worst * 100.0;
    Ok(format!("| {way} | {added} | {ratio:.2} | {rounded} | {kept} | {worst:.2} |"))
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let members = family();
    let read = |name: &str, last: bool| {
        let mut of = members.iter().filter(|member| member.name == name);
        let member = if last { of.next_back() } else { of.next() };
        member.map_or(f64::NAN, |member| member.accuracy * 100.0)
    };
    println!("base: {:.1} % of the digits", read("base", true));
    for name in TASKS {
        println!("{name}: {:.1} % at first, {:.1} % at last", read(name, false), read(name, true));
    }
    println!("\n{} models, accuracy may fall by {DROP_MAX}:\n", members.len());
    println!(
        "| differences | bytes of records | ratio | tensors rounded | refused | worst, points |"
    );
    println!("|---|---|---|---|---|---|");
    for eps in [None, Some(1e-4), Some(3e-4), Some(1e-3), Some(3e-3), Some(1e-2)] {
        let lossy = eps.map(|eps| Lossy::Quantised { eps });
        println!("{}", store(&members, &folder.path().join(format!("{eps:?}.mgit")), lossy)?);
    }
    Ok(())
}
