//! The parts of an encoded chunk: model, class stream, symbol stream, open bits.

use super::BLOCK_LEN;
use super::tables::{self, Levels};
use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::float_delta::frequencies::{FINE, Histogram, SYMBOLS_MAX, coded};
use crate::codec::float_delta::rans::{DecodeTable, Decoder, encode_narrow, encode_wide};
use crate::codec::float_delta::{NARROW_LANES, WIDE_FROM, WIDE_LANES};

/// The largest step between classes that a symbol can tell.
pub(in crate::codec) const CLASS_JUMP_MAX: i32 = 62;

pub(in crate::codec) fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

pub(in crate::codec) fn unzigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

pub(in crate::codec) fn put_len(len: usize, out: &mut Vec<u8>) {
    let mut rest = len;
    while rest > 127 {
        out.push(rest as u8 | 128);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(in crate::codec) fn take_len(stored: &mut &[u8]) -> Option<usize> {
    let mut len = 0u64;
    for place in 0..5 {
        let (byte, rest) = stored.split_first()?;
        *stored = rest;
        len |= u64::from(byte & 127) << (7 * place);
        if *byte < 128 {
            return usize::try_from(len).ok();
        }
    }
    None
}

/// The parts as they are stored.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Parts<'a> {
    pub(in crate::codec) model: &'a [u8],
    pub(in crate::codec) classes: &'a [u8],
    pub(in crate::codec) symbols: &'a [u8],
    pub(in crate::codec) open: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Appends the lengths of all parts but the last, and the parts.
    pub(in crate::codec) fn write(self, out: &mut Vec<u8>) {
        let parts = [self.model, self.classes, self.symbols];
        parts.iter().for_each(|part| put_len(part.len(), out));
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(self.open);
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(in crate::codec) fn read(mut stored: &'a [u8]) -> Result<Self, String> {
        let mut lens = [0; 3];
        for len in &mut lens {
            *len = take_len(&mut stored).ok_or("lengths that do not end")?;
        }
        let mut parts: [&[u8]; 3] = [&[]; 3];
        for (part, len) in parts.iter_mut().zip(lens) {
            let cut = || format!("a part of {len} bytes in {}", stored.len());
            (*part, stored) = stored.split_at_checked(len).ok_or_else(cut)?;
        }
        let [model, classes, symbols] = parts;
        Ok(Parts { model, classes, symbols, open: stored })
    }
}

/// Symbols of one stream, counted by context.
pub(in crate::codec) struct SymbolCounts(pub(in crate::codec) Vec<Histogram>);

impl SymbolCounts {
    pub(in crate::codec) fn new(contexts: usize) -> Self {
        SymbolCounts(vec![[0; SYMBOLS_MAX]; contexts])
    }

    #[inline(always)]
    pub(in crate::codec) fn add(&mut self, context: u8, symbol: u8) {
        let counts = self.0.get_mut(usize::from(context));
        if let Some(count) = counts.and_then(|counts| counts.get_mut(usize::from(symbol))) {
            *count += 1;
        }
    }

    /// Writes a table for each context; gives the frequencies that the tables tell.
    pub(in crate::codec) fn write(&self, out: &mut BitWriter) -> Vec<Histogram> {
        let tell = |counts: &Histogram| {
            let levels = tables::levels(counts);
            tables::write(&levels, out);
            tables::frequencies(&levels)
        };
        self.0.iter().map(tell).collect()
    }
}

/// Reads a table for each of so many contexts.
pub(in crate::codec) fn read_tables(
    count: usize,
    input: &mut BitReader<'_>,
) -> Result<Vec<Histogram>, String> {
    let table = |_| tables::read(input).map(|levels: Levels| tables::frequencies(&levels));
    (0..count).map(table).collect()
}

/// The stream of a chunk's symbols.
pub(in crate::codec) fn encode_symbols(
    elements: usize,
    freqs: &[Histogram],
    contexts: &[u8],
    symbols: &[u8],
) -> Vec<u8> {
    let pairs: Vec<u16> =
        contexts.iter().zip(symbols).map(|(context, symbol)| coded(*context, *symbol)).collect();
    if elements >= WIDE_FROM {
        encode_wide::<FINE>(freqs, &pairs)
    } else {
        encode_narrow::<NARROW_LANES, FINE>(freqs, &pairs)
    }
}

/// Classes of blocks on their way out: each as its difference from the one before.
pub(in crate::codec) fn encode_classes(symbols: &[u8], model: &mut BitWriter) -> Vec<u8> {
    let mut counts = SymbolCounts::new(1);
    symbols.iter().for_each(|symbol| counts.add(0, *symbol));
    let freqs = counts.write(model);
    let symbols: Vec<u16> = symbols.iter().map(|symbol| coded(0, *symbol)).collect();
    encode_narrow::<1, FINE>(&freqs, &symbols)
}

/// Reads symbols of blocks' classes, one at a time.
pub(in crate::codec) struct ClassReader<'a> {
    table: DecodeTable<FINE>,
    decoder: Decoder<'a, 1>,
}

impl<'a> ClassReader<'a> {
    pub(in crate::codec) fn new(freqs: &[Histogram], stream: &'a [u8]) -> Result<Self, String> {
        Ok(ClassReader {
            table: DecodeTable::new(Vec::new(), freqs),
            decoder: Decoder::new(stream)?,
        })
    }

    #[inline]
    pub(in crate::codec) fn next(&mut self) -> u8 {
        let mut symbol = [0];
        self.decoder.decode(&self.table, &mut [0], &mut symbol);
        let [symbol] = symbol;
        symbol
    }

    pub(in crate::codec) fn is_finished(&self) -> bool {
        self.decoder.is_finished()
    }
}

/// Reads the symbols of elements, a block at a time.
pub(in crate::codec) enum SymbolReader<'a> {
    Wide(DecodeTable<FINE>, Decoder<'a, WIDE_LANES>),
    Narrow(DecodeTable<FINE>, Decoder<'a, NARROW_LANES>),
}

impl<'a> SymbolReader<'a> {
    pub(in crate::codec) fn new(
        elements: usize,
        freqs: &[Histogram],
        stream: &'a [u8],
    ) -> Result<Self, String> {
        let table = DecodeTable::new(Vec::new(), freqs);
        Ok(if elements >= WIDE_FROM {
            SymbolReader::Wide(table, Decoder::new(stream)?)
        } else {
            SymbolReader::Narrow(table, Decoder::new(stream)?)
        })
    }

    #[inline]
    pub(in crate::codec) fn next(&mut self, contexts: &mut [u8], symbols: &mut [u8]) {
        match self {
            SymbolReader::Wide(table, decoder) => {
                if let (Ok(contexts), Ok(symbols)) = (
                    <&[u8; BLOCK_LEN]>::try_from(&*contexts),
                    <&mut [u8; BLOCK_LEN]>::try_from(&mut *symbols),
                ) {
                    return decoder.decode_whole(table, contexts, symbols);
                }
                decoder.decode(table, contexts, symbols);
            }
            SymbolReader::Narrow(table, decoder) => decoder.decode(table, contexts, symbols),
        }
    }

    pub(in crate::codec) fn is_finished(&self) -> bool {
        match self {
            SymbolReader::Wide(_, decoder) => decoder.is_finished(),
            SymbolReader::Narrow(_, decoder) => decoder.is_finished(),
        }
    }
}

/// Appends up to 64 bits.
#[inline(always)]
pub(in crate::codec) fn put_wide(value: u64, count: u32, out: &mut BitWriter) {
    if count <= 32 {
        out.put(value as u32, count);
    } else {
        out.put(value as u32, 32);
        out.put((value >> 32) as u32, count - 32);
    }
}

/// Reads up to 64 bits.
#[inline(always)]
pub(in crate::codec) fn take_wide(count: u32, input: &mut BitReader<'_>) -> u64 {
    let low = u64::from(input.take(count.min(32)));
    if count <= 32 { low } else { low | u64::from(input.take(count - 32)) << 32 }
}

/// Bytes that hold the open bits of a block, at most 64 an element, and a whole word behind.
pub(in crate::codec) const WINDOW_LEN: usize = 8 * BLOCK_LEN + 16;
