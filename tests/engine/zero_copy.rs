//! Promise: a raw tensor is read where it lies: its slice points into the map of the store's file,
//! aligned, at one address for equal content, and stays valid and unchanged while a writer goes on,
//! deletes the model and fills the freed room.

use std::path::Path;

use crate::common::{add, add_one, model, new_store, noise, shape, weights, write};
use mgit::{Dtype, NewModel, NewTensor, OnChildren, Store, TensorView};

/// Whether `slice` lies inside a mapping of `path`, at the offset where the file has its bytes.
fn lies_in_map_of(path: &Path, slice: &[u8], file_offset: u64) -> bool {
    let path = path.canonicalize().unwrap();
    let path = path.to_str().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let start = slice.as_ptr() as u64;
    maps.lines().filter(|line| line.ends_with(path)).any(|line| {
        let mut words = line.split_whitespace();
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (from, to) = words.next().unwrap().split_once('-').unwrap();
        let map_offset = hex(words.nth(1).unwrap());
        (hex(from)..hex(to)).contains(&start)
            && start + slice.len() as u64 <= hex(to)
            && start - hex(from) + map_offset == file_offset
    })
}

fn mapped_offset(view: &TensorView) -> u64 {
    view.file_offset().expect("not mapped")
}

fn view(store: &Store, model: &str, tensor: &str) -> TensorView {
    store.snapshot().unwrap().model(model).unwrap().tensor(tensor).unwrap().view().unwrap()
}

#[test]
fn a_raw_slice_points_into_the_map_and_stays_through_a_hundred_commits() {
    let (_folder, path, store) = new_store();
    let bytes = weights(1, 250_000);
    let tensor = NewTensor::from_bytes("w", Dtype::F32, shape(&[500, 500]), &bytes);
    add(&store, NewModel::new("a").tensor(tensor)).unwrap();
    let first = view(&store, "a", "w");
    let numbers: &[f32] = first.as_slice().unwrap();
    assert!(lies_in_map_of(&path, &first, mapped_offset(&first)));
    let address = numbers.as_ptr();
    assert_eq!(view(&store, "a", "w").as_slice::<f32>().unwrap().as_ptr(), address);
    let file = std::fs::read(&path).unwrap();
    let at = mapped_offset(&first) as usize;
    assert!(file[at..at + bytes.len()] == bytes[..]);

    write(&store, |t| t.remove_model("a", OnChildren::Refuse)).unwrap();
    for round in 0..100u64 {
        // Of the same length, to fill the freed place if anything could.
        add_one(&store, "next", &[], &noise(round, bytes.len())).unwrap();
        write(&store, |t| t.remove_model("next", OnChildren::Refuse)).unwrap();
        assert_eq!(numbers[0].to_le_bytes(), bytes[..4], "round {round}");
    }
    assert_eq!(numbers.as_ptr(), address);
    assert!(*first == bytes[..]);
    assert!(lies_in_map_of(&path, &first, mapped_offset(&first)));
    // Once it is gone, its place is used.
    let place = mapped_offset(&first);
    drop(first);
    let mut places = Vec::new();
    // There are other free places by now, which may be taken first.
    for round in 100..300u64 {
        add_one(&store, "next", &[], &noise(round, bytes.len())).unwrap();
        places.push(mapped_offset(&view(&store, "next", "w")));
        if places.last() == Some(&place) {
            break;
        }
    }
    assert!(places.contains(&place), "{place} in {places:?}");
}

#[test]
fn models_that_share_a_tensor_give_one_address_in_every_snapshot() {
    let (_folder, path, store) = new_store();
    let shared = weights(1, 100_000);
    let tensors = |own: u64| {
        vec![("shared".to_owned(), shared.clone()), ("own".to_owned(), noise(own, 5000))]
    };
    let (a, b) = (tensors(1), tensors(2));
    add(&store, model("a", &[], &a)).unwrap();
    let first = view(&store, "a", "shared");
    add(&store, model("b", &["a"], &b)).unwrap();
    let second = view(&store, "b", "shared");
    assert_eq!(first.as_ptr(), second.as_ptr());
    write(&store, |t| t.remove_model("a", OnChildren::Detach)).unwrap();
    assert_eq!(view(&store, "b", "shared").as_ptr(), first.as_ptr());
    assert!(lies_in_map_of(&path, &second, mapped_offset(&second)));
    assert_ne!(view(&store, "b", "own").as_ptr(), first.as_ptr());
}

#[test]
fn raw_tensors_are_aligned() {
    let (_folder, _, store) = new_store();
    let lens = [1usize, 63, 64, 65, 4097, 65_532, 65_535, 65_536, 65_540, 1_000_003, 20_000_004];
    let tensors: Vec<_> = lens.map(|len| (format!("t{len}"), noise(len as u64, len))).into();
    add(&store, model("a", &[], &tensors)).unwrap();
    for (name, bytes) in &tensors {
        let view = view(&store, "a", name);
        let align = if bytes.len() >= 65_536 { 4096 } else { 64 };
        assert_eq!(mapped_offset(&view) % align, 0, "{name}");
        assert_eq!(view.as_ptr() as u64 % align, 0, "{name}");
        assert!(*view == bytes[..], "{name}");
    }
}

#[test]
fn a_view_sees_what_was_appended_after_the_store_was_opened() {
    let (_folder, path, store) = new_store();
    let reader = Store::open_read_only(&path).unwrap();
    // Far behind the end that the file had when the reader mapped it.
    let bytes = noise(1, 30 << 20);
    add_one(&store, "late", &[], &bytes).unwrap();
    let late = view(&reader, "late", "w");
    assert!(*late == bytes[..]);
    assert!(lies_in_map_of(&path, &late, mapped_offset(&late)));
}
