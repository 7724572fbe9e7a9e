//! The steps of a block, and the children that they lead to.

use super::block::{FunctionTable, OPEN_BYTES, OpenBits};
use super::floats::FloatLayout;
use super::symbols::{FIRST_CLASS, MEANINGS, NOTHING};
use super::{BLOCK_LEN, ZEROED};

/// An element of 2 or 4 bytes.
#[inline(always)]
pub(in crate::codec) fn load<const BYTES: usize>(bytes: &[u8; BYTES]) -> u32 {
    match (bytes.first_chunk::<4>(), bytes.first_chunk::<2>()) {
        (Some(word), _) => u32::from_le_bytes(*word),
        (None, Some(word)) => u32::from(u16::from_le_bytes(*word)),
        (None, None) => 0,
    }
}

/// The bytes of an element.
#[inline(always)]
pub(in crate::codec) fn store<const BYTES: usize>(element: u32, bytes: &mut [u8; BYTES]) {
    if let Some(word) = bytes.first_chunk_mut::<4>() {
        *word = element.to_le_bytes();
    } else if let Some(word) = bytes.first_chunk_mut::<2>() {
        *word = (element as u16).to_le_bytes();
    }
}

impl OpenBits<'_> {
    /// The magnitude of a symbol's step, with the bits that it leaves open, and all ones if it is
    /// negative.
    #[inline(always)]
    pub(super) fn step(&mut self, symbol: u8) -> (u32, u32) {
        let meaning = MEANINGS.get(usize::from(symbol)).copied().unwrap_or(NOTHING);
        let byte = (self.at / 8).min(OPEN_BYTES - 8);
        let word = self.bytes.get(byte..byte + 8).and_then(|word| word.first_chunk());
        let word = word.map_or(0, |word| u64::from_le_bytes(*word)) >> (self.at % 8);
        self.at += meaning.open as usize;
        (meaning.magnitude | (word as u32 & ((1 << meaning.open) - 1)), meaning.negative)
    }
}

/// The steps of a block: magnitudes, and all ones where they are negative.
#[derive(Debug)]
pub(in crate::codec) struct Steps {
    pub(in crate::codec) magnitudes: [u32; BLOCK_LEN],
    pub(in crate::codec) negatives: [u32; BLOCK_LEN],
}

/// Symbols that are asked together whether any leaves bits open.
const PART: usize = 16;

impl Default for Steps {
    fn default() -> Self {
        Steps { magnitudes: [0; BLOCK_LEN], negatives: [0; BLOCK_LEN] }
    }
}

impl Steps {
    /// From a block's symbols and the open bits.
    #[inline(always)]
    pub(in crate::codec) fn fill(&mut self, symbols: &[u8], open: &mut OpenBits<'_>) {
        let steps = self.magnitudes.iter_mut().zip(&mut self.negatives);
        for ((magnitude, negative), symbol) in steps.zip(symbols) {
            let symbol = u32::from(*symbol);
            *magnitude = symbol.div_ceil(2);
            *negative = (symbol & 1).wrapping_sub(1);
        }
        let steps = self.magnitudes.chunks_mut(PART).zip(self.negatives.chunks_mut(PART));
        for ((magnitudes, negatives), symbols) in steps.zip(symbols.chunks(PART)) {
            let most = symbols.iter().fold(0, |most, symbol| (*symbol).max(most));
            if u32::from(most) < FIRST_CLASS {
                continue;
            }
            for ((magnitude, negative), symbol) in magnitudes.iter_mut().zip(negatives).zip(symbols)
            {
                (*magnitude, *negative) = open.step(*symbol);
            }
        }
    }

    /// Adds the function's steps to those of a block's parents.
    #[inline(always)]
    fn add<const BYTES: usize>(&mut self, function: FunctionTable<'_>, block: &[[u8; BYTES]]) {
        let FunctionTable { steps, shift } = function;
        let mut own = [0i32; BLOCK_LEN];
        for (own, element) in own.iter_mut().zip(block) {
            let place = (load(element) >> shift) as usize & steps.len().saturating_sub(1);
            *own = steps.get(place).copied().unwrap_or(0);
        }
        let moves = self.magnitudes.iter_mut().zip(&mut self.negatives);
        for ((magnitude, negative), own) in moves.zip(own) {
            let opposed = *negative ^ (own >> 31) as u32;
            let own = own.unsigned_abs();
            // Opposed steps leave the sign of the longer one.
            let turned = if own > *magnitude { opposed } else { 0 };
            let sum = magnitude.wrapping_add(own);
            *magnitude = if opposed == 0 { sum } else { own.abs_diff(*magnitude) };
            *negative ^= turned;
        }
    }

    /// Turns the parents in `block` into children.
    #[inline(always)]
    pub(super) fn put_back<const BYTES: usize>(
        &mut self,
        layout: FloatLayout,
        function: Option<FunctionTable<'_>>,
        symbols: &[u8],
        block: &mut [[u8; BYTES]],
    ) {
        if let Some(function) = function {
            self.add(function, block);
        }
        let moves = self.magnitudes.iter().zip(&self.negatives).zip(symbols.iter());
        for (element, ((magnitude, negative), symbol)) in block.iter_mut().zip(moves) {
            let parent = load(element);
            let moved = layout.apply(parent, *magnitude, *negative);
            store(if *symbol == ZEROED { parent & layout.sign() } else { moved }, element);
        }
    }
}
