//! Promise: what goes into a store comes out the same, whichever way it is given and asked for:
//! from bytes, sources and readers, of every element type, by name, version and id, whole, by rows
//! and by ranges; and what contradicts itself is refused and leaves nothing.

use std::io::{self, Cursor, Read};

use crate::common;
use crate::common::{
    add, add_one, assert_rows_add_up, contents, contents_of, model, new_store, noise, nudged, one,
    shape, tensor, weights, write,
};
use mgit::error::{LineageError, StoreError, full_message};
use mgit::half::{bf16, f16};
use mgit::store::Result;
use mgit::store::{Access, NewPart, TensorSource};
use mgit::tensor::Element;
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Store, bytemuck};

const MIB: usize = 1 << 20;

struct Slice(Vec<u8>);

impl TensorSource for Slice {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let part = self.0.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A stream that gives a few bytes at a time, then ends with an error if told so.
struct Drip {
    rest: Cursor<Vec<u8>>,
    fails: bool,
}

impl Read for Drip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(70_001);
        match self.rest.read(&mut out[..len])? {
            0 if self.fails => Err(io::Error::other("the line went dead")),
            len => Ok(len),
        }
    }
}

fn reader<'a>(bytes: &[u8], announced: usize, fails: bool) -> NewTensor<'a> {
    let drip = Drip { rest: Cursor::new(bytes.to_vec()), fails };
    NewTensor::from_reader("w", Dtype::U8, shape(&[announced as u64]), announced as u64, drip)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(full_message(&error).as_str(), text);
}

#[test]
fn a_store_is_made_opened_and_opened_again() {
    let (folder, path, store) = new_store();
    assert_eq!((store.access(), store.path()), (Access::Write, path.as_path()));
    assert_eq!(store.snapshot().unwrap().sequence(), 0);
    assert_eq!(store.snapshot().unwrap().nodes().unwrap(), []);
    refused(Store::create(&path), &format!("{} is already there", path.display()));
    add_one(&store, "a", &[], &weights(1, 100)).unwrap();
    assert_eq!(store.snapshot().unwrap().sequence(), 1);
    let expected = contents(&store.snapshot().unwrap()).unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), expected);
    drop(store);
    let reader = Store::open_read_only(&path).unwrap();
    assert_eq!(reader.access(), Access::Read);
    assert_eq!(contents(&reader.snapshot().unwrap()).unwrap(), expected);
    refused(reader.begin_write(), "the store was opened read-only");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(names.len(), 1, "nothing lies beside the store: {names:?}");
}

#[test]
fn bytes_sources_and_readers_give_the_same_model() {
    let (_folder, _, store) = new_store();
    for (at, len) in [0, 1, 5 * MIB + 3, 17 * MIB + 5].into_iter().enumerate() {
        let bytes = noise(at as u64, len);
        let of = |name: String, tensor| NewModel::new(name).tensor(tensor);
        let dims = shape(&[len as u64]);
        let source = Slice(bytes.clone());
        let given = NewTensor::from_source("w", Dtype::U8, dims.clone(), len as u64, source);
        let first = add(&store, of(format!("source{at}"), given)).unwrap();
        assert_eq!((first.raw, first.raw_bytes, first.deduplicated), (1, len as u64, 0));
        let given = NewTensor::from_bytes("w", Dtype::U8, dims, &bytes);
        let second = add(&store, of(format!("bytes{at}"), given)).unwrap();
        assert_eq!((second.raw, second.deduplicated_bytes), (0, len as u64));
        let third = add(&store, of(format!("reader{at}"), reader(&bytes, len, false))).unwrap();
        assert_eq!((third.raw, third.deduplicated), (0, 1));
        // An equal manifest is kept once too.
        assert_eq!((second.added_bytes, third.added_bytes), (0, 0));
        let snapshot = store.snapshot().unwrap();
        for name in ["source", "bytes", "reader"] {
            let model = snapshot.model(format!("{name}{at}")).unwrap();
            assert!(*model.tensor("w").unwrap().view().unwrap() == bytes[..], "{name}{at}");
        }
    }
    assert_rows_add_up(&store.snapshot().unwrap(), "three ways");
}

