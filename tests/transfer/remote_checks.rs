//! Promise: what a push or a bundle leaves behind was read back; a remote can be verified; packs
//! that were lost there are written again or named; what is no file is refused, not waited for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::common::remote::{ALL, Hooked, assert_same, family, grown};
use crate::common::{add, contents, model, nudged, weights, write};
use mgit::error::full_message;
use mgit::lineage::OnChildren;
use mgit::transfer::{
    Place, RemoteReport, TransferError, bundle_create, bundle_import, pull, pull_from_remote, push,
    push_to_remote, verify_place, verify_remote,
};
use mgit::upkeep::VerifyDepth;
use mgit::{Profile, Store};

fn check(place: &Place) -> RemoteReport {
    verify_place(place, VerifyDepth::Full, &|_| ()).unwrap()
}

/// A family that was pushed twice to a folder, and its packs.
fn pushed(folder: &Path) -> (Store, Place, Vec<PathBuf>) {
    let store = family(&folder.join("a.mgit"));
    let root = folder.join("remote");
    let place = Place::Folder(root.clone());
    push(&store, &place, ALL).unwrap();
    grown(&store, "third", "tuned@2", 5);
    push(&store, &place, ALL).unwrap();
    let packs = fs::read_dir(root.join("packs")).unwrap();
    let mut packs: Vec<PathBuf> = packs.map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    assert_eq!(packs.len(), 2);
    (store, place, packs)
}

#[test]
fn a_whole_remote_is_clean_and_every_hurt_byte_is_found() {
    let folder = common::folder();
    let (_store, place, packs) = pushed(folder.path());
    let report = check(&place);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.refs, report.packs, report.models, report.unnamed_packs), (2, 2, 4, 0));
    let quick = verify_place(&place, VerifyDepth::Quick, &|_| ()).unwrap();
    assert!(quick.is_clean() && quick.records == report.records);
    let (mut found, mut flips) = (0, 0);
    for pack in &packs {
        let whole = fs::read(pack).unwrap();
        for at in (0..whole.len()).step_by(1 + whole.len() / 60) {
            let mut hurt = whole.clone();
            hurt[at] ^= 0x10;
            fs::write(pack, &hurt).unwrap();
            flips += 1;
            found += usize::from(!check(&place).is_clean());
        }
        fs::write(pack, &whole).unwrap();
    }
    // Padding is nobody's.
    assert!(found * 100 >= flips * 95, "{found} of {flips}");
}

#[test]
fn what_is_not_there_is_named() {
    let folder = common::folder();
    let (_store, place, packs) = pushed(folder.path());
    for pack in &packs {
        let whole = fs::read(pack).unwrap();
        let name = pack.file_name().unwrap().to_str().unwrap();
        fs::remove_file(pack).unwrap();
        let named = check(&place).findings.iter().any(|found| found.subject.contains(name));
        assert!(named, "gone");
        fs::write(pack, &whole[..whole.len() - 1]).unwrap();
        let named = check(&place).findings.iter().any(|found| found.subject.contains(name));
        assert!(named, "cut");
        fs::write(pack, &whole).unwrap();
    }
    fs::write(folder.path().join("remote/packs/left.pack"), b"left").unwrap();
    let report = check(&place);
    assert!(report.is_clean() && report.unnamed_packs == 1, "{report:?}");
    let first = folder.path().join("remote/refs/00000001");
    fs::remove_file(&first).unwrap();
    assert_eq!(check(&place).findings[0].subject, "refs/00000001");
    let nowhere = Place::Folder(folder.path().join("nowhere"));
    let error = verify_place(&nowhere, VerifyDepth::Full, &|_| ()).unwrap_err();
    assert!(matches!(error, TransferError::NotFound { .. }));
}

