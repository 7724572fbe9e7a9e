//! Promise: an ONNX file's tensors are found wherever a graph has them, and told where they are no
//! arrays; data beside it is found inside its folder alone; its layers are those of its operators;
//! what breaks the rules is refused, without a panic and in bounded memory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mgit::architecture::Architecture;
use mgit::interchange::{
    FileFormat, FileLayout, InterchangeError, ONNX_GRAPH_DEPTH_MAX, ONNX_GRAPH_LEN_MAX, OpenFile,
    read_layout,
};
use serde_json::Value;

use super::layout_reads::{self, door};
use crate::common::layout::check;

pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

pub fn message(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

pub fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A file with one tensor of these fields.
pub fn with_tensor(fields: &[Vec<u8>]) -> Vec<u8> {
    message(7, &message(5, &fields.concat()))
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

fn read(bytes: &[u8]) -> Result<FileLayout, InterchangeError> {
    let layout = read_layout(&OpenFile::of_bytes("folder/model.onnx", bytes))?;
    check(&layout, bytes.len() as u64);
    Ok(layout)
}

fn message_of(bytes: &[u8]) -> String {
    match read(bytes) {
        Ok(layout) => panic!("read as {layout:?}"),
        Err(error) => error.to_string(),
    }
}

/// The name of each layer, of what it reads, and of its tensors.
fn layers(architecture: &Architecture) -> Vec<String> {
    let name = |at: usize| architecture.layers()[at].name.as_str();
    let edges =
        architecture.edges().iter().map(|(from, to)| format!("{} {}", name(*from), name(*to)));
    let tensors = architecture.layers().iter().filter(|layer| !layer.tensors.is_empty());
    edges
        .chain(tensors.map(|layer| format!("{}: {}", layer.name, layer.tensors.join(" "))))
        .collect()
}

/// Every tensor, type and value is what the package `onnx` reads.
fn is_read_as_by_others(path: &Path, expected: &Value) -> FileLayout {
    let file = OpenFile::open(path).unwrap();
    let layout = read_layout(&file).unwrap();
    assert_eq!(layout.format, FileFormat::Onnx);
    check(&layout, file.len());
    assert_eq!(layout_reads::found(&file, &layout), layout_reads::expected(expected), "{path:?}");
    layout
}

#[test]
fn tensors_are_those_that_the_package_onnx_reads() {
    let expected = layout_reads::json(&door("gguf_onnx.json"));
    for name in ["plain.onnx", "branches.onnx", "external/m.onnx", "graphs.onnx"] {
        is_read_as_by_others(&door(name), &expected[name]);
    }
    let Some(large) = layout_reads::large_door() else { return };
    let expected = layout_reads::json(&large.join("expected.json"));
    for name in ["plain.onnx", "branches.onnx", "external/m.onnx"] {
        is_read_as_by_others(&large.join(name), &expected[name]);
    }
}

#[test]
fn what_is_no_array_is_told_once_for_each_reason() {
    let layout = read_layout(&OpenFile::open(door("graphs.onnx")).unwrap()).unwrap();
    assert_eq!(
        layout.notes,
        [
            "1 tensor kept, not seen, because their elements are texts: \"words\"",
            "2 tensors kept, not seen, because their numbers are varints, not an array: \"longs\", \
             \"halves\"",
        ]
    );
}

#[test]
fn a_real_model_has_its_weights_and_its_edges() {
    let file = OpenFile::open(fixture("model_v8.onnx")).unwrap();
    let layout = read_layout(&file).unwrap();
    check(&layout, file.len());
    let safetensors = fs::read(fixture("model_v8.safetensors")).unwrap();
    let mut found = 0;
    for (name, tensor) in safetensors::SafeTensors::deserialize(&safetensors).unwrap().tensors() {
        let Some(same) = layout.tensors.iter().find(|found| found.name == name) else {
            // Kept as varints.
            assert!(layout.notes.iter().any(|note| note.contains("varints")), "{name}");
            continue;
        };
        assert_eq!(layout_reads::bytes(&file, same), tensor.data(), "{name}");
        assert_eq!(same.dtype.name(), tensor.dtype().to_string());
        found += 1;
    }
    assert_eq!((found, layout.tensors.len()), (16, 16), "{:?}", layout.notes);
    let architecture = layout.architecture.unwrap();
    let expected = fs::read_to_string(fixture("model_v8.edges")).unwrap();
    let all = layers(&architecture);
    let edges: BTreeSet<&str> =
        all.iter().map(String::as_str).filter(|line| !line.contains(": ")).collect();
    assert_eq!(edges, expected.lines().collect());
    let first = architecture.layers().iter().find(|layer| layer.name == "conv2d_5").unwrap();
    assert_eq!((first.kind.name(), &*first.attributes["kernel_shape"]), ("Conv", "[3, 3]"));
    assert_eq!(first.tensors, ["conv2d_5/kernel:0", "conv2d_5/bias:0"]);
}

/// The weights of a branch belong to the operator of the branch, which the `If` reads.
#[test]
fn branches_are_layers_of_the_model() {
    let layout = read_layout(&OpenFile::open(door("branches.onnx")).unwrap()).unwrap();
    let found = layers(&layout.architecture.unwrap());
    assert_eq!(found, ["MatMul#1 If#0", "MatMul#2 If#0", "MatMul#1: no_w", "MatMul#2: yes_w"]);

    let layout = read_layout(&OpenFile::open(door("graphs.onnx")).unwrap()).unwrap();
    let mut found = layers(&layout.architecture.unwrap());
    found.sort();
    assert_eq!(
        found,
        [
            "Constant#0: k:value",
            "choice/else_branch/no_mul choice",
            "choice/else_branch/no_mul: choice/else_branch/w",
            "choice/then_branch/inner/else_branch/b_mul choice/then_branch/inner",
            "choice/then_branch/inner/else_branch/b_mul: choice/then_branch/inner/else_branch/w",
            "choice/then_branch/inner/then_branch/a_mul choice/then_branch/inner",
            "choice/then_branch/inner/then_branch/a_mul: choice/then_branch/inner/then_branch/w",
            "choice/then_branch/yes_mul choice",
            "choice/then_branch/yes_mul: choice/then_branch/w",
        ]
    );
}

#[test]
fn a_graph_without_layers_is_told_and_its_tensors_are_seen() {
    let node = |name: &str, reads: &str, makes: &str| {
        let [reads, makes, name] = [(1, reads), (2, makes), (3, name)]
            .map(|(field, text)| message(field, text.as_bytes()));
        message(1, &[reads, makes, name, message(4, b"Add")].concat())
    };
    let tensor =
        message(5, &[number(1, 1), number(2, 2), message(8, b"w"), message(9, b"x")].concat());
    let graph = [node("a", "one", "two"), node("b", "two", "one"), tensor].concat();
    let layout = read(&message(7, &graph)).unwrap();
    assert_eq!((layout.tensors.len(), layout.notes.len()), (1, 1));
    assert!(layout.architecture.is_none() && layout.notes[0].contains("reads its own output"));
}

#[test]
fn fields_may_stand_in_any_order_and_twice() {
    let name = message(8, b"w");
    let case = |fields: &[Vec<u8>]| {
        let bytes = with_tensor(fields);
        let layout = read(&bytes).unwrap();
        let found = layout.tensors.first().map(|tensor| {
            let range = tensor.begin as usize..tensor.end as usize;
            (tensor.dtype.to_string(), tensor.shape.dims().to_vec(), bytes[range].to_vec())
        });
        found.ok_or_else(|| layout.notes.concat())
    };
    let floats =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|it| it.to_le_bytes()).collect() };
    let of = |dtype: &str, dims: &[u64], bytes: &[u8]| {
        Ok((dtype.to_owned(), dims.to_vec(), bytes.to_vec()))
    };
    let two = floats(&[1.5, -2.0]);
    // The last of what is there once wins; the dimensions add up.
    let twice = [message(9, b"long gone"), number(2, 7), name.clone(), number(1, 1)];
    let fields = [&twice[..], &[message(9, &two), number(2, 1), message(1, &[2])]].concat();
    assert_eq!(case(&fields), of("F32", &[1, 2], &two));
    // Numbers in one piece, packed or not.
    let typed = |data: Vec<u8>, dims: u64, code: u64| {
        case(&[data, number(1, dims), number(2, code), name.clone()])
    };
    assert_eq!(typed(message(4, &two), 2, 1), of("F32", &[2], &two));
    let one = [varint(4 << 3 | 5), floats(&[1.5])].concat();
    assert_eq!(typed(one.clone(), 1, 1), of("F32", &[1], &floats(&[1.5])));
    let doubles = [1.5f64, 2.5].map(f64::to_le_bytes).concat();
    assert_eq!(typed(message(10, &doubles), 2, 11), of("F64", &[2], &doubles));
    assert_eq!(typed(message(10, &doubles), 1, 15), of("C128", &[1], &doubles));
    assert_eq!(typed(message(9, &[0x21, 0x03]), 3, 22), of("I4", &[3], &[0x21, 0x03]));
    assert_eq!(typed(message(9, &[1, 2, 3]), 3, 99), of("ONNX99", &[3], &[1, 2, 3]));
    assert_eq!(typed(Vec::new(), 0, 1), of("F32", &[0], &[]));
    for (found, reason) in [
        (typed([one.clone(), one].concat(), 2, 1), "several pieces"),
        (typed(message(4, &two), 1, 11), "a field of another type"),
        (typed(message(7, &varint(u64::MAX)), 1, 7), "varints"),
        (typed(number(5, 1), 1, 3), "varints"),
        (typed(Vec::new(), 2, 1), "no data"),
        (typed(message(9, &two), 3, 1), "not as long as"),
        (typed(message(9, &[0x21]), 3, 22), "not as long as"),
        (typed(message(9, &two), u64::MAX, 1), "dimensions are out of range"),
        (typed(message(9, &two), 2, 0), "no element type"),
        (typed([message(3, &number(1, 0)), message(9, &two)].concat(), 2, 1), "segments"),
        (typed(message(6, b"text"), 1, 8), "texts"),
    ] {
        let note = found.unwrap_err();
        assert!(note.contains(reason) && note.contains("\"w\""), "{reason}: {note}");
    }
    // One message in two parts adds up: a tensor of an attribute, and the graph itself.
    let part = |fields: &[Vec<u8>]| message(5, &fields.concat());
    let halves = [part(&[number(1, 2), number(2, 1)]), part(&[message(9, &two)])].concat();
    let attribute = message(5, &[message(1, b"value"), halves].concat());
    let node = message(1, &[message(2, b"k"), message(4, b"Constant"), attribute].concat());
    let layout = read(&[message(7, &node), with_tensor(&twice)].concat()).unwrap();
    assert_eq!(layout.tensors.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["k:value"]);
    assert_eq!(layout.notes.len(), 1);
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    message(13, &[message(1, key.as_bytes()), message(2, value.as_bytes())].concat())
}

