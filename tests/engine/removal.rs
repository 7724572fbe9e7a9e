//! Promise: removing a base costs in proportion to what it removes, however many tensors and
//! children it has. Work is counted in rows of the catalogue, so that no machine's speed matters.
//!
//! Times, for people:
//!
//! ```text
//! cargo test --release --test engine removal:: -- --ignored --nocapture
//! ```

use std::time::Instant;

use mgit::lineage::OnChildren;
use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store};

/// Elements of a tensor: enough that a difference is shorter than the tensor.
const ELEMENTS: usize = 96;

/// A tensor of a base, or of a child of it that moved a little.
fn values(tensor: usize, child: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(tensor as u64 + 1);
    let mut bytes = Vec::with_capacity(ELEMENTS * 4);
    for at in 0..ELEMENTS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let value = (state >> 40) as f32 / 16_777_216.0 - 0.5;
        let moved = (child * (at + 3) * 7 % 1021) as u32;
        bytes.extend((value.to_bits() ^ moved).to_le_bytes());
    }
    bytes
}

/// The values as BF16, rounded as a cast does.
fn cast(bytes: &[u8]) -> Vec<u8> {
    let (chunks, _) = bytes.as_chunks::<4>();
    let half = |chunk: &[u8; 4]| half::bf16::from_f32(f32::from_le_bytes(*chunk)).to_le_bytes();
    chunks.iter().flat_map(half).collect()
}

struct Family {
    store: Store,
    _folder: tempfile::TempDir,
}

/// A base of `tensors` tensors and its children; with `casts` they are casts to BF16, which are
/// kept as formulas.
fn family(tensors: usize, children: usize, casts: bool) -> Family {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("s")).unwrap();
    let shape = Shape::new(&[ELEMENTS as u64]).unwrap();
    let mut transaction = store.begin_write().unwrap();
    for child in 0..=children {
        let as_cast = casts && child > 0;
        let bytes: Vec<Vec<u8>> = (0..tensors)
            .map(|tensor| match as_cast {
                false => values(tensor, child),
                true => cast(&values(tensor, child - 1)),
            })
            .collect();
        let dtype = if as_cast { Dtype::Bf16 } else { Dtype::F32 };
        let mut model = NewModel::new(if child == 0 { "base".into() } else { format!("c{child}") });
        for (at, bytes) in bytes.iter().enumerate() {
            let name = format!("layers.{at}.weight");
            model = model.tensor(NewTensor::from_bytes(name, dtype.clone(), shape.clone(), bytes));
        }
        if child > 0 {
            model = model.parent("base", How::FineTune);
        }
        let report = transaction.add_model(model).unwrap();
        if child > 0 && !(casts && child > 1) {
            assert_eq!(report.delta, tensors as u64, "{report:?}");
        }
    }
    transaction.commit().unwrap();
    Family { store, _folder: folder }
}

/// Rows read by removing the base; checks what stays.
fn rows_of_removal(family: &Family, hidden: Option<u64>) -> u64 {
    let store = &family.store;
    let mut transaction = store.begin_write().unwrap();
    let before = store.rows_read();
    let report = transaction.remove_model("base", OnChildren::Detach).unwrap();
    let rows = store.rows_read() - before;
    hidden.into_iter().for_each(|hidden| assert_eq!(report.hidden_bases, hidden));
    transaction.commit().unwrap();
    // Nothing is left over, and every child still reads.
    let mut transaction = store.begin_write().unwrap();
    let found = transaction.collect().unwrap();
    assert_eq!((found.corrected, found.freed_records), (0, 0));
    drop(transaction);
    let snapshot = store.snapshot().unwrap();
    snapshot.model("c1").unwrap().views().unwrap();
    rows
}

/// Asserts that the work for 2n and 4n is about twice and four times that for n.
fn assert_linear(what: &str, rows: [u64; 3]) {
    println!("{what}: {rows:?} rows for n, 2n, 4n");
    let [one, two, four] = rows;
    assert!(2 * two <= 5 * one && 2 * four <= 5 * two, "{what}: {rows:?}");
}

#[test]
fn removing_a_base_is_linear_in_its_tensors() {
    let rows = [40, 80, 160].map(|n| rows_of_removal(&family(n, 1, false), Some(n as u64)));
    assert_linear("tensors", rows);
}

#[test]
fn removing_a_base_is_linear_in_its_children() {
    let rows = [10, 20, 40].map(|n| rows_of_removal(&family(4, n, false), Some(4)));
    assert_linear("children", rows);
}

#[test]
fn removing_a_base_of_formulas_is_linear_in_its_tensors() {
    let rows = [40, 80, 160].map(|n| rows_of_removal(&family(n, 1, true), None));
    assert_linear("formulas", rows);
}

/// Several bases in one transaction, in a store that has formulas.
#[test]
fn removing_many_bases_at_once_is_linear_in_their_number() {
    let rows = [4, 8, 16].map(|n| {
        let family = family(6, n, true);
        let mut transaction = family.store.begin_write().unwrap();
        let before = family.store.rows_read();
        for child in 1..=n {
            transaction.remove_model(format!("c{child}"), OnChildren::Detach).unwrap();
        }
        family.store.rows_read() - before
    });
    assert_linear("models", rows);
}

#[test]
#[ignore = "prints times"]
fn times_of_removing_a_base() {
    for (what, sizes) in [("tensors", [10_000, 20_000, 40_000]), ("children", [250, 500, 1000])] {
        for n in sizes {
            let (tensors, children) = if what == "tensors" { (n, 1) } else { (40, n) };
            let family = family(tensors, children, false);
            let before = family.store.rows_read();
            let start = Instant::now();
            let mut transaction = family.store.begin_write().unwrap();
            transaction.remove_model("base", OnChildren::Detach).unwrap();
            transaction.commit().unwrap();
            let rows = family.store.rows_read() - before;
            println!("{n} {what}: {:.2} s, {rows} rows", start.elapsed().as_secs_f64());
        }
    }
}
