//! What a reader finds in a file: which ranges of it are tensors.
//!
//! A file is a skeleton (the bytes that belong to no tensor, in order) with tensors woven in. What
//! no tensor covers is skeleton, so that the file comes back byte for byte whatever a reader
//! understood of it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::limits::NAME_LEN_MAX;
use super::{InterchangeError, OpenFile};
use crate::architecture::Architecture;
use crate::format::{FileFormat, contiguous, span_len};
use crate::tensor::{Dtype, Shape, first_duplicate};

/// A range of a file that is an array.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaidTensor {
    /// Its name in the file, unique there, never empty. It is data, never a path.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, in the order of the bytes.
    pub shape: Shape,
    /// Where it begins in the file, in bytes.
    pub begin: u64,
    /// Where it ends, exclusive.
    pub end: u64,
}

/// A name for elements of a tensor, or for all of them once more: tied weights, a transposed view,
/// an array in Fortran order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaidView {
    /// Its name in the file, unique there.
    pub name: String,
    /// The place of the tensor in [`FileLayout::tensors`].
    pub tensor: usize,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions.
    pub shape: Shape,
    /// Where its first element is in the tensor, in bytes.
    pub offset: u64,
    /// Elements from one to the next, for each dimension.
    pub strides: Vec<u64>,
}

/// Raw data in a file beside, that this one describes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaidBeside {
    /// The file's path, relative to the folder of the file that describes it. It stays inside: no
    /// part is `..`.
    pub path: String,
    /// Its tensors as they are described: in any order, maybe over each other, maybe behind the
    /// end of the file. [`LaidBeside::check`] tells.
    pub tensors: Vec<LaidTensor>,
}

impl LaidBeside {
    /// Holds what is described against the file itself, `file`. Tensors over the same bytes become
    /// views.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Malformed`] when a tensor ends behind the file: it is cut off.
    pub fn check(self, file: &OpenFile) -> Result<Laid, InterchangeError> {
        let mut builder = LayoutBuilder::new(file.len());
        for tensor in self.tensors {
            let LaidTensor { name, dtype, shape, begin, end } = tensor;
            if end > file.len() {
                let len = file.len();
                let detail = format!("{name:?} ends at {end}, and the file has {len} bytes");
                return Err(file.malformed(FileFormat::OnnxData, begin, detail));
            }
            builder.tensor(name, dtype, shape, begin, end);
        }
        Ok(builder.finish())
    }
}

/// What a reader has found in a file.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FileLayout {
    /// The format that it was read as.
    pub format: FileFormat,
    /// The tensors in the order of their bytes, none over another.
    pub tensors: Vec<LaidTensor>,
    /// Other names for tensors and parts of them.
    pub views: Vec<LaidView>,
    /// Tensors in other files that this one names.
    pub beside: Vec<LaidBeside>,
    /// What the file says about the model, such as the keys of a GGUF file.
    pub facts: Map<String, Value>,
    /// What is not seen of the file, and why: for people.
    pub notes: Vec<String>,
    /// The layers, where the file has a graph of operators.
    pub architecture: Option<Architecture>,
}

impl FileLayout {
    /// A file of this format in which nothing was found yet: all of it is skeleton.
    pub fn new(format: FileFormat) -> Self {
        FileLayout { format, ..FileLayout::default() }
    }

    /// Says what of it cannot be: of a file of `file_len` bytes.
    pub(super) fn check(&self, file_len: u64) -> Result<(), String> {
        let mut end = 0;
        for tensor in &self.tensors {
            let LaidTensor { name, dtype, shape, .. } = tensor;
            if tensor.begin < end || tensor.end < tensor.begin || tensor.end > file_len {
                return Err(format!("{name:?} is not between the tensor before it and the end"));
            }
            let len = dtype.byte_len(shape).map_err(|error| format!("{name:?}: {error}"))?;
            if len.is_some_and(|len| len != tensor.end - tensor.begin) {
                return Err(format!("{name:?} is not as long as {dtype} {shape} is"));
            }
            end = tensor.end;
        }
        for view in &self.views {
            let holder = self.tensors.get(view.tensor);
            let len = span_len(&view.dtype, &view.shape, &view.strides);
            let end = len.and_then(|len| view.offset.checked_add(len));
            if holder.zip(end).is_none_or(|(holder, end)| end > holder.end - holder.begin) {
                return Err(format!("{:?} is a view of no tensor", view.name));
            }
        }
        let tensors = self.tensors.iter().map(|tensor| &tensor.name);
        let names = || tensors.clone().chain(self.views.iter().map(|view| &view.name));
        if let Some(name) = names().find(|name| name.is_empty() || name.len() > NAME_LEN_MAX) {
            return Err(format!("a name of {} bytes", name.len()));
        }
        match first_duplicate(names().map(String::as_str)) {
            Some(name) => Err(format!("{name:?} stands twice")),
            None => Ok(()),
        }
    }
}

