//! Promise: the history is asked and changed as git's is: `log` takes ranges and filters, `tag`,
//! `mv`, `note`, `meta` and `parent` change names and edges and nothing else, and refuse what
//! would break the graph.

use crate::common::Sandbox;
use serde_json::{Value, json};

/// base -> left, right -> merged; base@2; other.
fn family() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &["--kind", "bert"]);
    sandbox.import(1, "left", &["--parent", "base", "--kind", "bert/tiny"]);
    sandbox.import(2, "right", &["--parent", "base", "--how", "prune"]);
    sandbox.import(3, "merged", &["--parent", "left", "--parent", "right", "--how", "merge"]);
    sandbox.import(4, "base", &[]);
    sandbox.import(5, "x..y", &[]);
    sandbox
}

fn log(sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
    let models = sandbox.json(&[&["log", "s"], arguments].concat())["models"].clone();
    let names = models.as_array().unwrap().iter().map(|m| m["model"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn log_takes_ranges() {
    let sandbox = family();
    assert_eq!(log(&sandbox, &[]).len(), 6);
    assert_eq!(log(&sandbox, &["left"]), ["left@1", "base@1"]);
    assert_eq!(log(&sandbox, &["left..merged"]), ["merged@1", "right@1"]);
    assert_eq!(log(&sandbox, &["merged", "^left"]), ["merged@1", "right@1"]);
    assert_eq!(log(&sandbox, &["base@1..left", "base@1..right"]), ["right@1", "left@1"]);
    assert_eq!(log(&sandbox, &["merged.."]), ["x..y@1", "base@2"]);
    assert_eq!(log(&sandbox, &["^merged"]), ["x..y@1", "base@2"]);
    assert_eq!(log(&sandbox, &["..left"]), ["left@1", "base@1"]);
    // A name with dots of its own, alone and at an end of a range.
    assert_eq!(log(&sandbox, &["x..y"]), ["x..y@1"]);
    assert_eq!(log(&sandbox, &["base..x..y"]), ["x..y@1"]);
    assert_eq!(log(&sandbox, &["merged..left"]), [""; 0]);
    assert_eq!(sandbox.ok(&["log", "s", "merged..left"]), "no models in that range\n");
    for range in ["none-such", "base..none-such", "none-such..base", "^none-such"] {
        let message = sandbox.refused(&["log", "s", range], 1);
        assert!(message.contains("no model \"none-such\""), "{message}");
    }
    // What is not drawn is told in words.
    let text = sandbox.ok(&["log", "s", "left..merged"]);
    assert!(
        text.contains("merge of left@1, right@1") && text.contains("prune of base@1"),
        "{text}"
    );
}

#[test]
fn log_takes_filters() {
    let sandbox = family();
    assert_eq!(log(&sandbox, &["--kind", "bert*"]), ["left@1", "base@1"]);
    assert_eq!(log(&sandbox, &["--kind", "bert"]), ["base@1"]);
    assert_eq!(log(&sandbox, &["--name", "base"]), ["base@2", "base@1"]);
    assert_eq!(log(&sandbox, &["--name", "*@2"]), ["base@2"]);
    assert_eq!(log(&sandbox, &["--name", "?ight"]), ["right@1"]);
    assert_eq!(log(&sandbox, &["-n", "2"]), ["x..y@1", "base@2"]);
    assert_eq!(log(&sandbox, &["merged", "--name", "*e*", "-n", "1"]), ["merged@1"]);
    assert_eq!(log(&sandbox, &["--since", "1 hour ago"]).len(), 6);
    assert_eq!(log(&sandbox, &["--until", "1 hour ago"]), [""; 0]);
    assert_eq!(log(&sandbox, &["--since", "2999-01-01"]), [""; 0]);
    assert_eq!(sandbox.ok(&["log", "s", "--kind", "t5"]), "no models fit\n");
    assert!(sandbox.refused(&["log", "s", "--since", "soon"], 2).contains("not a time"));
    sandbox.ok(&["tag", "s", "best", "right"]);
    assert_eq!(log(&sandbox, &["--tagged"]), ["right@1"]);
    assert!(sandbox.ok(&["log", "s"]).contains("right@1 (best)  3 tensors"));
}

#[test]
fn tags_are_set_moved_listed_and_removed() {
    let sandbox = family();
    assert_eq!(sandbox.ok(&["tag", "s"]), "no tags\n");
    assert_eq!(sandbox.ok(&["tag", "s", "best", "left"]), "tag best is on left@1\n");
    assert_eq!(sandbox.ok(&["tag", "s", "best", "left@1"]), "tag best is on left@1\n");
    let failure = sandbox.failure(&["tag", "s", "best", "right"], 1);
    assert_eq!(failure["code"], "tag-exists");
    let moved = sandbox.json(&["tag", "s", "best", "right", "--force"]);
    assert_eq!((&moved["was"], &moved["model"]), (&json!("left@1"), &json!("right@1")));
    assert_eq!(sandbox.ok(&["tag", "s"]), "TAG   MODEL\nbest  right@1\n");
    let shown = sandbox.json(&["show", "s", "best"]);
    assert_eq!((&shown["model"], &shown["tags"]), (&json!("right@1"), &json!(["best"])));
    assert_eq!(sandbox.failure(&["tag", "s", "base", "left"], 1)["code"], "name-taken");
    sandbox.refused(&["tag", "s", "best"], 2);
    sandbox.refused(&["tag", "s", "--delete"], 2);
    assert_eq!(sandbox.ok(&["tag", "s", "-d", "best"]), "tag best is gone from right@1\n");
    assert_eq!(sandbox.failure(&["tag", "s", "-d", "best"], 1)["code"], "no-such-tag");
    assert_eq!(sandbox.json(&["verify", "s"])["clean"], true);
}

#[test]
fn mv_moves_a_name_or_one_version() {
    let sandbox = family();
    sandbox.ok(&["tag", "s", "best", "base@2"]);
    let text = sandbox.ok(&["mv", "s", "base", "bert/base"]);
    assert_eq!(text, "base@1 -> bert/base@1\nbase@2 -> bert/base@2\n");
    let moved = sandbox.json(&["mv", "s", "best", "odd"])["moved"].clone();
    assert_eq!((&moved[0]["from"], &moved[0]["to"]), (&json!("bert/base@2"), &json!("odd@1")));
    sandbox.ok(&["mv", "s", "left@1", "odd"]);
    assert_eq!(
        sandbox.models(),
        ["bert/base@1", "merged@1", "odd@1", "odd@2", "right@1", "x..y@1"]
    );
    let shown = sandbox.json(&["show", "s", "odd"]);
    assert_eq!(shown["parents"][0]["model"], "bert/base@1");
    assert_eq!(shown["previous"], "odd@1");
    assert_eq!(sandbox.failure(&["mv", "s", "odd", "right"], 1)["code"], "name-taken");
    assert_eq!(sandbox.failure(&["mv", "s", "gone", "x"], 1)["code"], "no-such-model");
    sandbox.refused(&["mv", "s", "odd", "a b"], 2);
    assert_eq!(sandbox.json(&["verify", "s"])["clean"], true);
}

#[test]
fn notes_are_written_read_and_removed() {
    let sandbox = family();
    assert_eq!(sandbox.ok(&["note", "s", "left"]), "left@1 has no note\n");
    sandbox.ok(&["note", "s", "left", "half frozen"]);
    sandbox.ok(&["note", "s", "left", "--append", "good\x1b[2J"]);
    assert_eq!(sandbox.ok(&["note", "s", "left"]), "half frozen\ngood\\u{1b}[2J\n");
    assert_eq!(sandbox.json(&["note", "s", "left"])["note"], "half frozen\ngood\x1b[2J");
    assert_eq!(
        sandbox.json(&["show", "s", "left"])["metadata"]["note"],
        "half frozen\ngood\x1b[2J"
    );
    sandbox.ok(&["note", "s", "left", "--delete"]);
    assert_eq!(sandbox.json(&["note", "s", "left"])["note"], Value::Null);
    assert_eq!(sandbox.failure(&["note", "s", "left", "--delete"], 1)["code"], "no-note");
    sandbox.refused(&["note", "s", "left", "--append"], 2);
}

#[test]
fn metadata_and_kinds_are_changed() {
    let sandbox = family();
    let document = sandbox.json(&["meta", "s", "left", "a=1", "b=x y", "--kind", "t5"]);
    assert_eq!(document["metadata"], json!({ "a": 1, "b": "x y" }));
    assert_eq!(document["kind"], "t5");
    let text = sandbox.ok(&["meta", "s", "left", "--unset", "a", "--kind", ""]);
    assert_eq!(text, "left@1\n  b = \"x y\"\n");
    assert_eq!(sandbox.failure(&["meta", "s", "left", "--unset", "a"], 1)["code"], "no-such-key");
    assert_eq!(sandbox.json(&["meta", "s", "left"])["kind"], Value::Null);
}

#[test]
fn parents_are_added_taken_away_and_replaced() {
    let sandbox = family();
    let parents = |model: &str| -> Vec<String> {
        let parents = sandbox.json(&["show", "s", model])["parents"].clone();
        let text = |p: &Value| format!("{} {}", p["how"], p["model"]).replace('"', "");
        parents.as_array().unwrap().iter().map(text).collect()
    };
    let set = ["parent", "set", "s", "merged", "right", "base@1", "--meta", "weight=0.5"];
    let text = sandbox.ok(&set);
    assert_eq!(text, "merged@1:\n  merge of right@1\n  finetune of base@1\n");
    assert_eq!(sandbox.json(&["show", "s", "merged"])["parents"][0]["metadata"]["weight"], 0.5);
    assert!(sandbox.ok(&["show", "s", "merged"]).contains("    meta weight = 0.5\n"));
    sandbox.ok(&["parent", "add", "s", "merged", "left", "--how", "average"]);
    sandbox.ok(&["parent", "rm", "s", "merged", "base@1"]);
    assert_eq!(parents("merged"), ["merge right@1", "average left@1"]);
    let message = sandbox.refused(&["parent", "add", "s", "base@1", "merged"], 1);
    assert!(message.contains("merged@1 descends from base@1"), "{message}");
    let failure = sandbox.failure(&["parent", "add", "s", "merged", "left"], 1);
    assert_eq!(failure["code"], "duplicate-parent");
    assert_eq!(failure["message"], "left@1 is named twice as a parent", "no word of damage");
    let failure = sandbox.failure(&["parent", "rm", "s", "merged", "base@1"], 1);
    assert_eq!(failure["code"], "no-such-edge");
    assert!(sandbox.ok(&["parent", "set", "s", "merged"]).contains("no parents"));
    assert_eq!(parents("merged"), [""; 0]);

    sandbox.import(6, "base", &[]);
    let document = sandbox.json(&["parent", "previous", "s", "base@3", "base@1"]);
    assert_eq!(document["previous"], "base@1");
    let failure = sandbox.failure(&["parent", "previous", "s", "base@1", "base@3"], 1);
    assert_eq!(failure["code"], "not-earlier");
    let none = sandbox.json(&["parent", "previous", "s", "base@3", "none"]);
    assert_eq!(none["previous"], Value::Null);
    assert_eq!(sandbox.json(&["verify", "s"])["clean"], true);
}
