//! Promise: a page of the catalogue is checked before anything of it is believed. A damaged page
//! gives an error to whoever asks for what is in it, and a check of the store names it; pages that
//! a hostile file leads to in other ways than a tree does give errors too.

use std::path::Path;

use mgit::upkeep::{VerifyDepth, stat, verify, verify_path};
use mgit::{NewModel, Store};
use twox_hash::XxHash3_128;

use crate::common::{folder, new_store, write};
use crate::corruption::{original, try_all};

const PAGE: usize = 4096;

/// Where each page of the catalogue lies in the file.
fn pages(path: &Path) -> Vec<usize> {
    let extents = Store::open_read_only(path).unwrap().container().superblock().extents;
    extents
        .iter()
        .flat_map(|it| (it.offset..it.end()).step_by(PAGE))
        .map(|at| at as usize)
        .collect()
}

#[test]
fn damage_of_any_page_is_an_error_or_changes_nothing() {
    let (_original, bytes, expected) = original();
    let home = folder();
    let path = home.path().join("models.mgit");
    std::fs::write(&path, &bytes).unwrap();
    let (mut unnoticed, mut noticed) = (0, 0);
    for page in pages(&path) {
        // The kind of a node, how many keys it has, its offsets and its rows.
        for at in [0, 2, 5, 40, 200, 1000, 3000] {
            let mut hurt = bytes.clone();
            hurt[page + at] ^= 1 << (at % 8);
            std::fs::write(&path, &hurt).unwrap();
            let is_clean = verify_path(&path, VerifyDepth::Full, &|_| ()).unwrap().is_clean();
            // The writer's part of it changes the file.
            let reads = try_all(&path, &expected, &format!("byte {at} of the page at {page}"));
            match reads {
                true => unnoticed += 1,
                false => noticed += 1,
            }
            assert!(!is_clean || reads, "byte {at} of the page at {page} is not named");
        }
    }
    println!("{noticed} found, {unnoticed} in no page that is needed");
    assert!(noticed > 0 && unnoticed > 0);
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()).into()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The checksum of a page, as the database has it.
fn checksum(page: &[u8]) -> [u8; 16] {
    let count = u16_at(page, 2);
    let end = match page[0] {
        1 => u32_at(page, 4 + 4 * (2 * count - 1)),
        _ => u32_at(page, 8 + 24 * (count + 1) + 4 * (count - 1)),
    };
    XxHash3_128::oneshot(&page[..end]).to_le_bytes()
}

/// A file whose tree of rows leads to its first leaf twice, with checksums that say so.
fn doubled(bytes: &[u8], pages: &[usize]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let header = pages[0];
    let slot = header + 64 + 128 * usize::from(bytes[header + 9] & 1);
    let root = bytes[slot + 8..slot + 32].to_vec();
    // Of a short catalogue, the number of a page counts pages behind the header's.
    let place = |number: &[u8]| pages[1 + u16_at(number, 0)];
    let tables = place(&root);
    let (mut branch, mut row) = (0, 0);
    for at in (tables..tables + PAGE - 24).rev() {
        let number = u16_at(&bytes, at);
        let Some(page) = pages.get(1 + number).filter(|_| bytes[at + 2..at + 8] == [0; 6]) else {
            continue;
        };
        let found = &bytes[*page..*page + PAGE];
        if found[0] == 2 && u16_at(found, 2) > 1 && checksum(found) == bytes[at + 8..at + 24] {
            (branch, row) = (*page, at + 8);
        }
    }
    assert!(branch > 0, "no table of several pages");
    let children = u16_at(&bytes, branch + 2) + 1;
    bytes.copy_within(branch + 8..branch + 24, branch + 24);
    let numbers = branch + 8 + 16 * children;
    bytes.copy_within(numbers..numbers + 8, numbers + 8);
    let sum = checksum(&bytes[branch..branch + PAGE]);
    bytes[row..row + 16].copy_from_slice(&sum);
    let sum = checksum(&bytes[tables..tables + PAGE]);
    bytes[slot + 16..slot + 32].copy_from_slice(&sum);
    let sum = XxHash3_128::oneshot(&bytes[slot..slot + 112]).to_le_bytes();
    bytes[slot + 112..slot + 128].copy_from_slice(&sum);
    bytes
}

#[test]
fn a_tree_that_leads_to_a_page_twice_has_an_end() {
    let (_folder, path, store) = new_store();
    write(&store, |transaction| {
        for at in 0..400 {
            transaction.add_model(NewModel::new(format!("family/model-{at}")))?;
        }
        Ok(())
    })
    .unwrap();
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let hurt = doubled(&bytes, &pages(&path));
    std::fs::write(&path, hurt).unwrap();

    let store = Store::open_read_only(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    let error = snapshot.nodes().unwrap_err();
    assert_eq!(error.code(), "damaged");
    assert!(error.to_string().contains("keys are not in order"), "{error}");
    let store = Store::open_read_only(&path).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(stat(&store, &snapshot).unwrap_err().code(), "damaged");
    let store = Store::open_read_only(&path).unwrap();
    let report = verify(&store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap();
    assert!(!report.is_clean());
}

#[test]
fn a_writer_checks_every_page_before_it_writes() {
    let (_original, bytes, _) = original();
    let home = folder();
    let path = home.path().join("models.mgit");
    std::fs::write(&path, &bytes).unwrap();
    let mut refused = 0;
    for page in pages(&path).into_iter().skip(1) {
        let mut hurt = bytes.clone();
        hurt[page] ^= 0xff;
        std::fs::write(&path, &hurt).unwrap();
        // Whatever is not read by opening it.
        let Ok(store) = Store::open(&path) else { continue };
        if let Err(error) = store.begin_write() {
            assert_eq!(error.code(), "damaged");
            refused += 1;
        }
    }
    assert!(refused > 0);
}
