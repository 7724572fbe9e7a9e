//! Promise: whatever stands where a command wants a store, a file or a folder, the command says
//! which of them is wrong and what to do, leaves everything as it was, and does not exit with 0.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::common::{Sandbox, file_of, files, model};
use safetensors::tensor::Dtype;

/// The words of commands that want a store at `{}`.
const OF_STORES: [&[&str]; 30] = [
    &["import", "{}", "m", "--name", "x"],
    &["infer", "{}", "m"],
    &["adopt", "{}", "models", "--dry-run"],
    &["export", "{}", "base", "out"],
    &["rm", "{}", "base"],
    &["make", "{}", "--name", "x", "--with", "cast", "--parent", "base"],
    &["remake", "{}", "base"],
    &["update", "{}", "base@1", "base@2"],
    &["merge", "{}", "base", "tuned", "--name", "x"],
    &["recode", "{}", "--profile", "fast"],
    &["pin", "{}", "base"],
    &["repack", "{}"],
    &["show", "{}", "base"],
    &["diff", "{}", "base", "tuned"],
    &["log", "{}"],
    &["graph", "{}", "-o", "out.svg"],
    &["tag", "{}"],
    &["mv", "{}", "base", "x"],
    &["note", "{}", "base"],
    &["meta", "{}", "base", "a=1"],
    &["parent", "set", "{}", "tuned"],
    &["test", "run", "{}"],
    &["bisect", "{}", "--builtin", "finite", "base", "tuned"],
    &["cat", "{}", "base", "head", "--values", "1"],
    &["stat", "{}"],
    &["du", "{}"],
    &["gc", "{}"],
    &["vacuum", "{}"],
    &["backup", "{}", "out"],
    &["push", "{}", "./o"],
];

fn at<'a>(command: &[&'a str], place: &'a str) -> Vec<&'a str> {
    command.iter().map(|word| if *word == "{}" { place } else { word }).collect()
}

/// A store `s` with two models, another one `o`, and things that are none.
fn places() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    sandbox.ok(&["init", "o"]);
    sandbox.ok(&["bundle", "create", "s", "b"]);
    sandbox.write("m", &model(2));
    sandbox.write("nothing", b"");
    sandbox.write("text", b"hello, this is a text");
    fs::create_dir(sandbox.path("models")).unwrap();
    sandbox.write("models/m.safetensors", &model(2));
    symlink(sandbox.path("nowhere"), sandbox.path("dangling")).unwrap();
    sandbox
}

/// Every file of the sandbox, and the names of the others.
fn state(sandbox: &Sandbox) -> Vec<(String, Option<Vec<u8>>)> {
    let entries = fs::read_dir(sandbox.path("")).unwrap();
    let mut state: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes = entry.file_type().unwrap().is_file().then(|| fs::read(entry.path()));
            (entry.file_name().into_string().unwrap(), bytes.map(Result::unwrap))
        })
        .collect();
    state.sort();
    state
}

#[test]
fn what_is_no_store_is_named_with_what_it_is() {
    let sandbox = places();
    let before = state(&sandbox);
    for (number, command) in OF_STORES.into_iter().enumerate() {
        let cases = [
            ("missing", "no store at missing"),
            ("no/such/store", "no store at no/such/store"),
            ("dangling", "no store at dangling"),
            ("text", "text: not an mgit store"),
            ("nothing", "nothing: not an mgit store: the file is empty"),
            ("models", "models: not an mgit store: it is a folder: name the store's file"),
            ("/dev/null", "/dev/null: not an mgit store: it is a device: check the path"),
            ("b", "b: not an mgit store: the file begins with \"MGITPACK\", which is a bundle"),
        ];
        // Some of them for each: all go the same ways.
        for (place, part) in cases.into_iter().cycle().skip(number).take(3) {
            let words = at(command, place);
            let told = sandbox.refused(&words, 1);
            assert!(told.contains(part), "{words:?}: {told}");
        }
        // The shell's empty word is no path.
        sandbox.refused(&at(command, ""), 2);
    }
    assert!(state(&sandbox) == before, "something was changed");
}

