//! A place that keeps files which are written once.

use std::fmt;
use std::io::{self, Read};

/// A place for packs and refs: a folder, or an object store. Calls block. Paths are relative, of
/// parts `[A-Za-z0-9.]` joined by `/`.
///
/// What is written is there whole or not at all, and is never changed.
pub trait Remote: Send + Sync + fmt::Debug {
    /// Where it is, for messages; without credentials.
    fn place(&self) -> String;

    /// A small file of at most `len_max` bytes; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// Those of the medium; a file that is longer.
    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>>;

    /// Fills `out` with the bytes of a file from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of the medium; a file that ends before.
    fn get_range(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes a file of `len` bytes, in the place of one of the same content if there is one.
    ///
    /// # Errors
    ///
    /// Those of the medium and of `content`.
    fn put(&self, path: &str, len: u64, content: &mut dyn Read) -> io::Result<()>;

    /// Writes a small file where there is none; says whether there was none.
    ///
    /// # Errors
    ///
    /// Those of the medium. The file may be there or not then.
    fn put_new(&self, path: &str, content: &[u8]) -> io::Result<bool>;

    /// The names and lengths of the files in a folder; `None` where they cannot be listed.
    ///
    /// # Errors
    ///
    /// Those of the medium.
    fn list(&self, folder: &str) -> io::Result<Option<Vec<(String, u64)>>>;
}
