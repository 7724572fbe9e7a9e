//! Promise: while somebody has a store open for writing, every command that only reads it works;
//! every other one waits, refuses with `--wait=0` and names the holder, and does its work when the
//! store is let go.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::common::{Sandbox, file_of, model};
use mgit::Store;
use safetensors::tensor::Dtype;

/// The commands that only read the store `h`.
const READING: [&[&str]; 31] = [
    &["ls", "h"],
    &["show", "h", "tuned", "--layers"],
    &["diff", "h", "base", "tuned"],
    &["log", "h"],
    &["graph", "h"],
    &["graph", "h", "-o", "new.svg"],
    &["tag", "h"],
    &["note", "h", "base"],
    &["meta", "h", "base"],
    &["test", "ls", "h"],
    &["test", "results", "h"],
    &["test", "compare", "h", "base", "tuned"],
    &["cat", "h", "base", "head", "--values", "2"],
    &["stat", "h"],
    &["du", "h"],
    &["verify", "h"],
    &["dump", "h"],
    &["export", "h", "base", "new"],
    &["remake", "h", "half"],
    &["remake", "h", "half", "--out", "new"],
    &["backup", "h", "new"],
    &["clone", "./h", "new"],
    &["bundle", "create", "h", "new"],
    &["remote", "ls", "h"],
    &["pull", "o", "./h"],
    &["infer", "h", "file.safetensors", "--dry-run"],
    &["adopt", "h", "folder", "--dry-run"],
    &["update", "h", "base@1", "base@2", "--dry-run"],
    &["merge", "h", "left", "right", "--name", "both", "--dry-run"],
    // What they find is kept where that can be done.
    &["test", "run", "h", "base"],
    &["bisect", "h", "--test", "calm", "base@1", "tuned"],
];

/// The commands that change the store `h`.
const WRITING: [&[&str]; 37] = [
    &["import", "h", "file.safetensors", "--name", "new"],
    &["infer", "h", "file.safetensors"],
    &["adopt", "h", "folder", "--yes"],
    &["rm", "h", "left"],
    &["make", "h", "--name", "new", "--with", "cast", "--parent", "base", "--param", "dtype=f16"],
    &["update", "h", "base@1", "base@2"],
    &["merge", "h", "left", "right", "--name", "both"],
    &["recode", "h", "--profile", "fast"],
    &["recode", "h", "tuned", "--lossy", "fp16"],
    &["pin", "h", "tuned"],
    &["unpin", "h", "tuned"],
    &["repack", "h"],
    &["repack", "h", "--dry-run"],
    &["tag", "h", "best", "base"],
    &["tag", "h", "--delete", "good"],
    &["mv", "h", "left", "other"],
    &["note", "h", "base", "words"],
    &["note", "h", "base", "--delete"],
    &["meta", "h", "base", "a=1"],
    &["parent", "add", "h", "left", "right"],
    &["parent", "rm", "h", "tuned", "base@1"],
    &["parent", "set", "h", "tuned"],
    &["parent", "previous", "h", "base@2", "none"],
    &["test", "add", "h", "new", "--builtin", "finite"],
    &["test", "rm", "h", "calm"],
    &["gc", "h"],
    &["gc", "h", "--repack"],
    &["vacuum", "h"],
    &["salvage", "h", "new"],
    &["salvage", "o", "h", "--force"],
    &["backup", "o", "h", "--force"],
    &["push", "o", "./h"],
    &["pull", "h", "./o"],
    &["fetch", "h", "./o"],
    &["bundle", "import", "h", "b"],
    &["remote", "add", "h", "there", "./o"],
    &["remote", "rm", "h", "here"],
];

