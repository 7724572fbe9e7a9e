//! The storages of a pickle: which of its tensors is which range of the file.

use std::collections::HashMap;
use std::ops::Range;

use super::pickle::{Element, FoundTensor, Pickle, Storage, Value};
use crate::format::is_in_a_row;
use crate::interchange::LayoutBuilder;
use crate::interchange::counted::counted;
use crate::tensor::{Dtype, Shape};

/// The storages of one pickle.
pub(super) struct Storages<'a> {
    folder: &'static str,
    entries: Vec<Entry<'a>>,
    places: HashMap<&'a [u8], usize>,
}

struct Entry<'a> {
    key: &'a [u8],
    range: Range<u64>,
    /// What its elements are, as the first tensor on it says.
    element: Option<Element>,
    /// A tensor stands for all of it.
    covered: bool,
    /// Its elements are steps of a scale.
    quantised: bool,
}

/// A tensor in its storage.
struct Placed {
    entry: usize,
    element: Element,
    shape: Shape,
    strides: Vec<u64>,
    /// Of its first element, in the file.
    begin: u64,
    /// Of all its elements one after the other.
    byte_len: u64,
}

impl<'a> Storages<'a> {
    pub(super) fn new(storages: &[(&'a [u8], Range<u64>)], folder: &'static str) -> Self {
        let entries: Vec<Entry<'a>> = storages
            .iter()
            .map(|(key, range)| {
                let (range, element) = (range.clone(), None);
                Entry { key, range, element, covered: false, quantised: false }
            })
            .collect();
        let places = entries.iter().enumerate().map(|(at, entry)| (entry.key, at)).collect();
        Storages { folder, entries, places }
    }

    /// Adds the tensors of a pickle.
    pub(super) fn name(
        &mut self,
        pickle: &Pickle<'_>,
        prefix: &str,
        file_len: u64,
        builder: &mut LayoutBuilder,
    ) {
        let found = pickle.tensors();
        for note in found.notes {
            builder.note(note);
        }
        for tensor in found.tensors {
            let name = format!("{prefix}{}", tensor.name);
            match self.place(pickle, &tensor, file_len) {
                Ok(Some(placed)) => self.add(name, placed, builder),
                Ok(None) => {}
                Err(why) => builder.note(format!("{name:?} is kept, not seen: {why}")),
            }
        }
    }

    fn add(&mut self, name: String, placed: Placed, builder: &mut LayoutBuilder) {
        let Placed { entry, element, shape, strides, begin, byte_len } = placed;
        let Some(entry) = self.entries.get_mut(entry) else { return };
        let (dtype, _) = element.dtype();
        if shape.elements() == 0 {
            builder.tensor(name, dtype, shape, begin, begin);
            return;
        }
        entry.element.get_or_insert(element);
        let in_order = is_in_a_row(&shape, &strides);
        if in_order && begin == entry.range.start && begin + byte_len == entry.range.end {
            entry.covered = true;
            builder.tensor(name, dtype, shape, begin, begin + byte_len);
        } else {
            builder.view(name, dtype, shape, begin, strides);
        }
    }

    /// Where a tensor is; `None` for one of steps of a scale.
    fn place(
        &mut self,
        pickle: &Pickle<'_>,
        found: &FoundTensor,
        file_len: u64,
    ) -> Result<Option<Placed>, String> {
        let tensor = &found.tensor;
        let Value::Storage(storage) = pickle.value(tensor.storage) else {
            return Err("what it is made of is no storage".to_owned());
        };
        let (at, entry) = self.entry(pickle, storage)?;
        let element = match tensor.element.map(|id| pickle.value(id)) {
            Some(Value::Global(global)) => global.element(),
            Some(_) => None,
            None => Some(storage.element),
        };
        let element = element.ok_or("its element type is not known")?;
        if tensor.quantised || matches!(element, Element::Quantised(_)) {
            if let Some(entry) = self.entries.get_mut(at) {
                entry.quantised = true;
            }
            return Ok(None);
        }
        let range = entry.range.clone();
        let numbers = |id| numbers(pickle, id);
        let offset = number(pickle.value(tensor.offset)).ok_or("its offset is no number")?;
        let dims = numbers(tensor.size).ok_or("its size is no list of numbers")?;
        let strides = numbers(tensor.stride).ok_or("its strides are no list of numbers")?;
        let shape = Shape::new(&dims).map_err(|error| error.to_string())?;
        if strides.len() != dims.len() {
            return Err("it has more strides than dimensions, or fewer".to_owned());
        }
        let (_, element_len) = element.dtype();
        let outside = || "it lies outside of its storage".to_owned();
        let last = dims.iter().zip(&strides).try_fold(0u64, |sum, (dim, stride)| {
            sum.checked_add(dim.saturating_sub(1).checked_mul(*stride)?)
        });
        let elements =
            if shape.elements() == 0 { Some(0) } else { last.and_then(|it| it.checked_add(1)) };
        let end =
            elements.and_then(|elements| elements.checked_add(offset)?.checked_mul(element_len));
        if end.is_none_or(|end| end > range.end - range.start) {
            return Err(outside());
        }
        let byte_len = shape.elements().checked_mul(element_len).filter(|len| *len <= file_len);
        let byte_len = byte_len.ok_or("it repeats its elements to more bytes than the file has")?;
        let begin = range.start + offset * element_len;
        Ok(Some(Placed { entry: at, element, shape, strides, begin, byte_len }))
    }

    /// The entry of a storage, if it has the bytes.
    fn entry(&self, pickle: &Pickle<'_>, storage: &Storage) -> Result<(usize, &Entry<'a>), String> {
        let key = pickle.text(storage.key);
        let shown = String::from_utf8_lossy(key.get(..200).unwrap_or(key));
        let at = self.places.get(key).copied();
        let found = at.and_then(|at| Some((at, self.entries.get(at)?)));
        let Some((at, entry)) = found else {
            return Err(format!("its storage {shown:?} is not in the file as it is"));
        };
        let len = entry.range.end - entry.range.start;
        let claimed = storage.count.checked_mul(storage.element.storage_bytes());
        if claimed.is_none_or(|claimed| claimed > len) {
            return Err(format!("its storage {shown:?} has only {len} bytes"));
        }
        Ok((at, entry))
    }

    /// Adds the storages that no tensor covers.
    pub(super) fn finish(self, builder: &mut LayoutBuilder) {
        let (mut unnamed, mut quantised, folder) = (0, 0, self.folder);
        for entry in self.entries {
            let Range { start, end } = entry.range;
            if entry.covered || start == end {
                continue;
            }
            quantised += u64::from(entry.quantised);
            unnamed += u64::from(!entry.quantised && entry.element.is_none());
            let (dtype, element_len) = entry.element.map_or((Dtype::U8, 1), Element::dtype);
            let whole = (end - start) % element_len == 0;
            let (dtype, count) =
                if whole { (dtype, (end - start) / element_len) } else { (Dtype::U8, end - start) };
            let name = format!("{folder}/{}", String::from_utf8_lossy(entry.key));
            // One dimension cannot be too many, and no file is too long.
            if let Ok(shape) = Shape::new(&[count]) {
                builder.tensor(name, dtype, shape, start, end);
            }
        }
        if quantised > 0 {
            builder.note(format!(
                "seen as plain bytes: {} with quantised elements, whose scale is in the pickle",
                counted(quantised, "storage")
            ));
        }
        if unnamed > 0 {
            let storages = counted(unnamed, "storage");
            builder.note(format!("seen as plain bytes: {storages} without a tensor"));
        }
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// The numbers of a tuple or list, of at most as many as there can be dimensions and one more.
fn numbers(pickle: &Pickle<'_>, id: super::pickle::Id) -> Option<Vec<u64>> {
    let items: &[_] = match pickle.value(id) {
        Value::Tuple(items) => items,
        Value::List(items) => items,
        _ => return None,
    };
    let items = items.iter().take(crate::tensor::RANK_MAX + 1);
    items.map(|id| number(pickle.value(*id))).collect()
}
