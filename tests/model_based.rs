//! Promise: whatever is done to a store, in whatever order, it equals a plain map of what was put
//! in: random histories of additions, removals, dropped transactions, reopened files and held
//! snapshots, compared after each step.
//!
//! `MGIT_SEED` runs one history again; `MGIT_HISTORIES` says how many there are.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Random, assert_rows_add_up, contents, folder, noise, nudged, seed, weights, write};
use mgit::store::Transaction;
use mgit::{Error, How, NewModel, OnChildren, Snapshot, Store};

const STEPS: usize = 50;

/// A model as a plain value.
#[derive(Clone, Debug, PartialEq, Default)]
struct Plain {
    tensors: Vec<(String, Vec<u8>)>,
    /// Provenance parents in order, by `name@version`.
    parents: Vec<(String, How)>,
    previous: Option<String>,
}

/// A store as a plain value.
#[derive(Clone, Debug, PartialEq, Default)]
struct Naive {
    models: BTreeMap<String, Plain>,
    /// The highest version ever given.
    highest: BTreeMap<String, u32>,
    sequence: u64,
}

impl Naive {
    /// The highest version of a name that is there.
    fn latest(&self, name: &str) -> Option<String> {
        let highest = self.highest.get(name)?;
        (1..=*highest)
            .rev()
            .map(|v| format!("{name}@{v}"))
            .find(|full| self.models.contains_key(full))
    }

    fn add(&mut self, name: &str, parents: Vec<(String, How)>, tensors: Vec<(String, Vec<u8>)>) {
        let previous = self.latest(name);
        let version = self.highest.entry(name.to_owned()).or_default();
        *version += 1;
        self.models.insert(format!("{name}@{version}"), Plain { tensors, parents, previous });
    }

    fn children(&self, full: &str) -> Vec<String> {
        let is_child = |model: &Plain| model.parents.iter().any(|(parent, _)| parent == full);
        self.models.iter().filter(|(_, m)| is_child(m)).map(|(name, _)| name.clone()).collect()
    }

    fn remove(&mut self, full: &str, on_children: OnChildren) -> bool {
        if on_children == OnChildren::Refuse && !self.children(full).is_empty() {
            return false;
        }
        let gone = self.models.remove(full).unwrap();
        for model in self.models.values_mut() {
            if model.previous.as_deref() == Some(full) {
                model.previous = gone.previous.clone();
            }
            let mut parents: Vec<(String, How)> = Vec::new();
            for (parent, how) in std::mem::take(&mut model.parents) {
                let given = gone.parents.iter().map(|(name, _)| (name.clone(), how));
                let instead: Vec<_> = match (parent == full, on_children) {
                    (false, _) => vec![(parent, how)],
                    (true, OnChildren::Reparent) => given.collect(),
                    (true, _) => Vec::new(),
                };
                for edge in instead {
                    if !parents.iter().any(|(name, _)| *name == edge.0) {
                        parents.push(edge);
                    }
                }
            }
            model.parents = parents;
        }
        true
    }
}

/// What a snapshot shows, as a plain value. What no snapshot shows is taken from `like`.
fn observed(snapshot: &Snapshot, like: &Naive) -> Naive {
    let graph = snapshot.graph();
    let name_of = |id| graph.expect(id).unwrap().full_name();
    let mut models = BTreeMap::new();
    let mut tensors = contents(snapshot).unwrap();
    for node in snapshot.nodes().unwrap() {
        let edges = graph.parents(node.id).unwrap();
        let plain = Plain {
            tensors: tensors.remove(&node.full_name()).unwrap(),
            parents: edges.into_iter().map(|edge| (name_of(edge.parent), edge.how)).collect(),
            previous: graph.previous(node.id).unwrap().map(name_of),
        };
        models.insert(node.full_name(), plain);
    }
    Naive { models, highest: like.highest.clone(), sequence: snapshot.sequence() }
}

/// Tensors of a new model: like those of another model, equal to them, or new.
fn make_tensors(random: &mut Random, naive: &Naive) -> Vec<(String, Vec<u8>)> {
    let mut pool: Vec<&Vec<u8>> =
        naive.models.values().flat_map(|model| &model.tensors).map(|(_, bytes)| bytes).collect();
    pool.sort();
    let mut tensors = Vec::new();
    for at in 0..random.below(5) {
        let bytes = match random.below(8) {
            0..=2 if !pool.is_empty() => nudged(pool[random.below(pool.len())], random.next(), 9),
            3 if !pool.is_empty() => pool[random.below(pool.len())].clone(),
            4 => noise(random.next(), random.below(200)),
            5 => weights(random.next(), 270_000 + random.below(3) * 7),
            6 => Vec::new(),
            _ => weights(random.next(), 1000 + random.below(2) * 20_000),
        };
        tensors.push((format!("t{at}"), bytes));
    }
    tensors
}

