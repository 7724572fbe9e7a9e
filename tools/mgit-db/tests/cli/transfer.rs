//! Promise: the commands that move models between places do it, say what they did, and refuse
//! with both histories what would lose models.

use std::fs;
use std::path::PathBuf;

use crate::common;
use crate::common::Sandbox;
use serde_json::json;

/// A store `s` of two models, and a clone of it by way of the folder `remote`.
fn two_sides() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "tuned", &["--parent", "base"]);
    let remote = sandbox.path("remote");
    let remote = remote.to_str().unwrap();
    sandbox.ok(&["remote", "add", "s", "origin", remote]);
    sandbox.ok(&["push", "s"]);
    sandbox.ok(&["clone", remote, "other"]);
    sandbox
}

#[test]
fn clone_push_and_pull_by_way_of_a_folder() {
    let sandbox = two_sides();
    let list = |store: &str| sandbox.json(&["ls", store])["models"].clone();
    assert_eq!(list("s"), list("other"));
    assert_eq!(sandbox.ok(&["pull", "other"]), "nothing is missing (origin)\n");
    sandbox.import(3, "more", &["--parent", "tuned"]);
    let pushed = sandbox.json(&["push", "s"]);
    assert_eq!(pushed["models"], json!(["more@1"]));
    assert!(pushed["bytes"].as_u64().unwrap() > 0, "{pushed}");
    let pulled = sandbox.ok(&["pull", "other"]);
    assert!(pulled.starts_with("pulled 1 model, ") && pulled.contains("more@1"), "{pulled}");
    assert_eq!(list("s"), list("other"));
    sandbox.ok(&["verify", "other"]);
}

#[test]
fn a_name_that_diverged_is_shown_and_comes_together() {
    let sandbox = two_sides();
    sandbox.import(4, "tuned", &["--parent", "base"]);
    sandbox.write("theirs.safetensors", &common::model(5));
    sandbox.ok(&["import", "other", "theirs.safetensors", "--name", "tuned"]);
    sandbox.ok(&["push", "other"]);
    let refused = sandbox.refused(&["push", "s"], 1);
    let both = "tuned: here tuned@2, there tuned@2, both since tuned@1";
    assert!(refused.contains("pull first") && refused.contains(both), "{refused}");
    assert_eq!(sandbox.failure(&["push", "s"], 1)["code"], "diverged");
    let pulled = sandbox.ok(&["pull", "s"]);
    assert!(pulled.contains("tuned@2 is tuned@3 now"), "{pulled}");
    let diverged = "tuned has diverged: tuned@2, tuned@3";
    assert!(pulled.contains(diverged), "{pulled}");
    assert!(sandbox.ok(&["log", "s"]).contains(diverged));
    assert!(sandbox.ok(&["graph", "s"]).contains(diverged));
    for format in ["dot", "mermaid", "svg", "html"] {
        let drawn = sandbox.ok(&["graph", "s", "--format", format]);
        // Its two ends, and nothing else.
        let marks = if format == "html" { 4 } else { 2 };
        assert_eq!(drawn.matches("diverged").count(), marks, "{format}");
    }
    let svg = sandbox.ok(&["graph", "s", "--format", "svg"]);
    assert_eq!(svg.matches("<g class=\"node end\"").count(), 2);
    let log = sandbox.json(&["log", "s"]);
    assert_eq!(log["diverged"], json!([{ "name": "tuned", "ends": ["tuned@2", "tuned@3"] }]));
    sandbox.ok(&["push", "s"]);
    sandbox.ok(&["pull", "other"]);
    let list = |store: &str| sandbox.json(&["ls", store])["models"].clone();
    assert_eq!(list("s"), list("other"));
}

#[test]
fn only_wanted_models_are_cloned_and_the_rest_can_follow() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "bert/a", &["--parent", "base"]);
    sandbox.import(3, "gpt", &[]);
    let cloned = sandbox.json(&["clone", "s", "part", "--name", "bert/*"]);
    assert_eq!(cloned["models"], json!(["base@1", "bert/a@1"]));
    let pulled = sandbox.json(&["pull", "part"]);
    assert_eq!(pulled["models"], json!(["gpt@1"]));
    assert_eq!(sandbox.failure(&["clone", "s", "part"], 1)["code"], "already-exists");
    assert_eq!(sandbox.failure(&["pull", "part", "--name", "none"], 1)["code"], "nothing-selected");
    let fetched = sandbox.json(&["fetch", "part", "s"]);
    assert_eq!(fetched["models"], json!([]));
}

#[test]
fn remotes_are_kept_listed_and_forgotten() {
    let sandbox = Sandbox::with_store();
    assert_eq!(sandbox.ok(&["remote", "ls", "s"]), "no remotes\n");
    assert_eq!(sandbox.failure(&["push", "s"], 1)["code"], "no-such-remote");
    sandbox.ok(&["remote", "add", "s", "hub", "s3://bucket/family"]);
    assert!(sandbox.ok(&["remote", "ls", "s"]).contains("hub     s3://bucket/family"));
    let refused = sandbox.refused(&["remote", "add", "s", "x", "s3://me:secret@b/f"], 1);
    assert!(refused.contains("environment") && !refused.contains("secret"), "{refused}");
    sandbox.ok(&["remote", "rm", "s", "hub"]);
    assert_eq!(sandbox.json(&["remote", "ls", "s"])["remotes"], json!([]));
}

