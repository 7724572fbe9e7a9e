//! One file with models in it: a pack that stands alone.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::check::{Closure, IndexAt};
use super::drafts::{PackBody, draft_packs};
use super::entry::Tests;
use super::entry::full_names;
use super::folder::open_file;
use super::naming::Naming;
use super::pack::{PACK_MAGIC, TRAILER_LEN, TRAILER_MAGIC, read_trailer};
use super::packed::PackedSource;
use super::plan::{There, plan};
use super::receive::receive;
use super::source::{RecordSource, StoreSource};
use super::{PullReport, Result, Selection, TransferError};
use crate::container::{
    Destination, Overwrite, TemporaryFolder, TemporaryKind, folder_of, full_message,
};
use crate::format::SUPERBLOCK_MAGIC;
use crate::store::{Store, TensorSource};

/// What is in a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct BundleReport {
    /// Its models, `name@version`, each behind what it descends from.
    pub models: Vec<String>,
    /// Its tensors.
    pub tensors: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The file of a bundle.
#[derive(Debug)]
pub(super) struct BundleFile(pub(super) File);

impl TensorSource for BundleFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
}

/// Writes the selected models, and what they descend from, as one file. Nothing may be at `path`.
///
/// # Errors
///
/// Those of [`bundle_write`].
pub fn bundle_create(
    store: &Store,
    path: impl AsRef<Path>,
    selection: Selection<'_>,
) -> Result<BundleReport> {
    let path = path.as_ref();
    bundle_write(store, &Destination::new(path, Overwrite::Nothing)?, selection)
}

/// Writes the selected models, and what they descend from, as one file.
///
/// # Errors
///
/// [`TransferError::NothingSelected`]; [`TransferError::NotReadable`] when what was written is not
/// what must be read; those of the store and the file. What was there is then as it was. Cost: the
/// file is written and read once; a pipe cannot be read back.
pub fn bundle_write(
    store: &Store,
    destination: &Destination,
    selection: Selection<'_>,
) -> Result<BundleReport> {
    let source = StoreSource::new(store)?;
    let none = BTreeSet::new();
    let there = There {
        nodes: &none,
        tests: &Tests::new(),
        has_tensor: &|_| Ok(false),
        lacking: &|_| Ok(Vec::new()),
    };
    let plan = plan(&source, &there, selection.whole(), &mut |_, _| Ok(()))?;
    if plan.models.is_empty() {
        return Err(TransferError::NothingSelected);
    }
    let shown = destination.path().display().to_string();
    let failed = |operation| TransferError::io(operation, shown.clone());
    let mut report = BundleReport {
        models: full_names(source.nodes(), &plan.models),
        tensors: plan.missing.tensors.len() as u64,
        bytes: 0,
    };
    let write = |out: &mut dyn io::Write| {
        for draft in draft_packs(&source, &plan, &|_| false, u64::MAX)? {
            let mut body = PackBody::new(&source, &draft, selection.progress)?;
            report.bytes += io::copy(&mut body, out).map_err(failed("write"))?;
        }
        Ok(())
    };
    destination.write_checked(write, |file| read_back(file, &shown))?;
    Ok(report)
}

/// Reads a bundle that was written, before it gets its name.
fn read_back(file: &File, shown: &str) -> Result<()> {
    let not_readable =
        |reason: String| TransferError::NotReadable { place: shown.to_owned(), reason };
    let file = file.try_clone().map_err(TransferError::io("read", shown))?;
    let at = index_of(&file, shown).map_err(|error| not_readable(full_message(&error)))?;
    let file = BundleFile(file);
    let mut closure = Closure::default();
    let opened = closure.open(&file, at).map_err(not_readable)?;
    closure.settle();
    let (_, mut faults) = closure.check(opened, &file, true, &|_| ());
    faults.extend(closure.faults());
    faults.into_iter().next().map_or(Ok(()), |fault| Err(not_readable(fault)))
}

