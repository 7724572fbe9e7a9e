//! Promise: every single byte of a store may rot, the file may be cut anywhere, and blocks may be
//! swapped: `verify` finds it, or it does no harm; a salvage saves no wrong byte; nothing panics.
//!
//! The normal run takes a sample of the bytes of a small store, `cargo test --test faults rot:: -- --ignored`
//! every one. `MGIT_SEED` runs the same sample again. What checked reading and a writer do with such
//! stores is in `corruption.rs`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::common::{
    Contents, Random, add, contents, contents_of, model, new_store, noise, nudged, seed, weights,
    write,
};
use mgit::upkeep::{VerifyDepth, salvage, verify_path};
use mgit::{OnChildren, Store};

/// A small store with a chain of deltas, a hidden base and free space, in memory where the
/// machine has such a folder.
struct Victim {
    _folder: tempfile::TempDir,
    path: PathBuf,
    whole: Vec<u8>,
    expected: Contents,
    /// All that was there at any time: of a file whose last commits are cut off, an earlier state
    /// is saved.
    ever: Contents,
}

impl Victim {
    fn new(numbers: usize) -> Self {
        let (_made, made_path, store) = new_store();
        let base = weights(1, numbers);
        let tuned = nudged(&base, 2, 20);
        let of = |bytes: Vec<u8>| vec![("w".to_owned(), bytes), ("b".to_owned(), noise(3, 90))];
        add(&store, model("base", &[], &of(base)).metadata("licence", "MIT")).unwrap();
        add(&store, model("tuned", &["base"], &of(tuned.clone()))).unwrap();
        add(&store, model("next", &["tuned"], &of(nudged(&tuned, 4, 20)))).unwrap();
        add(&store, model("gone", &["base"], &of(noise(5, 700)))).unwrap();
        let ever = contents(&store.snapshot().unwrap()).unwrap();
        write(&store, |t| t.remove_model("gone", OnChildren::Refuse)).unwrap();
        write(&store, |t| t.remove_model("tuned", OnChildren::Reparent)).unwrap();
        let expected = contents(&store.snapshot().unwrap()).unwrap();
        drop(store);
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.unwrap();
        let path = folder.path().join("victim.mgit");
        let whole = std::fs::read(&made_path).unwrap();
        std::fs::write(&path, &whole).unwrap();
        Victim { _folder: folder, path, whole, expected, ever }
    }

    /// Looks at the file as it is now. Gives whether `verify` found something.
    fn look(&self, context: &str) -> bool {
        let looked = catch_unwind(AssertUnwindSafe(|| self.try_look(context)));
        looked.unwrap_or_else(|panic| {
            eprintln!("failed with {context}");
            std::panic::resume_unwind(panic)
        })
    }

    fn try_look(&self, context: &str) -> bool {
        let found = match verify_path(&self.path, VerifyDepth::Full, &|_| ()) {
            Err(_) => true,
            Ok(report) => {
                // A model that is called whole reads right, one that is not there is not whole.
                if report.catalogue_error.is_none() {
                    self.read_whole(&report.whole_models, context);
                }
                !report.is_clean()
            }
        };
        match contents_of(&self.path) {
            Ok(read) => assert!(read == self.expected, "{context}: a checked view is wrong"),
            Err(error) => assert!(found, "{context}: not found, but {error}"),
        }
        found
    }

    fn read_whole(&self, whole: &[String], context: &str) {
        let store = Store::open_read_only(&self.path).unwrap();
        let snapshot = store.snapshot().unwrap();
        for name in whole {
            let found: Vec<(String, Vec<u8>)> = snapshot
                .model(name)
                .unwrap()
                .tensors()
                .map(|tensor| (tensor.name().to_owned(), tensor.view().unwrap().to_vec()))
                .collect();
            assert!(self.expected[name] == found, "{context}: {name} is called whole");
        }
    }

    /// Salvages the file as it is now: what is saved is right.
    fn save(&self, context: &str) {
        let new = self.path.with_extension("new");
        let saved = catch_unwind(AssertUnwindSafe(|| salvage(&self.path, &new, &|_| ())));
        match saved {
            Err(panic) => {
                eprintln!("failed with {context}");
                std::panic::resume_unwind(panic);
            }
            Ok(Err(_)) => assert!(!new.exists(), "{context}"),
            Ok(Ok(report)) => {
                let saved = contents_of(&new).unwrap();
                for (name, tensors) in &saved {
                    let right = match report.renamed.contains(name) {
                        true => self.ever.values().any(|known| known == tensors),
                        false => self.ever.get(name) == Some(tensors),
                    };
                    assert!(right, "{context}: {name} is wrong");
                }
                std::fs::remove_file(&new).unwrap();
            }
        }
    }