#[test]
fn bundles_carry_models_in_one_file() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "tuned", &["--parent", "base"]);
    let made = sandbox.json(&["bundle", "create", "s", "b", "--name", "tuned"]);
    assert_eq!(made["models"], json!(["base@1", "tuned@1"]));
    assert!(sandbox.ok(&["bundle", "verify", "b"]).ends_with("no damage\n"));
    sandbox.ok(&["init", "other"]);
    let taken = sandbox.json(&["bundle", "import", "other", "b"]);
    assert_eq!(taken["models"], made["models"]);
    let list = |store: &str| sandbox.json(&["ls", store])["models"].clone();
    assert_eq!(list("s"), list("other"));
    sandbox.ok(&["clone", "b", "third"]);
    assert_eq!(list("s"), list("third"));
    // What is no bundle is not a damaged one.
    sandbox.write("notes", b"something else");
    sandbox.write("nothing", b"");
    for (file, words) in [("s", "a store"), ("notes", "no bundle"), ("nothing", "no bundle")] {
        for command in [&["bundle", "verify", file][..], &["bundle", "import", "other", file]] {
            let failure = sandbox.failure(command, 1);
            assert_eq!(failure["code"], "bad-remote");
            assert!(failure["message"].as_str().unwrap().contains(words), "{failure}");
        }
    }
    let mut bytes = sandbox.read("b");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    sandbox.write("b", &bytes);
    sandbox.refused(&["bundle", "verify", "b"], 1);
}

#[test]
fn a_clone_that_was_cut_short_goes_on() {
    let sandbox = two_sides();
    let packs = sandbox.path("remote").join("packs");
    let pack = std::fs::read_dir(&packs).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&pack).unwrap();
    std::fs::write(&pack, &whole[..whole.len() / 3]).unwrap();
    sandbox.refused(&["clone", "remote", "again"], 1);
    assert!(!sandbox.path("again").exists(), "nothing had come");
    std::fs::write(&pack, &whole).unwrap();
    sandbox.ok(&["clone", "remote", "again"]);
    let list = |store: &str| sandbox.json(&["ls", store])["models"].clone();
    assert_eq!(list("s"), list("again"));
    sandbox.refused(&["clone", "remote", "again"], 1);
}

/// The packs of the folder remote.
fn packs(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.path("remote/packs")).unwrap();
    let mut packs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    packs
}

/// `verify` finds something: it says so in text and in its document, and fails.
fn finds(sandbox: &Sandbox, place: &str, subject: &str, message: &str) {
    let answer = sandbox.run(&["verify", place]);
    let text = answer.text();
    assert_eq!(answer.code, Some(1), "{text}");
    assert!(text.contains("finding") && text.contains(message), "{text}");
    assert!(text.contains(subject) && text.contains("next: "), "{text}");
    let answer = sandbox.run(&["verify", place, "--json"]);
    let document = answer.json();
    assert_eq!((answer.code, &document["clean"]), (Some(1), &json!(false)), "{document}");
    let found = document["findings"].as_array().unwrap().iter().any(|finding| {
        let has = |key: &str, part: &str| finding[key].as_str().unwrap().contains(part);
        has("subject", subject) && has("message", message)
    });
    assert!(found, "{subject}: {message} not in {document}");
}

#[test]
fn verify_tells_whether_a_remote_is_whole() {
    let sandbox = two_sides();
    sandbox.import(3, "more", &["--parent", "tuned"]);
    sandbox.ok(&["push", "s"]);
    let said = sandbox.ok(&["verify", "remote"]);
    assert!(said.starts_with("checked 3 models, 2 packs, "), "{said}");
    assert!(said.ends_with(": no damage\n"), "{said}");
    let document = sandbox.json(&["verify", "remote"]);
    let counts = ["refs", "packs", "unnamed_packs", "models"].map(|key| document[key].clone());
    assert_eq!(counts, [json!(2), json!(2), json!(0), json!(3)]);
    assert_eq!((&document["clean"], &document["findings"]), (&json!(true), &json!([])));
    let quick = sandbox.json(&["verify", "remote", "--quick"]);
    assert_eq!((&quick["quick"], &quick["clean"]), (&json!(true), &json!(true)));

    let pack = &packs(&sandbox)[0];
    let name = pack.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(pack).unwrap();
    let mut hurt = whole.clone();
    hurt[64 + 24] ^= 1;
    fs::write(pack, &hurt).unwrap();
    finds(&sandbox, "remote", name, "record of ");
    fs::write(pack, &whole[..whole.len() - 1]).unwrap();
    finds(&sandbox, "remote", name, &format!("bytes of {}", whole.len()));
    fs::remove_file(pack).unwrap();
    finds(&sandbox, "remote", name, "it is not there");
    finds(&sandbox, "remote", "", "is not there");
    // The store still has what it held.
    let pushed = sandbox.json(&["push", "s"]);
    assert_eq!(pushed["rewritten_packs"], json!([name.trim_end_matches(".pack")]));
    sandbox.ok(&["verify", "remote"]);

    // Stored differently now: another pack stands in its place.
    sandbox.ok(&["recode", "s", "--profile", "dense"]);
    sandbox.ok(&["pin", "s", "tuned"]);
    packs(&sandbox).iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let pushed = sandbox.json(&["push", "s"]);
    let replaced = pushed["replaced_packs"].as_array().unwrap();
    assert!(!replaced.is_empty() && replaced[0]["lost"].is_string(), "{pushed}");
    assert!(sandbox.ok(&["verify", "remote"]).ends_with(": no damage\n"));
    sandbox.ok(&["clone", "remote", "again"]);
    let list = |store: &str| sandbox.json(&["ls", store])["models"].clone();
    assert_eq!(list("s"), list("again"));
    sandbox.ok(&["verify", "again"]);

    fs::create_dir(sandbox.path("empty")).unwrap();
    assert_eq!(sandbox.failure(&["verify", "empty"], 1)["code"], "remote-not-found");
}

