//! Records and models on their way out of this store and in from another.

pub(in crate::store) mod incoming;
pub(in crate::store) mod outgoing;
pub(in crate::store) mod travelling;
pub(in crate::store) mod verbs;
