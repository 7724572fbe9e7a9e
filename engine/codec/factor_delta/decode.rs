//! A chunk from its parent and what was written of it.

use super::ZEROED;
use super::model::{Known, Model};
use super::predict::{apply, floor};
use crate::codec::coded::BLOCK_LEN;
use crate::codec::coded::parts::{ClassReader, Parts, SymbolReader, read_tables, unzigzag};
use crate::codec::cpu::on_cpu;
use crate::codec::float_delta::FloatLayout;
use crate::codec::float_delta::bits::BitReader;
use crate::codec::float_delta::{Steps, store};

/// Turns the parent's bytes in `out` into the child's.
pub(in crate::codec) fn decode(
    layout: FloatLayout,
    stored: &[u8],
    out: &mut [u8],
) -> Result<(), String> {
    if !out.len().is_multiple_of(layout.bytes) {
        return Err(format!("{} bytes are not whole elements", out.len()));
    }
    let parts = Parts::read(stored)?;
    let elements = out.len() / layout.bytes;
    let mut input = BitReader::new(parts.model);
    let model = Model::read(elements, &mut input)?;
    let class_freqs = read_tables(1, &mut input)?;
    let freqs = read_tables(model.tables, &mut input)?;
    if !input.is_finished() {
        return Err("a model of another length".to_owned());
    }
    let mut streams = Streams {
        classes: ClassReader::new(&class_freqs, parts.classes)?,
        symbols: SymbolReader::new(elements, &freqs, parts.symbols)?,
        open: BitReader::new(parts.open),
    };
    on_cpu!(_cpu => decode_any(layout, &model, &mut streams, out));
    if streams.is_finished() {
        Ok(())
    } else {
        Err("streams that do not end with the chunk".into())
    }
}

/// The streams at a block.
struct Streams<'a> {
    classes: ClassReader<'a>,
    symbols: SymbolReader<'a>,
    open: BitReader<'a>,
}

impl Streams<'_> {
    fn is_finished(&self) -> bool {
        self.classes.is_finished() && self.symbols.is_finished() && self.open.is_finished()
    }
}

/// The numbers of each layout are constants in its copy of the code.
#[inline(always)]
fn decode_any(layout: FloatLayout, model: &Model, streams: &mut Streams<'_>, out: &mut [u8]) {
    match layout {
        FloatLayout::F16 => decode_as::<2>(FloatLayout::F16, model, streams, out),
        FloatLayout::BF16 => decode_as::<2>(FloatLayout::BF16, model, streams, out),
        _ => decode_as::<4>(FloatLayout::F32, model, streams, out),
    }
}

#[inline(always)]
fn decode_as<const BYTES: usize>(
    layout: FloatLayout,
    model: &Model,
    streams: &mut Streams<'_>,
    out: &mut [u8],
) {
    let mut scale = model.first_scale;
    let (mut known, mut steps) = (Known::new(), Steps::default());
    let (mut parents, mut contexts, mut symbols) =
        ([0u32; BLOCK_LEN], [0u8; BLOCK_LEN], [0u8; BLOCK_LEN]);
    for (at, block) in out.chunks_mut(BLOCK_LEN * BYTES).enumerate() {
        let class = streams.classes.next();
        if class == 0 {
            continue;
        }
        scale = scale.wrapping_add(unzigzag(u32::from(class) - 1));
        let len = block.len() / BYTES;
        layout.load(block, &mut parents);
        model.know(layout, at * BLOCK_LEN, &parents, &mut known);
        let of = contexts.iter_mut().zip(known.sizes.iter().zip(&known.far));
        of.for_each(|(context, (size, far))| *context = model.table(scale, *size, *far));
        let symbols = symbols.get_mut(..len).unwrap_or_default();
        let contexts = contexts.get_mut(..len).unwrap_or_default();
        streams.symbols.next(contexts, symbols);
        streams.open.with_open(|open| steps.fill(symbols, open));
        let floor = floor(layout, scale);
        let moves = steps.magnitudes.iter().zip(&steps.negatives).zip(&known.flips);
        let elements = known.predicted.iter_mut().zip(moves);
        for (element, ((magnitude, negative), flip)) in elements {
            *element = apply(layout, floor, *element, *magnitude, negative ^ flip);
        }
        let children = known.predicted.iter_mut().zip(&parents).zip(symbols.iter());
        for ((child, parent), symbol) in children {
            *child = if *symbol == ZEROED { parent & layout.sign() } else { *child };
        }
        let elements = block.as_chunks_mut::<BYTES>().0.iter_mut().zip(&known.predicted);
        elements.for_each(|(element, child)| store(*child, element));
    }
}
