//! How models that come are named.

/// What a transfer does with the names of what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Models of ours make room.
    Pull,
    /// The other side must know all that is here.
    Push,
    /// None: tensors only.
    Fetch,
}
