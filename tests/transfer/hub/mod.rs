//! Promise: a model of a hub comes whole and as it is there, or not, with the reason; whatever the
//! server does, nothing hangs, and no file is put together from two.

mod cuts;
mod listings;
mod ordinary;
mod refusals;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mgit::error::{HubError, HubFault};
use mgit::hub_client::{HubFolder, HubModel, HubOptions, download};
use mgit::interchange::SourceOptions;

use crate::hub_stub::{Stub, StubFile};

fn options(stub: &Stub) -> HubOptions {
    HubOptions::new(stub.endpoint()).tries(3).pause(Duration::from_millis(1))
}

/// Patient for a moment only: for servers that would else be waited for.
fn hasty(stub: &Stub) -> HubOptions {
    options(stub).patience(Duration::from_millis(150))
}

fn tiny() -> HubModel {
    "hub:org/tiny".parse().unwrap()
}

fn get(hub: &HubOptions, beside: &Path) -> Result<HubFolder, HubError> {
    download(&tiny(), hub, &SourceOptions::new(), beside, &|_| ())
}

/// Downloads what must come.
fn comes(stub: &Stub, beside: &Path) -> HubFolder {
    get(&options(stub), beside).unwrap_or_else(|error| panic!("{}", mgit::full_message(&error)))
}

/// The fault of a download that must fail.
fn fault(found: Result<HubFolder, HubError>) -> HubFault {
    match found.map(|folder| folder.path().to_owned()) {
        Err(HubError::Listing { source, .. } | HubError::File { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

fn read(folder: &HubFolder, path: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(path)).unwrap()
}

/// A model's file, as long as a few blocks, which is served without a hash.
fn file() -> (Vec<u8>, StubFile) {
    let bytes = crate::common::noise(1, 700_000);
    (bytes.clone(), StubFile::new(bytes))
}

fn hashed(bytes: Vec<u8>) -> StubFile {
    let sha256 = Some(crate::common::sha256::sha256(&bytes));
    StubFile { sha256, ..StubFile::new(bytes) }
}

/// The folders that are beside.
fn kept(beside: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(beside).unwrap().map(|entry| entry.unwrap().path()).collect()
}
