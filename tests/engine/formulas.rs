//! A tensor that is another one cast, quantised or with other rows is kept as the formula.

use super::remaking::bytes_of;
use crate::common;
use crate::common::{assert_rows_add_up, new_store, tensor_rows, trained, write};
use half::{bf16, f16};
use mgit::codec::Encoding;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Profile, Shape, Store};

const ROWS: usize = 300;
const COLUMNS: usize = 64;

/// A trained matrix of so many rows.
fn weights(seed: u64, rows: usize) -> Vec<f32> {
    trained(seed, rows * COLUMNS)
}

fn add(store: &Store, name: &str, parent: Option<&str>, dtype: Dtype, rows: usize, bytes: &[u8]) {
    let shape = Shape::new(&[rows as u64, COLUMNS as u64]).unwrap();
    let model = NewModel::new(name).tensor(NewTensor::from_bytes("w", dtype, shape, bytes));
    let model = parent.into_iter().fold(model, |model, parent| model.parent(parent, How::Cast));
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model).unwrap();
    transaction.commit().unwrap();
}

/// Formula, encodings and stored length of the only tensor of a model, whose bytes are checked.
fn stored(store: &Store, name: &str, bytes: &[u8]) -> (Option<&'static str>, Vec<Encoding>, u64) {
    let snapshot = store.snapshot().unwrap();
    let tensor = snapshot.model(name).unwrap().tensors().next().unwrap();
    assert!(*tensor.view().unwrap() == *bytes, "{name}");
    let mut part = vec![0; bytes.len().min(999)];
    let at = bytes.len() - part.len();
    tensor.read_range_into(at as u64, &mut part).unwrap();
    assert!(part == bytes[at..], "{name}");
    assert_rows_add_up(&snapshot, name);
    let report = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{name}: {report:?}");
    let stored = tensor.stored_as().unwrap();
    (stored.formula, stored.encodings, stored.stored_len)
}

fn absmax(values: &[f32], quantise: impl Fn(f32, f32) -> f32) -> Vec<u8> {
    let row = |row: &[f32]| {
        let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        row.iter().map(|value| quantise(*value, largest).round_ties_even() as i8 as u8).collect()
    };
    values.chunks(COLUMNS).flat_map(|values| -> Vec<u8> { row(values) }).collect()
}

#[test]
fn a_cast_costs_a_row() {
    let (_folder, _, store) = new_store();
    let base = weights(1, ROWS);
    add(&store, "base", None, Dtype::F32, ROWS, &bytes_of(&base));
    let brain: Vec<bf16> = base.iter().map(|v| bf16::from_f32(*v)).collect();
    let half: Vec<f16> = base.iter().map(|v| f16::from_f32(*v)).collect();
    let double: Vec<f64> = base.iter().map(|v| f64::from(*v)).collect();
    let wide: Vec<f32> = brain.iter().map(|v| v.to_f32()).collect();
    for (name, parent, dtype, bytes) in [
        ("bf16", "base", Dtype::Bf16, bytes_of(&brain)),
        ("f16", "base", Dtype::F16, bytes_of(&half)),
        ("f64", "base", Dtype::F64, bytes_of(&double)),
        ("wide", "bf16", Dtype::F32, bytes_of(&wide)),
    ] {
        add(&store, name, Some(parent), dtype, ROWS, &bytes);
        assert_eq!(stored(&store, name, &bytes), (Some("cast"), vec![Encoding::Unchanged], 0));
    }
    // The base stays, hidden, as long as formulas need it and it takes less than they would.
    let remove = |name| {
        write(&store, |transaction| transaction.remove_model(name, OnChildren::Detach)).unwrap()
    };
    assert_eq!(remove("base").hidden_bases, 1);
    assert_eq!(stored(&store, "wide", &bytes_of(&wide)).2, 0);
    remove("f64");
    remove("f16");
    // Once what is left over it takes no more alone, it goes, though it was hidden long before.
    assert_eq!(stored(&store, "bf16", &bytes_of(&brain)).0, None);
    assert!(tensor_rows(&store.snapshot().unwrap()).values().all(|row| row.holders > 0));
    // A change of a cast is a difference from it.
    let mut tuned = brain.clone();
    for value in tuned.iter_mut().step_by(97) {
        *value = bf16::from_bits(value.to_bits() + 1);
    }
    add(&store, "tuned", Some("bf16"), Dtype::Bf16, ROWS, &bytes_of(&tuned));
    let (formula, encodings, len) = stored(&store, "tuned", &bytes_of(&tuned));
    assert_eq!((formula, encodings), (None, vec![Encoding::SparseDelta]));
    assert!(len < 1000, "{len}");
}

