//! Records and models that come from another store.
//!
//! A record comes as it was stored there. Nothing it says is believed: its header, index and
//! formula are checked, and its content is decoded and hashed before anything may name it.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::chain::{Chain, Checks, VISITS_MAX};
use super::error::damaged;
use super::ingest::slab_len;
use super::model::read_manifest;
use super::promise::promise_row;
use super::record::{encodings_used, record_row};
use super::transaction::{Transaction, provenance};
use super::travelling::TravellingHead;
use super::{Error, Result, TensorSource};
use crate::catalog::{EdgeKind, NodeRow, ReadTables, RecordRow, Table, WriteTables};
use crate::format::{
    CHAIN_DEPTH_LIMIT, Extent, FEATURE_ARRIVALS, FEATURE_EDGE_METADATA, FEATURE_LOSSY,
    FEATURE_RENAMES, FEATURE_TAGS, Manifest, Operation, RecordHeader, RecordKind,
};
use crate::lineage::{Edge, GraphMut, LOSSY_KEY, ModelName, Node, NodeId, OWN_KEYS};
use crate::planning::{CHAIN_DEPTH_MAX, Sketcher};
use crate::tensor::{ContentId, Dtype};

/// Bytes that are moved at a time.
const PIECE_LEN: u64 = 1 << 20;

/// A model that comes from another store, its tensors before it.
#[derive(Clone, Debug)]
pub(crate) struct ArrivingNode {
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

impl Transaction {
    /// Whether a tensor or a manifest is stored.
    pub(crate) fn has(&self, table: Table, id: ContentId) -> Result<bool> {
        Ok(record_row(self.tables()?, table, id.as_bytes())?.is_some())
    }

    /// Stores the record of a tensor that comes as another store keeps it; its bases are here. It
    /// stays, needed or not, until the transaction is committed: what comes later stands on it, or
    /// names it. A chain stays as long as it is there; one that grows by what its bases stand on
    /// here, beyond what this store writes, starts again nearer its root. Memory: a piece of the
    /// tensor.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] when the record is not what it must be or the content not that of
    /// `id`; [`Error::MissingTensor`] without its bases; [`Error::Source`]; those of the disk. The
    /// transaction must then be dropped.
    pub(crate) fn take_in(
        &mut self,
        id: ContentId,
        len: u64,
        source: &dyn TensorSource,
    ) -> Result<()> {
        self.check_whole()?;
        self.change(|this| {
            let (row, sent_depth) = this.write_arrival(id, len, source)?;
            let row = this.insert_tensor(id, row)?;
            this.arriving.insert(id);
            let steps = this.check_arrival(id, &row)?;
            let has_grown = row.depth > sent_depth;
            if has_grown && steps > CHAIN_DEPTH_MAX { this.shorten(id, row) } else { Ok(()) }
        })
    }

    /// Frees what has come in this transaction and nothing needs.
    pub(super) fn settle_arriving(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.arriving) {
            if let Some(row) = record_row(self.tables()?, Table::Tensors, id.as_bytes())? {
                self.free_if_unneeded(id, row)?;
            }
        }
        Ok(())
    }

    /// The depth of a record over these bases, which are stored. Two chains that are each within
    /// the format's limits may be beyond them together: then the longest bases are stored alone.
    fn depth_over(&mut self, id: ContentId, bases: &[ContentId]) -> Result<u8> {
        let shared = self.shared_arc();
        loop {
            let (mut depth, mut visits) = (0, 1);
            let mut longest: Option<((u8, u64), ContentId, RecordRow)> = None;
            for base in bases {
                let row = record_row(self.tables()?, Table::Tensors, base.as_bytes())?;
                let missing =
                    || Error::MissingTensor { content_id: *base, needed_by: id.to_string() };
                let row = row.ok_or_else(missing)?;
                let kind = RecordKind::Tensor;
                let chain = Chain::open(&shared, self.tables()?, kind, *base, row.clone())?;
                depth = depth.max(row.depth.saturating_add(1));
                visits += chain.visits();
                let length = (row.depth, chain.visits());
                if longest.as_ref().is_none_or(|(other, ..)| *other < length) {
                    longest = Some((length, *base, row));
                }
            }
            match longest {
                Some((_, base, row)) if depth > CHAIN_DEPTH_LIMIT || visits > VISITS_MAX => {
                    self.store_raw(base, row)?;
                }
                _ => return Ok(depth),
            }
        }
    }

