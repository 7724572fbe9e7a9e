//! A model to be compared: of a store, or in a file.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use serde_json::Value;

use crate::interchange::{SafetensorsHeader, stored_header};
use crate::planning::{Relation, Sketch, Sketcher, TensorKey, pair_tensors};
use crate::store::{Model, Result, StoreError, StoredFile, Tensor, TensorSource};
use crate::tensor::{ContentId, Dtype, Shape};

/// Metadata keys that name a base model.
pub(super) const BASE_KEYS: [&str; 5] =
    ["base_model", "lora.base_model", "base_model_name", "parent_model", "ss_sd_model_name"];
/// Bytes of a file that are read at a time.
const PIECE_LEN: usize = 1 << 20;

enum MemberSource<'a> {
    Stored(Model),
    Sources(Vec<Box<dyn TensorSource + 'a>>),
}

impl std::fmt::Debug for MemberSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, MemberSource::Stored(_)) { "stored" } else { "sources" })
    }
}

/// A tensor of a member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberTensor {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Shape,
    /// The identity of its bytes.
    pub id: ContentId,
    /// Its sketch.
    pub(crate) sketch: Sketch,
}

/// A model to be compared with others.
#[derive(Debug)]
pub struct Member<'a> {
    label: String,
    tensors: Vec<MemberTensor>,
    metadata: BTreeMap<String, String>,
    source: MemberSource<'a>,
}

impl<'a> Member<'a> {
    /// A model of a store. Cost: its manifest, and a row a tensor.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn stored(model: Model) -> Result<Self> {
        // Sketches are of all tensors; the weights come first.
        let tensors = model.weights().zip(model.sketches()?);
        let tensor = |(tensor, sketch): (Tensor, Sketch)| MemberTensor {
            name: tensor.name().to_owned(),
            dtype: tensor.dtype().clone(),
            shape: tensor.shape().clone(),
            id: tensor.content_id(),
            sketch,
        };
        let tensors = tensors.map(tensor).collect();
        let mut metadata = BTreeMap::new();
        for file in model.files().filter(StoredFile::is_weights) {
            metadata.extend(stored_metadata(&file));
        }
        for (key, value) in model.metadata()? {
            let value = match value {
                Value::String(text) => text,
                value => value.to_string(),
            };
            metadata.insert(key, value);
        }
        let label = model.full_name();
        Ok(Member { label, tensors, metadata, source: MemberSource::Stored(model) })
    }

    pub(super) fn from_sources(
        label: String,
        metadata: BTreeMap<String, String>,
        sources: Vec<Box<dyn TensorSource + 'a>>,
        facts: Vec<(String, Dtype, Shape, u64)>,
    ) -> Result<Self> {
        let read =
            sources.par_iter().zip(facts).map(|(source, facts)| read_tensor(&**source, facts));
        let tensors = read.collect::<Result<_>>()?;
        Ok(Member { label, tensors, metadata, source: MemberSource::Sources(sources) })
    }

    /// What it is called in reports.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its tensors.
    pub fn tensors(&self) -> &[MemberTensor] {
        &self.tensors
    }

    /// The strings of its files' headers, and its user metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What another version of the same model says about its base, where this one says nothing.
    pub(super) fn take_bases(&mut self, metadata: &BTreeMap<String, String>) {
        for key in BASE_KEYS {
            if let Some(base) = metadata.get(key) {
                self.metadata.entry(key.to_owned()).or_insert_with(|| base.clone());
            }
        }
    }

    /// Whether the tensors that this model and another have are equal by name, type and bytes, and
    /// if so how many only the other has, and only this one. Nothing where the two have none in
    /// common, or others than equal ones. Reads nothing.
    pub fn beyond(&self, other: &Member<'_>) -> Option<(usize, usize)> {
        let known: HashMap<&str, &MemberTensor> =
            other.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let both = self.tensors.iter().filter_map(|it| Some((it, *known.get(it.name.as_str())?)));
        let mut count = 0;
        for (here, there) in both {
            if (here.id, &here.dtype) != (there.id, &there.dtype) {
                return None;
            }
            count += 1;
        }
        (count > 0).then(|| (other.tensors.len() - count, self.tensors.len() - count))
    }

    /// The model, when it is one of a store.
    pub fn model(&self) -> Option<&Model> {
        match &self.source {
            MemberSource::Stored(model) => Some(model),
            MemberSource::Sources(_) => None,
        }
    }

    /// Fills `out` with the bytes of tensor `at` from `offset` on.
    pub(super) fn read(&self, at: usize, offset: u64, out: &mut [u8]) -> Result<()> {
        let gone =
            || StoreError::NoSuchTensor { model: self.label.clone(), tensor: at.to_string() };
        match &self.source {
            MemberSource::Stored(model) => {
                let name = &self.tensors.get(at).ok_or_else(gone)?.name;
                model.tensor(name)?.read_range_into(offset, out)
            }
            MemberSource::Sources(sources) => {
                sources.get(at).ok_or_else(gone)?.read_at(offset, out).map_err(|source| {
                    let tensor = self.tensors.get(at).map(|tensor| tensor.name.clone());
                    StoreError::Source { tensor: tensor.unwrap_or_default(), source }
                })
            }
        }
    }

    /// Places of tensors here and there that belong together: by name, then by shape and order.
    pub(super) fn pairs(&self, other: &Member<'_>) -> Vec<(usize, usize)> {
        fn keys<'m>(member: &'m Member<'_>) -> Vec<TensorKey<'m>> {
            // Whatever the types: a cast or quantised tensor is still the same one.
            let key = |tensor: &'m MemberTensor| TensorKey {
                name: &tensor.name,
                dtype: &Dtype::U8,
                shape: &tensor.shape,
                byte_len: tensor.sketch.elements(),
            };
            member.tensors.iter().map(key).collect()
        }
        let pairs = pair_tensors(&keys(other), &keys(self)).into_iter().enumerate();
        let same = |(there, here): (usize, Option<(usize, Relation)>)| match here? {
            (here, Relation::Same) => Some((here, there)),
            _ => None,
        };
        pairs.filter_map(same).collect()
    }
}

/// The strings of the header of a stored safetensors file.
fn stored_metadata(file: &StoredFile) -> BTreeMap<String, String> {
    let Ok(Some(header)) = stored_header(file) else { return BTreeMap::new() };
    let data = file.tensors().map(|(tensor, _)| tensor.byte_len()).sum();
    // A header that was given without a file need not be one.
    let header = SafetensorsHeader::parse("stored header", header, data);
    header.map_or_else(|_| BTreeMap::new(), |header| header.metadata().clone())
}

fn read_tensor(
    source: &dyn TensorSource,
    (name, dtype, shape, len): (String, Dtype, Shape, u64),
) -> Result<MemberTensor> {
    let mut hasher = blake3::Hasher::new();
    let mut sketcher = Sketcher::new(&dtype, len);
    let mut buffer = vec![0; PIECE_LEN.min(usize::try_from(len).unwrap_or(PIECE_LEN))];
    let mut offset = 0;
    while offset < len {
        let take = (len - offset).min(buffer.len() as u64) as usize;
        let piece = buffer.get_mut(..take).unwrap_or_default();
        let failed = |source| StoreError::Source { tensor: name.clone(), source };
        source.read_at(offset, piece).map_err(failed)?;
        hasher.update(piece);
        sketcher.feed(offset, piece);
        offset += take as u64;
    }
    let id = hasher.finalize().into();
    Ok(MemberTensor { name, dtype, shape, id, sketch: sketcher.finish() })
}
