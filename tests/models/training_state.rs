//! Promise: the state of a training that is in one file with the weights, such as an optimizer's
//! moments, is not worked on as if it were weights: it stays as it is, which is said, unless it is
//! named.

use std::path::Path;

use mgit::interchange::ModelSource;
use mgit::merge::{Merge, MergeOptions, Resolution};
use mgit::model_tests::RunOptions;
use mgit::store::Lossy;
use mgit::update::{Functions, Make, Strategy};
use mgit::{Dtype, How, Model, NewModel, NewTensor, Store};
use serde_json::Value;

use crate::common::{model, new_store, nudged, stored_model, weights, write};

const LEFT: &str = "left as they were: 12 tensors that are the state of a training, not weights: \
                    optimizer";

/// A store with a checkpoint: `state_dict`, `optimizer` and more in one file.
fn with_checkpoint() -> (tempfile::TempDir, Store) {
    let (home, _, store) = new_store();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door/torch-nested.ckpt");
    let source = ModelSource::open(&path).unwrap();
    write(&store, |t| t.add_model(NewModel::new("run").source(&source)).map(drop)).unwrap();
    (home, store)
}

/// Makes a model of others; gives it, and what was said of all of it.
fn make(
    store: &Store,
    (name, function): (&str, &str),
    parents: &[&str],
    parameters: &[(&str, Value)],
) -> (Model, Vec<String>) {
    let make = Make::new(name, function);
    let make = parents.iter().fold(make, |make, parent| make.parent(*parent, None));
    let make =
        parameters.iter().fold(make, |make, (key, value)| make.parameter(*key, value.clone()));
    let report = make.run(store, &Functions::new()).unwrap();
    let said = report.notes.into_iter().filter(|note| note.tensor.is_empty());
    (stored_model(store, name), said.map(|note| note.text).collect())
}

fn is_state(name: &str) -> bool {
    name.starts_with("optimizer.")
}

/// The names of tensors that are other ones than in `before`.
fn changed(before: &Model, after: &Model) -> Vec<String> {
    let other = before
        .tensors()
        .filter(|old| after.tensor(old.name()).unwrap().content_id() != old.content_id());
    other.map(|tensor| tensor.name().to_owned()).collect()
}

#[test]
fn functions_leave_an_optimizer_s_moments_and_say_so() {
    let (_home, store) = with_checkpoint();
    let run = stored_model(&store, "run");
    for (name, function, key, value) in [
        ("pruned", "prune", "sparsity", Value::from(0.5)),
        ("rounded", "quantise", "keep", Value::from("5")),
        ("half", "cast", "dtype", Value::from("bf16")),
        ("int8", "quantise", "to", Value::from("int8")),
    ] {
        let (made, said) = make(&store, (name, function), &["run"], &[(key, value)]);
        assert_eq!(said, [LEFT], "{function}");
        let changed = changed(&run, &made);
        assert!(changed.iter().any(|it| it == "state_dict.0.weight"), "{function}: {changed:?}");
        assert!(!changed.iter().any(|name| is_state(name)), "{function}: {changed:?}");
    }
    let moment = stored_model(&store, "half").tensor("optimizer.state.0.exp_avg").unwrap();
    assert_eq!(*moment.dtype(), Dtype::F32);
    // Those that are named are worked on, and no others.
    let named = [("sparsity", Value::from(0.5)), ("tensors", Value::from("optimizer.*.exp_avg"))];
    let (made, said) = make(&store, ("named", "prune"), &["run"], &named);
    assert!(said[0].starts_with("left as they were: 8 tensors"), "{said:?}");
    let changed = changed(&run, &made);
    assert!(
        !changed.is_empty() && changed.iter().all(|it| it.ends_with(".exp_avg")),
        "{changed:?}"
    );
    let none = Make::new("no", "prune").parent("run", None).parameter("sparsity", 0.5);
    let error = none.parameter("tensors", "nothing*").run(&store, &Functions::new()).unwrap_err();
    assert!(mgit::full_message(&error).contains("fits no tensor of run@1"), "{error}");
}

/// Two other checkpoints of the same run: weights and moments are others in both.
fn two_more(store: &Store) {
    for (name, sparsity) in [("a", 0.3), ("b", 0.6)] {
        let all = [("sparsity", Value::from(sparsity)), ("tensors", Value::from("*"))];
        let (_, said) = make(store, (name, "prune"), &["run"], &all);
        assert!(said.is_empty(), "{said:?}");
    }
}

