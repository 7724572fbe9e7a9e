//! Promise: after any history of imports and removals, `gc` with repacking leaves a store about as
//! small as a fresh import of the models that live, in their order; everything in it can be copied
//! and sent; and when the last model is removed, no tensor record is left, and the file is an empty
//! store's.
//!
//! `MGIT_SEED` runs one history again, `MGIT_CHURNS` says how many are run of each kind.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::*;
use crate::ways::assert_every_way_out;
use crate::ways::history::History;
use mgit::catalog::{ReadTables, Table};
use mgit::lineage::Node;
use mgit::store::{Repack, RepackReport};
use mgit::upkeep::{gc, gc_repack, stat, vacuum};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Profile, Snapshot, Store};

const ELEMENTS: [usize; 3] = [12_000, 6000, 900];

/// A model that lives, as it was put in.
#[derive(Clone)]
struct Living {
    name: String,
    parents: Vec<String>,
    dtype: Dtype,
    tensors: Vec<Vec<u8>>,
    profile: Profile,
}

impl Living {
    fn add_to(&self, store: &Store) {
        let new = NewModel::new(&self.name).profile(self.profile);
        let new = self.parents.iter().fold(new, |new, parent| new.parent(parent, How::FineTune));
        let width = if self.dtype == Dtype::F32 { 4 } else { 2 };
        let new = self.tensors.iter().enumerate().fold(new, |new, (at, bytes)| {
            let shape = shape(&[bytes.len() as u64 / width]);
            new.tensor(NewTensor::from_bytes(format!("t{at}"), self.dtype.clone(), shape, bytes))
        });
        add(store, new).unwrap();
    }
}

/// What records of tensors take, without those of files' other bytes.
fn record_bytes(store: &Store) -> u64 {
    let snapshot = store.snapshot().unwrap();
    let mut rows = tensor_rows(&snapshot);
    for node in snapshot.nodes().unwrap() {
        let model = snapshot.model_of(node).unwrap();
        model.manifest().skeletons.iter().for_each(|it| _ = rows.remove(&it.content_id));
    }
    rows.values().map(|row| row.len).sum()
}

/// How every tensor is stored, for whoever looks into a failure.
fn rows_told(store: &Store) -> String {
    let mut rows: Vec<_> = tensor_rows(&store.snapshot().unwrap()).into_iter().collect();
    rows.sort_by_key(|(id, row)| (row.raw_len, *id));
    let told = |(id, row): &(mgit::ContentId, mgit::catalog::RecordRow)| {
        let bases: Vec<_> = row.bases().map(|base| base.short().to_string()).collect();
        let (formula, depth) = (row.formula, row.depth);
        let of = format!("{} of {}, {} models", row.stored_len, row.raw_len, row.holders);
        format!("{} {of}, depth {depth}, formula {formula} over {bases:?}", id.short())
    };
    rows.iter().map(told).collect::<Vec<_>>().join("\n")
}

struct Churn {
    random: Random,
    living: Vec<Living>,
    next: usize,
    casts: bool,
    /// Of imports and of repacking: one with another would compare profiles.
    profile: Profile,
}

impl Churn {
    fn new(seed: u64, casts: bool) -> Self {
        let mut random = Random(seed);
        let profile = Profile::ALL[random.below(Profile::ALL.len())];
        Churn { random, living: Vec::new(), next: 0, casts, profile }
    }

