//! Promise: models that are made have the files beside the weights of what they are made of; where
//! two sides have different ones, that is said; a diff tells which are not the same.

use std::fs;
use std::path::Path;

use mgit::diff::{Change, diff_files};
use mgit::interchange::ModelSource;
use mgit::merge::Merge;
use mgit::model_tests::{CommandTrust, RunOptions};
use mgit::update::{CommandFunction, Functions, Make};
use mgit::{How, Model, NewModel, NewTensor, Store};

use crate::common::{new_store, stored_model, write};

/// A safetensors file of two tensors of one number each.
fn weights(values: [f32; 2]) -> Vec<u8> {
    let store = new_store();
    let [a, b] = values.map(|value| vec![value]);
    let model = NewModel::new("m")
        .tensor(NewTensor::from_vec("a.weight", [1], a))
        .tensor(NewTensor::from_vec("b.weight", [1], b));
    write(&store.2, |transaction| transaction.add_model(model).map(drop)).unwrap();
    let mut bytes = Vec::new();
    mgit::interchange::export_to_stream(&stored_model(&store.2, "m"), &mut bytes, &|_| ()).unwrap();
    bytes
}

fn import(store: &Store, home: &Path, name: &str, parent: Option<&str>, files: &[(&str, &[u8])]) {
    let folder = home.join(format!("in-{name}"));
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let source = ModelSource::open(&folder).unwrap();
    let model = NewModel::new(name).source(&source);
    let model = parent.into_iter().fold(model, |model, parent| model.parent(parent, How::FineTune));
    write(store, |transaction| transaction.add_model(model).map(drop)).unwrap();
}

fn file(model: &Model, path: &str) -> Vec<u8> {
    model.file(path).unwrap().bytes(1 << 20).unwrap()
}

fn paths(model: &Model) -> Vec<String> {
    model.files().map(|file| file.path().to_owned()).collect()
}

#[test]
fn a_merge_keeps_our_files_and_says_what_theirs_has_changed() {
    let (home, _, store) = new_store();
    let home = home.path();
    let all = |values, config: &'static str, more: &'static str| {
        [
            ("model.safetensors", weights(values)),
            ("config.json", config.as_bytes().to_vec()),
            ("vocab.txt", b"a b c".to_vec()),
            (more, b"more".to_vec()),
        ]
    };
    for (name, parent, files) in [
        ("base", None, all([1.0, 2.0], "{}", "same.txt")),
        ("ours", Some("base"), all([1.5, 2.0], "{\"a\": 1}", "same.txt")),
        ("theirs", Some("base"), all([1.0, 2.5], "{\"a\": 2}", "new.txt")),
    ] {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, it)| (*path, &**it)).collect();
        import(&store, home, name, parent, &files);
    }
    let changes =
        diff_files(&stored_model(&store, "base"), &stored_model(&store, "theirs")).unwrap();
    let found: Vec<_> = changes.iter().map(|file| (file.path.as_str(), file.change)).collect();
    assert_eq!(
        found,
        [
            ("config.json", Some(Change::Changed)),
            ("new.txt", Some(Change::Added)),
            ("same.txt", Some(Change::Removed)),
            ("vocab.txt", None),
        ]
    );
    assert_eq!((changes[0].from_bytes, changes[0].to_bytes), (Some(2), Some(8)));

    let merged = Merge::new("ours", "theirs", "merged").run(&store, RunOptions::default()).unwrap();
    let model = stored_model(&store, "merged");
    assert_eq!(paths(&model), ["model.safetensors", "config.json", "same.txt", "vocab.txt"]);
    assert_eq!(file(&model, "config.json"), b"{\"a\": 1}");
    let value =
        |name: &str| model.tensor(name).unwrap().view().unwrap().as_slice::<f32>().unwrap()[0];
    assert_eq!((value("a.weight"), value("b.weight")), (1.5, 2.5));
    let notes: Vec<&str> = merged.report.notes.iter().map(|note| note.text.as_str()).collect();
    for said in [
        "config.json: it is that of ours@1; theirs@1 has changed it, as ours@1 has in another way",
        "new.txt: left behind: only theirs@1 has it",
        "same.txt: it is that of ours@1; theirs@1 has removed it",
    ] {
        assert!(notes.contains(&said), "{said}: {notes:?}");
    }
}

