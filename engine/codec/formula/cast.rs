//! One float type as another.

use half::{bf16, f16};

use super::eight::FloatEight;
use crate::tensor::Dtype;

/// The float types that are cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FloatType {
    /// IEEE 754 half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// One of the four of eight bits.
    Eight(FloatEight),
}

impl FloatType {
    /// The type, when it is one of those that are cast.
    pub fn cast_of(dtype: &Dtype) -> Option<Self> {
        Self::of(dtype).or_else(|| FloatEight::of(dtype).map(FloatType::Eight))
    }

    /// Whether it is one of eight bits.
    pub fn is_eight(self) -> bool {
        matches!(self, FloatType::Eight(_))
    }

    /// The type, when it is a float of more than eight bits: those that are reckoned with.
    pub fn of(dtype: &Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(FloatType::F16),
            Dtype::Bf16 => Some(FloatType::Bf16),
            Dtype::F32 => Some(FloatType::F32),
            Dtype::F64 => Some(FloatType::F64),
            _ => None,
        }
    }

    /// Bytes an element.
    pub fn bytes(self) -> usize {
        match self {
            FloatType::Eight(_) => 1,
            FloatType::F16 | FloatType::Bf16 => 2,
            FloatType::F32 => 4,
            FloatType::F64 => 8,
        }
    }

    /// Every element of `bytes` in single precision.
    pub(in crate::codec) fn singles(self, bytes: &[u8]) -> Vec<f32> {
        let twos = || bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b));
        match self {
            FloatType::F16 => twos().map(from_half_bits).collect(),
            FloatType::Bf16 => twos().map(from_brain_bits).collect(),
            FloatType::F32 => {
                bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            FloatType::F64 | FloatType::Eight(_) => {
                with_singles(self, bytes, |elements| elements.collect())
            }
        }
    }

    /// Writes numbers of single precision as elements of this type.
    pub(in crate::codec) fn write(self, values: &[f32], out: &mut [u8]) {
        write_singles(self, values, out);
    }
}

/// The bits of a quiet NaN of single precision with the sign and the upper payload of `bits`.
fn nan_of_double(bits: u64) -> u32 {
    (bits >> 32) as u32 & 1 << 31 | 0x7fc0_0000 | (bits >> 29) as u32 & 0x003f_ffff
}

/// The bits of a quiet NaN of double precision with the sign and the payload of `bits`.
fn nan_of_single(bits: u32) -> u64 {
    let sign = u64::from(bits >> 31) << 63;
    sign | 0x7ff8_0000_0000_0000 | u64::from(bits & 0x003f_ffff) << 29
}

/// The value of a double in single precision: to nearest, ties to even.
fn single(value: f64) -> f32 {
    if value.is_nan() { f32::from_bits(nan_of_double(value.to_bits())) } else { value as f32 }
}

/// The bits of a value in half precision: to nearest, ties to even; a NaN keeps its sign and the
/// upper ten bits of its payload, and becomes quiet.
fn half_bits(value: f32) -> u16 {
    if value.is_nan() {
        let bits = value.to_bits();
        return (bits >> 16) as u16 & 1 << 15 | 0x7e00 | (bits >> 13) as u16 & 0x01ff;
    }
    f16::from_f32(value).to_bits()
}

/// The value of half-precision bits; a NaN becomes quiet.
fn from_half_bits(bits: u16) -> f32 {
    if bits & 0x7fff > 0x7c00 {
        let sign = u32::from(bits >> 15) << 31;
        return f32::from_bits(sign | 0x7fc0_0000 | u32::from(bits & 0x01ff) << 13);
    }
    f16::from_bits(bits).to_f32()
}

/// The bits of a value as bfloat16: as [`half_bits`], with the upper seven bits of a NaN's payload.
fn brain_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x0040;
    }
    // Ties to even: the bit that stays decides whether half of it rounds up.
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The value of bfloat16 bits; a NaN becomes quiet.
fn from_brain_bits(bits: u16) -> f32 {
    let value = bf16::from_bits(bits).to_bits();
    let nan = value & 0x7fff > 0x7f80;
    f32::from_bits(u32::from(value) << 16 | if nan { 0x0040_0000 } else { 0 })
}

/// A value rounded to a type of at most four bytes.
#[inline(always)]
pub(super) fn rounded(of: FloatType, value: f32) -> f32 {
    match of {
        FloatType::F16 => from_half_bits(half_bits(value)),
        FloatType::Bf16 => from_brain_bits(brain_bits(value)),
        _ => value,
    }
}

