//! Promise: an adapter is merged as the PEFT library merges it, or every tensor of it that would not
//! be used is named. `tests/adapters/make.py` made the adapters and the merges with that library.

use std::path::{Path, PathBuf};

use crate::common::{add, new_store, shape, stored_model, write};
use mgit::interchange::{FileFormat, ModelSource};
use mgit::update::{Functions, Make, UpdateError, remake};
use mgit::{Dtype, How, Model, NewModel, NewPart, NewTensor, Store};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adapters").join(name)
}

fn import(store: &Store, name: &str, path: &Path) {
    let file = ModelSource::open(path).unwrap();
    add(store, NewModel::new(name).source(&file)).unwrap();
}

fn config(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
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

/// How many floats lie from one to the other.
fn ulps(a: f32, b: f32) -> u64 {
    let place = |value: f32| match value.to_bits() {
        bits if bits >> 31 == 1 => -i64::from(bits & 0x7fff_ffff),
        bits => i64::from(bits),
    };
    (place(a) - place(b)).unsigned_abs()
}

/// The merged model, of which `wanted` has the tensors that are not the base's.
fn assert_merged(store: &Store, wanted: &Model, ulps_max: u64, context: &str) {
    let (merged, base) = (stored_model(store, "merged"), stored_model(store, "base"));
    assert_eq!(merged.tensors().len(), base.tensors().len());
    for tensor in merged.tensors() {
        let name = tensor.name();
        let wanted = if wanted.tensor(name).is_ok() { wanted } else { &base };
        let (found, wanted) = (floats(&merged, name), floats(wanted, name));
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            let far = ulps(*found, *wanted);
            assert!(far <= ulps_max, "{context} {name}: {found} {wanted}, {far} ulps");
        }
    }
    let remade = remake(&merged, &Functions::new()).unwrap();
    assert_eq!(remade.differences(&merged).unwrap(), Vec::<String>::new(), "{context}");
}

#[test]
fn every_kind_of_adapter_is_merged_as_the_library_does() {
    for (name, ulps_max) in [
        ("plain", 0),
        ("rslora", 0),
        ("patterns", 0),
        ("bias", 0),
        ("biases", 0),
        ("dora", 2),
        ("dora-conv", 2),
        ("dora-fan", 2),
        ("fan", 0),
        ("embedding", 0),
        ("convolution", 0),
        ("saved", 0),
    ] {
        let (_folder, _, store) = new_store();
        import(&store, "base", &fixture("base.safetensors"));
        import(&store, "adapter", &fixture(&format!("{name}.safetensors")));
        import(&store, "wanted", &fixture(&format!("{name}-merged.safetensors")));
        let make = merge("adapter").parameter("config", config(&fixture(&format!("{name}.json"))));
        run(&store, make).unwrap();
        assert_merged(&store, &stored_model(&store, "wanted"), ulps_max, name);
    }
}

/// An adapter's own settings, as an import of its folder keeps them.
fn with_metadata<'a>(mut new: NewModel<'a>, config: &Value) -> NewModel<'a> {
    for (key, value) in config.as_object().unwrap() {
        let key = if key == "lora_alpha" { "alpha" } else { key };
        new = new.metadata(format!("lora.{key}"), value.clone());
    }
    new
}

/// Without a parameter: all that is needed is in the adapter's metadata.
#[test]
fn an_adapter_says_itself_how_it_is_merged() {
    for name in
        ["plain", "rslora", "patterns", "bias", "biases", "dora", "dora-fan", "fan", "saved"]
    {
        let (_folder, _, store) = new_store();
        import(&store, "base", &fixture("base.safetensors"));
        let file = ModelSource::open(fixture(&format!("{name}.safetensors"))).unwrap();
        let new = NewModel::new("adapter").parent("base", How::Adapter).source(&file);
        add(&store, with_metadata(new, &config(&fixture(&format!("{name}.json"))))).unwrap();
        import(&store, "wanted", &fixture(&format!("{name}-merged.safetensors")));
        let report = merge("adapter").run(&store, &Functions::new()).unwrap();
        assert_eq!(report.notes, [], "{name}");
        assert_merged(&store, &stored_model(&store, "wanted"), 2, name);
    }
}