#[test]
fn a_stream_of_another_length_and_one_that_fails_leave_nothing() {
    let (_folder, path, store) = new_store();
    add_one(&store, "kept", &[], &noise(9, 1000)).unwrap();
    let before = contents(&store.snapshot().unwrap()).unwrap();
    for len in [1000, 17 * MIB] {
        let bytes = noise(1, len);
        for (announced, fails) in [(len - 1, false), (len + 1, false), (len, true)] {
            let tensor = reader(&bytes, announced, fails);
            let result = add(&store, NewModel::new("bad").tensor(tensor));
            let error = result.unwrap_err();
            assert!(matches!(error, StoreError::Source { .. }), "{announced} of {len}");
            let text = full_message(&error);
            assert!(text.starts_with("reading tensor \"w\" failed: "), "{text}");
            let said = if fails { "the line went dead" } else { "were announced" };
            assert!(text.contains(said), "{text}");
        }
    }
    let source = Slice(noise(1, 10));
    let tensor = NewTensor::from_source("w", Dtype::U8, shape(&[11]), 11, source);
    assert!(matches!(
        add(&store, NewModel::new("bad").tensor(tensor)).unwrap_err(),
        StoreError::Source { .. }
    ));
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
    add_one(&store, "next", &[], &noise(2, 1000)).unwrap();
    drop(store);
    assert_eq!(contents_of(&path).unwrap().len(), 2);
}

#[test]
fn a_source_that_changes_while_it_is_read_is_refused() {
    struct Fickle(std::sync::atomic::AtomicU64);
    impl TensorSource for Fickle {
        fn read_at(&self, _: u64, out: &mut [u8]) -> io::Result<()> {
            out.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) as u8);
            Ok(())
        }
    }
    let (_folder, _, store) = new_store();
    let len = 20 * MIB as u64;
    let source = Fickle(0.into());
    let tensor = NewTensor::from_source("w", Dtype::U8, shape(&[len]), len, source);
    refused(
        add(&store, NewModel::new("bad").tensor(tensor)),
        "reading tensor \"w\" failed: the source has changed while it was read",
    );
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), 0);
}

