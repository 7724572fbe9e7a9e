//! Promise: an ONNX file gives the tensors that it has, bit for bit, and the edges of its graph;
//! whatever else is in the file is refused or left out, without a panic and in bounded memory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::onnx::{message, number, varint, with_tensor};
use crate::common::{Random, add, folder, new_store};
use mgit::interchange::{InterchangeError, ModelFile, OnnxFile};
use mgit::{Dtype, NewModel};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

#[test]
fn a_real_model_has_its_weights_and_its_edges() {
    let (_home, _, store) = new_store();
    let onnx = OnnxFile::open(fixture("model_v8.onnx")).unwrap();
    let tensors = ModelFile::open(fixture("model_v8.safetensors")).unwrap();
    add(&store, NewModel::new("onnx").onnx(&onnx).unwrap()).unwrap();
    let report = add(&store, NewModel::new("safetensors").file(&tensors)).unwrap();
    // Equal content is found equal: all sixteen tensors, and nothing else.
    assert_eq!((report.deduplicated, report.raw, report.delta), (16, 0, 0));
    let snapshot = store.snapshot().unwrap();
    let [one, other] = ["onnx", "safetensors"].map(|name| snapshot.model(name).unwrap());
    assert_eq!(one.tensors().len(), 16);
    for tensor in other.tensors() {
        let same = one.tensor(tensor.name()).unwrap();
        assert_eq!(same.content_id(), tensor.content_id(), "{}", tensor.name());
        assert_eq!((same.dtype(), same.shape()), (tensor.dtype(), tensor.shape()));
    }

    let layers = one.architecture().unwrap();
    assert_eq!(layers.source(), mgit::architecture::LayerSource::Graph);
    assert_eq!(layers.layers().len(), 25);
    let name = |at: usize| layers.layers()[at].name.as_str();
    let found: BTreeSet<String> =
        layers.edges().iter().map(|(from, to)| format!("{} {}", name(*from), name(*to))).collect();
    let expected = fs::read_to_string(fixture("model_v8.edges")).unwrap();
    assert_eq!(found, expected.lines().map(str::to_owned).collect());
    let first = layers.layers().iter().find(|layer| layer.name == "conv2d_5").unwrap();
    assert_eq!(first.kind.name(), "Conv");
    assert_eq!(first.attributes["kernel_shape"], "[3, 3]");
    assert_eq!(first.tensors, ["conv2d_5/kernel:0", "conv2d_5/bias:0"]);
}

fn open(bytes: &[u8]) -> Result<OnnxFile, InterchangeError> {
    let home = folder();
    let path = home.path().join("model.onnx");
    fs::write(&path, bytes).unwrap();
    OnnxFile::open(path)
}

