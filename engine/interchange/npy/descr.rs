//! Element types of NumPy, by their descriptions such as `<f4`.

use crate::tensor::Dtype;

/// What the elements of an array are.
pub(super) enum Kind {
    /// Numbers of a type, of so many bytes each.
    Number(Dtype, u64),
    /// Something that is not seen, and why.
    Unseen(String),
}

/// Little-endian numbers: a letter and the bytes of one.
const NUMBERS: [(&str, Dtype); 13] = [
    ("b1", Dtype::Bool),
    ("i1", Dtype::I8),
    ("u1", Dtype::U8),
    ("i2", Dtype::I16),
    ("u2", Dtype::U16),
    ("f2", Dtype::F16),
    ("i4", Dtype::I32),
    ("u4", Dtype::U32),
    ("f4", Dtype::F32),
    ("i8", Dtype::I64),
    ("u8", Dtype::U64),
    ("f8", Dtype::F64),
    ("c8", Dtype::C64),
];

impl Kind {
    /// What a description stands for.
    pub(super) fn of(descr: &str) -> Self {
        let (order, name) = match descr.as_bytes() {
            [b'<' | b'|' | b'=', ..] => (b'<', descr.get(1..).unwrap_or_default()),
            [b'>', ..] => (b'>', descr.get(1..).unwrap_or_default()),
            _ => (b'<', descr),
        };
        let found = NUMBERS.iter().find(|(known, _)| *known == name);
        let unseen = |why: &str| Kind::Unseen(format!("its type {descr:?} is {why}"));
        match (found, name.bytes().next()) {
            (Some(_), _) if order == b'>' && !name.ends_with('1') => unseen("big-endian"),
            (None, _) if name == "c16" && order != b'>' => {
                Kind::Number(Dtype::Unknown("C128".into()), 16)
            }
            (Some((_, dtype)), _) => {
                let bits = dtype.bits().unwrap_or(8);
                Kind::Number(dtype.clone(), u64::from(bits) / 8)
            }
            (None, Some(b'O')) => unseen("objects, a pickle that is never read"),
            (None, Some(b'U' | b'S' | b'a')) => unseen("texts"),
            (None, Some(b'V')) => unseen("raw bytes, whose meaning the file does not tell"),
            (None, Some(b'M' | b'm')) => unseen("times"),
            (None, _) => unseen("not known"),
        }
    }

    /// Elements of several fields.
    pub(super) fn structured() -> Self {
        Kind::Unseen("its elements have several fields".to_owned())
    }
}
