//! Promise: the tool rounds only what it is told to, says so wherever the model is seen, and leaves
//! alone what a gate refuses; what is pinned stays raw.

use crate::common::{Sandbox, model};

const LOSSY: [&str; 2] = ["--lossy", "quantised:1e-4"];

#[test]
fn a_lossy_model_says_so_wherever_it_is_seen() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let plain = sandbox.import(1, "plain", &["--parent", "base"]);
    let found = sandbox.import(1, "small", &["--parent", "base", "--lossy", "quantised:1e-4"]);
    let lossy = &found["imported"][0]["lossy"];
    // `embed` is the parent's.
    assert_eq!((&lossy["tensors"], &lossy["kept_tensors"]), (&2.into(), &0.into()), "{found}");
    assert!(plain["imported"][0]["lossy"].is_null());
    let shown = sandbox.json(&["show", "s", "plain"]);
    assert!(shown["lossy"].is_null(), "{shown}");
    let stands_for = lossy["stands_for"].as_str().unwrap();
    let text = sandbox.ok(&["show", "s", "small"]);
    assert!(text.contains("lossy: quantised:0.0001, stands for ") && text.contains(stands_for));
    let shown = sandbox.json(&["show", "s", "small"]);
    assert_eq!(shown["lossy"]["stands_for"], stands_for);
    assert!(
        sandbox.ok(&["log", "s"]).lines().any(|l| l.contains("small@1") && l.contains("lossy"))
    );
    let text = sandbox.ok(&["export", "s", "small", "out.safetensors"]);
    assert!(text.contains("these are not the values of") && text.contains(stands_for), "{text}");
    // As long as its own file, and not the same.
    let (own, out) = (model(1), sandbox.read("out.safetensors"));
    assert!(own.len() == out.len() && own != out);
    let text = sandbox.ok(&["export", "s", "plain", "plain.out"]);
    assert!(!text.contains("lossy") && sandbox.read("plain.out") == own);

    // A stored model becomes the same.
    let recoded = sandbox.json(&[&["recode", "s", "plain"][..], &LOSSY].concat());
    assert_eq!(recoded["lossy"]["stands_for"], stands_for);
    sandbox.ok(&["export", "s", "plain", "again.out"]);
    assert_eq!(sandbox.read("again.out"), out);
    let again = sandbox.failure(&[&["recode", "s", "plain"][..], &LOSSY].concat(), 1);
    assert_eq!(again["code"], "already-lossy");
    let unmark = ["meta", "s", "plain", "--unset", "mgit.lossy"];
    assert_eq!(sandbox.failure(&unmark, 1)["code"], "own-key");
    let root = sandbox.failure(&[&["recode", "s", "base"][..], &LOSSY].concat(), 1);
    assert_eq!(root["code"], "nothing-lossy");

    for wrong in [&["--lossy", "fp8"][..], &["--lossy", "quantised:0"], &["--gate", "x {model}"]] {
        sandbox.refused(&[&["recode", "s", "small"], wrong].concat(), 2);
    }
    sandbox.refused(&[&["recode", "s"][..], &LOSSY].concat(), 2);
}

#[cfg(unix)]
#[test]
fn a_gate_decides_whether_a_model_is_rounded() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "child", &["--parent", "base"]);
    // Worth 1 as it is, 0.9 in any other way.
    let script = "if cmp -s \"$1\" child.safetensors; then echo 1; else echo 0.9; fi\n";
    sandbox.write("gate.sh", script.as_bytes());
    let recode = |more: &[&str]| -> Vec<String> {
        let gate = [&["recode", "s", "child"][..], &LOSSY, &["--gate", "sh gate.sh {model}"], more];
        gate.concat().iter().map(|word| (*word).to_owned()).collect()
    };
    let fails = |more: &[&str]| {
        let words = recode(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        sandbox.failure(&words, 1)["code"].as_str().unwrap().to_owned()
    };
    let commits = |sandbox: &Sandbox| sandbox.json(&["stat", "s"])["commits"].clone();
    let before = commits(&sandbox);
    assert_eq!(fails(&["--max-drop", "0.05", "--higher-is-better"]), "gate-refused");
    // Nobody said which is better.
    assert_eq!(fails(&["--max-drop", "0.05"]), "gate");
    sandbox.ok(&["export", "s", "child", "same.out"]);
    assert_eq!(sandbox.read("same.out"), sandbox.read("child.safetensors"));
    assert_eq!(commits(&sandbox), before, "what is refused changes nothing");
    sandbox.refused(&["recode", "s", "child", "--lossy", "fp16", "--gate", "sh gate.sh"], 2);

    let words = recode(&["--max-drop", "0.2", "--higher-is-better"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = sandbox.json(&words);
    assert_eq!(done["lossy"]["tensors"], 2, "{done}");
    assert!(sandbox.json(&["show", "s", "child"])["lossy"]["stands_for"].is_string());
}

#[test]
fn what_is_pinned_stays_raw_until_it_is_unpinned() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "child", &["--parent", "base"]);
    let depth = |name: &str| {
        let shown = sandbox.json(&["show", "s", name]);
        let tensors = shown["tensors"].as_array().unwrap().clone();
        tensors.iter().map(|tensor| tensor["chain_depth"].as_u64().unwrap()).max().unwrap()
    };
    assert_eq!(depth("child"), 1);
    let pinned = sandbox.json(&["pin", "s", "child"]);
    assert_eq!((&pinned["pinned"], &pinned["model"]), (&true.into(), &"child@1".into()));
    sandbox.ok(&["recode", "s", "--profile", "dense"]);
    assert_eq!(depth("child"), 0);
    let refused = sandbox.failure(&[&["recode", "s", "child"][..], &LOSSY].concat(), 1);
    assert_eq!(refused["code"], "pinned");
    let text = sandbox.ok(&["unpin", "s", "child"]);
    assert!(text.starts_with("child@1 unpinned: ") && depth("child") == 1, "{text}");
    sandbox.refused(&["pin", "s", "nobody"], 1);

    let often = ["--parent", "base", "--advise", "read-often"];
    sandbox.import(2, "served", &often);
    assert_eq!(depth("served"), 0);
    sandbox.ok(&["export", "s", "served", "served.out"]);
    assert_eq!(sandbox.read("served.out"), model(2));
    let both = ["import", "s", "served.safetensors", "--name", "x"];
    sandbox.refused(&[&both[..], &often, &LOSSY].concat(), 2);
}
