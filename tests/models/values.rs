//! Promise: elements are read as what their types say, NaN and infinities of eight-bit floats too;
//! what functions make of them is the published formula at its corners, keeps the files' metadata
//! and shards, and says what it left alone.

use std::collections::BTreeMap;

use crate::common::{Random, add, new_store, shape, stored_model};
use mgit::interchange::{ModelSource, SafetensorsFile, export_to_path, write_header};
use mgit::model_tests::{Builtin, RunOptions, Runner, Test, What};
use mgit::tensor::{float8_bits, number};
use mgit::update::{Functions, Make, UpdateError};
use mgit::{Dtype, NewModel, NewTensor, Store};
use serde_json::{Value, json};

fn tensor<'a>(name: &str, dtype: Dtype, bytes: &'a [u8]) -> NewTensor<'a> {
    let dims = [bytes.len() as u64 / dtype.lane_bytes() as u64];
    NewTensor::from_bytes(name, dtype, shape(&dims), bytes)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(store: &Store, name: &str, tensor: &str) -> Vec<f32> {
    let view = stored_model(store, name).tensor(tensor).unwrap().view().unwrap();
    view.as_slice::<f32>().unwrap().to_vec()
}

/// `tests/values/float8.py` made the table with ml_dtypes.
#[test]
fn every_code_of_the_eight_bit_floats_is_the_published_value() {
    let mut types = 0;
    for line in include_str!("../values/float8.txt").lines() {
        let (name, values) = line.split_once(' ').unwrap();
        let dtype = Dtype::from_name(name);
        let values: Vec<f64> = values.split(' ').map(|value| value.parse().unwrap()).collect();
        assert_eq!(values.len(), 256);
        for (code, wanted) in (0..=255u8).zip(values) {
            let found = number(&dtype, &[code]);
            let same = found.to_bits() == wanted.to_bits() || found.is_nan() && wanted.is_nan();
            assert!(same, "{name} {code:#04x}: {found} {wanted}");
        }
        types += 1;
    }
    assert_eq!(types, 5);
    // The specification's own words.
    assert_eq!(number(&Dtype::F8E4M3, &[0x7e]), 448.0);
    assert_eq!(number(&Dtype::F8E5M2, &[0x7b]), 57344.0);
    assert!(
        number(&Dtype::F8E4M3, &[0xff]).is_nan() && number(&Dtype::F8E4M3Fnuz, &[0x80]).is_nan()
    );
}

/// `tests/values/float8_cast.py` made the table with torch.
#[test]
fn floats_of_eight_bits_are_cast_as_by_torch() {
    let half = |bits: u16| mgit::half::f16::from_bits(bits).to_f32();
    let brain = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    let mut types = 0;
    for line in include_str!("../values/float8_cast.txt").lines() {
        let mut words = line.split(' ');
        let dtype = Dtype::from_name(words.next().unwrap());
        let hex = |word: &str| u32::from_str_radix(word, 16).unwrap();
        let (steps, others): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains(':'));
        let steps: Vec<(u32, u8)> = steps
            .iter()
            .map(|step| step.split_once(':').map(|(a, b)| (hex(a), hex(b) as u8)).unwrap())
            .collect();
        let [zero, one, minus, nan, minus_nan] = others[..] else { panic!("{others:?}") };
        let wanted = |value: f32| {
            let (bits, code) = (value.to_bits() & 0x7fff_ffff, value.is_sign_negative());
            if value.is_nan() {
                return hex(if code { minus_nan } else { nan }) as u8;
            }
            let (_, magnitude) = steps[steps.partition_point(|(start, _)| *start <= bits) - 1];
            match magnitude {
                _ if !code => magnitude,
                0 => hex(zero) as u8,
                magnitude => magnitude | 0x80,
            }
        };
        assert_eq!([wanted(1.0), wanted(-1.0)], [hex(one) as u8, hex(minus) as u8]);
        let mut random = Random(8);
        let sampled = (0..1 << 20).map(|_| f32::from_bits(random.next() as u32));
        let edges = steps.iter().flat_map(|(start, _)| {
            [*start, start.saturating_sub(1)].map(f32::from_bits).into_iter().flat_map(|v| [v, -v])
        });
        let narrow = (0..=u16::MAX).flat_map(|bits| [half(bits), brain(bits)]);
        for value in narrow.chain(edges).chain(sampled) {
            let found = float8_bits(&dtype, value);
            assert_eq!(found, Some(wanted(value)), "{dtype} of {:#x}", value.to_bits());
        }
        types += 1;
    }
    assert_eq!(types, 4);
    assert_eq!(float8_bits(&Dtype::F8E8M0, 1.0), None);
}

