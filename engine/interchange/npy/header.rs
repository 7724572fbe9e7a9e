//! The header of an array: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.

use std::ops::Range;

use super::descr::Kind;
use super::literal::{Literal, parse};
use crate::interchange::{InterchangeError, OpenFile};

/// What an array begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The magic and the version.
const VERSION_END: u64 = 8;
/// The most bytes of a header that is read. NumPy itself warns of more than 10,000.
const LEN_MAX: u64 = 1 << 20;

/// What is before an array's bytes.
pub(super) struct Header {
    /// The bytes from the magic to the array's first.
    pub len: u64,
    pub kind: Kind,
    pub fortran: bool,
    pub dims: Vec<u64>,
}

/// What is wrong with a header.
pub(super) struct Fault {
    pub offset: u64,
    pub detail: String,
}

impl Header {
    /// The header at the begin of a range.
    pub(super) fn read(
        file: &OpenFile,
        range: Range<u64>,
    ) -> Result<Result<Self, Fault>, InterchangeError> {
        let fault = |at: u64, detail: &str| {
            Ok(Err(Fault { offset: range.start + at, detail: detail.to_owned() }))
        };
        let room = range.end - range.start;
        let fixed = file.bytes(range.start, room.min(VERSION_END + 4))?;
        if !fixed.starts_with(MAGIC) {
            return fault(0, "expected the header of an array of NumPy");
        }
        let (major, rest) = (fixed.get(MAGIC.len()), fixed.get(VERSION_END as usize..));
        let (width, len) = match (major, rest) {
            (Some(1), Some([a, b, ..])) => (2, u64::from(u16::from_le_bytes([*a, *b]))),
            (Some(2 | 3), Some([a, b, c, d])) => {
                (4, u64::from(u32::from_le_bytes([*a, *b, *c, *d])))
            }
            (Some(1..=3) | None, _) => return fault(0, "the header is cut"),
            (Some(other), _) => {
                return fault(6, &format!("version {other} of the header, expected 1 to 3"));
            }
        };
        let begin = VERSION_END + width;
        if len > LEN_MAX {
            return fault(
                VERSION_END,
                &format!("a header of {len} bytes, expected {LEN_MAX} at most"),
            );
        }
        if begin + len > room {
            return fault(VERSION_END, &format!("a header of {len} bytes, the file is cut"));
        }
        let text = file.bytes(range.start + begin, len)?;
        Ok(match parse(&text).and_then(Self::of) {
            Some((kind, fortran, dims)) => Ok(Header { len: begin + len, kind, fortran, dims }),
            None => Err(Fault {
                offset: range.start + begin,
                detail: "expected descr, fortran_order and shape in the header, each once"
                    .to_owned(),
            }),
        })
    }

    fn of(items: Vec<(&str, Literal<'_>)>) -> Option<(Kind, bool, Vec<u64>)> {
        let (mut kind, mut fortran, mut dims) = (None, None, None);
        for (key, value) in items {
            let again = match (key, value) {
                ("descr", Literal::Text(text)) => kind.replace(Kind::of(text)).is_some(),
                ("descr", Literal::List) => kind.replace(Kind::structured()).is_some(),
                ("fortran_order", Literal::Bool(value)) => fortran.replace(value).is_some(),
                ("shape", Literal::Tuple(value)) => dims.replace(value).is_some(),
                _ => return None,
            };
            if again {
                return None;
            }
        }
        Some((kind?, fortran?, dims?))
    }
}
