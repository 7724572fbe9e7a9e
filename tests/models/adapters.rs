//! Promise: an adapter is merged as the PEFT library merges it, or every tensor of it that would not
//! be used is named. `tests/adapters/make.py` made the adapters and the merges with that library.

use std::path::{Path, PathBuf};

use crate::common::{add, new_store, shape, write};
use mgit::interchange::ModelFile;
use mgit::update::{Functions, Make, UpdateError, remake};
use mgit::{Dtype, Model, NewModel, NewTensor, Store};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adapters").join(name)
}

fn import(store: &Store, name: &str, path: &Path) {
    let file = ModelFile::open(path).unwrap();
    add(store, NewModel::new(name).file(&file)).unwrap();
}

fn config(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn model(store: &Store, name: &str) -> Model {
    store.snapshot().unwrap().model(name).unwrap()
}

fn floats(model: &Model, tensor: &str) -> Vec<f32> {
    model.tensor(tensor).unwrap().view().unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn merge(adapter: &str) -> Make {
    Make::new("merged", "lora-merge").parent("base", None).parent(adapter, None)
}

fn run(store: &Store, make: Make) -> Result<(), UpdateError> {
    make.run(store, &Functions::new()).map(drop)
}

/// The merged model, of which `wanted` has the tensors that are not the base's.
fn assert_merged(store: &Store, wanted: &Model, error: f32, context: &str) {
    let (merged, base) = (model(store, "merged"), model(store, "base"));
    assert_eq!(merged.tensors().len(), base.tensors().len());
    for tensor in merged.tensors() {
        let name = tensor.name();
        let wanted = if wanted.tensor(name).is_ok() { wanted } else { &base };
        let (found, wanted) = (floats(&merged, name), floats(wanted, name));
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() <= error, "{context} {name}: {found} {wanted}");
        }
    }
    let remade = remake(&merged, &Functions::new()).unwrap();
    assert_eq!(remade.differences(&merged).unwrap(), Vec::<String>::new(), "{context}");
}

#[test]
fn every_kind_of_adapter_is_merged_as_the_library_does() {
    for (name, error) in [
        ("plain", 0.0),
        ("rslora", 1e-6),
        ("patterns", 1e-6),
        ("bias", 1e-6),
        ("biases", 1e-6),
        ("dora", 1e-6),
        ("dora-conv", 1e-6),
        ("dora-fan", 1e-6),
        ("fan", 1e-6),
        ("embedding", 1e-6),
        ("convolution", 1e-6),
        ("saved", 1e-6),
    ] {
        let (_folder, _, store) = new_store();
        import(&store, "base", &fixture("base.safetensors"));
        import(&store, "adapter", &fixture(&format!("{name}.safetensors")));
        import(&store, "wanted", &fixture(&format!("{name}-merged.safetensors")));
        let make = merge("adapter").parameter("config", config(&fixture(&format!("{name}.json"))));
        run(&store, make).unwrap();
        assert_merged(&store, &model(&store, "wanted"), error, name);
    }
}

