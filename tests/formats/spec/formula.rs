//! The formulas as their page tells them: a second reader, slow and obvious.

use mgit::codec::formula::{AbsmaxOrder, Formula};
use mgit::format::{FormulaBase, FormulaBlock};
use mgit::tensor::{ContentId, Dtype};

use super::page::{Rows, table};

/// An F32 as a narrower float: the nearest, found among all of them.
fn narrow(bits: u32, exponent_bits: u32, mantissa_bits: u32) -> u16 {
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

/// The nearest F8_E4M3, found among all of them.
fn eight_bits(value: f32) -> u8 {
    if value.is_nan() {
        return 0x7f;
    }
    let of = |code: u8| {
        let (exponent, mantissa) = (i32::from(code >> 3), f64::from(code & 7));
        let hidden = if exponent == 0 { 0.0 } else { 8.0 };
        (hidden + mantissa) * f64::powi(2.0, exponent.max(1) - 7 - 3)
    };
    let far = |code: u8| (f64::from(value.abs().min(448.0)) - of(code)).abs();
    let nearest = (0..0x7f).min_by(|a, b| far(*a).total_cmp(&far(*b)).then((a % 2).cmp(&(b % 2))));
    nearest.unwrap() | (value.to_bits() >> 31 << 7) as u8
}

/// A float type of eight bits: mantissa bits, bias, the code of what is too large, that of NaN.
type Float8 = (Dtype, u32, i32, u8, u8);

const FLOAT8: [Float8; 4] = [
    (Dtype::F8E4M3, 3, 7, 0x7e, 0x7f),
    (Dtype::F8E5M2, 2, 15, 0x7c, 0x7f),
    (Dtype::F8E4M3Fnuz, 3, 8, 0x80, 0x80),
    (Dtype::F8E5M2Fnuz, 2, 16, 0x80, 0x80),
];

/// A magnitude of eight bits.
fn float8_magnitude(code: u32, mantissa_bits: u32, bias: i32) -> f64 {
    let (exponent, mantissa) = (code >> mantissa_bits, code & ((1 << mantissa_bits) - 1));
    let hidden = if exponent == 0 { 0 } else { 1 << mantissa_bits };
    f64::from(mantissa + hidden)
        * f64::powi(2.0, exponent.max(1) as i32 - bias - mantissa_bits as i32)
}

fn float8(value: f32, (_, mantissa_bits, bias, large, nan): &Float8) -> u8 {
    let unsigned = *nan == 0x80;
    let sign = u8::from(value.is_sign_negative() && !unsigned) << 7;
    if value.is_nan() {
        return nan | sign;
    }
    // The first code that is no number, as if it were the next one.
    let end = if *large == 0x7e { 0x7f } else { u32::from(*large) };
    let of = |code: u32| float8_magnitude(code, *mantissa_bits, *bias);
    let far = |code: u32| (f64::from(value.abs()).min(of(end)) - of(code)).abs();
    let nearer = |a: &u32, b: &u32| far(*a).total_cmp(&far(*b)).then((a % 2).cmp(&(b % 2)));
    let code = (0..=end).min_by(nearer).unwrap();
    match code {
        code if code == end => large | sign,
        0 => sign,
        code => code as u8 | u8::from(value.is_sign_negative()) << 7,
    }
}

fn casts_of_eight_bits_as_the_page_says(floats: &[u32]) {
    let bytes: Vec<u8> = floats.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let codes: Vec<u8> = (0..=255).collect();
    for to in &FLOAT8 {
        let cast = Formula::cast(&Dtype::F32, &to.0).unwrap();
        assert_eq!((cast.code(), cast.parameters()), (13, Vec::new()));
        let mut made = vec![0xaa; floats.len() + 1];
        cast.predict(&(0..made.len() as u64), &[&bytes], &mut made);
        for (made, bits) in made.iter().zip(floats.iter().chain(&[0])) {
            let wanted = float8(f32::from_bits(*bits), to);
            assert_eq!(*made, wanted, "{} of {bits:#x}", to.0);
        }
        // Back, of every code.
        let mut wide = vec![0xaa; 4 * 257];
        let cast = Formula::cast(&to.0, &Dtype::F32).unwrap();
        cast.predict(&(0..wide.len() as u64), &[&codes], &mut wide);
        let (dtype, mantissa_bits, bias, ..) = to;
        for (made, code) in wide.as_chunks::<4>().0.iter().zip(0u32..) {
            let (sign, magnitude) = ((code >> 7 & 1) << 31, code & 0x7f);
            let wanted = match dtype {
                _ if code == 256 => 0,
                Dtype::F8E4M3 if magnitude == 0x7f => sign | 0x7ff0_0000,
                Dtype::F8E5M2 if magnitude == 0x7c => sign | 0x7f80_0000,
                Dtype::F8E5M2 if magnitude > 0x7c => sign | 0x7fc0_0000 | (code & 1) << 21,
                Dtype::F8E4M3Fnuz | Dtype::F8E5M2Fnuz if code == 0x80 => 0x7fc0_0000,
                _ => (float8_magnitude(magnitude, *mantissa_bits, *bias) as f32).to_bits() | sign,
            };
            assert_eq!(u32::from_le_bytes(*made), wanted, "{dtype} {code:#x}");
        }
        for order in [0u8, 1] {
            let parameters = [&0.37f32.to_le_bytes()[..], &[order]].concat();
            let scaled = Formula::parse(15, &to.0, &[Dtype::F32], &parameters).unwrap();
            let mut made = vec![0xaa; floats.len()];
            scaled.predict(&(0..made.len() as u64), &[&bytes], &mut made);
            let end = if to.3 == 0x7e { 0x7f } else { u32::from(to.3) };
            let largest = float8_magnitude(end - 1, to.1, to.2) as f32;
            for (made, bits) in made.iter().zip(floats) {
                let value = f32::from_bits(*bits);
                let value = if order == 0 { value / 0.37 } else { value * 0.37 };
                let value = if value.abs() > largest { largest.copysign(value) } else { value };
                let value = f32::from_bits(settled(value));
                assert_eq!(*made, float8(value, to), "{} of {bits:#x} scaled", to.0);
            }
        }
        for other in [&Dtype::F16, &Dtype::Bf16, &Dtype::F64] {
            let back = Formula::cast(other, dtype).unwrap();
            let cast = Formula::cast(dtype, other).unwrap();
            let mut wide = vec![0; 256 * other.bits().unwrap() as usize / 8];
            cast.predict(&(0..wide.len() as u64), &[&codes], &mut wide);
            let mut same = vec![0; 256];
            back.predict(&(0..256), &[&wide], &mut same);
            for (code, same) in codes.iter().zip(same) {
                let value = mgit::tensor::number(dtype, &[*code]);
                assert!(same == *code || !value.is_finite(), "{dtype} {code:#x} by {other}");
            }
        }
        assert!(Formula::parse(2, dtype, &[Dtype::F32], &[]).is_err());
    }
    assert!(Formula::parse(13, &Dtype::F16, &[Dtype::F32], &[]).is_err());
}

fn absmax(
    values: &[f32],
    columns: usize,
    order: usize,
    largest: f32,
    nearest: fn(f32) -> u8,
) -> Vec<u8> {
    let mut out = Vec::new();
    for row in values.chunks(columns) {
        let m = row.iter().filter(|v| !v.is_nan()).map(|v| v.abs()).fold(0.0, f32::max);
        for v in row {
            out.push(nearest(match order {
                _ if m == 0.0 => *v,
                0 => v / (m / largest),
                1 => v * (largest / m),
                _ => (v * largest) / m,
            }));
        }
    }
    out
}

fn requantise(base: &[u8], parameters: &[u8]) -> Vec<u8> {
    let columns = u64::from_le_bytes(parameters[..8].try_into().unwrap()) as usize;
    let factor = |row: usize| match parameters.get(8 + 4 * row..12 + 4 * row) {
        Some(bytes) => f32::from_le_bytes(bytes.try_into().unwrap()),
        None => 1.0,
    };
    let element = |(at, byte): (usize, &u8)| integer(f32::from(*byte as i8) * factor(at / columns));
    base.iter().enumerate().map(element).collect()
}

/// The only NaN of arithmetic.
fn settled(value: f32) -> u32 {
    if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() }
}