fn read(file: &OnnxFile) -> Vec<u8> {
    let mut bytes = vec![0; file.tensors()[0].byte_len as usize];
    file.read_tensor_at(0, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn numbers_may_stand_in_every_field_they_may() {
    let name = message(8, b"w");
    let case = |dims: u64, code: u64, data: Vec<u8>| {
        open(&with_tensor(&[number(1, dims), number(2, code), name.clone(), data])).unwrap()
    };
    let raw = case(2, 1, message(9, &[1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!((read(&raw), &raw.tensors()[0].dtype), (vec![1, 2, 3, 4, 5, 6, 7, 8], &Dtype::F32));
    let floats = case(1, 1, message(4, &1.5f32.to_le_bytes()));
    assert_eq!(read(&floats), 1.5f32.to_le_bytes());
    let halves = case(2, 10, message(5, &[varint(0x3c00), varint(0xbc00)].concat()));
    assert_eq!(read(&halves), [0x00, 0x3c, 0x00, 0xbc]);
    let long = case(1, 7, message(7, &varint(u64::MAX)));
    assert_eq!(read(&long), (-1i64).to_le_bytes());
    let bytes = case(3, 3, [number(5, 1), number(5, u64::MAX), number(5, 3)].concat());
    assert_eq!(read(&bytes), [1, 255, 3]);
    // Texts are no tensors.
    assert!(case(1, 8, message(6, b"text")).tensors().is_empty());
}

#[test]
fn weights_beside_the_file_are_read_and_no_others() {
    let home = folder();
    fs::write(home.path().join("weights.bin"), [9, 8, 7, 6, 5, 4]).unwrap();
    let path = home.path().join("model.onnx");
    let external = |location: &str, offset: &str| {
        let entry = |key: &str, value: &str| {
            message(13, &[message(1, key.as_bytes()), message(2, value.as_bytes())].concat())
        };
        let fields = [
            number(1, 2),
            number(2, 2),
            message(8, b"w"),
            number(14, 1),
            entry("location", location),
            entry("offset", offset),
            entry("length", "2"),
        ];
        fs::write(&path, with_tensor(&fields)).unwrap();
        OnnxFile::open(&path)
    };
    assert_eq!(read(&external("weights.bin", "3").unwrap()), [6, 5]);
    for (location, offset) in [
        ("../weights.bin", "0"),
        ("/etc/passwd", "0"),
        ("", "0"),
        ("..", "0"),
        ("weights.bin", "5"),
        ("weights.bin", "18446744073709551615"),
        ("weights.bin", "-1"),
        ("missing.bin", "0"),
    ] {
        assert!(external(location, offset).is_err(), "{location} {offset}");
    }
}

#[test]
fn what_breaks_the_format_is_refused() {
    let (dims, f32s, name) = (number(1, 2), number(2, 1), message(8, b"w"));
    let raw = message(9, &[0; 8]);
    let refused = |fields: &[Vec<u8>]| {
        let error = open(&with_tensor(fields)).unwrap_err();
        assert!(error.is_malformed(), "{error}");
    };
    refused(&[dims.clone(), f32s.clone(), raw.clone()]);
    refused(&[number(1, 3), f32s.clone(), name.clone(), raw.clone()]);
    refused(&[number(1, u64::MAX), f32s.clone(), name.clone(), raw.clone()]);
    refused(&[number(1, u64::MAX), number(1, 3), f32s.clone(), name.clone(), raw.clone()]);
    refused(&[dims.clone(), f32s.clone(), number(8, 1), raw.clone()]);
    refused(&[vec![dims.clone(); 65].concat(), f32s.clone(), name.clone(), raw.clone()]);
    refused(&[dims.clone(), f32s.clone(), name.clone(), message(9, &[0; 7])]);
    refused(&[dims.clone(), f32s.clone(), message(8, &[0xff]), raw.clone()]);
    let tensor = message(5, &[dims, f32s, name, raw].concat());
    assert!(open(&message(7, &[tensor.clone(), tensor].concat())).is_err());
    for bytes in [&b""[..], b"text, not a model", &[0xff; 40], &[0x3a, 0xff, 0xff, 0xff, 0x7f]] {
        assert!(open(bytes).unwrap_err().is_malformed());
    }
}

/// Cut anywhere, and with bytes changed anywhere, a real file is read or refused.
#[test]
fn damaged_files_are_survived() {
    let bytes = fs::read(fixture("model_v8.onnx")).unwrap();
    let home = folder();
    let path = home.path().join("model.onnx");
    let mut random = Random(7);
    let mut refused = 0;
    for round in 0..400 {
        let mut damaged = bytes.clone();
        if round % 2 == 0 {
            damaged.truncate(random.below(bytes.len()));
        }
        for _ in 0..round % 5 {
            // The graph is at the front, the weights behind.
            let at = random.below(damaged.len().clamp(1, 9000));
            if let Some(byte) = damaged.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        fs::write(&path, &damaged).unwrap();
        match OnnxFile::open(&path) {
            Ok(file) => {
                let _ = file.architecture();
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 150, "{refused}");
}
