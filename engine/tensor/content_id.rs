use std::fmt;

/// The identity of a tensor's content: the BLAKE3 hash of its bytes.
///
/// Equal bytes have equal ids whatever their name, type, shape or model.
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
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut id = [0; 32];
        for (half, digits) in id.chunks_exact_mut(16).zip([text.get(..32)?, text.get(32..)?]) {
            half.copy_from_slice(&u128::from_str_radix(digits, 16).ok()?.to_be_bytes());
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
