//! Why a command does not do what it was asked: one type, with an exit code and a stable name.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use mgit::Error;
use mgit::error::{
    CatalogError, CommandError, ContainerError, DestinationError, ExportError, HubError,
    InterchangeError, LineageError, Locked, MergeError, Shortage, StoreError, TestError,
    TransferError, UpdateError, UpkeepError, full_message,
};

use crate::causes::{Cause, causes};
use crate::opening;
use crate::what_to_do::what_to_do;

/// A command that was not done.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense together.
    Usage {
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// It was tried and failed.
    Failed {
        /// A stable name of the kind of failure.
        code: &'static str,
        /// What is wrong, and what to do next.
        message: String,
        /// Where the message speaks of a store's file without its name.
        unnamed: Option<Unnamed>,
    },
    /// Whoever read standard output has closed it: nobody is left to tell.
    ClosedPipe,
}

/// A place in a message for the name of a store's file.
#[derive(Clone, Copy, Debug)]
pub struct Unnamed {
    at: usize,
    before: &'static str,
    after: &'static str,
}

impl Failure {
    /// Arguments that make no sense together.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage { message: message.into() }
    }

    /// A failure of this code.
    pub fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Failure::Failed { code, message: message.into(), unnamed: None }
    }

    /// A failure to write standard output.
    pub fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::failed(
                io_code(error),
                format!("cannot write the output: {}", full_message(error)),
            ),
        }
    }

    /// A failure of the operating system to do `action`.
    pub fn io(action: impl fmt::Display, error: &io::Error) -> Self {
        Failure::failed(io_code(error), format!("cannot {action}: {}", full_message(error)))
    }

    /// Says more, such as what was done before the failure.
    pub fn and(self, more: &str) -> Self {
        match self {
            Failure::Failed { code, message, unnamed } => {
                Failure::Failed { code, message: format!("{message}; {more}"), unnamed }
            }
            other => other,
        }
    }

    /// Says what was imported before it.
    pub fn after(self, imported: &[String]) -> Self {
        match imported {
            [] => self,
            imported => self.and(&format!("already in the store: {}", imported.join(", "))),
        }
    }

    /// Says first which file or place this is about.
    pub fn of(self, place: impl fmt::Display) -> Self {
        match self {
            Failure::Failed { code, message, unnamed } => {
                let first = format!("{place}: ");
                let unnamed = unnamed.map(|gap| Unnamed { at: gap.at + first.len(), ..gap });
                Failure::Failed { code, message: first + &message, unnamed }
            }
            other => other,
        }
    }

    /// Names the store's file where the message speaks of it and does not name it. The first name
    /// stays.
    pub fn of_store(self, store: impl fmt::Display) -> Self {
        match self {
            Failure::Failed { code, mut message, unnamed: Some(Unnamed { at, before, after }) } => {
                message.insert_str(at, &format!("{before}{store}{after}"));
                Failure::failed(code, message)
            }
            other => other,
        }
    }

    /// The stable name of the kind of failure.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Usage { .. } => "usage",
            Failure::Failed { code, .. } => code,
            Failure::ClosedPipe => "closed-pipe",
        }
    }

    /// 1 for a failure, 2 for wrong usage; a closed pipe ends as the signal would.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed { .. } => 1,
            Failure::Usage { .. } => 2,
            Failure::ClosedPipe => 128 + 13,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage { message } | Failure::Failed { message, .. } => f.write_str(message),
            Failure::ClosedPipe => f.write_str("the reader of the output has closed it"),
        }
    }
}

/// What is said of a store that is in the way of a new one, by commands that can replace it.
pub fn taken(failure: Failure, force: bool) -> Failure {
    match (failure.code(), force) {
        ("already-exists", false) => failure.and("--force replaces it"),
        ("already-exists", true) => failure.and("a store does not replace itself"),
        _ => failure,
    }
}

fn io_code(error: &io::Error) -> &'static str {
    match (Shortage::of(error), error.kind()) {
        (Some(shortage), _) => shortage.code(),
        (None, io::ErrorKind::NotFound) => "file-not-found",
        (None, _) => "io",
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::about(error, opening::first())
    }
}

