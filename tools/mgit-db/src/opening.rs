//! How this run opens stores: how long it waits for others, and what it says meanwhile.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use mgit::Store;
use mgit::container::{ContainerError, Locked};
use mgit::store::OpenOptions;
use mgit::store::StoreError;
use mgit::upkeep::UpkeepError;

use crate::failure::Failure;

/// What was said on the command line.
static OPTIONS: OnceLock<OpenOptions> = OnceLock::new();

/// How long another writer is waited for when nobody says how long.
pub const WAIT_SECONDS: &str = "10";
/// What `--wait` alone stands for.
pub const WAIT_FOR_EVER: &str = "for-ever";

/// Reads what stands behind `--wait=`.
///
/// # Errors
///
/// Says what may stand there.
pub fn parse_wait(text: &str) -> std::result::Result<Duration, String> {
    if text == WAIT_FOR_EVER {
        return Ok(Duration::MAX);
    }
    let seconds: Option<f64> = text.parse().ok();
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.ok_or_else(|| "write a number of seconds, or --wait alone to wait for ever".to_owned())
}

/// Sets how long is waited; the first time counts.
pub fn set_wait(limit: Duration) {
    let _ = OPTIONS.set(OpenOptions::new().wait(limit).on_wait(tell));
}

/// Says for whom is waited, on standard error.
fn tell(locked: &Locked) {
    eprintln!("waiting: {}", crate::text::shown(&locked.to_string()));
}

/// How stores are opened.
pub fn options() -> OpenOptions {
    OPTIONS.get().cloned().unwrap_or_default()
}

/// What is wrong with the store at `path`, which the engine does not always name.
pub fn named(path: &Path, error: impl Into<UpkeepError>) -> Failure {
    let error = error.into();
    let is_of_file = match &error {
        UpkeepError::Store(StoreError::Container(ContainerError::Locked(_))) => false,
        UpkeepError::Store(error) => matches!(error, StoreError::Container(_)) || error.is_damage(),
        _ => false,
    };
    let failure = Failure::from(error);
    if is_of_file { failure.of(path.display()) } else { failure }
}

/// Opens a store to change it at once: other writers are kept out until it is closed.
///
/// # Errors
///
/// Those of the store; a writer that was waited for as long as was allowed.
pub fn open(path: &Path) -> Result<Store, Failure> {
    options().open(path).map_err(|error| named(path, error))
}

/// Opens a store that is changed behind work that may take long: other writers are kept out only
/// while a change is written.
///
/// # Errors
///
/// Those of the store.
pub fn open_shared(path: &Path) -> Result<Store, Failure> {
    options().lock_per_transaction(true).open(path).map_err(|error| named(path, error))
}

/// Opens a store to read it.
///
/// # Errors
///
/// Those of the store.
pub fn open_read_only(path: &Path) -> Result<Store, Failure> {
    options().open_read_only(path).map_err(|error| named(path, error))
}
