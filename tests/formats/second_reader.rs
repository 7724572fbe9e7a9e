//! Promise: `format-spec.md` is enough to read a store. A second reader, written from that page
//! alone, agrees with the engine on every model of every golden store.

use std::fs;
use std::path::Path;

use crate::common;
use crate::second;
use crate::second::json::Json;
use mgit::format::Superblock;
use mgit::{OnChildren, Profile, Store};

/// The sources of the second reader: none of them may know the engine.
const SOURCES: [&str; 12] = [
    include_str!("../second/mod.rs"),
    include_str!("../second/record.rs"),
    include_str!("../second/encodings.rs"),
    include_str!("../second/formulas.rs"),
    include_str!("../second/json.rs"),
    include_str!("../second/float_delta.rs"),
    include_str!("../second/entropy.rs"),
    include_str!("../second/coded.rs"),
    include_str!("../second/rice_delta.rs"),
    include_str!("../second/int_delta.rs"),
    include_str!("../second/factor_delta.rs"),
    include_str!("../second/sparse_delta.rs"),
];

#[test]
fn the_second_reader_knows_nothing_of_the_engine() {
    for source in SOURCES {
        for line in source.lines().filter(|line| line.trim_start().starts_with("use ")) {
            let foreign = ["std::", "super::", "serde_json::", "json::", "record::"];
            let path = line.trim_start().trim_start_matches("use ");
            assert!(foreign.iter().any(|root| path.starts_with(root)), "{line}");
        }
        assert!(!source.contains("mgit::"), "the engine's code");
    }
}

/// Holds what the second reader finds in a file against what the engine does.
fn compare(path: &Path) -> (usize, usize) {
    let found = second::read(&fs::read(path).unwrap());
    let store = Store::open_read_only(path).unwrap();
    let snapshot = store.snapshot().unwrap();
    let graph = snapshot.graph();
    let name = |id| graph.expect(id).unwrap().full_name();
    let nodes = snapshot.nodes().unwrap();
    let mut names: Vec<String> = nodes.iter().map(|node| node.full_name()).collect();
    names.sort();
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), names, "{}", path.display());
    let mut tensors = 0;
    for node in nodes {
        let model = snapshot.model_of(node).unwrap();
        let second = &found[&model.full_name()];
        let id = model.node().id();
        let parents: Vec<(String, String)> = graph
            .parents(id)
            .unwrap()
            .iter()
            .map(|edge| (name(edge.parent), edge.how.to_string()))
            .collect();
        assert_eq!(second.parents, parents);
        assert_eq!(second.previous, graph.previous(id).unwrap().map(name));
        let metadata = serde_json::Value::Object(model.metadata().unwrap());
        let said = match &second.metadata {
            Json(serde_json::Value::Null) => serde_json::json!({}),
            Json(value) => value.clone(),
        };
        assert_eq!(said, metadata);
        assert_eq!(second.version, u64::from(model.manifest().version()));
        let parts = &model.manifest().parts;
        assert_eq!(second.parts.len(), parts.len());
        let mut all = second.parts.iter().flat_map(|part| &part.tensors);
        for tensor in model.tensors() {
            let second = all.next().unwrap();
            assert_eq!(second.name, tensor.name());
            assert_eq!(second.dtype.0, tensor.dtype().code());
            assert_eq!(second.dims, tensor.shape().dims());
            assert!(second.bytes == tensor.view().unwrap()[..], "{}", second.name);
            tensors += 1;
        }
        assert!(all.next().is_none());
        for (second, file) in second.parts.iter().zip(model.files()) {
            assert_eq!(second.path, file.path());
            if let Some(bytes) = second.file() {
                let mut exported = Vec::new();
                file.write_to(&mut exported, &|_| ()).unwrap();
                assert!(bytes == exported, "{} {}", model.full_name(), file.path());
            }
        }
        let views = model.manifest().views.iter();
        assert_eq!(views.len(), second.views.len());
        for (view, second) in views.zip(&second.views) {
            assert_eq!((&view.name, view.shape.dims()), (&second.name, &second.dims[..]));
            assert!(
                second.bytes.len() as u64
                    == view.shape.elements() * u64::from(view.dtype.bits().unwrap()) / 8
            );
        }
    }
    (names.len(), tensors)
}

#[test]
fn it_agrees_on_every_golden_store() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "mgit") {
            let (models, tensors) = compare(&path);
            println!("{}: {models} models, {tensors} tensors agree", path.display());
            assert!(models > 0 && tensors > 0);
            seen += 1;
        }
    }
    assert!(seen > 0);
}

/// What the golden stores, which are small, do not have: several chunks, every profile, removed
/// models, imported files, sharded ones, a vacuum.
#[test]
fn it_agrees_on_a_store_of_today() {
    let (folder, path, store) = common::new_store();
    let base = common::weights(1, 300_000);
    let file = folder.path().join("m.safetensors");
    let header = br#"{"w":{"dtype":"F32","shape":[300000],"data_offsets":[0,1200000]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &base].concat();
    fs::write(&file, bytes).unwrap();
    let imported = mgit::interchange::ModelSource::open(&file).unwrap();
    common::add(&store, mgit::NewModel::new("file").source(&imported)).unwrap();
    common::add(&store, common::model("gone", &[], &common::one(base.clone()))).unwrap();
    for (profile, seed) in [(Profile::Dense, 2), (Profile::Fast, 3)] {
        let tuned = common::one(common::nudged(&base, seed, 30));
        let model = common::model("tuned", &["file"], &tuned).metadata("seed", seed);
        common::add(&store, model.profile(profile)).unwrap();
    }
    let next = common::one(common::nudged(&base, 4, 3));
    common::add(&store, common::model("next", &["tuned@1"], &next)).unwrap();
    common::write(&store, |t| t.remove_model("gone", OnChildren::Refuse)).unwrap();
    common::write(&store, |t| t.remove_model("tuned@1", OnChildren::Reparent)).unwrap();
    drop(store);
    assert_eq!(compare(&path), (3, 3));
    mgit::upkeep::vacuum(&path, &|_| ()).unwrap();
    assert_eq!(compare(&path), (3, 3));
    assert!(Superblock::decode(&fs::read(&path).unwrap()[..4096]).is_ok());
}