    fn import(&mut self, store: &Store) {
        let random = &mut self.random;
        let some = (!self.living.is_empty() && random.below(12) > 0)
            .then(|| self.living[random.below(self.living.len())].clone());
        let mut model = Living {
            name: format!("m{}", self.next),
            parents: Vec::new(),
            dtype: Dtype::F32,
            tensors: Vec::new(),
            profile: self.profile,
        };
        self.next += 1;
        match some {
            None => model.tensors = ELEMENTS.map(|count| weights(random.next(), count)).to_vec(),
            Some(some) => {
                let one_in = [2, 4, 10, 30][random.below(4)];
                let cast = self.casts && some.dtype == Dtype::F32 && random.below(5) == 0;
                for bytes in &some.tensors {
                    model.tensors.push(match random.below(6) {
                        0 => bytes.clone(),
                        _ if cast => as_bf16(bytes),
                        _ => nudged(bytes, random.next(), one_in),
                    });
                }
                if cast {
                    model.tensors = some.tensors.iter().map(|bytes| as_bf16(bytes)).collect();
                    model.dtype = Dtype::Bf16;
                } else {
                    model.dtype = some.dtype;
                }
                if random.below(3) > 0 {
                    model.parents.push(some.name);
                }
            }
        }
        model.add_to(store);
        self.living.push(model);
    }

    fn remove(&mut self, store: &Store, at: usize) {
        let gone = self.living.remove(at).name;
        write(store, |t| t.remove_model(&gone, OnChildren::Detach)).unwrap();
        for model in &mut self.living {
            model.parents.retain(|parent| *parent != gone);
        }
    }

    /// Imports and removals, so that about `most` live.
    fn run(&mut self, store: &Store, steps: usize, most: usize) {
        for _ in 0..steps {
            if self.living.len() < 2 || self.random.below(2 * most) >= self.living.len() {
                self.import(store);
            } else {
                // Mostly old ones.
                let (a, b) = (self.random.below(self.living.len()), self.random.below(3));
                self.remove(store, if b == 0 { a } else { a / 3 });
            }
        }
    }

    /// A fresh import of what lives.
    fn fresh(&self) -> (tempfile::TempDir, Store) {
        let (folder, _, fresh) = new_store();
        self.living.iter().for_each(|model| model.add_to(&fresh));
        (folder, fresh)
    }

    fn is_in(&self, store: &Store, context: &str) {
        let mut expected = Contents::new();
        for model in &self.living {
            let tensors = model.tensors.iter().enumerate();
            let tensors = tensors.map(|(at, bytes)| (format!("t{at}"), bytes.clone())).collect();
            expected.insert(format!("{}@1", model.name), tensors);
        }
        assert!(contents(&store.snapshot().unwrap()).unwrap() == expected, "{context}");
    }
}

fn as_bf16(bytes: &[u8]) -> Vec<u8> {
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    bytes
        .chunks_exact(4)
        .flat_map(|b| mgit::half::bf16::from_f32(number(b)).to_le_bytes())
        .collect()
}

fn repacked(store: &Store, profile: Profile, context: &str) -> RepackReport {
    let report = gc_repack(store, &Repack::default().profile(profile), &|_| ()).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, context);
    let rows = tensor_rows(&snapshot);
    let hidden = rows.values().filter(|row| row.holders == 0).count() as u64;
    assert_eq!(report.collected.hidden_bases, hidden, "{context}");
    let repacked = report.repacked.unwrap();
    let all: u64 = rows.values().map(|row| row.len).sum();
    assert_eq!(repacked.after_bytes, all, "{context}");
    assert_eq!(repacked.tensors - repacked.freed, rows.len() as u64, "{context}");
    // Another look finds nothing that was left.
    let again = gc(store).unwrap().collected;
    assert_eq!((again.corrected, again.freed_records), (0, 0), "{context}");
    assert_eq!(again.hidden_bases, hidden, "{context}");
    repacked
}

/// What `stat` says of the file adds up, and says of hidden tensors what the rows say.
fn assert_told(store: &Store, path: &Path, context: &str) {
    let snapshot = store.snapshot().unwrap();
    let told = stat(store, &snapshot).unwrap();
    assert_eq!(told.parts.sum(), std::fs::metadata(path).unwrap().len(), "{context}");
    let rows = tensor_rows(&snapshot);
    let hidden = rows.values().filter(|row| row.holders == 0);
    assert_eq!(told.hidden_tensors, hidden.clone().count() as u64, "{context}");
    let parts = told.parts.hidden;
    assert_eq!(parts.payload_bytes, hidden.map(|row| row.stored_len).sum::<u64>(), "{context}");
}

