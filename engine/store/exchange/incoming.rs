//! Records and models that come from another store.
//!
//! A record comes as it was stored there. Nothing it says is believed: its header, index and
//! formula are checked, and its content is decoded and hashed before anything may name it.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::packed_record::PackedHead;
use crate::catalog::{EdgeKind, NodeRow, ReadTables, RecordRow, Table, WriteTables};
use crate::codec::Encoding;
use crate::format::{
    CHAIN_DEPTH_LIMIT, CHUNK_LEN, ChunkEntry, Extent, FEATURE_ARRIVALS, FEATURE_EDGE_METADATA,
    FEATURE_LOSSY, FEATURE_RENAMES, FEATURE_TAGS, Manifest, Operation, RecordHeader, RecordKind,
};
use crate::lineage::{Edge, GraphMut, LOSSY_KEY, ModelName, Node, NodeId, OWN_KEYS};
use crate::planning::{CHAIN_DEPTH_MAX, Sketcher};
use crate::store::edit::graph::{note_changed, remove_tag, set_kind};
use crate::store::edit::recode::shorten;
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::chain::{Chain, VISITS_MAX, Verify};
use crate::store::read::missing::missing_row;
use crate::store::read::model::read_manifest;
use crate::store::read::record::{encodings_used, record_row};
use crate::store::slabs::{ahead, fit_arena};
use crate::store::source::TensorSource;
use crate::store::write::operations::{added_node, provenance};
use crate::store::write::put::{Survey, Surveyor, store_raw};
use crate::store::write::sketches::{add_bands, put_sketch};
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, Dtype};

/// A model that comes from another store, its tensors before it.
#[derive(Clone, Debug)]
pub(crate) struct IncomingNode {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) kind: String,
    pub(crate) created_ms: u64,
    pub(crate) logical_bytes: u64,
    pub(crate) parents: Vec<(Edge, Map<String, Value>)>,
    pub(crate) previous: Option<(NodeId, Map<String, Value>)>,
    pub(crate) metadata: Map<String, Value>,
}

/// Whether a tensor or a manifest is stored.
pub(in crate::store) fn has(
    transaction: &Transaction,
    table: Table,
    id: ContentId,
) -> Result<bool> {
    Ok(record_row(transaction.tables()?, table, id.as_bytes())?.is_some())
}

/// See [`Transaction::import_record`].
pub(in crate::store) fn import_record(
    transaction: &mut Transaction,
    id: ContentId,
    len: u64,
    source: &dyn TensorSource,
) -> Result<()> {
    transaction.check_whole()?;
    transaction.change(|this| {
        let Written { row, sent_depth, survey } = write_incoming(this, id, len, source)?;
        let row = this.references.insert_tensor(id, row)?;
        this.references.incoming.insert(id);
        let steps = match survey {
            Some(survey) => {
                put_sketch(this.tables_mut()?, id, &survey.sketch)?;
                0
            }
            None => check_incoming(this, id, &row)?,
        };
        let has_grown = row.depth > sent_depth;
        if has_grown && steps > CHAIN_DEPTH_MAX { shorten(this, id, row) } else { Ok(()) }
    })
}

/// The depth of a record over these bases, which are stored. Two chains that are each within
/// the format's limits may be beyond them together: then the longest bases are stored alone.
fn depth_over(transaction: &mut Transaction, id: ContentId, bases: &[ContentId]) -> Result<u8> {
    let shared = transaction.shared_arc();
    loop {
        let (mut depth, mut visits) = (0, 1);
        let mut longest: Option<((u8, u64), ContentId, RecordRow)> = None;
        for base in bases {
            let row = record_row(transaction.tables()?, Table::Tensors, base.as_bytes())?;
            let missing =
                || StoreError::MissingTensor { content_id: *base, needed_by: id.to_string() };
            let row = row.ok_or_else(missing)?;
            let kind = RecordKind::Tensor;
            let chain = Chain::open(&shared, transaction.tables()?, kind, *base, row.clone())?;
            depth = depth.max(row.depth.saturating_add(1));
            visits += chain.visits();
            let length = (row.depth, chain.visits());
            if longest.as_ref().is_none_or(|(other, ..)| *other < length) {
                longest = Some((length, *base, row));
            }
        }
        match longest {
            Some((_, base, row)) if depth > CHAIN_DEPTH_LIMIT || visits > VISITS_MAX => {
                store_raw(transaction, base, row)?;
            }
            _ => return Ok(depth),
        }
    }
}

