//! Promise: strategies and 8-bit rows are what mergekit, PEFT, bitsandbytes and torchao make of the
//! same models. `tests/oracles/make.py` made the files with these libraries; `cases.json` names them.
//!
//! The libraries work in the type of the tensors, mgit in double precision with one rounding at the
//! end. So what they make of F64 is the same to the bit, where the order of the operations is; of F32
//! it is as near as their roundings allow.

use std::path::{Path, PathBuf};

use crate::common::{add, new_store, stored_model};
use mgit::interchange::ModelSource;
use mgit::tensor::number;
use mgit::update::{Functions, Make};
use mgit::{Dtype, How, Model, NewModel, Store};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(name)
}

fn import(store: &Store, name: &str) -> Model {
    let file = ModelSource::open(fixture(&format!("{name}.safetensors"))).unwrap();
    add(store, NewModel::new(name).source(&file)).unwrap();
    stored_model(store, name)
}

fn numbers(model: &Model, name: &str) -> Vec<f64> {
    let tensor = model.tensor(name).unwrap();
    let (dtype, view) = (tensor.dtype(), tensor.view().unwrap());
    view.chunks(dtype.lane_bytes()).map(|element| number(dtype, element)).collect()
}

/// By how much of the largest magnitude of the tensor an element may be off.
fn bound(case: &str, dtype: &Dtype) -> f64 {
    match dtype {
        // Two ways to round a sum of four, each step by at most 2^-24 of what is added so far.
        Dtype::F32 => 4.0 * 2f64.powi(-24),
        // Rounded to single precision by both, then to a mantissa of eight bits.
        Dtype::Bf16 => 2f64.powi(-8),
        // The project's own sines, and the dot product in another order.
        Dtype::F64 if case.starts_with("slerp") => 16.0 * 2f64.powi(-53),
        // mergekit rounds the differences of F64 to single precision before it drops some.
        Dtype::F64 if case.starts_with("dare") => 4.0 * 2f64.powi(-24),
        _ => 0.0,
    }
}

#[test]
fn strategies_make_what_other_libraries_make() {
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 15);
    for case in &cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let (name, strategy) = (text("name"), text("strategy"));
        let (_folder, _, store) = new_store();
        let wanted = import(&store, name);
        let mut new = Make::new("x", strategy).seed(case["seed"].as_u64().unwrap_or_default());
        for parent in case["parents"].as_array().unwrap() {
            import(&store, parent.as_str().unwrap());
            new = new.parent(parent.as_str().unwrap(), None);
        }
        for (key, value) in case["parameters"].as_object().unwrap() {
            new = new.parameter(key, value.clone());
        }
        new.run(&store, &Functions::new()).unwrap();
        for tensor in wanted.tensors() {
            let found = numbers(&stored_model(&store, "x"), tensor.name());
            let mut wanted = numbers(&wanted, tensor.name());
            if case["per_tensor_factor"] == true {
                let base = numbers(&stored_model(&store, "base"), tensor.name());
                rescale(&mut wanted, &base, &found);
            }
            let largest = found.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()));
            let bound = bound(name, tensor.dtype()) * largest;
            assert_eq!(found.len(), wanted.len());
            let off = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs());
            let off = off.fold(0.0, f64::max);
            assert!(off <= bound, "{name} {}: {off:e} {bound:e}", tensor.name());
        }
    }
}

/// mergekit gives a difference of which parts were dropped the sum of magnitudes that it had; the
/// paper, and mgit, divide by the density. One factor for all elements of a tensor makes the one of
/// the other: it is taken from the sums.
fn rescale(wanted: &mut [f64], base: &[f64], found: &[f64]) {
    let sum = |values: &[f64]| -> f64 {
        values.iter().zip(base).map(|(value, base)| (value - base).abs()).sum()
    };
    let factor = sum(found) / sum(wanted);
    assert!((0.5..2.0).contains(&factor), "{factor}");
    for (value, base) in wanted.iter_mut().zip(base) {
        *value = base + (*value - base) * factor;
    }
}

/// A model of the integers that a library made of rows of floats costs nothing beside the floats.
#[test]
fn rows_of_other_libraries_integers_cost_a_row() {
    let (_folder, _, store) = new_store();
    import(&store, "int8-base");
    for name in ["int8-bitsandbytes", "int8-torchao"] {
        let file = ModelSource::open(fixture(&format!("{name}.safetensors"))).unwrap();
        let new = NewModel::new(name).parent("int8-base", How::Quantise).source(&file);
        add(&store, new).unwrap();
        let stored = stored_model(&store, name);
        assert_eq!(stored.tensors().len(), 3);
        for tensor in stored.tensors() {
            let how = tensor.stored_as().unwrap();
            let found = (how.formula, how.stored_len);
            assert_eq!(found, (Some("absmax-int8"), 0), "{name} {}", tensor.name());
        }
    }
}

/// The two bring a step and its size together in another order, each with two roundings.
#[test]
fn quantised_rows_are_those_of_bitsandbytes() {
    let (_folder, _, store) = new_store();
    import(&store, "int8-base");
    let wanted = numbers(&import(&store, "int8-back"), "f32");
    let new = Make::new("x", "quantise").parent("int8-base", None);
    new.run(&store, &Functions::new()).unwrap();
    let found = numbers(&stored_model(&store, "x"), "f32");
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() <= 2f64.powi(-22) * wanted.abs(), "{found} {wanted}");
    }
}
