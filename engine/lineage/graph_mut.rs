//! Changing nodes, edges, tags and metadata in the tables of a transaction.

use std::collections::HashSet;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::depth::check_depth;
use super::{Edge, Graph, How, LineageError, ModelName, Node, NodeId, OWN_KEYS};
use crate::catalog::{EdgeKind, NodeRow, ParentRow, Table, WriteTables, keys};

/// What happens to the provenance children of a removed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
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
pub(crate) struct NewNode {
    /// Its row; version and revision are filled in.
    pub row: NodeRow,
    /// Its provenance parents, in order.
    pub parents: Vec<Edge>,
    /// User metadata.
    pub metadata: Map<String, Value>,
}

/// The graph, to change. After an error the transaction must be given up.
#[derive(Debug)]
pub(crate) struct GraphMut<'t, T>(pub &'t mut T);

/// What a removal or a new name did to the edges of other nodes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Relinked {
    /// Nodes whose provenance parents changed.
    pub children: Vec<NodeId>,
    /// Nodes whose version before changed.
    pub newer: Vec<NodeId>,
}

impl<T: WriteTables> GraphMut<'_, T> {
    fn read(&self) -> Graph<'_> {
        Graph(self.0)
    }

    /// Adds a node as the next version of its name, at the commit `revision`.
    ///
    /// # Errors
    ///
    /// [`LineageError::NameTaken`] when a tag has its name; a parent that is not there or is
    /// named twice; those of the catalogue.
    pub(crate) fn add(&mut self, new: NewNode, revision: u64) -> Result<Node, LineageError> {
        let NewNode { mut row, parents, metadata } = new;
        check_depth(&metadata)?;
        let name: ModelName = row.name.parse()?;
        row.version = self.next_version(&name)?;
        row.revision = revision;
        let previous = self.read().latest(&name)?;
        let node = Node { id: NodeId::random()?, row };
        self.place(&node)?;
        for (key, value) in metadata {
            let key = keys::metadata(&node.id.0, &key);
            self.put_value(Table::Metadata, &key, &value)?;
        }
        self.set_parents(node.id, &parents)?;
        self.set_previous(node.id, previous)?;
        Ok(node)
    }

    /// Adds a node as another store has it: its id, name and version stay, and what that store
    /// noted of it. What its edges lead to must be there.
    ///
    /// # Errors
    ///
    /// [`LineageError::NameTaken`] when a tag has its name, or another node its version of it; a
    /// parent that is not there or is named twice; those of the catalogue.
    pub(crate) fn adopt(
        &mut self,
        node: &Node,
        parents: &[Edge],
        previous: Option<NodeId>,
        metadata: &Map<String, Value>,
    ) -> Result<(), LineageError> {
        let row = &node.row;
        let name: ModelName = row.name.parse()?;
        let taken = |by| Err(LineageError::NameTaken { name: node.full_name(), by });
        if self.read().tagged(&name)?.is_some() {
            return taken("a tag");
        }
        if self.0.get(Table::Versions, &keys::version(&row.name, row.version))?.is_some() {
            return taken("another model");
        }
        self.place_among(node, &name)?;
        for (key, value) in metadata {
            let key = keys::metadata(&node.id.0, key);
            self.put_value(Table::Metadata, &key, value)?;
        }
        self.set_parents(node.id, parents)?;
        self.set_previous(node.id, previous)
    }

    /// Gives a node another version of its name, a number that was never given. Edges stay.
    ///
    /// # Errors
    ///
    /// [`LineageError::NameTaken`] when the number is not above all that were given; those of the
    /// catalogue.
    pub(crate) fn renumber(&mut self, node: &Node, version: u32) -> Result<Node, LineageError> {
        let name: ModelName = node.row.name.parse()?;
        if version <= self.read().highest_version(&name)? {
            let name = format!("{name}@{version}");
            return Err(LineageError::NameTaken { name, by: "an earlier model" });
        }
        self.0.delete(Table::Versions, &keys::version(name.as_str(), node.row.version))?;
        let row = NodeRow { version, ..node.row.clone() };
        let node = Node { id: node.id, row };
        self.place(&node)?;
        Ok(node)
    }

    /// Writes a node under its name and version, which may be below the highest.
    fn place_among(&mut self, node: &Node, name: &ModelName) -> Result<(), LineageError> {
        let highest = self.read().highest_version(name)?;
        self.place(node)?;
        let highest = highest.max(node.row.version);
        Ok(self.0.put(Table::Names, name.as_str().as_bytes(), &highest.to_le_bytes())?)
    }

    /// The number after the highest that was ever given to a name that models may have.
    fn next_version(&self, name: &ModelName) -> Result<u32, LineageError> {
        if self.read().tagged(name)?.is_some() {
            return Err(LineageError::NameTaken { name: name.to_string(), by: "a tag" });
        }
        let highest = self.read().highest_version(name)?;
        if highest == 0 {
            name.check_new()?;
        }
        highest.checked_add(1).ok_or(LineageError::TooMany { what: "versions of a name" })
    }

    /// Writes a node under its name and version.
    fn place(&mut self, node: &Node) -> Result<(), LineageError> {
        let row = &node.row;
        self.0.put(Table::Nodes, &node.id.0, &row.encode()?)?;
        self.0.put(Table::Versions, &keys::version(&row.name, row.version), &node.id.0)?;
        Ok(self.0.put(Table::Names, row.name.as_bytes(), &row.version.to_le_bytes())?)
    }

    /// Writes the edges of one kind of a child. Metadata of edges that stay is kept.
    fn write_edges(
        &mut self,
        child: NodeId,
        kind: EdgeKind,
        rows: &[ParentRow],
    ) -> Result<(), LineageError> {
        if rows.len() > usize::from(u16::MAX) {
            return Err(LineageError::TooMany { what: "parents" });
        }
        let mut stay: HashSet<[u8; 16]> = HashSet::new();
        if let Some(twice) = rows.iter().find(|row| !stay.insert(row.parent)) {
            let parent = self.read().expect(NodeId(twice.parent))?.full_name();
            return Err(LineageError::DuplicateParent { parent });
        }
        for (place, row) in self.read().edge_rows(child, kind)?.into_iter().enumerate() {
            self.0.delete(Table::Parents, &keys::parent(&child.0, kind, place as u16))?;
            self.0.delete(Table::Children, &keys::child(&row.parent, kind, &child.0))?;
            if !stay.contains(&row.parent) {
                let owner = keys::edge(&child.0, kind, &row.parent);
                self.clear_metadata(Table::EdgeMetadata, &owner)?;
            }
        }
        for (place, row) in rows.iter().enumerate() {
            let reverse = keys::child(&row.parent, kind, &child.0);
            let key = keys::parent(&child.0, kind, place as u16);
            self.0.put(Table::Parents, &key, &row.encode()?)?;
            self.0.put(Table::Children, &reverse, &[])?;
        }
        Ok(())
    }

    /// Refuses parents that are not there, or that descend from the child. Cost: as
    /// [`Graph::descends`].
    fn refuse_cycle(&self, child: NodeId, parents: &[NodeId]) -> Result<(), LineageError> {
        for parent in parents {
            self.read().expect(*parent)?;
        }
        if !self.read().leads_to(child, parents)? {
            return Ok(());
        }
        for parent in parents {
            if self.read().descends(child, *parent)? {
                return Err(LineageError::Cycle {
                    child: self.read().expect(child)?.full_name(),
                    parent: self.read().expect(*parent)?.full_name(),
                });
            }
        }
        Ok(())
    }

    /// The rows of these edges; that of an edge which stays as it is keeps what a newer program
    /// may have written in it.
    fn provenance_rows(
        &self,
        child: NodeId,
        parents: &[Edge],
    ) -> Result<Vec<ParentRow>, LineageError> {
        let old = self.read().edge_rows(child, EdgeKind::Provenance)?;
        let row = |edge: &Edge| {
            let same = |row: &&ParentRow| {
                row.parent == edge.parent.0 && row.how.parse().unwrap_or(How::Other) == edge.how
            };
            old.iter()
                .find(same)
                .cloned()
                .unwrap_or_else(|| ParentRow { parent: edge.parent.0, how: edge.how.to_string() })
        };
        Ok(parents.iter().map(row).collect())
    }

    /// Replaces the provenance parents of a node. Edges that stay keep their metadata.
    ///
    /// # Errors
    ///
    /// [`LineageError::Cycle`], [`LineageError::DuplicateParent`]; those of the catalogue.
    pub(crate) fn set_parents(
        &mut self,
        child: NodeId,
        parents: &[Edge],
    ) -> Result<(), LineageError> {
        let ids: Vec<NodeId> = parents.iter().map(|edge| edge.parent).collect();
        self.refuse_cycle(child, &ids)?;
        let rows = self.provenance_rows(child, parents)?;
        self.write_edges(child, EdgeKind::Provenance, &rows)
    }

    /// Replaces the version before a node.
    ///
    /// # Errors
    ///
    /// [`LineageError::NotEarlier`] when that is not a lower version of the same name;
    /// [`LineageError::Cycle`]; those of the catalogue.
    pub(crate) fn set_previous(
        &mut self,
        node: NodeId,
        previous: Option<NodeId>,
    ) -> Result<(), LineageError> {
        let Some(previous) = previous else {
            return self.write_edges(node, EdgeKind::Version, &[]);
        };
        let (newer, older) = (self.read().expect(node)?, self.read().expect(previous)?);
        if newer.row.name != older.row.name || newer.row.version <= older.row.version {
            let (newer, older) = (newer.full_name(), older.full_name());
            return Err(LineageError::NotEarlier { newer, older });
        }
        self.refuse_cycle(node, &[previous])?;
        let row = ParentRow { parent: previous.0, how: String::new() };
        self.write_edges(node, EdgeKind::Version, &[row])
    }

    /// Gives the nodes that follow a node in its history the version before it instead.
    fn bridge(&mut self, node: NodeId) -> Result<Vec<NodeId>, LineageError> {
        let newer = self.read().children(node, EdgeKind::Version)?;
        let previous = self.read().previous(node)?;
        let row = |id: NodeId| ParentRow { parent: id.0, how: String::new() };
        let rows: Vec<ParentRow> = previous.map(row).into_iter().collect();
        for next in &newer {
            // No cycle: what it descends from now, it descended from before.
            self.write_edges(*next, EdgeKind::Version, &rows)?;
        }
        self.write_edges(node, EdgeKind::Version, &[])?;
        Ok(newer)
    }

    /// Removes a node with its edges, tags and metadata. Cost: its edges and those of its
    /// children.
    ///
    /// # Errors
    ///
    /// [`LineageError::HasChildren`] as `on_children` says; those of the catalogue.
    pub(crate) fn remove(
        &mut self,
        node: &Node,
        on_children: OnChildren,
    ) -> Result<Relinked, LineageError> {
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
            // No cycle: they were its ancestors before.
            let rows = self.provenance_rows(*child, &parents)?;
            self.write_edges(*child, EdgeKind::Provenance, &rows)?;
        }
        let newer = self.bridge(node.id)?;
        self.write_edges(node.id, EdgeKind::Provenance, &[])?;
        self.clear_metadata(Table::Metadata, &node.id.0)?;
        for tag in self.read().tags_of(node.id)? {
            self.delete_tag(&tag, node.id)?;
        }
        self.0.delete(Table::Versions, &keys::version(&node.row.name, node.row.version))?;
        self.0.delete(Table::Nodes, &node.id.0)?;
        Ok(Relinked { children, newer })
    }

    /// Moves one node to another name, as that name's next version. The versions behind it in
    /// its old history follow the one before it.
    ///
    /// # Errors
    ///
    /// [`LineageError::NameTaken`] when it has that name already, or a tag does; those of the
    /// catalogue.
    pub(crate) fn move_node(
        &mut self,
        node: &Node,
        name: &ModelName,
    ) -> Result<(Node, Relinked), LineageError> {
        if node.row.name == name.as_str() {
            let by = "the model itself";
            return Err(LineageError::NameTaken { name: name.to_string(), by });
        }
        let version = self.next_version(name)?;
        let previous = self.read().latest(name)?;
        let newer = self.bridge(node.id)?;
        self.0.delete(Table::Versions, &keys::version(&node.row.name, node.row.version))?;
        let row = NodeRow { name: name.to_string(), version, ..node.row.clone() };
        let moved = Node { id: node.id, row };
        self.place(&moved)?;
        self.set_previous(moved.id, previous)?;
        Ok((moved, Relinked { children: Vec::new(), newer }))
    }

    /// Moves every version of a name to a name that no model has. They keep their numbers if it
    /// never had any; else they follow the highest, since no number is given twice. Edges stay.
    ///
    /// # Errors
    ///
    /// [`LineageError::NameTaken`] when models or a tag have the name;
    /// [`LineageError::NoSuchModel`] when none has the old one; those of the catalogue.
    pub(crate) fn rename(
        &mut self,
        old: &ModelName,
        new: &ModelName,
    ) -> Result<Vec<Node>, LineageError> {
        let ids = self.read().versions(old)?;
        let first = self.next_version(new)?;
        if ids.is_empty() {
            let asked = super::ModelRef::from(old);
            return Err(self.read().no_such_model(&asked)?);
        }
        if self.read().latest(new)?.is_some() {
            let by = if old == new { "the models themselves" } else { "other models" };
            return Err(LineageError::NameTaken { name: new.to_string(), by });
        }
        let mut moved = Vec::with_capacity(ids.len());
        for (place, id) in ids.into_iter().enumerate() {
            let mut node = self.read().expect(id)?;
            self.0.delete(Table::Versions, &keys::version(&node.row.name, node.row.version))?;
            node.row.name = new.to_string();
            if first > 1 {
                let version = u32::try_from(place).ok().and_then(|at| first.checked_add(at));
                let too_many = LineageError::TooMany { what: "versions of a name" };
                node.row.version = version.ok_or(too_many)?;
            }
            self.place(&node)?;
            moved.push(node);
        }
        Ok(moved)
    }

    fn put_value(&mut self, table: Table, key: &[u8], value: &Value) -> Result<(), LineageError> {
        Ok(self.0.put(table, key, value.to_string().as_bytes())?)
    }

    fn clear_metadata(&mut self, table: Table, owner: &[u8]) -> Result<(), LineageError> {
        let mut rows = Vec::new();
        self.0.scan(table, owner, &mut |key, _| {
            rows.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        for key in rows {
            self.0.delete(table, &key)?;
        }
        Ok(())
    }

    /// Notes something of a node under one of the [`OWN_KEYS`], or takes it away.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub(crate) fn set_own_metadata(
        &mut self,
        node: NodeId,
        key: &str,
        value: Option<&Value>,
    ) -> Result<(), LineageError> {
        let key = keys::metadata(&node.0, key);
        match value {
            Some(value) => self.put_value(Table::Metadata, &key, value),
            None => {
                self.0.delete(Table::Metadata, &key)?;
                Ok(())
            }
        }
    }

    /// Replaces the user metadata of a node. What the store noted itself stays.
    ///
    /// # Errors
    ///
    /// [`LineageError::OwnKey`] when it would change that; those of the catalogue.
    pub(crate) fn set_metadata(
        &mut self,
        node: NodeId,
        metadata: &Map<String, Value>,
    ) -> Result<(), LineageError> {
        check_depth(metadata)?;
        let mut own = Map::new();
        for key in OWN_KEYS {
            let value = self.read().own_metadata(node, key)?;
            if metadata.get(key).is_some_and(|given| Some(given) != value.as_ref()) {
                return Err(LineageError::OwnKey { key: key.to_owned() });
            }
            own.extend(value.map(|value| (key.to_owned(), value)));
        }
        self.clear_metadata(Table::Metadata, &node.0)?;
        for (key, value) in own.iter().chain(metadata) {
            let key = keys::metadata(&node.0, key);
            self.put_value(Table::Metadata, &key, value)?;
        }
        Ok(())
    }

    /// Replaces the user metadata of an edge.
    ///
    /// # Errors
    ///
    /// [`LineageError::NoSuchEdge`]; those of the catalogue.
    pub(crate) fn set_edge_metadata(
        &mut self,
        child: NodeId,
        kind: EdgeKind,
        parent: NodeId,
        metadata: &Map<String, Value>,
    ) -> Result<(), LineageError> {
        if self.0.get(Table::Children, &keys::child(&parent.0, kind, &child.0))?.is_none() {
            let name = |id| -> Result<_, LineageError> { Ok(self.read().expect(id)?.full_name()) };
            return Err(LineageError::NoSuchEdge { child: name(child)?, parent: name(parent)? });
        }
        check_depth(metadata)?;
        self.clear_metadata(Table::EdgeMetadata, &keys::edge(&child.0, kind, &parent.0))?;
        for (key, value) in metadata {
            let key = keys::edge_metadata(&child.0, kind, &parent.0, key);
            self.put_value(Table::EdgeMetadata, &key, value)?;
        }
        Ok(())
    }

    /// Sets a tag on a node; it leaves the node that it was on.
    ///
    /// # Errors
    ///
    /// [`LineageError::NameTaken`] when models have, or had, the name; those of the catalogue.
    pub(crate) fn set_tag(&mut self, tag: &ModelName, node: NodeId) -> Result<(), LineageError> {
        if self.read().highest_version(tag)? > 0 {
            return Err(LineageError::NameTaken { name: tag.to_string(), by: "models" });
        }
        if let Some(old) = self.read().tagged(tag)? {
            self.delete_tag(tag.as_str(), old)?;
        }
        self.0.put(Table::Tags, tag.as_str().as_bytes(), &node.0)?;
        Ok(self.0.put(Table::TagsOf, &keys::tag_of(&node.0, tag.as_str()), &[])?)
    }

    /// Takes a tag away. The node that it was on is returned.
    ///
    /// # Errors
    ///
    /// [`LineageError::NoSuchTag`]; those of the catalogue.
    pub(crate) fn remove_tag(&mut self, tag: &ModelName) -> Result<NodeId, LineageError> {
        let no_such_tag = || LineageError::NoSuchTag { tag: tag.to_string() };
        let node = self.read().tagged(tag)?.ok_or_else(no_such_tag)?;
        self.delete_tag(tag.as_str(), node)?;
        Ok(node)
    }

    fn delete_tag(&mut self, tag: &str, node: NodeId) -> Result<(), LineageError> {
        self.0.delete(Table::Tags, tag.as_bytes())?;
        self.0.delete(Table::TagsOf, &keys::tag_of(&node.0, tag))?;
        Ok(())
    }
}
