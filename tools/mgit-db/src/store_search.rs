//! The store that a command is about where none is named: that of the environment, or the only one
//! that lies in this folder, or in the nearest folder above it that has one.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::text::shown;

/// The variable that names the store.
pub const STORE_VARIABLE: &str = "MGIT_STORE";
/// The variable that names the folder at which a search ends: it, and those above it, are not
/// looked into.
pub const CEILING_VARIABLE: &str = "MGIT_CEILING";

/// What a search has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Search {
    /// The store of [`STORE_VARIABLE`].
    Set(PathBuf),
    /// The only one of a folder.
    Found {
        path: PathBuf,
        /// Whether it lies above this folder.
        is_above: bool,
    },
    /// There is none.
    Nothing,
}

impl Search {
    /// The store. One that lies above this folder is named on standard error.
    pub fn path(self) -> Option<PathBuf> {
        match self {
            Search::Set(path) => Some(path),
            Search::Found { path, is_above } => {
                if is_above {
                    eprintln!("store: {}", shown(&path.display().to_string()));
                }
                Some(path)
            }
            Search::Nothing => None,
        }
    }
}

/// Searches for the store.
///
/// # Errors
///
/// The nearest folder that has any has several; or the only one lies above this folder and belongs
/// to somebody else, who may want what is written here.
pub fn search() -> Result<Search, Failure> {
    if let Some(store) = env::var_os(STORE_VARIABLE).filter(|store| !store.is_empty()) {
        return Ok(Search::Set(store.into()));
    }
    match env::current_dir() {
        Ok(folder) => search_from(&folder, env::var_os(CEILING_VARIABLE)),
        Err(_) => Ok(Search::Nothing),
    }
}

fn search_from(folder: &Path, ceiling: Option<OsString>) -> Result<Search, Failure> {
    let ceiling = ceiling.map(PathBuf::from);
    let mut way = PathBuf::new();
    for (above, folder) in folder.ancestors().enumerate() {
        if ceiling.as_deref() == Some(folder) {
            break;
        }
        let mut stores = stores_of(folder);
        stores.sort();
        match stores.as_slice() {
            [] => way.push(".."),
            [name] if above > 0 && !is_ours(&folder.join(name)) => {
                return Err(foreign(&way.join(name)));
            }
            [name] => return Ok(Search::Found { path: way.join(name), is_above: above > 0 }),
            names => return Err(several(names.iter().map(|name| way.join(name)))),
        }
    }
    Ok(Search::Nothing)
}

fn several(paths: impl Iterator<Item = PathBuf>) -> Failure {
    let names: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    Failure::usage(format!(
        "which store? {} are there: name one first, or set {STORE_VARIABLE}",
        shown(&names.join(", "))
    ))
}

fn foreign(path: &Path) -> Failure {
    let path = shown(&path.display().to_string());
    Failure::usage(format!(
        "{path} lies above this folder and belongs to another user: name it to use it, or set \
         {CEILING_VARIABLE} to end the search below it"
    ))
}

/// That there is no store; `word` is what stood where it is named.
pub fn nowhere(word: Option<&str>) -> Failure {
    let is_none = word.map(|word| format!(": {} is none", shown(word))).unwrap_or_default();
    Failure::usage(format!(
        "no store{is_none}: name one first, set {STORE_VARIABLE}, or make one with `mgit-db init`; \
         no *.mgit is in this folder or in one above it"
    ))
}

/// The names of the files of a folder that are called as stores are, but for hidden ones. What
/// cannot be looked into has none.
fn stores_of(folder: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_store = |name: &OsString| {
        is_called_store(Path::new(name))
            && !name.as_encoded_bytes().starts_with(b".")
            && folder.join(name).is_file()
    };
    entries.flatten().map(|entry| entry.file_name()).filter(is_store).collect()
}

/// Whether a path ends as stores are called.
pub fn is_called_store(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "mgit")
}

/// Whether a file is this user's or the system's.
fn is_ours(path: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::metadata(path).is_ok_and(|file| file.uid() == user || file.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_folder_with_a_store_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let ceiling = Some(root.parent().unwrap().as_os_str().to_owned());
        let search = || search_from(&deep, ceiling.clone());
        let found = |path: &str, is_above| Search::Found { path: path.into(), is_above };
        assert_eq!(search().unwrap(), Search::Nothing);
        fs::write(root.join("far.mgit"), "").unwrap();
        assert_eq!(search().unwrap(), found("../../far.mgit", true));
        fs::write(deep.join(".hidden.mgit"), "").unwrap();
        fs::create_dir(deep.join("folder.mgit")).unwrap();
        fs::write(root.join("a/near.mgit"), "").unwrap();
        assert_eq!(search().unwrap(), found("../near.mgit", true));
        fs::write(deep.join("here.mgit"), "").unwrap();
        assert_eq!(search().unwrap(), found("here.mgit", false));
        fs::write(deep.join("also.mgit"), "").unwrap();
        assert!(search().unwrap_err().to_string().contains("also.mgit, here.mgit are there"));
        // The ceiling itself is not looked into.
        fs::remove_file(deep.join("also.mgit")).unwrap();
        fs::remove_file(deep.join("here.mgit")).unwrap();
        let ceiling = Some(root.join("a").into_os_string());
        assert_eq!(search_from(&deep, ceiling).unwrap(), Search::Nothing);
    }
}
