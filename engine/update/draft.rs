//! A model that a function has made, on its way into the store.

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::UpdateError;
use super::chosen::Chosen;
use super::draft_part::DraftPart;
pub use super::draft_tensor::DraftTensor;
use super::draft_tensor::{OfFile, Sourced};
use crate::container::new_folder;
use crate::format::FileFormat;
use crate::interchange::ModelSource;
use crate::lineage::{Graph, NodeId};
use crate::store::{Model, NewModel, NewPart, Note, Snapshot, StoredFile, Tensor};
use crate::tensor::{Dtype, IntoShape};

/// A model that a function has made: tensors, in the order of the files it is exported as.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Draft {
    pub(super) index: (String, Vec<u8>),
    pub(super) parts: Vec<DraftPart>,
    /// Files that come along as they are.
    pub(super) sides: Vec<StoredFile>,
    /// Whether it is one file, not a folder, whatever its format.
    pub(super) is_single: bool,
    /// What is to be said of its files: the path, and the text.
    pub(super) file_notes: Vec<(String, String)>,
    /// The files that it is, where a program has made it.
    sourced: Option<Arc<Sourced>>,
    /// Where its only file is in the folder of the files that come along.
    sourced_path: Option<String>,
    made_of: Vec<NodeId>,
    /// What is to be said of all of it.
    said: Vec<String>,
    /// Where a program has written it, in a folder of its own in the folder of temporary files.
    output: Option<PathBuf>,
}

impl Draft {
    /// A model without tensors.
    pub fn new() -> Self {
        Draft::default()
    }

    /// Adds a tensor.
    pub fn tensor(mut self, tensor: DraftTensor) -> Self {
        self.sourced = None;
        if self.parts.is_empty() {
            self.parts.push(DraftPart::default());
        }
        if let Some(part) = self.parts.last_mut() {
            part.tensors.push(tensor);
        }
        self
    }

    /// Adds a tensor of single-precision numbers.
    ///
    /// # Errors
    ///
    /// The product of the dimensions is not the number of values.
    pub fn floats(
        self,
        name: &str,
        shape: impl IntoShape,
        values: Vec<f32>,
    ) -> Result<Self, UpdateError> {
        let shape =
            shape.into_shape().map_err(|error| UpdateError::tensor(name, error.to_string()));
        let bytes = bytemuck::cast_slice(&values).to_vec();
        Ok(self.tensor(DraftTensor::from_bytes(name, Dtype::F32, shape?, bytes)))
    }

    /// A model whose tensors `tensor` makes of those of `model`, one of each of its weights, in the
    /// same files. Where types, shapes and names stay, so do the files' other bytes: it is exported
    /// as `model` is. Else safetensors headers are written anew, with the metadata that they had,
    /// and the index with them; weights of another format that cannot hold the new tensors become a
    /// safetensors file, and a note says so. The files beside the weights come along, but for
    /// optimizer states and other copies of the weights. The state of a training that is in one file
    /// with the weights stays as it is, and a note says that too.
    ///
    /// # Errors
    ///
    /// Those of `tensor`; a header or an index of `model` that cannot be read; a model of nothing
    /// but the state of a training.
    pub fn like(
        model: &Model,
        mut tensor: impl FnMut(&Tensor) -> Result<DraftTensor, UpdateError>,
    ) -> Result<Self, UpdateError> {
        Self::like_each(&Chosen::weights(model), |old| Ok([tensor(old)?]))
    }

    /// As [`like`](Self::like), of a model whose chosen tensors become any number of others each.
    ///
    /// # Errors
    ///
    /// Those of [`like`](Self::like) and of `tensors`.
    pub(crate) fn like_each<T: IntoIterator<Item = DraftTensor>>(
        chosen: &Chosen<'_>,
        mut tensors: impl FnMut(&Tensor) -> Result<T, UpdateError>,
    ) -> Result<Self, UpdateError> {
        let mut draft = Draft::in_files(chosen.model())?;
        for part in &mut draft.parts {
            let Some(old) = &part.old else { continue };
            let mut made = Vec::with_capacity(old.tensors().len());
            for (old, _) in old.tensors() {
                match chosen.is_chosen(old.name()) {
                    true => made.extend(tensors(&old)?),
                    false => made.push(DraftTensor::keep(&old)),
                }
            }
            part.tensors = made;
        }
        draft.settle_files(chosen.model(), false)?;
        Ok(chosen.left()?.into_iter().fold(draft, Draft::said))
    }

