//! A small program that links the library: it opens a store, lists and reads models, writes a child
//! of one from slices and from a stream, runs a test of its own, walks the lineage, and pushes to a
//! folder.

use std::io::Read;
use std::path::Path;

use mgit::lineage::Edges;
use mgit::model_tests::{Better, Metric, ModelTest, RunOptions, Runner, Test, TestFailure, What};
use mgit::transfer::{Place, Selection, pull, push};
use mgit::{Dtype, How, Model, NewModel, NewTensor, NodeId, OnChildren, Result, Store, half::bf16};
use ndarray::ArrayViewD;

fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("consumer-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = run(&folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn run(folder: &Path) -> Result<()> {
    let path = folder.join("family.mgit");
    let base = make_base(&Store::create(&path)?)?;

    let store = Store::open(&path)?;
    list(&store)?;
    let tuned = tune(&store, base)?;
    read_on_threads(&store)?;
    check(&store)?;
    walk(&store, tuned)?;
    share(&store, &folder.join("remote"), &folder.join("clone.mgit"))
}

fn make_base(store: &Store) -> Result<NodeId> {
    let weight: Vec<f32> = (0..1000u16).map(f32::from).collect();
    let scale = [1.0, 0.5].map(bf16::from_f32);
    let model = NewModel::new("base")
        .kind("toy")
        .metadata("steps", 1000)
        .tensor(NewTensor::from_slice("weight", [10, 100], &weight))
        .tensor(NewTensor::from_slice("scale", [2], &scale));
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    transaction.commit()?;
    Ok(report.node.id())
}

fn list(store: &Store) -> Result<()> {
    let snapshot = store.snapshot()?;
    for node in snapshot.nodes()? {
        println!("{} {} ({} tensors)", node.id(), node.full_name(), node.tensor_count());
        for tensor in snapshot.model(&node)?.tensors() {
            println!("  {} {} {}", tensor.name(), tensor.dtype(), tensor.shape());
        }
    }
    println!("{} bytes", store.info()?.file_bytes);
    Ok(())
}

/// A child of the base: one tensor from a slice, one as it was, one from a stream.
fn tune(store: &Store, base: NodeId) -> Result<NodeId> {
    let parent = store.snapshot()?.model(base)?;
    let (weight, scale) = (parent.tensor("weight")?, parent.tensor("scale")?);

    // Onto the file's own bytes: nothing is copied before the sum.
    let view = weight.view()?;
    assert!(view.is_mapped());
    let array = ArrayViewD::from_shape(view.shape().to_usize(), view.as_slice::<f32>()?)
        .expect("as many elements as the shape says");
    let tuned = &array + 0.5;

    let scale_view = scale.view()?;
    let scale_bytes =
        NewTensor::from_bytes("scale", scale_view.dtype().clone(), scale_view.shape(), &scale_view);
    let steps = std::io::repeat(1).take(30);
    let model = NewModel::new("tuned")
        .parent(&parent, How::FineTune)
        .tensor(NewTensor::from_vec("weight", tuned.shape(), tuned.iter().copied().collect()))
        .tensor(scale_bytes)
        .tensor(NewTensor::from_reader("mask", Dtype::U8, [3, 10], 30, steps));
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    transaction.set_tag("best", &report.node)?;
    transaction.commit()?;
    Ok(report.node.id())
}

/// A store is `Send` and `Sync`: threads share it by reference.
fn read_on_threads(store: &Store) -> Result<()> {
    let snapshot = store.snapshot()?;
    std::thread::scope(|scope| {
        let first = |name: &'static str| {
            let snapshot = &snapshot;
            scope.spawn(move || {
                let rows = snapshot.model(name)?.tensor("weight")?.rows(9..10)?;
                assert_eq!(rows.shape(), [1, 100]);
                Ok(rows.to_f32()?.first().copied())
            })
        };
        let threads = [first("base"), first("best")];
        let read = threads.map(|thread| -> Result<_> { thread.join().unwrap_or(Ok(None)) });
        assert!(matches!(read, [Ok(Some(900.0)), Ok(Some(900.5))]), "{read:?}");
    });
    Ok(())
}

/// The mean weight of a model is to stay what it was.
struct Mean;

impl ModelTest for Mean {
    fn version(&self) -> String {
        "1".into()
    }

    fn run(&self, model: &Model) -> Result<Vec<Metric>, TestFailure> {
        let values = model.tensor("weight")?.view()?.to_f32()?;
        let (mut sum, mut count) = (0.0, 0.0);
        for value in values {
            sum += f64::from(value);
            count += 1.0;
        }
        Ok(vec![Metric::new("mean", sum / count, Better::Lower)])
    }
}

fn check(store: &Store) -> Result<()> {
    let mut test = Test::new("mean", What::Code("mean".into()));
    test.bounds.push("mean <= 500".parse()?);
    let mut transaction = store.begin_write()?;
    test.register(&mut transaction)?;
    transaction.commit()?;

    let snapshot = store.snapshot()?;
    let options = RunOptions::default().code("mean", &Mean);
    let report = Runner::new(&snapshot, options).run(Some(store), &[test], &snapshot.nodes()?)?;
    for result in &report.results {
        println!("{} of {}: {:?}", result.test, result.node.full_name(), result.status);
    }
    assert!(report.is_passed());
    Ok(())
}

fn walk(store: &Store, tuned: NodeId) -> Result<()> {
    let snapshot = store.snapshot()?;
    let graph = snapshot.graph();
    for edge in graph.parents(tuned)? {
        println!("{} of {}", edge.how, graph.expect(edge.parent)?.full_name());
    }
    let ancestors: Vec<_> = graph.ancestors(tuned, Edges::Provenance).collect::<Result<_, _>>()?;
    assert!(ancestors.iter().map(|node| node.name()).eq(["base"]));
    assert_eq!(snapshot.find("best")?.id(), tuned);
    assert_eq!(snapshot.metadata("base")?["steps"], 1000);
    Ok(())
}

/// Into a folder that others can read, and out of it.
fn share(store: &Store, remote: &Path, clone: &Path) -> Result<()> {
    let remote = Place::Folder(remote.into());
    let pushed = push(store, &remote, Selection::ALL)?;
    println!("pushed {}", pushed.models.join(", "));

    let clone = Store::create(clone)?;
    pull(&clone, &remote, Selection::ALL)?;
    let same = |store: &Store| -> Result<_> { Ok(store.snapshot()?.find("tuned")?) };
    assert_eq!(same(store)?.manifest_id(), same(&clone)?.manifest_id());

    let mut transaction = clone.begin_write()?;
    transaction.remove_model("base", OnChildren::Detach)?;
    transaction.commit()?;
    Ok(())
}
