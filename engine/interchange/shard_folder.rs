//! The folder of a sharded model, which appears when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::export_error::ExportError;
use super::index::is_plain_file_name;
use crate::container::{
    DestinationError, EarlyWriter, Overwrite, TemporaryFolder, TemporaryKind, folder_of, sweep,
};
use crate::shutdown::{critical, note_written};

/// A folder that shards are written to, under a temporary name: beside its own, where there is
/// nothing yet, else in the folder that is there, into which they are moved in the end.
#[derive(Debug)]
pub(super) struct ShardFolder {
    path: PathBuf,
    is_there: bool,
    index: String,
    temporary: TemporaryFolder,
    written: Vec<String>,
}

impl ShardFolder {
    /// Judges what is at `path`, where files of these names and `index` are to be.
    pub(super) fn new(
        path: &Path,
        names: &[&str],
        index: &str,
        overwrite: Overwrite,
    ) -> Result<Self, ExportError> {
        let failed = ExportError::target(path);
        let all: Vec<&str> = names.iter().copied().chain([index]).collect();
        if let Some(name) = all.iter().find(|name| !is_plain_file_name(name)) {
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
            let may_replace = overwrite == Overwrite::Files;
            for entry in fs::read_dir(path).map_err(&failed)? {
                let entry = entry.map_err(&failed)?;
                let is_file = entry.file_type().map_err(&failed)?.is_file();
                let is_ours = all.iter().any(|name| entry.file_name() == **name);
                if !(may_replace && is_file && is_ours) {
                    return Err(ExportError::FolderNotEmpty { path: path.to_owned() });
                }
            }
            TemporaryFolder::create_with(path, TemporaryKind::Export, 0o777)
        } else {
            fs::create_dir_all(folder_of(path)).map_err(&failed)?;
            TemporaryFolder::create_with(folder_of(path), TemporaryKind::Export, 0o777)
        };
        Ok(ShardFolder {
            path: path.to_owned(),
            is_there,
            index: index.to_owned(),
            temporary: temporary.map_err(failed)?,
            written: Vec::new(),
        })
    }

    /// Writes one file, and syncs it.
    pub(super) fn write(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let path = self.temporary.path().join(name);
        let failed = ExportError::target(&self.path);
        let file = File::create_new(&path).map_err(&failed)?;
        let mut out = BufWriter::new(EarlyWriter::new(&file));
        write(&mut out)?;
        out.flush().map_err(&failed)?;
        drop(out);
        file.sync_all().map_err(&failed)?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Writes the index, and gives the folder, or the files in it, their names: the index last, so
    /// that a folder that has it is complete.
    pub(super) fn finish(mut self, index: &[u8]) -> Result<(), ExportError> {
        let name = std::mem::take(&mut self.index);
        let path = self.path.clone();
        let failed = ExportError::target(&path);
        self.write(&name, |out| out.write_all(index).map_err(&failed))?;
        let ShardFolder { is_there, temporary, written, .. } = self;
        let sync = |folder: &Path| File::open(folder)?.sync_all();
        sync(temporary.path()).map_err(&failed)?;
        if !is_there {
            temporary.persist_new(&path).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => ExportError::FolderNotEmpty { path: path.clone() },
                _ => failed(error),
            })?;
            return sync(folder_of(&path)).map_err(failed);
        }
        critical(|| {
            for name in &written {
                fs::rename(temporary.path().join(name), path.join(name))?;
            }
            note_written(&path);
            Ok::<(), io::Error>(())
        })
        .map_err(&failed)?;
        sync(&path).map_err(failed)
    }
}
