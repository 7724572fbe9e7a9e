//! Changes of the lineage graph in a transaction: edges, names, kinds, tags, metadata.

use serde_json::{Map, Value};

use crate::catalog::{EdgeKind, Table, WriteTables};
use crate::format::{FEATURE_EDGE_METADATA, FEATURE_RENAMES, FEATURE_TAGS, Operation};
use crate::lineage::{Edge, GraphMut, How, LineageError, ModelName, Node, NodeId, Relinked};
use crate::store::error::Result;
use crate::store::write::transaction::Transaction;
use crate::store::write::transaction::provenance;

/// After an error the transaction must be dropped: a step that has begun to change rows cannot be
/// taken back alone.
impl Transaction {
    /// Adds a provenance edge behind those that are there.
    ///
    /// # Errors
    ///
    /// [`Cycle`](LineageError::Cycle) when `child` is an ancestor of `parent`, or is `parent`;
    /// [`DuplicateParent`](LineageError::DuplicateParent). After an error the transaction must be
    /// dropped.
    pub fn add_parent(&mut self, child: &str, parent: &str, how: How) -> Result<()> {
        self.check_whole()?;
        let (child, parent) = (self.find(child)?.id, self.find(parent)?.id);
        let mut parents = self.graph()?.parents(child)?;
        parents.push(Edge { parent, how });
        self.replace_parents(child, &parents)
    }

    /// Takes a provenance edge away.
    ///
    /// # Errors
    ///
    /// [`NoSuchEdge`](LineageError::NoSuchEdge).
    pub fn remove_parent(&mut self, child: &str, parent: &str) -> Result<()> {
        self.check_whole()?;
        let (child, parent) = (self.find(child)?, self.find(parent)?);
        let mut parents = self.graph()?.parents(child.id)?;
        let before = parents.len();
        parents.retain(|edge| edge.parent != parent.id);
        if parents.len() == before {
            let (child, parent) = (child.full_name(), parent.full_name());
            return Err(LineageError::NoSuchEdge { child, parent }.into());
        }
        self.replace_parents(child.id, &parents)
    }

    /// Replaces the provenance parents of a model; with none it becomes a root. Edges that stay
    /// keep their metadata. How the model's tensors are kept does not change.
    ///
    /// # Errors
    ///
    /// As [`add_parent`](Self::add_parent).
    pub fn set_parents(&mut self, child: &str, parents: &[(&str, How)]) -> Result<()> {
        self.check_whole()?;
        let child = self.find(child)?.id;
        let edge = |(parent, how): &(&str, How)| -> Result<Edge> {
            Ok(Edge { parent: self.find(parent)?.id, how: *how })
        };
        let parents: Vec<Edge> = parents.iter().map(edge).collect::<Result<_>>()?;
        self.replace_parents(child, &parents)
    }

    fn replace_parents(&mut self, child: NodeId, parents: &[Edge]) -> Result<()> {
        self.change(|this| {
            GraphMut(this.tables_mut()?).set_parents(child, parents)?;
            this.note_changed(child)
        })?;
        let (id, parents) = (child.to_string(), provenance(parents));
        self.note(Operation::SetParents { id, parents });
        Ok(())
    }

    /// Replaces the version before a model: two versions with the same one are a branch, none
    /// makes it a first version.
    ///
    /// # Errors
    ///
    /// [`NotEarlier`](LineageError::NotEarlier), [`Cycle`](LineageError::Cycle). After an error
    /// the transaction must be dropped.
    pub fn set_previous(&mut self, model: &str, previous: Option<&str>) -> Result<()> {
        self.check_whole()?;
        let node = self.find(model)?.id;
        let previous = previous.map(|model| self.find(model)).transpose()?.map(|node| node.id);
        self.change(|this| {
            GraphMut(this.tables_mut()?).set_previous(node, previous)?;
            this.note_relinked(&Relinked { children: Vec::new(), newer: vec![node] })
        })
    }

    /// Moves one model to another name, as that name's next version. Its id, edges, tags and
    /// metadata stay; the versions behind it in its old history follow the one before it.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](LineageError::NameTaken) when it has that name already, or a tag does;
    /// [`InvalidName`](LineageError::InvalidName).
    pub fn move_model(&mut self, model: &str, name: &str) -> Result<Node> {
        self.check_whole()?;
        let name: ModelName = name.parse()?;
        let node = self.find(model)?;
        self.shared.container.require_features(0, FEATURE_RENAMES);
        self.change(|this| {
            let (moved, relinked) = GraphMut(this.tables_mut()?).move_node(&node, &name)?;
            this.note_renamed(&moved)?;
            let newer = relinked.newer.into_iter().chain([moved.id]).collect();
            this.note_relinked(&Relinked { children: Vec::new(), newer })?;
            Ok(moved)
        })
    }

    /// Gives every version of a name another name, which no model may have. The versions keep
    /// their numbers if it never had any; else they follow the highest it had. Ids, edges, tags
    /// and metadata stay.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](LineageError::NameTaken), [`NoSuchModel`](LineageError::NoSuchModel),
    /// [`InvalidName`](LineageError::InvalidName).
    pub fn rename_models(&mut self, old: &str, new: &str) -> Result<Vec<Node>> {
        self.check_whole()?;
        let (old, new): (ModelName, ModelName) = (old.parse()?, new.parse()?);
        self.shared.container.require_features(0, FEATURE_RENAMES);
        self.change(|this| {
            let moved = GraphMut(this.tables_mut()?).rename(&old, &new)?;
            moved.iter().try_for_each(|node| this.note_renamed(node))?;
            Ok(moved)
        })
    }

