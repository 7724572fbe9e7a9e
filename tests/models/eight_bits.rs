//! Promise: matrices become numbers of eight bits as other libraries round them, with the scales
//! beside them, at the cost of a row; what stays is said; and they come back.
//! `tests/values/eight.py` made the values with numpy and ml_dtypes.

use std::path::Path;

use crate::common::{add, assert_rows_add_up, new_store, shape, stored_model};
use mgit::format::FEATURE_ABSMAX_F8;
use mgit::interchange::{ModelSource, SafetensorsFile, export_to_path};
use mgit::tensor::{e4m3_bits, number};
use mgit::update::{Functions, Make, UpdateError, remake};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, Model, NewModel, NewTensor, Shape, Store};
use serde_json::json;

fn run(store: &Store, make: Make) -> Result<Vec<(String, String)>, UpdateError> {
    let report = make.run(store, &Functions::new())?;
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, "made");
    let found = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(found.is_clean(), "{found:?}");
    let model = snapshot.model_of(report.node).unwrap();
    let again = remake(&model, &Functions::new()).unwrap();
    assert_eq!(again.differences(&model).unwrap(), Vec::<String>::new());
    Ok(report.notes.into_iter().map(|note| (note.tensor, note.text)).collect())
}

fn quantise(name: &str, parent: &str, to: &str) -> Make {
    Make::new(name, "quantise").parent(parent, None).parameter("to", to)
}

fn bytes(model: &Model, tensor: &str) -> (Dtype, Shape, Vec<u8>) {
    let tensor = model.tensor(tensor).unwrap();
    (tensor.dtype().clone(), tensor.shape().clone(), tensor.view().unwrap().to_vec())
}

/// The library's values, of which the floats are `base` in the store. They come from a store of
/// their own, so that nothing is in this one already.
fn with_values(store: &Store) -> Model {
    let (_folder, _, library) = new_store();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/values/eight.safetensors");
    let file = ModelSource::open(&path).unwrap();
    add(&library, NewModel::new("wanted").source(&file)).unwrap();
    let wanted = stored_model(&library, "wanted");
    let bases: Vec<_> =
        ["f32.weight", "bf16.weight", "f16.weight"].map(|name| (name, bytes(&wanted, name))).into();
    let base = bases.iter().fold(NewModel::new("base"), |model, (name, (dtype, shape, bytes))| {
        model.tensor(NewTensor::from_bytes(*name, dtype.clone(), shape.clone(), bytes))
    });
    add(store, base).unwrap();
    wanted
}

#[test]
fn rows_are_rounded_as_the_libraries_do_and_cost_a_row() {
    let (_folder, _, store) = new_store();
    let wanted = with_values(&store);
    let flags = |store: &Store| store.container().superblock().reader_flags;
    for (to, dtype, formula) in
        [("int8", Dtype::I8, "absmax-int8"), ("fp8", Dtype::F8E4M3, "absmax-f8")]
    {
        assert_eq!(run(&store, quantise(to, "base", to)).unwrap(), []);
        let made = stored_model(&store, to);
        assert_eq!(made.tensors().len(), 6);
        for of in ["f32", "bf16", "f16"] {
            let weight = format!("{of}.weight");
            let (found, same) = (bytes(&made, &weight), bytes(&wanted, &format!("{of}.{to}")));
            assert_eq!(found.0, dtype);
            assert_eq!(found, same, "{weight} {to}");
            let scale = bytes(&made, &format!("{weight}_scale"));
            assert_eq!(scale, bytes(&wanted, &format!("{of}.{to}_scale")));
            assert_eq!((scale.0, scale.1.dims()), (Dtype::F32, &[found.1.dims()[0], 1][..]));
            let how = made.tensor(&weight).unwrap().stored_as().unwrap();
            assert_eq!((how.formula, how.stored_len), (Some(formula), 0), "{weight}");
        }
        assert_eq!(flags(&store) & FEATURE_ABSMAX_F8 != 0, to == "fp8");
        // Back: the number times the scale of its row.
        let back = format!("{to}-back");
        assert_eq!(run(&store, Make::new(&back, "dequantise").parent(to, None)).unwrap(), []);
        let back = stored_model(&store, &back);
        assert_eq!(back.tensors().len(), 3);
        for of in ["f32", "bf16", "f16"] {
            let found = bytes(&back, &format!("{of}.weight"));
            assert_eq!(found, bytes(&wanted, &format!("{of}.{to}_back")), "{of} {to}");
        }
    }
}