/// A record that was written as it came.
struct Written {
    row: RecordRow,
    /// How deep it was where it comes from.
    sent_depth: u8,
    /// What one that lies raw holds: the id and the checksums are right. Others are still to be
    /// decoded.
    survey: Option<Survey>,
}

/// Writes the record as it comes, with this store's own fields in its header.
fn write_incoming(
    transaction: &mut Transaction,
    id: ContentId,
    len: u64,
    source: &dyn TensorSource,
) -> Result<Written> {
    let read = |offset: u64, out: &mut [u8]| {
        let failed = |source| StoreError::Source { tensor: id.to_string(), source };
        source.read_at(offset, out).map_err(failed)
    };
    let head = PackedHead::read(RecordKind::Tensor, id, len, source)?;
    let bases = head.bases();
    let PackedHead { header, index, entries, formula } = head;
    let head_len = u64::from(header.payload_offset);
    let depth = depth_over(transaction, id, &bases)?;
    let raw = depth == 0 && header.stored_len == header.raw_len;
    let container = std::sync::Arc::clone(&transaction.shared_arc().container);
    let place = container.reserve(head_len, header.stored_len, raw)?;
    transaction.records.reserved.push(Extent { offset: place.offset, len: place.len });
    let known = Dtype::from_code(header.dtype_code);
    let dtype = known.unwrap_or_else(|| Dtype::from_name("unknown"));
    let is_raw = |entry: &ChunkEntry| entry.encoding == Encoding::Raw.code();
    let is_plain = raw
        && formula.is_none()
        && header.chunk_len() == CHUNK_LEN as u64
        && entries.iter().all(is_raw);
    let mut surveyor = is_plain.then(|| Surveyor::new(&dtype, header.raw_len));
    let mut arena = std::mem::take(&mut transaction.records.arena);
    fit_arena(&mut arena);
    let fill = |start: u64, slab: &mut [u8]| read(head_len + start, slab);
    ahead(header.stored_len, &mut arena, &fill, &mut |start, slab| {
        let write = || container.write(place.offset + head_len + start, slab);
        let feed = || surveyor.as_mut().map(|surveyor| surveyor.feed(start, slab));
        Ok(rayon::join(write, feed).0?)
    })?;
    transaction.records.arena = arena;
    let survey = surveyor.map(Surveyor::finish);
    if let Some(survey) = &survey {
        let wrong = |reason: &str| damaged(id, place.offset)(&format!("as it came: {reason}"));
        if survey.sums != entries {
            return Err(wrong("checksums of its chunks"));
        }
        if survey.id != id {
            return Err(wrong("the content hashes to another id"));
        }
        // What is coded against it is decoded next.
        let here = (place.offset, id, transaction.sequence);
        transaction.shared.set_checked(here, header.stored_len);
    }
    let [a, b, c, d, ..] = container.superblock().store_id;
    let own = RecordHeader {
        depth,
        sequence: transaction.sequence,
        store_tag: [a, b, c, d],
        ..header.clone()
    };
    let mut head = own.encode();
    head.extend_from_slice(&index);
    container.write(place.offset, &head)?;
    let encodings = encodings_used(&entries);
    let code = formula.as_ref().map(|formula| formula.formula().code());
    transaction.records.require_features_of(encodings, code);
    let row = RecordRow {
        offset: place.offset,
        len,
        raw_len: header.raw_len,
        stored_len: header.stored_len,
        base_id: header.base_id,
        depth,
        formula: formula.as_ref().map_or(0, |formula| formula.formula().code()),
        encodings,
        holders: 0,
        dependents: 0,
        more_bases: bases.into_iter().skip(1).collect(),
    };
    Ok(Written { row, sent_depth: header.depth, survey })
}