/// The settings in the `__metadata__` of the adapter's file count where nothing else does.
#[test]
fn settings_in_the_files_own_metadata_are_read() {
    let (folder, _, store) = new_store();
    let header = r#"{"__metadata__":{"lora_alpha":"6","r":"1","use_rslora":"true","who":"me"},
        "q.lora_A.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
        "q.lora_B.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend(bytes(&[1.0, 2.0, 1.0]));
    let path = folder.path().join("adapter.safetensors");
    std::fs::write(&path, file).unwrap();
    import(&store, "adapter", &path);
    let base = bytes(&[1.0, 1.0]);
    let tensor = NewTensor::from_bytes("q.weight", Dtype::F32, shape(&[1, 2]), &base);
    add(&store, NewModel::new("base").tensor(tensor)).unwrap();
    run(&store, merge("adapter")).unwrap();
    assert_eq!(floats(&stored_model(&store, "merged"), "q.weight"), [7.0, 13.0]);
    // A parameter goes over it, and that is said.
    let report = merge("adapter").parameter("alpha", 1).run(&store, &Functions::new()).unwrap();
    let notes: Vec<&str> = report.notes.iter().map(|note| note.text.as_str()).collect();
    let said = "lora_alpha is 1 by the parameters, which counts, and 6 by the file of adapter@1";
    assert_eq!(notes, [said]);
    assert_eq!(floats(&stored_model(&store, "merged"), "q.weight"), [2.0, 3.0]);
}

