//! Promise: whatever byte of a store has rotted, checked reading gives an error or the right bytes,
//! never a panic and never wrong bytes; and a writer that opens it makes nothing worse.
//!
//! `MGIT_SEED` runs the same flips again; `MGIT_FLIPS` says how many there are.

use std::path::Path;

use crate::common;
use crate::common::{
    Contents, Random, add, add_one, contents, folder, model, new_store, noise, nudged, seed,
    weights,
};
use mgit::store::{Result, StoreError};
use mgit::{OnChildren, Store};

pub(crate) fn original() -> (tempfile::TempDir, Vec<u8>, Contents) {
    let (folder, path, store) = new_store();
    let mut bytes = weights(1, 3000);
    for step in 0..3 {
        let name = format!("m{step}");
        let last = format!("m{}", step.max(1) - 1);
        let parents: &[&str] = if step == 0 { &[] } else { &[&last] };
        let small: Vec<_> =
            (0..6).map(|at| (format!("s{at}"), noise(step * 10 + at, 70))).collect();
        let tensors = [small, vec![("w".to_owned(), bytes.clone())]].concat();
        add(&store, model(&name, parents, &tensors).metadata("step", step)).unwrap();
        bytes = nudged(&bytes, step, 20);
    }
    let expected = contents(&store.snapshot().unwrap()).unwrap();
    drop(store);
    let file = std::fs::read(&path).unwrap();
    (folder, file, expected)
}

/// An error that damage may give.
fn is_damage(error: &StoreError) -> bool {
    // A model that is silently gone would be worse.
    let codes = [
        "damaged",
        "truncated",
        "not-a-store",
        "io",
        "poisoned",
        "catalog",
        "newer-version",
        "unknown-features",
        "outcome-unknown",
    ];
    codes.contains(&error.code())
}

/// Reads every model by its name; asserts that what reads is right.
fn read_all(store: &Store, expected: &Contents, context: &str) -> Result<()> {
    let snapshot = store.snapshot()?;
    for (name, tensors) in expected {
        let model = snapshot.model(name)?;
        let found = model.tensors().map(|tensor| {
            let view = tensor.view()?;
            if tensor.shape().rows() > 2 {
                assert!(
                    *tensor.rows(1..3)?
                        == view[view.len() / tensor.shape().rows() as usize..]
                            [..2 * view.len() / tensor.shape().rows() as usize]
                );
            }
            Ok((tensor.name().to_owned(), view.to_vec()))
        });
        let found = found.collect::<Result<Vec<_>>>()?;
        assert!(found == *tensors, "{context}: {name} reads wrong");
    }
    assert_eq!(snapshot.nodes()?.len(), expected.len(), "{context}");
    Ok(())
}

pub(crate) fn try_all(path: &Path, expected: &Contents, context: &str) -> bool {
    let mut sound = true;
    let mut note = |result: Result<()>| {
        if let Err(error) = result {
            assert!(is_damage(&error), "{context}: {}: {error}", error.code());
            sound = false;
        }
    };
    note(Store::open_read_only(path).and_then(|store| read_all(&store, expected, context)));
    note(Store::open(path).and_then(|store| {
        read_all(&store, expected, context)?;
        add_one(&store, "new", &["m2"], &weights(9, 3000))?;
        common::write(&store, |t| t.remove_model("new", OnChildren::Refuse))?;
        common::write(&store, |t| t.remove_model("m1", OnChildren::Reparent))?;
        let mut rest = expected.clone();
        rest.remove("m1@1");
        read_all(&store, &rest, context)
    }));
    sound
}

fn with_flips(count: usize, choose: impl Fn(&mut Random, &mut Vec<u8>)) {
    let (_original, bytes, expected) = original();
    let home = folder();
    let path = home.path().join("models.mgit");
    let seed = seed();
    let mut sound = 0;
    for at in 0..count as u64 {
        let mut random = Random(seed.wrapping_add(at));
        let mut hurt = bytes.clone();
        choose(&mut random, &mut hurt);
        std::fs::write(&path, &hurt).unwrap();
        let context = format!("MGIT_SEED={} (of {seed}, flip {at})", seed.wrapping_add(at));
        let result = std::panic::catch_unwind(|| try_all(&path, &expected, &context));
        sound += usize::from(result.unwrap_or_else(|panic| {
            eprintln!("failed with {context}");
            std::panic::resume_unwind(panic)
        }));
    }
    println!("{sound} of {count} not noticed, and right");
}

fn flips() -> usize {
    std::env::var("MGIT_FLIPS").map_or(150, |text| text.parse().unwrap())
}

#[test]
fn one_flipped_bit_is_found_or_does_no_harm() {
    with_flips(flips(), |random, bytes| {
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    });
}

#[test]
fn a_block_of_zeros_or_noise_is_found_or_does_no_harm() {
    with_flips(flips(), |random, bytes| {
        let len = 512 << random.below(4);
        let at = random.below(bytes.len() / 512) * 512;
        let end = (at + len).min(bytes.len());
        let block = if random.below(2) == 0 { vec![0; len] } else { noise(random.next(), len) };
        bytes[at..end].copy_from_slice(&block[..end - at]);
    });
}

#[test]
fn two_swapped_pages_are_found_or_do_no_harm() {
    with_flips(flips(), |random, bytes| {
        let pages = bytes.len() / 4096;
        let (a, b) = (random.below(pages) * 4096, random.below(pages) * 4096);
        let page = bytes[a..a + 4096].to_vec();
        bytes.copy_within(b..b + 4096, a);
        bytes[b..b + 4096].copy_from_slice(&page);
    });
}
