//! Which blocks have changed elements, as the lengths of runs: of a matrix of which a batch touches
//! few rows, most have none.

use crate::codec::float_delta::bits::{BitReader, BitWriter};
use crate::codec::float_delta::log2;

/// About the bits of a short run.
const RUN_BITS: usize = 2;

/// The runs of blocks without, of blocks with, and so on; only the first may be empty. Nothing
/// when they would not pay: these changes lie as anywhere.
pub(super) fn write(live: &[bool], changed: usize) -> Vec<u8> {
    let with = live.iter().filter(|live| **live).count().max(1);
    // What the gaps lose when they count elements of these blocks only.
    let gain = changed as f32 * log2(live.len() as f32 / with as f32);
    let turns = live.iter().zip(live.iter().skip(1)).filter(|(a, b)| a != b).count();
    if (RUN_BITS * turns) as f32 > gain {
        return Vec::new();
    }
    let mut out = BitWriter::default();
    let mut runs = live.chunk_by(|a, b| a == b).peekable();
    if runs.peek().is_some_and(|run| run.first() == Some(&true)) {
        out.put_gamma(1);
    } else if let Some(run) = runs.next() {
        out.put_gamma(run.len() as u32 + 1);
    }
    runs.for_each(|run| out.put_gamma(run.len() as u32));
    let runs = out.finish();
    if (8 * runs.len()) as f32 <= gain { runs } else { Vec::new() }
}

/// Reads what [`write`] wrote, for so many blocks.
pub(super) fn read(stored: &[u8], blocks: usize, live: &mut Vec<bool>) -> Result<(), String> {
    live.clear();
    if stored.is_empty() {
        live.resize(blocks, true);
        return Ok(());
    }
    let mut bits = BitReader::new(stored);
    let (mut with, mut first) = (false, 1);
    while live.len() < blocks {
        let len = bits.take_gamma().ok_or("a run that does not end")? as usize - first;
        if len > blocks - live.len() {
            return Err("a run behind the last block".to_owned());
        }
        live.resize(live.len() + len, with);
        (with, first) = (!with, 0);
    }
    if bits.is_finished() { Ok(()) } else { Err("runs of another length".to_owned()) }
}
