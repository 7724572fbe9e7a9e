//! Promise: after a repack a model that is a formula of others adds a row to what they take,
//! whichever came first, and the file's contents are as they were.

use crate::common::{assert_rows_add_up, contents, new_store, tensor_rows, trained, write};
use half::{bf16, f16};
use mgit::codec::formula::Formula;
use mgit::store::Repack;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Shape, Store};

const ROWS: usize = 160;
const COLUMNS: usize = 64;
const RANK: usize = 4;
const LAYER: &str = "layer.0.query.weight";

/// A model of one or two tensors.
struct Made {
    name: &'static str,
    parents: &'static [&'static str],
    dtype: Dtype,
    tensors: Vec<(&'static str, [usize; 2], Vec<u8>)>,
}

pub(super) fn bytes_of<T: bytemuck::NoUninit>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

/// A trained matrix of so many rows.
fn weights(seed: u64, rows: usize) -> Vec<f32> {
    trained(seed, rows * COLUMNS)
}

/// Models of one tensor.
fn one(name: &'static str, dtype: Dtype, rows: usize, bytes: Vec<u8>) -> Made {
    Made { name, parents: &[], dtype, tensors: vec![(LAYER, [rows, COLUMNS], bytes)] }
}

fn floats(name: &'static str, values: &[f32]) -> Made {
    one(name, Dtype::F32, values.len() / COLUMNS, bytes_of(values))
}

fn add(store: &Store, made: &Made, parents: &[&str]) {
    let mut model = NewModel::new(made.name);
    for (name, dims, bytes) in &made.tensors {
        let shape = Shape::new(&dims.map(|dim| dim as u64)).unwrap();
        model = model.tensor(NewTensor::from_bytes(*name, made.dtype.clone(), shape, bytes));
    }
    model = parents.iter().fold(model, |model, parent| model.parent(*parent, How::Merge));
    write(store, |transaction| transaction.add_model(model)).unwrap();
}

/// Imports `models` in this order, repacks, and gives the bytes of all records and, by name, what
/// the last tensor of each takes.
fn repacked(models: &[Made], order: &[usize]) -> (u64, Vec<(&'static str, u64)>) {
    let (_folder, _, store) = new_store();
    let mut here: Vec<&str> = Vec::new();
    for at in order {
        let made = &models[*at];
        // What is there already can be named as a parent at once, the rest later.
        let parents: Vec<&str> =
            made.parents.iter().copied().filter(|parent| here.contains(parent)).collect();
        add(&store, made, if parents.len() == made.parents.len() { &parents } else { &[] });
        here.push(made.name);
    }
    for made in models {
        for parent in made.parents {
            // In their order; those that are there already stay.
            let _ =
                write(&store, |transaction| transaction.add_parent(made.name, *parent, How::Merge));
        }
    }
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let report =
        write(&store, |transaction| transaction.repack(&Repack::default(), &|_| ())).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(contents(&snapshot).unwrap(), before);
    assert_rows_add_up(&snapshot, "repacked");
    let found = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(found.is_clean(), "{found:?}");
    assert!(report.after_bytes <= report.before_bytes, "{report:?}");
    let again =
        write(&store, |transaction| transaction.repack(&Repack::default(), &|_| ())).unwrap();
    assert_eq!(again.changed, 0, "{order:?}: a second run found more: {again:?} {report:?}");
    let stored = |made: &Made| {
        let model = store.snapshot().unwrap().model(made.name).unwrap();
        model.tensors().last().unwrap().stored_as().unwrap().stored_len
    };
    let rows: u64 = tensor_rows(&snapshot).values().map(|row| row.len).sum();
    assert_eq!(rows, report.after_bytes);
    (rows, models.iter().map(|made| (made.name, stored(made))).collect())
}

/// All orders of so many places.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let longer = |order: &Vec<usize>| -> Vec<Vec<usize>> {
        (0..count)
            .map(|at| {
                let mut order = order.clone();
                order.insert(at, count - 1);
                order
            })
            .collect()
    };
    shorter.iter().flat_map(longer).collect()
}

