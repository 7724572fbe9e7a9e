//! The formulas as their page tells them: a second reader, slow and obvious.

/// An F32 as a narrower float: the nearest, found among all of them.
pub fn narrow(bits: u32, exponent_bits: u32, mantissa_bits: u32) -> u16 {
    let sign = ((bits >> 31) as u16) << 15;
    let magnitude = bits & 0x7fff_ffff;
    let infinity = (((1u32 << exponent_bits) - 1) << mantissa_bits) as u16;
    if magnitude > 0x7f80_0000 {
        let payload = (bits & 0x003f_ffff) >> (23 - mantissa_bits);
        return sign | infinity | 1 << (mantissa_bits - 1) | payload as u16;
    }
    if magnitude == 0x7f80_0000 {
        return sign | infinity;
    }
    let value = f64::from(f32::from_bits(magnitude));
    // Infinity's place is where the next float would be.
    let of = |bits: u16| {
        let bits = u32::from(bits);
        let (exponent, mantissa) = (bits >> mantissa_bits, bits & ((1 << mantissa_bits) - 1));
        let bias = (1i32 << (exponent_bits - 1)) - 1;
        let unit = f64::powi(2.0, (exponent.max(1) as i32) - bias - mantissa_bits as i32);
        let hidden = if exponent == 0 { 0 } else { 1 << mantissa_bits };
        f64::from(mantissa + hidden) * unit
    };
    // The floats ascend with their bits.
    let (mut low, mut high) = (0u16, infinity);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if of(middle) <= value { low = middle } else { high = middle }
    }
    let (below, above) = (value - of(low), of(high) - value);
    let nearest = match below.total_cmp(&above) {
        std::cmp::Ordering::Less => low,
        std::cmp::Ordering::Greater => high,
        std::cmp::Ordering::Equal => {
            if low.is_multiple_of(2) {
                low
            } else {
                high
            }
        }
    };
    sign | nearest
}

fn integer(value: f32) -> u8 {
    if value.is_nan() {
        return 0;
    }
    let floor = value.floor();
    let rest = value - floor;
    let up = rest > 0.5 || (rest == 0.5 && floor % 2.0 != 0.0);
    let rounded = if up { floor + 1.0 } else { floor };
    (rounded.clamp(-128.0, 127.0) as i32) as u8
}

pub fn absmax(values: &[f32], columns: usize, order: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for row in values.chunks(columns) {
        let m = row.iter().filter(|v| !v.is_nan()).map(|v| v.abs()).fold(0.0, f32::max);
        for v in row {
            out.push(match order {
                _ if m == 0.0 => 0,
                0 => integer(v / (m / 127.0)),
                1 => integer(v * (127.0 / m)),
                _ => integer((v * 127.0) / m),
            });
        }
    }
    out
}

pub fn requantise(base: &[u8], parameters: &[u8]) -> Vec<u8> {
    let columns = u64::from_le_bytes(parameters[..8].try_into().unwrap()) as usize;
    let factor = |row: usize| match parameters.get(8 + 4 * row..12 + 4 * row) {
        Some(bytes) => f32::from_le_bytes(bytes.try_into().unwrap()),
        None => 1.0,
    };
    let element = |(at, byte): (usize, &u8)| integer(f32::from(*byte as i8) * factor(at / columns));
    base.iter().enumerate().map(element).collect()
}
