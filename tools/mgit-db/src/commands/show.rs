//! `show`: one model and its tensors.

use std::path::PathBuf;

use mgit::Model;
use mgit::architecture::{Architecture, LAYERS_KEY};
use mgit::catalog::EdgeKind;
use mgit::lineage::{LOSSY_KEY, ModelRef};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::family::{Family, Origin};
use crate::opening;
use crate::output::{Ink, Output};
use crate::text::{Side, Table, count, shown, size, timestamp};

/// Show a model: its lineage, its metadata, and how each of its tensors is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db show family.mgit tuned@2
  mgit-db show family.mgit tuned@2 --layers")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id
    model: ModelRef,
    /// Show its layers, and which reads whose output
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
    let model = snapshot.model(&arguments.model.to_string())?;
    let family = Family::read(&snapshot)?;
    let origin = family.origin(model.node().id)?;
    let metadata = model.metadata()?;

    let graph = snapshot.graph();
    let edge_metadata: Vec<_> = origin
        .parents
        .iter()
        .map(|edge| graph.edge_metadata(model.node().id, EdgeKind::Provenance, edge.parent))
        .collect::<Result<_, _>>()?;

    let mut text = facts(&model, &family, &origin, &edge_metadata, output);
    for (key, value) in
        metadata.iter().filter(|(key, _)| ![LAYERS_KEY, LOSSY_KEY].contains(&key.as_str()))
    {
        text += &format!("  meta {} = {}\n", shown(key), shown_value(value));
    }
    let (tensors, table) = tensors(&model)?;
    let layers = arguments.layers.then(|| model.architecture()).transpose()?;
    text.push('\n');
    text += &layers.as_ref().map_or(table, layer_table);

    let manifest = model.manifest();
    let mut document = family.json(model.node(), &origin);
    if let Value::Object(keys) = &mut document {
        keys.insert("metadata".to_owned(), Value::Object(metadata));
        if let Some(Value::Array(parents)) = keys.get_mut("parents") {
            for (parent, metadata) in parents.iter_mut().zip(edge_metadata) {
                parent["metadata"] = Value::Object(metadata);
            }
        }
        keys.insert("manifest".to_owned(), model.node().row.manifest.to_string().into());
        let files: Vec<&str> = manifest.parts.iter().map(|part| part.name.as_str()).collect();
        let sharded = !manifest.index_name.is_empty();
        let files = if sharded { json!(files) } else { Value::Null };
        keys.insert("shards".to_owned(), files);
        keys.insert("tensors".to_owned(), tensors.into());
        if let Some(layers) = layers {
            keys.insert("architecture".to_owned(), layers.to_json());
        }
    }
    output.print(document, &text)
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        value => shown(&value.to_string()),
    }
}

fn facts(
    model: &Model,
    family: &Family<'_>,
    origin: &Origin,
    edge_metadata: &[Map<String, Value>],
    output: &Output,
) -> String {
    let row = &model.node().row;
    let mut text = output.paint(Ink::Name, &model.full_name());
    if !row.kind.is_empty() {
        text += &format!(" ({})", shown(&row.kind));
    }
    let tensors = count(row.tensor_count.into(), "tensor");
    text += &format!(": {tensors}, {}", size(row.logical_bytes));
    let manifest = model.manifest();
    if !manifest.index_name.is_empty() {
        text += &format!(", {}", count(manifest.parts.len() as u64, "shard"));
    }
    text += &format!("\n  id {}\n  created {}\n", model.node().id, timestamp(row.created_ms));
    if let tags @ [_, ..] = family.tags(model.node().id) {
        text += &format!("  tagged {}\n", tags.join(", "));
    }
    if let Some(mark) = family.lossy(model.node().id) {
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

fn layer_table(layers: &Architecture) -> String {
    let mut table = Table::new(&[
        ("LAYER", Side::Left),
        ("KIND", Side::Left),
        ("SIZES", Side::Left),
        ("READS", Side::Left),
    ]);
    let inputs = layers.all_inputs();
    for (layer, inputs) in layers.layers().iter().zip(&inputs) {
        let sizes = layer.attributes.iter().map(|(name, value)| format!("{name} {value}"));
        let name = |at: &usize| layers.layers().get(*at).map(|layer| layer.name.clone());
        table.row([
            layer.name.clone(),
            layer.kind.to_string(),
            sizes.collect::<Vec<_>>().join(", "),
            inputs.iter().filter_map(name).collect::<Vec<_>>().join(", "),
        ]);
    }
    let layer_count = count(layers.layers().len() as u64, "layer");
    let edge_count = count(layers.edges().len() as u64, "edge");
    format!("{layer_count}, {edge_count}, {}\n{}", layers.source(), table.lines(""))
}

fn tensors(model: &Model) -> Result<(Vec<Value>, String), Failure> {
    let mut documents = Vec::new();
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
        let promise = model.snapshot().promise(tensor.content_id())?;
        let stored = if promise.is_none() { Some(tensor.stored_as()?) } else { None };
        let place = promise.map(|promise| promise.place);
        let encoding = stored.as_ref().map(|stored| stored.encoding_names());
        table.row([
            tensor.name().to_owned(),
            tensor.dtype().to_string(),
            tensor.shape().to_string(),
            tensor.byte_len().to_string(),
            stored.as_ref().map_or("-".to_owned(), |stored| stored.stored_len.to_string()),
            encoding.clone().unwrap_or_else(|| "not pulled".to_owned()),
            stored.as_ref().map_or("-".to_owned(), |stored| stored.depth.to_string()),
        ]);
        documents.push(json!({
            "name": tensor.name(),
            "dtype": tensor.dtype().name(),
            "shape": tensor.shape().dims(),
            "bytes": tensor.byte_len(),
            "stored_bytes": stored.as_ref().map(|stored| stored.stored_len),
            "encoding": encoding,
            "chain_depth": stored.as_ref().map(|stored| stored.depth),
            "content_id": tensor.content_id().to_string(),
            "base": stored.and_then(|stored| stored.base).map(|base| base.to_string()),
            "promised_at": place,
        }));
    }
    Ok((documents, table.lines("")))
}