/// Where the index of a bundle is, as its trailer says.
pub(super) fn index_of(file: &File, shown: &str) -> Result<IndexAt> {
    let failed = |operation| TransferError::io(operation, shown);
    let bytes = file.metadata().map_err(failed("read"))?.len();
    let mut magic = [0; PACK_MAGIC.len()];
    if bytes < magic.len() as u64 {
        return Err(TransferError::damaged(shown, "it is shorter than any bundle"));
    }
    file.read_exact_at(&mut magic, 0).map_err(failed("read"))?;
    if magic != PACK_MAGIC {
        return Err(TransferError::damaged(shown, "it does not begin as a bundle does"));
    }
    let start = bytes.checked_sub(TRAILER_LEN);
    let start = start.ok_or_else(|| TransferError::damaged(shown, "it is cut short"))?;
    let mut trailer = vec![0; TRAILER_LEN as usize];
    file.read_exact_at(&mut trailer, start).map_err(failed("read"))?;
    let (offset, len, id) = read_trailer(shown, &trailer)?;
    if offset.checked_add(len) != Some(start) {
        return Err(TransferError::damaged(shown, "its trailer names another length"));
    }
    Ok(IndexAt { offset, len, id })
}

/// Refuses a file that neither begins nor ends as a bundle: it is another one, and not damaged.
fn refuse_others(file: &File, shown: &str) -> Result<()> {
    let failed = |operation| TransferError::io(operation, shown);
    let bytes = file.metadata().map_err(failed("read"))?.len();
    let begins = |offset: Option<u64>, magic: [u8; 8]| match offset {
        Some(offset) if offset + 8 <= bytes => {
            let mut found = [0; 8];
            file.read_exact_at(&mut found, offset).map(|()| found == magic)
        }
        _ => Ok(false),
    };
    let begins = |offset, magic| begins(offset, magic).map_err(failed("read"));
    if begins(Some(0), PACK_MAGIC)? || begins(bytes.checked_sub(TRAILER_LEN), TRAILER_MAGIC)? {
        return Ok(());
    }
    let is_store = begins(Some(0), SUPERBLOCK_MAGIC)?;
    Err(TransferError::NotABundle { place: shown.to_owned(), is_store })
}

/// Opens a bundle: its index is read and checked.
pub(super) fn open(path: &Path) -> Result<PackedSource<'static>> {
    let shown = path.display().to_string();
    let file = open_file(path).map_err(TransferError::io("open", &*shown))?;
    refuse_others(&file, &shown)?;
    let IndexAt { offset, len, id } = index_of(&file, &shown)?;
    let mut source = PackedSource::empty(shown.clone());
    source.add(&shown, Box::new(BundleFile(file)), offset, len, id)?;
    Ok(source.settled())
}

/// Checks a bundle: every record is decoded and hashed, as an import does. Cost: a temporary store
/// of the bundle's size, beside it.
///
/// # Errors
///
/// Damage; those of the file.
pub fn bundle_verify(path: impl AsRef<Path>, selection: Selection<'_>) -> Result<BundleReport> {
    let path = path.as_ref();
    let source = open(path)?;
    let shown = path.display().to_string();
    let failed = |operation| TransferError::io(operation, shown.clone());
    let folder = TemporaryFolder::create(folder_of(path), TemporaryKind::Bundle);
    let folder = folder.map_err(failed("make a folder beside"))?;
    let store = Store::create(folder.path().join("bundle.mgit"))?;
    let report = receive(&store, &source, selection.whole(), Naming::Pull)?;
    let bytes = path.metadata().map_err(failed("read"))?.len();
    Ok(BundleReport { models: report.models, tensors: report.tensors, bytes })
}

/// Takes in what a bundle has and the store has not.
///
/// # Errors
///
/// Damage; those of the store. Nothing is seen of an import that fails.
pub fn bundle_import(
    store: &Store,
    path: impl AsRef<Path>,
    selection: Selection<'_>,
) -> Result<PullReport> {
    let path = path.as_ref();
    receive(store, &open(path)?, selection, Naming::Pull)
}
