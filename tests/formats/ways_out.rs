//! Promise: a model goes out whole, in part, or as a safetensors file of the tensors that other
//! programs read from what it was; what that cannot hold is refused by name, what it does not hold is
//! said, and no file gets the name of another format.

use std::fs;
use std::path::{Path, PathBuf};

use mgit::interchange::{
    ExportError, ExportOptions, ExportReport, FileFormat, ModelSource, OpenFile, Overwrite,
    export_to_folder, export_to_path, export_with, read_layout,
};
use mgit::store::NewView;
use mgit::{Dtype, Model, NewModel, NewPart, NewTensor, Shape, Store};

use super::layout_reads::{Tensors, door, expected, found, json};
use super::source::{put, safetensors};
use crate::common::sha256::sha256;

struct Home {
    folder: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("models.mgit")).unwrap();
        Home { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn import(&self, path: &Path) -> Model {
        let source = ModelSource::open(path).unwrap();
        let mut transaction = self.store.begin_write().unwrap();
        transaction.add_model(NewModel::new("some/m").source(&source)).unwrap();
        transaction.commit().unwrap();
        self.store.snapshot().unwrap().model("some/m").unwrap()
    }

    fn export(&self, model: &Model, to: &str, options: &ExportOptions) -> Out {
        export_with(model, self.path(to), options, &|_| ())
    }

    /// The tensors of a safetensors file.
    fn tensors(&self, name: &str) -> Tensors {
        let file = OpenFile::open(self.path(name)).unwrap();
        let layout = read_layout(&file).unwrap();
        assert_eq!(layout.format.name(), "safetensors");
        found(&file, &layout)
    }
}

type Out = Result<ExportReport, ExportError>;

fn converted() -> ExportOptions {
    ExportOptions::new().as_safetensors(true).overwrite(Overwrite::Files)
}

fn paths(report: &ExportReport) -> Vec<&str> {
    report.files.iter().map(|file| file.path.to_str().unwrap()).collect()
}

#[test]
fn tensors_of_pytorch_files_become_those_that_torch_reads() {
    let (home, list) = (Home::new(), json(&door("expected-torch.json")));
    for name in ["torch-nested.ckpt", "torch-protocol5.pt", "torch-script.pt"] {
        let model = home.import(&door(name));
        let report = home.export(&model, "out.safetensors", &converted()).unwrap();
        assert_eq!(home.tensors("out.safetensors"), expected(&list[name]), "{name}");
        let first = &report.notes[0];
        assert!(first.starts_with("the weights (pytorch) became a safetensors file of"), "{first}");
        assert!(first.ends_with("not what was imported"), "{first}");
        assert!(report.files[0].is_converted);
        assert_eq!(
            report.files[0].bytes,
            fs::metadata(home.path("out.safetensors")).unwrap().len()
        );
    }
}

#[test]
fn views_are_written_out_and_the_storages_behind_them_are_not() {
    let home = Home::new();
    let view = |name: &str, tensor, offset, dims: &[u64], strides: &[u64]| NewView {
        name: name.to_owned(),
        tensor,
        offset,
        dtype: Dtype::F32,
        shape: Shape::new(dims).unwrap(),
        strides: strides.to_vec(),
    };
    let part = NewPart::file("m.pt", FileFormat::PyTorch)
        .woven(vec![0, 0, 0], 0, &b""[..])
        .tensor(NewTensor::from_vec("odd", [3], vec![1u8, 2, 3]))
        .tensor(NewTensor::from_vec("embed", [2], vec![1f32, 2.0]))
        .tensor(NewTensor::from_vec("data/7", [6], vec![0f32, 1.0, 2.0, 3.0, 4.0, 5.0]))
        .view(view("head", 1, 0, &[2], &[1]))
        .view(view("turned", 2, 0, &[3, 2], &[1, 3]))
        .view(view("end", 2, 16, &[2], &[1]));
    let mut transaction = home.store.begin_write().unwrap();
    transaction.add_model(NewModel::new("m").part(part).single_file()).unwrap();
    transaction.commit().unwrap();
    let model = home.store.snapshot().unwrap().model("m").unwrap();
    let report = home.export(&model, "v.safetensors", &converted()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("tied weights")), "{report:?}");
    let floats = |values: &[f32]| {
        sha256(&values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>())
    };
    let tensor = |name: &str, dims: &[u64], values: &[f32]| {
        (name.to_owned(), ("F32".to_owned(), dims.to_vec(), floats(values)))
    };
    let mut wanted = Tensors::from([
        tensor("embed", &[2], &[1.0, 2.0]),
        tensor("head", &[2], &[1.0, 2.0]),
        tensor("turned", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        tensor("end", &[2], &[4.0, 5.0]),
    ]);
    wanted.insert("odd".to_owned(), ("U8".to_owned(), vec![3], sha256(&[1, 2, 3])));
    assert_eq!(home.tensors("v.safetensors"), wanted);
    // Elements lie at multiples of their size, for readers that map the file.
    let layout = read_layout(&OpenFile::open(home.path("v.safetensors")).unwrap()).unwrap();
    assert_eq!(layout.tensors.last().unwrap().name, "odd");
    assert_eq!(layout.facts["__metadata__"]["format"], "pt");
}

