//! A model of a snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::manifests;
use super::missing::missing_row;
use super::plain::read_plain;
use super::record::record_row;
use super::snapshot::Snapshot;
use super::tensor::Tensor;
use super::view::TensorView;
use crate::catalog::{MissingRow, ReadTables, Table};
use crate::format::{Manifest, ManifestTensor, RecordKind};
use crate::lineage::{ModelRef, Node};
use crate::store::error::{Result, StoreError, damaged};
use crate::store::shared::Shared;
use crate::tensor::ContentId;

/// A model: one node of the lineage graph, with its tensors.
///
/// ```
/// use mgit::{NewModel, NewTensor, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("models.mgit"))?;
/// # let mut transaction = store.begin_write()?;
/// let weights = [1f32, 2.0, 3.0];
/// let model = NewModel::new("base").metadata("steps", 1000);
/// transaction.add_model(model.tensor(NewTensor::from_slice("w", [3], &weights)))?;
/// transaction.commit()?;
///
/// let base = store.snapshot()?.model("base")?;
/// assert_eq!(base.metadata()?["steps"], 1000);
/// let names: Vec<String> = base.tensors().map(|tensor| tensor.name().to_owned()).collect();
/// assert_eq!(names, ["w"]);
/// assert_eq!(base.tensor("w")?.view()?.as_slice::<f32>()?, weights);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    snapshot: Snapshot,
    node: Node,
    name: Arc<str>,
    manifest: Arc<Manifest>,
}

/// Reads a manifest, unless somebody has it open.
pub(in crate::store) fn read_manifest(
    shared: &Shared,
    tables: &dyn ReadTables,
    id: ContentId,
) -> Result<Arc<Manifest>> {
    let missing = || damaged(id, 0)(&"the manifest is missing from the catalogue");
    let row = record_row(tables, Table::Manifests, id.as_bytes())?.ok_or_else(missing)?;
    if let Some(open) = manifests::get(id) {
        return Ok(open);
    }
    let offset = row.offset;
    let bytes = read_plain(shared, tables, RecordKind::Manifest, id, row)?;
    let manifest = Manifest::decode(&bytes).map_err(|error| damaged(id, offset)(&error))?;
    drop(bytes);
    Ok(manifests::put(id, manifest))
}

impl Model {
    pub(in crate::store) fn open(snapshot: Snapshot, node: Node) -> Result<Self> {
        let manifest = read_manifest(snapshot.shared(), snapshot.tables(), node.row.manifest)?;
        let name = node.full_name().into();
        Ok(Model { snapshot, node, name, manifest })
    }

    /// The node of the lineage graph.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// `name@version`.
    pub fn full_name(&self) -> String {
        self.node.full_name()
    }

