//! For tests of transfers: families, comparison of whole stores, and a remote in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mgit::transfer::{Remote, Selection};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Snapshot, Store};
use serde_json::{Value, json};

use super::{Random, add, assert_rows_add_up, contents, model, nudged, weights, write};

pub const ALL: Selection<'static> = Selection::ALL;

/// Everything of the graph, by node id.
pub fn graph(snapshot: &Snapshot) -> BTreeMap<String, Value> {
    let graph = snapshot.graph();
    let mut nodes = BTreeMap::new();
    for node in snapshot.nodes().unwrap() {
        let parents: Vec<Value> = graph
            .parents(node.id())
            .unwrap()
            .into_iter()
            .map(|edge| json!([edge.parent.to_string(), edge.how.to_string()]))
            .collect();
        let mut tags = graph.tags_of(node.id()).unwrap();
        tags.sort();
        let entry = json!({
            "name": node.full_name(),
            "kind": node.kind(),
            "created": node.created_ms(),
            "manifest": node.manifest_id().to_string(),
            "logical": node.logical_bytes(),
            "previous": graph.previous(node.id()).unwrap().map(|id| id.to_string()),
            "parents": parents,
            "metadata": graph.metadata(node.id()).unwrap(),
            "tags": tags,
        });
        nodes.insert(node.id().to_string(), entry);
    }
    nodes
}

pub fn assert_sound(store: &Store, context: &str) {
    let snapshot = store.snapshot().unwrap();
    let report = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{context}: {:?}", report.findings);
}

/// Both stores have the same graph and contents, and are sound.
pub fn assert_same(a: &Store, b: &Store, context: &str) {
    let (one, two) = (a.snapshot().unwrap(), b.snapshot().unwrap());
    assert_eq!(graph(&one), graph(&two), "{context}");
    assert_eq!(contents(&one).unwrap(), contents(&two).unwrap(), "{context}");
    for (store, snapshot) in [(a, one), (b, two)] {
        assert_rows_add_up(&snapshot, context);
        assert_sound(store, context);
    }
}

/// A base of two tensors, a fine-tune of it, and a second version of that.
pub fn family(path: &Path) -> Store {
    let store = Store::create(path).unwrap();
    let base = weights(1, 40_000);
    let head = weights(2, 3_000);
    let tuned = nudged(&base, 3, 9);
    let list = |body: &[u8], head: &[u8]| {
        vec![("body".to_owned(), body.to_vec()), ("head".to_owned(), head.to_vec())]
    };
    add(&store, model("base", &[], &list(&base, &head)).kind("bert")).unwrap();
    add(&store, model("tuned", &["base"], &list(&tuned, &head)).metadata("task", "sst2")).unwrap();
    let again = nudged(&tuned, 4, 9);
    add(&store, model("tuned", &["base"], &list(&again, &head))).unwrap();
    write(&store, |transaction| transaction.set_tag("best", "tuned@1")).unwrap();
    store
}

pub fn grown(store: &Store, name: &str, parent: &str, seed: u64) {
    let snapshot = store.snapshot().unwrap();
    let body = snapshot.model(parent).unwrap().tensor("body").unwrap().view().unwrap().to_vec();
    drop(snapshot);
    add(store, model(name, &[parent], &[("body".to_owned(), nudged(&body, seed, 9))])).unwrap();
}

/// A remote in memory that counts bytes, and that may be told to fail.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub read: Arc<AtomicU64>,
    pub written: Arc<AtomicU64>,
    /// As a static host: nothing can be listed.
    pub is_static: bool,
    pub faults: Arc<Mutex<Faults>>,
}

/// What goes wrong, and when.
#[derive(Debug, Default)]
pub struct Faults {
    /// Bytes after which everything fails; `None` for never.
    pub cut_after: Option<u64>,
    /// One call of so many is hurt.
    pub one_in: Option<usize>,
    pub random: u64,
}

/// How an answer is hurt.
pub enum Hurt {
    No,
    Error,
    Flip(u64),
    /// Fewer bytes than there are.
    Short(u64),
    /// More bytes than there are.
    Long,
}

impl Memory {
    fn moved(&self, len: u64, counter: &AtomicU64) -> io::Result<Hurt> {
        let before = counter.fetch_add(len, Ordering::Relaxed);
        let mut faults = self.faults.lock().unwrap();
        if faults.cut_after.is_some_and(|cut| before + len > cut) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut random = Random(faults.random);
        faults.random = random.next();
        Ok(match faults.one_in.map(|one_in| random.below(one_in)) {
            Some(0) => match random.below(5) {
                0 | 1 => Hurt::Error,
                2 => Hurt::Short(random.next()),
                3 => Hurt::Long,
                _ => Hurt::Flip(random.next()),
            },
            _ => Hurt::No,
        })
    }

