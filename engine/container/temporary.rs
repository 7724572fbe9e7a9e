//! Files that get their name when they are complete.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// The folder that a path names its file in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A new file in `folder`, under a name that begins with `prefix` and that nothing had: what is
/// there already, a link too, is never opened. Of `mode`, the umask takes its bits. Removed when
/// it is dropped before it has its own name.
pub(crate) fn temporary_in(folder: &Path, prefix: &str, mode: u32) -> io::Result<NamedTempFile> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    tempfile::Builder::new().prefix(prefix).make_in(folder, |path| {
        let mut options = File::options();
        // `create_new` is O_EXCL.
        options.read(true).write(true).create_new(true).mode(mode).custom_flags(no_follow);
        options.open(path)
    })
}
