//! Promise: a safetensors file that breaks a rule of the format is refused, whatever it claims,
//! with an error that names the file, the tensor, the offset, what was expected and what was
//! found; a user's mistake is not called a malformed file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::file_of;
use mgit::interchange::{InterchangeError, ModelSource, SafetensorsFile, SafetensorsHeader};
use tempfile::tempdir;

const ONE: &str = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

fn open(bytes: &[u8]) -> Result<SafetensorsFile, InterchangeError> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("hostile.safetensors");
    fs::write(&path, bytes).unwrap();
    SafetensorsFile::open(path)
}

/// Asserts that a file of `bytes` is refused as malformed, with the file's path and then
/// exactly `expected`.
#[track_caller]
fn refused(bytes: &[u8], expected: &str) -> InterchangeError {
    let error = open(bytes).unwrap_err();
    let text = error.to_string();
    let (file, rest) = text.split_once("hostile.safetensors\": ").expect(&text);
    assert!(file.starts_with("\"/"), "{text}");
    assert_eq!(rest, expected);
    assert!(error.is_malformed(), "{text}");
    error
}

const DAMAGED: &str = "the file is damaged or incomplete: fetch it again";
const REWRITE: &str = "write the file again with a conforming writer";

#[test]
fn a_file_shorter_than_its_header_length_is_refused() {
    let text = format!("7 bytes, expected at least the 8 of the header length: {DAMAGED}");
    refused(&[0; 7], &text);
}

#[test]
fn a_header_length_past_the_end_of_the_file_is_refused() {
    let mut bytes = file_of(ONE, &[0; 8]);
    bytes[0] = 63;
    let text =
        format!("offset 0: header length 63, expected at most 62 in a file of 70 bytes: {DAMAGED}");
    refused(&bytes, &text);
}

#[test]
fn a_header_length_near_two_to_the_64_is_refused() {
    for length in [u64::MAX, u64::MAX - 7, u64::MAX - 8, 1 << 63, 100_000_001] {
        let text = format!(
            "offset 0: header length {length}, expected at most 100000000: this is no \
             safetensors file, or a damaged one"
        );
        refused(&[&length.to_le_bytes(), ONE.as_bytes()].concat(), &text);
    }
}

#[test]
fn a_header_too_large_is_refused_by_parse_as_well() {
    let header = vec![b' '; 100_000_001];
    let error = SafetensorsHeader::parse(Path::new("x"), header, 0).unwrap_err();
    assert!(matches!(error, InterchangeError::HeaderTooLarge { found: 100_000_001, .. }));
}

#[test]
fn a_header_that_is_not_utf8_is_refused() {
    let header = b"{\"w\xff\":{}}";
    let text =
        format!("offset 11: expected UTF-8 in the header, found a byte that is not: {DAMAGED}");
    refused(&file_of(header, &[]), &text);
}

#[test]
fn a_header_that_does_not_start_with_a_brace_is_refused() {
    for (header, found) in [("[]", "'['"), (" {}", "' '"), ("\0{}", r"'\x00'")] {
        let text =
            format!("offset 8: expected the header to start with '{{', found {found}: {REWRITE}");
        refused(&file_of(header, &[]), &text);
    }
    let text = format!(
        "offset 8: expected the header to start with '{{', found an empty header: {REWRITE}"
    );
    refused(&file_of("", &[]), &text);
}

