//! Promise: a file of PyTorch gives the tensors that torch reads from it, by name, type, shape and
//! value; nothing in it is run; whatever is wrong with it is refused or kept, without a panic and in
//! bounded memory.

mod archives;
mod pickles;

use crate::layout_reads::{Tensors, door, expected, json, large_door, survives};
use crate::layouts::{agree, read_damaged};
use crate::zip_writer::{Built, zip};
use mgit::interchange::{FileFormat, FileLayout};

/// Four floats.
const FOUR: [u8; 16] = [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

/// An archive as torch writes it, with this pickle and one storage.
fn archive(pickle: &[u8]) -> Built {
    let entries: [(&str, u16, &[u8]); 4] = [
        ("m/data.pkl", 0, pickle),
        ("m/byteorder", 0, b"little"),
        ("m/data/0", 0, &FOUR),
        ("m/version", 0, b"3\n"),
    ];
    zip(&entries, false)
}

fn names(layout: &FileLayout) -> Vec<&str> {
    let tensors = layout.tensors.iter().map(|tensor| &*tensor.name);
    tensors.chain(layout.views.iter().map(|view| &*view.name)).collect()
}

fn notes_of(layout: &FileLayout) -> String {
    layout.notes.join("\n")
}

#[test]
fn torch_and_this_read_the_same() {
    let list = json(&door("expected-torch.json"));
    for (file, tensors) in list.as_object().unwrap() {
        // The names in an object are those of its class: see below.
        if !file.starts_with("torch") || tensors.is_null() {
            continue;
        }
        let (layout, more) = agree(&door(file), &expected(tensors));
        assert_eq!(layout.format, FileFormat::PyTorch, "{file}");
        // Storages that no tensor covers in order: of a view, of a transposed one.
        let expected: &[&str] = match &**file {
            "torch-odd.pth" => &["data/7", "data/8", "data/10"],
            _ => &[],
        };
        assert_eq!(more, expected, "{file}");
        let notes = match &**file {
            "torch-module.pt" => "never imported or run",
            "torch-quantised.pt" => "quantised",
            "torch-sparse.pt" => "sparse",
            _ => "",
        };
        assert!(layout.notes.len() == usize::from(!notes.is_empty()), "{file} {:?}", layout.notes);
        assert!(notes_of(&layout).contains(notes), "{file} {:?}", layout.notes);
    }
}

/// An optimizer as an object, of classes that are not known: its tensors are there by some name.
#[test]
fn a_whole_object_hides_no_storage() {
    let (layout, more) = agree(&door("torch-object.bin"), &Tensors::new());
    assert!(more.iter().any(|name| name.ends_with(".exp_avg")), "{more:?}");
    assert!(!more.iter().any(|name| name.starts_with("data/")), "{more:?} {:?}", layout.notes);
}

#[test]
fn a_damaged_file_is_refused_or_kept() {
    let files = ["torch-odd.pth", "torch-script.pt", "torch-sparse.pt"];
    for file in files {
        let whole = std::fs::read(door(file)).unwrap();
        let (prefixes, flips) = survives(file, &whole, whole.len(), read_damaged);
        // All but those that are too short to be anything.
        assert!(prefixes + 4 > whole.len() && flips > 1000, "{file} {prefixes} {flips}");
    }
}

#[test]
fn the_forms_that_torch_writes_are_read_as_torch_reads_them() {
    let Some(folder) = large_door() else { return };
    let (mut count, list) = (0, json(&folder.join("expected.json")));
    for (file, tensors) in list.as_object().unwrap() {
        let is_torch = [".pt", ".pth", ".ckpt", ".bin"].iter().any(|it| file.ends_with(it));
        if !is_torch || file == "legacy.bin" {
            continue;
        }
        let (layout, more) = agree(&folder.join(file), &expected(tensors));
        assert!(layout.notes.is_empty() && more.is_empty(), "{file} {more:?} {:?}", layout.notes);
        count += 1;
    }
    assert!(count >= 8, "{count} files");
}
