//! A model on the command line.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use mgit::ModelRef;
use mgit::lineage::LineageError;

/// The reference to a model that an argument is, read as it is parsed: what can be no model is
/// wrong usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelArgument(ModelRef);

impl FromStr for ModelArgument {
    type Err = LineageError;

    fn from_str(text: &str) -> Result<Self, LineageError> {
        text.parse().map(ModelArgument)
    }
}

impl Deref for ModelArgument {
    type Target = ModelRef;

    fn deref(&self) -> &ModelRef {
        &self.0
    }
}

impl fmt::Display for ModelArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&ModelArgument> for ModelRef {
    fn from(argument: &ModelArgument) -> Self {
        argument.0.clone()
    }
}
