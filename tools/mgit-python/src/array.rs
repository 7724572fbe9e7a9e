//! Bytes of arrays of Python as tensors to be stored.

use std::io;

use mgit::store::TensorSource;
use mgit::{Dtype, NewTensor};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use crate::error::bad_value;

/// A tensor as Python gives it: name, type, shape, and a buffer of its bytes in a row.
#[derive(FromPyObject)]
pub(crate) struct Array<'py>(String, String, Vec<u64>, Bound<'py, PyAny>);

/// A tensor of an array.
pub(crate) struct NewArray {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    bytes: ArrayBytes,
}

/// The bytes of an array, which is kept as it is held here.
pub(crate) struct ArrayBytes(PyBuffer<u8>);

impl NewArray {
    pub(crate) fn new(array: &Array<'_>) -> PyResult<Self> {
        let Array(name, dtype, shape, buffer) = array;
        let bytes = PyBuffer::get(buffer)?;
        if !bytes.is_c_contiguous() {
            return Err(bad_value(format!("tensor {name:?}: its bytes are not in a row")));
        }
        Ok(NewArray {
            name: name.clone(),
            dtype: Dtype::from_name(dtype),
            shape: shape.clone(),
            bytes: ArrayBytes(bytes),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn byte_len(&self) -> u64 {
        self.bytes.0.len_bytes() as u64
    }

    pub(crate) fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    pub(crate) fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// As a tensor to be stored.
    pub(crate) fn tensor(&self) -> NewTensor<'_> {
        let (dtype, shape, len) = (self.dtype.clone(), self.shape.as_slice(), self.byte_len());
        NewTensor::from_source(self.name.as_str(), dtype, shape, len, &self.bytes)
    }

    /// The parts, where the tensor is to own its bytes.
    pub(crate) fn into_parts(self) -> (String, Dtype, Vec<u64>, u64, ArrayBytes) {
        let len = self.byte_len();
        (self.name, self.dtype, self.shape, len, self.bytes)
    }
}

impl TensorSource for ArrayBytes {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = &self.0;
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(out.len()));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if end > bytes.len_bytes() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the buffer is in a row and holds `end` bytes, as was looked at; Python keeps it
        // where it is as long as it is held. Another thread may write to the array meanwhile, as to
        // every array that native code reads: what is read then are some bytes of before and some
        // of after. The engine reads a short tensor once, and refuses a long one whose second
        // reading is not as the first.
        unsafe {
            let from = bytes.buf_ptr().cast::<u8>().add(start);
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len());
        }
        Ok(())
    }
}