struct Run {
    random: Random,
    naive: Naive,
    held: Vec<(Snapshot, Naive)>,
}

impl Run {
    fn some_model(&mut self) -> Option<String> {
        let names: Vec<_> = self.naive.models.keys().cloned().collect();
        (!names.is_empty()).then(|| names[self.random.below(names.len())].clone())
    }

    /// Changes a transaction and the plain map alike.
    fn change(&mut self, transaction: &mut Transaction, naive: &mut Naive) -> Result<(), Error> {
        let remove = self.random.below(10) < 4;
        match self.some_model().filter(|full| remove && naive.models.contains_key(full)) {
            Some(full) => {
                let ways = [OnChildren::Refuse, OnChildren::Reparent, OnChildren::Detach];
                let way = ways[self.random.below(3)];
                let result = transaction.remove_model(&full, way);
                match naive.remove(&full, way) {
                    true => result.map(drop),
                    false => {
                        assert_eq!(result.unwrap_err().code(), "has-children");
                        Ok(())
                    }
                }
            }
            None => {
                let name = format!("net/{}", self.random.below(4));
                let mut parents: Vec<(String, How)> = Vec::new();
                for _ in 0..self.random.below(3) {
                    let how = How::ALL[self.random.below(How::ALL.len())];
                    let parent = self.some_model().filter(|full| naive.models.contains_key(full));
                    if let Some(parent) = parent
                        && !parents.iter().any(|(known, _)| *known == parent)
                    {
                        parents.push((parent, how));
                    }
                }
                let tensors = make_tensors(&mut self.random, naive);
                let new =
                    parents.iter().fold(NewModel::new(&name), |m, (p, how)| m.parent(p, *how));
                let new = tensors.iter().fold(new, |m, (n, b)| m.tensor(common::tensor(n, b)));
                transaction.add_model(new)?;
                naive.add(&name, parents, tensors);
                Ok(())
            }
        }
    }

    fn step(&mut self, store: Store, path: &Path, context: &str) -> Store {
        match self.random.below(12) {
            0 => {
                self.held.clear();
                drop(store);
                return Store::open(path).unwrap_or_else(|e| panic!("{context}: {e}"));
            }
            1 => {
                let mut transaction = store.begin_write().unwrap();
                let mut unwanted = self.naive.clone();
                for _ in 0..1 + self.random.below(3) {
                    self.change(&mut transaction, &mut unwanted).unwrap();
                }
            }
            2 => {
                self.held.push((store.snapshot().unwrap(), self.naive.clone()));
            }
            3 if !self.held.is_empty() => {
                let (snapshot, then) = self.held.remove(self.random.below(self.held.len()));
                assert!(observed(&snapshot, &then) == then, "{context}: a held snapshot");
            }
            _ => {
                let mut naive = self.naive.clone();
                let changes = 1 + self.random.below(3);
                let models = naive.models.clone();
                write(&store, |transaction| {
                    (0..changes).try_for_each(|_| self.change(transaction, &mut naive))
                })
                .unwrap_or_else(|e| panic!("{context}: {e}"));
                // A transaction of refusals alone is none. Additions raise a highest version.
                if naive.models != models || naive.highest != self.naive.highest {
                    naive.sequence += 1;
                }
                self.naive = naive;
            }
        }
        store
    }
}

fn history(seed: u64) {
    let home = folder();
    let path = home.path().join("models.mgit");
    let mut store = Store::create(&path).unwrap();
    let mut run = Run { random: Random(seed), naive: Naive::default(), held: Vec::new() };
    let mut follower: Option<Store> = None;
    for at in 0..STEPS {
        let context = format!("MGIT_SEED={seed}, step {at}");
        store = run.step(store, &path, &context);
        let snapshot = store.snapshot().unwrap();
        assert!(observed(&snapshot, &run.naive) == run.naive, "{context}: the store differs");
        assert_rows_add_up(&snapshot, &context);
        if run.random.below(6) == 0 {
            follower = Store::open_read_only(&path).ok();
        }
        if let Some(follower) = &follower {
            let seen = follower.snapshot().unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(observed(&seen, &run.naive) == run.naive, "{context}: a follower differs");
        }
    }
    for (snapshot, then) in run.held {
        assert!(observed(&snapshot, &then) == then, "MGIT_SEED={seed}: held to the end");
    }
}

#[test]
fn random_histories_equal_a_plain_map() {
    let fixed = std::env::var("MGIT_SEED").is_ok();
    let histories = std::env::var("MGIT_HISTORIES").map_or(3, |text| text.parse().unwrap());
    let first = seed();
    for at in 0..if fixed { 1 } else { histories } {
        let seed = first.wrapping_add(at);
        let result = std::panic::catch_unwind(|| history(seed));
        if let Err(panic) = result {
            eprintln!("failed with MGIT_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
