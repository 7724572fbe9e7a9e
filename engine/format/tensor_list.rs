//! The tensors of a model, as its manifest lists them: columns, since there can be a million.

use std::collections::HashMap;
use std::fmt;

use crate::tensor::{ContentId, Dtype, Shape};

/// One tensor of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Tensors in order. Types and shapes are kept once each: a tensor takes about 45 bytes and its
/// name.
#[derive(Clone, Default)]
pub struct TensorList {
    names: String,
    /// Where each name ends in `names`.
    ends: Vec<usize>,
    /// Which of `kinds` each has.
    kind_of: Vec<u32>,
    kinds: Vec<Kind>,
    ids: Vec<ContentId>,
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
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let kind = self.kinds.get(*self.kind_of.get(at)? as usize)?;
        Some(ManifestTensor {
            name: self.names.get(start.unwrap_or(0)..end)?,
            dtype: &kind.dtype,
            shape: &kind.shape,
            byte_len: kind.byte_len,
            content_id: *self.ids.get(at)?,
        })
    }

    /// All of them, in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { list: self, at: 0 }
    }
}

/// The tensors of a list.
#[derive(Clone, Debug)]
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
pub struct TensorListBuilder {
    list: TensorList,
    known: HashMap<Kind, u32>,
}

impl TensorListBuilder {
    /// Adds a tensor behind the others.
    pub fn push(&mut self, tensor: ManifestTensor<'_>) {
        let ManifestTensor { name, dtype, shape, byte_len, content_id } = tensor;
        let list = &mut self.list;
        list.names.push_str(name);
        list.ends.push(list.names.len());
        list.ids.push(content_id);
        let last = list.kind_of.last().copied();
        let as_before = last.and_then(|at| list.kinds.get(at as usize)).is_some_and(|kind| {
            kind.byte_len == byte_len && kind.shape == *shape && kind.dtype == *dtype
        });
        if let (Some(last), true) = (last, as_before) {
            list.kind_of.push(last);
            return;
        }
        let kind = Kind { dtype: dtype.clone(), shape: shape.clone(), byte_len };
        let next = list.kinds.len() as u32;
        let at = *self.known.entry(kind.clone()).or_insert(next);
        if at == next {
            list.kinds.push(kind);
        }
        list.kind_of.push(at);
    }

    /// The list.
    pub fn finish(self) -> TensorList {
        let mut list = self.list;
        list.names.shrink_to_fit();
        list.ends.shrink_to_fit();
        list.kind_of.shrink_to_fit();
        list.kinds.shrink_to_fit();
        list.ids.shrink_to_fit();
        list
    }
}

impl<'m> FromIterator<ManifestTensor<'m>> for TensorList {
    fn from_iter<I: IntoIterator<Item = ManifestTensor<'m>>>(tensors: I) -> Self {
        let mut builder = TensorListBuilder::default();
        tensors.into_iter().for_each(|tensor| builder.push(tensor));
        builder.finish()
    }
}
