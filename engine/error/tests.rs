//! What holds for every error of the crate.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use regex_lite::Regex;

use super::*;
use crate::codec::{Lossy, Profile, formula::Formula};
use crate::lineage::NodeId;
use crate::tensor::{ContentId, Dtype};
use crate::upkeep::Finding;

fn text() -> String {
    "x".to_owned()
}

fn path() -> PathBuf {
    "a/path".into()
}

/// An answer of the system, with words of its own.
fn answer() -> io::Error {
    io::Error::other("the answer of the system")
}

fn format() -> FormatError {
    FormatError::new("a field", 7, "one", "two")
}

fn node() -> NodeId {
    NodeId([7; 16])
}

fn of_store() -> Vec<(Error, &'static str)> {
    use StoreError as S;
    let id = ContentId::of(b"x");
    let table: Vec<(S, &str)> = vec![
        (S::NotFound { path: path() }, "store-not-found"),
        (S::AlreadyExists { path: path() }, "already-exists"),
        (S::OpenFile { path: path(), source: answer() }, "open-failed"),
        (S::Catalog(CatalogError::Row(format())), "damaged"),
        (S::Catalog(CatalogError::Damaged { message: text() }), "damaged"),
        (S::Catalog(CatalogError::NeedsRepair), "needs-repair"),
        (S::Catalog(CatalogError::Database(Box::new(answer()))), "catalog"),
        (S::ReadOnly, "read-only"),
        (S::AlreadyWriting, "already-writing"),
        (S::Busy { waited: Duration::ZERO }, "busy"),
        (S::BrokenTransaction, "broken-transaction"),
        (S::OutcomeUnknown { source: CatalogError::Row(format()) }, "outcome-unknown"),
        (S::DamagedRecord { content_id: id, offset: 1, reason: text() }, "damaged"),
        (S::NoSuchTensor { model: text(), tensor: text() }, "no-such-tensor"),
        (S::NoSuchFile { model: text(), path: text() }, "no-such-file"),
        (S::BadFile { path: text(), reason: text() }, "bad-file"),
        (S::RowsOutOfRange { tensor: text(), start: 0, end: 2, rows: 1 }, "rows-out-of-range"),
        (S::BufferLength { expected: 1, found: 2 }, "buffer-length"),
        (S::View(ViewError::Misaligned { remainder: 1 }), "view"),
        (S::Shape(ShapeError::TooLarge), "bad-shape"),
        (S::BadTensor { tensor: text(), reason: text() }, "bad-tensor"),
        (S::Source { tensor: text(), source: answer() }, "source"),
        (S::MissingContent { model: text(), tensor: text(), promisor: text() }, "missing-content"),
        (S::MissingTensor { content_id: id, needed_by: text() }, "missing-tensor"),
        (S::OutOfMemory { bytes: 1 }, "out-of-memory"),
        (S::Format(format()), "format-limit"),
        (S::Gate { reason: text() }, "gate"),
        (S::GateRefused, "gate-refused"),
        (S::AlreadyLossy { model: text() }, "already-lossy"),
        (S::Pinned { model: text() }, "pinned"),
        (S::NothingLossy { model: text() }, "nothing-lossy"),
    ];
    table.into_iter().map(|(error, code)| (error.into(), code)).collect()
}

fn of_file() -> Vec<(Error, &'static str)> {
    use ContainerError as C;
    let io = |source| C::Io { operation: "write", offset: 3, source };
    let table: Vec<(C, &str)> = vec![
        (io(answer()), "io"),
        (io(io::ErrorKind::StorageFull.into()), "disk-full"),
        (io(rustix::io::Errno::MFILE.into()), "too-many-open-files"),
        (io(io::ErrorKind::OutOfMemory.into()), "out-of-memory"),
        (C::NotAStore { found: NoStore::Folder }, "not-a-store"),
        (C::Truncated { expected: 2, found: 1 }, "truncated"),
        (C::NewerVersion { found: 9, supported: 1 }, "newer-version"),
        (C::UnknownFeatures { flags: 1, writing_only: true }, "unknown-features"),
        (C::Format { offset: 0, source: format() }, "damaged"),
        (C::locked_by_writer(), "locked"),
        (C::NoLocks, "no-locks"),
        (C::Poisoned, "poisoned"),
        (C::Retired, "retired"),
        (C::TooManyExtents, "too-many-extents"),
    ];
    table.into_iter().map(|(error, code)| (error.into(), code)).collect()
}

