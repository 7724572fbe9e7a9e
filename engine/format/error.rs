use std::fmt;

/// Bytes that are not what the format says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct FormatError {
    /// The structure and field, such as `superblock magic`.
    pub what: &'static str,
    /// Where in the structure, in bytes.
    pub offset: u64,
    /// What the format asks for.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl FormatError {
    /// An error about `what` at `offset` of the structure.
    pub fn new(
        what: &'static str,
        offset: usize,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        FormatError {
            what,
            offset: offset as u64,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
