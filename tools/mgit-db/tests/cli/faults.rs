//! Promise: what is wrong with the files of a model is told at once, with the options that help, and
//! these work; an option that had no effect is said.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::common::{Sandbox, model, write_sharded};

fn folder(sandbox: &Sandbox) {
    fs::create_dir(sandbox.path("m")).unwrap();
    sandbox.write("m/model.safetensors", &model(1));
    sandbox.write("m/config.json", b"{}");
}

const IMPORT: [&str; 5] = ["import", "s", "m", "--name", "m"];

/// Words of a command, as a shell splits them that knows `'` alone.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in text.chars() {
        match (character, is_quoted) {
            ('\'', _) => is_quoted = !is_quoted,
            (' ', false) => words.push(String::new()),
            (other, _) => words.last_mut().unwrap().push(other),
        }
    }
    words
}

/// The command with the options that a message says.
fn with_advice(command: &[&str], advice: &str) -> Vec<String> {
    let own = command.iter().map(|word| (*word).to_owned());
    own.chain(words(advice)).collect()
}

fn as_texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn faults_of_a_folder_are_told_together_and_counted() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    sandbox.write("m/a.pt", b"");
    let one = sandbox.refused(&IMPORT, 1);
    assert_eq!(one, "error: \"m/a.pt\" is empty: fetch the file again\n");
    sandbox.write("m/b.bin", b"version https://git-lfs.github.com/spec/v1\n");
    sandbox.write("m/c.safetensors", b"no header at all");
    symlink("nothing", sandbox.path("m/gone")).unwrap();
    let four = sandbox.refused(&IMPORT, 1);
    for part in [
        "\"m\": 4 faults: ",
        "\"m/gone\" is a link that leads to nothing",
        "\"m/a.pt\" is empty",
        "\"m/b.bin\" is a Git LFS pointer",
        "\"m/c.safetensors\": offset 0: header length",
        "; --exclude gone leaves it out\n",
    ] {
        assert!(four.contains(part), "{part:?} in {four}");
    }
    for at in 0..4 {
        sandbox.write(&format!("m/z{at}.pt"), b"");
    }
    let eight = sandbox.refused(&IMPORT, 1);
    assert!(eight.contains("8 faults: ") && eight.contains("; and 3 more; "), "{eight}");
    assert!(!eight.contains("m/z3.pt"), "{eight}");
    assert_eq!(sandbox.failure(&IMPORT, 1)["code"], "malformed-file");
    // In a store nothing has changed, and what is left out is no fault.
    assert!(sandbox.models().is_empty());
    let globs = ["--exclude", "*.pt", "--exclude", "?.*", "--exclude", "gone"];
    sandbox.ok(&[&IMPORT[..], &globs].concat());
}

#[test]
fn names_that_are_not_utf8_are_left_out_as_the_advice_says() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    let odd = |bytes: &[u8]| sandbox.path("m").join(OsStr::from_bytes(bytes));
    // Some file systems refuse such a name themselves.
    if fs::write(odd(b"b\xe9d name.txt"), "x").is_err() {
        println!("skipped: this file system has names in UTF-8 alone");
        return;
    }
    fs::create_dir(odd(b"f\xe9")).unwrap();
    fs::write(odd(b"f\xe9").join("x"), "x").unwrap();
    let told = sandbox.refused(&IMPORT, 1);
    assert!(told.contains("b\\xE9d name.txt\" is not UTF-8: rename it"), "{told}");
    let advice = told.rsplit_once("; ").unwrap().1.strip_suffix(" leaves them out\n").unwrap();
    assert!(advice.contains("--exclude 'b?d name.txt'"), "{told}");
    let command = with_advice(&IMPORT, advice);
    let done = sandbox.ok(&as_texts(&command));
    assert!(done.contains("left out b\u{fffd}d name.txt: fits \"b?d name.txt\""), "{done}");
    assert!(done.contains("left out f\u{fffd}/: "), "{done}");
    // Alone, it is in no folder from which it could be left out.
    fs::write(odd(b"\xe9.pt"), "x").unwrap();
    let mut command = sandbox.command(&["import", "s", "--name", "x"]);
    let answer = command.arg(odd(b"\xe9.pt")).output().unwrap();
    let told = String::from_utf8(answer.stderr).unwrap();
    assert!(told.ends_with("is not UTF-8: rename it\n"), "{told}");
}

#[test]
fn a_name_that_begins_as_an_option_is_left_out_as_the_advice_says() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    symlink("nothing", sandbox.path("m/-x")).unwrap();
    symlink("nothing", sandbox.path("m/--y z")).unwrap();
    let told = sandbox.refused(&IMPORT, 1);
    let advice = told.rsplit_once("; ").unwrap().1.strip_suffix(" leaves them out\n").unwrap();
    assert_eq!(advice, "--exclude='--y z' --exclude=-x");
    sandbox.ok(&as_texts(&with_advice(&IMPORT, advice)));
}