/// A tensor of two bytes, whose data are outside.
fn outside(name: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let head = [number(1, 2), number(2, 2), message(8, name.as_bytes()), number(14, 1)];
    message(5, &[head.concat(), entries.concat()].concat())
}

#[test]
fn data_beside_the_file_is_named_and_held_against_its_file() {
    let at = |path: &str, offset: &str| [entry("location", path), entry("offset", offset)];
    let length = entry("length", "2");
    let tensors = [
        outside("b", &at("data/w.bin", "2")),
        outside("a", &[&at("./data//w.bin", "0")[..], std::slice::from_ref(&length)].concat()),
        outside("tied", &at("data/w.bin", "2")),
        outside("other", &[entry("location", "v.bin")]),
    ];
    let layout = read(&message(7, &tensors.concat())).unwrap();
    let [w, v] = &layout.beside[..] else { panic!("{layout:?}") };
    assert_eq!(
        (&*v.path, v.tensors.len(), &*w.path, w.tensors.len()),
        ("v.bin", 1, "data/w.bin", 3)
    );
    let laid = w.clone().check(&OpenFile::of_bytes("data/w.bin", *b"abcdef")).unwrap();
    let found: Vec<_> = laid.tensors.iter().map(|it| (&*it.name, it.begin, it.end)).collect();
    assert_eq!(found, [("a", 0, 2), ("b", 2, 4)]);
    assert_eq!((&*laid.views[0].name, laid.views[0].tensor), ("tied", 1));
    // A file that is cut off is refused, not read in part.
    let error = w.clone().check(&OpenFile::of_bytes("data/w.bin", *b"abc")).unwrap_err();
    assert!(error.to_string().contains("\"b\" ends at 4, and the file has 3 bytes"), "{error}");
    assert!(error.is_malformed());
}

