//! The identity of a tensor's content.

use std::fmt;
use std::str::FromStr;

use serde::ser::{Serialize, Serializer};

/// The identity of a tensor's content: the BLAKE3 hash of its bytes.
///
/// Equal bytes have equal ids whatever their name, type, shape or model.
///
/// ```
/// use mgit::ContentId;
///
/// let id = ContentId::of(b"weights");
/// assert_eq!(id.to_string().parse::<ContentId>()?, id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId([u8; 32]);

impl ContentId {
    /// Length in bytes.
    pub const LEN: usize = 32;
    /// The all-zero id, which stands for "none" on disk.
    pub const NONE: ContentId = ContentId([0; 32]);

    /// The id of `bytes`. Cost: one BLAKE3 pass on one core.
    pub fn of(bytes: &[u8]) -> Self {
        ContentId(*blake3::hash(bytes).as_bytes())
    }

    /// An id from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        ContentId(bytes)
    }

    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let (high, low) = text.split_at_checked(32).filter(|_| text.len() == 64)?;
        let mut id = [0; 32];
        for (half, text) in id.chunks_mut(16).zip([high, low]) {
            if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            half.copy_from_slice(&u128::from_str_radix(text, 16).ok()?.to_be_bytes());
        }
        Some(ContentId(id))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is [`ContentId::NONE`].
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(8);
        hex
    }
}

impl From<blake3::Hash> for ContentId {
    fn from(hash: blake3::Hash) -> Self {
        ContentId(*hash.as_bytes())
    }
}

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} is {digits} hex digits")]
#[non_exhaustive]
pub struct ParseIdError {
    what: &'static str,
    digits: usize,
}

impl ParseIdError {
    pub(crate) fn new(what: &'static str, digits: usize) -> Self {
        ParseIdError { what, digits }
    }
}

impl FromStr for ContentId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        ContentId::from_hex(text).ok_or(ParseIdError::new("content id", 64))
    }
}

/// As its text.
impl Serialize for ContentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = ContentId::of(b"text");
        assert_eq!(ContentId::from_hex(&id.to_string()), Some(id));
        let hex = id.to_string();
        let longer = format!("{hex}0");
        let accented = format!("{}é", &hex[..62]);
        for wrong in ["", &hex[1..], &longer, &accented, &hex.replace(&hex[..1], "+")] {
            assert_eq!(ContentId::from_hex(wrong), None, "{wrong}");
        }
    }
}