#[test]
fn tests_of_models_see_nan_and_infinities_of_eight_bit_floats() {
    let (_folder, _, store) = new_store();
    let new = NewModel::new("m")
        .tensor(tensor("w", Dtype::F8E4M3, &[0x7f, 0xff, 0x38]))
        .tensor(tensor("v", Dtype::F8E5M2, &[0x7c, 0xfc, 0x7d, 0x3c]));
    add(&store, new).unwrap();
    let run = |builtin| {
        let snapshot = store.snapshot().unwrap();
        let node = snapshot.model("m").unwrap().node().clone();
        let test = Test::new("t", What::Builtin(builtin));
        let report = Runner::new(&snapshot, RunOptions::default());
        let report = report.run(Some(&store), &[test], &[node]).unwrap();
        let metrics = report.results[0].finding.metrics.iter();
        metrics.map(|metric| (metric.name.clone(), metric.value)).collect::<BTreeMap<_, _>>()
    };
    let finite = run(Builtin::Finite);
    assert_eq!((finite["nan"], finite["infinite"]), (3.0, 2.0));
    let statistics = run(Builtin::Statistics);
    assert_eq!((statistics["min"], statistics["max"]), (1.0, 1.0));
    // A cast keeps them, and so is no change.
    let cast = Make::new("wide", "cast").parent("m", None).parameter("dtype", "f32");
    cast.run(&store, &Functions::new()).unwrap();
    let wide = floats(&store, "wide", "v");
    assert_eq!(wide[..2], [f32::INFINITY, f32::NEG_INFINITY]);
    assert!(wide[2].is_nan() && wide[3] == 1.0);
    let diff = mgit::diff::diff(&stored_model(&store, "m"), &stored_model(&store, "wide")).unwrap();
    for change in diff.layers().flat_map(|layer| layer.tensors) {
        assert_eq!(change.distance.unwrap().changed, 0);
    }
}

/// A safetensors file of these tensors, with metadata.
fn file(tensors: &[(&str, Dtype, &[u8])]) -> Vec<u8> {
    let shapes: Vec<_> = tensors
        .iter()
        .map(|(_, dtype, bytes)| shape(&[bytes.len() as u64 / dtype.lane_bytes() as u64]))
        .collect();
    let entries = tensors.iter().zip(&shapes);
    let entries =
        entries.map(|((name, dtype, bytes), shape)| (*name, dtype, shape, bytes.len() as u64));
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let header = write_header(entries, Some(&metadata));
    let bytes: Vec<u8> = tensors.iter().flat_map(|(.., bytes)| bytes.to_vec()).collect();
    [&(header.len() as u64).to_le_bytes()[..], &header, &bytes].concat()
}

