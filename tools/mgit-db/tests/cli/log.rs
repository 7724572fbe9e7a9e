//! Promise: `log` draws every model once, below everything made from it, with a lane for each
//! edge: `|` to a model it was derived from, `:` to the version before.

use crate::common::Sandbox;
use serde_json::{Value, json};

/// The drawing without sizes and times, which stand behind the first two spaces after a name.
fn drawing(sandbox: &Sandbox) -> Vec<String> {
    let text = sandbox.ok(&["log", "s"]);
    let plain = |line: &str| match line.find("  3 tensors") {
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(plain).collect()
}

#[test]
fn a_diamond_is_drawn_with_its_versions() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "left", &["--parent", "base"]);
    sandbox.import(2, "right", &["--parent", "base", "--how", "prune"]);
    sandbox.import(3, "merged", &["--parent", "left", "--parent", "right", "--how", "merge"]);
    sandbox.import(4, "base", &[]);
    sandbox.import(5, "merged", &["--parent", "base"]);
    let found = drawing(&sandbox);
    assert_eq!(
        found,
        [
            "*      merged@2",
            ":\\     next version of merged@1; finetune of base@2",
            ": *    base@2",
            ": :    next version of base@1",
            "* :    merged@1",
            "|-:-.  merge of left@1, right@1",
            "| : *  right@1",
            "| : |  prune of base@1",
            "* : |  left@1",
            "| : |  finetune of base@1",
            "|-+-'",
            "*      base@1",
        ]
    );
}

#[test]
fn roots_stand_apart() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "a", &[]);
    sandbox.import(1, "b", &[]);
    assert_eq!(drawing(&sandbox), ["*  b@1", "", "*  a@1"]);
}

#[test]
fn the_document_has_the_same_order() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "a", &[]);
    sandbox.import(1, "b", &["--parent", "a", "--how", "average"]);
    sandbox.import(2, "a", &[]);
    let models = sandbox.json(&["log", "s"])["models"].clone();
    let names: Vec<&Value> = models.as_array().unwrap().iter().map(|m| &m["model"]).collect();
    assert_eq!(names, ["a@2", "b@1", "a@1"]);
    assert_eq!(models[0]["previous"], "a@1");
    assert_eq!(models[1]["parents"][0]["how"], "average");
    assert_eq!(models[2]["parents"], json!([]));
}
