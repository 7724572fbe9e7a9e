use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::container::io_code;
use crate::interchange::{FILES_MAX, FOLDER_DEPTH_MAX, PATH_LEN_MAX, Quoted};

use super::limits::{LISTED_MAX, LISTING_LEN_MAX, REDIRECTS_MAX};

/// Why a model of a hub is not here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The library was built without what talks to the network.
    #[error("this build cannot ask a hub: it is without the network (feature remote)")]
    NotBuilt,
    /// The text is no address of a model.
    #[error("{address:?} is no model of a hub: {reason}")]
    BadAddress {
        /// The text.
        address: String,
        /// What is wrong, or what to write.
        reason: &'static str,
    },
    /// The address of the hub cannot be used.
    #[error("{endpoint:?} is no address of a hub: {reason}")]
    BadEndpoint {
        /// The address.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// The token cannot be read from its file.
    #[error("cannot read the hub's token in {path:?}")]
    Token {
        /// The file.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
    /// The token has what no header of a request can have.
    #[error("the hub's token has characters that no token has: give it again")]
    BadToken,
    /// Which files the model has could not be asked.
    #[error("{model}: what {endpoint} says of it cannot be used")]
    Listing {
        /// The model.
        model: String,
        /// The hub.
        endpoint: String,
        /// What is wrong.
        source: Box<HubFault>,
    },
    /// A file did not come, or not all of it.
    #[error(
        "{model}: {file:?} did not come whole, {came} of {len} bytes: {kept} of {total} bytes of \
         the model are kept in {folder:?}, and the same again goes on from there"
    )]
    File {
        /// The model.
        model: String,
        /// The path of the file in it.
        file: String,
        /// How many of its bytes are here.
        came: u64,
        /// How many it has.
        len: u64,
        /// How many bytes of all files are here.
        kept: u64,
        /// How many they have.
        total: u64,
        /// Where they are.
        folder: PathBuf,
        /// Why it did not go on.
        source: Box<HubFault>,
    },
    /// Somebody downloads the same at the same time.
    #[error("another process downloads the same into {folder:?}: wait for it")]
    UnderWay {
        /// Where.
        folder: PathBuf,
    },
    /// What came cannot be written, or what is there not be read.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
}

/// What is wrong with an answer of a hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubFault {
    /// There is no such thing.
    #[error("there is no {what}{}", said(.message))]
    NotFound {
        /// What there is not.
        what: &'static str,
        /// What the hub says.
        message: String,
    },
    /// A token is needed that may read it.
    #[error(
        "{what} (status {status}): give a token that may read it (HF_TOKEN){}",
        said(.message)
    )]
    NeedsToken {
        /// What is wrong with what was given.
        what: &'static str,
        /// The status.
        status: u16,
        /// What the hub says.
        message: String,
    },
    /// The hub answers with another status.
    #[error("{host} answers with status {status}{}", said(.message))]
    Status {
        /// Who.
        host: String,
        /// The status.
        status: u16,
        /// What the hub says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The hub cannot be reached, or the connection broke.
    #[error("the connection to {host} failed")]
    Connection {
        /// Who.
        host: String,
        /// The answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing came for too long, or too little.
    #[error(
        "{host} is silent, or sends too slowly: {came} bytes came within {} s",
        .waited.as_secs_f32()
    )]
    Silent {
        /// Who.
        host: String,
        /// How long it was waited.
        waited: Duration,
        /// What came in that time.
        came: u64,
    },
    /// It leads from one address to the next.
    #[error("it leads on more than {REDIRECTS_MAX} times")]
    TooManyRedirects,
    /// It leads to an address that is none, or to one without encryption.
    #[error("it leads to an address that is not followed: {reason}")]
    BadRedirect {
        /// Why not.
        reason: &'static str,
    },
    /// The connection ended before the file.
    #[error("the connection to {host} ended too early")]
    Cut {
        /// Who.
        host: String,
    },
    /// The file has another length than the list says.
    #[error("expected {expected} bytes of it, as it is listed, found {found}")]
    Length {
        /// As it is listed.
        expected: u64,
        /// As it comes; at least, where more follows.
        found: u64,
    },
    /// Another range came than was asked for.
    #[error("asked for the bytes from {from} on, found the range {found:?}")]
    Range {
        /// The first byte that was asked for.
        from: u64,
        /// What came.
        found: String,
    },
    /// The file became another one while it came.
    #[error("it became another file on the way: its ETag changed")]
    Changed,
    /// The bytes that came are not those that are listed.
    #[error("expected bytes of the SHA-256 {expected}, as it is listed, found {found}")]
    Hash {
        /// As it is listed.
        expected: String,
        /// Of what came.
        found: String,
    },
    /// It is compressed on the way, which nobody asked for.
    #[error("it came as {encoding:?}, which was not asked for")]
    Encoded {
        /// How.
        encoding: String,
    },
    /// The list is longer than is believed.
    #[error("the list of files has more than {LISTING_LEN_MAX} bytes")]
    ListingTooLong,
    /// The list is none.
    #[error("the list of files is not understood (at most {LISTED_MAX} are listed): {reason}")]
    ListingMalformed {
        /// What is wrong.
        reason: String,
    },
    /// A path in the list is none inside of a folder.
    #[error(
        "the path {} is listed: expected one inside of a folder, of at most {PATH_LEN_MAX} bytes \
         and {FOLDER_DEPTH_MAX} folders, once, and no file in the place of a folder",
        Quoted(.path)
    )]
    BadPath {
        /// The path.
        path: String,
    },
    /// More files are listed than a model can have.
    #[error("it lists {found} files, expected at most {FILES_MAX}: leave some out")]
    TooManyFiles {
        /// How many.
        found: usize,
    },
}

impl HubError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            HubError::NotBuilt => "not-built",
            HubError::BadAddress { .. } | HubError::BadEndpoint { .. } => "bad-hub-address",
            HubError::BadToken => "hub-needs-token",
            HubError::Listing { source, .. } | HubError::File { source, .. } => source.code(),
            HubError::UnderWay { .. } => "under-way",
            HubError::Token { source, .. } | HubError::Io { source, .. } => io_code(source),
        }
    }
}

impl HubFault {
    fn code(&self) -> &'static str {
        match self {
            HubFault::NotFound { .. } => "hub-not-found",
            HubFault::NeedsToken { .. } => "hub-needs-token",
            HubFault::Status { .. }
            | HubFault::Connection { .. }
            | HubFault::Silent { .. }
            | HubFault::Cut { .. } => "hub-unreachable",
            _ => "hub-damaged",
        }
    }
}

/// What a hub says, behind what is known of it.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": it says {}", Quoted(message)) }
}
