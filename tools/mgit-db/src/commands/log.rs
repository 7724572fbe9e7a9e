//! `log`: the lineage graph as text.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use mgit::Snapshot;
use mgit::lineage::{Direction, Edges, Node, NodeId};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::family::{Family, Origin, TestState};
use crate::lanes::{Beside, LaneEdge, Stroke, draw};
use crate::opening;
use crate::output::{Ink, Output};
use crate::select::{fits, glob_matches, parse_time};
use crate::text::{count, shown, size, time};

/// Draw the lineage graph, newest first.
///
/// A line of | leads from a model to one it was derived from, a line of : to its previous version.
/// With MODELS, only these and their ancestors are shown; with filters, only models that match all
/// of them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A range A..B is B and its ancestors, without A and A's ancestors. A.. is the
whole graph without A and A's ancestors. ^A leaves out A and its ancestors.

Examples:
  mgit-db log family.mgit
  mgit-db log family.mgit base..tuned
  mgit-db log family.mgit --kind bert --since '2 weeks ago' --name 'bert/*'"
)]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Models, or ranges of them: A, A..B, A.., ^A
    #[arg(value_name = "MODELS")]
    ranges: Vec<String>,
    /// Only models of this kind: a glob of * and ?
    #[arg(long, value_name = "GLOB")]
    kind: Option<String>,
    /// Only models whose name, or name@version, matches: a glob of * and ?
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// Only models added later: 2024-05-31, 2024-05-31T08:15 (UTC), 3d, '2 weeks ago'
    #[arg(long, alias = "after", value_name = "TIME")]
    since: Option<String>,
    /// Only models added before
    #[arg(long, alias = "before", value_name = "TIME")]
    until: Option<String>,
    /// Only models with a tag
    #[arg(long)]
    tagged: bool,
    /// At most this number of models, the newest
    #[arg(short = 'n', long, value_name = "N")]
    max_count: Option<usize>,
}

/// Draws the graph.
///
/// # Errors
///
/// A range of models that are not there; those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let filter = Filter::new(arguments)?;
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let log = Log::read_some(&snapshot, output, &filter, &arguments.ranges)?;
    output.print(json!({ "models": log.documents, "diverged": log.diverged }), &log.text)
}

/// Which models to draw.
#[derive(Debug, Default)]
pub struct Filter {
    kind: Option<String>,
    name: Option<String>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    tagged: bool,
    max_count: Option<usize>,
}

impl Filter {
    fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let time = |text: &Option<String>| {
            text.as_ref().map(|text| parse_time(text, now_ms).map_err(Failure::usage)).transpose()
        };
        Ok(Filter {
            kind: arguments.kind.clone(),
            name: arguments.name.clone(),
            since_ms: time(&arguments.since)?,
            until_ms: time(&arguments.until)?,
            tagged: arguments.tagged,
            max_count: arguments.max_count,
        })
    }

    fn is_open(&self) -> bool {
        matches!(self, Filter { kind: None, name: None, since_ms: None, until_ms: None, .. })
            && !self.tagged
    }

    fn fits(&self, node: &Node, tags: &[String]) -> bool {
        let row = &node;
        self.kind.as_ref().is_none_or(|glob| glob_matches(glob, row.kind()))
            && self.name.as_ref().is_none_or(|glob| fits(glob, node))
            && self.since_ms.is_none_or(|since| row.created_ms() >= since)
            && self.until_ms.is_none_or(|until| row.created_ms() <= until)
            && (!self.tagged || !tags.is_empty())
    }
}

/// Models to include and to leave out, each with everything it descends from.
#[derive(Debug, Default)]
struct Ends {
    /// `None`: the whole graph.
    with: Option<Vec<NodeId>>,
    without: Vec<NodeId>,
}

impl Ends {
    fn parse(snapshot: &Snapshot, ranges: &[String]) -> Result<Self, Failure> {
        let graph = snapshot.graph();
        let mut ends = Ends::default();
        let mut all = ranges.is_empty();
        let mut with = Vec::new();
        for range in ranges {
            if let Some(model) = range.strip_prefix('^') {
                ends.without.push(graph.find(model)?.id());
                all |= ranges.iter().all(|range| range.starts_with('^'));
                continue;
            }
            // A name may have dots of its own: first the whole, then every place for the two.
            let whole = graph.find(range);
            let Err(error) = whole.map(|node| with.push(node.id())) else { continue };
            let find = |text: &str| match text {
                "" => Some(None),
                text => graph.find(text).ok().map(Some),
            };
            let split = range.match_indices("..").find_map(|(at, _)| {
                let (from, to) = (range.get(..at)?, range.get(at + 2..)?);
                if from.is_empty() && to.is_empty() { None } else { find(from).zip(find(to)) }
            });
            let Some((from, to)) = split else {
                // Whichever end is not there is what the user wants to hear of.
                if let Some((from, to)) = range.split_once("..") {
                    for end in [from, to].into_iter().filter(|end| !end.is_empty()) {
                        graph.find(end)?;
                    }
                }
                return Err(error.into());
            };
            ends.without.extend(from.map(|node| node.id()));
            match to {
                Some(node) => with.push(node.id()),
                None => all = true,
            }
        }
        ends.with = Some(with).filter(|_| !all);
        Ok(ends)
    }

