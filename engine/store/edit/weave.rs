//! The files of a new model: headers become skeletons where version 1 of the manifest has no room for
//! them, and skeletons become contents.

use std::collections::HashSet;

use super::ingest::{Incoming, Intake, ingest};
use super::new_model::{ImportReport, NewModel};
use super::new_part::{NewPart, NewSkeleton};
use crate::codec::Profile;
use crate::format::{
    FileFormat, Manifest, ManifestPart, ManifestTensor, ManifestView, Skeleton, is_inner_path,
    span_len, with_length, write_header,
};
use crate::store::base::policy::EncodePolicy;
use crate::store::error::{Result, StoreError};
use crate::store::source::NewTensor;
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// The path of a file of weights that came without one.
const MADE_PATH: &str = "model.safetensors";

/// Brings the parts of a model into the order and the shape that its manifest has: as version 1 has
/// them where that has room for all that they say, else woven, files of weights first.
pub(super) fn settle_parts(model: &mut NewModel<'_>) {
    let woven =
        |part: &NewPart<'_>| matches!(part.skeleton, NewSkeleton::Woven { .. }) || !part.is_weights;
    let views = model.parts.iter().any(|part| !part.views.is_empty());
    if !views && !model.is_single && !model.parts.iter().any(woven) {
        return;
    }
    model.parts.iter_mut().for_each(weave);
    let (name, bytes) = std::mem::take(&mut model.index);
    if !name.is_empty() {
        let len = bytes.len() as u64;
        let index = NewPart::file(name, FileFormat::Bytes).woven(Vec::new(), len, bytes).aside();
        model.parts.push(index);
    }
    model.parts.sort_by_key(|part| !part.is_weights);
    for part in &mut model.parts {
        if let NewSkeleton::Woven { bytes, .. } = &mut part.skeleton {
            // What an error calls it.
            bytes.name = part.path.clone().into();
        }
    }
}

/// Makes a header that is to be kept in the manifest a skeleton of its own.
fn weave(part: &mut NewPart<'_>) {
    if part.path.is_empty() {
        part.path = MADE_PATH.to_owned();
    }
    let NewSkeleton::Header(header) = &part.skeleton else { return };
    let header = match header.is_empty() {
        true => {
            let entries = part.tensors.iter();
            write_header(entries.map(|it| (&*it.name, &it.dtype, &it.shape, it.byte_len)), None)
        }
        false => header.to_vec(),
    };
    let bytes = with_length(&header);
    let len = bytes.len() as u64;
    let mut gaps = vec![0; part.tensors.len()];
    gaps.iter_mut().take(1).for_each(|gap| *gap = len);
    part.skeleton = NewSkeleton::woven(gaps, len, bytes);
}

/// Paths are those of files in one folder, each once; gaps fit; views lie in their tensors.
pub(super) fn check_parts(model: &NewModel<'_>) -> Result<()> {
    let bad = |name: &str, reason: &str| {
        Err(StoreError::BadFile { path: name.to_owned(), reason: reason.to_owned() })
    };
    if model.is_single && model.parts.len() != 1 {
        return bad("", "a model of a single file has one part");
    }
    let mut paths = HashSet::new();
    for part in &model.parts {
        let NewSkeleton::Woven { gaps, bytes } = &part.skeleton else { continue };
        if part.path.len() > usize::from(u16::MAX) || !is_inner_path(&part.path) {
            return bad(
                &part.path,
                "a path in a model's folder has parts joined by /, none of \
                them empty, . or .., and at most 65535 bytes",
            );
        }
        if !paths.insert(part.path.as_str()) {
            return bad(&part.path, "the path is used twice");
        }
        let sum = gaps.iter().try_fold(0u64, |sum, gap| sum.checked_add(*gap));
        if gaps.len() != part.tensors.len() || sum.is_none_or(|sum| sum > bytes.byte_len) {
            return bad(
                &part.path,
                "its gaps are not as many as its tensors, or longer than its \
                other bytes",
            );
        }
        for view in &part.views {
            let holder = part.tensors.get(view.tensor);
            let end = span_len(&view.dtype, &view.shape, &view.strides);
            let end = end.and_then(|len| len.checked_add(view.offset));
            if holder.zip(end).is_none_or(|(holder, end)| end > holder.byte_len) {
                return bad(&part.path, &format!("the view {:?} is not in a tensor", view.name));
            }
        }
    }
    // A file cannot be a folder, too.
    for path in &paths {
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if let Some(file) = above.into_iter().find(|above| paths.contains(above)) {
            return bad(file, "it is a file, and a folder of another one");
        }
    }
    Ok(())
}

