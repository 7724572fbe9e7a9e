//! Saving what is whole out of a damaged file.
//!
//! Nothing is believed but checksums. The file is looked through for records, which describe
//! themselves; the graph is the catalogue's where that can be read, else what the change records
//! lead to. A model is saved when its manifest and every record that its tensors are decoded from
//! are whole, and lost, with the reason, when they are not. Nothing is ever saved in part.

mod build;
mod graph;
mod orphans;
mod report;
mod resolve;
mod scan;
mod survey;

use std::path::Path;

use super::UpkeepError;
use super::new_store::Replaced;
use crate::container::FileId;
use crate::store::OpenOptions;

pub(super) use graph::{SavedGraph, SavedNode};
pub use report::{GraphSource, LostModel, SalvageReport};
#[cfg(feature = "unstable-format")]
pub(super) use scan::scan;
pub use survey::{Survey, survey, survey_with};

/// Makes a new store at `new` of everything that is whole in `broken`, which is only read, and
/// which no writer may have open. The new store has the old one's id, where that is left, and one
/// commit, numbered behind the last that was found: its history begins anew. It is checked to the
/// last content id before it gets its name, which nothing may have. Its mode is that of `broken`,
/// less the umask. Cost: reads `broken` once, copies what is whole, and decodes it once.
///
/// # Errors
///
/// [`UpkeepError::NothingFound`] when there is no record at all; a lock that is held; those of
/// the disk. Damage is no error: the report says what was lost.
pub fn salvage(
    broken: impl AsRef<Path>,
    new: impl AsRef<Path>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<SalvageReport, UpkeepError> {
    let broken = broken.as_ref();
    let new = new.as_ref();
    salvage_with(broken, new, false, &OpenOptions::new(), progress)
}

/// As [`salvage`], waiting for writers as the options say, and, where `replace` says so, in the
/// place of a file or store that is there, which must not be `broken`.
///
/// # Errors
///
/// Those of [`salvage`]; a lock, when somebody writes to what is there. It is then as it was.
pub fn salvage_with(
    broken: impl AsRef<Path>,
    new: impl AsRef<Path>,
    replace: bool,
    options: &OpenOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<SalvageReport, UpkeepError> {
    let broken = broken.as_ref();
    let new = new.as_ref();
    let source = std::fs::metadata(broken).ok().map(|found| FileId::of(&found));
    let replaced = Replaced::at(new, replace, source, options)?;
    let survey = survey_with(broken, options, progress)?;
    build::build(survey, replaced, progress)
}
