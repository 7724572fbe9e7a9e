//! A model to be added.

use std::fmt;

use serde_json::{Map, Value};

use super::lossy_plan::{Gate, LossyDraft, LossyReport};
use super::new_part::NewPart;
use crate::architecture::{Architecture, LAYERS_KEY};
use crate::catalog::NodeRow;
use crate::codec::{Lossy, Profile};
use crate::lineage::{How, ModelRef, Node, NodeId};
use crate::store::source::NewTensor;

/// A model to be added: its name, its tensors, and what it was derived from.
/// [`Transaction::add_model`](crate::Transaction::add_model) takes it.
///
/// ```
/// use mgit::{How, NewModel, NewTensor, Profile, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let store = Store::create(folder.path().join("models.mgit"))?;
/// let (base, tuned) = ([1f32, 2.0, 3.0], [1f32, 2.0, 3.5]);
/// let mut transaction = store.begin_write()?;
/// let first = NewModel::new("base").tensor(NewTensor::from_slice("w", [3], &base));
/// let first = transaction.add_model(first)?.node;
/// let report = transaction.add_model(
///     NewModel::new("tuned")
///         .parent(&first, How::FineTune)
///         .kind("bert")
///         .metadata("steps", 1000)
///         .profile(Profile::Dense)
///         .tensor(NewTensor::from_slice("w", [3], &tuned)),
/// )?;
/// transaction.commit()?;
/// assert_eq!(report.node.full_name(), "tuned@1");
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use]
pub struct NewModel<'a> {
    pub(in crate::store) name: String,
    pub(in crate::store) kind: String,
    pub(in crate::store) parents: Vec<(ModelRef, How)>,
    pub(in crate::store) made_of: Vec<ModelRef>,
    pub(in crate::store) metadata: Map<String, Value>,
    pub(in crate::store) index: (String, Vec<u8>),
    pub(in crate::store) parts: Vec<NewPart<'a>>,
    pub(in crate::store) is_single: bool,
    pub(in crate::store) logical_bytes: Option<u64>,
    pub(in crate::store) progress: Option<&'a (dyn Fn(u64) + Sync)>,
    pub(in crate::store) chain_depth_max: Option<u8>,
    pub(in crate::store) profile: Profile,
    pub(in crate::store) lossy: Option<Lossy>,
    pub(in crate::store) gate: Option<Box<Gate<'a>>>,
    pub(in crate::store) advice: Advice,
    pub(in crate::store) unless: Unless,
}

/// How a model will be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// As others.
    #[default]
    None,
    /// Read often: it is pinned, that is, kept raw, so that it is read without a copy.
    ReadOften,
}

/// When a model is not added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Unless {
    #[default]
    Never,
    /// The latest version of its name has the same content.
    Latest,
    /// A version of its name has.
    Known,
}