#[test]
fn every_element_type_is_kept() {
    let (_folder, path, store) = new_store();
    let bytes = noise(3, 64 * 24);
    let mut new = NewModel::new("zoo");
    let mut expected = Vec::new();
    for (dtype, _) in Dtype::all_known() {
        let len = dtype.byte_len(&shape(&[8, 24])).unwrap().unwrap();
        let data = &bytes[..len as usize];
        new = new.tensor(NewTensor::from_bytes(dtype.name(), dtype.clone(), shape(&[8, 24]), data));
        expected.push((dtype, shape(&[8, 24]), data.to_vec()));
    }
    assert_eq!(expected.len(), 22);
    let unknown = Dtype::Unknown("F7_E3M3".into());
    new = new.tensor(NewTensor::from_bytes("?", unknown.clone(), shape(&[5]), &bytes[..77]));
    expected.push((unknown, shape(&[5]), bytes[..77].to_vec()));
    add(&store, new).unwrap();
    drop(store);
    let snapshot = Store::open_read_only(&path).unwrap().snapshot().unwrap();
    let model = snapshot.model("zoo").unwrap();
    let found = model.tensors().map(|tensor| {
        let bytes = tensor.view().unwrap().to_vec();
        (tensor.dtype().clone(), tensor.shape().clone(), bytes)
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn scalars_empty_tensors_and_empty_models_are_kept() {
    let (_folder, path, store) = new_store();
    add(&store, NewModel::new("nothing")).unwrap();
    add(
        &store,
        NewModel::new("little")
            .tensor(NewTensor::from_bytes("scalar", Dtype::F64, shape(&[]), &[7; 8]))
            .tensor(NewTensor::from_bytes("empty", Dtype::F32, shape(&[0, 9]), &[]))
            .tensor(NewTensor::from_bytes("empty too", Dtype::Bf16, shape(&[3, 0]), &[])),
    )
    .unwrap();
    drop(store);
    let snapshot = Store::open_read_only(&path).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.model("nothing").unwrap().tensors().len(), 0);
    let model = snapshot.model("little").unwrap();
    let scalar = model.tensor("scalar").unwrap();
    assert_eq!((scalar.shape().rank(), &*scalar.view().unwrap()), (0, &[7; 8][..]));
    assert_eq!(scalar.rows(0..1).unwrap().len(), 8);
    for name in ["empty", "empty too"] {
        let tensor = model.tensor(name).unwrap();
        assert_eq!((tensor.byte_len(), tensor.view().unwrap().len()), (0, 0));
        tensor.read_into(&mut []).unwrap();
        assert_eq!(tensor.rows(0..0).unwrap().len(), 0);
    }
    assert_eq!(model.tensor("empty").unwrap().view().unwrap().as_slice::<f32>().unwrap(), &[0.; 0]);
    let text = "little@1 has no tensor \"full\"";
    refused(model.tensor("full"), text);
}

#[test]
fn equal_bytes_are_kept_once_whatever_their_name_shape_type_or_model() {
    let (_folder, _, store) = new_store();
    let bytes = weights(4, 60_000);
    let as_f32 = |name| NewTensor::from_bytes(name, Dtype::F32, shape(&[300, 200]), &bytes);
    let report = add(&store, NewModel::new("a").tensor(as_f32("x")).tensor(as_f32("y"))).unwrap();
    assert_eq!((report.raw, report.deduplicated), (1, 1));
    let as_u8 = NewTensor::from_bytes("z", Dtype::U8, shape(&[240_000]), &bytes);
    let as_i16 = NewTensor::from_bytes("i", Dtype::I16, shape(&[2, 60_000]), &bytes);
    let report = add(&store, NewModel::new("b").tensor(as_u8).tensor(as_i16)).unwrap();
    assert_eq!((report.raw, report.delta, report.deduplicated), (0, 0, 2));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(common::tensor_rows(&snapshot).len(), 1);
    let mut addresses = std::collections::HashSet::new();
    for (model, name) in [("a", "x"), ("a", "y"), ("b", "z"), ("b", "i")] {
        let tensor = snapshot.model(model).unwrap().tensor(name).unwrap();
        let view = tensor.view().unwrap();
        assert!(view.is_mapped() && *view == bytes[..]);
        addresses.insert(view.as_ptr());
    }
    assert_eq!(addresses.len(), 1);
    assert_rows_add_up(&snapshot, "shared");
    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(*snapshot.model("b").unwrap().tensor("z").unwrap().view().unwrap() == bytes[..]);
    assert_rows_add_up(&snapshot, "one holder gone");
}

#[test]
fn models_are_found_by_name_version_and_id() {
    let (_folder, _, store) = new_store();
    let ids: Vec<_> = (0..3)
        .map(|seed| add_one(&store, "net/a", &[], &weights(seed, 50)).unwrap().node.id())
        .collect();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.model("net/a").unwrap().full_name(), "net/a@3");
    assert_eq!(snapshot.model("net/a@2").unwrap().node().id(), ids[1]);
    assert_eq!(snapshot.model(ids[0].to_string()).unwrap().full_name(), "net/a@1");
    assert_eq!(snapshot.nodes().unwrap().len(), 3);
    refused(snapshot.model("net"), "no model \"net\" in the store; did you mean net/a@3?");
    refused(snapshot.model("x@9"), "no model \"x@9\" in the store");
    let reason = "\"net/a@0\" is not a model name: the version after @ is a number from 1";
    refused(snapshot.model("net/a@0"), reason);
}

#[test]
fn a_version_number_is_never_given_twice() {
    let (_folder, path, store) = new_store();
    let version =
        |store: &Store, seed| add_one(store, "a", &[], &weights(seed, 50)).unwrap().node.version();
    assert_eq!([version(&store, 1), version(&store, 2)], [1, 2]);
    write(&store, |t| t.remove_model("a@2", OnChildren::Refuse)).unwrap();
    assert_eq!(version(&store, 3), 3);
    for name in ["a@1", "a@3"] {
        write(&store, |t| t.remove_model(name, OnChildren::Refuse)).unwrap();
    }
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(version(&store, 4), 4);
    assert_eq!(store.snapshot().unwrap().nodes().unwrap().len(), 1);
}

#[test]
fn metadata_and_kind_are_kept_and_go_with_the_model() {
    let (_folder, _, store) = new_store();
    let new = NewModel::new("a").kind("bert").metadata("task", "sst2").metadata("épochs", 3);
    add(&store, new.metadata("scores", serde_json::json!({"f1": [0.5, null]}))).unwrap();
    let snapshot = store.snapshot().unwrap();
    let model = snapshot.model("a").unwrap();
    assert_eq!(model.node().kind(), "bert");
    let metadata = serde_json::Value::Object(model.metadata().unwrap());
    let expected = serde_json::json!({"task": "sst2", "épochs": 3, "scores": {"f1": [0.5, null]}});
    assert_eq!(metadata, expected);
    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    add(&store, NewModel::new("a")).unwrap();
    assert!(store.snapshot().unwrap().model("a").unwrap().metadata().unwrap().is_empty());
    assert_eq!(model.metadata().unwrap().len(), 3);
}

#[test]
fn tensors_that_contradict_themselves_are_refused() {
    let (_folder, _, store) = new_store();
    let four = [0; 4];
    let long = "n".repeat(65_536);
    let f32_of =
        |name: &str, dims: &[u64]| NewTensor::from_bytes(name, Dtype::F32, shape(dims), &four);
    let odd = NewTensor::from_bytes("w", Dtype::F4, shape(&[3]), &four[..1]);
    for (tensors, reason) in [
        (vec![f32_of("w", &[2])], "\"w\": F32 [2] takes 8 bytes, 4 are given"),
        (vec![f32_of("w", &[1 << 62])], "\"w\": the product of the dimensions overflows"),
        (vec![odd], "\"w\": 12 bits do not fill whole bytes"),
        (vec![f32_of("", &[1])], "\"\": a name has 1 to 65535 bytes"),
        (vec![f32_of("w", &[1]), f32_of("w", &[1])], "\"w\": the name is used twice"),
        (
            vec![f32_of("__metadata__", &[1])],
            "\"__metadata__\": safetensors files keep this name for their metadata",
        ),
    ] {
        let new = tensors.into_iter().fold(NewModel::new("bad"), NewModel::tensor);
        refused(add(&store, new), &format!("tensor {reason}"));
    }
    let error = add(&store, NewModel::new("bad").tensor(f32_of(&long, &[1]))).unwrap_err();
    assert!(full_message(&error).ends_with("a name has 1 to 65535 bytes"));
    let parts = ["a", "b"].map(NewPart::new);
    let new = parts.into_iter().fold(NewModel::new("bad"), NewModel::part);
    refused(add(&store, new), "tensor \"\": several files without an index that lists them");
    let id = "0123456789abcdef0123456789abcdef";
    for name in ["", "auto", "a@1", "../a", "-a", id] {
        assert!(matches!(
            add(&store, NewModel::new(name)).unwrap_err(),
            StoreError::Lineage(LineageError::InvalidName { .. })
        ));
    }
    let new = NewModel::new("bad").parent("nobody", How::Merge);
    refused(add(&store, new), "no model \"nobody\" in the store");
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.sequence(), snapshot.nodes().unwrap().len()), (0, 0));
}

