//! The same 90 MB of weights as files of every form, and as a folder, into a new store and out: the
//! aim is at most 1.2 times what the safetensors file takes.

mod common;
#[path = "../tests/common/forms.rs"]
mod forms;
#[path = "../tests/common/zip_stream.rs"]
mod zip_stream;

use common::{Comparison, models, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use forms::{Form, Weights};
use mgit::Store;
use mgit::interchange::{OpenFile, export_to_path, read_layout};
use std::fs;

const SAFETENSORS: &str = "import safetensors";
const SAFETENSORS_OUT: &str = "export safetensors";
const FORMS: [(Form, &str, &str); 6] = [
    (Form::Safetensors, SAFETENSORS, SAFETENSORS_OUT),
    (Form::PyTorch, "import PyTorch", "export PyTorch"),
    (Form::Npz, "import npz", "export npz"),
    (Form::Gguf, "import GGUF", "export GGUF"),
    (Form::Onnx, "import ONNX", "export ONNX"),
    (Form::OnnxData, "import ONNX with its data beside", "export ONNX with its data beside"),
];

fn forms(criterion: &mut Criterion) {
    let folder = models::scratch();
    let (root, _) = models::root_and_child(folder.path());
    let bytes = fs::read(&root).expect("the model");
    let layout = read_layout(&OpenFile::open(&root).expect("the model")).expect("a layout");
    // One form has no other types: the few numbers that are none of F32 are left out.
    let is_f32 = |tensor: &&mgit::interchange::LaidTensor| tensor.dtype == mgit::Dtype::F32;
    let tensors: Vec<_> = layout.tensors.iter().filter(is_f32).collect();
    let fill = |at: usize, start: u64, out: &mut [u8]| {
        let begin = (tensors[at].begin + start) as usize;
        out.copy_from_slice(&bytes[begin..begin + out.len()]);
    };
    let named = tensors.iter().map(|it| (it.name.clone(), it.shape.dims().to_vec()));
    let weights = Weights { tensors: named.collect(), fill: &fill };
    let path = |form: Form| folder.path().join(form.file());
    for (form, ..) in FORMS {
        weights.write(form, folder.path()).expect("room");
        models::warm(&path(form));
    }
    models::warm(&folder.path().join("data/weights.bin"));

    // A folder as the Hugging Face tools write it: weights, a configuration, a long tokenizer.
    let whole = folder.path().join("folder");
    fs::create_dir(&whole).expect("room");
    fs::copy(path(Form::Safetensors), whole.join("model.safetensors")).expect("room");
    fs::write(whole.join("config.json"), r#"{"model_type": "bert"}"#).expect("room");
    let words = (0..30_000).map(|at| format!("\"word{at}\": {at},\n"));
    fs::write(whole.join("tokenizer.json"), words.collect::<String>()).expect("room");
    models::warm(&whole.join("model.safetensors"));
    let sources: Vec<_> = FORMS
        .iter()
        .map(|(form, name, out)| (path(*form), *name, *out))
        .chain([(whole, "import folder", "export folder")])
        .collect();

    let new_path = folder.path().join("new.mgit");
    let mut comparison = Comparison::new("import of each form", bytes.len() as u64);
    for (path, name, _) in sources.clone() {
        let new_path = new_path.clone();
        comparison = comparison.add(name, move || {
            let store = Store::create(&new_path).expect("a store");
            let took = timed(|| models::import(&store, &path, "model", None));
            drop(store);
            fs::remove_file(&new_path).expect("the store is there");
            took
        });
    }
    let pairs: Vec<_> = sources[1..].iter().map(|(_, name, _)| (*name, SAFETENSORS)).collect();
    comparison.run(criterion, &pairs);

    let kept = Store::create(folder.path().join("kept.mgit")).expect("a store");
    let out = folder.path().join("out");
    let mut comparison = Comparison::new("export of each form", bytes.len() as u64);
    for (at, (path, _, name)) in sources.iter().enumerate() {
        let model = format!("m{at}");
        models::import(&kept, path, &model, None);
        let model = kept.snapshot().and_then(|it| it.model(&model)).expect("the model");
        let out = out.clone();
        comparison = comparison.add(name, move || {
            let took = timed(|| export_to_path(&model, &out, &|_| ()).expect("an export"));
            if out.is_dir() {
                fs::remove_dir_all(&out).expect("the export is there");
            } else {
                fs::remove_file(&out).expect("the export is there");
            }
            took
        });
    }
    let pairs: Vec<_> = sources[1..].iter().map(|(.., name)| (*name, SAFETENSORS_OUT)).collect();
    comparison.run(criterion, &pairs);
}

criterion_group!(benches, forms);
criterion_main!(benches);
