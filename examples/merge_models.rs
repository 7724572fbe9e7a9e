//! Two fine-tunes of one base merged by each strategy: how well they read, and what they take.
//!
//! A base learns to read digits (see `common`). One child goes on with noisy pictures, the other
//! with inverted ones; what each has learned the other has not. The accuracies are over 4,000
//! pictures of each task that no network has seen.
//!
//! ```text
//! cargo run --release --example merge_models
//! ```

mod common;

use common::{Network, Result, Task};
use mgit::merge::{Merge, MergeOptions, Resolution};
use mgit::model_tests::RunOptions;
use mgit::update::Strategy;
use mgit::{How, NewModel, Store};

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::create(folder.path().join("family.mgit"))?;
    let add = |name: &str, parent: Option<&str>, network: &Network| -> Result<u64> {
        let tensors = network.tensors();
        let new = parent
            .iter()
            .fold(NewModel::new(name), |new, parent| new.parent(*parent, How::FineTune));
        let mut transaction = store.begin_write()?;
        let new = tensors.iter().fold(new, |new, tensor| new.tensor(tensor.to_new()));
        let report = transaction.add_model(new)?;
        transaction.commit()?;
        Ok(report.added_bytes)
    };
    let mut base = Network::new(1);
    base.train(Task::Plain, (120_000, 0.02), 1, |digit| digit);
    let (mut noisy, mut inverted) = (base.clone(), base.clone());
    noisy.train(Task::Noisy, (40_000, 0.005), 2, |digit| digit);
    inverted.train(Task::Inverted, (40_000, 0.005), 3, |digit| digit);

    println!("| model | plain | noisy | inverted | bytes added |");
    println!("|---|---|---|---|---|");
    let row = |name: &str, network: &Network, added: u64| {
        let read = |task| format!("{:.1} %", network.accuracy(task) * 100.0);
        let [plain, noisy, inverted] = [Task::Plain, Task::Noisy, Task::Inverted].map(read);
        println!("| {name} | {plain} | {noisy} | {inverted} | {added} |");
    };
    row("base", &base, add("base", None, &base)?);
    row("noisy", &noisy, add("noisy", Some("base"), &noisy)?);
    row("inverted", &inverted, add("inverted", Some("base"), &inverted)?);
    for strategy in Strategy::ALL {
        let on_conflict = Some(Resolution::Blend(strategy));
        let options = MergeOptions { on_conflict, ..MergeOptions::default() };
        let name = format!("by-{}", strategy.name());
        let merge = Merge::new("noisy", "inverted", &name).options(options);
        let merged = merge.run(&store, RunOptions::default())?;
        let model = store.snapshot()?.model(merged.report.node.full_name())?;
        row(strategy.name(), &Network::of(&model)?, merged.report.added_bytes);
    }
    Ok(())
}
