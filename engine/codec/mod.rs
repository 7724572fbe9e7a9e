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

mod coded;
mod cpu;
mod entropy;
mod factor_delta;
mod float_delta;
pub mod formula;
mod int_delta;
mod lane;
mod lossy;
pub mod low_rank;
mod lz4;
mod machine;
mod planes;
mod profile;
mod rice_delta;
mod sparse_delta;
mod xor_lz4;

#[cfg(test)]
mod tests;

use float_delta::Version;

pub(crate) use cpu::run_wide;
#[cfg(test)]
pub(crate) use cpu::tests::on_every_way;
pub use cpu::{CPU_VARIABLE, Cpu, UnknownCpu};
pub use lane::Lane;
pub use lossy::{Half, Loss, Lossy, LossyCoder, UnknownLossy};
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
    FloatDelta = 4,
    /// Steps between floats as Golomb-Rice codes, in bit planes.
    RiceDelta = 5,
    /// Without a base: exponents and highest mantissa bits entropy coded, the rest as it is.
    Entropy = 6,
    /// Steps between numbers of other types than [`FloatDelta`](Encoding::FloatDelta) is for.
    IntDelta = 7,
    /// Steps from the child that row and column factors predict.
    FactorDelta = 8,
    /// Few changes: which elements, and steps as in [`FloatDelta`](Encoding::FloatDelta).
    SparseDelta = 9,
    /// [`FloatDelta`](Encoding::FloatDelta), whose frequencies are told in fewer bits: written in its
    /// place.
    FloatDelta2 = 10,
}

impl Encoding {
    /// Every encoding of this format version.
    pub const ALL: [Encoding; 11] = [
        Encoding::Raw,
        Encoding::Unchanged,
        Encoding::Lz4,
        Encoding::XorPlanesLz4,
        Encoding::FloatDelta,
        Encoding::RiceDelta,
        Encoding::Entropy,
        Encoding::IntDelta,
        Encoding::FactorDelta,
        Encoding::SparseDelta,
        Encoding::FloatDelta2,
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
            Encoding::Raw | Encoding::Lz4 | Encoding::Entropy => false,
            Encoding::Unchanged
            | Encoding::XorPlanesLz4
            | Encoding::FloatDelta
            | Encoding::RiceDelta
            | Encoding::IntDelta
            | Encoding::FactorDelta
            | Encoding::SparseDelta
            | Encoding::FloatDelta2 => true,
        }
    }

    /// The name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Raw => "raw",
            Encoding::Unchanged => "unchanged",
            Encoding::Lz4 => "lz4",
            Encoding::XorPlanesLz4 => "xor-lz4",
            Encoding::FloatDelta => "float-delta",
            Encoding::RiceDelta => "rice-delta",
            Encoding::Entropy => "entropy",
            Encoding::IntDelta => "int-delta",
            Encoding::FactorDelta => "factor-delta",
            Encoding::SparseDelta => "sparse-delta",
            Encoding::FloatDelta2 => "float-delta-2",
        }
    }
}

/// As its name.
impl serde::Serialize for Encoding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Stored bytes that do not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} chunk does not decode: {reason}", .encoding.name())]
#[non_exhaustive]
pub struct CodecError {
    /// The encoding that was tried.
    pub encoding: Encoding,
    /// What is wrong.
    pub reason: String,
}

/// In a float chunk shorter than this, the tables of the conditioned difference may not pay: codes
/// without tables are tried too.
const SHORT_CHUNK_BYTES: usize = 1 << 15;
/// In one shorter than this they hardly ever do: they are not tried.
const TINY_CHUNK_BYTES: usize = 1 << 11;

/// A delta that takes more bytes is tried without the base too: about what numbers of that width
/// take alone.
fn alone_len(lane: Lane, len: usize) -> usize {
    if lane.width() < 4 { len / 2 } else { len / 4 * 3 }
}

/// The shortest way to store a chunk that was found, in the caller's output from `start` on.
struct Best<'o> {
    encoding: Encoding,
    start: usize,
    len: usize,
    out: &'o mut Vec<u8>,
}

