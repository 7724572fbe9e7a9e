//! What belongs to the process that opened it.

use std::mem::ManuallyDrop;

use pyo3::PyResult;

use crate::error;

/// A store, or what was taken from one. A forked child has a copy of its memory and shares its
/// locks: were it to drop the copy, it would give back locks that the parent holds. So a child
/// reads nothing through it and never drops it.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    value: ManuallyDrop<T>,
    process: u32,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Owned { value: ManuallyDrop::new(value), process: std::process::id() }
    }

    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// The value, in its own process.
    pub(crate) fn get(&self) -> PyResult<&T> {
        if self.is_here() { Ok(&self.value) } else { Err(error::forked(self.process)) }
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self) -> PyResult<&mut T> {
        if self.is_here() { Ok(&mut self.value) } else { Err(error::forked(self.process)) }
    }

    /// The value itself, in its own process.
    pub(crate) fn into_inner(self) -> PyResult<T> {
        if !self.is_here() {
            return Err(error::forked(self.process));
        }
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, and not dropped.
        Ok(unsafe { ManuallyDrop::take(&mut this.value) })
    }
}

impl<T: Clone> Owned<T> {
    /// Another handle of the same.
    pub(crate) fn share(&self) -> PyResult<Self> {
        Ok(Owned::new(self.get()?.clone()))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: it is dropped here only, and `self` is gone then.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
