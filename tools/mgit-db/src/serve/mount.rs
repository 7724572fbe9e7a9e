//! The stores that are served, each under a prefix.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Held by who makes the page of the family.
    pub drawing: Arc<tokio::sync::Mutex<()>>,
    path: PathBuf,
    opened: Mutex<Opened>,
    family: Mutex<Option<FamilyPage>>,
}

/// The store's file as it was opened last.
#[derive(Debug)]
struct Opened {
    store: Store,
    file: FileId,
    /// How often it was opened.
    times: u64,
}

/// A store as a request sees it.
pub struct Seen {
    /// The store at a commit.
    pub snapshot: Snapshot,
    /// Which file, and which commit: another pair is another state.
    pub state: (u64, u64),
}

/// The page of the family, and the state that it shows.
#[derive(Debug)]
struct FamilyPage {
    state: (u64, u64),
    body: Arc<[u8]>,
}

/// Which file has a path: the device and the number on it.
type FileId = (u64, u64);

fn file_at(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

impl Mount {
    fn new(prefix: String, path: &Path) -> Result<Self, Failure> {
        let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        // Asked before: should another file come meanwhile, it is seen at the first request.
        let file = file_at(path).unwrap_or_default();
        let opened = Opened { store: open(path)?, file, times: 0 };
        Ok(Mount {
            prefix,
            title,
            drawing: Arc::default(),
            path: path.to_owned(),
            opened: Mutex::new(opened),
            family: Mutex::default(),
        })
    }

    /// The store as it is now. A vacuum, or another file that was put in its place, is followed.
    ///
    /// # Errors
    ///
    /// Those of the store; there is none at the path now.
    pub fn snapshot(&self) -> Result<Seen, StoreError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file_at(&self.path);
        let is_same = file == Some(opened.file);
        let taken = if is_same { Some(opened.store.snapshot()) } else { None };
        let snapshot = match taken {
            // Whatever is wrong with the handle, the file may be right.
            None | Some(Err(_)) => {
                let store = open_for_reading(&self.path)?;
                let (file, times) = (file.unwrap_or_default(), opened.times + 1);
                *opened = Opened { store, file, times };
                opened.store.snapshot()?
            }
            Some(Ok(snapshot)) => snapshot,
        };
        let state = (opened.times, snapshot.sequence());
        Ok(Seen { snapshot, state })
    }

    /// The page of the family at a state: the one that is there, or what `make` makes.
    pub fn family_page(
        &self,
        state: (u64, u64),
        make: impl FnOnce() -> Result<Vec<u8>, Failure>,
    ) -> Result<Arc<[u8]>, Failure> {
        let kept = || self.family.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = kept().as_ref().filter(|page| page.state == state) {
            return Ok(Arc::clone(&page.body));
        }
        let body: Arc<[u8]> = make()?.into();
        *kept() = Some(FamilyPage { state, body: Arc::clone(&body) });
        Ok(body)
    }
}

fn open(path: &Path) -> Result<Store, Failure> {
    let store = opening::opened(path, open_for_reading(path))?;
    if store.access() == Access::ReadRepaired {
        let path = shown(&path.display().to_string());
        eprintln!(
            "note: {path} was not closed cleanly, and this user may not write it: while it is served \
             nobody can write to it; stop the server, and let `mgit-db verify` by who may write it \
             repair it"
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
        let is_empty = name.is_empty() && arguments.len() > 1;
        if is_empty || !name.bytes().all(legal) || matches!(&*name, "-" | "." | ".." | "api") {
            return Err(Failure::usage(format!(
                "a store cannot be served under {name:?}: write NAME={}, of letters, digits, '.', \
                 '_' and '-', and not api, '.' or '..'",
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
