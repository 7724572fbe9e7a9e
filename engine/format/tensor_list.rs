//! The tensors of a model, as its manifest lists them: columns, since there can be a million.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::tensor::{ContentId, Dtype, Shape};

/// One tensor of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(unnameable_types, reason = "inside what `impl Iterator` hides")]
pub struct ManifestTensor<'m> {
    /// Its name, unique in the model.
    pub name: &'m str,
    /// Element type.
    pub dtype: &'m Dtype,
    /// Dimensions.
    pub shape: &'m Shape,
    /// Length in bytes.
    pub byte_len: u64,
    /// BLAKE3 of the bytes.
    pub content_id: ContentId,
}

/// What many tensors of a model have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    dtype: Dtype,
    shape: Shape,
    byte_len: u64,
}

/// Names one behind the other.
#[derive(Default)]
struct Names {
    text: String,
    /// Where each ends in `text`.
    ends: Vec<usize>,
    /// Places in the order of the names, once somebody has asked for one by its name.
    sorted: OnceLock<Vec<u32>>,
}

/// Types and shapes, once each.
#[derive(Default, PartialEq, Eq)]
struct Kinds {
    kinds: Vec<Kind>,
    /// Which of `kinds` each tensor has.
    of: Vec<u32>,
}

/// Tensors in order. Types and shapes are kept once each: a tensor takes about 45 bytes and its
/// name, and 32 bytes of that where [another model's columns](Self::share) are the same.
#[derive(Clone, Default)]
#[allow(unnameable_types, reason = "inside what `impl Iterator` hides")]
pub struct TensorList {
    names: Arc<Names>,
    kinds: Arc<Kinds>,
    ids: Vec<ContentId>,
}

impl Names {
    fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        self.text.get(start.unwrap_or(0)..end)
    }

    fn sorted(&self) -> &[u32] {
        let name_at = |at: u32| self.get(at as usize).unwrap_or_default();
        self.sorted.get_or_init(|| {
            let mut places: Vec<u32> = (0..self.ends.len() as u32).collect();
            places.sort_unstable_by(|a, b| name_at(*a).cmp(name_at(*b)).then(a.cmp(b)));
            places
        })
    }
}

impl TensorList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The tensor at a place.
    pub fn get(&self, at: usize) -> Option<ManifestTensor<'_>> {
        let kind = self.kinds.kinds.get(*self.kinds.of.get(at)? as usize)?;
        Some(ManifestTensor {
            name: self.names.get(at)?,
            dtype: &kind.dtype,
            shape: &kind.shape,
            byte_len: kind.byte_len,
            content_id: *self.ids.get(at)?,
        })
    }

    /// The place of the tensor of this name. Cost: the first time sorts the names.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        let sorted = self.names.sorted();
        let name_at = |at: &u32| self.names.get(*at as usize).unwrap_or_default();
        let found = sorted.partition_point(|at| name_at(at) < name);
        sorted.get(found).filter(|at| name_at(at) == name).map(|at| *at as usize)
    }

    /// Uses the columns of another list where they are the same: models of a family mostly have
    /// the same names, types and shapes.
    pub fn share(&mut self, other: &TensorList) {
        if self.names.ends == other.names.ends && self.names.text == other.names.text {
            self.names = Arc::clone(&other.names);
        }
        if self.kinds == other.kinds {
            self.kinds = Arc::clone(&other.kinds);
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { list: self, at: 0 }
    }
}

/// The tensors of a list.
#[derive(Clone, Debug)]
#[allow(unnameable_types, reason = "inside what `impl Iterator` hides")]
pub struct Iter<'m> {
    list: &'m TensorList,
    at: usize,
}

impl<'m> Iterator for Iter<'m> {
    type Item = ManifestTensor<'m>;

    fn next(&mut self) -> Option<Self::Item> {
        let tensor = self.list.get(self.at)?;
        self.at += 1;
        Some(tensor)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.list.len() - self.at;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<'m> IntoIterator for &'m TensorList {
    type Item = ManifestTensor<'m>;
    type IntoIter = Iter<'m>;

    fn into_iter(self) -> Iter<'m> {
        Iter { list: self, at: 0 }
    }
}

impl PartialEq for TensorList {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for TensorList {}

impl fmt::Debug for TensorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A list in the making.
#[derive(Debug, Default)]
pub(super) struct TensorListBuilder {
    text: String,
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    kind_of: Vec<u32>,
    ids: Vec<ContentId>,
    known: HashMap<Kind, u32>,
}

impl TensorListBuilder {
    /// Adds a tensor behind the others.
    pub(super) fn push(&mut self, tensor: ManifestTensor<'_>) {
        let ManifestTensor { name, dtype, shape, byte_len, content_id } = tensor;
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.ids.push(content_id);
        let last = self.kind_of.last().copied();
        let as_before = last.and_then(|at| self.kinds.get(at as usize)).is_some_and(|kind| {
            kind.byte_len == byte_len && kind.shape == *shape && kind.dtype == *dtype
        });
        if let (Some(last), true) = (last, as_before) {
            self.kind_of.push(last);
            return;
        }
        let kind = Kind { dtype: dtype.clone(), shape: shape.clone(), byte_len };
        let next = self.kinds.len() as u32;
        let at = *self.known.entry(kind.clone()).or_insert(next);
        if at == next {
            self.kinds.push(kind);
        }
        self.kind_of.push(at);
    }

    /// The list.
    pub(super) fn finish(mut self) -> TensorList {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.kind_of.shrink_to_fit();
        self.kinds.shrink_to_fit();
        self.ids.shrink_to_fit();
        let names = Names { text: self.text, ends: self.ends, sorted: OnceLock::new() };
        let kinds = Kinds { kinds: self.kinds, of: self.kind_of };
        TensorList { names: Arc::new(names), kinds: Arc::new(kinds), ids: self.ids }
    }
}

impl<'m> FromIterator<ManifestTensor<'m>> for TensorList {
    fn from_iter<I: IntoIterator<Item = ManifestTensor<'m>>>(tensors: I) -> Self {
        let mut builder = TensorListBuilder::default();
        tensors.into_iter().for_each(|tensor| builder.push(tensor));
        builder.finish()
    }
}