#[test]
fn a_header_that_is_not_json_is_refused() {
    for (header, offset, detail) in [
        ("{", 8, "EOF while parsing an object"),
        ("{}x", 10, "trailing characters"),
        ("{}\0", 10, "trailing characters"),
        ("{\"w\":}", 13, "expected value"),
        ("{\n\n\"w\" 3}", 15, "expected `:`"),
        (r#"{"\ud800":{}}"#, 16, "unexpected end of hex escape"),
    ] {
        let text = format!(
            "offset {offset}: expected JSON in the header, found an error: {detail}: {DAMAGED}"
        );
        let error = open(&file_of(header, &[])).unwrap_err().to_string();
        assert!(error.contains(detail), "{header}: {error}");
        refused(&file_of(header, &[]), &text);
    }
}

#[test]
fn json_nested_a_million_deep_is_refused_without_a_stack_overflow() {
    let header = format!("{{\"w\":{{\"x\":{}", "[".repeat(1_000_000));
    let error = open(&file_of(header, &[])).unwrap_err();
    assert!(error.to_string().contains("recursion limit exceeded"), "{error}");
}

#[test]
fn overlap_is_refused() {
    let text = format!(
        "tensor \"b\": expected it to begin at or after data offset 4, where tensor \"a\" ends, \
         found 2: the two overlap, {REWRITE}"
    );
    let a = r#""a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    let b = r#""b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}"#;
    // Found by the running total in a buffer of 6 bytes, by the order of ranges in one of 8.
    for (header, data) in [
        (format!("{{{a},{b}}}"), [0; 6].as_slice()),
        (format!("{{{b},{a}}}"), &[0; 6]),
        (format!("{{{b},{a}}}"), &[0; 8]),
    ] {
        refused(&file_of(header, data), &text);
    }
}

#[test]
fn an_empty_tensor_inside_another_is_refused() {
    let header = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                     "b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}"#;
    let error = open(&file_of(header, &[0; 4])).unwrap_err();
    assert!(matches!(error, InterchangeError::Overlap { begin: 2, other_end: 4, .. }), "{error}");
}

#[test]
fn older_overlaps_are_refused_when_the_total_is_exceeded() {
    let mut header = String::from("{");
    for (name, begin) in [("a", 0), ("b", 1), ("c", 5)] {
        let end = begin + 4;
        let _ = write!(
            header,
            r#""{name}":{{"dtype":"U8","shape":[4],"data_offsets":[{begin},{end}]}},"#
        );
    }
    let text = format!(
        "tensor \"c\": data offset 5 to 9: expected tensors of at most 9 bytes together, found \
         more with this one: tensors overlap, {REWRITE}"
    );
    refused(&file_of(header, &[0; 9]), &text);
}

#[test]
fn a_million_and_a_half_entries_on_one_range_are_refused_at_the_second() {
    let mut header = String::from("{");
    for i in 0..1_500_000 {
        let _ = write!(header, r#""{i}":{{"dtype":"U8","shape":[8],"data_offsets":[0,8]}},"#);
    }
    // What follows is never read: it is not even JSON.
    header.push('\u{1}');
    assert!(header.len() < 100_000_000);
    let text = format!(
        "tensor \"1\": expected it to begin at or after data offset 8, where tensor \"0\" ends, \
         found 0: the two overlap, {REWRITE}"
    );
    refused(&file_of(header, &[0; 8]), &text);
}

#[test]
fn a_hole_is_refused() {
    let header = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                     "b":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}}"#;
    let text = format!(
        "tensor \"b\": expected it to begin at data offset 4, found 6: no tensor covers the \
         bytes between, {REWRITE}"
    );
    refused(&file_of(header, &[0; 8]), &text);
}

#[test]
fn a_hole_before_the_first_tensor_is_refused() {
    let header = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}}"#;
    let text = format!(
        "tensor \"a\": expected it to begin at data offset 0, found 1: no tensor covers the \
         bytes between, {REWRITE}"
    );
    refused(&file_of(header, &[0; 5]), &text);
}

#[test]
fn trailing_bytes_are_refused() {
    let text = format!(
        "expected 8 bytes after the header, found 9: no tensor covers the trailing bytes, \
         {REWRITE}"
    );
    refused(&file_of(ONE, &[0; 9]), &text);
    let text = text.replace("8 bytes", "0 bytes").replace("found 9", "found 1");
    refused(&file_of("{}", &[0]), &text);
}

#[test]
fn a_range_past_the_end_of_the_file_is_refused() {
    let text = format!(
        "tensor \"w\": data offset 0: expected an end within the 7 bytes after the header, found \
         8: {DAMAGED}"
    );
    refused(&file_of(ONE, &[0; 7]), &text);
    let header = ONE.replace("[0,8]", "[18446744073709551607,18446744073709551615]");
    let error = open(&file_of(header, &[0; 8])).unwrap_err();
    assert!(matches!(error, InterchangeError::PastEnd { end: u64::MAX, .. }), "{error}");
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let text = format!(
        "tensor \"w\": data offset 8: expected an end at or after the begin, found 0: {REWRITE}"
    );
    refused(&file_of(ONE.replace("[0,8]", "[8,0]"), &[0; 8]), &text);
}

#[test]
fn a_negative_offset_is_refused() {
    let text =
        format!("tensor \"w\": data_offsets: expected a whole number from 0, found -8: {REWRITE}");
    refused(&file_of(ONE.replace("[0,8]", "[-8,0]"), &[0; 8]), &text);
    let text = text.replace("data_offsets", "shape").replace("-8", "-2");
    refused(&file_of(ONE.replace("[2]", "[-2]"), &[0; 8]), &text);
}

