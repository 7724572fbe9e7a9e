//! Nodes and edges, over the tables of a snapshot or a transaction.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::{How, LineageError, ModelName, ModelRef, NodeId};
use crate::catalog::{EdgeKind, NodeRow, ParentRow, ReadTables, Table, WriteTables, keys};
use crate::format::FormatError;

/// A node of the graph: one version of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its identity.
    pub id: NodeId,
    /// Its row.
    pub row: NodeRow,
}

impl Node {
    /// `name@version`.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.row.name, self.row.version)
    }
}

/// A provenance edge, seen from the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The parent.
    pub parent: NodeId,
    /// How the child was derived from it.
    pub how: How,
}

/// What happens to the provenance children of a removed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnChildren {
    /// The removal is refused while there are any.
    #[default]
    Refuse,
    /// They become children of the node's parents.
    Reparent,
    /// They lose this parent.
    Detach,
}

/// A node to add.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Its row; version and revision are filled in.
    pub row: NodeRow,
    /// Its provenance parents, in order.
    pub parents: Vec<Edge>,
    /// User metadata.
    pub metadata: Map<String, Value>,
}

/// The graph, to read.
#[derive(Debug)]
pub struct Graph<'t, T: ?Sized>(pub &'t T);

/// The graph, to change.
#[derive(Debug)]
pub struct GraphMut<'t, T: ?Sized>(pub &'t mut T);

fn id_from(what: &'static str, bytes: &[u8]) -> Result<NodeId, FormatError> {
    let id = bytes.try_into().map_err(|_| FormatError::new(what, 0, "16 bytes", bytes.len()))?;
    Ok(NodeId(id))
}

