//! What a transfer has done.

use serde::{Serialize, Serializer};
use serde_json::json;

/// A model of ours that has another number now, because the other side gave that number first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Renumbered {
    /// `name@version` before.
    pub was: String,
    /// `name@version` now.
    pub now: String,
}

/// What was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PullReport {
    /// The models that came, `name@version`, in their order.
    pub models: Vec<String>,
    /// Tensors that came.
    pub tensors: u64,
    /// Bytes of their records as they came.
    pub bytes: u64,
    /// Tensors that an earlier transfer, which was cut short, had brought already.
    #[serde(rename = "resumed_tensors")]
    pub resumed: u64,
    /// Tensors that the models name and that stayed where they are.
    #[serde(rename = "missing_tensors")]
    pub missing: u64,
    /// Models that were here without their tensors, which have come now.
    pub completed: Vec<String>,
    /// Packs that were lost at the other side and that a push has written again, by their ids.
    #[serde(rename = "rewritten_packs")]
    pub rewritten: Vec<String>,
    /// Packs that were lost at the other side and whose contents a push has written into others,
    /// because they are stored differently now: each with the one that stands in its place.
    #[serde(rename = "replaced_packs", serialize_with = "replaced_packs")]
    pub replaced: Vec<(String, String)>,
    /// Models of this side that gave way to numbers of the other's.
    pub renumbered: Vec<Renumbered>,
    /// Names that have several ends now, each with them: a merge brings them together.
    #[serde(serialize_with = "diverged_names")]
    pub diverged: Vec<(String, Vec<String>)>,
    /// Models that both sides have, whose metadata, kind, tags or parents were brought up to date.
    pub updated: Vec<String>,
    /// Models that both sides have, and have both changed: each side's stayed as they are.
    pub differing: Vec<String>,
    /// Registered tests that came; one of a name that is here already did not.
    pub tests: Vec<String>,
    /// Tags that did not come, because something else here has their name.
    pub tags_left_out: Vec<String>,
}

fn replaced_packs<S: Serializer>(
    packs: &[(String, String)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(packs.iter().map(|(lost, by)| json!({ "lost": lost, "by": by })))
}

fn diverged_names<S: Serializer>(
    names: &[(String, Vec<String>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(|(name, ends)| json!({ "name": name, "ends": ends })))
}
