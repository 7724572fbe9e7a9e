//! The commands that this user has trusted: a file outside every store.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{CommandError, Template};

/// The most bytes that are read of the file.
const FILE_LEN_MAX: u64 = 16 << 20;

/// The file of trusted commands: a line each, the hash of the command in 64 hex digits, then, for
/// people, the command itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    path: PathBuf,
}

impl TrustFile {
    /// The file at this path; it need not be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        TrustFile { path: path.into() }
    }

    /// This user's: `mgit/trusted` in `$XDG_CONFIG_HOME`, or in `$HOME/.config`. None when neither
    /// variable is an absolute path.
    pub fn of_user() -> Option<Self> {
        let folder = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
        Some(Self::at(config.join("mgit").join("trusted")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self) -> impl Fn(io::Error) -> CommandError + '_ {
        |source| CommandError::TrustFile { path: self.path.clone(), source }
    }

    /// The text; none when there is no file. A file that somebody else can write is not believed.
    fn text(&self) -> Result<String, CommandError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            file => file.map_err(self.failed())?,
        };
        let metadata = file.metadata().map_err(self.failed())?;
        let owner = rustix::process::geteuid().as_raw();
        if metadata.mode() & 0o022 != 0 || ![owner, 0].contains(&metadata.uid()) {
            let reason = "others can write it: it is not believed (chmod go-w makes it yours)";
            return Err(self.failed()(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
        }
        let mut text = String::new();
        file.take(FILE_LEN_MAX).read_to_string(&mut text).map_err(self.failed())?;
        Ok(text)
    }

    /// Whether this user has trusted the command.
    ///
    /// # Errors
    ///
    /// [`CommandError::TrustFile`], also when others can write the file.
    pub fn contains(&self, command: &Template) -> Result<bool, CommandError> {
        let id = command.trust_id().to_string();
        Ok(self.text()?.lines().any(|line| line.split_whitespace().next() == Some(id.as_str())))
    }

    /// Trusts the command from now on.
    ///
    /// # Errors
    ///
    /// [`CommandError::TrustFile`].
    pub fn add(&self, command: &Template) -> Result<(), CommandError> {
        if self.contains(command)? {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(self.failed())?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(&self.path).map_err(self.failed())?;
        // One line whatever the command holds, in one write: two processes do not mix theirs.
        let line = format!("{} {}\n", command.trust_id(), command.text().escape_debug());
        file.write_all(line.as_bytes()).map_err(self.failed())?;
        crate::shutdown::note_written(&self.path);
        Ok(())
    }
}

/// Whether a command that came with a store may run.
///
/// # Errors
///
/// [`CommandError::NotTrusted`] when `file` does not have it, or there is no file; those of
/// [`TrustFile::contains`].
pub fn check_trust(file: Option<&TrustFile>, command: &Template) -> Result<(), CommandError> {
    match file.map(|file| file.contains(command)).transpose()? {
        Some(true) => Ok(()),
        _ => Err(CommandError::NotTrusted {
            template: command.text().to_owned(),
            trust_id: command.trust_id().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_was_added_is_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = TrustFile::at(folder.path().join("a/b/trusted"));
        let (one, other): (Template, Template) =
            ("a {model}\nb".parse().unwrap(), "a {model}".parse().unwrap());
        assert!(!file.contains(&one).unwrap());
        assert_eq!(check_trust(Some(&file), &one).unwrap_err().code(), "not-trusted");
        file.add(&one).unwrap();
        file.add(&one).unwrap();
        assert!(file.contains(&one).unwrap() && !file.contains(&other).unwrap());
        assert_eq!(std::fs::read_to_string(file.path()).unwrap().lines().count(), 1);
        assert_eq!(file.path().metadata().unwrap().mode() & 0o777, 0o600);
        check_trust(Some(&file), &one).unwrap();
        assert_eq!(check_trust(None, &one).unwrap_err().code(), "not-trusted");
        let writable = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(file.path(), writable).unwrap();
        assert_eq!(file.contains(&one).unwrap_err().code(), "trust-file");
    }
}
