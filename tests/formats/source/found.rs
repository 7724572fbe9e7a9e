//! Promise: the models of a folder are found with their names and in their order; what is no model
//! is left out with the reason, and nothing hides the rest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use mgit::interchange::{FoundForm, FoundModels, ModelSource, SourceOptions, models_in};
use tempfile::tempdir;

use super::{index, put, safetensors};

fn found(folder: &Path) -> FoundModels {
    models_in(folder, &SourceOptions::new()).unwrap()
}

/// Of each model: its name, and its path in the folder.
fn models(folder: &Path) -> Vec<(String, String)> {
    let path = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    found(folder).models.iter().map(|it| (it.name.clone(), path(&it.path))).collect()
}

fn owned(models: &[(&str, &str)]) -> Vec<(String, String)> {
    models.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()
}

fn left_out(folder: &Path) -> Vec<(String, String)> {
    let left = found(folder).left_out.into_iter();
    let path = |path: String| path.strip_prefix(&format!("{}/", folder.display())).unwrap().into();
    left.map(|left| (path(left.path), left.reason)).collect()
}

/// A run of three checkpoints, which the shell sorts by their first digit.
fn run(folder: &Path, name: &str) {
    for (at, step) in [500, 1000, 1500].into_iter().enumerate() {
        let checkpoint = format!("{name}/checkpoint-{step}");
        put(folder, &format!("{checkpoint}/config.json"), "{}");
        put(folder, &format!("{checkpoint}/optimizer.pt"), "state");
        put(
            folder,
            &format!("{checkpoint}/model.safetensors"),
            safetensors(&["a", "b"][..=at % 2]),
        );
    }
}

#[test]
fn folders_and_loose_files_and_sets_are_models() {
    let home = tempdir().unwrap();
    let folder = home.path();
    put(folder, "README.md", "# All of them");
    put(folder, "one.safetensors", safetensors(&["a"]));
    put(folder, "two-00001-of-00002.safetensors", safetensors(&["a"]));
    put(folder, "two-00002-of-00002.safetensors", safetensors(&["b"]));
    put(folder, "one.layers.json", "{}");
    put(folder, "optimizer.pt", "state");
    put(folder, "odd.bin", "neither this nor that");
    put(folder, "weights.h5", b"\x89HDF\r\n\x1a\n");
    put(folder, "data.tar", "tar");
    put(folder, "bert/config.json", "{}");
    put(folder, "bert/model.safetensors", safetensors(&["a"]));
    put(folder, "bert/2_Dense/model.safetensors", safetensors(&["d"]));
    put(folder, "plain folder/model.safetensors", safetensors(&["a"]));
    put(folder, "pipe/model_index.json", "{}");
    put(folder, "pipe/unet/diffusion_pytorch_model.safetensors", safetensors(&["a"]));
    put(folder, "pipe/vae/diffusion_pytorch_model.safetensors", safetensors(&["b"]));
    put(folder, "web/config.json", "{}");
    put(folder, "web/onnx/model.npy", "no array");
    put(folder, "shards/model-00001-of-00001.safetensors", safetensors(&["a"]));
    let listed = index(&[("a", "model-00001-of-00001.safetensors")]);
    put(folder, "shards/model.safetensors.index.json", listed);
    put(folder, "experiments/config.json", "{}");
    put(folder, "experiments/a/config.json", "{}");
    put(folder, "experiments/a/model.safetensors", safetensors(&["a"]));
    put(folder, "experiments/b/mine.safetensors", safetensors(&["a"]));
    put(folder, ".git/model.safetensors", safetensors(&["a"]));
    put(folder, "code/src/main.py", "print()");
    fs::create_dir(folder.join("empty")).unwrap();
    assert_eq!(
        models(folder),
        owned(&[
            ("one", "one.safetensors"),
            ("two", "two-00001-of-00002.safetensors"),
            ("weights", "weights.h5"),
            ("bert", "bert"),
            ("experiments/a", "experiments/a"),
            ("experiments/b/mine", "experiments/b/mine.safetensors"),
            ("pipe", "pipe"),
            ("plain-folder", "plain folder"),
            ("shards", "shards"),
            ("web", "web"),
        ])
    );
    let left: Vec<String> = left_out(folder).into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        left,
        [
            ".git/",
            "README.md",
            "code/src/main.py",
            "data.tar",
            "empty/",
            "experiments/config.json",
            "odd.bin",
            "optimizer.pt",
        ]
    );
    // A folder that is a model, by itself.
    let alone = found(&folder.join("bert")).models;
    assert_eq!((alone.len(), alone[0].name.as_str()), (1, "bert"));
    assert_eq!(alone[0].form, FoundForm::Folder);
    let options = SourceOptions::new().exclude("experiments").exclude("*.h5");
    assert_eq!(models_in(folder, &options).unwrap().models.len(), 7);
    assert!(models_in(folder.join("nothing"), &options).is_err());
}

