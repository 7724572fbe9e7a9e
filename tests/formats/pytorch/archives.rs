//! Archives made by hand: what is refused, and what is kept without being seen.

use super::{FOUR, archive, names, notes_of, pickles::tensor};
use crate::layout_reads::door;
use crate::layouts::read;
use crate::zip_writer::{Built, zip};
use mgit::interchange::{FileFormat, FileLayout};

fn pickle() -> Vec<u8> {
    [b"\x80\x02", &tensor(0, &[4], &[1])[..], b"."].concat()
}

/// What is found in an archive of these entries, beside the pickle.
fn with(entries: &[(&str, u16, &[u8])]) -> FileLayout {
    let pickle = pickle();
    let all = [&[("m/data.pkl", 0, &pickle[..])], entries].concat();
    read("m.pt", &zip(&all, false).bytes).unwrap()
}

#[test]
fn a_damaged_archive_is_refused() {
    let plain = archive(&pickle());
    let long = zip(&[("m/data.pkl", 0, &pickle()), ("m/data/0", 0, &FOUR)], true);
    assert_eq!(names(&read("m.pt", &plain.bytes).unwrap()), ["tensor"]);
    assert_eq!(names(&read("m.pt", &long.bytes).unwrap()), ["tensor"]);
    let Built { local, central, end, .. } = plain.clone();
    let end64 = long.end64.unwrap();
    let twice = zip(&[("m/data.pkl", 0, b"N."), ("m/data.pkl", 0, b"N.")], false);
    let cut = |len: usize| plain.bytes[..len].to_vec();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (cut(end), "without its end: the directory is missing"),
        (cut(end + 21), "without its end: the directory is missing"),
        (plain.with(end + 20, &[1]), "without its end: the directory is missing"),
        (plain.with(end + 8, &[9]), "of several parts"),
        (plain.with(end + 16, &[0]), "expected the directory of the zip archive to end at"),
        (plain.with(end + 12, &[0]), "expected the directory of the zip archive to end at"),
        (plain.with(end + 8, &[255, 0, 255, 0]), "255 entries do not fit"),
        (plain.with(end + 8, &[3, 0, 3, 0]), "bytes in the directory of the zip archive"),
        (plain.with(central[1], b"X"), "an entry of the directory of the zip archive is damaged"),
        (plain.with(central[1] + 28, &[255, 255]), "an entry of the directory"),
        (plain.with(central[1] + 24, &[255; 4]), "an entry of the directory"),
        (plain.with(central[1] + 20, &[9]), "a stored entry has two lengths"),
        (plain.with(central[1] + 42, &[255; 3]), "\"m/byteorder\" lies outside of the zip archive"),
        (plain.with(central[1] + 42, &[3]), "\"m/byteorder\" is not where the directory says"),
        (plain.with(local[1], b"X"), "\"m/byteorder\" is not where the directory says"),
        (plain.with(local[1] + 30, b"X"), "\"m/byteorder\" is not where the directory says"),
        (plain.with(local[1] + 8, &[8]), "\"m/byteorder\" is not where the directory says"),
        (plain.with(local[1] + 6, &[1]), "\"m/byteorder\" is not where the directory says"),
        (plain.with(local[1] + 28, &[255, 255]), "\"m/byteorder\" ends outside"),
        (plain.with(local[1] + 18, &[9]), "\"m/byteorder\" has other lengths in its header"),
        (plain.with(local[1] + 14, &[9]), "\"m/byteorder\" has other lengths in its header"),
        (plain.with(local[1] + 28, &[1]), "an entry begins before the one before it ends"),
        (twice.bytes, "the entry \"m/data.pkl\" stands twice"),
        (long.with(end64 + 24, &[9]), "of several parts"),
        (
            long.with(end64 + 24, &[9, 0, 0, 0, 0, 0, 0, 0, 9]),
            "the two end records of the zip archive do not agree",
        ),
        (long.with(end64 + 4, &[9]), "the zip64 end record is damaged"),
        (long.with(end64, b"X"), "the zip64 end record is damaged"),
        (long.with(end64 + 56 + 8, &[255; 8]), "the zip64 end record lies out of its place"),
    ];
    for (bytes, why) in cases {
        let error = read("m.pt", &bytes).expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(error.starts_with("\"m.pt\": offset "), "{error}");
    }
}

