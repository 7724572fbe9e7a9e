//! What clone, push, pull, fetch and bundle have in common.

use std::path::Path;

use mgit::catalog::{ReadTables, Table};
use mgit::error::StoreError;
use mgit::lineage::glob_matches;
use mgit::transfer::{Place, PullReport, Selection, TransferError, remotes};
use mgit::{ContentId, Store};
use serde_json::{Value, json};

use crate::causes::causes;
use crate::document::joined;
use crate::failure::Failure;
use crate::interrupt;
use crate::opening;
use crate::output::{Ink, Output};
use crate::progress::Progress;
use crate::text::{count, size};

/// Which models travel.
#[derive(Debug, clap::Args)]
pub struct Names {
    /// Only models whose name fits, and what they descend from: a glob of * and ?; may be given
    /// several times
    #[arg(long = "name", value_name = "GLOB")]
    globs: Vec<String>,
}

impl Names {
    /// Whether models of a name are wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.globs.is_empty() || self.globs.iter().any(|glob| glob_matches(glob, name))
    }
}

/// A transfer that was done.
#[derive(Debug)]
pub struct Moved {
    /// The other side.
    pub place: String,
    /// What was moved.
    pub report: PullReport,
}

impl Moved {
    /// Does a transfer, with a bar.
    ///
    /// # Errors
    ///
    /// Those of the transfer.
    pub fn by(
        what: &str,
        (shown, place): (&str, &Place),
        work: impl FnOnce(Selection<'_>) -> Result<PullReport, TransferError>,
        names: &Names,
        graph_only: bool,
    ) -> Result<Self, Failure> {
        if what != "clone" {
            interrupt::advise("the same command does the rest");
        }
        let bar = Progress::unbounded(format!("{what} {shown}"));
        let wants = |name: &str| names.wants(name);
        let progress = |bytes| bar.advance(bytes);
        let report = work(Selection { wants: &wants, graph_only, progress: &progress });
        let report = report.map_err(|error| named(error, what, place))?;
        Ok(Moved { place: shown.to_owned(), report })
    }
}

/// Names the store that a transfer failed for, of two: this side was opened before.
fn named(error: TransferError, what: &str, place: &Place) -> Failure {
    let error = mgit::Error::from(error);
    // What is not there is missing where it was to come from.
    let source = match (what, place) {
        ("push", _) => opening::first(),
        (_, Place::Store(path)) => Some(path.as_path()),
        _ => None,
    };
    let damaged = causes(&error).find_map(|cause| match cause.downcast_ref() {
        Some(StoreError::DamagedRecord { content_id, .. }) => Some(*content_id),
        _ => None,
    });
    let failure = Failure::about(error, source);
    let (Place::Store(other), Some(own)) = (place, opening::first()) else { return failure };
    let is_of_other = match failure.code() {
        "not-a-store" | "truncated" | "newer-version" | "unknown-features" => Some(true),
        _ => damaged.and_then(|id| match (has(own, id), has(other, id)) {
            (Some(true), Some(false)) => Some(false),
            (Some(false), Some(true)) => Some(true),
            _ => None,
        }),
    };
    match is_of_other {
        Some(true) => failure.of_store(other.display()),
        Some(false) => failure.of_store(own.display()),
        None => opening::named_either(failure, own, other, &[]),
    }
}

/// Whether a store has a content, where that can be read.
fn has(path: &Path, id: ContentId) -> Option<bool> {
    let store = opening::options().open_read_only(path).ok()?;
    let snapshot = store.snapshot().ok()?;
    let is_in = |table| Some(snapshot.tables().get(table, id.as_bytes()).ok()?.is_some());
    Some(is_in(Table::Tensors)? || is_in(Table::Manifests)?)
}

/// The place that a user names: a remote that is kept in the store, a path, or an address. Without
/// a name `origin`, or the only remote there is.
///
/// # Errors
///
/// There is no such remote, nor such a place.
pub fn place_of(store: &Store, asked: Option<&str>) -> Result<(String, Place), Failure> {
    let kept = remotes(&store.snapshot()?)?;
    let name = match (asked, kept.as_slice()) {
        (Some(asked), _) => asked,
        (None, [only]) => &only.name,
        (None, _) => "origin",
    };
    if let Some(remote) = kept.iter().find(|remote| remote.name == name) {
        return Ok((name.to_owned(), Place::parse(&remote.url)?));
    }
    // A bare word is a name; a place has something of a path about it, or is there.
    let is_place = name.contains(['/', '\\', ':']) || std::path::Path::new(name).exists();
    if !is_place {
        let known = kept.iter().map(|remote| remote.name.clone()).collect();
        return Err(TransferError::NoSuchRemote { name: name.to_owned(), known }.into());
    }
    Ok((name.to_owned(), Place::parse(name)?))
}

/// The document of a transfer.
pub fn document(moved: &Moved) -> Value {
    joined(json!({ "remote": moved.place }), json!(moved.report))
}

/// A transfer in words.
pub fn describe(moved: &Moved, done: &str, output: &Output) -> String {
    let report = &moved.report;
    let mut text = models_moved(moved, done, output);
    if !report.updated.is_empty() {
        let models = count(report.updated.len() as u64, "model");
        text += &format!("  {models} brought up to date: {}\n", report.updated.join(", "));
    }
    if report.missing > 0 {
        let tensors = count(report.missing, "tensor");
        text += &format!("  {tensors} stay there until they are needed\n");
    }
    if !report.completed.is_empty() {
        text += &format!("  now with tensors: {}\n", report.completed.join(", "));
    }
    if !report.tests.is_empty() {
        text += &format!("  tests: {}\n", report.tests.join(", "));
    }
    text += &packs_mended(report);
    for moved in &report.renumbered {
        text += &format!(
            "  {} is {} now: the other side assigned the number first\n",
            moved.was, moved.now
        );
    }
    for (name, tips) in &report.diverged {
        text += &format!("{}\n", diverged(name, tips, output));
    }
    if !report.differing.is_empty() {
        let models = count(report.differing.len() as u64, "model");
        text += &format!("  {models} changed on both sides: each stayed as it is there\n");
    }
    for tag in &report.tags_left_out {
        text += &format!("  tag {tag} was not transferred: another model or tag has its name\n");
    }
    text
}

/// How much went, and the names of the first models.
fn models_moved(moved: &Moved, done: &str, output: &Output) -> String {
    const SHOWN: usize = 8;
    let report = &moved.report;
    let mut text = String::new();
    let whole = report.completed.is_empty();
    if report.models.is_empty() && report.updated.is_empty() && report.tests.is_empty() && whole {
        text += &format!("nothing is missing ({})\n", moved.place);
    } else if report.models.is_empty() {
        text += &format!("no models are missing ({})\n", moved.place);
    } else {
        text += &format!(
            "{done} {}, {}, {} ({})\n",
            count(report.models.len() as u64, "model"),
            count(report.tensors, "tensor"),
            size(report.bytes),
            moved.place
        );
    }
    for model in report.models.iter().take(SHOWN) {
        text += &format!("  {}\n", output.paint(Ink::Name, model));
    }
    if report.models.len() > SHOWN {
        text += &format!("  and {} more\n", report.models.len() - SHOWN);
    }
    text
}

/// What was written of packs that the other side had lost.
fn packs_mended(report: &PullReport) -> String {
    let mut text = String::new();
    if !report.rewritten.is_empty() {
        let packs = count(report.rewritten.len() as u64, "pack");
        text += &format!("  {packs} that were lost there were written again\n");
    }
    if !report.replaced.is_empty() {
        let packs = count(report.replaced.len() as u64, "pack");
        text += &format!(
            "  {packs} that were lost there were written anew: what they held is stored differently \
             now\n"
        );
    }
    text
}

/// Says that a name has several ends.
pub fn diverged(name: &str, tips: &[String], output: &Output) -> String {
    let text = format!("{name} has diverged: {}", tips.join(", "));
    output.paint(Ink::Bad, &text)
}
