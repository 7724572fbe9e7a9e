//! Promise: a clone of the graph alone shows the family, brings what a command reads when it is
//! read, and says what to do where the tensors cannot be reached.

use crate::common;
use crate::common::Sandbox;
use serde_json::json;

/// A store `s` of two models at the folder `remote`, and a clone `part` of its graph.
fn graph_only() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "tuned", &["--parent", "base"]);
    sandbox.import(3, "tuned", &["--parent", "base"]);
    sandbox.ok(&["push", "s", "./remote"]);
    let cloned = sandbox.ok(&["clone", "remote", "part", "--graph-only"]);
    assert!(cloned.contains("stay there until they are needed"), "{cloned}");
    sandbox
}

#[test]
fn the_family_is_seen_without_its_tensors() {
    let sandbox = graph_only();
    let whole = sandbox.path("s").metadata().unwrap().len();
    for command in ["log", "graph", "ls"] {
        assert_eq!(sandbox.ok(&[command, "s"]), sandbox.ok(&[command, "part"]), "{command}");
    }
    let shown = sandbox.json(&["show", "part", "tuned"]);
    let tensor = &shown["tensors"][0];
    assert_eq!((&tensor["encoding"], &tensor["stored_bytes"]), (&json!(null), &json!(null)));
    assert!(tensor["promisor"].as_str().unwrap().ends_with("/remote"), "{tensor}");
    assert!(sandbox.ok(&["show", "part", "tuned"]).contains("not pulled"));
    let checked = sandbox.ok(&["verify", "part"]);
    assert!(checked.contains("no damage") && checked.contains("not pulled yet"), "{checked}");
    let told = sandbox.json(&["stat", "part"]);
    assert!(told["missing_tensors"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(told["distinct_tensors"], 0);
    for command in ["du", "gc", "dump", "stat"] {
        sandbox.ok(&[command, "part"]);
    }
    assert!(sandbox.path("part").metadata().unwrap().len() < whole);
    assert_eq!(sandbox.ok(&["pull", "part", "--graph-only"]), "nothing is missing (origin)\n");
}

#[test]
fn what_is_read_is_brought_first() {
    let sandbox = graph_only();
    for model in ["tuned@1", "base"] {
        sandbox.ok(&["export", "s", model, "there", "--force"]);
        sandbox.ok(&["export", "part", model, "here", "--force"]);
        assert_eq!(sandbox.read("there"), sandbox.read("here"), "{model}");
    }
    let left = sandbox.json(&["verify", "part"]);
    assert_eq!(left["partial_models"], json!(["tuned@2"]));
    let tensor = sandbox.json(&["show", "part", "tuned@2"])["tensors"][0]["name"].clone();
    let values = ["tuned@2", tensor.as_str().unwrap(), "--values", "4"];
    let cat = |store| sandbox.ok(&[&["cat", store][..], &values].concat());
    assert_eq!(cat("s"), cat("part"));
    // Of one tensor no more than that comes.
    assert_eq!(sandbox.json(&["verify", "part"])["partial_models"], json!(["tuned@2"]));
    sandbox.ok(&["export", "part", "tuned@2", "here", "--force"]);
    assert_eq!(sandbox.json(&["verify", "part"])["partial_models"], json!([]));

    sandbox.ok(&["clone", "remote", "other", "--graph-only"]);
    let diff = |store| sandbox.ok(&["diff", store, "base", "tuned"]);
    assert_eq!(diff("s"), diff("other"));
    sandbox.ok(&["clone", "remote", "third", "--graph-only"]);
    let metrics = |store| {
        let ran = sandbox.json(&["test", "run", store, "--builtin", "norm-drift"]);
        let results = ran["results"].as_array().unwrap().clone();
        results.into_iter().map(|result| result["metrics"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(metrics("s"), metrics("third"));
    sandbox.ok(&["clone", "remote", "fourth", "--graph-only"]);
    let pulled = sandbox.json(&["pull", "fourth"]);
    assert_eq!(pulled["completed"].as_array().unwrap().len(), 3, "{pulled}");
    assert_eq!(sandbox.ok(&["ls", "s"]), sandbox.ok(&["ls", "fourth"]));
}

#[test]
fn what_is_worked_on_is_brought_first() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    for at in 2..5 {
        sandbox.import(at, "tuned", &["--parent", "base"]);
    }
    sandbox.import(6, "other", &["--parent", "base"]);
    let prune = ["--with", "prune", "--parent", "tuned", "--param", "sparsity=0.5"];
    sandbox.ok(&[&["make", "s", "--name", "half"][..], &prune].concat());
    sandbox.ok(&["push", "s", "./remote"]);
    let fresh = |name: &str| {
        sandbox.ok(&["clone", "remote", name, "--graph-only"]);
        name.to_owned()
    };
    let merge = ["merge", "tuned", "other", "--name", "merged", "--on-conflict", "average"];
    for store in ["s", &fresh("a")] {
        let command = [&merge[..1], &[store], &merge[1..]].concat();
        sandbox.ok(&command);
        sandbox.ok(&["export", store, "merged", &format!("merged-{store}")]);
    }
    assert_eq!(sandbox.read("merged-s"), sandbox.read("merged-a"));
    let remade = sandbox.ok(&["remake", &fresh("b"), "half"]);
    assert_eq!(remade, sandbox.ok(&["remake", "s", "half"]));
    sandbox.ok(&["pin", &fresh("c"), "tuned@2"]);
    let looked = ["tuned@1", "tuned@3", "--builtin", "statistics"];
    let bisect = |store: &str| {
        let answer = sandbox.run(&[&["bisect", store][..], &looked].concat());
        (answer.code, answer.text())
    };
    assert_eq!(bisect("s"), bisect(&fresh("d")));
    let left = sandbox.json(&["verify", "d"])["partial_models"].clone();
    assert!(!left.to_string().contains("tuned@1"), "{left}");
    sandbox.write("next.safetensors", &common::model(9));
    for store in ["s", &fresh("e")] {
        sandbox.ok(&["import", store, "next.safetensors", "--name", "base"]);
        sandbox.ok(&["update", store, "base@1", "base@2", "--with", "rebase"]);
        sandbox.ok(&["export", store, "tuned", &format!("updated-{store}")]);
    }
    assert_eq!(sandbox.read("updated-s"), sandbox.read("updated-e"));
}

/// The words of the first command that a text advises.
fn advised(text: &str) -> Vec<&str> {
    let command = text.split('`').find_map(|part| part.strip_prefix("mgit-db ")).unwrap();
    command.split(' ').collect()
}

#[test]
fn what_a_partial_clone_cannot_give_is_brought_by_the_command_that_is_said() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.ok(&["clone", "s", "part", "--graph-only"]);
    // The clone that fails is gone: the store that lacks the tensors is its source.
    let told = sandbox.refused(&["clone", "part", "next"], 1);
    assert!(told.contains("`mgit-db fetch part ") && told.contains("--graph-only"), "{told}");
    assert!(!sandbox.path("next").exists());
    sandbox.ok(&["init", "other"]);
    let told = sandbox.refused(&["pull", "other", "./part"], 1);
    assert!(told.contains("`mgit-db fetch ./part "), "{told}");
    // So is what is salvaged of it.
    let answer = sandbox.run(&["salvage", "part", "saved"]);
    let text = answer.text();
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(text.contains("lost base@1: 3 of 3 tensors, 3 of them not pulled yet\n"), "{text}");
    assert!(text.contains(": it was not pulled yet: it is at \""), "{text}");
    sandbox.ok(&advised(&text));
    sandbox.ok(&["verify", "saved"]);
    for store in ["s", "saved"] {
        sandbox.ok(&["export", store, "base", &format!("{store}.safetensors")]);
    }
    assert_eq!(sandbox.read("s.safetensors"), sandbox.read("saved.safetensors"));
    let report = sandbox.run(&["salvage", "part", "again", "--json"]).json();
    assert_eq!(report["lost"][0]["missing_tensors"], 3, "{report}");
    assert!(report["promisors"][0].as_str().unwrap().ends_with("/s"), "{report}");
    sandbox.ok(&advised(&told));
    sandbox.ok(&["clone", "part", "next"]);
    sandbox.ok(&["verify", "next"]);
}

#[test]
fn what_cannot_be_reached_is_said() {
    let sandbox = graph_only();
    std::fs::rename(sandbox.path("remote"), sandbox.path("away")).unwrap();
    let failure = sandbox.failure(&["export", "part", "tuned@2", "out"], 1);
    assert_eq!(failure["code"], "out-of-reach");
    let text = sandbox.refused(&["export", "part", "tuned@2", "out"], 1);
    assert!(text.contains("tuned@2") && text.contains("/remote"), "{text}");
    assert!(!sandbox.path("out").exists());
    for command in [&["pin", "part", "base"][..], &["remake", "part", "tuned"]] {
        assert_eq!(sandbox.failure(command, 1)["code"], "out-of-reach", "{command:?}");
    }
    // What does not bring tensors by itself says how.
    let failure = sandbox.failure(&["push", "part", "./third"], 1);
    assert_eq!(failure["code"], "missing-content");
    assert!(failure["message"].as_str().unwrap().contains("mgit-db fetch"), "{failure}");
    sandbox.ok(&["verify", "part"]);
    sandbox.ok(&["fetch", "part", "./away", "--name", "base"]);
    sandbox.ok(&["export", "part", "base", "out"]);
    sandbox.ok(&["rm", "part", "tuned@2"]);
    sandbox.ok(&["verify", "part"]);
}

#[test]
fn of_a_model_only_the_files_that_are_written_are_brought() {
    let sandbox = Sandbox::with_store();
    std::fs::create_dir(sandbox.path("m")).unwrap();
    sandbox.write("m/model.safetensors", &common::model(1));
    sandbox.write("m/config.json", b"{}");
    sandbox.write("m/vocab.txt", b"a b c");
    sandbox.ok(&["import", "s", "m", "--name", "m"]);
    sandbox.ok(&["push", "s", "./remote"]);
    sandbox.ok(&["clone", "remote", "part", "--graph-only"]);
    let missing = || sandbox.json(&["stat", "part"])["missing_tensors"].as_u64().unwrap();
    let all = missing();
    sandbox.ok(&["export", "part", "m", "texts", "--only", "*.json"]);
    assert_eq!(sandbox.read("texts/config.json"), b"{}");
    assert_eq!(missing(), all - 1);
    // Nothing comes for what cannot be written.
    sandbox.refused(&["export", "part", "m", "other", "--only", "*.gguf"], 1);
    let shown = sandbox.json(&["show", "s", "m"]);
    let name = shown["tensors"][0]["name"].as_str().unwrap();
    let cat = |store| sandbox.ok(&["cat", store, "m", name, "--values", "4"]);
    assert_eq!(cat("s"), cat("part"));
    assert_eq!(missing(), all - 2);
    // Again: from here, also without the other place.
    std::fs::rename(sandbox.path("remote"), sandbox.path("gone")).unwrap();
    sandbox.ok(&["export", "part", "m", "texts", "--only", "*.json", "--force"]);
    sandbox.refused(&["export", "part", "m", "texts-2", "--only", "*.txt"], 1);
}