    /// The snapshot it was taken from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    format_tools! {
        /// What the model is made of: its files' headers and its tensors.
        fn manifest(&self) -> &Manifest {
            &self.manifest
        }
    }

    /// The paths of its files but for a sharded model's index, in order; one empty path for a model
    /// of one file without a name.
    pub fn file_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.manifest.parts.iter().map(|part| part.path.as_str())
    }

    /// Whether it is a folder of files, as against one file.
    pub fn is_folder(&self) -> bool {
        self.manifest.is_folder()
    }

    /// The user metadata.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn metadata(&self) -> Result<Map<String, Value>> {
        Ok(self.snapshot.graph().metadata(self.node.id)?)
    }

    /// The tensor at a place, if there is one.
    pub(crate) fn tensor_at(&self, at: usize) -> Option<Tensor> {
        (at < self.manifest.tensors.len()).then(|| self.at(at))
    }

    /// The skeleton of a part, as a tensor of bytes.
    pub(super) fn skeleton_at(&self, part: usize) -> Tensor {
        self.at(self.manifest.tensors.len() + part)
    }

    pub(super) fn at(&self, at: usize) -> Tensor {
        let (name, manifest) = (Arc::clone(&self.name), Arc::clone(&self.manifest));
        Tensor::new(self.snapshot.clone(), name, manifest, at)
    }

    /// The tensors in the order of the model's files, also of those beside the weights.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor> + '_ {
        (0..self.manifest.tensors.len()).map(|at| self.at(at))
    }

    /// The tensors of its files of weights, which come first: not those of an optimizer's file, or
    /// of another copy of the weights. A checkpoint that holds the state of a training beside the
    /// weights, in one file, has its tensors among them.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = Tensor> + '_ {
        (0..self.manifest.weights()).map(|at| self.at(at))
    }

    /// The places among its weights of those tensors that are the state of a training, such as an
    /// optimizer's moments in one file with the weights.
    pub(crate) fn training_state(&self) -> BTreeSet<usize> {
        self.manifest.training_state()
    }

    /// The place of the tensor of this name.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.manifest.tensors.place_of(name)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchTensor`].
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.place_of(name) {
            Some(at) => Ok(self.at(at)),
            None => {
                Err(StoreError::NoSuchTensor { model: self.full_name(), tensor: name.to_owned() })
            }
        }
    }

    /// Views of all tensors, in order, as [`Tensor::view`] gives them: chunks of all of them are
    /// decoded side by side, on all cores.
    ///
    /// # Errors
    ///
    /// Those of [`Tensor::view`].
    pub fn views(&self) -> Result<Vec<TensorView>> {
        let all = 0..self.manifest.tensors.len();
        all.into_par_iter().map(|at| self.at(at).view()).collect()
    }

    /// Writes the bytes of all tensors, in order, into the caller's buffers, one a tensor: chunks
    /// of all of them side by side, on all cores, without other buffers of their size.
    ///
    /// # Errors
    ///
    /// [`StoreError::BufferLength`] when the numbers of buffers and tensors differ; otherwise those
    /// of [`Tensor::read_into`]. The buffers then hold unspecified bytes.
    pub fn read_into(&self, buffers: &mut [&mut [u8]]) -> Result<()> {
        let (expected, found) = (self.manifest.tensors.len() as u64, buffers.len() as u64);
        if expected != found {
            return Err(StoreError::BufferLength { expected, found });
        }
        let buffers = buffers.par_iter_mut().enumerate();
        buffers.try_for_each(|(at, buffer)| self.at(at).read_into(buffer))
    }
}

impl Model {
    /// How many of its tensors are not here yet. Cost: a row a tensor in a store that has such
    /// models.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn missing_tensors(&self) -> Result<u64> {
        Ok(self.missing()?.len() as u64)
    }

    /// Its tensors that are not here yet, and where they are. Cost: as
    /// [`missing_tensors`](Self::missing_tensors).
    pub(crate) fn missing(&self) -> Result<Vec<(ManifestTensor<'_>, MissingRow)>> {
        let tables = self.snapshot().tables();
        let mut missing = Vec::new();
        if tables.count_to(Table::Promised, 1)? > 0 {
            for tensor in self.manifest().contents() {
                let row = missing_row(tables, tensor.content_id)?;
                missing.extend(row.map(|row| (tensor, row)));
            }
        }
        Ok(missing)
    }
}

impl Snapshot {
    /// The model of this reference: `name` (its highest version), `name@version`, a node or its
    /// id. Cost: reads its manifest.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel), with up to three names
    /// that contain it or that it contains;
    /// a damaged manifest.
    pub fn model(&self, model: impl Into<ModelRef>) -> Result<Model> {
        self.model_of(self.find(model)?)
    }

    /// The model of a node of this snapshot.
    ///
    /// # Errors
    ///
    /// A damaged manifest.
    pub fn model_of(&self, node: Node) -> Result<Model> {
        Model::open(self.clone(), node)
    }
}

impl From<&Model> for ModelRef {
    fn from(model: &Model) -> Self {
        model.node.id.into()
    }
}
