//! The `factor-delta` encoding as its page tells it: a second reader, written from the page.

use super::coded::{Bits, Stream, Table, parts, zigzag};

/// A type: bytes of an element, and bits of the mantissa.
#[derive(Clone, Copy)]
pub struct Float {
    pub bytes: usize,
    pub mantissa_bits: u32,
}

struct Matrix {
    columns: usize,
    first: usize,
    scales: Vec<i64>,
    exponent: i32,
    products: Vec<(u32, Vec<i64>, Vec<i64>)>,
}

fn list(bits: &mut Bits, count: usize, most: i64) -> Vec<i64> {
    let low = bits.number(3) as u32;
    let one = |_| {
        let mut upper = 0;
        while bits.number(1) == 0 {
            upper += 1;
        }
        let value = zigzag((upper << low) + bits.number(low));
        assert!((-most..=most).contains(&value), "{value}");
        value
    };
    (0..count).map(one).collect()
}

impl Matrix {
    fn read(bits: &mut Bits, elements: usize) -> Self {
        let columns = bits.gamma() as usize;
        let first = bits.gamma() as usize - 1;
        assert!(columns <= elements && first < columns);
        let scales = if bits.number(1) == 1 { list(bits, columns, 15) } else { vec![0; columns] };
        let count = bits.number(5) as usize;
        let rows = (elements + first).div_ceil(columns);
        assert!(count * (rows + columns) <= elements);
        let exponent = if count > 0 { zigzag(bits.number(16)) as i32 } else { 0 };
        assert!((-126..=127).contains(&exponent));
        let product = |_| {
            let shift = bits.number(4) as u32;
            (shift, list(bits, rows, 127), list(bits, columns, 127))
        };
        let products = (0..count).map(product).collect();
        Matrix { columns, first, scales, exponent, products }
    }

    /// The sum of an element's products, and its column's scale.
    fn at(&self, element: usize) -> (i32, i64) {
        let (row, column) =
            ((element + self.first) / self.columns, (element + self.first) % self.columns);
        let product = |(shift, rows, columns): &(u32, Vec<i64>, Vec<i64>)| {
            (rows[row] << shift) * columns[column]
        };
        let sum: i64 = self.products.iter().map(product).sum();
        (sum as i32, self.scales[column])
    }
}

impl Float {
    fn sign_bit(self) -> u32 {
        8 * self.bytes as u32 - 1
    }

    fn value(self, element: u32) -> f32 {
        let negative = element >> self.sign_bit() == 1;
        let magnitude = element % (1 << self.sign_bit());
        let value = match self.mantissa_bits {
            7 => f32::from_bits(magnitude << 16),
            10 => {
                let (exponent, mantissa) = (magnitude >> 10, (magnitude % 1024) as f32);
                match exponent {
                    0 => mantissa * 2f32.powi(-24),
                    _ => (1024.0 + mantissa) * 2f32.powi(exponent as i32 - 25),
                }
            }
            _ => f32::from_bits(magnitude),
        };
        if negative { -value } else { value }
    }

    /// Bits of an F32 that the type does not have.
    fn dropped(self) -> u32 {
        match self.mantissa_bits {
            7 => 16,
            10 => 13,
            _ => 0,
        }
    }

    /// The predicted element and how it was rounded.
    fn predicted(self, p: u32, sum: i32, exponent: i32) -> (u32, i64) {
        let exponents = (1 << (self.sign_bit() - self.mantissa_bits)) - 1;
        let field = (p % (1 << self.sign_bit())) >> self.mantissa_bits;
        if sum == 0 || field == exponents {
            return (p, 0);
        }
        let moved = sum as f32 * 2f32.powi(exponent);
        let v = self.value(p) + moved;
        let mended = if self.mantissa_bits == 10 { v.abs() * 2f32.powi(-112) } else { v.abs() };
        let (w, d) = (i64::from(mended.to_bits()), self.dropped());
        let largest = (i64::from(exponents) << self.mantissa_bits) - 1;
        let magnitude = ((w + (1i64 << d) / 2) >> d).min(largest);
        let sign = u32::from(v.is_sign_negative()) << self.sign_bit();
        (sign | magnitude as u32, w - (magnitude << d))
    }
}

