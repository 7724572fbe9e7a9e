//! A model is added.

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::ingest::{Incoming, Intake, ingest};
use super::lossy::ingest_draft;
use super::lossy_plan::{LossyDraft, LossyPlan, plan_lossy};
use super::new_model::{Advice, ImportReport, NewModel, Unless};
use super::new_part::{NewPart, NewSkeleton};
use super::pin::pin_node;
use super::weave::{check_parts, put_files, settle_parts};
use crate::catalog::{NodeRow, ReadTables, Table};
use crate::codec::{Lossy, Profile};
use crate::format::{FEATURE_LOSSY, Manifest, ManifestTensor};
use crate::lineage::{
    Edge, GraphMut, LOSSY_KEY, LineageError, ModelName, NewNode, Node, NodeId, OWN_KEYS,
    check_depth,
};
use crate::planning::{CHAIN_DEPTH_MAX, TensorKey};
use crate::store::base::candidates::Candidates;
use crate::store::base::policy::EncodePolicy;
use crate::store::base::relatives::{BaseFinder, sketch_of};
use crate::store::error::{Result, StoreError};
use crate::store::read::manifests;
use crate::store::shared::now_ms;
use crate::store::slabs::settle_readers;
use crate::store::source::NewTensor;
use crate::store::write::operations::added_node;
use crate::store::write::sketches::add_bands;
use crate::store::write::transaction::Transaction;
use crate::tensor::{ContentId, first_duplicate};

/// Adds a model: the next version of its name.
pub(in crate::store) fn add_model(
    transaction: &mut Transaction,
    mut model: NewModel<'_>,
) -> Result<ImportReport> {
    transaction.check_whole()?;
    settle_parts(&mut model);
    check_parts(&model)?;
    check_tensors(&model)?;
    check_depth(&model.metadata)?;
    let origin = Origin::find(transaction, &model)?;
    settle_sources(transaction, &mut model)?;
    let mut report = ImportReport::begun(row_of(transaction, &origin, &model));
    let manifest = put_contents(transaction, &mut model, &origin, &mut report)?;
    if let Some(node) = equal_to(transaction, &model, &origin, &manifest)? {
        (report.node, report.already_there) = (node, true);
        return Ok(report);
    }
    add_node(transaction, &origin, &model.metadata, &manifest, &mut report)?;
    transaction.note(added_node(
        &report.node,
        origin.previous,
        &origin.parents,
        std::mem::take(&mut model.metadata),
    ));
    if model.advice == Advice::ReadOften {
        let id = report.node.id;
        transaction.change(|this| pin_node(this, id))?;
    }
    Ok(report)
}