    /// Writes the record as it comes, with this store's own fields in its header. Gives back its
    /// row, and how deep it was where it comes from.
    fn write_arrival(
        &mut self,
        id: ContentId,
        len: u64,
        source: &dyn TensorSource,
    ) -> Result<(RecordRow, u8)> {
        let read = |offset: u64, out: &mut [u8]| {
            let failed = |source| Error::Source { tensor: id.to_string(), source };
            source.read_at(offset, out).map_err(failed)
        };
        let head = TravellingHead::read(RecordKind::Tensor, id, len, source)?;
        let bases = head.bases();
        let TravellingHead { header, index, entries, formula } = head;
        let head_len = u64::from(header.payload_offset);
        let depth = self.depth_over(id, &bases)?;
        let raw = depth == 0 && header.stored_len == header.raw_len;
        let container = std::sync::Arc::clone(&self.shared_arc().container);
        let place = container.reserve(head_len, header.stored_len, raw)?;
        self.reserved.push(Extent { offset: place.offset, len: place.len });
        let mut piece = vec![0; PIECE_LEN.min(header.stored_len) as usize];
        let mut done = 0;
        while done < header.stored_len {
            let part = &mut piece[..PIECE_LEN.min(header.stored_len - done) as usize];
            read(head_len + done, part)?;
            container.write(place.offset + head_len + done, part)?;
            done += part.len() as u64;
        }
        let [a, b, c, d, ..] = container.superblock().store_id;
        let own = RecordHeader {
            depth,
            sequence: self.sequence,
            store_tag: [a, b, c, d],
            ..header.clone()
        };
        let mut head = own.encode();
        head.extend_from_slice(&index);
        container.write(place.offset, &head)?;
        let encodings = encodings_used(&entries);
        let code = formula.as_ref().map(|formula| formula.formula().code());
        self.require_features_of(encodings, code);
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
        Ok((row, header.depth))
    }

    /// Decodes a tensor that has come, all of it, and compares its id; sketches it meanwhile. Gives
    /// back how many differences that passes.
    fn check_arrival(&mut self, id: ContentId, row: &RecordRow) -> Result<u8> {
        let shared = self.shared_arc();
        let chain = Chain::open(&shared, self.tables()?, RecordKind::Tensor, id, row.clone())?;
        let known = Dtype::from_code(chain.record().header().dtype_code);
        let dtype = known.unwrap_or_else(|| Dtype::from_name("unknown"));
        let mut sketcher = Sketcher::new(&dtype, row.raw_len);
        let mut hasher = blake3::Hasher::new();
        let mut slab = vec![0; (slab_len() as u64).min(row.raw_len) as usize];
        let mut start = 0;
        while start < row.raw_len {
            let part = &mut slab[..(slab_len() as u64).min(row.raw_len - start) as usize];
            chain.read(start, part, Checks::First)?;
            hasher.update_rayon(part);
            sketcher.feed(start, part);
            start += part.len() as u64;
        }
        if ContentId::from(hasher.finalize()) != id {
            return Err(damaged(id, row.offset)(&"as it came: the content hashes to another id"));
        }
        self.put_sketch(id, &sketcher.finish())?;
        Ok(chain.steps())
    }

    /// Keeps a tensor that has come before its model, so that a transfer that is cut short need
    /// not fetch it again.
    pub(crate) fn hold_arrival(&mut self, id: ContentId) -> Result<()> {
        let held = self.tables()?.get(Table::Arrivals, id.as_bytes())?.is_some();
        let row = record_row(self.tables()?, Table::Tensors, id.as_bytes())?;
        // Models that are here hold what was promised to them.
        if held || row.is_some_and(|row| row.holders > 0) {
            return Ok(());
        }
        self.shared.container.require_features(0, FEATURE_ARRIVALS);
        self.change(|this| {
            this.change_row(Table::Tensors, id, |row| row.holders = row.holders.saturating_add(1))?;
            Ok(this.tables_mut()?.put(Table::Arrivals, id.as_bytes(), &[])?)
        })
    }

    /// Lets go of every tensor that was held for its model; what nothing needs is freed. Says how
    /// many there were.
    pub(crate) fn release_arrivals(&mut self) -> Result<u64> {
        let mut ids = Vec::new();
        self.tables()?.scan(Table::Arrivals, &[], &mut |key, _| {
            ids.extend(<[u8; 32]>::try_from(key).ok().map(ContentId::from_bytes));
            Ok(ControlFlow::Continue(()))
        })?;
        self.release_held(ids)
    }

