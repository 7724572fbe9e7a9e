//! A remote that is a folder.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Remote, Result, TransferError};
use crate::container::{
    ContainerError, TemporaryFile, TemporaryKind, folder_of, make_folders, open_regular, sweep_once,
};
use crate::tensor::ContentId;

/// The folders of a remote that files are put into.
const FOLDERS: [&str; 2] = ["packs", "refs"];

/// Names of other things in a folder that an error has.
const NAMED_MAX: usize = 5;

/// A remote in a folder of this machine. Files appear under their names when they are complete
/// and synced.
#[derive(Clone, Debug)]
pub struct FolderRemote {
    root: PathBuf,
}

impl FolderRemote {
    /// A remote in this folder, which is made when something is written to it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        FolderRemote { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Refuses a folder that holds something and nothing of a remote, such as a model's own.
    ///
    /// # Errors
    ///
    /// [`TransferError::FolderNotEmpty`]; a folder that cannot be read.
    pub(super) fn check_own(&self) -> Result<()> {
        let read =
            |folder: &Path| entries_of(folder).map_err(TransferError::io("read", self.place()));
        let (mut foreign, mut more) = (BTreeSet::new(), 0);
        for (name, is_folder) in read(&self.root)? {
            let mut found = vec![format!("{name}{}", if is_folder { "/" } else { "" })];
            if let (Some(folder), true) = (FOLDERS.iter().find(|it| **it == name), is_folder) {
                // What a killed push has left behind has a name that is hidden.
                let names = read(&self.at(folder))?.into_iter().map(|(name, _)| name);
                let names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
                if names.iter().any(|name| is_of_remote(folder, name)) {
                    return Ok(());
                }
                found = names.iter().map(|name| format!("{folder}/{name}")).collect();
            }
            foreign.extend(found);
            while foreign.len() > NAMED_MAX {
                foreign.pop_last();
                more += 1;
            }
        }
        if foreign.is_empty() {
            return Ok(());
        }
        let held = foreign.into_iter().collect();
        Err(TransferError::FolderNotEmpty { place: self.place(), held, more })
    }

    /// Writes a file under a temporary name beside its own.
    fn temporary(
        &self,
        path: &Path,
        len: u64,
        content: &mut dyn Read,
    ) -> io::Result<TemporaryFile> {
        let folder = folder_of(path);
        make_folders(folder)?;
        let temporary = TemporaryFile::create(folder, TemporaryKind::Put, 0o666)?;
        let written = io::copy(&mut content.take(len), &mut temporary.as_file())?;
        if written != len {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{written} of {len}")));
        }
        temporary.as_file().sync_all()?;
        Ok(temporary)
    }
}

/// What is in a folder, and whether it is a folder itself. Nothing where there is none.
fn entries_of(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let entry = |entry: io::Result<fs::DirEntry>| {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, path.is_dir()))
    };
    entries.map(entry).collect()
}

/// Whether a file of this name, in one of the folders of a remote, is one of its own.
fn is_of_remote(folder: &str, name: &str) -> bool {
    match name.strip_suffix(".pack") {
        Some(id) => folder == "packs" && ContentId::from_hex(id).is_some(),
        None => {
            folder == "refs" && name.len() >= 8 && name.bytes().all(|byte| byte.is_ascii_digit())
        }
    }
}

/// Opens a file that others may have put there: never waits, and refuses what is none.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    open_regular(path, false).map_err(|error| match error.downcast::<ContainerError>() {
        Ok(ContainerError::NotAStore { found }) => {
            io::Error::new(ErrorKind::InvalidInput, format!("{found}, and not a file"))
        }
        Ok(error) => io::Error::other(error),
        Err(error) => error,
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

impl Remote for FolderRemote {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match open_file(&self.at(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > len_max {
            return Err(io::Error::new(ErrorKind::InvalidData, "longer than it may be"));
        }
        Ok(Some(bytes))
    }

    fn get_range(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        open_file(&self.at(path))?.read_exact_at(out, offset)
    }

    fn put(&self, path: &str, len: u64, content: &mut dyn Read) -> io::Result<()> {
        let path = self.at(path);
        self.temporary(&path, len, content)?.persist(&path)?;
        sync_folder(&path)
    }

    fn put_new(&self, path: &str, mut content: &[u8]) -> io::Result<bool> {
        let path = self.at(path);
        let temporary = self.temporary(&path, content.len() as u64, &mut content)?;
        match temporary.persist_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&path).map(|()| true),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Option<Vec<(String, u64)>>> {
        // Whoever uses the remote begins with this: what a killed push has left behind goes.
        FOLDERS.iter().for_each(|folder| sweep_once(&self.at(folder)));
        let entries = match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Vec::new())),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && !name.starts_with('.')
            {
                // A link is as long as what it leads to.
                let found = fs::metadata(entry.path()).or_else(|_| entry.metadata());
                files.push((name, found?.len()));
            }
        }
        Ok(Some(files))
    }
}
