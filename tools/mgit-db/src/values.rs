//! The bytes of a tensor as numbers, for people and for JSON.

use mgit::Dtype;
use mgit::half::{bf16, f16};
use serde_json::{Value, json};

use crate::output::json_float;

/// One element.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// For people: the shortest text that reads back as the same element.
    pub text: String,
    /// For programs: its exact value.
    pub json: Value,
}

/// How many bytes an element takes.
///
/// # Errors
///
/// Says why elements of this type cannot be shown.
pub fn element_len(dtype: &Dtype) -> Result<u64, String> {
    match dtype.bits() {
        Some(bits) if bits % 8 == 0 => Ok(u64::from(bits) / 8),
        Some(bits) => Err(format!(
            "elements of {dtype} have {bits} bits, and their order within a byte is not defined: \
             take the raw bytes instead, without --values"
        )),
        None => Err(format!(
            "the element type {:?} is not known here: take the raw bytes instead, without --values",
            dtype.name()
        )),
    }
}

/// The elements of whole `bytes`.
///
/// # Errors
///
/// As [`element_len`].
pub fn decode(dtype: &Dtype, bytes: &[u8]) -> Result<Vec<Number>, String> {
    let len = element_len(dtype)? as usize;
    Ok(bytes.chunks_exact(len).map(|element| number(dtype, element)).collect())
}

/// The elements of whole `bytes` as real numbers, behind those in `out`.
///
/// # Errors
///
/// As [`element_len`]; complex numbers.
pub fn reals(dtype: &Dtype, bytes: &[u8], out: &mut Vec<f64>) -> Result<(), String> {
    let len = element_len(dtype)? as usize;
    if *dtype == Dtype::C64 {
        return Err(format!("elements of {dtype} are not real numbers"));
    }
    out.extend(bytes.chunks_exact(len).map(|element| mgit::tensor::number(dtype, element)));
    Ok(())
}

fn float(value: f64) -> Number {
    Number { text: format!("{value:?}"), json: json_float(value) }
}

fn float32(value: f32) -> Number {
    Number { text: format!("{value:?}"), json: json_float(value.into()) }
}

fn integer(value: impl std::fmt::Display + Into<Value>) -> Number {
    Number { text: value.to_string(), json: value.into() }
}

/// The first bytes of an element; the caller's slices are long enough.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

