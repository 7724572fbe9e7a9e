//! A file that is on its way.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::HubError;
use super::listing::ListedFile;
use super::work_folder::failed;
use crate::container::make_folders;

/// The longest ETag that is kept, and the longest note beside a part that is read.
const ETAG_LEN_MAX: usize = 1024;
const NOTE_LEN_MAX: u64 = 16 << 10;
/// Bytes that are hashed at a time.
const HASHED_AT_A_TIME: usize = 1 << 20;

/// What is known of the bytes that are here.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    /// The file's strong ETag where it came from.
    etag: Option<String>,
    /// Since which start of the machine they are being written: what came before may not have
    /// reached the medium.
    boot: String,
}

/// The first bytes of a file.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    note_path: PathBuf,
    file: File,
    len: u64,
    note: Note,
}

impl Part {
    /// Opens what is at `path` of `listed`, which may be nothing.
    pub(super) fn open(path: &Path, listed: &ListedFile) -> Result<Self, HubError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(path)
            .map_err(failed("open", path))?;
        let len = file.metadata().map_err(failed("examine", path))?.len();
        let note_path = path.with_extension("json");
        let note = read_note(&note_path);
        let mut part = Part { path: path.to_owned(), note_path, file, len, note };
        // With a hash it is known at the end whether they are the right ones.
        let is_sound = listed.sha256.is_some() || part.note.boot == boot();
        if part.len > listed.len || !is_sound || !part.can_go_on(listed) {
            part.restart()?;
        }
        Ok(part)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.note.etag.as_deref()
    }

    /// Whether it can be known that what comes next belongs to what is here.
    pub(super) fn can_go_on(&self, listed: &ListedFile) -> bool {
        self.note.etag.is_some() || listed.sha256.is_some()
    }

    /// Forgets the bytes that are here.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(failed("shorten", &self.path))?;
        self.len = 0;
        self.note.etag = None;
        Ok(())
    }

    /// Begins, with the ETag that the file has.
    pub(super) fn begin(&mut self, etag: Option<&str>) -> Result<(), HubError> {
        self.restart()?;
        self.note = Note { etag: etag.and_then(strong), boot: boot() };
        let text = serde_json::to_vec(&self.note).map_err(|error| error.into());
        let written = text.and_then(|text| fs::write(&self.note_path, text));
        written.map_err(failed("write", &self.note_path))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let written = self.file.seek(SeekFrom::Start(self.len));
        let written = written.and_then(|_| self.file.write_all(bytes));
        written.map_err(failed("write", &self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The SHA-256 of what is here, in small hexadecimal digits.
    pub(super) fn sha256(&mut self) -> Result<String, HubError> {
        let failed = failed("read", &self.path);
        self.file.seek(SeekFrom::Start(0)).map_err(&failed)?;
        let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; HASHED_AT_A_TIME]);
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => hash.update(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Gives the file its name, once it is on the medium.
    pub(super) fn finish(self, to: &Path) -> Result<(), HubError> {
        self.file.sync_data().map_err(failed("write", &self.path))?;
        if let Some(folder) = to.parent() {
            make_folders(folder).map_err(failed("make", folder))?;
        }
        fs::rename(&self.path, to).map_err(failed("write", to))?;
        match fs::remove_file(&self.note_path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed("remove", &self.note_path)),
        }
    }
}

/// A note that is not understood says nothing: its bytes come again.
fn read_note(path: &Path) -> Note {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(NOTE_LEN_MAX).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// An ETag by which it can be known that no byte has changed.
pub(super) fn strong(etag: &str) -> Option<String> {
    let is_strong =
        etag.starts_with('"') && etag.ends_with('"') && (2..=ETAG_LEN_MAX).contains(&etag.len());
    is_strong.then(|| etag.to_owned())
}

/// Which start of the machine this is; empty where that is not told.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
