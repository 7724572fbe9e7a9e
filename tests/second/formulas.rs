//! What formulas make of their bases, element by element, as the page tells it. A new formula of
//! the page is a new arm of [`make`].

use super::record::Bytes;

/// A formula as it lies in a record.
#[derive(Clone, Debug)]
pub struct Formula {
    code: u8,
    /// Content id of each base, and the type that it is seen as.
    pub bases: Vec<([u8; 32], u8)>,
    parameters: Vec<u8>,
}

impl Formula {
    pub fn read(block: &[u8]) -> Self {
        let mut input = Bytes::new(block);
        let (code, count) = (input.number(1) as u8, input.number(1));
        assert_eq!(input.number(2), 0, "reserved bytes are zero");
        assert!((1..=8).contains(&count));
        let bases = (0..count).map(|_| (input.array(), input.number(1) as u8)).collect();
        let at = 4 + 33 * count as usize;
        Formula { code, bases, parameters: block[at..].to_vec() }
    }
}

/// Bytes of an element.
fn width(dtype: u8) -> usize {
    match dtype {
        1 | 5..=11 => 1,
        12..=15 => 2,
        16..=18 => 4,
        19..=22 => 8,
        other => panic!("elements of type {other}"),
    }
}

/// Sign, then these many bits of exponent and mantissa.
fn float(dtype: u8) -> (u32, u32) {
    match dtype {
        14 => (5, 10),
        15 => (8, 7),
        18 => (8, 23),
        20 => (11, 52),
        other => panic!("type {other} is no float"),
    }
}

/// The bits of element `i`; zero where there is none.
fn bits(bytes: &[u8], dtype: u8, i: usize) -> u64 {
    let width = width(dtype);
    let element = bytes.get(i * width..(i + 1) * width).unwrap_or(&[0; 8]);
    element.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// A finite float, or an infinity, as an F64, which all fit in.
fn value(bits: u64, (exponent_bits, mantissa_bits): (u32, u32)) -> f64 {
    let mantissa = bits & ((1 << mantissa_bits) - 1);
    let exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
    let sign = if bits >> (exponent_bits + mantissa_bits) & 1 == 1 { -1.0 } else { 1.0 };
    if exponent == (1 << exponent_bits) - 1 {
        return sign * f64::INFINITY;
    }
    if exponent_bits == 11 {
        return f64::from_bits(bits);
    }
    let bias = (1i32 << (exponent_bits - 1)) - 1;
    let hidden = if exponent == 0 { 0 } else { 1u64 << mantissa_bits };
    let unit = f64::powi(2.0, exponent.max(1) as i32 - bias - mantissa_bits as i32);
    sign * (mantissa + hidden) as f64 * unit
}

fn is_nan(bits: u64, (exponent_bits, mantissa_bits): (u32, u32)) -> bool {
    let magnitude = bits & ((1 << (exponent_bits + mantissa_bits)) - 1);
    magnitude > ((1 << exponent_bits) - 1) << mantissa_bits
}

/// A float of one type as one of another: the nearest, of two the even one; a NaN with its sign
/// and the upper bits of its payload.
fn convert(bits: u64, from: (u32, u32), to: (u32, u32)) -> u64 {
    let sign = (bits >> (from.0 + from.1) & 1) << (to.0 + to.1);
    let infinity = ((1u64 << to.0) - 1) << to.1;
    if is_nan(bits, from) {
        let payload = bits & ((1 << (from.1 - 1)) - 1);
        let payload = match from.1 > to.1 {
            true => payload >> (from.1 - to.1),
            false => payload << (to.1 - from.1),
        };
        return sign | infinity | 1 << (to.1 - 1) | payload;
    }
    let value = value(bits, from).abs();
    // The floats ascend with their bits; infinity's place is where the next one would be.
    let of = |bits: u64| match bits == infinity {
        true => f64::powi(2.0, 1 << (to.0 - 1)),
        false => self::value(bits, to),
    };
    if value == f64::INFINITY || to == (11, 52) {
        return sign | if value == f64::INFINITY { infinity } else { value.to_bits() };
    }
    let (mut low, mut high) = (0u64, infinity);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if of(middle) <= value { low = middle } else { high = middle }
    }
    let (below, above) = (value - of(low), of(high) - value);
    let up = above < below || (above == below && low % 2 == 1);
    sign | if up { high } else { low }
}

