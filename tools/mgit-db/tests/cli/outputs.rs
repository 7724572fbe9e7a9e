//! Promise: no command replaces a store that it was not told to replace, nor a device, a pipe or a
//! socket; a file that is there is replaced only with `--force`, as a whole; a link is judged by
//! what it leads to, and stays.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::common::{Answer, Sandbox, files, model, write_sharded};

/// The commands that write a file, and how; `{}` is where it goes.
const WRITERS: [&[&str]; 5] = [
    &["export", "s", "base", "{}"],
    &["graph", "s", "--format", "svg", "-o", "{}"],
    &["test", "run", "s", "--builtin", "finite", "--junit", "{}"],
    &["remake", "s", "half", "--out", "{}"],
    &["bundle", "create", "s", "{}"],
];
/// Those that make a store, and replace what is there when they are told to.
const REPLACERS: [&[&str]; 2] = [&["backup", "s", "{}"], &["salvage", "s", "{}"]];
/// Those that make a store where nothing is.
const MAKERS: [&[&str]; 2] = [&["init", "{}"], &["clone", "./o", "{}"]];

const STORES: [&str; 6] = ["s", "o", "link-to-s", "link-to-o", "hard-s", "hard-o"];
const FILES: [&str; 3] = ["f", "link-to-f", "hard-f"];
const SPECIAL: [&str; 2] = ["fifo", "null"];
const NEITHER: [&str; 4] = ["socket", "dangling", "folder", "link-to-folder"];

/// Two stores, and what else may be in a command's way.
fn places() -> (Sandbox, UnixListener) {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let half = ["--with", "cast", "--parent", "base", "--param", "dtype=bf16"];
    sandbox.ok(&[&["make", "s", "--name", "half"][..], &half].concat());
    sandbox.ok(&["backup", "s", "o"]);
    sandbox.ok(&["rm", "o", "half"]);
    let path = |name: &str| sandbox.path(name);
    fs::create_dir(path("folder")).unwrap();
    for target in ["s", "o", "f", "folder"] {
        symlink(path(target), path(&format!("link-to-{target}"))).unwrap();
    }
    sandbox.write("f", b"somebody's");
    for target in ["s", "o", "f"] {
        fs::hard_link(path(target), path(&format!("hard-{target}"))).unwrap();
    }
    symlink(path("nothing"), path("dangling")).unwrap();
    let listener = UnixListener::bind(path("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    // A device of its own where that is allowed, and there alone the real one could be replaced.
    let made = Command::new("mknod").arg(path("null")).args(["c", "1", "3"]).output().unwrap();
    if !made.status.success() {
        symlink("/dev/null", path("null")).unwrap();
    }
    (sandbox, listener)
}

fn at<'a>(command: &[&'a str], place: &'a str) -> Vec<&'a str> {
    command.iter().map(|word| if *word == "{}" { place } else { word }).collect()
}

fn forced<'a>(command: &[&'a str], place: &'a str) -> Vec<&'a str> {
    [&at(command, place)[..], &["--force"]].concat()
}

/// What kind of thing is at each place, which number it has, and what is in the files.
fn state(sandbox: &Sandbox) -> Vec<(String, u64, Vec<u8>)> {
    let all = [&STORES[..], &FILES, &SPECIAL, &NEITHER].concat();
    let of = |name: &&str| {
        let found = sandbox.path(name).symlink_metadata().unwrap();
        let is_file = fs::metadata(sandbox.path(name)).is_ok_and(|found| found.is_file());
        let bytes = if is_file { sandbox.read(name) } else { Vec::new() };
        (format!("{name}: {:?} {:o}", found.file_type(), found.mode()), found.ino(), bytes)
    };
    all.iter().map(of).collect()
}

/// No temporary file is left, and nothing new is there.
fn nothing_else(sandbox: &Sandbox, before: usize) {
    assert_eq!(fs::read_dir(sandbox.path("")).unwrap().count(), before);
}

