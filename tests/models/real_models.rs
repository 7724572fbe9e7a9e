//! Promise: real models go in with their lineage, take a fraction of their room, and come out byte
//! for byte.
//!
//! The models are those beside the project, which a clone does not have: it skips. Whole models are
//! taken from the folder that `MGIT_MODELS` names, if it does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::common::{add, assert_rows_add_up, folder, write};
use mgit::interchange::{ModelSource, export_to_path, export_to_stream};
use mgit::merge::{Class, Merge, MergeOptions, Resolution, functions};
use mgit::model_tests::RunOptions;
use mgit::update::{Functions, Strategy, remake};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Store};

/// A member of a family, as `lineage.json` lists it.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) parent: Option<String>,
    pub(super) how: How,
}

/// The members of the family in `folder`, each behind its parent.
pub(super) fn members(folder: &Path) -> Vec<Member> {
    let text = fs::read(folder.join("lineage.json")).unwrap();
    let family: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let mut waiting: Vec<Member> = Vec::new();
    for member in family["members"].as_array().unwrap() {
        let text = |key: &str| member[key].as_str().map(str::to_owned);
        let how = text("how").unwrap();
        let how = match how.as_str() {
            how if how.contains("cast") => How::Cast,
            how if how.contains("LoRA") => How::LoraMerge,
            how if how.contains("int8") => How::Quantise,
            _ => How::FineTune,
        };
        let (name, file) = (text("name").unwrap(), folder.join(text("file").unwrap()));
        waiting.push(Member { name, file, parent: text("parent"), how });
    }
    let mut sorted: Vec<Member> = Vec::new();
    while !waiting.is_empty() {
        let known = |parent: &String| sorted.iter().any(|member| member.name == *parent);
        let ready = waiting.iter().position(|m| m.parent.as_ref().is_none_or(known));
        sorted.push(waiting.remove(ready.expect("a family without a cycle")));
    }
    sorted
}

/// Imports a family, compares every export with its file, and gives sizes: files, store.
fn round_trip(what: &str, members: &[Member]) -> (u64, u64) {
    let home = folder();
    let path = home.path().join("models.mgit");
    let store = Store::create(&path).unwrap();
    for member in members {
        let file = ModelSource::open(&member.file).unwrap();
        let new = NewModel::new(&member.name).metadata("from", what);
        let new = member.parent.iter().fold(new, |new, parent| new.parent(parent, member.how));
        let report = add(&store, new.source(&file)).unwrap();
        assert_eq!(report.node.logical_bytes(), fs::metadata(&member.file).unwrap().len());
    }
    drop(store);
    // One handle, and one that has checked nothing yet for each export.
    for member in members {
        let snapshot = Store::open_read_only(&path).unwrap().snapshot().unwrap();
        let model = snapshot.model(&member.name).unwrap();
        let out = home.path().join("out.safetensors");
        export_to_path(&model, &out, &|_| {}).unwrap();
        let original = fs::read(&member.file).unwrap();
        assert!(fs::read(&out).unwrap() == original, "{} differs", member.name);
        let mut stream = Vec::new();
        export_to_stream(&model, &mut stream, &|_| {}).unwrap();
        assert!(stream == original, "{} differs as a stream", member.name);
        let graph = snapshot.graph();
        let parents = graph.parents(model.node().id()).unwrap();
        let name =
            |edge: &mgit::lineage::Edge| graph.expect(edge.parent).unwrap().name().to_owned();
        assert_eq!(parents.first().map(name), member.parent);
    }
    let logical: u64 = members.iter().map(|m| fs::metadata(&m.file).unwrap().len()).sum();
    let stored = fs::metadata(&path).unwrap().len();
    let ratio = logical as f64 / stored as f64;
    println!("{what}: {} models, {logical} bytes in {stored}, ratio {ratio:.3}", members.len());

    let store = Store::open(&path).unwrap();
    assert_rows_add_up(&store.snapshot().unwrap(), what);
    for member in members {
        write(&store, |t| t.remove_model(&member.name, OnChildren::Reparent)).unwrap();
        assert_rows_add_up(&store.snapshot().unwrap(), &member.name);
    }
    assert!(common::tensor_rows(&store.snapshot().unwrap()).is_empty());
    (logical, stored)
}

