//! What a pickle makes.

use std::ops::Range;

use super::globals::{Element, Global};

/// The place of a value among all that a pickle makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Id(pub u32);

/// A text in the pickle's bytes. A pickle has fewer than 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Text {
    begin: u32,
    len: u32,
}

impl Text {
    pub(in super::super) fn new(range: Range<usize>) -> Option<Self> {
        let begin = u32::try_from(range.start).ok()?;
        Some(Text { begin, len: u32::try_from(range.len()).ok()? })
    }

    pub(in super::super) fn range(self) -> Range<usize> {
        self.begin as usize..self.begin as usize + self.len as usize
    }
}

/// One value.
#[derive(Debug)]
pub(in super::super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Text(Text),
    /// Bytes, a float, a large number: nothing that a tensor needs.
    Other,
    Global(Global),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
    Object(Box<Object>),
}

/// Elements in an entry of the archive.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Storage {
    /// The entry's name in its folder.
    pub key: Text,
    pub element: Element,
    /// How many elements there are.
    pub count: u64,
}

/// A tensor as it was given: nothing is checked.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Tensor {
    pub storage: Id,
    /// The type where it is not the storage's.
    pub element: Option<Id>,
    pub offset: Id,
    pub size: Id,
    pub stride: Id,
    /// Its elements are steps of a scale that stands beside.
    pub quantised: bool,
}

/// What an unknown global, or one that has no meaning for tensors, has made: its parts.
#[derive(Debug, Default)]
pub(in super::super) struct Object {
    /// What it was made of.
    pub arguments: Option<Id>,
    /// What was appended to it, and set in it with a key.
    pub items: Vec<(Option<Id>, Id)>,
    /// What it was built of.
    pub states: Vec<Id>,
}
