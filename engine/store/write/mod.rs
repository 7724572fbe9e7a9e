//! A transaction, the records that it writes, and who needs what.

pub(in crate::store) mod fold;
pub(in crate::store) mod formulas;
pub(in crate::store) mod give_back;
pub(in crate::store) mod hidden;
pub(in crate::store) mod operations;
pub(in crate::store) mod promises;
pub(in crate::store) mod put;
pub(in crate::store) mod records;
pub(in crate::store) mod references;
pub(in crate::store) mod sketches;
pub(in crate::store) mod transaction;
