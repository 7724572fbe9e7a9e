//! Promise: `adopt` takes folders as people keep them: runs as versions by their steps, hub caches,
//! declared bases as far as the weights agree. A second run does nothing, a dry run says what a run
//! says, and one bad model does not hide the rest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::common::{Sandbox, bytes_of, file_of, noise};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

/// A file of weights that has gone so far from those of a family: tenths of a percent.
fn weights(family: u32, steps: u32) -> Vec<u8> {
    let step = noise(family + 1000, 20_000);
    let layer = noise(family, 20_000).into_iter().zip(step);
    let layer: Vec<f32> = layer.map(|(at, by)| at + 0.001 * steps as f32 * by).collect();
    file_of(&[
        ("layer.weight", Dtype::F32, &[200, 100], bytes_of(&layer)),
        ("norm.weight", Dtype::F32, &[64], bytes_of(&noise(family + 7, 64))),
    ])
}

fn put(sandbox: &Sandbox, path: &str, bytes: impl AsRef<[u8]>) {
    let path = sandbox.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn put_model(sandbox: &Sandbox, folder: &str, weights: &[u8], base: Option<&str>) {
    put(sandbox, &format!("{folder}/model.safetensors"), weights);
    put(sandbox, &format!("{folder}/config.json"), r#"{"model_type": "bert"}"#);
    if let Some(base) = base {
        put(sandbox, &format!("{folder}/README.md"), format!("---\nbase_model: {base}\n---\n"));
    }
}

/// A base, and a run from it of which the shell sorts 1000 first; the card lies beside the final
/// model.
fn put_run(sandbox: &Sandbox) {
    put_model(sandbox, "models/base", &weights(1, 0), None);
    for (step, by) in [(500, 1), (1000, 2), (1500, 3)] {
        let folder = format!("models/run/checkpoint-{step}");
        put_model(sandbox, &folder, &weights(1, by), None);
        put(
            sandbox,
            &format!("{folder}/trainer_state.json"),
            format!("{{\"global_step\": {step}}}"),
        );
        put(sandbox, &format!("{folder}/optimizer.pt"), format!("state of {step}"));
    }
    put_model(sandbox, "models/run", &weights(1, 3), Some("org/base"));
}

fn show(sandbox: &Sandbox, model: &str) -> Value {
    sandbox.json(&["show", "s", model])
}

fn parents(sandbox: &Sandbox, model: &str) -> Vec<String> {
    let shown = show(sandbox, model);
    let parents = shown["parents"].as_array().unwrap().iter();
    parents.map(|it| it["model"].as_str().unwrap().to_owned()).collect()
}

fn equal_folders(one: &Path, other: &Path) {
    let same = std::process::Command::new("diff").arg("-r").args([one, other]).output().unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
}

#[test]
fn a_run_becomes_versions_by_its_steps() {
    let sandbox = Sandbox::with_store();
    put_run(&sandbox);
    let dry = sandbox.ok(&["adopt", "s", "models", "--dry-run"]);
    assert!(dry.contains("run  finetune of base") && dry.contains("5 models, 1 root"), "{dry}");
    assert!(dry.contains("models/run: the next version, run@4; the same weights as the version"));
    assert!(dry.contains("run@1 names org/base as its base: the weights agree\n"), "{dry}");
    assert!(sandbox.models().is_empty());
    // What a dry run says is what a run says before it imports.
    let plan = dry.strip_suffix("nothing was imported\n").unwrap();
    let done = sandbox.ok(&["adopt", "s", "models", "--yes"]);
    assert!(done.starts_with(plan), "{done}\n---\n{plan}");
    assert!(done.ends_with("imported 5 models\n"), "{done}");
    assert_eq!(sandbox.models(), ["base@1", "run@1", "run@2", "run@3", "run@4"]);
    assert_eq!(parents(&sandbox, "run@1"), ["base@1"]);
    for (version, step) in [(1, 500), (2, 1000), (3, 1500)] {
        let name = format!("run@{version}");
        assert_eq!(show(&sandbox, &name)["metadata"]["global_step"], step, "{name}");
        let out = format!("out-{step}");
        sandbox.ok(&["export", "s", &name, &out]);
        let from = sandbox.path(&format!("models/run/checkpoint-{step}"));
        equal_folders(&from, &sandbox.path(&out));
    }
    for version in 2..=4 {
        assert!(parents(&sandbox, &format!("run@{version}")).is_empty());
    }
    // Again: nothing; each by itself, in the order of a shell, too.
    let before = fs::read(sandbox.path("s")).unwrap();
    let again = sandbox.ok(&["adopt", "s", "models", "--yes"]);
    assert!(again.contains("5 models (5 already there), 0 roots"), "{again}");
    assert!(again.contains("models/run/checkpoint-1000: already there: run@2\n"), "{again}");
    let all = [1000, 1500, 500].map(|step| format!("models/run/checkpoint-{step}"));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let again = sandbox.ok(&[&["adopt", "s"][..], &all, &["--yes"]].concat());
    assert!(again.ends_with("nothing to import: what can be read is there already\n"), "{again}");
    assert!(before == fs::read(sandbox.path("s")).unwrap(), "the store was written to");
    sandbox.ok(&["init", "t"]);
    sandbox.ok(&[&["adopt", "t"][..], &all, &["--yes"]].concat());
    let shown = sandbox.json(&["show", "t", "run@1"]);
    assert_eq!(shown["metadata"]["global_step"], 500);
    // The run goes on.
    put_model(&sandbox, "models/run/checkpoint-2000", &weights(1, 4), None);
    put_model(&sandbox, "models/run", &weights(1, 4), Some("org/base"));
    let more = sandbox.json(&["adopt", "s", "models", "--yes"]);
    assert_eq!(more["imported"], true);
    assert_eq!(sandbox.models()[5..], ["run@5", "run@6"]);
    assert_eq!(show(&sandbox, "run@6")["metadata"]["base_model"], "org/base");
}

#[test]
fn a_run_whose_final_model_is_its_last_checkpoint_has_no_version_more() {
    let sandbox = Sandbox::with_store();
    put_model(&sandbox, "run/checkpoint-9", &weights(1, 1), None);
    put_model(&sandbox, "run/checkpoint-10", &weights(1, 2), None);
    put_model(&sandbox, "run", &weights(1, 2), None);
    let done = sandbox.ok(&["adopt", "s", "run", "--yes"]);
    assert!(done.contains("run: already there: run@2\n"), "{done}");
    assert!(done.contains("run is already there as run@2\n"), "{done}");
    assert_eq!(sandbox.models(), ["run@1", "run@2"]);
}

/// Lays a folder into a cache as the library of the hub does: links into `blobs`.
fn cache(sandbox: &Sandbox, repository: &str, revision: &str, files: &[(&str, Vec<u8>)]) {
    let root = format!("hub/models--{}", repository.replace('/', "--"));
    for (path, bytes) in files {
        let blob = format!("{root}/blobs/{revision}-{}", path.replace('/', "-"));
        put(sandbox, &blob, bytes);
        let link = sandbox.path(&format!("{root}/snapshots/{revision}/{path}"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(sandbox.path(&blob), link).unwrap();
    }
    put(sandbox, &format!("{root}/refs/main"), revision);
}

#[test]
fn a_hub_cache_becomes_its_repositories() {
    let sandbox = Sandbox::with_store();
    let config = || ("config.json", b"{\"model_type\": \"bert\"}".to_vec());
    let files = |by| [config(), ("model.safetensors", weights(1, by))];
    cache(&sandbox, "org/base", &"a".repeat(40), &files(0));
    cache(&sandbox, "org/base", &"0".repeat(40), &files(1));
    let card = ("README.md", b"---\nbase_model: org/base\n---\n".to_vec());
    cache(&sandbox, "me/tuned", &"b".repeat(40), &[&files(3)[..], &[card]].concat());
    put(&sandbox, "hub/datasets--org--texts/snapshots/1/x.npy", "");
    let done = sandbox.ok(&["adopt", "s", "hub", "--yes"]);
    assert_eq!(sandbox.models(), ["me/tuned@1", "org/base@1", "org/base@2"], "{done}");
    assert!(
        done.contains("left out hub/datasets--org--texts/: a dataset of the cache\n"),
        "{done}"
    );
    assert!(done.contains("me/tuned names org/base as its base: the weights agree\n"), "{done}");
    // The one of `refs/main` is the newest; a child belongs to the version nearest to it.
    assert_eq!(show(&sandbox, "org/base@1")["metadata"]["hub.revision"], "a".repeat(40));
    assert_eq!(show(&sandbox, "org/base@2")["metadata"]["hub.revision"], "0".repeat(40));
    assert_eq!(parents(&sandbox, "me/tuned"), ["org/base@2"]);
    let again = sandbox.ok(&["adopt", "s", "hub", "--yes"]);
    assert!(again.ends_with("nothing to import: what can be read is there already\n"), "{again}");
}

#[test]
fn one_damaged_model_does_not_hide_four() {
    let sandbox = Sandbox::with_store();
    for at in 0..4 {
        put_model(&sandbox, &format!("all/good-{at}"), &weights(10 * at, 0), None);
    }
    let whole = weights(99, 0);
    put_model(&sandbox, "all/bad", &whole[..whole.len() - 4], None);
    let answer = sandbox.run(&["adopt", "s", "all", "--yes"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.text().contains("cannot take all/bad: "), "{answer:?}");
    assert!(answer.text().ends_with("imported 4 models\n"), "{answer:?}");
    assert!(answer.stderr.contains("all/bad") && answer.stderr.contains("already in the store: "));
    assert_eq!(sandbox.models(), ["good-0@1", "good-1@1", "good-2@1", "good-3@1"]);
    let answer = sandbox.run(&["adopt", "s", "all", "--yes", "--json"]);
    let found = answer.json();
    assert_eq!((answer.code, &found["imported"]), (Some(1), &json!(false)), "{found}");
    assert_eq!(found["failed"][0]["file"], "all/bad");
    assert_eq!(found["error"]["code"], "malformed-file");
    assert_eq!(found["models"].as_array().unwrap().len(), 4);
    // Mended, it goes in.
    put_model(&sandbox, "all/bad", &whole, None);
    sandbox.ok(&["adopt", "s", "all", "--yes"]);
    assert_eq!(sandbox.models().len(), 5);
}

#[test]
fn what_is_there_is_shown_as_it_is_stored_and_faults_are_told_once() {
    let sandbox = Sandbox::with_store();
    put_model(&sandbox, "m/base", &weights(1, 0), None);
    put_model(&sandbox, "m/tuned", &weights(1, 5), Some("base"));
    sandbox.ok(&["adopt", "s", "m", "--yes"]);
    let again = sandbox.ok(&["adopt", "s", "m", "--dry-run"]);
    assert!(again.contains("\n  tuned  finetune of base@1\n"), "{again}");
    let document = sandbox.json(&["adopt", "s", "m", "--dry-run"]);
    let of = |name: &str| {
        let models = document["models"].as_array().unwrap();
        models.iter().find(|model| model["name"] == name).unwrap()["parent"].clone()
    };
    assert_eq!((of("base"), of("tuned")), (Value::Null, json!("base@1")));
    // Somebody has decided otherwise.
    sandbox.ok(&["parent", "set", "s", "tuned"]);
    let again = sandbox.ok(&["adopt", "s", "m", "--dry-run"]);
    assert!(again.contains("\ntuned\n") && !again.contains("tuned  finetune"), "{again}");
    assert!(again.contains("; in the store it has no parent, and that stays: "), "{again}");
    // Of three that are bad each is told once, and counted in the end.
    for (at, bytes) in ["", "x", "<html>"].iter().enumerate() {
        put_model(&sandbox, &format!("m/bad-{at}"), bytes.as_bytes(), None);
    }
    let answer = sandbox.run(&["adopt", "s", "m", "--yes"]);
    assert_eq!(answer.stderr, "error: 3 models were not taken, as said above\n");
    let text = answer.text();
    assert_eq!(text.matches("cannot take m/bad-").count(), 3, "{text}");
    // Where there is nothing else, the error says all.
    let told = sandbox.refused(&["adopt", "s", "m/bad-0", "m/bad-2", "--yes"], 1);
    assert!(told.contains("is empty") && told.contains("is an HTML page"), "{told}");
}

#[test]
fn declared_bases_are_held_against_the_weights() {
    let sandbox = Sandbox::with_store();
    put_model(&sandbox, "m/base", &weights(1, 0), None);
    put_model(&sandbox, "m/liar", &weights(50, 0), Some("base"));
    put_model(&sandbox, "m/orphan", &weights(70, 0), Some("some/where"));
    put_model(&sandbox, "m/tuned", &weights(1, 5), Some("x/base"));
    let found = sandbox.json(&["adopt", "s", "m", "--dry-run"]);
    let verdict = |name: &str| {
        let models = found["models"].as_array().unwrap();
        let model = models.iter().find(|model| model["name"] == name).unwrap();
        (model["bases"][0]["verdict"].clone(), model["parent"].clone())
    };
    assert_eq!(verdict("liar"), (json!("contradicts"), Value::Null));
    assert_eq!(verdict("orphan"), (json!("not-there"), Value::Null));
    assert_eq!(verdict("tuned"), (json!("agrees"), json!("base")));
    let told = sandbox.ok(&["adopt", "s", "m", "--yes"]);
    for line in [
        "liar names base as its base, but the weights contradict that: they are not related\n",
        "orphan names some/where as its base, which is neither among these models nor in the store\n",
        "tuned names x/base as its base: the weights agree\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert_eq!(parents(&sandbox, "tuned"), ["base@1"]);
    // The base is in the store alone.
    put_model(&sandbox, "n/late", &weights(1, 7), Some("base"));
    let told = sandbox.ok(&["adopt", "s", "n", "--yes"]);
    assert!(told.contains("late names base as its base: the weights agree\n"), "{told}");
}

fn adapter(rows: usize, columns: usize) -> Vec<u8> {
    let name = |side: &str| format!("base_model.model.layer.lora_{side}.weight");
    file_of(&[
        (&name("A"), Dtype::F32, &[4, columns], bytes_of(&noise(5, 4 * columns))),
        (&name("B"), Dtype::F32, &[rows, 4], bytes_of(&noise(6, rows * 4))),
    ])
}

#[test]
fn an_adapter_belongs_to_the_base_that_its_settings_name() {
    let sandbox = Sandbox::with_store();
    let settings = r#"{"base_model_name_or_path": "org/base", "r": 4, "lora_alpha": 8}"#;
    for (folder, rows) in [("fits", 200), ("odd", 64)] {
        put(&sandbox, &format!("m/{folder}/adapter_model.safetensors"), adapter(rows, 100));
        put(&sandbox, &format!("m/{folder}/adapter_config.json"), settings);
    }
    put_model(&sandbox, "m/base", &weights(1, 0), None);
    let told = sandbox.ok(&["adopt", "s", "m", "--yes"]);
    assert!(told.contains("fits  adapter of base"), "{told}");
    assert!(told.contains("odd names org/base as its base, but the weights contradict"), "{told}");
    let shown = show(&sandbox, "fits");
    assert_eq!(shown["parents"][0]["model"], "base@1");
    assert_eq!(shown["parents"][0]["how"], "adapter");
    assert!(parents(&sandbox, "odd").is_empty());
}

#[test]
fn equal_weights_are_said_and_what_only_one_has() {
    let sandbox = Sandbox::with_store();
    put_model(&sandbox, "m/one", &weights(1, 0), None);
    put_model(&sandbox, "m/two", &weights(1, 0), None);
    put(&sandbox, "m/two/more.txt", "more");
    let told = sandbox.ok(&["adopt", "s", "m", "--dry-run"]);
    assert!(told.contains("has the same content as"), "{told}");
    let layer = bytes_of(&noise(3, 20_000));
    let buffer = bytes_of(&noise(4, 64));
    let one = file_of(&[("layer", Dtype::F32, &[200, 100], layer.clone())]);
    let two = [
        ("layer", Dtype::F32, &[200, 100][..], layer),
        ("position_ids", Dtype::F32, &[64][..], buffer),
    ];
    put_model(&sandbox, "n/one", &one, None);
    put_model(&sandbox, "n/two", &file_of(&two), None);
    let told = sandbox.ok(&["adopt", "s", "n", "--dry-run"]);
    assert!(told.contains("the same weights, with 1 tensor more"), "{told}");
}

#[test]
fn other_content_under_a_name_is_its_next_version() {
    let sandbox = Sandbox::with_store();
    put(&sandbox, "m/a.safetensors", weights(1, 0));
    sandbox.ok(&["adopt", "s", "m", "--yes"]);
    put(&sandbox, "m/a.safetensors", weights(1, 1));
    let told = sandbox.ok(&["adopt", "s", "m", "--yes"]);
    assert!(told.contains("m/a.safetensors: the next version, a@2\n"), "{told}");
    // The first again: it is there, though it is not the latest.
    put(&sandbox, "m/a.safetensors", weights(1, 0));
    let told = sandbox.ok(&["adopt", "s", "m", "--yes"]);
    assert!(told.contains("m/a.safetensors: already there: a@1\n"), "{told}");
    assert_eq!(sandbox.models(), ["a@1", "a@2"]);
    assert!(parents(&sandbox, "a@2").is_empty());
}

/// The run, and a cache of a model folder and of a sharded one, made with the real libraries.
#[test]
fn a_run_and_a_cache_of_real_libraries_are_adopted() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/door");
    let door = std::env::var_os("MGIT_DOOR").map_or_else(beside, Into::into);
    if !door.join("run").is_dir() {
        println!("skipped: MGIT_DOOR does not name the folder of more model files");
        return;
    }
    let sandbox = Sandbox::with_store();
    let read = |folder: &str| -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![door.join(folder)];
        while let Some(inner) = folders.pop() {
            for entry in fs::read_dir(inner).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(door.join(folder)).unwrap().to_str().unwrap();
                    files.push((name.to_owned(), fs::read(&path).unwrap()));
                }
            }
        }
        files
    };
    for (at, folder) in ["hub-folder", "sharded"].into_iter().enumerate() {
        let files = read(folder);
        let files: Vec<(&str, Vec<u8>)> =
            files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
        cache(&sandbox, &format!("tiny/{folder}"), &format!("{at:040}"), &files);
    }
    let run = door.join("run").display().to_string();
    let told = sandbox.ok(&["adopt", "s", "hub", &run, "--yes"]);
    let expected = ["run@1", "run@2", "run@3", "run@4", "tiny/hub-folder@1", "tiny/sharded@1"];
    assert_eq!(sandbox.models(), expected, "{told}");
    let has = "has the same content as tiny/hub-folder: every tensor is equal\n";
    assert!(told.contains(has), "{told}");
    assert!(told.contains("names tiny/hub-folder as its base: the weights agree\n"), "{told}");
    assert_eq!(parents(&sandbox, "run@1"), ["tiny/hub-folder@1"]);
    for (name, folder) in [("run@2", "run/checkpoint-1000"), ("tiny/sharded@1", "sharded")] {
        let out = name.replace(['/', '@'], "-");
        sandbox.ok(&["export", "s", name, &out]);
        equal_folders(&door.join(folder), &sandbox.path(&out));
    }
    let again = sandbox.ok(&["adopt", "s", "hub", &run, "--yes"]);
    assert!(again.ends_with("nothing to import: what can be read is there already\n"), "{again}");
}

/// An array of numpy.
fn array(values: &[f32]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", values.len());
    let header = format!("{header:117}\n");
    [b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), &bytes_of(values)].concat()
}

/// A file is called by its whole name where another has its stem: it was called by that before.
#[test]
fn a_file_beside_which_another_of_its_stem_came_is_known_by_its_former_name() {
    let sandbox = Sandbox::with_store();
    let adopt = ["adopt", "s", "d", "--yes"];
    put(&sandbox, "d/b.safetensors", weights(1, 0));
    sandbox.ok(&adopt);
    put(&sandbox, "d/b.npy", array(&noise(5, 3000)));
    let dry = sandbox.ok(&["adopt", "s", "d", "--dry-run"]);
    assert!(dry.contains("b\n  d/b.safetensors: already there: b@1\n"), "{dry}");
    assert!(dry.contains("2 models (1 already there)"), "{dry}");
    let told = sandbox.ok(&adopt);
    assert!(told.contains("d/b.safetensors is already there as b@1\n"), "{told}");
    assert_eq!(sandbox.models(), ["b@1", "b.npy@1"]);
    let document = sandbox.json(&["adopt", "s", "d", "--dry-run"]);
    for (at, name) in ["b.npy", "b"].into_iter().enumerate() {
        let model = &document["models"][at];
        assert_eq!(model["already_there"], format!("{name}@1"));
        assert_eq!((&model["name"], &model["version"]), (&json!(name), &json!(1)));
    }
    // The other way round: alone it would be called by its stem.
    fs::remove_file(sandbox.path("d/b.safetensors")).unwrap();
    for path in ["d", "d/b.npy"] {
        let again = sandbox.ok(&["adopt", "s", path, "--yes"]);
        assert!(
            again.ends_with("nothing to import: what can be read is there already\n"),
            "{again}"
        );
    }
    // With other bytes it is another model.
    put(&sandbox, "d/b.npy", array(&noise(6, 3000)));
    sandbox.ok(&adopt);
    assert_eq!(sandbox.models(), ["b@1", "b@2", "b.npy@1"]);
}

/// Files are not held open for as long as all are compared.
#[test]
fn many_models_need_few_open_files() {
    let sandbox = Sandbox::with_store();
    for at in 0..60u32 {
        let bytes = file_of(&[("w", Dtype::U8, &[4], at.to_le_bytes().to_vec())]);
        put(&sandbox, &format!("m/{at}.safetensors"), bytes);
    }
    let script = r#"ulimit -n 40 && exec "$0" adopt s m --yes"#;
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_mgit-db")])
        .current_dir(sandbox.path("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sandbox.models().len(), 60);
}