/// A model of another program that was made so is recognised.
#[test]
fn rows_of_other_programs_eight_bit_floats_cost_a_row() {
    let (_folder, _, store) = new_store();
    let wanted = with_values(&store);
    let (dtype, shape, fp8) = bytes(&wanted, "f32.fp8");
    let tensor = NewTensor::from_bytes("f32.weight", dtype, shape.clone(), &fp8);
    add(&store, NewModel::new("theirs").parent("base", How::Quantise).tensor(tensor)).unwrap();
    let theirs = stored_model(&store, "theirs").tensor("f32.weight").unwrap();
    let how = theirs.stored_as().unwrap();
    assert_eq!((how.formula, how.stored_len), (Some("absmax-f8"), 0));
    // With one number changed.
    let mut other = fp8.clone();
    other[3] ^= 1;
    let tensor = NewTensor::from_bytes("f32.weight", Dtype::F8E4M3, shape, &other);
    add(&store, NewModel::new("near").parent("base", How::Quantise).tensor(tensor)).unwrap();
    let near = stored_model(&store, "near").tensor("f32.weight").unwrap();
    assert_eq!(near.view().unwrap()[..], other[..]);
    let mut part = [0; 70];
    near.read_range_into(33, &mut part).unwrap();
    assert_eq!(part, other[33..103]);
}

/// Every number of the type is itself, and between two of them the nearer one is.
#[test]
fn the_nearest_eight_bit_float_is_found() {
    let of = |code: u8| number(&Dtype::F8E4M3, &[code]) as f32;
    for code in 0..0x7eu8 {
        let (low, high) = (of(code), of(code + 1));
        let middle = (low + high) / 2.0;
        let even = if code % 2 == 0 { code } else { code + 1 };
        for (value, wanted) in
            [(low, code), (middle, even), (middle.next_down(), code), (middle.next_up(), code + 1)]
        {
            assert_eq!((e4m3_bits(value), e4m3_bits(-value)), (wanted, wanted | 0x80), "{value}");
        }
    }
    for (value, wanted) in [(448.0, 0x7e), (1e30, 0x7e), (f32::NEG_INFINITY, 0xfe)] {
        assert_eq!(e4m3_bits(value), wanted);
    }
    assert_eq!((e4m3_bits(f32::NAN), e4m3_bits(-f32::NAN)), (0x7f, 0x7f));
    assert_eq!((e4m3_bits(f32::from_bits(1)), e4m3_bits(-0.0)), (0, 0x80));
}

