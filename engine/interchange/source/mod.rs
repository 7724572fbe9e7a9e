//! Models as they lie in files: one of any format, several, or a folder.
//!
//! Invariants of this room:
//!
//! - What is in a folder is taken or listed as left out, with the reason.
//! - No file outside of the model's folder is read: not behind a link, not by a name that a file
//!   gives; but for the blobs of the Hugging Face cache that the folder belongs to, and for what
//!   the caller allows.
//! - Facts are read from a few known files, within bounds; nothing is run, and a file that cannot
//!   be understood is a note.
//! - A file's tensors are the model's weights, or have the file's path before their names.

mod card;
mod facts;
mod faults;
mod file;
mod gather;
mod json_facts;
mod left_out;
mod links;
#[cfg(feature = "remote")]
mod listed;
mod model_source;
mod names;
mod new_model;
mod options;
mod passed_over;
mod read_file;
mod search;
mod shard_name;
mod units;
mod walk;

pub use file::{FileRole, SourceFile};
pub use left_out::LeftOut;
#[cfg(feature = "remote")]
pub(crate) use listed::left_out_of;
pub use model_source::ModelSource;
pub use options::SourceOptions;
pub(super) use options::fits;
pub use search::{FoundForm, FoundModel, FoundModels, models_in, name_of_file};
