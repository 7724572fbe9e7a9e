//! How what is written is encoded.

use crate::codec::Profile;
use crate::planning::CHAIN_DEPTH_MAX;

/// How what is written is encoded: handed on from the verb that was asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct EncodePolicy {
    pub(in crate::store) profile: Profile,
    /// The longest delta chain that it may make.
    pub(in crate::store) depth_max: u8,
}

impl EncodePolicy {
    /// Chains as long as this store makes them.
    pub(in crate::store) fn of(profile: Profile) -> Self {
        EncodePolicy { profile, depth_max: CHAIN_DEPTH_MAX }
    }
}
