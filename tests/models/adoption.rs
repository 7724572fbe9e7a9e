//! Promise: models in folders and files are found with their parents and versions, and imported so;
//! what is there already makes no version; one bad model does not hide the rest; what goes wrong is
//! a typed error; one model that comes alone finds its parent in the same way.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{new_store, trained};
use mgit::adoption::{
    AdoptionError, AdoptionOptions, AdoptionPlan, Arrivals, Brought, Descent, KIN_KEY, Known,
    ModelInput, Outcome, RelativePlace, find_parent,
};
use mgit::error::{InterchangeError, StoreError};
use mgit::interchange::SourceOptions;
use mgit::store::Repack;
use mgit::{Error, How, Store, full_message};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Weights of a family that went a way, so far.
fn weights(family: u64, way: u64, by: f32) -> Vec<u8> {
    let layer = |at: u64| -> Vec<u8> {
        let step = trained(1000 * way + 10 * family + at, 20_000).into_iter();
        let from = trained(10 * family + at, 20_000).into_iter();
        from.zip(step).flat_map(|(from, step)| (from + by * step).to_le_bytes()).collect()
    };
    let layers = [("layers.0.weight", layer(0)), ("layers.1.weight", layer(1))];
    let view = |bytes| TensorView::new(Dtype::F32, vec![200, 100], bytes).unwrap();
    let views = layers.iter().map(|(name, bytes)| (*name, view(bytes)));
    safetensors::serialize(views, None).unwrap()
}

