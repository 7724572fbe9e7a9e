//! Promise: a store that is missing, is none, is newer, cut off, read-only, full or in use gives a
//! typed error that says what to do, never a panic and never wrong bytes, and nothing is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::children::{RoleChild, role};
use crate::common::{
    Contents, add_one, contents, contents_of, folder, model, new_store, noise, nudged, one,
    weights, write,
};
use mgit::container::ContainerError;
use mgit::error::{DestinationError, full_message};
use mgit::format::{SUPERBLOCK_LEN, superblock_field};
use mgit::store::Access;
use mgit::store::{Result, StoreError};
use mgit::{OnChildren, Store};

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, text: &str) -> StoreError {
    let error = result.unwrap_err();
    assert_eq!(full_message(&error).as_str(), text);
    error
}

/// Asserts that neither way to open `path` works, and that it is left as it is.
#[track_caller]
fn neither_opens(path: &Path, text: &str) {
    refused(Store::open(path), text);
    refused(Store::open_read_only(path), text);
}

/// A closed store with a base, a child and a tensor of some size.
fn some_store() -> (tempfile::TempDir, PathBuf, Contents) {
    let (folder, path, store) = new_store();
    let base = weights(1, 10_000);
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "child", &["base"], &nudged(&base, 2, 20)).unwrap();
    add_one(&store, "other", &[], &noise(3, 150_000)).unwrap();
    let expected = contents(&store.snapshot().unwrap()).unwrap();
    (folder, path, expected)
}

/// Plays a role in a child process; does nothing in the test run itself.
#[test]
fn child_role() {
    match role() {
        Some((role, path)) if role == "read-only" => reads_a_read_only_folder(&path),
        Some((role, path)) if role == "full" => fills_a_disk(&path),
        Some((role, path)) if role == "full-create" => creates_on_a_full_disk(&path),
        Some((role, _)) => panic!("no role {role}"),
        None => {}
    }
}

#[test]
fn a_missing_store_is_named_with_what_to_do() {
    let folder = folder();
    let path = folder.path().join("none.mgit");
    let text = format!("no store at {}", path.display());
    neither_opens(&path, &text);
    assert!(!path.exists(), "opening makes nothing");
    let inside = path.join("models.mgit");
    assert!(matches!(
        Store::create(&inside).unwrap_err(),
        StoreError::Destination(DestinationError::NoFolder { .. })
    ));
}

#[test]
fn what_is_no_store_is_called_what_it_is() {
    let folder = folder();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let header = br#"{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#;
    let safetensors = [&(header.len() as u64).to_le_bytes()[..], header, &[7; 8]].concat();
    let text_mode = [&b"\x89mgit\n\x1a"[..], &[0; 9000]].concat();
    for (name, bytes, found) in [
        ("empty", &b""[..], "the file is empty"),
        ("short", b"abc", "the file begins with \"abc\""),
        ("text", &b"Dear diary, ".repeat(2000), "the file begins with \"Dear dia\""),
        ("model.safetensors", &safetensors, "the file begins with \"5\\0\\0\\0\\0\\0\\0\\0\""),
        ("zeros", &[0; 20_000], "the file begins with \"\\0\\0\\0\\0\\0\\0\\0\\0\""),
        ("text-mode", &text_mode, "the file begins with \"\u{fffd}mgit\\n\\u{1a}\\0\""),
    ] {
        let path = file(name, bytes);
        neither_opens(&path, &format!("not an mgit store: {found}"));
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} is left alone");
        assert!(matches!(Store::create(&path).unwrap_err(), StoreError::AlreadyExists { .. }));
    }
    neither_opens(folder.path(), "not an mgit store: it is a folder");
    neither_opens(Path::new("/dev/null"), "not an mgit store: it is a device");
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = folder();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: there is no mkfifo");
        return;
    }
    neither_opens(&path, "not an mgit store: it is a pipe");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    neither_opens(&socket, "not an mgit store: it is a socket");
}

/// Changes both superblocks, and makes their checksums right again.
fn change_superblocks(path: &Path, change: impl Fn(&mut [u8])) {
    let mut bytes = fs::read(path).unwrap();
    for slot in bytes[..2 * SUPERBLOCK_LEN].chunks_mut(SUPERBLOCK_LEN) {
        change(slot);
        let checksum = blake3::hash(&slot[..superblock_field::CHECKSUM]);
        slot[superblock_field::CHECKSUM..].copy_from_slice(&checksum.as_bytes()[..16]);
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let (_folder, path, expected) = some_store();
    let original = fs::read(&path).unwrap();
    let at = superblock_field::FORMAT_VERSION;
    change_superblocks(&path, |slot| slot[at..at + 2].copy_from_slice(&7u16.to_le_bytes()));
    let text = "the store has format version 7, this program knows versions up to 1: use a newer \
                mgit";
    neither_opens(&path, text);
    // Its bits are only believed when the checksum is right.
    let mut bytes = original.clone();
    bytes[at] ^= 2;
    bytes[SUPERBLOCK_LEN + at] ^= 2;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(
        Store::open(&path).unwrap_err(),
        StoreError::Container(ContainerError::Format { .. })
    ));
    fs::write(&path, &original).unwrap();
    assert_eq!(contents_of(&path).unwrap(), expected);
}

