//! The `float-delta` encodings as their page tells them: a second reader, slow and obvious. It was
//! written from the page, and panics where the bytes are not as the page says.

/// What the frequencies of a table of `float-delta` sum to.
pub const TOTAL_1: u64 = 4096;
/// And of `float-delta-2`.
pub const TOTAL_2: u64 = 1024;

/// An element's type: its bytes and the bits of its mantissa.
#[derive(Clone, Copy)]
pub struct Float {
    pub bytes: usize,
    pub mantissa_bits: u32,
}

impl Float {
    /// The bits but the sign's.
    fn magnitude_bits(self) -> u32 {
        8 * self.bytes as u32 - 1
    }

    fn element(self, bytes: &[u8], at: usize) -> Element {
        let mut number = [0; 4];
        number[..self.bytes].copy_from_slice(&bytes[at * self.bytes..(at + 1) * self.bytes]);
        let number = u32::from_le_bytes(number);
        let negative = number >> self.magnitude_bits() == 1;
        Element { negative, magnitude: number & ((1 << self.magnitude_bits()) - 1) }
    }

    fn write(self, element: Element, out: &mut Vec<u8>) {
        let number = u32::from(element.negative) << self.magnitude_bits() | element.magnitude;
        out.extend_from_slice(&number.to_le_bytes()[..self.bytes]);
    }

    fn step(self, from: Element, step: i64) -> Element {
        let target = i64::from(from.magnitude) + step;
        let (negative, magnitude) =
            if target >= 0 { (from.negative, target) } else { (!from.negative, -target - 1) };
        Element { negative, magnitude: magnitude.rem_euclid(1 << self.magnitude_bits()) as u32 }
    }

    fn exponent(self, element: Element) -> i64 {
        i64::from(element.magnitude >> self.mantissa_bits)
    }
}

#[derive(Clone, Copy)]
struct Element {
    negative: bool,
    magnitude: u32,
}

fn zigzag(number: u64) -> i64 {
    let half = number.div_ceil(2) as i64;
    if number.is_multiple_of(2) { half } else { -half }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> u64 {
        let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
        self.at += 1;
        u64::from(bit)
    }

    fn number(&mut self, bits: u32) -> u64 {
        (0..bits).map(|place| self.bit() << place).sum()
    }

    fn gamma(&mut self) -> u64 {
        let mut bits = 0;
        while self.bit() == 0 {
            bits += 1;
        }
        (1 << bits) + self.number(bits)
    }

    fn table(&mut self, total: u64) -> Option<Table> {
        if self.bit() == 0 {
            return None;
        }
        let mut table = Table([0; 256]);
        let mut next = 0;
        while table.0.iter().sum::<u64>() < total {
            let symbol = next + self.gamma() as usize - 1;
            table.0[symbol] = self.gamma();
            next = symbol + 1;
        }
        assert_eq!(table.0.iter().sum::<u64>(), total);
        Some(table)
    }

    fn end(mut self) {
        while !self.at.is_multiple_of(8) {
            assert_eq!(self.bit(), 0, "bits to spare are zero");
        }
        assert_eq!(self.at, 8 * self.bytes.len(), "nothing is behind the bits");
    }
}

/// How often each symbol occurs, of the total.
struct Table([u64; 256]);

struct Model {
    first_scale: i64,
    context_low: i64,
    context_shift: u32,
    function_bits: u32,
    function: Vec<i64>,
    classes: Vec<Option<Table>>,
    steps: Vec<Option<Table>>,
}

impl Model {
    fn read(bytes: &[u8], total: u64) -> Self {
        let mut bits = Bits { bytes, at: 0 };
        let first_scale = zigzag(bits.number(16));
        let context_low = zigzag(bits.number(16));
        let context_shift = bits.number(4) as u32;
        let function_bits = bits.number(4) as u32;
        assert!(function_bits <= 12);
        let entries = if function_bits == 0 { 0 } else { 1 << function_bits };
        let (mut function, mut before) = (Vec::new(), 0i32);
        while function.len() < entries {
            for _ in 1..bits.gamma() {
                function.push(i64::from(before));
            }
            if function.len() < entries {
                before = before.wrapping_add(zigzag(bits.gamma()) as i32);
                function.push(i64::from(before));
            }
        }
        assert_eq!(function.len(), entries);
        let classes = (0..3).map(|_| bits.table(total)).collect();
        let count = bits.number(6);
        assert!(count <= 32);
        let steps = (0..count).map(|_| bits.table(total)).collect();
        bits.end();
        Model { first_scale, context_low, context_shift, function_bits, function, classes, steps }
    }
}