    fn restore(&self) {
        std::fs::write(&self.path, &self.whole).unwrap();
    }

    /// Flips each of these bytes by itself. `bits` gives the change. Says how many were found.
    fn flip_each(&self, places: impl Iterator<Item = usize>, bits: impl Fn(usize) -> u8) -> usize {
        let file = File::options().write(true).open(&self.path).unwrap();
        let (mut found, mut all) = (0, 0);
        for at in places {
            let byte = self.whole[at];
            file.write_all_at(&[byte ^ bits(at)], at as u64).unwrap();
            found += usize::from(self.look(&format!("byte {at} ^ {:#04x}", bits(at))));
            file.write_all_at(&[byte], at as u64).unwrap();
            all += 1;
        }
        println!("{found} of {all} flips found, the others harmless");
        found
    }
}

fn seeded(seed: u64) -> impl Fn(usize) -> u8 {
    move |at| 1 << Random(seed ^ at as u64).below(8)
}

#[test]
fn a_sample_of_single_bytes() {
    let victim = Victim::new(150);
    let seed = seed();
    println!("MGIT_SEED={seed}");
    // Every byte of what is not the catalogue's slack would be best; a sample of all is quick.
    let start = Random(seed).below(151);
    let found = victim.flip_each((start..victim.whole.len()).step_by(151), seeded(seed));
    assert!(found > 0);
    // The head of every structure, whole.
    let heads = (0..128).chain(4096..4096 + 128);
    assert!(victim.flip_each(heads, |_| 0x10) > 200);
}

#[test]
#[ignore = "takes minutes: every byte of a small store"]
fn every_single_byte() {
    let victim = Victim::new(150);
    let seed = seed();
    println!("MGIT_SEED={seed}, {} bytes", victim.whole.len());
    victim.flip_each(0..victim.whole.len(), seeded(seed));
}

#[test]
fn a_file_cut_anywhere() {
    let victim = Victim::new(150);
    let seed = seed();
    let mut random = Random(seed);
    let count = 60;
    for step in 0..count {
        let len = match step {
            0 => 0,
            1 => 8191,
            2 => victim.whole.len() - 1,
            _ => random.below(victim.whole.len()),
        };
        std::fs::write(&victim.path, &victim.whole[..len]).unwrap();
        let context = format!("MGIT_SEED={seed}, cut at {len}");
        victim.look(&context);
        victim.save(&context);
    }
    victim.restore();
    assert!(!victim.look("restored"));
}

#[test]
fn flips_and_swapped_blocks_of_a_larger_store() {
    let victim = Victim::new(120_000);
    let seed = seed();
    let mut random = Random(seed);
    let mut found = 0;
    let count = 40;
    for step in 0..count {
        let mut hurt = victim.whole.clone();
        let len = hurt.len();
        match step % 4 {
            0 => (0..1 + random.below(9)).for_each(|_| {
                let at = random.below(len);
                hurt[at] ^= 1 << random.below(8);
            }),
            1 => {
                let block = 512 << random.below(6);
                let (a, b) = (random.below(len / block) * block, random.below(len / block) * block);
                let kept = hurt[a..a + block].to_vec();
                hurt.copy_within(b..b + block, a);
                hurt[b..b + block].copy_from_slice(&kept);
            }
            2 => {
                let (from, to) = (random.below(len / 4096) * 4096, random.below(len / 4096) * 4096);
                hurt.copy_within(from..from + 4096, to);
            }
            _ => {
                let at = random.below(len / 4096) * 4096;
                let end = len.min(at + (4096 << random.below(5)));
                hurt[at..end].copy_from_slice(&noise(random.next(), end - at));
            }
        }
        std::fs::write(&victim.path, &hurt).unwrap();
        let context = format!("MGIT_SEED={seed}, step {step}");
        found += usize::from(victim.look(&context));
        victim.save(&context);
    }
    println!("{found} of {count} found, the others harmless");
    assert!(found > 0);
}
