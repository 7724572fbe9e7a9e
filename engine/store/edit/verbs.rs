//! What a transaction does to models, and where each of it is.

use serde_json::{Map, Value};

use super::collect::CollectReport;
use super::lossy::LossyRecodeReport;
use super::lossy_plan::Gate;
use super::new_model::{ImportReport, NewModel};
use super::recode::RecodeReport;
use super::remove::RemoveReport;
use super::repack::options::{AroundReport, Repack, RepackReport};
use super::repack::{near, run};
use super::{add, collect, graph, lossy, pin, recode, remove, test_results};
use crate::codec::{Lossy, Profile};
use crate::lineage::{EdgeKind, How, ModelRef, Node, OnChildren};
use crate::store::error::Result;
use crate::store::write::transaction::Transaction;

impl Transaction {
    /// Adds a model: the next version of its name.
    ///
    /// Bytes that are in the store already are not stored again. What is new is kept as the
    /// difference from a tensor of a parent, or of the version before, where that is shorter.
    /// Memory is bounded, whatever the size of the model.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadTensor`](crate::store::StoreError::BadTensor) when bytes, type and shape
    /// contradict each other or a name is used twice; a parent that is not there;
    /// [`StoreError::Source`](crate::store::StoreError::Source) when a source cannot be read; a
    /// damaged base; those of the disk. After an error the transaction must be dropped.
    pub fn add_model(&mut self, model: NewModel<'_>) -> Result<ImportReport> {
        add::add_model(self, model)
    }

    /// Removes a model. Its tensors' bytes become free when no model, no delta and no snapshot,
    /// in any process, needs them; a base that deltas need stays, hidden.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel);
    /// [`HasChildren`](crate::lineage::LineageError::HasChildren) as `on_children` says. After
    /// another error the transaction must be dropped.
    pub fn remove_model(
        &mut self,
        model: impl Into<ModelRef>,
        on_children: OnChildren,
    ) -> Result<RemoveReport> {
        remove::remove_model(self, &model.into(), on_children)
    }

    /// Adds a provenance edge behind those that are there.
    ///
    /// # Errors
    ///
    /// [`Cycle`](crate::lineage::LineageError::Cycle) when `child` is an ancestor of `parent`, or
    /// is `parent`; [`DuplicateParent`](crate::lineage::LineageError::DuplicateParent). After an
    /// error the transaction must be dropped.
    pub fn add_parent(
        &mut self,
        child: impl Into<ModelRef>,
        parent: impl Into<ModelRef>,
        how: How,
    ) -> Result<()> {
        graph::add_parent(self, &child.into(), &parent.into(), how)
    }

    /// Takes a provenance edge away.
    ///
    /// # Errors
    ///
    /// [`NoSuchEdge`](crate::lineage::LineageError::NoSuchEdge).
    pub fn remove_parent(
        &mut self,
        child: impl Into<ModelRef>,
        parent: impl Into<ModelRef>,
    ) -> Result<()> {
        graph::remove_parent(self, &child.into(), &parent.into())
    }

    /// Replaces the provenance parents of a model. Edges that stay keep their metadata. How the
    /// model's tensors are kept does not change.
    ///
    /// # Errors
    ///
    /// As [`add_parent`](Self::add_parent).
    pub fn set_parents<P: Into<ModelRef>>(
        &mut self,
        child: impl Into<ModelRef>,
        parents: impl IntoIterator<Item = (P, How)>,
    ) -> Result<()> {
        let parents = parents.into_iter().map(|(parent, how)| (parent.into(), how));
        graph::set_parents(self, &child.into(), &parents.collect::<Vec<_>>())
    }

    /// Takes all provenance parents of a model away: it becomes a root.
    ///
    /// # Errors
    ///
    /// As [`remove_parent`](Self::remove_parent).
    pub fn clear_parents(&mut self, child: impl Into<ModelRef>) -> Result<()> {
        graph::set_parents(self, &child.into(), &[])
    }

    /// Replaces the version before a model. Two versions with the same one are a branch.
    ///
    /// # Errors
    ///
    /// [`NotEarlier`](crate::lineage::LineageError::NotEarlier),
    /// [`Cycle`](crate::lineage::LineageError::Cycle). After an error the transaction must be
    /// dropped.
    pub fn set_previous(
        &mut self,
        model: impl Into<ModelRef>,
        previous: impl Into<ModelRef>,
    ) -> Result<()> {
        graph::set_previous(self, &model.into(), Some(&previous.into()))
    }

    /// Takes the version before a model away: it becomes a first version.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel).
    pub fn clear_previous(&mut self, model: impl Into<ModelRef>) -> Result<()> {
        graph::set_previous(self, &model.into(), None)
    }

