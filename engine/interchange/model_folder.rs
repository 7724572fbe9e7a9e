//! The folder of a model, which appears when it is complete.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::export_error::ExportError;
use crate::container::{
    DestinationError, EarlyWriter, Overwrite, TemporaryFolder, TemporaryKind, folder_of,
    make_folders, start_writeback, sweep,
};
use crate::format::is_inner_path;
use crate::shutdown::{critical, note_written};

/// Short files that are synced together, so that they share the waits for the medium.
const BATCH_FILES: usize = 128;
/// A file from this length on is synced by itself.
const LONG_FILE: u64 = 1 << 20;
/// Threads that wait for the medium.
const SYNC_THREADS: usize = 8;
const SYNC_STACK_LEN: usize = 128 << 10;

/// A folder that files are written to, under a temporary name: beside its own, where there is
/// nothing yet, else in the folder that is there, into which they are moved in the end.
#[derive(Debug)]
pub(super) struct ModelFolder {
    path: PathBuf,
    is_there: bool,
    temporary: TemporaryFolder,
    written: Vec<String>,
    /// Short files that are written and not synced yet.
    pending: Vec<File>,
}

impl ModelFolder {
    /// Judges what is at `path`, where files of these paths in it are to be.
    pub(super) fn new(
        path: &Path,
        files: &[&str],
        overwrite: Overwrite,
    ) -> Result<Self, ExportError> {
        let failed = ExportError::target(path);
        if let Some(name) = files.iter().find(|name| !is_inner_path(name)) {
            return Err(ExportError::BadShardName { name: (*name).to_owned() });
        }
        let is_there = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if path.symlink_metadata().is_ok() {
                    let what = "a link that leads to nothing";
                    let path = path.to_owned();
                    return Err(DestinationError::NotAFile { path, what }.into());
                }
                false
            }
            found if found.as_ref().is_ok_and(|found| !found.is_dir()) => {
                return Err(ExportError::NeedsFolder { model: "the model".to_owned() });
            }
            found => found.map_err(&failed).map(|_| true)?,
        };
        let temporary = if is_there {
            // What a killed export has left in it does not count.
            sweep(path);
            let held = Held::of(path, files).map_err(&failed)?;
            if held.is_foreign() || (held.own && overwrite != Overwrite::Files) {
                return Err(held.error(path));
            }
            TemporaryFolder::create_with(path, TemporaryKind::Export, 0o777)
        } else {
            make_folders(folder_of(path)).map_err(&failed)?;
            TemporaryFolder::create_with(folder_of(path), TemporaryKind::Export, 0o777)
        };
        let temporary = temporary.map_err(failed)?;
        Ok(ModelFolder {
            path: path.to_owned(),
            is_there,
            temporary,
            written: vec![],
            pending: vec![],
        })
    }

    /// Writes one file, and syncs it, now or with others. The last that is written is the last that
    /// gets its place.
    pub(super) fn write(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let path = self.temporary.path().join(name);
        let failed = ExportError::target(&self.path);
        make_folders(folder_of(&path)).map_err(&failed)?;
        let file = File::create_new(&path).map_err(&failed)?;
        let mut out = BufWriter::new(EarlyWriter::new(&file));
        write(&mut out)?;
        out.flush().map_err(&failed)?;
        drop(out);
        let len = file.metadata().map_err(&failed)?.len();
        if len < LONG_FILE {
            start_writeback(&file, 0, len);
            self.pending.push(file);
        } else {
            file.sync_all().map_err(&failed)?;
        }
        if self.pending.len() >= BATCH_FILES {
            sync_all(&std::mem::take(&mut self.pending)).map_err(&failed)?;
        }
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Gives the folder, or the files in it, their names, in the order in which they were written.
    pub(super) fn finish(self) -> Result<(), ExportError> {
        let path = self.path.clone();
        let failed = ExportError::target(&path);
        let ModelFolder { is_there, temporary, written, pending, .. } = self;
        sync_all(&pending).map_err(&failed)?;
        let sync = |folder: &Path| File::open(folder)?.sync_all();
        let inner: BTreeSet<&Path> = written.iter().flat_map(|name| folders_of(name)).collect();
        for folder in &inner {
            sync(&temporary.path().join(folder)).map_err(&failed)?;
        }
        sync(temporary.path()).map_err(&failed)?;
        if !is_there {
            temporary.persist_new(&path).map_err(|error| match error.kind() {
                // Somebody has made it meanwhile.
                ErrorKind::AlreadyExists => Held::of(&path, &[]).unwrap_or_default().error(&path),
                _ => failed(error),
            })?;
            return sync(folder_of(&path)).map_err(failed);
        }
        critical(|| {
            for folder in &inner {
                make_folders(&path.join(folder))?;
            }
            for name in &written {
                fs::rename(temporary.path().join(name), path.join(name))?;
            }
            note_written(&path);
            Ok::<(), io::Error>(())
        })
        .map_err(&failed)?;
        for folder in &inner {
            sync(&path.join(folder)).map_err(&failed)?;
        }
        sync(&path).map_err(failed)
    }
}

/// Syncs files, several at a time: each of the handles that they were written by, so that no error
/// of writing is missed.
fn sync_all(files: &[File]) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let sync = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            file.sync_all()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let builder = || thread::Builder::new().stack_size(SYNC_STACK_LEN);
        let more = SYNC_THREADS.min(files.len()).saturating_sub(1);
        // Where no thread can be started, this one does it all.
        let threads: Vec<_> =
            (0..more).map_while(|_| builder().spawn_scoped(scope, sync).ok()).collect();
        let own = sync();
        let failed = |_| Err(io::Error::other("a thread that syncs files has panicked"));
        threads.into_iter().fold(own, |all, it| all.and(it.join().unwrap_or_else(failed)))
    })
}

/// The folders that a file is in, below the model's own.
fn folders_of(name: &str) -> impl Iterator<Item = &Path> {
    Path::new(name).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty())
}

/// Foreign files and folders that an error names.
const NAMED_MAX: usize = 5;

/// What is in a folder that files are to be written into.
#[derive(Debug, Default)]
struct Held {
    /// Files of the names that are to be written.
    own: bool,
    /// What else: the first by path, and how many more.
    foreign: BTreeSet<String>,
    more: u64,
}

impl Held {
    /// Looks for all that is in a folder and no file of these paths, nor a folder of nothing else.
    fn of(path: &Path, files: &[&str]) -> io::Result<Self> {
        let folders: BTreeSet<&Path> = files.iter().flat_map(|name| folders_of(name)).collect();
        let files: BTreeSet<&Path> = files.iter().map(Path::new).collect();
        let mut held = Held::default();
        let mut below = vec![PathBuf::new()];
        while let Some(folder) = below.pop() {
            for entry in fs::read_dir(path.join(&folder))? {
                let entry = entry?;
                let name = folder.join(entry.file_name());
                let kind = entry.file_type()?;
                if kind.is_dir() && folders.contains(name.as_path()) {
                    below.push(name);
                } else if kind.is_file() && files.contains(name.as_path()) {
                    held.own = true;
                } else {
                    let end = if kind.is_dir() { "/" } else { "" };
                    held.foreign.insert(format!("{}{end}", name.display()));
                    if held.foreign.len() > NAMED_MAX {
                        held.foreign.pop_last();
                        held.more += 1;
                    }
                }
            }
        }
        Ok(held)
    }

    fn is_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    fn error(self, path: &Path) -> ExportError {
        let foreign = self.foreign.into_iter().collect();
        ExportError::FolderNotEmpty { path: path.to_owned(), foreign, more: self.more }
    }
}
