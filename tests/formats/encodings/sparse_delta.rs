//! Promise: which elements changed, and how, decodes as `format-spec.md` says: a second reader,
//! written from the page, reads what the codec writes. Chunks of few and small changes are stored
//! so, of every profile.

use mgit::codec::{Encoding, Lane, Profile, decode, encode_delta};
use mgit::{Dtype, How, NewModel, NewTensor, Store};

use super::sparse::{Random, to_bytes};
use crate::compat::{contents, golden};
use crate::second::float_delta::Float;
use crate::second::sparse_delta;

const KINDS: [(Dtype, Float); 3] = [
    (Dtype::Bf16, Float { bytes: 2, mantissa_bits: 7 }),
    (Dtype::F16, Float { bytes: 2, mantissa_bits: 10 }),
    (Dtype::F32, Float { bytes: 4, mantissa_bits: 23 }),
];

const LENGTHS: [usize; 8] = [1, 63, 64, 65, 129, 5_000, 40_000, 300_000];

/// How likely an element changes, in thousandths, given its number and the value of its parent.
type Likely = fn(usize, f32) -> u64;

const CHANGES: [(&str, Likely); 7] = [
    ("0.1 %", |_, _| 1),
    ("1 %", |_, _| 10),
    ("3 %", |_, _| 30),
    ("5 %", |_, _| 50),
    ("10 %", |_, _| 100),
    // Twice as likely for each smaller exponent.
    ("small weights", |_, parent| (0.064 / parent.abs().max(1e-9)) as u64),
    ("few rows", |at, _| if (at / 200).is_multiple_of(20) { 90 } else { 0 }),
];

/// Values of a parent, one in so many of them (0: none) of a special kind.
fn parent(random: &mut Random, len: usize, special: u64) -> Vec<f32> {
    let value = |_| match random.next() % 6 {
        kind if special > 0 && random.next().is_multiple_of(special) => {
            [0.0, -0.0, f32::NAN, f32::INFINITY, 1e-30, 3.0][kind as usize]
        }
        _ => random.bell(),
    };
    (0..len).map(value).collect()
}

/// Parent and child: where it changed, by one unit of the last place, and (`wild`) seldom to zero,
/// to what is no number, or to the other sign.
fn pair(
    random: &mut Random,
    (dtype, float): &(Dtype, Float),
    parent: &[f32],
    likely: Likely,
    wild: bool,
) -> (Vec<u8>, Vec<u8>) {
    let base: Vec<u8> = parent.iter().flat_map(|value| to_bytes(dtype, *value)).collect();
    let mut chunk = base.clone();
    for ((at, value), child) in parent.iter().enumerate().zip(chunk.chunks_mut(float.bytes)) {
        if random.next() % 1000 >= likely(at, *value) {
            continue;
        }
        match random.next() % 200 {
            0 if wild => child[float.bytes - 1] ^= 128,
            1 if wild => child.fill(0),
            2 if wild => child.fill(255),
            kind => {
                let number = child.iter().rev().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
                let step = if kind.is_multiple_of(2) { 1 } else { u32::MAX };
                let moved = number.wrapping_add(step).to_le_bytes();
                child.copy_from_slice(&moved[..float.bytes]);
            }
        }
    }
    (base, chunk)
}

#[test]
fn what_the_codec_writes_decodes_as_the_page_says() {
    let (mut random, mut short) = (Random(7), 0);
    for kind in KINDS {
        let (dtype, float) = &kind;
        for len in LENGTHS {
            for (name, likely) in CHANGES {
                for (special, profile) in
                    [(0, Profile::Fast), (0, Profile::Balanced), (100, Profile::Dense)]
                {
                    let parent = parent(&mut random, len, special);
                    let (base, chunk) = pair(&mut random, &kind, &parent, likely, special > 0);
                    let what = format!("{dtype}, {len} elements, {name}, {special}, {profile}");
                    let (lane, mut stored) = (Lane::of(dtype), Vec::new());
                    let encoding = encode_delta(profile, lane, &chunk, &base, &mut stored);
                    let mut out = base.clone();
                    decode(encoding, lane, &stored, &mut out).unwrap();
                    assert!(out == chunk, "{what}");
                    if encoding == Encoding::SparseDelta {
                        let read = sparse_delta::decode(*float, &stored, &base);
                        assert!(read == chunk, "{what}: the page");
                    }
                    let seen = encoding == Encoding::SparseDelta;
                    // Of a short chunk, what takes no head may be shorter; `dense` tries all.
                    let either = len < 40_000 || profile == Profile::Dense;
                    assert!(seen || either, "{what}: {encoding:?}");
                    short += u32::from(seen && len == 5_000);
                }
            }
        }
    }
    assert!(short > 40, "only {short} short chunks");
}

/// A model of two types, and descendants that changed in few elements: in any, in small ones, in
/// rows.
#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_sparse() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let parent = parent(&mut Random(1), 5_000, 0);
    let members: [(&str, Likely); 4] =
        [("base", |_, _| 0), ("any", |_, _| 50), ("small", CHANGES[5].1), ("rows", CHANGES[6].1)];
    for (name, likely) in members {
        let mut model = NewModel::new(name);
        if name != "base" {
            model = model.parent("base", How::FineTune);
        }
        for kind in [&KINDS[0], &KINDS[2]] {
            let (_, bytes) = pair(&mut Random(2), kind, &parent, likely, false);
            let (dtype, _) = kind;
            model = model.tensor(NewTensor::from_byte_vec(
                dtype.to_string(),
                dtype.clone(),
                [50, 100],
                bytes,
            ));
        }
        let mut transaction = store.begin_write().unwrap();
        transaction.add_model(model).unwrap();
        transaction.commit().unwrap();
    }
    drop(store);
    mgit::upkeep::vacuum(&path, &|_| ()).unwrap();
    let file = std::fs::read(&path).unwrap();
    let flags = [40, 4096 + 40].map(|at| u64::from_le_bytes(*file[at..].first_chunk().unwrap()));
    assert!(flags.iter().any(|flags| flags >> 24 & 1 == 1), "no chunk of few changes");
    std::fs::write(path.with_extension("txt"), contents(&Store::open_read_only(&path).unwrap()))
        .unwrap();
}
