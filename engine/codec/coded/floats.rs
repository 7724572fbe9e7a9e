//! Floats as symbols of exponent and highest mantissa bits, and the bits that are left open.
//!
//! Symbol 0 is zero, 1 is negative zero, 2 leaves all bits open. From 3 on, a symbol tells how far
//! the exponent is above a lowest one, the highest bits of the mantissa and, if the shape says so,
//! the sign; the rest of the mantissa is open, but for lowest bits that are zero everywhere.

use super::number::{Number, load, store};
use super::parts::{WINDOW_LEN, take_wide, unzigzag, zigzag};
use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::float_delta::frequencies::SYMBOLS_MAX;

/// The symbol that leaves everything open.
const ESCAPE: u8 = 2;
/// The first symbol of a number that is told by its exponent.
pub(in crate::codec) const FIRST: u32 = 3;

/// What symbols tell of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) struct FloatShape {
    pub(in crate::codec) number: Number,
    /// The least exponent, from where the block's or the base's leads to.
    pub(in crate::codec) low: i32,
    /// Highest bits of the mantissa that a symbol tells.
    pub(in crate::codec) top: u32,
    /// Whether it tells the sign.
    pub(in crate::codec) signed: bool,
    /// Lowest bits of the mantissa that are zero in short blocks.
    pub(in crate::codec) trailing: u32,
}

/// What a symbol stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Meaning {
    /// The bits that it tells.
    bits: u64,
    /// How many are open, unless it is told by its exponent.
    open: u32,
    /// Whether it is told by its exponent.
    is_told: bool,
}

impl FloatShape {
    fn mantissa_bits(self) -> u32 {
        self.number.mantissa_bits.unwrap_or(0)
    }

    /// The shape in a block, which is short or not.
    #[inline(always)]
    pub(in crate::codec) fn of_block(self, short: bool) -> Self {
        FloatShape { trailing: if short { self.trailing } else { 0 }, ..self }
    }

    /// Bits of the mantissa that are open.
    #[inline(always)]
    fn rest(self) -> u32 {
        self.mantissa_bits().saturating_sub(self.top + self.trailing)
    }

    /// Bits that symbols from [`FIRST`] on leave open.
    #[inline(always)]
    pub(in crate::codec) fn open(self) -> u32 {
        self.rest() + u32::from(!self.signed)
    }

    /// Exponents that have symbols.
    pub(in crate::codec) fn exponents(self) -> u32 {
        (SYMBOLS_MAX as u32 - FIRST) >> (self.top + u32::from(self.signed))
    }

    pub(in crate::codec) fn write(self, out: &mut BitWriter) {
        out.put(zigzag(self.low) & 0xffff, 16);
        out.put(self.top, 3);
        out.put(u32::from(self.signed), 1);
        out.put(self.trailing, 6);
    }

    pub(in crate::codec) fn read(
        number: Number,
        input: &mut BitReader<'_>,
    ) -> Result<Self, String> {
        let low = unzigzag(input.take(16));
        let top = input.take(3);
        let signed = input.take(1) == 1;
        let trailing = input.take(6);
        let shape = FloatShape { number, low, top, signed, trailing };
        if top + trailing > shape.mantissa_bits() {
            return Err(format!("{top} and {trailing} bits of a mantissa"));
        }
        Ok(shape)
    }

    /// The symbol of a float, and the bits that it leaves open. `from` is added to the least
    /// exponent, `flip` to the sign.
    #[inline(always)]
    pub(in crate::codec) fn symbol(self, float: u64, from: i32, flip: u64) -> (u8, u64, u32) {
        let (number, mantissa_bits) = (self.number, self.mantissa_bits());
        let magnitude = float & (number.sign() - 1);
        if magnitude == 0 {
            return (u8::from(float != 0), 0, 0);
        }
        let mantissa = magnitude & ((1 << mantissa_bits) - 1);
        let above = i64::from(number.exponent(float)) - i64::from(self.low) - i64::from(from);
        let lost = mantissa & ((1 << self.trailing) - 1);
        if above < 0 || above >= i64::from(self.exponents()) || lost != 0 {
            return (ESCAPE, float, number.bits());
        }
        let sign = u64::from(float & number.sign() != 0) ^ flip;
        let rest = mantissa >> self.trailing & ((1 << self.rest()) - 1);
        let told = (above as u64) << self.top | mantissa >> (mantissa_bits - self.top);
        if self.signed {
            (((told << 1 | sign) + u64::from(FIRST)) as u8, rest, self.rest())
        } else {
            ((told + u64::from(FIRST)) as u8, rest << 1 | sign, self.rest() + 1)
        }
    }

    fn meanings(self) -> [Meaning; SYMBOLS_MAX] {
        let mut meanings = [Meaning::default(); SYMBOLS_MAX];
        for (symbol, meaning) in meanings.iter_mut().enumerate() {
            *meaning = match (symbol as u32).checked_sub(FIRST) {
                None if symbol == usize::from(ESCAPE) => {
                    Meaning { bits: 0, open: self.number.bits(), is_told: false }
                }
                None => {
                    let bits = if symbol == 1 { self.number.sign() } else { 0 };
                    Meaning { bits, open: 0, is_told: false }
                }
                Some(place) => {
                    let (told, sign) =
                        if self.signed { (place >> 1, place & 1) } else { (place, 0) };
                    // A half has fewer exponents than there are symbols: what is above the last of
                    // them, counted from below the first, must not reach into the sign.
                    let sign_bit = self.number.sign();
                    let magnitude = u64::from(told) << (self.mantissa_bits() - self.top);
                    let bits = magnitude & (sign_bit - 1) | (u64::from(sign) * sign_bit);
                    Meaning { bits, open: 0, is_told: true }
                }
            };
        }
        meanings
    }
}

