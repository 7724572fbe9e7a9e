//! Promise: `diff` names what changed, `adopt` and `import --parent auto` find the parents
//! that there are and say so before they act, `show --layers` shows the layers that were given.

use crate::common::{Sandbox, model};
use serde_json::json;

#[test]
fn diff_names_what_changed() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "a", &[]);
    sandbox.import(1, "b", &["--parent", "a"]);
    let text = sandbox.ok(&["diff", "s", "a", "b"]);
    assert!(
        text.starts_with("--- a@1\n+++ b@1\n3 layers: 0 added, 0 removed, 2 changed"),
        "{text}"
    );
    // The head is another, the layer has moved a little.
    let (head, layer) = (text.find("~ head").unwrap(), text.find("~ layer").unwrap());
    assert!(head < layer && !text.contains("~ embed") && !text.contains('\x1b'), "{text}");
    let found = sandbox.json(&["diff", "s", "a", "b"]);
    assert_eq!(found["bytes_read"], 2 * 4 * (20_000 + 64));
    assert_eq!(found["unchanged_layers"], 1);
    let tensor = &found["layers"][1]["tensors"][0];
    assert_eq!(tensor["distance"]["changed"], 400);
    assert_eq!(tensor["to"]["name"], "layer");
    assert_eq!(sandbox.ok(&["diff", "s", "a", "a"]), "--- a@1\n+++ a@1\nthe same: 3 layers\n");
    sandbox.refused(&["diff", "s", "a", "nobody"], 1);
}

#[test]
fn a_parent_is_found_where_it_is_asked_for() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.write("x.safetensors", &model(3));
    let dry = sandbox.json(&["adopt", "s", "x.safetensors", "--dry-run"]);
    assert_eq!(dry["models"][0]["nearest"], "base@1");
    let told = sandbox.ok(&["adopt", "s", "x.safetensors", "--dry-run"]);
    assert!(told.contains("base@1") && told.ends_with("nothing was imported\n"), "{told}");
    assert_eq!(sandbox.models(), ["base@1"]);
    let found = sandbox.json(&["import", "s", "x.safetensors", "--name", "y", "--parent", "auto"]);
    let placement = &found["imported"][0]["placement"];
    assert_eq!(placement["nearest"], "base@1");
    // One model alone or among others: the same is found, under the same keys.
    for (key, value) in placement.as_object().unwrap() {
        assert_eq!(&dry["models"][0][key], value, "{key}");
    }
    let shown = sandbox.json(&["show", "s", "y"]);
    let parents = shown["parents"].as_array().unwrap();
    assert_eq!(parents.len(), usize::from(!placement["parent"].is_null()));
    // The word that `adopt` of files had: it does not ask.
    sandbox.ok(&["infer", "s", "x.safetensors"]);
    assert_eq!(sandbox.models(), ["base@1", "x@1", "y@1"]);
    let both = ["import", "s", "x.safetensors", "--name", "z", "--parent", "auto"];
    sandbox.refused(&[&both[..], &["--parent", "y"]].concat(), 2);
    sandbox.refused(&[&both[..], &["--how", "prune"]].concat(), 2);
}

#[test]
fn a_folder_is_shown_before_it_is_adopted() {
    let sandbox = Sandbox::with_store();
    std::fs::create_dir(sandbox.path("folder")).unwrap();
    for seed in 0..2 {
        sandbox.write(&format!("folder/m{seed}.safetensors"), &model(seed));
    }
    sandbox.write("folder/readme.txt", b"no model");
    let plan = sandbox.ok(&["adopt", "s", "folder"]);
    assert!(plan.contains("2 models") && plan.contains("nothing was imported"), "{plan}");
    assert!(sandbox.models().is_empty());
    let done = sandbox.json(&["adopt", "s", "folder", "--yes"]);
    assert_eq!(done["imported"], true);
    let edges = done["models"].as_array().unwrap().iter().filter(|m| !m["parent"].is_null());
    assert_eq!(edges.count() + done["unsure"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(sandbox.models(), ["m0@1", "m1@1"]);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.refused(&["adopt", "s", "empty"], 1);
    let twice = ["adopt", "s", "folder", "folder/m0.safetensors", "--yes"];
    assert!(sandbox.refused(&twice, 1).contains("two files would be called m0"));
    assert!(sandbox.refused(&["adopt", "s", "nothing"], 1).contains("\"nothing\""));
}

#[test]
fn layers_are_shown_as_they_were_given() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "inferred", &[]);
    let text = sandbox.ok(&["show", "s", "inferred", "--layers"]);
    assert!(text.contains("3 layers, 2 edges, inferred"), "{text}");
    let layer = |name: &str| json!({ "name": name, "kind": "mine", "tensors": [name] });
    let given = json!({ "layers": [layer("head"), layer("layer")], "edges": [["head", "layer"]] });
    sandbox.write("g.safetensors", &model(1));
    sandbox.write("g.layers.json", given.to_string().as_bytes());
    sandbox.ok(&["import", "s", "g.safetensors", "--name", "given"]);
    let text = sandbox.ok(&["show", "s", "given", "--layers"]);
    assert!(text.contains("3 layers, 1 edge, given") && !text.contains("mgit.layers"), "{text}");
    let shown = sandbox.json(&["show", "s", "given", "--layers"]);
    assert_eq!(shown["architecture"]["edges"], json!([["head", "layer"]]));
    sandbox.write("g.layers.json", b"{}");
    let failure = sandbox.failure(&["import", "s", "g.safetensors", "--name", "bad"], 1);
    assert_eq!(failure["code"], "malformed-file");
}
