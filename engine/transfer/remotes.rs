//! Other places that a store exchanges models with, kept in it by name. Never credentials.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Result, TransferError};
use crate::catalog::{ReadTables, Table};
use crate::store::{Snapshot, Store};

/// A place with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRemote {
    /// The name, such as `origin`.
    pub name: String,
    /// A path, or the address of an object store.
    pub url: String,
}

#[derive(Serialize, Deserialize)]
struct Row {
    url: String,
}

/// The remotes that are kept in a store, by name.
///
/// # Errors
///
/// Those of the catalogue; a row that cannot be read.
pub fn remotes(snapshot: &Snapshot) -> Result<Vec<NamedRemote>> {
    let mut remotes = Vec::new();
    let mut damaged = None;
    snapshot.tables().scan(Table::Remotes, &[], &mut |key, value| {
        let name = String::from_utf8_lossy(key).into_owned();
        match serde_json::from_slice::<Row>(value) {
            Ok(row) => remotes.push(NamedRemote { name, url: row.url }),
            Err(error) => damaged = Some(TransferError::damaged(format!("remote {name}"), error)),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    damaged.map_or(Ok(remotes), Err)
}

fn check_name(name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) || name.starts_with('-') {
        let reason = "a remote's name has 1 to 64 letters, digits, '.', '_' and '-', and does not \
                      begin with '-'";
        return Err(TransferError::BadRemote { what: name.to_owned(), reason });
    }
    Ok(())
}

/// Refuses an address that carries a user's name or a password: the store would carry it on.
pub(super) fn refuse_credentials(url: &str) -> Result<()> {
    let Some((_, rest)) = url.split_once("://") else { return Ok(()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let lower = rest.to_ascii_lowercase();
    let query = lower.split_once('?').map_or("", |(_, query)| query);
    let secret = ["signature", "token", "secret", "key", "password", "sig="];
    if authority.contains('@') || secret.iter().any(|word| query.contains(word)) {
        // Not the address itself: it would stand in a log.
        let what = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let reason = "an address with credentials is not kept: give them in the environment";
        return Err(TransferError::BadRemote { what: format!("{what}://..."), reason });
    }
    Ok(())
}

/// A place as it can be found again: an address as it is, a path as the whole path.
pub(super) fn whole_place(place: &str) -> Result<String> {
    if place.contains("://") {
        return Ok(place.to_owned());
    }
    let whole = std::path::absolute(place).map_err(TransferError::io("find", place))?;
    let text = whole.to_str().map(str::to_owned);
    let reason = "a path that is not UTF-8 cannot be kept";
    text.ok_or_else(|| TransferError::BadRemote { what: place.to_owned(), reason })
}

/// Keeps a remote, in the place of one of the same name. A path is kept as the whole path.
///
/// # Errors
///
/// [`TransferError::BadRemote`] for an address with credentials, and for a name with other
/// characters than `[A-Za-z0-9._-]`; those of the store.
pub fn add_remote(store: &Store, name: &str, url: &str) -> Result<NamedRemote> {
    check_name(name)?;
    refuse_credentials(url)?;
    let url = whole_place(url)?;
    let row = serde_json::to_vec(&Row { url: url.clone() })
        .map_err(|error| TransferError::damaged("a remote", error))?;
    let mut transaction = store.begin_write()?;
    transaction.put_remote(name, Some(&row))?;
    transaction.commit_changes()?;
    Ok(NamedRemote { name: name.to_owned(), url })
}

/// Forgets a remote. What came from it stays.
///
/// # Errors
///
/// [`TransferError::NoSuchRemote`]; those of the store.
pub fn remove_remote(store: &Store, name: &str) -> Result<()> {
    let known = remotes(&store.snapshot()?)?;
    let mut transaction = store.begin_write()?;
    if !transaction.put_remote(name, None)? {
        let known = known.into_iter().map(|remote| remote.name).collect();
        return Err(TransferError::NoSuchRemote { name: name.to_owned(), known });
    }
    Ok(transaction.commit_changes()?)
}