impl Failure {
    /// An error, with what to do about it; `store` is the one that lacks what is missing, where that
    /// is known.
    pub fn about(error: Error, store: Option<&Path>) -> Self {
        match &error {
            Error::Destination(DestinationError::Io { source, .. })
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                Failure::ClosedPipe
            }
            _ => {
                let mut message = full_message(&error);
                let unnamed = causes(&error).find_map(|cause| unnamed(&mut message, cause));
                message += &what_to_do(&error, store);
                Failure::Failed { code: error.code(), message, unnamed }
            }
        }
    }
}

/// Where the message speaks of a store's file, if this cause makes it do so. What the library says
/// to do about a lock is taken out: on this command line it is something else.
fn unnamed(message: &mut String, cause: &Cause) -> Option<Unnamed> {
    let said = cause.to_string();
    let at = message.find(&said)?;
    if let Some(ContainerError::Locked(locked)) = cause.downcast_ref() {
        let clause = locked.to_string();
        message.replace_range(at..at + said.len(), &format!("{clause}{}", waited(locked)));
        let noun = "the store";
        // Behind the name of a process, which may be anything.
        let at = at + clause.rfind(noun)? + noun.len();
        return Some(Unnamed { at, before: " ", after: "" });
    }
    is_of_file(cause).then_some(Unnamed { at, before: "", after: ": " })
}

fn waited(locked: &Locked) -> String {
    match locked.waited.as_secs() {
        0 => String::new(),
        seconds => format!(", after {seconds} s of waiting"),
    }
}

/// Whether this is an error about the file of a store, which the library's text does not name.
fn is_of_file(cause: &Cause) -> bool {
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return matches!(error, StoreError::DamagedRecord { .. });
    }
    if let Some(error) = cause.downcast_ref::<CatalogError>() {
        return !matches!(error, CatalogError::Container(_));
    }
    if let Some(error) = cause.downcast_ref::<LineageError>() {
        return matches!(error, LineageError::Circle { .. } | LineageError::Dangling { .. });
    }
    if let Some(error) = cause.downcast_ref::<UpkeepError>() {
        return matches!(error, UpkeepError::Damaged { .. } | UpkeepError::NothingFound { .. });
    }
    cause.is::<ContainerError>()
}

macro_rules! failures_of {
    ($($error:ty,)*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Error::from(error).into()
            }
        })*
    };
}