/// In the order in which they are given what `rows` names costs a row, and in every other order
/// (one in `one_in`) all together take no more than then: a cast that came first may keep the bits
/// that the two have in common, and its master has the rest, where that takes less.
fn check(models: &[Made], rows: &[&str], one_in: usize) {
    let order: Vec<usize> = (0..models.len()).collect();
    let (best, stored) = repacked(models, &order);
    for (name, len) in &stored {
        assert!(!rows.contains(name) || *len == 0, "{name} takes {len}: {stored:?}");
    }
    for order in orders(models.len()).iter().step_by(one_in) {
        let (sum, stored) = repacked(models, order);
        assert!(sum as f64 <= 1.01 * best as f64, "{order:?}: {sum}, {best} in order: {stored:?}");
    }
}

/// A content has no type: zeros are floats in one model and halves in another.
#[test]
fn a_content_of_two_types_is_read_under_both() {
    let longer = weights(9, ROWS);
    let shared = bytes_of(&longer[..ROWS / 2 * COLUMNS]);
    let models = [
        one("halves", Dtype::Bf16, ROWS, shared.clone()),
        floats("longer", &longer),
        Made { parents: &["longer"], ..one("shorter", Dtype::F32, ROWS / 2, shared) },
    ];
    for order in orders(models.len()) {
        repacked(&models, &order);
    }
}

#[test]
fn casts_cost_a_row_in_every_order() {
    let master = weights(1, ROWS);
    let brain: Vec<bf16> = master.iter().map(|value| bf16::from_f32(*value)).collect();
    let half: Vec<f16> = master.iter().map(|value| f16::from_f32(*value)).collect();
    let int8: Vec<u8> = master
        .chunks(COLUMNS)
        .flat_map(|row| {
            let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let scale = largest / 127.0;
            row.iter().map(move |value| (value / scale).round_ties_even() as i8 as u8)
        })
        .collect();
    // Of a float of eight bits the codec's own cast, which is held against torch's elsewhere.
    let (from, to) = (Dtype::F32, Dtype::F8E4M3);
    let mut fp8 = vec![0; master.len()];
    let len = fp8.len() as u64;
    Formula::cast(&from, &to).unwrap().predict(&(0..len), &[&bytes_of(&master)], &mut fp8);
    let models = [
        floats("f32", &master),
        one("bf16", Dtype::Bf16, ROWS, bytes_of(&brain)),
        one("f16", Dtype::F16, ROWS, bytes_of(&half)),
        one("int8", Dtype::I8, ROWS, int8),
        one("fp8", Dtype::F8E4M3, ROWS, fp8),
    ];
    check(&models, &["bf16", "f16", "int8", "fp8"], 7);
}

#[test]
fn children_of_a_cast_go_back_to_their_base() {
    let master = weights(2, ROWS);
    let tuned = |seed| -> Vec<f32> {
        master.iter().zip(weights(seed, ROWS)).map(|(base, step)| base + step * 1e-4).collect()
    };
    let brain: Vec<bf16> = master.iter().map(|value| bf16::from_f32(*value)).collect();
    let models = [
        floats("f32", &master),
        one("bf16", Dtype::Bf16, ROWS, bytes_of(&brain)),
        floats("a", &tuned(3)),
        floats("b", &tuned(4)),
    ];
    check(&models, &["bf16"], 3);
}

#[test]
fn pruned_scaled_and_shorter_ones_cost_a_row_in_every_order() {
    let base = weights(5, ROWS);
    let pruned: Vec<f32> = base
        .iter()
        .map(|value| if value.abs() < 0.01 { 0f32.copysign(*value) } else { *value })
        .collect();
    let scaled: Vec<f32> = base.iter().map(|value| value * 0.75).collect();
    let mut models = [
        floats("base", &base),
        floats("pruned", &pruned),
        floats("scaled", &scaled),
        floats("shorter", &base[..(ROWS - 20) * COLUMNS]),
    ];
    // No two of its elements lie where they lay: that it is kin must be said.
    models[3].parents = &["base"];
    check(&models, &["pruned", "shorter"], 3);
}

