//! Promise: models are mixed as the published formulas say, bit for bit, on any number of them,
//! whatever their types and in whatever pieces; what is random is decided by seed and place alone.

use crate::common::{Random, new_store, shape, write};
use half::{bf16, f16};
use mgit::update::{Functions, Make, UpdateError, remake};
use mgit::{Dtype, NewModel, NewTensor, Store};
use serde_json::{Value, json};

const NAMES: [&str; 2] = ["a.weight", "b.weight"];

/// Weights, some of them equal in magnitude, some zero.
fn weights(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| (random.below(401) as f32 - 200.0) / 1024.0).collect()
}

/// What lies in the store for these numbers, and what they are there.
fn stored(dtype: &Dtype, values: &[f32]) -> (Vec<u8>, Vec<f64>) {
    let each = |value: &f32| -> (Vec<u8>, f64) {
        match dtype {
            Dtype::F16 => {
                let value = f16::from_f32(*value);
                (value.to_le_bytes().to_vec(), value.to_f64())
            }
            Dtype::Bf16 => {
                let value = bf16::from_f32(*value);
                (value.to_le_bytes().to_vec(), value.to_f64())
            }
            Dtype::F64 => {
                let value = f64::from(*value) * 1.000_000_1;
                (value.to_le_bytes().to_vec(), value)
            }
            _ => (value.to_le_bytes().to_vec(), f64::from(*value)),
        }
    };
    let (bytes, numbers): (Vec<Vec<u8>>, Vec<f64>) = values.iter().map(each).unzip();
    (bytes.concat(), numbers)
}

fn rounded(dtype: &Dtype, values: &[f64]) -> Vec<u8> {
    let each = |value: &f64| match dtype {
        Dtype::F16 => f16::from_f32(*value as f32).to_le_bytes().to_vec(),
        Dtype::Bf16 => bf16::from_f32(*value as f32).to_le_bytes().to_vec(),
        Dtype::F64 => value.to_le_bytes().to_vec(),
        _ => (*value as f32).to_le_bytes().to_vec(),
    };
    values.iter().flat_map(each).collect()
}

/// The places of the `density` largest magnitudes, by sorting: of equal ones the first.
fn largest(values: &[f64], density: f64) -> Vec<bool> {
    let count = ((density * values.len() as f64) as usize).max(1);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| (values[*b].abs() as f32).total_cmp(&(values[*a].abs() as f32)));
    let mut kept = vec![false; values.len()];
    order[..count].iter().for_each(|at| kept[*at] = true);
    kept
}

/// What the documentation says of the generator, written down a second time.
fn random_kept(seed: u64, model: u64, tensor: &str, count: usize, density: f64) -> Vec<bool> {
    let text = [b"mgit dare 1\0", &seed.to_le_bytes()[..], &model.to_le_bytes(), tensor.as_bytes()];
    let hash = blake3::hash(&text.concat());
    let mut random = Random(u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()));
    (0..count).map(|_| ((random.next() >> 11) as f64) / 2f64.powi(53) < density).collect()
}

/// The published formulas, whole vectors at a time.
fn oracle(
    strategy: &str,
    (tensor, seed): (&str, u64),
    base: &[f64],
    models: &[Vec<f64>],
    (weights, density): (&[f64], f64),
) -> Vec<f64> {
    let count = base.len();
    let total: f64 = weights.iter().sum();
    let deltas: Vec<Vec<f64>> =
        models.iter().map(|model| model.iter().zip(base).map(|(x, b)| x - b).collect()).collect();
    let mut out = Vec::new();
    match strategy {
        "linear" => {
            for at in 0..count {
                let sum: f64 = models.iter().zip(weights).fold(0.0, |s, (m, w)| s + w * m[at]);
                out.push(sum / total);
            }
        }
        "task-arithmetic" => {
            for at in 0..count {
                let sum = deltas.iter().zip(weights).fold(0.0, |s, (d, w)| s + w * d[at]);
                out.push(base[at] + sum);
            }
        }
        "ties" => {
            let kept: Vec<Vec<bool>> = deltas.iter().map(|delta| largest(delta, density)).collect();
            for at in 0..count {
                let trimmed: Vec<f64> = (0..models.len())
                    .map(|m| if kept[m][at] { weights[m] * deltas[m][at] } else { 0.0 })
                    .collect();
                let sign = if trimmed.iter().sum::<f64>() >= 0.0 { 1.0 } else { -1.0 };
                let agree: Vec<usize> =
                    (0..models.len()).filter(|m| trimmed[*m] * sign > 0.0).collect();
                let sum: f64 = agree.iter().map(|m| trimmed[*m]).sum();
                let weight: f64 = agree.iter().map(|m| weights[*m]).sum();
                out.push(base[at] + if agree.is_empty() { 0.0 } else { sum / weight });
            }
        }
        "dare" => {
            let kept: Vec<Vec<bool>> = (0..models.len())
                .map(|m| random_kept(seed, m as u64, tensor, count, density))
                .collect();
            for at in 0..count {
                let mut sum = 0.0;
                for m in 0..models.len() {
                    if kept[m][at] {
                        sum += weights[m] * (deltas[m][at] / density);
                    }
                }
                out.push(base[at] + sum);
            }
        }
        _ => unreachable!(),
    }
    out
}

