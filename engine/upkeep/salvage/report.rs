//! What a salvage came to.

use serde::Serializer;
use serde_json::json;

use crate::format::Extent;

/// Where the graph of a salvaged store comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum GraphSource {
    /// The catalogue, which could be read.
    Catalogue,
    /// The change records.
    ChangeRecords,
    /// Nothing was left of either: models got made-up names.
    Manifests,
}

impl GraphSource {
    /// A word.
    pub fn name(self) -> &'static str {
        match self {
            GraphSource::Catalogue => "catalogue",
            GraphSource::ChangeRecords => "change-records",
            GraphSource::Manifests => "manifests",
        }
    }
}

/// A model that cannot be saved, or has lost something by being saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LostModel {
    /// `name@version`.
    pub model: String,
    /// What of it is lost, and why, tensor by tensor.
    pub reasons: Vec<String>,
    /// How many of its tensors are whole; they are not saved without the others.
    pub whole_tensors: u64,
    /// How many of its tensors are not.
    pub lost_tensors: u64,
    /// How many of these were never here: they are where they were left when the model was pulled.
    pub missing_tensors: u64,
}

/// What could be saved, and what not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Where names and lineage come from.
    pub source: GraphSource,
    /// Why the catalogue could not be read, when it could not.
    pub catalogue_error: Option<String>,
    /// Whole records found.
    pub whole_records: u64,
    /// Damaged records: where, and what is wrong. Not all of them were needed.
    #[serde(serialize_with = "damaged_records")]
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
    /// Where the tensors are that were never here.
    pub promisors: Vec<String>,
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

fn damaged_records<S: Serializer>(
    records: &[(u64, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let record = |(at, reason): &(u64, String)| json!({ "offset": at, "message": reason });
    serializer.collect_seq(records.iter().map(record))
}
