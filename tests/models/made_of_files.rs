//! Promise: what a function makes of a model in files works on all of its weights, wherever they lie, or
//! is refused with the reason; no tensor is lost without a word, and no file is made that no library
//! opens.

use std::fs;
use std::path::Path;

use mgit::interchange::{FileFormat, ModelSource};
use mgit::model_tests::{Builtin, RunOptions, Runner, Status, Test, What};
use mgit::store::NewView;
use mgit::update::{Functions, Make};
use mgit::{Dtype, Model, NewModel, NewPart, NewTensor, Shape, Store};

use crate::common::{new_store, stored_model, write};

fn door(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door").join(name)
}

fn import(store: &Store, name: &str, path: &Path) {
    let source = ModelSource::open(path).unwrap();
    write(store, |t| t.add_model(NewModel::new(name).source(&source)).map(drop)).unwrap();
}

/// The tensors of a file of a model, as a reader of its bytes finds them.
fn tensors_of(model: &Model, path: &str) -> Vec<(String, Dtype)> {
    let bytes = model.file(path).unwrap().bytes(1 << 20).unwrap();
    let file = mgit::interchange::OpenFile::of_bytes(path, bytes);
    let layout = mgit::interchange::read_layout(&file).unwrap();
    layout.tensors.into_iter().map(|tensor| (tensor.name, tensor.dtype)).collect()
}

fn made(store: &Store, name: &str, function: &str, parent: &str, key: &str, value: &str) -> String {
    let make = Make::new(name, function).parent(parent, None);
    let make = match value.parse::<f64>() {
        Ok(number) => make.parameter(key, number),
        Err(_) => make.parameter(key, value),
    };
    match make.run(store, &Functions::new()) {
        Ok(_) => String::new(),
        Err(error) => mgit::full_message(&error),
    }
}