#[test]
fn a_hurt_bundle_is_found() {
    let folder = common::folder();
    let store = family(&folder.path().join("a.mgit"));
    let path = folder.path().join("bundle");
    bundle_create(&store, &path, ALL).unwrap();
    let place = Place::parse(path.to_str().unwrap()).unwrap();
    let report = check(&place);
    assert!(report.is_clean() && report.models == 3, "{report:?}");
    let whole = fs::read(&path).unwrap();
    assert_eq!(report.bytes, whole.len() as u64 - padding(&whole));
    for at in [8, 300, whole.len() / 2, whole.len() - 70, whole.len() - 30] {
        let mut hurt = whole.clone();
        hurt[at] ^= 1;
        fs::write(&path, &hurt).unwrap();
        assert!(!check(&place).is_clean(), "{at}");
    }
    fs::write(&path, &whole[..40]).unwrap();
    assert!(!check(&place).is_clean());
}

/// Bytes between records: what the report does not count.
fn padding(whole: &[u8]) -> u64 {
    let trailer = &whole[whole.len() - 64..];
    let number = |at: usize| u64::from_le_bytes(trailer[at..at + 8].try_into().unwrap());
    let index = &whole[number(8) as usize..];
    let count = u32::from_le_bytes(index[12..16].try_into().unwrap());
    let (mut at, mut held) = (32, 64);
    for _ in 0..count {
        let bases = usize::from(index[at + 1]);
        held += u64::from_le_bytes(index[at + 16..at + 24].try_into().unwrap());
        at += 8 + 24 + 32 + 32 * bases;
    }
    number(8) - held
}

#[test]
fn a_push_writes_lost_packs_again_or_names_them() {
    let folder = common::folder();
    let (store, place, packs) = pushed(folder.path());
    for pack in &packs {
        fs::remove_file(pack).unwrap();
        let report = push(&store, &place, ALL).unwrap();
        assert_eq!(report.rewritten.len(), 1);
        assert!(check(&place).is_clean());
        // Cut short, while something is to be pushed.
        let whole = fs::read(pack).unwrap();
        fs::write(pack, &whole[..100]).unwrap();
        grown(&store, "more", "base", whole.len() as u64);
        let report = push(&store, &place, ALL).unwrap();
        assert_eq!((report.rewritten.len(), report.models.len()), (1, 1));
        assert!(check(&place).is_clean());
    }
    let clone = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&clone, &place, ALL).unwrap();
    assert_same(&store, &clone, "from packs that were written again");
    // Who does not know what they held writes nothing, and says what is lost.
    let path = folder.path().join("bundle");
    bundle_create(&store, &path, ALL).unwrap();
    let stranger = Store::create(folder.path().join("c.mgit")).unwrap();
    bundle_import(&stranger, &path, ALL).unwrap();
    packs.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let error = push(&stranger, &place, ALL).unwrap_err();
    let TransferError::Lost { packs: lost, .. } = &error else { panic!("{error}") };
    assert!(lost.len() >= 2 && error.to_string().contains(&lost[0]), "{error}");
    // The clone has them as they were.
    assert!(push(&clone, &place, ALL).unwrap().rewritten.len() >= 2);
    assert!(check(&place).is_clean());
}