#[test]
fn unknown_features_are_refused_for_what_they_concern() {
    let (_folder, path, expected) = some_store();
    let original = fs::read(&path).unwrap();
    change_superblocks(&path, |slot| slot[superblock_field::READER_FLAGS + 7] = 0x80);
    let text = "the store uses features (0x8000000000000000) that this program does not know: use \
                a newer mgit";
    neither_opens(&path, text);
    fs::write(&path, &original).unwrap();
    change_superblocks(&path, |slot| slot[superblock_field::WRITER_FLAGS] = 8);
    let text = "the store uses features (0x8) that this program cannot write: open it read-only \
                or use a newer mgit";
    refused(Store::open(&path), text);
    assert_eq!(contents_of(&path).unwrap(), expected);
}

/// What a damaged file may be called.
const DAMAGE_CODES: [&str; 4] = ["truncated", "not-a-store", "damaged", "io"];

/// Whether everything reads back through `store`; asserts that what does is right, and that
/// nothing is silently missing.
fn reads_back(store: &Store, expected: &Contents, context: &str) -> bool {
    let damage = |error: StoreError| {
        assert!(DAMAGE_CODES.contains(&error.code()), "{context}: {}: {error}", error.code());
        false
    };
    let snapshot = match store.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return damage(error),
    };
    let nodes = match snapshot.nodes() {
        Ok(nodes) => nodes,
        Err(error) => return damage(error),
    };
    assert_eq!(nodes.len(), expected.len(), "{context}: models are silently missing");
    let mut whole = true;
    for (name, tensors) in expected {
        for (tensor, bytes) in tensors {
            let read = || snapshot.model(name)?.tensor(tensor)?.view();
            match read() {
                Ok(view) => assert!(*view == bytes[..], "{context}: wrong bytes"),
                Err(error) => whole = damage(error),
            }
        }
    }
    whole
}

#[test]
fn a_store_cut_off_anywhere_is_an_error_or_whole() {
    let (_folder, path, expected) = some_store();
    let bytes = fs::read(&path).unwrap();
    let copy = path.with_extension("cut");
    let lens: Vec<usize> = (0..64)
        .chain((64..bytes.len()).step_by(1511))
        .chain((4096..bytes.len()).step_by(8192))
        .chain(bytes.len() - 64..=bytes.len())
        .collect();
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for len in lens {
        fs::write(&copy, &bytes[..len]).unwrap();
        let context = format!("{len} of {} bytes", bytes.len());
        let mut open = |how: &str, result: Result<Store>| match result {
            Ok(store) => {
                let whole = reads_back(&store, &expected, &format!("{how}, {context}"));
                *codes.entry(format!("{how}: opens, whole {whole}")).or_default() += 1;
                if len == bytes.len() {
                    assert!(whole, "{context}");
                }
                Some((store, whole))
            }
            Err(error) => {
                let is_cut = matches!(
                    error,
                    StoreError::Container(ContainerError::Truncated { .. }) if len >= 8
                );
                let is_none = matches!(
                    error,
                    StoreError::Container(ContainerError::NotAStore { .. }) if len < 8
                );
                assert!(is_cut || is_none, "{context}: {error}");
                assert!(full_message(&error).len() > 20, "{context}: {error}");
                *codes.entry(format!("{how}: cut {is_cut}")).or_default() += 1;
                None
            }
        };
        drop(open("read", Store::open_read_only(&copy)));
        assert!(fs::read(&copy).unwrap() == bytes[..len], "{context}: a look changed the file");
        let opened = open("write", Store::open(&copy));
        if opened.is_none() {
            assert!(fs::read(&copy).unwrap() == bytes[..len], "{context}: a refusal changed it");
        }
        if let Some((store, false)) = opened {
            // Nothing is written into a store that has lost something.
            let error = store.begin_write().unwrap_err();
            assert!(
                matches!(error, StoreError::Container(ContainerError::Truncated { .. })),
                "{context}: {error}"
            );
            let text = full_message(&error);
            assert!(text.starts_with("the store is cut off: "), "{text}");
            assert!(text.ends_with("restore the file from a copy"), "{text}");
        }
    }
    println!("{codes:?}");
}

/// Reads a store in a folder that cannot be written.
fn reads_a_read_only_folder(path: &Path) {
    let found = contents_of(path).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(Store::open_read_only(path).unwrap().access(), Access::Read);
    let text = format!("cannot open {}: Read-only file system (os error 30)", path.display());
    refused(Store::open(path), &text);
    let error = Store::create(path.with_extension("new")).unwrap_err();
    assert!(matches!(error, StoreError::OpenFile { .. }));
    assert!(full_message(&error).contains("Read-only file system"), "{error}");
}

