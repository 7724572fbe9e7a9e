//! Histories of ordinary stores that could once not be cloned: each is a chain of deltas, and
//! something one step deeper.

use half::f16;
use mgit::store::Repack;
use mgit::transfer::{Place, pull_from_store, push};
use mgit::update::{Functions, Make, Update, UpdateMethod};
use mgit::{Dtype, How, NewModel, NewTensor, Store};

use super::{assert_every_way_out, new_store};
use crate::common::remote::{ALL, assert_sound};
use crate::common::{Random, contents, nudged, shape, tensor_rows, weights, write};

const DIMS: [u64; 2] = [64, 512];
const COUNT: usize = 64 * 512;

fn import(store: &Store, name: &str, parent: Option<&str>, bytes: &[u8]) {
    import_as(store, name, parent, (Dtype::F32, &DIMS), bytes);
}

fn import_as(
    store: &Store,
    name: &str,
    parent: Option<&str>,
    (dtype, dims): (Dtype, &[u64]),
    bytes: &[u8],
) {
    let tensor = NewTensor::from_bytes("layer.0.w", dtype, shape(dims), bytes);
    let model = NewModel::new(name).tensor(tensor);
    let model = parent.into_iter().fold(model, |model, p| model.parent(p, How::FineTune));
    write(store, |transaction| transaction.add_model(model)).unwrap();
}

fn make(store: &Store, make: Make) {
    make.run(store, &Functions::new()).unwrap();
}

/// Four steps of one training run.
fn steps() -> [Vec<u8>; 4] {
    let mut steps = [weights(1, COUNT), Vec::new(), Vec::new(), Vec::new()];
    for at in 1..4 {
        steps[at] = nudged(&steps[at - 1], at as u64, 3);
    }
    steps
}

/// A root, a child, and a child of that: as deep as this code makes differences.
fn chain(store: &Store) -> [Vec<u8>; 4] {
    let steps = steps();
    import(store, "r", None, &steps[0]);
    import(store, "a", Some("r"), &steps[1]);
    import(store, "b", Some("a"), &steps[2]);
    steps
}

fn depth(store: &Store) -> u8 {
    let rows = tensor_rows(&store.snapshot().unwrap());
    rows.values().map(|row| row.depth).max().unwrap()
}

/// Builds a store, and takes it every way out. It must be as deep as one says.
fn check(name: &str, deepest: u8, build: impl FnOnce(&Store)) {
    let (_folder, path, store) = new_store();
    build(&store);
    assert!(depth(&store) >= deepest, "{name}: only {} deep", depth(&store));
    assert_every_way_out(&store, &path, &mut Random(1), name);
    // Nothing is coded anew on the way: the records are as they were.
    let clone = Store::create(path.with_extension("clone")).unwrap();
    pull_from_store(&clone, &store, ALL).unwrap();
    assert_eq!(depth(&clone), depth(&store), "{name}");
    let lens = |store: &Store| {
        let rows = tensor_rows(&store.snapshot().unwrap());
        rows.into_values().map(|row| row.stored_len).sum::<u64>()
    };
    assert!(lens(&clone) <= lens(&store), "{name}: {} of {}", lens(&clone), lens(&store));
}

#[test]
fn a_cast_at_the_end_of_a_chain() {
    check("cast", 3, |store| {
        chain(store);
        make(store, Make::new("half", "cast").parent("b", None).parameter("dtype", "bf16"));
    });
}

#[test]
fn a_prune_at_the_end_of_a_chain() {
    check("prune", 3, |store| {
        chain(store);
        make(store, Make::new("pruned", "prune").parent("b", None).parameter("sparsity", 0.5));
    });
}

#[test]
fn an_average_of_the_ends_of_chains() {
    check("average", 3, |store| {
        let steps = chain(store);
        import(store, "c", Some("a"), &steps[3]);
        make(store, Make::new("mean", "average").parent("b", None).parent("c", None));
    });
}

#[test]
fn a_task_vector_over_a_chain() {
    check("task vector", 3, |store| {
        let halves = |steps: &[u8]| -> Vec<u8> {
            let number = |bytes: &[u8; 4]| f16::from_f32(f32::from_le_bytes(*bytes));
            steps.as_chunks::<4>().0.iter().flat_map(|b| number(b).to_le_bytes()).collect()
        };
        let matrix = (Dtype::F16, &[64, 512][..]);
        let base = halves(&weights(1, COUNT));
        let a = nudged(&base, 2, 2);
        let b = nudged(&a, 3, 2);
        import_as(store, "base", None, matrix.clone(), &base);
        import_as(store, "a", Some("base"), matrix.clone(), &a);
        import_as(store, "b", Some("a"), matrix, &b);
        let both = Make::new("both", "task-arithmetic").parent("base", None).parent("a", None);
        make(store, both.parent("b", None).parameter("weight", vec![1.0, 0.5]));
    });
}

#[test]
fn an_update_by_rebase() {
    check("update", 3, |store| {
        let steps = chain(store);
        import(store, "r", None, &nudged(&steps[0], 9, 3));
        let update = Update::new("r@1", "r@2").method(UpdateMethod::Rebase);
        let outcome = update.run(store, &Functions::new()).unwrap();
        assert_eq!(outcome.made.len(), 2);
    });
}