const F32: (u32, u32) = (8, 23);

fn to_f32(bits: u64, dtype: u8) -> f32 {
    f32::from_bits(convert(bits, float(dtype), F32) as u32)
}

/// The result of arithmetic as bits of the type: of NaNs there is one.
fn from_f32(result: f32, dtype: u8) -> u64 {
    let bits = if result.is_nan() { 0x7fc0_0000 } else { result.to_bits() };
    convert(bits.into(), F32, float(dtype))
}

fn integer(value: f32) -> u64 {
    if value.is_nan() {
        return 0;
    }
    u64::from(value.round_ties_even().clamp(-128.0, 127.0) as i8 as u8)
}

/// The nearest F8_E4M3, found among all of them: what would be infinity is not one of them.
fn eight_bits(v: f32) -> u64 {
    if v.is_nan() {
        return 0x7f;
    }
    let of = |code: u64| {
        let (exponent, mantissa) = (code >> 3, code & 7);
        let hidden = if exponent == 0 { 0 } else { 8 };
        (hidden + mantissa) as f64 * f64::powi(2.0, exponent.max(1) as i32 - 10)
    };
    let far = |code: &u64| (of(*code) - f64::from(v.abs().min(448.0))).abs();
    let nearer = |a: &u64, b: &u64| far(a).total_cmp(&far(b)).then((a % 2).cmp(&(b % 2)));
    let code = (0..0x7f).min_by(|a, b| nearer(a, b)).unwrap();
    code | u64::from(v.is_sign_negative()) << 7
}

/// Bits of the mantissa, and the exponent's bias, of a float of eight bits.
fn eight(dtype: u8) -> (u32, i32) {
    match dtype {
        7 => (2, 15),
        8 => (3, 7),
        10 => (3, 8),
        11 => (2, 16),
        other => panic!("type {other} is no float of eight bits"),
    }
}

/// The first magnitude that is no number: infinity, or NaN.
fn eight_end(dtype: u8) -> u64 {
    match dtype {
        7 => 0x7c,
        8 => 0x7f,
        _ => 0x80,
    }
}

/// The magnitude of a code without its sign, or what would follow the largest.
fn eight_magnitude(code: u64, dtype: u8) -> f64 {
    let (mantissa_bits, bias) = eight(dtype);
    let (exponent, mantissa) = (code >> mantissa_bits, code & ((1 << mantissa_bits) - 1));
    let hidden = if exponent == 0 { 0 } else { 1 << mantissa_bits };
    let power = exponent.max(1) as i32 - bias - mantissa_bits as i32;
    (hidden + mantissa) as f64 * f64::powi(2.0, power)
}

fn eight_value(code: u64, dtype: u8) -> f32 {
    let (sign, magnitude) = ((code >> 7) as u32, code & 0x7f);
    let infinity = sign << 31 | 0x7f80_0000;
    f32::from_bits(match dtype {
        7 if magnitude == 0x7c => infinity,
        7 if magnitude > 0x7c => infinity | 0x0040_0000 | (magnitude as u32 & 1) << 21,
        8 if magnitude == 0x7f => infinity | 0x0070_0000,
        10 | 11 if code == 0x80 => 0x7fc0_0000,
        _ => (eight_magnitude(magnitude, dtype) as f32).to_bits() | sign << 31,
    })
}