#[test]
fn data_outside_of_the_folder_is_refused_by_name() {
    for path in [
        "../w",
        "a/../../w",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a/",
        "a\\w",
        "C:\\w",
        "model.onnx",
        "w\0",
    ] {
        let bytes = message(7, &outside("w", &[entry("location", path)]));
        let error = read(&bytes).unwrap_err();
        assert!(matches!(error, InterchangeError::PathOutside { .. }), "{path}: {error}");
        assert!(
            error.is_malformed() && error.to_string().contains(&format!("{path:?}")),
            "{error}"
        );
    }
    for (key, value) in [("offset", "-1"), ("offset", "x"), ("length", "18446744073709551616")] {
        let bytes = message(7, &outside("w", &[entry("location", "w"), entry(key, value)]));
        let message = message_of(&bytes);
        assert!(
            message.contains(&format!("\"w\": {key} {value:?} of its external data")),
            "{message}"
        );
    }
    // No place of a file: told, and nothing else is lost.
    let far = [entry("location", "w"), entry("offset", &u64::MAX.to_string())];
    let layout = read(&message(7, &outside("w", &far))).unwrap();
    assert!(layout.beside.is_empty() && layout.notes[0].contains("end behind 2^64"));
}

#[test]
fn what_breaks_the_format_is_refused_by_what_it_is() {
    let tensor = |field: Vec<u8>| with_tensor(&[number(2, 1), field]);
    let node = |field: Vec<u8>| message(7, &message(1, &field));
    let attribute = |field: Vec<u8>| node(message(5, &field));
    for (bytes, detail) in [
        (message(2, b"a producer"), "no graph: this is no ONNX file"),
        (b"text, not a model".to_vec(), "unknown wire type"),
        (vec![0xff; 40], "a number of more than ten bytes"),
        (vec![0x3a, 0xff, 0xff, 0xff, 0x7f], "a field is longer than its message"),
        (vec![0x3a, 0xff], "a number is cut off"),
        (vec![0x3d, 1, 2], "a number is cut off"),
        (vec![0x02, 0], "a field of number 0"),
        (number(7, 1), "a field of the wrong type"),
        (message(7, &number(5, 1)), "a field of the wrong type"),
        (tensor(message(8, &[0xff])), "a text that is not UTF-8"),
        (tensor(number(8, 1)), "a field of the wrong type"),
        (tensor(number(9, 1)), "a field of the wrong type"),
        (node(message(2, &[0xff])), "a text that is not UTF-8"),
        (node(number(5, 1)), "a field of the wrong type"),
        (attribute(number(6, 1)), "a field of the wrong type"),
        (attribute(message(3, b"1")), "a field of the wrong type"),
    ] {
        let error = read(&bytes).unwrap_err();
        assert!(error.is_malformed(), "{error}");
        assert!(error.to_string().contains(detail), "expected {detail}\nfound {error}");
    }
}

