//! The stores that are served, each under a prefix.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mgit::container::ContainerError;
use mgit::error::CatalogError;
use mgit::store::{Access, StoreError};
use mgit::{Snapshot, Store};

use crate::failure::Failure;
use crate::opening;
use crate::text::shown;

/// A store that is served.
#[derive(Debug)]
pub struct Mount {
    /// Before its paths: empty, or `/` and a name.
    pub prefix: String,
    /// The name of its file.
    pub title: String,
    path: PathBuf,
    store: Mutex<Store>,
    /// The page of the family, by the commit and the address that it was made for.
    family: Mutex<Option<FamilyPage>>,
}

#[derive(Debug)]
struct FamilyPage {
    sequence: u64,
    endpoint: String,
    body: Arc<Vec<u8>>,
}

impl Mount {
    fn new(prefix: String, path: &Path) -> Result<Self, Failure> {
        let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let store = Mutex::new(open(path)?);
        Ok(Mount { prefix, title, path: path.to_owned(), store, family: Mutex::default() })
    }

    /// The store as it is now. A vacuum, or a copy that was put in its place, is followed.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match store.snapshot() {
            Err(
                StoreError::Container(ContainerError::Retired)
                | StoreError::Catalog(CatalogError::NeedsRepair),
            ) => {
                *store = open_for_reading(&self.path)?;
                store.snapshot()
            }
            taken => taken,
        }
    }
}

impl Mount {
    /// The page of the family at a commit: the one that is there, or what `make` makes. Whoever comes
    /// while it is made waits for it.
    pub fn family_page(
        &self,
        sequence: u64,
        endpoint: &str,
        make: impl FnOnce() -> Result<Arc<Vec<u8>>, Failure>,
    ) -> Result<Arc<Vec<u8>>, Failure> {
        let mut kept = self.family.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |page: &&FamilyPage| page.sequence == sequence && page.endpoint == endpoint;
        if let Some(page) = kept.as_ref().filter(same) {
            return Ok(Arc::clone(&page.body));
        }
        let body = make()?;
        let endpoint = endpoint.to_owned();
        *kept = Some(FamilyPage { sequence, endpoint, body: Arc::clone(&body) });
        Ok(body)
    }
}

fn open(path: &Path) -> Result<Store, Failure> {
    let store = opening::opened(path, open_for_reading(path))?;
    if store.access() == Access::ReadRepaired {
        let path = shown(&path.display().to_string());
        eprintln!(
            "note: {path} was not closed cleanly, and this user may not write it: while it is served \
             nobody can write to it; `mgit-db verify` by who may write it repairs it"
        );
    }
    Ok(store)
}

/// Opens a store so that writers are not kept out, nor is a repair that they would need; read-only
/// where it cannot be written.
fn open_for_reading(path: &Path) -> Result<Store, StoreError> {
    let options = opening::options();
    match options.clone().lock_per_transaction(true).open(path) {
        Ok(store) => Ok(store),
        Err(_) => options.open_read_only(path),
    }
}

/// The stores of a command line: `PATH`, or `NAME=PATH`. One alone needs no name; of several each has
/// one, by default that of its file.
///
/// # Errors
///
/// Two of one name; those of the stores.
pub fn mounts(arguments: &[String]) -> Result<Vec<Mount>, Failure> {
    let mut mounts: Vec<Mount> = Vec::new();
    for argument in arguments {
        let (name, path) = named(argument, arguments.len() > 1);
        let prefix = if name.is_empty() { String::new() } else { format!("/{name}") };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !name.bytes().all(legal) || matches!(&*name, "-" | "." | ".." | "api") {
            return Err(Failure::usage(format!(
                "a store cannot be served under {name:?}: write NAME={}, of letters, digits, '.', \
                 '_' and '-'",
                path.display()
            )));
        }
        if let Some(other) = mounts.iter().find(|other| other.prefix == prefix) {
            return Err(Failure::usage(format!(
                "{} and {} are both called {name:?}: write NAME=PATH for one of them",
                other.path.display(),
                path.display()
            )));
        }
        mounts.push(Mount::new(prefix, &path)?);
    }
    Ok(mounts)
}

/// The name and the path of an argument. What is there as a file is a path, whatever is in it.
fn named(argument: &str, needs_name: bool) -> (String, PathBuf) {
    if let Some((name, path)) = argument.split_once('=').filter(|_| !Path::new(argument).exists()) {
        return (name.to_owned(), PathBuf::from(path));
    }
    let path = PathBuf::from(argument);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    (if needs_name { stem.into_owned() } else { String::new() }, path)
}