    fn note_renamed(&mut self, node: &Node) -> Result<()> {
        self.note(Operation::RenameNode {
            id: node.id.to_string(),
            name: node.row.name.clone(),
            version: node.row.version,
        });
        self.note_changed(node.id)
    }

    /// Replaces the kind of a model; empty for none.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](LineageError::NoSuchModel); a kind longer than 65,535 bytes.
    pub fn set_kind(&mut self, model: &str, kind: &str) -> Result<()> {
        self.check_whole()?;
        let mut node = self.find(model)?;
        node.row.kind = kind.to_owned();
        node.row.revision = self.sequence;
        let row = node.row.encode()?;
        self.shared.container.require_features(0, FEATURE_RENAMES);
        self.change(|this| Ok(this.tables_mut()?.put(Table::Nodes, &node.id.0, &row)?))?;
        let (id, kind) = (node.id.to_string(), kind.to_owned());
        self.note(Operation::SetKind { id, kind });
        Ok(())
    }

    /// Replaces the user metadata of a model. What the store noted itself
    /// ([`OWN_KEYS`](crate::lineage::OWN_KEYS)) stays.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](LineageError::NoSuchModel); [`OwnKey`](LineageError::OwnKey) when it would
    /// change that. After an error the transaction must be dropped.
    pub fn set_metadata(&mut self, model: &str, metadata: Map<String, Value>) -> Result<()> {
        self.check_whole()?;
        let node = self.find(model)?.id;
        self.change(|this| {
            GraphMut(this.tables_mut()?).set_metadata(node, &metadata)?;
            this.note_changed(node)
        })?;
        let metadata = self.graph()?.metadata(node)?;
        self.note(Operation::SetMetadata { id: node.to_string(), metadata });
        Ok(())
    }

    /// Replaces the user metadata of the edge of this kind from `child` to `parent`.
    ///
    /// # Errors
    ///
    /// [`NoSuchEdge`](LineageError::NoSuchEdge).
    pub fn set_edge_metadata(
        &mut self,
        child: &str,
        kind: EdgeKind,
        parent: &str,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        self.check_whole()?;
        let (child, parent) = (self.find(child)?.id, self.find(parent)?.id);
        self.shared.container.require_features(0, FEATURE_EDGE_METADATA);
        self.change(|this| {
            let mut graph = GraphMut(this.tables_mut()?);
            graph.set_edge_metadata(child, kind, parent, &metadata)?;
            this.note_changed(child)
        })?;
        let (id, parent, kind) = (child.to_string(), parent.to_string(), kind.name().to_owned());
        self.note(Operation::SetEdgeMetadata { id, parent, kind, metadata });
        Ok(())
    }

    /// Sets a tag on a model. A tag names one model; set again, it leaves the one before.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](LineageError::NameTaken) when models have, or had, that name;
    /// [`InvalidName`](LineageError::InvalidName).
    pub fn set_tag(&mut self, tag: &str, model: &str) -> Result<Node> {
        self.check_whole()?;
        let tag: ModelName = tag.parse()?;
        let node = self.find(model)?;
        let before = self.graph()?.tagged(&tag)?;
        if before.is_none() {
            tag.check_new()?;
        }
        self.shared.container.require_features(0, FEATURE_TAGS);
        self.change(|this| {
            GraphMut(this.tables_mut()?).set_tag(&tag, node.id)?;
            before.into_iter().chain([node.id]).try_for_each(|id| this.note_changed(id))
        })?;
        let id = Some(node.id.to_string());
        self.note(Operation::SetTag { tag: tag.to_string(), id });
        Ok(node)
    }

    /// Takes a tag away; the model that had it is returned.
    ///
    /// # Errors
    ///
    /// [`NoSuchTag`](LineageError::NoSuchTag), [`InvalidName`](LineageError::InvalidName).
    pub fn remove_tag(&mut self, tag: &str) -> Result<Node> {
        self.check_whole()?;
        let tag: ModelName = tag.parse()?;
        if self.graph()?.tagged(&tag)?.is_none() {
            return Err(LineageError::NoSuchTag { tag: tag.to_string() }.into());
        }
        let node = self.change(|this| {
            let id = GraphMut(this.tables_mut()?).remove_tag(&tag)?;
            this.note_changed(id)?;
            Ok(this.graph()?.expect(id)?)
        })?;
        self.note(Operation::SetTag { tag: tag.to_string(), id: None });
        Ok(node)
    }

    /// Notes edges of other nodes that changed along, in their rows and for the change record.
    pub(in crate::store) fn note_relinked(&mut self, relinked: &Relinked) -> Result<()> {
        for child in &relinked.children {
            self.note_changed(*child)?;
            let parents = provenance(&self.graph()?.parents(*child)?);
            self.note(Operation::SetParents { id: child.to_string(), parents });
        }
        for next in &relinked.newer {
            self.note_changed(*next)?;
            let previous = self.graph()?.previous(*next)?.map(|id| id.to_string());
            self.note(Operation::SetPrevious { id: next.to_string(), previous });
        }
        Ok(())
    }

    /// Notes in a node's row that this commit changed its edges, name, tags or metadata.
    pub(in crate::store) fn note_changed(&mut self, id: NodeId) -> Result<()> {
        let mut node = self.graph()?.expect(id)?;
        node.row.revision = self.sequence;
        let row = node.row.encode()?;
        Ok(self.tables_mut()?.put(Table::Nodes, &id.0, &row)?)
    }
}
