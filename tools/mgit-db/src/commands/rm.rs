//! `rm`: models out of the store.

use std::collections::HashMap;
use std::path::PathBuf;

use mgit::lineage::{Node, NodeId};
use mgit::store::RemoveReport;
use mgit::{OnChildren, Snapshot};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::family::Family;
use crate::given_back::{Before, Shorter};
use crate::opening;
use crate::output::Output;
use crate::question::{ask, can_ask};
use crate::select::{fits, is_glob, select};
use crate::text::{Side, Table, count, size, time};

/// Remove models.
///
/// Their bytes become free when no other model, no delta and no reader needs them. All of them go in
/// one transaction, or none. A model with children that stay is removed only with one of the two
/// options. With a glob or --keep-last what will go is shown, and nothing is removed without a yes:
/// where nobody can be asked (no terminal, or --json), give --yes or --dry-run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db rm family.mgit tuned@1
  mgit-db rm family.mgit tuned --reparent-children
  mgit-db rm family.mgit 'sweep/*' --dry-run
  mgit-db rm family.mgit run --keep-last 3 --yes")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The models: name (its highest version), name@version, tag, node id, or a name with * and ?
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<String>,
    /// Of the versions of each name (or glob of names), remove all but the last N; tagged ones stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    keep_last: Option<u64>,
    /// Make the models derived from them children of their own parents
    #[arg(long)]
    reparent_children: bool,
    /// Remove these parents from the models derived from them
    #[arg(long, conflicts_with = "reparent_children")]
    detach_children: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only show what would go
    #[arg(long)]
    dry_run: bool,
}

impl Arguments {
    fn on_children(&self) -> OnChildren {
        match (self.reparent_children, self.detach_children) {
            (true, _) => OnChildren::Reparent,
            (_, true) => OnChildren::Detach,
            _ => OnChildren::Refuse,
        }
    }

    /// Whether the models are not named one by one.
    fn is_many(&self) -> bool {
        self.keep_last.is_some() || self.models.iter().any(|model| is_glob(model))
    }
}

/// Removes the models.
///
/// # Errors
///
/// A model is not there, or has children and nothing says what becomes of them; nobody has said yes.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let asks = arguments.is_many() && !arguments.yes;
    if asks && !arguments.dry_run && !can_ask(output) {
        let message = "a glob and --keep-last ask first, and there is nobody to ask: add --yes, or \
                       --dry-run to see what would go";
        return Err(Failure::usage(message));
    }
    let mut chosen = None;
    if asks || arguments.dry_run {
        let store = opening::open_read_only(&arguments.store)?;
        let snapshot = store.snapshot()?;
        let found = Chosen::find(arguments, &snapshot)?;
        output.text(&found.describe(&snapshot)?)?;
        if arguments.dry_run || found.nodes.is_empty() {
            return output.print(json!({ "would_remove": found.names(), "kept": found.kept }), "");
        }
        let question = format!("remove {}?", count(found.nodes.len() as u64, "model"));
        if !ask(&question, output)? {
            return Err(Failure::failed("not-done", "nothing was removed"));
        }
        chosen = Some(found);
    }
    remove(arguments, chosen, output)
}

/// The models that go, and what is said of others.
struct Chosen {
    /// Each before its parents.
    nodes: Vec<Node>,
    /// Versions that --keep-last would have removed, but for their tags.
    kept: Vec<String>,
}

impl Chosen {
    fn find(arguments: &Arguments, snapshot: &Snapshot) -> Result<Self, Failure> {
        let (nodes, kept) = match arguments.keep_last {
            Some(last) => but_the_last(snapshot, &arguments.models, last)?,
            None => (select(snapshot, &arguments.models)?, Vec::new()),
        };
        Ok(Chosen { nodes: children_first(snapshot, nodes)?, kept })
    }

    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(Node::full_name).collect()
    }

    fn describe(&self, snapshot: &Snapshot) -> Result<String, Failure> {
        let family = Family::read(snapshot)?;
        let mut table = Table::new(&[
            ("MODEL", Side::Left),
            ("SIZE", Side::Right),
            ("CREATED (UTC)", Side::Left),
            ("TAGS", Side::Left),
        ]);
        for node in &self.nodes {
            let tags = family.tags(node.id()).join(", ");
            let bytes = size(node.logical_bytes());
            table.row([node.full_name(), bytes, time(node.created_ms()), tags]);
        }
        let mut text = match self.nodes.as_slice() {
            [] => "nothing to remove\n".to_owned(),
            _ => table.lines(""),
        };
        for kept in &self.kept {
            text += &format!("{kept} has a tag and stays\n");
        }
        Ok(text)
    }
}

