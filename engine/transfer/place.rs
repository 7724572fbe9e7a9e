//! Where the other side is: a store's file, a folder, a bundle, or an address.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::bundle;
use super::folder::{FolderRemote, open_file};
use super::naming::Naming;
use super::pack::PACK_MAGIC;
use super::receive::{listed, receive};
use super::remotes::refuse_credentials;
use super::source::{RecordSource, StoreSource};
use super::sync_markers::remember_named;
use super::{PullReport, Remote, Result, Selection, TransferError, push_to_remote};
use crate::store::Store;

/// A place that models come from or go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file of a store.
    Store(PathBuf),
    /// A bundle.
    Bundle(PathBuf),
    /// A folder of packs and refs, which may not be there yet.
    Folder(PathBuf),
    /// The address of an object store.
    Url(String),
}

impl Place {
    /// What a path or an address stands for: an address has `://`; of paths, what is there tells.
    /// Where nothing is there yet a path stands for a folder, unless it ends with `.mgit`.
    ///
    /// # Errors
    ///
    /// [`TransferError::BadRemote`] for an address with credentials; [`TransferError::NotFound`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains("://") {
            refuse_credentials(text)?;
            return Ok(Place::Url(text.to_owned()));
        }
        let path = Path::new(text);
        let read = TransferError::io("read", text);
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            found => Some(found.map_err(read)?),
        };
        match found {
            Some(found) if found.is_dir() => Ok(Place::Folder(path.to_owned())),
            Some(_) => {
                let mut magic = Vec::new();
                let file = open_file(path).map_err(TransferError::io("open", text))?;
                let read = file.take(8).read_to_end(&mut magic);
                read.map_err(TransferError::io("read", text))?;
                match magic == PACK_MAGIC {
                    true => Ok(Place::Bundle(path.to_owned())),
                    false => Ok(Place::Store(path.to_owned())),
                }
            }
            None if path.extension().is_some_and(|end| end == "mgit") => {
                Err(TransferError::NotFound { place: text.to_owned() })
            }
            None => Ok(Place::Folder(path.to_owned())),
        }
    }
}

/// Opens a remote at a place that can have one: a folder, or an object store.
///
/// # Errors
///
/// [`TransferError::BadRemote`] for another place, and for addresses that this build does not
/// know.
pub fn open_remote(place: &Place) -> Result<Box<dyn Remote>> {
    match place {
        Place::Folder(path) => Ok(Box::new(FolderRemote::new(path))),
        Place::Url(url) => open_url(url),
        Place::Store(path) | Place::Bundle(path) => {
            let reason = "this is a file: a remote is a folder or an address";
            Err(TransferError::BadRemote { what: path.display().to_string(), reason })
        }
    }
}

#[cfg(feature = "remote")]
fn open_url(url: &str) -> Result<Box<dyn Remote>> {
    let remote = super::ObjectRemote::open(url).map_err(TransferError::io("open", url))?;
    Ok(Box::new(remote))
}

#[cfg(not(feature = "remote"))]
fn open_url(url: &str) -> Result<Box<dyn Remote>> {
    let reason = "this program was built without object stores (feature remote)";
    Err(TransferError::BadRemote { what: url.to_owned(), reason })
}

/// Takes in what is at a place and not here.
///
/// # Errors
///
/// Those of both sides; damage. Nothing is seen of a pull that fails.
pub fn pull(store: &Store, from: &Place, selection: Selection<'_>) -> Result<PullReport> {
    come(store, from, selection, Naming::Pull)
}

/// As [`pull`], tensors only: a pull that follows only names the models.
///
/// # Errors
///
/// As [`pull`].
pub fn fetch(store: &Store, from: &Place, selection: Selection<'_>) -> Result<PullReport> {
    come(store, from, selection, Naming::Fetch)
}

fn come(
    store: &Store,
    from: &Place,
    selection: Selection<'_>,
    naming: Naming,
) -> Result<PullReport> {
    with_source(store, from, |source| receive(store, source, selection, naming))
}

/// Opens a place, of whose packs `store` may keep indexes, and shows it to `work`.
pub(super) fn with_source<T>(
    store: &Store,
    from: &Place,
    work: impl FnOnce(&dyn RecordSource) -> Result<T>,
) -> Result<T> {
    match from {
        Place::Store(path) => work(&StoreSource::new(&store.options().open_read_only(path)?)?),
        Place::Bundle(path) => work(&bundle::open(path)?),
        place => work(&listed(store, &*open_remote(place)?)?),
    }
}

fn push_to_store(
    store: &Store,
    source: &StoreSource,
    to: &Store,
    selection: Selection<'_>,
) -> Result<PullReport> {
    let report = receive(to, source, selection, Naming::Push)?;
    let id = to.container().superblock().store_id;
    remember_named(store, id, source.nodes(), report.models.iter().chain(&report.updated))?;
    Ok(report)
}

/// Gives a place what is here and not there.
///
/// # Errors
///
/// [`TransferError::Diverged`] and [`TransferError::PushRaced`]: pull first.
/// [`TransferError::FolderNotEmpty`] for a folder that holds other things. Those of both sides.
/// Nothing is seen of a push that fails.
pub fn push(store: &Store, to: &Place, selection: Selection<'_>) -> Result<PullReport> {
    match to {
        Place::Store(path) => {
            let source = StoreSource::new(store)?;
            push_to_store(
                store,
                &source,
                &store.options().clone().lock_per_transaction(true).open(path)?,
                selection,
            )
        }
        Place::Bundle(path) => {
            Err(TransferError::WrittenOnce { place: path.display().to_string() })
        }
        Place::Folder(path) => {
            let remote = FolderRemote::new(path);
            remote.check_own()?;
            push_to_remote(store, &remote, selection)
        }
        Place::Url(_) => push_to_remote(store, &*open_remote(to)?, selection),
    }
}
