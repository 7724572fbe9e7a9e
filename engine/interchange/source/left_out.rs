//! What of a folder is not taken, and why.

use std::path::Path;

/// Something in a folder that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its path in the folder; of a folder, it ends in `/`.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// The same, seen from where the folder lies.
    pub fn below(&self, folder: &Path) -> LeftOut {
        let path = folder.join(&self.path).display().to_string();
        LeftOut { path, reason: self.reason.clone() }
    }

    /// The first of some, and how many more there are: the end of a sentence.
    pub(crate) fn told(left_out: &[LeftOut]) -> String {
        const NAMED_MAX: usize = 5;
        let mut told = String::new();
        for LeftOut { path, reason } in left_out.iter().take(NAMED_MAX) {
            told += &format!("; left out {path:?}: {reason}");
        }
        match left_out.len().saturating_sub(NAMED_MAX) {
            0 => told,
            more => format!("{told}; and {more} more"),
        }
    }
}