#[test]
fn a_dropped_transaction_leaves_nothing_and_its_room_is_used_again() {
    let (_folder, path, store) = new_store();
    add_one(&store, "kept", &[], &weights(1, 1000)).unwrap();
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let mut lengths = Vec::new();
    for round in 0..4 {
        let mut transaction = store.begin_write().unwrap();
        let tensors = one(noise(round, 3 * MIB));
        transaction.add_model(model("gone", &["kept"], &tensors)).unwrap();
        transaction.remove_model("kept", OnChildren::Detach).unwrap();
        assert!(transaction.find("kept").is_err());
        drop(transaction);
        assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
        lengths.push(std::fs::metadata(&path).unwrap().len());
    }
    assert_eq!(lengths[0], lengths[3], "{lengths:?}");
    let bytes = noise(77, 3 * MIB);
    add_one(&store, "gone", &[], &bytes).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() <= lengths[0] + (1 << 20));
    drop(store);
    let found = contents_of(&path).unwrap();
    assert_eq!((found.len(), found["gone@1"][0].1 == bytes), (2, true));
}

/// Gives samples, and no more.
struct FailsLong;

impl TensorSource for FailsLong {
    fn read_at(&self, _: u64, out: &mut [u8]) -> std::io::Result<()> {
        if out.len() > 16 { Err(std::io::Error::other("too long")) } else { Ok(()) }
    }
}