#[test]
fn a_fractional_offset_is_refused() {
    for (offsets, found) in [
        ("[0,8.5]", "8.5"),
        ("[0,8.0]", "8.0"),
        ("[0,8e0]", "8.0"),
        ("[-0,8]", "-0.0"),
        ("[0,18446744073709551616]", "1.8446744073709552e19"),
    ] {
        let text = format!(
            "tensor \"w\": data_offsets: expected a whole number below 2^64, found {found}: \
             {REWRITE}"
        );
        refused(&file_of(ONE.replace("[0,8]", offsets), &[0; 8]), &text);
    }
}

#[test]
fn a_shape_whose_product_overflows_is_refused() {
    for (shape, shown) in [
        ("[2,9223372036854775807]", "[2, 9223372036854775807]"),
        ("[18446744073709551615,2,0]", "[18446744073709551615, 2, 0]"),
        ("[0,18446744073709551615,2]", "[0, 18446744073709551615, 2]"),
        ("[2305843009213693952]", "[2305843009213693952]"),
    ] {
        let text = format!(
            "tensor \"w\": expected a number of elements and bits below 2^63, found F32 of shape \
             {shown}: {REWRITE}"
        );
        refused(&file_of(ONE.replace("[2]", shape), &[0; 8]), &text);
    }
}

#[test]
fn bytes_that_disagree_with_shape_and_dtype_are_refused() {
    let text = format!(
        "tensor \"w\": data offset 0: expected 12 bytes for F32 of shape [3], found 8: {REWRITE}"
    );
    refused(&file_of(ONE.replace("[2]", "[3]"), &[0; 8]), &text);
    let text = text.replace("12 bytes", "16 bytes").replace("F32 of shape [3]", "F64 of shape [2]");
    refused(&file_of(ONE.replace("F32", "F64"), &[0; 8]), &text);
}

