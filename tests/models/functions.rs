//! Promise: built-in creation functions make what their arithmetic says, bit for bit, are kept as
//! formulas where there is one, and can be made again by the recipe that is kept with the model.

use crate::common::{Random, new_store, shape, stored_model, write};
use half::f16;
use mgit::error::{LineageError, StoreError};
use mgit::update::{
    Creation, Draft, Functions, Inputs, Make, RECIPE_KEY, Recipe, UpdateError, remake,
};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Profile, Store};
use serde_json::json;

const DIMS: [u64; 2] = [40, 64];
const COUNT: usize = 40 * 64;

/// Numbers such as weights are, seeded.
fn floats(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| (random.next() >> 40) as f32 / (1u64 << 24) as f32 * 0.2 - 0.1).collect()
}

fn near(values: &[f32], seed: u64) -> Vec<f32> {
    values.iter().zip(floats(seed, values.len())).map(|(value, step)| value + step * 0.01).collect()
}

fn bytes<T: bytemuck::NoUninit>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

/// Adds a model of one matrix, a bias beside it, and a counter of integers.
fn add(store: &Store, name: &str, parents: &[&str], matrix: &[f32]) {
    add_as(store, name, parents, Dtype::F32, &bytes(matrix));
}

fn add_as(store: &Store, name: &str, parents: &[&str], dtype: Dtype, matrix: &[u8]) {
    let tensor =
        |name, dtype, dims: &[u64], bytes| NewTensor::from_bytes(name, dtype, shape(dims), bytes);
    let (bias, steps) = (bytes(&[0.5f32, -0.25]), [7u8; 8]);
    let new = parents.iter().fold(NewModel::new(name), |new, p| new.parent(*p, How::FineTune));
    let new = new
        .tensor(tensor("w", dtype, &DIMS, matrix))
        .tensor(tensor("bias", Dtype::F32, &[2], &bias))
        .tensor(tensor("steps", Dtype::I64, &[1], &steps));
    write(store, |t| t.add_model(new).map(drop)).unwrap();
}

fn matrix(store: &Store, name: &str) -> Vec<f32> {
    stored_model(store, name).tensor("w").unwrap().view().unwrap().as_slice().unwrap().to_vec()
}

/// The formula of a model's matrix; all of it must be what the formula makes.
fn formula(store: &Store, name: &str) -> Option<&'static str> {
    let stored = stored_model(store, name).tensor("w").unwrap().stored_as().unwrap();
    assert_eq!(stored.stored_len, 0, "{name}: {stored:?}");
    stored.formula
}

/// Makes a model again, twice, and compares every bit.
fn check_remake(store: &Store, name: &str) {
    let model = stored_model(store, name);
    for _ in 0..2 {
        let remade = remake(&model, &Functions::new()).unwrap();
        assert_eq!(remade.differences(&model).unwrap(), Vec::<String>::new(), "{name}");
    }
}

fn make(store: &Store, make: Make) -> Result<(), UpdateError> {
    make.run(store, &Functions::new()).map(drop)
}

#[test]
fn casts_are_formulas_and_come_back_from_their_recipe() {
    let (_folder, _, store) = new_store();
    let base = floats(1, COUNT);
    add(&store, "base", &[], &base);
    let how = |name: &str| {
        let model = stored_model(&store, name);
        model.snapshot().graph().parents(model.node().id()).unwrap()[0].how
    };
    let cast = |name: &str| Make::new(name, "cast").parent("base", None);
    make(&store, cast("half").parameter("dtype", "f16")).unwrap();
    make(&store, cast("brain").parameter("dtype", "bf16").seed(5)).unwrap();
    let half: Vec<f16> = base.iter().map(|value| f16::from_f32(*value)).collect();
    assert_eq!(*stored_model(&store, "half").tensor("w").unwrap().view().unwrap(), *bytes(&half));
    assert_eq!(stored_model(&store, "half").tensor("steps").unwrap().dtype(), &Dtype::I64);
    assert_eq!(stored_model(&store, "half").tensor("bias").unwrap().dtype(), &Dtype::F16);
    assert_eq!((formula(&store, "half"), how("half")), (Some("cast"), How::Cast));
    check_remake(&store, "half");
    check_remake(&store, "brain");
    let brain = stored_model(&store, "brain");
    let recipe = Recipe::read(&brain.snapshot().graph(), brain.node()).unwrap().unwrap();
    assert_eq!((recipe.function.as_str(), recipe.seed), ("cast", 5));
    assert_eq!(recipe.parents[0].role, "base");
    assert_eq!(recipe.parameters["dtype"], "bf16");
    assert!(recipe.environment.contains_key("mgit"));
}

