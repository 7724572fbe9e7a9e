//! Opening a model and looking at every tensor of it, from a warm page cache: a store, opened
//! read-only, against `mmap` and `SafeTensors::deserialize` of the plain file. Three depths: the
//! views alone; one byte of every page read; and, ours alone, every checksum checked.
//!
//! The limit is `mmap` with one byte of every page read: the page faults that nobody is spared.

mod common;

use common::{Comparison, models, timed, touch_pages};
use criterion::{Criterion, criterion_group, criterion_main};
use memmap2::Mmap;
use mgit::{Snapshot, Store, TensorView};
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

criterion_group!(benches, open);
criterion_main!(benches);