#[test]
fn a_cast_with_changes_costs_the_changes() {
    let (_folder, _, store) = new_store();
    let base = weights(2, ROWS);
    add(&store, "base", None, Dtype::F32, ROWS, &bytes_of(&base));
    let mut half: Vec<f16> = base.iter().map(|v| f16::from_f32(*v)).collect();
    for value in half.iter_mut().step_by(50) {
        *value = f16::from_bits(value.to_bits() ^ 1);
    }
    add(&store, "near", Some("base"), Dtype::F16, ROWS, &bytes_of(&half));
    let (formula, encodings, len) = stored(&store, "near", &bytes_of(&half));
    assert_eq!((formula, encodings), (Some("cast"), vec![Encoding::SparseDelta]));
    assert!(len < 1000, "{len}");
}

#[test]
fn rows_of_integers_cost_a_row() {
    let (_folder, _, store) = new_store();
    let base = weights(3, ROWS);
    add(&store, "base", None, Dtype::F32, ROWS, &bytes_of(&base));
    for (name, bytes) in [
        ("scale", absmax(&base, |v, m| v / (m / 127.0))),
        ("inverse", absmax(&base, |v, m| v * (127.0 / m))),
        ("product", absmax(&base, |v, m| v * 127.0 / m)),
    ] {
        add(&store, name, Some("base"), Dtype::I8, ROWS, &bytes);
        let expected = (Some("absmax-int8"), vec![Encoding::Unchanged], 0);
        assert_eq!(stored(&store, name, &bytes), expected, "{name}");
    }
    // Another scale for every row, as after fine-tuning: near the requantised parent.
    let old = absmax(&base, |v, m| v / (m / 127.0));
    let new: Vec<u8> = old
        .chunks(COLUMNS)
        .enumerate()
        .flat_map(|(row, values)| {
            let factor = 0.75 + (row % 10) as f32 / 40.0;
            values.iter().map(move |v| (f32::from(*v as i8) * factor).round_ties_even() as i8 as u8)
        })
        .collect();
    add(&store, "requantised", Some("scale"), Dtype::I8, ROWS, &new);
    let (formula, _, len) = stored(&store, "requantised", &new);
    assert_eq!(formula, Some("requantise-int8"));
    assert!(len < new.len() as u64 / 5, "{len}");
}

#[test]
fn other_rows_cost_what_is_new() {
    let (_folder, _, store) = new_store();
    let all = weights(4, 2 * ROWS);
    let rows = |rows: usize| bytes_of(&all[..rows * COLUMNS]);
    add(&store, "base", None, Dtype::F32, ROWS, &rows(ROWS));
    add(&store, "shrunk", Some("base"), Dtype::F32, ROWS / 3, &rows(ROWS / 3));
    let expected = (Some("resize"), vec![Encoding::Unchanged], 0);
    assert_eq!(stored(&store, "shrunk", &rows(ROWS / 3)), expected);
    add(&store, "grown", Some("base"), Dtype::F32, ROWS + 10, &rows(ROWS + 10));
    let (formula, _, len) = stored(&store, "grown", &rows(ROWS + 10));
    assert_eq!(formula, Some("resize"));
    assert!(len < 11 * COLUMNS as u64 * 4, "{len}");
}

#[test]
fn long_tensors_are_formulas_too() {
    let (_folder, _, store) = new_store();
    let rows = 17 << 20 >> 7;
    let base = weights(5, rows);
    add(&store, "base", None, Dtype::F32, rows, &bytes_of(&base));
    let brain: Vec<bf16> = base.iter().map(|v| bf16::from_f32(*v)).collect();
    add(&store, "bf16", Some("base"), Dtype::Bf16, rows, &bytes_of(&brain));
    let expected = (Some("cast"), vec![Encoding::Unchanged], 0);
    assert_eq!(stored(&store, "bf16", &bytes_of(&brain)), expected);
    let int8 = absmax(&base, |v, m| v / (m / 127.0));
    add(&store, "int8", Some("base"), Dtype::I8, rows, &int8);
    let expected = (Some("absmax-int8"), vec![Encoding::Unchanged], 0);
    assert_eq!(stored(&store, "int8", &int8), expected);
}