fn number(dtype: &Dtype, element: &[u8]) -> Number {
    let [byte] = array(element);
    match dtype {
        Dtype::Bool => Number { text: (byte != 0).to_string(), json: json!(byte != 0) },
        Dtype::U8 => integer(byte),
        Dtype::I8 => integer(i8::from_le_bytes([byte])),
        Dtype::I16 => integer(i16::from_le_bytes(array(element))),
        Dtype::U16 => integer(u16::from_le_bytes(array(element))),
        Dtype::I32 => integer(i32::from_le_bytes(array(element))),
        Dtype::U32 => integer(u32::from_le_bytes(array(element))),
        Dtype::I64 => integer(i64::from_le_bytes(array(element))),
        Dtype::U64 => integer(u64::from_le_bytes(array(element))),
        Dtype::F16 => float32(f16::from_le_bytes(array(element)).to_f32()),
        Dtype::Bf16 => float32(bf16::from_le_bytes(array(element)).to_f32()),
        Dtype::F32 => float32(f32::from_le_bytes(array(element))),
        Dtype::F64 => float(f64::from_le_bytes(array(element))),
        Dtype::C64 => {
            let (real, imaginary) = element.split_at(4);
            let real = float32(f32::from_le_bytes(array(real)));
            let imaginary = float32(f32::from_le_bytes(array(imaginary)));
            let text = format!("{} {}", real.text, imaginary.text);
            Number { text, json: json!([real.json, imaginary.json]) }
        }
        Dtype::F8E4M3 | Dtype::F8E5M2 | Dtype::F8E4M3Fnuz | Dtype::F8E5M2Fnuz | Dtype::F8E8M0 => {
            float(mgit::tensor::number(dtype, element))
        }
        // element_len has refused every other type.
        _ => Number { text: String::new(), json: Value::Null },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dtype: Dtype, bytes: &[u8]) -> Vec<String> {
        decode(&dtype, bytes).unwrap().into_iter().map(|number| number.text).collect()
    }

    #[test]
    fn every_known_type_of_whole_bytes_is_decoded() {
        for (dtype, _) in Dtype::all_known() {
            match element_len(&dtype) {
                Ok(len) => {
                    let number = decode(&dtype, &vec![1; len as usize]).unwrap().remove(0);
                    assert!(!number.text.is_empty() && !number.json.is_null(), "{dtype}");
                }
                Err(reason) => assert!(dtype.name().starts_with("F4") || reason.contains("6 bits")),
            }
        }
        assert!(decode(&Dtype::Unknown("F128".into()), &[0]).unwrap_err().contains("F128"));
    }

    #[test]
    fn numbers_are_the_elements_values() {
        assert_eq!(texts(Dtype::F32, &0.1f32.to_le_bytes()), ["0.1"]);
        assert_eq!(texts(Dtype::Bf16, &bf16::from_f32(-1.5).to_le_bytes()), ["-1.5"]);
        assert_eq!(texts(Dtype::F16, &f16::from_f32(0.25).to_le_bytes()), ["0.25"]);
        assert_eq!(texts(Dtype::I64, &i64::MIN.to_le_bytes()), [i64::MIN.to_string()]);
        assert_eq!(texts(Dtype::Bool, &[0, 1]), ["false", "true"]);
        let exact = decode(&Dtype::U64, &u64::MAX.to_le_bytes()).unwrap();
        assert_eq!(exact[0].json, json!(u64::MAX));
        let exact = decode(&Dtype::F32, &0.1f32.to_le_bytes()).unwrap();
        assert_eq!(exact[0].json, json!(f64::from(0.1f32)));
    }

    #[test]
    fn real_numbers_are_the_numbers_that_are_shown() {
        for (dtype, _) in Dtype::all_known() {
            let Ok(len) = element_len(&dtype) else { continue };
            let bytes: Vec<u8> = (0..len * 8).map(|at| (at * 37 % 256) as u8).collect();
            let mut found = Vec::new();
            if dtype == Dtype::C64 {
                assert!(reals(&dtype, &bytes, &mut found).is_err());
                continue;
            }
            reals(&dtype, &bytes, &mut found).unwrap();
            for (real, number) in found.iter().zip(decode(&dtype, &bytes).unwrap()) {
                let expected = match number.text.as_str() {
                    "false" => 0.0,
                    "true" => 1.0,
                    text if dtype == Dtype::F32 => f64::from(text.parse::<f32>().unwrap()),
                    _ if matches!(dtype, Dtype::F16 | Dtype::Bf16) => {
                        number.json.as_f64().unwrap_or(*real)
                    }
                    text => text.parse().unwrap(),
                };
                assert!(*real == expected || real.is_nan(), "{dtype}: {real} {number:?}");
            }
        }
    }

    #[test]
    fn eight_bit_floats_follow_their_definitions() {
        // The largest, the smallest, the specials: OCP 8-bit floating point, and its FNUZ kin.
        assert_eq!(
            texts(Dtype::F8E4M3, &[0x7e, 0x01, 0x38, 0xff]),
            ["448.0", "0.001953125", "1.0", "NaN"]
        );
        assert_eq!(
            texts(Dtype::F8E5M2, &[0x7b, 0x3c, 0x7c, 0xfc]),
            ["57344.0", "1.0", "inf", "-inf"]
        );
        assert_eq!(texts(Dtype::F8E4M3Fnuz, &[0x7f, 0x40, 0x80]), ["240.0", "1.0", "NaN"]);
        assert_eq!(texts(Dtype::F8E5M2Fnuz, &[0x7f, 0x40, 0x80]), ["57344.0", "1.0", "NaN"]);
        assert_eq!(texts(Dtype::F8E8M0, &[127, 128, 255]), ["1.0", "2.0", "NaN"]);
    }
}
