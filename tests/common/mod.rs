//! What the tests share: seeded bytes, whole-store comparison, child processes.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod children;
pub mod forms;
pub mod layout;
pub mod remote;
pub mod sha256;
pub mod zip_stream;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mgit::catalog::{ReadTables, RecordRow, Table};
use mgit::store::Result;
use mgit::store::{ImportReport, Transaction};
use mgit::{ContentId, Dtype, How, Model, NewModel, NewTensor, Shape, Snapshot, Store};
use tempfile::TempDir;

/// A small seeded generator (splitmix64), so that a failure can be run again.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The seed of a random test: `MGIT_SEED`, or one of the clock.
pub fn seed() -> u64 {
    match std::env::var("MGIT_SEED") {
        Ok(text) => text.parse().expect("MGIT_SEED is a number"),
        Err(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64),
    }
}

/// Bytes that do not compress.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes: Vec<u8> =
        (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// `count` f32 numbers such as weights are.
pub fn weights(seed: u64, count: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let number = |bits: u64| ((bits >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.1;
    (0..count).flat_map(|_| number(random.next()).to_le_bytes()).collect()
}

/// `count` numbers that lie as those of a trained matrix do, about 0.05 wide.
pub fn trained(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (uniform() + uniform() + uniform()) * 0.1).collect()
}

/// `bytes` with about one f32 in `one_in` moved a little.
pub fn nudged(bytes: &[u8], seed: u64, one_in: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = bytes.to_vec();
    for number in out.chunks_exact_mut(4) {
        if random.below(one_in) == 0 {
            number[0] ^= random.next() as u8 | 1;
        }
    }
    out
}

/// A folder that is removed when the test ends.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Such a folder in memory, where there is such a thing: for tests that make hundreds of commits.
pub fn memory_folder() -> TempDir {
    let memory = tempfile::Builder::new().prefix("mgit-test-").tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// A new store in a folder of its own.
pub fn new_store() -> (TempDir, PathBuf, Store) {
    let folder = folder();
    let path = folder.path().join("models.mgit");
    let store = Store::create(&path).expect("a new store");
    (folder, path, store)
}

/// A shape of one dimension or more.
pub fn shape(dims: &[u64]) -> Shape {
    Shape::new(dims).expect("a legal shape")
}

/// A one-dimensional tensor: of f32 where the length allows it, else of bytes.
pub fn tensor<'a>(name: &str, bytes: &'a [u8]) -> NewTensor<'a> {
    let (dtype, count) = match bytes.len() % 4 {
        0 => (Dtype::F32, bytes.len() / 4),
        _ => (Dtype::U8, bytes.len()),
    };
    NewTensor::from_bytes(name, dtype, shape(&[count as u64]), bytes)
}

/// A model of such tensors.
pub fn model<'a>(name: &str, parents: &[&str], tensors: &'a [(String, Vec<u8>)]) -> NewModel<'a> {
    let model = NewModel::new(name);
    let model = parents.iter().fold(model, |model, parent| model.parent(*parent, How::FineTune));
    tensors.iter().fold(model, |model, (name, bytes)| model.tensor(tensor(name, bytes)))
}

/// A tensor list of one tensor named `w`.
pub fn one(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    vec![("w".to_owned(), bytes)]
}

/// Adds a model with one tensor `w`, in a transaction of its own.
pub fn add_one(store: &Store, name: &str, parents: &[&str], bytes: &[u8]) -> Result<ImportReport> {
    add(store, model(name, parents, &one(bytes.to_vec())))
}

/// Adds a model in a transaction of its own.
pub fn add(store: &Store, model: NewModel<'_>) -> Result<ImportReport> {
    write(store, |transaction| transaction.add_model(model))
}

