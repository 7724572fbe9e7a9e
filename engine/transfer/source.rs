//! Where models come from: an open store, or packs.

use super::entry::{NodeEntry, Nodes, Tests};
use super::remotes::whole_place;
use super::sync_state::{SyncState, sync_state};
use super::{Result, TransferError};
use crate::container::ContainerError;
use crate::format::{
    FEATURE_EDGE_METADATA, FEATURE_LOSSY, FEATURE_RENAMES, FEATURE_SHARED_TABLE, FEATURE_TAGS,
    FEATURE_TESTS, RecordKind, WRITER_FLAGS_KNOWN,
};
use crate::store::{Snapshot, Store, TensorSource};
use crate::tensor::ContentId;

/// What is known of a stored tensor before its record is read.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// About the length of its record.
    pub(super) len: u64,
    /// Bytes of its content, where it can be sent so that it stands alone.
    pub(super) raw_len: Option<u64>,
    /// What it is decoded from.
    pub(super) bases: Vec<ContentId>,
    /// Where it lies, so that records are read in the order of the medium.
    pub(super) place: (usize, u64),
}

/// A side that models come from.
pub(super) trait RecordSource {
    /// Where it is, for messages.
    fn name(&self) -> String;

    /// Where it can be found again: a whole path, or an address.
    fn place(&self) -> Result<String> {
        whole_place(&self.name())
    }

    /// Where a tensor is that its models name and that is not there either.
    fn promisor(&self, _id: ContentId) -> Result<Option<String>> {
        Ok(None)
    }

    /// Its id, where it is the same place the next time.
    fn id(&self) -> Option<[u8; 16]>;

    /// Its models.
    fn nodes(&self) -> &Nodes;

    /// Its registered tests.
    fn tests(&self) -> &Tests;

    /// Indexes of packs that were read now and are worth keeping.
    fn fresh(&self) -> &[(ContentId, Vec<u8>)] {
        &[]
    }

    /// The rows that it remembers another side to have had.
    fn sync_state_with(&self, _other: [u8; 16]) -> Result<SyncState> {
        Ok(SyncState::new())
    }

    /// The features that a writer of these models must know.
    fn writer_flags(&self) -> u64;

    /// The bytes of a manifest; their id is checked.
    fn manifest(&self, id: ContentId) -> Result<Vec<u8>>;

    /// Says which manifests will be read.
    fn expect_manifests(&self, _ids: &[ContentId]) {}

    /// What is known of a tensor, if it is there.
    fn piece(&self, id: ContentId) -> Result<Option<Piece>>;

    /// Whether records may take long to come.
    fn is_far(&self) -> bool {
        false
    }

    /// Says which tensors will be opened.
    fn expect(&self, _ids: &mut dyn Iterator<Item = ContentId>) {}

    /// The record of a tensor, as it travels, and its length; if one says so, and the piece does,
    /// one that stands alone.
    fn open<'s>(&'s self, id: ContentId, alone: bool) -> Result<(u64, Box<dyn TensorSource + 's>)>;
}

/// Features of models, not of how a store keeps them.
const TRAVELLING_FLAGS: u64 =
    FEATURE_TAGS | FEATURE_EDGE_METADATA | FEATURE_RENAMES | FEATURE_TESTS | FEATURE_LOSSY;

/// A commit of a store.
#[derive(Debug)]
pub(super) struct StoreSource {
    snapshot: Snapshot,
    nodes: Nodes,
    tests: Tests,
    name: String,
    id: [u8; 16],
    writer_flags: u64,
    /// The features that a reader of its records must know.
    pub(super) reader_flags: u64,
}

impl StoreSource {
    pub(super) fn new(store: &Store) -> Result<Self> {
        let snapshot = store.snapshot()?;
        let superblock = store.container().superblock();
        let (reader_flags, writer_flags) = (superblock.reader_flags, superblock.writer_flags);
        if writer_flags & !WRITER_FLAGS_KNOWN != 0 {
            let flags = writer_flags & !WRITER_FLAGS_KNOWN;
            return Err(ContainerError::UnknownFeatures { flags, writing_only: true }.into());
        }
        let nodes = NodeEntry::read_all(snapshot.tables())?;
        let name = store.path().display().to_string();
        let writer_flags = writer_flags & TRAVELLING_FLAGS;
        // How the catalogue lies is no matter of the records.
        let reader_flags = reader_flags & !FEATURE_SHARED_TABLE;
        let tests = snapshot.tests()?.into_iter().collect();
        let id = superblock.store_id;
        Ok(StoreSource { snapshot, nodes, tests, name, id, writer_flags, reader_flags })
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl RecordSource for StoreSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn promisor(&self, id: ContentId) -> Result<Option<String>> {
        Ok(self.snapshot.promisor(id)?)
    }

    fn id(&self) -> Option<[u8; 16]> {
        Some(self.id)
    }

    fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn tests(&self) -> &Tests {
        &self.tests
    }

    fn sync_state_with(&self, other: [u8; 16]) -> Result<SyncState> {
        sync_state(self.snapshot.tables(), other)
    }

    fn writer_flags(&self) -> u64 {
        self.writer_flags
    }

    fn manifest(&self, id: ContentId) -> Result<Vec<u8>> {
        let missing = || TransferError::damaged(self.name(), format!("no manifest {}", id.short()));
        let row = self.snapshot.stored(RecordKind::Manifest, id)?.ok_or_else(missing)?;
        Ok(self.snapshot.read_plain(RecordKind::Manifest, id, row)?)
    }

    fn piece(&self, id: ContentId) -> Result<Option<Piece>> {
        let Some(row) = self.snapshot.stored(RecordKind::Tensor, id)? else { return Ok(None) };
        let bases = row.bases().collect();
        let raw_len = Some(row.raw_len);
        Ok(Some(Piece { len: row.len, raw_len, bases, place: (0, row.offset) }))
    }

    fn open<'s>(&'s self, id: ContentId, alone: bool) -> Result<(u64, Box<dyn TensorSource + 's>)> {
        let missing = || TransferError::damaged(self.name(), format!("no tensor {}", id.short()));
        let row = self.snapshot.stored(RecordKind::Tensor, id)?.ok_or_else(missing)?;
        if alone {
            let record = self.snapshot.outgoing_alone(id, &row)?;
            return Ok((record.len(), Box::new(record)));
        }
        // Checked where it arrives, checksums and content.
        let record = self.snapshot.outgoing(RecordKind::Tensor, id, &row, false)?;
        Ok((record.len(), Box::new(record)))
    }
}
