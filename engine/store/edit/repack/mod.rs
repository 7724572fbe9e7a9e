//! Bases chosen anew over a whole store: other bytes in the file, the same contents.
//!
//! Contents of one length are a group; groups whose contents are made of each other's by formulas
//! are a family, which is planned as a whole from pieces of its contents and then written.
//! Everything is read as it was before, so that contents may change places as each other's bases;
//! rows are changed when a family has turned out smaller. Hidden contents, which no model names,
//! are there only for what stands on them: a plan does without those that cost more than they
//! save, and stores what was made of them in another way.

mod costs;
mod family;
mod formulas;
mod member;
pub(in crate::store) mod near;
pub(in crate::store) mod options;
mod rows;
pub(in crate::store) mod run;
mod scope;
mod search;
mod write;