fn put(path: PathBuf, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn put_model(folder: PathBuf, weights: Vec<u8>) {
    put(folder.join("model.safetensors"), weights);
    put(folder.join("config.json"), "{}");
}

/// A base, and a run from it of which a shell sorts 1000 first.
fn put_run(root: &Path) {
    put_model(root.join("base"), weights(1, 1, 0.0));
    for (step, by) in [(1000, 0.02), (500, 0.01)] {
        put_model(root.join(format!("run/checkpoint-{step}")), weights(1, 1, by));
    }
    put(root.join("run/README.md"), "---\nbase_model: org/base\n---\n");
    put_model(root.join("run"), weights(1, 1, 0.03));
    put(root.join("notes.txt"), "no weights");
}

fn find(paths: &[PathBuf]) -> Result<Arrivals, AdoptionError> {
    Arrivals::find(paths, &SourceOptions::new())
}

fn plan(store: &Store, path: &Path) -> AdoptionPlan {
    find(&[path.to_owned()]).unwrap().plan(&store.snapshot().unwrap()).unwrap()
}

fn names(store: &Store) -> Vec<String> {
    let nodes = store.snapshot().unwrap().nodes().unwrap();
    let mut names: Vec<String> = nodes.iter().map(|node| node.full_name()).collect();
    names.sort();
    names
}

fn parents(store: &Store, model: &str) -> Vec<(String, How)> {
    let snapshot = store.snapshot().unwrap();
    let graph = snapshot.graph();
    let edges = graph.parents(graph.find(model).unwrap().id()).unwrap();
    edges.iter().map(|it| (graph.expect(it.parent).unwrap().full_name(), it.how)).collect()
}

#[test]
fn a_base_and_a_run_are_planned_and_imported_so() {
    let (home, _, store) = new_store();
    let models = home.path().join("models");
    put_run(&models);
    let arrivals = find(std::slice::from_ref(&models)).unwrap();
    assert_eq!((arrivals.models().len(), arrivals.failed().len()), (4, 0));
    assert_eq!(arrivals.left_out().len(), 1, "{:?}", arrivals.left_out());
    let plan = arrivals.plan(&store.snapshot().unwrap()).unwrap();
    let labels: Vec<&str> = plan.order().map(|place| plan.label(place)).collect();
    assert_eq!(labels, ["base", "run@1", "run@2", "run@3"]);
    assert_eq!((plan.new_count(), plan.root_count()), (4, 1));
    let base = plan.models.iter().position(|model| model.name == "base").unwrap();
    let first = plan.models.iter().find(|model| model.label == "run@1").unwrap();
    let parent = first.parentage.parent().unwrap();
    assert_eq!((parent.name.as_str(), parent.place), ("base", RelativePlace::Arrival(base)));
    assert!(parent.kinship.confidence >= 0.9 && !parent.kinship.reasons.is_empty());
    assert_eq!(plan.bases[0].name, "org/base");

    // Programs get all of it.
    let document = serde_json::to_value(&plan).unwrap();
    assert_eq!(document["models"].as_array().unwrap().len(), 4);
    assert_eq!(document["bases"][0]["verdict"], "agrees");
    assert_eq!(document["left_out"][0]["path"], models.join("notes.txt").display().to_string());

    let done = plan.run(&store, AdoptionOptions::new()).finish().unwrap();
    assert_eq!((done.added.len(), done.models.len(), done.failed.len()), (4, 4, 0));
    assert_eq!(names(&store), ["base@1", "run@1", "run@2", "run@3"]);
    assert_eq!(parents(&store, "run@1"), [("base@1".to_owned(), How::FineTune)]);
    assert_eq!(parents(&store, "run@3"), []);
}

#[test]
fn what_is_there_already_makes_no_version() {
    let (home, path, store) = new_store();
    let models = home.path().join("models");
    put_run(&models);
    plan(&store, &models).run(&store, AdoptionOptions::new()).finish().unwrap();
    let before = fs::read(&path).unwrap();
    let again = plan(&store, &models);
    assert_eq!((again.new_count(), again.root_count()), (0, 0));
    let known = |label: &str| {
        let model = again.models.iter().find(|model| model.label == label).unwrap();
        assert_eq!(model.stored_parent.is_some(), label == "run@1", "{model:?}");
        matches!(&model.known, Known::Stored(node) if node.full_name().starts_with(label))
    };
    assert!(["base", "run@1", "run@2", "run@3"].into_iter().all(known));
    assert!((0..4).all(|place| !again.disagrees(place)));
    let done = again.run(&store, AdoptionOptions::new()).finish().unwrap();
    assert_eq!((done.added.len(), done.models.len()), (0, 4));
    assert!(fs::read(&path).unwrap() == before, "the store was written to");
    // The run goes on.
    put_model(models.join("run"), weights(1, 1, 0.04));
    plan(&store, &models).run(&store, AdoptionOptions::new().repack(None)).finish().unwrap();
    assert_eq!(names(&store).last().unwrap(), "run@4");
}

#[test]
fn one_bad_model_does_not_hide_the_rest() {
    let (home, _, store) = new_store();
    let folder = home.path().join("f");
    put(folder.join("fine.safetensors"), weights(1, 1, 0.0));
    put(folder.join("broken.safetensors"), [255; 40]);
    let plan = plan(&store, &folder);
    assert_eq!((plan.models.len(), plan.failed.len()), (1, 1));
    let failed = &plan.failed[0];
    assert_eq!(failed.path, folder.join("broken.safetensors"));
    assert!(matches!(&failed.error, AdoptionError::NotTaken { path, .. } if *path == failed.path));
    let document = serde_json::to_value(failed).unwrap();
    assert_eq!(document["code"], "malformed-file");
    assert_eq!(document["message"], full_message(&failed.error));
    let done = plan.run(&store, AdoptionOptions::new()).finish().unwrap();
    assert_eq!((done.added.len(), names(&store)), (1, vec!["fine@1".to_owned()]));
}

#[test]
fn a_model_that_is_gone_meanwhile_leaves_its_child_without_a_parent() {
    let (home, _, store) = new_store();
    let models = home.path().join("models");
    put_run(&models);
    let plan = plan(&store, &models);
    fs::remove_dir_all(models.join("base")).unwrap();
    let brought = plan.run(&store, AdoptionOptions::new());
    let brought: Vec<Brought> = brought.map(Result::unwrap).collect();
    assert!(matches!(&brought[0].outcome, Outcome::Failed(failed)
        if failed.error.code() == "file-not-found" && failed.path == models.join("base")));
    assert!(matches!(&brought[1].outcome, Outcome::Added(added) if added.without_parent));
    assert!(matches!(&brought[2].outcome, Outcome::Added(added) if !added.without_parent));
    assert_eq!((names(&store).len(), parents(&store, "run@1")), (3, vec![]));
}

#[test]
fn who_stops_asking_stops_the_adoption() {
    let (home, _, store) = new_store();
    let models = home.path().join("models");
    put_run(&models);
    let seen = std::sync::Mutex::new((Vec::new(), 0));
    let progress = |advance: mgit::adoption::Advance<'_>| {
        let mut seen = seen.lock().unwrap();
        if advance.bytes == 0 {
            seen.0.push((advance.path.to_owned(), advance.of));
        }
        seen.1 += advance.bytes;
    };
    let first = plan(&store, &models);
    let options = AdoptionOptions::new().repack(Repack::default()).progress(&progress);
    let two: Vec<_> = first.run(&store, options).take(2).collect();
    assert!(two.iter().all(Result::is_ok));
    assert_eq!(names(&store), ["base@1", "run@1"]);
    let (begun, bytes) = seen.into_inner().unwrap();
    let paths: Vec<&PathBuf> = begun.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [&models.join("base"), &models.join("run/checkpoint-500")]);
    assert!(bytes > 0 && bytes <= begun.iter().map(|(_, of)| of).sum::<u64>());
    // The rest is done by who asks again.
    plan(&store, &models).run(&store, AdoptionOptions::new()).finish().unwrap();
    assert_eq!((names(&store).len(), parents(&store, "run@1").len()), (4, 1));
}