#[test]
fn a_transaction_with_a_failed_step_cannot_be_committed() {
    let (_folder, _, store) = new_store();
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model("a", &[], &one(noise(1, 1000)))).unwrap();
    // What is refused at the door spoils nothing.
    let refused_at_door = transaction.add_model(NewModel::new("b").parent("none", How::Merge));
    assert!(matches!(
        refused_at_door.unwrap_err(),
        StoreError::Lineage(LineageError::InvalidName { .. })
    ));
    transaction.add_model(model("b", &["a"], &one(noise(2, 1000)))).unwrap();
    let with_child = transaction.remove_model("a", OnChildren::Refuse).unwrap_err();
    assert!(matches!(with_child, StoreError::Lineage(LineageError::HasChildren { .. })));
    // Half of this model gets in before its second tensor fails.
    let good = tensor("good", &[1; 9]);
    let bad = NewTensor::from_source("bad", Dtype::U8, shape(&[40 << 20]), 40 << 20, FailsLong);
    let half = transaction.add_model(NewModel::new("c").tensor(good).tensor(bad));
    assert!(matches!(half.unwrap_err(), StoreError::Source { .. }));
    let text = "an earlier step of this transaction failed: drop it and begin another";
    refused(transaction.add_model(NewModel::new("d")), text);
    refused(transaction.remove_model("b", OnChildren::Refuse), text);
    refused(transaction.add_parent("b", "a", How::Merge), text);
    refused(transaction.commit(), text);
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), 0);
    // An edge that is refused changes nothing.
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model("a", &[], &[])).unwrap();
    transaction.add_model(model("b", &["a"], &[])).unwrap();
    assert!(matches!(
        transaction.add_parent("a", "b", How::Merge).unwrap_err(),
        StoreError::Lineage(LineageError::Cycle { .. })
    ));
    transaction.commit().unwrap();
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap().len(), 2);
    add_one(&store, "next", &[], &noise(3, 100)).unwrap();
    assert_rows_add_up(&store.snapshot().unwrap(), "after broken transactions");
}

#[test]
fn an_empty_transaction_commits_nothing() {
    let (_folder, _, store) = new_store();
    store.begin_write().unwrap().commit().unwrap();
    assert_eq!(store.snapshot().unwrap().sequence(), 0);
}

#[test]
fn transactions_of_several_threads_take_turns() {
    let (_folder, path, store) = new_store();
    std::thread::scope(|scope| {
        for at in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..5 {
                    let bytes = weights(at * 100 + round, 2000);
                    add_one(store, &format!("t{at}"), &[], &bytes).unwrap();
                }
            });
        }
    });
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.sequence(), snapshot.nodes().unwrap().len()), (20, 20));
    assert_rows_add_up(&snapshot, "threads");
    drop((snapshot, store));
    assert_eq!(contents_of(&path).unwrap().len(), 20);
}

