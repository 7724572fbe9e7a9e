//! Promise: real models go in with their lineage, take a fraction of their room, and come out byte
//! for byte.
//!
//! The models are those beside the project, which a clone does not have: it skips. Whole models are
//! taken from the folder that `MGIT_MODELS` names, if it does.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{add, assert_rows_add_up, folder, write};
use mgit::interchange::{ModelFile, export_to_path, export_to_stream};
use mgit::{How, NewModel, OnChildren, Store};

/// A member of a family, as `lineage.json` lists it.
struct Member {
    name: String,
    file: PathBuf,
    parent: Option<String>,
    how: How,
}

/// The members of the family in `folder`, each behind its parent.
fn members(folder: &Path) -> Vec<Member> {
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
        let file = ModelFile::open(&member.file).unwrap();
        let new = NewModel::new(&member.name).metadata("from", what);
        let new = member.parent.iter().fold(new, |new, parent| new.parent(parent, member.how));
        let report = add(&store, new.file(&file)).unwrap();
        assert_eq!(report.node.row.logical_bytes, fs::metadata(&member.file).unwrap().len());
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
        let parents = graph.parents(model.node().id).unwrap();
        let name = |edge: &mgit::lineage::Edge| graph.expect(edge.parent).unwrap().row.name;
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
fn lineages() -> Option<PathBuf> {
    let project = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let project = project.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let folder = project.join("../shared/lineages");
    if !folder.is_dir() {
        println!("skipped: ../shared/lineages is absent");
        return None;
    }
    Some(folder)
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

#[test]
fn whole_models_come_back() {
    let Some(unpacked) = std::env::var_os("MGIT_MODELS").map(PathBuf::from) else {
        println!("skipped: MGIT_MODELS does not name a folder of unpacked models");
        return;
    };
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
