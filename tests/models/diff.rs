//! Promise: a diff reads the tensors that differ and nothing more, and its numbers are those of
//! element-by-element arithmetic.

use crate::common::{add, new_store, weights};
use mgit::diff::{Change, LayerGraph, Mode, diff, diff_contents, divergence};
use mgit::half::bf16;
use mgit::{Dtype, NewModel, NewTensor, Shape, Store};
use proptest::prelude::*;

fn tensor<'a>(name: &str, dtype: Dtype, dims: &[u64], bytes: &'a [u8]) -> NewTensor<'a> {
    NewTensor::from_bytes(name, dtype, Shape::new(dims).unwrap(), bytes)
}

/// A chain of eight matrices and a bias each.
fn model<'a>(name: &str, layers: &'a [Vec<u8>], bias: &'a [u8]) -> NewModel<'a> {
    let mut model = NewModel::new(name);
    for (at, layer) in layers.iter().enumerate() {
        model = model
            .tensor(tensor(&format!("layers.{at}.bias"), Dtype::F32, &[64], bias))
            .tensor(tensor(&format!("layers.{at}.weight"), Dtype::F32, &[256, 64], layer));
    }
    model
}

#[test]
fn one_changed_layer_is_all_that_is_read() {
    let (_home, _, store) = new_store();
    let bias = weights(99, 64);
    let mut layers: Vec<Vec<u8>> = (0..8).map(|at| weights(at, 256 * 64)).collect();
    add(&store, model("a", &layers, &bias)).unwrap();
    layers[3] = weights(77, 256 * 64);
    add(&store, model("b", &layers, &bias)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let (a, b) = (snapshot.model("a").unwrap(), snapshot.model("b").unwrap());
    let found = diff(&a, &b).unwrap();
    assert_eq!(found.bytes_read, 2 * 256 * 64 * 4);
    assert_eq!((found.unchanged, found.layers().len()), (7, 1));
    let change = found.layers().next().unwrap();
    assert_eq!((change.change, change.to.as_deref()), (Change::Changed, Some("layers.3")));
    // Of seven edges two touch the layer.
    assert_eq!((found.structural, found.contextual), (0.0, 2.0 / 7.0));
    // The contents' ids tell as much without any value.
    let told = diff_contents(&a, &b).unwrap();
    assert_eq!((told.bytes_read, told.unchanged, told.layers().len()), (0, 7, 1));
    let tensor = &told.layers().next().unwrap().tensors[0];
    assert_eq!((&tensor.from, tensor.distance), (&change.tensors[0].from, None));
    let same = diff(&a, &a).unwrap();
    assert_eq!((same.bytes_read, same.layers().len(), same.contextual), (0, 0, 0.0));
}

#[test]
fn what_was_added_and_removed_is_named() {
    let (_home, _, store) = new_store();
    let bias = weights(99, 64);
    let layers: Vec<Vec<u8>> = (0..3).map(|at| weights(at, 256 * 64)).collect();
    add(&store, model("a", &layers, &bias)).unwrap();
    let head = weights(5, 640);
    let head = tensor("classifier.weight", Dtype::F32, &[10, 64], &head);
    add(&store, model("b", &layers[..2], &bias).tensor(head)).unwrap();
    add(&store, NewModel::new("empty")).unwrap();
    let snapshot = store.snapshot().unwrap();
    let [a, b, empty] = ["a", "b", "empty"].map(|name| snapshot.model(name).unwrap());
    let found = diff(&a, &b).unwrap();
    let layers: Vec<_> = found.layers().collect();
    let names: Vec<_> = layers
        .iter()
        .map(|layer| (layer.change, layer.from.as_deref(), layer.to.as_deref()))
        .collect();
    let expected =
        [(Change::Added, None, Some("classifier")), (Change::Removed, Some("layers.2"), None)];
    assert_eq!((names, found.bytes_read), (expected.to_vec(), 0));
    assert_eq!(diff(&a, &empty).unwrap().contextual, 1.0);
    assert_eq!(diff(&empty, &empty).unwrap().contextual, 0.0);
    let graphs = [&a, &b].map(|model| LayerGraph::of(model).unwrap());
    // One of two edges of each is kept.
    assert_eq!(divergence(&graphs[0], &graphs[1], Mode::Structural), 2.0 / 4.0);
}

fn pair_of(store: &Store, a: NewTensor<'_>, b: NewTensor<'_>) -> mgit::diff::ModelDiff {
    add(store, NewModel::new("x").tensor(a)).unwrap();
    add(store, NewModel::new("y").tensor(b)).unwrap();
    let snapshot = store.snapshot().unwrap();
    diff(&snapshot.model("x").unwrap(), &snapshot.model("y").unwrap()).unwrap()
}

#[test]
fn a_cast_is_compared_by_value() {
    let (_home, _, store) = new_store();
    let values = [1.0f32, -2.5, 0.1, 3.0];
    let cast = values.map(bf16::from_f32);
    let a = tensor("w", Dtype::F32, &[4], mgit::bytemuck::cast_slice(&values));
    let b = tensor("w", Dtype::Bf16, &[4], mgit::bytemuck::cast_slice(&cast));
    let found = pair_of(&store, a, b);
    let distance = found.layers().next().unwrap().tensors[0].distance.unwrap();
    let off = f64::from(bf16::from_f32(0.1).to_f32()) - f64::from(0.1f32);
    assert_eq!((distance.changed, distance.bits), (1, None));
    assert_eq!((distance.max, distance.l2), (off.abs(), off.abs()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn numbers_are_those_of_arithmetic(
        pairs in proptest::collection::vec(
            (-4.0f32..4.0, prop_oneof![Just(0.0f32), -1.0f32..1.0]),
            1..300,
        )
    ) {
        let a: Vec<f32> = pairs.iter().map(|(value, _)| *value).collect();
        let b: Vec<f32> = pairs.iter().map(|(value, step)| value + step).collect();
        prop_assume!(a != b);
        let (_home, _, store) = new_store();
        let dims = [a.len() as u64];
        let found = pair_of(
            &store,
            tensor("w", Dtype::F32, &dims, mgit::bytemuck::cast_slice(&a)),
            tensor("w", Dtype::F32, &dims, mgit::bytemuck::cast_slice(&b)),
        );
        let distance = found.layers().next().unwrap().tensors[0].distance.unwrap();
        let both = || a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let near = |found: f64, expected: f64| {
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
        };
        let changed = a.iter().zip(&b).filter(|(a, b)| a.to_bits() != b.to_bits()).count() as u64;
        let bits = a.iter().zip(&b).map(|(a, b)| (a.to_bits() ^ b.to_bits()).count_ones());
        let bits: u32 = bits.sum();
        prop_assert_eq!(distance.changed, changed);
        prop_assert_eq!(distance.bits, Some(u64::from(bits)));
        prop_assert!(near(distance.l2, both().map(|(a, b)| (b - a).powi(2)).sum::<f64>().sqrt()));
        prop_assert!(near(distance.max, both().map(|(a, b)| (b - a).abs()).fold(0.0, f64::max)));
        let dot: f64 = both().map(|(a, b)| a * b).sum();
        let norms: f64 = both().map(|(a, _)| a * a).sum::<f64>()
            * both().map(|(_, b)| b * b).sum::<f64>();
        prop_assert!(near(distance.cosine, dot / norms.sqrt()));
        prop_assert_eq!(found.bytes_read, 8 * a.len() as u64);
    }
}
