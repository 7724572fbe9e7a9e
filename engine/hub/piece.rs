//! A piece of a file.

use std::fmt;
use std::ops::Deref;

use crate::store::TensorView;

/// A piece of a file, to be sent: bytes of the store's map, without a copy, where they lie raw in it,
/// else bytes of its own. Dereferences to `[u8]`; valid as long as it lives.
pub struct Piece(Bytes);

enum Bytes {
    Mapped(TensorView),
    Owned(Vec<u8>),
}

impl Piece {
    pub(super) fn mapped(view: TensorView) -> Self {
        Piece(Bytes::Mapped(view))
    }

    pub(super) fn owned(bytes: Vec<u8>) -> Self {
        Piece(Bytes::Owned(bytes))
    }

    /// Whether it is of the store's map.
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Bytes::Mapped(_))
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(view) => view,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, is_mapped) = (self.len(), self.is_mapped());
        f.debug_struct("Piece").field("len", &len).field("is_mapped", &is_mapped).finish()
    }
}
