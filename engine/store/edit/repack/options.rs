//! What repacking is to do, and what it did.

use crate::codec::Profile;
use crate::lineage::Node;
use crate::planning::{CHAIN_DEPTH_MAX, SHAKES_MAX};
use crate::store::base::policy::EncodePolicy;

/// A family is written anew where that saves at least this part of what it takes: what is only a
/// little better by pieces need not be better, and a second run then leaves it as it is.
pub(in crate::store) const WORTH_ONE_IN: u64 = 256;

/// What repacking is to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct Repack {
    /// The longest chain of deltas.
    pub depth_max: u8,
    /// How what is written anew is encoded.
    pub profile: Profile,
    /// Whether only to find out what it would save: nothing is written.
    pub dry_run: bool,
    /// Rounds of shaking a plan.
    pub(in crate::store) shakes: usize,
}

impl Default for Repack {
    fn default() -> Self {
        let (depth_max, profile) = (CHAIN_DEPTH_MAX, Profile::default());
        Repack { depth_max, profile, dry_run: false, shakes: SHAKES_MAX }
    }
}

impl Repack {
    /// Bounds the chains by this number of deltas: at most 64, the limit of the format.
    pub fn depth_max(mut self, depth: u8) -> Self {
        self.depth_max = depth.min(crate::format::CHAIN_DEPTH_LIMIT);
        self
    }

    /// Says how what is written anew is encoded.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    pub(in crate::store) fn policy(&self) -> EncodePolicy {
        EncodePolicy { profile: self.profile, depth_max: self.depth_max }
    }

    /// Says whether only to find out what it would save.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What repacking did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RepackReport {
    /// Distinct tensors.
    pub tensors: u64,
    /// Those that are stored in another way now.
    pub changed: u64,
    /// Those of no model that are gone, since nothing stands on them any more.
    pub freed: u64,
    /// Those of no model that stay, since something stands on them.
    pub hidden: u64,
    /// Bytes that the records of all of them took before.
    pub before_bytes: u64,
    /// Bytes that they take now, or would take.
    pub after_bytes: u64,
    /// The longest chain before.
    pub before_depth: u8,
    /// The longest chain now, or then.
    pub after_depth: u8,
}

/// What a model changed for those that were there before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AroundReport {
    /// Models for which it is a better base than what they had, and which were stored anew with it
    /// where that took less.
    pub helped: Vec<Node>,
    /// Such models that were left as they are, since with them it would have been too much at once:
    /// a repack of the store does the rest.
    pub left: Vec<Node>,
    /// Bytes that sketches predict these would save.
    pub left_bytes: u64,
    /// What was done, of the contents that were looked at.
    pub report: RepackReport,
}
