//! How a tensor of a model is kept: in the store, or at a remote that it was not pulled from yet.

use mgit::Tensor;
use mgit::error::StoreError;
use mgit::store::StoredAs;

use crate::failure::Failure;

/// Where a tensor is.
#[derive(Clone, Debug)]
pub enum Kept {
    /// In the store.
    Here(StoredAs),
    /// At this remote.
    At(String),
}

impl Kept {
    /// Looks it up. Cost: a row or two.
    ///
    /// # Errors
    ///
    /// Those of the catalogue; a tensor that is lost.
    pub fn of(tensor: &Tensor) -> Result<Self, Failure> {
        match tensor.stored_as() {
            Ok(stored) => Ok(Kept::Here(stored)),
            Err(StoreError::MissingContent { promisor, .. }) => Ok(Kept::At(promisor)),
            Err(error) => Err(error.into()),
        }
    }

    /// What is in the store.
    pub fn stored(&self) -> Option<&StoredAs> {
        match self {
            Kept::Here(stored) => Some(stored),
            Kept::At(_) => None,
        }
    }

    /// The remote that has it.
    pub fn promisor(&self) -> Option<&str> {
        match self {
            Kept::Here(_) => None,
            Kept::At(promisor) => Some(promisor),
        }
    }

    /// Its encodings, in a word.
    pub fn encoding(&self) -> String {
        self.stored().map_or("not pulled".to_owned(), StoredAs::encoding_names)
    }
}
