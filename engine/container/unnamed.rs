//! Files without a name, for what is too long for memory.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::temporary::TemporaryFile;

/// A new empty file on the file system of `folder`, of this user only. It has no name, so that it is
/// gone when it is closed, however this process ends.
///
/// # Errors
///
/// Those of the operating system.
pub(crate) fn unnamed_file(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(folder, flags, Mode::RUSR | Mode::WUSR) {
        // As file systems say that have no such files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => TemporaryFile::without_name(folder),
        made => Ok(File::from(made?)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn an_unnamed_file_keeps_bytes_and_shows_in_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        for make in [unnamed_file, TemporaryFile::without_name] {
            let mut file = make(folder.path()).unwrap();
            file.write_all(b"long").unwrap();
            file.rewind().unwrap();
            let mut read = String::new();
            file.read_to_string(&mut read).unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!((read.as_str(), metadata.nlink()), ("long", 0));
            assert_eq!(metadata.mode() & 0o077, 0);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            assert!(make(&folder.path().join("none")).is_err());
        }
    }
}
