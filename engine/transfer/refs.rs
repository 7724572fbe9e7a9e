//! Refs of a remote: numbered files, each made where there was none, that say which packs count.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::pack::{INDEX_LEN_MAX, TRAILER_LEN};
use super::{Remote, Result, TransferError};
use crate::lineage::NodeId;
use crate::tensor::ContentId;

/// What a ref file says it is.
const FORMAT: &str = "mgit-ref";
/// The version of the layout.
const VERSION: u32 = 1;
/// The longest ref that is read: some hundred thousand packs.
const REF_LEN_MAX: u64 = 1 << 26;

/// A pack that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackRef {
    /// The BLAKE3 hash of its index, 64 hex digits.
    pub(super) id: String,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Where its index begins.
    pub(super) index_offset: u64,
    /// Bytes of its index.
    pub(super) index_bytes: u64,
}

impl PackRef {
    pub(super) fn path(&self) -> String {
        format!("packs/{}.pack", self.id)
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}.pack", self.id)
    }

    /// What is wrong with a file of this length in its place.
    pub(super) fn fault(&self, len: Option<u64>) -> Option<String> {
        match len {
            None => Some("it is not there".to_owned()),
            Some(len) if len == self.bytes => None,
            Some(len) => Some(format!("it has {len} bytes of {}", self.bytes)),
        }
    }

    pub(super) fn content_id(&self) -> Option<ContentId> {
        ContentId::from_hex(&self.id)
    }

    /// Whether its lengths agree with each other.
    pub(super) fn is_sound(&self) -> bool {
        let end = self.index_offset.checked_add(self.index_bytes);
        let whole = end.and_then(|end| end.checked_add(TRAILER_LEN)) == Some(self.bytes);
        whole && self.index_bytes <= INDEX_LEN_MAX && self.content_id().is_some()
    }
}

/// A pack that was lost, and the one that stands in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    pub(super) lost: String,
    pub(super) by: String,
}

/// One state of a remote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ref {
    format: String,
    version: u32,
    /// The remote's, random, the same in every ref; 32 hex digits.
    id: String,
    /// Its number, from 1.
    pub(super) number: u64,
    /// The BLAKE3 hash of the ref before it; empty for the first.
    previous: String,
    time_ms: u64,
    /// Every pack that counts, in the order in which they came.
    pub(super) packs: Vec<PackRef>,
    /// Packs of the ref before it that were lost, and what stands in their places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Replaced>,
}

/// The last ref of a remote, with the hash of its bytes. Nothing in a new one.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) packs: Vec<PackRef>,
    /// The remote's id; none before the first ref.
    pub(super) id: Option<[u8; 16]>,
    pub(super) hash: String,
    /// What the next ref is to say about lost packs.
    replaced: Vec<Replaced>,
}

/// A ref as it was read.
#[derive(Clone, Debug)]
pub(super) struct ReadRef {
    pub(super) head: Head,
    /// The hash of the ref before it.
    pub(super) previous: String,
    pub(super) replaced: Vec<Replaced>,
}

pub(super) fn path_of(number: u64) -> String {
    format!("refs/{number:08}")
}

impl Head {
    /// Finds the last ref: by a list, or where there is none, by asking for refs of numbers that
    /// double and then halve.
    pub(super) fn read(remote: &dyn Remote) -> Result<Self> {
        let place = remote.place();
        let io = |what| TransferError::io(what, place.clone());
        let number = match remote.list("refs").map_err(io("list the refs of"))? {
            Some(files) => {
                let numbers = files.iter().filter_map(|(name, _)| name.parse::<u64>().ok());
                numbers.max().unwrap_or(0)
            }
            None => search(remote)?,
        };
        if number == 0 {
            return Ok(Head::default());
        }
        Ok(Self::read_ref(remote, number)?.head)
    }