/// The nearest float of eight bits, found among all of them.
fn nearest_eight(v: f32, dtype: u8) -> u64 {
    let sign = u64::from(v.is_sign_negative()) << 7;
    let unsigned = matches!(dtype, 10 | 11);
    if v.is_nan() {
        return if unsigned { 0x80 } else { sign | 0x7f };
    }
    let end = eight_end(dtype);
    let most = eight_magnitude(end, dtype);
    let far = |code: &u64| (eight_magnitude(*code, dtype) - f64::from(v.abs()).min(most)).abs();
    let nearer = |a: &u64, b: &u64| far(a).total_cmp(&far(b)).then((a % 2).cmp(&(b % 2)));
    let code = (0..=end).min_by(|a, b| nearer(a, b)).unwrap();
    match dtype {
        8 => sign | code.min(0x7e),
        10 | 11 if code == 0 || code == end => code,
        _ => sign | code,
    }
}

/// The content that a formula makes, `len` bytes of elements of type `dtype`.
pub fn make(formula: &Formula, bases: &[Vec<u8>], dtype: u8, len: usize) -> Vec<u8> {
    let mut input = Bytes::new(&formula.parameters);
    let f32_of = |bits: u64| f32::from_bits(bits as u32);
    let count = len.div_ceil(width(dtype));
    // Element `i` of base `b`: its bits, and as F32.
    let raw = |b: usize, i: usize| bits(&bases[b], formula.bases[b].1, i);
    let of = |b: usize, i: usize| to_f32(raw(b, i), formula.bases[b].1);
    let first = formula.bases[0].1;
    let n = bases.len() as f32;
    let all = |i: usize| (0..bases.len()).map(move |b| of(b, i));
    let elements: Vec<u64> = match formula.code {
        1 => (0..count).map(|i| raw(0, i)).collect(),
        14 => {
            let (factor, times) = (f32_of(input.number(4)), input.number(2));
            let way = input.number(1);
            let next = |x: f32| match way {
                0 => x * factor,
                1 => (-factor).mul_add(x, x),
                2 => x - factor * x,
                other => panic!("way {other}"),
            };
            let step = |x: f32| to_f32(convert(next(x).to_bits().into(), F32, float(dtype)), dtype);
            let made = |i: usize| from_f32((0..times).fold(of(0, i), |x, _| step(x)), dtype);
            (0..count).map(made).collect()
        }
        15 => {
            let (scale, order) = (f32_of(input.number(4)), input.number(1));
            let value = |i: usize| match first {
                7 | 8 | 10 | 11 => eight_value(raw(0, i), first),
                _ => of(0, i),
            };
            let largest = eight_magnitude(eight_end(dtype) - 1, dtype) as f32;
            let made = |i: usize| match order {
                0 => value(i) / scale,
                1 => value(i) * scale,
                other => panic!("order {other}"),
            };
            let fit = |v: f32| match v.abs() > largest {
                _ if v.is_nan() => f32::from_bits(0x7fc0_0000),
                true => largest.copysign(v),
                false => v,
            };
            (0..count).map(|i| nearest_eight(fit(made(i)), dtype)).collect()
        }
        13 => {
            let middle = |i: usize| match first {
                7 | 8 | 10 | 11 => eight_value(raw(0, i), first),
                _ => of(0, i),
            };
            let made = |v: f32| match dtype {
                7 | 8 | 10 | 11 => nearest_eight(v, dtype),
                _ => convert(v.to_bits().into(), F32, float(dtype)),
            };
            (0..count).map(|i| made(middle(i))).collect()
        }
        2 => {
            let middle = |i: usize| convert(raw(0, i), float(first), F32);
            (0..count).map(|i| convert(middle(i), F32, float(dtype))).collect()
        }
        3 => {
            let (columns, order) = (input.number(8) as usize, input.number(1));
            let mut out = Vec::new();
            for row in (0..count).collect::<Vec<_>>().chunks(columns) {
                let v: Vec<f32> = row.iter().map(|i| of(0, *i)).collect();
                let m = v.iter().filter(|v| !v.is_nan()).map(|v| v.abs()).fold(0.0, f32::max);
                out.extend(v.iter().map(|v| match order {
                    _ if m == 0.0 => 0,
                    0 => integer(v / (m / 127.0)),
                    1 => integer(v * (127.0 / m)),
                    2 => integer((v * 127.0) / m),
                    other => panic!("order {other}"),
                }));
            }
            out
        }
        4 => {
            let columns = input.number(8) as usize;
            let factors: Vec<f32> = formula.parameters[8..]
                .chunks(4)
                .map(|f| f32_of(Bytes::new(f).number(4)))
                .collect();
            let factor = |i: usize| factors.get(i / columns).copied().unwrap_or(1.0);
            (0..count).map(|i| integer(f32::from(raw(0, i) as u8 as i8) * factor(i))).collect()
        }
        6 => {
            let factor = f32_of(input.number(4));
            (0..count).map(|i| from_f32(of(0, i) * factor, dtype)).collect()
        }
        7 => {
            let (threshold, signed) = (input.number(8), input.number(1));
            let sign = 1u64 << (8 * width(dtype) - 1);
            let prune = |bits: u64| match bits & (sign - 1) > threshold {
                true => bits,
                false => bits & (sign * signed),
            };
            (0..count).map(|i| prune(raw(0, i))).collect()
        }
        8 => {
            let order = input.number(1);
            let mean = |i: usize| match order {
                0 => all(i).reduce(|a, b| a + b).unwrap() / n,
                1 => all(i).reduce(|a, b| a + b).unwrap() * (1.0 / n),
                2 => all(i).map(|x| x * (1.0 / n)).reduce(|a, b| a + b).unwrap(),
                3 => (all(i).map(f64::from).reduce(|a, b| a + b).unwrap() / f64::from(n)) as f32,
                other => panic!("order {other}"),
            };
            (0..count).map(|i| from_f32(mean(i), dtype)).collect()
        }
        9 => {
            let factor = f32_of(input.number(4));
            let made = |i: usize| of(0, i) + factor * (of(1, i) - of(2, i));
            (0..count).map(|i| from_f32(made(i), dtype)).collect()
        }
        10 => {
            let (columns, rank) = (input.number(8) as usize, input.number(4) as usize);
            let scale = f32_of(input.number(4));
            let made = |at: usize| {
                let (i, j) = (at / columns, at % columns);
                let product =
                    |s: f32, k: usize| of(1, i * rank + k).mul_add(of(2, k * columns + j), s);
                of(0, at) + (0..rank).fold(0.0, product) * scale
            };
            (0..count).map(|at| from_f32(made(at), dtype)).collect()
        }
        11 => {
            let factor = f32_of(input.number(4));
            let eight = |b: usize, i: usize| f32::from(raw(b, i) as u8 as i8);
            let x = |i: usize| match (formula.bases[1].1, bases.len()) {
                (14, _) => of(1, i),
                (_, 2) => eight(1, i),
                _ => eight(1, i) + 256.0 * eight(2, i),
            };
            let made = |i: usize| match x(i) {
                0.0 => raw(0, i),
                x => from_f32(of(0, i) + factor * x, dtype),
            };
            (0..count).map(made).collect()
        }
        12 => {
            let (columns, order) = (input.number(8) as usize, input.number(1));
            let mut out = Vec::new();
            for row in (0..count).collect::<Vec<_>>().chunks(columns) {
                let v: Vec<f32> = row.iter().map(|i| of(0, *i)).collect();
                let m = v.iter().filter(|v| !v.is_nan()).map(|v| v.abs()).fold(0.0, f32::max);
                out.extend(v.iter().map(|v| match order {
                    _ if m == 0.0 => eight_bits(*v),
                    0 => eight_bits(v / (m / 448.0)),
                    1 => eight_bits(v * (448.0 / m)),
                    2 => eight_bits((v * 448.0) / m),
                    other => panic!("order {other}"),
                }));
            }
            out
        }
        other => panic!("formula {other}"),
    };
    let bytes = |element: u64| element.to_le_bytes().into_iter().take(width(dtype));
    let mut out: Vec<u8> = elements.into_iter().flat_map(bytes).collect();
    out.truncate(len);
    out
}
