//! The numbers that elements are: the one place that knows the bits of every type.

use half::{bf16, f16};

use super::Dtype;

/// Bytes of one number of a tensor of this type; a complex number is two. `None` for elements of
/// less than a byte, whose order in it is not defined, and for unknown types.
pub fn number_bytes(dtype: &Dtype) -> Option<usize> {
    match dtype {
        Dtype::C64 => Some(4),
        known => known.bits().filter(|bits| bits % 8 == 0).map(|bits| bits as usize / 8),
    }
}

/// The number that the first bytes of `element` hold, in double precision: exact but for integers
/// beyond 2^53. Of a type that [`number_bytes`] does not know it is 0.
pub fn number(dtype: &Dtype, element: &[u8]) -> f64 {
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk().copied().unwrap_or([0; N])
    }
    let [byte] = array(element);
    match dtype {
        Dtype::F32 | Dtype::C64 => f32::from_le_bytes(array(element)).into(),
        Dtype::Bf16 => bf16::from_le_bytes(array(element)).to_f64(),
        Dtype::F16 => f16::from_le_bytes(array(element)).to_f64(),
        Dtype::F64 => f64::from_le_bytes(array(element)),
        Dtype::Bool => f64::from(u8::from(byte != 0)),
        Dtype::U8 => byte.into(),
        Dtype::I8 => i8::from_le_bytes([byte]).into(),
        Dtype::I16 => i16::from_le_bytes(array(element)).into(),
        Dtype::U16 => u16::from_le_bytes(array(element)).into(),
        Dtype::I32 => i32::from_le_bytes(array(element)).into(),
        Dtype::U32 => u32::from_le_bytes(array(element)).into(),
        Dtype::I64 => i64::from_le_bytes(array(element)) as f64,
        Dtype::U64 => u64::from_le_bytes(array(element)) as f64,
        Dtype::F8E4M3 => e4m3(byte),
        Dtype::F8E5M2 => e5m2(byte),
        Dtype::F8E4M3Fnuz if byte == FNUZ_NAN => f64::NAN,
        Dtype::F8E4M3Fnuz => small(byte, 3, 8),
        Dtype::F8E5M2Fnuz if byte == FNUZ_NAN => f64::NAN,
        Dtype::F8E5M2Fnuz => small(byte, 2, 16),
        Dtype::F8E8M0 if byte == u8::MAX => f64::NAN,
        Dtype::F8E8M0 => power_of_two(i32::from(byte) - 127),
        Dtype::F4 | Dtype::F6E2M3 | Dtype::F6E3M2 | Dtype::Unknown(_) => 0.0,
    }
}

/// The number of type F8_E4M3 that is nearest to `value`, of two the one with an even mantissa. The
/// largest, 448, stands for all that is larger; a NaN becomes the positive one.
pub fn e4m3_bits(value: f32) -> u8 {
    if value.is_nan() { 0x7f } else { nearest_e4m3(value) }
}

/// The number of an eight-bit float type that is nearest to `value`, as casts round: ties to even.
/// What is too large becomes the type's infinity, of F8_E4M3 its largest number, and of the types
/// without negative zero their NaN. Other NaN keep their sign. `None` for other types.
pub fn float8_bits(dtype: &Dtype, value: f32) -> Option<u8> {
    float8_cast(dtype).map(|cast| cast(value))
}

/// The rounding of [`float8_bits`] to numbers of a type, to be asked for once.
pub(crate) fn float8_cast(dtype: &Dtype) -> Option<fn(f32) -> u8> {
    match dtype {
        Dtype::F8E4M3 => Some(nearest_e4m3),
        Dtype::F8E5M2 => Some(nearest_e5m2),
        Dtype::F8E4M3Fnuz => Some(|value| nearest_fnuz(value, eight_bits::<3, 8>(value))),
        Dtype::F8E5M2Fnuz => Some(|value| nearest_fnuz(value, eight_bits::<2, 16>(value))),
        _ => None,
    }
}

fn nearest_e4m3(value: f32) -> u8 {
    let most = if value.is_nan() { 0x7f } else { 0x7e };
    eight_bits::<3, 7>(value).min(most) as u8 | sign_bit(value)
}

fn nearest_e5m2(value: f32) -> u8 {
    let most = if value.is_nan() { 0x7f } else { 0x7c };
    eight_bits::<2, 15>(value).min(most) as u8 | sign_bit(value)
}

fn nearest_fnuz(value: f32, magnitude: u32) -> u8 {
    match magnitude {
        0 => 0,
        1..=0x7f => magnitude as u8 | sign_bit(value),
        _ => FNUZ_NAN,
    }
}

fn sign_bit(value: f32) -> u8 {
    u8::from(value.is_sign_negative()) << 7
}

/// The bits of the nearest magnitude, ties to even, when exponents went on without end; more than
/// seven bits for what is too large, and of a NaN.
fn eight_bits<const MANTISSA_BITS: u32, const BIAS: u32>(value: f32) -> u32 {
    const EXPONENT_ONE: u32 = 127;
    let magnitude = value.abs();
    let bits = magnitude.to_bits();
    let cut = f32::MANTISSA_DIGITS - 1 - MANTISSA_BITS;
    if bits >> 23 <= EXPONENT_ONE - BIAS {
        // Subnormal: units of the smallest, and the smallest normal number behind them.
        let units = f32::from_bits((EXPONENT_ONE + BIAS - 1 + MANTISSA_BITS) << 23);
        return (magnitude * units).round_ties_even() as u32;
    }
    let even = bits >> cut & 1;
    ((bits + (1 << (cut - 1)) - 1 + even) >> cut) - ((EXPONENT_ONE - BIAS) << MANTISSA_BITS)
}

/// Of the types without negative zero, its code is the only NaN; they have no infinities.
const FNUZ_NAN: u8 = 0x80;

/// OCP E4M3: all exponent and mantissa bits set is NaN; there are no infinities.
fn e4m3(byte: u8) -> f64 {
    if byte & 0x7f == 0x7f { f64::NAN } else { small(byte, 3, 7) }
}

/// OCP E5M2: with all exponent bits set an infinity or, with a mantissa, NaN, as in IEEE 754.
fn e5m2(byte: u8) -> f64 {
    match byte & 0x7f {
        0x7c if byte >> 7 == 0 => f64::INFINITY,
        0x7c => f64::NEG_INFINITY,
        0x7d.. => f64::NAN,
        _ => small(byte, 2, 15),
    }
}

/// The value of a sign, an exponent and `mantissa_bits` of mantissa in one byte.
fn small(byte: u8, mantissa_bits: u32, bias: i32) -> f64 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((byte & 0x7f) >> mantissa_bits);
    let one = 1u32 << mantissa_bits;
    let mantissa = u32::from(byte) & (one - 1);
    let significand = if exponent == 0 { mantissa } else { one + mantissa };
    let power = exponent.max(1) - bias - mantissa_bits as i32;
    sign * f64::from(significand) * power_of_two(power)
}

/// Exact, unlike what a library's function need be; of exponents from -1022 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023).clamp(1, 2046) as u64) << 52)
}