/// Ranges that a reader finds, in any order, made into the tensors and views of one file.
///
/// ```
/// # #[cfg(feature = "unstable-format")] {
/// use mgit::interchange::LayoutBuilder;
/// use mgit::{Dtype, Shape};
///
/// let shape = Shape::new(&[2]).unwrap();
/// let mut builder = LayoutBuilder::new(100);
/// builder.tensor("b", Dtype::F32, shape.clone(), 50, 58);
/// builder.tensor("a", Dtype::F32, shape.clone(), 10, 18);
/// builder.tensor("tied", Dtype::F32, shape, 10, 18);
/// let found = builder.finish();
/// assert_eq!((found.tensors.len(), found.views.len()), (2, 1));
/// assert_eq!((&*found.tensors[0].name, &*found.views[0].name), ("a", "tied"));
/// # }
/// ```
#[derive(Debug)]
pub struct LayoutBuilder {
    file_len: u64,
    tensors: Vec<LaidTensor>,
    views: Vec<PendingView>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct PendingView {
    name: String,
    dtype: Dtype,
    shape: Shape,
    /// Of the first element, in the file.
    begin: u64,
    strides: Vec<u64>,
}

/// What a [`LayoutBuilder`] makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Laid {
    /// The tensors in the order of their bytes, none over another.
    pub tensors: Vec<LaidTensor>,
    /// Other names.
    pub views: Vec<LaidView>,
    /// What was left in the skeleton, and why.
    pub notes: Vec<String>,
}

impl LayoutBuilder {
    /// For a file of `file_len` bytes.
    pub fn new(file_len: u64) -> Self {
        LayoutBuilder { file_len, tensors: Vec::new(), views: Vec::new(), notes: Vec::new() }
    }

    /// Adds a range that is an array. One that lies in another becomes a view of it; one that lies
    /// partly over another, outside of the file, or is not as long as type and shape say, stays
    /// skeleton, with a note.
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        dtype: Dtype,
        shape: Shape,
        begin: u64,
        end: u64,
    ) {
        self.tensors.push(LaidTensor { name: name.into(), dtype, shape, begin, end });
    }

    /// Adds a view whose first element is at `begin` of the file, with strides in elements. The
    /// tensor that it lies in is found among all that are added; without one it is left out, with a
    /// note.
    pub fn view(
        &mut self,
        name: impl Into<String>,
        dtype: Dtype,
        shape: Shape,
        begin: u64,
        strides: Vec<u64>,
    ) {
        self.views.push(PendingView { name: name.into(), dtype, shape, begin, strides });
    }

    /// Says that something is not seen.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The layout. Names that are empty become `unnamed`; of names that stand twice the later ones
    /// get `#2`, `#3` and so on.
    pub fn finish(mut self) -> Laid {
        let mut names = UniqueNames::default();
        // The first that was added keeps a name that stands twice.
        for tensor in &mut self.tensors {
            tensor.name = names.take(std::mem::take(&mut tensor.name));
        }
        for view in &mut self.views {
            view.name = names.take(std::mem::take(&mut view.name));
        }
        let mut laid = Laid { notes: self.notes, ..Laid::default() };
        // Longer ones first where they begin together: the others lie in them.
        self.tensors.sort_by_key(|tensor| (tensor.begin, std::cmp::Reverse(tensor.end)));
        let mut views = self.views;
        for tensor in self.tensors {
            match place(&tensor, self.file_len, laid.tensors.last()) {
                Place::Own => laid.tensors.push(tensor),
                Place::Inside => {
                    let LaidTensor { name, dtype, shape, begin, .. } = tensor;
                    let strides = contiguous(&shape);
                    views.push(PendingView { name, dtype, shape, begin, strides });
                }
                Place::Nowhere(why) => {
                    laid.notes.push(format!("{:?} is kept, not seen: {why}", tensor.name));
                }
            }
        }
        let mut seen: BTreeMap<String, LaidView> = BTreeMap::new();
        for view in views {
            match settle(view, &laid.tensors) {
                Ok(view) => _ = seen.insert(view.name.clone(), view),
                Err(note) => laid.notes.push(note),
            }
        }
        laid.views = seen.into_values().collect();
        laid
    }
}