#[test]
fn what_a_command_may_not_replace_stays_as_it_is() {
    let (sandbox, _listener) = places();
    let (before, count) = (state(&sandbox), fs::read_dir(sandbox.path("")).unwrap().count());
    let refused = |command: &[&str]| {
        sandbox.refused(command, 1);
        assert!(state(&sandbox) == before, "{command:?} has changed something");
        nothing_else(&sandbox, count);
    };
    for command in WRITERS {
        // Models that are one file go into a folder, as `cp` does it.
        let is_model = matches!(command[0], "export" | "remake");
        let folders = ["folder", "link-to-folder"];
        let places = [&STORES[..], &NEITHER].concat();
        for place in places.into_iter().filter(|place| !(is_model && folders.contains(place))) {
            refused(&at(command, place));
            refused(&forced(command, place));
        }
        FILES.iter().for_each(|place| refused(&at(command, place)));
    }
    for command in [&REPLACERS[..], &MAKERS].concat() {
        for place in [&STORES[..], &FILES, &SPECIAL, &NEITHER].concat() {
            refused(&at(command, place));
        }
    }
    for command in REPLACERS {
        for place in [&["s", "link-to-s", "hard-s"][..], &SPECIAL, &NEITHER].concat() {
            refused(&forced(command, place));
        }
    }
    for command in REPLACERS {
        for (place, code) in [
            ("folder", "is-a-folder"),
            ("fifo", "not-a-file"),
            ("null", "not-a-file"),
            ("socket", "not-a-file"),
            ("dangling", "not-a-file"),
            ("no-folder/new", "file-not-found"),
        ] {
            assert_eq!(sandbox.failure(&forced(command, place), 1)["code"], code, "{command:?}");
            assert_eq!(sandbox.failure(&at(command, place), 1)["code"], code, "{command:?}");
        }
    }
    for command in [&WRITERS[..], &REPLACERS, &MAKERS].concat() {
        let message = sandbox.refused(&at(command, "no-folder/new"), 1);
        assert!(message.contains("its folder does not exist: make it first"), "{message}");
    }
    assert_eq!(sandbox.failure(&at(WRITERS[0], "hard-o"), 1)["code"], "is-a-store");
    assert_eq!(sandbox.failure(&at(WRITERS[1], "link-to-f"), 1)["code"], "already-exists");
    assert_eq!(sandbox.failure(&at(WRITERS[2], "socket"), 1)["code"], "not-a-file");
}

/// Whether the file holds what the command writes.
fn is_written(command: &[&str], bytes: &[u8]) -> bool {
    match command[0] {
        "export" => bytes == model(0),
        "graph" => bytes.starts_with(b"<svg "),
        "test" => bytes.starts_with(b"<?xml "),
        _ => bytes.len() > 1000,
    }
}

#[test]
fn files_are_replaced_when_that_is_asked_for() {
    for command in WRITERS {
        let (sandbox, _listener) = places();
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(sandbox.path("f"), mode).unwrap();
        sandbox.ok(&forced(command, "link-to-f"));
        assert!(sandbox.path("link-to-f").is_symlink());
        assert!(is_written(command, &sandbox.read("f")), "{command:?}");
        assert_eq!(sandbox.path("f").metadata().unwrap().mode() & 0o7777, 0o640);
        // It is another file now: the other name keeps the old one.
        assert_eq!(sandbox.read("hard-f"), b"somebody's");
        sandbox.ok(&at(command, "new"));
        assert!(is_written(command, &sandbox.read("new")), "{command:?}");
    }
    for command in REPLACERS {
        let (sandbox, _listener) = places();
        for place in ["link-to-f", "link-to-o", "hard-f"] {
            sandbox.ok(&forced(command, place));
            assert_eq!(
                sandbox.json(&["ls", place])["models"],
                sandbox.json(&["ls", "s"])["models"]
            );
        }
        assert!(sandbox.path("link-to-o").is_symlink() && sandbox.path("link-to-f").is_symlink());
        // The store that lost this name is still one.
        sandbox.ok(&["rm", "hard-o", "base"]);
        sandbox.ok(&["verify", "hard-o"]);
    }
}

