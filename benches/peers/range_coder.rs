//! A range coder without carries over 64 bits, and an adaptive model whose frequencies are
//! renewed now and then.

/// Frequencies of one model add up to 1 << this.
const TOTAL_BITS: u32 = 16;

pub struct Encoder<'a> {
    low: u64,
    range: u64,
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Encoder { low: 0, range: u64::MAX, out }
    }

    #[inline]
    pub fn symbol(&mut self, model: &mut Model, symbol: usize) {
        self.range >>= TOTAL_BITS;
        self.low = self.low.wrapping_add(u64::from(model.starts[symbol]) * self.range);
        self.range *= u64::from(model.starts[symbol + 1] - model.starts[symbol]);
        self.normalise();
        model.count(symbol);
    }

    /// The `bits` (at most 31) of `value` as they are.
    #[inline]
    pub fn raw(&mut self, value: u32, bits: u32) {
        self.range >>= bits;
        self.low = self.low.wrapping_add(u64::from(value) * self.range);
        self.normalise();
    }

    #[inline]
    fn normalise(&mut self) {
        while let Some(range) = settled(self.low, self.range) {
            self.out.extend_from_slice(&((self.low >> 32) as u32).to_be_bytes());
            self.low <<= 32;
            self.range = range << 32;
        }
    }

    pub fn finish(self) {
        self.out.extend_from_slice(&self.low.to_be_bytes());
    }
}

/// The range to go on with after the upper half of `low` is written, if it is to be written: it
/// will not change any more, or the range is so narrow that it is cut for it not to.
#[inline]
fn settled(low: u64, range: u64) -> Option<u64> {
    if (low ^ low.wrapping_add(range)) >> 32 == 0 {
        Some(range)
    } else if range < 1 << 32 {
        Some(low.wrapping_neg() & 0xffff_ffff)
    } else {
        None
    }
}

pub struct Decoder<'a> {
    low: u64,
    range: u64,
    code: u64,
    stored: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub fn new(stored: &'a [u8]) -> Self {
        let mut decoder = Decoder { low: 0, range: u64::MAX, code: 0, stored };
        decoder.word();
        decoder.word();
        decoder
    }

    #[inline]
    fn word(&mut self) {
        let word = match self.stored.split_first_chunk() {
            Some((word, rest)) => {
                self.stored = rest;
                u32::from_be_bytes(*word)
            }
            None => 0,
        };
        self.code = self.code << 32 | u64::from(word);
    }

    #[inline]
    pub fn symbol(&mut self, model: &mut Model) -> usize {
        self.range >>= TOTAL_BITS;
        let at = self.code.wrapping_sub(self.low) / self.range;
        let symbol = model.find(at as u32);
        self.low = self.low.wrapping_add(u64::from(model.starts[symbol]) * self.range);
        self.range *= u64::from(model.starts[symbol + 1] - model.starts[symbol]);
        self.normalise();
        model.count(symbol);
        symbol
    }

    #[inline]
    pub fn raw(&mut self, bits: u32) -> u32 {
        self.range >>= bits;
        let value = self.code.wrapping_sub(self.low) / self.range;
        self.low = self.low.wrapping_add(value * self.range);
        self.normalise();
        value as u32
    }

    #[inline]
    fn normalise(&mut self) {
        while let Some(range) = settled(self.low, self.range) {
            self.word();
            self.low <<= 32;
            self.range = range << 32;
        }
    }
}

/// Symbols that a model has: classes of a step of up to 32 bits, of either sign.
pub const SYMBOLS: usize = 65;

/// Symbols between two renewals at the beginning, and later on.
const PERIODS: [u32; 2] = [16, 1024];

/// Frequencies that follow what was coded.
pub struct Model {
    /// Where each symbol's range begins; one more for the end.
    starts: [u32; SYMBOLS + 1],
    counts: [u32; SYMBOLS],
    /// The symbol at the beginning of each 128th of the range.
    near: [u8; 1 << (TOTAL_BITS - 7)],
    left: u32,
    period: u32,
}

impl Model {
    pub fn new() -> Self {
        let mut model = Model {
            starts: [0; SYMBOLS + 1],
            counts: [1; SYMBOLS],
            near: [0; 1 << (TOTAL_BITS - 7)],
            left: 0,
            period: PERIODS[0],
        };
        model.renew();
        model
    }

    #[inline]
    fn find(&self, at: u32) -> usize {
        let at = at.min((1 << TOTAL_BITS) - 1);
        let mut symbol = usize::from(self.near[(at >> 7) as usize]);
        while self.starts[symbol + 1] <= at {
            symbol += 1;
        }
        symbol
    }

    #[inline]
    fn count(&mut self, symbol: usize) {
        self.counts[symbol] += 32;
        self.left -= 1;
        if self.left == 0 {
            self.renew();
        }
    }

    #[cold]
    fn renew(&mut self) {
        let mut total: u32 = self.counts.iter().sum();
        if total > 1 << 20 {
            self.counts.iter_mut().for_each(|count| *count = (*count / 2).max(1));
            total = self.counts.iter().sum();
        }
        // Every symbol has at least one part of the range; the last one takes what is over.
        let share = (1 << TOTAL_BITS) - SYMBOLS as u64;
        let mut start = 0;
        for (symbol, count) in self.counts.iter().enumerate() {
            self.starts[symbol] = start;
            start += 1 + (u64::from(*count) * share / u64::from(total)) as u32;
        }
        self.starts[SYMBOLS] = 1 << TOTAL_BITS;
        let mut symbol = 0;
        for (at, near) in self.near.iter_mut().enumerate() {
            while self.starts[symbol + 1] <= (at as u32) << 7 {
                symbol += 1;
            }
            *near = symbol as u8;
        }
        self.left = self.period;
        self.period = (self.period * 2).min(PERIODS[1]);
    }
}
