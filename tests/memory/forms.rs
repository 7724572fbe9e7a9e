//! Models in files of every form, and folders of them, in the memory that any model has.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use super::forms_of_weights::{Form, Weights};
use super::{FOLDER, MEBIBYTES, assert_same, run_limited};
use mgit::interchange::{FileFormat, ModelSource, export_to_path};
use mgit::store::NewView;
use mgit::{Dtype, NewModel, NewPart, NewTensor, Shape, Store};

/// ONNX files without data beside are bounded by their format: 2 GiB.
const FORMS: [Form; 4] = [Form::PyTorch, Form::Npz, Form::Gguf, Form::OnnxData];

#[test]
fn files_of_every_form_of_64_mib_pass_through_48_mib_of_memory() {
    run_limited("forms::limited_forms", 64, 48 << 10);
}

#[test]
#[ignore = "takes minutes and 7 GiB of disk"]
fn files_of_every_form_of_2_gib_pass_through_256_mib_of_memory() {
    run_limited("forms::limited_forms", 2048, 262_144);
}

/// 52 MiB were enough, for 64 and for 256; 48 were not.
#[test]
fn a_folder_of_64_mib_passes_through_56_mib_of_memory() {
    run_limited("forms::limited_folder", 64, 56 << 10);
}

#[test]
#[ignore = "takes minutes and 7 GiB of disk"]
fn a_folder_of_2_gib_passes_through_256_mib_of_memory() {
    run_limited("forms::limited_folder", 2048, 262_144);
}

/// With as many gaps between tensors, each of which is a piece of a chunk.
#[test]
fn a_pytorch_file_of_many_tensors_passes_through_little_memory() {
    run_limited("forms::limited_tensors", 20_000, 96 << 10);
}

/// A matrix that is stored as a difference, and turned where its file says so.
#[test]
fn a_turned_matrix_of_48_mib_is_written_out_in_48_mib_of_memory() {
    run_limited("forms::limited_views", 48, 48 << 10);
}

/// Numbers that cannot be compressed, others for each seed and tensor.
fn fill(seed: u64) -> impl Fn(usize, u64, &mut [u8]) {
    move |tensor, start, out| {
        let first = start / 8 + ((tensor as u64) << 40) + (seed << 56);
        for (number, eight) in (first..).zip(out.chunks_mut(8)) {
            // SplitMix64.
            let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            eight.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..eight.len()]);
        }
    }
}

/// One tensor of half of the whole, two of an eighth, and many small ones.
fn tensors(mebibytes: u64) -> Vec<(String, Vec<u64>)> {
    let rows_of_kib = |kib: u64| vec![kib, 256];
    let mut tensors = vec![
        ("half".to_owned(), rows_of_kib(mebibytes << 9)),
        ("eighth.0".to_owned(), rows_of_kib(mebibytes << 7)),
        ("eighth.1".to_owned(), rows_of_kib(mebibytes << 7)),
    ];
    tensors.extend((0..64).map(|at| (format!("small.{at}"), rows_of_kib(mebibytes << 2))));
    tensors
}

/// The folder and the size, in a process that [`run_limited`] has started.
fn limited() -> Option<(std::path::PathBuf, u64)> {
    let folder = std::env::var_os(FOLDER)?;
    let mebibytes = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let mebibytes: u64 = mebibytes.expect("a size");
    if cfg!(target_os = "linux") {
        let mut whole = Vec::<u8>::new();
        assert!(whole.try_reserve_exact((mebibytes << 20) as usize).is_err(), "no limit is set");
    }
    Some((folder.into(), mebibytes))
}

/// In, out, and compared; `count` tensors are seen.
fn goes_round(path: &Path, count: usize) {
    let folder = path.parent().expect("a folder");
    let (at, out) = (folder.join("models.mgit"), folder.join("out"));
    let store = Store::create(&at).expect("a store");
    let source = ModelSource::open(path).expect("the model opens");
    let mut transaction = store.begin_write().expect("a transaction");
    let report = transaction.add_model(NewModel::new("m").source(&source)).expect("it goes in");
    transaction.commit().expect("the commit");
    // None of its numbers shrink.
    assert!(report.added_bytes >= report.raw_bytes, "{report:?}");
    let model = store.snapshot().and_then(|snapshot| snapshot.model("m")).expect("the model");
    assert_eq!(model.tensors().len(), count, "{path:?}");
    export_to_path(&model, &out, &|_| ()).expect("it comes out");
    if source.is_single() {
        assert_same(path, &out);
        fs::remove_file(&out).expect("the export is there");
    } else {
        let from = if path.is_dir() { path } else { folder };
        for file in source.files() {
            assert_same(&from.join(file.path()), &out.join(file.path()));
        }
        fs::remove_dir_all(&out).expect("the export is there");
    }
    drop((model, store));
    fs::remove_file(&at).expect("the store is there");
}

