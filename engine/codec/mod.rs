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

pub mod formula;
mod lane;
mod lz4;
mod ordered;
mod planes;
mod profile;
mod rice;
mod xor_lz4;

#[cfg(test)]
mod tests;

use std::fmt;

pub use lane::Lane;
pub use profile::{Profile, UnknownProfile};

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
    /// Steps between floats, under contexts of their predicted size.
    Ordered = 4,
    /// Steps between floats as Golomb-Rice codes, in bit planes.
    Rice = 5,
}

impl Encoding {
    /// Every encoding of this format version.
    pub const ALL: [Encoding; 6] = [
        Encoding::Raw,
        Encoding::Unchanged,
        Encoding::Lz4,
        Encoding::XorPlanesLz4,
        Encoding::Ordered,
        Encoding::Rice,
    ];

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
        match self {
            Encoding::Raw | Encoding::Lz4 => false,
            Encoding::Unchanged | Encoding::XorPlanesLz4 | Encoding::Ordered | Encoding::Rice => {
                true
            }
        }
    }

    /// The name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Unchanged => "unchanged",
            Encoding::Lz4 => "lz4",
            Encoding::XorPlanesLz4 => "xor-lz4",
            Encoding::Ordered => "ordered",
            Encoding::Rice => "rice",
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

/// A float chunk shorter than this is tried both ways: the tables of the conditioned difference
/// may not pay there.
const SHORT_CHUNK_BYTES: usize = 1 << 15;

/// Encodes `chunk` against `base`, the smallest way that `profile` allows, and appends it to `out`.
///
/// A base of another length than the chunk is not used. What is coded as [`Encoding::Ordered`] or
/// [`Encoding::Rice`] has been decoded and compared. Cost: a few passes over the chunk; scratch
/// memory of some times the chunk, of which a thread keeps a little.
pub fn encode_delta(
    profile: Profile,
    lane: Lane,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> Encoding {
    let start = out.len();
    let mut best = Encoding::Raw;
    let mut best_len = chunk.len();
    if base.len() == chunk.len() {
        if chunk == base {
            return Encoding::Unchanged;
        }
        let float = lane.float().filter(|layout| chunk.len().is_multiple_of(layout.bytes));
        // No table is stored with it, so that it does not lose where a chunk is short.
        let mut try_xor =
            float.is_none() || profile != Profile::Fast && chunk.len() < SHORT_CHUNK_BYTES;
        if let Some(layout) = float {
            let encoding = if profile == Profile::Fast {
                rice::encode(layout, chunk, base, out).then_some(Encoding::Rice)
            } else {
                encode_ordered(layout, chunk, base, out).then_some(Encoding::Ordered)
            };
            match encoding {
                Some(encoding) => (best, best_len) = (encoding, out.len() - start),
                None => try_xor = true,
            }
        }
        if try_xor {
            let mut other = Vec::new();
            xor_lz4::encode(lane.width(), chunk, base, &mut other);
            if other.len() < best_len {
                out.truncate(start);
                out.extend_from_slice(&other);
                (best, best_len) = (Encoding::XorPlanesLz4, other.len());
            }
        }
    }
    if best == Encoding::Raw {
        out.truncate(start);
        out.extend_from_slice(chunk);
    }
    debug_assert_eq!(out.len() - start, best_len);
    best
}

/// Appends `chunk` as steps under contexts and says so, if that is shorter than the chunk.
fn encode_ordered(
    layout: ordered::FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    ordered::encode(layout, chunk, base, out);
    // Decoded again before it is believed: a fault of ours must not cost anyone's weights.
    let stored = out.get(start..).unwrap_or_default();
    let mut decoded = base.to_vec();
    let right = ordered::decode(layout, stored, &mut decoded).is_ok() && decoded == chunk;
    debug_assert!(right, "a chunk does not come back");
    let shorter = stored.len() < chunk.len();
    if !(right && shorter) {
        out.truncate(start);
    }
    right && shorter
}

/// Encodes `chunk` without a base, the smallest way that `profile` allows, and appends it to `out`.
/// Only [`Profile::Dense`] allows another than [`Encoding::Raw`].
pub fn encode_alone(_profile: Profile, _lane: Lane, chunk: &[u8], out: &mut Vec<u8>) -> Encoding {
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
    lane: Lane,
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
        Encoding::XorPlanesLz4 => xor_lz4::decode(lane.width(), stored, out),
        Encoding::Ordered => match lane.float() {
            Some(layout) => ordered::decode(layout, stored, out),
            None => Err("not a chunk of floats".to_owned()),
        },
        Encoding::Rice => match lane.float() {
            Some(layout) => rice::decode(layout, stored, out),
            None => Err("not a chunk of floats".to_owned()),
        },
    };
    result.map_err(|reason| CodecError { encoding, reason })
}
