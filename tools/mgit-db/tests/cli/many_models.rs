//! Promise: commands that take several models and globs do all or nothing, and what a glob removes
//! is shown before and needs a yes.

use crate::common::{Sandbox, model};

/// The store `s` with run@1 to run@4, each the child of the one before, and sweep/a to sweep/c,
/// children of run@4.
fn family() -> Sandbox {
    let sandbox = Sandbox::with_store();
    for version in 1..=4 {
        let parents: &[&str] = if version == 1 { &[] } else { &["--parent", "run"] };
        sandbox.import(version, "run", parents);
    }
    for (seed, name) in (5..).zip(["sweep/a", "sweep/b", "sweep/c"]) {
        sandbox.import(seed, name, &["--parent", "run@4"]);
    }
    sandbox
}

#[test]
fn a_glob_is_shown_and_asks() {
    let sandbox = family();
    let before = sandbox.read("s");
    let told = sandbox.refused(&["rm", "s", "sweep/*"], 2);
    assert!(told.contains("add --yes, or --dry-run"), "{told}");
    let shown = sandbox.ok(&["rm", "s", "sweep/*", "--dry-run"]);
    assert!(shown.contains("sweep/a@1") && shown.contains("sweep/c@1"), "{shown}");
    let document = sandbox.json(&["rm", "s", "sweep/?", "--dry-run"]);
    let names = ["sweep/a@1", "sweep/b@1", "sweep/c@1"];
    assert_eq!(document["would_remove"], serde_json::json!(names));
    assert_eq!(sandbox.read("s"), before);
    let document = sandbox.json(&["rm", "s", "sweep/*", "--yes"]);
    assert_eq!(document["models"].as_array().unwrap().len(), 3, "{document}");
    assert_eq!(sandbox.models(), ["run@1", "run@2", "run@3", "run@4"]);
    assert_eq!(sandbox.failure(&["rm", "s", "sweep/*", "--yes"], 1)["code"], "no-such-model");
}

#[test]
fn several_go_with_their_parents_or_not_at_all() {
    let sandbox = family();
    // run@3 has a child that stays.
    let told = sandbox.refused(&["rm", "s", "sweep/a", "run@3"], 1);
    assert!(told.contains("run@4"), "{told}");
    assert_eq!(sandbox.models().len(), 7);
    sandbox.ok(&["rm", "s", "run@4", "run@3", "sweep/b", "sweep/a", "sweep/c"]);
    assert_eq!(sandbox.models(), ["run@1", "run@2"]);
    assert!(sandbox.ok(&["verify", "s"]).contains("no damage"));
}

#[test]
fn the_last_versions_stay() {
    let sandbox = family();
    sandbox.ok(&["tag", "s", "good", "run@1"]);
    let shown =
        sandbox.ok(&["rm", "s", "run", "--keep-last", "2", "--reparent-children", "--dry-run"]);
    assert!(shown.contains("run@2") && !shown.contains("run@3"), "{shown}");
    assert!(shown.contains("run@1 has a tag and stays"), "{shown}");
    let arguments = ["rm", "s", "*", "--keep-last", "2", "--reparent-children", "--yes"];
    let document = sandbox.json(&arguments);
    assert_eq!(document["kept"], serde_json::json!(["run@1"]));
    assert_eq!(document["models"][0]["changed_children"], serde_json::json!(["run@3"]));
    let left = ["run@1", "run@3", "run@4", "sweep/a@1", "sweep/b@1", "sweep/c@1"];
    assert_eq!(sandbox.models(), left);
    sandbox.write("run-1", &[]);
    for name in ["run@1", "run@3", "run@4", "sweep/b"] {
        sandbox.ok(&["export", "s", name, "out", "--force"]);
    }
    let nothing = sandbox.json(&arguments);
    assert_eq!(nothing["models"].as_array().unwrap().len(), 0, "{nothing}");
    sandbox.refused(&["rm", "s", "run", "--keep-last", "0"], 2);
    assert!(sandbox.refused(&["rm", "s", "good", "--keep-last", "1", "--yes"], 1).contains("good"));
}

