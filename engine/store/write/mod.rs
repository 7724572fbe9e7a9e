//! A transaction, the records that it writes, and who needs what.

pub(in crate::store) mod fold;
pub(in crate::store) mod hidden;
pub(in crate::store) mod records;
pub(in crate::store) mod transaction;