/// The chunk that is stored as `stored` against `base`.
pub fn decode(of: Float, stored: &[u8], base: &[u8]) -> Vec<u8> {
    let [model, classes, symbols, open] = parts(stored);
    let elements = base.len() / of.bytes;
    let mut model = Bits::new(model);
    let mut scale = zigzag(model.number(16));
    let lowest = zigzag(model.number(16));
    let count = model.number(6);
    assert!(count <= 32);
    let mut cells = vec![0];
    for _ in 0..64 {
        let same = model.number(1) == 1;
        cells.push(if same { cells[cells.len() - 1] } else { model.number(5) as usize });
    }
    let cells = &cells[1..];
    let matrix = (model.number(1) == 1).then(|| Matrix::read(&mut model, elements));
    let class_table = Table::read(&mut model);
    let tables: Vec<Table> = (0..count).map(|_| Table::read(&mut model)).collect();
    model.end();

    let mut classes = Stream::new(classes, 1);
    let mut symbols = Stream::new(symbols, if elements >= 1 << 14 { 32 } else { 4 });
    let mut open = Bits::new(open);
    let (sign, exponents) = (of.sign_bit(), (1 << (of.sign_bit() - of.mantissa_bits)) - 1);
    let far = (1i64 << of.dropped()) / 4;
    let mut out = Vec::new();
    for (number, block) in base.chunks(128 * of.bytes).enumerate() {
        let class = classes.symbol(&class_table);
        if class == 0 {
            out.extend_from_slice(block);
            continue;
        }
        scale += zigzag(class - 1);
        let floor = (scale.div_euclid(2) - 6).clamp(0, exponents) << of.mantissa_bits;
        for (at, bytes) in block.chunks(of.bytes).enumerate() {
            let p = bytes.iter().rev().fold(0, |p, byte| p << 8 | u32::from(*byte));
            let (sum, column, exponent) = matrix.as_ref().map_or((0, 0, 0), |matrix| {
                let (sum, scale) = matrix.at(128 * number + at);
                (sum, scale, matrix.exponent)
            });
            let (q, r) = of.predicted(p, sum, exponent);
            let magnitude = i64::from(q % (1 << sign));
            let e = (magnitude >> of.mantissa_bits).max(1);
            let size = (scale + column - 2 * e - lowest).clamp(0, 31) as usize;
            let cell = if r.abs() > far { size + 32 } else { size };
            let symbol = symbols.symbol(&tables[cells[cell]]);
            let step = match symbol {
                0..=14 => -zigzag(symbol),
                15..=246 => {
                    let k = (symbol - 15) / 2;
                    let o = (k / 4 + 1) as u32;
                    let step = (((4 + k % 4) << o) + open.number(o)) as i64;
                    if symbol.is_multiple_of(2) { -step } else { step }
                }
                255 => 0,
                other => panic!("symbol {other}"),
            };
            let step = if r < 0 { -step } else { step };
            let negative = q >> sign;
            let element = if symbol == 255 {
                p >> sign << sign
            } else if step == 0 {
                q
            } else {
                let t = match (magnitude >= floor, step > 0) {
                    (true, _) => step + magnitude - floor,
                    (false, true) => step - 1,
                    (false, false) => step,
                };
                let (negative, magnitude) =
                    if t >= 0 { (negative, t + floor) } else { (1 - negative, -t - 1 + floor) };
                negative << sign | (magnitude % (1 << sign)) as u32
            };
            out.extend_from_slice(&element.to_le_bytes()[..of.bytes]);
        }
    }
    classes.end();
    symbols.end();
    open.end();
    out
}