#[test]
fn what_was_not_seen_is_said_and_arrays_of_fortran_are_turned() {
    let home = Home::new();
    let model = home.import(&door("numpy-fortran.npy"));
    home.export(&model, "f.safetensors", &converted()).unwrap();
    let view = model.named_views().next().unwrap();
    let written = home.tensors("f.safetensors");
    assert_eq!(written.len(), 1);
    let (_, shape, hash) = &written[view.name()];
    assert_eq!((shape.as_slice(), hash), (view.shape().dims(), &sha256(&view.bytes().unwrap())));
    for (name, said) in
        [("numpy-compressed.npz", "compressed"), ("torch-quantised.pt", "quantised")]
    {
        let model = home.import(&door(name));
        match home.export(&model, "x.safetensors", &converted()) {
            Ok(report) => {
                let notes = report.notes.join("\n");
                assert!(notes.contains(&format!("{name}: ")) && notes.contains(said), "{notes}");
            }
            Err(error) => {
                assert!(error.to_string().contains("no tensor is seen in its weights"), "{error}");
            }
        }
    }
}

#[test]
fn blocks_are_dequantised_when_that_is_asked_for_and_else_refused_by_name() {
    let (home, list) = (Home::new(), json(&door("gguf_onnx.json")));
    let model = home.import(&door("tiny-q8.gguf"));
    let error = home.export(&model, "q.safetensors", &converted()).unwrap_err();
    let ExportError::NotConvertible { is_quantised: true, reason, .. } = &error else {
        panic!("{error}");
    };
    assert!(reason.contains("(Q8_0)"), "{reason}");
    assert!(!home.path("q.safetensors").exists());
    let report = home.export(&model, "q.safetensors", &converted().dequantise(true)).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("of Q8_0 became F32")), "{report:?}");
    let mut wanted = expected(&list["tiny-q8.gguf"]);
    for (name, tensor) in &mut wanted {
        if let Some(hash) = list["tiny-q8.gguf"][name]["f32"].as_str() {
            (tensor.0, tensor.2) = ("F32".to_owned(), hash.to_owned());
        }
    }
    assert_eq!(home.tensors("q.safetensors"), wanted);
    let model = home.import(&door("torch-odd.pth"));
    let error = home.export(&model, "c.safetensors", &converted()).unwrap_err();
    assert!(error.to_string().contains("it has no type for \"complex128\" (C128)"), "{error}");
    let model = home.import(&door("types.gguf"));
    let error = home.export(&model, "t.safetensors", &converted().dequantise(true)).unwrap_err();
    assert_eq!(error.code(), "not-convertible");
    assert!(error.to_string().contains("it has no type for \""), "{error}");
}

#[test]
fn no_file_gets_the_name_of_another_format() {
    let home = Home::new();
    let model = home.import(&door("torch-odd.pth"));
    for wrong in ["x.safetensors", "x.gguf", "x.onnx", "x.h5"] {
        let error = home.export(&model, wrong, &ExportOptions::new()).unwrap_err();
        assert_eq!(error.code(), "wrong-extension");
        assert!(error.to_string().contains("x.pth"), "{error}");
        assert!(!home.path(wrong).exists());
    }
    for good in ["x.pth", "x.ckpt", "x", "x.of-mine"] {
        home.export(&model, good, &ExportOptions::new()).unwrap();
        assert!(fs::read(home.path(good)).unwrap() == fs::read(door("torch-odd.pth")).unwrap());
    }
    let model = home.import(&door("torch-protocol5.pt"));
    let error = home.export(&model, "y.pt", &converted()).unwrap_err();
    assert_eq!(error.code(), "wrong-extension");
    // A format that is not seen keeps its own name.
    let model = home.import(&door("torch-legacy.bin"));
    assert!(export_to_path(&model, home.path("old.npz"), &|_| ()).is_err());
    export_to_path(&model, home.path("old.pt"), &|_| ()).unwrap();
    let error = home.export(&model, "old.safetensors", &converted()).unwrap_err();
    assert!(error.to_string().contains("\"torch-legacy.bin\" are not seen"), "{error}");
}

