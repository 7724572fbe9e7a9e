//! Promise: a command that is interrupted removes what it made, says what is done and what is not,
//! and ends as the signal does; what a killed one leaves behind, the next of its kind removes, but
//! nothing that a living one uses; the store verifies.
//!
//! The moment of a signal is random, and nothing that is asserted depends on it: a command that was
//! faster has done what it was asked.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Sandbox, write_sharded};
use rustix::process::{Pid, Signal, kill_process};

/// How many interruptions there are; the long run sets more.
fn interruptions() -> usize {
    let asked = std::env::var("MGIT_INTERRUPTIONS").ok();
    asked.map_or(44, |text| text.parse().expect("MGIT_INTERRUPTIONS is a number"))
}

fn seed() -> u64 {
    let asked = std::env::var("MGIT_SEED").ok();
    asked.map_or(7, |text| text.parse().expect("MGIT_SEED is a number"))
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A command, what it makes, if that is to be gone before it can be done again, and a place that
/// must verify afterwards.
struct Kind {
    name: &'static str,
    words: &'static [&'static str],
    makes: Option<&'static str>,
    store: Option<&'static str>,
}

const KINDS: [Kind; 12] = [
    Kind { name: "export", words: &["export", "s", "m1", "out"], makes: Some("out"), store: None },
    Kind {
        name: "export of shards",
        words: &["export", "s", "big", "out"],
        makes: Some("out"),
        store: None,
    },
    Kind {
        name: "backup",
        words: &["backup", "s", "copy"],
        makes: Some("copy"),
        store: Some("copy"),
    },
    Kind { name: "clone", words: &["clone", "./s", "c"], makes: Some("c"), store: Some("c") },
    Kind { name: "push", words: &["push", "s", "./remote"], makes: Some("remote"), store: None },
    Kind { name: "pull", words: &["pull", "other", "./s"], makes: None, store: Some("other") },
    Kind { name: "bundle", words: &["bundle", "create", "s", "b"], makes: Some("b"), store: None },
    Kind { name: "vacuum", words: &["vacuum", "s"], makes: None, store: None },
    Kind { name: "gc --repack", words: &["gc", "s", "--repack"], makes: None, store: None },
    Kind {
        name: "salvage",
        words: &["salvage", "s", "saved"],
        makes: Some("saved"),
        store: Some("saved"),
    },
    Kind {
        name: "make",
        words: &[
            "make",
            "s",
            "--name",
            "made",
            "--parent",
            "m1",
            "--command",
            "sh slow.sh {parent} {out}",
        ],
        makes: None,
        store: None,
    },
    Kind {
        name: "test",
        words: &["test", "run", "s", "m0", "m1", "m2", "-j", "2"],
        makes: None,
        store: None,
    },
];

/// Stores to work on, which every interruption begins with.
fn template() -> Sandbox {
    let sandbox = Sandbox::with_store();
    for seed in 0..6 {
        let name = format!("m{seed}");
        let parent = format!("m{}", seed.max(1) - 1);
        let more: &[&str] = if seed == 0 { &[] } else { &["--parent", &parent] };
        sandbox.import(seed, &name, more);
        fs::remove_file(sandbox.path(&format!("{name}.safetensors"))).unwrap();
    }
    // Bases of no model, for a collection to do without.
    sandbox.ok(&["rm", "s", "m4", "--reparent-children"]);
    write_sharded(&sandbox.path("sharded"));
    sandbox.ok(&["import", "s", "sharded", "--name", "big"]);
    fs::remove_dir_all(sandbox.path("sharded")).unwrap();
    sandbox.write(
        "slow.sh",
        b"echo $$ >> pids\nsleep 0.01 & echo $! >> pids\nwait\ncp \"$1\" \"$2\"\n",
    );
    sandbox.write("test.sh", b"echo $$ >> pids\nsleep 0.01 & echo $! >> pids\nwait\nexit 0\n");
    sandbox.ok(&["test", "add", "s", "slow", "--command", "sh test.sh {model}"]);
    // Once, so that the line is trusted.
    let make = KINDS.iter().find(|kind| kind.name == "make").unwrap();
    sandbox.ok(make.words);
    sandbox.ok(&["init", "other"]);
    sandbox
}

/// A folder of copies of the stores, and a temporary folder of its own.
fn begin(sandbox: &Sandbox, work: &Path) {
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(work.join("tmp")).unwrap();
    for name in ["s", "other", "slow.sh", "test.sh"] {
        fs::copy(sandbox.path(name), work.join(name)).unwrap();
    }
}

