//! Seeded mutations: the same seed gives the same inputs on every machine.

/// The SplitMix64 generator.
pub struct Random(u64);

/// Numbers that mean something in many formats.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 20,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Text that means something in JSON headers and records.
const TOKENS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "0",
    "1",
    "-1",
    "1e999",
    "4.0",
    "null",
    "true",
    " ",
    "\n",
    "\\u0061",
    "\\ud800",
    "é",
    "\"x\":1,",
    "\"dtype\":\"U8\"",
    "\"__metadata__\":{},",
    "18446744073709551615",
    "[0,0]",
];

impl Random {
    /// A generator of this seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A place in `data`, one among its zeros more seldom.
    fn place(&mut self, data: &[u8]) -> usize {
        let mut at = self.below(data.len());
        for _ in 0..8 {
            if data[at] != 0 {
                break;
            }
            at = self.below(data.len());
        }
        at
    }
}

/// Applies one to four mutations to `data`; `other` is a second input to take parts from.
pub fn mutate(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.below(4) {
        mutate_once(random, data, other);
    }
}

fn mutate_once(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    if data.is_empty() {
        data.push(random.next() as u8);
        return;
    }
    let at = random.place(data);
    match random.below(16) {
        0..4 => data[at] ^= 1 << random.below(8),
        4..6 => data[at] = random.next() as u8,
        6..9 => {
            let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
            let end = (at + (1 << random.below(4))).min(data.len());
            data[at..end].copy_from_slice(&number[..end - at]);
        }
        9 => {
            let delta = random.below(33) as u8;
            data[at] = data[at].wrapping_add(delta).wrapping_sub(16);
        }
        10 => {
            let end = (at + 1 + random.below(16)).min(data.len());
            data.drain(at..end);
        }
        11 => {
            let end = (at + 1 + random.below(64)).min(data.len());
            let part = data[at..end].to_vec();
            let to = random.below(data.len());
            let end = (to + part.len()).min(data.len());
            data[to..end].copy_from_slice(&part[..end - to]);
        }
        12 | 13 => {
            let token = TOKENS[random.below(TOKENS.len())];
            data.splice(at..at, token.bytes());
        }
        14 => data.truncate(at),
        _ => {
            let from = other.len().min(at);
            let end = (from + 1 + random.below(256)).min(other.len());
            let part = &other[from..end];
            let end = (at + part.len()).min(data.len());
            data[at..end].copy_from_slice(&part[..end - at]);
        }
    }
}