/// Turns symbols and open bits into floats.
pub(in crate::codec) struct FloatReader<'a> {
    shape: FloatShape,
    meanings: [Meaning; SYMBOLS_MAX],
    open: BitReader<'a>,
}

impl<'a> FloatReader<'a> {
    pub(in crate::codec) fn new(shape: FloatShape, open: &'a [u8]) -> Self {
        FloatReader { shape, meanings: shape.meanings(), open: BitReader::new(open) }
    }

    /// Fills a block, which is short or not. `from` is added to the least exponent; with `FLIPPED`,
    /// signs are relative to those of what `out` holds, but of zeros and of what is all open.
    #[inline(always)]
    pub(in crate::codec) fn fill<const BYTES: usize, const FLIPPED: bool>(
        &mut self,
        symbols: &[u8],
        from: i32,
        short: bool,
        out: &mut [[u8; BYTES]],
    ) {
        let shape = self.shape.of_block(short);
        let (sign, magnitudes) = (shape.number.sign(), shape.number.sign() - 1);
        let least = (from.wrapping_add(shape.low) as u64) << shape.mantissa_bits();
        let sign_bits = u32::from(!shape.signed);
        let (sign_at, sign_mask) = (shape.number.bits() - 1, u64::from(sign_bits));
        let (rest_mask, trailing) = ((1u64 << shape.rest()) - 1, shape.trailing);
        let all_told = symbols.iter().all(|symbol| u32::from(*symbol) >= FIRST);
        let join = |bits: u64, open: u64, old: u64| {
            let flip = if FLIPPED { old & sign } else { 0 };
            let rest = (open >> sign_bits & rest_mask) << trailing;
            let magnitude = (bits & magnitudes).wrapping_add(least) & magnitudes;
            magnitude | rest | ((bits & sign) | (open & sign_mask) << sign_at) ^ flip
        };
        if all_told && let Some((window, start)) = self.open.window::<WINDOW_LEN>() {
            let mut at = start;
            for (symbol, element) in symbols.iter().zip(out) {
                let bits = self.meanings.get(usize::from(*symbol)).map_or(0, |known| known.bits);
                let byte = (at / 8) & (WINDOW_LEN - 17);
                let word = window.get(byte..byte + 8).and_then(|word| word.first_chunk());
                let word = word.map_or(0, |word| u64::from_le_bytes(*word)) >> (at % 8);
                let old = if FLIPPED { load(element) } else { 0 };
                store(join(bits, word, old), element);
                at += shape.open() as usize;
            }
            self.open.skip(at - start);
            return;
        }
        for (symbol, element) in symbols.iter().zip(out) {
            let meaning = self.meanings.get(usize::from(*symbol)).copied().unwrap_or_default();
            let open = if meaning.is_told { shape.open() } else { meaning.open };
            let open = take_wide(open, &mut self.open);
            let old = if FLIPPED { load(element) } else { 0 };
            let float =
                if meaning.is_told { join(meaning.bits, open, old) } else { meaning.bits | open };
            store(float, element);
        }
    }

    pub(in crate::codec) fn is_finished(&self) -> bool {
        self.open.is_finished()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::codec::coded::BLOCK_LEN;
    use crate::codec::coded::parts::put_wide;
    use crate::codec::lane::Lane;
    use crate::tensor::Dtype;

    /// Exponents may be counted from below the first one: what is above it by more than a half has
    /// exponents keeps its sign nevertheless.
    #[test]
    fn every_half_comes_back_in_every_shape() {
        let number = Lane::of(&Dtype::F16).number();
        let all: Vec<u64> = (0..=0xffff).collect();
        for (low, top, signed, trailing) in [-90, -9, -1, 0, 7, 31].into_iter().flat_map(|low| {
            [(low, 0, false, 0), (low, 1, false, 2), (low, 2, true, 0), (low, 1, true, 9)]
        }) {
            let shape = FloatShape { number, low, top, signed, trailing };
            let mut open = BitWriter::default();
            let mut symbols = Vec::new();
            for half in &all {
                let (symbol, bits, count) = shape.symbol(*half, 0, 0);
                put_wide(bits, count, &mut open);
                symbols.push(symbol);
            }
            let open = open.finish();
            let mut reader = FloatReader::new(shape, &open);
            let mut found = [[0; 2]; BLOCK_LEN];
            for (halves, symbols) in all.chunks(BLOCK_LEN).zip(symbols.chunks(BLOCK_LEN)) {
                reader.fill::<2, false>(symbols, 0, true, &mut found);
                for (half, found) in halves.iter().zip(found) {
                    assert_eq!(u64::from(u16::from_le_bytes(found)), *half, "{shape:?}");
                }
            }
            assert!(reader.is_finished());
        }
    }
}
