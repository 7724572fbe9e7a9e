//! `show`: one model and its tensors.

use std::path::PathBuf;

use mgit::architecture::{Architecture, LAYERS_KEY, Layer};
use mgit::catalog::EdgeKind;
use mgit::lineage::LOSSY_KEY;
use mgit::store::{StoredAs, StoredFile};
use mgit::{Model, Tensor};
use serde_json::{Map, Value, json};

use crate::document::Document;
use crate::failure::Failure;
use crate::family::{Family, Origin};
use crate::kept::Kept;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::{Ink, Output};
use crate::text::{Side, Table, count, shown, size, timestamp};

/// Show a model: its lineage, its metadata, and how each of its tensors is stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db show family.mgit tuned@2
  mgit-db show family.mgit tuned@2 --layers")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id
    model: ModelArgument,
    /// Show its layers and their connections
    #[arg(long)]
    layers: bool,
}

/// Shows the model.
///
/// # Errors
///
/// The model is not there or damaged.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let model = snapshot.model(arguments.model.to_string())?;
    let family = Family::read(&snapshot)?;
    let origin = family.origin(model.node().id())?;
    let metadata = model.metadata()?;

    let graph = snapshot.graph();
    let edge_metadata: Vec<_> = origin
        .parents
        .iter()
        .map(|edge| graph.edge_metadata(model.node().id(), EdgeKind::Provenance, edge.parent))
        .collect::<Result<_, _>>()?;

    let mut text = facts(&model, &family, &origin, &edge_metadata, output);
    for (key, value) in
        metadata.iter().filter(|(key, _)| ![LAYERS_KEY, LOSSY_KEY].contains(&key.as_str()))
    {
        text += &format!("  meta {} = {}\n", shown(key), shown_value(value));
    }
    if model.manifest().version() > 1 || model.is_folder() {
        text += &file_lines(&model);
    }
    let layers = arguments.layers.then(|| model.architecture()).transpose()?;
    text.push('\n');
    // Whatever cannot be read is found before anything is printed.
    let table = tensor_table(&model)?;
    let mut document = family.json(model.node(), &origin);
    if let Value::Object(keys) = &mut document {
        keys.insert("metadata".to_owned(), Value::Object(metadata));
        if let Some(Value::Array(parents)) = keys.get_mut("parents") {
            for (parent, metadata) in parents.iter_mut().zip(edge_metadata) {
                parent["metadata"] = Value::Object(metadata);
            }
        }
        keys.insert("manifest".to_owned(), model.node().manifest_id().to_string().into());
        let sharded = !model.manifest().index_name.is_empty();
        let shards: Vec<&str> = model.file_names().collect();
        let shards = if sharded { json!(shards) } else { Value::Null };
        keys.insert("shards".to_owned(), shards);
        keys.insert("files".to_owned(), model.files().map(|file| file_document(&file)).collect());
    }
    let rows = || model.tensors().filter_map(|tensor| Some((Kept::of(&tensor).ok()?, tensor)));
    let tensors = || rows().map(|(kept, tensor)| tensor_document(&tensor, &kept));
    let document = Document::new().keys(document).list("tensors", tensors);
    if let Some(layers) = &layers {
        let document = document.object("architecture", layers_document(layers));
        return output.print_long(document, std::iter::once(text).chain(layer_lines(layers)));
    }
    let lines = rows().map(|(kept, tensor)| table.line(&cells(&tensor, &kept)));
    output.print_long(document, [text, table.lines("")].into_iter().chain(lines))
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        value => shown(&value.to_string()),
    }
}

fn file_document(file: &StoredFile) -> Value {
    json!({
        "path": file.path(),
        "format": file.format(),
        "weights": file.is_weights(),
        "bytes": file.byte_len(),
        "tensors": file.tensors().len(),
    })
}

/// The files of a model that is more than one safetensors file.
fn file_lines(model: &Model) -> String {
    let mut table =
        Table::new(&[("", Side::Left), ("", Side::Right), ("", Side::Left), ("", Side::Left)]);
    for file in model.files() {
        let tensors = match file.tensors().len() {
            0 => String::new(),
            tensors => count(tensors as u64, "tensor"),
        };
        let format = file.format().to_string();
        table.row([shown(file.path()), size(file.byte_len()), format, tensors]);
    }
    table.lines("  ")
}