#[test]
fn a_run_is_one_model_with_versions_by_their_steps() {
    let home = tempdir().unwrap();
    let folder = home.path();
    run(folder, "my run");
    let checkpoints = owned(&[
        ("my-run", "my run/checkpoint-500"),
        ("my-run", "my run/checkpoint-1000"),
        ("my-run", "my run/checkpoint-1500"),
    ]);
    assert_eq!(models(folder), checkpoints);
    // The final model is the last version; what lies in other folders of it belongs to it.
    put(folder, "my run/config.json", "{}");
    put(folder, "my run/model.safetensors", safetensors(&["a", "b"]));
    put(folder, "my run/checkpoint-9/trainer_state.json", "{}");
    let all = [&checkpoints[..], &owned(&[("my-run", "my run")])].concat();
    assert_eq!(models(folder), all);
    let one = found(&folder.join("my run"));
    let names: Vec<&str> = one.models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["my-run"; 4]);
    assert_eq!(one.models[1].form, FoundForm::Checkpoint { step: 1000 });
    // As the shell names them.
    let one = found(&folder.join("my run/checkpoint-1000"));
    assert_eq!(one.models[0].name, "my-run");
    assert_eq!(one.models[0].form, FoundForm::Checkpoint { step: 1000 });
    // A run in a folder of a model.
    run(folder, "my run/more");
    let names: Vec<String> = models(folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[4..], ["my-run/more"; 3]);
}

/// Lays a folder into a cache as the library of the hub does: links into `blobs`.
fn cache(cache: &Path, repository: &str, revision: &str, files: &[(&str, Vec<u8>)]) {
    let root = cache.join(format!("models--{}", repository.replace('/', "--")));
    for (path, bytes) in files {
        let blob = root.join("blobs").join(format!("{revision}-{}", path.replace('/', "-")));
        let link = root.join("snapshots").join(revision).join(path);
        for path in [&blob, &link] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(&blob, bytes).unwrap();
        symlink(&blob, link).unwrap();
    }
    put(&root, "refs/main", revision);
}

#[test]
fn a_hub_cache_gives_repositories_with_their_revisions() {
    let home = tempdir().unwrap();
    let hub = home.path().join("hub");
    let files = |name: &str| {
        vec![("config.json", b"{}".to_vec()), ("model.safetensors", safetensors(&[name]))]
    };
    // `refs/main` is the newer one, whatever its name.
    cache(&hub, "org/tuned", "ffff", &files("a"));
    cache(&hub, "org/tuned", "0000", &files("b"));
    cache(&hub, "gpt2", "1234", &files("a"));
    let tokenizer = [("tokenizer.json", b"{}".to_vec())];
    cache(&hub, "org/words", "5678", &tokenizer);
    put(&hub, "models--org--tuned/.no_exist/ffff/missing.json", "");
    put(&hub, ".locks/models--gpt2/x.lock", "");
    put(&hub, "datasets--org--texts/snapshots/1/train.npy", "");
    put(&hub, "version.txt", "1");
    let expected = owned(&[
        ("gpt2", "hub/models--gpt2/snapshots/1234"),
        ("org/tuned", "hub/models--org--tuned/snapshots/ffff"),
        ("org/tuned", "hub/models--org--tuned/snapshots/0000"),
    ]);
    assert_eq!(models(home.path()), expected);
    let left: Vec<String> = left_out(&hub).into_iter().map(|(path, _)| path).collect();
    let words = "models--org--words/snapshots/5678/";
    assert_eq!(left, [".locks/", "datasets--org--texts/", words, "version.txt"]);
    // One repository, one revision.
    let tuned = hub.join("models--org--tuned");
    assert_eq!(found(&tuned).models.len(), 2);
    let one = found(&tuned.join("snapshots/ffff")).models;
    assert_eq!((one.len(), one[0].name.as_str()), (1, "org/tuned"));
    let source = ModelSource::open(&one[0].path).unwrap();
    assert_eq!(source.facts()["hub.revision"], "ffff");
}

#[test]
fn names_that_two_files_have_are_told_apart() {
    let home = tempdir().unwrap();
    let folder = home.path();
    put(folder, "m.safetensors", safetensors(&["a"]));
    put(folder, "m.h5", b"\x89HDF\r\n\x1a\n");
    put(folder, "sub/m.safetensors", safetensors(&["a"]));
    put(folder, "sub/m/model.safetensors", safetensors(&["a"]));
    let names: Vec<String> = models(folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["m.h5", "m.safetensors", "sub/m.safetensors", "sub/m"]);
}

#[test]
fn links_out_of_the_folder_and_in_circles_are_left_out() {
    let home = tempdir().unwrap();
    put(home.path(), "elsewhere/x.safetensors", safetensors(&["a"]));
    put(home.path(), "folder/sub/y.safetensors", safetensors(&["a"]));
    let folder = home.path().join("folder");
    symlink(home.path().join("elsewhere/x.safetensors"), folder.join("x.safetensors")).unwrap();
    symlink(&folder, folder.join("sub/again")).unwrap();
    symlink("nowhere", folder.join("z.safetensors")).unwrap();
    assert_eq!(models(&folder), owned(&[("sub/y", "sub/y.safetensors")]));
    let reasons = left_out(&folder);
    let paths: Vec<&str> = reasons.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["sub/again/", "x.safetensors", "z.safetensors"]);
    assert!(reasons[1].1.contains("leads out"), "{reasons:?}");
    let options = SourceOptions::new().follow_links(true);
    assert_eq!(models_in(&folder, &options).unwrap().models.len(), 2);
}