/// Stores the skeletons. Returns the manifest of the model without its tensors.
pub(super) fn put_files(
    transaction: &mut Transaction,
    model: &NewModel<'_>,
    parts: &[NewPart<'_>],
    progress: &(dyn Fn(u64) + Sync),
    report: &mut ImportReport,
) -> Result<Manifest> {
    let (skeletons, files) = (skeletons_of(parts), files_of(model, parts));
    if skeletons.is_empty() {
        return Ok(files);
    }
    // Compressed where that is shorter: they are seldom read.
    let policy = EncodePolicy::of(Profile::Dense);
    let how = Intake { bases: None, policy, progress };
    let mut counts = ImportReport::begun(report.node.row.clone());
    let incoming = skeletons.iter().enumerate().map(|(at, (_, tensor))| Incoming { tensor, at });
    let ids = transaction.change(|this| ingest(this, incoming, &how, &mut counts))?;
    report.added_bytes += counts.added_bytes;
    Ok(with_skeletons(files, &skeletons, &ids))
}

/// The files of a model, without what is a content of its own.
pub(super) fn files_of(model: &NewModel<'_>, parts: &[NewPart<'_>]) -> Manifest {
    let views = if skeletons_of(parts).is_empty() { None } else { Some(views_of(parts)) };
    Manifest {
        index_name: model.index.0.clone(),
        index: model.index.1.clone(),
        is_single: model.is_single,
        parts: parts.iter().map(manifest_part).collect(),
        views: views.unwrap_or_default(),
        ..Manifest::default()
    }
}

/// With the skeletons, whose ids these are.
pub(super) fn with_skeletons(
    mut files: Manifest,
    skeletons: &[(&str, &NewTensor<'_>)],
    ids: &[ContentId],
) -> Manifest {
    let entries = skeletons.iter().zip(ids);
    files.skeletons = entries
        .map(|((path, bytes), id)| ManifestTensor {
            name: path,
            dtype: &bytes.dtype,
            shape: &bytes.shape,
            byte_len: bytes.byte_len,
            content_id: *id,
        })
        .collect();
    files
}

/// The skeletons that are contents, with the paths of their files.
pub(super) fn skeletons_of<'p, 'a>(parts: &'p [NewPart<'a>]) -> Vec<(&'p str, &'p NewTensor<'a>)> {
    parts.iter().filter_map(skeleton_of).collect()
}

fn skeleton_of<'p, 'a>(part: &'p NewPart<'a>) -> Option<(&'p str, &'p NewTensor<'a>)> {
    match &part.skeleton {
        NewSkeleton::Header(_) => None,
        NewSkeleton::Woven { bytes, .. } => Some((&part.path, bytes)),
    }
}

fn manifest_part(part: &NewPart<'_>) -> ManifestPart {
    ManifestPart {
        path: part.path.clone(),
        format: part.format,
        is_weights: part.is_weights,
        skeleton: match &part.skeleton {
            NewSkeleton::Header(header) => Skeleton::Header(header.clone()),
            NewSkeleton::Woven { gaps, .. } => Skeleton::Woven { gaps: gaps.as_slice().into() },
        },
        tensor_count: part.tensors.len() as u32,
    }
}

fn views_of(parts: &[NewPart<'_>]) -> crate::format::ViewList {
    let mut first = 0usize;
    let mut views = Vec::new();
    for part in parts {
        views.extend(part.views.iter().map(|view| ManifestView {
            name: view.name.clone(),
            tensor: (first + view.tensor) as u32,
            offset: view.offset,
            dtype: view.dtype.clone(),
            shape: view.shape.clone(),
            strides: view.strides.clone(),
        }));
        first += part.tensors.len();
    }
    views.into_iter().collect()
}