/// A formula read from `parameters` makes, of F32 bases, what `expected` says of each element.
fn assert_makes(code: u8, parameters: &[u8], bases: &[&[f32]], expected: impl Fn(usize) -> u32) {
    let types = vec![Dtype::F32; bases.len()];
    let formula = Formula::parse(code, &Dtype::F32, &types, parameters).unwrap();
    let bytes: Vec<Vec<u8>> =
        bases.iter().map(|base| base.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    let mut out = vec![0; bytes[0].len()];
    formula.predict(&(0..out.len() as u64), &bytes, &mut out);
    for (at, made) in out.as_chunks::<4>().0.iter().enumerate() {
        assert_eq!(u32::from_le_bytes(*made), expected(at), "{code} {parameters:?} {at}");
    }
}

fn arithmetic_as_the_page_says(bits: &[u32]) {
    let of = |turn: usize| -> Vec<f32> {
        (0..bits.len()).map(|at| f32::from_bits(bits[(at * 7 + turn) % bits.len()])).collect()
    };
    let (a, b, c) = (of(0), of(1), of(2));
    let factor = 0.3f32;
    assert_makes(6, &factor.to_le_bytes(), &[&a], |at| settled(a[at] * factor));
    for signed in [0, 1] {
        let threshold = 0x3000_0000u32;
        let parameters = [&u64::from(threshold).to_le_bytes()[..], &[signed]].concat();
        assert_makes(7, &parameters, &[&a], |at| {
            let bits = a[at].to_bits();
            let sign = if signed == 1 { bits & 1 << 31 } else { 0 };
            if bits & 0x7fff_ffff <= threshold { sign } else { bits }
        });
    }
    let third = 1.0f32 / 3.0;
    let double = |at: usize| (f64::from(a[at]) + f64::from(b[at]) + f64::from(c[at])) / 3.0;
    let all: [&[f32]; 3] = [&a, &b, &c];
    assert_makes(8, &[0], &all, |at| settled((a[at] + b[at] + c[at]) / 3.0));
    assert_makes(8, &[1], &all, |at| settled((a[at] + b[at] + c[at]) * third));
    assert_makes(8, &[2], &all, |at| settled(a[at] * third + b[at] * third + c[at] * third));
    assert_makes(8, &[3], &all, |at| settled(double(at) as f32));
    assert_makes(9, &factor.to_le_bytes(), &all, |at| settled(a[at] + factor * (b[at] - c[at])));
    let (columns, rank, scale) = (19usize, 3usize, 0.7f32);
    let parameters =
        [&(columns as u64).to_le_bytes()[..], &3u32.to_le_bytes(), &scale.to_le_bytes()].concat();
    assert_makes(10, &parameters, &all, |at| {
        let (i, j) = (at / columns, at % columns);
        let product = |sum: f32, k: usize| b[i * rank + k].mul_add(c[k * columns + j], sum);
        settled(a[at] + (0..rank).fold(0.0, product) * scale)
    });
    increments_as_the_page_says(&a, factor);
    for times in [1u16, 2, 30] {
        for way in 0..3u8 {
            let parameters = [&0.01f32.to_le_bytes()[..], &times.to_le_bytes(), &[way]].concat();
            assert_makes(14, &parameters, &[&a], |at| {
                settled((0..times).fold(a[at], |x, _| match way {
                    0 => x * 0.01,
                    1 => (-0.01f32).mul_add(x, x),
                    _ => x - 0.01 * x,
                }))
            });
        }
    }
    for wrong in [&[0, 0, 0, 63, 0, 0, 0][..], &[0, 0, 0, 63, 1, 4, 0], &[0, 0, 0, 63, 1, 0, 3]] {
        assert!(Formula::parse(14, &Dtype::F32, &[Dtype::F32], wrong).is_err(), "{wrong:?}");
    }
}

fn increments_as_the_page_says(base: &[f32], factor: f32) {
    let base_bytes: Vec<u8> = base.iter().flat_map(|value| value.to_le_bytes()).collect();
    let low: Vec<u8> = (0..base.len()).map(|at| (at * 37 % 256) as u8).collect();
    let high: Vec<u8> = (0..base.len()).map(|at| (at / 3 * 11 % 256) as u8).collect();
    // Halves of every kind: zeros of both signs, infinities and NaNs among them.
    let halves: Vec<u8> = (0..base.len()).flat_map(|at| ((at * 16) as u16).to_le_bytes()).collect();
    let half = |at: usize| {
        let bits = u16::from_le_bytes([halves[2 * at], halves[2 * at + 1]]);
        mgit::half::f16::from_bits(bits).to_f32()
    };
    let integer = |bytes: &[u8], at: usize| f32::from(bytes[at] as i8);
    type Case<'a> = (&'a [Dtype], Vec<&'a [u8]>, &'a dyn Fn(usize) -> f32);
    let narrow = |at: usize| integer(&low, at);
    let wide = |at: usize| integer(&low, at) + 256.0 * integer(&high, at);
    let cases: [Case<'_>; 3] = [
        (&[Dtype::F32, Dtype::I8], vec![&base_bytes, &low], &narrow),
        (&[Dtype::F32, Dtype::I8, Dtype::I8], vec![&base_bytes, &low, &high], &wide),
        (&[Dtype::F32, Dtype::F16], vec![&base_bytes, &halves], &half),
    ];
    for (types, bases, added) in cases {
        let formula = Formula::parse(11, &Dtype::F32, types, &factor.to_le_bytes()).unwrap();
        let mut out = vec![0xaa; base_bytes.len()];
        formula.predict(&(0..out.len() as u64), &bases, &mut out);
        for (at, made) in out.as_chunks::<4>().0.iter().enumerate() {
            let x = added(at);
            let sum = settled(base[at] + factor * x);
            let expected = if x == 0.0 { base[at].to_bits() } else { sum };
            assert_eq!(u32::from_le_bytes(*made), expected, "{types:?} {at}");
        }
    }
    let parse = |own: Dtype, types: &[Dtype]| Formula::parse(11, &own, types, &[0; 4]);
    for types in [&[Dtype::F32][..], &[Dtype::F32, Dtype::U8], &[Dtype::F16, Dtype::I8]] {
        assert!(parse(Dtype::F32, types).is_err(), "{types:?}");
    }
    assert!(parse(Dtype::F64, &[Dtype::F64, Dtype::I8]).is_err());
}

