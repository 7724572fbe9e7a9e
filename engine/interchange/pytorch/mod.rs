//! Files of `torch.save` and of TorchScript: zip archives with a pickle that names the tensors and
//! an entry for each storage.
//!
//! Invariants of this room:
//!
//! - The pickle is read as data: see [`pickle`].
//! - A storage of the archive is one tensor of the layout. It has the name of the first tensor that
//!   covers it in order; if there is none, the name of its entry, such as `data/3`, and one dimension.
//!   All other tensors on it are views.
//! - What the pickle says of a storage is believed as far as the entry has the bytes.
//!
//! Names are the keys and places that lead to a tensor, dots between them, as in `state.0.exp_avg`; a
//! file that is a single tensor calls it `tensor`. The attributes of objects are keys too, and of a
//! pickled module `_parameters`, `_buffers` and `_modules` are left out, as its `state_dict` does.
//! Constants of TorchScript begin with `constants.`. A key that is neither a text nor a number is its
//! place, as in `<2>`.

mod parts;
mod pickle;
mod storages;

use std::path::Path;

use self::parts::Parts;
use self::pickle::{PICKLE_LEN_MAX, Pickle};
use self::storages::Storages;
use super::counted::counted;
use super::zip::{Archive, EMPTY_MAGIC, LOCAL_MAGIC, ZipFault, first_name};
use super::{FileFormat, FileLayout, InterchangeError, LayoutBuilder, OpenFile};

/// What a file begins with that torch before 1.6 has written: a pickled magic number.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// How the names of files end that people expect to be torch's.
const EXTENSIONS: [&str; 8] = ["pt", "pth", "bin", "ckpt", "tar", "ptl", "pkl", "jit"];
/// The most notes that are given on.
const NOTES_MAX: usize = 100;
/// The most globals that a note names.
const GLOBALS_SHOWN_MAX: usize = 8;

/// Whether a file is torch's by its content, or a zip archive that is so by its name.
pub(in crate::interchange) fn recognises(head: &[u8], path: &Path) -> bool {
    head.starts_with(LEGACY_MAGIC)
        || first_name(head).is_some_and(is_of_torch)
        || (head.starts_with(LOCAL_MAGIC) || head.starts_with(EMPTY_MAGIC)) && has_extension(path)
}

/// Whether an entry is one of those that torch writes, in the one folder of the archive.
fn is_of_torch(name: &[u8]) -> bool {
    let folder_len = name.iter().position(|byte| *byte == b'/').unwrap_or_default();
    let inner = name.get(folder_len..).unwrap_or_default();
    const FILES: [&[u8]; 4] = [b"/data.pkl", b"/constants.pkl", b"/version", b"/byteorder"];
    const FOLDERS: [&[u8]; 3] = [b"/data/", b"/constants/", b"/code/__torch__"];
    folder_len > 0
        && (FILES.contains(&inner) || FOLDERS.iter().any(|folder| inner.starts_with(folder)))
}

fn has_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|it| EXTENSIONS.iter().any(|known| it.eq_ignore_ascii_case(known)))
}

/// The layout of a file of torch. A zip archive that is not torch's is bytes.
///
/// # Errors
///
/// [`InterchangeError::Malformed`] where the archive is damaged and is torch's by name or content;
/// [`InterchangeError::Io`].
pub(in crate::interchange) fn read(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let head = file.head(256)?;
    if head.starts_with(LEGACY_MAGIC) {
        return Ok(kept(
            "legacy PyTorch file from before 1.6: kept as bytes; torch.load + torch.save writes the \
             present form",
        ));
    }
    let archive = match Archive::read(file) {
        Ok(archive) => archive,
        Err(ZipFault::Io(error)) => return Err(error),
        Err(ZipFault::Damaged { offset, detail }) => {
            if first_name(&head).is_some_and(is_of_torch) || has_extension(file.path()) {
                return Err(file.malformed(FileFormat::PyTorch, offset, detail));
            }
            return Ok(kept(&format!("kept as bytes: a zip archive that is damaged: {detail}")));
        }
        Err(ZipFault::NotRead(detail)) => return Ok(kept(&format!("kept as bytes: {detail}"))),
    };
    match Parts::of(&archive) {
        Ok(parts) => lay_out(file, &parts),
        Err(why) => Ok(kept(&format!("kept as bytes: {why}"))),
    }
}

