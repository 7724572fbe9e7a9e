//! A remote that is a folder.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Remote;
use crate::container::{TemporaryFile, TemporaryKind, folder_of, sweep_once};

/// The folders of a remote that files are put into.
const FOLDERS: [&str; 2] = ["packs", "refs"];

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

    /// Writes a file under a temporary name beside its own.
    fn temporary(
        &self,
        path: &Path,
        len: u64,
        content: &mut dyn Read,
    ) -> io::Result<TemporaryFile> {
        let folder = folder_of(path);
        fs::create_dir_all(folder)?;
        let temporary = TemporaryFile::create(folder, TemporaryKind::Put, 0o666)?;
        let written = io::copy(&mut content.take(len), &mut temporary.as_file())?;
        if written != len {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{written} of {len}")));
        }
        temporary.as_file().sync_all()?;
        Ok(temporary)
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

impl Remote for FolderRemote {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.at(path)) {
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
        File::open(self.at(path))?.read_exact_at(out, offset)
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
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(Some(files))
    }
}
