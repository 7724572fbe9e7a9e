//! Promise: siblings whose parent is not there are told and kept as kin without a direction, not as each
//! other's parents; and the parent, when it comes later, gets none of them as its parent.

use std::fs;

use crate::common::{Sandbox, bytes_of, file_of, noise};
use safetensors::tensor::Dtype;
use serde_json::Value;

/// A base, where `by` is 0, or a tuning of it that went its own way.
fn weights(way: u32, by: f32) -> Vec<u8> {
    let moved = |layer: u32| {
        let step = noise(layer + 1000 * way, 20_000);
        let from = noise(layer, 20_000).into_iter().zip(step);
        bytes_of(&from.map(|(at, step)| at + by * step).collect::<Vec<f32>>())
    };
    let layers = [moved(1), moved(2)];
    let [first, second] = layers;
    file_of(&[
        ("layers.0.weight", Dtype::F32, &[200, 100], first),
        ("layers.1.weight", Dtype::F32, &[200, 100], second),
    ])
}

/// The names of the kin that a model keeps without a direction.
fn kin(shown: &Value) -> Vec<String> {
    let kin = shown["metadata"]["kin"].as_array().cloned().unwrap_or_default();
    kin.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn siblings_whose_parent_is_not_there_are_kept_as_kin() {
    let sandbox = Sandbox::with_store();
    fs::create_dir_all(sandbox.path("siblings")).unwrap();
    let names = ["inner", "middle", "outer"];
    for (way, name) in names.iter().enumerate() {
        let path = sandbox.path(&format!("siblings/{name}.safetensors"));
        fs::write(path, weights(way as u32 + 1, 0.02)).unwrap();
    }
    let told = sandbox.ok(&["adopt", "s", "siblings", "--yes"]);
    assert_eq!(told.matches("kin without a direction").count(), 2, "{told}");
    let shown: Vec<Value> = names.iter().map(|name| sandbox.json(&["show", "s", name])).collect();
    assert!(shown.iter().all(|it| it["parents"].as_array().unwrap().is_empty()), "{shown:?}");
    // Of each two, the second names the first: two ties hold three together.
    let all: Vec<String> = shown.iter().flat_map(kin).collect();
    assert_eq!(all.len(), 2, "{shown:?}");
    assert!(all.iter().all(|name| names.iter().any(|it| *name == format!("{it}@1"))), "{all:?}");

    // Their parent comes: it becomes nobody's child, and what is stored keeps its place.
    fs::write(sandbox.path("base.safetensors"), weights(0, 0.0)).unwrap();
    let told =
        sandbox.ok(&["import", "s", "base.safetensors", "--name", "base", "--parent", "auto"]);
    let base = sandbox.json(&["show", "s", "base"]);
    assert!(base["parents"].as_array().unwrap().is_empty(), "{base}");
    assert!(names.iter().any(|name| told.contains(name)), "{told}");
    for (name, before) in names.iter().zip(&shown) {
        let now = sandbox.json(&["show", "s", name]);
        assert_eq!(now["parents"], before["parents"], "{now}");
        assert_eq!(kin(&now), kin(before), "{now}");
    }
}