    /// Reads the ref of a number.
    pub(super) fn read_ref(remote: &dyn Remote, number: u64) -> Result<ReadRef> {
        let place = remote.place();
        let io = |what| TransferError::io(what, place.clone());
        let path = path_of(number);
        let what = format!("{place}/{path}");
        let bytes = remote.get(&path, REF_LEN_MAX).map_err(io("read a ref of"))?;
        let bytes = bytes.ok_or_else(|| TransferError::damaged(&*what, "it is not there"))?;
        let found: Ref = serde_json::from_slice(&bytes)
            .map_err(|error| TransferError::damaged(&*what, error))?;
        if found.format != FORMAT || found.version != VERSION {
            let reason = format!("a {} of version {}", found.format, found.version);
            return Err(TransferError::damaged(what, reason));
        }
        if found.number != number || !found.packs.iter().all(PackRef::is_sound) {
            return Err(TransferError::damaged(what, "its number or its lengths"));
        }
        let id = NodeId::from_hex(&found.id);
        let id = id.ok_or_else(|| TransferError::damaged(&*what, "its id"))?;
        let hash = ContentId::of(&bytes).to_string();
        let (packs, id) = (found.packs, Some(id.0));
        let head = Head { number, packs, id, hash, replaced: Vec::new() };
        Ok(ReadRef { head, previous: found.previous, replaced: found.replaced })
    }

    /// Puts a pack in the place of one that was lost, for the next ref.
    pub(super) fn replace(&mut self, lost: &PackRef, by: &PackRef) {
        for pack in self.packs.iter_mut().filter(|pack| pack.id == lost.id) {
            *pack = by.clone();
        }
        self.replaced.push(Replaced { lost: lost.id.clone(), by: by.id.clone() });
    }

    /// Makes the next ref, with more packs. Returns the remote's id.
    ///
    /// # Errors
    ///
    /// [`TransferError::PushRaced`] when somebody else has made it.
    pub(super) fn advance(&self, remote: &dyn Remote, more: Vec<PackRef>) -> Result<[u8; 16]> {
        let number = self.number.saturating_add(1);
        let id = self.id.map_or_else(NodeId::random, |id| Ok(NodeId(id)))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let next = Ref {
            format: FORMAT.to_owned(),
            version: VERSION,
            id: id.to_string(),
            number,
            previous: self.hash.clone(),
            time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            packs: self.packs.iter().cloned().chain(more).collect(),
            replaced: self.replaced.clone(),
        };
        let place = remote.place();
        let bytes =
            serde_json::to_vec(&next).map_err(|error| TransferError::damaged("a ref", error))?;
        match remote.put_new(&path_of(number), &bytes) {
            Ok(true) => Ok(id.0),
            Ok(false) => Err(TransferError::PushRaced { place, number }),
            Err(source) => {
                // The answer may have been lost behind a ref that was made.
                let there = remote.get(&path_of(number), REF_LEN_MAX);
                match there {
                    Ok(Some(there)) if there == bytes => Ok(id.0),
                    _ => Err(TransferError::Io { operation: "make a ref of", place, source }),
                }
            }
        }
    }
}

/// The highest number of a ref that is there, where refs cannot be listed.
fn search(remote: &dyn Remote) -> Result<u64> {
    let is_there = |number: u64| {
        let found = remote.get(&path_of(number), REF_LEN_MAX);
        found.map(|bytes| bytes.is_some()).map_err(TransferError::io("read", remote.place()))
    };
    let (mut low, mut high) = (0u64, 1u64);
    while is_there(high)? {
        (low, high) = (high, high.saturating_mul(2));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_there(middle)? { low = middle } else { high = middle }
    }
    Ok(low)
}

/// The last ref's packs that are not there, or are of another length, with what is wrong.
pub(super) fn lost<'h>(
    head: &'h Head,
    listed: &BTreeMap<String, u64>,
) -> Vec<(&'h PackRef, String)> {
    let fault =
        |pack: &'h PackRef| Some((pack, pack.fault(listed.get(&pack.file_name()).copied())?));
    head.packs.iter().filter_map(fault).collect()
}