/// Decodes a tensor that has come, all of it, and compares its id; sketches it meanwhile. Gives
/// back how many differences that passes.
fn check_incoming(transaction: &mut Transaction, id: ContentId, row: &RecordRow) -> Result<u8> {
    let shared = transaction.shared_arc();
    let chain = Chain::open(&shared, transaction.tables()?, RecordKind::Tensor, id, row.clone())?;
    let known = Dtype::from_code(chain.record().header().dtype_code);
    let dtype = known.unwrap_or_else(|| Dtype::from_name("unknown"));
    let mut sketcher = Sketcher::new(&dtype, row.raw_len);
    let mut hasher = blake3::Hasher::new();
    let mut arena = std::mem::take(&mut transaction.records.arena);
    fit_arena(&mut arena);
    let decode = |start: u64, slab: &mut [u8]| chain.read(start, slab, Verify::Checksums);
    ahead(row.raw_len, &mut arena, &decode, &mut |start, slab| {
        hasher.update_rayon(slab);
        sketcher.feed(start, slab);
        Ok(())
    })?;
    transaction.records.arena = arena;
    if ContentId::from(hasher.finalize()) != id {
        return Err(damaged(id, row.offset)(&"as it came: the content hashes to another id"));
    }
    put_sketch(transaction.tables_mut()?, id, &sketcher.finish())?;
    Ok(chain.steps())
}

/// See [`Transaction::hold_incoming`].
pub(in crate::store) fn hold_incoming(transaction: &mut Transaction, id: ContentId) -> Result<()> {
    let held = transaction.tables()?.get(Table::Arrivals, id.as_bytes())?.is_some();
    let row = record_row(transaction.tables()?, Table::Tensors, id.as_bytes())?;
    // Models that were stored without this tensor hold it now.
    if held || row.is_some_and(|row| row.holders > 0) {
        return Ok(());
    }
    transaction.shared.container.require_features(0, FEATURE_ARRIVALS);
    transaction.change(|this| {
        this.references
            .change_row(Table::Tensors, id, |row| row.holders = row.holders.saturating_add(1))?;
        Ok(this.tables_mut()?.put(Table::Arrivals, id.as_bytes(), &[])?)
    })
}

/// See [`Transaction::release_incoming`].
pub(in crate::store) fn release_incoming(transaction: &mut Transaction) -> Result<u64> {
    let mut ids = Vec::new();
    transaction.tables()?.scan(Table::Arrivals, &[], &mut |key, _| {
        ids.extend(<[u8; 32]>::try_from(key).ok().map(ContentId::from_bytes));
        Ok(ControlFlow::Continue(()))
    })?;
    release_held(transaction, ids)
}

/// As [`release_incoming`](Transaction::release_incoming), of these tensors alone.
pub(in crate::store) fn release_held(
    transaction: &mut Transaction,
    ids: impl IntoIterator<Item = ContentId>,
) -> Result<u64> {
    let mut released = 0;
    for id in ids {
        if !transaction.tables_mut()?.delete(Table::Arrivals, id.as_bytes())? {
            continue;
        }
        released += 1;
        let row = transaction.references.change_row(Table::Tensors, id, |row| {
            row.holders = row.holders.saturating_sub(1);
        })?;
        transaction.references.free_if_unneeded(id, row)?;
    }
    Ok(released)
}

/// See [`Transaction::adopt_node`].
pub(in crate::store) fn adopt_node(
    transaction: &mut Transaction,
    node: IncomingNode,
    manifest: Vec<u8>,
) -> Result<Node> {
    transaction.check_whole()?;
    transaction.change(|this| adopt_whole_node(this, node, manifest))
}

