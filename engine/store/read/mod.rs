//! Reading: snapshots, models, tensors, records and the chains between them.

mod bone_window;
#[cfg_attr(not(feature = "unstable-format"), allow(unreachable_pub, reason = "public with it"))]
pub(in crate::store) mod chain;
#[cfg(feature = "unstable-format")]
mod changes;
pub(in crate::store) mod file;
#[cfg_attr(not(feature = "unstable-format"), allow(unreachable_pub, reason = "public with it"))]
pub(in crate::store) mod formula;
pub(in crate::store) mod layers;
pub(in crate::store) mod manifests;
pub(in crate::store) mod missing;
pub(in crate::store) mod model;
pub(in crate::store) mod plain;
#[cfg_attr(not(feature = "unstable-format"), allow(unreachable_pub, reason = "public with it"))]
pub(in crate::store) mod record;
pub(in crate::store) mod snapshot;
pub(in crate::store) mod strided;
pub(in crate::store) mod tensor;
pub(in crate::store) mod view;
pub(in crate::store) mod writable;
