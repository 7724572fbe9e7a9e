//! `ModelProto`: its graphs, with the operators and tensors of each.
//!
//! Graphs are read level by level from a queue, never by recursion: the main graph first, then
//! those of training and the functions, then the graphs that attributes of their operators hold
//! (the branches of an `If`, the body of a `Loop`), and so on.

use std::collections::VecDeque;

use super::attribute::{self, Attribute};
use super::tensor::{self, TensorProto};
use super::wire::{Reader, Span, Value};
use crate::architecture::Operator;
use crate::interchange::InterchangeError;

/// The deepest level of graphs in graphs.
pub const ONNX_GRAPH_DEPTH_MAX: u64 = 64;

/// The longest path of a graph; a longer one is its place in the order of reading.
const PATH_LEN_MAX: usize = 256;

/// A graph, or the body of a function.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// The graph whose values it can read too.
    pub(super) parent: Option<usize>,
    /// The operators and attributes that it is in, for names that stand twice; empty for the main
    /// graph.
    pub(super) path: String,
    depth: u64,
    /// Its tensors, by the names that its operators read them by.
    pub(super) tensors: Vec<TensorProto>,
    pub(super) operators: Vec<Node>,
    /// The values that it is given.
    pub(super) inputs: Vec<String>,
    /// The values that it gives.
    pub(super) outputs: Vec<String>,
}

/// An operator with the places of the graphs that its attributes hold.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) operator: Operator,
    pub(super) graphs: Vec<usize>,
}

/// What is still to be read.
struct Pending {
    place: usize,
    kind: Kind,
    parts: Vec<Span>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Graph,
    Function,
}

/// Every graph of a model, the main graph first, each behind the one that it is in.
#[derive(Default)]
pub(super) struct Graphs {
    pub(super) graphs: Vec<Graph>,
    pending: VecDeque<Pending>,
}

impl Graphs {
    /// Whether operators of this graph are steps of the main graph.
    pub(super) fn is_of_main(&self, mut place: usize) -> bool {
        while let Some(parent) = self.graphs.get(place).and_then(|graph| graph.parent) {
            place = parent;
        }
        place == 0
    }

    fn add(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        parent: Option<usize>,
        path: String,
        parts: Vec<Span>,
    ) -> Result<usize, InterchangeError> {
        let offset = parts.first().map_or(0, |part| part.start);
        // With the lists of what it will hold.
        reader.take(512 + path.len() as u64, offset)?;
        let depth = parent.and_then(|at| self.graphs.get(at)).map_or(0, |graph| graph.depth + 1);
        if depth > ONNX_GRAPH_DEPTH_MAX {
            let detail = format!("graphs in graphs, deeper than {ONNX_GRAPH_DEPTH_MAX}");
            return Err(reader.malformed(offset, detail));
        }
        let place = self.graphs.len();
        let path = short_path(path, place);
        self.graphs.push(Graph { parent, path, depth, ..Graph::default() });
        self.pending.push_back(Pending { place, kind, parts });
        Ok(place)
    }
}