fn adopt_whole_node(
    transaction: &mut Transaction,
    node: IncomingNode,
    bytes: Vec<u8>,
) -> Result<Node> {
    let id = ContentId::of(&bytes);
    let manifest = Manifest::decode(&bytes).map_err(|error| damaged(id, 0)(&error))?;
    // It is encoded anew where it is written: both would be held at a time.
    drop(bytes);
    check_tensors_of(transaction, &format!("{}@{}", node.name, node.version), &manifest)?;
    let (manifest_id, _) = transaction.hold(&manifest)?;
    if node.metadata.contains_key(LOSSY_KEY) {
        transaction.shared.container.require_features(0, FEATURE_LOSSY);
    }
    let row = NodeRow {
        name: node.name,
        version: node.version,
        kind: node.kind,
        created_ms: node.created_ms,
        manifest: manifest_id,
        logical_bytes: node.logical_bytes,
        tensor_count: manifest.tensors.len() as u32,
        revision: transaction.sequence,
    };
    let adopted = Node { id: node.id, row };
    let parents: Vec<Edge> = node.parents.iter().map(|(edge, _)| *edge).collect();
    let previous = node.previous.as_ref().map(|(id, _)| *id);
    GraphMut(transaction.tables_mut()?).adopt(&adopted, &parents, previous, &node.metadata)?;
    add_bands(transaction.tables_mut()?, adopted.id, &manifest)?;
    transaction.note(added_node(&adopted, previous, &parents, node.metadata));
    let edges = node.parents.into_iter();
    let edges = edges.map(|(edge, metadata)| (EdgeKind::Provenance, edge.parent, metadata));
    let previous = node.previous.map(|(id, metadata)| (EdgeKind::Version, id, metadata));
    for (kind, parent, metadata) in edges.chain(previous) {
        update_edge(transaction, adopted.id, kind, parent, metadata)?;
    }
    Ok(adopted)
}

/// Looks a model's tensors over that have come after it, once all are here. Says whether they are.
pub(in crate::store) fn note_whole(transaction: &mut Transaction, id: NodeId) -> Result<bool> {
    transaction.check_whole()?;
    let manifest = transaction.graph()?.expect(id)?.row.manifest;
    let manifest = read_manifest(&transaction.shared, transaction.tables()?, manifest)?;
    for content in manifest.contents() {
        if missing_row(transaction.tables()?, content.content_id)?.is_some() {
            return Ok(false);
        }
    }
    transaction.change(|this| add_bands(this.tables_mut()?, id, &manifest))?;
    Ok(true)
}

/// Refuses a manifest with a tensor that is neither stored nor recorded as missing.
fn check_tensors_of(transaction: &Transaction, model: &str, manifest: &Manifest) -> Result<()> {
    for tensor in manifest.contents() {
        let row = record_row(transaction.tables()?, Table::Tensors, tensor.content_id.as_bytes())?;
        let len = match row {
            Some(row) => Some(row.raw_len),
            None => missing_row(transaction.tables()?, tensor.content_id)?.map(|row| row.raw_len),
        };
        let (content_id, name) = (tensor.content_id, &tensor.name);
        let Some(len) = len else {
            let needed_by = format!("{name:?} of {model}");
            return Err(StoreError::MissingTensor { content_id, needed_by });
        };
        if len != tensor.byte_len {
            let said = tensor.byte_len;
            let reason = format!("{model} says {said} bytes of its {name:?}, there are {len}");
            return Err(damaged(content_id, 0)(&reason));
        }
    }
    Ok(())
}

/// Gives a model a version of its name that was never given.
pub(in crate::store) fn renumber(
    transaction: &mut Transaction,
    node: &Node,
    version: u32,
) -> Result<Node> {
    transaction.check_whole()?;
    transaction.shared.container.require_features(0, FEATURE_RENAMES);
    transaction.change(|this| {
        let node = GraphMut(this.tables_mut()?).renumber(node, version)?;
        note_changed(this, node.id)?;
        let (id, name) = (node.id.to_string(), node.row.name.clone());
        this.note(Operation::RenameNode { id, name, version });
        Ok(node)
    })
}

/// Sets a tag that comes along, where its name is free. Says whether it was.
pub(in crate::store) fn adopt_tag(
    transaction: &mut Transaction,
    tag: &ModelName,
    id: NodeId,
) -> Result<bool> {
    let tagged = transaction.graph()?.tagged(tag)?;
    if tagged == Some(id) {
        return Ok(true);
    }
    if tagged.is_some() || transaction.graph()?.highest_version(tag)? > 0 {
        return Ok(false);
    }
    transaction.shared.container.require_features(0, FEATURE_TAGS);
    transaction.change(|this| {
        GraphMut(this.tables_mut()?).set_tag(tag, id)?;
        note_changed(this, id)
    })?;
    transaction.note(Operation::SetTag { tag: tag.to_string(), id: Some(id.to_string()) });
    Ok(true)
}

