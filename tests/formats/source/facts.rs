//! Promise: what a model's files say of it becomes its kind and metadata; what cannot be understood
//! is a note.

use mgit::interchange::ModelSource;
use mgit::{NewModel, Store};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{put, safetensors};

#[test]
fn known_files_say_what_a_model_is() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "adapter_model.safetensors", safetensors(&["a"]));
    put(
        root,
        "config.json",
        r#"{"x": {"model_type": "no"}, "model_type": "bert",
        "architectures": ["BertModel"], "torch_dtype": "float32"}"#,
    );
    put(root, "README.md", "---\nbase_model: org/base\nbase_model_relation: adapter\n---\n# It");
    put(
        root,
        "adapter_config.json",
        r#"{"base_model_name_or_path": "org/base", "r": 4,
        "lora_alpha": 8, "use_dora": false, "modules_to_save": null, "alpha_pattern": {},
        "target_modules": ["query", "value"]}"#,
    );
    put(root, "trainer_state.json", r#"{"global_step": 500, "log_history": [{"loss": 1"#);
    put(root, "sub/config.json", r#"{"model_type": "other"}"#);
    let source = ModelSource::open(root).unwrap();
    assert_eq!(source.kind(), Some("bert"));
    let expected = json!({
        "model_type": "bert", "architectures": ["BertModel"], "torch_dtype": "float32",
        "base_model": "org/base", "base_model_relation": "adapter",
        "lora.base_model": "org/base", "lora.r": 4, "lora.alpha": 8, "lora.use_dora": false,
        "lora.target_modules": ["query", "value"], "global_step": 500,
    });
    assert_eq!(Value::from(source.facts().clone()), expected);
    assert_eq!(source.notes().count(), 0);
}

#[test]
fn what_cannot_be_understood_is_a_note() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    put(root, "config.json", "{\"model_type\": ");
    put(root, "adapter_config.json", "[]");
    put(root, "trainer_state.json", format!("{}1{}", "[".repeat(9000), "]".repeat(9000)));
    put(root, "README.md", "---\nbase_model: x\n");
    let source = ModelSource::open(root).unwrap();
    let said: Vec<&str> = source.notes().map(|(path, _)| path).collect();
    assert_eq!(said, ["README.md", "adapter_config.json", "config.json", "trainer_state.json"]);
    assert!(source.notes().all(|(_, note)| note.starts_with("what it says is not read: ")));
    assert_eq!((source.kind(), source.facts().len()), (None, 0));
}

/// Values that are no small facts are passed over, however many and however deep they are.
#[test]
fn facts_are_small() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    let (long, deep) = ("x".repeat(5000), format!("{}{}", "[".repeat(5000), "]".repeat(5000)));
    let many = vec!["1"; 1000].join(",");
    let config = format!(
        r#"{{"other": {deep}, "model_type": "{long}", "architectures": [{many}, [2], {{}}],
            "torch_dtype": {{"a": {deep}}}}}"#
    );
    put(root, "config.json", config);
    let source = ModelSource::open(root).unwrap();
    let architectures = source.facts()["architectures"].as_array().unwrap();
    assert_eq!((architectures.len(), source.facts().len(), source.kind()), (256, 1, None));
}

#[test]
fn facts_give_way_to_what_is_said() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model/model.safetensors", safetensors(&["a"]));
    put(root, "model/config.json", r#"{"model_type": "bert"}"#);
    put(root, "model/README.md", "---\nlicense: mit\n---\n");
    let store = Store::create(root.join("models.mgit")).unwrap();
    let source = ModelSource::open(root.join("model")).unwrap();
    let mut transaction = store.begin_write().unwrap();
    let model = NewModel::new("m").kind("mine").metadata("license", "other").source(&source);
    transaction.add_model(model).unwrap();
    transaction.add_model(NewModel::new("n").source(&source)).unwrap();
    transaction.commit().unwrap();
    let snapshot = store.snapshot().unwrap();
    let of = |name: &str| {
        let model = snapshot.model(name).unwrap();
        (model.node().kind().to_owned(), model.metadata().unwrap())
    };
    let (kind, metadata) = of("m");
    assert_eq!((kind.as_str(), &metadata["license"]), ("mine", &json!("other")));
    assert_eq!(metadata["model_type"], "bert");
    let (kind, metadata) = of("n");
    assert_eq!((kind.as_str(), &metadata["license"]), ("bert", &json!("mit")));
}

/// Whatever is in them, files that say something of a model do not keep it from being opened.
#[test]
fn no_damage_to_what_is_said_hurts() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    let config = br#"{"model_type": "bert", "architectures": ["A", 1], "x": {"y": [null]}}"#;
    let card = "---\nbase_model:\n  - 'a''b'\n  - \"c\"\nlicense: [mit, x] # y\n---\n".as_bytes();
    for (name, bytes) in [("config.json", config.as_slice()), ("README.md", card)] {
        for len in 0..bytes.len() {
            put(root, name, &bytes[..len]);
            ModelSource::open(root).unwrap();
            for byte in [0, b'"', b'[', b'\n', 0xff] {
                let mut changed = bytes.to_vec();
                changed[len] = byte;
                put(root, name, changed);
                ModelSource::open(root).unwrap();
            }
        }
        put(root, name, bytes);
    }
}