/// A version that has the same content, where a model is to be added only otherwise.
fn equal_to(
    transaction: &Transaction,
    model: &NewModel<'_>,
    origin: &Origin,
    manifest: &Manifest,
) -> Result<Option<Node>> {
    let graph = transaction.graph()?;
    let known = match model.unless {
        Unless::Never => return Ok(None),
        Unless::Latest => origin.previous.into_iter().collect(),
        Unless::Known => graph.versions(&origin.name)?,
    };
    if known.is_empty() {
        return Ok(None);
    }
    let id = ContentId::of(&manifest.encode()?);
    for version in known {
        if let Some(node) = graph.node(version)?.filter(|node| node.manifest_id() == id) {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

/// Where a new model comes from.
struct Origin {
    name: ModelName,
    parents: Vec<Edge>,
    /// The version before it.
    previous: Option<NodeId>,
    /// Its parents, the version before it, and what it was made of.
    relatives: Vec<NodeId>,
}

impl Origin {
    /// Looks up what the model names; refuses a name or metadata that it cannot have.
    fn find(transaction: &Transaction, model: &NewModel<'_>) -> Result<Self> {
        let name: ModelName = model.name.parse()?;
        let mut parents = Vec::new();
        for (parent, how) in &model.parents {
            parents.push(Edge { parent: transaction.find(parent)?.id, how: *how });
        }
        if transaction.graph()?.tagged(&name)?.is_some() {
            let name = name.to_string();
            return Err(LineageError::NameTaken { name, by: "a tag" }.into());
        }
        if let Some(key) = OWN_KEYS.into_iter().find(|key| model.metadata.contains_key(*key)) {
            return Err(LineageError::OwnKey { key: key.to_owned() }.into());
        }
        let previous = transaction.graph()?.latest(&name)?;
        let mut relatives: Vec<NodeId> = parents.iter().map(|edge| edge.parent).collect();
        relatives.extend(previous);
        for model in &model.made_of {
            relatives.push(transaction.find(model)?.id);
        }
        Ok(Origin { name, parents, previous, relatives })
    }
}

/// Streams go to temporary files: they can be read once, and tensors may be read twice.
fn settle_sources(transaction: &Transaction, model: &mut NewModel<'_>) -> Result<()> {
    let mut tensors: Vec<&mut NewTensor<'_>> = Vec::new();
    model.parts.iter_mut().for_each(|part| part.sources_mut(&mut tensors));
    let folder = std::env::temp_dir();
    settle_readers(&mut tensors, transaction.shared.folder().unwrap_or(&folder))
}

/// The row of the new node, as far as it is known before its tensors are stored.
fn row_of(transaction: &Transaction, origin: &Origin, model: &NewModel<'_>) -> NodeRow {
    let byte_sum: u64 = model.parts.iter().map(byte_sum).sum();
    NodeRow {
        name: origin.name.as_str().to_owned(),
        version: 0,
        kind: model.kind.clone(),
        created_ms: now_ms(),
        manifest: ContentId::NONE,
        logical_bytes: model.logical_bytes.unwrap_or(byte_sum),
        tensor_count: tensors_of(&model.parts).count() as u32,
        revision: transaction.sequence,
    }
}

/// Bytes of a file; of one that was none before, of its tensors.
fn byte_sum(part: &NewPart<'_>) -> u64 {
    match &part.skeleton {
        NewSkeleton::Header(_) => part.tensors.iter().map(|tensor| tensor.byte_len).sum(),
        NewSkeleton::Woven { .. } => part.byte_len(),
    }
}

pub(super) fn tensors_of<'p, 'a>(
    parts: &'p [NewPart<'a>],
) -> impl Iterator<Item = &'p NewTensor<'a>> {
    parts.iter().flat_map(|part| &part.tensors)
}

/// Stores the tensors of a model and returns its manifest. Takes the model's parts, and frees them:
/// there can be a million tensors. A model that was made lossy gets a mark in its metadata.
fn put_contents(
    transaction: &mut Transaction,
    model: &mut NewModel<'_>,
    origin: &Origin,
    report: &mut ImportReport,
) -> Result<Manifest> {
    let mut gate = model.gate.take();
    let parts = std::mem::take(&mut model.parts);
    let depth_max = model.chain_depth_max.unwrap_or(CHAIN_DEPTH_MAX);
    let mut policy = EncodePolicy { profile: model.profile, depth_max };
    let told = model.progress;
    let progress = |bytes| told.iter().for_each(|progress| progress(bytes));
    let files = put_files(transaction, model, &parts, &progress, report)?;
    let shared = transaction.shared_arc();
    let finder = transaction.finder(&shared, policy)?;
    let bases = find_bases(transaction, &finder, model, &parts, origin)?;
    let plan = match model.lossy {
        Some(lossy) => Some(plan_rounding(&finder, lossy, &bases, &files, &parts)?),
        None => None,
    };
    let draft = match &plan {
        Some(plan) => plan.settle(gate.as_deref_mut())?,
        None => None,
    };
    // What is to be pinned is raw from the start.
    let bases = (model.advice != Advice::ReadOften).then_some(bases);
    if bases.is_none() {
        policy.profile = Profile::Balanced;
    }
    if let Some(draft) = &draft {
        let (lossy, mark) = draft.report()?;
        report.lossy = Some(lossy);
        model.metadata.insert(LOSSY_KEY.to_owned(), mark);
    }
    let ids = transaction.change(|this| {
        let how = Intake { bases: bases.as_ref(), policy, progress: &progress };
        put_tensors(this, &parts, draft.as_ref(), &how, report)
    })?;
    drop(bases);
    transaction.records.arena = Vec::new();
    let mut manifest = manifest_of(files, &parts, &ids);
    manifests::like_others(&mut manifest);
    Ok(manifest)
}

/// What the new tensors may be coded against.
fn find_bases(
    transaction: &Transaction,
    finder: &BaseFinder<'_, '_>,
    model: &NewModel<'_>,
    parts: &[NewPart<'_>],
    origin: &Origin,
) -> Result<Candidates> {
    let mut sketches = Vec::new();
    // What is rounded is rounded to what was declared, whatever else is near it.
    if model.lossy.is_none() && transaction.tables()?.count_to(Table::Nodes, 1)? > 0 {
        let all: Vec<&NewTensor<'_>> = tensors_of(parts).collect();
        sketches = all.into_par_iter().map(sketch_of).collect::<Result<_>>()?;
    }
    let keys: Vec<TensorKey<'_>> = tensors_of(parts).map(Into::into).collect();
    let known = (origin.parents.len(), model.made_of.len());
    finder.candidates(&keys, sketches, &origin.relatives, known)
}

/// Which tensors can be rounded, and to what.
fn plan_rounding<'p>(
    finder: &BaseFinder<'_, 'p>,
    lossy: Lossy,
    bases: &Candidates,
    files: &Manifest,
    parts: &'p [NewPart<'_>],
) -> Result<LossyPlan<'p>> {
    let mut candidates = Vec::new();
    for (at, tensor) in tensors_of(parts).enumerate() {
        candidates.push(finder.candidates_of(bases, at, &tensor.name)?);
    }
    let tensors = tensors_of(parts).zip(candidates.iter().map(Vec::as_slice));
    plan_lossy(finder, lossy, tensors, files.clone())
}

