//! What it costs to find the parent of one more model. (How often what is found is right:
//! `examples/parents`.)

#[path = "common/mod.rs"]
mod common;

use std::path::Path;

use common::models::Random;
use mgit::infer::{Member, place};
use mgit::interchange::{ModelSource, OpenFile};
use mgit::store::Transaction;
use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store};

/// Members made from a real one: every weight of a parent moved a little, in a tree of families.
fn insert_cost() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/mgit-db/demo");
    let file = ModelSource::open(path.join("ani-1x-m0.safetensors")).expect("the demo's model");
    let real = file.files().first().expect("a file");
    let opened = OpenFile::open(path.join("ani-1x-m0.safetensors")).expect("the demo's model");
    let base: Vec<(String, Shape, Vec<f32>)> = real
        .tensors()
        .iter()
        .map(|entry| {
            let bytes = opened.bytes(entry.begin, entry.end - entry.begin).expect("its bytes");
            let floats = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            // The first rows only, so that ten thousand members fit.
            let (rows, row) = (entry.shape.rows(), entry.shape.elements() / entry.shape.rows());
            let kept = rows.min(16);
            let mut dims = entry.shape.dims().to_vec();
            dims[0] = kept;
            let values = floats.take((kept * row) as usize).collect();
            (entry.name.clone(), Shape::new(&dims).expect("a shape"), values)
        })
        .collect();
    let mut random = Random(1);
    let mut moved = |parent: &[Vec<f32>], by: f32| -> Vec<Vec<f32>> {
        let mut unit = || (random.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let mut tensor = |values: &Vec<f32>| -> Vec<f32> {
            let scale = values.iter().map(|value| value.abs()).sum::<f32>() / values.len() as f32;
            values.iter().map(|value| value + unit() * scale * by).collect()
        };
        parent.iter().map(&mut tensor).collect()
    };
    let add =
        |transaction: &mut Transaction, name: &str, values: &[Vec<f32>], parent: Option<&str>| {
            let mut new = NewModel::new(name);
            for ((name, shape, _), values) in base.iter().zip(values) {
                let bytes = mgit::bytemuck::cast_slice(values);
                new = new.tensor(NewTensor::from_bytes(name, Dtype::F32, shape.clone(), bytes));
            }
            if let Some(parent) = parent {
                new = new.parent(parent, How::FineTune);
            }
            transaction.add_model(new).expect("a model");
        };
    let home = common::models::scratch();
    let store = Store::create(home.path().join("s.mgit")).expect("a store");
    let root: Vec<Vec<f32>> = base.iter().map(|(_, _, values)| values.clone()).collect();
    let mut recent: Vec<(String, Vec<Vec<f32>>)> = Vec::new();
    let (mut made, mut right, mut asked) = (0, 0, 0);
    println!("\n== Finding the parent of one more model");
    println!("| models | ms (median of 15) | looked at | parent right |");
    println!("|---|---|---|---|");
    for size in [10, 100, 1_000, 10_000] {
        while made < size {
            let mut transaction = store.begin_write().expect("a transaction");
            for _ in 0..(size - made).min(500) {
                // A new family every fifty models: as far from the others as strangers are.
                let (parent, values) = if made % 50 == 0 {
                    recent.clear();
                    (None, moved(&root, 20.0))
                } else {
                    let at = made * 7919 % recent.len();
                    let (parent, values) = &recent[at];
                    (Some(parent.clone()), moved(values, 0.02))
                };
                let name = format!("m{made}");
                add(&mut transaction, &name, &values, parent.as_deref());
                recent.push((name, values));
                made += 1;
            }
            transaction.commit().expect("a commit");
        }
        let snapshot = store.snapshot().expect("a snapshot");
        let (mut times, mut looked_at) = (Vec::new(), Vec::new());
        let (mut right_here, rounds) = (0, 15);
        for round in 0..rounds {
            let (parent, values) = &recent[round * 31 % recent.len()];
            let child = moved(values, 0.02);
            let other = Store::create(home.path().join(format!("n{size}-{round}.mgit"))).unwrap();
            let mut transaction = other.begin_write().expect("a transaction");
            add(&mut transaction, "new", &child, None);
            transaction.commit().expect("a commit");
            let new = other.snapshot().expect("a snapshot").model("new").expect("a model");
            let member = Member::stored(new).expect("its sketches");
            let start = std::time::Instant::now();
            let found = place(&snapshot, &member).expect("its place");
            times.push(start.elapsed().as_secs_f64() * 1e3);
            looked_at.push(found.looked_at);
            let nearest = found.nearest.map(|model| model.node().name().to_owned());
            right_here += usize::from(nearest.as_ref() == Some(parent));
        }
        right += right_here;
        asked += rounds;
        let (time, looked_at) = (common::median(times), common::median(looked_at));
        println!("| {size} | {time:.2} | {looked_at} | {right_here} of {rounds} |");
    }
    println!("nearest was the parent: {right} of {asked}");
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    insert_cost();
}
