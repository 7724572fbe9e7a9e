//! Reading and writing fields of fixed width.

use super::FormatError;

/// Reads little-endian fields one after the other; past the end is an error, never a panic.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    /// A reader over `bytes` of the structure named `what`.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        ByteReader { what, bytes, at: 0 }
    }

    /// How far it has read, in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(len);
        let slice = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| {
            FormatError::new(self.what, self.at, format!("{len} more bytes"), self.remaining())
        })?;
        self.at += len;
        Ok(slice)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// The next 2 bytes.
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next 4 bytes.
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next 8 bytes.
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// UTF-8 text after its length in 2 bytes.
    pub fn text(&mut self) -> Result<&'a str, FormatError> {
        let len = self.u16()?;
        let at = self.at;
        std::str::from_utf8(self.take(usize::from(len))?)
            .map_err(|error| FormatError::new(self.what, at, "UTF-8 text", error))
    }

    /// Bytes after their length in 4 bytes.
    pub fn blob(&mut self) -> Result<&'a [u8], FormatError> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    /// `len` reserved bytes, which must be zero.
    pub fn reserved(&mut self, len: usize) -> Result<(), FormatError> {
        let at = self.at;
        // Together, not one by one: a superblock has thousands, and is read for every snapshot.
        match self.take(len)?.iter().fold(0, |all, byte| all | byte) {
            0 => Ok(()),
            bits => {
                Err(FormatError::new(self.what, at, "reserved bytes of zero", format!("{bits:#x}")))
            }
        }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(FormatError::new(self.what, self.at, "the end", format!("{left} bytes"))),
        }
    }
}

/// Appends little-endian fields to a vector.
#[derive(Debug, Default)]
pub struct ByteWriter(Vec<u8>);

impl ByteWriter {
    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        ByteWriter(Vec::with_capacity(capacity))
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.put(&[value])
    }

    /// Appends 2 bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// Appends 4 bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// Appends 8 bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.put(&value.to_le_bytes())
    }

    /// Appends text after its length in 2 bytes.
    ///
    /// # Errors
    ///
    /// A text longer than 65,535 bytes does not fit the field.
    pub fn text(&mut self, what: &'static str, text: &str) -> Result<&mut Self, FormatError> {
        let len = u16::try_from(text.len())
            .map_err(|_| FormatError::new(what, self.0.len(), "at most 65535 bytes", text.len()))?;
        Ok(self.u16(len).put(text.as_bytes()))
    }

    /// Appends bytes after their length in 4 bytes.
    ///
    /// # Errors
    ///
    /// 4 GiB or more do not fit the field.
    pub fn blob(&mut self, what: &'static str, bytes: &[u8]) -> Result<&mut Self, FormatError> {
        Ok(self.blob_len(what, bytes.len())?.put(bytes))
    }

    /// Appends the length, in 4 bytes, of bytes that are put behind it.
    ///
    /// # Errors
    ///
    /// 4 GiB or more do not fit the field.
    pub fn blob_len(&mut self, what: &'static str, len: usize) -> Result<&mut Self, FormatError> {
        let short = u32::try_from(len)
            .map_err(|_| FormatError::new(what, self.0.len(), "less than 4 GiB", len))?;
        Ok(self.u32(short))
    }

    /// Zero bytes up to `len` in all.
    pub fn pad_to(&mut self, len: usize) -> &mut Self {
        if self.0.len() < len {
            self.0.resize(len, 0);
        }
        self
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