/// A store `s` of a family, another one `o`, and files to import.
fn template() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    let half = ["--with", "cast", "--parent", "base", "--param", "dtype=bf16"];
    sandbox.ok(&[&["make", "s", "--name", "half"][..], &half].concat());
    sandbox.import(2, "base", &[]);
    for (at, name) in ["root", "left", "right"].iter().enumerate() {
        let weight = |own: usize| -> Vec<u8> {
            let moved = if at == own { 0.5f32 } else { 0.0 };
            (0..64).flat_map(|at| (moved + at as f32).to_le_bytes()).collect()
        };
        let file = file_of(&[
            ("encoder.layer.0.dense.weight", Dtype::F32, &[8, 8], weight(1)),
            ("encoder.layer.1.dense.weight", Dtype::F32, &[8, 8], weight(2)),
        ]);
        sandbox.write("side.safetensors", &file);
        let parent: &[&str] = if at == 0 { &[] } else { &["--parent", "root"] };
        sandbox.ok(&[&["import", "s", "side.safetensors", "--name", name], parent].concat());
    }
    sandbox.ok(&["tag", "s", "good", "base@1"]);
    sandbox.ok(&["note", "s", "base", "earlier"]);
    let calm = ["--builtin", "norm-drift", "--bound", "norm-drift<1e-9", "--name-glob", "base"];
    sandbox.ok(&[&["test", "add", "s", "calm"][..], &calm].concat());
    sandbox.ok(&["remote", "add", "s", "here", "./o"]);
    sandbox.ok(&["init", "o"]);
    sandbox.write("file.safetensors", &model(7));
    sandbox.ok(&["import", "o", "file.safetensors", "--name", "theirs"]);
    sandbox.ok(&["bundle", "create", "o", "b"]);
    fs::create_dir(sandbox.path("folder")).unwrap();
    sandbox.write("folder/file.safetensors", &model(7));
    sandbox
}

/// A new copy `h` of the store, and nothing of what a command makes.
fn begin(sandbox: &Sandbox, pristine: &[u8], other: &[u8]) {
    for name in ["new", "new.svg"] {
        let _ = fs::remove_file(sandbox.path(name));
    }
    let _ = fs::remove_dir_all(sandbox.path("new-folder"));
    // A new file: another one may still be open under the name.
    let _ = fs::remove_file(sandbox.path("h"));
    sandbox.write("h", pristine);
    sandbox.write("o", other);
}

#[test]
fn reading_commands_work_beside_a_writer() {
    let sandbox = template();
    let (pristine, other) = (sandbox.read("s"), sandbox.read("o"));
    for command in READING {
        begin(&sandbox, &pristine, &other);
        let held = Store::open(sandbox.path("h")).unwrap();
        let answer = sandbox.run(&[command, &["--wait=0"]].concat());
        let told = String::from_utf8_lossy(&answer.stdout);
        assert_eq!(answer.code, Some(0), "{command:?}: {told}{}", answer.stderr);
        assert!(!answer.stderr.contains("error"), "{command:?}: {answer:?}");
        drop(held);
    }
}

#[test]
fn results_that_cannot_be_kept_are_told() {
    let sandbox = template();
    let _held = Store::open(sandbox.path("s")).unwrap();
    for command in
        [&["test", "run", "s"][..], &["bisect", "s", "--test", "calm", "base@1", "tuned"]]
    {
        let document = sandbox.run(&[command, &["--wait=0", "--json"]].concat()).json();
        let told = document["not_kept"].as_str().unwrap_or_default();
        assert!(told.contains("are not kept") && told.contains("process"), "{document}");
    }
}

#[test]
fn writing_commands_name_the_holder_and_wait_for_it() {
    let sandbox = template();
    let (pristine, other) = (sandbox.read("s"), sandbox.read("o"));
    let known = std::path::Path::new("/proc/self/fdinfo").exists();
    let own = format!("process {}", std::process::id());
    let holder = if known { own.as_str() } else { "another process" };
    for command in WRITING {
        begin(&sandbox, &pristine, &other);
        let held = Store::open(sandbox.path("h")).unwrap();
        let answer = sandbox.run(&[command, &["--wait=0", "--json"]].concat());
        let told = String::from_utf8_lossy(&answer.stdout);
        assert_eq!(answer.code, Some(1), "{command:?}: {told}{}", answer.stderr);
        assert!(told.contains(holder), "{command:?}: {told}");
        // An update says so of each model that it could not make.
        if command[0] != "update" {
            assert_eq!(answer.json()["error"]["code"], "locked", "{command:?}: {told}");
        }

        let mut tool = sandbox.command(&[command, &["--wait"]].concat());
        let mut child = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while !told.contains("waiting: ") {
            let read = stderr.read_line(&mut told).unwrap();
            assert!(read > 0, "{command:?} did not wait: {told}");
        }
        assert!(told.contains(holder), "{command:?}: {told}");
        drop(held);
        stderr.read_to_string(&mut told).unwrap();
        let status = child.wait_with_output().unwrap().status;
        assert_eq!(status.code(), Some(0), "{command:?}: {told}");
        sandbox.ok(&["verify", "h"]);
    }
}