fn add(store: &Store, name: &str, dtype: &Dtype, tensors: &[Vec<u8>]) {
    let mut new = NewModel::new(name);
    for (name, bytes) in NAMES.iter().zip(tensors) {
        let dims = [bytes.len() as u64 / dtype.lane_bytes() as u64];
        new = new.tensor(NewTensor::from_bytes(*name, dtype.clone(), shape(&dims), bytes));
    }
    write(store, |t| t.add_model(new).map(drop)).unwrap();
}

fn tensor_bytes(store: &Store, model: &str, tensor: &str) -> Vec<u8> {
    let model = store.snapshot().unwrap().model(model).unwrap();
    model.tensor(tensor).unwrap().view().unwrap().to_vec()
}

fn make(store: &Store, make: Make) -> Result<(), UpdateError> {
    make.run(store, &Functions::new()).map(drop)
}

/// Every strategy on three models, of lengths around a piece and a block, in every type.
#[test]
fn the_strategies_are_the_published_formulas() {
    let piece = 1 << 18;
    for (dtype, counts) in [
        (Dtype::F32, [1usize, piece + 4097]),
        (Dtype::F16, [5000, 37]),
        (Dtype::Bf16, [4096, 8193]),
        (Dtype::F64, [3000, 2]),
    ] {
        let (_folder, _, store) = new_store();
        let mut numbers: Vec<Vec<Vec<f64>>> = Vec::new();
        for (at, name) in ["base", "m0", "m1", "m2"].iter().enumerate() {
            let made: Vec<_> = counts
                .iter()
                .enumerate()
                .map(|(tensor, count)| {
                    stored(&dtype, &weights(7 * at as u64 + tensor as u64, *count))
                })
                .collect();
            let (bytes, values): (Vec<_>, Vec<_>) = made.into_iter().unzip();
            add(&store, name, &dtype, &bytes);
            numbers.push(values);
        }
        let (all, few) = ([1.0, 0.5, 2.0], [0.25, 0.0, 1.0]);
        for strategy in ["linear", "task-arithmetic", "ties", "dare"] {
            let mut new = Make::new(strategy, strategy).seed(9).parameter("weight", json!(all));
            let mut glob = json!({ "weight": few });
            if ["ties", "dare"].contains(&strategy) {
                new = new.parameter("density", 0.3);
                glob["density"] = json!(0.7);
            }
            // The second glob fits too, but the first one that fits counts.
            new = new.parameter("globs", json!([["b.*", glob], ["b*", { "weight": 0 }]]));
            if strategy != "linear" {
                new = new.parent("base", None);
            }
            new = ["m0", "m1", "m2"].iter().fold(new, |new, name| new.parent(*name, None));
            make(&store, new).unwrap();
            for (at, tensor) in NAMES.iter().enumerate() {
                let models: Vec<Vec<f64>> = numbers[1..].iter().map(|it| it[at].clone()).collect();
                let settings = if at == 0 { (&all[..], 0.3) } else { (&few[..], 0.7) };
                let wanted = oracle(strategy, (tensor, 9), &numbers[0][at], &models, settings);
                let found = tensor_bytes(&store, strategy, tensor);
                assert!(found == rounded(&dtype, &wanted), "{strategy} {tensor} {dtype}");
            }
            let model = store.snapshot().unwrap().model(strategy).unwrap();
            let remade = remake(&model, &Functions::new()).unwrap();
            assert_eq!(remade.differences(&model).unwrap(), Vec::<String>::new(), "{strategy}");
        }
    }
}

