//! Promise: a model in floats of eight bits that is a stored model cast, and one that is such a
//! model made wide again, cost a row, declared or not, and come back as they were.

use crate::common::{Random, add, new_store, shape, stored_model};
use mgit::codec::formula::Formula;
use mgit::format::{FEATURE_CAST_F8, FEATURE_SCALED_F8};
use mgit::tensor::float8_bits;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, NewModel, NewTensor, Store};

const DIMS: [u64; 2] = [64, 192];

const EIGHT: [Dtype; 4] = [Dtype::F8E4M3, Dtype::F8E5M2, Dtype::F8E4M3Fnuz, Dtype::F8E5M2Fnuz];

/// Matrices as weights are, one with what casts do not keep.
fn base() -> Vec<Vec<u8>> {
    let mut random = Random(5);
    let mut normal = move || {
        let sum: f64 = (0..12).map(|_| (random.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (0.04 * (sum - 6.0)) as f32
    };
    let mut all: Vec<Vec<f32>> =
        (0..3).map(|_| (0..DIMS[0] * DIMS[1]).map(|_| normal()).collect()).collect();
    let odd = [1e9, f32::INFINITY, -f32::INFINITY, f32::NAN, 448.0, 470.0, 1e-9, -1e-9, -0.0];
    all[2][77..77 + odd.len()].copy_from_slice(&odd);
    all.iter().map(|it| it.iter().flat_map(|value| value.to_le_bytes()).collect()).collect()
}

fn cast(from: &Dtype, to: &Dtype, tensors: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let formula = Formula::cast(from, to).unwrap();
    let width = to.bits().unwrap() as usize / 8;
    let make = |bytes: &Vec<u8>| {
        let mut out = vec![0; bytes.len() / (from.bits().unwrap() as usize / 8) * width];
        formula.predict(&(0..out.len() as u64), &[bytes], &mut out);
        out
    };
    tensors.iter().map(make).collect()
}

fn import(store: &Store, name: &str, dtype: &Dtype, tensors: &[Vec<u8>], parent: Option<&str>) {
    let mut model = NewModel::new(name);
    if let Some(parent) = parent {
        model = model.parent(parent, How::Cast);
    }
    let model = tensors.iter().enumerate().fold(model, |model, (at, bytes)| {
        model.tensor(NewTensor::from_bytes(format!("w{at}"), dtype.clone(), shape(&DIMS), bytes))
    });
    add(store, model).unwrap();
}

/// How every tensor of a model is stored: the formula, and the bytes beside it.
fn stored(store: &Store, name: &str) -> Vec<(Option<&'static str>, u64)> {
    let model = stored_model(store, name);
    let how = model.tensors().map(|tensor| tensor.stored_as().unwrap());
    how.map(|how| (how.formula, how.stored_len)).collect()
}

#[test]
fn casts_to_eight_bits_and_back_cost_a_row() {
    let single = base();
    for declared in [true, false] {
        let (_folder, _, store) = new_store();
        let flags = || store.container().superblock().reader_flags;
        import(&store, "f32", &Dtype::F32, &single, None);
        assert_eq!(flags() & FEATURE_CAST_F8, 0);
        let half = cast(&Dtype::F32, &Dtype::F16, &single);
        import(&store, "f16", &Dtype::F16, &half, declared.then_some("f32"));
        for dtype in &EIGHT {
            let name = dtype.name();
            let codes = cast(&Dtype::F32, dtype, &single);
            import(&store, name, dtype, &codes, declared.then_some("f32"));
            assert_eq!(stored(&store, name), [(Some("cast-f8"), 0); 3], "{name}");
            let model = stored_model(&store, name);
            for (tensor, codes) in model.tensors().zip(&codes) {
                assert_eq!(tensor.view().unwrap()[..], codes[..], "{name}");
            }
            for wide in [Dtype::Bf16, Dtype::F32] {
                let back = cast(dtype, &wide, &codes);
                let wide_name = format!("{name}-{wide}");
                import(&store, &wide_name, &wide, &back, declared.then_some(name));
                // Of the eight bits, or of what was made of them before.
                let is_cast = |formula| matches!(formula, Some("cast" | "cast-f8"));
                let how = stored(&store, &wide_name);
                let exact = how.iter().all(|(formula, len)| is_cast(*formula) && *len == 0);
                assert!(exact, "{wide_name}: {how:?}");
            }
        }
        assert_ne!(flags() & FEATURE_CAST_F8, 0);
        let snapshot = store.snapshot().unwrap();
        let found = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(found.is_clean(), "{found:?}");
    }
}

/// A scale for a tensor, as other programs choose one: by its largest value, or by hand.
#[test]
fn one_scale_for_a_tensor_costs_a_row_whoever_chose_it() {
    let single: Vec<Vec<u8>> = base().into_iter().take(2).collect();
    let (_folder, _, store) = new_store();
    import(&store, "f32", &Dtype::F32, &single, None);
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|it| f32::from_le_bytes(*it)).collect()
    };
    let most = |values: &[f32]| values.iter().fold(0f32, |most, it| most.max(it.abs()));
    type Scaled = fn(f32, f32) -> f32;
    let scales: [(&str, Dtype, Scaled); 4] = [
        ("quotient", Dtype::F8E4M3, |value, most| value / (most / 448.0)),
        ("product", Dtype::F8E4M3Fnuz, |value, most| value * (240.0 / most)),
        ("by-hand", Dtype::F8E5M2, |value, _| value * 1777.77),
        ("clipped", Dtype::F8E4M3, |value, most| (value / (most / 700.0)).clamp(-448.0, 448.0)),
    ];
    for (name, dtype, scaled) in scales {
        let codes: Vec<Vec<u8>> = single
            .iter()
            .map(|bytes| {
                let values = values(bytes);
                let most = most(&values);
                values.iter().map(|it| float8_bits(&dtype, scaled(*it, most)).unwrap()).collect()
            })
            .collect();
        import(&store, name, &dtype, &codes, None);
        assert_eq!(stored(&store, name), [(Some("scaled-f8"), 0); 2], "{name}");
        let model = stored_model(&store, name);
        for (tensor, codes) in model.tensors().zip(&codes) {
            assert_eq!(tensor.view().unwrap()[..], codes[..], "{name}");
        }
    }
    assert_ne!(store.container().superblock().reader_flags & FEATURE_SCALED_F8, 0);
}

/// Of a fine-tuned master, the cast differs from the base's in some elements only.
#[test]
fn what_a_cast_does_not_say_is_a_difference() {
    let single = base();
    let (_folder, _, store) = new_store();
    import(&store, "f32", &Dtype::F32, &single, None);
    let mut codes = cast(&Dtype::F32, &Dtype::F8E5M2, &single);
    codes[1][100] ^= 1;
    import(&store, "near", &Dtype::F8E5M2, &codes, Some("f32"));
    let how = stored(&store, "near");
    assert!(how.iter().all(|(formula, _)| *formula == Some("cast-f8")), "{how:?}");
    assert!(how[0].1 == 0 && how[1].1 > 0 && how[1].1 < 1000 && how[2].1 == 0, "{how:?}");
    let near = stored_model(&store, "near").tensor("w1").unwrap();
    let mut part = [0; 70];
    near.read_range_into(55, &mut part).unwrap();
    assert_eq!(part, codes[1][55..125]);
}
