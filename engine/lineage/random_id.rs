//! The identity of a new node.

use super::{LineageError, NodeId};

impl NodeId {
    /// A new random id.
    ///
    /// # Errors
    ///
    /// The operating system gives no random bits.
    pub fn random() -> Result<Self, LineageError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| LineageError::NoRandomness)?;
        Ok(NodeId(id))
    }
}
