//! Promise: `gc --repack` frees the bases of no model where the store is smaller without them, and
//! tells what it did; with `--dry-run` it tells the same beforehand and changes nothing.

mod common;

use common::Sandbox;
use serde_json::Value;

/// A cast and two tunings of a base that is gone: the base stays, hidden.
fn with_a_hidden_base() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    sandbox.import(2, "other", &["--parent", "base"]);
    let cast = ["--with", "cast", "--parent", "base", "--param", "dtype=bf16"];
    sandbox.ok(&[&["make", "s", "--name", "half"][..], &cast].concat());
    sandbox.ok(&["rm", "s", "base", "--detach-children"]);
    sandbox
}

fn number(document: &Value, path: &str) -> u64 {
    document.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {document}"))
}

#[test]
fn a_repacking_collection_frees_hidden_bases_and_tells_so() {
    let sandbox = with_a_hidden_base();
    let hidden = number(&sandbox.json(&["gc", "s"]), "/hidden_tensors");
    assert!(hidden > 0);
    let exported = |sandbox: &Sandbox, name: &str| {
        sandbox.ok(&["export", "s", name, "out.safetensors", "--force"]);
        sandbox.read("out.safetensors")
    };
    let models = ["tuned", "other", "half"];
    let before = models.map(|name| exported(&sandbox, name));
    let bytes = sandbox.read("s");

    let dry = sandbox.json(&["gc", "s", "--repack", "--dry-run"]);
    assert_eq!(dry["dry_run"], true);
    let text = sandbox.ok(&["gc", "s", "--repack", "--dry-run"]);
    assert!(text.contains("would repack: ") && text.contains("nothing was changed"), "{text}");
    assert!(sandbox.read("s") == bytes, "a dry run has written");
    assert_eq!(number(&sandbox.json(&["gc", "s"]), "/hidden_tensors"), hidden);

    let real = sandbox.json(&["gc", "s", "--repack"]);
    assert_eq!(real["dry_run"], false);
    for field in ["changed", "freed_tensors", "before_bytes", "after_bytes"] {
        assert_eq!(dry["repacked"][field], real["repacked"][field], "{field}");
    }
    assert_eq!(dry["hidden_tensors"], real["hidden_tensors"]);
    assert!(number(&real, "/repacked/freed_tensors") > 0, "{real}");
    assert!(number(&real, "/repacked/after_bytes") < number(&real, "/repacked/before_bytes"));
    assert_eq!(number(&real, "/hidden_tensors"), 0, "{real}");
    assert_eq!(models.map(|name| exported(&sandbox, name)), before);
    sandbox.ok(&["verify", "s"]);

    // Again: nothing is left to do.
    let text = sandbox.ok(&["gc", "s", "--repack"]);
    assert!(
        text.contains("repacked: 0 tensors on something else, 0 tensors of no model"),
        "{text}"
    );
    assert!(!text.contains("kept for the deltas"), "{text}");
}

#[test]
fn wrong_usage_and_no_store_are_refused() {
    let sandbox = with_a_hidden_base();
    assert!(sandbox.refused(&["gc", "s", "--dry-run"], 2).contains("--repack"));
    sandbox.refused(&["gc", "none", "--repack"], 1);
    assert!(sandbox.json(&["gc", "s"])["repacked"].is_null());
}
