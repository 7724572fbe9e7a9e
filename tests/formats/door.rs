//! Promise: what other programs read from a model's files is what the store has of them, tensors and
//! views, and every range of every file is what it was: after gc, repack and a clone too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mgit::interchange::{ModelSource, export_to_path};
use mgit::store::Repack;
use mgit::transfer::{self, Place, Selection};
use mgit::upkeep::{VerifyDepth, gc, gc_repack, verify};
use mgit::{Model, NewModel, Store};
use serde_json::Value;

use crate::common::sha256::sha256;
use crate::common::{Random, seed};
use crate::layout_reads::{Tensors, door, expected, json, large_door};

/// A model of the door: its name in the store, where it lies, and where its files lie.
struct Form {
    name: String,
    path: PathBuf,
    folder: PathBuf,
}

impl Form {
    fn new(name: &str, path: PathBuf) -> Self {
        let parent = || path.parent().unwrap().to_owned();
        let folder = if path.is_dir() { path.clone() } else { parent() };
        Form { name: name.replace('/', "-"), path, folder }
    }
}

/// The files below a folder that are models, or folders that are.
fn forms(door: &Path, are_none: &[&str]) -> Vec<Form> {
    let mut forms = Vec::new();
    for entry in fs::read_dir(door).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let about = [".py", ".json", ".md"].iter().any(|ending| name.ends_with(ending));
        if !about && !are_none.contains(&&*name) {
            forms.push(Form::new(&name, path));
        }
    }
    // Those in folders that are models of their own.
    for step in ["500", "1000", "1500"] {
        let path = format!("run/checkpoint-{step}");
        forms.push(Form::new(&path, door.join(&path)));
    }
    forms.push(Form::new("external/m.onnx", door.join("external/m.onnx")));
    forms.retain(|form| form.path.exists());
    forms.sort_by(|a, b| a.name.cmp(&b.name));
    forms
}

/// What a model in the store has, by file, under the names that the files give: type, shape, and
/// SHA-256 of the values in row-major order.
fn stored(model: &Model) -> BTreeMap<String, Tensors> {
    let (mut all, mut places) = (BTreeMap::<String, Tensors>::new(), BTreeMap::new());
    let own = |file: &str, name: &str| {
        name.strip_prefix(file).and_then(|it| it.strip_prefix(':')).unwrap_or(name).to_owned()
    };
    for file in model.files() {
        let tensors = all.entry(file.path().to_owned()).or_default();
        for (tensor, _) in file.tensors() {
            places.insert(tensor.name().to_owned(), file.path().to_owned());
            let hash = sha256(&tensor.view().unwrap());
            let entry = (tensor.dtype().to_string(), tensor.shape().dims().to_vec(), hash);
            let is_new = tensors.insert(own(file.path(), tensor.name()), entry).is_none();
            assert!(is_new, "{}", tensor.name());
        }
    }
    for view in model.named_views() {
        let file = &places[view.tensor().name()];
        let tensors = all.get_mut(file).unwrap();
        let hash = sha256(&view.bytes().unwrap());
        let entry = (view.dtype().to_string(), view.shape().dims().to_vec(), hash);
        assert!(tensors.insert(own(file, view.name()), entry).is_none(), "{}", view.name());
    }
    all
}

/// Holds the models of a store against their files, and against what the libraries read from them.
/// Counts the values that agree.
fn agree(store: &Store, root: &Path, forms: &[Form], list: &Value) -> usize {
    let snapshot = store.snapshot().unwrap();
    let mut random = Random(seed());
    let (mut count, mut held) = (0, BTreeSet::new());
    for form in forms {
        let model = snapshot.model(&*form.name).unwrap();
        for file in model.files() {
            let original = fs::read(form.folder.join(file.path())).unwrap();
            assert_eq!(file.byte_len(), original.len() as u64, "{} {}", form.name, file.path());
            let edges = file.tensors().flat_map(|(tensor, at)| [at, at + tensor.byte_len()]);
            let edges: Vec<u64> = edges.chain([original.len() as u64]).collect();
            let mut starts = vec![0];
            for _ in 0..8 {
                let edge = edges[random.below(edges.len())];
                starts.extend([edge.saturating_sub(1), random.below(original.len() + 1) as u64]);
            }
            for (at, start) in starts.into_iter().enumerate() {
                let rest = original.len() - start as usize;
                let len = if at == 0 { rest } else { rest.min(random.below(3000)) };
                let mut range = vec![0; len];
                file.read_at(start, &mut range).unwrap();
                let same = range == original[start as usize..][..len];
                assert!(same, "{} {} at {start}, {len} bytes", form.name, file.path());
            }
            let more = file.read_at(original.len() as u64, &mut [0]);
            assert!(more.is_err(), "{} {}", form.name, file.path());
        }
        let found = stored(&model);
        for path in found.keys() {
            let whole = form.folder.join(path);
            let key = whole.strip_prefix(root).unwrap().to_str().unwrap();
            let Some(list) = list.get(key).filter(|list| !list.is_null()) else { continue };
            held.insert(key.to_owned());
            let mut found = found[path].clone();
            // What an ONNX file has beside it are its tensors.
            if path.ends_with(".onnx") {
                found = stored(&model).into_values().flatten().collect();
            }
            for (name, wanted) in expected(list) {
                // A lone array has no name there.
                let name = if name.is_empty() { "array".to_owned() } else { name };
                if form.path.ends_with("legacy.bin") || form.path.ends_with("compressed.npz") {
                    assert!(found.is_empty(), "{key}: it is kept whole");
                    continue;
                }
                assert_eq!(found.get(&name), Some(&wanted), "{key} {name}");
                count += 1;
            }
        }
    }
    let all: BTreeSet<String> = list.as_object().unwrap().keys().cloned().collect();
    // The hub's cache is made where it is tested, of files that are here.
    let missing: Vec<&String> =
        all.difference(&held).filter(|key| !key.starts_with("cache/")).collect();
    assert!(missing.is_empty(), "nothing was held against {missing:?}");
    count
}