/// Every file of a folder remote.
fn files(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let Place::Folder(root) = place else { panic!("{place:?}") };
    let folders = ["packs", "refs"].map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Pushes to a remote that has lost packs: they are replaced, and nothing else is touched.
fn replace(store: &Store, place: &Place, lost: usize) {
    assert!(!check(place).is_clean());
    let before = files(place);
    let report = push(store, place, ALL).unwrap();
    assert_eq!((report.replaced.len(), report.models.len()), (lost, 0), "{report:?}");
    let now = files(place);
    assert_eq!(now.len(), before.len() + lost + 1, "the new packs and a ref");
    assert!(before.iter().all(|(path, bytes)| now.get(path) == Some(bytes)), "changed");
    let report = check(place);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(push(store, place, ALL).unwrap().replaced, []);
    assert_eq!(files(place), now);
}

#[test]
fn a_lost_pack_is_replaced_where_its_contents_are_stored_differently_now() {
    let folder = common::folder();
    let (store, place, packs) = pushed(folder.path());
    let old = Store::create(folder.path().join("old.mgit")).unwrap();
    pull(&old, &place, ALL).unwrap();
    write(&store, |t| t.recode_all(Profile::Dense, &|_| ())).unwrap();
    write(&store, |t| t.pin("tuned@2")).unwrap();
    // The first alone, which what stays stands on; then what replaced it, and the second.
    let first = packs.iter().position(|pack| holds(pack) > 2).unwrap();
    fs::remove_file(&packs[first]).unwrap();
    replace(&store, &place, 1);
    // One that is the same, and one that is not.
    fs::remove_file(&packs[1 - first]).unwrap();
    let now =
        files(&place).into_keys().find(|path| path.extension().is_some() && !packs.contains(path));
    write(&store, |t| t.unpin("tuned@2", Profile::Dense)).unwrap();
    fs::remove_file(now.unwrap()).unwrap();
    let report = push(&store, &place, ALL).unwrap();
    assert_eq!(report.replaced.len() + report.rewritten.len(), 2, "{report:?}");
    assert!(!report.replaced.is_empty() && check(&place).is_clean(), "{report:?}");
    // Who has pulled before goes on, and who comes now gets the same.
    grown(&store, "more", "third", 77);
    push(&store, &place, ALL).unwrap();
    assert_eq!(pull(&old, &place, ALL).unwrap().models, ["more@1"]);
    let new = Store::create(folder.path().join("new.mgit")).unwrap();
    pull(&new, &place, ALL).unwrap();
    assert_same(&store, &old, "one that had pulled");
    assert_same(&store, &new, "from replaced packs");
}

/// How many records the index of a pack names.
fn holds(pack: &Path) -> u32 {
    let whole = fs::read(pack).unwrap();
    let trailer = &whole[whole.len() - 64..];
    let at = u64::from_le_bytes(trailer[8..16].try_into().unwrap()) as usize;
    u32::from_le_bytes(whole[at + 12..at + 16].try_into().unwrap())
}

#[test]
fn what_nothing_needs_may_be_missing_from_a_replaced_pack_and_nothing_else() {
    let folder = common::folder();
    let store = Store::create(folder.path().join("a.mgit")).unwrap();
    let base = weights(1, 40_000);
    let body = |bytes: Vec<u8>| [("body".to_owned(), bytes)];
    add(&store, model("base", &[], &body(base.clone()))).unwrap();
    for (name, seed) in [("one", 3), ("two", 4), ("three", 5), ("four", 6)] {
        add(&store, model(name, &["base"], &body(nudged(&base, seed, 9)))).unwrap();
    }
    write(&store, |t| t.remove_model("base", OnChildren::Detach)).unwrap();
    let place = Place::Folder(folder.path().join("remote"));
    push(&store, &place, ALL).unwrap();
    let packs = || {
        let all = files(&place).into_keys();
        all.filter(|path| path.extension().is_some()).collect::<Vec<_>>()
    };
    let [pack] = <[PathBuf; 1]>::try_from(packs()).unwrap();
    assert_eq!(holds(&pack), 9, "four models, four tensors, and what they stand on");
    for name in ["one", "two", "three", "four"] {
        write(&store, |t| t.pin(name)).unwrap();
    }
    fs::remove_file(&pack).unwrap();
    replace(&store, &place, 1);
    let [pack] = <[PathBuf; 1]>::try_from(packs()).unwrap();
    assert_eq!(holds(&pack), 8);
    let clone = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&clone, &place, ALL).unwrap();
    let [ours, theirs] = [&store, &clone].map(|it| contents(&it.snapshot().unwrap()).unwrap());
    assert_eq!(ours, theirs);
    // A model that is there and not here any more.
    write(&store, |t| t.remove_model("two", OnChildren::Refuse)).unwrap();
    fs::remove_file(&pack).unwrap();
    let error = push(&store, &place, ALL).unwrap_err();
    assert!(matches!(error, TransferError::Lost { .. }));
    assert!(error.to_string().contains("of two@1 the manifest is not here"), "{error}");
}

