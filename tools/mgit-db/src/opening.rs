//! How this run opens stores: how long it waits for others, and what it says meanwhile.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use mgit::Store;
use mgit::container::Locked;
use mgit::store::OpenOptions;
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
    Failure::from(error.into()).of_store(path.display())
}

/// The store that was opened first: the one that the command is about.
static FIRST: OnceLock<PathBuf> = OnceLock::new();

/// The store that the command is about, where it has been opened.
pub fn first() -> Option<&'static Path> {
    FIRST.get().map(PathBuf::as_path)
}

/// Names that store in what is said of a store's file without a name.
pub fn of_first(failure: Failure) -> Failure {
    match first() {
        Some(path) => failure.of_store(path.display()),
        None => failure,
    }
}

/// As [`named`], where the file of either store may be meant; of a code in `of_own` it is the first.
pub fn named_either(failure: Failure, own: &Path, other: &Path, of_own: &[&str]) -> Failure {
    match of_own.contains(&failure.code()) {
        true => failure.of_store(own.display()),
        false => failure.of_store(format!("{} or {}", own.display(), other.display())),
    }
}

/// Says how a store is made, to who wanted to fill one that is not there.
pub fn or_init(failure: Failure) -> Failure {
    match failure.code() {
        "store-not-found" => failure.and("`mgit-db init` makes one"),
        _ => failure,
    }
}

/// Notes that a store was opened, and names it where it was not.
///
/// # Errors
///
/// What opening it answered.
pub fn opened(path: &Path, opened: mgit::store::Result<Store>) -> Result<Store, Failure> {
    if opened.is_ok() {
        let _ = FIRST.set(path.to_owned());
    }
    opened.map_err(|error| named(path, error))
}

/// Opens a store to change it at once: other writers are kept out until it is closed.
///
/// # Errors
///
/// Those of the store; a writer that was waited for as long as was allowed.
pub fn open(path: &Path) -> Result<Store, Failure> {
    opened(path, options().open(path))
}

/// Opens a store that is changed behind work that may take long: other writers are kept out only
/// while a change is written.
///
/// # Errors
///
/// Those of the store.
pub fn open_shared(path: &Path) -> Result<Store, Failure> {
    opened(path, options().lock_per_transaction(true).open(path))
}

/// Opens a store to read it.
///
/// # Errors
///
/// Those of the store.
pub fn open_read_only(path: &Path) -> Result<Store, Failure> {
    opened(path, options().open_read_only(path))
}