#[test]
fn means_cost_a_row_in_every_order() {
    let base = weights(6, ROWS);
    let tuned = |seed| -> Vec<f32> {
        base.iter().zip(weights(seed, ROWS)).map(|(base, step)| base + step * 1e-2).collect()
    };
    let (a, b) = (tuned(7), tuned(8));
    let mean: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    let mut models =
        [floats("base", &base), floats("a", &a), floats("b", &b), floats("mean", &mean)];
    models[3].parents = &["a", "b"];
    check(&models, &["mean"], 3);
}

#[test]
fn a_merged_adapter_costs_a_row_in_every_order() {
    let base = weights(9, ROWS);
    let (left, right) = (weights(10, ROWS), weights(11, ROWS));
    let (left, right) = (&left[..ROWS * RANK], &right[..RANK * COLUMNS]);
    let mut merged = base.clone();
    for (at, value) in merged.iter_mut().enumerate() {
        let (row, column) = (at / COLUMNS, at % COLUMNS);
        let mut sum = 0.0f32;
        for k in 0..RANK {
            sum = left[row * RANK + k].mul_add(right[k * COLUMNS + column], sum);
        }
        *value += sum * 2.0;
    }
    let adapter = Made {
        name: "adapter",
        parents: &[],
        dtype: Dtype::F32,
        tensors: vec![
            ("base_model.model.layer.0.query.lora_A.weight", [RANK, COLUMNS], bytes_of(right)),
            ("base_model.model.layer.0.query.lora_B.weight", [ROWS, RANK], bytes_of(left)),
        ],
    };
    let models = [floats("base", &base), adapter, floats("merged", &merged)];
    check(&models, &["merged"], 1);
}

/// What all records take.
fn stored_sum(store: &Store) -> u64 {
    tensor_rows(&store.snapshot().unwrap()).values().map(|row| row.len).sum()
}

#[test]
fn a_base_that_comes_last_makes_its_casts_rows_at_once() {
    let master = weights(12, ROWS);
    let pruned: Vec<f32> = master
        .iter()
        .map(|value| if value.abs() < 0.01 { 0f32.copysign(*value) } else { *value })
        .collect();
    let int8: Vec<u8> = master
        .chunks(COLUMNS)
        .flat_map(|row| {
            let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            row.iter().map(move |value| (value / (largest / 127.0)).round_ties_even() as i8 as u8)
        })
        .collect();
    let (_folder, _, store) = new_store();
    add(&store, &one("int8", Dtype::I8, ROWS, int8), &[]);
    add(&store, &floats("pruned", &pruned), &[]);
    let before = contents(&store.snapshot().unwrap()).unwrap();
    add(&store, &floats("master", &master), &[]);
    let around =
        write(&store, |transaction| transaction.repack_around("master", &Repack::default()))
            .unwrap();
    let names: Vec<String> = around.helped.iter().map(|node| node.full_name()).collect();
    assert_eq!(names.len(), 2, "{around:?}");
    let snapshot = store.snapshot().unwrap();
    for (name, bytes) in before {
        assert_eq!(contents(&snapshot).unwrap()[&name], bytes, "{name}");
    }
    assert_rows_add_up(&snapshot, "healed");
    let all = 4 * (ROWS * COLUMNS) as u64;
    assert!(stored_sum(&store) < all + all / 20, "{} {around:?}", stored_sum(&store));
    // All is done: nothing is left for another one, or for a repack.
    let again =
        write(&store, |transaction| transaction.repack_around("master", &Repack::default()))
            .unwrap();
    assert!(again.helped.is_empty() && again.left.is_empty(), "{again:?}");
    let rest =
        write(&store, |transaction| transaction.repack(&Repack::default(), &|_| ())).unwrap();
    assert_eq!(rest.changed, 0, "{rest:?}");
}