#[test]
fn formulas() {
    let names: Rows = Formula::NAMES
        .iter()
        .map(|(code, name)| vec![code.to_string(), (*name).to_owned()])
        .collect();
    let said: Rows = table("Formula codes").iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(said, names);
    let base = |byte: u8| FormulaBase { content_id: ContentId::of(&[byte]), dtype_code: byte };
    let block = FormulaBlock { code: 9, bases: vec![base(18), base(7)], parameters: vec![1, 2] };
    let bytes = block.encode();
    let ids = [block.bases[0].content_id, block.bases[1].content_id];
    let expected =
        [&[9, 2, 0, 0], &ids[0].as_bytes()[..], &[18], &ids[1].as_bytes()[..], &[7, 1, 2]];
    assert_eq!(bytes, expected.concat());
    let rows = table("Formula fields");
    assert_eq!([&rows[3][0], &rows[3][1], &rows[3][2]], ["4", "33 each", "bases"]);
}

/// The formulas of the page, word by word, against the engine's.
#[test]
fn formulas_make_what_the_page_says() {
    // Floats of every kind, the special ones among them.
    let floats: Vec<u32> = (0..4096u32)
        .map(|at| at.wrapping_mul(0x9e37_79b9))
        .chain([0, 1 << 31, 0x7f80_0000, 0xff80_0000, 0x7f80_0001, 0xffff_ffff, 0x477f_f000, 1])
        .collect();
    let bytes: Vec<u8> = floats.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let make = |formula: &Formula, len: usize| {
        let mut out = vec![0xaa; len];
        formula.predict(&(0..len as u64), &[&bytes], &mut out);
        out
    };
    for (to, exponent_bits, mantissa_bits) in [(Dtype::F16, 5, 10), (Dtype::Bf16, 8, 7)] {
        let made = make(&Formula::cast(&Dtype::F32, &to).unwrap(), 2 * floats.len() + 2);
        for (at, bits) in floats.iter().enumerate() {
            let expected = narrow(*bits, exponent_bits, mantissa_bits);
            let found = u16::from_le_bytes([made[2 * at], made[2 * at + 1]]);
            assert_eq!(found, expected, "{to} of {bits:#x}");
        }
        assert_eq!(made[2 * floats.len()..], [0, 0], "no element there");
    }
    casts_of_eight_bits_as_the_page_says(&floats);
    for (code, order) in AbsmaxOrder::ALL.into_iter().enumerate() {
        let values: Vec<f32> = floats.iter().map(|bits| f32::from_bits(*bits)).collect();
        for (dtype, largest, nearest) in
            [(Dtype::I8, 127.0, integer as fn(f32) -> u8), (Dtype::F8E4M3, 448.0, eight_bits)]
        {
            let formula = Formula::absmax(&Dtype::F32, &dtype, 19, order).unwrap();
            assert_eq!(formula.parameters(), [19, 0, 0, 0, 0, 0, 0, 0, code as u8]);
            let wanted = absmax(&values, 19, code, largest, nearest);
            assert_eq!(make(&formula, floats.len()), wanted);
        }
    }
    let child: Vec<u8> = bytes.iter().map(|byte| byte.wrapping_mul(5)).collect();
    let formula = Formula::requantise(33, &bytes, &child).unwrap();
    let made = make(&formula, bytes.len());
    assert_eq!(made, requantise(&bytes, &formula.parameters()));
    arithmetic_as_the_page_says(&floats);
    assert_eq!(make(&Formula::Resize, bytes.len() + 4), [&bytes[..], &[0; 4]].concat());
}
