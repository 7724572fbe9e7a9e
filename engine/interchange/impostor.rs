//! What lies in the place of weights and is none: a pointer to them, an error page, nothing.

use std::path::Path;

use super::weights_name::is_weights_name;
use super::{InterchangeError, OpenFile};

const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
const FETCH_AGAIN: &str = "fetch the file again";

/// What a file of these beginnings is instead of the weights that it is called; and what to do.
fn found(head: &[u8], len: u64) -> Option<(&'static str, &'static str)> {
    if len == 0 {
        return Some(("empty", FETCH_AGAIN));
    }
    if is_pointer(head) {
        return Some(("a Git LFS pointer, not the file", "run `git lfs pull`"));
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |with: &&str| {
        text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(begins) {
        return Some(("an HTML page, not the file", FETCH_AGAIN));
    }
    if ["<?xml", "<error"].iter().any(begins) {
        return Some(("an XML document, not the file", FETCH_AGAIN));
    }
    let inner = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start)?;
    let keys: [&[u8]; 5] = [b"\"error", b"\"message\"", b"\"detail\"", b"\"code\"", b"\"status\""];
    let is_message = keys.iter().any(|key| inner.starts_with(key));
    is_message.then_some(("a JSON message, not the file", FETCH_AGAIN))
}

/// Whether a file that begins so is a Git LFS pointer.
fn is_pointer(head: &[u8]) -> bool {
    head.starts_with(LFS)
}

/// What is to be said of a file that may be anything.
pub(super) fn note(head: &[u8]) -> Option<String> {
    let note = "a Git LFS pointer, kept as it is: the file itself is not here";
    is_pointer(head).then(|| note.to_owned())
}

/// Refuses what is in the place of weights and is none. A file that is not called so may be
/// anything: a page, a message, nothing.
pub(super) fn check(file: &OpenFile, head: &[u8]) -> Result<(), InterchangeError> {
    if is_weights_name(file.path()) { refuse(file.path(), head, file.len()) } else { Ok(()) }
}

/// As [`check`], whatever the file is called: it was named as the model.
pub(super) fn refuse(path: &Path, head: &[u8], len: u64) -> Result<(), InterchangeError> {
    match found(head, len) {
        Some((found, help)) => {
            Err(InterchangeError::NotTheFile { file: path.to_owned(), found, help })
        }
        None => Ok(()),
    }
}