#[test]
fn several_are_pinned_at_once() {
    let sandbox = family();
    let document = sandbox.json(&["pin", "s", "sweep/*", "run@1"]);
    let pinned = document["models"].as_array().unwrap();
    assert_eq!(pinned.len(), 4, "{document}");
    assert_eq!(sandbox.json(&["pin", "s", "run@2"])["model"], "run@2");
    sandbox.refused(&["unpin", "s", "run@1", "nobody"], 1);
    let text = sandbox.ok(&["unpin", "s", "run@*", "sweep/a"]);
    assert!(text.contains("run@4 unpinned") && text.contains("sweep/a@1 unpinned"), "{text}");
}

#[test]
fn several_are_recoded_at_once() {
    let sandbox = family();
    let all = sandbox.json(&["recode", "s", "--profile", "dense"]);
    let some = sandbox.json(&["recode", "s", "run@1", "run@2", "sweep/*", "--profile", "fast"]);
    // `embed` is the same in all of them: it counts once.
    let tensors = |document: &serde_json::Value| document["tensors"].as_u64().unwrap();
    assert!(tensors(&some) < tensors(&all), "{some}");
    assert_eq!(tensors(&some), 5 * 2 + 1, "{some}");
    sandbox.refused(&["recode", "s", "sweep/*", "--lossy", "fp16"], 1);
    sandbox.refused(&["recode", "s", "run@1", "run@2", "--lossy", "fp16"], 2);
    assert!(sandbox.ok(&["verify", "s"]).contains("no damage"));
}

#[test]
fn a_list_is_chosen_and_sorted() {
    let sandbox = family();
    sandbox.ok(&["meta", "s", "run@2", "--kind", "bert"]);
    sandbox.ok(&["tag", "s", "good", "run@2"]);
    let names = |arguments: &[&str]| -> Vec<String> {
        let document = sandbox.json(&[&["ls", "s"], arguments].concat());
        let models = document["models"].as_array().unwrap().iter();
        models.map(|model| model["model"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["sweep/*"]), ["sweep/a@1", "sweep/b@1", "sweep/c@1"]);
    assert_eq!(names(&["good", "sweep/b"]), ["run@2", "sweep/b@1"]);
    assert_eq!(names(&["--kind", "b*"]), ["run@2"]);
    assert_eq!(names(&["--sort", "date"])[0], "sweep/c@1");
    let own = sandbox.json(&["ls", "s", "--sort", "own"]);
    let own: Vec<u64> = own["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["own_bytes"].as_u64().unwrap())
        .collect();
    assert!(own.is_sorted_by(|a, b| a >= b) && own[0] > 0, "{own:?}");
    let long = sandbox.ok(&["ls", "s", "run@2", "-l"]);
    assert!(long.contains("OWN") && long.contains("good"), "{long}");
    assert_eq!(sandbox.ok(&["ls", "s", "--kind", "none"]), "no model is of this kind\n");
    assert_eq!(sandbox.failure(&["ls", "s", "nobody*"], 1)["code"], "no-such-model");
    sandbox.refused(&["ls", "s", "--sort", "colour"], 2);
}

#[test]
fn a_model_that_is_removed_is_the_one_that_was_meant() {
    let sandbox = family();
    // A name stands for its highest version, once.
    sandbox.ok(&["rm", "s", "sweep/a", "sweep/a@1", "sweep/b"]);
    assert_eq!(sandbox.models(), ["run@1", "run@2", "run@3", "run@4", "sweep/c@1"]);
    assert_eq!(sandbox.json(&["rm", "s", "sweep/c"])["removed"], "sweep/c@1");
    let file = sandbox.read("run.safetensors");
    assert_eq!(file, model(4));
}
