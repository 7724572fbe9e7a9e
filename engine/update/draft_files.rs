//! The files of a draft: those of the model that it is made of.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use super::UpdateError;
use super::draft::Draft;
use super::draft_part::DraftPart;
use crate::format::{FileFormat, PackedBytes, Skeleton};
use crate::interchange::{
    INDEX_LEN_MAX, SafetensorsHeader, contiguous, stored_header, write_header,
};
use crate::store::{Model, StoredFile};

/// The file that weights go to whose own format cannot hold them.
const CONVERTED_PATH: &str = "model.safetensors";

/// How the name of the index of shards ends.
const INDEX_END: &str = ".safetensors.index.json";

/// The safetensors header of a stored file; empty where it never was a file.
pub(super) fn header_of(model: &Model, file: &StoredFile) -> Result<PackedBytes, UpdateError> {
    let manifest = model.manifest();
    let part = manifest.parts.iter().find(|part| part.path == file.path());
    if let Some(Skeleton::Header(header)) = part.map(|part| &part.skeleton) {
        return Ok(header.clone());
    }
    if file.format() != FileFormat::Safetensors || part.is_none() {
        return Ok(PackedBytes::default());
    }
    let path = file.path();
    let too_long = || UpdateError::failed(format!("the header of {path:?} is too long"));
    Ok(stored_header(file)?.ok_or_else(too_long)?.into())
}

/// Whether a file beside the weights comes along to a model that is made of this one: not what
/// belongs to these very weights, such as the state of an optimizer, or is another copy of them.
pub(super) fn comes_along(file: &StoredFile) -> bool {
    file.tensors().len() == 0 || file.path().contains('/')
}

impl Draft {
    /// The files of a model, those of weights without tensors.
    pub(super) fn in_files(model: &Model) -> Result<Self, UpdateError> {
        if model.weights().len() == 0 && model.manifest().version() > 1 {
            let reason = "no tensor is seen in its weights: there is nothing to work on";
            return Err(UpdateError::failed(format!("{}: {reason}", model.full_name())));
        }
        let mut draft = Draft::new();
        draft.is_single = model.manifest().is_single;
        for file in model.files() {
            let path = file.path();
            if file.is_weights() {
                let header = header_of(model, &file)?;
                draft.parts.push(DraftPart::of(file, header));
            } else if path.ends_with(INDEX_END) && !path.contains('/') && draft.index.0.is_empty() {
                draft.index = (path.to_owned(), file.bytes(INDEX_LEN_MAX)?);
            } else if comes_along(&file) {
                draft.sides.push(file);
            } else {
                let text = "left behind: it belongs to the weights that this model was made of";
                draft.file_notes.push((path.to_owned(), text.to_owned()));
            }
        }
        if draft.parts.is_empty() {
            draft.parts.push(DraftPart::default());
        }
        Ok(draft)
    }

    /// Makes the files hold the tensors that are there now. `renew`: also where headers fit.
    pub(super) fn settle_files(&mut self, model: &Model, renew: bool) -> Result<(), UpdateError> {
        let other = |part: &DraftPart| part.format() != FileFormat::Safetensors;
        if self.parts.iter().any(|part| other(part) && !part.fits_old()) {
            self.convert(model)?;
        }
        let is_other_type = |part: &DraftPart| {
            let old = part.old.iter().flat_map(StoredFile::tensors);
            old.zip(&part.tensors).any(|((old, _), new)| old.dtype() != new.dtype())
        };
        let config = self.sides.iter().map(StoredFile::path).find(|path| *path == "config.json");
        if let Some(config) = config.filter(|_| self.parts.iter().any(is_other_type)) {
            let text = "kept as it was: it does not know of the types that tensors have now";
            self.file_notes.push((config.to_owned(), text.to_owned()));
        }
        let headers = |part: &DraftPart| !other(part) && !part.is_like_old();
        if renew || self.parts.iter().any(headers) {
            self.renew_headers(model)?;
        }
        Ok(())
    }