/// Against the library's own sine and arc cosine: to the rounding of single precision.
#[test]
fn slerp_is_on_the_arc() {
    let (_folder, _, store) = new_store();
    let parts: Vec<Vec<Vec<f32>>> =
        (0..2).map(|m| vec![weights(m, 9000), weights(m + 5, 300)]).collect();
    for (name, part) in ["a", "b"].iter().zip(&parts) {
        let bytes: Vec<_> = part.iter().map(|values| stored(&Dtype::F32, values).0).collect();
        add(&store, name, &Dtype::F32, &bytes);
    }
    for t in [0.0, 0.3, 1.0] {
        let new = Make::new("arc", "slerp").parent("a", None).parent("b", None);
        make(&store, new.parameter("t", t)).unwrap();
        for (at, tensor) in NAMES.iter().enumerate() {
            let of = |m: usize| parts[m][at].iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            let (a, b) = (of(0), of(1));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let angle = (dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()).acos();
            let (x, y) = (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin());
            let found = tensor_bytes(&store, "arc", tensor);
            for (at, found) in found.as_chunks().0.iter().enumerate() {
                let (found, wanted) = (f32::from_le_bytes(*found), x * a[at] + y * b[at]);
                assert!((f64::from(found) - wanted).abs() <= 1e-7 * wanted.abs().max(0.01));
            }
        }
    }
    // Nearly one direction: the straight line, to the bit.
    let near: Vec<f32> = parts[0][0].iter().map(|x| x * 1.5).collect();
    let tensors = [&near, &parts[0][1]].map(|values| stored(&Dtype::F32, values).0);
    add(&store, "near", &Dtype::F32, &tensors);
    let new = Make::new("line", "slerp").parent("a", None).parent("near", None);
    make(&store, new.parameter("t", 0.25)).unwrap();
    let line = |(a, b): (&f32, &f32)| 0.75 * f64::from(*a) + 0.25 * f64::from(*b);
    let wanted: Vec<f64> = parts[0][0].iter().zip(&near).map(line).collect();
    assert!(tensor_bytes(&store, "line", NAMES[0]) == rounded(&Dtype::F32, &wanted));
}

#[test]
fn what_a_strategy_does_not_take_is_refused() {
    let (_folder, _, store) = new_store();
    for (seed, name) in ["base", "a", "b"].iter().enumerate() {
        let bytes = [10, 20].map(|count| stored(&Dtype::F32, &weights(seed as u64, count)).0);
        add(&store, name, &Dtype::F32, &bytes);
    }
    add(&store, "short", &Dtype::F32, &[vec![0; 40], vec![0; 40]]);
    let try_one = |strategy: &str, parents: &[&str], parameters: Value| {
        let mut new = Make::new("x", strategy);
        new = parents.iter().fold(new, |new, parent| new.parent(*parent, None));
        for (key, value) in parameters.as_object().unwrap() {
            new = new.parameter(key, value.clone());
        }
        make(&store, new)
    };
    type Is = fn(&UpdateError) -> bool;
    let is_of_inputs: Is = |error| matches!(error, UpdateError::Inputs { .. });
    let is_of_parameter: Is = |error| matches!(error, UpdateError::Parameter { .. });
    let is_of_tensor: Is = |error| matches!(error, UpdateError::Tensor { .. });
    for (strategy, parents, parameters, is_right) in [
        ("linear", &["a"][..], json!({}), is_of_inputs),
        ("slerp", &["a", "b", "base"], json!({}), is_of_inputs),
        ("ties", &["base"], json!({}), is_of_inputs),
        ("ties", &["base", "a"], json!({ "density": 0 }), is_of_parameter),
        ("ties", &["base", "a"], json!({ "density": 1.5 }), is_of_parameter),
        ("dare", &["base", "a", "b"], json!({ "density": [0.5] }), is_of_parameter),
        ("linear", &["a", "b"], json!({ "density": 0.5 }), is_of_parameter),
        ("linear", &["a", "b"], json!({ "weight": [1, "x"] }), is_of_parameter),
        ("linear", &["a", "b"], json!({ "globs": { "a": {} } }), is_of_parameter),
        ("linear", &["a", "b"], json!({ "globs": [["a", { "x": 1 }]] }), is_of_parameter),
        ("slerp", &["a", "b"], json!({ "weight": [1, -1] }), is_of_parameter),
        ("linear", &["a", "short"], json!({}), is_of_tensor),
    ] {
        let error = try_one(strategy, parents, parameters).unwrap_err();
        assert!(is_right(&error), "{strategy} {parents:?}: {error}");
    }
    // An infinity, and a difference that is no number: no panic, and the same NaN everywhere.
    let bytes: Vec<u8> =
        [f32::INFINITY, f32::NAN, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for name in ["odd", "even"] {
        let (a, b) = (bytes.clone(), if name == "odd" { vec![0; 12] } else { vec![1; 12] });
        add(&store, name, &Dtype::F32, &[a, b]);
    }
    try_one("ties", &["even", "odd"], json!({ "density": 0.4 })).unwrap();
    add(&store, "finite", &Dtype::F32, &[vec![0; 12], vec![0; 12]]);
    try_one("linear", &["odd", "finite"], json!({})).unwrap();
    let found = tensor_bytes(&store, "x", NAMES[0]);
    assert_eq!(found[4..8], 0x7fc0_0000u32.to_le_bytes());
}
