//! Promise: whatever is done to a store, in whatever order, it equals a plain map of what was put
//! in: random histories of additions, removals, dropped transactions, reopened files and held
//! snapshots, compared after each step.
//!
//! `MGIT_SEED` runs one history again; `MGIT_HISTORIES` says how many there are.

use std::path::Path;

use crate::common::{assert_rows_add_up, folder, seed, write};
use crate::simulation::changes::{Place, Sizes};
use crate::simulation::choices::Choices;
use crate::simulation::plain::PlainStore;
use mgit::store::{StoreError, Transaction};
use mgit::{Snapshot, Store};

const STEPS: usize = 50;

struct Run {
    choices: Choices,
    plain: PlainStore,
    held: Vec<(Snapshot, PlainStore)>,
}

#[track_caller]
fn assert_shows(snapshot: &Snapshot, plain: &PlainStore, context: &str) {
    assert!(plain.is_shown(snapshot).unwrap(), "{context}");
}

impl Run {
    /// Changes a transaction and the plain store alike.
    fn change(
        &mut self,
        transaction: &mut Transaction,
        plain: &mut PlainStore,
    ) -> Result<(), StoreError> {
        let choices = &mut self.choices;
        Place { choices, transaction, plain, sizes: Sizes::REAL }.change()
    }

    fn step(&mut self, store: Store, path: &Path, context: &str) -> Store {
        match self.choices.below(12) {
            0 => {
                self.held.clear();
                drop(store);
                return Store::open(path).unwrap_or_else(|e| panic!("{context}: {e}"));
            }
            1 => {
                let mut transaction = store.begin_write().unwrap();
                let mut unwanted = self.plain.clone();
                for _ in 0..1 + self.choices.below(3) {
                    self.change(&mut transaction, &mut unwanted).unwrap();
                }
            }
            2 => {
                self.held.push((store.snapshot().unwrap(), self.plain.clone()));
            }
            3 if !self.held.is_empty() => {
                let (snapshot, then) = self.held.remove(self.choices.below(self.held.len()));
                assert_shows(&snapshot, &then, &format!("{context}: a held snapshot"));
            }
            _ => {
                let mut plain = self.plain.clone();
                let changes = 1 + self.choices.below(3);
                write(&store, |transaction| {
                    (0..changes).try_for_each(|_| self.change(transaction, &mut plain))
                })
                .unwrap_or_else(|e| panic!("{context}: {e}"));
                self.plain = plain;
            }
        }
        store
    }
}

fn history(seed: u64) {
    let home = folder();
    let path = home.path().join("models.mgit");
    let mut store = Store::create(&path).unwrap();
    let mut run =
        Run { choices: Choices::of_seed(seed), plain: PlainStore::default(), held: Vec::new() };
    let mut follower: Option<Store> = None;
    for at in 0..STEPS {
        let context = format!("MGIT_SEED={seed}, step {at}");
        store = run.step(store, &path, &context);
        let snapshot = store.snapshot().unwrap();
        assert_shows(&snapshot, &run.plain, &format!("{context}: the store differs"));
        assert_rows_add_up(&snapshot, &context);
        if run.choices.below(6) == 0 {
            follower = Store::open_read_only(&path).ok();
        }
        if let Some(follower) = &follower {
            let seen = follower.snapshot().unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_shows(&seen, &run.plain, &format!("{context}: a follower differs"));
        }
    }
    for (snapshot, then) in run.held {
        assert_shows(&snapshot, &then, &format!("MGIT_SEED={seed}: held to the end"));
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