/// The models of a door through a store: held against their files and the list as they come in, and
/// after each thing that moves what is stored. Gives the number of values that agree.
fn goes_through(root: &Path, forms: &[Form], list: &Value) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path().join("models.mgit")).unwrap();
    for form in forms {
        let source = ModelSource::open(&form.path).unwrap();
        let mut transaction = store.begin_write().unwrap();
        // As they are: it is the repack below that makes differences of them, once.
        let model = NewModel::new(&form.name).source(&source).chain_depth_max(0);
        transaction.add_model(model).unwrap();
        transaction.commit().unwrap();
        let model = store.snapshot().unwrap().model(&*form.name).unwrap();
        let out = folder.path().join("out");
        export_to_path(&model, &out, &|_| ()).unwrap();
        if source.is_single() {
            assert!(fs::read(&out).unwrap() == fs::read(&form.path).unwrap(), "{}", form.name);
            fs::remove_file(&out).unwrap();
            continue;
        }
        for file in source.files() {
            let [from, to] = [&form.folder, &out].map(|folder| folder.join(file.path()));
            assert!(
                fs::read(from).unwrap() == fs::read(to).unwrap(),
                "{} {}",
                form.name,
                file.path()
            );
        }
        fs::remove_dir_all(&out).unwrap();
    }
    let count = agree(&store, root, forms, list);
    gc(&store).unwrap();
    assert_eq!(agree(&store, root, forms, list), count, "after gc");
    gc_repack(&store, &Repack::default(), &|_| ()).unwrap();
    assert_eq!(agree(&store, root, forms, list), count, "after a repack");
    let (bundle, near) = (folder.path().join("a.bundle"), Place::Store(store.path().to_owned()));
    transfer::bundle_create(&store, &bundle, Selection::ALL).unwrap();
    for (name, place) in [("from-store", near), ("from-bundle", Place::Bundle(bundle))] {
        let clone = Store::create(folder.path().join(name)).unwrap();
        transfer::pull(&clone, &place, Selection::ALL).unwrap();
        store = clone;
    }
    assert_eq!(agree(&store, root, forms, list), count, "a clone, by a bundle");
    let report = verify(&store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    count
}

#[test]
fn the_store_has_what_others_read_from_the_files_here() {
    let root = door("");
    let mut list = json(&root.join("expected-torch.json"));
    let more = json(&root.join("gguf_onnx.json"));
    let list_of = list.as_object_mut().unwrap();
    // An object's tensors have the names of its parts there.
    list_of.retain(|file, _| file != "torch-object.bin");
    list_of.extend(more.as_object().unwrap().clone());
    let count = goes_through(&root, &forms(&root, &[]), &list);
    assert!(count > 100, "{count}");
}

#[test]
fn the_store_has_what_others_read_from_the_files_of_the_large_door() {
    let Some(root) = large_door() else { return };
    let root = root.canonicalize().unwrap();
    let are_none = ["pointer.safetensors", "page.bin", "empty.pt"];
    for name in are_none {
        let error = ModelSource::open(root.join(name)).unwrap_err().to_string();
        let says = ["Git LFS pointer", "HTML page", "is empty"];
        assert!(says.iter().any(|what| error.contains(what)), "{name}: {error}");
    }
    let list = json(&root.join("expected.json"));
    let count = goes_through(&root, &forms(&root, &are_none), &list);
    println!("{count} tensors and views agree");
    assert!(count > 800, "{count}");
}
