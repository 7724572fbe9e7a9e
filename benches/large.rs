//! A pair of models of 2 GiB in bf16 (`MGIT_BENCH_BYTES` sets another size), half of each in one
//! tensor: of the child, about 31 of 100 elements have moved by a step. Import, export, a clone of
//! the store, a difference and a check, each from a warm page cache and synced to the medium, in
//! turn, in memory that the host has given before (`common/host.rs`). The limits: `cp` and `fsync` of
//! the same bytes, and reading both files.
//!
//! `cargo bench --manifest-path benches/Cargo.toml --bench large`

mod common;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use common::models::{self, Random};
use common::{Comparison, host, timed};
use mgit::diff::diff;
use mgit::interchange::{export_to_path, write_header};
use mgit::transfer::{Selection, pull_from_store};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, Profile, Shape, Store};

/// Elements in a row of every tensor.
const ROW: u64 = 4096;
/// Tensors beside the large one.
const SMALL: u64 = 16;

/// Of 4,096 numbers, the bits of normal ones.
fn table(random: &mut Random) -> Vec<u16> {
    let mut normal = || {
        let bits = random.next();
        let sum: u64 = (0..4).map(|k| bits >> (16 * k) & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 0.035
    };
    (0..4096).map(|_| mgit::half::bf16::from_f32(normal()).to_bits()).collect()
}

/// Writes root and child side by side.
fn write(root: &Path, child: &Path, bytes: u64) {
    let rows = (bytes / 2 / ROW).max(2 * SMALL);
    let mut shapes = vec![("large".to_owned(), Shape::new(&[rows / 2, ROW]).expect("a shape"))];
    for number in 0..SMALL {
        let shape = Shape::new(&[rows / 2 / SMALL, ROW]).expect("a shape");
        shapes.push((format!("small.{number:02}"), shape));
    }
    let lens = |shape: &Shape| shape.dims().iter().product::<u64>() * 2;
    let elements: u64 = shapes.iter().map(|(_, shape)| lens(shape) / 2).sum();
    let mut files = [root, child].map(|path| {
        let entries =
            shapes.iter().map(|(name, shape)| (name.as_str(), &Dtype::Bf16, shape, lens(shape)));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
        let header = write_header(entries, None);
        file.write_all(&(header.len() as u64).to_le_bytes()).expect("room");
        file.write_all(&header).expect("room");
        file
    });
    let mut random = Random(7);
    let values = table(&mut random);
    for _ in 0..elements {
        let bits = random.next();
        let value = values[(bits & 0xfff) as usize];
        let moved = bits >> 12 & 0x3ff < 317;
        let step = if bits >> 40 & 1 == 0 { 1 } else { 0xffff };
        let next = if moved { value.wrapping_add(step) } else { value };
        files[0].write_all(&value.to_le_bytes()).expect("room");
        files[1].write_all(&next.to_le_bytes()).expect("room");
    }
    files.iter_mut().for_each(|file| file.flush().expect("room"));
}

/// As [`timed`], for what writes beside `near` no more than that file's length and an eighth.
fn timed_writing<T>(near: &Path, work: impl FnOnce() -> T) -> Duration {
    let folder = near.parent().expect("a folder");
    let bytes = fs::metadata(near).expect("the file").len();
    host::fill_memory(folder, bytes + bytes / 8);
    timed(work)
}

fn copy(from: &Path, to: &Path) -> Duration {
    let took = timed_writing(from, || {
        fs::copy(from, to).expect("a copy");
        File::open(to).expect("the copy").sync_all().expect("a sync");
    });
    fs::remove_file(to).expect("the copy is there");
    took
}

fn import(store: &Store, file: &Path, name: &str, parent: Option<&str>, profile: Profile) {
    models::import_as(store, file, name, parent, |model| model.profile(profile));
}

/// Reads both files with system calls, 1 MiB at a time.
fn read_both(files: [&Path; 2]) -> u64 {
    use std::io::Read;
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    for path in files {
        let mut file = File::open(path).expect("the file");
        loop {
            match file.read(&mut buffer).expect("the file's bytes") {
                0 => break,
                len => read += len as u64,
            }
        }
    }
    read
}

fn main() {
    let bytes = std::env::var("MGIT_BENCH_BYTES").ok().and_then(|text| text.parse().ok());
    let bytes: u64 = bytes.unwrap_or(2 << 30);
    let folder = models::scratch();
    let at = |name: &str| folder.path().join(name);
    let (root, child, copy_to) = (at("root.safetensors"), at("child.safetensors"), at("copy"));
    write(&root, &child, bytes);
    [&root, &child].into_iter().for_each(|path| models::warm(path));
    let bytes = fs::metadata(&child).expect("the child").len();
    let limit = "cp + fsync";
    for (title, profile) in [("fast", Profile::Fast), ("balanced", Profile::Balanced)] {
        println!("profile {title}");
        let kept_path = at("kept.mgit");
        let kept = Store::create(&kept_path).expect("a store");
        import(&kept, &root, "root", None, profile);
        let root_bytes = fs::metadata(&kept_path).expect("the store").len();
        import(&kept, &child, "child", Some("root"), profile);
        drop(kept);
        models::warm(&kept_path);
        let kept = Store::open(&kept_path).expect("the store");
        let file_bytes = fs::metadata(&kept_path).expect("the store").len();
        println!("BYTES child = {} of {bytes}", file_bytes - root_bytes);
        let new_path = at("new.mgit");
        let away = || fs::remove_file(&new_path).expect("the store is there");
        Comparison::new("import", bytes)
            .add("mgit import the root", || {
                let store = Store::create(&new_path).expect("a store");
                let took = timed_writing(&root, || import(&store, &root, "root", None, profile));
                away();
                took
            })
            .add("mgit import the child", || {
                let store = Store::create(&new_path).expect("a store");
                import(&store, &root, "root", None, profile);
                let took = timed_writing(&child, || {
                    import(&store, &child, "child", Some("root"), profile)
                });
                away();
                took
            })
            .add(limit, || copy(&child, &copy_to))
            .run_in_turn(&[("mgit import the root", limit), ("mgit import the child", limit)]);

        let snapshot = kept.snapshot().expect("a snapshot");
        let export = |name: &str| {
            let model = snapshot.model(name).expect("the model");
            let took = timed_writing(&child, || {
                export_to_path(&model, &copy_to, &|_| ()).expect("an export")
            });
            fs::remove_file(&copy_to).expect("the export is there");
            took
        };
        Comparison::new("export", bytes)
            .add("mgit export the root", || export("root"))
            .add("mgit export the child", || export("child"))
            .add(limit, || copy(&child, &copy_to))
            .run_in_turn(&[("mgit export the root", limit), ("mgit export the child", limit)]);

        let alone_path = at("alone.mgit");
        let alone = Store::create(&alone_path).expect("a store");
        import(&alone, &root, "root", None, profile);
        let cloned = |from: &Store| {
            let took = timed_writing(&kept_path, || {
                let store = Store::create(&new_path).expect("a store");
                pull_from_store(&store, from, Selection::ALL).expect("a pull");
            });
            away();
            took
        };
        Comparison::new("clone", file_bytes)
            .add("mgit clone of the store", || cloned(&kept))
            .add("mgit clone of the root alone", || cloned(&alone))
            .add("cp + fsync", || copy(&kept_path, &copy_to))
            .run_in_turn(&[
                ("mgit clone of the store", limit),
                ("mgit clone of the root alone", limit),
            ]);
        drop(alone);
        fs::remove_file(&alone_path).expect("the store is there");

        let (old, new) =
            (snapshot.model("root").expect("it"), snapshot.model("child").expect("it"));
        Comparison::new("diff", 2 * bytes)
            .add("mgit diff", || timed(|| diff(&old, &new).expect("a difference")))
            .add("reading both files", || timed(|| read_both([&root, &child])))
            .run_in_turn(&[("mgit diff", "reading both files")]);

        Comparison::new("verify", file_bytes)
            .add("mgit verify", || {
                timed(|| verify(&kept, &snapshot, VerifyDepth::Full, &|_| ()).expect("a report"))
            })
            .add("reading the store", || timed(|| read_both([&kept_path, &kept_path]) / 2))
            .run_in_turn(&[("mgit verify", "reading the store")]);
        drop((old, new, snapshot, kept));
        fs::remove_file(&kept_path).expect("the store is there");
    }
}