fn of_lineage() -> Vec<(Error, &'static str)> {
    use LineageError as L;
    let (child, parent) = (text, text);
    let table: Vec<(L, &str)> = vec![
        (L::InvalidName { name: text(), reason: "it is bad" }, "invalid-name"),
        (L::InvalidHow { how: text() }, "invalid-how"),
        (L::NoSuchModel { asked: text(), similar: vec![text()] }, "no-such-model"),
        (L::HasChildren { model: text(), children: vec![text()] }, "has-children"),
        (L::Cycle { child: child(), parent: parent() }, "cycle"),
        (L::DuplicateParent { parent: parent() }, "duplicate-parent"),
        (L::NameTaken { name: text(), by: "a tag" }, "name-taken"),
        (L::NoSuchTag { tag: text() }, "no-such-tag"),
        (L::NoSuchEdge { child: child(), parent: parent() }, "no-such-edge"),
        (L::NotEarlier { newer: text(), older: text() }, "not-earlier"),
        (L::Circle { node: node() }, "damaged"),
        (L::TooMany { what: "parents" }, "too-many"),
        (L::Dangling { node: node() }, "damaged"),
        (L::OwnKey { key: text() }, "own-key"),
        (L::NoRandomness, "no-randomness"),
        (L::Catalog(CatalogError::NeedsRepair), "needs-repair"),
    ];
    table.into_iter().map(|(error, code)| (error.into(), code)).collect()
}

fn of_files_in_and_out() -> Vec<(Error, &'static str)> {
    use DestinationError as D;
    use InterchangeError as I;
    let no_file_fits = ExportError::NoFileFits { model: text(), glob: text(), files: vec![text()] };
    let looks_like = ExportError::LooksLikeAnother {
        model: text(),
        path: path(),
        format: crate::format::FileFormat::Gguf,
        better: path(),
    };
    let not_convertible =
        ExportError::NotConvertible { model: text(), reason: text(), is_quantised: false };
    vec![
        (D::Exists { path: path() }.into(), "already-exists"),
        (D::Store { path: path() }.into(), "is-a-store"),
        (D::Folder { path: path() }.into(), "is-a-folder"),
        (D::NotAFile { path: path(), what: "a socket" }.into(), "not-a-file"),
        (D::NoFolder { path: path() }.into(), "file-not-found"),
        (D::FolderNotThere { path: path() }.into(), "file-not-found"),
        (D::FolderIsAFile { path: path() }.into(), "io"),
        (D::io(&path(), answer()).into(), "io"),
        (I::NotFound { path: path() }.into(), "file-not-found"),
        (I::Io { path: path(), action: "read", source: answer() }.into(), "unreadable-file"),
        (I::NoModel { folder: path(), detail: String::new() }.into(), "unreadable-file"),
        (I::FileTooShort { file: path(), found: 3 }.into(), "malformed-file"),
        (ExportError::Destination(D::io(&path(), answer())).into(), "io"),
        (ExportError::NeedsFolder { model: text() }.into(), "needs-folder"),
        (
            ExportError::FolderNotEmpty { path: path(), foreign: vec![], more: 0 }.into(),
            "folder-not-empty",
        ),
        (ExportError::BadShardName { name: text() }.into(), "damaged"),
        (ExportError::OneFile { model: text() }.into(), "one-file"),
        (no_file_fits.into(), "no-such-file"),
        (ExportError::SeveralFiles { model: text(), files: vec![text()] }.into(), "several-files"),
        (looks_like.into(), "wrong-extension"),
        (not_convertible.into(), "not-convertible"),
        (ArchitectureError::Cycle { layer: text() }.into(), "bad-architecture"),
        ("x".parse::<ContentId>().unwrap_err().into(), "bad-id"),
        ("slow".parse::<Profile>().unwrap_err().into(), "unknown-profile"),
        ("fp8".parse::<Lossy>().unwrap_err().into(), "unknown-lossy"),
        (Formula::parse(255, &Dtype::F32, &[], &[]).unwrap_err().into(), "bad-formula"),
        (answer().into(), "io"),
        (serde_json::from_str::<u8>("x").unwrap_err().into(), "json"),
        (io::Error::from(io::ErrorKind::NotFound).into(), "file-not-found"),
    ]
}

