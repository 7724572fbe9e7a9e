//! The `int-delta` encoding as its page tells it: a second reader, written from the page.

use super::coded::{Bits, Stream, Table, parts, zigzag};

/// A type: bytes of an element, and bits of the mantissa if it is a float.
#[derive(Clone, Copy)]
pub struct Type {
    pub bytes: usize,
    pub mantissa_bits: Option<u32>,
}

impl Type {
    fn bits(self) -> u32 {
        8 * self.bytes as u32
    }

    fn is_negative(self, element: u64) -> bool {
        element >> (self.bits() - 1) == 1
    }

    fn modulo(self, number: i128) -> u64 {
        number.rem_euclid(1 << self.bits()) as u64
    }

    /// The place of an element; the element of a place.
    fn place(self, element: u64) -> u64 {
        if self.mantissa_bits.is_some() && self.is_negative(element) {
            self.modulo(!i128::from(element)) | 1 << (self.bits() - 1)
        } else {
            element
        }
    }

    fn stepped(self, base: u64, step: i128) -> u64 {
        let step = if self.is_negative(base) { -step } else { step };
        self.place(self.modulo(i128::from(self.place(base)) + step))
    }
}

/// The chunk that is stored as `stored` against `base`.
pub fn decode(of: Type, stored: &[u8], base: &[u8]) -> Vec<u8> {
    let [model, classes, symbols, open] = parts(stored);
    let mut model = Bits::new(model);
    let mut scale = zigzag(model.number(16));
    let low = zigzag(model.number(16));
    let shift = model.number(4);
    let count = model.number(6);
    assert!(count <= 32);
    let class_table = Table::read(&mut model);
    let tables: Vec<Table> = (0..count).map(|_| Table::read(&mut model)).collect();
    model.end();

    let mut classes = Stream::new(classes, 1);
    let mut symbols = Stream::new(symbols, if base.len() / of.bytes >= 1 << 14 { 32 } else { 4 });
    let mut open = Bits::new(open);
    let mut out = Vec::new();
    for block in base.chunks(128 * of.bytes) {
        let class = classes.symbol(&class_table);
        if class == 0 {
            out.extend_from_slice(block);
            continue;
        }
        scale += zigzag(class - 1);
        for bytes in block.chunks(of.bytes) {
            let g = bytes.iter().rev().fold(0, |g, byte| g << 8 | u64::from(*byte));
            let table = if let Some(mantissa_bits) = of.mantissa_bits {
                let magnitude = g % (1 << (of.bits() - 1));
                let e = (magnitude >> mantissa_bits).max(1) as i64;
                ((scale - 2 * e - low) >> shift).clamp(0, 31)
            } else {
                let signed = if of.is_negative(g) {
                    i128::from(g) - (1 << of.bits())
                } else {
                    i128::from(g)
                };
                let len = 128 - signed.unsigned_abs().leading_zeros();
                let l = (i64::from(len) - (i64::from(of.bits()) - 4)).clamp(0, 3);
                4 * ((scale - low) >> shift).clamp(0, 7) + l
            };
            let symbol = symbols.symbol(&tables[table as usize]);
            let element = match symbol {
                _ if of.bytes == 1 => of.stepped(g, zigzag(symbol).into()),
                0..=6 => of.stepped(g, -i128::from(zigzag(symbol))),
                255 if of.mantissa_bits.is_some() && of.is_negative(g) => 1 << (of.bits() - 1),
                255 => 0,
                _ => {
                    let k = (symbol - 7) / 2;
                    let o = (k / 2 + 1) as u32;
                    let step = (i128::from(2 + k % 2) << o) + i128::from(open.number(o));
                    of.stepped(g, if symbol.is_multiple_of(2) { -step } else { step })
                }
            };
            out.extend_from_slice(&element.to_le_bytes()[..of.bytes]);
        }
    }
    classes.end();
    symbols.end();
    open.end();
    out
}
