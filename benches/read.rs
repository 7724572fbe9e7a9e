//! Reading every byte of a model of 90 MB, from a warm page cache. A raw one is summed through
//! the map; the limit is the same sum over memory. A delta-coded one is decoded, on all cores and
//! on one; the limits are `memcpy` and, for what is checked on the way, BLAKE3.

mod common;

use common::{Comparison, models, sum_bytes, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use memmap2::Mmap;
use mgit::{Model, Store};
use safetensors::SafeTensors;
use std::fs::File;
use std::sync::Mutex;

fn sum_views(model: &Model, checked: bool) -> u64 {
    let sum = |tensor: mgit::Tensor| match checked {
        true => sum_bytes(&tensor.view().expect("a view")),
        false => sum_bytes(&tensor.view_unchecked().expect("a view")),
    };
    model.tensors().map(sum).fold(0, u64::wrapping_add)
}

fn read(criterion: &mut Criterion) {
    let folder = models::scratch();
    let (root, child) = models::root_and_child(folder.path());
    let store_path = folder.path().join("models.mgit");
    let store = Store::create(&store_path).expect("a store");
    models::import(&store, &root, "root", None);
    let report = models::import(&store, &child, "child", Some("root"));
    println!(
        "child: {} MB as deltas in {} MB",
        report.delta_bytes / 1_000_000,
        report.delta_stored_bytes / 1_000_000
    );
    drop(store);
    models::warm(&store_path);
    let open = || {
        let store = Store::open_read_only(&store_path).expect("the store");
        store.snapshot().expect("a snapshot")
    };
    let plain = std::fs::read(&root).expect("the model file");
    let mut copy = vec![0u8; plain.len()];
    let file = File::open(&root).expect("the model file");
    // SAFETY: nobody writes the file while the benchmark runs.
    let map = || unsafe { Mmap::map(&file) }.expect("a map");

    let warm = open().model("root").expect("the model");
    sum_views(&warm, true);
    Comparison::new("sum every byte of a raw model", plain.len() as u64)
        .add("mgit view_unchecked, new handle", || {
            let snapshot = open();
            timed(|| sum_views(&snapshot.model("root").expect("the model"), false))
        })
        .add("mgit view (checked), new handle", || {
            let snapshot = open();
            timed(|| sum_views(&snapshot.model("root").expect("the model"), true))
        })
        .add("mgit view (checked before)", || timed(|| sum_views(&warm, true)))
        .add("mmap, deserialize", || {
            timed(|| {
                let map = map();
                let tensors = SafeTensors::deserialize(&map).expect("a model file");
                tensors.iter().map(|(_, t)| sum_bytes(t.data())).fold(0, u64::wrapping_add)
            })
        })
        .add("fs::read, deserialize", || {
            timed(|| {
                let bytes = std::fs::read(&root).expect("the model file");
                let tensors = SafeTensors::deserialize(&bytes).expect("a model file");
                tensors.iter().map(|(_, t)| sum_bytes(t.data())).fold(0, u64::wrapping_add)
            })
        })
        .add("limit: sum of memory", || timed(|| sum_bytes(&plain)))
        .run(
            criterion,
            &[
                ("mgit view_unchecked, new handle", "mmap, deserialize"),
                ("mgit view (checked), new handle", "mmap, deserialize"),
                ("mgit view (checked), new handle", "fs::read, deserialize"),
                ("mgit view (checked before)", "limit: sum of memory"),
            ],
        );

    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let snapshot = open();
    let raw = snapshot.model("root").expect("the model");
    let delta = snapshot.model("child").expect("the model");
    let buffers = |model: &Model| -> Mutex<Vec<Vec<u8>>> {
        Mutex::new(model.tensors().map(|tensor| vec![0; tensor.byte_len() as usize]).collect())
    };
    let (raw_out, delta_out) = (buffers(&raw), buffers(&delta));
    let read_into = |model: &Model, out: &Mutex<Vec<Vec<u8>>>| {
        let mut out = out.lock().expect("one at a time");
        let mut out: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        model.read_into(&mut out).expect("the tensors");
        out.len()
    };
    let read_model = |model: &Model| {
        read_into(model, if model.node().id() == raw.node().id() { &raw_out } else { &delta_out })
    };
    read_model(&raw);
    read_model(&delta);
    Comparison::new("read every tensor of a delta-coded model", plain.len() as u64)
        .add("mgit delta, all cores", || timed(|| read_model(&delta)))
        .add("mgit delta, one core", || timed(|| one.install(|| read_model(&delta))))
        .add("mgit delta, all cores, new handle", || {
            let delta = open().model("child").expect("the model");
            timed(|| read_model(&delta))
        })
        .add("mgit raw, all cores", || timed(|| read_model(&raw)))
        .add("limit: memcpy, one core", || timed(|| copy.copy_from_slice(&plain)))
        .add("BLAKE3, one core", || timed(|| blake3::hash(&plain)))
        .run(
            criterion,
            &[
                ("mgit delta, all cores", "limit: memcpy, one core"),
                ("mgit delta, one core", "limit: memcpy, one core"),
                ("mgit delta, one core", "BLAKE3, one core"),
                ("mgit delta, all cores, new handle", "mgit delta, all cores"),
            ],
        );
}

criterion_group!(benches, read);
criterion_main!(benches);