    /// As [`release_arrivals`](Self::release_arrivals), of these tensors alone.
    pub(crate) fn release_held(&mut self, ids: impl IntoIterator<Item = ContentId>) -> Result<u64> {
        let mut released = 0;
        for id in ids {
            if !self.tables_mut()?.delete(Table::Arrivals, id.as_bytes())? {
                continue;
            }
            released += 1;
            let row = self.change_row(Table::Tensors, id, |row| {
                row.holders = row.holders.saturating_sub(1);
            })?;
            self.free_if_unneeded(id, row)?;
        }
        Ok(released)
    }

    /// Adds a model that comes from another store, with the bytes of its manifest. Its tensors
    /// and what its edges lead to are here.
    ///
    /// # Errors
    ///
    /// A manifest that cannot be read or names what is not here; a name that is taken.
    pub(crate) fn adopt_node(&mut self, node: ArrivingNode, manifest: Vec<u8>) -> Result<Node> {
        self.check_whole()?;
        self.change(|this| this.adopt_whole_node(node, manifest))
    }

    fn adopt_whole_node(&mut self, node: ArrivingNode, bytes: Vec<u8>) -> Result<Node> {
        let id = ContentId::of(&bytes);
        let manifest = Manifest::decode(&bytes).map_err(|error| damaged(id, 0)(&error))?;
        // It is encoded anew where it is written: both would be held at a time.
        drop(bytes);
        self.check_tensors_of(&format!("{}@{}", node.name, node.version), &manifest)?;
        let (manifest_id, _) = self.hold(&manifest)?;
        if node.metadata.contains_key(LOSSY_KEY) {
            self.shared.container.require_features(0, FEATURE_LOSSY);
        }
        let row = NodeRow {
            name: node.name,
            version: node.version,
            kind: node.kind,
            created_ms: node.created_ms,
            manifest: manifest_id,
            logical_bytes: node.logical_bytes,
            tensor_count: manifest.tensors.len() as u32,
            revision: self.sequence,
        };
        let adopted = Node { id: node.id, row };
        let parents: Vec<Edge> = node.parents.iter().map(|(edge, _)| *edge).collect();
        let previous = node.previous.as_ref().map(|(id, _)| *id);
        GraphMut(self.tables_mut()?).adopt(&adopted, &parents, previous, &node.metadata)?;
        self.add_bands(adopted.id, &manifest)?;
        let row = &adopted.row;
        self.note(Operation::AddNode {
            id: adopted.id.to_string(),
            name: row.name.clone(),
            version: row.version,
            kind: row.kind.clone(),
            created_ms: row.created_ms,
            manifest: manifest_id.to_string(),
            logical_bytes: row.logical_bytes,
            previous: previous.map(|id| id.to_string()),
            parents: provenance(&parents),
            metadata: node.metadata,
        });
        let edges = node.parents.into_iter();
        let edges = edges.map(|(edge, metadata)| (EdgeKind::Provenance, edge.parent, metadata));
        let previous = node.previous.map(|(id, metadata)| (EdgeKind::Version, id, metadata));
        for (kind, parent, metadata) in edges.chain(previous) {
            self.update_edge(adopted.id, kind, parent, metadata)?;
        }
        Ok(adopted)
    }

    /// Looks a model's tensors over that have come after it.
    pub(crate) fn note_whole(&mut self, id: NodeId) -> Result<()> {
        self.check_whole()?;
        let manifest = self.graph()?.expect(id)?.row.manifest;
        let manifest = read_manifest(&self.shared, self.tables()?, manifest)?;
        self.change(|this| this.add_bands(id, &manifest))
    }

