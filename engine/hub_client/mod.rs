//! Models of the Hugging Face Hub, and of what serves its protocol, as folders.
//!
//! Invariants of this room:
//!
//! - All files are of one commit: that which the revision stood for when it was asked.
//! - A file gets its name when it is whole: as long as it is listed, with the SHA-256 that is
//!   listed, if one is. What comes after a cut is put behind what came before only if both are
//!   known to be of one file, by a strong ETag or by that hash; else the file begins again.
//! - What was downloaded stays, also when the process is killed, and the same download goes on from
//!   there.
//! - The token goes to the endpoint only, and into no message.
//! - Nothing that a hub says is believed without a bound: the list's length, the number of files,
//!   paths, the length of a file, how long an answer takes, how often it leads on.
//!
//! ```no_run
//! use mgit::hub_client::{HubModel, HubOptions, download};
//! use mgit::interchange::{ModelSource, SourceOptions};
//! use mgit::{NewModel, Store};
//!
//! # fn main() -> mgit::Result<()> {
//! let model: HubModel = "hub:prajjwal1/bert-tiny".parse()?;
//! let files = SourceOptions::new().exclude("*.h5");
//! let folder = download(&model, &HubOptions::from_environment()?, &files, "/models", &|_| ())?;
//!
//! let source = ModelSource::open_with(folder.path(), &folder.source_options(&files))?;
//! let store = Store::open("/models/family.mgit")?;
//! let mut transaction = store.begin_write()?;
//! transaction.add_model(NewModel::new(model.repository()).source(&source))?;
//! transaction.commit()?;
//! folder.remove()?;
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[cfg(feature = "remote")]
mod download;
mod error;
mod folder;
mod limits;
#[cfg(feature = "remote")]
mod listing;
mod model;
mod options;
#[cfg(feature = "remote")]
mod part;
#[cfg(feature = "remote")]
mod session;
#[cfg(feature = "remote")]
mod work_folder;

use std::path::Path;

pub use error::{HubError, HubFault};
pub use folder::{HubAdvance, HubFolder};
pub use model::HubModel;
pub use options::HubOptions;

use crate::interchange::SourceOptions;

/// Downloads a model into a folder of its own in `beside`, without the files that `files` leaves
/// out, and those that are never a part of a model.
///
/// The folder is [`HubFolder::place`]. What is there from an earlier run is not downloaded again.
/// `progress` is told how far it is.
///
/// Cost: as many bytes of disk as the files have, each written once, and read once where the hub
/// lists its hash. Needs the feature `remote`.
///
/// # Errors
///
/// [`HubError`]; what came until then stays in the folder.
pub fn download(
    model: &HubModel,
    hub: &HubOptions,
    files: &SourceOptions,
    beside: impl AsRef<Path>,
    progress: &dyn Fn(HubAdvance),
) -> Result<HubFolder, HubError> {
    #[cfg(feature = "remote")]
    return download::download(model, hub, files, beside.as_ref(), progress);
    #[cfg(not(feature = "remote"))]
    {
        let _ = (model, hub, files, beside, progress);
        Err(HubError::NotBuilt)
    }
}