    fn give(&self, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self.moved(bytes.len() as u64, &self.read)? {
            Hurt::No => {}
            Hurt::Error => return Err(io::ErrorKind::TimedOut.into()),
            Hurt::Flip(at) if !bytes.is_empty() => {
                let len = bytes.len() as u64;
                bytes[(at % len) as usize] ^= 1 << (at >> 60 & 7);
            }
            Hurt::Flip(_) => {}
            Hurt::Short(at) => bytes.truncate((at % (bytes.len() as u64 + 1)) as usize),
            Hurt::Long => bytes.push(0),
        }
        Ok(bytes)
    }

    pub fn total(&self) -> u64 {
        self.files.lock().unwrap().values().map(|file| file.len() as u64).sum()
    }

    pub fn reset(&self, faults: Faults) {
        *self.faults.lock().unwrap() = faults;
        self.read.store(0, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
    }
}

impl Remote for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = self.files.lock().unwrap().get(path).cloned();
        let Some(file) = file else { return Ok(None) };
        assert!(file.len() as u64 <= len_max);
        self.give(file).map(Some)
    }

    fn get_range(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let files = self.files.lock().unwrap();
        let file = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let start = offset as usize;
        let part = file.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec();
        drop(files);
        let part = self.give(part)?;
        let part = part.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn put(&self, path: &str, len: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, len);
        if let Hurt::Error = self.moved(len, &self.written)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.files.lock().unwrap().insert(path.to_owned(), bytes);
        Ok(())
    }

    fn put_new(&self, path: &str, content: &[u8]) -> io::Result<bool> {
        self.moved(content.len() as u64, &self.written)?;
        let mut files = self.files.lock().unwrap();
        if files.contains_key(path) {
            return Ok(false);
        }
        files.insert(path.to_owned(), content.to_vec());
        Ok(true)
    }

    fn list(&self, folder: &str) -> io::Result<Option<Vec<(String, u64)>>> {
        if self.is_static {
            return Ok(None);
        }
        let files = self.files.lock().unwrap();
        let prefix = format!("{folder}/");
        let file = |(path, file): (&String, &Vec<u8>)| {
            Some((path.strip_prefix(&prefix)?.to_owned(), file.len() as u64))
        };
        let mut found: Vec<(String, u64)> = files.iter().filter_map(file).collect();
        drop(files);
        // A length that lies.
        match (self.moved(0, &self.read)?, found.last_mut()) {
            (Hurt::Error, _) => return Err(io::ErrorKind::TimedOut.into()),
            (Hurt::Flip(by) | Hurt::Short(by), Some((_, len))) => *len = by >> (by % 64),
            (Hurt::Long, Some((_, len))) => *len += 1,
            _ => {}
        }
        Ok(Some(found))
    }
}

/// What a test does with something on its way.
pub type BeforeRef<'h> = dyn Fn() + Send + Sync + 'h;
pub type AfterPut<'h> = dyn Fn(&mut Vec<u8>) + Send + Sync + 'h;

/// A remote in memory that does something of a test's own on the way.
#[derive(Default)]
pub struct Hooked<'h> {
    pub memory: Memory,
    /// Called before a ref is made.
    pub before_ref: Option<Box<BeforeRef<'h>>>,
    /// Called with the bytes of a file that was put: what it keeps instead.
    pub after_put: Option<Box<AfterPut<'h>>>,
}

impl fmt::Debug for Hooked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.memory.fmt(f)
    }
}

impl Remote for Hooked<'_> {
    fn place(&self) -> String {
        self.memory.place()
    }

    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        self.memory.get(path, len_max)
    }

    fn get_range(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.get_range(path, offset, out)
    }

    fn put(&self, path: &str, len: u64, content: &mut dyn Read) -> io::Result<()> {
        self.memory.put(path, len, content)?;
        if let (Some(hook), Some(file)) =
            (&self.after_put, self.memory.files.lock().unwrap().get_mut(path))
        {
            hook(file);
        }
        Ok(())
    }

    fn put_new(&self, path: &str, content: &[u8]) -> io::Result<bool> {
        self.before_ref.iter().for_each(|hook| hook());
        self.memory.put_new(path, content)
    }

    fn list(&self, folder: &str) -> io::Result<Option<Vec<(String, u64)>>> {
        self.memory.list(folder)
    }
}