/// Reads a `ModelProto` of `file_len` bytes.
pub(super) fn read(reader: &mut Reader<'_>, file_len: u64) -> Result<Graphs, InterchangeError> {
    let (mut main, mut training, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    while at < file_len {
        let offset = at;
        let (number, value) = reader.field(&mut at, file_len)?;
        let list = match number {
            7 => &mut main,
            20 => &mut training,
            25 => &mut functions,
            _ => continue,
        };
        let Value::Bytes(span) = value else { return Err(reader.wrong_type(offset)) };
        reader.take(32, offset)?;
        list.push(span);
    }
    if main.is_empty() {
        return Err(reader.malformed(0, "no graph: this is no ONNX file"));
    }
    let mut graphs = Graphs::default();
    graphs.add(reader, Kind::Graph, None, String::new(), main)?;
    for (place, span) in training.into_iter().enumerate() {
        let mut at = span.start;
        while at < span.end {
            // The graphs that initialise and that train.
            if let (1 | 2, Value::Bytes(span)) = reader.field(&mut at, span.end)? {
                let path = format!("training_info.{place}");
                graphs.add(reader, Kind::Graph, None, path, vec![span])?;
            }
        }
    }
    for span in functions {
        graphs.add(reader, Kind::Function, None, String::new(), vec![span])?;
    }
    while let Some(next) = graphs.pending.pop_front() {
        read_graph(reader, &mut graphs, next)?;
    }
    Ok(graphs)
}

/// Paths become parts of many names: a long one would cost its length for each.
fn short_path(path: String, place: usize) -> String {
    if path.len() <= PATH_LEN_MAX { path } else { format!("graph.{place}") }
}

fn read_graph(
    reader: &mut Reader<'_>,
    graphs: &mut Graphs,
    pending: Pending,
) -> Result<(), InterchangeError> {
    let Pending { place, kind, parts } = pending;
    // What it holds is put in its place at the end: until then other graphs are added.
    let mut graph = Graph::default();
    let mut path = graphs.graphs.get(place).map(|graph| graph.path.clone()).unwrap_or_default();
    let mut nodes = Vec::new();
    for part in parts {
        let mut at = part.start;
        while at < part.end {
            let offset = at;
            match (kind, reader.field(&mut at, part.end)?) {
                (Kind::Graph, (1, Value::Bytes(node)))
                | (Kind::Function, (7, Value::Bytes(node))) => {
                    nodes.push(read_node(reader, node, &mut graph.tensors)?);
                }
                (Kind::Graph, (5, Value::Bytes(tensor))) => {
                    graph.tensors.push(tensor::read(reader, &[tensor])?);
                }
                (Kind::Graph, (11, Value::Bytes(value))) => {
                    graph.inputs.push(read_value_name(reader, value)?);
                }
                (Kind::Graph, (12, Value::Bytes(value))) => {
                    graph.outputs.push(read_value_name(reader, value)?);
                }
                (Kind::Graph, (15, Value::Bytes(sparse))) => {
                    read_sparse(reader, sparse, &mut graph.tensors)?;
                }
                (Kind::Function, (1, Value::Bytes(name))) => {
                    path = short_path(reader.text(name)?, place);
                }
                (Kind::Graph, (1 | 5 | 11 | 12 | 15, _)) | (Kind::Function, (1 | 7, _)) => {
                    return Err(reader.wrong_type(offset));
                }
                _ => {}
            }
        }
    }
    for (at, (operator, held)) in nodes.into_iter().enumerate() {
        let own = match &operator.name {
            name if name.is_empty() => format!("{}#{at}", operator.kind),
            name => name.clone(),
        };
        let mut inner = Vec::new();
        for (attribute, parts) in held {
            let path = [path.as_str(), &own, &attribute].into_iter().filter(|it| !it.is_empty());
            let path = path.collect::<Vec<_>>().join("/");
            inner.push(graphs.add(reader, Kind::Graph, Some(place), path, parts)?);
        }
        graph.operators.push(Node { operator, graphs: inner });
    }
    if let Some(slot) = graphs.graphs.get_mut(place) {
        (graph.parent, graph.depth, graph.path) = (slot.parent, slot.depth, path);
        *slot = graph;
    }
    Ok(())
}

/// An operator, and the graphs that its attributes hold.
type ReadNode = (Operator, Vec<(String, Vec<Span>)>);

/// Reads a `NodeProto`. The tensors of its attributes are added to `tensors` and to its inputs.
fn read_node(
    reader: &mut Reader<'_>,
    span: Span,
    tensors: &mut Vec<TensorProto>,
) -> Result<ReadNode, InterchangeError> {
    reader.take(512, span.start)?;
    let mut operator = Operator::default();
    let mut attributes = Vec::new();
    let mut at = span.start;
    while at < span.end {
        let offset = at;
        match reader.field(&mut at, span.end)? {
            (1, Value::Bytes(name)) => operator.inputs.push(reader.text(name)?),
            (2, Value::Bytes(name)) => operator.outputs.push(reader.text(name)?),
            (3, Value::Bytes(name)) => operator.name = reader.text(name)?,
            (4, Value::Bytes(kind)) => operator.kind = reader.text(kind)?,
            (5, Value::Bytes(attribute)) => attributes.push(attribute::read(reader, attribute)?),
            (1..=5, _) => return Err(reader.wrong_type(offset)),
            _ => {}
        }
    }
    operator.inputs.retain(|input| !input.is_empty());
    // What an operator makes tells it apart; its own name may be missing.
    let made = operator.outputs.iter().find(|output| !output.is_empty()).cloned();
    let base = made.unwrap_or_else(|| operator.name.clone());
    let mut graphs = Vec::new();
    for attribute in attributes {
        let Attribute { name, text, tensors: held, graphs: inner } = attribute;
        for (end, mut tensor) in held {
            let own = format!("{base}:{name}{end}");
            reader.take(2 * own.len() as u64, span.start)?;
            operator.inputs.push(own.clone());
            tensor.name = own;
            tensors.push(tensor);
        }
        let inner = inner.into_iter().map(|(end, parts)| (format!("{name}{end}"), parts));
        graphs.extend(inner);
        if !text.is_empty() {
            operator.attributes.insert(name, text);
        }
    }
    Ok((operator, graphs))
}

/// A sparse initializer: its operators read it by the name of its values.
fn read_sparse(
    reader: &mut Reader<'_>,
    span: Span,
    tensors: &mut Vec<TensorProto>,
) -> Result<(), InterchangeError> {
    let mut parts = Vec::new();
    attribute::read_sparse(reader, &[span], "", &mut parts)?;
    let name = parts.iter().map(|(_, tensor)| tensor.name.clone()).find(|name| !name.is_empty());
    let name = name.unwrap_or_default();
    for (end, mut tensor) in parts {
        reader.take(name.len() as u64, span.start)?;
        tensor.name = format!("{name}{end}");
        tensors.push(tensor);
    }
    Ok(())
}

/// The name of a `ValueInfoProto`.
fn read_value_name(reader: &mut Reader<'_>, span: Span) -> Result<String, InterchangeError> {
    let mut name = String::new();
    let mut at = span.start;
    while at < span.end {
        if let (1, Value::Bytes(text)) = reader.field(&mut at, span.end)? {
            name = reader.text(text)?;
        }
    }
    Ok(name)
}
