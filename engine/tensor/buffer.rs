//! A buffer whose start is aligned as tensors in the file are.

use std::fmt;

/// One cache line, the unit that gives a buffer its alignment.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A heap buffer of bytes whose start is 64-byte aligned, as tensors in the file are.
pub struct AlignedBuffer {
    lines: Box<[Line]>,
    len: usize,
}

impl AlignedBuffer {
    /// A buffer of `len` zero bytes; `None` when the memory cannot be had. Cost: none of a large one
    /// before its pages are written.
    pub fn zeroed(len: usize) -> Option<Self> {
        let count = len.div_ceil(size_of::<Line>());
        let lines = bytemuck::try_zeroed_slice_box(count).ok()?;
        Some(AlignedBuffer { lines, len })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines).get(..self.len).unwrap_or_default()
    }

    /// The bytes, to write to.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines).get_mut(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn starts_on_a_cache_line() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let buffer = AlignedBuffer::zeroed(len).unwrap();
            assert_eq!(buffer.as_bytes().len(), len);
            assert_eq!(buffer.as_bytes().as_ptr() as usize % 64, 0);
        }
        assert!(AlignedBuffer::zeroed(usize::MAX / 2).is_none());
    }
}
