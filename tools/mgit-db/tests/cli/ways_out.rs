//! Promise: a model goes out whole, in part or converted, and the tool says which of its bytes are
//! not those that were imported; commands get the whole model as a folder; a diff lists the files
//! beside the weights.

use std::fs;

use safetensors::tensor::Dtype;
use serde_json::json;

use crate::common::{Sandbox, file_of, model, write_sharded};

const DOOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/door");

fn folder(sandbox: &Sandbox, name: &str, seed: u32, config: &str) {
    fs::create_dir_all(sandbox.path(name).join("sub")).unwrap();
    sandbox.write(&format!("{name}/model.safetensors"), &model(seed));
    sandbox.write(&format!("{name}/config.json"), config.as_bytes());
    sandbox.write(&format!("{name}/vocab.txt"), b"a b c");
    sandbox.write(&format!("{name}/sub/more.json"), b"{}");
    sandbox.ok(&["import", "s", name, "--name", name]);
}

fn names(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let found = fs::read_dir(sandbox.path(folder)).unwrap();
    let mut names: Vec<String> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_part_of_a_folder_goes_out() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox, "m", 1, "{}");
    let export = ["export", "s", "m", "texts", "--only", "*.json"];
    let document = sandbox.json(&[&export[..], &["--only", "vocab.txt"]].concat());
    assert_eq!(
        document["files"],
        json!([
            { "path": "config.json", "bytes": 2, "converted": false },
            { "path": "sub/more.json", "bytes": 2, "converted": false },
            { "path": "vocab.txt", "bytes": 5, "converted": false },
        ])
    );
    assert_eq!(names(&sandbox, "texts"), ["config.json", "sub", "vocab.txt"]);
    let told = sandbox.refused(&["export", "s", "m", "none", "--only", "*.yaml"], 1);
    assert!(told.contains("no file of m@1 fits \"*.yaml\": it has config.json, "), "{told}");
    sandbox.import(0, "one", &[]);
    let told = sandbox.refused(&["export", "s", "one", "none", "--only", "*"], 1);
    assert!(told.contains("one@1 is one file"), "{told}");
    assert!(!sandbox.path("none").exists());
}

#[test]
fn one_file_of_a_folder_goes_to_a_pipe() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox, "m", 1, "{\"a\": 1}");
    sandbox.write("m/sub/config.json", b"{}");
    sandbox.ok(&["import", "s", "m", "--name", "m"]);
    let export = ["export", "s", "m", "-", "--only"];
    assert_eq!(sandbox.ok(&[&export[..], &["vocab.txt"]].concat()), "a b c");
    assert_eq!(sandbox.ok(&[&export[..], &["sub/m*"]].concat()), "{}");
    // Of two files of a name, the one whose path was given.
    assert_eq!(sandbox.ok(&[&export[..], &["config.json"]].concat()), "{\"a\": 1}");
    let told = sandbox.run(&[&export[..], &["*.json"]].concat());
    assert_eq!((told.code, told.stdout.len()), (Some(1), 0), "{told:?}");
    let part = "these fit: config.json, sub/config.json, sub/more.json: name one with --only\n";
    assert!(told.stderr.ends_with(part), "{told:?}");
    let told = sandbox.run(&[&export[..], &["x"]].concat());
    assert!(told.stderr.contains("no file of m@2 fits \"x\""), "{told:?}");
    // The same by its path, and a tensor of that name.
    assert_eq!(sandbox.ok(&["cat", "s", "m", "sub/config.json"]), "{}");
    let told = sandbox.run(&["cat", "s", "m", "x.json"]);
    let shown = "m@2 has no tensor \"x.json\": `mgit-db show` lists its tensors and its files\n";
    assert!(told.stderr.ends_with(shown), "{told:?}");
    assert!(sandbox.ok(&["show", "s", "m"]).contains("\n  sub/more.json"));
    sandbox.refused(&["cat", "s", "m", "vocab.txt", "--values", "1"], 2);
    let twin = file_of(&[("vocab.txt", Dtype::U8, &[2], b"xy".to_vec())]);
    sandbox.write("m/model.safetensors", &twin);
    sandbox.ok(&["import", "s", "m", "--name", "m"]);
    assert_eq!(sandbox.ok(&["cat", "s", "m", "vocab.txt"]), "xy");
    assert_eq!(sandbox.ok(&["cat", "s", "m", "vocab.txt", "--file"]), "a b c");
}