fn start(sandbox: &Sandbox, work: &Path, words: &[&str]) -> Child {
    let mut command = sandbox.command_for_signals(words);
    command.current_dir(work).env("TMPDIR", work.join("tmp"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(sandbox: &Sandbox, work: &Path, words: &[&str]) -> std::process::Output {
    start(sandbox, work, words).wait_with_output().unwrap()
}

fn done(sandbox: &Sandbox, work: &Path, words: &[&str]) {
    let output = finish(sandbox, work, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Every temporary file or folder, and every lock file, anywhere in `folder`.
fn temporaries(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".mgit-") {
            found.push(entry.path());
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(temporaries(&entry.path()));
        }
    }
    found
}

fn remove(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => drop(fs::remove_file(path)),
    }
}

/// Whether the programs that the command started are gone: zombies are.
fn are_gone(work: &Path) -> bool {
    let pids = fs::read_to_string(work.join("pids")).unwrap_or_default();
    pids.lines().all(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = status.rsplit(')').next().unwrap_or_default().trim_start().to_owned();
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        state.is_empty() || state.starts_with('Z') || !["sh\n", "sleep\n"].contains(&&*command)
    })
}

/// What a store holds, for whoever says that nothing was changed.
fn models(sandbox: &Sandbox, work: &Path, store: &str) -> Vec<u8> {
    finish(sandbox, work, &["ls", store, "--json"]).stdout
}

/// One interruption. Says what came of it.
fn interrupt(
    sandbox: &Sandbox,
    work: &Path,
    kind: &Kind,
    signal: Signal,
    delay: Duration,
) -> &'static str {
    begin(sandbox, work);
    let before = (models(sandbox, work, "s"), models(sandbox, work, "other"));
    let child = start(sandbox, work, kind.words);
    std::thread::sleep(delay);
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    // It may have ended: it is not reaped yet, so that nobody else has its number.
    kill_process(pid, signal).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let context = format!("{}, {signal:?} after {delay:?}: {}: {stderr}", kind.name, output.status);
    let was_interrupted = output.status.signal() == Some(signal.as_raw());
    assert!(was_interrupted || output.status.success(), "{context}");
    let what = match (was_interrupted, signal) {
        (false, _) => "done before",
        (true, Signal::KILL) => "killed",
        (true, _) if stderr.is_empty() => "ended before it began",
        (true, _) if stderr == "error: interrupted: nothing was changed\n" => "nothing changed",
        (true, _) => {
            assert!(
                stderr.starts_with("error: interrupted: what was done before stays: "),
                "{context}"
            );
            "something stays"
        }
    };
    if signal != Signal::KILL {
        assert_eq!(temporaries(work), Vec::<PathBuf>::new(), "{context}");
        let start = Instant::now();
        while !are_gone(work) {
            assert!(start.elapsed() < Duration::from_secs(60), "{context}: programs go on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    if ["nothing changed", "ended before it began"].contains(&what) {
        let target = kind.makes.map(|name| work.join(name));
        // The folder of a remote may be there, empty.
        let is_there = |path: &PathBuf| path.exists() && (path.is_file() || kind.name != "push");
        assert!(!target.as_ref().is_some_and(is_there), "{context}");
        assert_eq!(
            (models(sandbox, work, "s"), models(sandbox, work, "other")),
            before,
            "{context}"
        );
    }
    // What is there is whole: it can be checked, and is in nobody's way.
    done(sandbox, work, &["verify", "s"]);
    match kind.name {
        // Goes on where it was, and so does a push.
        "clone" if work.join("c").exists() => {
            done(sandbox, work, &["verify", "c"]);
            let again = finish(sandbox, work, kind.words);
            let stderr = String::from_utf8_lossy(&again.stderr);
            let whole = models(sandbox, work, "c") == models(sandbox, work, "s");
            assert!(
                again.status.success() || (whole && stderr.contains("already there")),
                "{context}"
            );
        }
        "bundle" if work.join("b").exists() => done(sandbox, work, &["bundle", "verify", "b"]),
        _ => {
            if let Some(store) = kind.store.filter(|store| work.join(store).exists()) {
                done(sandbox, work, &["verify", store]);
            }
        }
    }
    if let Some(name) = kind.makes.filter(|name| *name != "remote") {
        remove(&work.join(name));
    }
    done(sandbox, work, kind.words);
    assert_eq!(temporaries(work), Vec::<PathBuf>::new(), "{context}");
    done(sandbox, work, &["verify", "s"]);
    if let Some(store) = kind.store {
        done(sandbox, work, &["verify", store]);
    }
    what
}

#[test]
fn interrupted_commands_leave_nothing_behind() {
    let sandbox = template();
    let work = sandbox.path("work");
    let mut random = Random(seed());
    // How long each takes, only so that signals come while it runs.
    let times: Vec<u64> = KINDS
        .iter()
        .map(|kind| {
            begin(&sandbox, &work);
            let start = Instant::now();
            done(&sandbox, &work, kind.words);
            start.elapsed().as_micros() as u64
        })
        .collect();
    let mut told = std::collections::BTreeMap::<String, usize>::new();
    let (mut signals, mut interrupted) = (0, 0);
    // A command that was faster than its signal is none; how many are is the machine's affair.
    while interrupted < interruptions() && signals < 2 * interruptions() {
        let (kind, time) = (&KINDS[signals % KINDS.len()], times[signals % KINDS.len()]);
        let signal = [Signal::INT, Signal::TERM, Signal::KILL][random.below(3) as usize];
        let delay = Duration::from_micros(random.below(time * 3 / 4 + 1));
        let what = interrupt(&sandbox, &work, kind, signal, delay);
        *told.entry(format!("{}: {what}", kind.name)).or_default() += 1;
        signals += 1;
        interrupted += usize::from(what != "done before");
    }
    println!("{signals} signals, {interrupted} interruptions, seed {}", seed());
    told.iter().for_each(|(what, count)| println!("{count:4} {what}"));
}

/// Waits until a command has got as far as `file` says.
fn wait_for(file: &Path, child: &mut Child) {
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A `make` whose command says that it runs, and then waits to be ended.
fn waiting_make(sandbox: &Sandbox, name: &str, more: &[&str]) -> Child {
    let line = format!("sh wait.sh {name}");
    // A shell may say of `sleep` that it was terminated: what the tool says is looked at.
    let script = b"exec 2>/dev/null\ntrap 'touch $1.ended; exit 1' TERM\n\
        touch $1.runs\nsleep 600 & wait\n";
    sandbox.write("wait.sh", script);
    let line = format!("{line} {{parent}} {{out}}");
    let words = ["make", "s", "--name", name, "--parent", "base", "--command", &line];
    let mut child = start(sandbox, &sandbox.path(""), &[&words[..], more].concat());
    wait_for(&sandbox.path(&format!("{name}.runs")), &mut child);
    child
}

fn with_base() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    fs::create_dir(sandbox.path("tmp")).unwrap();
    sandbox
}

#[test]
fn an_interruption_ends_programs_and_says_so() {
    let sandbox = with_base();
    for (signal, name) in [(Signal::INT, "a"), (Signal::TERM, "b"), (Signal::HUP, "c")] {
        let child = waiting_make(&sandbox, name, &[]);
        assert_eq!(temporaries(&sandbox.path("")).len(), 2);
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(signal.as_raw()));
        // The line was typed for the first time, and is trusted from now on; nothing else stays.
        let trusted = sandbox.path("config/mgit/trusted");
        let told = format!(
            "error: interrupted: what was done before stays: {} is written\n",
            trusted.display()
        );
        assert_eq!(String::from_utf8(output.stderr).unwrap(), told);
        assert_eq!(sandbox.models(), ["base@1"]);
        assert!(sandbox.path(&format!("{name}.ended")).exists(), "it was not asked to end");
        assert!(temporaries(&sandbox.path("")).is_empty());
    }
    let child = waiting_make(&sandbox, "d", &["--json"]);
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["schema"], &document["error"]["code"]),
        (&1.into(), &"interrupted".into())
    );
    assert!(output.stderr.is_empty());
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn programs_that_do_not_end_are_killed_and_a_second_signal_does_not_wait() {
    let sandbox = with_base();
    sandbox.write("wait.sh", b"trap '' TERM\ntouch $1.runs\nwhile true; do sleep 1; done\n");
    let begin = |name: &str| {
        let line = format!("sh wait.sh {name} {{parent}} {{out}}");
        let words = ["make", "s", "--name", name, "--parent", "base", "--command", &line];
        let mut child = start(&sandbox, &sandbox.path(""), &words);
        wait_for(&sandbox.path(&format!("{name}.runs")), &mut child);
        (Pid::from_raw(child.id().cast_signed()).unwrap(), child)
    };
    let (pid, child) = begin("once");
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2));
    assert!(temporaries(&sandbox.path("tmp")).is_empty());
    // Two at once: the second may find everything done, or nothing. Either way it is the end.
    let (pid, child) = begin("twice");
    kill_process(pid, Signal::INT).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = child.wait_with_output().unwrap().status;
    assert!([Some(2), Some(15)].contains(&status.signal()), "{status}");
    finish(&sandbox, &sandbox.path(""), &["gc", "s"]);
    assert!(temporaries(&sandbox.path("tmp")).is_empty());
    assert_eq!(sandbox.models(), ["base@1"]);
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn what_a_living_command_uses_stays_and_what_a_killed_one_used_goes() {
    let sandbox = with_base();
    let mut killed = waiting_make(&sandbox, "killed", &[]);
    let dead = temporaries(&sandbox.path("tmp"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(temporaries(&sandbox.path("tmp")), dead);
    let living = waiting_make(&sandbox, "living", &[]);
    let alive = temporaries(&sandbox.path("tmp"));
    assert!(alive.len() == 2 && alive.iter().all(|path| !dead.contains(path)), "{alive:?}");
    // While it runs somebody else looks for what is stale.
    sandbox.ok(&["init", "t"]);
    let gc = |sandbox: &Sandbox| {
        let output = finish(sandbox, &sandbox.path(""), &["gc", "t", "--json"]);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        document["removed_leftovers"].as_u64()
    };
    assert_eq!(gc(&sandbox), Some(0));
    assert_eq!(temporaries(&sandbox.path("tmp")), alive);
    let mut living = living;
    living.kill().unwrap();
    living.wait().unwrap();
    assert_eq!(gc(&sandbox), Some(1));
    assert!(temporaries(&sandbox.path("tmp")).is_empty());
}

#[test]
fn what_is_done_is_told() {
    let sandbox = with_base();
    for (name, seed) in [("one", 1), ("two", 2)] {
        sandbox.import(seed, name, &["--parent", "base"]);
    }
    sandbox.write(
        "loop.sh",
        b"cp \"$1\" \"$2\"; [ -e go ] || exit 0; mkdir first 2>/dev/null && exit 0; touch runs; sleep 600\n",
    );
    let line = "sh loop.sh {parent} {out}";
    for name in ["x", "y"] {
        sandbox.ok(&["make", "s", "--name", name, "--parent", "base", "--command", line]);
    }
    sandbox.import(3, "base", &[]);
    sandbox.write("go", b"");
    let mut child = start(
        &sandbox,
        &sandbox.path(""),
        &[
            "update", "s", "base@1", "base@2", "--with", "recorded", "--skip", "one", "--skip",
            "two",
        ],
    );
    wait_for(&sandbox.path("runs"), &mut child);
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // As it was named on the command line, though an update opens it anew for each commit.
    let done = "what was done before stays: 1 commit to s";
    let told = format!("error: interrupted: {done}: --resume makes the rest\n");
    assert_eq!((output.status.signal(), stderr), (Some(2), told));
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn signals_that_are_ignored_stay_ignored() {
    let sandbox = with_base();
    sandbox.write(
        "wait.sh",
        b"touch runs; while [ ! -e go ]; do sleep 0.01; done; cp \"$1\" \"$2\"\n",
    );
    let tool = env!("CARGO_BIN_EXE_mgit-db");
    let line = format!(
        "trap '' HUP; exec '{tool}' make s --name m --parent base --command 'sh wait.sh {{parent}} {{out}}'"
    );
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", &line])
        .current_dir(sandbox.path(""))
        .env("XDG_CONFIG_HOME", sandbox.path("config"));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    wait_for(&sandbox.path("runs"), &mut child);
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::HUP).unwrap();
    sandbox.write("go", b"");
    assert!(child.wait().unwrap().success());
    assert_eq!(sandbox.models(), ["base@1", "m@1"]);
}

/// A signal that came while the tool began to watch for them made it wait for ever.
#[test]
fn a_signal_at_the_very_start_ends_it() {
    let sandbox = with_base();
    let mut random = Random(seed());
    for _ in 0..500 {
        let mut command = sandbox.command(&["ls", "s"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(8000)));
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > Duration::from_secs(120) => {
                    child.kill().unwrap();
                    panic!("it waits, and nobody will wake it");
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        assert!(status.success() || status.signal() == Some(Signal::TERM.as_raw()), "{status}");
    }
}