fn of_work() -> Vec<(Error, &'static str)> {
    use AdoptionError as A;
    use {CommandError as C, MergeError as M, TestError as T, UpdateError as U, UpkeepError as K};
    let finding = Finding { subject: text(), offset: None, message: text(), models: Vec::new() };
    let source = Box::new(InterchangeError::NotFound { path: path() });
    let not_taken = A::NotTaken { path: path(), source };
    let stopped = |error| A::Stopped { path: path(), added: vec![text()], source: Box::new(error) };
    let not_added = |error| U::NotAdded { source: Box::new(error), kept: path() };
    vec![
        (C::BadTemplate { reason: text() }.into(), "bad-command"),
        (C::UnknownPlaceholder { name: text() }.into(), "unknown-placeholder"),
        (C::NotTrusted { template: text(), trust_id: text() }.into(), "not-trusted"),
        (C::TrustFile { path: path(), source: answer() }.into(), "trust-file"),
        (C::Start { program: text(), source: answer() }.into(), "command-not-started"),
        (T::Command(C::Wait { source: answer() }).into(), "command-lost"),
        (T::BadTest { test: text(), reason: text() }.into(), "bad-test"),
        (T::NoSuchTest { test: text() }.into(), "no-such-test"),
        (T::NoPath { good: text(), bad: text() }.into(), "no-path"),
        (T::WrongEnd { model: text(), reason: text() }.into(), "wrong-end"),
        (K::Damaged { findings: vec![finding] }.into(), "damaged"),
        (K::Linked { path: path(), names: 2 }.into(), "linked"),
        (K::NothingFound { reason: text() }.into(), "nothing-found"),
        (U::NoSuchFunction { name: text(), known: vec![text()] }.into(), "no-such-function"),
        (U::Parameter { name: text(), reason: text() }.into(), "bad-parameter"),
        (U::Inputs { reason: text() }.into(), "bad-inputs"),
        (U::Tensor { tensor: text(), reason: text() }.into(), "bad-tensor"),
        (U::Failed { reason: text() }.into(), "function-failed"),
        (U::Command(C::Wait { source: answer() }).into(), "command-lost"),
        (U::NoRecipe { model: text() }.into(), "no-recipe"),
        (U::BadRecipe { model: text(), reason: text() }.into(), "bad-recipe"),
        (U::InputGone { model: text(), input: node() }.into(), "input-gone"),
        (U::Begun { made: 1, left: 2 }.into(), "update-begun"),
        (U::Interrupted.into(), "interrupted"),
        (U::InputRemoved { model: text(), input: text() }.into(), "input-removed"),
        (U::Work { path: path(), source: answer() }.into(), "temporary-file"),
        (not_added(U::Work { path: path(), source: answer() }).into(), "temporary-file"),
        (M::SameModel { model: text() }.into(), "same-model"),
        (M::NoCommonAncestor { ours: text(), theirs: text() }.into(), "no-common-ancestor"),
        (M::NothingTaken { glob: text() }.into(), "nothing-taken"),
        (M::Unresolved { layers: vec![text()] }.into(), "merge-conflict"),
        (M::TestsFailed { failed: vec![(text(), text())] }.into(), "merge-tests-failed"),
        (A::NameTwice { name: text(), first: path(), second: path() }.into(), "name-twice"),
        (A::GivenTwice { first: path(), second: path() }.into(), "name-twice"),
        (A::NoModels { folder: path(), left_out: Vec::new() }.into(), "file-not-found"),
        (A::Unreadable { path: path(), source: answer() }.into(), "io"),
        (A::BadLayers { path: path(), reason: text() }.into(), "malformed-file"),
        (A::LayersTooLong { path: path() }.into(), "malformed-file"),
        (not_taken.into(), "file-not-found"),
        (stopped(A::Store(StoreError::ReadOnly)).into(), "read-only"),
    ]
}

