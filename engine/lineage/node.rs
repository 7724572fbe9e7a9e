//! A node of the graph: one version of a model.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::NodeId;
use crate::catalog::NodeRow;
use crate::tensor::ContentId;

/// A node of the lineage graph: one version of a model, without its tensors. A
/// [`Model`](crate::Model) has them; [`Snapshot::model`](crate::Snapshot::model) takes a node.
///
/// ```
/// # use mgit::{NewModel, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// # transaction.add_model(NewModel::new("base").kind("bert").metadata("seed", 7))?;
/// # transaction.commit()?;
/// let snapshot = store.snapshot()?;
/// for node in snapshot.nodes()? {
///     println!("{} of kind {:?}, {} tensors", node.full_name(), node.kind(), node.tensor_count());
///     assert_eq!((node.name(), node.version()), ("base", 1));
///     assert_eq!(snapshot.metadata(&node)?["seed"], 7);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) row: NodeRow,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.row.name, self.row.version)
    }
}

impl Node {
    /// Its identity, which never changes.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its name, without the version.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// Its version of the name, from 1.
    pub fn version(&self) -> u32 {
        self.row.version
    }

    /// `name@version`, which [`Display`](fmt::Display) writes too.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.row.name, self.row.version)
    }

    /// What kind of model it is, such as `bert`; empty when none was given.
    pub fn kind(&self) -> &str {
        &self.row.kind
    }

    /// When it was added.
    pub fn created(&self) -> SystemTime {
        let since = Duration::from_millis(self.row.created_ms);
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }

    /// When it was added, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.row.created_ms
    }

    /// How many tensors it has.
    pub fn tensor_count(&self) -> u32 {
        self.row.tensor_count
    }

    /// The length of the files it came from; of a model without files that of its tensors.
    pub fn logical_bytes(&self) -> u64 {
        self.row.logical_bytes
    }

    /// The identity of what it is made of: equal for models of equal tensors and equal files.
    pub fn manifest_id(&self) -> ContentId {
        self.row.manifest
    }

    /// The number of the commit that last changed it, its edges, its tags or its metadata.
    pub fn revision(&self) -> u64 {
        self.row.revision
    }
}

/// As an object: `model` (`name@version`), `name`, `version`, `id`, `kind` (null without one),
/// `created_ms`, `tensors`, `logical_bytes`.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut node = serializer.serialize_struct("Node", 8)?;
        node.serialize_field("model", &self.full_name())?;
        node.serialize_field("name", &self.row.name)?;
        node.serialize_field("version", &self.row.version)?;
        node.serialize_field("id", &self.id)?;
        let kind = Some(&self.row.kind).filter(|kind| !kind.is_empty());
        node.serialize_field("kind", &kind)?;
        node.serialize_field("created_ms", &self.row.created_ms)?;
        node.serialize_field("tensors", &self.row.tensor_count)?;
        node.serialize_field("logical_bytes", &self.row.logical_bytes)?;
        node.end()
    }
}