#[test]
fn pruning_takes_the_smallest_magnitudes() {
    let (_folder, _, store) = new_store();
    let base = floats(2, COUNT);
    add(&store, "base", &[], &base);
    let prune = Make::new("pruned", "prune").parent("base", None);
    make(&store, prune.parameter("sparsity", 0.7)).unwrap();
    let pruned = matrix(&store, "pruned");
    let zeros = pruned.iter().filter(|value| **value == 0.0).count();
    assert_eq!(zeros, COUNT * 7 / 10);
    let mut magnitudes: Vec<f32> = base.iter().map(|value| value.abs()).collect();
    magnitudes.sort_by(f32::total_cmp);
    for (before, after) in base.iter().zip(&pruned) {
        let kept = before.abs() > magnitudes[zeros - 1];
        assert_eq!(*after, if kept { *before } else { 0.0 });
    }
    assert_eq!(formula(&store, "pruned"), Some("prune"));
    let bias = stored_model(&store, "pruned").tensor("bias").unwrap().content_id();
    assert_eq!(bias, stored_model(&store, "base").tensor("bias").unwrap().content_id());
    check_remake(&store, "pruned");
}

#[test]
fn quantising_rounds_rows_to_255_steps() {
    let (_folder, _, store) = new_store();
    let mut base = floats(3, COUNT);
    base[64..128].fill(0.0);
    base[130] = f32::INFINITY;
    base[131] = f32::NAN;
    add(&store, "base", &[], &base);
    make(&store, Make::new("int8", "quantise").parent("base", None)).unwrap();
    let made = matrix(&store, "int8");
    for (row, made) in base.chunks(64).zip(made.chunks(64)) {
        let finite = || row.iter().copied().filter(|value| value.is_finite());
        let scale = finite().fold(0.0f32, |largest, value| largest.max(value.abs())) / 127.0;
        for (before, after) in row.iter().zip(made) {
            let expected = match (before.is_finite(), scale > 0.0) {
                (false, _) => *before,
                (true, false) => 0.0,
                (true, true) => (before / scale).round_ties_even() * scale,
            };
            assert_eq!(expected.to_bits(), after.to_bits(), "{before} {after}");
        }
    }
    check_remake(&store, "int8");
}

#[test]
fn an_average_is_the_mean_of_its_parents() {
    let (_folder, _, store) = new_store();
    let parts: Vec<Vec<f32>> = (0..3).map(|seed| floats(10 + seed, COUNT)).collect();
    for (at, part) in parts.iter().enumerate() {
        add(&store, &format!("p{at}"), &[], part);
    }
    let average =
        (0..3).fold(Make::new("mean", "average"), |make, at| make.parent(format!("p{at}"), None));
    make(&store, average).unwrap();
    let mean = matrix(&store, "mean");
    for (at, mean) in mean.iter().enumerate() {
        assert_eq!(*mean, (parts[0][at] + parts[1][at] + parts[2][at]) / 3.0);
    }
    assert_eq!(formula(&store, "mean"), Some("mean"));
    check_remake(&store, "mean");
    // More parents than a formula takes: the same arithmetic, kept otherwise.
    let many = (0..9)
        .fold(Make::new("many", "average"), |make, at| make.parent(format!("p{}", at % 3), None));
    assert!(
        matches!(
            make(&store, many).unwrap_err(),
            UpdateError::Store(StoreError::Lineage(LineageError::DuplicateParent { .. }))
        ),
        "a parent is named once"
    );
}

