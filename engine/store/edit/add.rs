//! A model is added.

use rayon::prelude::*;

use super::ingest::{Incoming, Intake, ingest};
use super::lossy::ingest_draft;
use super::lossy_plan::plan_lossy;
use super::new_model::{Advice, ImportReport, NewModel, NewPart};
use super::pin::pin_node;
use crate::catalog::{NodeRow, ReadTables, Table};
use crate::codec::Profile;
use crate::format::{FEATURE_LOSSY, Manifest, ManifestPart, ManifestTensor, Operation};
use crate::lineage::{Edge, GraphMut, LOSSY_KEY, LineageError, NewNode, Node, NodeId, OWN_KEYS};
use crate::planning::{CHAIN_DEPTH_MAX, TensorKey};
use crate::store::base::policy::EncodePolicy;
use crate::store::base::relatives::sketch_of;
use crate::store::error::{Result, StoreError};
use crate::store::read::manifests;
use crate::store::shared::now_ms;
use crate::store::slabs::settle_readers;
use crate::store::source::NewTensor;
use crate::store::write::operations::provenance;
use crate::store::write::sketches::add_bands;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// Adds a model: the next version of its name.
pub(in crate::store) fn add_model(
    transaction: &mut Transaction,
    mut model: NewModel<'_>,
) -> Result<ImportReport> {
    transaction.check_whole()?;
    check_tensors(&model)?;
    let name: crate::lineage::ModelName = model.name.parse()?;
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
    let mut readers: Vec<_> = model.parts.iter_mut().flat_map(|part| &mut part.tensors).collect();
    let folder = std::env::temp_dir();
    settle_readers(&mut readers, transaction.shared.folder().unwrap_or(&folder))?;

    let depth_max = model.chain_depth_max.unwrap_or(CHAIN_DEPTH_MAX);
    let mut policy = EncodePolicy { profile: model.profile, depth_max };
    let (lossy, mut gate) = (model.lossy, model.gate.take());
    let parts = std::mem::take(&mut model.parts);
    let model = model;
    let tensors = || parts.iter().flat_map(|part| &part.tensors);
    let known = (parents.len(), model.made_of.len());
    let mut sketches = Vec::new();
    // What is rounded is rounded to what was declared, whatever else is near it.
    if lossy.is_none() && transaction.tables()?.count(Table::Nodes)? > 0 {
        let all: Vec<&NewTensor<'_>> = tensors().collect();
        sketches = all.into_par_iter().map(sketch_of).collect::<Result<_>>()?;
    }
    let keys: Vec<TensorKey<'_>> = tensors().map(Into::into).collect();
    let shared = transaction.shared_arc();
    let finder = transaction.finder(&shared, policy)?;
    let bases = finder.candidates(&keys, sketches, &relatives, known)?;
    drop(keys);
    let mut lossy_bases = Vec::new();
    let plan = match lossy {
        Some(lossy) => {
            for (at, tensor) in tensors().enumerate() {
                lossy_bases.push(finder.candidates_of(&bases, at, &tensor.name)?);
            }
            let planned = tensors().zip(lossy_bases.iter().map(Vec::as_slice));
            Some(plan_lossy(&finder, lossy, planned, files_of(&model, &parts))?)
        }
        None => None,
    };
    let draft = match &plan {
        Some(plan) => plan.settle(gate.as_deref_mut())?,
        None => None,
    };
    let pins = model.advice == Advice::ReadOften;
    // Raw from the start, where it is to be pinned.
    let bases = (!pins).then_some(bases);
    if pins {
        policy.profile = Profile::Balanced;
    }
    let incoming = || tensors().enumerate().map(|(at, tensor)| Incoming { tensor, at });
    let byte_sum: u64 = tensors().map(|tensor| tensor.byte_len).sum();
    let row = NodeRow {
        name: name.as_str().to_owned(),
        version: 0,
        kind: model.kind.clone(),
        created_ms: now_ms(),
        manifest: ContentId::NONE,
        logical_bytes: model.logical_bytes.unwrap_or(byte_sum),
        tensor_count: tensors().count() as u32,
        revision: transaction.sequence,
    };
    let mut report = ImportReport {
        node: Node { id: NodeId([0; 16]), row: row.clone() },
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
    };
    let progress = |bytes| model.progress.iter().for_each(|progress| progress(bytes));
    let mut metadata = model.metadata.clone();
    let ids = transaction.change(|this| {
        let how = Intake { bases: bases.as_ref(), policy, progress: &progress };
        let ids = match &draft {
            None => ingest(this, incoming(), &how, &mut report)?,
            Some(draft) => {
                let (lossy, mark) = draft.report()?;
                report.lossy = Some(lossy);
                metadata.insert(LOSSY_KEY.to_owned(), mark);
                this.shared.container.require_features(0, FEATURE_LOSSY);
                ingest_draft(this, draft, incoming().collect(), &how, &mut report)?
            }
        };
        drop(bases);
        Ok(ids)
    })?;
    let mut manifest = manifest_of(&model, &parts, &ids);
    manifests::like_others(&mut manifest);
    // The manifest's bytes take the place of all this: there can be a million tensors.
    drop((ids, draft));
    drop(plan);
    drop(parts);
    transaction.records.arena = Vec::new();
    let manifest = transaction.change(|this| {
        let (id, added) = this.hold(&manifest)?;
        report.added_bytes += added;
        let new = NewNode {
            row: NodeRow { manifest: id, ..row },
            parents: parents.clone(),
            metadata: metadata.clone(),
        };
        let revision = this.sequence;
        report.node = GraphMut(this.tables_mut()?).add(new, revision)?;
        add_bands(this.tables_mut()?, report.node.id, &manifest)?;
        Ok(id)
    })?;
    let row = &report.node.row;
    transaction.note(Operation::AddNode {
        id: report.node.id.to_string(),
        name: row.name.clone(),
        version: row.version,
        kind: row.kind.clone(),
        created_ms: row.created_ms,
        manifest: manifest.to_string(),
        logical_bytes: row.logical_bytes,
        previous: previous.map(|id| id.to_string()),
        parents: provenance(&parents),
        metadata,
    });
    if pins {
        let id = report.node.id;
        transaction.change(|this| pin_node(this, id))?;
    }
    Ok(report)
}

