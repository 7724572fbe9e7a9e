//! What to do about an error of the library, in the words of this command line, which the library
//! does not know.

use std::io;

use mgit::Error;
use mgit::error::{
    ContainerError, DestinationError, LineageError, MergeError, NoStore, StoreError, TestError,
    TransferError, UpdateError, UpkeepError,
};

/// What follows the error's own message.
pub fn what_to_do(error: &Error) -> &'static str {
    match error {
        Error::Store(error) => with_store(error),
        Error::Destination(DestinationError::Exists { .. }) => {
            ": name another file, or add --force to replace it"
        }
        Error::Test(TestError::NoSuchTest { .. }) => ": `mgit-db test ls` lists what is there",
        Error::Upkeep(UpkeepError::Damaged { .. }) => {
            ": `mgit-db verify` lists the damage, `mgit-db salvage` makes a store of what is whole"
        }
        Error::Update(UpdateError::Begun { .. }) => " (--resume)",
        Error::Merge(MergeError::Unresolved { .. }) => {
            ": resolve them with --on-conflict, or --take 'LAYER*=ours'"
        }
        Error::Merge(MergeError::NoCommonAncestor { .. }) => ": --base",
        Error::Merge(MergeError::TestsFailed { .. }) => ": nothing was kept",
        Error::Transfer(error) => with_transfer(error),
        _ => "",
    }
}

fn with_store(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound { .. } => " with `mgit-db init`",
        StoreError::AlreadyExists { .. } => ": name another path, or use what is there",
        StoreError::OpenFile { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
            ": name the store's file"
        }
        StoreError::Container(ContainerError::NotAStore { found }) => without_store(found),
        StoreError::Container(ContainerError::Locked(_)) => {
            "; --wait waits for as long as that takes"
        }
        StoreError::Lineage(LineageError::NoSuchModel { similar, .. }) if similar.is_empty() => {
            ": `mgit-db ls` lists what is there"
        }
        StoreError::Lineage(LineageError::HasChildren { .. }) => {
            ": say --reparent-children to give them its parents, or --detach-children to give them \
             none"
        }
        StoreError::NoSuchTensor { .. } => ": `mgit-db show` lists its tensors",
        StoreError::MissingContent { .. } => ": `mgit-db fetch STORE PLACE --name NAME`",
        StoreError::MissingTensor { .. } => ": `mgit-db verify` tells",
        StoreError::Pinned { .. } => ": `mgit-db unpin` takes that back",
        error if error.is_damage() => ": `mgit-db verify` says what is left of it",
        _ => "",
    }
}

/// About a path that leads to no store.
fn without_store(found: &NoStore) -> &'static str {
    match found {
        NoStore::Folder => ": name the store's file",
        NoStore::EmptyFile => {
            ": check the path, or remove the file and make a store with `mgit-db init`"
        }
        NoStore::Other { begins } if begins == b"MGITPACK" => {
            ", which is a bundle: `mgit-db clone` makes a store of it, `mgit-db bundle import` takes \
             in what it holds"
        }
        NoStore::Other { .. } => {
            ": check the path, or make a store with `mgit-db init`; of a store whose head is gone, \
             `mgit-db salvage` saves the rest"
        }
        _ => ": check the path",
    }
}

fn with_transfer(error: &TransferError) -> &'static str {
    match error {
        TransferError::NoSuchRemote { known, .. } if known.is_empty() => {
            ": `mgit-db remote add` keeps one"
        }
        TransferError::NotABundle { is_store: true, .. } => " (`mgit-db clone`, `mgit-db pull`)",
        TransferError::NotABundle { .. } => ", or make one with `mgit-db bundle create`",
        TransferError::WrittenOnce { .. } => " with `mgit-db bundle create`",
        _ => "",
    }
}
