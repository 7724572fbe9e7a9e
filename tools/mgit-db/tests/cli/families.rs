//! Promise: `diff` names what changed, `adopt` and `import --parent auto` find the parents
//! that there are and say so before they act, `show --layers` shows the layers that were given.

use crate::common::{Sandbox, file_of, model, write_sharded};
use safetensors::tensor::Dtype;
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
    let plan = sandbox.ok(&["adopt", "s", "folder", "--dry-run"]);
    assert!(plan.contains("2 models") && plan.contains("nothing was imported"), "{plan}");
    assert!(sandbox.models().is_empty());
    let done = sandbox.json(&["adopt", "s", "folder", "--yes"]);
    assert_eq!(done["imported"], true);
    let edges = done["models"].as_array().unwrap().iter().filter(|m| !m["parent"].is_null());
    assert_eq!(edges.count() + done["unsure"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(sandbox.models(), ["m0@1", "m1@1"]);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.refused(&["adopt", "s", "empty", "--dry-run"], 1);
    let twice = ["adopt", "s", "folder", "folder/m0.safetensors", "--yes"];
    let told = sandbox.refused(&twice, 1);
    assert!(told.contains("\"folder/m0.safetensors\" is given twice"), "{told}");
    assert!(sandbox.refused(&["adopt", "s", "nothing", "--yes"], 1).contains("\"nothing\""));
}

#[test]
fn files_of_one_name_are_both_named() {
    let sandbox = Sandbox::with_store();
    for folder in ["a", "b"] {
        std::fs::create_dir(sandbox.path(folder)).unwrap();
        sandbox.write(&format!("{folder}/m.safetensors"), &model(0));
    }
    let told = sandbox.refused(&["adopt", "s", "a", "b", "--yes"], 1);
    for part in ["\"a/m.safetensors\"", "\"b/m.safetensors\"", "rename one", "import --name"] {
        assert!(told.contains(part), "{told}");
    }
    let same = ["adopt", "s", "a/m.safetensors", "./a/m.safetensors", "--yes"];
    let told = sandbox.refused(&same, 1);
    assert!(told.contains("are the same file: give it once"), "{told}");
    assert!(sandbox.models().is_empty());
}

#[test]
fn what_a_folder_holds_besides_models_is_named() {
    let sandbox = Sandbox::with_store();
    std::fs::create_dir_all(sandbox.path("f/sub")).unwrap();
    sandbox.write("f/sub/k-b.safetensors", &model(1));
    sandbox.write("f/model.bin", b"pickled");
    sandbox.write("f/w.pt", b"pickled");
    let told = sandbox.refused(&["adopt", "s", "f", "--exclude", "sub", "--dry-run"], 1);
    assert!(told.contains("f/model.bin") && told.contains("is excluded"), "{told}");
    sandbox.write("f/a.safetensors", &model(0));
    // This one is read.
    let layers =
        json!({ "layers": [{ "name": "l", "kind": "mine", "tensors": ["layer"] }], "edges": [] });
    sandbox.write("f/a.layers.json", layers.to_string().as_bytes());
    let told = sandbox.ok(&["adopt", "s", "f", "--dry-run"]);
    for line in [
        "left out f/model.bin: of no format that is read: name it itself to keep its bytes\n",
        "left out f/w.pt: of no format that is read: name it itself to keep its bytes\n",
        "sub/k-b",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let found = sandbox.json(&["adopt", "s", "f", "--dry-run"]);
    let left_out = found["left_out"].as_array().unwrap();
    let files: Vec<&str> = left_out.iter().map(|it| it["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["f/model.bin", "f/w.pt"]);
    // A folder that is one model has all its files.
    write_sharded(&sandbox.path("sharded"));
    sandbox.write("sharded/extra.safetensors", &model(2));
    let found = sandbox.json(&["adopt", "s", "sharded", "--yes"]);
    assert_eq!(found["left_out"].as_array().unwrap().len(), 0, "{found}");
    assert_eq!(sandbox.models(), ["sharded@1"]);
}

#[test]
fn nothing_is_adopted_where_nobody_can_be_asked() {
    let sandbox = Sandbox::with_store();
    sandbox.write("x.safetensors", &model(0));
    let told = sandbox.refused(&["adopt", "s", "x.safetensors"], 2);
    assert!(told.contains("--yes") && told.contains("--dry-run"), "{told}");
    let told = sandbox.refused(&["infer", "s", "x.safetensors", "--yes"], 2);
    assert!(told.contains("infer never asks"), "{told}");
    assert!(sandbox.models().is_empty());
}

#[test]
fn what_was_adopted_before_a_failure_is_named() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "other", &[]);
    // What only the import of the second file meets.
    sandbox.ok(&["tag", "s", "b", "other"]);
    sandbox.write("a.safetensors", &file_of(&[("v", Dtype::U8, &[1], vec![0])]));
    sandbox.write("b.safetensors", &file_of(&[("w", Dtype::U8, &[1], vec![1])]));
    let command = ["adopt", "s", "a.safetensors", "b.safetensors", "--yes"];
    let answer = sandbox.run(&command);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.text().contains("a.safetensors imported as a@1\n"), "{answer:?}");
    let told = &answer.stderr;
    assert!(told.contains("b.safetensors") && told.contains("already in the store: a@1"), "{told}");
    assert_eq!(sandbox.models(), ["a@1", "other@1"]);
    // The first is there now.
    let failure = sandbox.failure(&command, 1);
    let told = failure["message"].as_str().unwrap();
    assert!(told.contains("b.safetensors") && !told.contains("already in the store"), "{told}");
    assert_eq!(sandbox.models(), ["a@1", "other@1"]);
}

#[test]
fn a_root_and_a_copy_are_told_in_the_same_words_by_all() {
    const ROOT: &str = "no relative among the models: a root";
    let sandbox = Sandbox::with_store();
    sandbox.write("x.safetensors", &model(3));
    // Too small for its sketch to tell anything: its content does.
    sandbox.write("tiny.safetensors", &file_of(&[("w", Dtype::U8, &[1], vec![1])]));
    for file in ["x.safetensors", "tiny.safetensors"] {
        let told = sandbox.ok(&["adopt", "s", file, "--dry-run"]);
        assert!(told.contains(ROOT), "{told}");
        let told = sandbox.ok(&["infer", "s", file, "--dry-run"]);
        assert!(told.contains(ROOT), "{told}");
        let told = sandbox.ok(&["import", "s", file, "--name", "first", "--parent", "auto"]);
        assert!(told.contains(ROOT), "{told}");

        for command in ["adopt", "infer"] {
            let told = sandbox.ok(&[command, "s", file, "--dry-run"]);
            assert!(told.contains("has the same content as first@1"), "{told}");
            assert!(!told.contains("are relatives") && !told.contains(ROOT), "{told}");
        }
        let auto = ["import", "s", file, "--name", "y", "--parent", "auto"];
        let told = sandbox.ok(&auto);
        assert!(told.contains("y has the same content as first@1"), "{told}");
        let found = sandbox.json(&["adopt", "s", file, "--dry-run"]);
        assert_eq!(found["models"][0]["same_content"], true, "{found}");
        assert!(found["models"][0]["bits_per_element"].is_number(), "{found}");
        assert_eq!(found["models"][0].get("shared_bits"), None);
        std::fs::remove_file(sandbox.path("s")).unwrap();
        sandbox.ok(&["init", "s"]);
    }
    // The same among files that come together.
    sandbox.write("z.safetensors", &model(3));
    let told = sandbox.ok(&["adopt", "s", "x.safetensors", "z.safetensors", "--dry-run"]);
    assert!(told.contains("has the same content as") && !told.contains(ROOT), "{told}");
}

/// Bug: models that the plan kept held the first snapshot, so that no import could use again the
/// pages of the catalogue that those before it had freed.
#[test]
fn many_adopted_files_leave_no_more_catalogue_than_one_by_one() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    std::fs::copy(sandbox.path("s"), sandbox.path("single")).unwrap();
    let files: Vec<String> = (1..25).map(|seed| format!("m{seed}.safetensors")).collect();
    for (file, seed) in files.iter().zip(1..) {
        sandbox.write(file, &model(seed));
        let name = file.trim_end_matches(".safetensors");
        sandbox.ok(&["import", "single", file, "--name", name, "--parent", "auto"]);
    }
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    sandbox.ok(&[&["adopt", "s"][..], &names, &["--yes"]].concat());
    let catalogue = |store: &str| sandbox.json(&["stat", store])["catalog_bytes"].as_u64().unwrap();
    let (together, single) = (catalogue("s"), catalogue("single"));
    assert!(together <= 2 * single, "{together} bytes together, {single} one by one");
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
