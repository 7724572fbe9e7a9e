//! A repack holds a row a tensor and pieces of some, however many models there are.

use std::path::Path;
use std::time::Instant;

use half::bf16;
use mgit::store::Repack;
use mgit::{Dtype, How, NewModel, NewTensor, Store};

use super::{FOLDER, MEBIBYTES, run_limited};

#[test]
fn a_dry_run_over_400_models_needs_little_memory() {
    run_limited("repack::limited_repack", 400, 96 << 10);
}

#[test]
#[ignore = "takes minutes"]
fn a_dry_run_over_5000_models_needs_512_mib() {
    run_limited("repack::limited_repack", 5000, 512 << 10);
}

/// Models of a family, each a step from the one before; every tenth a cast of it.
const FAMILY: u64 = 50;
const SIDE: usize = 64;

fn weights(seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..SIDE * SIDE).map(|_| (uniform() + uniform() + uniform()) * 0.1).collect()
}

/// The body: that many models of two matrices each, in families; a dry run over all of them.
#[test]
fn limited_repack() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let count = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let count: u64 = count.expect("a number of models");
    let store = Store::create(Path::new(&folder).join("models.mgit")).expect("a store");
    let mut transaction = store.begin_write().expect("a transaction");
    let mut last: [Vec<f32>; 2] = Default::default();
    let begun = Instant::now();
    for at in 0..count {
        let (family, step) = (at / FAMILY, at % FAMILY);
        for (place, matrix) in last.iter_mut().enumerate() {
            match step {
                0 => *matrix = weights(family << 8 | place as u64),
                _ => {
                    for (value, step) in matrix.iter_mut().zip(weights(at << 9 | place as u64)) {
                        *value += step * 1e-3;
                    }
                }
            }
        }
        let bytes = |matrix: &Vec<f32>| -> Vec<u8> {
            match step % 10 {
                9 => matrix.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
                _ => bytemuck::cast_slice(matrix).to_vec(),
            }
        };
        let dtype = if step % 10 == 9 { Dtype::Bf16 } else { Dtype::F32 };
        let shape = [SIDE as u64; 2];
        let tensors: Vec<Vec<u8>> = last.iter().map(bytes).collect();
        let mut model = NewModel::new(format!("f{family}/m{step}"));
        for (place, bytes) in tensors.iter().enumerate() {
            let name = format!("layers.{place}.weight");
            let shape = mgit::Shape::new(&shape).expect("a shape");
            model = model.tensor(NewTensor::from_bytes(name, dtype.clone(), shape, bytes));
        }
        if step > 0 {
            model = model.parent(format!("f{family}/m{}", step - 1), How::FineTune);
        }
        transaction.add_model(model).expect("the model goes in");
        if at % 250 == 249 {
            transaction.commit().expect("the commit");
            transaction = store.begin_write().expect("a transaction");
        }
    }
    transaction.commit().expect("the commit");
    let (imported, begun) = (begun.elapsed(), Instant::now());
    let mut transaction = store.begin_write().expect("a transaction");
    let how = Repack::default().dry_run(true);
    let report = transaction.repack(&how, &|_| ()).expect("a dry run");
    drop(transaction);
    println!(
        "{count} models: imported {imported:.1?}, dry run {:.1?}, {report:?}",
        begun.elapsed()
    );
    assert_eq!(report.tensors, 2 * count);
    assert!(report.after_bytes <= report.before_bytes);
}