#[test]
fn chains_of_a_repack() {
    check("repack", 3, |store| {
        let steps = chain(store);
        import(store, "c", Some("b"), &steps[3]);
        // Of seven steps none is nearer than three to all others: whichever stays alone, and that
        // is by chance where all cost the same, the chain is that deep.
        let mut last = steps[3].clone();
        for (name, parent, seed) in [("d", "c", 11), ("e", "d", 12), ("f", "e", 13)] {
            last = nudged(&last, seed, 3);
            import(store, name, Some(parent), &last);
        }
        write(store, |t| t.repack(&Repack::default().depth_max(4), &|_| ())).unwrap();
    });
}

/// What is raw there is a difference here: together the chains would be longer than either.
#[test]
fn two_stores_that_keep_one_model_differently() {
    let (_one_folder, _, one) = new_store();
    let [r, a, b, c] = steps();
    import(&one, "a", None, &a);
    import(&one, "b", Some("a"), &b);
    import(&one, "c", Some("b"), &c);
    let (_two_folder, path, two) = new_store();
    import(&two, "r", None, &r);
    import(&two, "a2", Some("r"), &a);
    pull_from_store(&two, &one, ALL).unwrap();
    assert_sound(&two, "pulled");
    assert!(depth(&two) <= 2, "{}: no longer than what is written here", depth(&two));
    assert_every_way_out(&two, &path, &mut Random(2), "two stores");
    let rows = tensor_rows(&two.snapshot().unwrap());
    let raw = rows.values().filter(|row| row.base_id.is_none()).count();
    assert_eq!(raw, 1, "what was cut starts again on the chain, and not alone");

    // The same by a push.
    let (_three_folder, path, three) = new_store();
    import(&three, "r", None, &r);
    import(&three, "a2", Some("r"), &a);
    drop(three);
    push(&one, &Place::Store(path.clone()), ALL).unwrap();
    let three = Store::open(&path).unwrap();
    let all = contents(&three.snapshot().unwrap()).unwrap();
    let expected = contents(&one.snapshot().unwrap()).unwrap();
    assert!(expected.iter().all(|(name, tensors)| all.get(name) == Some(tensors)));
}

/// Chains as deep as the format allows, on both sides: together they would be beyond it.
#[test]
fn two_stores_with_chains_at_the_limit() {
    let (_one_folder, _, one) = new_store();
    let (_two_folder, path, two) = new_store();
    let mut step = weights(1, 2_000);
    let long = |store: &Store, name: &str, parent: Option<&str>, bytes: &[u8]| {
        let tensor = NewTensor::from_bytes("w", Dtype::F32, shape(&[2_000]), bytes);
        let model = NewModel::new(name).tensor(tensor).chain_depth_max(64);
        let model = parent.into_iter().fold(model, |model, p| model.parent(p, How::FineTune));
        write(store, |transaction| transaction.add_model(model)).unwrap();
    };
    long(&two, "d0", None, &step);
    for at in 1..=64 {
        step = nudged(&step, at, 20);
        long(&two, &format!("d{at}"), Some(&format!("d{}", at - 1)), &step);
    }
    assert_eq!(depth(&two), 64);
    long(&one, "base", None, &step);
    for at in 0..3 {
        step = nudged(&step, 100 + at, 20);
        let parent = if at == 0 { "base".to_owned() } else { format!("e{}", at - 1) };
        long(&one, &format!("e{at}"), Some(&parent), &step);
    }
    pull_from_store(&two, &one, ALL).unwrap();
    assert_every_way_out(&two, &path, &mut Random(3), "at the limit");
}

/// Held over several commits, as a transfer of more than a batch does.
#[test]
fn a_fetch_holds_what_it_brings() {
    let (_folder, path, store) = new_store();
    chain(&store);
    make(&store, Make::new("half", "cast").parent("b", None).parameter("dtype", "bf16"));
    write(&store, |t| t.remove_model("a", mgit::OnChildren::Reparent)).unwrap();
    let (_other_folder, _, other) = new_store();
    let from = Place::Folder(path.with_extension("remote"));
    push(&store, &from, ALL).unwrap();
    mgit::transfer::fetch(&other, &from, ALL).unwrap();
    assert_sound(&other, "fetched");
    let report = mgit::transfer::pull(&other, &from, ALL).unwrap();
    assert_eq!(report.bytes, 0, "{report:?}");
    assert_sound(&other, "pulled");
    assert!(contents(&other.snapshot().unwrap()).unwrap().contains_key("half@1"));
}

/// Promised tensors that come later, one model at a time.
#[test]
fn promised_tensors_of_a_chain_come() {
    let (_folder, path, store) = new_store();
    chain(&store);
    make(&store, Make::new("half", "cast").parent("b", None).parameter("dtype", "bf16"));
    let from = Place::Folder(path.with_extension("remote"));
    push(&store, &from, ALL).unwrap();
    for first in ["half", "b", "a", "r"] {
        let (_other_folder, _, other) = new_store();
        let graph = mgit::transfer::Selection { graph_only: true, ..ALL };
        mgit::transfer::pull(&other, &from, graph).unwrap();
        mgit::transfer::fetch_missing(&other, &[first], &|_| ()).unwrap();
        assert_sound(&other, first);
        mgit::transfer::pull(&other, &from, ALL).unwrap();
        assert_sound(&other, first);
        let found = contents(&other.snapshot().unwrap()).unwrap();
        assert!(found == contents(&store.snapshot().unwrap()).unwrap(), "{first}");
    }
}
