//! The `entropy` encoding as its page tells it: a second reader, written from the page.

use super::coded::{Bits, Stream, Table, parts, zigzag};

/// The chunk of `len` bytes that is stored as `stored`; `mantissa_bits` only for floats.
pub fn decode(bytes: usize, mantissa_bits: u32, stored: &[u8], len: usize) -> Vec<u8> {
    let [model, classes, symbols, open] = parts(stored);
    let mut model = Bits::new(model);
    let q = model.number(3);
    assert!(q <= 5);
    let blocked = model.number(1) == 1;
    let mut class = zigzag(model.number(16));
    let (mut lowest, mut m, mut signed, mut trailing) = (0, 0, false, 0);
    if bytes > 1 {
        lowest = zigzag(model.number(16));
        m = model.number(3) as u32;
        signed = model.number(1) == 1;
        trailing = model.number(6) as u32;
        assert!(m + trailing <= mantissa_bits);
    }
    let class_table = blocked.then(|| Table::read(&mut model));
    let tables: Vec<Table> = (0..1 << q).map(|_| Table::read(&mut model)).collect();
    model.end();

    let count = len / bytes;
    let mut class_stream = blocked.then(|| Stream::new(classes, 1));
    assert!(blocked || classes.is_empty());
    let mut stream = Stream::new(symbols, if count >= 1 << 14 { 32 } else { 4 });
    let mut open = Bits::new(open);
    let (mut short, mut out) = (true, Vec::new());
    for at in 0..count {
        if at % 128 == 0
            && let (Some(stream), Some(table)) = (&mut class_stream, &class_table)
        {
            let symbol = stream.symbol(table);
            short = symbol.is_multiple_of(2);
            class += zigzag(symbol / 2);
        }
        let symbol = stream.symbol(&tables[class.rem_euclid(1 << q) as usize]);
        let sign_bit = 1u64 << (8 * bytes - 1);
        let element = match symbol {
            _ if bytes == 1 => symbol,
            0 => 0,
            1 => sign_bit,
            2 => open.number(8 * bytes as u32),
            _ => {
                let mut s = symbol - 3;
                let negative = if signed { s % 2 } else { open.number(1) };
                if signed {
                    s /= 2;
                }
                let exponent = (s >> m) as i64 + lowest + class.div_euclid(1 << q);
                let z = if short { trailing } else { 0 };
                let middle = mantissa_bits - m - z;
                let mantissa = ((s % (1 << m)) << (mantissa_bits - m)) | (open.number(middle) << z);
                assert!(exponent >= 0 && (exponent as u64) << mantissa_bits < sign_bit);
                (negative * sign_bit) | ((exponent as u64) << mantissa_bits) | mantissa
            }
        };
        out.extend_from_slice(&element.to_le_bytes()[..bytes]);
    }
    if let Some(stream) = class_stream {
        stream.end();
    }
    stream.end();
    open.end();
    out
}