/// Of the versions of names, all but the last; and of these the tagged ones, which stay.
fn but_the_last(
    snapshot: &Snapshot,
    names: &[String],
    last: u64,
) -> Result<(Vec<Node>, Vec<String>), Failure> {
    let family = Family::read(snapshot)?;
    let mut versions: HashMap<&str, Vec<&Node>> = HashMap::new();
    for asked in names {
        let is_asked = |node: &&Node| match is_glob(asked) {
            true => fits(asked, node),
            false => node.name() == asked,
        };
        let mut found = family.nodes().iter().filter(is_asked).peekable();
        if found.peek().is_none() {
            let message = format!("no model's name fits {asked:?}: --keep-last takes names, globs");
            return Err(Failure::failed("no-such-model", message));
        }
        for node in found {
            let of_name = versions.entry(node.name()).or_default();
            if of_name.iter().all(|known| known.id() != node.id()) {
                of_name.push(node);
            }
        }
    }
    let mut old: Vec<&Node> = Vec::new();
    for mut of_name in versions.into_values() {
        of_name.sort_by_key(|node| std::cmp::Reverse(node.version()));
        old.extend(of_name.into_iter().skip(usize::try_from(last).unwrap_or(usize::MAX)));
    }
    old.sort_by_key(|node| family.place(node.id()));
    let (tagged, free): (Vec<&Node>, Vec<&Node>) =
        old.into_iter().partition(|node| !family.tags(node.id()).is_empty());
    let kept = tagged.into_iter().map(Node::full_name).collect();
    Ok((free.into_iter().cloned().collect(), kept))
}

/// The nodes, each before its parents, so that none has children when its turn comes but those that
/// stay.
fn children_first(snapshot: &Snapshot, nodes: Vec<Node>) -> Result<Vec<Node>, Failure> {
    let graph = snapshot.graph();
    let mut parents: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    let mut children: HashMap<NodeId, usize> = nodes.iter().map(|node| (node.id(), 0)).collect();
    for node in &nodes {
        let mut of_node: Vec<NodeId> =
            graph.parents(node.id())?.into_iter().map(|edge| edge.parent).collect();
        of_node.sort_unstable();
        of_node.dedup();
        for parent in &of_node {
            children.entry(*parent).and_modify(|count| *count += 1);
        }
        parents.insert(node.id(), of_node);
    }
    let mut by_id: HashMap<NodeId, Node> =
        nodes.iter().map(|node| (node.id(), node.clone())).collect();
    let is_free = |children: &HashMap<NodeId, usize>, id: &NodeId| children.get(id) == Some(&0);
    let mut ready: Vec<NodeId> = nodes.iter().rev().map(Node::id).collect();
    ready.retain(|id| is_free(&children, id));
    let mut ordered = Vec::with_capacity(nodes.len());
    while let Some(id) = ready.pop() {
        ordered.extend(by_id.remove(&id));
        for parent in parents.get(&id).into_iter().flatten() {
            children.entry(*parent).and_modify(|count| *count -= 1);
            if is_free(&children, parent) {
                ready.push(*parent);
            }
        }
    }
    Ok(ordered)
}

fn remove(arguments: &Arguments, chosen: Option<Chosen>, output: &Output) -> Result<(), Failure> {
    let before = Before::of(&arguments.store);
    let store = opening::open(&arguments.store)?;
    let chosen = match chosen {
        Some(chosen) => chosen,
        None => Chosen::find(arguments, &store.snapshot()?)?,
    };
    let mut transaction = store.begin_write()?;
    let mut reports = Vec::new();
    for node in &chosen.nodes {
        reports.push(transaction.remove_model(node.id(), arguments.on_children())?);
    }
    match reports.is_empty() {
        // What follows writes again.
        true => drop(transaction),
        false => transaction.commit().map(drop)?,
    }
    let shorter = before.give_back_growth(&store)?;
    let snapshot = store.snapshot()?;
    let name = |id: &_| Ok(snapshot.graph().expect(*id)?.full_name());
    let changed = |report: &RemoveReport| {
        report.changed_children.iter().map(name).collect::<Result<Vec<String>, Failure>>()
    };
    let changed = reports.iter().map(changed).collect::<Result<Vec<_>, Failure>>()?;
    print(arguments, (&reports, &changed, &chosen.kept), &shorter, output)
}

fn print(
    arguments: &Arguments,
    (reports, changed, kept): (&[RemoveReport], &[Vec<String>], &[String]),
    shorter: &Shorter,
    output: &Output,
) -> Result<(), Failure> {
    let mut text = String::new();
    let mut documents = Vec::new();
    for (report, changed) in reports.iter().zip(changed) {
        text += &describe(report, changed);
        documents.push(json!({
            "removed": report.node.full_name(),
            "id": report.node.id().to_string(),
            "freed_bytes": report.freed_bytes,
            "hidden_bases": report.hidden_bases,
            "changed_children": changed,
        }));
    }
    for kept in kept {
        text += &format!("{kept} has a tag and stays\n");
    }
    text += &shorter.describe();
    // One that is named by itself has a document of its own.
    let document = match (documents.pop(), arguments.models.as_slice()) {
        (Some(one), [_]) if !arguments.is_many() => one,
        (last, _) => {
            documents.extend(last);
            json!({ "models": documents, "kept": kept })
        }
    };
    output.print(with_file(document, shorter), &text)
}

fn with_file(mut document: Value, shorter: &Shorter) -> Value {
    document["file"] = shorter.document();
    document
}

fn describe(report: &RemoveReport, changed: &[String]) -> String {
    let freed = size(report.freed_bytes);
    let mut text =
        format!("removed {}: {freed} of the file can be used again\n", report.node.full_name());
    if report.hidden_bases > 0 {
        let stay = if report.hidden_bases == 1 { "stays" } else { "stay" };
        let tensors = count(report.hidden_bases, "tensor");
        text += &format!("  {tensors} {stay}, hidden, for the deltas of other models\n");
    }
    if !changed.is_empty() {
        text += &format!("  changed parents of: {}\n", changed.join(", "));
    }
    text
}
