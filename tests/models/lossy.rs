//! Promise: values are rounded only where it was asked for, never beyond the bound, and the node
//! says so for ever; a gate that refuses leaves everything as it was.

use crate::common::*;
use mgit::codec::Lossy;
use mgit::error::LineageError;
use mgit::lineage::{LOSSY_KEY, OWN_KEYS};
use mgit::store::LossyDraft;
use mgit::store::StoreError;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Profile, Store};

const QUANTISED: Lossy = Lossy::Quantised { eps: 1e-3 };

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `base` moved as training moves it: most elements by a few steps, some far.
fn trained(base: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut step = |value: f32| {
        let unit = (random.next() >> 40) as f32 / (1 << 24) as f32 - 0.5;
        let far = if random.below(1000) == 0 { 40.0 } else { 1.0 };
        value + unit * 0.01 * far
    };
    bytes_of(&floats(base).into_iter().map(&mut step).collect::<Vec<_>>())
}

/// The bits of the floats that rounding must not touch, at the beginning of `bytes`.
fn with_strange(mut bytes: Vec<u8>, turn: usize) -> Vec<u8> {
    let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e30, f32::MIN_POSITIVE, 0.0];
    for at in 0..strange.len() {
        let value = strange[(at + turn) % strange.len()];
        bytes[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes[4 * 7..4 * 8].copy_from_slice(&0x7fa1_2345u32.to_le_bytes());
    bytes
}

fn assert_sound(store: &Store) {
    let snapshot = store.snapshot().unwrap();
    assert_rows_add_up(&snapshot, "lossy");
    let report = verify(store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

fn bytes(store: &Store, model: &str, tensor: &str) -> Vec<u8> {
    let model = store.snapshot().unwrap().model(model).unwrap();
    model.tensor(tensor).unwrap().view().unwrap().to_vec()
}

/// A type of floats, how its elements become F32 and come from it.
type Float = (Dtype, fn(f32) -> Vec<u8>, fn(&[u8]) -> Vec<f64>);

fn kinds() -> [Float; 3] {
    use mgit::half::{bf16, f16};
    [
        (
            Dtype::F32,
            |v| v.to_le_bytes().to_vec(),
            |bytes| floats(bytes).into_iter().map(f64::from).collect(),
        ),
        (
            Dtype::F16,
            |v| f16::from_f32(v).to_le_bytes().to_vec(),
            |bytes| {
                let pairs = bytes.as_chunks::<2>().0.iter();
                pairs.map(|b| f16::from_le_bytes(*b).to_f64()).collect()
            },
        ),
        (
            Dtype::Bf16,
            |v| bf16::from_f32(v).to_le_bytes().to_vec(),
            |bytes| {
                let pairs = bytes.as_chunks::<2>().0.iter();
                pairs.map(|b| bf16::from_le_bytes(*b).to_f64()).collect()
            },
        ),
    ]
}

#[test]
fn every_element_is_within_the_bound_or_its_own() {
    // The second is longer than a slab, so that it goes piece by piece.
    for (count, seed) in [(3_000u64, 1u64), (4_300_000, 2)] {
        let base = with_strange(weights(seed, count as usize), 0);
        let child = with_strange(trained(&base, seed + 10), 3);
        for (dtype, narrow, wide) in kinds() {
            if count > 10_000 && dtype == Dtype::Bf16 {
                continue;
            }
            let convert =
                |bytes: &[u8]| -> Vec<u8> { floats(bytes).into_iter().flat_map(narrow).collect() };
            let (base, own) = (convert(&base), convert(&child));
            for lossy in [Lossy::Fp16, QUANTISED, Lossy::Quantised { eps: 1e-6 }] {
                let (_folder, _, store) = new_store();
                let tensor =
                    |bytes| NewTensor::from_bytes("w", dtype.clone(), shape(&[count]), bytes);
                add(&store, NewModel::new("base").tensor(tensor(&base))).unwrap();
                let new = NewModel::new("child").tensor(tensor(&own));
                let new = new.parent("base", How::FineTune).lossy(lossy);
                let report = add(&store, new).unwrap();
                let found = bytes(&store, "child", "w");
                let width = own.len() / count as usize;
                let mut exact = 0;
                for (at, ((found_value, own_value), base_value)) in
                    wide(&found).into_iter().zip(wide(&own)).zip(wide(&base)).enumerate()
                {
                    let range = at * width..(at + 1) * width;
                    let error = (found_value - own_value).abs();
                    let within = error <= lossy.bound(own_value - base_value);
                    let same = found[range.clone()] == own[range];
                    exact += u64::from(!within);
                    assert!(within || same, "{dtype} {lossy} {at}: {found_value} {own_value}");
                }
                let context = format!("{dtype} {lossy} {count}");
                assert_eq!(found != own, report.lossy.is_some(), "{context}");
                if let Some(lossy) = report.lossy {
                    assert!(exact <= lossy.exact_elements, "{context}: {lossy:?}");
                    assert_eq!(lossy.elements, count, "{context}");
                }
                assert_sound(&store);
            }
        }
    }
}

#[test]
fn a_lossy_model_takes_less_and_says_what_it_stands_for() {
    let base = weights(3, 300_000);
    let own = trained(&base, 4);
    let (_folder, _, store) = new_store();
    add_one(&store, "base", &[], &base).unwrap();
    let plain = add_one(&store, "plain", &["base"], &own).unwrap();
    let tensors = one(own.clone());
    let new = model("lossy", &["base"], &tensors).lossy(QUANTISED);
    let report = add(&store, new).unwrap();
    assert!(report.added_bytes * 2 < plain.added_bytes, "{report:?} {plain:?}");
    let snapshot = store.snapshot().unwrap();
    let mark = |name: &str| {
        let node = snapshot.model(name).unwrap().node().clone();
        (node.manifest_id(), snapshot.graph().own_metadata(node.id(), LOSSY_KEY).unwrap())
    };
    let (stands_for, none) = mark("plain");
    assert_eq!(none, None);
    let said = mark("lossy").1.unwrap();
    assert_eq!(said["stands_for"], stands_for.to_string());
    assert_eq!(said["method"], "quantised:0.001");
    assert!(said["largest_error"].as_f64() <= said["bound"].as_f64(), "{said}");

    // The same as recoding makes.
    let recoded =
        write(&store, |transaction| transaction.recode_lossy("plain", QUANTISED, None, &|_| ()));
    let recoded = recoded.unwrap();
    assert_eq!(recoded.lossy, report.lossy.unwrap());
    assert!(recoded.freed_bytes > 0 && recoded.hidden_bases == 0, "{recoded:?}");
    assert_eq!(bytes(&store, "plain", "w"), bytes(&store, "lossy", "w"));
    // Its own values are gone: not a second time.
    let again =
        write(&store, |transaction| transaction.recode_lossy("plain", Lossy::Fp16, None, &|_| ()));
    assert!(matches!(again, Err(StoreError::AlreadyLossy { .. })), "{again:?}");
    // Whatever is done with it, it stays what it is, as small as it is.
    let (kept, before) = (bytes(&store, "lossy", "w"), store_bytes(&store, "lossy"));
    write(&store, |transaction| {
        transaction.set_metadata("lossy", serde_json::Map::new())?;
        transaction.recode_all(Profile::Dense, &|_| ())
    })
    .unwrap();
    assert_eq!(bytes(&store, "lossy", "w"), kept);
    assert!(store_bytes(&store, "lossy") <= before);
    let snapshot = store.snapshot().unwrap();
    let node = snapshot.model("lossy").unwrap().node().id();
    assert_eq!(snapshot.graph().own_metadata(node, LOSSY_KEY).unwrap(), Some(said));
    // The base is removed: what stands on it stays.
    write(&store, |transaction| transaction.remove_model("base", OnChildren::Detach)).unwrap();
    assert_eq!(bytes(&store, "lossy", "w"), kept);
    assert_sound(&store);
    for name in ["lossy", "plain"] {
        write(&store, |transaction| transaction.remove_model(name, OnChildren::Refuse)).unwrap();
    }
    assert_sound(&store);
}

fn store_bytes(store: &Store, model: &str) -> u64 {
    let model = store.snapshot().unwrap().model(model).unwrap();
    model.tensors().map(|tensor| tensor.stored_as().unwrap().stored_len).sum()
}

#[test]
fn the_marks_are_the_stores_own() {
    let (_folder, _, store) = new_store();
    for key in OWN_KEYS {
        let new = NewModel::new("base").metadata(key, true);
        assert!(matches!(
            add(&store, new).unwrap_err(),
            StoreError::Lineage(LineageError::OwnKey { .. })
        ));
    }
    add_one(&store, "base", &[], &weights(1, 100)).unwrap();
    let given = serde_json::json!({ LOSSY_KEY: "no" });
    let set = write(&store, |transaction| {
        transaction.set_metadata("base", given.as_object().unwrap().clone())
    });
    assert!(matches!(set.unwrap_err(), StoreError::Lineage(LineageError::OwnKey { .. })));
    // A root has nothing that it could be rounded to.
    let root =
        write(&store, |transaction| transaction.recode_lossy("base", QUANTISED, None, &|_| ()));
    assert!(matches!(root, Err(StoreError::NothingLossy { .. })), "{root:?}");
}

#[test]
fn pinned_models_are_not_rounded_and_rounded_ones_can_be_pinned() {
    let base = weights(5, 50_000);
    let (_folder, _, store) = new_store();
    add_one(&store, "base", &[], &base).unwrap();
    add_one(&store, "child", &["base"], &trained(&base, 6)).unwrap();
    let own = bytes(&store, "child", "w");
    let mapped = || {
        let model = store.snapshot().unwrap().model("child").unwrap();
        model.tensor("w").unwrap().view().unwrap().is_mapped()
    };
    let round =
        || write(&store, |transaction| transaction.recode_lossy("child", QUANTISED, None, &|_| ()));
    write(&store, |transaction| transaction.pin("child")).unwrap();
    let refused = round();
    assert!(matches!(refused, Err(StoreError::Pinned { .. })), "{refused:?}");
    assert!(mapped() && bytes(&store, "child", "w") == own);

    write(&store, |transaction| transaction.unpin("child", Profile::Balanced)).unwrap();
    round().unwrap();
    let rounded = bytes(&store, "child", "w");
    assert!(!mapped() && rounded != own);
    write(&store, |transaction| transaction.pin("child")).unwrap();
    assert!(mapped() && bytes(&store, "child", "w") == rounded);
    write(&store, |transaction| transaction.unpin("child", Profile::Dense)).unwrap();
    assert!(!mapped() && bytes(&store, "child", "w") == rounded);
    let snapshot = store.snapshot().unwrap();
    let node = snapshot.model("child").unwrap().node().id();
    assert!(snapshot.graph().own_metadata(node, LOSSY_KEY).unwrap().is_some());
    assert_sound(&store);
}

/// A network of one hidden layer: 8 inputs, 16 hidden, 2 classes.
#[derive(Clone)]
struct Network {
    first: Vec<f32>,
    second: Vec<f32>,
}

const INPUTS: usize = 8;
const HIDDEN: usize = 16;

impl Network {
    fn new(seed: u64) -> Self {
        let scaled = |seed, count| floats(&weights(seed, count)).iter().map(|w| w * 8.0).collect();
        Network { first: scaled(seed, INPUTS * HIDDEN), second: scaled(seed + 1, HIDDEN * 2) }
    }

    fn hidden(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.first.chunks(INPUTS);
        rows.map(|row| row.iter().zip(input).map(|(w, x)| w * x).sum::<f32>().tanh()).collect()
    }

    fn scores(&self, hidden: &[f32]) -> Vec<f32> {
        let rows = self.second.chunks(HIDDEN);
        rows.map(|row| row.iter().zip(hidden).map(|(w, x)| w * x).sum()).collect()
    }

    fn train(&mut self, data: &[(Vec<f32>, usize)], rate: f32) {
        for (input, class) in data {
            let hidden = self.hidden(input);
            let scores = self.scores(&hidden);
            let odds: Vec<f32> = scores.iter().map(|score| score.exp()).collect();
            let sum: f32 = odds.iter().sum();
            let wrong: Vec<f32> =
                (0..2).map(|at| odds[at] / sum - f32::from(u8::from(at == *class))).collect();
            for (unit, value) in hidden.iter().enumerate() {
                let back: f32 = (0..2).map(|at| wrong[at] * self.second[at * HIDDEN + unit]).sum();
                let slope = back * (1.0 - value * value);
                for (at, x) in input.iter().enumerate() {
                    self.first[unit * INPUTS + at] -= rate * slope * x;
                }
                for (at, wrong) in wrong.iter().enumerate() {
                    self.second[at * HIDDEN + unit] -= rate * wrong * value;
                }
            }
        }
    }

    fn accuracy(&self, data: &[(Vec<f32>, usize)]) -> f64 {
        let right = data.iter().filter(|(input, class)| {
            let scores = self.scores(&self.hidden(input));
            usize::from(scores[1] > scores[0]) == *class
        });
        right.count() as f64 / data.len() as f64
    }

    fn of(draft: &LossyDraft<'_>) -> Self {
        let bytes: Vec<Vec<u8>> = draft.tensors().map(|t| t.bytes().unwrap()).collect();
        Network { first: floats(&bytes[0]), second: floats(&bytes[1]) }
    }
}

/// Points of two classes that no line parts.
fn points(seed: u64, count: usize) -> Vec<(Vec<f32>, usize)> {
    let mut random = Random(seed);
    let mut unit = || (random.next() >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let mut point = || {
        // The last input is a constant: without one the network is odd, and so must be what it learns.
        let input: Vec<f32> = (1..INPUTS).map(|_| unit()).chain([1.0]).collect();
        let class = usize::from(input[0] * input[1] + input[2] * 0.5 > 0.0);
        (input, class)
    };
    (0..count).map(|_| point()).collect()
}

fn add_network(store: &Store, name: &str, parent: Option<&str>, network: &Network) {
    let (first, second) = (bytes_of(&network.first), bytes_of(&network.second));
    let mut new = NewModel::new(name)
        .tensor(NewTensor::from_bytes("first", Dtype::F32, shape(&[16, 8]), &first))
        .tensor(NewTensor::from_bytes("second", Dtype::F32, shape(&[2, 16]), &second));
    if let Some(parent) = parent {
        new = new.parent(parent, How::FineTune);
    }
    add(store, new).unwrap();
}

/// The gate runs the network that would be stored on points that it was not trained on.
#[test]
fn a_gate_judges_by_a_forward_pass_on_held_out_data() {
    let (training, held_out) = (points(1, 4000), points(2, 2000));
    let base = Network::new(5);
    let mut tuned = base.clone();
    (0..40).for_each(|_| tuned.train(&training, 0.05));
    let good = tuned.accuracy(&held_out);
    assert!(good > 0.85, "{good}");
    let (_folder, path, store) = new_store();
    add_network(&store, "base", None, &base);
    add_network(&store, "tuned", Some("base"), &tuned);
    let before = contents(&store.snapshot().unwrap()).unwrap();
    let sequence = store.snapshot().unwrap().sequence();

    // Rounded far too roughly: refused as a whole, and nothing has happened.
    let rough = Lossy::Quantised { eps: 0.9 };
    let mut seen = Vec::new();
    let mut gate = |draft: &LossyDraft<'_>| {
        let drop = Network::of(&draft.original()).accuracy(&held_out)
            - Network::of(draft).accuracy(&held_out);
        seen.push((draft.tensors().map(|t| t.is_rounded()).collect::<Vec<_>>(), drop));
        Ok(drop <= -1.0)
    };
    let mut transaction = store.begin_write().unwrap();
    let refused = transaction.recode_lossy("tuned", rough, Some(&mut gate), &|_| ());
    assert!(matches!(refused, Err(StoreError::GateRefused)), "{refused:?}");
    transaction.commit().unwrap();
    assert_eq!(contents(&store.snapshot().unwrap()).unwrap(), before);
    assert_eq!(store.snapshot().unwrap().sequence(), sequence, "no commit");
    // All of it, then the tensor of the smaller error alone.
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0].0, [true, true]);
    assert_eq!(seen[1].0.iter().filter(|rounded| **rounded).count(), 1);
    assert!(seen[0].1 > 0.01, "rough rounding is felt: {seen:?}");

    // A gate that cannot judge is an error, not a yes.
    let mut broken = |_: &LossyDraft<'_>| Err("no data".to_owned());
    let answer = write(&store, |transaction| {
        transaction.recode_lossy("tuned", rough, Some(&mut broken), &|_| ())
    });
    assert!(matches!(answer, Err(StoreError::Gate { .. })), "{answer:?}");

    // What the whole model cannot bear, a part may.
    let allowed = seen[1].1.max(0.0) + 1e-9;
    assert!(allowed < seen[0].1, "{seen:?}");
    let mut gate =
        |draft: &LossyDraft<'_>| Ok(good - Network::of(draft).accuracy(&held_out) <= allowed);
    let report = write(&store, |transaction| {
        transaction.recode_lossy("tuned", rough, Some(&mut gate), &|_| ())
    });
    let report = report.unwrap();
    assert_eq!((report.lossy.tensors, report.lossy.kept_tensors), (1, 1));
    let stored = Network {
        first: floats(&bytes(&store, "tuned", "first")),
        second: floats(&bytes(&store, "tuned", "second")),
    };
    assert!(good - stored.accuracy(&held_out) <= allowed, "what is stored is what was judged");
    assert!(stored.first == tuned.first || stored.second == tuned.second);
    assert_sound(&store);
    drop(store);
    assert_sound(&Store::open(&path).unwrap());
}