    /// Refuses a manifest whose tensors are not all here or promised.
    fn check_tensors_of(&self, model: &str, manifest: &Manifest) -> Result<()> {
        for tensor in &manifest.tensors {
            let row = record_row(self.tables()?, Table::Tensors, tensor.content_id.as_bytes())?;
            let len = match row {
                Some(row) => Some(row.raw_len),
                None => promise_row(self.tables()?, tensor.content_id)?.map(|row| row.raw_len),
            };
            let (content_id, name) = (tensor.content_id, &tensor.name);
            let Some(len) = len else {
                let needed_by = format!("{name:?} of {model}");
                return Err(Error::MissingTensor { content_id, needed_by });
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
    pub(crate) fn renumber(&mut self, node: &Node, version: u32) -> Result<Node> {
        self.check_whole()?;
        self.shared.container.require_features(0, FEATURE_RENAMES);
        self.change(|this| {
            let node = GraphMut(this.tables_mut()?).renumber(node, version)?;
            this.note_changed(node.id)?;
            let (id, name) = (node.id.to_string(), node.row.name.clone());
            this.note(Operation::RenameNode { id, name, version });
            Ok(node)
        })
    }

    /// Sets a tag that comes along, where its name is free. Says whether it was.
    pub(crate) fn adopt_tag(&mut self, tag: &ModelName, id: NodeId) -> Result<bool> {
        let tagged = self.graph()?.tagged(tag)?;
        if tagged == Some(id) {
            return Ok(true);
        }
        if tagged.is_some() || self.graph()?.highest_version(tag)? > 0 {
            return Ok(false);
        }
        self.shared.container.require_features(0, FEATURE_TAGS);
        self.change(|this| {
            GraphMut(this.tables_mut()?).set_tag(tag, id)?;
            this.note_changed(id)
        })?;
        self.note(Operation::SetTag { tag: tag.to_string(), id: Some(id.to_string()) });
        Ok(true)
    }

    /// Takes away the tags of a model that are not among these.
    pub(crate) fn drop_tags_but(&mut self, id: NodeId, stay: &[String]) -> Result<()> {
        for tag in self.graph()?.tags_of(id)? {
            if !stay.contains(&tag) {
                self.remove_tag(&tag)?;
            }
        }
        Ok(())
    }

    /// Replaces kind, parents and metadata of a model by what comes. Says whether it did: parents
    /// that descend from the model here are not taken.
    pub(crate) fn update_node(&mut self, node: ArrivingNode) -> Result<bool> {
        self.check_whole()?;
        let id = node.id;
        for (edge, _) in &node.parents {
            self.graph()?.expect(edge.parent)?;
            if self.graph()?.descends(id, edge.parent)? {
                return Ok(false);
            }
        }
        let name = id.to_string();
        if self.graph()?.expect(id)?.row.kind != node.kind {
            self.set_kind(&name, &node.kind)?;
        }
        self.change(|this| this.update_rows(node))?;
        Ok(true)
    }

    fn update_rows(&mut self, node: ArrivingNode) -> Result<()> {
        let id = node.id;
        let parents: Vec<Edge> = node.parents.iter().map(|(edge, _)| *edge).collect();
        if self.graph()?.parents(id)? != parents {
            GraphMut(self.tables_mut()?).set_parents(id, &parents)?;
            let parents = provenance(&parents);
            self.note(Operation::SetParents { id: id.to_string(), parents });
        }
        let mut metadata = node.metadata;
        let mut here = self.graph()?.metadata(id)?;
        for own in OWN_KEYS {
            metadata.remove(own);
            here.remove(own);
        }
        if here != metadata {
            GraphMut(self.tables_mut()?).set_metadata(id, &metadata)?;
            let metadata = self.graph()?.metadata(id)?;
            self.note(Operation::SetMetadata { id: id.to_string(), metadata });
        }
        for (edge, metadata) in node.parents {
            self.update_edge(id, EdgeKind::Provenance, edge.parent, metadata)?;
        }
        if let Some((older, metadata)) = node.previous {
            self.update_edge(id, EdgeKind::Version, older, metadata)?;
        }
        self.note_changed(id)
    }

    fn update_edge(
        &mut self,
        child: NodeId,
        kind: EdgeKind,
        parent: NodeId,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        if self.graph()?.edge_metadata(child, kind, parent)? == metadata {
            return Ok(());
        }
        self.shared.container.require_features(0, FEATURE_EDGE_METADATA);
        let mut graph = GraphMut(self.tables_mut()?);
        graph.set_edge_metadata(child, kind, parent, &metadata)?;
        let (id, parent) = (child.to_string(), parent.to_string());
        let kind = kind.name().to_owned();
        self.note(Operation::SetEdgeMetadata { id, parent, kind, metadata });
        Ok(())
    }

    /// Keeps the index of a pack, which never changes.
    pub(crate) fn put_index(&mut self, id: ContentId, index: &[u8]) -> Result<()> {
        self.change(|this| Ok(this.tables_mut()?.put(Table::Packs, id.as_bytes(), index)?))
    }

    /// Remembers a model's row as another side has it.
    pub(crate) fn put_agreed(&mut self, other: [u8; 16], id: NodeId, mark: [u8; 16]) -> Result<()> {
        let key = [other, id.0].concat();
        self.change(|this| Ok(this.tables_mut()?.put(Table::Agreed, &key, &mark)?))
    }

    /// Changes rows of the table of other places.
    pub(crate) fn put_remote(&mut self, name: &str, value: Option<&[u8]>) -> Result<bool> {
        self.change(|this| {
            let tables = this.tables_mut()?;
            match value {
                Some(value) => tables.put(Table::Remotes, name.as_bytes(), value).map(|()| true),
                None => tables.delete(Table::Remotes, name.as_bytes()),
            }
            .map_err(Error::from)
        })
    }
}
