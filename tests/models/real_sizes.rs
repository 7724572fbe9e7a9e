//! Promise: what a family takes does not depend on the parents that are named nor on the order in
//! which its models come, and a small store's catalogue is in proportion.
//!
//! The models are those beside the project, which a clone does not have: it skips, but for the
//! demo's. Whole models are taken from the folder that `MGIT_MODELS` names, if it does.

use std::fs;
use std::path::{Path, PathBuf};

use super::real_models::{Member, lineages, members};
use crate::common;
use crate::common::{add, assert_rows_add_up, folder, memory_folder, write};
use mgit::interchange::ModelSource;
use mgit::store::Repack;
use mgit::{How, NewModel, Store};

/// The records of a family, each member with the parents that `parents` gives it.
fn size_of<'m>(
    what: &str,
    members: &'m [Member],
    parents: impl Fn(usize) -> Option<&'m str>,
) -> (u64, Vec<u64>, common::Contents) {
    let (_home, _, store) = common::new_store();
    let mut added = Vec::new();
    for (at, member) in members.iter().enumerate() {
        let file = ModelSource::open(&member.file).unwrap();
        let new = NewModel::new(&member.name);
        let new = parents(at).into_iter().fold(new, |new, parent| new.parent(parent, How::Other));
        added.push(add(&store, new.source(&file)).unwrap().added_bytes);
    }
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, what);
    let stored = common::tensor_rows(&snapshot).values().map(|row| row.len).sum();
    (stored, added, common::contents(&snapshot).unwrap())
}

#[test]
fn parents_withheld_or_wrong_cost_next_to_nothing() {
    let Some(folder) = lineages() else { return };
    let mut folders = vec![("starter", folder.join("starter")), ("slices", folder.join("slices"))];
    let unpacked = std::env::var_os("MGIT_MODELS").map(PathBuf::from);
    folders.extend(unpacked.map(|unpacked| ("whole", unpacked)));
    for (what, folder) in folders {
        let all = members(&folder);
        let (right, by_right, contents) = size_of(what, &all, |at| all[at].parent.as_deref());
        let (withheld, by_withheld, same) = size_of(what, &all, |_| None);
        assert!(contents == same, "{what}");
        // Its true parent's place is taken by a model that is neither that nor its relative, or,
        // in a family of one tree, by the last before it that is not its parent.
        let family = |member: &Member| member.name.split('-').next().unwrap().to_owned();
        let wrong = |at: usize| {
            let earlier =
                || all[..at].iter().rev().filter(|m| Some(&m.name) != all[at].parent.as_ref());
            let stranger = earlier().find(|m| family(m) != family(&all[at]));
            stranger.or_else(|| earlier().next()).map(|m| m.name.as_str())
        };
        let (wrong, by_wrong, same) = size_of(what, &all, wrong);
        assert!(contents == same, "{what}");
        println!("{what}: right {right}, withheld {withheld}, wrong {wrong}");
        for (at, member) in all.iter().enumerate() {
            let sizes = (by_right[at], by_withheld[at], by_wrong[at]);
            println!("  {}: {sizes:?}", member.name);
        }
        for other in [withheld, wrong] {
            assert!(other as f64 <= 1.03 * right as f64, "{what}: {other} for {right}");
        }
    }
}

/// Which parents are given when a model is imported, as far as they are there.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Parents {
    Declared,
    Withheld,
    /// The model that came last and is not the parent.
    Wrong,
}

/// What a family takes in the order in which it came.
struct InOrder {
    imported: u64,
    repacked: u64,
    /// Bytes of the file, before the repack and behind it.
    file: [u64; 2],
}

