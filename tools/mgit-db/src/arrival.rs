//! What a model that came last changed for those that were there before it, in words.

use mgit::lineage::Node;
use mgit::store::{AroundReport, Repack};
use serde_json::{Value, json};

use crate::text::size;

/// Whether models are stored anew when a better base for them comes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ArrivalArguments {
    /// Leave the models that are there as they are stored, even where the new one is a better base
    /// for them. `repack` does it later
    #[arg(long)]
    no_repack: bool,
}

impl ArrivalArguments {
    /// How to do so, if it is to be done.
    pub fn repack(self) -> Option<Repack> {
        (!self.no_repack).then(Repack::default)
    }
}

/// Names that are listed.
const LISTED_MAX: usize = 4;

/// The names of models, of many the first.
fn names(nodes: &[Node]) -> String {
    let mut names: Vec<String> = nodes.iter().take(LISTED_MAX).map(Node::full_name).collect();
    if nodes.len() > LISTED_MAX {
        names.push(format!("{} more", nodes.len() - LISTED_MAX));
    }
    names.join(", ")
}

/// A line for what was done, and one for what was left.
pub fn describe(around: &AroundReport) -> String {
    let mut text = String::new();
    if around.report.changed > 0 {
        let (before, after) = (around.report.before_bytes, around.report.after_bytes);
        text += &format!(
            "  a better base for {}: stored anew, {} -> {} together (--no-repack leaves them)\n",
            names(&around.helped),
            size(before),
            size(after)
        );
    }
    if !around.left.is_empty() {
        text += &format!(
            "  a better base for {}: about {} less after `mgit-db repack`\n",
            names(&around.left),
            size(around.left_bytes)
        );
    }
    text
}

/// The same for programs.
pub fn document(around: &AroundReport) -> Value {
    let names = |nodes: &[Node]| nodes.iter().map(Node::full_name).collect::<Vec<_>>();
    json!({
        "stored_anew": names(if around.report.changed > 0 { &around.helped } else { &[] }),
        "before_bytes": around.report.before_bytes,
        "after_bytes": around.report.after_bytes,
        "left": names(&around.left),
        "left_bytes": around.left_bytes,
    })
}