/// A raw tensor and a delta, both of 3.5 chunks, as models `raw` and `delta`.
fn raw_and_delta(store: &Store) -> [(&'static str, Vec<u8>); 2] {
    let raw = weights(5, 917_504);
    let delta = nudged(&raw, 6, 50);
    let of = |name: &str, parent: &[&str], bytes: &[u8]| {
        let rows = NewTensor::from_bytes("w", Dtype::F32, shape(&[896, 1024]), bytes);
        let new = parent.iter().fold(NewModel::new(name), |m, p| m.parent(*p, How::FineTune));
        add(store, new.tensor(rows)).unwrap()
    };
    assert_eq!(of("raw", &[], &raw).raw, 1);
    assert_eq!(of("delta", &["raw"], &delta).delta, 1);
    [("raw", raw), ("delta", delta)]
}

#[test]
fn rows_and_ranges_are_slices_of_the_whole() {
    let (_folder, path, store) = new_store();
    let models = raw_and_delta(&store);
    for (name, bytes) in &models {
        for rows in [0..896, 0..1, 255..257, 100..700, 895..896, 500..500, 896..896] {
            // A handle of its own each, so that nothing has been checked before.
            let handle = Store::open_read_only(&path).unwrap();
            let tensor = handle.snapshot().unwrap().model(name).unwrap().tensor("w").unwrap();
            let view = tensor.rows(rows.clone()).unwrap();
            let range = rows.start as usize * 4096..rows.end as usize * 4096;
            assert!(*view == bytes[range], "{name} {rows:?}");
            assert_eq!(view.is_mapped(), *name == "raw");
            assert_eq!(view.as_slice::<f32>().unwrap().len(), view.len() / 4);
        }
        let tensor = store.snapshot().unwrap().model(name).unwrap().tensor("w").unwrap();
        for (start, len) in [(0, 1), (3, MIB), (MIB - 1, 2), (MIB, MIB), (7, 3 * MIB), (3670015, 1)]
        {
            let mut out = vec![0; len];
            tensor.read_range_into(start as u64, &mut out).unwrap();
            assert!(out == bytes[start..start + len], "{name} {start} {len}");
        }
        let mut out = vec![0; bytes.len()];
        tensor.read_into(&mut out).unwrap();
        assert!(out == *bytes);
        tensor.read_range_into(out.len() as u64, &mut []).unwrap();
        let text = "rows 1..897 of \"w\", which has 896";
        refused(tensor.rows(1..897), text);
        #[expect(clippy::reversed_empty_ranges, reason = "it is what is refused")]
        refused(tensor.rows(2..1), "rows 2..1 of \"w\", which has 896");
        let text = "a buffer of 4 bytes for a tensor of 3670016";
        refused(tensor.read_into(&mut [0; 4]), text);
        assert!(tensor.read_range_into(3_670_015, &mut [0; 2]).is_err());
        assert!(tensor.read_range_into(u64::MAX, &mut [0; 2]).is_err());
    }
}

#[test]
fn the_type_of_a_view_tells_mapped_from_reconstructed() {
    let (_folder, _, store) = new_store();
    let models = raw_and_delta(&store);
    let snapshot = store.snapshot().unwrap();
    let tensor = |name| snapshot.model(name).unwrap().tensor("w").unwrap();
    assert!(tensor("raw").view().unwrap().is_mapped());
    let first = tensor("delta").view().unwrap();
    assert!(!first.is_mapped());
    assert_eq!(first.as_ptr() as usize % 64, 0);
    assert_eq!(first.as_ptr(), tensor("delta").view().unwrap().as_ptr(), "views share a buffer");
    for (name, bytes) in &models {
        assert!(*tensor(name).view_unchecked().unwrap() == bytes[..]);
    }
    let stored = tensor("delta").stored_as().unwrap();
    assert_eq!((stored.depth, stored.base), (1, Some(tensor("raw").content_id())));
    assert!(stored.stored_len < tensor("delta").byte_len());
    assert_eq!(tensor("raw").stored_as().unwrap().encoding_names(), "raw");
    assert_eq!(tensor("delta").chain().unwrap().records().len(), 2);
}

#[test]
fn views_are_slices_of_their_element_type_only() {
    fn check<T: Element + PartialEq + std::fmt::Debug>(dtype: Dtype, values: &[T]) {
        let (_folder, _, store) = new_store();
        let bytes = bytemuck::cast_slice(values);
        let tensor =
            NewTensor::from_bytes("w", dtype.clone(), shape(&[values.len() as u64]), bytes);
        add(&store, NewModel::new("a").tensor(tensor)).unwrap();
        let view = store.snapshot().unwrap().model("a").unwrap().tensor("w").unwrap();
        let view = view.view().unwrap();
        assert_eq!(view.as_slice::<T>().unwrap(), values);
        assert_eq!(view.as_slice::<u8>().unwrap(), bytes);
        let wrong = |result: Result<()>, asked: &str| {
            let text = format!("a tensor of type {dtype} cannot be viewed as a slice of {asked}");
            refused(result, &text);
        };
        if dtype != Dtype::U32 {
            wrong(view.as_slice::<u32>().map(drop), "u32");
        }
        if dtype != Dtype::F16 {
            wrong(view.as_slice::<f16>().map(drop), std::any::type_name::<f16>());
        }
    }
    check(Dtype::F32, &[1.5f32, -0.0, f32::INFINITY]);
    check(Dtype::F64, &[1.5f64, 2.5]);
    check(Dtype::F16, &[f16::from_f32(1.5), f16::MAX]);
    check(Dtype::Bf16, &[bf16::from_f32(-2.5), bf16::MIN_POSITIVE]);
    check(Dtype::C64, &[[1.0f32, 2.0], [3.0, 4.0]]);
    check(Dtype::I8, &[-1i8, 7]);
    check(Dtype::I16, &[-1i16, 7]);
    check(Dtype::I32, &[-1i32, 7]);
    check(Dtype::I64, &[-1i64, 7]);
    check(Dtype::U16, &[1u16, 7]);
    check(Dtype::U32, &[1u32, 7]);
    check(Dtype::U64, &[1u64, 7]);
}

#[test]
fn names_of_tensors_are_any_text() {
    let (_folder, _, store) = new_store();
    let names = ["../../etc/passwd", "日本\u{0}\n", "a/b\\c", " "];
    let new =
        names.into_iter().fold(NewModel::new("a"), |new, name| new.tensor(tensor(name, b"1")));
    add(&store, new).unwrap();
    let model = store.snapshot().unwrap().model("a").unwrap();
    for name in names {
        assert_eq!(&*model.tensor(name).unwrap().view().unwrap(), b"1");
    }
}

#[test]
fn a_whole_model_is_read_into_the_callers_buffers() {
    let (_folder, _, store) = new_store();
    let tensors: Vec<(String, Vec<u8>)> =
        (0..9).map(|at| (format!("t{at}"), weights(at, 1000 * at as usize))).collect();
    let moved = tensors.iter().map(|(name, bytes)| (name.clone(), nudged(bytes, 3, 9))).collect();
    add(&store, model("base", &[], &tensors)).unwrap();
    let moved: Vec<(String, Vec<u8>)> = moved;
    add(&store, model("moved", &["base"], &moved)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let model = snapshot.model("moved").unwrap();
    let views = model.views().unwrap();
    let mut buffers: Vec<Vec<u8>> = moved.iter().map(|(_, bytes)| vec![1; bytes.len()]).collect();
    let mut out: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
    model.read_into(&mut out).unwrap();
    assert!(matches!(
        model.read_into(&mut out[1..]),
        Err(mgit::store::StoreError::BufferLength { expected: 9, found: 8 })
    ));
    for ((view, buffer), (name, bytes)) in views.iter().zip(&buffers).zip(&moved) {
        assert!(**view == **bytes && buffer == bytes, "{name}");
    }
}