/// Runs `work` in a transaction and commits it.
pub fn write<T>(store: &Store, work: impl FnOnce(&mut Transaction) -> Result<T>) -> Result<T> {
    let mut transaction = store.begin_write()?;
    let value = work(&mut transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// A model of the newest commit.
pub fn stored_model(store: &Store, name: &str) -> Model {
    store.snapshot().expect("a snapshot").model(name).expect("a model")
}

/// Everything a user put in: tensors in order, by `name@version`.
pub type Contents = BTreeMap<String, Vec<(String, Vec<u8>)>>;

/// Reads every tensor of every model through checked views.
pub fn contents(snapshot: &Snapshot) -> Result<Contents> {
    let mut all = Contents::new();
    for node in snapshot.nodes()? {
        let model = snapshot.model_of(node)?;
        let mut tensors = Vec::new();
        for tensor in model.tensors() {
            tensors.push((tensor.name().to_owned(), tensor.view()?.to_vec()));
        }
        if model.manifest().version() > 1 {
            for file in model.files() {
                tensors.push((format!("file {}", file.path()), file_bytes(&file)?));
            }
        }
        all.insert(model.full_name(), tensors);
    }
    Ok(all)
}

/// The bytes of a file of a model.
pub fn file_bytes(file: &mgit::store::StoredFile) -> Result<Vec<u8>> {
    file.bytes(1 << 30)
}

/// The contents of a store file, read through a handle of its own.
pub fn contents_of(path: &Path) -> Result<Contents> {
    contents(&Store::open_read_only(path)?.snapshot()?)
}

fn rows(snapshot: &Snapshot, table: Table) -> HashMap<Vec<u8>, RecordRow> {
    let mut rows = HashMap::new();
    let scanned = snapshot.tables().scan(table, &[], &mut |key, value| {
        rows.insert(key.to_vec(), RecordRow::decode(value)?);
        Ok(ControlFlow::Continue(()))
    });
    scanned.expect("rows");
    rows
}

/// The rows of every tensor record.
pub fn tensor_rows(snapshot: &Snapshot) -> HashMap<ContentId, RecordRow> {
    let id = |key: Vec<u8>| ContentId::from_bytes(key.try_into().expect("32 bytes"));
    rows(snapshot, Table::Tensors).into_iter().map(|(key, row)| (id(key), row)).collect()
}

/// Asserts that `holders` and `dependents` of every row are what models and deltas add up to, that
/// nothing unneeded is kept, and that no two records share a byte.
pub fn assert_rows_add_up(snapshot: &Snapshot, context: &str) {
    let tensors = tensor_rows(snapshot);
    let manifests = rows(snapshot, Table::Manifests);
    let mut manifest_holders: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut holders: HashMap<ContentId, u32> = HashMap::new();
    for node in snapshot.nodes().expect("nodes") {
        let key = node.manifest_id().as_bytes().to_vec();
        let count = manifest_holders.entry(key).or_default();
        *count += 1;
        if *count == 1 {
            let model = snapshot.model_of(node).expect("a model");
            for tensor in model.manifest().contents() {
                *holders.entry(tensor.content_id).or_default() += 1;
            }
        }
    }
    assert_eq!(manifests.len(), manifest_holders.len(), "{context}: manifests");
    for (id, row) in &manifests {
        assert_eq!(Some(&row.holders), manifest_holders.get(id), "{context}: manifest holders");
    }
    let mut dependents: HashMap<ContentId, u32> = HashMap::new();
    for row in tensors.values().filter(|row| !row.base_id.is_none()) {
        for id in row.bases() {
            *dependents.entry(id).or_default() += 1;
            let base = tensors.get(&id).unwrap_or_else(|| panic!("{context}: base missing"));
            assert!(row.depth > base.depth, "{context}: depth");
        }
    }
    for (id, row) in &tensors {
        let expected = (holders.get(id).copied(), dependents.get(id).copied());
        let expected = (expected.0.unwrap_or(0), expected.1.unwrap_or(0));
        assert_eq!((row.holders, row.dependents), expected, "{context}: counts of {id}");
        assert!(row.is_needed(), "{context}: {id} is kept for nothing");
    }
    assert!(holders.keys().all(|id| tensors.contains_key(id)), "{context}: tensor missing");
    let changes = rows(snapshot, Table::Changes);
    let records = tensors.values().chain(manifests.values()).chain(changes.values());
    let mut extents: Vec<_> = records.map(RecordRow::extent).collect();
    extents.sort_unstable();
    for pair in extents.windows(2) {
        assert!(pair[0].end() <= pair[1].offset, "{context}: {pair:?} overlap");
    }
}
