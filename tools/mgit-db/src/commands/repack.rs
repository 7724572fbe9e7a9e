//! `repack`: what stands on what, chosen anew.

use std::path::PathBuf;

use mgit::Profile;
use mgit::planning::CHAIN_DEPTH_MAX;
use mgit::store::{Repack, RepackReport};
use serde_json::json;

use super::recode::{bytes_to_do, profile_parser};
use crate::failure::Failure;
use crate::given_back::Before;
use crate::opening;
use crate::output::Output;
use crate::progress::Progress;
use crate::text::{count, size};

/// Choose the base of every tensor again, so that the store becomes as small as possible.
///
/// Casts, quantised, pruned and merged tensors become formulas of what they were made of, whichever
/// was imported first. Contents and models stay as they are, in one transaction, and nothing takes
/// more space than before. Tensors that only removed models had are removed where the rest is smaller
/// without them. A change that saves less than one part in 256 is not made. New records are written
/// beside the old ones first; at the end the file is made as short as it can be in place, unless a
/// reader may still read the old ones.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db repack family.mgit --dry-run
  mgit-db repack family.mgit --max-depth 1")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The largest number of differences that reading a tensor may decode
    #[arg(long, value_name = "N", default_value_t = CHAIN_DEPTH_MAX,
          value_parser = clap::value_parser!(u8).range(..=64))]
    max_depth: u8,
    /// What to encode for
    #[arg(long, default_value_t, value_parser = profile_parser())]
    profile: Profile,
    /// Only report what it would save
    #[arg(long)]
    dry_run: bool,
}

/// Repacks the store.
///
/// # Errors
///
/// A tensor is damaged; the disk is full.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let before = Before::of(&arguments.store);
    let store = opening::open(&arguments.store)?;
    let bytes = bytes_to_do(&store, None)?;
    let bar = Progress::new(format!("repack {}", arguments.store.display()), bytes);
    let how = Repack::default().depth_max(arguments.max_depth).profile(arguments.profile);
    let mut transaction = store.begin_write()?;
    let progress = |bytes| bar.advance(bytes);
    let report = transaction.repack(&how.dry_run(arguments.dry_run), &progress)?;
    // What changes nothing leaves the file as it is.
    let is_better = report.changed + report.freed > 0;
    let shorter = if is_better && !arguments.dry_run {
        transaction.commit()?;
        Some(before.give_back(&store)?)
    } else {
        drop(transaction);
        None
    };
    drop(bar);
    let RepackReport { tensors, changed, freed, before_bytes, after_bytes, .. } = report;
    let document = json!({
        "dry_run": arguments.dry_run,
        "max_depth": arguments.max_depth,
        "tensors": tensors,
        "changed": changed,
        "freed": freed,
        "before": { "bytes": before_bytes, "depth": report.before_depth },
        "after": { "bytes": after_bytes, "depth": report.after_depth },
        "file": shorter.map(|shorter| shorter.document()),
    });
    let would = if arguments.dry_run { "would stand" } else { "stand" };
    let mut text = format!(
        "{changed} of {} {would} on something else, {} -> {}, depth {} -> {}\n",
        count(tensors, "tensor"),
        size(before_bytes),
        size(after_bytes),
        report.before_depth,
        report.after_depth
    );
    if freed > 0 {
        let go = if arguments.dry_run { "would go" } else { "gone" };
        text += &format!("  {} of no model {go}\n", count(freed, "tensor"));
    }
    text += &shorter.map(|shorter| shorter.describe()).unwrap_or_default();
    output.print(document, &text)
}