fn of_transfer() -> Vec<(Error, &'static str)> {
    use TransferError as T;
    let io = || T::Io { operation: "read", place: text(), source: answer() };
    let far = |source| T::OutOfReach { models: vec![text()], place: text(), source };
    let table: Vec<(T, &str)> = vec![
        (io(), "remote-io"),
        (T::Damaged { what: text(), reason: text() }, "remote-damaged"),
        (T::NotReadable { place: text(), reason: text() }, "not-readable"),
        (T::Lost { place: text(), packs: vec![text()] }, "packs-lost"),
        (T::NotFound { place: text() }, "remote-not-found"),
        (T::FolderNotEmpty { place: text(), held: vec![text()], more: 1 }, "folder-not-empty"),
        (T::Diverged { names: Vec::new() }, "diverged"),
        (T::PushRaced { place: text(), number: 3 }, "push-raced"),
        (far(Box::new(io())), "out-of-reach"),
        (T::NothingSelected, "nothing-selected"),
        (T::NoSuchRemote { name: text(), known: Vec::new() }, "no-such-remote"),
        (T::NotABundle { place: text(), is_store: true }, "bad-remote"),
        (T::WrittenOnce { place: text() }, "bad-remote"),
        (T::BadRemote { what: text(), reason: "it is bad" }, "bad-remote"),
    ];
    table.into_iter().map(|(error, code)| (error.into(), code)).collect()
}

fn of_hub() -> Vec<(Error, &'static str)> {
    use {HubError as H, HubFault as F};
    let of_list = |fault| H::Listing { model: text(), endpoint: text(), source: Box::new(fault) };
    let of_file = |fault| H::File {
        model: text(),
        file: text(),
        came: 1,
        len: 2,
        kept: 1,
        total: 3,
        folder: path(),
        source: Box::new(fault),
    };
    let broken = || F::Connection { host: text(), source: answer().into() };
    let no_token = F::NeedsToken { what: "it is not for everybody", status: 401, message: text() };
    let status = F::Status { host: text(), status: 500, message: text(), retry_after: None };
    let table: Vec<(H, &str)> = vec![
        (H::NotBuilt, "not-built"),
        (H::BadAddress { address: text(), reason: "it is bad" }, "bad-hub-address"),
        (H::BadEndpoint { endpoint: text(), reason: "it is bad".to_owned() }, "bad-hub-address"),
        (H::Token { path: path(), source: answer() }, "io"),
        (H::BadToken, "hub-needs-token"),
        (H::UnderWay { folder: path() }, "under-way"),
        (H::Io { action: "write", path: path(), source: answer() }, "io"),
        (of_list(F::NotFound { what: "such model", message: text() }), "hub-not-found"),
        (of_list(no_token), "hub-needs-token"),
        (of_list(status), "hub-unreachable"),
        (of_file(broken()), "hub-unreachable"),
        (of_file(F::Changed), "hub-damaged"),
        (of_list(F::ListingTooLong), "hub-damaged"),
    ];
    table.into_iter().map(|(error, code)| (error.into(), code)).collect()
}

fn of_requests() -> Vec<(Error, &'static str)> {
    use RequestError as R;
    let table: Vec<(R, &str)> = vec![
        (R::NoSuchModel { repo: text(), similar: vec![text()] }, "no-such-model"),
        (R::SeveralModels { repo: text(), names: vec![text(), text()] }, "no-such-model"),
        (R::NoSuchRevision { repo: text(), revision: text() }, "no-such-revision"),
        (R::NoSuchFile { model: text(), path: text(), sha: text() }, "no-such-file"),
        (R::Method { method: text(), allowed: "GET" }, "bad-request"),
        (R::BadRequest { why: text() }, "bad-request"),
        (R::NoSuchPage { why: text() }, "bad-request"),
        (R::LongHead { most: 1 }, "bad-request"),
        (R::OtherHost { host: text() }, "bad-request"),
        (R::Unanswered, "bad-request"),
        (R::RangeBehindEnd { len: 1 }, "bad-range"),
        (R::NoToken, "no-token"),
        (R::Busy, "busy"),
        (R::NotFetched, "missing-content"),
        (R::Store(StoreError::ReadOnly), "read-only"),
    ];
    table.into_iter().map(|(error, code)| (error.into(), code)).collect()
}

fn all() -> Vec<(Error, &'static str)> {
    let undecodable = CodecError { encoding: crate::codec::Encoding::Raw, reason: text() };
    let mut all = vec![(undecodable.into(), "undecodable")];
    all.extend([of_store(), of_file(), of_lineage(), of_files_in_and_out()].into_iter().flatten());
    all.extend([of_work(), of_transfer(), of_hub(), of_requests()].into_iter().flatten());
    all
}