#[test]
fn an_adapter_is_merged_by_its_scale() {
    let (_folder, _, store) = new_store();
    let base = floats(4, COUNT);
    add(&store, "base", &[], &base);
    let (left, right) = (floats(5, 40 * 4), floats(6, 4 * 64));
    let (left_bytes, right_bytes) = (bytes(&left), bytes(&right));
    let tensor =
        |name, dims: &[u64], bytes| NewTensor::from_bytes(name, Dtype::F32, shape(dims), bytes);
    let named = |name: &str, module: &str| {
        let tensors = [
            tensor(format!("base_model.model.{module}.lora_A.weight"), &[4, 64], &right_bytes),
            tensor(format!("base_model.model.{module}.lora_B.weight"), &[40, 4], &left_bytes),
        ];
        let new = tensors.into_iter().fold(NewModel::new(name), NewModel::tensor);
        write(&store, |t| t.add_model(new).map(drop)).unwrap();
    };
    // A base whose matrix is called as adapters want it.
    let weights = bytes(&base);
    let new = NewModel::new("named").tensor(tensor("q.weight".to_owned(), &DIMS, &weights));
    write(&store, |t| t.add_model(new).map(drop)).unwrap();
    named("adapter", "q");
    named("other", "k");
    let merge = |adapter: &str| {
        Make::new("merged", "lora-merge").parent("named", None).parent(adapter, None)
    };
    make(&store, merge("adapter").parameter("alpha", 8)).unwrap();
    let merged = stored_model(&store, "merged").tensor("q.weight").unwrap();
    let view = merged.view().unwrap();
    for (at, value) in view.as_slice::<f32>().unwrap().iter().enumerate() {
        let (row, column) = (at / 64, at % 64);
        let product =
            (0..4).fold(0.0f32, |sum, k| left[row * 4 + k].mul_add(right[k * 64 + column], sum));
        assert_eq!(*value, base[at] + product * 2.0);
    }
    assert_eq!(merged.stored_as().unwrap().formula, Some("lora"));
    check_remake(&store, "merged");
    type Is = fn(&UpdateError) -> bool;
    let is_of_inputs: Is = |error| matches!(error, UpdateError::Inputs { .. });
    let is_of_parameter: Is = |error| matches!(error, UpdateError::Parameter { .. });
    let is_of_tensor: Is = |error| matches!(error, UpdateError::Tensor { .. });
    for (adapter, parameters, is_right) in [
        ("other", json!({ "scale": 1 }), is_of_tensor),
        ("base", json!({ "scale": 1 }), is_of_inputs),
        ("adapter", json!({}), is_of_parameter),
        ("adapter", json!({ "scale": 1, "alpha": 1 }), is_of_parameter),
        ("adapter", json!({ "scale": "1" }), is_of_parameter),
    ] {
        let parameters = parameters.as_object().unwrap().clone();
        let new = parameters.into_iter().fold(merge(adapter), |new, (k, v)| new.parameter(k, v));
        let error = make(&store, new).unwrap_err();
        assert!(is_right(&error), "{error}");
    }
}

#[test]
fn a_rebase_adds_what_the_child_has_learned() {
    let (_folder, _, store) = new_store();
    let old = floats(7, COUNT);
    let (new, child) = (near(&old, 8), near(&old, 9));
    add(&store, "base", &[], &old);
    add(&store, "child", &["base"], &child);
    add(&store, "base", &[], &new);
    let rebase = |name: &str| Make::new(name, "rebase").parent("base@2", None).old("child@1");
    make(&store, rebase("child")).unwrap();
    let made = matrix(&store, "child@2");
    for (at, made) in made.iter().enumerate() {
        assert_eq!(*made, new[at] + (child[at] - old[at]));
    }
    assert_eq!(formula(&store, "child@2"), Some("task-vector"));
    check_remake(&store, "child@2");
    // What a parent has not changed stays bit for bit, what the child had from it is the new one's.
    add(&store, "same", &["base@1"], &old);
    make(&store, Make::new("same", "rebase").parent("base@2", None).old("same@1")).unwrap();
    assert_eq!(matrix(&store, "same@2"), new);
    add(&store, "base", &[], &old);
    make(&store, Make::new("back", "rebase").parent("base@3", None).old("child@1")).unwrap();
    assert_eq!(matrix(&store, "back"), child);
}