impl Best<'_> {
    /// Takes what was appended to the output, or drops it.
    fn settle(&mut self, encoding: Encoding, right: bool) {
        let len = self.out.len() - self.start;
        if right && len < self.len {
            (self.encoding, self.len) = (encoding, len);
        } else {
            self.out.truncate(self.start);
        }
    }

    /// Decodes what is stored again before it is believed: a fault of ours must not cost anyone's
    /// weights.
    fn check(&mut self, lane: Lane, chunk: &[u8], base: &[u8]) {
        let stored = self.out.get(self.start..).unwrap_or_default();
        let gives = |layout| float_delta::gives(layout, stored, base, chunk);
        let right = lane.float().is_some_and(gives);
        debug_assert!(right, "a chunk does not come back");
        if !right {
            self.out.truncate(self.start);
            (self.encoding, self.len) = (Encoding::Raw, chunk.len());
        }
    }

    /// Puts other bytes in the place of the best so far, if they are shorter.
    fn replace(&mut self, encoding: Encoding, stored: Option<Vec<u8>>) {
        if let Some(stored) = stored.filter(|stored| stored.len() < self.len) {
            self.out.truncate(self.start);
            self.out.extend_from_slice(&stored);
            (self.encoding, self.len) = (encoding, stored.len());
        }
    }
}