#[test]
fn what_is_no_store_is_named_by_those_that_look_into_it() {
    let sandbox = places();
    for command in ["verify", "dump", "ls"] {
        for place in ["text", "nothing"] {
            let told = sandbox.refused(&[command, place], 1);
            assert!(told.contains(&format!("{place}: not an mgit store")), "{command}: {told}");
        }
    }
    let cut = sandbox.read("s")[..5000].to_vec();
    sandbox.write("cut", &cut);
    let told = sandbox.refused(&["ls", "cut"], 1);
    assert!(told.contains("cut: the store is cut off"), "{told}");
    let told = sandbox.refused(&["salvage", "b", "out"], 1);
    assert!(told.contains("b is a bundle, and no store"), "{told}");
    for (place, said) in
        [("text", "no bundle"), ("m", "no bundle"), ("s", "s is a store, not a bundle")]
    {
        let told = sandbox.refused(&["bundle", "verify", place], 1);
        assert!(told.contains(said), "{told}");
        sandbox.refused(&["bundle", "import", "o", place], 1);
    }
    for command in [["pull", "o", "./text"], ["clone", "text", "out"], ["push", "s", "./text"]] {
        let told = sandbox.refused(&command, 1);
        assert!(told.contains("text: not an mgit store"), "{command:?}: {told}");
    }
    sandbox.refused(&["remote", "add", "s", "r", ""], 2);
    sandbox.refused(&["clone", "", "out"], 2);
    assert!(!sandbox.path("out").exists());
}

/// Commands that write a file or make a store at `{}`.
const WRITERS: [&[&str]; 9] = [
    &["export", "s", "base", "{}"],
    &["graph", "s", "--format", "svg", "-o", "{}"],
    &["test", "run", "s", "--builtin", "finite", "--junit", "{}"],
    &["remake", "s", "half", "--out", "{}"],
    &["bundle", "create", "s", "{}"],
    &["backup", "s", "{}"],
    &["salvage", "s", "{}"],
    &["init", "{}"],
    &["clone", "./s", "{}"],
];

#[test]
fn a_place_without_a_folder_is_refused_before_anything_is_done() {
    let sandbox = places();
    let half = ["--with", "cast", "--parent", "base", "--param", "dtype=bf16"];
    sandbox.ok(&[&["make", "s", "--name", "half"][..], &half].concat());
    let before = state(&sandbox);
    for command in WRITERS {
        let told = sandbox.refused(&at(command, "no/such/file"), 1);
        assert!(told.contains("no/such/file: its folder does not exist"), "{command:?}: {told}");
        // Models that are one file go into a folder, as `cp` does it.
        if !matches!(command[0], "export" | "remake") {
            let told = sandbox.refused(&at(command, "models"), 1);
            let said = "models: it is a folder: name a file in it";
            assert!(told.contains(said), "{command:?}: {told}");
        }
        sandbox.refused(&at(command, "text/file"), 1);
    }
    for command in &WRITERS[5..7] {
        let told = sandbox.refused(&[&at(command, "models")[..], &["--force"]].concat(), 1);
        assert!(told.contains("it is a folder") && !told.contains("--force"), "{told}");
        let told = sandbox.refused(&[&at(command, "s")[..], &["--force"]].concat(), 1);
        assert!(told.contains("a store does not replace itself"), "{told}");
        let told = sandbox.refused(&at(command, "text"), 1);
        assert!(told.contains("--force replaces it"), "{told}");
    }
    assert!(state(&sandbox) == before, "something was changed");
}

#[test]
fn a_clone_fills_an_empty_store_and_replaces_nothing() {
    let sandbox = places();
    let models = |store: &str| sandbox.json(&["ls", store])["models"].clone();
    // One that is not to be lost: the place that it is filled from is not there yet.
    sandbox.write("cut", &sandbox.read("b")[..1000]);
    sandbox.refused(&["clone", "cut", "o"], 1);
    assert_eq!(models("o"), serde_json::json!([]));
    sandbox.ok(&["remote", "rm", "o", "origin"]);
    sandbox.ok(&["clone", "./s", "o"]);
    assert_eq!(models("o"), models("s"));
    assert!(sandbox.ok(&["remote", "ls", "o"]).contains("origin"));
    assert_eq!(sandbox.failure(&["clone", "./s", "o"], 1)["code"], "already-exists");
    // Another remote, or a test, is somebody's.
    sandbox.ok(&["init", "other"]);
    sandbox.ok(&["remote", "add", "other", "origin", "./elsewhere"]);
    assert_eq!(sandbox.failure(&["clone", "./s", "other"], 1)["code"], "already-exists");
    sandbox.ok(&["init", "tests"]);
    sandbox.ok(&["test", "add", "tests", "finite", "--builtin", "finite"]);
    assert_eq!(sandbox.failure(&["clone", "./s", "tests"], 1)["code"], "already-exists");
    for command in ["init", "clone"] {
        let help = sandbox.ok(&[command, "--help"]);
        let words: Vec<&str> = help.split_whitespace().collect();
        assert!(words.join(" ").contains("there is no --force"), "{help}");
    }
}