impl fmt::Debug for NewModel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewModel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> NewModel<'a> {
    /// A model of this name: the next version, when the name is known.
    pub fn new(name: impl Into<String>) -> Self {
        NewModel { name: name.into(), ..NewModel::default() }
    }

    /// Says what kind of model it is, such as `bert`.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Says what kind of model it is, unless that is said already.
    pub(crate) fn kind_unless_given(mut self, kind: &str) -> Self {
        if self.kind.is_empty() {
            kind.clone_into(&mut self.kind);
        }
        self
    }

    /// Sets a piece of user metadata, unless it is set already.
    pub(crate) fn metadata_unless_given(mut self, key: &str, value: Value) -> Self {
        self.metadata.entry(key).or_insert(value);
        self
    }

    /// Adds a provenance parent: `name`, `name@version`, a node or its id. Its tensors are tried as
    /// bases of deltas, in the order of the parents.
    pub fn parent(mut self, model: impl Into<ModelRef>, how: How) -> Self {
        self.parents.push((model.into(), how));
        self
    }

    /// Says which models it was computed from together, in the order of the computation, where
    /// these are not its parents: their tensors are tried as bases of one formula. No edge comes
    /// of it.
    pub fn made_of(mut self, models: impl IntoIterator<Item = impl Into<ModelRef>>) -> Self {
        self.made_of = models.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a piece of user metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Adds a tensor.
    pub fn tensor(mut self, tensor: NewTensor<'a>) -> Self {
        if self.parts.is_empty() {
            self.parts.push(NewPart::default());
        }
        if let Some(part) = self.parts.last_mut() {
            part.tensors.push(tensor);
        }
        self
    }

    /// Adds a file with its tensors.
    pub fn part(mut self, part: NewPart<'a>) -> Self {
        self.parts.push(part);
        self
    }

    /// Says that the parts are shards, listed by an index file of this name and these bytes.
    pub fn index(mut self, name: impl Into<String>, bytes: Vec<u8>) -> Self {
        self.index = (name.into(), bytes);
        self
    }

    /// Says that its one part is a file that is known by its own path alone, as against a folder
    /// with one file in it.
    pub fn single_file(mut self) -> Self {
        self.is_single = true;
        self
    }

    /// Says how many bytes the model's files have; otherwise the sum of its tensors counts.
    pub fn logical_bytes(mut self, bytes: u64) -> Self {
        self.logical_bytes = Some(bytes);
        self
    }

    /// Bounds the delta chains of this model's tensors by another depth than
    /// [`CHAIN_DEPTH_MAX`](crate::planning::CHAIN_DEPTH_MAX), at most
    /// [`CHAIN_DEPTH_LIMIT`](crate::format::CHAIN_DEPTH_LIMIT). Only there so that the benchmark
    /// `chain` can measure the bound; not a part of the API.
    #[doc(hidden)]
    pub fn chain_depth_max(mut self, depth: u8) -> Self {
        self.chain_depth_max = Some(depth.min(crate::format::CHAIN_DEPTH_LIMIT));
        self
    }

    /// Says whether the model is to be encoded for speed or for size. Content that is in the store
    /// already stays as it is.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Lets the model be stored with rounded values, each within the bound of `lossy` of its own:
    /// its differences from its parents are rounded. It is marked as lossy for ever. What no
    /// parent has in the same type and shape stays as it is; where that is all, so does the model.
    pub fn lossy(mut self, lossy: Lossy) -> Self {
        self.lossy = Some(lossy);
        self
    }

    /// Lets `gate` judge the lossy model before it is stored, and parts of its loss when it does
    /// not accept all of it.
    pub fn gate(mut self, gate: impl FnMut(&LossyDraft<'_>) -> Result<bool, String> + 'a) -> Self {
        self.gate = Some(Box::new(gate));
        self
    }

    /// Says how the model will be used.
    pub fn advise(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }

    /// Adds no version where the latest one of its name has the same files, tensors and bytes: the
    /// report names that one and says [`already_there`](ImportReport::already_there). Nothing is
    /// changed then, whatever kind, metadata, parents and use are given here.
    pub fn unless_equal(mut self) -> Self {
        self.unless = Unless::Latest;
        self
    }

    /// As [`unless_equal`](Self::unless_equal), whichever version of its name has the same.
    pub fn unless_known(mut self) -> Self {
        self.unless = Unless::Known;
        self
    }

    /// Says what layers the model has. Kept as its metadata `mgit.layers`.
    pub fn layers(self, architecture: &Architecture) -> Self {
        self.metadata(LAYERS_KEY, architecture.to_json())
    }

    /// Calls `progress` with the number of tensor bytes done since the last call.
    pub fn progress(mut self, progress: &'a (dyn Fn(u64) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// What adding a model did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// The new node, or the one that is there already.
    pub node: Node,
    /// Whether a version has the same content, so that none was added: see
    /// [`NewModel::unless_equal`] and [`NewModel::unless_known`].
    pub already_there: bool,
    /// Tensors whose content was in the store already.
    pub deduplicated: u64,
    /// Their bytes.
    pub deduplicated_bytes: u64,
    /// Tensors kept as differences from a base.
    pub delta: u64,
    /// Their bytes.
    pub delta_bytes: u64,
    /// Bytes the differences take.
    pub delta_stored_bytes: u64,
    /// Tensors kept as they are.
    pub raw: u64,
    /// Their bytes.
    pub raw_bytes: u64,
    /// Bytes of all records added to the file, the manifest's among them.
    pub added_bytes: u64,
    /// What was rounded, when the model was made lossy.
    pub lossy: Option<LossyReport>,
    /// Of a model that a function has made: what is to be said of some tensors.
    pub notes: Vec<Note>,
}

impl ImportReport {
    /// Before any tensor is stored. The node gets its id and its version when it is added.
    pub(in crate::store) fn begun(row: NodeRow) -> Self {
        ImportReport {
            node: Node { id: NodeId([0; 16]), row },
            already_there: false,
            deduplicated: 0,
            deduplicated_bytes: 0,
            delta: 0,
            delta_bytes: 0,
            delta_stored_bytes: 0,
            raw: 0,
            raw_bytes: 0,
            added_bytes: 0,
            lossy: None,
            notes: Vec::new(),
        }
    }
}

/// What is to be said of how a model or a tensor was made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Note {
    /// The tensor; empty where it is said of the model.
    pub tensor: String,
    /// What is to be said.
    #[serde(rename = "note")]
    pub text: String,
}