#[test]
fn a_single_file_goes_into_a_folder_under_its_own_name() {
    let home = Home::new();
    for (file, own, alone) in [
        ("tiny-q8.gguf", "tiny-q8.gguf", "tiny-q8.gguf"),
        ("w.safetensors", "m.safetensors", "model.safetensors"),
    ] {
        put(home.folder.path(), "w.safetensors", safetensors(&["a"]));
        let path = Some(door(file)).filter(|path| path.exists()).unwrap_or_else(|| home.path(file));
        let model = home.import(&path);
        fs::create_dir_all(home.path("there")).unwrap();
        let report = home.export(&model, "there", &ExportOptions::new()).unwrap();
        assert_eq!(report.path, home.path("there").join(own));
        assert!(fs::read(&report.path).unwrap() == fs::read(&path).unwrap());
        assert_eq!(
            home.export(&model, "there", &ExportOptions::new()).unwrap_err().code(),
            "already-exists"
        );
        let whole = home.path(&format!("whole-{own}"));
        export_to_folder(&model, &whole, &|_| ()).unwrap();
        assert!(fs::read(whole.join(alone)).unwrap() == fs::read(&path).unwrap());
    }
}

#[test]
fn a_folder_goes_out_in_part_and_converted() {
    let home = Home::new();
    let folder = home.path("in");
    fs::create_dir(&folder).unwrap();
    for (path, from) in [
        ("pytorch_model.bin", "torch-protocol5.pt"),
        ("model.gguf", "tiny-q8.gguf"),
        ("optimizer.pt", "torch-protocol4.pt"),
    ] {
        fs::copy(door(from), folder.join(path)).unwrap();
    }
    put(&folder, "config.json", "{}");
    put(&folder, "sub/config.json", "{ }");
    put(&folder, "tf_model.h5", b"\x89HDF\r\n\x1a\n");
    let model = home.import(&folder);

    let only = ExportOptions::new().only("*.json");
    let report = home.export(&model, "texts", &only).unwrap();
    assert_eq!(paths(&report), ["config.json", "sub/config.json"]);
    assert_eq!(fs::read_dir(home.path("texts")).unwrap().count(), 2);
    let error = home.export(&model, "none", &only.clone().only("*.txt")).unwrap_err();
    assert_eq!(error.code(), "no-such-file");
    assert!(error.to_string().contains("config.json, model.gguf"), "{error}");
    assert!(!home.path("none").exists());
    // Over what was exported before.
    let again = only.overwrite(Overwrite::Files);
    home.export(&model, "texts", &again).unwrap();

    let report = home.export(&model, "st", &converted()).unwrap();
    let mut written = paths(&report);
    written.sort_unstable();
    assert_eq!(written, ["config.json", "model.safetensors", "optimizer.pt", "sub/config.json"]);
    let list = json(&door("expected-torch.json"));
    assert_eq!(home.tensors("st/model.safetensors"), expected(&list["torch-protocol5.pt"]));
    for copy in ["model.gguf", "tf_model.h5"] {
        let said = format!("{copy}: left out: it is another copy of the weights");
        assert!(report.notes.contains(&said), "{:?}", report.notes);
    }
    let one = home.import(&door("tiny-q8.gguf"));
    assert_eq!(home.export(&one, "one", &again).unwrap_err().code(), "one-file");
}

#[test]
fn shards_become_one_file_and_one_safetensors_file_stays_as_it_is() {
    let home = Home::new();
    let folder = home.path("in");
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    put(&folder, names[0], safetensors(&["a", "b"]));
    put(&folder, names[1], safetensors(&["c"]));
    let list = super::source::index(&[("a", names[0]), ("b", names[0]), ("c", names[1])]);
    put(&folder, "model.safetensors.index.json", list);
    let model = home.import(&folder);
    let report = home.export(&model, "out", &converted()).unwrap();
    assert_eq!(paths(&report), ["model.safetensors"]);
    assert_eq!(home.tensors("out/model.safetensors").len(), 3);
    assert!(report.notes.iter().any(|note| note.contains("index.json: left out")), "{report:?}");

    let model = home.import(&folder.join("../out/model.safetensors"));
    let report = home.export(&model, "same.safetensors", &converted()).unwrap();
    let bytes = |name: &str| fs::read(home.path(name)).unwrap();
    assert!(bytes("same.safetensors") == bytes("out/model.safetensors"));
    assert!(!report.files[0].is_converted && report.notes[0].contains("already"), "{report:?}");
}

#[test]
fn hundreds_of_files_come_out_whole() {
    let home = Home::new();
    let folder = home.path("many");
    put(&folder, "model.safetensors", safetensors(&["w"]));
    for at in 0..300u32 {
        put(&folder, &format!("texts/{}/{at}.txt", at % 7), format!("{at}\n"));
    }
    // Long files between short ones, and an empty one.
    put(&folder, "texts/long.txt", vec![b'x'; 3 << 20]);
    put(&folder, "texts/none.txt", b"");
    let model = home.import(&folder);
    let all = ExportOptions::new();
    for options in [all.clone(), all.overwrite(Overwrite::Files)] {
        let report = home.export(&model, "out", &options).unwrap();
        assert_eq!(report.files.len(), 303);
        for file in &report.files {
            let (from, to) = (folder.join(&file.path), home.path("out").join(&file.path));
            assert_eq!(fs::read(from).unwrap(), fs::read(&to).unwrap(), "{}", to.display());
        }
    }
}