#[test]
fn weights_in_folders_of_their_own_are_the_model_s() {
    let (home, _, store) = new_store();
    let folder = home.path().join("pipeline");
    let file = |value: f32| {
        let model = NewModel::new("m").tensor(NewTensor::from_vec("conv", [2, 1], vec![value; 2]));
        let (_home, _, other) = new_store();
        write(&other, |t| t.add_model(model).map(drop)).unwrap();
        let mut bytes = Vec::new();
        let model = stored_model(&other, "m");
        mgit::interchange::export_to_stream(&model, &mut bytes, &|_| ()).unwrap();
        bytes
    };
    for (path, bytes) in [
        ("model_index.json", b"{}".to_vec()),
        ("unet/diffusion_pytorch_model.safetensors", file(1.0)),
        ("unet/config.json", b"{\"a\": 1}".to_vec()),
        ("vae/diffusion_pytorch_model.safetensors", file(2.0)),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    import(&store, "sd", &folder);
    let names: Vec<String> =
        stored_model(&store, "sd").weights().map(|tensor| tensor.name().to_owned()).collect();
    let [unet, vae] = ["unet", "vae"].map(|it| format!("{it}/diffusion_pytorch_model.safetensors"));
    assert_eq!(names, [format!("{unet}:conv"), format!("{vae}:conv")]);
    assert_eq!(made(&store, "half", "cast", "sd", "dtype", "bf16"), "");
    let half = stored_model(&store, "half");
    assert_eq!(half.files().count(), 4);
    for path in [&unet, &vae] {
        assert_eq!(tensors_of(&half, path), [("conv".to_owned(), Dtype::Bf16)]);
    }
    assert_eq!(half.file("unet/config.json").unwrap().bytes(99).unwrap(), b"{\"a\": 1}");
}

/// A file of PyTorch in which `tied` has the bytes of `w`, and `part` a part of them.
fn tied(store: &Store, part: bool) {
    let view = |name: &str, dims: &[u64], strides: &[u64]| NewView {
        name: name.to_owned(),
        tensor: 0,
        offset: 0,
        dtype: Dtype::F32,
        shape: Shape::new(dims).unwrap(),
        strides: strides.to_vec(),
    };
    let mut file = NewPart::file("m.pt", FileFormat::PyTorch)
        .woven(vec![2], 4, &b"<<>>"[..])
        .tensor(NewTensor::from_vec("w", [2, 2], vec![1f32, 2.0, 3.0, 4.0]))
        .view(view("tied", &[2, 2], &[2, 1]));
    if part {
        file = file.view(view("part", &[2], &[2]));
    }
    let name = if part { "part" } else { "tied" };
    let model = NewModel::new(name).part(file).single_file();
    write(store, |t| t.add_model(model).map(drop)).unwrap();
}

#[test]
fn tensors_that_share_bytes_are_written_out_or_refused() {
    let (_home, _, store) = new_store();
    tied(&store, false);
    assert_eq!(made(&store, "half", "cast", "tied", "dtype", "f16"), "");
    let half = stored_model(&store, "half");
    let names: Vec<String> = half.tensors().map(|tensor| tensor.name().to_owned()).collect();
    assert_eq!(names, ["tied", "w"]);
    let bytes = |name: &str| half.tensor(name).unwrap().view().unwrap().to_vec();
    assert_eq!(bytes("tied"), bytes("w"));
    tied(&store, true);
    let error = made(&store, "no", "cast", "part", "dtype", "f16");
    assert!(error.contains("its \"part\" is a part of another tensor"), "{error}");
    import(&store, "odd", &door("torch-odd.pth"));
    assert!(made(&store, "no", "cast", "odd", "dtype", "f64").contains("export it as safetensors"));
}

#[test]
fn what_cannot_be_worked_on_is_refused() {
    let (_home, _, store) = new_store();
    import(&store, "q8", &door("tiny-q8.gguf"));
    let error = made(&store, "no", "cast", "q8", "dtype", "bf16");
    assert!(error.contains("safetensors has no type for"), "{error}");
    import(&store, "legacy", &door("torch-legacy.bin"));
    for (function, key, value) in [("cast", "dtype", "bf16"), ("prune", "sparsity", "0.5")] {
        let error = made(&store, "no", function, "legacy", key, value);
        assert!(error.contains("no tensor is seen in its weights"), "{error}");
    }
    // Nor does a test pass that has seen nothing.
    let snapshot = store.snapshot().unwrap();
    let tests = Builtin::ALL.map(|builtin| Test::new(builtin.name(), What::Builtin(builtin)));
    let nodes: Vec<_> =
        snapshot.nodes().unwrap().into_iter().filter(|node| node.name() == "legacy").collect();
    let options = RunOptions::default();
    let report = Runner::new(&snapshot, options).run(Some(&store), &tests, &nodes).unwrap();
    let passed = report.results.iter().filter(|result| result.status == Status::Passed).count();
    assert_eq!(passed, 0, "{:?}", report.results);
}

#[test]
fn scales_are_no_weights() {
    let (_home, _, store) = new_store();
    let matrix: Vec<f32> = (0..64).map(|at| (at as f32 - 30.0) / 7.0).collect();
    let model = NewModel::new("m")
        .tensor(NewTensor::from_vec("w.weight", [8, 8], matrix.clone()))
        .tensor(NewTensor::from_vec("conv.weight", [4, 4, 4], matrix));
    write(&store, |t| t.add_model(model).map(drop)).unwrap();
    assert_eq!(made(&store, "q", "quantise", "m", "to", "int8"), "");
    let scale = |name: &str| {
        stored_model(&store, name).tensor("w.weight_scale").unwrap().view().unwrap().to_vec()
    };
    assert_eq!(made(&store, "p", "prune", "q", "sparsity", "0.9"), "");
    assert_eq!(scale("p"), scale("q"));
    let error = made(&store, "qq", "quantise", "q", "to", "int8");
    assert!(error.contains("no matrix"), "{error}");
}