#[test]
fn formulas_are_stored_alone_when_that_frees_their_base() {
    let (_folder, _, store) = new_store();
    let base = weights(6, ROWS);
    let brain: Vec<bf16> = base.iter().map(|v| bf16::from_f32(*v)).collect();
    add(&store, "base", None, Dtype::F32, ROWS, &bytes_of(&base));
    add(&store, "bf16", Some("base"), Dtype::Bf16, ROWS, &bytes_of(&brain));
    let report =
        write(&store, |transaction| transaction.remove_model("base", OnChildren::Detach)).unwrap();
    assert_eq!(report.hidden_bases, 0);
    let expected = (None, vec![Encoding::Raw], 2 * brain.len() as u64);
    assert_eq!(stored(&store, "bf16", &bytes_of(&brain)), expected);
}

/// Adds `child` with several parents, and says how its tensor is stored.
fn combined(store: &Store, name: &str, parents: &[&str], child: &[f32]) -> Option<&'static str> {
    let bytes = bytes_of(child);
    let shape = Shape::new(&[ROWS as u64, COLUMNS as u64]).unwrap();
    let model = NewModel::new(name).tensor(NewTensor::from_bytes("w", Dtype::F32, shape, &bytes));
    let model = parents.iter().fold(model, |model, parent| model.parent(*parent, How::Merge));
    write(store, |transaction| transaction.add_model(model)).unwrap();
    let (formula, encodings, _) = stored(store, name, &bytes);
    assert_eq!((encodings, formula.is_some()), (vec![Encoding::Unchanged], true), "{name}");
    formula
}

#[test]
fn merges_cost_a_row() {
    let (_folder, _, store) = new_store();
    let base = weights(7, ROWS);
    let tuned = |seed: u64| -> Vec<f32> {
        base.iter().zip(weights(seed, ROWS)).map(|(base, step)| base + step * 1e-2).collect()
    };
    let (b, c) = (tuned(8), tuned(9));
    add(&store, "a", None, Dtype::F32, ROWS, &bytes_of(&base));
    add(&store, "b", Some("a"), Dtype::F32, ROWS, &bytes_of(&b));
    add(&store, "c", Some("a"), Dtype::F32, ROWS, &bytes_of(&c));
    let with = |work: &dyn Fn(f32, f32, f32) -> f32| -> Vec<f32> {
        base.iter().zip(&b).zip(&c).map(|((a, b), c)| work(*a, *b, *c)).collect()
    };
    let third = 1.0f32 / 3.0;
    for (name, child) in [
        ("quotient", with(&|a, b, c| (a + b + c) / 3.0)),
        ("product", with(&|a, b, c| (a + b + c) * third)),
        ("weighted", with(&|a, b, c| a * third + b * third + c * third)),
        ("double", with(&|a, b, c| ((f64::from(a) + f64::from(b) + f64::from(c)) / 3.0) as f32)),
    ] {
        assert_eq!(combined(&store, name, &["a", "b", "c"], &child), Some("mean"));
    }
    for (name, child) in [
        ("sum", with(&|a, b, c| c + (b - a))),
        ("difference", with(&|a, b, c| b - (c - a))),
        ("scaled", with(&|a, b, c| c + 0.3 * (b - a))),
    ] {
        assert_eq!(combined(&store, name, &["a", "b", "c"], &child), Some("task-vector"));
    }
    assert_eq!(combined(&store, "scale", &["a"], &with(&|a, _, _| a * 0.9)), Some("scale"));
    let pruned = with(&|a, _, _| if a.abs() < 0.02 { 0.0f32.copysign(a) } else { a });
    assert_eq!(combined(&store, "pruned", &["a"], &pruned), Some("prune"));
    let pruned = with(&|_, b, _| if b.abs() < 0.02 { 0.0 } else { b });
    assert_eq!(combined(&store, "pruned-b", &["b"], &pruned), Some("prune"));
    // Wrong by one bit: a difference from the formula, where nothing else is as near.
    let (_folder, _, store) = new_store();
    add(&store, "a", None, Dtype::F32, ROWS, &bytes_of(&base));
    add(&store, "b", Some("a"), Dtype::F32, ROWS, &bytes_of(&b));
    add(&store, "c", Some("a"), Dtype::F32, ROWS, &bytes_of(&c));
    let mut near = with(&|a, b, c| (a + b + c) / 3.0);
    near[777] = near[777].next_up();
    let bytes = bytes_of(&near);
    let shape = Shape::new(&[ROWS as u64, COLUMNS as u64]).unwrap();
    let model = ["a", "b", "c"].iter().fold(
        NewModel::new("near").tensor(NewTensor::from_bytes("w", Dtype::F32, shape, &bytes)),
        |model, parent| model.parent(*parent, How::Average),
    );
    write(&store, |transaction| transaction.add_model(model)).unwrap();
    let (formula, encodings, len) = stored(&store, "near", &bytes);
    assert_eq!((formula, encodings), (Some("mean"), vec![Encoding::SparseDelta]));
    assert!(len < 300, "{len}");
}