#[test]
fn what_cannot_be_adopted_is_a_typed_error() {
    let (home, path, store) = new_store();
    let at = |name: &str| home.path().join(name);
    for folder in ["one", "two"] {
        put(at(folder).join("x.safetensors"), weights(1, 1, 0.0));
    }
    put(at("none/readme.md"), "nothing");
    let code = |error: AdoptionError| (error.code(), Error::from(error).code());
    let error = find(&[at("one"), at("two")]).unwrap_err();
    assert!(matches!(&error, AdoptionError::NameTwice { name, .. } if name == "x"), "{error:?}");
    assert_eq!(code(error), ("name-twice", "name-twice"));
    let error = find(&[at("one"), at("one/x.safetensors")]).unwrap_err();
    assert!(matches!(error, AdoptionError::GivenTwice { .. }), "{error:?}");
    let error = find(&[at("none")]).unwrap_err();
    assert!(matches!(&error, AdoptionError::NoModels { left_out, .. } if left_out.len() == 1));
    assert_eq!(code(error), ("file-not-found", "file-not-found"));
    let error = Error::from(find(&[at("gone")]).unwrap_err());
    assert!(matches!(error, Error::Interchange(InterchangeError::NotFound { .. })), "{error:?}");
    put(at("one/x.layers.json"), "{");
    let error = ModelInput::open(at("one/x.safetensors"), &SourceOptions::new()).unwrap_err();
    assert!(matches!(error, AdoptionError::BadLayers { .. }), "{error:?}");

    // What the next would meet too is the end.
    let plan = plan(&store, &at("two"));
    drop(store);
    let store = Store::open_read_only(path).unwrap();
    let error = plan.run(&store, AdoptionOptions::new()).finish().unwrap_err();
    let AdoptionError::Stopped { path, added, source } = &error else { panic!("{error:?}") };
    assert_eq!((path, added.len()), (&at("two/x.safetensors"), 0));
    assert!(matches!(**source, AdoptionError::Store(StoreError::ReadOnly)), "{source:?}");
    assert_eq!(error.code(), "read-only");
}

/// Siblings whose parent is not there are kin without a direction, together and one by one; of two,
/// the one that comes second names the first.
#[test]
fn a_model_that_comes_alone_is_placed_as_one_that_comes_with_others() {
    let (home, _, store) = new_store();
    let (left, right) = (home.path().join("left"), home.path().join("right"));
    put_model(left.clone(), weights(1, 1, 0.02));
    put_model(right.clone(), weights(1, 2, 0.02));
    let together = find(&[left.clone(), right.clone()]).unwrap();
    let together = together.plan(&store.snapshot().unwrap()).unwrap();
    assert_eq!((together.unsure.len(), together.root_count()), (1, 2));
    together.run(&store, AdoptionOptions::new()).finish().unwrap();
    let kin = |store: &Store, model: &str| {
        let snapshot = store.snapshot().unwrap();
        snapshot.model(model).unwrap().metadata().unwrap().get(KIN_KEY).cloned()
    };
    let id = |store: &Store, model: &str| store.snapshot().unwrap().find(model).unwrap().id();
    let expected = |store: &Store| {
        let id = id(store, "left").to_string();
        Some(serde_json::json!([{ "name": "left@1", "id": id }]))
    };
    assert_eq!((kin(&store, "left"), kin(&store, "right")), (None, expected(&store)));

    let (_home, _, other) = new_store();
    plan(&other, &left).run(&other, AdoptionOptions::new()).finish().unwrap();
    let input = ModelInput::open(&right, &SourceOptions::new()).unwrap();
    let found = find_parent(&other.snapshot().unwrap(), &input.member("right").unwrap()).unwrap();
    assert_eq!((found.parent(), found.looked_at), (None, 1));
    assert_eq!(found.kin().unwrap().id, id(&other, "left"));
    let descent = found.descent();
    mgit::adoption::add(&other, descent.add_to(input.model("right")), None).unwrap();
    assert_eq!(kin(&other, "right"), expected(&other));

    // A parent that is claimed is an edge.
    put_model(home.path().join("next"), weights(2, 1, 0.0));
    plan(&other, &home.path().join("next")).run(&other, AdoptionOptions::new()).finish().unwrap();
    let file = home.path().join("headed.safetensors");
    put(file.clone(), with_head(&weights(2, 1, 0.0)));
    let input = ModelInput::open(&file, &SourceOptions::new()).unwrap();
    let found = find_parent(&other.snapshot().unwrap(), &input.member("headed").unwrap()).unwrap();
    let Descent { parent, kin, .. } = found.descent();
    let how = found.parent().unwrap().kinship.how;
    assert_eq!((parent, kin.len()), (Some((id(&other, "next"), how)), 0));
}

/// The same tensors with one more.
fn with_head(bytes: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let head = vec![1; 400];
    let head = TensorView::new(Dtype::F32, vec![100], &head).unwrap();
    let tensors = file.tensors().into_iter().chain([("head".to_owned(), head)]);
    safetensors::serialize(tensors, None).unwrap()
}
