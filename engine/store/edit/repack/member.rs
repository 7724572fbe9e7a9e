//! A content that is repacked, and what it is repacked with.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::RecordRow;
use crate::planning::Sketch;
use crate::store::base::candidate::Candidate;
use crate::store::read::chain::Chain;
use crate::tensor::{ContentId, Dtype, Shape};

/// The contents of some lengths, by length: what any of them stands on is one of them.
pub(in crate::store) type Family = Vec<Vec<ContentId>>;

/// What a content may be made of by formulas, as one of its models has it.
pub(in crate::store) struct Search {
    pub(in crate::store) dtype: Dtype,
    pub(in crate::store) shape: Shape,
    pub(in crate::store) candidates: Vec<Candidate>,
}

/// By content.
pub(in crate::store) type Searched = HashMap<ContentId, Vec<Search>>;

/// A content of a family.
pub(in crate::store) struct Member<'c> {
    pub(in crate::store) id: ContentId,
    pub(in crate::store) row: RecordRow,
    pub(in crate::store) dtype: Dtype,
    pub(in crate::store) chain: Arc<Chain<'c>>,
    /// Whether it stays as it is.
    pub(in crate::store) fixed: bool,
    /// Whether no model names it: it is there for what stands on it.
    pub(in crate::store) hidden: bool,
    /// While the costs of its group are measured.
    pub(in crate::store) sketch: Option<Sketch>,
    pub(in crate::store) sample: Vec<u8>,
}
