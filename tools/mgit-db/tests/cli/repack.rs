//! Promise: `gc --repack` frees the bases of no model where the store is smaller without them, and
//! tells what it did; with `--dry-run` it tells the same beforehand and changes nothing.

use crate::common::{Sandbox, file_of};
use safetensors::tensor::Dtype;
use serde_json::Value;

/// A model of one matrix; all weights of a tuned one are a little off those of the base.
fn weights(tuned: f32) -> Vec<u8> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut value = || (uniform() + uniform()) * 0.1 + uniform() * 0.01 * tuned;
    let bytes = (0..20_000).flat_map(|_| value().to_le_bytes()).collect();
    file_of(&[("layer", Dtype::F32, &[200, 100], bytes)])
}

/// A tuning and a cast of a base that is gone: the base stays, hidden.
fn with_a_hidden_base() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.write("base", &weights(0.0));
    sandbox.write("tuned", &weights(1.0));
    sandbox.ok(&["import", "s", "base", "--name", "base"]);
    sandbox.ok(&["import", "s", "tuned", "--name", "tuned", "--parent", "base"]);
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
    let models = ["tuned", "half"];
    let before = models.map(|name| exported(&sandbox, name));
    // Whoever opens it to write touches pages of the catalogue, and may need some more: what counts
    // is what they say.
    let told = |sandbox: &Sandbox| {
        let stat = sandbox.json(&["stat", "s"]);
        (stat["commits"].clone(), stat["stored_tensor_bytes"].clone())
    };
    let len = sandbox.read("s").len();
    let before_dry = told(&sandbox);
    assert!(before_dry.0.is_u64() && before_dry.1.is_u64(), "{before_dry:?}");

    let dry = sandbox.json(&["gc", "s", "--repack", "--dry-run"]);
    assert_eq!(dry["dry_run"], true);
    let text = sandbox.ok(&["gc", "s", "--repack", "--dry-run"]);
    assert!(text.contains("would repack: ") && text.contains("nothing was changed"), "{text}");
    assert_eq!(told(&sandbox), before_dry, "a dry run has changed something");
    let longer = sandbox.read("s").len().saturating_sub(len);
    assert!(longer <= 64 << 10, "a dry run made the file {longer} bytes longer");
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

/// `values`, or zeros where they are small.
fn pruned(values: &[f32]) -> Vec<u8> {
    let prune = |value: &f32| if value.abs() < 0.01 { 0.0 } else { *value };
    values.iter().flat_map(|value| prune(value).to_le_bytes()).collect()
}

#[test]
fn a_base_that_comes_last_is_used_at_once_unless_it_is_not_wanted() {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let values: Vec<f32> = (0..20_000).map(|_| (uniform() + uniform()) * 0.1).collect();
    let file = |bytes| file_of(&[("layer", Dtype::F32, &[200, 100], bytes)]);
    let base = file(values.iter().flat_map(|value| value.to_le_bytes()).collect());
    let stored = |sandbox: &Sandbox| number(&sandbox.json(&["stat", "s"]), "/stored_tensor_bytes");
    let mut sizes = Vec::new();
    for more in [&["--no-repack"][..], &[]] {
        let sandbox = Sandbox::with_store();
        sandbox.write("pruned", &file(pruned(&values)));
        sandbox.write("base", &base);
        sandbox.ok(&["import", "s", "pruned", "--name", "pruned"]);
        let import = [&["import", "s", "base", "--name", "base"][..], more].concat();
        let told = sandbox.ok(&import);
        assert_eq!(
            told.contains("a better base for pruned@1: stored anew"),
            more.is_empty(),
            "{told}"
        );
        sizes.push(stored(&sandbox));
        for (name, bytes) in [("pruned", file(pruned(&values))), ("base", base.clone())] {
            sandbox.ok(&["export", "s", name, "out", "--force"]);
            assert!(sandbox.read("out") == bytes, "{name}");
        }
        sandbox.ok(&["repack", "s"]);
        sizes.push(stored(&sandbox));
    }
    let [left, left_repacked, healed, healed_repacked] = sizes[..] else { panic!() };
    assert!(healed < left, "{sizes:?}");
    assert_eq!([left_repacked, healed_repacked], [healed; 2], "{sizes:?}");
}
