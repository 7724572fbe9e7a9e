//! Promise: whatever is removed, given other parents, recoded, pinned or repacked, in any order, every model
//! that is left keeps its bytes. Checked against a plain map of bytes.

use crate::common::*;
use mgit::error::{LineageError, StoreError};
use mgit::store::Repack;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{How, OnChildren, Profile, Store};
use proptest::prelude::*;

/// One thing that is done to a store. Numbers pick among the models that are there.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add { parent: usize, second: usize, seed: u64 },
    Remove { model: usize, reparents: bool },
    Reparent { model: usize, parent: usize },
    Recode { model: Option<usize>, profile: usize },
    Pin { model: usize },
    Unpin { model: usize, profile: usize },
    Repack { depth: u8, profile: usize },
    // Another way to change how tensors are stored belongs here.
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0usize..64;
    let profile = 0usize..3;
    prop_oneof![
        4 => (one.clone(), one.clone(), any::<u64>())
            .prop_map(|(parent, second, seed)| Step::Add { parent, second, seed }),
        2 => (one.clone(), any::<bool>())
            .prop_map(|(model, reparents)| Step::Remove { model, reparents }),
        1 => (one.clone(), one.clone())
            .prop_map(|(model, parent)| Step::Reparent { model, parent }),
        2 => (proptest::option::of(one.clone()), profile.clone())
            .prop_map(|(model, profile)| Step::Recode { model, profile }),
        1 => one.clone().prop_map(|model| Step::Pin { model }),
        1 => (one, profile.clone())
            .prop_map(|(model, profile)| Step::Unpin { model, profile }),
        2 => (0u8..5, profile).prop_map(|(depth, profile)| Step::Repack { depth, profile }),
    ]
}

/// The names of the models that are there, and their floats; which of them are pinned.
#[derive(Debug, Default)]
struct Expected {
    contents: Contents,
    values: Vec<(String, Vec<u8>)>,
    pinned: Vec<String>,
}

impl Expected {
    fn pick(&self, number: usize) -> Option<&(String, Vec<u8>)> {
        self.values.get(number.checked_rem(self.values.len())?)
    }

    fn do_step(&mut self, store: &Store, at: usize, step: Step) -> mgit::store::Result<()> {
        let name_of = |number| self.pick(number).map(|(name, _)| name.clone());
        match step {
            Step::Add { parent, second, seed } => {
                let name = format!("m{at}");
                let parents: Vec<String> = [name_of(parent), name_of(second)]
                    .into_iter()
                    .flatten()
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .collect();
                let values = match self.pick(parent) {
                    Some((_, values)) => nudged(values, seed, 4),
                    None => weights(seed, 3000),
                };
                let shared = weights(7, 600);
                let tensors =
                    [("w".to_owned(), values.clone()), ("shared".to_owned(), shared)].to_vec();
                let parents: Vec<&str> = parents.iter().map(String::as_str).collect();
                add(store, model(&name, &parents, &tensors))?;
                self.contents.insert(format!("{name}@1"), tensors.into_iter().collect());
                self.values.push((name, values));
            }
            Step::Remove { model, reparents } => {
                let Some(name) = name_of(model) else { return Ok(()) };
                let on = if reparents { OnChildren::Reparent } else { OnChildren::Detach };
                write(store, |transaction| transaction.remove_model(&name, on))?;
                self.contents.remove(&format!("{name}@1"));
                self.values.retain(|(known, _)| *known != name);
                self.pinned.retain(|known| *known != name);
            }
            Step::Reparent { model, parent } => {
                let (Some(model), Some(parent)) = (name_of(model), name_of(parent)) else {
                    return Ok(());
                };
                // A circle is refused, and changes nothing.
                let set = write(store, |transaction| {
                    transaction.set_parents(&model, [(&parent, How::Other)])
                });
                if let Err(error) = set {
                    assert!(
                        matches!(error, StoreError::Lineage(LineageError::Cycle { .. })),
                        "{error}"
                    );
                }
            }
            Step::Recode { model, profile } => {
                let model = model.and_then(name_of);
                let profile = Profile::ALL[profile];
                write(store, |transaction| match &model {
                    Some(model) => transaction.recode(model, profile, &|_| ()),
                    None => transaction.recode_all(profile, &|_| ()),
                })?;
            }
            Step::Pin { model } => {
                let Some(name) = name_of(model) else { return Ok(()) };
                write(store, |transaction| transaction.pin(&name))?;
                self.pinned.push(name);
            }
            Step::Unpin { model, profile } => {
                let Some(name) = name_of(model) else { return Ok(()) };
                let profile = Profile::ALL[profile];
                write(store, |transaction| transaction.unpin(&name, profile))?;
                self.pinned.retain(|known| *known != name);
            }
            Step::Repack { depth, profile } => {
                let how = Repack::default().depth_max(depth).profile(Profile::ALL[profile]);
                let report = write(store, |transaction| transaction.repack(&how, &|_| ()))?;
                assert!(report.after_bytes <= report.before_bytes, "{report:?}");
            }
        }
        Ok(())
    }