/// Stores the tensors, as they are or as the draft of a lossy model has them. Returns their ids.
fn put_tensors(
    transaction: &mut Transaction,
    parts: &[NewPart<'_>],
    draft: Option<&LossyDraft<'_>>,
    how: &Intake<'_>,
    report: &mut ImportReport,
) -> Result<Vec<ContentId>> {
    let incoming = tensors_of(parts).enumerate().map(|(at, tensor)| Incoming { tensor, at });
    match draft {
        None => ingest(transaction, incoming, how, report),
        Some(draft) => {
            transaction.shared.container.require_features(0, FEATURE_LOSSY);
            ingest_draft(transaction, draft, incoming.collect(), how, report)
        }
    }
}

/// Writes the manifest, and the node with its edges and its metadata.
fn add_node(
    transaction: &mut Transaction,
    origin: &Origin,
    metadata: &Map<String, Value>,
    manifest: &Manifest,
    report: &mut ImportReport,
) -> Result<()> {
    transaction.change(|this| {
        let (id, added) = this.hold(manifest)?;
        report.added_bytes += added;
        let new = NewNode {
            row: NodeRow { manifest: id, ..report.node.row.clone() },
            parents: origin.parents.clone(),
            metadata: metadata.clone(),
        };
        let revision = this.sequence;
        report.node = GraphMut(this.tables_mut()?).add(new, revision)?;
        add_bands(this.tables_mut()?, report.node.id, manifest)
    })
}

/// The manifest of a model whose tensors have these ids.
pub(super) fn manifest_of<'m>(
    files: Manifest,
    parts: &'m [NewPart<'_>],
    ids: &[ContentId],
) -> Manifest {
    let tensor = |(tensor, id): (&'m NewTensor<'_>, &ContentId)| ManifestTensor {
        name: &tensor.name,
        dtype: &tensor.dtype,
        shape: &tensor.shape,
        byte_len: tensor.byte_len,
        content_id: *id,
    };
    Manifest { tensors: tensors_of(parts).zip(ids).map(tensor).collect(), ..files }
}

/// Names are unique and fit their field; bytes agree with type and shape.
fn check_tensors(model: &NewModel<'_>) -> Result<()> {
    let woven = |part: &NewPart<'_>| matches!(part.skeleton, NewSkeleton::Woven { .. });
    if model.parts.len() > 1 && model.index.0.is_empty() && !model.parts.iter().any(woven) {
        let reason = "several files without an index that lists them".to_owned();
        return Err(StoreError::BadTensor { tensor: String::new(), reason });
    }
    for tensor in tensors_of(&model.parts) {
        let bad =
            |reason: String| Err(StoreError::BadTensor { tensor: tensor.name.to_string(), reason });
        if tensor.name.is_empty() || tensor.name.len() > usize::from(u16::MAX) {
            return bad("a name has 1 to 65535 bytes".to_owned());
        }
        if tensor.name == "__metadata__" {
            return bad("safetensors files keep this name for their metadata".to_owned());
        }
        if let Some(error) = tensor.shape_error {
            return bad(error.to_string());
        }
        match tensor.dtype.byte_len(&tensor.shape) {
            Err(error) => return bad(error.to_string()),
            Ok(Some(expected)) if expected != tensor.byte_len => {
                let (dtype, shape, found) = (&tensor.dtype, &tensor.shape, tensor.byte_len);
                return bad(format!("{dtype} {shape} takes {expected} bytes, {found} are given"));
            }
            Ok(_) => {}
        }
    }
    let views = model.parts.iter().flat_map(|part| &part.views).map(|view| view.name.as_str());
    let names = tensors_of(&model.parts).map(|tensor| &*tensor.name);
    match first_duplicate(names.chain(views)) {
        Some(name) => {
            let reason = "the name is used twice".to_owned();
            Err(StoreError::BadTensor { tensor: name.to_owned(), reason })
        }
        None => Ok(()),
    }
}
