//! Promise: `merge` says what meets what before it does anything, merges when everything is settled,
//! and otherwise changes nothing and says what to write.

use crate::common::{Sandbox, file_of};
use safetensors::Dtype;

/// Three linear layers one behind the other; the numbers tell them apart.
fn network(numbers: [f32; 3]) -> Vec<u8> {
    let weight = |number: f32| -> Vec<u8> {
        (0..64).flat_map(|at| (number + at as f32 / 64.0).to_le_bytes()).collect()
    };
    let [first, second, third] = numbers.map(weight);
    file_of(&[
        ("encoder.layer.0.dense.weight", Dtype::F32, &[8, 8], first),
        ("encoder.layer.1.dense.weight", Dtype::F32, &[8, 8], second),
        ("encoder.layer.2.dense.weight", Dtype::F32, &[8, 8], third),
    ])
}

fn family() -> Sandbox {
    let sandbox = Sandbox::with_store();
    for (name, numbers) in
        [("base", [0.0, 1.0, 2.0]), ("alice", [0.5, 1.5, 2.0]), ("bob", [0.0, 1.25, 2.0])]
    {
        sandbox.write("file.safetensors", &network(numbers));
        let parent: &[&str] = if name == "base" { &[] } else { &["--parent", "base"] };
        sandbox.ok(&[&["import", "s", "file.safetensors", "--name", name], parent].concat());
    }
    sandbox
}

const MERGE: [&str; 6] = ["merge", "s", "alice", "bob", "--name", "both"];

#[test]
fn a_dry_run_shows_the_classes_and_says_whether_conflicts_are_left() {
    let sandbox = family();
    let answer = sandbox.run(&[&MERGE[..], &["--dry-run"]].concat());
    let text = answer.text();
    assert_eq!(answer.code, Some(1), "{text}");
    assert!(text.contains("base   base@1"), "{text}");
    assert!(text.contains("1 in conflict, 1 possibly, 0 without"), "{text}");
    let path = "by encoder.layer.0.dense -> encoder.layer.1.dense";
    assert!(text.contains(path), "{text}");
    let settled = [&MERGE[..], &["--dry-run", "--on-conflict", "ties"]].concat();
    let plan = &sandbox.json(&settled)["plan"];
    assert_eq!(plan["layers"][0]["class"], "conflict");
    assert_eq!(plan["layers"][0]["settled"][0], "ties");
    assert_eq!(plan["layers"][1]["class"], "possible-conflict");
    assert_eq!(plan["layers"][1]["path"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.models().len(), 3);
}

#[test]
fn conflicts_are_settled_or_refused() {
    let sandbox = family();
    let refused = sandbox.run(&MERGE);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("--on-conflict"), "{}", refused.stderr);
    assert_eq!(sandbox.failure(&MERGE, 1)["code"], "merge-conflict");
    assert_eq!(sandbox.models().len(), 3);
    let merge = |more: &[&str]| sandbox.json(&[&MERGE[..], more].concat());
    assert_eq!(merge(&["--on-conflict", "average"])["model"], "both@1");
    merge(&["--take", "encoder.layer.1*=theirs"]);
    let out = sandbox.path("out.safetensors");
    let bytes = |model: &str| {
        sandbox.ok(&["export", "s", model, out.to_str().unwrap(), "--force"]);
        sandbox.read("out.safetensors")
    };
    assert_eq!(bytes("both@1"), network([0.5, 1.375, 2.0]));
    assert_eq!(bytes("both@2"), network([0.5, 1.25, 2.0]));
    for how in ["ours", "theirs", "slerp", "task-arithmetic", "ties", "dare"] {
        merge(&["--on-conflict", how]);
    }
    merge(&["--on-conflict", "ties", "--density", "0.25,0.5", "--weight", "1,2", "--scale", "0.5"]);
    merge(&["--on-conflict", "dare", "--density", "0.5", "--seed", "7"]);
    // Made again, bit for bit.
    sandbox.ok(&["remake", "s", "both"]);
}