    fn assert_kept(&self, store: &Store, context: &str) {
        let snapshot = store.snapshot().unwrap();
        assert_eq!(contents(&snapshot).unwrap(), self.contents, "{context}");
        for name in &self.pinned {
            for tensor in snapshot.model(name).unwrap().tensors() {
                assert!(tensor.view().unwrap().is_mapped(), "{context}: pinned {name}");
            }
        }
        assert_rows_add_up(&snapshot, context);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_model_keeps_its_bytes(steps in prop::collection::vec(step(), 1..24)) {
        let (_folder, path, store) = new_store();
        let mut expected = Expected::default();
        for (at, step) in steps.into_iter().enumerate() {
            expected.do_step(&store, at, step).unwrap();
            expected.assert_kept(&store, &format!("step {at}: {step:?}"));
        }
        let snapshot = store.snapshot().unwrap();
        let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        prop_assert!(report.is_clean(), "{:?}", report.findings);
        drop((snapshot, store));
        expected.assert_kept(&Store::open(&path).unwrap(), "opened again");
    }
}

#[test]
fn pinned_models_are_mapped_and_share_what_they_share() {
    let (_folder, _, store) = new_store();
    let base = weights(1, 200_000);
    let child = nudged(&base, 2, 3);
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "child", &["base"], &child).unwrap();
    add_one(&store, "twin", &["base"], &child).unwrap();
    let tensor = |name: &str| store.snapshot().unwrap().model(name).unwrap().tensor("w").unwrap();
    let view = |name: &str| tensor(name).view().unwrap();
    // Two models, one content: one buffer, which is kept when nobody looks at it any more.
    let (a, b) = (view("child"), view("twin"));
    assert!(!a.is_mapped() && a.as_ptr() == b.as_ptr());
    let address = a.as_ptr() as usize;
    drop((a, b));
    assert_eq!(store.cached_bytes(), child.len() as u64);
    assert_eq!(view("child").as_ptr() as usize, address);
    store.set_cache_bytes(0);
    assert_eq!(store.cached_bytes(), 0);

    write(&store, |transaction| transaction.pin("child")).unwrap();
    let (a, b) = (view("child"), view("twin"));
    assert!(a.is_mapped() && a.as_ptr() == b.as_ptr() && *a == *child);
    write(&store, |transaction| transaction.recode_all(Profile::Dense, &|_| ())).unwrap();
    assert!(view("child").is_mapped(), "recoding leaves it");
    write(&store, |transaction| transaction.unpin("twin", Profile::Balanced)).unwrap();
    assert!(view("child").is_mapped(), "the other model's pin is not touched");
    write(&store, |transaction| transaction.unpin("child", Profile::Balanced)).unwrap();
    assert!(!view("child").is_mapped() && *view("twin") == *child);
    assert!(tensor("child").stored_as().unwrap().depth > 0, "a difference again");

    let tensors = one(nudged(&base, 3, 3));
    let new = model("served", &["base"], &tensors).advise(mgit::store::Advice::ReadOften);
    add(&store, new).unwrap();
    assert!(view("served").is_mapped());
}
