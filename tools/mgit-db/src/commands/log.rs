//! `log`: the lineage graph as text.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use mgit::lineage::Node;
use mgit::{Snapshot, Store};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::family::{Family, Origin};
use crate::lanes::{Beside, LaneEdge, Stroke, draw};
use crate::output::{Ink, Output};
use crate::text::{count, shown, size, time};

/// Draw the lineage graph, newest first.
///
/// A line of | leads from a model to one it was derived from, a line of : to its version before.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db log family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Draws the graph.
///
/// # Errors
///
/// Those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = Store::open_read_only(&arguments.store)?;
    let log = Log::read(&store.snapshot()?, output)?;
    output.print(json!({ "models": log.documents }), &log.text)
}

/// The graph, ready to be printed.
#[derive(Debug)]
pub struct Log {
    /// The drawing.
    pub text: String,
    /// The nodes in the drawing's order.
    pub documents: Vec<Value>,
}

impl Log {
    /// Reads and draws the graph of a snapshot.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn read(snapshot: &Snapshot, output: &Output) -> Result<Self, Failure> {
        let family = Family::read(snapshot)?;
        let nodes = family.nodes();
        let origins: Vec<Origin> =
            nodes.iter().map(|node| family.origin(node.id)).collect::<Result<_, _>>()?;
        let edges: Vec<Vec<LaneEdge>> =
            origins.iter().map(|origin| lane_edges(&family, origin)).collect();
        let order = newest_first(nodes, &edges);
        let documents =
            order.iter().map(|place| family.json(&nodes[*place], &origins[*place])).collect();
        let text = match nodes {
            [] => "no models yet: import brings some in\n".to_owned(),
            _ => drawing(&family, &origins, &edges, &order, output),
        };
        Ok(Log { text, documents })
    }
}

/// A node's edges: the version before it first, so that versions stand in one line.
fn lane_edges(family: &Family<'_>, origin: &Origin) -> Vec<LaneEdge> {
    let edge = |id, stroke| Some(LaneEdge { to: family.place(id)?, stroke });
    let previous = origin.previous.and_then(|id| edge(id, Stroke::Dotted));
    let parents = origin.parents.iter().filter_map(|parent| edge(parent.parent, Stroke::Solid));
    previous.into_iter().chain(parents).collect()
}

/// The places of the nodes, each behind everything that was made from it, the newest first.
fn newest_first(nodes: &[Node], edges: &[Vec<LaneEdge>]) -> Vec<usize> {
    let mut waits_for = vec![0usize; nodes.len()];
    for edge in edges.iter().flatten() {
        waits_for[edge.to] += 1;
    }
    let key = |place: usize| (nodes[place].row.created_ms, Reverse(place));
    let free = (0..nodes.len()).filter(|place| waits_for[*place] == 0);
    let mut ready: BinaryHeap<_> = free.map(key).collect();
    let mut order = Vec::with_capacity(nodes.len());
    let mut done = vec![false; nodes.len()];
    while let Some((_, Reverse(place))) = ready.pop() {
        order.push(place);
        done[place] = true;
        for edge in &edges[place] {
            waits_for[edge.to] -= 1;
            if waits_for[edge.to] == 0 {
                ready.push(key(edge.to));
            }
        }
    }
    // Only a damaged graph has a cycle; its nodes are listed all the same.
    order.extend((0..nodes.len()).filter(|place| !done[*place]));
    order
}

fn drawing(
    family: &Family<'_>,
    origins: &[Origin],
    edges: &[Vec<LaneEdge>],
    order: &[usize],
    output: &Output,
) -> String {
    let mut row_of = vec![0; order.len()];
    for (row, place) in order.iter().enumerate() {
        row_of[*place] = row;
    }
    let turned = |edge: &LaneEdge| LaneEdge { to: row_of[edge.to], ..*edge };
    let edges: Vec<Vec<LaneEdge>> =
        order.iter().map(|place| edges[*place].iter().map(turned).collect()).collect();
    let rows = draw(&edges);
    let width = rows.iter().map(|row| row.lanes.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &rows {
        let beside = match row.beside {
            Beside::Node(row) => describe_node(&family.nodes()[order[row]], output),
            Beside::Edges(row) => {
                output.paint(Ink::Faint, &describe_edges(family, &origins[order[row]]))
            }
            Beside::Nothing => String::new(),
        };
        text += format!("{:width$}  {beside}", row.lanes).trim_end();
        text.push('\n');
    }
    format!("{}\n", text.trim_end())
}

fn describe_node(node: &Node, output: &Output) -> String {
    let row = &node.row;
    let mut text = output.paint(Ink::Name, &node.full_name());
    let kind = if row.kind.is_empty() { String::new() } else { format!("{}, ", shown(&row.kind)) };
    text += &format!(
        "  {kind}{}, {}, {}",
        count(row.tensor_count.into(), "tensor"),
        size(row.logical_bytes),
        time(row.created_ms)
    );
    text
}

/// Such as `next version of a@1; merge of b@1, c@2`.
fn describe_edges(family: &Family<'_>, origin: &Origin) -> String {
    let mut parts = Vec::new();
    if let Some(previous) = origin.previous {
        parts.push(format!("next version of {}", family.full_name(previous)));
    }
    for edges in origin.parents.chunk_by(|a, b| a.how == b.how) {
        let Some(first) = edges.first() else { continue };
        let names: Vec<String> = edges.iter().map(|edge| family.full_name(edge.parent)).collect();
        parts.push(format!("{} of {}", first.how, names.join(", ")));
    }
    parts.join("; ")
}