    /// Moves one model to another name, as that name's next version. Its id, edges, tags and
    /// metadata stay; the versions behind it in its old history follow the one before it.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](crate::lineage::LineageError::NameTaken) when it has that name already, or a
    /// tag does; [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn move_model(&mut self, model: impl Into<ModelRef>, name: &str) -> Result<Node> {
        graph::move_model(self, &model.into(), name)
    }

    /// Gives every version of a name another name, which no model may have. The versions keep
    /// their numbers if it never had any; else they follow the highest it had. Ids, edges, tags
    /// and metadata stay.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](crate::lineage::LineageError::NameTaken),
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel),
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn rename_models(&mut self, old: &str, new: &str) -> Result<Vec<Node>> {
        graph::rename_models(self, old, new)
    }

    /// Replaces the kind of a model; empty for none.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel); a kind longer than 65,535 bytes.
    pub fn set_kind(&mut self, model: impl Into<ModelRef>, kind: &str) -> Result<()> {
        graph::set_kind(self, &model.into(), kind)
    }

    /// Replaces the user metadata of a model. What the store noted itself
    /// ([`OWN_KEYS`](crate::lineage::OWN_KEYS)) stays.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel);
    /// [`OwnKey`](crate::lineage::LineageError::OwnKey) when it would change that. After an error
    /// the transaction must be dropped.
    pub fn set_metadata(
        &mut self,
        model: impl Into<ModelRef>,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        graph::set_metadata(self, &model.into(), metadata)
    }

    /// Replaces the user metadata of the edge of this kind from `child` to `parent`.
    ///
    /// # Errors
    ///
    /// [`NoSuchEdge`](crate::lineage::LineageError::NoSuchEdge).
    pub fn set_edge_metadata(
        &mut self,
        child: impl Into<ModelRef>,
        kind: EdgeKind,
        parent: impl Into<ModelRef>,
        metadata: Map<String, Value>,
    ) -> Result<()> {
        graph::set_edge_metadata(self, &child.into(), kind, &parent.into(), metadata)
    }

    /// Sets a tag on a model. A tag names one model; set again, it leaves the one before.
    ///
    /// # Errors
    ///
    /// [`NameTaken`](crate::lineage::LineageError::NameTaken) when models have, or had, that name;
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn set_tag(&mut self, tag: &str, model: impl Into<ModelRef>) -> Result<Node> {
        graph::set_tag(self, tag, &model.into())
    }

    /// Takes a tag away; the model that had it is returned.
    ///
    /// # Errors
    ///
    /// [`NoSuchTag`](crate::lineage::LineageError::NoSuchTag),
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn remove_tag(&mut self, tag: &str) -> Result<Node> {
        graph::remove_tag(self, tag)
    }

    /// Replaces the values of a model by rounded ones, each within the bound of `lossy` of its
    /// own: differences from the parents are rounded. The model is marked as lossy for ever, and
    /// its own content is freed when nothing else needs it. With a gate, the model changes only as
    /// far as the gate accepts it; tensors of the largest errors are kept as they are first.
    ///
    /// # Errors
    ///
    /// [`StoreError::GateRefused`](crate::store::StoreError::GateRefused) when the gate accepts
    /// nothing, [`StoreError::NothingLossy`](crate::store::StoreError::NothingLossy) when no tensor
    /// has a partner among the parents' that it can be rounded to,
    /// [`StoreError::AlreadyLossy`](crate::store::StoreError::AlreadyLossy),
    /// [`StoreError::Pinned`](crate::store::StoreError::Pinned) of a model that is to stay raw,
    /// which loss would not make smaller: nothing has changed then, and the transaction goes on.
    /// [`StoreError::Gate`](crate::store::StoreError::Gate); a damaged tensor; those of the disk.
    pub fn recode_lossy(
        &mut self,
        model: impl Into<ModelRef>,
        lossy: Lossy,
        gate: Option<&mut Gate<'_>>,
        progress: &dyn Fn(u64),
    ) -> Result<LossyRecodeReport> {
        lossy::recode_lossy(self, &model.into(), lossy, gate, progress)
    }

    /// Pins a model: all its tensors are stored raw, so that they are read from the map, without a
    /// copy. Recoding leaves them so until the model is [unpinned](Self::unpin) or removed. Its
    /// content stays. Tensors that others share are raw for all of them. A lossy model gives up its
    /// rounded differences with this: once unpinned it is stored as any other, which takes more.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel); a damaged tensor, or one that
    /// was not pulled yet; those of the disk. After an error the transaction must be dropped.
    pub fn pin(&mut self, model: impl Into<ModelRef>) -> Result<RecodeReport> {
        pin::pin(self, &model.into())
    }

    /// Takes a pin away; the model's tensors are encoded as others are, unless another pinned
    /// model has them too.
    ///
    /// # Errors
    ///
    /// As [`pin`](Self::pin).
    pub fn unpin(&mut self, model: impl Into<ModelRef>, profile: Profile) -> Result<RecodeReport> {
        pin::unpin(self, &model.into(), profile)
    }

    /// Encodes the tensors of `model` as `profile` wants them. Contents, models and the graph stay
    /// as they are. Tensors that others share are recoded for all of them.
    ///
    /// Bases are chosen anew among the present one and those that an import would try; a tensor
    /// that deltas stand on does not become deeper. With [`Profile::Dense`] only what becomes
    /// smaller is written. Tensors of [pinned](Self::pin) models stay raw. Memory is bounded,
    /// whatever the size of the tensors.
    ///
    /// `progress` is told the bytes of content done since it was last called.
    ///
    /// # Errors
    ///
    /// [`NoSuchModel`](crate::lineage::LineageError::NoSuchModel); a damaged tensor; those of the
    /// disk. After an error the transaction must be dropped.
    pub fn recode(
        &mut self,
        model: impl Into<ModelRef>,
        profile: Profile,
        progress: &dyn Fn(u64),
    ) -> Result<RecodeReport> {
        self.recode_several(&[model.into()], profile, progress)
    }

    /// As [`recode`](Self::recode), of several models. A tensor that several have counts once.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recode_several(
        &mut self,
        models: &[ModelRef],
        profile: Profile,
        progress: &dyn Fn(u64),
    ) -> Result<RecodeReport> {
        recode::recode(self, Some(models), profile, progress)
    }

    /// As [`recode`](Self::recode), of all models.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn recode_all(&mut self, profile: Profile, progress: &dyn Fn(u64)) -> Result<RecodeReport> {
        recode::recode(self, None, profile, progress)
    }

    /// Chooses the bases of all tensors anew, so that they take the least room under a bound on
    /// the depth of chains. What takes much is also tried as a formula of its kin, whichever came
    /// first: a cast, rows of integers, a pruned or scaled one, other rows, what its parents or an
    /// adapter make. Contents, models and the graph stay as they are, and so do tensors of a pinned
    /// model. Tensors that no model has any more go where the rest is smaller without them.
    /// Contents that stand on each other, or may, stay as they are where they would not become
    /// smaller by one part in 256, also where their chains are longer than asked for: nothing ever
    /// takes more room than before, and repacking again changes nothing unless it finds that much.
    ///
    /// `progress` is told the bytes of content done since it was last called.
    ///
    /// Cost: reads every content, encodes pieces of each against a few others, and what changes
    /// once. Memory: a row a tensor, and at most 256 MiB of pieces.
    ///
    /// # Errors
    ///
    /// A damaged tensor; those of the disk. After an error the transaction must be dropped.
    pub fn repack(&mut self, how: &Repack, progress: &dyn Fn(u64)) -> Result<RepackReport> {
        run::repack(self, how, progress)
    }

    /// Stores models near a stored one anew where it is a better base than what they had: the
    /// original of a cast that came first, the base of children that came first. What is done at
    /// once is bounded (the models together are at most four times the model and 64 MiB); the
    /// report says what is left for [`repack`](Self::repack). Contents that models further away
    /// need stay as they are.
    ///
    /// Cost: sketches of at most 32 models; where one is helped, as a repack of these alone.
    ///
    /// # Errors
    ///
    /// There is no such model; a damaged tensor; those of the disk. After an error the transaction
    /// must be dropped.
    pub fn repack_around(
        &mut self,
        model: impl Into<ModelRef>,
        how: &Repack,
    ) -> Result<AroundReport> {
        near::repack_around(self, &model.into(), how)
    }

    /// Counts again how many models and deltas need each content, corrects what is wrong, and
    /// frees what nothing needs. A base stays as long as a delta needs it. In a sound store this
    /// finds nothing but what transfers that were cut short left behind, which is then fetched
    /// again: removal frees at once. Cost: every row and every manifest; no tensor.
    ///
    /// # Errors
    ///
    /// A manifest that cannot be read: what it names is not known, so nothing may be freed.
    /// After an error the transaction must be dropped.
    pub fn collect(&mut self) -> Result<CollectReport> {
        collect::collect(self)
    }

    /// Commits also when no model has changed, if the collection has changed something.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_collected(self, report: &CollectReport) -> Result<()> {
        collect::commit_collected(self, report)
    }

    /// Registers a test under a name, or replaces the one of that name. What the definition says
    /// is not looked at here: [`Test::register`](crate::model_tests::Test::register) makes it.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn set_test(&mut self, name: &str, definition: Map<String, Value>) -> Result<()> {
        test_results::set_test(self, name, definition)
    }

    /// Takes a test away; says whether it was there.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::lineage::LineageError::InvalidName).
    pub fn remove_test(&mut self, name: &str) -> Result<bool> {
        test_results::remove_test(self, name)
    }
}