failures_of! {
    CatalogError, CommandError, DestinationError, ExportError, HubError, InterchangeError, LineageError,
    MergeError, StoreError, TestError, TransferError, UpdateError, UpkeepError,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use mgit::error::{AdoptionError, CatalogError, ContainerError};

    use super::*;

    fn said(error: impl Into<Error>) -> String {
        Failure::from(error.into()).to_string()
    }

    /// The library does not know this command line: what to do there is added here.
    #[test]
    fn advice_names_commands_and_options() {
        let (model, tensor, name) = (|| "a@1".to_owned(), || "w".to_owned(), || "n".to_owned());
        let children = LineageError::HasChildren { model: model(), children: vec!["b@1".into()] };
        let missing = StoreError::MissingContent {
            model: model(),
            tensor: tensor(),
            promisor: "far".to_owned(),
        };
        let twice =
            AdoptionError::NameTwice { name: name(), first: "f".into(), second: "s".into() };
        let conflict = MergeError::Unresolved { layers: vec![name()] };
        for (error, part) in [
            (StoreError::NotFound { path: "s".into() }.into(), "check the path"),
            (StoreError::NoSuchTensor { model: model(), tensor: tensor() }.into(), "mgit-db show"),
            (StoreError::Pinned { model: model() }.into(), "mgit-db unpin"),
            (missing.into(), "mgit-db fetch"),
            (children.into(), "--reparent-children"),
            (DestinationError::Exists { path: "f".into() }.into(), "--force"),
            (TestError::NoSuchTest { test: name() }.into(), "mgit-db test ls"),
            (UpkeepError::Damaged { findings: Vec::new() }.into(), "mgit-db salvage"),
            (UpdateError::Begun { made: 1, left: 2 }.into(), "--resume"),
            (conflict.into(), "--on-conflict"),
            (TransferError::NoSuchRemote { name: name(), known: vec![] }.into(), "remote add"),
            (TransferError::WrittenOnce { place: name() }.into(), "bundle create"),
            (TransferError::NotABundle { place: name(), is_store: false }.into(), "bundle create"),
            (twice.into(), "mgit-db import --name"),
        ] {
            let error: Error = error;
            let (own, told) = (full_message(&error), said(error));
            assert!(told.starts_with(&own), "{told}");
            assert_eq!(told.matches(part).count(), 1, "{told}");
            assert!(!own.contains(part), "{own}");
        }
    }

    /// Damage and locks are told of in the same way, however deep the library met them.
    #[test]
    fn advice_is_that_of_the_innermost_cause() {
        let damaged = || StoreError::DamagedRecord {
            content_id: mgit::ContentId::of(b"x"),
            offset: 7,
            reason: "a checksum is wrong".to_owned(),
        };
        let io = || io::Error::other(damaged());
        let part = "s: damaged record of content";
        let far = Box::new(TransferError::Store(damaged()));
        let kept = || std::path::PathBuf::from("k");
        let far = TransferError::OutOfReach { models: vec![], place: "p".to_owned(), source: far };
        let not_added = Box::new(UpdateError::Store(damaged()));
        for error in [
            damaged().into(),
            DestinationError::io(Path::new("b"), io()).into(),
            TransferError::Io { operation: "write", place: "p".to_owned(), source: io() }.into(),
            MergeError::Store(StoreError::Source { tensor: "w".to_owned(), source: io() }).into(),
            far.into(),
            UpdateError::NotAdded { source: not_added, kept: kept() }.into(),
            UpkeepError::Store(damaged()).into(),
        ] {
            let error: Error = error;
            let told = Failure::from(error).of_store("s").of_store("t").to_string();
            assert_eq!(told.matches("mgit-db verify").count(), 1, "{told}");
            assert_eq!(told.matches(part).count(), 1, "{told}");
            assert!(told.ends_with("lists the models that it hurts"), "{told}");
        }
    }

    #[test]
    fn every_part_of_an_error_is_told_once() {
        let answer = || io::Error::other("the medium is gone");
        let io = || ContainerError::Io { operation: "write", offset: 7, source: answer() };
        let unknown = StoreError::OutcomeUnknown { source: CatalogError::Container(io()) };
        let told = said(UpdateError::Store(unknown));
        for part in ["the commit failed", "write at byte 7 failed", "the medium is gone"] {
            assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
        }
        let full = ContainerError::Io {
            operation: "write",
            offset: 7,
            source: io::ErrorKind::StorageFull.into(),
        };
        let failure = Failure::from(StoreError::from(full));
        assert_eq!(failure.code(), "disk-full");
        assert_eq!(failure.to_string().matches("free some room").count(), 1, "{failure}");
    }

    /// Those of the library are in its own table.
    #[test]
    fn codes_of_the_tool_are_stable() {
        let mut found = BTreeSet::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let expected = CODES.iter().map(|code| (*code).to_owned()).collect();
        assert_eq!(found, expected);
    }

    const CODES: [&str; 23] = [
        "already-exists",
        "already-there",
        "bad-parameter",
        "damaged",
        "demo-data",
        "demo-data-missing",
        "foreign-folder",
        "interrupted",
        "io",
        "no-note",
        "no-result",
        "no-such-key",
        "no-such-model",
        "no-tests",
        "not-a-store",
        "not-done",
        "not-identical",
        "not-mapped",
        "not-trusted",
        "out-of-memory",
        "tag-exists",
        "test-exists",
        "unknown-dtype",
    ];

    /// The codes that stand behind `Failure::failed` in the files of a folder.
    fn collect(folder: &Path, codes: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, codes);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in code.split("Failure::failed(").skip(1) {
                let quoted = call.trim_start().strip_prefix('"').and_then(|it| it.split_once('"'));
                codes.extend(quoted.map(|(code, _)| code.to_owned()));
            }
        }
    }
}
