//! A chunk from its base and what was written of it.

use super::{FIRST_OPEN, Model, ZEROED, apply, fits};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::number::{Number, load, store};
use crate::codec::coded::parts::{
    ClassReader, Parts, SymbolReader, read_tables, take_wide, unzigzag,
};
use crate::codec::float_delta::bits::BitReader;

/// Turns the base's bytes in `out` into the chunk's.
pub(in crate::codec) fn decode(
    number: Number,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    if !fits(number, out.len()) {
        return Err(format!("{} bytes are not whole numbers", out.len()));
    }
    match number.bytes {
        1 => run::<1>(number, stored, out),
        2 => run::<2>(number, stored, out),
        4 => run::<4>(number, stored, out),
        _ => run::<8>(number, stored, out),
    }
}

/// The step of a symbol of a wide number.
#[inline(always)]
fn step_of(symbol: u8, open: &mut BitReader<'_>) -> i64 {
    let symbol = u32::from(symbol);
    let (magnitude, negative) = match symbol.checked_sub(FIRST_OPEN) {
        None => (u64::from(symbol.div_ceil(2)), symbol != 0 && symbol.is_multiple_of(2)),
        Some(place) => {
            let (class, count) = (place / 2, place / 4 + 1);
            let magnitude = u64::from(2 + class % 2) << count | take_wide(count, open);
            (magnitude, !place.is_multiple_of(2))
        }
    };
    if negative { (magnitude as i64).wrapping_neg() } else { magnitude as i64 }
}

fn run<const BYTES: usize>(number: Number, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    let parts = Parts::read(stored)?;
    let mut input = BitReader::new(parts.model);
    let model = Model::read(&mut input)?;
    let class_freqs = read_tables(1, &mut input)?;
    let symbol_freqs = read_tables(model.contexts, &mut input)?;
    if !input.is_finished() {
        return Err("a model of another length".to_owned());
    }
    let mut classes = ClassReader::new(&class_freqs, parts.classes)?;
    let mut symbols = SymbolReader::new(out.len() / BYTES, &symbol_freqs, parts.symbols)?;
    let mut open = BitReader::new(parts.open);
    let mut scale = model.first_scale;
    let (mut contexts, mut block_symbols) = ([0u8; BLOCK_LEN], [0u8; BLOCK_LEN]);
    for block in out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN) {
        let Some(jump) = u32::from(classes.next()).checked_sub(1) else { continue };
        scale = scale.wrapping_add(unzigzag(jump));
        let contexts = contexts.get_mut(..block.len()).unwrap_or_default();
        let block_symbols = block_symbols.get_mut(..block.len()).unwrap_or_default();
        for (context, element) in contexts.iter_mut().zip(block.iter()) {
            *context = model.context(number, scale, load(element));
        }
        symbols.next(contexts, block_symbols);
        for (element, symbol) in block.iter_mut().zip(block_symbols.iter()) {
            let base = load(element);
            let moved = if BYTES == 1 {
                apply(number, base, unzigzag(u32::from(*symbol)).into())
            } else if *symbol == ZEROED {
                if number.mantissa_bits.is_some() { base & number.sign() } else { 0 }
            } else {
                apply(number, base, step_of(*symbol, &mut open))
            };
            store(moved, element);
        }
    }
    if !classes.is_finished() || !symbols.is_finished() || !open.is_finished() {
        return Err("streams that do not end with the chunk".to_owned());
    }
    Ok(())
}