/// Takes away the tags of a model that are not among these.
pub(in crate::store) fn drop_tags_but(
    transaction: &mut Transaction,
    id: NodeId,
    stay: &[String],
) -> Result<()> {
    for tag in transaction.graph()?.tags_of(id)? {
        if !stay.contains(&tag) {
            remove_tag(transaction, &tag)?;
        }
    }
    Ok(())
}

/// See [`Transaction::update_node`].
pub(in crate::store) fn update_node(
    transaction: &mut Transaction,
    node: IncomingNode,
) -> Result<bool> {
    transaction.check_whole()?;
    let id = node.id;
    for (edge, _) in &node.parents {
        transaction.graph()?.expect(edge.parent)?;
        if transaction.graph()?.descends(id, edge.parent)? {
            return Ok(false);
        }
    }
    if transaction.graph()?.expect(id)?.row.kind != node.kind {
        set_kind(transaction, &id.into(), &node.kind)?;
    }
    transaction.change(|this| update_rows(this, node))?;
    Ok(true)
}

fn update_rows(transaction: &mut Transaction, node: IncomingNode) -> Result<()> {
    let id = node.id;
    let parents: Vec<Edge> = node.parents.iter().map(|(edge, _)| *edge).collect();
    if transaction.graph()?.parents(id)? != parents {
        GraphMut(transaction.tables_mut()?).set_parents(id, &parents)?;
        let parents = provenance(&parents);
        transaction.note(Operation::SetParents { id: id.to_string(), parents });
    }
    let mut metadata = node.metadata;
    let mut here = transaction.graph()?.metadata(id)?;
    for own in OWN_KEYS {
        metadata.remove(own);
        here.remove(own);
    }
    if here != metadata {
        GraphMut(transaction.tables_mut()?).set_metadata(id, &metadata)?;
        let metadata = transaction.graph()?.metadata(id)?;
        transaction.note(Operation::SetMetadata { id: id.to_string(), metadata });
    }
    for (edge, metadata) in node.parents {
        update_edge(transaction, id, EdgeKind::Provenance, edge.parent, metadata)?;
    }
    if let Some((older, metadata)) = node.previous {
        update_edge(transaction, id, EdgeKind::Version, older, metadata)?;
    }
    note_changed(transaction, id)
}

fn update_edge(
    transaction: &mut Transaction,
    child: NodeId,
    kind: EdgeKind,
    parent: NodeId,
    metadata: Map<String, Value>,
) -> Result<()> {
    if transaction.graph()?.edge_metadata(child, kind, parent)? == metadata {
        return Ok(());
    }
    transaction.shared.container.require_features(0, FEATURE_EDGE_METADATA);
    let mut graph = GraphMut(transaction.tables_mut()?);
    graph.set_edge_metadata(child, kind, parent, &metadata)?;
    let (id, parent) = (child.to_string(), parent.to_string());
    let kind = kind.name().to_owned();
    transaction.note(Operation::SetEdgeMetadata { id, parent, kind, metadata });
    Ok(())
}

/// Keeps the index of a pack, which never changes.
pub(in crate::store) fn put_index(
    transaction: &mut Transaction,
    id: ContentId,
    index: &[u8],
) -> Result<()> {
    transaction.change(|this| Ok(this.tables_mut()?.put(Table::Packs, id.as_bytes(), index)?))
}

/// Remembers a model's row as another side has it.
pub(in crate::store) fn put_sync_marker(
    transaction: &mut Transaction,
    other: [u8; 16],
    id: NodeId,
    mark: [u8; 16],
) -> Result<()> {
    let key = [other, id.0].concat();
    transaction.change(|this| Ok(this.tables_mut()?.put(Table::Agreed, &key, &mark)?))
}

/// Changes rows of the table of other places.
pub(in crate::store) fn put_remote(
    transaction: &mut Transaction,
    name: &str,
    value: Option<&[u8]>,
) -> Result<bool> {
    transaction.change(|this| {
        let tables = this.tables_mut()?;
        match value {
            Some(value) => tables.put(Table::Remotes, name.as_bytes(), value).map(|()| true),
            None => tables.delete(Table::Remotes, name.as_bytes()),
        }
        .map_err(StoreError::from)
    })
}