#[test]
fn metadata_that_is_not_string_to_string_is_refused() {
    for (metadata, offset, key, detail) in [
        (
            r#"{"format":1}"#,
            34,
            " at key \"format\"",
            "invalid type: integer `1`, expected a string",
        ),
        (r#"{"a":"b","c":null}"#, 40, " at key \"c\"", "invalid type: null, expected a string"),
        (r#"{"a":{}}"#, 28, " at key \"a\"", "invalid type: map, expected a string"),
        (r#"["a"]"#, 24, "", "invalid type: sequence, expected an object of strings"),
        ("3", 24, "", "invalid type: integer `3`, expected an object of strings"),
    ] {
        let error = open(&file_of(format!(r#"{{"__metadata__":{metadata}}}"#), &[])).unwrap_err();
        let InterchangeError::MetadataNotStrings { offset: found, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*found, offset, "{metadata}");
        let text = format!("__metadata__{key}: expected an object of strings: {detail}: {REWRITE}");
        assert!(error.to_string().ends_with(&text), "{error}");
        assert!(error.is_malformed());
    }
}

#[test]
fn metadata_twice_is_refused() {
    let header = r#"{"__metadata__":null,"\u005f_metadata__":{}}"#;
    let text = format!("expected __metadata__ once, found it twice in the header: {REWRITE}");
    refused(&file_of(header, &[]), &text);
}

#[test]
fn a_sub_byte_dtype_with_odd_bits_is_refused() {
    let header = r#"{"q":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#;
    let text =
        "tensor \"q\": expected whole bytes, found 12 bits for F4 of shape [3]: pad the tensor";
    refused(&file_of(header, &[0; 2]), text);
    let header = r#"{"q":{"dtype":"F6_E2M3","shape":[],"data_offsets":[0,1]}}"#;
    let text =
        "tensor \"q\": expected whole bytes, found 6 bits for F6_E2M3 of shape []: pad the tensor";
    refused(&file_of(header, &[0; 1]), text);
}

#[test]
fn truncation_at_any_byte_is_refused() {
    let header = r#"{"__metadata__":{"format":"pt"},
        "a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},
        "b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}   "#;
    let whole = file_of(header, &[7; 11]);
    open(&whole).unwrap();
    for len in 0..whole.len() {
        let error = open(&whole[..len]).unwrap_err();
        assert!(error.is_malformed(), "at {len}: {error}");
        let named = match len {
            0..8 => matches!(error, InterchangeError::FileTooShort { .. }),
            _ if len < 8 + header.len() => matches!(error, InterchangeError::HeaderPastEnd { .. }),
            _ => matches!(error, InterchangeError::PastEnd { .. }),
        };
        assert!(named, "at {len}: {error}");
    }
}

#[test]
fn a_header_cut_at_any_byte_is_refused_though_its_length_says_so() {
    for len in 0..ONE.len() {
        let error = open(&file_of(&ONE[..len], &[0; 8])).unwrap_err();
        assert!(error.is_malformed(), "at {len}: {error}");
    }
}

#[test]
fn the_same_name_twice_is_refused() {
    let text = "tensor \"w\": expected every name once, found it twice in the header: \
         rename one of the two";
    let entry =
        |begin, end| format!(r#"{{"dtype":"U8","shape":[4],"data_offsets":[{begin},{end}]}}"#);
    for second in ["w", r"\u0077", r"\u0057"] {
        // In ranges of their own, and on one range.
        for begin in [4, 0] {
            let header =
                format!(r#"{{"w":{},"{second}":{}}}"#, entry(0, 4), entry(begin, begin + 4));
            let bytes = file_of(header, &vec![0; begin + 4]);
            match (second, begin) {
                (r"\u0057", 4) => drop(open(&bytes).unwrap()),
                (r"\u0057", _) => assert!(open(&bytes).is_err()),
                _ => drop(refused(&bytes, text)),
            }
        }
    }
}

#[test]
fn empty_tensors_of_one_name_are_refused() {
    let entry = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    let error = open(&file_of(format!(r#"{{"w":{entry},"w":{entry}}}"#), &[])).unwrap_err();
    assert!(matches!(error, InterchangeError::DuplicateName { .. }), "{error}");
}

#[test]
fn a_shape_of_thousands_of_dimensions_is_refused() {
    let dims = vec!["1"; 5000].join(",");
    let header = ONE.replace("[2]", &format!("[{dims}]"));
    let text =
        "tensor \"w\": expected a shape of at most 64 dimensions, found 5000: reshape the tensor";
    refused(&file_of(header, &[0; 8]), text);
}

#[test]
fn sixty_four_dimensions_are_taken_and_one_more_is_refused() {
    let with = |count| {
        let dims = vec!["1"; count].join(",");
        let header = ONE.replace("[2]", &format!("[{dims}]")).replace("[0,8]", "[0,4]");
        open(&file_of(header, &[0; 4]))
    };
    assert_eq!(with(64).unwrap().header().tensors()[0].shape.rank(), 64);
    assert!(matches!(with(65), Err(InterchangeError::TooManyDimensions { found: 65, .. })));
}

#[test]
fn an_empty_name_is_refused() {
    let text = "entry 0 of the header: expected a tensor's name, found the empty string: name \
                the tensor";
    refused(&file_of(ONE.replace("\"w\"", "\"\""), &[0; 8]), text);
}

#[test]
fn a_name_longer_than_65535_bytes_is_refused() {
    let with = |len| file_of(ONE.replace("\"w\"", &format!("\"{}\"", "n".repeat(len))), &[0; 8]);
    assert_eq!(open(&with(65_535)).unwrap().header().tensors()[0].name.len(), 65_535);
    let text = format!(
        "tensor \"{}\"...: expected a name of at most 65535 bytes, found 65536: shorten it",
        "n".repeat(200)
    );
    refused(&with(65_536), &text);
}

#[test]
fn an_unknown_dtype_is_kept_but_its_name_has_bounds() {
    let with = |name: &str| file_of(ONE.replace("F32", name), &[0; 8]);
    let opened = open(&with("F128_NEW")).unwrap();
    assert_eq!(opened.header().tensors()[0].dtype.name(), "F128_NEW");
    assert_eq!(opened.header().tensors()[0].byte_len(), 8);
    open(&with(&"X".repeat(64))).unwrap();
    for (name, found) in [(String::new(), 0), ("X".repeat(65), 65)] {
        let text = format!(
            "tensor \"w\": expected a dtype name of 1 to 64 bytes, found {found}: {REWRITE}"
        );
        refused(&with(&name), &text);
    }
}

#[test]
fn an_entry_that_lacks_or_repeats_a_field_is_refused() {
    for (entry, detail) in [
        (r#"{"shape":[2],"data_offsets":[0,8]}"#, "missing field `dtype`"),
        (r#"{"dtype":"F32","data_offsets":[0,8]}"#, "missing field `shape`"),
        (r#"{"dtype":"F32","shape":[2]}"#, "missing field `data_offsets`"),
        (r#"{"dtype":"F32","dtype":"F32"}"#, "duplicate field `dtype`"),
        (r#"{"shape":[2],"shape":[2]}"#, "duplicate field `shape`"),
        (r#"{"data_offsets":[0,8],"data_offsets":[0,8]}"#, "duplicate field `data_offsets`"),
        (r#"{"data_offsets":[0]}"#, "invalid length 1, expected an array of begin and end"),
        (r#"{"data_offsets":[0,8,8]}"#, "invalid length 3, expected an array of begin and end"),
        (r#"{"shape":2}"#, "invalid type: integer `2`, expected an array of dimensions"),
        (r#"{"shape":["2"]}"#, "invalid type: string \"2\", expected a whole number from 0"),
        (r#"{"dtype":32}"#, "invalid type: integer `32`, expected the name of an element type"),
        ("null", "invalid type: null, expected an object with dtype, shape and data_offsets"),
    ] {
        let error = open(&file_of(format!(r#"{{"w":{entry}}}"#), &[0; 8])).unwrap_err();
        let text = error.to_string();
        let named =
            matches!(&error, InterchangeError::MalformedEntry { tensor, .. } if tensor == "w");
        assert!(named && error.is_malformed(), "{text}");
        assert!(text.contains("hostile.safetensors\": tensor \"w\": offset "), "{text}");
        let end = format!(": expected dtype, shape and data_offsets: {detail}: {REWRITE}");
        assert!(text.ends_with(&end), "{text}");
    }
}

#[test]
fn a_name_that_looks_like_a_path_is_only_a_name() {
    let header = ONE.replace("\"w\"", "\"../../etc/passwd\"");
    let opened = open(&file_of(header, &[0; 8])).unwrap();
    assert_eq!(opened.header().tensors()[0].name, "../../etc/passwd");
}

#[test]
fn control_characters_and_long_text_do_not_reach_a_message() {
    let name = format!("\\u001b[31m{}", "x".repeat(1000));
    let header = ONE.replace("\"w\"", &format!("\"{name}\"")).replace("F32", "F64");
    let text = open(&file_of(header, &[0; 8])).unwrap_err().to_string();
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[31mxxx"), "{text}");
    assert!(text.len() < 1000, "{text}");
    let header = ONE.replace("[2]", &format!("\"{}\"", "y".repeat(10_000)));
    assert!(open(&file_of(header, &[0; 8])).unwrap_err().to_string().len() < 1000);
}

#[test]
fn scalars_empty_tensors_and_trailing_spaces_are_taken() {
    let header = r#"{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
        "z2":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},
        "z1":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}"#;
    let header = format!("{header} \n\t\r   ");
    let opened = open(&file_of(&header, &[0; 4])).unwrap();
    let names: Vec<_> = opened.header().tensors().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["s", "z2", "z1"]);
    assert_eq!(opened.header().bytes(), header.as_bytes());
    assert_eq!(open(&file_of("{}", &[])).unwrap().header().tensors(), []);
}

#[test]
fn a_missing_file_is_a_mistake_not_a_malformed_file() {
    let folder = tempdir().unwrap();
    let error = ModelSource::open(folder.path().join("none.safetensors")).unwrap_err();
    assert!(error.to_string().ends_with("none.safetensors\" does not exist: check the path"));
    assert!(matches!(error, InterchangeError::NotFound { .. }) && !error.is_malformed());
}

#[test]
fn a_folder_a_pipe_and_a_device_are_mistakes_and_do_not_block() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, found) in [
        (folder.path(), "a folder"),
        (&pipe, "a pipe"),
        (&socket, "a socket"),
        (Path::new("/dev/null"), "a device"),
    ] {
        let error = SafetensorsFile::open(path).unwrap_err();
        let text = format!(
            "{path:?} is {found}, expected a regular file: name a .safetensors file or an index"
        );
        assert_eq!(error.to_string(), text);
        assert!(!error.is_malformed());
    }
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_gives_an_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let bytes = file_of(ONE, &[1, 2, 3, 4, 5, 6, 7, 8]);
    fs::write(&path, &bytes).unwrap();
    let opened = SafetensorsFile::open(&path).unwrap();
    let mut out = [0; 4];
    opened.read_tensor_at(0, 2, &mut out).unwrap();
    assert_eq!(out, [3, 4, 5, 6]);
    for (entry, offset) in [(1, 0), (0, 5), (0, u64::MAX)] {
        let error = opened.read_tensor_at(entry, offset, &mut out).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    }
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(70 - 4).unwrap();
    let error = opened.read_tensor_at(0, 2, &mut out).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("tensor \"w\": cannot read 4 bytes from its offset 2"));
}