/// A stream of symbols.
struct Stream {
    total: u64,
    states: Vec<u64>,
    words: Vec<u64>,
    symbols_read: usize,
    words_read: usize,
}

impl Stream {
    fn new(bytes: &[u8], states: usize, total: u64) -> Self {
        let words = bytes[4 * states..].chunks(2);
        Stream {
            total,
            states: (0..states).map(|i| u32_at(bytes, 4 * i) as u64).collect(),
            words: words.map(|word| u16::from_le_bytes(word.try_into().unwrap()).into()).collect(),
            symbols_read: 0,
            words_read: 0,
        }
    }

    fn symbol(&mut self, table: &Table) -> u8 {
        let lane = self.symbols_read % self.states.len();
        self.symbols_read += 1;
        let x = self.states[lane];
        let s = x % self.total;
        let (mut symbol, mut before) = (0, 0);
        while s >= before + table.0[symbol] {
            before += table.0[symbol];
            symbol += 1;
        }
        let mut x = table.0[symbol] * (x / self.total) + s - before;
        if x < 1 << 15 {
            x = (x << 16) + self.words[self.words_read];
            self.words_read += 1;
        }
        self.states[lane] = x;
        symbol as u8
    }

    fn end(self) {
        assert_eq!(self.words_read, self.words.len(), "all words are read");
        assert!(self.states.iter().all(|state| *state == 1 << 15), "the states are at the start");
    }
}

/// What a symbol of the step stream says.
enum Said {
    Step(i64),
    Zero,
}

fn said(symbol: u8, open: &mut Bits) -> Said {
    match symbol {
        0..=14 => Said::Step(-zigzag(symbol.into())),
        15..=246 => {
            let k = (i64::from(symbol) - 15) / 2;
            let o = (k / 4 + 1) as u32;
            let magnitude = ((4 + k % 4) << o) + open.number(o) as i64;
            Said::Step(if symbol.is_multiple_of(2) { -magnitude } else { magnitude })
        }
        255 => Said::Zero,
        other => panic!("symbol {other}"),
    }
}

/// The chunk that is stored as `stored` against `base`.
pub fn decode(float: Float, total: u64, stored: &[u8], base: &[u8]) -> Vec<u8> {
    let lens: Vec<usize> = (0..3).map(|i| u32_at(stored, 4 * i)).collect();
    let (model, rest) = stored[12..].split_at(lens[0]);
    let (classes, rest) = rest.split_at(lens[1]);
    let (steps, open) = rest.split_at(lens[2]);

    let count = base.len() / float.bytes;
    let model = Model::read(model, total);
    let mut classes = Stream::new(classes, 1, total);
    let mut steps = Stream::new(steps, if count >= 1 << 14 { 32 } else { 4 }, total);
    let mut open = Bits { bytes: open, at: 0 };

    let mut out = Vec::new();
    let (mut class, mut scale) = (2, model.first_scale);
    for block in 0..count.div_ceil(128) {
        let table = model.classes[class].as_ref().expect("a table that is used");
        let symbol = classes.symbol(table);
        class = usize::from(symbol.min(2));
        if class == 2 {
            scale += zigzag(u64::from(symbol) - 2);
        }
        for at in 128 * block..count.min(128 * (block + 1)) {
            let from = float.element(base, at);
            if class == 0 {
                float.write(from, &mut out);
                continue;
            }
            let context = if class == 1 {
                31
            } else {
                let e = float.exponent(from).max(1);
                let context = (scale - 2 * e - model.context_low) >> model.context_shift;
                context.clamp(0, 30) as usize
            };
            let table = model.steps.get(context).and_then(Option::as_ref);
            let symbol = steps.symbol(table.expect("a table that is used"));
            let to = match said(symbol, &mut open) {
                Said::Zero => Element { negative: from.negative, magnitude: 0 },
                Said::Step(step) if class == 1 => {
                    let mantissa = from.magnitude % (1 << float.mantissa_bits);
                    let entry = mantissa >> (float.mantissa_bits - model.function_bits);
                    float.step(from, step + model.function[entry as usize])
                }
                Said::Step(step) => float.step(from, step),
            };
            float.write(to, &mut out);
        }
    }
    classes.end();
    steps.end();
    open.end();
    out
}
