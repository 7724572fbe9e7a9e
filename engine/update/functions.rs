//! The functions that a program knows by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::function::Creation;
use super::{Builtin, UpdateError};

/// The functions that a program knows, by the names that recipes give them.
#[derive(Clone)]
#[must_use]
pub struct Functions(BTreeMap<String, Arc<dyn Creation>>);

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Default for Functions {
    fn default() -> Self {
        Functions::new()
    }
}

impl Functions {
    /// The built-in functions. The one that merges stands above this room:
    /// [`merge::functions`](crate::merge::functions) adds it, which an update of a family with merged
    /// models needs.
    pub fn new() -> Self {
        let builtin = |function: Builtin| {
            (function.name().to_owned(), Arc::new(function) as Arc<dyn Creation>)
        };
        Functions(Builtin::ALL.into_iter().map(builtin).collect())
    }

    /// With one more, which takes the place of another of this name.
    pub fn with(mut self, name: impl Into<String>, function: impl Creation + 'static) -> Self {
        self.0.insert(name.into(), Arc::new(function));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The function of a name.
    ///
    /// # Errors
    ///
    /// [`UpdateError::NoSuchFunction`].
    pub fn get(&self, name: &str) -> Result<Arc<dyn Creation>, UpdateError> {
        self.0.get(name).cloned().ok_or_else(|| UpdateError::NoSuchFunction {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }
}