#[test]
fn a_merged_adapter_costs_a_row() {
    const RANK: usize = 4;
    let (_folder, _, store) = new_store();
    let base = weights(10, ROWS);
    let (left, right) = (weights(11, ROWS), weights(12, ROWS));
    let (left, right) = (&left[..ROWS * RANK], &right[..RANK * COLUMNS]);
    let name = "layer.0.query.weight";
    let add = |model: &str, parents: &[&str], tensors: &[(&str, [usize; 2], &[f32])]| {
        let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes_of(values)).collect();
        let mut new = NewModel::new(model);
        for ((name, dims, _), bytes) in tensors.iter().zip(&bytes) {
            let shape = Shape::new(&dims.map(|dim| dim as u64)).unwrap();
            new = new.tensor(NewTensor::from_bytes(*name, Dtype::F32, shape, bytes));
        }
        new = parents.iter().fold(new, |new, parent| new.parent(*parent, How::LoraMerge));
        write(&store, |transaction| transaction.add_model(new)).unwrap();
    };
    add("base", &[], &[(name, [ROWS, COLUMNS], &base)]);
    add(
        "adapter",
        &[],
        &[
            ("base_model.model.layer.0.query.lora_A.weight", [RANK, COLUMNS], right),
            ("base_model.model.layer.0.query.lora_B.weight", [ROWS, RANK], left),
        ],
    );
    let mut merged = base.clone();
    for (at, value) in merged.iter_mut().enumerate() {
        let (row, column) = (at / COLUMNS, at % COLUMNS);
        let mut sum = 0.0f32;
        for k in 0..RANK {
            sum = left[row * RANK + k].mul_add(right[k * COLUMNS + column], sum);
        }
        *value += sum * 2.0;
    }
    add("merged", &["base", "adapter"], &[(name, [ROWS, COLUMNS], &merged)]);
    let expected = (Some("lora"), vec![Encoding::Unchanged], 0);
    assert_eq!(stored(&store, "merged", &bytes_of(&merged)), expected);
}

#[test]
fn the_factors_of_a_merged_adapter_are_found_without_it() {
    const RANK: usize = 4;
    let (_folder, _, store) = new_store();
    let base = weights(13, ROWS);
    let (left, right) = (weights(14, ROWS), weights(15, ROWS));
    let mut merged = base.clone();
    for (at, value) in merged.iter_mut().enumerate() {
        let (row, column) = (at / COLUMNS, at % COLUMNS);
        let product = |k: usize| left[row * RANK + k] * right[k * COLUMNS + column];
        *value += (0..RANK).map(product).sum::<f32>() * 0.1;
    }
    add(&store, "base", None, Dtype::F32, ROWS, &bytes_of(&base));
    let bytes = bytes_of(&merged);
    let shape = Shape::new(&[ROWS as u64, COLUMNS as u64]).unwrap();
    let model = NewModel::new("merged")
        .parent("base", How::LoraMerge)
        .profile(Profile::Dense)
        .tensor(NewTensor::from_bytes("w", Dtype::F32, shape, &bytes));
    let report = write(&store, |transaction| transaction.add_model(model)).unwrap();
    let (formula, _, len) = stored(&store, "merged", &bytes);
    assert_eq!(formula, Some("lora"));
    let factors = (ROWS + COLUMNS) * RANK * 4;
    assert!(len < bytes.len() as u64 / 8, "{len}");
    assert!(report.delta_stored_bytes < len + factors as u64 + 200, "{report:?}");
    // Recoded, the factors go; removed, nothing of the model stays.
    let recode = |profile| write(&store, |t| t.recode("merged", profile, &|_| ())).unwrap();
    assert_eq!(recode(Profile::Dense).changed, 0);
    recode(Profile::Fast);
    recode(Profile::Dense);
    assert_eq!(stored(&store, "merged", &bytes).0, Some("lora"));
    write(&store, |transaction| transaction.remove_model("merged", OnChildren::Refuse)).unwrap();
    assert_eq!(common::tensor_rows(&store.snapshot().unwrap()).len(), 1);
}