fn facts(
    model: &Model,
    family: &Family<'_>,
    origin: &Origin,
    edge_metadata: &[Map<String, Value>],
    output: &Output,
) -> String {
    let row = model.node();
    let mut text = output.paint(Ink::Name, &model.full_name());
    if !row.kind().is_empty() {
        text += &format!(" ({})", shown(row.kind()));
    }
    let tensors = count(row.tensor_count().into(), "tensor");
    text += &format!(": {tensors}, {}", size(row.logical_bytes()));
    let manifest = model.manifest();
    if !manifest.index_name.is_empty() {
        text += &format!(", {}", count(manifest.parts.len() as u64, "shard"));
    } else if model.is_folder() {
        text += &format!(", {}", count(model.file_names().len() as u64, "file"));
    }
    text += &format!("\n  id {}\n  created {}\n", model.node().id(), timestamp(row.created_ms()));
    if let tags @ [_, ..] = family.tags(model.node().id()) {
        text += &format!("  tagged {}\n", tags.join(", "));
    }
    if let Some(mark) = family.lossy(model.node().id()) {
        let word = |key: &str| mark.get(key).map(shown_value).unwrap_or_default();
        text += &format!("  lossy: {}, stands for {}\n", word("method"), word("stands_for"));
    }
    for (edge, metadata) in origin.parents.iter().zip(edge_metadata) {
        text += &format!("  {} of {}\n", edge.how, family.full_name(edge.parent));
        for (key, value) in metadata {
            text += &format!("    meta {} = {}\n", shown(key), shown_value(value));
        }
    }
    if let Some(previous) = origin.previous {
        text += &format!("  next version of {}\n", family.full_name(previous));
    }
    text
}

/// The layers as [`Architecture::to_json`] gives them.
fn layers_document(layers: &Architecture) -> Document<'_> {
    let name = |at: &usize| layers.layers().get(*at).map(|layer| layer.name.as_str());
    Document::new()
        .keys(json!({ "source": layers.source().to_string() }))
        .list("layers", || layers.layers().iter().map(Layer::to_json))
        .list("edges", move || {
            let edges = layers.edges().iter();
            edges.filter_map(move |(from, to)| Some(json!([name(from)?, name(to)?])))
        })
}

fn layer_lines(layers: &Architecture) -> impl Iterator<Item = String> + '_ {
    let mut table = Table::new(&[
        ("LAYER", Side::Left),
        ("KIND", Side::Left),
        ("SIZES", Side::Left),
        ("READS", Side::Left),
    ]);
    let inputs = layers.all_inputs();
    let cells = move |at: usize, layer: &Layer| {
        let sizes = layer.attributes.iter().map(|(name, value)| format!("{name} {value}"));
        let name = |at: &usize| layers.layers().get(*at).map(|layer| layer.name.clone());
        let inputs = inputs.get(at).into_iter().flatten();
        [
            layer.name.clone(),
            layer.kind.to_string(),
            sizes.collect::<Vec<_>>().join(", "),
            inputs.filter_map(name).collect::<Vec<_>>().join(", "),
        ]
    };
    let all = || layers.layers().iter().enumerate();
    all().for_each(|(at, layer)| table.fit(&cells(at, layer)));
    let layer_count = count(layers.layers().len() as u64, "layer");
    let edge_count = count(layers.edges().len() as u64, "edge");
    let head = format!("{layer_count}, {edge_count}, {}\n{}", layers.source(), table.lines(""));
    std::iter::once(head).chain(all().map(move |(at, layer)| table.line(&cells(at, layer))))
}

fn cells(tensor: &Tensor, kept: &Kept) -> [String; 7] {
    let stored = kept.stored();
    [
        tensor.name().to_owned(),
        tensor.dtype().to_string(),
        tensor.shape().to_string(),
        tensor.byte_len().to_string(),
        stored.map_or("-".to_owned(), |stored| stored.stored_len.to_string()),
        kept.encoding(),
        stored.map_or("-".to_owned(), |stored| stored.depth.to_string()),
    ]
}

fn tensor_document(tensor: &Tensor, kept: &Kept) -> Value {
    let stored = kept.stored();
    json!({
        "name": tensor.name(),
        "dtype": tensor.dtype().name(),
        "shape": tensor.shape().dims(),
        "bytes": tensor.byte_len(),
        "stored_bytes": stored.map(|stored| stored.stored_len),
        "encoding": stored.map(StoredAs::encoding_names),
        "chain_depth": stored.map(|stored| stored.depth),
        "content_id": tensor.content_id().to_string(),
        "base": stored.and_then(|stored| stored.base).map(|base| base.to_string()),
        "promisor": kept.promisor(),
    })
}

/// A table without rows, whose columns fit all tensors.
fn tensor_table(model: &Model) -> Result<Table, Failure> {
    let mut table = Table::new(&[
        ("TENSOR", Side::Left),
        ("DTYPE", Side::Left),
        ("SHAPE", Side::Left),
        ("BYTES", Side::Right),
        ("STORED", Side::Right),
        ("ENCODING", Side::Left),
        ("DEPTH", Side::Right),
    ]);
    for tensor in model.tensors() {
        table.fit(&cells(&tensor, &Kept::of(&tensor)?));
    }
    Ok(table)
}