    /// Puts the weights of all files of other formats into one safetensors file, which has no place
    /// for views, for folders, or for types of others.
    fn convert(&mut self, model: &Model) -> Result<(), UpdateError> {
        let refused =
            |reason: String| Err(UpdateError::failed(format!("{}: {reason}", model.full_name())));
        let parts = std::mem::take(&mut self.parts);
        let mut converted = DraftPart { path: CONVERTED_PATH.to_owned(), ..DraftPart::default() };
        for mut part in parts {
            if part.format() == FileFormat::Safetensors {
                self.parts.push(part);
                continue;
            }
            if part.path.contains('/') {
                let (path, format) = (&part.path, part.format());
                return refused(format!(
                    "{path:?} is a {format} file in a folder of its own: what is made of it cannot be \
                     written"
                ));
            }
            for view in part.old.iter().flat_map(StoredFile::views) {
                let old = part.old.iter().flat_map(StoredFile::tensors).nth(view.tensor);
                let is_whole = old.is_some_and(|(old, _)| {
                    *old.shape() == view.shape
                        && *old.dtype() == view.dtype
                        && view.strides == contiguous(&view.shape)
                });
                let made = part.tensors.get(view.tensor).filter(|_| is_whole);
                let Some(made) = made.filter(|_| part.keeps_places()) else {
                    return refused(format!(
                        "its {:?} is a part of another tensor or a turned one: export it as \
                         safetensors, and import that",
                        view.name
                    ));
                };
                let made = made.clone().named(&view.name);
                converted.tensors.push(made.noted("had the bytes of another tensor: written out"));
            }
            converted.tensors.append(&mut part.tensors);
            let format = part.format();
            let text = format!(
                "its tensors are in {CONVERTED_PATH} now: what was made of them is no {format} file"
            );
            self.file_notes.push((part.path, text));
        }
        let unknown = converted.tensors.iter().find(|tensor| tensor.dtype().bits().is_none());
        if let Some(tensor) = unknown {
            let (name, dtype) = (tensor.name(), tensor.dtype());
            return refused(format!("safetensors has no type for {name:?} ({dtype})"));
        }
        // A list of the files that are no more.
        let notes = &mut self.file_notes;
        self.sides.retain(|file| {
            let path = file.path();
            let is_list = path.ends_with(".index.json") && !path.contains('/');
            if is_list {
                notes.push((path.to_owned(), "left behind: the files are gone".to_owned()));
            }
            !is_list
        });
        converted.align();
        self.parts.push(converted);
        // A safetensors file alone needs no more than its own header.
        if self.is_single {
            self.is_single = false;
            self.parts.iter_mut().for_each(|part| part.path.clear());
        }
        Ok(())
    }

    /// Writes the headers that came from the files of `model`, and the index, for the tensors that
    /// are there now.
    fn renew_headers(&mut self, model: &Model) -> Result<(), UpdateError> {
        let failed = |what: &str, error: &dyn fmt::Display| {
            UpdateError::failed(format!("{what} of {}: {error}", model.full_name()))
        };
        for part in &mut self.parts {
            let Some(old) = part.old.as_ref().filter(|_| !part.header.is_empty()) else { continue };
            let len = old.tensors().map(|(tensor, _)| tensor.byte_len()).sum();
            let header = SafetensorsHeader::parse(Path::new(&part.path), part.header.to_vec(), len)
                .map_err(|error| failed("a header", &error))?;
            part.align();
            let metadata = Some(header.metadata()).filter(|metadata| !metadata.is_empty());
            let entries = part.tensors.iter();
            // Of weights in several folders, the path stands before the names.
            let path = format!("{}:", part.path);
            let entries = entries.map(|it| {
                let name = it.name().strip_prefix(&path).unwrap_or(it.name());
                (name, it.dtype(), it.shape(), it.byte_len())
            });
            part.header = write_header(entries, metadata).into();
        }
        if self.index.0.is_empty() {
            return Ok(());
        }
        self.parts.retain(|part| !part.tensors.is_empty());
        let mut index: Value =
            serde_json::from_slice(&self.index.1).map_err(|error| failed("the index", &error))?;
        let of = |part: &DraftPart| -> Vec<(String, Value)> {
            let names = part.tensors.iter().map(|tensor| tensor.name().to_owned());
            names.map(|tensor| (tensor, part.path.clone().into())).collect()
        };
        let weights: Map<String, Value> = self.parts.iter().flat_map(of).collect();
        let Some(object) = index.as_object_mut() else {
            return Err(failed("the index", &"no object"));
        };
        object.insert("weight_map".to_owned(), weights.into());
        let total = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("total_size"));
        if let Some(total) = total {
            *total = self.byte_len().into();
        }
        self.index.1 = format!("{index:#}\n").into_bytes();
        Ok(())
    }
}