#[test]
fn mixed_models_have_the_first_one_s_moments() {
    let (_home, store) = with_checkpoint();
    two_more(&store);
    let (a, b) = (stored_model(&store, "a"), stored_model(&store, "b"));
    assert!(changed(&a, &b).iter().any(|name| is_state(name)));
    let weight = [("weight", Value::from(vec![0.7, 0.3]))];
    for (name, parents, parameters) in [
        ("average", &["a", "b"][..], &[][..]),
        ("linear", &["a", "b"], &weight),
        ("slerp", &["a", "b"], &[]),
        ("task-arithmetic", &["run", "a", "b"], &[]),
        ("ties", &["run", "a", "b"], &[]),
    ] {
        let (made, said) = make(&store, (name, name), parents, parameters);
        assert_eq!(said, [LEFT], "{name}");
        assert!(changed(&a, &made).contains(&"state_dict.0.weight".to_owned()), "{name}");
        assert!(!changed(&a, &made).iter().any(|name| is_state(name)), "{name}");
    }
    let take = [("take", Value::from("optimizer.*=b"))];
    let (made, said) = make(&store, ("taken", "average"), &["a", "b"], &take);
    assert!(said.is_empty(), "{said:?}");
    assert!(!changed(&b, &made).iter().any(|name| is_state(name)));
}

#[test]
fn a_merge_does_not_mix_moments() {
    let (_home, store) = with_checkpoint();
    two_more(&store);
    let options = MergeOptions {
        on_conflict: Some(Resolution::Blend(Strategy::Linear)),
        ..MergeOptions::default()
    };
    let merge = Merge::new("a", "b", "merged").options(options.clone());
    let merged = merge.run(&store, RunOptions::default()).unwrap();
    let notes: Vec<&str> = merged.report.notes.iter().map(|note| note.text.as_str()).collect();
    let said = notes.iter().any(|note| note.starts_with("not mixed: "));
    assert!(said && notes.iter().any(|note| note.ends_with("taken from a@1")), "{notes:?}");
    let (a, made) = (stored_model(&store, "a"), stored_model(&store, "merged"));
    let changed = changed(&a, &made);
    assert!(changed.contains(&"state_dict.0.weight".to_owned()), "{changed:?}");
    assert!(!changed.iter().any(|name| is_state(name)), "{changed:?}");
}

/// Of any name: `torch.save({"model": .., "opt": ..})`, and a tuple of both states.
#[test]
fn optimizers_of_other_names_are_known_by_what_they_hold() {
    let (_home, _, store) = new_store();
    for (at, (name, weight, state, key)) in [
        ("dict", "model.state.w", ["opt.state.0.exp_avg", "opt.state.0.step"], "opt"),
        ("tuple", "0.w", ["1.state.w.momentum_buffer", "1.param_groups.0.lr"], "1.param_groups"),
    ]
    .into_iter()
    .enumerate()
    {
        let all = [weight, state[0], state[1]];
        let add = |name: String, seed: u64, parent: Option<&str>| {
            let model = parent
                .into_iter()
                .fold(NewModel::new(name), |model, parent| model.parent(parent, How::FineTune));
            let model = all.iter().fold(model, |model, tensor| {
                let values: Vec<f32> = (0..64).map(|n| (seed * 64 + n) as f32).collect();
                model.tensor(NewTensor::from_vec(*tensor, [8, 8], values))
            });
            write(&store, |t| t.add_model(model).map(drop)).unwrap();
        };
        add(name.to_owned(), at as u64, None);
        let sides = ["a", "b"].map(|side| format!("{name}-{side}"));
        add(sides[0].clone(), 10 + at as u64, Some(name));
        add(sides[1].clone(), 20 + at as u64, Some(name));
        let sparsity = [("sparsity", Value::from(0.5))];
        let pruned = format!("{name}-pruned");
        let (made, said) = make(&store, (&pruned, "prune"), &[name], &sparsity);
        assert!(said[0].starts_with("left as they were: 2 tensors that are the state"), "{said:?}");
        assert!(said[0].contains(key), "{said:?}");
        assert_eq!(changed(&stored_model(&store, name), &made), [weight]);
        let options = MergeOptions {
            on_conflict: Some(Resolution::Blend(Strategy::Linear)),
            ..MergeOptions::default()
        };
        let merged = format!("{name}-merged");
        let merge = Merge::new(&sides[0], &sides[1], &merged).options(options);
        merge.run(&store, RunOptions::default()).unwrap();
        let made = stored_model(&store, &merged);
        assert_eq!(changed(&stored_model(&store, &sides[0]), &made), [weight]);
    }
}

#[test]
fn rounding_leaves_moments_exact() {
    for moment in ["optimizer.state.0.exp_avg", "1.state.0.exp_avg"] {
        rounding_leaves_exact(moment);
    }
}

fn rounding_leaves_exact(moment: &str) {
    let (_home, _, store) = new_store();
    let names = ["model.w", moment];
    let base = weights(1, 4_000);
    let tuned = nudged(&base, 2, 1);
    let of = |bytes: &[u8]| names.map(|name| (name.to_owned(), bytes.to_vec())).to_vec();
    let (base, tuned) = (of(&base), of(&tuned));
    write(&store, |t| t.add_model(model("base", &[], &base)).map(drop)).unwrap();
    let lossy = model("tuned", &["base"], &tuned).lossy(Lossy::Fp16);
    write(&store, |t| t.add_model(lossy).map(drop)).unwrap();
    let kept = stored_model(&store, "tuned");
    let is_exact = names.map(|name| *kept.tensor(name).unwrap().view().unwrap() == *tuned[0].1);
    assert_eq!(is_exact, [false, true]);
}