/// Embeddings, norms, convolutions, what is not finite, what the user keeps.
#[test]
fn what_stays_is_said() {
    let (folder, _, store) = new_store();
    let values: Vec<u8> = (0..64).flat_map(|at| (at as f32 - 31.0).to_le_bytes()).collect();
    let mut hurt = values.clone();
    hurt[20..24].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut tiny = vec![0; 256];
    tiny[0] = 1;
    let tensor = |name: &str, dims: &[u64], bytes| {
        NewTensor::from_bytes(name.to_owned(), Dtype::F32, shape(dims), bytes)
    };
    let base = NewModel::new("base")
        .tensor(tensor("embeddings.word_embeddings.weight", &[8, 8], &values))
        .tensor(tensor("layer.0.query.weight", &[4, 16], &values))
        .tensor(tensor("layer.0.query.bias", &[64], &values))
        .tensor(tensor("layer.0.hurt.weight", &[8, 8], &hurt))
        .tensor(tensor("layer.0.tiny.weight", &[8, 8], &tiny))
        .tensor(tensor("conv.weight", &[4, 4, 2, 2], &values))
        .tensor(tensor("head.weight", &[8, 8], &values));
    add(&store, base).unwrap();
    let notes = run(&store, quantise("small", "base", "fp8").parameter("keep", "head.*")).unwrap();
    let said = |tensor: &str, text: &str| (tensor.to_owned(), format!("left as it was: {text}"));
    let hurt = "it has values that are not finite, or too small for a scale";
    assert_eq!(
        notes,
        [
            said("embeddings.word_embeddings.weight", "an embedding"),
            said("layer.0.hurt.weight", hurt),
            said("layer.0.tiny.weight", hurt),
            said("conv.weight", "it has more than two dimensions"),
        ]
    );
    let small = stored_model(&store, "small");
    let changed: Vec<String> = small
        .tensors()
        .filter(|tensor| *tensor.dtype() != Dtype::F32 || tensor.name().ends_with("_scale"))
        .map(|tensor| format!("{} {} {}", tensor.name(), tensor.dtype(), tensor.shape()))
        .collect();
    assert_eq!(
        changed,
        ["layer.0.query.weight F8_E4M3 [4, 16]", "layer.0.query.weight_scale F32 [4, 1]"]
    );
    // It is exported as a file that other programs read.
    let path = folder.path().join("small.safetensors");
    export_to_path(&small, &path, &|_| ()).unwrap();
    let file = SafetensorsFile::open(&path).unwrap();
    let entries = file.header().tensors();
    assert_eq!(entries.len(), 8);
    for entry in entries {
        assert!(entry.dtype != Dtype::F32 || entry.begin % 4 == 0, "{}", entry.name);
    }
    // The rounding that stays in the type keeps what it is told to, too.
    let make = Make::new("rounded", "quantise").parent("base", None);
    run(&store, make.parameter("keep", json!(["head.*", "conv.*"]))).unwrap();
    let (rounded, base) = (stored_model(&store, "rounded"), stored_model(&store, "base"));
    assert_eq!(bytes(&rounded, "head.weight"), bytes(&base, "head.weight"));
    assert_ne!(bytes(&rounded, "layer.0.query.weight"), bytes(&base, "layer.0.query.weight"));
    // Scales that do not fit, matrices without scales, names that are taken.
    let (ok, no) = (values.as_slice(), &values[..12]);
    let odd = NewModel::new("odd")
        .tensor(NewTensor::from_bytes("a", Dtype::I8, shape(&[16, 16]), ok))
        .tensor(NewTensor::from_bytes("a_scale", Dtype::F32, shape(&[3, 1]), no));
    add(&store, odd).unwrap();
    let alone = NewModel::new("alone")
        .tensor(NewTensor::from_bytes("a", Dtype::I8, shape(&[16, 16]), ok))
        .tensor(tensor("b", &[4, 16], &values))
        .tensor(tensor("b_scale", &[64], &values));
    add(&store, alone).unwrap();
    for (make, part) in [
        (quantise("x", "base", "int4"), "none of int8 and fp8"),
        (quantise("x", "base", "int8").parameter("keep", "nothing*"), "fits no tensor of base@1"),
        (quantise("x", "base", "int8").parameter("keep", 1), "no glob"),
        (quantise("x", "base", "int8").parameter("keep", "*"), "no matrix to be quantised"),
        (quantise("x", "alone", "int8"), "is there already"),
        (Make::new("x", "dequantise").parent("base", None), "no matrix of I8 or F8_E4M3"),
        (Make::new("x", "dequantise").parent("odd", None), "neither a scale nor one a row"),
        (Make::new("x", "dequantise").parent("alone", None), "no matrix of I8"),
        (Make::new("x", "dequantise").parent("odd", None).parameter("dtype", "i8"), "say f16"),
    ] {
        let error = run(&store, make).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Types that a function does not know are named, and where there is nothing else it fails.
#[test]
fn matrices_of_unknown_types_are_said() {
    let (_folder, _, store) = new_store();
    let floats: Vec<u8> = (0..64).flat_map(|at| (at as f32 - 31.0).to_le_bytes()).collect();
    let codes: Vec<u8> = (0..64).collect();
    let tensor = |name: &str, dtype: &Dtype, dims: &[u64]| {
        let bytes = if *dtype == Dtype::F32 { &floats } else { &codes };
        NewTensor::from_bytes(name.to_owned(), dtype.clone(), shape(dims), bytes)
    };
    let strange = [Dtype::I8, Dtype::F8E5M2, Dtype::I32];
    let dims = |dtype: &Dtype| if *dtype == Dtype::I32 { [4, 4] } else { [8, 8] };
    let names = ["a", "b", "c"];
    let ints = names.iter().zip(&strange).fold(NewModel::new("ints"), |model, (name, dtype)| {
        model.tensor(tensor(name, dtype, &dims(dtype)))
    });
    add(&store, ints.tensor(tensor("bias", &Dtype::F32, &[64]))).unwrap();
    let mixed = names.iter().zip(&strange).fold(NewModel::new("mixed"), |model, (name, dtype)| {
        model.tensor(tensor(name, dtype, &dims(dtype)))
    });
    let scale = NewTensor::from_bytes("a_scale", Dtype::F32, shape(&[8, 1]), &floats[..32]);
    let mixed = mixed.tensor(scale).tensor(tensor("w", &Dtype::F32, &[8, 8]));
    add(&store, mixed).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/door/tiny-q8.gguf");
    let file = ModelSource::open(Path::new(path)).unwrap();
    add(&store, NewModel::new("blocks").source(&file)).unwrap();
    let functions = [("prune", "sparsity", json!(0.5)), ("quantise", "to", json!("int8"))];
    for (function, key, value) in functions.into_iter().chain([("quantise", "keep", json!([]))]) {
        let verb = if function == "prune" { "pruned" } else { "quantised" };
        let make = |name: &str, parent: &str| {
            Make::new(name, function).parent(parent, None).parameter(key, value.clone())
        };
        let types = format!("no matrix to be {verb}: F8_E5M2, I32, I8 are not {verb}");
        for (parent, part) in [("blocks", "Q8_0"), ("ints", types.as_str())] {
            let error = run(&store, make("x", parent)).unwrap_err().to_string();
            assert!(error.contains(part), "{function}: {error}");
        }
        let name = format!("{function}-{key}");
        // The scale of one that stays would be that of another after `to`.
        let notes = run(&store, make(&name, "mixed")).unwrap();
        let mut said: Vec<_> = notes.into_iter().filter(|(tensor, _)| !tensor.is_empty()).collect();
        said.sort();
        let left = |name: &str, why: &str| (name.to_owned(), format!("left as it was: {why}"));
        let not = |name: &str, dtype: &str| left(name, &format!("{dtype} is not {verb}"));
        let scale = left("a_scale", "the scale of another tensor");
        assert_eq!(said, [not("a", "I8"), scale, not("b", "F8_E5M2"), not("c", "I32")]);
        let (made, old) = (stored_model(&store, &name), stored_model(&store, "mixed"));
        assert_ne!(bytes(&made, "w"), bytes(&old, "w"));
    }
}

#[test]
fn a_cast_leaves_scales_as_they_are() {
    let (_folder, _, store) = new_store();
    let codes: Vec<u8> = (0..64).collect();
    let scales: Vec<u8> = (0..8).flat_map(|at| (0.1 + at as f32).to_le_bytes()).collect();
    let names = ["a_scale", "b_scale_inv"];
    let model = NewModel::new("base")
        .tensor(NewTensor::from_bytes("a", Dtype::F8E4M3, shape(&[8, 8]), &codes))
        .tensor(NewTensor::from_bytes("a_scale", Dtype::F32, shape(&[8, 1]), &scales))
        .tensor(NewTensor::from_bytes("b", Dtype::F8E5M2, shape(&[8, 8]), &codes))
        .tensor(NewTensor::from_bytes("b_scale_inv", Dtype::F32, shape(&[8, 1]), &scales))
        .tensor(NewTensor::from_bytes("norm", Dtype::F32, shape(&[8]), &scales));
    add(&store, model).unwrap();
    let cast = |name: &str, parent: &str| Make::new(name, "cast").parent(parent, None);
    let notes = run(&store, cast("half", "base").parameter("dtype", "bf16")).unwrap();
    let left =
        |name: &str| (name.to_owned(), "left as it was: the scale of another tensor".to_owned());
    assert_eq!(notes, names.map(left));
    let (half, base) = (stored_model(&store, "half"), stored_model(&store, "base"));
    for name in names {
        assert_eq!(bytes(&half, name), bytes(&base, name));
    }
    assert_eq!((bytes(&half, "a").0, bytes(&half, "norm").0), (Dtype::Bf16, Dtype::Bf16));
    // Nothing but what is not cast.
    let none = cast("x", "base").parameter("dtype", "bf16").parameter("tensors", "*_scale*");
    let error = run(&store, none).unwrap_err().to_string();
    assert!(error.contains("base@1 has no tensor to be cast"), "{error}");
}