/// Whether this user is kept out of a file by its mode: root is not.
fn modes_count(sandbox: &Sandbox) -> bool {
    sandbox.write("shut", b"x");
    fs::set_permissions(sandbox.path("shut"), fs::Permissions::from_mode(0o000)).unwrap();
    let counts = fs::read(sandbox.path("shut")).is_err();
    fs::remove_file(sandbox.path("shut")).unwrap();
    counts
}

#[test]
fn what_may_not_be_read_or_written_is_named() {
    let sandbox = places();
    if !modes_count(&sandbox) {
        println!("skipped: this user may read and write everything");
        return;
    }
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("s", 0o000);
    for command in OF_STORES {
        let told = sandbox.refused(&at(command, "s"), 1);
        assert!(told.contains("cannot open s: "), "{command:?}: {told}");
    }
    mode("s", 0o444);
    sandbox.ok(&["ls", "s"]);
    sandbox.ok(&["verify", "s"]);
    for command in [&["rm", "s", "tuned"][..], &["gc", "s"], &["import", "s", "m", "--name", "x"]] {
        let told = sandbox.refused(command, 1);
        assert!(told.contains("cannot open s: "), "{command:?}: {told}");
    }
    mode("m", 0o000);
    let told = sandbox.refused(&["import", "o", "m", "--name", "x"], 1);
    assert!(told.contains("\"m\""), "{told}");
    fs::create_dir(sandbox.path("full")).unwrap();
    mode("full", 0o555);
    for command in WRITERS.iter().filter(|command| command[0] != "remake") {
        let told = sandbox.refused(&at(command, "full/out"), 1);
        assert!(told.contains("full"), "{command:?}: {told}");
    }
    fs::create_dir(sandbox.path("models/shut")).unwrap();
    mode("models/shut", 0o000);
    let answer = sandbox.run(&["adopt", "o", "models", "--dry-run"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("models/shut"), "{answer:?}");
    mode("models/shut", 0o755);
    mode("full", 0o755);
}

#[test]
fn a_tensor_or_model_that_is_not_there_is_named() {
    let sandbox = places();
    let odd = file_of(&[("w", Dtype::U8, &[1], vec![1])]);
    sandbox.write("odd", &odd);
    for command in [
        &["show", "s", "nobody"][..],
        &["export", "s", "nobody", "out"],
        &["diff", "s", "base", "nobody"],
        &["cat", "s", "base", "nobody", "--values", "1"],
        &["rm", "s", "nobody"],
        &["mv", "s", "nobody", "x"],
        &["tag", "s", "t", "nobody"],
        &["tag", "s", "--delete", "nobody"],
        &["note", "s", "nobody", "x"],
        &["meta", "s", "nobody"],
        &["meta", "s", "base", "--unset", "nobody"],
        &["parent", "add", "s", "base", "nobody"],
        &["parent", "rm", "s", "tuned", "nobody"],
        &["pin", "s", "nobody"],
        &["recode", "s", "nobody", "--profile", "fast"],
        &["remake", "s", "nobody"],
        &["update", "s", "base", "nobody"],
        &["merge", "s", "base", "nobody", "--name", "x"],
        &["make", "s", "--name", "x", "--with", "cast", "--parent", "nobody"],
        &["import", "s", "odd", "--name", "x", "--parent", "nobody"],
        &["test", "run", "s", "nobody", "--builtin", "finite"],
        &["test", "run", "s", "--test", "nobody"],
        &["test", "rm", "s", "nobody"],
        &["test", "compare", "s", "base", "nobody"],
        &["bisect", "s", "--builtin", "finite", "base", "nobody"],
        &["remote", "rm", "s", "nobody"],
        &["push", "s", "nobody"],
        &["pull", "s", "nobody"],
    ] {
        let told = sandbox.refused(command, 1);
        assert!(told.contains("nobody"), "{command:?}: {told}");
    }
    assert!(!files(&sandbox.path("models")).is_empty());
}
