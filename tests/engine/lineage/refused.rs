//! A step that is refused before it changes anything leaves its transaction as it was.

use mgit::lineage::EdgeKind;
use mgit::{How, NewModel, OnChildren, Transaction};
use serde_json::{Map, Value, json};

use crate::common::{add_one, new_store};

/// Lists in each other.
fn nested(depth: usize) -> Map<String, Value> {
    let value = (0..depth).fold(Value::Null, |value, _| json!([value]));
    [("key".to_owned(), value)].into_iter().collect()
}

#[test]
fn a_refused_step_leaves_the_transaction_usable() {
    let (_folder, _, store) = new_store();
    add_one(&store, "base", &[], &[1; 64]).unwrap();
    add_one(&store, "tuned", &["base"], &[2; 64]).unwrap();
    add_one(&store, "tuned", &["base"], &[3; 64]).unwrap();
    type Step = (&'static str, Box<dyn Fn(&mut Transaction) -> mgit::store::Result<()>>);
    let steps: Vec<Step> = vec![
        ("name-taken", Box::new(|it| it.rename_models("tuned", "base").map(drop))),
        ("name-taken", Box::new(|it| it.rename_models("tuned", "tag").map(drop))),
        ("no-such-model", Box::new(|it| it.rename_models("no", "new").map(drop))),
        ("name-taken", Box::new(|it| it.move_model("base", "tag").map(drop))),
        ("invalid-name", Box::new(|it| it.move_model("base", "no name").map(drop))),
        ("cycle", Box::new(|it| it.add_parent("base", "tuned", How::Other))),
        ("cycle", Box::new(|it| it.set_parents("base", [("tuned", How::Other)]))),
        (
            "duplicate-parent",
            Box::new(|it| it.set_parents("tuned", [("base", How::Other), ("base", How::Merge)])),
        ),
        ("not-earlier", Box::new(|it| it.set_previous("tuned@1", "tuned@2"))),
        ("has-children", Box::new(|it| it.remove_model("base", OnChildren::Refuse).map(drop))),
        ("no-such-tag", Box::new(|it| it.remove_tag("no").map(drop))),
        ("name-taken", Box::new(|it| it.set_tag("base", "tuned").map(drop))),
        ("too-many", Box::new(|it| it.set_metadata("base", nested(101)))),
        (
            "too-many",
            Box::new(|it| it.set_edge_metadata("tuned", EdgeKind::Provenance, "base", nested(101))),
        ),
        (
            "no-such-edge",
            Box::new(|it| it.set_edge_metadata("base", EdgeKind::Provenance, "tuned", Map::new())),
        ),
        (
            "too-many",
            Box::new(|it| {
                let deep = nested(101)["key"].clone();
                it.add_model(NewModel::new("new").metadata("key", deep)).map(drop)
            }),
        ),
        (
            "no-such-model",
            Box::new(|it| it.add_model(NewModel::new("new").parent("no", How::Other)).map(drop)),
        ),
    ];
    let mut transaction = store.begin_write().unwrap();
    transaction.set_tag("tag", "tuned").unwrap();
    for (code, step) in &steps {
        let error = step(&mut transaction).unwrap_err();
        assert_eq!(error.code(), *code, "{error}");
        // A broken transaction takes no step.
        transaction.set_tag("tag", "base").unwrap_or_else(|error| panic!("after {code}: {error}"));
    }
    transaction.commit().unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.nodes().unwrap().len(), 3);
    assert_eq!(snapshot.find("tag").unwrap(), snapshot.find("base").unwrap());
}

#[test]
fn metadata_as_deep_as_is_allowed_is_read_again() {
    let (_folder, _, store) = new_store();
    add_one(&store, "base", &[], &[1; 64]).unwrap();
    let mut transaction = store.begin_write().unwrap();
    transaction.set_metadata("base", nested(100)).unwrap();
    let deep = nested(100)["key"].clone();
    transaction.add_model(NewModel::new("new").metadata("key", deep)).unwrap();
    transaction.commit().unwrap();
    let snapshot = store.snapshot().unwrap();
    for model in ["base", "new"] {
        assert_eq!(snapshot.metadata(model).unwrap(), nested(100));
    }
    // Change records hold it, some levels down.
    assert_eq!(snapshot.changes().next().unwrap().unwrap().operations.len(), 2);
}