/// Without a model no tensor is left, and a vacuum makes the file an empty store's.
fn assert_empty(store: Store, path: &Path, context: &str) {
    gc(&store).unwrap();
    assert_eq!(tensor_rows(&store.snapshot().unwrap()).len(), 0, "{context}");
    drop(store);
    vacuum(path, &|_| ()).unwrap();
    let (_folder, empty, store) = new_store();
    drop(store);
    vacuum(&empty, &|_| ()).unwrap();
    let len = |path: &Path| std::fs::metadata(path).unwrap().len();
    let store = Store::open(path).unwrap();
    let parts = stat(&store, &store.snapshot().unwrap()).unwrap().parts;
    let records = [parts.tensors, parts.hidden, parts.manifests].map(|part| part.records);
    assert_eq!(records, [0; 3], "{context}: {parts:?}");
    let snapshot = store.snapshot().unwrap();
    for table in [Table::Nodes, Table::Children, Table::Sketches, Table::Bands, Table::Promised] {
        let left = snapshot.tables().count(table).unwrap();
        assert_eq!(left, 0, "{context}: {table:?}");
    }
    // Change records tell what was, with a row each; the catalogue grows by doubling.
    let changes = parts.changes.payload_bytes + parts.changes.frame_bytes;
    let bound = len(&empty) + changes + (128 << 10);
    assert!(len(path) <= bound, "{context}: {} of {bound}: {parts:?}", len(path));
}

fn history(seed: u64, casts: bool) {
    let context = format!("MGIT_SEED={seed}");
    println!("{context}");
    let (_folder, path, mut store) = new_store();
    let mut churn = Churn::new(seed, casts);
    for round in 0..3 {
        let context = format!("{context}, round {round}");
        churn.run(&store, 40, 8);
        let before = record_bytes(&store);
        let report = repacked(&store, churn.profile, &context);
        let (_fresh_folder, fresh_store) = churn.fresh();
        let (after, fresh) = (record_bytes(&store), record_bytes(&fresh_store));
        println!(
            "{} living: {before} -> {after}, fresh {fresh}: {:.3} -> {:.3}; {report:?}",
            churn.living.len(),
            before as f64 / fresh as f64,
            after as f64 / fresh as f64
        );
        if after * 10 > fresh * 11 {
            println!("{}\nfresh:\n{}", rows_told(&store), rows_told(&fresh_store));
        }
        assert!(after * 10 <= fresh * 11, "{context}: {after} for {fresh}");
        assert!(after <= before, "{context}: {after} of {before}");
        churn.is_in(&store, &context);
        let again = repacked(&store, churn.profile, &context);
        // What changes again gets smaller, by a part of the contents of its length: soon nothing.
        let (mut again, mut runs) = (again, 1);
        while again.changed + again.freed > 0 {
            assert!(again.after_bytes < again.before_bytes && runs < 10, "{context}: {again:?}");
            (again, runs) = (repacked(&store, churn.profile, &context), runs + 1);
        }
        println!("idle after {runs} more");
        drop(store);
        store = Store::open(&path).unwrap();
        churn.is_in(&store, &context);
    }
    assert_told(&store, &path, &context);
    assert_every_way_out(&store, &path, &mut churn.random, &context);
    while !churn.living.is_empty() {
        let at = churn.random.below(churn.living.len());
        churn.remove(&store, at);
    }
    assert_empty(store, &path, &context);
}

/// How many histories are run.
fn churns(default: u64) -> std::ops::Range<u64> {
    let count = std::env::var("MGIT_CHURNS").map_or(default, |text| text.parse().unwrap());
    let first = seed();
    first..first + count
}

