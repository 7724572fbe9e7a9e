//! What [`super::rans`] does for 32 states, where a processor takes many of them at once.

use super::WIDE_LANES;
use super::frequencies::{CODED_MAX, Histogram, STATE_MIN, SYMBOLS_MAX};

/// A symbol's frequency, above as many bits as the precision has; in these, the sum of those of the
/// symbols before it.
pub(in crate::codec) type Frequency = u32;

/// Words that rounds may write over before the first that they tell.
const SPARE_WORDS: usize = 8;

/// A token of a processor that encodes many symbols at once.
pub(in crate::codec) trait Rounds: Copy {
    /// Encodes `coded`, the last symbol first, onto `states`. Words are written to the end of
    /// `words`, which has room for one a symbol and [`SPARE_WORDS`]; returns where they begin.
    fn rounds<const BITS: u32>(
        self,
        table: &[Frequency; CODED_MAX],
        coded: &[[u16; WIDE_LANES]],
        states: &mut [u32; WIDE_LANES],
        words: &mut [u16],
    ) -> usize;
}

/// What [`Encoder::encode`](super::rans::Encoder::encode) does for 32 states, in wide registers.
#[derive(Debug, Default)]
pub(in crate::codec) struct WideEncoder {
    table: Vec<Frequency>,
    words: Vec<u16>,
}

impl WideEncoder {
    /// Appends the stream of [`coded`] symbols to `out`. The memory of the encoder is kept for the
    /// next stream.
    #[inline(always)]
    pub(in crate::codec) fn encode<const BITS: u32, M: Rounds>(
        &mut self,
        machine: M,
        contexts: &[Histogram],
        coded: &[u16],
        out: &mut Vec<u8>,
    ) {
        self.table.resize(CODED_MAX, 0);
        for (table, freqs) in self.table.as_chunks_mut::<SYMBOLS_MAX>().0.iter_mut().zip(contexts) {
            let mut start = 0;
            for (entry, freq) in table.iter_mut().zip(freqs) {
                *entry = *freq << BITS | start & ((1 << BITS) - 1);
                start += freq;
            }
        }
        let Some(table) = self.table.first_chunk::<CODED_MAX>() else { return };
        let (whole, rest) = coded.as_chunks::<WIDE_LANES>();
        let mut states = [STATE_MIN; WIDE_LANES];
        if self.words.len() < coded.len() + SPARE_WORDS {
            self.words.resize(coded.len() + SPARE_WORDS, 0);
        }
        // The last symbols, which are no whole round, come first. Their states are full of nothing
        // yet, so that at most one word a state is written.
        let mut at = self.words.len();
        for (coded, state) in rest.iter().zip(&mut states).rev() {
            let entry = table.get(usize::from(*coded)).copied().unwrap_or(0);
            let (freq, start) = ((entry >> BITS).max(1), entry & ((1 << BITS) - 1));
            if *state >= freq << (31 - BITS) {
                at -= 1;
                if let Some(word) = self.words.get_mut(at) {
                    *word = *state as u16;
                }
                *state >>= 16;
            }
            *state = ((*state / freq) << BITS) + *state % freq + start;
        }
        let room = self.words.get_mut(..at).unwrap_or_default();
        let start = machine.rounds::<BITS>(table, whole, &mut states, room);
        states.iter().for_each(|state| out.extend_from_slice(&state.to_le_bytes()));
        out.extend_from_slice(bytemuck::cast_slice(self.words.get(start..).unwrap_or_default()));
    }
}