/// Graphs in graphs cost no stack, and are read down to a level that is named.
#[test]
fn graphs_are_read_to_a_bounded_depth() {
    let nested = |depth: u64| {
        let mut graph =
            message(5, &[number(1, 1), number(2, 2), message(8, b"w"), message(9, b"x")].concat());
        for _ in 0..depth {
            let attribute = message(5, &[message(1, b"body"), message(6, &graph)].concat());
            graph = message(1, &[message(4, b"Loop"), attribute].concat());
        }
        message(7, &graph)
    };
    let layout = read(&nested(ONNX_GRAPH_DEPTH_MAX)).unwrap();
    assert_eq!((layout.tensors.len(), layout.tensors[0].name.as_str()), (1, "w"));
    assert!(message_of(&nested(ONNX_GRAPH_DEPTH_MAX + 1)).contains("deeper than 64"));
    assert!(message_of(&nested(10_000)).contains("deeper than 64"));
}

#[test]
fn memory_is_bounded() {
    // Dimensions of one byte in the file and many in memory.
    let dims = message(1, &vec![1; (ONNX_GRAPH_LEN_MAX / 16) as usize + 1]);
    let error = read(&with_tensor(&[dims])).unwrap_err();
    assert!(matches!(error, InterchangeError::LayoutTooLarge { .. }), "{error}");
}

/// A setting of many numbers costs what is shown of it.
#[test]
fn long_settings_are_cut() {
    let node = |attribute: Vec<u8>| {
        let attribute = message(5, &[message(1, b"ids"), attribute].concat());
        message(7, &message(1, &[message(4, b"Trees"), attribute].concat()))
    };
    let text = |attribute: Vec<u8>| {
        let layout = read(&node(attribute)).unwrap();
        layout.architecture.unwrap().layers()[0].attributes["ids"].clone()
    };
    let numbers = text(message(8, &vec![1; 5_000_000]));
    assert!(
        numbers.starts_with("[1, 1, ") && numbers.ends_with("1, and 4999936 more]"),
        "{numbers}"
    );
    assert_eq!(text(number(8, 1).repeat(100_000)), numbers.replace("4999936", "99936"));
    assert_eq!(text(message(4, &[b'x'; 5000])), "5000 bytes");
    assert_eq!(text(message(4, b"x")), "x");
}

/// Cut anywhere, and with any byte changed, a file is read or refused.
#[test]
fn damaged_files_are_survived() {
    for (name, flips) in [
        ("plain.onnx", 4096),
        ("branches.onnx", 4096),
        ("external/m.onnx", 4096),
        ("graphs.onnx", 4096),
        ("../onnx/model_v8.onnx", 512),
    ] {
        let whole = fs::read(door(name)).unwrap();
        let (cut, flipped) = layout_reads::survives("model.onnx", &whole, flips, read_layout);
        assert!(cut > whole.len().min(flips) / 2 && flipped > 50, "{name}: {cut} {flipped}");
    }
}