/// What the store has noted of one model is not said of another.
#[test]
fn pinned_and_lossy_models_are_merged_and_the_merged_one_is_neither() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "alice", &["--parent", "base"]);
    sandbox.import(2, "bob", &["--parent", "base", "--lossy", "quantised:1e-4"]);
    sandbox.ok(&["pin", "s", "alice"]);
    sandbox.ok(&[&MERGE[..], &["--on-conflict", "theirs"]].concat());
    let models = sandbox.json(&["ls", "s"])["models"].clone();
    let lossy = |name: &str| {
        let model = models.as_array().unwrap().iter().find(|model| model["name"] == name);
        !model.unwrap()["lossy"].is_null()
    };
    assert!(lossy("bob") && !lossy("both"), "{models}");
    let recode = |model| sandbox.run(&["recode", "s", model, "--lossy", "quantised:1e-4"]);
    assert!(recode("alice").stderr.contains("is pinned"));
    assert!(!recode("both").stderr.contains("is pinned"));
    assert_eq!(sandbox.json(&["verify", "s"])["clean"], true);
}

#[test]
fn tests_of_both_must_pass() {
    let sandbox = family();
    let test = ["--builtin", "norm-drift", "--name-glob", "bob", "--bound", "norm-drift<0"];
    sandbox.ok(&[&["test", "add", "s", "calm"][..], &test].concat());
    let merge = [&MERGE[..], &["--on-conflict", "ours"]].concat();
    let failure = sandbox.failure(&merge, 1);
    assert_eq!(failure["code"], "merge-tests-failed");
    assert!(failure["message"].as_str().unwrap().contains("calm"), "{failure}");
    assert_eq!(sandbox.models().len(), 3);
    sandbox.ok(&["test", "rm", "s", "calm"]);
    sandbox.ok(&merge);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sandbox = family();
    sandbox.write("file.safetensors", &network([7.0, 8.0, 9.0]));
    sandbox.ok(&["import", "s", "file.safetensors", "--name", "stranger"]);
    let code = |arguments: &[&str]| sandbox.failure(arguments, 1)["code"].clone();
    assert_eq!(code(&["merge", "s", "bob", "bob", "--name", "x"]), "same-model");
    let stranger = ["merge", "s", "bob", "stranger", "--name", "x"];
    assert_eq!(code(&stranger), "no-common-ancestor");
    sandbox.ok(&[&stranger[..], &["--base", "base", "--on-conflict", "ours"]].concat());
    assert_eq!(code(&[&MERGE[..], &["--take", "nothing*=ours"]].concat()), "nothing-taken");
    assert_eq!(code(&[&MERGE[..], &["--density", "0.5"]].concat()), "bad-parameter");
    for more in [["--on-conflict", "magic"], ["--take", "x"], ["--weight", "1,2,3"]] {
        sandbox.refused(&[&MERGE[..], &more].concat(), 2);
    }
}

#[test]
fn files_beside_the_weights_that_both_have_are_named_before_and_after() {
    let sandbox = Sandbox::with_store();
    for (name, numbers, config) in [
        ("base", [0.0, 1.0, 2.0], "{}"),
        ("alice", [0.0, 1.5, 2.0], "{\"a\": 1}"),
        ("bob", [0.0, 1.5, 2.0], "{\"b\": 1}"),
    ] {
        std::fs::create_dir(sandbox.path(name)).unwrap();
        sandbox.write(&format!("{name}/model.safetensors"), &network(numbers));
        sandbox.write(&format!("{name}/config.json"), config.as_bytes());
        let parent: &[&str] = if name == "base" { &[] } else { &["--parent", "base"] };
        sandbox.ok(&[&["import", "s", name, "--name", name], parent].concat());
    }
    let said =
        "config.json: it is that of alice@1; bob@1 has changed it, as alice@1 has in another way";
    let dry = [&MERGE[..], &["--dry-run"]].concat();
    assert!(sandbox.ok(&dry).ends_with(&format!("\n  file {said}\n")), "{}", sandbox.ok(&dry));
    assert_eq!(sandbox.json(&dry)["files"], serde_json::json!([said]));
    assert!(sandbox.ok(&MERGE).contains(said));
}
