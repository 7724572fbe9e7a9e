//! Steps between floats in Golomb-Rice codes, turned to bit planes: for speed.
//!
//! As in [`super::float_delta`], a child's element is so many steps away from its parent's, and the
//! exponent of the parent tells how many to expect. Here each block of 64 elements has one scale,
//! and an element whose parent has exponent `e` gives its lowest `scale - e` bits as they are;
//! what is above them is told in unary, which is a bit or two. The bits of a block stand plane by
//! plane instead of element by element: 64 of them at a time are put in place by one instruction.
//!
//! There are no tables: short chunks cost no more than long ones.
//!
//! The layout, byte for byte, is in `format-spec.md`.

mod decode;
mod encode;
mod planes;

#[cfg(test)]
pub(super) mod tests;

use std::cell::RefCell;

use super::float_delta::FloatLayout;

/// The longest unary code: an element that reaches it is stored as it is.
const UNARY_MAX: u8 = 8;

/// A scale from here on is a number of lowest bits for all elements alike, and this.
const FLAT: u8 = 224;

/// How a block is stored: two bits a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum BlockMode {
    /// Equal to the base's.
    Unchanged = 0,
    /// Steps.
    Steps = 1,
    /// Steps, few of which are large: bytes of zeros are left out of the first unary plane.
    Sparse = 2,
    /// The elements themselves, without the base.
    Alone = 3,
}

impl BlockMode {
    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => BlockMode::Unchanged,
            1 => BlockMode::Steps,
            2 => BlockMode::Sparse,
            _ => BlockMode::Alone,
        }
    }
}

/// What an element is made of, once the bits that never differ are dropped.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Bits of an element in the chunk.
    bits: u32,
    /// Lowest bits that are the parent's in all elements.
    kept_bits: u32,
    /// Bits of the mantissa above these.
    mantissa_bits: u32,
}

impl Shape {
    /// `None` when more bits are kept than the mantissa has.
    fn new(layout: FloatLayout, kept_bits: u32) -> Option<Self> {
        let mantissa_bits = layout.mantissa_bits.checked_sub(kept_bits)?;
        Some(Shape { bits: 8 * layout.bytes as u32, kept_bits, mantissa_bits })
    }

    #[inline(always)]
    fn sign(self) -> u32 {
        1 << (self.bits - 1)
    }

    #[inline(always)]
    fn magnitude_mask(self) -> u32 {
        self.sign() - 1
    }

    #[inline(always)]
    fn kept_mask(self) -> u32 {
        (1 << self.kept_bits) - 1
    }

    /// The most bits of a step that are stored as they are.
    #[inline(always)]
    fn low_bits_max(self) -> u8 {
        self.mantissa_bits as u8 + 1
    }
}

/// Memory that a thread keeps from chunk to chunk: fresh pages would cost more than the coding.
#[derive(Default)]
struct Scratch {
    /// The stream, as far as `len`.
    stream: Vec<u8>,
    len: usize,
    modes: Vec<u8>,
    scales: Vec<u8>,
}

/// A thread keeps no more scratch memory than this from one chunk to the next.
const SCRATCH_BYTES_MAX: usize = 1 << 22;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Appends the encoded `chunk` to `out` and says so, or leaves `out` alone when that would be no
/// shorter than the chunk. `chunk` and `base` have the same length, a multiple of the element's.
/// What is appended has been decoded and compared.
pub(super) fn encode(layout: FloatLayout, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) -> bool {
    SCRATCH.with(|scratch| {
        // Not in use: nothing below calls back.
        let Ok(mut scratch) = scratch.try_borrow_mut() else { return false };
        let done = encode_with(&mut scratch, layout, chunk, base, out);
        if scratch.stream.capacity() > SCRATCH_BYTES_MAX {
            *scratch = Scratch::default();
        }
        done
    })
}

fn encode_with(
    scratch: &mut Scratch,
    layout: FloatLayout,
    chunk: &[u8],
    base: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    if !encode::encode(scratch, layout, chunk, base, out) || out.len() - start >= chunk.len() {
        out.truncate(start);
        return false;
    }
    // Decoded again before it is believed: a fault of ours must not cost anyone's weights.
    let right = decode::gives(layout, out.get(start..).unwrap_or_default(), base, chunk);
    debug_assert!(right, "a chunk does not come back");
    if !right {
        out.truncate(start);
    }
    right
}

/// Turns the parent's bytes in `out` into the child's.
pub(super) fn decode(layout: FloatLayout, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    decode::decode(layout, stored, out)
}