/// The families beside the project, or `None` in a clone.
pub(super) fn lineages() -> Option<PathBuf> {
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let project = project.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let folder = project.join("../shared/lineages");
    if !folder.is_dir() {
        println!("skipped: ../shared/lineages is absent");
        return None;
    }
    Some(folder)
}

/// The folder of unpacked models that `MGIT_MODELS` names.
fn whole_models() -> Option<PathBuf> {
    let unpacked = std::env::var_os("MGIT_MODELS").map(PathBuf::from);
    if unpacked.is_none() {
        println!("skipped: MGIT_MODELS does not name a folder of unpacked models");
    }
    unpacked
}

#[test]
fn the_starter_family_comes_back() {
    let Some(folder) = lineages() else { return };
    let (logical, stored) = round_trip("starter", &members(&folder.join("starter")));
    assert!(stored < logical, "{stored} for {logical}");
}

#[test]
fn the_slices_come_back() {
    let Some(folder) = lineages() else { return };
    let (logical, stored) = round_trip("slices", &members(&folder.join("slices")));
    assert!(stored < logical, "{stored} for {logical}");
}

/// A diff reads the layer that changed, in both models, and no other byte of 2 x 90 MB.
#[test]
fn a_diff_of_whole_models_reads_the_layer_that_changed() {
    const LAYER: &str = "encoder.layer.3.";
    let Some(folder) = whole_models() else { return };
    let file = ModelSource::open(folder.join("minilm-base.safetensors")).unwrap();
    let home = common::folder();
    let store = Store::create(home.path().join("models.mgit")).unwrap();
    add(&store, NewModel::new("base").source(&file)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let base = snapshot.model("base").unwrap();
    let (mut bytes, mut layer) = (Vec::new(), 0);
    for tensor in base.tensors() {
        let mut content = tensor.view().unwrap().to_vec();
        if tensor.name().contains(LAYER) {
            layer += content.len() as u64;
            content.iter_mut().step_by(4).for_each(|byte| *byte ^= 1);
        }
        bytes.push((
            tensor.name().to_owned(),
            tensor.dtype().clone(),
            tensor.shape().clone(),
            content,
        ));
    }
    let tuned =
        bytes.iter().fold(NewModel::new("tuned"), |model, (name, dtype, shape, content)| {
            model.tensor(NewTensor::from_bytes(name, dtype.clone(), shape.clone(), content))
        });
    add(&store, tuned.parent("base", How::FineTune)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let [a, b] = ["base", "tuned"].map(|name| snapshot.model(name).unwrap());
    let found = mgit::diff::diff(&a, &b).unwrap();
    let whole: u64 = bytes.iter().map(|(.., content)| content.len() as u64).sum();
    println!("{} bytes read of two models of {whole}; the layer has {layer}", found.bytes_read);
    assert_eq!(found.bytes_read, 2 * layer);
    assert!(layer > 1 << 20 && layer < whole / 10);
}

#[test]
fn whole_models_come_back() {
    let Some(unpacked) = whole_models() else { return };
    let Some(folder) = lineages() else { return };
    let mut members = members(&folder.join("full"));
    for member in &mut members {
        member.file = unpacked.join(member.file.file_name().unwrap());
    }
    let adapter = folder.join("full/minilm-B-lora-adapter.safetensors");
    if adapter.is_file() {
        let (name, parent) = ("minilm-B-lora-adapter".to_owned(), Some("minilm-base".to_owned()));
        members.push(Member { name, file: adapter, parent, how: How::Other });
    }
    let (logical, stored) = round_trip("full", &members);
    assert!(stored < logical, "{stored} for {logical}");
}

/// How the tensors of a model are stored: with a formula and nothing else, and in any other way
/// (those that it shares with a parent left out).
fn formulas(store: &Store, model: &str, parent: &str) -> (Vec<&'static str>, Vec<String>) {
    let snapshot = store.snapshot().unwrap();
    let parent = snapshot.model(parent).unwrap();
    let shared = |id| parent.manifest().tensors.iter().any(|tensor| tensor.content_id == id);
    let (mut made, mut others) = (Vec::new(), Vec::new());
    for tensor in snapshot.model(model).unwrap().tensors() {
        let stored = tensor.stored_as().unwrap();
        match stored.formula {
            _ if shared(tensor.content_id()) => {}
            Some(formula) if stored.stored_len == 0 => made.push(formula),
            _ => others.push(format!("{} {}", tensor.name(), stored.encoding_names())),
        }
    }
    (made, others)
}

/// Adds the model that `work` makes of the values of every F32 tensor that all parents have.
fn add_made(
    store: &Store,
    name: &str,
    parents: &[&str],
    dtype: &Dtype,
    work: &dyn Fn(&[&[f32]]) -> Vec<u8>,
) {
    let snapshot = store.snapshot().unwrap();
    let models: Vec<_> = parents.iter().map(|parent| snapshot.model(parent).unwrap()).collect();
    let mut made = Vec::new();
    for tensor in models[0].tensors().filter(|tensor| *tensor.dtype() == Dtype::F32) {
        if models.iter().any(|model| model.tensor(tensor.name()).is_err()) {
            continue;
        }
        let of = |model: &mgit::store::Model| model.tensor(tensor.name()).unwrap().view().unwrap();
        let views: Vec<_> = models.iter().map(of).collect();
        let values: Vec<&[f32]> = views.iter().map(|view| view.as_slice().unwrap()).collect();
        made.push((tensor.name().to_owned(), tensor.shape().clone(), work(&values)));
    }
    let mut model = NewModel::new(name);
    for parent in parents {
        model = model.parent(*parent, How::Merge);
    }
    for (name, shape, bytes) in &made {
        let tensor = NewTensor::from_bytes(name, dtype.clone(), shape.clone(), bytes);
        model = model.tensor(tensor);
    }
    add(store, model).unwrap();
    let snapshot = store.snapshot().unwrap();
    for (tensor, (_, _, bytes)) in snapshot.model(name).unwrap().tensors().zip(&made) {
        assert!(*tensor.view().unwrap() == **bytes, "{name} {}", tensor.name());
    }
}

/// Adds a copy of `model` with one bit wrong in every tensor that `formula` alone made: how many
/// there are, their bytes, and what the copies take.
fn one_bit_off(store: &Store, model: &str, formula: &str, parents: &[&str]) -> (usize, u64, u64) {
    let snapshot = store.snapshot().unwrap();
    let mut tensors = Vec::new();
    for tensor in snapshot.model(model).unwrap().tensors() {
        let stored = tensor.stored_as().unwrap();
        if stored.formula == Some(formula) && stored.stored_len == 0 {
            let mut bytes = tensor.view().unwrap().to_vec();
            let middle = bytes.len() / 8 * 4;
            bytes[middle] ^= 1;
            let (dtype, shape) = (tensor.dtype().clone(), tensor.shape().clone());
            tensors.push((tensor.name().to_owned(), dtype, shape, bytes));
        }
    }
    let name = format!("near-{model}");
    let new = tensors.iter().fold(NewModel::new(&name), |new, (name, dtype, shape, bytes)| {
        new.tensor(NewTensor::from_bytes(name, dtype.clone(), shape.clone(), bytes))
    });
    let new = parents.iter().fold(new, |new, parent| new.parent(*parent, How::Merge));
    add(store, new).unwrap();
    let (mut len, mut stored_len) = (0, 0);
    let snapshot = store.snapshot().unwrap();
    for (tensor, (.., bytes)) in snapshot.model(&name).unwrap().tensors().zip(&tensors) {
        assert!(*tensor.view().unwrap() == **bytes, "{name} {}", tensor.name());
        let stored = tensor.stored_as().unwrap();
        assert!(stored.stored_len > 0 && stored.base.is_some(), "{name} {}", tensor.name());
        (len, stored_len) = (len + tensor.byte_len(), stored_len + stored.stored_len);
    }
    (tensors.len(), len, stored_len)
}

#[test]
fn what_a_formula_makes_of_real_models_costs_a_row() {
    let Some(folder) = lineages() else { return };
    let home = common::folder();
    let store = Store::create(home.path().join("models.mgit")).unwrap();
    let import = |name: &str, file: &str, parents: &[&str]| {
        let file = ModelSource::open(folder.join(file)).unwrap();
        let model = NewModel::new(name).source(&file);
        let model = parents.iter().fold(model, |m, parent| m.parent(*parent, How::Other));
        add(&store, model).unwrap();
    };
    let slice = |name: &str| format!("slices/minilm-slice-{name}.safetensors");
    import("base", &slice("base"), &[]);
    for sibling in ["A-v1", "B-v1", "C-v1"] {
        import(sibling, &slice(sibling), &["base"]);
    }
    let floats = |values: Vec<f32>| mgit::bytemuck::cast_slice::<f32, u8>(&values).to_vec();
    let each = |values: &[&[f32]], work: &dyn Fn([f32; 3]) -> f32| -> Vec<f32> {
        (0..values[0].len()).map(|at| work([0, 1, 2].map(|model| values[model][at]))).collect()
    };
    add_made(&store, "bf16", &["base"], &Dtype::Bf16, &|values| {
        values[0].iter().flat_map(|v| mgit::half::bf16::from_f32(*v).to_le_bytes()).collect()
    });
    add_made(&store, "f16", &["base"], &Dtype::F16, &|values| {
        values[0].iter().flat_map(|v| mgit::half::f16::from_f32(*v).to_le_bytes()).collect()
    });
    add_made(&store, "pruned", &["base"], &Dtype::F32, &|values| {
        let mut sorted: Vec<f32> = values[0].iter().map(|v| v.abs()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let median = sorted[(sorted.len() - 1) / 2];
        floats(values[0].iter().map(|v| if v.abs() <= median { 0.0 } else { *v }).collect())
    });
    let siblings = ["A-v1", "B-v1", "C-v1"];
    add_made(&store, "soup", &siblings, &Dtype::F32, &|values| {
        floats(each(values, &|[a, b, c]| (a + b + c) / 3.0))
    });
    add_made(&store, "task", &["B-v1", "A-v1", "base"], &Dtype::F32, &|values| {
        floats(each(values, &|[a, b, c]| a + (b - c)))
    });
    let adapter = "full/minilm-B-lora-adapter.safetensors";
    let with_adapter = folder.join(adapter).is_file();
    for (name, formula, parent) in [
        ("bf16", "cast", "base"),
        ("f16", "cast", "base"),
        ("pruned", "prune", "base"),
        ("soup", "mean", "A-v1"),
        ("task", "task-vector", "B-v1"),
    ] {
        let (made, others) = formulas(&store, name, parent);
        println!("{name}: {} tensors by {formula}, others {others:?}", made.len());
        assert!(made.iter().all(|found| *found == formula) && made.len() > 6, "{name} {made:?}");
    }
    import("int8", &slice("base-int8"), &["base"]);
    let (made, _) = formulas(&store, "int8", "base");
    println!("int8: {} tensors by {:?}", made.len(), made.first());
    assert!(!made.is_empty() && made.iter().all(|found| *found == "absmax-int8"), "{made:?}");
    if with_adapter {
        import("adapter", adapter, &[]);
        import("lora", &slice("B-lora-merged"), &["base", "adapter"]);
        let (made, others) = formulas(&store, "lora", "base");
        println!("lora: {} tensors by {:?}, others {others:?}", made.len(), made.first());
        assert!(others.is_empty() && made.iter().all(|found| *found == "lora"), "{made:?}");
    }
    // Wrong by one bit in every tensor that a formula made: a difference, which costs little.
    let mut made_by: Vec<(&str, &str, &[&str])> = vec![
        ("bf16", "cast", &["base"]),
        ("f16", "cast", &["base"]),
        ("pruned", "prune", &["base"]),
        ("soup", "mean", &siblings),
        ("task", "task-vector", &["B-v1", "A-v1", "base"]),
        ("int8", "absmax-int8", &["base"]),
    ];
    if with_adapter {
        made_by.push(("lora", "lora", &["base", "adapter"]));
    }
    for (name, formula, parents) in made_by {
        let (tensors, bytes, near) = one_bit_off(&store, name, formula, parents);
        println!("| {name} | {formula} | {tensors} | {bytes} | 0 | {near} |",);
        assert!(tensors > 0 && near > 0 && near < bytes / 20, "{name}: {near} for {bytes}");
    }
    assert_rows_add_up(&store.snapshot().unwrap(), "formulas");
    // Their parents gone, they are what they were.
    let before = common::contents(&store.snapshot().unwrap()).unwrap();
    for name in ["base", "A-v1", "B-v1"] {
        write(&store, |t| t.remove_model(name, OnChildren::Detach)).unwrap();
        assert_rows_add_up(&store.snapshot().unwrap(), name);
    }
    for (name, tensors) in common::contents(&store.snapshot().unwrap()).unwrap() {
        assert!(before[&name] == tensors, "{name}");
    }
}

/// Two fine-tunes of one base, merged by each strategy, with what each takes.
fn merge_of_two(what: &str, folder: &Path, files: [&str; 3]) {
    let home = common::folder();
    let path = home.path().join("models.mgit");
    let store = Store::create(&path).unwrap();
    for (name, file) in ["base", "a", "b"].iter().zip(files) {
        let file = ModelSource::open(folder.join(file)).unwrap();
        let new = NewModel::new(*name);
        let new = if *name == "base" { new } else { new.parent("base", How::FineTune) };
        add(&store, new.source(&file)).unwrap();
    }
    let plan = Merge::new("a", "b", "m").plan(&store.snapshot().unwrap()).unwrap();
    let count = |class| plan.count(class);
    let (conflicts, possible) = (count(Class::Conflict), count(Class::Possible));
    println!("{what}: {conflicts} conflicts, {possible} possible, {} unchanged", plan.unchanged);
    assert!(conflicts + possible > 0);
    let mut all = vec![Resolution::Ours, Resolution::Theirs];
    all.extend(Strategy::ALL.map(Resolution::Blend));
    for resolution in all {
        let options = MergeOptions { on_conflict: Some(resolution), ..MergeOptions::default() };
        let merge = Merge::new("a", "b", format!("m-{resolution}")).options(options);
        let started = std::time::Instant::now();
        let merged = merge.run(&store, RunOptions::default()).unwrap();
        let (logical, added) = (merged.report.node.logical_bytes(), merged.report.added_bytes);
        let seconds = started.elapsed().as_secs_f64();
        println!("{what} {resolution}: {logical} bytes in {added} more, {seconds:.1} s");
        assert!(added < logical, "{resolution}");
        let model = store.snapshot().unwrap().model(merged.report.node.full_name()).unwrap();
        for tensor in model.tensors().filter(|tensor| *tensor.dtype() == Dtype::F32) {
            let view = tensor.view().unwrap();
            assert!(view.as_slice::<f32>().unwrap().iter().all(|value| value.is_finite()));
        }
        let remade = remake(&model, &functions(Functions::new())).unwrap();
        assert_eq!(remade.differences(&model).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn two_slices_of_fine_tunes_are_merged_by_each_strategy() {
    let Some(folder) = lineages() else { return };
    let name = |name: &str| format!("minilm-slice-{name}.safetensors");
    let files = [name("base"), name("A-v1"), name("B-v1")];
    merge_of_two("slices", &folder.join("slices"), files.each_ref().map(String::as_str));
}

#[test]
fn two_whole_fine_tunes_are_merged_by_each_strategy() {
    let Some(folder) = whole_models() else { return };
    let name = |name: &str| format!("minilm-{name}.safetensors");
    let files = [name("base"), name("A-v1"), name("B-lora-merged")];
    merge_of_two("whole", &folder, files.each_ref().map(String::as_str));
}

#[test]
fn a_look_alike_is_no_relative() {
    let Some(folder) = lineages() else { return };
    let (_home, _, store) = common::new_store();
    let import = |folder: &Path, name: &str| {
        let file = ModelSource::open(folder.join(format!("{name}.safetensors"))).unwrap();
        add(&store, NewModel::new(name).source(&file)).unwrap()
    };
    import(&folder.join("starter"), "ani-1x-m0");
    let report = import(&folder.join("slices"), "ani-1x-m1");
    assert_eq!(report.delta, 0, "member 1 stands on nothing of member 0: {report:?}");
    assert!(import(&folder.join("slices"), "ani-1ccx-m1").delta > 0);
    let snapshot = store.snapshot().unwrap();
    let strangers = snapshot.model("ani-1x-m0").unwrap();
    let strangers: Vec<_> = strangers.tensors().map(|tensor| tensor.content_id()).collect();
    for tensor in snapshot.model("ani-1ccx-m1").unwrap().tensors() {
        let base = tensor.stored_as().unwrap().base;
        assert!(base.is_none_or(|base| !strangers.contains(&base)), "{}", tensor.name());
    }
}