/// What a fresh import of all models takes, each behind its parents and its older versions.
fn fresh_of(snapshot: &Snapshot, profile: Profile) -> u64 {
    let (_folder, _, fresh) = new_store();
    let mut left = snapshot.nodes().unwrap();
    left.sort_by_key(|node| (node.name().to_owned(), node.version()));
    let mut names = BTreeMap::new();
    while !left.is_empty() {
        let is_next = |(at, node): &(usize, &Node)| {
            let parents = snapshot.graph().parents(node.id()).unwrap();
            parents.iter().all(|edge| names.contains_key(&edge.parent.0))
                && left[..*at].iter().all(|other| other.name() != node.name())
        };
        let next = left.iter().enumerate().find(is_next).map(|(at, _)| at);
        // Versions may stand on each other's children.
        let node = left.remove(next.unwrap_or(0));
        let model = snapshot.model_of(node.clone()).unwrap();
        let tensors: Vec<_> = model.tensors().collect();
        let bytes: Vec<Vec<u8>> =
            tensors.iter().map(|tensor| tensor.view().unwrap().to_vec()).collect();
        let mut new = NewModel::new(node.name()).profile(profile);
        for edge in snapshot.graph().parents(node.id()).unwrap() {
            if let Some(parent) = names.get(&edge.parent.0) {
                new = new.parent(parent, edge.how);
            }
        }
        for (tensor, bytes) in tensors.iter().zip(&bytes) {
            let (dtype, shape) = (tensor.dtype().clone(), tensor.shape().clone());
            new = new.tensor(NewTensor::from_bytes(tensor.name().to_owned(), dtype, shape, bytes));
        }
        let report = add(&fresh, new).unwrap();
        names.insert(node.id().0, report.node.full_name());
    }
    record_bytes(&fresh)
}

/// A history of everything that can be done to a store: casts, quantised, pruned, averaged and
/// merged models, adapters, task vectors, loss, transfers that were cut short.
fn history_of_all(seed: u64) {
    let context = format!("MGIT_SEED={seed}");
    println!("{context}");
    let mut history = History::of_seed(seed);
    for round in 0..3 {
        let context = format!("{context}, round {round}");
        (0..20).for_each(|_| _ = history.step());
        history.assert_nothing_changed(&context);
        let store = history.store();
        // One profile for all: else profiles would be compared.
        for node in store.snapshot().unwrap().nodes().unwrap() {
            write(store, |t| t.unpin(node.full_name(), Profile::Dense)).unwrap();
        }
        write(store, |t| t.recode_all(Profile::Dense, &|_| ())).unwrap();
        let before = record_bytes(store);
        repacked(store, Profile::Dense, &context);
        let (after, fresh) =
            (record_bytes(store), fresh_of(&store.snapshot().unwrap(), Profile::Dense));
        println!(
            "{} living: {before} -> {after}, fresh {fresh}: {:.3} -> {:.3}",
            store.snapshot().unwrap().nodes().unwrap().len(),
            before as f64 / fresh as f64,
            after as f64 / fresh as f64
        );
        assert!(after * 10 <= fresh * 11, "{context}: {after} for {fresh}");
        history.assert_nothing_changed(&context);
    }
    println!("{:?}", history.done);
    let (store, path) = (history.store(), history.path());
    assert_told(store, &path, &context);
    assert_every_way_out(store, &path, &mut Random(seed), &context);
    let copy = history.path().with_extension("copy");
    mgit::upkeep::backup(store, &store.snapshot().unwrap(), &copy, &|_| ()).unwrap();
    let store = Store::open(&copy).unwrap();
    for node in store.snapshot().unwrap().nodes().unwrap() {
        write(&store, |t| t.remove_model(node.full_name(), OnChildren::Detach)).unwrap();
    }
    assert_empty(store, &copy, &context);
}

#[test]
fn so_does_one_of_every_kind_of_model() {
    churns(2).for_each(history_of_all);
}

#[test]
fn a_store_after_churn_takes_about_what_a_fresh_import_takes() {
    churns(1).for_each(|seed| history(seed, false));
}

#[test]
fn so_does_one_with_casts() {
    churns(3).for_each(|seed| history(seed, true));
}

/// A formula that goes in one group takes its base with it, which is of another.
#[test]
fn a_base_that_goes_with_a_formula_of_another_length_is_no_damage() {
    history(14, true);
}