/// A folder of an adapter: what lies beside the weights says the rest, and the state of an optimizer
/// is not merged.
#[test]
fn the_file_beside_the_weights_is_read() {
    let (_folder, _, store) = new_store();
    let base = bytes(&[1.0, 1.0]);
    let tensor = NewTensor::from_bytes("q.weight", Dtype::F32, shape(&[1, 2]), &base);
    add(&store, NewModel::new("base").tensor(tensor)).unwrap();
    let (a, b) = (bytes(&[1.0, 2.0]), bytes(&[1.0]));
    let add_adapter = |name: &str, config: &'static str, more: &[(&str, Value)]| {
        let weights = NewPart::file("adapter_model.safetensors", FileFormat::Safetensors)
            .tensor(NewTensor::from_bytes("q.lora_A.weight", Dtype::F32, shape(&[1, 2]), &a))
            .tensor(NewTensor::from_bytes("q.lora_B.weight", Dtype::F32, shape(&[1, 1]), &b));
        let state = "optimizer.pt:state.0.exp_avg";
        let state = NewPart::file("optimizer.pt", FileFormat::PyTorch)
            .woven(vec![0], 0, &b""[..])
            .tensor(NewTensor::from_bytes(state, Dtype::F32, shape(&[1]), &b))
            .aside();
        let config = NewPart::file("adapter_config.json", FileFormat::Bytes)
            .woven(vec![], config.len() as u64, config.as_bytes())
            .aside();
        let new = NewModel::new(name).parent("base", How::Adapter);
        let new = more.iter().fold(new, |new, (key, value)| new.metadata(*key, value.clone()));
        add(&store, new.part(weights).part(state).part(config)).unwrap();
    };
    let said = |adapter: &str| -> Vec<String> {
        let report = merge(adapter).run(&store, &Functions::new()).unwrap();
        report.notes.into_iter().map(|note| note.text).collect()
    };
    let config = r#"{"peft_type":"LORA","r":1,"lora_alpha":4,"alpha_pattern":{"q":3}}"#;
    add_adapter("adapter", config, &[]);
    assert_eq!(said("adapter"), [""; 0]);
    let merged = |store: &Store| floats(&stored_model(store, "merged"), "q.weight");
    assert_eq!(merged(&store), [4.0, 7.0]);
    // What an import of the folder has made of it agrees; what the user has said goes over it.
    add_adapter("agrees", config, &[("lora.alpha", json!(4)), ("lora.r", json!(1))]);
    assert_eq!(said("agrees"), [""; 0]);
    assert_eq!(merged(&store), [4.0, 7.0]);
    let plain = r#"{"lora_alpha":4,"r":1}"#;
    add_adapter("other", plain, &[("lora.alpha", json!(2))]);
    let text = "lora_alpha is 2 by the metadata of other@1, which counts, and 4 by the \
                adapter_config.json of other@1";
    assert_eq!(said("other"), [text]);
    assert_eq!(merged(&store), [3.0, 5.0]);
    // A setting that is not known is refused from there too; a file that cannot be read is named.
    for (name, config, part) in [
        ("unknown", r#"{"lora_alpha":4,"use_newest":1}"#, "use_newest is set (1)"),
        ("broken", r#"{"lora_alpha":4"#, "adapter_config.json of broken@1: EOF"),
        ("list", "[4]", "adapter_config.json of list@1 is no object"),
        ("loha", r#"{"lora_alpha":4,"peft_type":"LOHA"}"#, "type LOHA"),
    ] {
        add_adapter(name, config, &[]);
        let error = run(&store, merge(name)).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// What the parameters say counts, and where the adapter says otherwise, that is said.
#[test]
fn parameters_win_and_contradictions_are_said() {
    let (_folder, _, store) = new_store();
    import(&store, "base", &fixture("base.safetensors"));
    let file = ModelSource::open(fixture("plain.safetensors")).unwrap();
    let new = NewModel::new("adapter").source(&file);
    let new = new.metadata("lora.alpha", 3).metadata("lora.r", 2);
    add(&store, new.metadata("lora.alpha_pattern", json!({ "v": 5 }))).unwrap();
    let said = |make: Make| -> Vec<String> {
        let report = make.run(&store, &Functions::new()).unwrap();
        report.notes.into_iter().map(|note| note.tensor + &note.text).collect()
    };
    assert_eq!(said(merge("adapter")), [""; 0]);
    // The same number otherwise written is no contradiction.
    assert_eq!(said(merge("adapter").parameter("r", 2.0)), [""; 0]);
    let own_pattern = "alpha was given; its own alpha_pattern still counts where it fits";
    let notes = said(merge("adapter").parameter("alpha", 7));
    assert_eq!(
        notes,
        [
            own_pattern,
            "lora_alpha is 7 by the parameters, which counts, and 3 by the metadata of adapter@1",
        ]
    );
    let notes = said(merge("adapter").parameter("scale", 1.5));
    assert_eq!(
        notes,
        [
            "scale is 1.5 by the parameters, which counts, and 2.5 by the alpha that the adapter says"
        ]
    );
    let both = merge("adapter").parameter("config", json!({ "lora_alpha": 4, "r": 2 }));
    assert_eq!(
        said(both),
        [
            own_pattern,
            "lora_alpha is 4 by the parameter config, which counts, and 3 by the metadata of adapter@1",
        ]
    );
    // The rank is that of the matrices, whoever says something else.
    let error = run(&store, merge("adapter").parameter("r", 4)).unwrap_err();
    assert!(error.to_string().contains("4 was said"), "{error}");
    let error = run(&store, merge("adapter").parameter("alpha", 1).parameter("lora_alpha", 1));
    assert!(error.unwrap_err().to_string().contains("lora_alpha is the same"));
}

/// A setting that nobody here knows may change the arithmetic.
#[test]
fn settings_that_are_not_known_are_refused_by_name() {
    let (_folder, _, store) = new_store();
    import(&store, "base", &fixture("base.safetensors"));
    import(&store, "adapter", &fixture("plain.safetensors"));
    let with = |config: Value| merge("adapter").parameter("config", config);
    let known = json!({ "lora_alpha": 3, "r": 2, "use_newest": false, "newest_config": {} });
    run(&store, with(known)).unwrap();
    let unknown = json!({ "lora_alpha": 3, "use_newest": true });
    let error = run(&store, with(unknown.clone())).unwrap_err().to_string();
    assert!(error.contains("use_newest is set (true)") && error.contains("ignore="), "{error}");
    let make = with(unknown).parameter("ignore", "use_newest");
    let report = make.run(&store, &Functions::new()).unwrap();
    assert_eq!(report.notes[0].text, "use_newest is true, and was ignored, as was asked for");
    // What an adapter's metadata say of it is looked at alike.
    let file = ModelSource::open(fixture("plain.safetensors")).unwrap();
    let new = NewModel::new("odd").source(&file).metadata("lora.alpha", 3);
    add(&store, new.metadata("lora.scale", 2)).unwrap();
    let error = run(&store, merge("odd")).unwrap_err().to_string();
    assert!(error.contains("scale is set (2)"), "{error}");
    // An adapter that says nothing.
    let error = run(&store, merge("adapter")).unwrap_err().to_string();
    assert!(error.contains("adapter@1 does not say how strongly: say one of"), "{error}");
}

/// Tensors that the settings promise and the file does not have.
#[test]
fn an_adapter_that_is_not_whole_is_refused() {
    let (_folder, _, store) = new_store();
    import(&store, "base", &fixture("base.safetensors"));
    import(&store, "adapter", &fixture("plain.safetensors"));
    import(&store, "saved", &fixture("saved.safetensors"));
    import(&store, "dora", &fixture("dora.safetensors"));
    for (adapter, config, part) in [
        ("adapter", json!({ "modules_to_save": ["head"] }), "modules_to_save names \"head\""),
        ("adapter", json!({ "modules_to_save": "head" }), "not a list of texts"),
        ("adapter", json!({ "bias": "all" }), "has no biases"),
        ("adapter", json!({ "lora_bias": true }), "no lora_B.bias"),
        ("dora", json!({ "use_dora": false }), "use_dora is false, and it has magnitudes"),
    ] {
        let mut config = config;
        config["lora_alpha"] = json!(3);
        let error = run(&store, merge(adapter).parameter("config", config)).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    // Of classifiers PEFT names two, of which a model has one.
    let config = json!({ "lora_alpha": 3, "modules_to_save": ["score", "head"] });
    run(&store, merge("saved").parameter("config", config)).unwrap();
}

/// Adapters of `MGIT_DOOR`, a folder of `NAME` with a safetensors file and `adapter_config.json`,
/// `NAME-merged` with PEFT's merge, and `hub-folder` with the base.
#[test]
fn whole_adapters_are_merged_as_the_library_does() {
    let Some(door) = std::env::var_os("MGIT_DOOR").map(PathBuf::from) else {
        println!("skipped: MGIT_DOOR does not name a folder of adapters and merges");
        return;
    };
    // Of plain sums every bit is the library's; of DoRA the library rounds lengths and quotients.
    for (name, ulps_max) in [("lora", 0), ("rslora", 0), ("saved", 0), ("dora", 2)] {
        let (_folder, _, store) = new_store();
        import(&store, "base", &door.join("hub-folder/model.safetensors"));
        let adapter = door.join(format!("adapter-{name}"));
        let file = ModelSource::open(adapter.join("adapter_model.safetensors")).unwrap();
        let new = NewModel::new("adapter").parent("base", How::Adapter).source(&file);
        let settings = config(&adapter.join("adapter_config.json"));
        add(&store, with_metadata(new, &settings)).unwrap();
        import(&store, "wanted", &door.join(format!("adapter-{name}-merged/model.safetensors")));
        run(&store, merge("adapter")).unwrap();
        let (merged, wanted) = (stored_model(&store, "merged"), stored_model(&store, "wanted"));
        assert_eq!(merged.tensors().len(), wanted.tensors().len());
        let (mut most, mut other, mut all) = (0, 0, 0);
        for tensor in wanted.tensors() {
            let (found, wanted) = (floats(&merged, tensor.name()), floats(&wanted, tensor.name()));
            assert_eq!(found.len(), wanted.len());
            let far: Vec<u64> = found.iter().zip(&wanted).map(|(a, b)| ulps(*a, *b)).collect();
            most = most.max(far.iter().copied().max().unwrap_or(0));
            other += far.iter().filter(|ulps| **ulps > 0).count();
            all += far.len();
        }
        println!("{name}: {other} of {all} elements differ, the most by {most} ulps");
        assert!(most <= ulps_max, "{name}: {most} ulps");
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
    // One that belongs to another base: what is first, how many, and what to do.
    let all: Vec<(String, &[u64])> = (0..50)
        .flat_map(|at| {
            [(format!("z{at}.lora_A.weight"), a.1), (format!("z{at}.lora_B.weight"), b.1)]
        })
        .collect();
    let all: Vec<(&str, &[u64])> = all.iter().map(|(name, dims)| (name.as_str(), *dims)).collect();
    adapter("foreign", &all);
    let error = run(&store, merge("foreign").parameter("alpha", 2)).unwrap_err().to_string();
    let (first, end) = ("base@1 has no tensor \"z0.weight\"", " and 95 more: give the base that ");
    assert!(error.contains(first) && error.contains(end) && error.len() < 400, "{error}");
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
        (json!({ "lora_alpha": 3, "trainable_token_indices": [1] }), "trainable_token_indices"),
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
    let merged = stored_model(&store, "merged");
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
    assert_eq!(
        floats(&stored_model(&store, "merged"), "emb.weight"),
        [6.0, 0.0, 8.0, 0.0, 0.0, 6.0]
    );
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
