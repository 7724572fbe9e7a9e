//! Saving what is whole out of a damaged file.
//!
//! Nothing is believed but checksums. The file is looked through for records, which describe
//! themselves; the graph is the catalogue's where that can be read, else what the change records
//! lead to. A model is saved when its manifest and every record that its tensors are decoded from
//! are whole, and lost, with the reason, when they are not. Nothing is ever saved in part.

mod build;
mod graph;
mod orphans;
mod resolve;
mod scan;
mod survey;

use std::path::Path;

use super::UpkeepError;
use super::new_store::Replaced;
use crate::container::FileId;
use crate::format::Extent;
use crate::store::OpenOptions;

pub(super) use graph::{SavedGraph, SavedNode};
pub(super) use scan::scan;
pub use survey::{Survey, survey, survey_with};

/// Where the graph of a salvaged store comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphSource {
    /// The catalogue, which could be read.
    Catalogue,
    /// The change records.
    ChangeRecords,
    /// Nothing was left of either: models got made-up names.
    Manifests,
}

/// A model that cannot be saved, or has lost something by being saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostModel {
    /// `name@version`.
    pub model: String,
    /// What of it is lost, and why, tensor by tensor.
    pub reasons: Vec<String>,
    /// How many of its tensors are whole; they are not saved without the others.
    pub whole_tensors: u64,
    /// How many of its tensors are not.
    pub lost_tensors: u64,
}

/// What could be saved, and what not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// Where names and lineage come from.
    pub source: GraphSource,
    /// Why the catalogue could not be read, when it could not.
    pub catalogue_error: Option<String>,
    /// Whole records found.
    pub whole_records: u64,
    /// Damaged records: where, and what is wrong. Not all of them were needed.
    pub damaged_records: Vec<(u64, String)>,
    /// Ranges that the medium does not give.
    pub unreadable: Vec<Extent>,
    /// The models that are whole, `name@version`.
    pub saved: Vec<String>,
    /// Models whose name is lost, under the names that they were given.
    pub renamed: Vec<String>,
    /// The models that are not.
    pub lost: Vec<LostModel>,
    /// Edges that lead to a lost model.
    pub lost_edges: Vec<String>,
    /// Commits whose change record is lost, first and last of each run. What they did is not
    /// known where the catalogue is lost too.
    pub lost_commits: Vec<(u64, u64)>,
    /// The last commit, when nothing tells whether it was one or was interrupted.
    pub uncertain_commit: Option<u64>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

impl SalvageReport {
    /// Whether everything was saved and nothing is in doubt, but for damage that touches nothing.
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty()
            && self.renamed.is_empty()
            && self.lost_edges.is_empty()
            && self.notes.is_empty()
            && (self.source == GraphSource::Catalogue
                || (self.lost_commits.is_empty() && self.uncertain_commit.is_none()))
    }
}

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
    broken: &Path,
    new: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<SalvageReport, UpkeepError> {
    salvage_with(broken, new, false, &OpenOptions::new(), progress)
}

/// As [`salvage`], waiting for writers as the options say, and, where `replace` says so, in the
/// place of a file or store that is there, which must not be `broken`.
///
/// # Errors
///
/// Those of [`salvage`]; a lock, when somebody writes to what is there. It is then as it was.
pub fn salvage_with(
    broken: &Path,
    new: &Path,
    replace: bool,
    options: &OpenOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<SalvageReport, UpkeepError> {
    let source = std::fs::metadata(broken).ok().map(|found| FileId::of(&found));
    let replaced = Replaced::at(new, replace, source, options)?;
    let survey = survey_with(broken, options, progress)?;
    build::build(survey, replaced, progress)
}