/// Models after `import` in this order, as the tool does it, and after `repack`.
fn sizes_in_order(what: &str, members: &[&Member], parents: Parents) -> InOrder {
    let home = memory_folder();
    let path = home.path().join("models.mgit");
    let store = Store::create(&path).unwrap();
    for (at, member) in members.iter().enumerate() {
        let file = ModelSource::open(&member.file).unwrap();
        let earlier = &members[..at];
        let declared = || earlier.iter().find(|it| Some(&it.name) == member.parent.as_ref());
        let wrong = || earlier.iter().rev().find(|it| Some(&it.name) != member.parent.as_ref());
        let parent = match parents {
            Parents::Declared => declared(),
            Parents::Withheld => None,
            Parents::Wrong => wrong(),
        };
        let new = NewModel::new(&member.name).source(&file);
        let new = parent.into_iter().fold(new, |new, it| new.parent(&it.name, member.how));
        write(&store, |transaction| {
            let added = transaction.add_model(new)?;
            transaction.repack_around(&added.node, &Repack::default())
        })
        .unwrap();
    }
    let stored = || {
        let snapshot = store.snapshot().unwrap();
        common::tensor_rows(&snapshot).values().map(|row| row.len).sum()
    };
    let len = || fs::metadata(&path).unwrap().len();
    let (imported, before) = (stored(), len());
    write(&store, |transaction| transaction.repack(&Repack::default(), &|_| ())).unwrap();
    assert_rows_add_up(&store.snapshot().unwrap(), what);
    mgit::upkeep::give_back_to(&store, before).unwrap();
    InOrder { imported, repacked: stored(), file: [before, len()] }
}

#[test]
fn no_order_of_import_costs_much() {
    let Some(folder) = lineages() else { return };
    let orders = std::env::var("MGIT_ORDERS").map_or(1, |text| text.parse().unwrap());
    let mut families = vec![("slices", vec![folder.join("starter"), folder.join("slices")])];
    let unpacked = std::env::var_os("MGIT_MODELS").map(PathBuf::from);
    families.extend(unpacked.map(|unpacked| ("whole", vec![unpacked])));
    let mut random = common::Random(common::seed());
    for (what, folders) in families {
        let all: Vec<Member> = folders.iter().flat_map(|folder| members(folder)).collect();
        let mut order: Vec<&Member> = all.iter().collect();
        let best = sizes_in_order(what, &order, Parents::Declared).imported;
        println!("{what}, bases first: {best}");
        for _ in 0..orders {
            for at in (1..order.len()).rev() {
                order.swap(at, random.below(at + 1));
            }
            for parents in [Parents::Declared, Parents::Withheld, Parents::Wrong] {
                let found = sizes_in_order(what, &order, parents);
                let share = |of: u64| of as f64 / best as f64;
                let (imported, repacked) = (share(found.imported), share(found.repacked));
                let names: Vec<&str> = order.iter().map(|it| it.name.as_str()).collect();
                let file = found.file[1] as f64 / found.file[0] as f64;
                println!(
                    "{what}, {parents:?}: {imported:.3} -> {repacked:.3}, file {file:.3}, {names:?}"
                );
                // A page more for the change record, of 20 MB.
                assert!(file <= 1.001, "{what}, {parents:?}: {file}, {names:?}");
                assert!(imported <= 1.05, "{what}, {parents:?}: {imported}, {names:?}");
                assert!(repacked <= 1.03, "{what}, {parents:?}: {repacked}, {names:?}");
            }
        }
    }
}

/// A pair of many short tensors: 86 of the 136 have at most 94 elements. What the file has
/// beside the payloads (2.79 MB) is frames (50 KB), manifests (18 KB) and the catalogue (109 KB).
#[test]
fn a_catalogue_of_short_tensors_is_in_proportion() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/mgit-db/demo");
    let home = folder();
    let path = home.path().join("pair.mgit");
    let mut plain = 0;
    drop(Store::create(&path).unwrap());
    for (name, parent) in [("chgnet-0.3.0", None), ("chgnet-r2scan", Some("chgnet-0.3.0"))] {
        let file = demo.join(format!("{name}.safetensors"));
        plain += fs::metadata(&file).unwrap().len();
        let file = ModelSource::open(file).unwrap();
        let new = NewModel::new(name).source(&file);
        let new = parent.into_iter().fold(new, |new, parent| new.parent(parent, How::FineTune));
        // Closed each time, as by a command.
        add(&Store::open(&path).unwrap(), new).unwrap();
    }
    let share = || fs::metadata(&path).unwrap().len() as f64 / plain as f64;
    let imported = share();
    let store = Store::open(&path).unwrap();
    write(&store, |transaction| transaction.repack(&Repack::default(), &|_| ())).unwrap();
    mgit::upkeep::give_back(&store).unwrap();
    drop(store);
    let repacked = share();
    mgit::upkeep::vacuum(&path, &|_| ()).unwrap();
    println!("imported {imported:.4}, repacked {repacked:.4}, vacuumed {:.4}", share());
    assert!(imported <= 0.91, "{imported}");
    assert!(repacked <= 0.9 && share() <= 0.9, "{repacked}, {}", share());
}
