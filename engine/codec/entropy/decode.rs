//! A chunk from what was written of it.

use super::{BRAIN, DOUBLE, EXPANSION_MAX, HALF, Model, SINGLE, fits, tables};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::floats::FloatReader;
use crate::codec::coded::number::Number;
use crate::codec::coded::parts::{ClassReader, Parts, SymbolReader, unzigzag};
use crate::codec::cpu::run_wide;
use crate::codec::float_delta::bits::BitReader;

/// Fills `out` with the chunk.
pub(in crate::codec) fn decode(
    number: Number,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    if !fits(number, out.len()) {
        return Err(format!("{} bytes are not whole floats or bytes", out.len()));
    }
    if out.len() > stored.len().saturating_mul(EXPANSION_MAX) {
        return Err(format!("{} bytes from {}", out.len(), stored.len()));
    }
    run_wide(
        #[inline(always)]
        || match (number.bytes, number.mantissa_bits) {
            (1, _) => run::<1>(number, stored, out),
            (2, Some(10)) => run::<2>(HALF, stored, out),
            (2, _) => run::<2>(BRAIN, stored, out),
            (4, _) => run::<4>(SINGLE, stored, out),
            (_, _) => run::<8>(DOUBLE, stored, out),
        },
    )
}

#[inline(always)]
fn run<const BYTES: usize>(number: Number, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    let parts = Parts::read(stored)?;
    let mut input = BitReader::new(parts.model);
    let model = Model::read(number, &mut input)?;
    let (class_freqs, symbol_freqs) = tables(model, &mut input)?;
    if !input.is_finished() {
        return Err("a model of another length".to_owned());
    }
    let mut classes = match model.blocked {
        true => Some(ClassReader::new(&class_freqs, parts.classes)?),
        false if parts.classes.is_empty() => None,
        false => return Err("classes of a chunk without".to_owned()),
    };
    let mut symbols = SymbolReader::new(out.len() / BYTES, &symbol_freqs, parts.symbols)?;
    let mut floats = model.shape.map(|shape| FloatReader::new(shape, parts.open));
    let (mut class, mut short) = (model.first_class, true);
    let (mut contexts, mut block_symbols) = ([0u8; BLOCK_LEN], [0u8; BLOCK_LEN]);
    for block in out.as_chunks_mut::<BYTES>().0.chunks_mut(BLOCK_LEN) {
        if let Some(classes) = &mut classes {
            let symbol = u32::from(classes.next());
            class = class.wrapping_add(unzigzag(symbol >> 1));
            short = symbol & 1 == 0;
        }
        let contexts = contexts.get_mut(..block.len()).unwrap_or_default();
        let block_symbols = block_symbols.get_mut(..block.len()).unwrap_or_default();
        contexts.fill(model.context(class));
        symbols.next(contexts, block_symbols);
        match &mut floats {
            Some(floats) => {
                floats.fill::<BYTES, false>(block_symbols, model.from(class), short, block);
            }
            None => {
                for (element, symbol) in block.iter_mut().zip(block_symbols.iter()) {
                    element.fill(*symbol);
                }
            }
        }
    }
    let open_is_finished = match &floats {
        Some(floats) => floats.is_finished(),
        None => parts.open.is_empty(),
    };
    let classes_are_finished = classes.is_none_or(|classes| classes.is_finished());
    if !classes_are_finished || !symbols.is_finished() || !open_is_finished {
        return Err("streams that do not end with the chunk".to_owned());
    }
    Ok(())
}
