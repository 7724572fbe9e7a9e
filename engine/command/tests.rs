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

/// What a script did that runs into its time limit; given more time until it has said something,
/// since a busy machine may not even have started it in so short a time.
fn sh_until_late(script: &str) -> Outcome {
    let mut limit = Duration::from_millis(100);
    loop {
        let outcome = sh(script, &Bounds { time_limit: Some(limit), ..Bounds::default() });
        assert!(matches!(outcome.exit, Exit::TimedOut { .. }), "{script}: {outcome:?}");
        if !outcome.stdout.text().is_empty() {
            return outcome;
        }
        limit *= 2;
    }
}

/// Whether a process is there and is not dead.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim().starts_with(['Z', 'X']))
}

/// Waits until a killed process has died, however long a busy machine takes.
fn wait_for_death(pid: &str) {
    assert!(pid.parse::<u32>().is_ok(), "{pid:?} is no process");
    while is_alive(pid) {
        std::thread::sleep(Duration::from_millis(10));
    }
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
        wait_for_death(sh_until_late(script).stdout.text().trim());
    }
}

#[test]
fn children_that_a_command_leaves_die_with_it() {
    let outcome = sh("sleep 1000 & echo $!", &Bounds { time_limit: None, ..Bounds::default() });
    assert_eq!(outcome.exit, Exit::Code(0));
    wait_for_death(outcome.stdout.text().trim());
}

#[test]
fn a_process_that_left_the_group_does_not_hold_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let bounds =
        Bounds { folder: Some(folder.path().into()), time_limit: None, ..Bounds::default() };
    // The program ends when the other one has left its group, and not before.
    let script = "setsid sh -c 'echo $$ > left; exec sleep 1000' & \
                  while [ ! -s left ]; do sleep 0.01; done; cat left";
    let outcome = sh(script, &bounds);
    assert_eq!(outcome.exit, Exit::Code(0));
    let left = outcome.stdout.text();
    assert!(is_alive(left.trim()), "it was waited for");
    let pid = rustix::process::Pid::from_raw(left.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_for_death(left.trim());
}

#[test]
fn long_output_is_bounded() {
    let bounds = Bounds { output_limit: 1000, time_limit: None, ..Bounds::default() };
    let outcome = sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", &bounds);
    for output in [&outcome.stdout, &outcome.stderr] {
        let kept = output.text().bytes().filter(|byte| *byte == 0).count();
        assert_eq!((kept, output.left_out()), (1000, 999_000));
    }
}

#[test]
fn output_without_end_is_bounded() {
    let bounds = Bounds {
        output_limit: 1000,
        time_limit: Some(Duration::from_millis(100)),
        ..Bounds::default()
    };
    let outcome = sh("yes & yes >&2 & wait", &bounds);
    assert!(matches!(outcome.exit, Exit::TimedOut { .. }), "{outcome:?}");
    assert!(outcome.stdout.text().len() < 1100 && outcome.stderr.text().len() < 1100);
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