#[test]
fn a_set_that_is_not_whole_is_left_out_as_the_advice_says() {
    let sandbox = Sandbox::with_store();
    write_sharded(&sandbox.path("m"));
    fs::remove_file(sandbox.path("m/model-00002-of-00002.safetensors")).unwrap();
    // Nothing else is there: what is missing has to come.
    let told = sandbox.refused(&IMPORT, 1);
    assert!(told.ends_with("does not exist: fetch the missing shard\n"), "{told}");
    sandbox.write("m/other.safetensors", &model(1));
    for _ in 0..2 {
        let told = sandbox.refused(&IMPORT, 1);
        let (_, advice) = told.trim_end().split_once("; or leave that set out: ").unwrap();
        sandbox.ok(&[&as_texts(&with_advice(&IMPORT, advice))[..], &["--force"]].concat());
        // The same without the list.
        let _ = fs::remove_file(sandbox.path("m/model.safetensors.index.json"));
    }
    // Of two missing shards both are named.
    let index = r#"{"weight_map": {"a": "x.safetensors", "b": "y.safetensors"}}"#;
    sandbox.write("m/model.safetensors.index.json", index.as_bytes());
    let told = sandbox.refused(&IMPORT, 1);
    assert!(told.contains("\"x.safetensors\", \"y.safetensors\" beside it"), "{told}");
}

#[test]
fn a_shard_that_is_left_out_is_not_said_to_be_missing() {
    let sandbox = Sandbox::with_store();
    write_sharded(&sandbox.path("m"));
    let exclude = [&IMPORT[..], &["--exclude", "model-00002*"]].concat();
    let told = sandbox.refused(&exclude, 1);
    let expected = "error: \"m/model.safetensors.index.json\": \
                    \"model-00002-of-00002.safetensors\" beside it, of the same model, left out: \
                    fits \"model-00002*\", which is excluded: take the whole set\n";
    assert_eq!(told, expected);
    assert_eq!(sandbox.failure(&exclude, 1)["code"], "unreadable-file");
    let include = [&IMPORT[..], &["--include", "*-00001*", "--include", "o*"]].concat();
    let told = sandbox.refused(&include, 1);
    assert!(told.contains("left out: fits no glob that is included: take the whole set"), "{told}");
    // One that is missing too is named once the other is taken.
    fs::remove_file(sandbox.path("m/model-00001-of-00002.safetensors")).unwrap();
    let told = sandbox.refused(&exclude, 1);
    assert!(told.contains("left out: fits") && !told.contains("00001-of"), "{told}");
    sandbox.write("m/other.safetensors", &model(1));
    let told = sandbox.refused(&exclude, 1);
    let (_, advice) = told.trim_end().split_once("; or leave that set out: ").unwrap();
    sandbox.ok(&as_texts(&with_advice(&exclude, advice)));
    // Of a list that the weights are not in it is said in a note.
    let index = r#"{"weight_map": {"a": "pytorch_model-1.bin"}}"#;
    sandbox.write("m/pytorch_model.bin.index.json", index.as_bytes());
    sandbox.write("m/pytorch_model-1.bin", b"x");
    let told = sandbox.ok(&[&IMPORT[..], &["--exclude", "*.bin", "--exclude", "model*"]].concat());
    let note = "\"pytorch_model-1.bin\" first, left out: fits \"*.bin\", which is excluded";
    assert!(told.contains(note), "{told}");
}

#[test]
fn globs_without_effect_are_said() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    let globs = ["--exclude", "*.h5", "--exclude", "conf*", "--include", "*.json", "--include"];
    let import = [&IMPORT[..], &globs, &["*.safetensors", "--include", "*.md"]].concat();
    let told = sandbox.ok(&import);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(" fits no file")).collect();
    assert_eq!(
        lines,
        [
            "  --exclude '*.h5' fits no file and no folder",
            "  --include '*.md' fits no file and no folder"
        ]
    );
    let document = sandbox.json(&import);
    let unused = json!([
        { "option": "--exclude", "glob": "*.h5" },
        { "option": "--include", "glob": "*.md" },
    ]);
    assert_eq!(document["unused_globs"], unused);
    // With several paths it is enough that it fits in one.
    fs::create_dir(sandbox.path("n")).unwrap();
    sandbox.write("n/model.safetensors", &model(2));
    let told = sandbox.ok(&["import", "s", "m", "n", "--name", "x", "--exclude", "config.json"]);
    assert!(!told.contains("fits no file"), "{told}");
    let told = sandbox.ok(&["adopt", "s", "m", "--dry-run", "--exclude", "*.h5"]);
    assert!(told.contains("\n--exclude '*.h5' fits no file and no folder\n"), "{told}");
    // A file has none to choose among.
    for command in [
        &["import", "s", "m/model.safetensors", "--name", "y", "--exclude", "x"][..],
        &["import", "s", "m/model.safetensors", "--name", "y", "--include", "x"],
        &["adopt", "s", "m/model.safetensors", "--dry-run", "--exclude", "x"],
    ] {
        let told = sandbox.refused(command, 2);
        assert!(told.contains("among the files of a folder"), "{command:?}: {told}");
    }
}

#[test]
fn weights_without_tensors_are_said() {
    let sandbox = Sandbox::with_store();
    sandbox.write("empty.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    sandbox.write("empty.npz", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    for name in ["empty.safetensors", "empty.npz"] {
        let told = sandbox.ok(&["import", "s", name, "--name", name]);
        assert!(told.ends_with(&format!("\n  {name}: no tensors are seen in it\n")), "{told}");
    }
    folder(&sandbox);
    let told = sandbox.ok(&IMPORT);
    assert!(!told.contains("no tensors"), "{told}");
}