#[test]
fn verify_tells_whether_a_bundle_is_whole() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "tuned", &["--parent", "base"]);
    sandbox.ok(&["bundle", "create", "s", "b"]);
    let said = sandbox.ok(&["verify", "b"]);
    assert!(said.starts_with("checked 2 models, 1 pack, "), "{said}");
    let document = sandbox.json(&["verify", "b"]);
    assert_eq!((&document["packs"], &document["models"]), (&json!(1), &json!(2)), "{document}");
    let whole = sandbox.read("b");
    let mut hurt = whole.clone();
    hurt[64 + 24] ^= 1;
    sandbox.write("b", &hurt);
    finds(&sandbox, "b", "b", "record of ");
    sandbox.write("b", &whole[..whole.len() - 10]);
    finds(&sandbox, "b", "b", "");
    sandbox.write("b", &whole);
    sandbox.ok(&["verify", "b"]);
}

#[test]
fn a_bare_word_is_a_place_where_one_is_and_else_a_remote() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    let told = sandbox.refused(&["push", "s", "far"], 1);
    let expected = "error: no remote \"far\" is kept in this store: `mgit-db remote add` keeps one; \
                    for a folder that is to be made, write ./far\n";
    assert_eq!(told, expected);
    sandbox.ok(&["push", "s", "./far"]);
    sandbox.ok(&["push", "s", "far"]);
    sandbox.ok(&["init", "near"]);
    sandbox.ok(&["push", "s", "near"]);
    sandbox.ok(&["export", "near", "base", "out"]);
    // A name of a store, as the advice says.
    let told = sandbox.refused(&["push", "s", "word.mgit"], 1);
    let advice = "; `mgit-db init ./word.mgit` makes a store, to be named ./word.mgit here\n";
    assert!(told.ends_with(advice), "{told}");
    let told = sandbox.refused(&["push", "s", "./word.mgit"], 1);
    assert!(told.ends_with("; `mgit-db init ./word.mgit` makes a store\n"), "{told}");
    sandbox.ok(&["init", "./word.mgit"]);
    sandbox.ok(&["push", "s", "./word.mgit"]);
    for command in ["push", "pull", "fetch"] {
        let told = sandbox.refused(&[command, "s", ""], 2);
        assert!(told.contains("a value is required") && !told.contains("./"), "{told}");
    }
}

#[test]
fn a_push_writes_into_no_folder_of_other_things() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    let folder = |path: &str| fs::create_dir_all(sandbox.path(path)).unwrap();
    ["mod/refs", "killed/packs", "empty"].into_iter().for_each(folder);
    for at in 0..6 {
        sandbox.write(&format!("mod/{at}.json"), b"{}");
    }
    sandbox.write("mod/refs/main", b"a hub's own");
    let told = sandbox.refused(&["push", "s", "mod"], 1);
    let expected = "error: mod is not empty and is no remote: it holds \"0.json\", \"1.json\", \
                    \"2.json\", \"3.json\", \"4.json\" and 2 more: nothing was written; name \
                    another folder, which may not be there yet\n";
    assert_eq!(told, expected);
    assert_eq!(sandbox.failure(&["push", "s", "mod"], 1)["code"], "folder-not-empty");
    assert!(!sandbox.path("mod/packs").exists());
    // By a name that is kept, too.
    sandbox.ok(&["remote", "add", "s", "origin", "./mod"]);
    assert_eq!(sandbox.failure(&["push", "s"], 1)["code"], "folder-not-empty");
    // One that is empty, one that a killed push has left, one that has something besides.
    sandbox.write("killed/packs/.left", b"");
    for folder in ["./empty", "./killed", "./absent"] {
        sandbox.ok(&["push", "s", folder]);
        sandbox.write(&format!("{folder}/README"), b"");
        sandbox.ok(&["push", "s", folder]);
    }
}