#[test]
fn a_store_in_a_read_only_folder_can_be_read() {
    let (folder, path, expected) = some_store();
    let before = fs::read(&path).unwrap();
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    match RoleChild::start_mounted(module_path!(), mount, "read-only", &path) {
        Some(child) => child.finish(),
        None => println!("skipped: a read-only mount is not allowed here"),
    }
    // Whoever is not hindered by permissions is not hindered here either.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(contents_of(&path).unwrap(), expected);
    assert!(fs::read(&path).unwrap() == before);
    match Store::open(&path) {
        Ok(_) => println!("skipped: permissions do not hinder this user"),
        Err(error) => {
            assert!(matches!(error, StoreError::OpenFile { .. }));
            assert!(full_message(&error).contains("Permission denied"), "{error}");
        }
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Fills a disk of a few MiB, loses nothing, and goes on when there is room.
fn fills_a_disk(path: &Path) {
    let ballast = path.with_file_name("ballast");
    fs::write(&ballast, noise(0, 600_000)).unwrap();
    let mut store = Store::create(path).unwrap();
    let mut expected = Contents::new();
    let (mut full, mut unknown) = (0, 0);
    for at in 0..200 {
        // Some large, some small: records and the catalogue both meet the end.
        let tensors = one(noise(at, if at % 3 == 0 { 120_000 } else { 900 }));
        let name = format!("m{at}");
        let result = write(&store, |t| t.add_model(model(&name, &[], &tensors)).map(drop));
        let Err(error) = result else {
            expected.insert(format!("{name}@1"), tensors);
            continue;
        };
        if !matches!(error, StoreError::Container(ContainerError::Poisoned)) {
            assert!(error.is_disk_full(), "{error}");
            let text = full_message(&error);
            assert!(text.contains("the disk is full: free some room"), "{text}");
            full += 1;
        }
        // Looking works on the full disk, and shows everything committed.
        let mut found = contents_of(path).unwrap();
        if matches!(error, StoreError::OutcomeUnknown { .. }) && found.len() > expected.len() {
            unknown += 1;
            expected.insert(format!("{name}@1"), tensors);
        }
        assert!(found == expected, "after m{at}: {error}");
        // So does opening again, unless even that needs room.
        drop(store);
        store = match Store::open(path) {
            Ok(store) => store,
            Err(error) => {
                assert!(
                    error.is_disk_full()
                        || matches!(error, StoreError::Container(ContainerError::Poisoned)),
                    "{error}"
                );
                break_open(path, &ballast)
            }
        };
        found = contents(&store.snapshot().unwrap()).unwrap();
        assert!(found == expected, "opened after m{at}");
        if full > 10 {
            break;
        }
    }
    assert!(full > 0, "the disk never was full");
    drop(store);
    let _ = fs::remove_file(&ballast);
    let store = Store::open(path).unwrap();
    assert!(contents(&store.snapshot().unwrap()).unwrap() == expected);
    let gone = expected.keys().next().unwrap().clone();
    write(&store, |t| t.remove_model(&gone, OnChildren::Refuse)).unwrap();
    add_one(&store, "after", &[], &noise(7, 50_000)).unwrap();
    drop(store);
    assert_eq!(contents_of(path).unwrap().len(), expected.len());
    println!("full {full} times, committed after all {unknown} times");
}

/// Makes room and opens the store.
fn break_open(path: &Path, ballast: &Path) -> Store {
    fs::remove_file(ballast).unwrap();
    Store::open(path).unwrap()
}

fn creates_on_a_full_disk(path: &Path) {
    let folder = path.parent().unwrap();
    let ballast = folder.join("ballast");
    let mut room = 1 << 20;
    while room > 0 {
        let file = fs::File::options().append(true).create(true).open(&ballast).unwrap();
        while std::io::Write::write_all(&mut &file, &noise(1, room)).is_ok() {}
        room /= 2;
    }
    let error = Store::create(path).unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["ballast"], "a failed creation leaves nothing");
}

#[test]
fn a_full_disk_loses_nothing() {
    for role in ["full", "full-create"] {
        let folder = folder();
        let path = folder.path().join("models.mgit");
        let mount = "mount -t tmpfs -o size=2m none \"$0\"";
        match RoleChild::start_mounted(module_path!(), mount, role, &path) {
            Some(child) => child.finish(),
            None => println!("skipped: a small tmpfs cannot be mounted here"),
        }
    }
}

#[test]
fn a_second_writer_is_refused_in_one_process_too() {
    let (_folder, path, expected) = some_store();
    let store = Store::open(&path).unwrap();
    let who = match Path::new("/proc/self/fdinfo").exists() {
        true => "this process",
        false => "another process",
    };
    let text = format!(
        "{who} has the store open for writing: wait until it is done, or open the store read-only"
    );
    let error = refused(Store::open(&path), &text);
    assert!(matches!(error, StoreError::Container(ContainerError::Locked { .. })));
    assert_eq!(contents_of(&path).unwrap(), expected);
    add_one(&store, "next", &[], &noise(1, 100)).unwrap();
    let transaction = store.begin_write().unwrap();
    assert!(matches!(
        Store::open(&path).unwrap_err(),
        StoreError::Container(ContainerError::Locked(_))
    ));
    drop((transaction, store));
    assert_eq!(contents(&Store::open(&path).unwrap().snapshot().unwrap()).unwrap().len(), 4);
}
