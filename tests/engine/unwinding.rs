//! A function that is told of progress ends the call by unwinding: nothing half-made is left, and the
//! store goes on as if the call had failed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mgit::interchange::export_to_path;
use mgit::store::Repack;
use mgit::transfer::{Selection, bundle_create, pull_from_store};
use mgit::upkeep::{VerifyDepth, backup, gc_repack, verify};
use mgit::{How, NewModel, Store};

use crate::common::{Contents, add, contents, folder, model, nudged, weights, write};

/// What unwinds.
struct Stop;

/// A function that unwinds when it is told for the n-th time.
struct Nth {
    left: AtomicU64,
}

impl Nth {
    fn told(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            resume_unwind(Box::new(Stop));
        }
    }
}

/// A store of a base and two descendants, of tensors long enough to be streamed in pieces.
fn family(path: &Path) -> Store {
    let store = Store::create(path).unwrap();
    let base = weights(1, 200_000);
    let tensors = |seed| {
        let long = if seed == 0 { base.clone() } else { nudged(&base, seed, 9) };
        vec![("long".to_owned(), long), ("short".to_owned(), weights(seed, 100))]
    };
    add(&store, model("base", &[], &tensors(0))).unwrap();
    for (name, seed) in [("a", 1), ("b", 2)] {
        add(&store, model(name, &["base"], &tensors(seed))).unwrap();
    }
    store
}

fn all(store: &Store) -> Contents {
    contents(&store.snapshot().unwrap()).unwrap()
}

/// A call: what is told of its progress, and how often this is tried.
type Call<'c> = dyn Fn(&(dyn Fn(u64) + Sync), u64) + 'c;

/// Ends a call at its first, second, ... report of progress until it is not told so often, and looks
/// at the store each time. Returns how often it was told.
fn end_everywhere(what: &str, store: &Store, call: &Call<'_>) -> u64 {
    let before = all(store);
    for nth in 1.. {
        let progress = Nth { left: AtomicU64::new(nth) };
        let ended = catch_unwind(AssertUnwindSafe(|| call(&|_| progress.told(), nth)));
        let is_through = match ended {
            Ok(()) => true,
            Err(panic) => {
                assert!(panic.is::<Stop>(), "{what}: another panic than ours, at report {nth}");
                assert_eq!(all(store), before, "{what}: ended at report {nth}");
                false
            }
        };
        let report = verify(store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap();
        assert!(report.is_clean(), "{what}: ended at report {nth}: {:?}", report.findings);
        if is_through {
            return nth - 1;
        }
    }
    0
}

#[test]
fn a_call_that_is_unwound_out_of_leaves_nothing_half_made() {
    let home = folder();
    let at = |name: &str| home.path().join(name);
    let store = family(&at("family.mgit"));
    let tensors = vec![("long".to_owned(), nudged(&weights(1, 200_000), 7, 9))];
    let told = end_everywhere("add", &store, &|progress, nth| {
        let mut transaction = store.begin_write().unwrap();
        let new = model("c", &["base"], &tensors).progress(progress);
        transaction.add_model(new).unwrap();
        if nth < 3 {
            transaction.commit().unwrap();
        }
    });
    assert!(told > 0, "an import tells of its progress");

    let snapshot = store.snapshot().unwrap();
    let calls: [(&str, Box<Call<'_>>); 5] = [
        (
            "verify",
            Box::new(|progress, _| {
                verify(&store, &snapshot, VerifyDepth::Full, progress).unwrap();
            }),
        ),
        (
            "export",
            Box::new(|progress, nth| {
                let to = at(&format!("{nth}.safetensors"));
                let model = snapshot.model("a").unwrap();
                let export = || export_to_path(&model, &to, &|bytes| progress(bytes)).unwrap();
                let ended = catch_unwind(AssertUnwindSafe(export));
                assert_eq!(ended.is_ok(), to.exists());
                ended.unwrap_or_else(|panic| resume_unwind(panic));
            }),
        ),
        (
            "backup",
            Box::new(|progress, nth| {
                backup(&store, &snapshot, at(&format!("{nth}.backup")), progress).unwrap();
            }),
        ),
        (
            "bundle",
            Box::new(|progress, nth| {
                let selection = Selection { wants: &|_| true, graph_only: false, progress };
                bundle_create(&store, at(&format!("{nth}.bundle")), selection).unwrap();
            }),
        ),
        (
            "repack",
            Box::new(|progress, _| {
                gc_repack(&store, &Repack::default(), &|bytes| progress(bytes)).unwrap();
            }),
        ),
    ];
    for (what, call) in &calls {
        assert!(end_everywhere(what, &store, &**call) > 0, "{what} tells of its progress");
    }
}

#[test]
fn a_pull_that_is_unwound_out_of_shows_nothing_of_it() {
    let home = folder();
    let from = family(&home.path().join("from.mgit"));
    let store = Store::create(home.path().join("store.mgit")).unwrap();
    let told = end_everywhere("pull", &store, &|progress, _| {
        let selection = Selection { wants: &|_| true, graph_only: false, progress };
        pull_from_store(&store, &from, selection).unwrap();
    });
    assert!(told > 0, "a pull tells of its progress");
    assert_eq!(all(&store), all(&from));
}

#[test]
fn a_transaction_that_was_unwound_in_is_only_to_be_dropped() {
    let home = folder();
    let store = family(&home.path().join("family.mgit"));
    let tensors = vec![("long".to_owned(), nudged(&weights(1, 200_000), 7, 9))];
    let mut transaction = store.begin_write().unwrap();
    let told = Nth { left: AtomicU64::new(1) };
    let progress = |_| told.told();
    let new = model("c", &["base"], &tensors).progress(&progress);
    let ended = catch_unwind(AssertUnwindSafe(|| transaction.add_model(new).map(drop)));
    assert!(ended.is_err_and(|panic| panic.is::<Stop>()));
    match transaction.commit() {
        // Nothing of it was begun, or it is refused.
        Ok(()) => {}
        Err(error) => assert_eq!(error.code(), "broken-transaction"),
    }
    assert!(store.snapshot().unwrap().model("c").is_err());
    write(&store, |transaction| {
        transaction.add_model(NewModel::new("d").parent("a", How::FineTune)).map(drop)
    })
    .unwrap();
}

#[test]
fn an_import_tells_of_each_tensor() {
    let home = folder();
    let store = family(&home.path().join("family.mgit"));
    let tensors: Vec<_> =
        (0..10).map(|at| (format!("t{at}"), weights(100 + at % 9, 1000))).collect();
    let told = Mutex::new(Vec::new());
    let progress = |bytes| told.lock().unwrap().push(bytes);
    add(&store, model("c", &["base"], &tensors).progress(&progress)).unwrap();
    let told = told.into_inner().unwrap();
    // Two are the same: one is there when the other comes.
    assert_eq!(told, [4000; 10]);
}