/// Encodes `chunk` against `base`, the smallest way that `profile` allows, and appends it to `out`.
///
/// A base of another length than the chunk is not used. What is coded as [`Encoding::FloatDelta2`],
/// [`Encoding::RiceDelta`], [`Encoding::FactorDelta`], [`Encoding::SparseDelta`],
/// [`Encoding::Entropy`] or [`Encoding::IntDelta`] has been decoded and compared.
/// Cost: a few passes over the chunk; scratch memory of some times the chunk, of which a thread
/// keeps a part.
pub fn encode_delta(
    profile: Profile,
    lane: Lane,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> Encoding {
    let (start, fast) = (out.len(), profile == Profile::Fast);
    let mut best = Best { encoding: Encoding::Raw, start, len: chunk.len(), out };
    if base.len() == chunk.len() {
        if chunk == base {
            return Encoding::Unchanged;
        }
        let float = lane.float().filter(|layout| chunk.len().is_multiple_of(layout.bytes));
        match float {
            Some(layout) => {
                encode_floats(profile, layout, chunk, base, &mut best);
            }
            None if !fast => {
                best.replace(Encoding::IntDelta, try_int_delta(lane, chunk, base, best.len));
            }
            None => {}
        }
        // Where most is the same, what tells of each block may be more than the changes.
        let still = !fast && chunk.len() < SHORT_CHUNK_BYTES && best.len < chunk.len() / 2;
        if float.is_none() || still || best.encoding == Encoding::Raw {
            let mut other = Vec::new();
            xor_lz4::encode(lane.width(), chunk, base, &mut other);
            best.replace(Encoding::XorPlanesLz4, Some(other));
        }
    }
    // Of a base that says little, less is lost without it.
    let tiny = profile == Profile::Balanced
        && best.encoding == Encoding::RiceDelta
        && chunk.len() < TINY_CHUNK_BYTES;
    if !fast && !tiny && best.len > alone_len(lane, chunk.len()) {
        best.replace(Encoding::Entropy, try_entropy(lane, chunk, best.len));
    }
    if best.encoding == Encoding::FloatDelta2 {
        best.check(lane, chunk, base);
    }
    if best.encoding == Encoding::Raw {
        best.out.extend_from_slice(chunk);
    }
    best.encoding
}

/// The ways to store steps between floats, which are as many as the base's.
fn encode_floats(
    profile: Profile,
    layout: float_delta::FloatLayout,
    chunk: &[u8],
    base: &[u8],
    best: &mut Best<'_>,
) {
    let right = sparse_delta::encode(layout, chunk, base, best.out);
    best.settle(Encoding::SparseDelta, right);
    let dense = profile == Profile::Dense;
    if best.encoding == Encoding::SparseDelta && !dense {
        return;
    }
    let short = chunk.len() < SHORT_CHUNK_BYTES;
    if best.encoding == Encoding::Raw && (short || profile == Profile::Fast) {
        let right = rice_delta::encode(layout, chunk, base, best.out);
        best.settle(Encoding::RiceDelta, right);
    }
    if profile == Profile::Fast || chunk.len() < TINY_CHUNK_BYTES && !dense {
        return;
    }
    // Decoded again at the end, unless another way is shorter.
    if best.encoding == Encoding::Raw {
        float_delta::encode(layout, chunk, base, best.out);
        best.settle(Encoding::FloatDelta2, true);
    } else {
        let mut other = Vec::new();
        float_delta::encode(layout, chunk, base, &mut other);
        best.replace(Encoding::FloatDelta2, Some(other));
    }
    if dense {
        best.replace(Encoding::FactorDelta, try_factor_delta(layout, chunk, base, best.len));
    }
}

/// Encodes `chunk` without a base, the smallest way that `profile` allows, and appends it to `out`.
/// Only [`Profile::Dense`] allows another than [`Encoding::Raw`]. What is coded as
/// [`Encoding::Entropy`] has been decoded and compared.
pub fn encode_standalone(
    profile: Profile,
    lane: Lane,
    chunk: &[u8],
    out: &mut Vec<u8>,
) -> Encoding {
    if profile == Profile::Dense {
        let mut best = Vec::new();
        let mut encoding = encode_plain(chunk, &mut best);
        if let Some(stored) = try_entropy(lane, chunk, best.len()) {
            (encoding, best) = (Encoding::Entropy, stored);
        }
        out.extend_from_slice(&best);
        return encoding;
    }
    out.extend_from_slice(chunk);
    Encoding::Raw
}

/// The chunk as [`Encoding::IntDelta`], if that takes less than `limit` bytes and comes back.
fn try_int_delta(lane: Lane, chunk: &[u8], base: &[u8], limit: usize) -> Option<Vec<u8>> {
    let number = lane.number();
    if !int_delta::fits(number, chunk.len()) {
        return None;
    }
    let mut stored = Vec::new();
    int_delta::encode(number, chunk, base, &mut stored);
    if stored.len() >= limit {
        return None;
    }
    let mut decoded = base.to_vec();
    let right = int_delta::decode(number, &stored, &mut decoded).is_ok() && decoded == chunk;
    debug_assert!(right, "a chunk does not come back");
    right.then_some(stored)
}

/// The chunk as [`Encoding::FactorDelta`], if that takes less than `limit` bytes and comes back.
fn try_factor_delta(
    layout: float_delta::FloatLayout,
    chunk: &[u8],
    base: &[u8],
    limit: usize,
) -> Option<Vec<u8>> {
    let mut stored = Vec::new();
    factor_delta::encode(layout, chunk, base, &mut stored);
    if stored.len() >= limit {
        return None;
    }
    let mut decoded = base.to_vec();
    let right = factor_delta::decode(layout, &stored, &mut decoded).is_ok() && decoded == chunk;
    debug_assert!(right, "a chunk does not come back");
    right.then_some(stored)
}

/// The chunk as [`Encoding::Entropy`], if that takes less than `limit` bytes and comes back.
fn try_entropy(lane: Lane, chunk: &[u8], limit: usize) -> Option<Vec<u8>> {
    let number = lane.number();
    if !entropy::fits(number, chunk.len()) {
        return None;
    }
    let mut stored = Vec::new();
    entropy::encode(number, chunk, limit, &mut stored);
    if stored.is_empty() || stored.len() >= limit {
        return None;
    }
    let mut decoded = vec![0; chunk.len()];
    // What is too short for its chunk does not decode: LZ4 is for such.
    let outcome = entropy::decode(number, &stored, &mut decoded);
    debug_assert!(outcome.is_err() || decoded == chunk, "a chunk does not come back");
    (outcome.is_ok() && decoded == chunk).then_some(stored)
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
    let floats = || lane.float().ok_or_else(|| "not a chunk of floats".to_owned());
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
        Encoding::FloatDelta => {
            floats().and_then(|layout| float_delta::decode(Version::First, layout, stored, out))
        }
        Encoding::FloatDelta2 => {
            floats().and_then(|layout| float_delta::decode(Version::Second, layout, stored, out))
        }
        Encoding::Entropy => entropy::decode(lane.number(), stored, out),
        Encoding::IntDelta => int_delta::decode(lane.number(), stored, out),
        Encoding::FactorDelta => {
            floats().and_then(|layout| factor_delta::decode(layout, stored, out))
        }
        Encoding::SparseDelta => {
            floats().and_then(|layout| sparse_delta::decode(layout, stored, out))
        }
        Encoding::RiceDelta => floats().and_then(|layout| rice_delta::decode(layout, stored, out)),
    };
    result.map_err(|reason| CodecError { encoding, reason })
}