#[test]
fn a_folder_that_is_not_there_or_not_the_models_is_said() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "one", &[]);
    let export = ["export", "s", "one", "new/"];
    let told = sandbox.refused(&export, 1);
    let expected = "error: cannot write new/: there is no such folder: make it first, or name a \
                    file without the /\n";
    assert_eq!(told, expected);
    fs::create_dir(sandbox.path("new")).unwrap();
    sandbox.ok(&export);
    assert_eq!(names(&sandbox, "new"), ["one.safetensors"]);
    // A model of several files makes its folder.
    folder(&sandbox, "m", 1, "{}");
    sandbox.ok(&["export", "s", "m", "out/"]);
    let export = ["export", "s", "m", "out"];
    let told = sandbox.refused(&export, 1);
    assert!(told.ends_with("not replaced: name another folder, or add --force to replace them\n"));
    let forced = [&export[..], &["--force"]].concat();
    sandbox.ok(&forced);
    fs::create_dir(sandbox.path("out/mine")).unwrap();
    sandbox.write("out/notes", b"mine");
    sandbox.write("out/vocab.txt", b"changed");
    for command in [&export[..], &forced] {
        let told = sandbox.refused(command, 1);
        let named = "it holds what is not the model's, \"mine/\", \"notes\": nothing was written";
        assert!(told.contains(named) && !told.contains("--force"), "{told}");
    }
    for at in 0..5 {
        sandbox.write(&format!("out/a{at}"), b"");
    }
    let told = sandbox.refused(&forced, 1);
    assert!(told.contains("\"a4\" and 2 more: nothing was written"), "{told}");
    assert_eq!(sandbox.read("out/vocab.txt"), b"changed");
}

#[test]
fn data_beside_an_onnx_file_is_converted_with_it() {
    let sandbox = Sandbox::with_store();
    // In a folder below, and beside: a name of the same length.
    let mut graph = fs::read(format!("{DOOR}/external/m.onnx")).unwrap();
    let (below, beside) = (b"data/w.bin", b"w-flat.bin");
    let at = graph.windows(below.len()).position(|part| part == below).unwrap();
    graph[at..at + beside.len()].copy_from_slice(beside);
    fs::create_dir(sandbox.path("flat")).unwrap();
    sandbox.write("flat/m.onnx", &graph);
    fs::copy(format!("{DOOR}/external/data/w.bin"), sandbox.path("flat/w-flat.bin")).unwrap();
    for (folder, name) in [(format!("{DOOR}/external").as_str(), "x"), ("flat", "y")] {
        sandbox.ok(&["import", "s", folder, "--name", name]);
        let text = sandbox.ok(&["export", "s", name, name, "--as", "safetensors"]);
        assert!(!text.contains("of no format") && !text.contains(".bin"), "{text}");
        assert_eq!(names(&sandbox, name), ["model.safetensors"]);
        let bytes = sandbox.read(&format!("{name}/model.safetensors"));
        assert!(!safetensors::SafeTensors::deserialize(&bytes).unwrap().is_empty());
    }
}