/// A file whose tensors are not seen.
fn kept(note: &str) -> FileLayout {
    let mut layout = FileLayout::new(FileFormat::Bytes);
    layout.notes.push(note.to_owned());
    layout
}

fn lay_out(file: &OpenFile, parts: &Parts<'_>) -> Result<FileLayout, InterchangeError> {
    let mut builder = LayoutBuilder::new(file.len());
    let big_endian = match &parts.byte_order {
        Some(range) => file.bytes(range.start, (range.end - range.start).min(16))? == b"big",
        None => false,
    };
    if big_endian {
        builder.note("its numbers are big-endian: the storages are seen as plain bytes");
    }
    for part in &parts.pickles {
        let mut storages = Storages::new(&part.storages, part.folder);
        if !big_endian && let Some(bytes) = pickle_of(file, part, &mut builder)? {
            match Pickle::read(&bytes) {
                Ok(pickle) => {
                    note_strange(&pickle, part.name, &mut builder);
                    storages.name(&pickle, part.prefix, file.len(), &mut builder);
                }
                Err(fault) => builder.note(format!(
                    "{} cannot be followed, its storages are seen as plain bytes: at byte {}: {}",
                    part.name, fault.offset, fault.why
                )),
            }
        }
        storages.finish(&mut builder);
        if part.compressed > 0 {
            let storages = counted(part.compressed, "compressed storage");
            builder.note(format!("kept, not seen: {storages}"));
        }
    }
    let laid = builder.finish();
    let mut layout = FileLayout::new(FileFormat::PyTorch);
    (layout.tensors, layout.views, layout.notes) = (laid.tensors, laid.views, laid.notes);
    if let Some(more) = layout.notes.len().checked_sub(NOTES_MAX).filter(|more| *more > 0) {
        layout.notes.truncate(NOTES_MAX);
        layout.notes.push(format!("and {more} more such notes"));
    }
    Ok(layout)
}

/// The bytes of a pickle that is there and not too large.
fn pickle_of(
    file: &OpenFile,
    part: &parts::Part<'_>,
    builder: &mut LayoutBuilder,
) -> Result<Option<Vec<u8>>, InterchangeError> {
    let Some(range) = &part.range else {
        builder.note(format!(
            "{} is compressed: kept, not read; the storages are seen as plain bytes",
            part.name
        ));
        return Ok(None);
    };
    let len = range.end - range.start;
    if len > PICKLE_LEN_MAX {
        builder.note(format!(
            "{} has {len} bytes, at most {PICKLE_LEN_MAX} are read: the storages are seen as plain \
             bytes",
            part.name
        ));
        return Ok(None);
    }
    let bytes = file.bytes(range.start, len)?;
    if crc32fast::hash(&bytes) != part.crc32 {
        builder.note(format!(
            "{} has another checksum than the archive says: the file may be damaged",
            part.name
        ));
    }
    Ok(Some(bytes))
}

/// Says what a pickle has that is not understood.
fn note_strange(pickle: &Pickle<'_>, name: &str, builder: &mut LayoutBuilder) {
    if !pickle.unknown.is_empty() {
        let shown: Vec<String> =
            pickle.unknown.iter().take(GLOBALS_SHOWN_MAX).map(|it| format!("{it:?}")).collect();
        let more = pickle.unknown.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        builder.note(format!(
            "{name} names {}{more}: never imported or run; tensors inside are seen, what else these \
             make is kept",
            shown.join(", ")
        ));
    }
    if pickle.sparse > 0 {
        builder.note(format!(
            "seen as tensors of their own: the indices and values of {}",
            counted(pickle.sparse, "sparse tensor")
        ));
    }
    if pickle.strange_ids > 0 {
        builder.note(format!(
            "not seen: what stands behind {} in {name} other than of storages",
            counted(pickle.strange_ids, "persistent id")
        ));
    }
}
