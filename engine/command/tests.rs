//! Commands that hang, die, write without end, or leave others behind.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Bounds, Exit, Outcome, Template, run};

fn words(line: &str) -> Vec<OsString> {
    line.parse::<Template>().unwrap().fill(&|_| None).unwrap()
}

fn sh(script: &str, bounds: &Bounds<'_>) -> Outcome {
    run(&["sh".into(), "-c".into(), script.into()], bounds).unwrap()
}

fn short() -> Bounds<'static> {
    Bounds { time_limit: Some(Duration::from_millis(100)), ..Bounds::default() }
}

/// Whether a process is there and is not dead.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim().starts_with(['Z', 'X']))
}

/// A killed process takes a moment to die.
fn dies(pid: &str) -> bool {
    (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !is_alive(pid)
    })
}

#[test]
fn what_a_command_says_is_kept() {
    let outcome = sh("echo out; echo err >&2; exit 3", &Bounds::default());
    assert_eq!(outcome.exit, Exit::Code(3));
    assert_eq!(
        (outcome.stdout.text().as_str(), outcome.stderr.text().as_str()),
        ("out\n", "err\n")
    );
    let outcome = sh("kill -9 $$", &Bounds::default());
    assert_eq!(outcome.exit, Exit::Signal(9));
    assert!(run(&words("cat"), &Bounds::default()).unwrap().exit.is_success());
    let bounds = Bounds {
        folder: Some("/".into()),
        variables: vec![("MGIT_TEST".into(), "a b".into())],
        ..Bounds::default()
    };
    assert_eq!(sh("pwd; echo $MGIT_TEST", &bounds).stdout.text(), "/\na b\n");
    let error = run(&words("/no/such/program"), &Bounds::default()).unwrap_err();
    assert_eq!(error.code(), "command-not-started");
}

#[test]
fn a_command_that_hangs_dies_with_all_its_children() {
    for script in [
        "sleep 1000 & echo $!; wait",
        "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1000; done",
    ] {
        let outcome = sh(script, &short());
        assert!(matches!(outcome.exit, Exit::TimedOut { .. }), "{script}: {outcome:?}");
        assert!(dies(outcome.stdout.text().trim()), "{script}");
    }
}

#[test]
fn children_that_a_command_leaves_die_with_it() {
    let outcome = sh("sleep 1000 & echo $!", &Bounds { time_limit: None, ..Bounds::default() });
    assert_eq!(outcome.exit, Exit::Code(0));
    assert!(dies(outcome.stdout.text().trim()));
}

#[test]
fn a_process_that_left_the_group_does_not_hold_the_run() {
    let outcome = sh("setsid sleep 5 & echo done", &Bounds::default());
    assert_eq!((outcome.exit, outcome.stdout.text().as_str()), (Exit::Code(0), "done\n"));
    assert!(outcome.time < Duration::from_secs(5), "it was waited for");
}

#[test]
fn output_without_end_is_bounded() {
    let bounds = Bounds { output_limit: 1000, ..short() };
    let outcome = sh("yes & yes >&2 & wait", &bounds);
    assert!(outcome.stdout.text().len() < 1100 && outcome.stdout.left_out() > 1 << 16);
    assert!(outcome.stderr.text().len() < 1100);
}

#[test]
fn a_cancelled_command_ends() {
    let cancel = AtomicBool::new(false);
    let bounds = Bounds { cancel: Some(&cancel), time_limit: None, ..Bounds::default() };
    let outcome = std::thread::scope(|scope| {
        let running = scope.spawn(|| sh("sleep 1000", &bounds));
        cancel.store(true, Ordering::Relaxed);
        running.join().unwrap()
    });
    assert_eq!(outcome.exit, Exit::Cancelled);
}
