//! Promise: a model of any form goes in with all its files and comes out byte for byte; what is
//! left out, and what is only bytes, is said; equal content makes no version.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::common::{Sandbox, model};

/// Files by their paths.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(
                tree(&path).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)),
            );
        } else {
            files.push((name, fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

fn folder(sandbox: &Sandbox) {
    fs::create_dir_all(sandbox.path("tiny/1_Pooling")).unwrap();
    fs::create_dir_all(sandbox.path("tiny/.cache")).unwrap();
    sandbox.write("tiny/model.safetensors", &model(1));
    sandbox.write("tiny/config.json", br#"{"model_type": "bert"}"#);
    sandbox.write("tiny/README.md", b"---\nlicense: mit\nbase_model: org/base\n---\n# Tiny");
    sandbox.write("tiny/1_Pooling/config.json", b"{}");
    sandbox.write("tiny/.cache/x", b"x");
    sandbox.write("tiny/tf_model.h5", b"\x89HDF\r\n\x1a\n and more");
}

#[test]
fn a_folder_goes_in_and_comes_out_whole() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    let text = sandbox.ok(&["import", "s", "tiny", "--name", "tiny"]);
    for line in [
        "tiny@1 <- tiny (",
        "\n  5 files: 1 safetensors, 4 as bytes\n",
        "\n  left out .cache/: a cache\n",
        "\n  tf_model.h5: kept as bytes: its tensors are not seen: HDF5\n",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    sandbox.ok(&["export", "s", "tiny", "out"]);
    fs::remove_dir_all(sandbox.path("tiny/.cache")).unwrap();
    assert_eq!(tree(&sandbox.path("out")), tree(&sandbox.path("tiny")));
    let shown = sandbox.json(&["show", "s", "tiny"]);
    assert_eq!(shown["kind"], "bert");
    let metadata = &shown["metadata"];
    assert_eq!(
        (&metadata["license"], &metadata["base_model"]),
        (&json!("mit"), &json!("org/base"))
    );
}

#[test]
fn what_is_taken_is_asked_for_and_told_to_programs() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    let document = sandbox.json(&[
        "import",
        "s",
        "tiny",
        "--name",
        "t",
        "--exclude",
        "*.h5",
        "--exclude",
        "1_Pooling/",
        "--kind",
        "mine",
        "--meta",
        "license=other",
    ]);
    let imported = &document["imported"][0];
    let paths = imported["files"].as_array().unwrap().iter();
    let paths: Vec<&str> = paths.map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["model.safetensors", "README.md", "config.json"]);
    let first = &imported["files"][0];
    assert_eq!((&first["format"], &first["role"]), (&json!("safetensors"), &json!("weights")));
    assert_eq!(imported["already_there"], false);
    assert_eq!(imported["left_out"].as_array().unwrap().len(), 3);
    assert_eq!(imported["left_out"][0], json!({ "path": ".cache/", "reason": "a cache" }));
    let shown = sandbox.json(&["show", "s", "t"]);
    assert_eq!((&shown["kind"], &shown["metadata"]["license"]), (&json!("mine"), &json!("other")));
    let only = sandbox.json(&["import", "s", "tiny", "--name", "o", "--include", "model.*"]);
    assert_eq!(only["imported"][0]["files"].as_array().unwrap().len(), 1);
    let none = sandbox.refused(&["import", "s", "tiny", "--name", "n", "--include", "*.json"], 1);
    assert!(none.contains("\"tiny\" holds no model: no weights are in it"), "{none}");
}

#[test]
fn equal_content_makes_no_version_unless_it_is_asked_for() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    sandbox.write("m.safetensors", &model(2));
    for (path, name) in [("tiny", "tiny"), ("m.safetensors", "m")] {
        sandbox.ok(&["import", "s", path, "--name", name]);
        let commits = sandbox.json(&["stat", "s"])["commits"].clone();
        let text = sandbox.ok(&["import", "s", path, "--name", name]);
        assert!(text.contains("already there: its latest version has the same files"), "{text}");
        let document = sandbox.json(&["import", "s", path, "--name", name]);
        assert_eq!(document["imported"][0]["already_there"], true);
        assert_eq!(document["imported"][0]["model"], format!("{name}@1"));
        assert_eq!(sandbox.json(&["stat", "s"])["commits"], commits);
        let document = sandbox.json(&["import", "s", path, "--name", name, "--force"]);
        assert_eq!(document["imported"][0]["model"], format!("{name}@2"));
    }
    // One byte of a file beside the weights is another model.
    sandbox.write("tiny/config.json", br#"{"model_type": "gpt2"}"#);
    let document = sandbox.json(&["import", "s", "tiny", "--name", "tiny"]);
    assert_eq!(document["imported"][0]["model"], "tiny@3");
    // What was asked for besides is not passed over in silence.
    let again = ["import", "s", "m.safetensors", "--name", "m"];
    for more in [["--kind", "bert"], ["--meta", "a=1"], ["--parent", "tiny"]] {
        let message = sandbox.refused(&[&again[..], &more].concat(), 1);
        assert!(message.contains("m@2 has the same files already, but not what "), "{message}");
        let option = if more[0] == "--meta" { "--meta a" } else { more[0] };
        assert!(message.contains(option), "{message}");
    }
    sandbox.ok(&["meta", "s", "m", "a=1"]);
    sandbox.ok(&[&again[..], &["--meta", "a=1"]].concat());
    sandbox.ok(&["verify", "s"]);
    assert_eq!(sandbox.models().len(), 5);
}

#[test]
fn links_out_of_a_folder_are_followed_only_when_told_to() {
    let sandbox = Sandbox::with_store();
    folder(&sandbox);
    sandbox.write("secret", b"secret");
    std::os::unix::fs::symlink("../secret", sandbox.path("tiny/link")).unwrap();
    let import = ["import", "s", "tiny", "--name", "tiny"];
    let message = sandbox.refused(&import, 1);
    assert!(message.contains("is a link that leads out of the model's folder"), "{message}");
    assert!(message.contains("--follow-links"), "{message}");
    sandbox.ok(&[&import[..], &["--follow-links"]].concat());
    sandbox.ok(&["export", "s", "tiny", "out"]);
    assert_eq!(sandbox.read("out/link"), b"secret");
}