    /// The nodes of the ranges.
    fn nodes(&self, snapshot: &Snapshot) -> Result<Option<HashSet<NodeId>>, Failure> {
        let graph = snapshot.graph();
        let reach = |starts: &[NodeId]| -> Result<HashSet<NodeId>, Failure> {
            let walk = graph.walk(starts.iter().copied(), Direction::Up, Edges::Both);
            walk.map(|node| Ok(node?.id())).collect()
        };
        let with = match &self.with {
            Some(starts) => reach(starts)?,
            None if self.without.is_empty() => return Ok(None),
            None => graph.iter().map(|node| Ok(node?.id())).collect::<Result<_, Failure>>()?,
        };
        let without = reach(&self.without)?;
        Ok(Some(with.difference(&without).copied().collect()))
    }
}

/// The graph, ready to be printed.
#[derive(Debug)]
pub struct Log {
    /// The drawing.
    pub text: String,
    /// The nodes in the drawing's order.
    pub documents: Vec<Value>,
    /// Names that have several ends.
    pub diverged: Vec<Value>,
}

impl Log {
    /// Reads and draws the graph of a snapshot.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn read(snapshot: &Snapshot, output: &Output) -> Result<Self, Failure> {
        Self::read_some(snapshot, output, &Filter::default(), &[])
    }

    /// Reads and draws what fits a filter and lies in the ranges.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a range whose ends are not there.
    pub fn read_some(
        snapshot: &Snapshot,
        output: &Output,
        filter: &Filter,
        ranges: &[String],
    ) -> Result<Self, Failure> {
        let family = Family::read(snapshot)?;
        let nodes = family.nodes();
        let among = Ends::parse(snapshot, ranges)?.nodes(snapshot)?;
        let origins: Vec<Origin> =
            nodes.iter().map(|node| family.origin(node.id())).collect::<Result<_, _>>()?;
        let edges: Vec<Vec<LaneEdge>> =
            origins.iter().map(|origin| lane_edges(&family, origin)).collect();
        let mut order = newest_first(nodes, &edges);
        order.retain(|place| {
            let node = &nodes[*place];
            among.as_ref().is_none_or(|among| among.contains(&node.id()))
                && filter.fits(node, family.tags(node.id()))
        });
        order.truncate(filter.max_count.unwrap_or(usize::MAX));
        let documents =
            order.iter().map(|place| family.json(&nodes[*place], &origins[*place])).collect();
        let text = match order.as_slice() {
            [] if nodes.is_empty() => "no models yet: import brings some in\n".to_owned(),
            [] if filter.is_open() => "no models in that range\n".to_owned(),
            [] => "no models fit\n".to_owned(),
            _ => drawing(&family, &origins, &edges, &order, output),
        };
        let (diverged, more) = diverged_names(snapshot, &family, output)?;
        Ok(Log { text: text + &more, documents, diverged })
    }
}

/// Names that have diverged: as documents, and in words.
fn diverged_names(
    snapshot: &Snapshot,
    family: &Family<'_>,
    output: &Output,
) -> Result<(Vec<Value>, String), Failure> {
    let (mut documents, mut text) = (Vec::new(), String::new());
    for (name, tips) in snapshot.graph().diverged()? {
        let tips: Vec<String> = tips.into_iter().map(|id| family.full_name(id)).collect();
        text += &super::transfer::diverged(name.as_str(), &tips, output);
        text.push('\n');
        documents.push(json!({ "name": name.as_str(), "ends": tips }));
    }
    Ok((documents, text))
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
    let key = |place: usize| (nodes[place].created_ms(), Reverse(place));
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
    let mut row_of = vec![None; edges.len()];
    for (row, place) in order.iter().enumerate() {
        row_of[*place] = Some(row);
    }
    // An edge to what is not drawn is told in words alone.
    let turned = |edge: &LaneEdge| Some(LaneEdge { to: row_of[edge.to]?, ..*edge });
    let edges: Vec<Vec<LaneEdge>> =
        order.iter().map(|place| edges[*place].iter().filter_map(turned).collect()).collect();
    let rows = draw(&edges);
    let width = rows.iter().map(|row| row.lanes.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &rows {
        let beside = match row.beside {
            Beside::Node(row) => describe_node(family, &family.nodes()[order[row]], output),
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

fn describe_node(family: &Family<'_>, node: &Node, output: &Output) -> String {
    let row = &node;
    let mut text = output.paint(Ink::Name, &node.full_name());
    if let tags @ [_, ..] = family.tags(node.id()) {
        text += &output.paint(Ink::Good, &format!(" ({})", tags.join(", ")));
    }
    if family.lossy(node.id()).is_some() {
        text += "  lossy";
    }
    if let Some(tested) = family.tests(node.id()).and_then(TestState::describe) {
        text += &format!("  {}", shown(&tested));
    }
    let kind =
        if row.kind().is_empty() { String::new() } else { format!("{}, ", shown(row.kind())) };
    text += &format!(
        "  {kind}{}, {}, {}",
        count(row.tensor_count().into(), "tensor"),
        size(row.logical_bytes()),
        time(row.created_ms())
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