#[test]
fn weights_become_safetensors_and_it_is_said() {
    let sandbox = Sandbox::with_store();
    for (name, file) in [("torch", "torch-protocol5.pt"), ("q8", "tiny-q8.gguf")] {
        sandbox.ok(&["import", "s", &format!("{DOOR}/{file}"), "--name", name]);
    }
    let told = sandbox.refused(&["export", "s", "torch", "x.safetensors"], 1);
    let both = "torch@1 is kept as a file of format pytorch; name it x.pt, or convert it: --as \
                safetensors";
    assert!(told.contains(both), "{told}");
    let text = sandbox.ok(&["export", "s", "torch", "x.safetensors", "--as", "safetensors"]);
    assert!(text.contains("\n  the weights (pytorch) became a safetensors file of "), "{text}");
    assert!(text.contains("not what was imported"), "{text}");
    let bytes = sandbox.read("x.safetensors");
    assert!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len() > 1);
    let convert = ["export", "s", "q8", "q.safetensors", "--as", "safetensors"];
    assert!(sandbox.refused(&convert, 1).contains("--dequantise makes F32 of Q8_0"));
    let document = sandbox.json(&[&convert[..], &["--dequantise"]].concat());
    assert_eq!(document["files"][0]["converted"], true);
    let notes = document["notes"].to_string();
    assert!(notes.contains("of Q8_0 became F32"), "{notes}");
    safetensors::SafeTensors::deserialize(&sandbox.read("q.safetensors")).unwrap();
    // Into a folder, under the file's own name.
    fs::create_dir(sandbox.path("there")).unwrap();
    sandbox.ok(&["export", "s", "q8", "there"]);
    sandbox.ok(&["export", "s", "q8", "there", "--as", "safetensors", "--dequantise"]);
    assert_eq!(names(&sandbox, "there"), ["tiny-q8.gguf", "tiny-q8.safetensors"]);
    write_sharded(&sandbox.path("big"));
    sandbox.ok(&["import", "s", "big", "--name", "big"]);
    sandbox.ok(&["export", "s", "big", "flat", "--as", "safetensors"]);
    assert_eq!(names(&sandbox, "flat"), ["model.safetensors"]);
}

#[test]
fn a_diff_lists_the_files_beside_the_weights() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox, "a", 1, "{}");
    folder(&sandbox, "b", 1, "{ }");
    let text = sandbox.ok(&["diff", "s", "a", "b"]);
    let said = "3 files beside the weights: 0 added, 0 removed, 1 changed, 2 the same\n  ~ \
                config.json (2 B -> 3 B)\n";
    assert!(text.contains(said), "{text}");
    let document = sandbox.json(&["diff", "s", "a", "b"]);
    let expected = json!({ "path": "config.json", "change": "changed", "from_bytes": 2,
        "to_bytes": 3 });
    assert_eq!(document["files"][0], expected);
    assert_eq!(document["files"][1]["change"], "same");
    sandbox.import(0, "one", &[]);
    let text = sandbox.ok(&["diff", "s", "a", "one"]);
    assert!(text.contains("3 removed"), "{text}");
}

#[test]
fn commands_get_the_whole_model_as_a_folder() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox, "m", 1, "{}");
    sandbox.import(0, "one", &[]);
    let script = b"test -f $1/model.safetensors || exit 1\nls $1 | grep -c .\n";
    sandbox.write("look.sh", script);
    // A test, of a folder and of a single file.
    let look = format!("sh {} {{folder}}", sandbox.path("look.sh").display());
    sandbox.ok(&["test", "add", "s", "whole", "--command", &look]);
    sandbox.ok(&["test", "run", "s"]);
    let told = sandbox.refused(&["test", "add", "s", "bad", "--command", "sh x {folders}"], 1);
    assert!(told.contains("only {model}, {folder} and {name}"), "{told}");
    // A gate.
    sandbox.write("m/model.safetensors", &model(2));
    let gate = format!("sh {} {{folder}}", sandbox.path("look.sh").display());
    let lossy = ["--parent", "m", "--lossy", "quantised:1e-4", "--gate", &gate, "--max-drop", "0"];
    let import = ["import", "s", "m", "--name", "next", "--higher-is-better"];
    sandbox.ok(&[&import[..], &lossy].concat());
    // A creation function.
    let make =
        ["make", "s", "--name", "copy", "--parent", "m", "--command", "cp -r {folder} {out}"];
    sandbox.ok(&make);
    sandbox.ok(&["export", "s", "copy", "copy"]);
    assert_eq!(names(&sandbox, "copy"), ["config.json", "model.safetensors", "sub", "vocab.txt"]);
    let bare = "cp {parent:m}/model.safetensors {out}";
    let text = sandbox.ok(&["make", "s", "--name", "bare", "--parent", "m", "--command", bare]);
    assert!(text.contains("from m@1 come along: config.json, sub/more.json, vocab.txt"), "{text}");
    sandbox.ok(&["verify", "s"]);
}