/// Models of one family in any order, some removed again, what each changes for others done at
/// once: contents stay, nothing takes more, and rows add up.
#[test]
fn arrivals_and_removals_in_any_order_keep_every_content() {
    let rows = 48;
    // A family of up to sixteen is looked at as a whole; of a larger one, some stand on what is.
    for (seed, steps) in [(0u64, 14), (1, 14), (2, 14), (3, 40), (4, 40), (5, 60)] {
        let mut random = seed * 977 + 1;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        let master = weights(100 + seed, rows);
        let (_folder, _, store) = new_store();
        let mut names: Vec<String> = Vec::new();
        for step in 0..steps {
            let base: Vec<f32> = match below(3) {
                0 => master.clone(),
                shift => master
                    .iter()
                    .zip(weights(below(3) * 7 + shift, rows))
                    .map(|(value, step)| value + step * 1e-3)
                    .collect(),
            };
            let (dtype, bytes) = match below(5) {
                0 => (Dtype::Bf16, {
                    let cast = |value: &f32| bf16::from_f32(*value);
                    bytes_of(&base.iter().map(cast).collect::<Vec<_>>())
                }),
                1 => (Dtype::F16, {
                    let cast = |value: &f32| f16::from_f32(*value);
                    bytes_of(&base.iter().map(cast).collect::<Vec<_>>())
                }),
                2 => (Dtype::F32, {
                    let prune = |value: &f32| if value.abs() < 0.02 { 0.0 } else { *value };
                    bytes_of(&base.iter().map(prune).collect::<Vec<_>>())
                }),
                _ => (Dtype::F32, bytes_of(&base)),
            };
            let name: &'static str = Box::leak(format!("m{step}").into_boxed_str());
            let parent = (below(3) == 0 && !names.is_empty())
                .then(|| names[below(names.len() as u64) as usize].clone());
            add(
                &store,
                &one(name, dtype, rows, bytes),
                &parent.as_deref().into_iter().collect::<Vec<_>>(),
            );
            names.push(name.to_owned());
            let (before, sum) = (contents(&store.snapshot().unwrap()).unwrap(), stored_sum(&store));
            let around =
                write(&store, |transaction| transaction.repack_around(name, &Repack::default()))
                    .unwrap();
            assert!(stored_sum(&store) <= sum, "seed {seed}, step {step}: {around:?}");
            if below(6) == 0 {
                let gone = names.swap_remove(below(names.len() as u64) as usize);
                write(&store, |transaction| {
                    transaction.remove_model(gone.as_str(), OnChildren::Detach)
                })
                .unwrap();
            }
            let snapshot = store.snapshot().unwrap();
            let after = contents(&snapshot).unwrap();
            assert!(after.iter().all(|(name, model)| before[name] == *model), "seed {seed}");
            assert_rows_add_up(&snapshot, "a step");
        }
        let before = contents(&store.snapshot().unwrap()).unwrap();
        for is_repacked in [false, true] {
            if is_repacked {
                let how = Repack::default();
                write(&store, |transaction| transaction.repack(&how, &|_| ())).unwrap();
            }
            let snapshot = store.snapshot().unwrap();
            let found = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
            assert!(found.is_clean(), "seed {seed}: {found:?}");
            assert_eq!(contents(&snapshot).unwrap(), before, "seed {seed}");
        }
    }
}

#[test]
fn relatives_of_one_type_do_not_change_places() {
    let base = weights(20, ROWS);
    let tuned = |seed| -> Vec<f32> {
        base.iter().zip(weights(seed, ROWS)).map(|(base, step)| base + step * 1e-3).collect()
    };
    let models = [
        floats("base", &base),
        floats("a", &tuned(21)),
        floats("b", &tuned(22)),
        floats("c", &tuned(23)),
    ];
    for order in orders(models.len()).iter().step_by(5) {
        let (_folder, _, store) = new_store();
        for at in order {
            add(&store, &models[*at], &[]);
            let name = models[*at].name;
            let around =
                write(&store, |transaction| transaction.repack_around(name, &Repack::default()))
                    .unwrap();
            assert!(around.helped.is_empty() && around.left.is_empty(), "{order:?}: {around:?}");
        }
    }
}