    /// A model of these tensors in the files of `model`, each where `model` has one of its name, the
    /// others behind those of the last; with the files' metadata, and the files beside the weights.
    ///
    /// # Errors
    ///
    /// A header or an index of `model` that cannot be read.
    pub fn in_files_of(model: &Model, tensors: Vec<DraftTensor>) -> Result<Self, UpdateError> {
        let mut draft = Draft::in_files(model)?;
        let mut places = HashMap::new();
        for (at, part) in draft.parts.iter().enumerate() {
            let old = part.old.iter().flat_map(|old| old.tensors());
            places.extend(old.map(|(tensor, _)| (tensor.name().to_owned(), at)));
        }
        let last = draft.parts.len().saturating_sub(1);
        for tensor in tensors {
            let place = places.get(tensor.name()).copied().unwrap_or(last);
            if let Some(part) = draft.parts.get_mut(place) {
                part.tensors.push(tensor);
            }
        }
        draft.settle_files(model, true)?;
        Ok(draft)
    }

    /// A model as it lies in files, of any form; `keep` lives until the model is in the store. What
    /// the files say of it becomes its metadata. With a tensor added to it, it is a model without
    /// files.
    pub fn source(source: ModelSource, keep: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        let sourced = Arc::new(Sourced { source, _keep: keep });
        let mut part = DraftPart::default();
        for (at, file) in sourced.source.files().iter().enumerate() {
            for (entry, tensor) in file.tensors().iter().enumerate() {
                let (dtype, shape) = (tensor.dtype.clone(), tensor.shape.clone());
                let (len, sourced) = (tensor.end - tensor.begin, Arc::clone(&sourced));
                let source = OfFile { sourced, file: at, entry };
                let tensor = DraftTensor::from_source(&tensor.name, dtype, shape, len, source);
                part.tensors.push(tensor);
            }
        }
        let source = &sourced.source;
        let left_out = source.left_out().iter();
        let left_out =
            left_out.map(|left| (left.path.clone(), format!("left out: {}", left.reason)));
        let notes = source.notes().map(|(path, note)| (path.to_owned(), note.to_owned()));
        let file_notes = left_out.chain(notes).collect();
        Draft { parts: vec![part], file_notes, sourced: Some(sourced), ..Draft::default() }
    }

    /// A file of weights that a program has made gets the files beside the weights of `parent`, when
    /// that is a folder.
    pub(super) fn with_files_beside(mut self, parent: &Model) -> Result<Self, UpdateError> {
        let Some(file) = self.sourced.as_deref().and_then(Sourced::only_file) else {
            return Ok(self);
        };
        if !parent.is_folder() {
            return Ok(self);
        }
        let format = file.format();
        let Draft { sides, file_notes, .. } = Draft::in_files(parent)?;
        let weights: Vec<StoredFile> = parent.files().filter(StoredFile::is_weights).collect();
        let path = match weights.as_slice() {
            [own] if own.format() == format => own.path().to_owned(),
            _ if [FileFormat::Safetensors, FileFormat::PyTorch].contains(&format) => {
                format!("model.{}", format.extension())
            }
            _ => {
                let text = format!(
                    "the files beside the weights of {} stay there: what was made is one {format} \
                     file",
                    parent.full_name()
                );
                return Ok(self.said(text));
            }
        };
        if sides.is_empty() {
            return Ok(self);
        }
        let names: Vec<&str> = sides.iter().map(StoredFile::path).collect();
        let text = format!("from {} come along: {}", parent.full_name(), names.join(", "));
        self.sourced_path = Some(path);
        (self.sides, self.file_notes) = (sides, file_notes);
        Ok(self.said(text))
    }

    /// With the files beside the weights of `model` in the place of those that it has, but for those
    /// that lie where its weights do.
    pub(crate) fn with_sides_of(mut self, model: &Model) -> Result<Self, UpdateError> {
        let Draft { mut sides, file_notes, .. } = Draft::in_files(model)?;
        sides.retain(|side| {
            side.path() != self.index.0 && self.parts.iter().all(|part| part.path != side.path())
        });
        (self.sides, self.file_notes) = (sides, file_notes);
        Ok(self)
    }