/// The manifest of a model without its tensors.
fn files_of(model: &NewModel<'_>, parts: &[NewPart<'_>]) -> Manifest {
    let part = |part: &NewPart<'_>| ManifestPart {
        name: part.name.clone(),
        header: part.header.clone(),
        tensor_count: part.tensors.len() as u32,
    };
    Manifest {
        index_name: model.index.0.clone(),
        index: model.index.1.clone(),
        parts: parts.iter().map(part).collect(),
        ..Manifest::default()
    }
}

/// The manifest of a model whose tensors have these ids.
fn manifest_of<'m>(model: &NewModel<'_>, parts: &'m [NewPart<'_>], ids: &[ContentId]) -> Manifest {
    let tensors = parts.iter().flat_map(|part| &part.tensors);
    let tensor = |(tensor, id): (&'m NewTensor<'_>, &ContentId)| ManifestTensor {
        name: &tensor.name,
        dtype: &tensor.dtype,
        shape: &tensor.shape,
        byte_len: tensor.byte_len,
        content_id: *id,
    };
    Manifest { tensors: tensors.zip(ids).map(tensor).collect(), ..files_of(model, parts) }
}

/// Names are unique and fit their field; bytes agree with type and shape.
fn check_tensors(model: &NewModel<'_>) -> Result<()> {
    if model.parts.len() > 1 && model.index.0.is_empty() {
        let reason = "several files without an index that lists them".to_owned();
        return Err(StoreError::BadTensor { tensor: String::new(), reason });
    }
    let mut names = Vec::new();
    for tensor in model.parts.iter().flat_map(|part| &part.tensors) {
        let bad =
            |reason: String| Err(StoreError::BadTensor { tensor: tensor.name.to_string(), reason });
        if tensor.name.is_empty() || tensor.name.len() > usize::from(u16::MAX) {
            return bad("a name has 1 to 65535 bytes".to_owned());
        }
        if tensor.name == "__metadata__" {
            return bad("safetensors files keep this name for their metadata".to_owned());
        }
        names.push(&*tensor.name);
        match tensor.dtype.byte_len(&tensor.shape) {
            Err(error) => return bad(error.to_string()),
            Ok(Some(expected)) if expected != tensor.byte_len => {
                let (dtype, shape, found) = (&tensor.dtype, &tensor.shape, tensor.byte_len);
                return bad(format!("{dtype} {shape} takes {expected} bytes, {found} are given"));
            }
            Ok(_) => {}
        }
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let reason = "the name is used twice".to_owned();
            Err(StoreError::BadTensor { tensor: pair[0].to_owned(), reason })
        }
        None => Ok(()),
    }
}
