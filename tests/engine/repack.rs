//! Promise: repacking a store, in whatever order it was built, leaves every byte of every model as
//! it is, takes no more room than before and about as little as the best order, within the bound.

use crate::common::*;
use mgit::store::{Repack, RepackReport};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{OnChildren, Store};

fn repack(store: &Store, how: &Repack) -> RepackReport {
    let report = write(store, |transaction| transaction.repack(how, &|_| ())).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, "repacked");
    let found = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(found.is_clean(), "{:?}", found.findings);
    let bytes: u64 = tensor_rows(&snapshot).values().map(|row| row.len).sum();
    assert_eq!(report.after_bytes, bytes);
    assert!(report.after_bytes <= report.before_bytes, "{report:?}");
    report
}

/// Versions of which each moves one in forty weights of the one before; two tensors.
fn versions(count: usize) -> Vec<Vec<(String, Vec<u8>)>> {
    let mut all = vec![(weights(1, 40_000), weights(2, 3000))];
    for step in 1..count as u64 {
        let (a, b) = &all[all.len() - 1];
        all.push((nudged(a, 10 + step, 40), nudged(b, 500 + step, 40)));
    }
    all.into_iter().map(|(a, b)| vec![("a".to_owned(), a), ("b".to_owned(), b)]).collect()
}

/// Imports the versions in this order, each as a model without parents, under a bound.
fn build(store: &Store, versions: &[Vec<(String, Vec<u8>)>], order: &[usize], depth: u8) {
    for at in order {
        let model = model(&format!("v{at}"), &[], &versions[*at]).chain_depth_max(depth);
        add(store, model).unwrap();
    }
}

/// In an order that keeps neighbours apart.
const WORST: [usize; 12] = [11, 0, 5, 8, 2, 10, 4, 7, 1, 9, 3, 6];

#[test]
fn the_worst_order_becomes_about_as_small_as_the_best() {
    let versions = versions(12);
    for depth in [1, 2, 4] {
        let how = Repack::default().depth_max(depth);
        // Each version on the one before, or on the nearest that leaves room: what repacking finds
        // is at least as good.
        let (_folder, _, ordered) = new_store();
        build(&ordered, &versions, &(0..12).collect::<Vec<_>>(), depth);
        let best = repack(&ordered, &how).after_bytes;
        for built in [0, depth, 12] {
            let (_folder, path, store) = new_store();
            build(&store, &versions, &WORST, built);
            let before = contents(&store.snapshot().unwrap()).unwrap();
            let report = repack(&store, &how);
            println!("built {built}, bound {depth}: {report:?}, from the best order {best}");
            assert!(report.after_bytes as f64 <= 1.02 * best as f64, "{report:?} {best}");
            if built <= depth {
                assert!(report.after_depth <= depth, "{report:?}");
                assert!(report.after_bytes < report.before_bytes, "{report:?}");
            }
            assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
            // What is stored is known better than what is only tried on pieces: little may change.
            let again = repack(&store, &how);
            assert!(again.after_bytes as f64 >= 0.98 * report.after_bytes as f64, "{again:?}");
            assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before, "again");
            drop(store);
            assert_eq!(contents_of(&path).unwrap(), before);
        }
    }
}

#[test]
fn a_dry_run_tells_what_a_run_does_and_changes_nothing() {
    let versions = versions(6);
    let (_folder, path, store) = new_store();
    build(&store, &versions, &[5, 0, 3, 1, 4, 2], 1);
    let len = std::fs::metadata(&path).unwrap().len();
    let how = Repack::default().depth_max(2);
    let dry = write(&store, |t| t.repack(&how.clone().dry_run(true), &|_| ())).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
    let real = repack(&store, &how);
    assert_eq!((dry.changed, dry.before_bytes), (real.changed, real.before_bytes));
    let saved = |report: &RepackReport| (report.before_bytes - report.after_bytes) as f64;
    assert!((saved(&dry) / saved(&real) - 1.0).abs() < 0.02, "{dry:?} {real:?}");
}

#[test]
fn long_tensors_hidden_bases_and_other_lengths_are_repacked() {
    let (_folder, _, store) = new_store();
    let base = weights(3, (17 << 20) / 4 + 1000);
    let near = nudged(&base, 4, 200);
    let far = nudged(&nudged(&base, 5, 3), 6, 3);
    let model = |name: &str, bytes: &[u8]| {
        add(&store, model(name, &[], &one(bytes.to_vec())).chain_depth_max(0)).unwrap();
    };
    model("far", &far);
    model("near", &near);
    model("base", &base);
    model("other", &weights(9, 1000));
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let report = repack(&store, &Repack::default());
    assert!(report.changed >= 2 && report.after_bytes < report.before_bytes / 2, "{report:?}");
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
    for name in ["base", "near", "far"] {
        write(&store, |t| t.remove_model(name, OnChildren::Detach)).unwrap();
        repack(&store, &Repack::default());
        let left = contents(&store.snapshot().unwrap()).unwrap();
        assert!(left.iter().all(|(name, tensors)| before[name] == *tensors), "{name}");
    }
}
