//! What to do about an error of the library, in the words of this command line, which the library
//! does not know.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use mgit::Error;
use mgit::error::{
    AdoptionError, ContainerError, DestinationError, ExportError, HubFault, LineageError,
    MergeError, NoStore, StoreError, TestError, TransferError, UpdateError, UpkeepError,
};

use crate::causes::{Cause, causes};
use crate::text::quoted;

/// What follows the error's own message: what its innermost cause asks for that has anything to
/// ask for. `store` is the store that the command is about, where it is known.
pub fn what_to_do(error: &Error, store: Option<&Path>) -> Cow<'static, str> {
    let advice = causes(error).map(|cause| advice_of(cause, store));
    advice.filter(|advice| !advice.is_empty()).last().unwrap_or_default()
}

fn advice_of(cause: &Cause, store: Option<&Path>) -> Cow<'static, str> {
    if let Some(StoreError::MissingContent { model, promisor, .. }) = cause.downcast_ref() {
        let store = store.map_or_else(|| "STORE".to_owned(), quoted);
        let name = model.rsplit_once('@').map_or(model.as_str(), |(name, _)| name);
        let (place, name) = (quoted(Path::new(promisor)), quoted(Path::new(name)));
        return format!("; `mgit-db fetch {store} {place} --name {name}` brings it").into();
    }
    if let Some(error) = cause.downcast_ref() {
        return with_store(error).into();
    }
    if let Some(error) = cause.downcast_ref() {
        return with_transfer(error).into();
    }
    with_others(cause).into()
}

fn with_others(cause: &Cause) -> &'static str {
    if let Some(DestinationError::Exists { .. }) = cause.downcast_ref() {
        return ": name another file, or add --force to replace it";
    }
    match cause.downcast_ref() {
        Some(ExportError::LooksLikeAnother { .. }) => return ", or convert it: --as safetensors",
        Some(ExportError::NotConvertible { is_quantised: true, .. }) => {
            return ": --dequantise makes F32 of Q8_0";
        }
        Some(ExportError::OneFile { .. }) => return ": export it without --only",
        Some(ExportError::SeveralFiles { .. }) => return ": name one with --only",
        Some(ExportError::FolderNotEmpty { foreign, .. }) if foreign.is_empty() => {
            return ": name another folder, or add --force to replace them";
        }
        _ => {}
    }
    if let Some(AdoptionError::NameTwice { .. }) = cause.downcast_ref() {
        return ", or bring it in with `mgit-db import --name`";
    }
    if let Some(TestError::NoSuchTest { .. }) = cause.downcast_ref() {
        return ": `mgit-db test ls` lists what is there";
    }
    if let Some(UpkeepError::Damaged { .. }) = cause.downcast_ref() {
        return ": `mgit-db verify` lists the damage, `mgit-db salvage` makes a store of what is \
                whole";
    }
    if let Some(HubFault::TooManyFiles { .. }) = cause.downcast_ref() {
        return " (--exclude)";
    }
    if let Some(UpdateError::Begun { .. }) = cause.downcast_ref() {
        return " (--resume)";
    }
    match cause.downcast_ref() {
        Some(MergeError::Unresolved { .. }) => {
            ": resolve them with --on-conflict, or --take 'LAYER*=ours'"
        }
        Some(MergeError::NoCommonAncestor { .. }) => ": --base",
        Some(MergeError::TestsFailed { .. }) => ": nothing was kept",
        _ => "",
    }
}

fn with_store(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound { .. } => ": check the path",
        StoreError::AlreadyExists { .. } => ": name another path, or use what is there",
        StoreError::OpenFile { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
            ": name the store's file"
        }
        StoreError::Container(ContainerError::NotAStore { found }) => without_store(found),
        StoreError::Container(ContainerError::Locked(_)) => ": --wait waits until it is done",
        StoreError::Lineage(LineageError::NoSuchModel { similar, .. }) if similar.is_empty() => {
            ": `mgit-db ls` lists what is there"
        }
        StoreError::Lineage(LineageError::HasChildren { .. }) => {
            ": say --reparent-children to give them its parents, or --detach-children to give them \
             none"
        }
        StoreError::NoSuchTensor { .. } => ": `mgit-db show` lists its tensors and its files",
        StoreError::NoSuchFile { .. } => ": `mgit-db show` lists its files",
        StoreError::MissingTensor { .. } => ": `mgit-db verify` tells",
        StoreError::Pinned { .. } => ": `mgit-db unpin` takes that back",
        error if error.is_damage() => "; `mgit-db verify` lists the models that it hurts",
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
        TransferError::OutOfReach { .. } => {
            "; try again when it can be reached, or `mgit-db fetch` them from another place that \
             has them"
        }
        TransferError::NotABundle { is_store: true, .. } => {
            ": `mgit-db clone` and `mgit-db pull` take it as it is"
        }
        TransferError::NotABundle { .. } => ", or make one with `mgit-db bundle create`",
        TransferError::WrittenOnce { .. } => " with `mgit-db bundle create`",
        _ => "",
    }
}