/// The same adapters with one tensor more, less, or of another shape.
#[test]
fn what_would_not_be_used_is_named() {
    let (_folder, _, store) = new_store();
    import(&store, "base", &fixture("base.safetensors"));
    let zeros = [0u8; 1024];
    let adapter = |name: &str, tensors: &[(&str, &[u64])]| {
        let tensor = |(name, dims): &(&str, &[u64])| {
            let len = 4 * dims.iter().product::<u64>() as usize;
            NewTensor::from_bytes(*name, Dtype::F32, shape(dims), &zeros[..len])
        };
        let new = tensors.iter().map(tensor).fold(NewModel::new(name), NewModel::tensor);
        write(&store, |t| t.add_model(new).map(drop)).unwrap();
    };
    let (a, b) = (("q.lora_A.weight", &[2u64, 6][..]), ("q.lora_B.weight", &[4u64, 2][..]));
    for (number, (more, names)) in [
        (vec![("x.lora_magnitude_vector", &[4u64][..])], vec!["x.lora_magnitude_vector"]),
        (vec![("q.lora_magnitude_vector", &[3])], vec!["q.lora_magnitude_vector"]),
        (vec![("q.lora_C.weight", &[2, 2])], vec!["q.lora_C.weight"]),
        (vec![("head.weight", &[3, 4]), ("tail.bias", &[1])], vec!["head.weight", "tail.bias"]),
        (vec![("v.lora_B.bias", &[4])], vec!["v.lora_B.bias"]),
        (
            vec![
                ("v.lora_A.weight", &[2, 4]),
                ("v.lora_B.weight", &[4, 2]),
                ("v.lora_B.bias", &[4]),
            ],
            vec!["v.lora_A.weight", "v.lora_B.weight", "v.lora_B.bias"],
        ),
        (
            vec![("wide.lora_A.weight", &[2, 5]), ("wide.lora_B.weight", &[6, 2])],
            vec!["wide.lora_A.weight", "wide.lora_B.weight"],
        ),
        (
            vec![
                ("emb.lora_embedding_A", &[2, 5]),
                ("emb.lora_embedding_B", &[4, 2]),
                ("emb.lora_magnitude_vector", &[5]),
            ],
            vec!["emb.lora_magnitude_vector"],
        ),
        (vec![("q.base_layer.bias", &[4]), ("q.lora_B.bias", &[4])], vec!["q.lora_B.bias"]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("a{number}");
        adapter(&name, &[&[a, b][..], &more].concat());
        let error = run(&store, merge(&name).parameter("alpha", 2)).unwrap_err();
        assert!(matches!(error, UpdateError::Tensor { .. }), "{error}");
        for name in names {
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
    }
    // Square matrices, where others lie transposed: somebody has to say.
    let more = [
        ("wide.lora_A.weight", &[2u64, 4][..]),
        ("wide.lora_B.weight", &[6, 2]),
        ("square.lora_A.weight", &[2, 4]),
        ("square.lora_B.weight", &[4, 2]),
    ];
    adapter("turned", &more);
    let error = run(&store, merge("turned").parameter("alpha", 2)).unwrap_err();
    assert!(error.to_string().starts_with("parameter fan_in_fan_out"), "{error}");
    // Several adapters in a file: one has to be named, and the others are.
    adapter(
        "two",
        &[
            ("q.lora_A.x.weight", &[2, 6]),
            ("q.lora_B.x.weight", &[4, 2]),
            ("q.lora_A.y.weight", &[2, 6]),
            ("q.lora_B.y.weight", &[4, 2]),
        ],
    );
    let error = run(&store, merge("two").parameter("alpha", 2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "parameter adapter: say which of several adapters is merged: \"x\", \"y\""
    );
    let make = merge("two").parameter("alpha", 2).parameter("adapter", "y");
    let report = make.run(&store, &Functions::new()).unwrap();
    assert_eq!(report.notes.len(), 1);
    assert!(report.notes[0].text.contains("\"x\""), "{:?}", report.notes);
}

#[test]
fn adapters_of_other_kinds_are_refused() {
    let (_folder, _, store) = new_store();
    import(&store, "base", &fixture("base.safetensors"));
    import(&store, "adapter", &fixture("plain.safetensors"));
    for (config, part) in [
        (json!({ "lora_alpha": 3, "peft_type": "LOHA" }), "LOHA"),
        (json!({ "lora_alpha": 3, "init_lora_weights": "pissa_niter_4" }), "pissa"),
        (json!({ "lora_alpha": 3, "layer_replication": [[0, 4]] }), "layer_replication"),
        (json!({ "lora_alpha": 3, "r": 4 }), "4 was said"),
        (json!({ "lora_alpha": 3, "use_dora": true }), "no magnitudes"),
        (json!({ "lora_alpha": "3" }), "not a number"),
        (json!({ "lora_alpha": 3, "alpha_pattern": { "(": 1 } }), "alpha_pattern"),
        (json!({ "lora_alpha": 3, "alpha_pattern": { "q": 1, "[q]": 2 } }), "several patterns"),
        (json!({ "r": 2 }), "say one of scale"),
        (json!("adapter_config.json"), "not the object"),
    ] {
        let error = run(&store, merge("adapter").parameter("config", config)).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

/// Values that were once wrong: rows of DoRA, a whole module, a bias.
#[test]
fn merges_that_once_left_tensors_out() {
    let (_folder, _, store) = new_store();
    let tensor = |name: &str, dims: &[u64], values: Vec<f32>| {
        let bytes: &'static [u8] = Box::leak(bytes(&values).into_boxed_slice());
        NewTensor::from_bytes(name, Dtype::F32, shape(dims), bytes)
    };
    let base = NewModel::new("base")
        .tensor(tensor("q.weight", &[1, 2], vec![1.0, 0.0]))
        .tensor(tensor("q.bias", &[1], vec![0.0]))
        .tensor(tensor("head.weight", &[1, 1], vec![1.0]));
    add(&store, base).unwrap();
    let adapter = NewModel::new("adapter")
        .tensor(tensor("base_model.model.q.lora_A.weight", &[1, 2], vec![2.0, 4.0]))
        .tensor(tensor("base_model.model.q.lora_B.weight", &[1, 1], vec![1.0]))
        .tensor(tensor("base_model.model.q.lora_B.bias", &[1], vec![1.0]))
        .tensor(tensor("base_model.model.q.lora_magnitude_vector", &[1], vec![10.0]))
        .tensor(tensor("base_model.model.head.weight", &[1, 1], vec![7.0]));
    add(&store, adapter).unwrap();
    run(&store, merge("adapter").parameter("alpha", 1)).unwrap();
    let merged = model(&store, "merged");
    // (1, 0) + (2, 4) has the length 5, and is to have 10.
    assert_eq!(floats(&merged, "q.weight"), [6.0, 8.0]);
    assert_eq!((floats(&merged, "q.bias"), floats(&merged, "head.weight")), (vec![1.0], vec![7.0]));
}

/// Of an embedding a magnitude is the length of a column: that of one dimension, over all words.
#[test]
fn magnitudes_of_embeddings_are_lengths_of_columns() {
    let (_folder, _, store) = new_store();
    let tensor = |name: &str, dims: &[u64], values: Vec<f32>| {
        let bytes: &'static [u8] = Box::leak(bytes(&values).into_boxed_slice());
        NewTensor::from_bytes(name, Dtype::F32, shape(dims), bytes)
    };
    let words = vec![1.0, 0.0, 0.0, 0.0, 0.0, 2.0];
    add(&store, NewModel::new("base").tensor(tensor("emb.weight", &[3, 2], words))).unwrap();
    let adapter = NewModel::new("adapter")
        .tensor(tensor("emb.lora_embedding_A", &[1, 3], vec![2.0, 4.0, 0.0]))
        .tensor(tensor("emb.lora_embedding_B", &[2, 1], vec![1.0, 0.0]))
        .tensor(tensor("emb.lora_magnitude_vector", &[2], vec![10.0, 6.0]));
    add(&store, adapter).unwrap();
    run(&store, merge("adapter").parameter("alpha", 1)).unwrap();
    // (1, 0, 0) + (2, 4, 0) has the length 5, and is to have 10; (0, 0, 2) is to have 6.
    assert_eq!(floats(&model(&store, "merged"), "emb.weight"), [6.0, 0.0, 8.0, 0.0, 0.0, 6.0]);
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