#[test]
fn a_cast_keeps_metadata_and_shards_and_says_what_it_left() {
    let (folder, _, store) = new_store();
    let one = bytes(&[1.0, 2.0, 3.0]);
    let steps = 7i32.to_le_bytes();
    let shards = folder.path().join("in");
    std::fs::create_dir(&shards).unwrap();
    let a = file(&[("a", Dtype::F32, &one), ("steps", Dtype::I32, &steps)]);
    std::fs::write(shards.join("m-1.safetensors"), a).unwrap();
    let b = file(&[("b", Dtype::F8E4M3, &[0x38, 0x40]), ("half", Dtype::Bf16, &[0, 0])]);
    std::fs::write(shards.join("m-2.safetensors"), b).unwrap();
    let map = json!({ "a": "m-1.safetensors", "steps": "m-1.safetensors",
        "b": "m-2.safetensors", "half": "m-2.safetensors" });
    let index = json!({ "metadata": { "total_size": 20 }, "weight_map": map });
    std::fs::write(shards.join("m.safetensors.index.json"), index.to_string()).unwrap();
    let opened = ModelSource::open(&shards).unwrap();
    add(&store, NewModel::new("m").source(&opened)).unwrap();
    let cast = Make::new("half", "cast").parent("m", None).parameter("dtype", "bf16");
    let report = cast.run(&store, &Functions::new()).unwrap();
    let notes: Vec<(&str, &str)> =
        report.notes.iter().map(|note| (note.tensor.as_str(), note.text.as_str())).collect();
    assert_eq!(notes, [("steps", "left as it was: I32 is not cast")]);
    let out = folder.path().join("out");
    export_to_path(&stored_model(&store, "half"), &out, &|_| {}).unwrap();
    let shards = ModelSource::open(&out).unwrap();
    let paths: Vec<&str> = shards.files().iter().map(|file| file.path()).collect();
    assert_eq!(paths, ["m-1.safetensors", "m-2.safetensors", "m.safetensors.index.json"]);
    for path in &paths[..2] {
        let shard = SafetensorsFile::open(out.join(path)).unwrap();
        assert_eq!(shard.header().metadata()["format"], "pt");
        for entry in shard.header().tensors() {
            assert!(entry.begin.is_multiple_of(entry.dtype.lane_bytes() as u64), "{entry:?}");
        }
    }
    let index = std::fs::read(out.join(paths[2])).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index, json!({ "metadata": { "total_size": 16 }, "weight_map": map }));
    let b = stored_model(&store, "half").tensor("b").unwrap();
    assert_eq!((b.dtype(), b.view().unwrap().to_vec()), (&Dtype::Bf16, vec![0x80, 0x3f, 0, 0x40]));
}

fn make(
    store: &Store,
    strategy: &str,
    parents: &[&str],
    parameters: Value,
) -> Result<Vec<mgit::store::Note>, UpdateError> {
    let mut new = Make::new("x", strategy).seed(3);
    new = parents.iter().fold(new, |new, parent| new.parent(*parent, None));
    let parameters = parameters.as_object().unwrap().clone();
    new = parameters.into_iter().fold(new, |new, (key, value)| new.parameter(key, value));
    new.run(store, &Functions::new()).map(|report| report.notes)
}

fn is_close(found: &[f32], wanted: &[f64]) -> bool {
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(found, wanted)| {
            let single = *wanted as f32;
            *found == single
                || found.is_nan() && wanted.is_nan()
                || (found - single).abs() <= 4e-7 * single.abs()
        })
}

/// mergekit's `slerp`, as it is published, in double precision.
fn slerp(t: f64, a: &[f64], b: &[f64]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let unit = |v: &[f64]| {
        let norm = dot(v, v).sqrt();
        v.iter().map(|x| if norm > 1e-8 { x / norm } else { *x }).collect::<Vec<_>>()
    };
    let cosine = dot(&unit(a), &unit(b));
    let (x, y) = if cosine.abs() > 0.9995 {
        (1.0 - t, t)
    } else {
        let angle = cosine.acos();
        (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin())
    };
    a.iter().zip(b).map(|(a, b)| x * a + y * b).collect()
}