#[test]
fn a_rebase_of_another_type_is_rounded_once_and_of_several_parents_takes_the_mean() {
    let (_folder, _, store) = new_store();
    let old = floats(17, COUNT);
    let (new, child) = (near(&old, 18), near(&old, 19));
    let half: Vec<f16> = child.iter().map(|value| f16::from_f32(*value)).collect();
    add(&store, "base", &[], &old);
    add_as(&store, "half", &["base"], Dtype::F16, &bytes(&half));
    add(&store, "base", &[], &new);
    make(&store, Make::new("half", "rebase").parent("base@2", None).old("half@1")).unwrap();
    let view = stored_model(&store, "half@2").tensor("w").unwrap().view().unwrap();
    for (at, made) in view.as_slice::<f16>().unwrap().iter().enumerate() {
        let sum = f64::from(new[at]) + (f64::from(half[at]) - f64::from(old[at]));
        assert_eq!(*made, f16::from_f32(sum as f32));
    }
    check_remake(&store, "half@2");

    let other = floats(20, COUNT);
    let new_other = near(&other, 21);
    add(&store, "other", &[], &other);
    let both: Vec<f32> = old.iter().zip(&other).map(|(a, b)| (a + b) / 2.0).collect();
    add(&store, "both", &["base@1", "other"], &both);
    add(&store, "other", &[], &new_other);
    let new_both = Make::new("both", "rebase").parent("base@2", None).parent("other@2", None);
    make(&store, new_both.old("both@1")).unwrap();
    for (at, made) in matrix(&store, "both@2").iter().enumerate() {
        let step = |new: &[f32], old: &[f32]| f64::from(new[at]) - f64::from(old[at]);
        let sum = step(&new, &old) + step(&new_other, &other);
        assert_eq!(*made, (f64::from(both[at]) + sum / 2.0) as f32);
    }
    check_remake(&store, "both@2");
}

#[test]
fn what_cannot_be_made_says_why_and_leaves_nothing() {
    let (_folder, _, store) = new_store();
    add(&store, "base", &[], &floats(30, COUNT));
    let (raw, steps) = (bytes(&floats(31, COUNT)), [8u8; 8]);
    let other = NewModel::new("other")
        .tensor(NewTensor::from_bytes("w", Dtype::F32, shape(&DIMS), &raw))
        .tensor(NewTensor::from_bytes("bias", Dtype::F32, shape(&[2]), &raw[..8]))
        .tensor(NewTensor::from_bytes("steps", Dtype::I8, shape(&[8]), &steps));
    write(&store, |t| t.add_model(other).map(drop)).unwrap();
    let before = store.snapshot().unwrap().sequence();
    let of = |function: &str| Make::new("x", function).parent("base", None);
    type Is = fn(&UpdateError) -> bool;
    let is_of_inputs: Is = |error| matches!(error, UpdateError::Inputs { .. });
    let is_of_parameter: Is = |error| matches!(error, UpdateError::Parameter { .. });
    let is_of_tensor: Is = |error| matches!(error, UpdateError::Tensor { .. });
    let is_no_function: Is = |error| matches!(error, UpdateError::NoSuchFunction { .. });
    let is_no_model: Is = |error| {
        matches!(error, UpdateError::Store(StoreError::Lineage(LineageError::NoSuchModel { .. })))
    };
    for (new, is_right) in [
        (of("nothing"), is_no_function),
        (of("cast"), is_of_parameter),
        (of("cast").parameter("dtype", "i8"), is_of_parameter),
        (of("cast").parameter("dtype", "f16").parameter("x", 1), is_of_parameter),
        (of("prune").parameter("sparsity", 1.5), is_of_parameter),
        (of("quantise").parent("other", None), is_of_inputs),
        (of("average"), is_of_inputs),
        (of("average").parent("other", None), is_of_tensor),
        (of("rebase"), is_of_inputs),
        (of("rebase").old("other"), is_of_inputs),
        (Make::new("x", "cast").parent("gone", None), is_no_model),
    ] {
        let error = make(&store, new.clone()).unwrap_err();
        assert!(is_right(&error), "{new:?}: {error}");
    }
    let panics = Functions::new().with("panics", |_: &Inputs| panic!("on purpose"));
    let error = of("panics").run(&store, &panics).unwrap_err();
    assert_eq!(error.to_string(), "it panicked: on purpose");
    let wrong = Functions::new().with("wrong", |_: &Inputs| {
        let lazy = || Err(UpdateError::failed("no bytes"));
        let tensor = mgit::update::DraftTensor::lazy("w", Dtype::F32, shape(&[2]), 8, lazy);
        Ok(Draft::new().tensor(tensor))
    });
    let error = of("wrong").run(&store, &wrong).unwrap_err();
    assert!(mgit::full_message(&error).ends_with("no bytes"), "{error}");
    assert_eq!(store.snapshot().unwrap().sequence(), before);
}

