//! Promise: the commands that move models between places do it, say what they did, and refuse
//! with both histories what would lose models.

mod common;

use common::Sandbox;
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
fn a_name_that_grew_apart_is_shown_and_comes_together() {
    let sandbox = two_sides();
    sandbox.import(4, "tuned", &["--parent", "base"]);
    sandbox.write("theirs.safetensors", &common::model(5));
    sandbox.ok(&["import", "other", "theirs.safetensors", "--name", "tuned"]);
    sandbox.ok(&["push", "other"]);
    let refused = sandbox.refused(&["push", "s"], 1);
    let both = "tuned: here tuned@2, there tuned@2, both since tuned@1";
    assert!(refused.contains("pull first") && refused.contains(both), "{refused}");
    assert_eq!(sandbox.failure(&["push", "s"], 1)["code"], "grown-apart");
    let pulled = sandbox.ok(&["pull", "s"]);
    assert!(pulled.contains("tuned@2 is tuned@3 now"), "{pulled}");
    let apart = "tuned has grown apart: tuned@2, tuned@3";
    assert!(pulled.contains(apart), "{pulled}");
    assert!(sandbox.ok(&["log", "s"]).contains(apart));
    assert!(sandbox.ok(&["graph", "s"]).contains(apart));
    for format in ["dot", "mermaid", "svg", "html"] {
        let drawn = sandbox.ok(&["graph", "s", "--format", format]);
        // Its two ends, and nothing else.
        let marks = if format == "html" { 4 } else { 2 };
        assert_eq!(drawn.matches("grown apart").count(), marks, "{format}");
    }
    let svg = sandbox.ok(&["graph", "s", "--format", "svg"]);
    assert_eq!(svg.matches("<g class=\"node apart\"").count(), 2);
    let log = sandbox.json(&["log", "s"]);
    assert_eq!(log["grown_apart"], json!([{ "name": "tuned", "ends": ["tuned@2", "tuned@3"] }]));
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
