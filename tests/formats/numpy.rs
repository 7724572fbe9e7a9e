//! Promise: a file of NumPy gives the arrays that NumPy reads from it, by name, type, shape and value;
//! whatever is wrong with it is refused or kept.

use crate::layout_reads::{door, expected, json, large_door, survives};
use crate::layouts::{agree, read, read_damaged};
use crate::zip_writer::zip;

#[test]
fn numpy_and_this_read_the_same() {
    let list = json(&door("expected-torch.json"));
    for (file, tensors) in list.as_object().unwrap() {
        if !file.starts_with("numpy") {
            continue;
        }
        let (layout, more) = agree(&door(file), &expected(tensors));
        let expected: &[&str] = match &**file {
            "numpy-fortran.npy" => &["array^T"],
            "numpy.npz" => &["fortran^T"],
            _ => &[],
        };
        assert_eq!(more, expected, "{file}");
        let notes: &[&str] = match &**file {
            "numpy.npz" => &["big-endian", "texts", "times", "several fields", "never read"],
            "numpy-compressed.npz" => &["kept, not seen: 1 compressed array"],
            "numpy-two.npy" => &["kept, not seen: 134 bytes after the array"],
            "numpy-object.npy" => &["a pickle that is never read"],
            "numpy-record.npy" => &["several fields"],
            _ => &[],
        };
        assert_eq!(layout.notes.len(), notes.len(), "{file} {:?}", layout.notes);
        for (found, expected) in layout.notes.iter().zip(notes) {
            assert!(found.contains(expected), "{file} {found}");
        }
    }
}

#[test]
fn a_damaged_file_is_refused_or_kept() {
    for file in
        ["numpy.npz", "numpy-fortran.npy", "numpy-two.npy", "numpy-record.npy", "numpy-v3.npy"]
    {
        let whole = std::fs::read(door(file)).unwrap();
        let (prefixes, flips) = survives(file, &whole, whole.len(), read_damaged);
        assert!(prefixes > 100 && flips > 30, "{file} {prefixes} {flips}");
    }
}

#[test]
fn the_forms_that_numpy_writes_are_read_as_numpy_reads_them() {
    let Some(folder) = large_door() else { return };
    let list = json(&folder.join("expected.json"));
    for file in ["arrays.npz", "one.npy"] {
        let mut tensors = expected(&list[file]);
        if let Some(lone) = tensors.remove("") {
            tensors.insert("array".to_owned(), lone);
        }
        let (layout, _) = agree(&folder.join(file), &tensors);
        assert!(layout.notes.is_empty(), "{file} {:?}", layout.notes);
    }
}

/// An array with this header, and so many bytes.
fn array(version: u8, header: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
    match version {
        1 => bytes.extend((header.len() as u16).to_le_bytes()),
        _ => bytes.extend((header.len() as u32).to_le_bytes()),
    }
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + len, 7);
    bytes
}

fn dictionary(descr: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}   \n")
}

#[test]
fn a_header_is_a_literal() {
    let plain = |shape: &str| array(1, &dictionary("'<f4'", "False", shape), 24);
    for shape in ["(2, 3)", "(2, 3,)", "( 2,3 )", "(2L, 3L)", "(6,)"] {
        let layout = read("a.npy", &plain(shape)).unwrap();
        assert_eq!(layout.tensors[0].name, "array", "{shape}");
        assert!(layout.notes.is_empty(), "{shape}");
    }
    let other = array(2, "{\"shape\": (), \"descr\": '<f8', 'fortran_order': True}", 8);
    assert_eq!(read("a.npy", &other).unwrap().tensors[0].shape.rank(), 0);
    let (f4, no) = ("'<f4'", "False");
    let header = |text: &str| array(1, text, 24);
    let cases = [
        (array(4, &dictionary(f4, no, "(6,)"), 24), "version 4 of the header"),
        (array(0, &dictionary(f4, no, "(6,)"), 24), "version 0 of the header"),
        (plain("(6,)")[..9].to_vec(), "the header is cut"),
        (plain("(6,)")[..40].to_vec(), "the file is cut"),
        (array(2, &" ".repeat((1 << 20) + 1), 0), "a header of 1048577 bytes"),
        (plain("(7,)"), "do not fit in the 24 bytes"),
        (plain("(4294967296, 4294967296, 4294967296)"), "do not fit"),
        (plain("(18446744073709551616,)"), "expected descr"),
        (plain("(6)"), "expected descr"),
        (plain("(-6,)"), "expected descr"),
        (plain("(+6,)"), "expected descr"),
        (plain("[6]"), "expected descr"),
        (plain("(6,) + ()"), "expected descr"),
        (plain("6"), "expected descr"),
        (plain(&format!("({})", "1, ".repeat(65))), "expected descr"),
        (header(&dictionary("__import__('os').system('x')", no, "(6,)")), "expected descr"),
        (header(&dictionary(f4, "0", "(6,)")), "expected descr"),
        (header(&dictionary("'<f\\x34'", no, "(6,)")), "expected descr"),
        (header(&dictionary("'<f4", no, "(6,)")), "expected descr"),
        (header(&dictionary("[('a', '<f4')", no, "(6,)")), "expected descr"),
        (header("{'descr': '<f4', 'shape': (6,)}"), "expected descr"),
        (header("{'descr': '<f4', 'descr': '<f4', 'shape': (6,)}"), "expected descr"),
        (header(&dictionary(f4, no, "(6,), 'more': False")), "expected descr"),
        (header(&format!("{} 1", dictionary(f4, no, "(6,)"))), "expected descr"),
        (header("{"), "expected descr"),
        (header(&"{'a':".repeat(5000)), "expected descr"),
        (header(&dictionary(&"[".repeat(9000), no, "(6,)")), "expected descr"),
        (header(""), "expected descr"),
    ];
    for (bytes, why) in cases {
        let error = read("a.npy", &bytes).expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn an_archive_is_read_as_far_as_it_is_arrays() {
    let one = array(1, &dictionary("'<i2'", "False", "(3,)"), 8);
    let entries: [(&str, u16, &[u8]); 3] =
        [("a.npy", 0, &one), ("text.txt", 0, b"x"), ("b.npy", 8, &one)];
    let layout = read("a.npz", &zip(&entries, true).bytes).unwrap();
    assert_eq!((layout.tensors.len(), &*layout.tensors[0].name), (1, "a"));
    let notes = layout.notes.join("\n");
    for note in ["2 bytes after the array \"a\"", "1 compressed array ", "1 file beside"] {
        assert!(notes.contains(note), "{notes}");
    }
    // Known by its first entry under another name, and refused where an array is none.
    assert_eq!(read("a.bin", &zip(&entries, false).bytes).unwrap().tensors.len(), 1);
    let wrong = zip(&[("a.npy", 0, b"no array")], false);
    let error = read("a.npz", &wrong.bytes).unwrap_err().to_string();
    assert!(error.contains("expected the header of an array of NumPy"), "{error}");
    let damaged = zip(&entries, false);
    let error = read("a.npz", &damaged.bytes[..damaged.end]).unwrap_err().to_string();
    assert!(error.contains("the directory is missing"), "{error}");
}
