//! Promise: what cannot be printed is no success: a closed standard output and a full device are
//! failures that are told; a pipe whose reader has gone is quiet, as for other programs.

use std::io::Write;

use crate::common::Sandbox;

/// Commands of every kind that print something of the model `base` in the store `s`.
const PRINTING: [&[&str]; 9] = [
    &["ls", "s"],
    &["ls", "s", "--json"],
    &["log", "s"],
    &["show", "s", "base"],
    &["export", "s", "base", "-"],
    &["cat", "s", "base", "embed"],
    &["dump", "s", "--json"],
    &["completions", "bash"],
    &["--help"],
];

#[test]
fn a_closed_pipe_is_quiet() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    for arguments in PRINTING {
        let answer = sandbox.run_with_closed_pipe(arguments);
        // As the shell tells of a program that the signal has ended.
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(141), ""), "{arguments:?}");
    }
}

/// As cron and some supervisors start programs. What was to be printed is then lost: exit code 0
/// would say that it was not.
#[test]
fn a_closed_standard_output_is_a_failure() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    for arguments in PRINTING {
        let tool = sandbox.command(arguments);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "exec \"$@\" >&-", "sh"]).arg(tool.get_program()).args(tool.get_args());
        let answer = shell.current_dir(sandbox.path(".")).output().unwrap();
        let told = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("standard output is closed"), "{arguments:?}: {told}");
    }
    // Opened, and thrown away, is another thing.
    let mut ls = sandbox.command(&["ls", "s"]);
    assert!(ls.stdout(std::process::Stdio::null()).status().unwrap().success());
}

#[test]
fn full_devices_are_failures() {
    let Ok(mut full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: there is no /dev/full here");
        return;
    };
    assert!(full.write(b"x").is_err());
    let sandbox = Sandbox::with_store();
    let output = sandbox.command(&["ls", "s"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the output"));
}