#[test]
fn an_archive_of_others_is_kept() {
    let other = zip(&[("a/b.txt", 0, b"x")], false);
    for name in ["a.zip", "a.pt"] {
        let layout = read(name, &other.bytes).unwrap();
        assert_eq!((layout.format, layout.tensors.len()), (FileFormat::Bytes, 0), "{name}");
    }
    assert!(notes_of(&read("a.pt", &other.bytes).unwrap()).contains("without a data.pkl"));
    let two = zip(&[("a/data.pkl", 0, b"N."), ("b/data.pkl", 0, b"N.")], false);
    assert!(notes_of(&read("a.pt", &two.bytes).unwrap()).contains("more than one data.pkl"));
    let legacy = std::fs::read(door("torch-legacy.bin")).unwrap();
    let legacy = read("pytorch_model.bin", &legacy).unwrap();
    assert_eq!((legacy.format, legacy.tensors.len()), (FileFormat::Bytes, 0));
    assert!(notes_of(&legacy).starts_with("legacy PyTorch file from before 1.6: kept as bytes"));
    // Archives one after the other, as a distributed checkpoint has them.
    let one = std::fs::read(door("torch-tensor.pt")).unwrap();
    for one in [one, archive(&pickle()).bytes] {
        let layout = read("__0_0.distcp", &[&one[..], &one].concat()).unwrap();
        assert_eq!((layout.format, layout.tensors.len()), (FileFormat::Bytes, 0));
        let note = format!("a zip archive after {} bytes", one.len());
        assert!(notes_of(&layout).contains(&note), "{:?}", layout.notes);
    }
    // A directory of more than is read.
    let mut long = other.with(other.end + 8, &[0; 4]);
    let begin = other.central[0];
    long.splice(begin..other.end, vec![0; (64 << 20) + 1]);
    let end = long.len() - 22;
    long[end + 12..end + 16].copy_from_slice(&((64u32 << 20) + 1).to_le_bytes());
    let layout = read("a.pt", &long).unwrap();
    assert!(notes_of(&layout).contains("at most 67108864 are read"), "{:?}", layout.notes);
}

#[test]
fn what_is_not_seen_is_said() {
    let storage = ("m/data/0", 0, &FOUR[..]);
    assert_eq!(names(&with(&[storage])), ["tensor"]);
    let packed = with(&[("m/data/0", 8, &FOUR)]);
    assert!(notes_of(&packed).contains("kept, not seen: 1 compressed storage"));
    assert!(notes_of(&packed).contains("its storage \"0\" is not in the file as it is"));
    let big = with(&[("m/byteorder", 0, b"big"), storage]);
    assert!(notes_of(&big).contains("big-endian"));
    assert_eq!((names(&big), big.tensors[0].dtype.name()), (vec!["data/0"], "U8"));
    let more = with(&[storage, ("m/data/7", 0, &FOUR), ("m/code/x.py", 8, b"?")]);
    assert_eq!(names(&more), ["tensor", "data/7"]);
    assert!(notes_of(&more).contains("seen as plain bytes: 1 storage without a tensor"));
    let packed = zip(&[("m/data.pkl", 8, &pickle()), storage], false);
    let packed = read("m.pt", &packed.bytes).unwrap();
    assert!(notes_of(&packed).contains("data.pkl is compressed: kept, not read"));
    assert_eq!(names(&packed), ["data/0"]);
    // The checksum of the pickle, in both headers.
    let built = archive(&pickle());
    let mut other = built.with(built.local[0] + 14, &[1]);
    other[built.central[0] + 16] = 1;
    assert!(notes_of(&read("m.pt", &other).unwrap()).contains("has another checksum"));
    // The storages and the pickle without a folder.
    let bare = zip(&[("data.pkl", 0, &pickle()), ("data/0", 0, &FOUR)], false);
    assert_eq!(names(&read("m.pt", &bare.bytes).unwrap()), ["tensor"]);
    // Constants have a pickle and storages of their own.
    let constants = [b"\x80\x02", &tensor(0, &[2, 2], &[2, 1])[..], b"\x85."].concat();
    let script = with(&[storage, ("m/constants/0", 0, &FOUR), ("m/constants.pkl", 0, &constants)]);
    assert_eq!(names(&script), ["tensor", "constants.0"]);
}
