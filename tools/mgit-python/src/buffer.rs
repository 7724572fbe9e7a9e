//! Bytes of the engine as a buffer of Python, without a copy.

use std::ffi::c_int;
use std::ptr::NonNull;

use mgit::{TensorView, WritableView};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::owned::Owned;

/// The bytes of a tensor, or of some of its rows: what `memoryview`, numpy and torch make their
/// arrays of. Keeps the snapshot that they belong to, and so the bytes, as long as it lives.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Buffer {
    start: NonNull<u8>,
    len: usize,
    is_writable: bool,
    is_mapped: bool,
    /// What the bytes lie in. A forked child that is left one does not drop it, and so keeps the
    /// parent's locks; the memory is its own.
    _holder: Owned<Holder>,
}

/// What bytes lie in.
#[allow(dead_code, reason = "held, not read")]
enum Holder {
    Shared(TensorView),
    Own(WritableView),
}

// SAFETY: the bytes stay at `start` as long as the holder lives, which is as long as `self`. Those
// of a `TensorView` do not change. Those of a `WritableView` are reached through `start` alone:
// Python's buffer protocol gives them to whoever asks, on any thread, with the rules that numpy and
// torch have for memory that threads share; this module itself neither reads nor writes them.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn shared(view: TensorView) -> Self {
        let bytes: &[u8] = &view;
        let (start, len) = (NonNull::from(bytes).cast(), bytes.len());
        let is_mapped = view.is_mapped();
        let holder = Owned::new(Holder::Shared(view));
        Buffer { start, len, is_writable: false, is_mapped, _holder: holder }
    }

    pub(crate) fn own(mut view: WritableView) -> Self {
        let is_mapped = view.is_mapped();
        let bytes = view.as_bytes_mut();
        let (start, len) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        let holder = Owned::new(Holder::Own(view));
        Buffer { start, len, is_writable: true, is_mapped, _holder: holder }
    }
}

#[pymethods]
impl Buffer {
    /// Whether the bytes are the file's own.
    #[getter]
    fn is_mapped(&self) -> bool {
        self.is_mapped
    }

    /// Where the bytes are in memory.
    #[getter]
    fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    fn __len__(&self) -> usize {
        self.len
    }

    /// # Safety
    ///
    /// `view` is a place for a buffer, as Python's protocol says.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no place for the buffer"));
        }
        let this = slf.get();
        let len = isize::try_from(this.len)?;
        // SAFETY: `view` is valid, as the protocol says; the memory is valid as long as the object,
        // of which the buffer holds a reference; a buffer of it is writable only where it is.
        let filled = unsafe {
            let start = this.start.as_ptr().cast();
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                start,
                len,
                c_int::from(!this.is_writable),
                flags,
            )
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