/// Files that a side has removed are in no merged model, and what is said of them is true.
#[test]
fn a_merge_says_of_files_what_each_side_did_and_of_many_of_the_first() {
    let (home, _, store) = new_store();
    let side = |name: &str, values, others: &[(&str, &str)]| {
        let bytes = weights(values);
        let mut files: Vec<(&str, &[u8])> = vec![("model.safetensors", &bytes)];
        files.extend(others.iter().map(|(path, text)| (*path, text.as_bytes())));
        let parent = (name != "base" && name != "next").then_some("base");
        import(&store, home.path(), name, parent, &files);
    };
    let base = [("by_ours.txt", "0"), ("by_theirs.txt", "0"), ("config.json", "{}")];
    side("base", [1.0, 2.0], &base);
    side("ours", [1.5, 2.0], &[("by_theirs.txt", "1"), ("both.txt", "1"), ("config.json", "{}")]);
    let changed = [("both.txt", "2"), ("by_ours.txt", "2"), ("config.json", "{ }")];
    side("theirs", [1.0, 2.5], &changed);
    let expected = [
        "both.txt: it is that of ours@1; theirs@1 has added it, as ours@1 has in another way",
        "by_ours.txt: left behind: ours@1 has removed it, and theirs@1 has changed it",
        "by_theirs.txt: it is that of ours@1, which has changed it; theirs@1 has removed it",
        "config.json: it is that of ours@1; theirs@1 has changed it",
    ];
    let plan = |theirs: &str| {
        let plan = Merge::new("ours", theirs, "merged").plan(&store.snapshot().unwrap()).unwrap();
        plan.files_passed_over().unwrap()
    };
    assert_eq!(plan("theirs"), expected);
    let run = Merge::new("ours", "theirs", "merged").run(&store, RunOptions::default());
    let notes: Vec<String> = run.unwrap().report.notes.into_iter().map(|it| it.text).collect();
    assert!(expected.iter().all(|said| notes.iter().any(|note| note == said)), "{notes:?}");
    let merged = stored_model(&store, "merged");
    assert_eq!(paths(&merged), ["model.safetensors", "both.txt", "by_theirs.txt", "config.json"]);
    // A rebase says the same, by names.
    side("next", [3.0, 2.0], &[("by_ours.txt", "2"), ("config.json", "{}")]);
    let make = Make::new("ours", "rebase").parent("next", None).old("ours@1");
    let notes = make.run(&store, &Functions::new()).unwrap().notes;
    let notes: Vec<String> = notes.into_iter().map(|note| note.text).collect();
    assert_eq!(
        notes,
        [
            "by_ours.txt: left behind: ours@1 has removed it, and next@1 has changed it",
            "by_theirs.txt: it is that of ours@1, which has changed it; next@1 has removed it",
        ]
    );
    // Many.
    let names: Vec<String> = (0..30).map(|at| format!("more/{at:02}.txt")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    side("many", [1.0, 2.5], &[&base[..], &many].concat());
    let said = plan("many");
    assert_eq!((said.len(), said[20].as_str()), (21, "and 10 more files beside the weights"));
    assert_eq!(said[0], "more/00.txt: left behind: only many@1 has it");
}

#[test]
fn what_a_command_makes_is_a_folder_or_has_its_parents_files() {
    let (home, _, store) = new_store();
    let files: [(&str, &[u8]); 3] = [
        ("model.safetensors", &weights([1.0, 2.0])),
        ("config.json", b"{}"),
        ("sub/more.json", b"{ }"),
    ];
    import(&store, home.path(), "base", None, &files);
    let new = weights([3.0, 4.0]);
    fs::write(home.path().join("new.safetensors"), &new).unwrap();
    let door = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/door");
    let functions =
        Functions::new().with("command", CommandFunction::new(CommandTrust::Everything));
    let make = |name: &str, command: &str| {
        let made = Make::new(name, "command").parent("base", None).command(command);
        let report = made.run(&store, &functions).unwrap();
        let notes: Vec<String> = report.notes.into_iter().map(|note| note.text).collect();
        (stored_model(&store, name), notes)
    };
    let (whole, notes) = make("whole", "cp -r {folder} {out}");
    assert_eq!(paths(&whole), ["model.safetensors", "config.json", "sub/more.json"]);
    assert!(notes.is_empty(), "{notes:?}");
    let (bare, notes) =
        make("bare", &format!("cp {}/new.safetensors {{out}}", home.path().display()));
    assert_eq!(paths(&bare), ["model.safetensors", "config.json", "sub/more.json"]);
    assert_eq!(file(&bare, "model.safetensors"), new);
    assert_eq!(notes, ["from base@1 come along: config.json, sub/more.json"]);
    let (torch, _) = make("torch", &format!("cp {door}/torch-tensor.pt {{out}}"));
    assert_eq!(paths(&torch), ["model.pt", "config.json", "sub/more.json"]);
    // A file that holds all of a model is no part of the folder.
    let (gguf, notes) = make("gguf", &format!("cp {door}/tiny-q8.gguf {{out}}"));
    assert_eq!(paths(&gguf), ["out.gguf"]);
    assert!(notes[0].contains("stay there: what was made is one gguf file"), "{notes:?}");
    // By role, and from a single file.
    let made = Make::new("again", "command").parent("bare", None).parent("gguf", None);
    let made = made.command("cp {folder:gguf}/out.gguf {out}").run(&store, &functions).unwrap();
    assert_eq!(made.node.full_name(), "again@1");
    assert_eq!(
        diff_files(&bare, &whole).unwrap().iter().filter(|it| it.change.is_some()).count(),
        0
    );
}

#[test]
fn what_is_mixed_of_several_has_the_first_one_s_files_and_says_what_the_others_have() {
    let (home, _, store) = new_store();
    let more: Vec<(String, Vec<u8>)> =
        (0..11).map(|at| (format!("more/{at:02}.txt"), vec![at])).collect();
    for (name, values, config, lone) in [
        ("a", [1.0, 2.0], "{}", ""),
        ("b", [3.0, 4.0], "{ }", "added_tokens.json"),
        ("c", [5.0, 6.0], "{}", ""),
    ] {
        let bytes = weights(values);
        let mut files: Vec<(&str, &[u8])> = vec![
            ("model.safetensors", &bytes),
            ("config.json", config.as_bytes()),
            ("vocab.txt", b"a b c"),
        ];
        if !lone.is_empty() {
            files.push((lone, b"{}"));
        }
        if name == "c" {
            files.extend(more.iter().map(|(path, bytes)| (path.as_str(), &**bytes)));
        }
        import(&store, home.path(), name, None, &files);
    }
    let said = |name: &str, function: &str, parents: &[&str]| {
        let make = Make::new(name, function);
        let make = parents.iter().fold(make, |make, parent| make.parent(*parent, None));
        let notes = make.run(&store, &Functions::new()).unwrap().notes;
        notes.into_iter().map(|note| note.text).collect::<Vec<_>>()
    };
    let of_b = [
        "taken from a@1, and otherwise in b@1: config.json",
        "left behind, only b@1 has them: added_tokens.json",
    ];
    let of_c = "left behind, only c@1 has them: more/00.txt, more/01.txt, more/02.txt, \
                more/03.txt, more/04.txt, more/05.txt, more/06.txt, more/07.txt and 3 more";
    let notes = said("mean", "average", &["a", "b", "c"]);
    assert_eq!(notes, [of_b[0], of_b[1], of_c]);
    assert_eq!(file(&stored_model(&store, "mean"), "config.json"), b"{}");
    assert_eq!(said("line", "linear", &["a", "b"]), of_b);
    // The base gives no files.
    assert_eq!(said("task", "task-arithmetic", &["c", "a", "b"]), of_b);
}

#[test]
fn a_rebase_says_what_the_parent_s_new_version_has_beside_its_weights() {
    let (home, _, store) = new_store();
    for (name, parent, values, config) in
        [("base", None, [1.0, 2.0], "{}"), ("child", Some("base"), [1.0, 2.5], "{}")]
    {
        let bytes = weights(values);
        let files: [(&str, &[u8]); 2] =
            [("model.safetensors", &bytes), ("config.json", config.as_bytes())];
        import(&store, home.path(), name, parent, &files);
    }
    let bytes = weights([1.5, 2.0]);
    import(
        &store,
        home.path(),
        "next",
        None,
        &[("model.safetensors", &bytes), ("config.json", b"{\"new\": 1}")],
    );
    let make = Make::new("child", "rebase").parent("next", None).old("child@1");
    let notes = make.run(&store, &Functions::new()).unwrap().notes;
    let notes: Vec<String> = notes.into_iter().map(|note| note.text).collect();
    assert_eq!(notes, ["config.json: it is that of child@1; next@1 has changed it"]);
}

#[test]
fn only_tensors_of_the_weights_are_named_to_functions() {
    let (home, _, store) = new_store();
    let door = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/door/torch-nested.ckpt");
    let state = fs::read(door).unwrap();
    for (name, values) in [("a", [1.0, 2.0]), ("b", [3.0, 4.0])] {
        let bytes = weights(values);
        let files: [(&str, &[u8]); 2] = [("model.safetensors", &bytes), ("optimizer.pt", &state)];
        import(&store, home.path(), name, None, &files);
    }
    let made = |function: &str, parents: &[&str], key: &str, value: serde_json::Value| {
        let make = Make::new("made", function).parameter(key, value);
        let make = match function {
            "prune" => make.parameter("sparsity", 0.5),
            "quantise" => make.parameter("to", "int8"),
            _ => make,
        };
        let make = parents.iter().fold(make, |make, parent| make.parent(*parent, None));
        mgit::full_message(&make.run(&store, &Functions::new()).unwrap_err())
    };
    let beside = "\"*exp_avg\" fits tensors of optimizer.pt only, which is beside the weights: \
                  functions do not work on it";
    for (function, key) in [("prune", "tensors"), ("quantise", "tensors"), ("quantise", "keep")] {
        let error = made(function, &["a"], key, "*exp_avg".into());
        assert!(error.ends_with(beside), "{function} {key}: {error}");
    }
    for function in ["average", "linear"] {
        for (key, value) in [("tensors", "*exp_avg"), ("take", "*exp_avg=b")] {
            let error = made(function, &["a", "b"], key, value.into());
            assert!(error.ends_with(beside), "{function} {key}: {error}");
        }
    }
    let error = made("prune", &["a"], "tensors", serde_json::json!([]));
    assert!(error.ends_with("the list names no tensor to work on"), "{error}");
    let error = made("prune", &["a"], "tensors", serde_json::json!(["*", "*exp_avg"]));
    assert!(error.ends_with(beside), "{error}");
}
