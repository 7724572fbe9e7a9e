//! Models that come into a store together: what is said of them, in words and as JSON.

mod bring;
mod documents;
mod words;

pub use bring::{Brought, bring};
pub use documents::{document, unsure_documents};
pub use words::describe;
