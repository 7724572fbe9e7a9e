use std::fmt;

/// Bytes that are not what the format says.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FormatError { what, offset, expected, found } = self;
        write!(f, "{what} at byte {offset}: expected {expected}, found {found}")
    }
}

impl std::error::Error for FormatError {}
