//! The entries of an archive that matter for tensors.

use std::ops::Range;

use crate::interchange::zip::{Archive, Entry};

/// The entries of an archive of torch.
pub(super) struct Parts<'a> {
    /// Where it is said in which order the bytes of numbers stand.
    pub byte_order: Option<Range<u64>>,
    /// The pickles, each with its storages.
    pub pickles: Vec<Part<'a>>,
}

/// A pickle and its storages.
pub(super) struct Part<'a> {
    /// The pickle's name.
    pub name: &'static str,
    /// The folder of its storages.
    pub folder: &'static str,
    /// What the names of its tensors begin with.
    pub prefix: &'static str,
    /// Where the pickle is, unless it is compressed.
    pub range: Option<Range<u64>>,
    pub crc32: u32,
    /// The storages by their names in the folder.
    pub storages: Vec<(&'a [u8], Range<u64>)>,
    /// How many storages are compressed.
    pub compressed: u64,
}

/// Names of pickles, the folders of their storages, and how the names of their tensors begin.
const PICKLES: [(&str, &str, &str); 2] =
    [("data.pkl", "data", ""), ("constants.pkl", "constants", "constants.")];

impl<'a> Parts<'a> {
    /// The parts; or why the archive is not torch's.
    pub(super) fn of(archive: &'a Archive) -> Result<Self, String> {
        let root = root(archive)?;
        let mut parts = Parts { byte_order: None, pickles: Vec::new() };
        let inside = |name: &'a [u8]| name.strip_prefix(root);
        for (name, folder, prefix) in PICKLES {
            let is_it = |entry: &(&'a [u8], &Entry)| inside(entry.0) == Some(name.as_bytes());
            let Some((_, entry)) = archive.entries().find(is_it) else { continue };
            let (range, crc32) = (entry.stored(), entry.crc32());
            let (storages, compressed) = (Vec::new(), 0);
            parts.pickles.push(Part { name, folder, prefix, range, crc32, storages, compressed });
        }
        for (name, entry) in archive.entries() {
            let Some(name) = inside(name) else { continue };
            if name == b"byteorder" {
                parts.byte_order = entry.stored();
            }
            for part in &mut parts.pickles {
                let key = name.strip_prefix(part.folder.as_bytes());
                let Some(key) = key.and_then(|key| key.strip_prefix(b"/")) else { continue };
                match entry.stored() {
                    Some(range) => part.storages.push((key, range)),
                    None => part.compressed += 1,
                }
            }
        }
        Ok(parts)
    }
}

/// The folder in the archive that all of torch's entries are in, with its slash.
fn root(archive: &Archive) -> Result<&[u8], String> {
    let roots = archive.entries().filter_map(|(name, _)| {
        let root = name.strip_suffix(b"data.pkl")?;
        let folder = root.strip_suffix(b"/");
        let one = folder.is_some_and(|folder| !folder.is_empty() && !folder.contains(&b'/'));
        (root.is_empty() || one).then_some(root)
    });
    let roots: Vec<&[u8]> = roots.take(2).collect();
    match *roots {
        [root] => Ok(root),
        [] => Err("a zip archive without a data.pkl, so not torch's".to_owned()),
        _ => Err("a zip archive with more than one data.pkl".to_owned()),
    }
}