#[test]
fn what_a_remote_keeps_wrongly_does_not_count() {
    let folder = common::folder();
    let store = family(&folder.path().join("a.mgit"));
    let remote = Hooked {
        after_put: Some(Box::new(|file| {
            let middle = file.len() / 2;
            file[middle] ^= 1;
        })),
        ..Hooked::default()
    };
    let error = push_to_remote(&store, &remote, ALL).unwrap_err();
    assert!(matches!(error, TransferError::NotReadable { .. }), "{error}");
    let error = verify_remote(&remote, VerifyDepth::Full, &|_| ()).unwrap_err();
    assert!(matches!(error, TransferError::NotFound { .. }), "a ref was made");
    // What lies there has the right length: it is looked at, and written again.
    push_to_remote(&store, &remote.memory, ALL).unwrap();
    assert!(verify_remote(&remote.memory, VerifyDepth::Full, &|_| ()).unwrap().is_clean());
    let clone = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_remote(&clone, &remote.memory, ALL).unwrap();
    assert_same(&store, &clone, "after another push");
}

#[test]
fn an_empty_store_can_be_pushed_and_cloned() {
    let folder = common::folder();
    let store = Store::create(folder.path().join("a.mgit")).unwrap();
    let place = Place::Folder(folder.path().join("remote"));
    push(&store, &place, ALL).unwrap();
    assert!(check(&place).is_clean());
    let clone = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&clone, &place, ALL).unwrap();
    assert_same(&store, &clone, "nothing");
}

/// Pipes, sockets, devices and folders in the place of files.
#[test]
fn what_is_no_file_is_refused_by_name() {
    let folder = common::folder();
    let (store, place, packs) = pushed(folder.path());
    let at = |name: &str| folder.path().join(name);
    let clone = Store::create(at("b.mgit")).unwrap();
    let pipe = at("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let others =
        [(pipe, "a pipe"), (at("socket"), "a socket"), (PathBuf::from("/dev/zero"), "a device")];
    for (other, kind) in &others {
        let named = |error: &(dyn std::error::Error + 'static)| {
            assert!(full_message(error).contains(kind), "{kind}: {error}");
        };
        // As a place, and as a bundle.
        named(&Place::parse(other.to_str().unwrap()).unwrap_err());
        named(&bundle_import(&clone, other, ALL).unwrap_err());
        // As a ref.
        let last = at("remote/refs/00000003");
        std::os::unix::fs::symlink(other, &last).unwrap();
        named(&pull(&clone, &place, ALL).unwrap_err());
        named(&push(&store, &place, ALL).unwrap_err());
        named(&verify_place(&place, VerifyDepth::Full, &|_| ()).unwrap_err());
        fs::remove_file(&last).unwrap();
        // As a pack.
        let aside = at("aside");
        fs::rename(&packs[0], &aside).unwrap();
        std::os::unix::fs::symlink(other, &packs[0]).unwrap();
        named(&pull(&clone, &place, ALL).unwrap_err());
        assert!(!check(&place).is_clean());
        fs::remove_file(&packs[0]).unwrap();
        fs::rename(&aside, &packs[0]).unwrap();
    }
    let inside = at("remote/refs/00000003");
    fs::create_dir(&inside).unwrap();
    let error = pull(&clone, &place, ALL).unwrap_err();
    assert!(full_message(&error).contains("a folder"), "{error}");
    fs::remove_dir(&inside).unwrap();
    pull(&clone, &place, ALL).unwrap();
    assert_same(&store, &clone, "as it was");
}