#[test]
fn a_recipe_whose_inputs_are_gone_or_that_is_none_is_an_error() {
    let (_folder, _, store) = new_store();
    add(&store, "base", &[], &floats(40, COUNT));
    let cast = Make::new("half", "cast").parent("base", None).parameter("dtype", "f16");
    make(&store, cast).unwrap();
    let refused = |name: &str| remake(&stored_model(&store, name), &Functions::new()).unwrap_err();
    assert!(matches!(refused("base"), UpdateError::NoRecipe { .. }));
    write(&store, |t| t.remove_model("base", OnChildren::Detach).map(drop)).unwrap();
    assert!(matches!(refused("half"), UpdateError::InputGone { .. }));
    for bad in [json!(1), json!({ "function": "cast" })] {
        let metadata = [(RECIPE_KEY.to_owned(), bad)].into_iter().collect();
        write(&store, |t| t.set_metadata("half", metadata)).unwrap();
        assert!(matches!(refused("half"), UpdateError::BadRecipe { .. }));
    }
}

#[test]
fn a_function_in_process_is_remade_by_a_program_that_knows_it() {
    struct Noise;
    impl Creation for Noise {
        fn takes_old(&self, _: &Inputs) -> bool {
            false
        }
        fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError> {
            let scale = inputs.number("scale")?.unwrap_or(1.0) as f32;
            let noise = floats(inputs.seed, COUNT);
            let base = inputs.parent("base")?.tensor("w")?.view()?.as_slice::<f32>()?.to_vec();
            let sum = base.iter().zip(noise).map(|(base, noise)| base + noise * scale).collect();
            Draft::new().floats("w", DIMS, sum)
        }
    }
    let (_folder, _, store) = new_store();
    add(&store, "base", &[], &floats(50, COUNT));
    let functions = Functions::new().with("noise", Noise);
    let new = Make::new("noisy", "noise").parent("base", Some(How::Distil)).profile(Profile::Dense);
    new.parameter("scale", 0.5).run(&store, &functions).unwrap();
    let noisy = stored_model(&store, "noisy");
    let remade = remake(&noisy, &functions).unwrap();
    assert!(remade.differences(&noisy).unwrap().is_empty());
    assert_eq!(remade.recipe.parameters["scale"], 0.5);
    // Unknown to others; and a function that has become another is found out.
    let error = remake(&noisy, &Functions::new()).unwrap_err();
    assert!(matches!(error, UpdateError::NoSuchFunction { .. }));
    let changed = Functions::new().with("noise", |inputs: &Inputs| {
        Draft::new().floats("w", DIMS, vec![inputs.seed as f32; COUNT])?.floats("b", [0], vec![])
    });
    let remade = remake(&noisy, &changed).unwrap();
    assert_eq!(remade.differences(&noisy).unwrap(), ["w", "b"]);
}