/// The body: does nothing unless [`run_limited`] has started it.
#[test]
fn limited_forms() {
    let Some((folder, mebibytes)) = limited() else { return };
    for (seed, form) in (1..).zip(FORMS) {
        let folder = folder.join("one");
        fs::create_dir(&folder).expect("a folder");
        let tensors = tensors(mebibytes);
        let count = tensors.len();
        Weights { tensors, fill: &fill(seed) }.write(form, &folder).expect("room");
        goes_round(&folder.join(form.file()), count);
        fs::remove_dir_all(&folder).expect("the folder is there");
        println!("{form:?}: {mebibytes} MiB");
    }
}

/// The body of the folder: half is weights, a quarter the state of an optimizer, and a quarter a
/// file whose tensors are not seen.
#[test]
fn limited_folder() {
    let Some((folder, mebibytes)) = limited() else { return };
    let model = folder.join("model");
    fs::create_dir(&model).expect("a folder");
    let count = tensors(1).len();
    let weights = |mebibytes: u64| tensors(mebibytes);
    Weights { tensors: weights(mebibytes / 2), fill: &fill(1) }
        .write(Form::Safetensors, &model)
        .expect("room");
    Weights { tensors: weights(mebibytes / 4), fill: &fill(2) }
        .write(Form::PyTorch, &model)
        .expect("room");
    fs::rename(model.join(Form::PyTorch.file()), model.join("optimizer.pt")).expect("a name");
    let file = File::create(model.join("weights.h5")).expect("a file");
    let mut out = BufWriter::new(file);
    out.write_all(b"\x89HDF\r\n\x1a\n").expect("room");
    let mut piece = vec![0; 1 << 18];
    for at in 0..mebibytes {
        fill(3)(0, at << 18, &mut piece);
        out.write_all(&piece).expect("room");
    }
    out.flush().expect("room");
    fs::write(model.join("config.json"), "{}").expect("room");
    goes_round(&model, 2 * count);
    println!("a folder: {mebibytes} MiB");
}

/// The body for many tensors: of one number each.
#[test]
fn limited_tensors() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let count = std::env::var(MEBIBYTES).ok().and_then(|text| text.parse().ok());
    let count: usize = count.expect("a number of tensors");
    let tensors = (0..count).map(|at| (format!("layers.{at}.weight"), vec![1])).collect();
    let folder = std::path::PathBuf::from(folder);
    Weights { tensors, fill: &fill(1) }.write(Form::PyTorch, &folder).expect("room");
    goes_round(&folder.join(Form::PyTorch.file()), count);
}

/// The number at a place of a matrix, which the second version has changed a little here and there.
fn number(place: u64, version: u64) -> u32 {
    let z = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    // As weights are: of magnitudes near one.
    let float = ((z >> 32) as u32 & 0x80ff_ffff) | 0x3f00_0000;
    float ^ u32::from(version > 1 && place.is_multiple_of(9))
}

/// The body for turned matrices.
#[test]
fn limited_views() {
    let Some((folder, mebibytes)) = limited() else { return };
    let (rows, columns) = (mebibytes << 7, 1u64 << 11);
    let store = Store::create(folder.join("models.mgit")).expect("a store");
    for version in [1, 2] {
        let numbers = move |offset: u64, out: &mut [u8]| {
            for (place, bytes) in (offset / 4..).zip(out.chunks_mut(4)) {
                bytes.copy_from_slice(&number(place, version).to_le_bytes()[..bytes.len()]);
            }
            Ok(())
        };
        let shape = [rows, columns];
        let tensor = NewTensor::from_fn("w", Dtype::F32, shape, rows * columns * 4, numbers);
        let view = NewView {
            name: "turned".to_owned(),
            tensor: 0,
            offset: 0,
            dtype: Dtype::F32,
            shape: Shape::new(&[columns, rows]).expect("a shape"),
            strides: vec![1, columns],
        };
        let file = NewPart::file("m.pt", FileFormat::PyTorch).woven(vec![2], 4, &b"<<>>"[..]);
        let model = NewModel::new("m").part(file.tensor(tensor).view(view)).single_file();
        let mut transaction = store.begin_write().expect("a transaction");
        let report = transaction.add_model(model).expect("it goes in");
        transaction.commit().expect("the commit");
        assert_eq!(report.delta > 0, version > 1, "{report:?}");
    }
    let model = store.snapshot().and_then(|snapshot| snapshot.model("m")).expect("the model");
    let view = model.named_views().next().expect("the view");
    let mut piece = vec![0; 1 << 20];
    for offset in (0..rows * columns * 4).step_by(piece.len()) {
        view.read_range_into(offset, &mut piece).expect("it is read");
        for (place, bytes) in (offset / 4..).zip(piece.chunks_exact(4)) {
            let (column, row) = (place / rows, place % rows);
            assert_eq!(bytes, number(row * columns + column, 2).to_le_bytes(), "{row}, {column}");
        }
    }
    // Ends inside of elements.
    let mut whole = vec![0; 50];
    view.read_range_into(4000, &mut whole).expect("it is read");
    let mut part = vec![0; 35];
    view.read_range_into(4007, &mut part).expect("it is read");
    assert_eq!(part, whole[7..42]);
}
