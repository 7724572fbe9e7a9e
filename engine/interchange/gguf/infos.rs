//! The tensors that a GGUF file lists, and where they lie.

use std::collections::HashSet;

use super::block_type::BlockType;
use super::cursor::Cursor;
use crate::interchange::InterchangeError;
use crate::interchange::file_layout::LaidTensor;
use crate::tensor::{Dtype, RANK_MAX, Shape};

/// A tensor as the file lists it.
#[derive(Debug)]
pub(super) struct Info {
    /// Where the file lists it.
    at: u64,
    name: String,
    dtype: Dtype,
    /// Outermost first, as its bytes are.
    shape: Shape,
    /// Where it begins, from the beginning of all tensors.
    offset: u64,
    /// Its bytes; `None` for a type that is not known.
    byte_len: Option<u64>,
}

/// Reads `count` tensors' descriptions.
pub(super) fn read(cursor: &mut Cursor<'_>, count: u64) -> Result<Vec<Info>, InterchangeError> {
    cursor.enter("the list of tensors");
    let (mut infos, mut names) = (Vec::new(), HashSet::new());
    for _ in 0..count {
        let info = read_one(cursor)?;
        if !names.insert(info.name.clone()) {
            let detail = format!("the tensor {:?} stands twice", info.name);
            return Err(cursor.malformed(info.at, detail));
        }
        infos.push(info);
    }
    Ok(infos)
}

fn read_one(cursor: &mut Cursor<'_>) -> Result<Info, InterchangeError> {
    let at = cursor.at();
    let name = cursor.name("a tensor's name")?;
    if name.is_empty() {
        return Err(cursor.malformed(at, "a tensor without a name"));
    }
    // The name once more in the set of names, and the dimensions.
    cursor.take(512 + name.len() as u64)?;
    let rank = cursor.u32()?;
    if rank as usize > RANK_MAX {
        let detail = format!("the tensor {name:?} has {rank} dimensions, more than {RANK_MAX}");
        return Err(cursor.malformed(at, detail));
    }
    let mut dims = (0..rank).map(|_| cursor.u64()).collect::<Result<Vec<u64>, _>>()?;
    let code = cursor.u32()?;
    let offset = cursor.u64()?;
    let known = BlockType::of_code(code);
    let byte_len = known.map(|kind| kind.byte_len(&dims));
    if let (Some(None), Some(kind)) = (byte_len, known) {
        let detail = format!(
            "the tensor {name:?} has dimensions {dims:?}, expected rows of whole blocks of {} \
             {} elements, below 2^64 bytes together",
            kind.elements,
            kind.dtype()
        );
        return Err(cursor.malformed(at, detail));
    }
    dims.reverse();
    let shape = Shape::new(&dims);
    let shape = shape.map_err(|error| cursor.malformed(at, format!("{name:?}: {error}")))?;
    let unknown = || Dtype::Unknown(format!("GGML{code}").into());
    let dtype = known.map_or_else(unknown, BlockType::dtype);
    let byte_len = byte_len.flatten().or((shape.elements() == 0).then_some(0));
    Ok(Info { at, name, dtype, shape, offset, byte_len })
}

/// The tensors' ranges in a file of `file_len` bytes, whose list of tensors ends where `cursor` is;
/// with notes of what is guessed.
pub(super) fn place(
    cursor: &Cursor<'_>,
    mut infos: Vec<Info>,
    alignment: u64,
    file_len: u64,
) -> Result<(Vec<LaidTensor>, Vec<String>), InterchangeError> {
    // An end of the list so near to 2^64 is the end of no file.
    let start = cursor.at().next_multiple_of(alignment);
    // Empty ones first where they begin together: nothing lies over them.
    infos.sort_by_key(|info| (info.offset, info.byte_len != Some(0)));
    let nexts: Vec<u64> = infos.iter().skip(1).map(|info| info.offset).collect();
    let (mut placed, mut guessed): (Vec<LaidTensor>, Vec<String>) = (Vec::new(), Vec::new());
    let mut end_before = start;
    for (place, info) in infos.into_iter().enumerate() {
        let Info { at, name, dtype, shape, offset, byte_len } = info;
        let malformed = |detail: String| cursor.malformed(at, format!("{name:?} {detail}"));
        if offset % alignment != 0 {
            return Err(malformed(format!("begins at {offset}, not a multiple of {alignment}")));
        }
        let begin = start.checked_add(offset).filter(|begin| *begin <= file_len);
        let ends = |begin: u64| match (byte_len, nexts.get(place)) {
            (Some(len), _) => begin.checked_add(len),
            (None, Some(next)) => start.checked_add(*next),
            (None, None) => Some(file_len),
        };
        let end = begin.and_then(ends).filter(|end| *end <= file_len);
        let (Some(begin), Some(end)) = (begin, end) else {
            let len = byte_len.map_or(String::new(), |len| format!(" of {len} bytes"));
            return Err(malformed(format!(
                "begins at {offset} of the data{len}, which is past the end of the file"
            )));
        };
        if byte_len.is_none() && begin == end {
            return Err(malformed("has no bytes before the next tensor begins".to_owned()));
        }
        if begin < end_before && begin < end {
            let before = placed.last().map_or("", |tensor| tensor.name.as_str());
            return Err(malformed(format!("lies over {before:?}")));
        }
        if byte_len.is_none() {
            guessed.push(format!("{name:?} ({dtype})"));
        }
        end_before = end_before.max(end);
        placed.push(LaidTensor { name, dtype, shape, begin, end });
    }
    let notes = guessed.first().map(|first| {
        format!(
            "of {} tensors the type is not known, such as {first}: each is taken to reach to the \
             next one",
            guessed.len()
        )
    });
    Ok((placed, notes.into_iter().collect()))
}