/// Corners: one element; equal, parallel, opposite, zero, tiny, huge; elements as small and as large
/// as floats are.
#[test]
fn strategies_are_the_published_formulas_at_their_corners() {
    let corners: [(&[f32], &[f32]); 10] = [
        (&[3.0], &[-1.0]),
        (&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]),
        (&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]),
        (&[1.0, 2.0, 3.0], &[-1.0, -2.0, -3.0]),
        (&[0.0, 0.0], &[1.0, 2.0]),
        (&[0.0, 0.0], &[0.0, 0.0]),
        (&[1e-30, 2e-30], &[2e-30, 4e-30]),
        (&[1e30, 2e30], &[2e30, -1e30]),
        (&[1e30, 1e-30], &[1e-30, 1e30]),
        (&[1e-45, f32::MAX], &[f32::MIN_POSITIVE, 1.0]),
    ];
    for (a, b) in corners {
        let (_folder, _, store) = new_store();
        let zeros = vec![0.0; a.len()];
        for (name, values) in [("base", &zeros[..]), ("a", a), ("b", b)] {
            let bytes = bytes(values);
            add(&store, NewModel::new(name).tensor(tensor("w", Dtype::F32, &bytes))).unwrap();
        }
        let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (a, b) = (wide(a), wide(b));
        let each = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            a.iter().zip(&b).map(|(a, b)| of(*a, *b)).collect()
        };
        let elected = |a: f64, b: f64| match a + b >= 0.0 {
            true => [a, b].into_iter().filter(|x| *x > 0.0).collect::<Vec<_>>(),
            false => [a, b].into_iter().filter(|x| *x < 0.0).collect(),
        };
        let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len().max(1) as f64;
        for (strategy, parameters, wanted) in [
            ("linear", json!({}), each(&|a, b| (a + b) / 2.0)),
            ("linear", json!({ "weight": [1, -1] }), each(&|a, b| a - b)),
            ("linear", json!({ "weight": [3, -1] }), each(&|a, b| (3.0 * a - b) / 2.0)),
            ("linear", json!({ "weight": [0, 0] }), each(&|_, _| 0.0)),
            ("linear", json!({ "normalise": false }), each(&|a, b| a + b)),
            ("slerp", json!({ "t": 0.25 }), slerp(0.25, &a, &b)),
            ("slerp", json!({ "t": 1 }), slerp(1.0, &a, &b)),
            ("task-arithmetic", json!({ "scale": 0.5 }), each(&|a, b| 0.5 * (a + b))),
            (
                "task-arithmetic",
                json!({ "weight": [1, -1], "normalise": true }),
                each(&|a, b| a - b),
            ),
            ("ties", json!({ "density": 1 }), each(&|a, b| mean(elected(a, b)))),
            ("dare", json!({ "density": 1 }), each(&|a, b| a + b)),
        ] {
            let parents: &[&str] = match strategy {
                "linear" | "slerp" => &["a", "b"],
                _ => &["base", "a", "b"],
            };
            make(&store, strategy, parents, parameters.clone()).unwrap();
            let found = floats(&store, "x", "w");
            let context = format!("{strategy} {parameters} {a:?} {b:?}: {found:?} {wanted:?}");
            assert!(is_close(&found, &wanted), "{context}");
        }
    }
}

/// The rule for what is not finite, as the documentation of blends says it.
#[test]
fn what_is_not_finite_follows_the_rule() {
    let (_folder, _, store) = new_store();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let all = [
        ("base", [1.0, -inf, 0.0, nan]),
        ("a", [nan, -inf, inf, 2.0]),
        ("b", [3.0, -inf, 1.0, 2.0]),
    ];
    for (name, values) in all {
        let bytes = bytes(&values);
        add(&store, NewModel::new(name).tensor(tensor("w", Dtype::F32, &bytes))).unwrap();
    }
    let n = f64::NAN;
    let i = f64::INFINITY;
    for (strategy, parameters, wanted) in [
        ("linear", json!({}), [n, -i, i, 2.0]),
        ("linear", json!({ "weight": [0, 1] }), [3.0, -i, 1.0, 2.0]),
        ("linear", json!({ "weight": [1, -1] }), [n, n, i, 0.0]),
        ("slerp", json!({ "t": 0.5 }), [n, -i, i, 2.0]),
        ("slerp", json!({ "t": 1 }), [3.0, -i, 1.0, 2.0]),
        ("task-arithmetic", json!({}), [n, -i, i, n]),
        ("task-arithmetic", json!({ "weight": [0, 1] }), [3.0, -i, 1.0, n]),
        ("ties", json!({ "density": 1 }), [n, -i, i, n]),
        ("dare", json!({ "density": 1 }), [n, -i, i, n]),
    ] {
        let of_two = ["linear", "slerp"].contains(&strategy);
        let parents: &[&str] = if of_two { &["a", "b"] } else { &["base", "a", "b"] };
        make(&store, strategy, parents, parameters.clone()).unwrap();
        let found = floats(&store, "x", "w");
        assert!(is_close(&found, &wanted), "{strategy} {parameters}: {found:?} {wanted:?}");
    }
}

