//! Which hub, and how patiently it is asked.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HubError;

/// The hub that is asked where no other is named.
const ENDPOINT: &str = "https://huggingface.co";
/// The longest token that is read.
const TOKEN_LEN_MAX: u64 = 4096;

/// Which hub is asked, with which token, and how patiently.
#[derive(Clone)]
#[must_use]
pub struct HubOptions {
    pub(super) endpoint: String,
    pub(super) token: Option<String>,
    pub(super) patience: Duration,
    pub(super) tries: u32,
    pub(super) pause: Duration,
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

impl HubOptions {
    /// The hub at `endpoint`, such as `https://huggingface.co` or `http://host:8420/team`, without
    /// a token.
    pub fn new(endpoint: impl Into<String>) -> Self {
        HubOptions {
            endpoint: endpoint.into(),
            token: None,
            patience: Duration::from_secs(30),
            tries: 5,
            pause: Duration::from_millis(500),
        }
    }

    /// What the environment says, as the Hub's own client reads it: the endpoint `HF_ENDPOINT`
    /// (else `https://huggingface.co`); unless
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set, the token `HF_TOKEN`, else the one in the file
    /// `HF_TOKEN_PATH`, which is else `token` in `HF_HOME`, in `huggingface` of `XDG_CACHE_HOME`, or in
    /// `~/.cache/huggingface`.
    ///
    /// # Errors
    ///
    /// [`HubError::Token`]: the file is there and cannot be read.
    pub fn from_environment() -> Result<Self, HubError> {
        let mut options = HubOptions::new(text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()));
        options.token = match text("HF_TOKEN") {
            _ if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") => None,
            Some(token) => Some(token),
            None => token_path().map_or(Ok(None), |path| token_of(&path))?,
        };
        Ok(options)
    }

    /// Shows who asks. The token is sent to the endpoint only: to its scheme, host and port, not to
    /// where it leads on.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How long an answer, and each part of it, is waited for. Default: 30 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How often a file is tried without coming further. Default: 5 times.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// How long it is waited before the second try; each time twice as long. Default: half a
    /// second.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The hub's address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether it is the Hugging Face Hub itself.
    pub fn is_the_hub(&self) -> bool {
        self.endpoint.trim_end_matches('/') == ENDPOINT
    }
}

/// A variable that is set to something.
fn text(key: &str) -> Option<String> {
    let value = env::var(key).ok()?.trim().to_owned();
    (!value.is_empty()).then_some(value)
}

/// As the Hub's own client reads it.
fn is_set(key: &str) -> bool {
    let is_yes =
        |value: String| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str());
    text(key).is_some_and(is_yes)
}

fn token_path() -> Option<PathBuf> {
    let path = |key| env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
    let home = || path("HF_HOME").or_else(|| Some(cache()?.join("huggingface")));
    path("HF_TOKEN_PATH").or_else(|| Some(home()?.join("token")))
}

/// The token in a file; none where there is no file, or nothing in it.
fn token_of(path: &Path) -> Result<Option<String>, HubError> {
    let mut token = String::new();
    let read =
        File::open(path).and_then(|file| file.take(TOKEN_LEN_MAX).read_to_string(&mut token));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HubError::Token { path: path.to_owned(), source }),
        Ok(_) => Ok(Some(token.trim().to_owned()).filter(|token| !token.is_empty())),
    }
}
