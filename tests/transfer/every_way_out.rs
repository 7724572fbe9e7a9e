//! Promise: a store that is whole can be cloned, pushed and cloned again, bundled, pulled into a
//! store that has a part of it, backed up, salvaged, and read by a second reader, whatever has
//! been done to it before; every way gives the same bytes for every model.
//!
//! `MGIT_SEED` runs one history again; `MGIT_WAY_STEPS` says how many steps there are in all.

use std::collections::BTreeMap;
use std::io::Write;

use crate::common;
use crate::common::seed;
use crate::ways::assert_every_way_out;
use crate::ways::history::History;

/// Steps of one history.
const STEPS: usize = 50;

/// Runs a history; tells what was done how often.
fn history(seed: u64, steps: usize) -> BTreeMap<&'static str, usize> {
    let mut history = History::of_seed(seed);
    for step in 0..steps {
        // Past the capture of the output: a process that is aborted has none.
        if std::env::var_os("MGIT_WAY_TRACE").is_some() {
            let _ = writeln!(std::io::stderr(), "MGIT_SEED={seed}, step {step}");
        }
        let begun = format!("MGIT_SEED={seed}, step {step}");
        let verb = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.step()));
        let Ok(verb) = verb else { panic!("{begun}: a verb failed, see above") };
        let context = format!("{begun} ({verb})");
        history.assert_nothing_changed(&context);
        let mut random = common::Random(seed ^ step as u64);
        assert_every_way_out(history.store(), &history.path(), &mut random, &context);
    }
    history.done
}

#[test]
fn random_histories_leave_every_way_open() {
    let fixed = std::env::var("MGIT_SEED").is_ok();
    let steps = std::env::var("MGIT_WAY_STEPS").map_or(200, |text| text.parse().unwrap());
    let first = seed();
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for at in 0..if fixed { 1 } else { usize::div_ceil(steps, STEPS) } {
        let seed = first.wrapping_add(at as u64);
        for (verb, times) in history(seed, STEPS.min(steps)) {
            *done.entry(verb).or_default() += times;
        }
    }
    println!("{done:?}");
}