#[test]
fn integers_beside_floats_are_settled_by_a_glob_or_the_greatest_and_said() {
    let (_folder, _, store) = new_store();
    for (name, count, value) in [("base", 5i64, 0.0f32), ("a", 100, 1.0), ("b", 70, 3.0)] {
        let (w, count) = (bytes(&[value]), count.to_le_bytes());
        let new = NewModel::new(name).tensor(tensor("w", Dtype::F32, &w)).tensor(tensor(
            "bn.num_batches_tracked",
            Dtype::I64,
            &count,
        ));
        add(&store, new).unwrap();
    }
    let count = || {
        let tensor = stored_model(&store, "x").tensor("bn.num_batches_tracked").unwrap();
        tensor.view().unwrap().as_slice::<i64>().unwrap()[0]
    };
    for strategy in ["linear", "average", "slerp", "ties", "task-arithmetic", "dare"] {
        let of_two = ["linear", "average", "slerp"].contains(&strategy);
        let parents: &[&str] = if of_two { &["b", "a"] } else { &["base", "b", "a"] };
        let notes = make(&store, strategy, parents, json!({})).unwrap();
        assert_eq!(count(), 100, "{strategy}");
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].tensor, "bn.num_batches_tracked");
        for (take, wanted) in [("*tracked=b", 70), ("bn.*=a", 100)] {
            let notes = make(&store, strategy, parents, json!({ "take": take })).unwrap();
            assert_eq!((count(), notes.len()), (wanted, 0), "{strategy} {take}");
        }
        make(&store, strategy, parents, json!({ "take": ["*tracked=1"] })).unwrap();
        assert_eq!(count(), if of_two { 70 } else { 5 });
        for wrong in [json!("x=b"), json!("w=c"), json!("w"), json!(1), json!("w=0")] {
            let error = make(&store, strategy, parents, json!({ "take": wrong })).unwrap_err();
            assert!(error.to_string().starts_with("parameter take"), "{error}");
        }
    }
}

/// Bits that a kind of integer packs are no counters: nobody guesses.
#[test]
fn what_cannot_be_mixed_is_named_with_types_and_shapes() {
    let (_folder, _, store) = new_store();
    for (name, byte) in [("a", 1u8), ("b", 2)] {
        let packed = [byte; 4];
        let new = NewModel::new(name).tensor(tensor("packed", Dtype::I8, &packed));
        add(&store, new).unwrap();
    }
    for strategy in ["linear", "average"] {
        let error = make(&store, strategy, &["a", "b"], json!({})).unwrap_err().to_string();
        assert!(error.contains("\"packed\"") && error.contains("I8 [4], I8 [4]"), "{error}");
        assert!(error.contains("take='packed=PARENT'"), "{error}");
    }
    let long = bytes(&[1.0, 2.0]);
    add(&store, NewModel::new("f").tensor(tensor("packed", Dtype::F32, &long))).unwrap();
    for strategy in ["linear", "average"] {
        let error = make(&store, strategy, &["a", "f"], json!({})).unwrap_err().to_string();
        assert!(error.contains("I8 [4]") && error.contains("F32 [2]"), "{error}");
    }
    add(&store, NewModel::new("g").tensor(tensor("other", Dtype::F32, &long))).unwrap();
    let error = make(&store, "linear", &["f", "g"], json!({})).unwrap_err().to_string();
    assert!(error.contains("only f@1 has it, F32 [2]"), "{error}");
}
