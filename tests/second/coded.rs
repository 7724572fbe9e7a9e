//! What several encodings share, as the page tells it: parts, coarse tables, streams. A second
//! reader, slow and obvious, that panics where the bytes are not as the page says.

/// Bits, the lowest of each byte first.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0 }
    }

    pub fn number(&mut self, bits: u32) -> u64 {
        let mut number = 0;
        for place in 0..bits {
            number |= u64::from(self.bytes[self.at / 8] >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        number
    }

    pub fn gamma(&mut self) -> u64 {
        let mut bits = 0;
        while self.number(1) == 0 {
            bits += 1;
        }
        (1 << bits) + self.number(bits)
    }

    /// Whether a one is still to come.
    pub fn ones_left(&self) -> bool {
        (self.at..8 * self.bytes.len()).any(|at| self.bytes[at / 8] >> (at % 8) & 1 == 1)
    }

    pub fn end(mut self) {
        while !self.at.is_multiple_of(8) {
            assert_eq!(self.number(1), 0, "bits to spare are zero");
        }
        assert_eq!(self.at, 8 * self.bytes.len(), "nothing is behind the bits");
    }
}

pub fn zigzag(number: u64) -> i64 {
    let half = number.div_ceil(2) as i64;
    if number.is_multiple_of(2) { half } else { -half }
}

fn length(bytes: &mut &[u8]) -> usize {
    let mut len = 0;
    for place in 0..5 {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        len += usize::from(byte % 128) << (7 * place);
        if byte < 128 {
            return len;
        }
    }
    panic!("a length of more than 5 bytes");
}

/// Parts whose lengths come before all of them; the last one is what is left.
pub fn parts<const PARTS: usize>(mut stored: &[u8]) -> [&[u8]; PARTS] {
    let lens: Vec<usize> = (1..PARTS).map(|_| length(&mut stored)).collect();
    let mut parts = [stored; PARTS];
    for (part, len) in parts.iter_mut().zip(lens) {
        *part = &stored[..len];
        stored = &stored[len..];
    }
    parts[PARTS - 1] = stored;
    parts
}

/// How often each symbol occurs, of 4,096.
pub struct Table([u64; 256]);

impl Table {
    pub fn read(bits: &mut Bits) -> Self {
        let mut levels = [0i64; 256];
        let count = bits.gamma() as usize - 1;
        if count > 0 {
            let first = bits.number(8) as usize;
            let mut level = 49;
            for place in &mut levels[first..first + count] {
                level += zigzag(bits.gamma() - 1);
                assert!((0..=49).contains(&level));
                *place = level;
            }
        }
        let weight = |level: i64| match level {
            0 => 0,
            level => {
                [16_384u64, 19_484, 23_170, 27_554][(level as usize - 1) % 4] << ((level - 1) / 4)
            }
        };
        let occur = levels.iter().filter(|level| **level > 0).count() as u64;
        let sum: u64 = levels.iter().map(|level| weight(*level)).sum();
        let mut table = [0; 256];
        for (frequency, level) in table.iter_mut().zip(levels).filter(|(_, level)| *level > 0) {
            *frequency = 1 + weight(level) * (4096 - occur) / sum;
        }
        let highest = levels.iter().max().unwrap();
        let first = levels.iter().position(|level| level == highest).unwrap();
        table[first] += 4096 - table.iter().sum::<u64>();
        Table(table)
    }
}

/// A stream of symbols.
pub struct Stream {
    states: Vec<u64>,
    words: Vec<u64>,
    symbols_read: usize,
    words_read: usize,
}

impl Stream {
    pub fn new(bytes: &[u8], states: usize) -> Self {
        let (states, words) = bytes.split_at(4 * states);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Stream {
            states: states.chunks(4).map(number).collect(),
            words: words.chunks(2).map(number).collect(),
            symbols_read: 0,
            words_read: 0,
        }
    }

    pub fn symbol(&mut self, table: &Table) -> u64 {
        let lane = self.symbols_read % self.states.len();
        self.symbols_read += 1;
        let x = self.states[lane];
        let s = x % 4096;
        let (mut symbol, mut before) = (0, 0);
        while s >= before + table.0[symbol] {
            before += table.0[symbol];
            symbol += 1;
        }
        let mut x = table.0[symbol] * (x / 4096) + s - before;
        if x < 1 << 15 {
            x = (x << 16) + self.words[self.words_read];
            self.words_read += 1;
        }
        self.states[lane] = x;
        symbol as u64
    }

    pub fn end(self) {
        assert_eq!(self.words_read, self.words.len(), "all words are read");
        assert!(self.states.iter().all(|state| *state == 1 << 15), "the states are at the start");
    }
}
