//! Records and models on their way out of this store and in from another.

pub(in crate::store) mod incoming;
pub(in crate::store) mod outgoing;
pub(in crate::store) mod packed_record;
pub(in crate::store) mod verbs;
