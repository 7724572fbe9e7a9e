//! Promise: recoding changes how tensors are stored and nothing else, whatever was done before and
//! is done after; snapshots of before go on reading.

use std::collections::BTreeMap;

use crate::common::*;
use mgit::store::Repack;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Profile, Store};

fn recode(store: &Store, model: Option<&str>, profile: Profile) -> mgit::store::RecodeReport {
    write(store, |transaction| match model {
        Some(model) => transaction.recode(model, profile, &|_| ()),
        None => transaction.recode_all(profile, &|_| ()),
    })
    .unwrap()
}

fn assert_sound(store: &Store, expected: &Contents, context: &str) {
    let snapshot = store.snapshot().unwrap();
    assert_eq!(&contents(&snapshot).unwrap(), expected, "{context}");
    assert_rows_add_up(&snapshot, context);
    let report = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{context}: {:?}", report.findings);
}

fn of_columns<'a>(name: &str, dtype: &Dtype, columns: u64, bytes: &'a [u8]) -> NewTensor<'a> {
    let rows = bytes.len() as u64 * 8 / u64::from(dtype.bits().unwrap()) / columns;
    NewTensor::from_bytes(name, dtype.clone(), shape(&[rows, columns]), bytes)
}

/// A model of four tensors: floats, halves made of them, integers, and the floats' bytes as halves.
fn member(values: &[u8]) -> Vec<(String, Dtype, Vec<u8>)> {
    let floats: Vec<f32> =
        values.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let halves = floats.iter().flat_map(|v| mgit::half::bf16::from_f32(*v).to_le_bytes()).collect();
    let integers = floats.iter().map(|v| (v * 2500.0) as i8 as u8).collect();
    vec![
        ("floats".to_owned(), Dtype::F32, values.to_vec()),
        ("halves".to_owned(), Dtype::Bf16, halves),
        ("integers".to_owned(), Dtype::I8, integers),
        // The first's content again: its record has one type, and who comes first decides.
        ("words".to_owned(), Dtype::Bf16, values.to_vec()),
    ]
}

/// A content has no type: of what two models have under different ones, the record has one.
#[test]
fn a_content_of_two_types_is_recoded_under_either() {
    let longer = weights(3, 6000);
    let shared = nudged(&longer[..12_000], 5, 3);
    let shorter = [("floats".to_owned(), Dtype::F32, shared.clone())];
    let halves = [("halves".to_owned(), Dtype::Bf16, shared)];
    for (first, profile) in
        Profile::ALL.iter().flat_map(|first| Profile::ALL.map(|then| (*first, then)))
    {
        let (_folder, _, store) = new_store();
        let add = |name: &str, parent: Option<&str>, tensors: &[(String, Dtype, Vec<u8>)]| {
            let mut model = NewModel::new(name).profile(first);
            for (tensor, dtype, bytes) in tensors {
                model = model.tensor(of_columns(tensor, dtype, 60, bytes));
            }
            let model =
                parent.into_iter().fold(model, |model, parent| model.parent(parent, How::FineTune));
            write(&store, |transaction| transaction.add_model(model)).unwrap();
        };
        add("longer", None, &[("floats".to_owned(), Dtype::F32, longer.clone())]);
        add("shorter", Some("longer"), &shorter);
        add("halves", None, &halves);
        let expected = contents(&store.snapshot().unwrap()).unwrap();
        for model in ["halves", "shorter", "halves"] {
            recode(&store, Some(model), profile);
            assert_sound(&store, &expected, &format!("{first:?}, {model} as {profile:?}"));
        }
    }
}

#[test]
fn random_histories_keep_every_byte() {
    for seed in 0..16 {
        let mut random = Random(seed);
        let (_folder, _, store) = new_store();
        let mut expected = Contents::new();
        let mut values: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for step in 0..25 {
            let context = format!("seed {seed}, step {step}");
            let names: Vec<String> = values.keys().cloned().collect();
            let picked = (!names.is_empty()).then(|| names[random.below(names.len())].clone());
            let profile = Profile::ALL[random.below(3)];
            match (random.below(9), picked) {
                (0..=3, parent) => {
                    let name = format!("m{step}");
                    let new = match &parent {
                        Some(parent) => nudged(&values[parent], random.next(), 3),
                        None => weights(random.next(), 3000),
                    };
                    let tensors = member(&new);
                    let mut model = NewModel::new(&name).profile(profile);
                    if let Some(parent) = &parent {
                        model = model.parent(parent, How::FineTune);
                    }
                    for (name, dtype, bytes) in &tensors {
                        model = model.tensor(of_columns(name, dtype, 100, bytes));
                    }
                    add(&store, model).unwrap();
                    let kept = tensors.into_iter().map(|(name, _, bytes)| (name, bytes)).collect();
                    expected.insert(format!("{name}@1"), kept);
                    values.insert(name, new);
                }
                (4, Some(name)) => {
                    write(&store, |transaction| {
                        transaction.remove_model(&name, OnChildren::Reparent)
                    })
                    .unwrap();
                    expected.remove(&format!("{name}@1"));
                    values.remove(&name);
                }
                (5, _) => _ = recode(&store, None, profile),
                (8, _) => {
                    let how = Repack::default().depth_max(random.below(4) as u8).profile(profile);
                    let report = write(&store, |t| t.repack(&how, &|_| ())).unwrap();
                    assert!(report.after_bytes <= report.before_bytes, "{context}: {report:?}");
                }
                (_, Some(name)) => _ = recode(&store, Some(&name), profile),
                (_, None) => {}
            }
            assert_sound(&store, &expected, &context);
        }
    }
}

#[test]
fn an_older_snapshot_and_an_aborted_recode_change_nothing() {
    let (_folder, path, store) = new_store();
    let base = weights(1, 50_000);
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "tuned", &["base"], &nudged(&base, 2, 5)).unwrap();
    let before = store.snapshot().unwrap();
    let expected = contents(&before).unwrap();
    let mut transaction = store.begin_write().unwrap();
    transaction.recode_all(Profile::Dense, &|_| ()).unwrap();
    drop(transaction);
    assert_sound(&store, &expected, "aborted");
    for profile in [Profile::Dense, Profile::Fast, Profile::Balanced, Profile::Dense] {
        let report = recode(&store, None, profile);
        assert_eq!(report.tensors, 2);
        assert_sound(&store, &expected, profile.name());
        assert_eq!(contents(&before).unwrap(), expected);
        assert_eq!(recode(&store, None, profile).changed, 0, "{profile} again");
    }
    drop((before, store));
    assert_eq!(contents_of(&path).unwrap(), expected);
}

#[test]
fn long_tensors_are_recoded_slab_by_slab() {
    let (_folder, _, store) = new_store();
    let base = weights(3, (17 << 20) / 4 + 1000);
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "tuned", &["base"], &nudged(&base, 4, 50)).unwrap();
    let expected = contents(&store.snapshot().unwrap()).unwrap();
    for profile in [Profile::Fast, Profile::Dense, Profile::Balanced] {
        recode(&store, None, profile);
        assert_sound(&store, &expected, profile.name());
    }
    assert!(matches!(
        store.begin_write().unwrap().recode("nobody", Profile::Fast, &|_| ()),
        Err(mgit::store::StoreError::Lineage(_))
    ));
}
