//! One chunk of elements, with or without a base, to bytes and back. Pure functions.
//!
//! Invariants of this room:
//!
//! - `decode(encode(chunk)) == chunk` for every chunk, base and lane width.
//! - Encoded bytes are never longer than the chunk; [`Encoding::Raw`] is always possible.
//! - Decoding arbitrary bytes returns an error or some bytes of the right length; it never panics
//!   and allocates at most a few times the chunk.
//! - A delta is decoded in place: the buffer holds the base's bytes and becomes the chunk, so a
//!   chain of deltas needs one buffer whatever its depth.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod lz4;
mod planes;
mod xor_lz4;

use std::fmt;

/// How a chunk is stored. The number is its code in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
#[non_exhaustive]
pub enum Encoding {
    /// The bytes themselves.
    Raw = 0,
    /// Equal to the base's bytes; nothing is stored.
    Unchanged = 1,
    /// One LZ4 block.
    Lz4 = 2,
    /// XOR with the base, split into byte planes, each plane an LZ4 block.
    XorPlanesLz4 = 3,
}

impl Encoding {
    /// Every encoding of this format version.
    pub const ALL: [Encoding; 4] =
        [Encoding::Raw, Encoding::Unchanged, Encoding::Lz4, Encoding::XorPlanesLz4];

    /// The code in the file.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The encoding of this code; `None` for one that this version does not know.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.code() == code)
    }

    /// Whether decoding starts from the base's bytes.
    pub fn needs_base(self) -> bool {
        matches!(self, Encoding::Unchanged | Encoding::XorPlanesLz4)
    }

    /// The name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Unchanged => "unchanged",
            Encoding::Lz4 => "lz4",
            Encoding::XorPlanesLz4 => "xor-lz4",
        }
    }
}

/// Stored bytes that do not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecError {
    /// The encoding that was tried.
    pub encoding: Encoding,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} chunk does not decode: {}", self.encoding.name(), self.reason)
    }
}

impl std::error::Error for CodecError {}

/// Encodes `chunk` the smallest way against `base` and appends it to `out`.
///
/// `lane` is the width in bytes of the numbers in the chunk (1, 2, 4 or 8). A base of another
/// length than the chunk is not used. Cost: a few passes over the chunk; scratch memory of about
/// twice the chunk.
pub fn encode_delta(lane: usize, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) -> Encoding {
    if base.len() != chunk.len() {
        out.extend_from_slice(chunk);
        return Encoding::Raw;
    }
    if chunk == base {
        return Encoding::Unchanged;
    }
    let start = out.len();
    xor_lz4::encode(lane, chunk, base, out);
    if out.len() - start < chunk.len() {
        return Encoding::XorPlanesLz4;
    }
    out.truncate(start);
    out.extend_from_slice(chunk);
    Encoding::Raw
}

/// Encodes `chunk` as one LZ4 block where that is shorter, raw otherwise, and appends it to `out`.
/// For text-like content: manifests and change records.
pub fn encode_plain(chunk: &[u8], out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    lz4::encode(chunk, out);
    if out.len() - start < chunk.len() {
        return Encoding::Lz4;
    }
    out.truncate(start);
    out.extend_from_slice(chunk);
    Encoding::Raw
}

/// Decodes `stored` into `out`, whose length is the chunk's. For an encoding that
/// [needs a base](Encoding::needs_base), `out` holds the base's bytes on entry.
///
/// # Errors
///
/// Bytes that are not such a chunk; `out` then holds unspecified bytes.
pub fn decode(
    encoding: Encoding,
    lane: usize,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), CodecError> {
    let result = match encoding {
        Encoding::Raw if stored.len() == out.len() => {
            out.copy_from_slice(stored);
            Ok(())
        }
        Encoding::Unchanged if stored.is_empty() => Ok(()),
        Encoding::Raw | Encoding::Unchanged => {
            Err(format!("{} bytes stored for {}", stored.len(), out.len()))
        }
        Encoding::Lz4 => lz4::decode(stored, out),
        Encoding::XorPlanesLz4 => xor_lz4::decode(lane, stored, out),
    };
    result.map_err(|reason| CodecError { encoding, reason })
}