/// The tool prints them where it prints JSON: programs go by them.
#[test]
fn codes_are_stable() {
    let found = all();
    let found: Vec<_> = found.iter().map(|(error, code)| (error.code(), *code, error)).collect();
    let wrong: Vec<_> = found.iter().filter(|(found, code, _)| found != code).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn codes_are_documented() {
    let text = include_str!("../error.rs");
    let doc = text.split("/// Where it comes from").nth(1).unwrap_or_default();
    let doc = doc.split("pub fn code").next().unwrap_or_default();
    let name = Regex::new("`([a-z-]+)`").unwrap();
    let documented: BTreeSet<&str> =
        name.captures_iter(doc).map(|found| found.get(1).unwrap().as_str()).collect();
    let all = all();
    let codes: BTreeSet<&str> = all.iter().map(|(error, _)| error.code()).collect();
    assert_eq!(codes, documented);
    // What the code can say is in the table above.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("engine");
    let body = Regex::new(r#"(?s)fn \w*code\(.{0,60}? -> &'static str \{\n(.*?)\n( {4})?\}\n"#);
    let (body, literal) = (body.unwrap(), Regex::new(r#""([a-z-]+)""#).unwrap());
    let mut said = BTreeSet::new();
    for (path, text) in sources(&root) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with("error.rs") || matches!(name, "shortage.rs" | "destination.rs") {
            for body in body.captures_iter(&text) {
                said.extend(literal.captures_iter(&body[1]).map(|found| found[1].to_owned()));
            }
        }
    }
    assert!(said.len() > 80, "{said:?}");
    assert_eq!(said.iter().map(String::as_str).collect::<BTreeSet<_>>(), documented);
}

/// Every file of the engine, without its tests.
fn sources(folder: &std::path::Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text =
                text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((path, text));
        }
    }
    found
}

#[test]
fn a_message_ends_where_its_source_begins() {
    let mut with_source = 0;
    for (error, _) in all() {
        let whole = full_message(&error);
        let mut link: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = link {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.ends_with([':', ' ', '.']), "{said:?}");
            assert_eq!(whole.matches(&said).count(), 1, "{said:?} in {whole:?}");
            if let Some(source) = error.source() {
                with_source += 1;
                assert!(!said.contains(&source.to_string()), "{said:?} repeats {source}");
            }
            link = error.source();
        }
    }
    assert!(with_source > 15, "{with_source}");
}

/// What a room only passes on is the same error, whichever room it was.
#[test]
fn a_store_that_is_locked_is_that_for_every_room() {
    let locked = || StoreError::from(ContainerError::locked_by_writer());
    let passed_on: Vec<Error> = vec![
        locked().into(),
        ContainerError::locked_by_writer().into(),
        LineageError::Catalog(CatalogError::Container(ContainerError::locked_by_writer())).into(),
        ExportError::Store(locked()).into(),
        TestError::Store(locked()).into(),
        UpkeepError::Store(locked()).into(),
        TransferError::Store(locked()).into(),
        UpdateError::Store(locked()).into(),
        MergeError::Update(UpdateError::Store(locked())).into(),
        AdoptionError::Store(locked()).into(),
    ];
    for error in passed_on {
        let is_locked =
            matches!(error, Error::Store(StoreError::Container(ContainerError::Locked(_))));
        assert!(is_locked, "{error:?}");
        assert_eq!(error.code(), "locked");
    }
}

#[test]
fn errors_go_to_other_threads() {
    fn is_fit<E: std::error::Error + Send + Sync + 'static>() {}
    is_fit::<Error>();
    is_fit::<StoreError>();
    is_fit::<TransferError>();
    is_fit::<MergeError>();
    is_fit::<InterchangeError>();
}

/// The library says what is wrong; how a command line is to be written only the tool knows.
#[test]
fn no_text_of_the_engine_names_the_tool() {
    let literal = Regex::new(r#""(?:[^"\\]|\\.|\\\n)*""#).unwrap();
    let command = Regex::new(r"--[a-z]|mgit-db|\b(?:bundle create|remote add|test add)\b").unwrap();
    let mut wrong = Vec::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("engine");
    let sources = sources(&root);
    assert!(sources.len() > 100, "{}", sources.len());
    for (path, text) in sources {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        let found = literal.find_iter(&code).filter(|found| command.is_match(found.as_str()));
        wrong.extend(found.map(|found| format!("{}: {}", path.display(), found.as_str())));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