    /// Says which models it was computed from together, where these are not its parents: see
    /// [`NewModel::made_of`].
    pub fn made_of<'m>(mut self, models: impl IntoIterator<Item = &'m Model>) -> Self {
        self.made_of = models.into_iter().map(|model| model.node().id).collect();
        self
    }

    /// Says something of how it was made, for the report.
    pub fn said(mut self, text: impl Into<String>) -> Self {
        self.said.push(text.into());
        self
    }

    /// What is to be said of it, then of its tensors, in order.
    pub fn notes(&self) -> Vec<Note> {
        let note = |tensor: &DraftTensor| {
            let (tensor, text) = (tensor.name().to_owned(), tensor.note.as_deref()?.to_owned());
            Some(Note { tensor, text })
        };
        let of_file =
            |(path, text): &(String, String)| Note { tensor: path.clone(), text: text.clone() };
        let of_all =
            self.said.iter().map(|text| Note { tensor: String::new(), text: text.clone() });
        let of_files = self.file_notes.iter().map(of_file);
        of_all.chain(of_files).chain(self.tensors().filter_map(note)).collect()
    }

    /// Says where a program has written it: a file or folder in a temporary folder of its own.
    pub(super) fn written_to(mut self, output: PathBuf) -> Self {
        self.output = Some(output);
        self
    }

    /// Moves what a program has written out of the folder that is removed. Says where it is then;
    /// `None` where no program has written it, or it cannot be moved.
    fn keep_output(&self) -> Option<PathBuf> {
        let output = self.output.as_deref()?;
        let beside = output.parent()?.parent()?;
        let name = output.file_name()?;
        let folder = new_folder(beside, "mgit-kept-").ok()?;
        let kept = folder.join(name);
        if std::fs::rename(output, &kept).is_err() {
            let _ = std::fs::remove_dir(&folder);
            return None;
        }
        Some(kept)
    }

    /// For what was made and could not be added: a program's work of hours is not to be lost.
    pub(super) fn not_added(&self, error: UpdateError) -> UpdateError {
        match self.keep_output() {
            Some(kept) => UpdateError::NotAdded { source: Box::new(error), kept },
            None => error,
        }
    }

    /// Says which of these models and of those it was computed from is no longer there.
    pub(super) fn check_inputs(
        &self,
        name: &str,
        inputs: impl IntoIterator<Item = NodeId>,
        graph: &Graph<'_>,
        before: &Snapshot,
    ) -> Result<(), UpdateError> {
        for id in inputs.into_iter().chain(self.made_of.iter().copied()) {
            if graph.node(id)?.is_none() {
                let node = before.graph().node(id)?;
                let input = node.map_or_else(|| id.to_string(), |node| node.full_name());
                return Err(UpdateError::InputRemoved { model: name.to_owned(), input });
            }
        }
        Ok(())
    }

    /// The tensors, in order.
    pub fn tensors(&self) -> impl Iterator<Item = &DraftTensor> {
        self.parts.iter().flat_map(|part| &part.tensors)
    }

    /// Bytes of its tensors.
    pub fn byte_len(&self) -> u64 {
        self.tensors().map(DraftTensor::byte_len).sum()
    }

    /// The model, to be added as `name`.
    pub fn model<'d>(&'d self, name: &str) -> NewModel<'d> {
        let mut model = NewModel::new(name);
        if let Some(sourced) = &self.sourced {
            let model = model.made_of(&self.made_of);
            let Some(path) = &self.sourced_path else { return model.source(&sourced.source) };
            let model = model.source_at(&sourced.source, path);
            return self.sides.iter().fold(model, |model, side| model.part(NewPart::stored(side)));
        }
        let files = self.parts.iter().any(|part| !part.header.is_empty());
        if files && self.sides.is_empty() {
            let header = |part: &DraftPart| 8 + part.header.len() as u64;
            let headers: u64 = self.parts.iter().map(header).sum();
            model = model.logical_bytes(self.byte_len() + headers + self.index.1.len() as u64);
        }
        if !self.index.0.is_empty() {
            model = model.index(self.index.0.clone(), self.index.1.clone());
        }
        if self.is_single {
            model = model.single_file();
        }
        for part in &self.parts {
            model = model.part(part.new_part());
        }
        for side in &self.sides {
            model = model.part(NewPart::stored(side));
        }
        model.made_of(&self.made_of)
    }
}
