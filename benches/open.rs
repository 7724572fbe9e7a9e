//! Opening a model and looking at every tensor of it, from a warm page cache: a store, opened
//! read-only, against `mmap` and `SafeTensors::deserialize` of the plain file. Three depths: the
//! views alone; one byte of every page read; and, ours alone, every checksum checked. Then a small
//! store of one model, and one neighbour asked for in a store of 100,000 (`MGIT_BENCH_NODES` sets
//! another number).
//!
//! The limit is `mmap` with one byte of every page read: the page faults that nobody is spared.

mod common;

use common::{Comparison, models, timed, touch_pages};
use criterion::{Criterion, criterion_group, criterion_main};
use memmap2::Mmap;
use mgit::lineage::EdgeKind;
use mgit::{How, NewModel, Snapshot, Store, TensorView};
use safetensors::SafeTensors;
use std::fs::File;
use std::path::Path;

fn mapped(path: &Path) -> Mmap {
    let file = File::open(path).expect("the model file");
    // SAFETY: nobody writes the file while the benchmark runs.
    unsafe { Mmap::map(&file) }.expect("a map")
}

fn views(snapshot: &Snapshot, checked: bool) -> Vec<TensorView> {
    let model = snapshot.model("root").expect("the model");
    let view = |tensor: mgit::Tensor| match checked {
        true => tensor.view().expect("a view"),
        false => tensor.view_unchecked().expect("a view"),
    };
    model.tensors().map(view).collect()
}

fn touch(views: &[TensorView]) -> u64 {
    views.iter().map(|view| touch_pages(view)).sum()
}

fn touch_plain(tensors: &SafeTensors<'_>) -> u64 {
    tensors.iter().map(|(_, tensor)| touch_pages(tensor.data())).sum()
}

fn open(criterion: &mut Criterion) {
    let folder = models::scratch();
    let (root, _) = models::root_and_child(folder.path());
    let store_path = folder.path().join("models.mgit");
    let store = Store::create(&store_path).expect("a store");
    models::import(&store, &root, "root", None);
    drop(store);
    models::warm(&store_path);
    let open = || Store::open_read_only(&store_path).expect("the store");
    let bytes = std::fs::metadata(&root).expect("the model file").len();

    Comparison::new("open and view every tensor, first", bytes)
        .add("mgit open, view_unchecked", || {
            timed(|| views(&open().snapshot().expect("a snapshot"), false).len())
        })
        .add("mgit open, view_unchecked, touch", || {
            timed(|| touch(&views(&open().snapshot().expect("a snapshot"), false)))
        })
        .add("mgit open, view (checked)", || {
            timed(|| views(&open().snapshot().expect("a snapshot"), true).len())
        })
        .add("mgit open, view (checked), touch", || {
            timed(|| touch(&views(&open().snapshot().expect("a snapshot"), true)))
        })
        .add("mmap, deserialize", || {
            timed(|| {
                let map = mapped(&root);
                let tensors = SafeTensors::deserialize(&map).expect("a model file");
                tensors.iter().map(|(_, tensor)| tensor.data().len()).sum::<usize>()
            })
        })
        .add("mmap, deserialize, touch", || {
            timed(|| {
                let map = mapped(&root);
                touch_plain(&SafeTensors::deserialize(&map).expect("a model file"))
            })
        })
        .add("limit: mmap, touch", || timed(|| touch_pages(&mapped(&root))))
        .run(
            criterion,
            &[
                ("mgit open, view_unchecked", "mmap, deserialize"),
                ("mgit open, view_unchecked, touch", "mmap, deserialize, touch"),
                ("mgit open, view (checked), touch", "mmap, deserialize, touch"),
                ("mgit open, view_unchecked, touch", "limit: mmap, touch"),
            ],
        );

    let store = open();
    let snapshot = store.snapshot().expect("a snapshot");
    views(&snapshot, true);
    let map = mapped(&root);
    let tensors = SafeTensors::deserialize(&map).expect("a model file");
    touch_plain(&tensors);
    Comparison::new("view every tensor again, handle open", bytes)
        .add("mgit view (checked before)", || timed(|| views(&snapshot, true).len()))
        .add("mgit view (checked before), touch", || timed(|| touch(&views(&snapshot, true))))
        .add("mgit new snapshot, view", || {
            timed(|| views(&store.snapshot().expect("a snapshot"), true).len())
        })
        .add("deserialize again", || {
            timed(|| SafeTensors::deserialize(&map).expect("a model file").iter().count())
        })
        .add("tensors of one deserialize, touch", || timed(|| touch_plain(&tensors)))
        .run(
            criterion,
            &[
                ("mgit view (checked before)", "deserialize again"),
                ("mgit new snapshot, view", "deserialize again"),
                ("mgit view (checked before), touch", "tensors of one deserialize, touch"),
            ],
        );
}

/// A store of one chain in ten of ten models each, opened anew for each question.
fn neighbour(criterion: &mut Criterion) {
    let nodes = std::env::var("MGIT_BENCH_NODES").ok().and_then(|text| text.parse().ok());
    let nodes: usize = nodes.unwrap_or(100_000);
    let folder = models::scratch();
    let path = folder.path().join("family.mgit");
    let store = Store::create(&path).expect("a store");
    let mut transaction = store.begin_write().expect("a transaction");
    let mut before = None;
    for at in 0..nodes {
        let mut new = NewModel::new(format!("family/model-{at}"));
        if let Some(parent) = before.take().filter(|_| at % 10 > 0) {
            new = new.parent(parent, How::FineTune);
        }
        let added = transaction.add_model(new).expect("a model");
        before = Some(added.node.id().to_string());
    }
    transaction.commit().expect("a commit");
    drop(store);
    models::warm(&path);
    let bytes = std::fs::metadata(&path).expect("the store").len();
    println!("{nodes} models in a file of {bytes} bytes");
    let name = format!("family/model-{}", nodes / 2 / 10 * 10 + 5);
    let ask = |store: Store, parents: bool| {
        let snapshot = store.snapshot().expect("a snapshot");
        let node = snapshot.find(name.as_str()).expect("the model");
        let found = match parents {
            true => snapshot.graph().parents(node.id()).expect("parents").len(),
            false => {
                snapshot.graph().children(node.id(), EdgeKind::Provenance).expect("children").len()
            }
        };
        assert_eq!(found, 1);
    };
    let read = || Store::open_read_only(&path).expect("the store");
    let write = || Store::open(&path).expect("the store");
    Comparison::new("open a store of many models, ask for one neighbour", bytes)
        .add("open to read, parents", || timed(|| ask(read(), true)))
        .add("open to read, children", || timed(|| ask(read(), false)))
        .add("open to write, parents", || timed(|| ask(write(), true)))
        .add("open to write, begin a transaction", || {
            timed(|| drop(write().begin_write().expect("a transaction")))
        })
        .run(criterion, &[]);
}

criterion_group!(benches, open, neighbour);
criterion_main!(benches);