enum Place {
    Own,
    Inside,
    Nowhere(String),
}

/// Where a tensor goes that begins at or after all before it, of which `last` ends last.
fn place(tensor: &LaidTensor, file_len: u64, last: Option<&LaidTensor>) -> Place {
    let LaidTensor { name, dtype, shape, begin, end } = tensor;
    if name.len() > NAME_LEN_MAX {
        return Place::Nowhere(format!("its name has more than {NAME_LEN_MAX} bytes"));
    }
    if begin > end || *end > file_len {
        return Place::Nowhere("it lies outside of the file".to_owned());
    }
    match dtype.byte_len(shape) {
        Ok(Some(expected)) if expected != end - begin => {
            let found = end - begin;
            return Place::Nowhere(format!("{dtype} {shape} takes {expected} bytes, not {found}"));
        }
        Ok(_) => {}
        Err(error) => return Place::Nowhere(error.to_string()),
    }
    match last {
        Some(last) if *begin < last.end && *end <= last.end => Place::Inside,
        Some(last) if *begin < last.end => {
            Place::Nowhere(format!("it lies partly over {:?}", last.name))
        }
        _ => Place::Own,
    }
}

/// A view in the tensor that it lies in.
fn settle(view: PendingView, tensors: &[LaidTensor]) -> Result<LaidView, String> {
    let PendingView { name, dtype, shape, begin, strides } = view;
    let lost = |why: &str| Err(format!("{name:?} is kept, not seen: {why}"));
    let Some(len) = span_len(&dtype, &shape, &strides) else {
        return lost("its elements are out of range");
    };
    // No tensor lies over another: only the last that begins there or before can hold it.
    let last = tensors.partition_point(|tensor| tensor.begin <= begin).checked_sub(1);
    let found = last.and_then(|at| Some((at, tensors.get(at)?)));
    let holds = |holder: &LaidTensor| begin.checked_add(len).is_some_and(|end| end <= holder.end);
    let Some((tensor, holder)) = found.filter(|(_, holder)| holds(holder)) else {
        return lost("no tensor holds it");
    };
    Ok(LaidView { tensor, offset: begin - holder.begin, name, dtype, shape, strides })
}

/// Names that are given once each.
#[derive(Debug, Default)]
pub(super) struct UniqueNames(HashMap<String, u64>);

impl UniqueNames {
    /// Whether the name is given.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The name, or one made of it that is not given yet.
    pub(super) fn take(&mut self, name: String) -> String {
        let name = if name.is_empty() { "unnamed".to_owned() } else { name };
        if !self.0.contains_key(&name) {
            self.0.insert(name.clone(), 1);
            return name;
        }
        loop {
            let count = self.0.get_mut(&name).map_or(1, |count| {
                *count += 1;
                *count
            });
            let next = format!("{name}#{count}");
            if !self.0.contains_key(&next) {
                self.0.insert(next.clone(), 1);
                return next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn shape(dims: &[u64]) -> Shape {
        Shape::new(dims).unwrap()
    }

    #[test]
    fn what_lies_in_another_is_a_view_and_what_cannot_be_is_noted() {
        let mut builder = LayoutBuilder::new(64);
        builder.tensor("part", Dtype::F32, shape(&[2]), 8, 16);
        builder.tensor("whole", Dtype::F32, shape(&[2, 3]), 0, 24);
        builder.tensor("over", Dtype::F32, shape(&[4]), 16, 32);
        builder.tensor("whole", Dtype::F32, shape(&[1]), 60, 64);
        builder.tensor("long", Dtype::F32, shape(&[1]), 62, 66);
        builder.tensor("short", Dtype::F32, shape(&[4]), 40, 44);
        builder.tensor("", Dtype::F32, shape(&[0, 3]), 24, 24);
        builder.view("t", Dtype::F32, shape(&[3, 2]), 0, vec![1, 3]);
        builder.view("far", Dtype::F32, shape(&[3, 2]), 8, vec![1, 3]);
        let laid = builder.finish();
        let names = |laid: &Laid| laid.tensors.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&laid), ["whole", "unnamed", "whole#2"]);
        let views: Vec<_> = laid.views.iter().map(|view| (&*view.name, view.offset)).collect();
        assert_eq!(views, [("part", 8), ("t", 0)]);
        assert_eq!(laid.views[0].strides, [1]);
        assert_eq!(laid.notes.len(), 4, "{:?}", laid.notes);
    }
}