fn each<const FROM: usize, const TO: usize>(
    base: &[u8],
    out: &mut [u8],
    cast: impl Fn([u8; FROM]) -> [u8; TO],
) {
    let (from, _) = base.as_chunks::<FROM>();
    let (to, rest) = out.as_chunks_mut::<TO>();
    let (covered, behind) = to.split_at_mut(from.len().min(to.len()));
    covered.iter_mut().zip(from).for_each(|(to, from)| *to = cast(*from));
    behind.as_flattened_mut().fill(0);
    rest.fill(0);
}

/// Every element of `base` as single precision, into `work`; all that is between two types.
pub(super) fn with_singles<R>(
    from: FloatType,
    base: &[u8],
    work: impl FnOnce(&mut dyn Iterator<Item = f32>) -> R,
) -> R {
    let (twos, fours, eights) =
        (base.as_chunks::<2>().0, base.as_chunks::<4>().0, base.as_chunks::<8>().0);
    match from {
        FloatType::F16 => work(&mut twos.iter().map(|b| from_half_bits(u16::from_le_bytes(*b)))),
        FloatType::Bf16 => work(&mut twos.iter().map(|b| from_brain_bits(u16::from_le_bytes(*b)))),
        FloatType::F32 => work(&mut fours.iter().map(|b| f32::from_le_bytes(*b))),
        FloatType::F64 => work(&mut eights.iter().map(|b| single(f64::from_le_bytes(*b)))),
        FloatType::Eight(eight) => {
            let values = eight.values();
            let value = |b: &u8| values.get(usize::from(*b)).copied().unwrap_or_default();
            work(&mut base.iter().map(value))
        }
    }
}

/// Writes single-precision values as elements of a type, rounded where it is narrower.
pub(super) fn write_singles(to: FloatType, values: &[f32], out: &mut [u8]) {
    cast(FloatType::F32, to, bytemuck::cast_slice(values), out);
}

/// Casts every element; zeros where `base` is too short. Doubles become halves by way of singles.
pub(super) fn cast(from: FloatType, to: FloatType, base: &[u8], out: &mut [u8]) {
    use FloatType::{Bf16, Eight, F16, F32, F64};
    let half = |value: f32| half_bits(value).to_le_bytes();
    let brain = |value: f32| brain_bits(value).to_le_bytes();
    let of_half = |bytes: [u8; 2]| from_half_bits(u16::from_le_bytes(bytes));
    let of_brain = |bytes: [u8; 2]| from_brain_bits(u16::from_le_bytes(bytes));
    let of_double = |bytes: [u8; 8]| single(f64::from_le_bytes(bytes));
    let double = |value: f32| {
        let bits = value.to_bits();
        let wide = if value.is_nan() { nan_of_single(bits) } else { f64::from(value).to_bits() };
        wide.to_le_bytes()
    };
    if let Eight(to) = to {
        return with_singles(from, base, |values| to.write(values, out));
    }
    let values = match from {
        Eight(eight) => eight.values(),
        _ => [0.0; 256],
    };
    let of_eight = |[code]: [u8; 1]| values.get(usize::from(code)).copied().unwrap_or_default();
    match (from, to) {
        (Eight(_), F16) => each(base, out, |b| half(of_eight(b))),
        (Eight(_), Bf16) => each(base, out, |b| brain(of_eight(b))),
        (Eight(_), F32) => each(base, out, |b| of_eight(b).to_le_bytes()),
        (Eight(_), F64) => each(base, out, |b| double(of_eight(b))),
        (F32, F16) => each(base, out, |b| half(f32::from_le_bytes(b))),
        (F32, Bf16) => each(base, out, |b| brain(f32::from_le_bytes(b))),
        (F32, F64) => each(base, out, |b| double(f32::from_le_bytes(b))),
        (F64, F32) => each(base, out, |b| of_double(b).to_le_bytes()),
        (F64, F16) => each(base, out, |b| half(of_double(b))),
        (F64, Bf16) => each(base, out, |b| brain(of_double(b))),
        (F16, F32) => each(base, out, |b| of_half(b).to_le_bytes()),
        (F16, F64) => each(base, out, |b| double(of_half(b))),
        (F16, Bf16) => each(base, out, |b| brain(of_half(b))),
        (Bf16, F32) => each(base, out, |b| of_brain(b).to_le_bytes()),
        (Bf16, F64) => each(base, out, |b| double(of_brain(b))),
        (Bf16, F16) => each(base, out, |b| half(of_brain(b))),
        (F16, F16) | (Bf16, Bf16) => each(base, out, |b: [u8; 2]| b),
        (F32, F32) => each(base, out, |b: [u8; 4]| b),
        (F64, F64) => each(base, out, |b: [u8; 8]| b),
        (_, Eight(_)) => {}
    }
}