#[test]
fn a_store_that_is_open_for_writing_is_not_replaced() {
    let (sandbox, _listener) = places();
    let open = mgit::Store::open(sandbox.path("o")).unwrap();
    for command in REPLACERS {
        let refused = [&forced(command, "o")[..], &["--wait=0"]].concat();
        assert_eq!(sandbox.failure(&refused, 1)["code"], "locked");
    }
    drop(open);
    sandbox.ok(&forced(REPLACERS[0], "o"));
}

#[test]
fn pipes_and_devices_are_written_into() {
    let (sandbox, _listener) = places();
    for command in WRITERS {
        let path = sandbox.path("fifo");
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        });
        let answer: Answer = sandbox.run(&at(command, "fifo"));
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert!(is_written(command, &reader.join().unwrap()), "{command:?}");
        sandbox.ok(&at(command, "null"));
        let kind = |name: &str| fs::metadata(sandbox.path(name)).unwrap().file_type();
        assert!(kind("fifo").is_fifo() && kind("null").is_char_device());
    }
}

#[test]
fn what_a_command_has_made_itself_it_makes_again() {
    let (sandbox, _listener) = places();
    for name in ["p.svg", "p.html", "p.dot", "p.mmd"] {
        sandbox.ok(&["graph", "s", "-o", name]);
        sandbox.ok(&["graph", "s", "-o", name]);
        // Of another command it is somebody's file.
        sandbox.refused(&["test", "run", "s", "--builtin", "finite", "--junit", name], 1);
    }
    let run = ["test", "run", "s", "--builtin", "finite", "--junit", "r.xml"];
    sandbox.ok(&run);
    sandbox.ok(&run);
    sandbox.refused(&["graph", "s", "-o", "r.xml"], 1);
}

#[test]
fn folders_of_shards_hold_nothing_else() {
    let sandbox = Sandbox::with_store();
    write_sharded(&sandbox.path("sharded"));
    sandbox.ok(&["import", "s", "sharded", "--name", "big"]);
    let whole = files(&sandbox.path("sharded"));
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.ok(&["export", "s", "big", "empty"]);
    assert_eq!(files(&sandbox.path("empty")), whole);
    // With files of other bytes under the same names, as an older export is.
    sandbox.write("empty/model-00001-of-00002.safetensors", b"older");
    sandbox.refused(&["export", "s", "big", "empty"], 1);
    sandbox.ok(&["export", "s", "big", "empty", "--force"]);
    assert_eq!(files(&sandbox.path("empty")), whole);
    sandbox.write("empty/notes", b"somebody's");
    assert_eq!(
        sandbox.failure(&["export", "s", "big", "empty", "--force"], 1)["code"],
        "folder-not-empty"
    );
    sandbox.write("file", b"somebody's");
    for more in [&[][..], &["--force"]] {
        sandbox.refused(&[&["export", "s", "big", "file"], more].concat(), 1);
        sandbox.refused(&[&["export", "s", "big", "s"], more].concat(), 1);
    }
    assert_eq!(sandbox.read("file"), b"somebody's");
}

#[test]
fn a_demo_with_models_of_somebodys_is_left_alone() {
    let (sandbox, _listener) = places();
    sandbox.ok(&["demo", "d"]);
    sandbox.write("d/exported.safetensors", b"somebody's");
    sandbox.ok(&["demo", "d"]);
    assert_eq!(sandbox.read("d/exported.safetensors"), b"somebody's");
    sandbox.write("mine.safetensors", &model(7));
    sandbox.ok(&["import", "d/family.mgit", "mine.safetensors", "--name", "mine"]);
    let before = sandbox.read("d/family.mgit");
    sandbox.refused(&["demo", "d"], 1);
    assert!(sandbox.read("d/family.mgit") == before);
    fs::remove_file(sandbox.path("d/family.mgit")).unwrap();
    symlink(sandbox.path("s"), sandbox.path("d/family.mgit")).unwrap();
    let before = sandbox.read("s");
    sandbox.refused(&["demo", "d"], 1);
    assert!(sandbox.read("s") == before);
}