impl<T: ReadTables + ?Sized> Graph<'_, T> {
    /// The node of this id, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn node(&self, id: NodeId) -> Result<Option<Node>, LineageError> {
        let Some(value) = self.0.get(Table::Nodes, &id.0)? else { return Ok(None) };
        Ok(Some(Node { id, row: NodeRow::decode(&value)? }))
    }

    /// The node an edge leads to.
    ///
    /// # Errors
    ///
    /// [`LineageError::Dangling`] when it is not there; those of the catalogue.
    pub fn expect(&self, id: NodeId) -> Result<Node, LineageError> {
        self.node(id)?.ok_or(LineageError::Dangling { node: id })
    }

    /// Every node, in the order of ids. Cost: all of them.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn nodes(&self) -> Result<Vec<Node>, LineageError> {
        let mut nodes = Vec::new();
        self.0.scan(Table::Nodes, &[], &mut |key, value| {
            nodes.push(Node { id: id_from("node key", key)?, row: NodeRow::decode(value)? });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(nodes)
    }

    /// The versions of a name, ascending.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn versions(&self, name: &ModelName) -> Result<Vec<NodeId>, LineageError> {
        let mut ids = Vec::new();
        let prefix = keys::versions_of(name.as_str());
        self.0.scan(Table::Versions, &prefix, &mut |_, value| {
            ids.push(id_from("version value", value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    /// The node that a reference names.
    ///
    /// # Errors
    ///
    /// [`LineageError::NoSuchModel`], with the names most like it; those of the catalogue.
    pub fn find(&self, model: &ModelRef) -> Result<Node, LineageError> {
        let id = match model {
            ModelRef::Id(id) => Some(*id),
            ModelRef::Version(name, version) => self
                .0
                .get(Table::Versions, &keys::version(name.as_str(), *version))?
                .map(|value| id_from("version value", &value))
                .transpose()?,
            ModelRef::Latest(name) => {
                self.versions(name)?.pop().or_else(|| NodeId::from_hex(name.as_str()))
            }
        };
        match id.map(|id| self.node(id)).transpose()?.flatten() {
            Some(node) => Ok(node),
            None => Err(self.no_such_model(model)?),
        }
    }

    fn no_such_model(&self, model: &ModelRef) -> Result<LineageError, LineageError> {
        let asked = model.to_string();
        let bare = asked.split('@').next().unwrap_or_default().to_lowercase();
        let mut similar = Vec::new();
        self.0.scan(Table::Versions, &[], &mut |key, _| {
            let (name, version) = key.split_at(key.len().saturating_sub(5));
            let version = version.iter().skip(1).fold(0u32, |n, byte| n << 8 | u32::from(*byte));
            let name = String::from_utf8_lossy(name);
            let lower = name.to_lowercase();
            if lower.contains(&bare) || bare.contains(&lower) {
                similar.push(format!("{name}@{version}"));
            }
            Ok(if similar.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(LineageError::NoSuchModel { asked, similar })
    }

    fn edge_rows(&self, child: NodeId, kind: EdgeKind) -> Result<Vec<ParentRow>, LineageError> {
        let mut rows = Vec::new();
        self.0.scan(Table::Parents, &keys::edges(&child.0, kind), &mut |_, value| {
            rows.push(ParentRow::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The provenance parents of a node, in order.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn parents(&self, child: NodeId) -> Result<Vec<Edge>, LineageError> {
        let rows = self.edge_rows(child, EdgeKind::Provenance)?;
        let edge = |row: ParentRow| Edge {
            parent: NodeId(row.parent),
            // A derivation that a newer program wrote is still an edge.
            how: row.how.parse().unwrap_or(How::Other),
        };
        Ok(rows.into_iter().map(edge).collect())
    }

    /// The version before a node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn previous(&self, node: NodeId) -> Result<Option<NodeId>, LineageError> {
        let rows = self.edge_rows(node, EdgeKind::Version)?;
        Ok(rows.first().map(|row| NodeId(row.parent)))
    }

    /// The nodes that edges of this kind lead to from `parent`, in the order of ids.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn children(&self, parent: NodeId, kind: EdgeKind) -> Result<Vec<NodeId>, LineageError> {
        let prefix = keys::edges(&parent.0, kind);
        let mut ids = Vec::new();
        self.0.scan(Table::Children, &prefix, &mut |key, _| {
            ids.push(id_from("children key", key.get(prefix.len()..).unwrap_or_default())?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    /// The user metadata of a node.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a value that is not JSON.
    pub fn metadata(&self, node: NodeId) -> Result<Map<String, Value>, LineageError> {
        let mut metadata = Map::new();
        self.0.scan(Table::Metadata, &node.0, &mut |key, value| {
            let name = String::from_utf8_lossy(key.get(16..).unwrap_or_default()).into_owned();
            let value = serde_json::from_slice(value)
                .map_err(|error| FormatError::new("metadata value", 0, "JSON", error))?;
            metadata.insert(name, value);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(metadata)
    }

    /// Whether edges of either kind lead from `from` down to `to`. Cost: the descendants of `from`.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn descends(&self, from: NodeId, to: NodeId) -> Result<bool, LineageError> {
        let mut seen = HashSet::from([from]);
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                return Ok(true);
            }
            for kind in [EdgeKind::Provenance, EdgeKind::Version] {
                queue.extend(self.children(node, kind)?.into_iter().filter(|id| seen.insert(*id)));
            }
        }
        Ok(false)
    }

    /// Refuses when the node has provenance children.
    ///
    /// # Errors
    ///
    /// [`LineageError::HasChildren`]; those of the catalogue.
    pub fn refuse_children(&self, node: &Node) -> Result<(), LineageError> {
        let children = self.children(node.id, EdgeKind::Provenance)?;
        if children.is_empty() {
            return Ok(());
        }
        let children = self.full_names(&children)?;
        Err(LineageError::HasChildren { model: node.full_name(), children })
    }

    /// `name@version` of every id, for messages.
    fn full_names(&self, ids: &[NodeId]) -> Result<Vec<String>, LineageError> {
        ids.iter().map(|id| Ok(self.expect(*id)?.full_name())).collect()
    }
}

impl<T: WriteTables + ?Sized> GraphMut<'_, T> {
    fn read(&self) -> Graph<'_, T> {
        Graph(self.0)
    }

    /// Adds a node as the next version of its name, at the commit `revision`.
    ///
    /// # Errors
    ///
    /// A parent that is not there or is named twice; those of the catalogue.
    pub fn add(&mut self, new: NewNode, revision: u64) -> Result<Node, LineageError> {
        let NewNode { mut row, parents, metadata } = new;
        let name: ModelName = row.name.parse()?;
        let highest = self.0.get(Table::Names, row.name.as_bytes())?;
        let highest = match highest.as_deref().map(<[u8; 4]>::try_from) {
            None => 0,
            Some(Ok(bytes)) => u32::from_le_bytes(bytes),
            // Taken as 0, it would give versions a second time.
            Some(Err(_)) => {
                return Err(FormatError::new("names value", 0, "4 bytes", "another length").into());
            }
        };
        row.version =
            highest.checked_add(1).ok_or(LineageError::TooMany { what: "versions of a name" })?;
        row.revision = revision;
        let previous = self.read().versions(&name)?.pop();
        let node = Node { id: NodeId::random()?, row };
        self.0.put(Table::Nodes, &node.id.0, &node.row.encode()?)?;
        let key = keys::version(&node.row.name, node.row.version);
        self.0.put(Table::Versions, &key, &node.id.0)?;
        self.0.put(Table::Names, node.row.name.as_bytes(), &node.row.version.to_le_bytes())?;
        for (key, value) in metadata {
            let key = keys::metadata(&node.id.0, &key);
            self.0.put(Table::Metadata, &key, value.to_string().as_bytes())?;
        }
        self.set_parents(node.id, &parents)?;
        self.set_previous(node.id, previous)?;
        Ok(node)
    }

    fn clear_edges(&mut self, child: NodeId, kind: EdgeKind) -> Result<(), LineageError> {
        for (place, row) in self.read().edge_rows(child, kind)?.into_iter().enumerate() {
            self.0.delete(Table::Parents, &keys::parent(&child.0, kind, place as u16))?;
            self.0.delete(Table::Children, &keys::child(&row.parent, kind, &child.0))?;
        }
        Ok(())
    }

    fn set_edges(
        &mut self,
        child: NodeId,
        kind: EdgeKind,
        rows: Vec<ParentRow>,
    ) -> Result<(), LineageError> {
        self.clear_edges(child, kind)?;
        if rows.len() > usize::from(u16::MAX) {
            return Err(LineageError::TooMany { what: "parents" });
        }
        for (place, row) in rows.into_iter().enumerate() {
            let parent = self.read().expect(NodeId(row.parent))?;
            let cycle = || -> Result<_, LineageError> {
                let child = self.read().expect(child)?.full_name();
                Ok(LineageError::Cycle { child, parent: parent.full_name() })
            };
            if self.read().descends(child, parent.id)? {
                return Err(cycle()?);
            }
            let reverse = keys::child(&row.parent, kind, &child.0);
            if self.0.get(Table::Children, &reverse)?.is_some() {
                return Err(LineageError::DuplicateParent { parent: parent.full_name() });
            }
            self.0.put(
                Table::Parents,
                &keys::parent(&child.0, kind, place as u16),
                &row.encode()?,
            )?;
            self.0.put(Table::Children, &reverse, &[])?;
        }
        Ok(())
    }

    /// Replaces the provenance parents of a node. On an error the transaction must be given up.
    ///
    /// # Errors
    ///
    /// [`LineageError::Cycle`], [`LineageError::DuplicateParent`]; those of the catalogue.
    pub fn set_parents(&mut self, child: NodeId, parents: &[Edge]) -> Result<(), LineageError> {
        let row = |edge: &Edge| ParentRow { parent: edge.parent.0, how: edge.how.to_string() };
        self.set_edges(child, EdgeKind::Provenance, parents.iter().map(row).collect())
    }

    /// Replaces the version before a node. On an error the transaction must be given up.
    ///
    /// # Errors
    ///
    /// [`LineageError::Cycle`]; those of the catalogue.
    pub fn set_previous(
        &mut self,
        node: NodeId,
        previous: Option<NodeId>,
    ) -> Result<(), LineageError> {
        let row = |id: NodeId| ParentRow { parent: id.0, how: String::new() };
        self.set_edges(node, EdgeKind::Version, previous.map(row).into_iter().collect())
    }

    /// Removes a node with its edges and metadata. The nodes whose parents or previous version
    /// changed by that are returned, in this order.
    ///
    /// # Errors
    ///
    /// [`LineageError::HasChildren`] as `on_children` says; those of the catalogue.
    pub fn remove(
        &mut self,
        node: &Node,
        on_children: OnChildren,
    ) -> Result<(Vec<NodeId>, Vec<NodeId>), LineageError> {
        if on_children == OnChildren::Refuse {
            self.read().refuse_children(node)?;
        }
        let children = self.read().children(node.id, EdgeKind::Provenance)?;
        let own_parents = self.read().parents(node.id)?;
        for child in &children {
            let mut parents: Vec<Edge> = Vec::new();
            for edge in self.read().parents(*child)? {
                if edge.parent != node.id {
                    parents.push(edge);
                } else if on_children == OnChildren::Reparent {
                    let how = edge.how;
                    parents.extend(own_parents.iter().map(|own| Edge { parent: own.parent, how }));
                }
            }
            let mut seen = HashSet::new();
            parents.retain(|edge| seen.insert(edge.parent));
            self.set_parents(*child, &parents)?;
        }
        let newer = self.read().children(node.id, EdgeKind::Version)?;
        let previous = self.read().previous(node.id)?;
        for next in &newer {
            self.set_previous(*next, previous)?;
        }
        self.clear_edges(node.id, EdgeKind::Provenance)?;
        self.clear_edges(node.id, EdgeKind::Version)?;
        let mut metadata = Vec::new();
        self.0.scan(Table::Metadata, &node.id.0, &mut |key, _| {
            metadata.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in metadata {
            self.0.delete(Table::Metadata, &key)?;
        }
        self.0.delete(Table::Versions, &keys::version(&node.row.name, node.row.version))?;
        self.0.delete(Table::Nodes, &node.id.0)?;
        Ok((children, newer))
    }
}
