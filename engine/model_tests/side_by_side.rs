//! Work done on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` on every item, `jobs` at a time, and gives the answers in order.
pub(super) fn side_by_side<I: Sync, O: Send>(
    jobs: usize,
    items: &[I],
    work: impl Fn(&I) -> O + Sync,
) -> Vec<O> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            done.push((at, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, O)> = std::thread::scope(|scope| {
        // Threads that cannot be had are not waited for: this one does the work.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, worker).ok();
        let threads: Vec<_> = (1..jobs.min(items.len())).filter_map(spawn).collect();
        let mut done = worker();
        for thread in threads {
            match thread.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}
