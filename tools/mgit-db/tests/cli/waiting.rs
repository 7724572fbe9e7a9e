//! Promise: a store is kept from others while a change is written and not while a program runs; who
//! has to wait does, and is told for whom; what a program has made is not lost when it cannot be
//! added; and what has run out (disk, open files, memory) is said, never called damage.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common;
use crate::common::{Sandbox, file_of, model};
use safetensors::tensor::Dtype;

/// Programs that say that they run and then wait: `hold.sh` copies its first file to its second,
/// where it has one, and `gate.sh` finds every model as good as the other.
fn programs(sandbox: &Sandbox) {
    let hold =
        "echo started >&2; touch started; read go < gate; test -z \"$2\" || cp \"$1\" \"$2\"\n";
    sandbox.write("hold.sh", hold.as_bytes());
    let gate = "touch started; read go < gate; echo 1\n";
    sandbox.write("gate.sh", gate.as_bytes());
    let made = Command::new("mkfifo").arg(sandbox.path("gate")).status().unwrap();
    assert!(made.success());
}

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let mut command = sandbox.command(arguments);
    command.env("TMPDIR", sandbox.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until the program runs.
fn wait_for_program(sandbox: &Sandbox, child: &mut Child) {
    let started = sandbox.path("started");
    while !started.exists() {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it ended ({status}) before its program ran: {said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_file(started).unwrap();
}

/// Lets the program go on.
fn let_go(sandbox: &Sandbox) {
    let mut gate = fs::File::options().write(true).open(sandbox.path("gate")).unwrap();
    gate.write_all(b"go\n").unwrap();
}

fn end(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs a command, and imports beside every one of the programs that it runs.
fn beside(sandbox: &Sandbox, arguments: &[&str], programs: usize) {
    let mut child = start(sandbox, arguments);
    for at in 0..programs {
        wait_for_program(sandbox, &mut child);
        sandbox.write("beside.safetensors", &model(50 + at as u32));
        let import = ["import", "s", "beside.safetensors", "--name", "beside", "--wait=0"];
        let answer = sandbox.run(&import);
        assert_eq!(answer.code, Some(0), "beside {arguments:?}: {answer:?}");
        let_go(sandbox);
    }
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{arguments:?}: {stdout}{stderr}");
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn six_imports_at_once_all_succeed() {
    let sandbox = Sandbox::with_store();
    let mut children = Vec::new();
    for at in 0..6 {
        let (file, name) = (format!("{at}.safetensors"), format!("m{at}"));
        sandbox.write(&file, &model(at));
        children.push(start(&sandbox, &["import", "s", &file, "--name", &name, "--wait"]));
    }
    for child in children {
        let (code, stdout, stderr) = end(child);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
    }
    assert_eq!(sandbox.models().len(), 6);
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn others_import_while_a_program_runs() {
    let sandbox = Sandbox::with_store();
    programs(&sandbox);
    sandbox.import(0, "base", &[]);
    let line = "sh hold.sh {parent:base} {out}";
    beside(&sandbox, &["make", "s", "--name", "made", "--parent", "base", "--command", line], 1);
    beside(&sandbox, &["remake", "s", "made"], 1);
    sandbox.import(2, "base", &[]);
    beside(&sandbox, &["update", "s", "base@1", "base@2"], 1);
    assert!(sandbox.models().contains(&"made@2".to_owned()));

    // A gate measures the model without loss first.
    let lossy = ["--lossy", "quantised:1e-4", "--gate", "sh gate.sh {model}", "--max-drop", "0.1"];
    let lossy = [&lossy[..], &["--higher-is-better"]].concat();
    sandbox.write("child.safetensors", &model(1));
    let import = ["import", "s", "child.safetensors", "--parent", "base@1", "--name", "small"];
    beside(&sandbox, &[&import[..], &lossy].concat(), 2);
    sandbox.ok(&[&import[..6], &["plain"]].concat());
    beside(&sandbox, &[&["recode", "s", "plain"][..], &lossy].concat(), 2);
    for name in ["small", "plain"] {
        assert!(sandbox.json(&["show", "s", name])["lossy"].is_object(), "{name}");
    }

    let test = ["--command", "sh hold.sh {model}", "--name-glob", "base"];
    sandbox.ok(&[&["test", "add", "s", "held"][..], &test].concat());
    beside(&sandbox, &["test", "run", "s", "base@1"], 1);
    assert_eq!(sandbox.json(&["test", "run", "s", "base@1"])["runs"], 0, "the result is kept");
}

#[test]
fn others_import_while_a_bisection_runs_its_test() {
    let sandbox = Sandbox::with_store();
    programs(&sandbox);
    for seed in 0..3 {
        sandbox.import(seed, "base", &[]);
    }
    sandbox.write("good", &model(0));
    sandbox.write("judge.sh", b"touch started; read go < gate; cmp -s \"$1\" good\n");
    let test = ["--command", "sh judge.sh {model}", "--name-glob", "base"];
    sandbox.ok(&[&["test", "add", "s", "judged"][..], &test].concat());
    let bisect = ["bisect", "s", "--test", "judged", "base@1", "base@3"];
    beside(&sandbox, &bisect, 3);
    // What was found is kept: nothing runs, which would wait to be let go.
    sandbox.write("judge.sh", b"exit 3\n");
    let results = sandbox.json(&["test", "results", "s"])["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 3, "{results}");
}

/// Two children of one model that change layers that meet.
fn two_sides(sandbox: &Sandbox) {
    for (name, numbers) in [("root", [0.0, 1.0]), ("alice", [0.5, 1.0]), ("bob", [0.0, 1.25])] {
        let weight = |number: f32| -> Vec<u8> {
            (0..64).flat_map(|at| (number + at as f32 / 64.0).to_le_bytes()).collect()
        };
        let file = file_of(&[
            ("encoder.layer.0.dense.weight", Dtype::F32, &[8, 8], weight(numbers[0])),
            ("encoder.layer.1.dense.weight", Dtype::F32, &[8, 8], weight(numbers[1])),
        ]);
        sandbox.write("side.safetensors", &file);
        let parent: &[&str] = if name == "root" { &[] } else { &["--parent", "root"] };
        sandbox.ok(&[&["import", "s", "side.safetensors", "--name", name], parent].concat());
    }
}

const MERGE: [&str; 6] = ["merge", "s", "alice", "bob", "--name", "both"];

#[test]
fn others_import_while_a_merge_is_on_trial() {
    let sandbox = Sandbox::with_store();
    programs(&sandbox);
    two_sides(&sandbox);
    let test = ["--command", "sh hold.sh {model}", "--name-glob", "bob"];
    sandbox.ok(&[&["test", "add", "s", "held"][..], &test].concat());
    beside(&sandbox, &MERGE, 1);
    assert!(sandbox.models().contains(&"both@1".to_owned()));

    // A test that is registered meanwhile must be passed too.
    let test = ["--builtin", "norm-drift", "--name-glob", "bob", "--bound", "norm-drift<0"];
    sandbox.ok(&["test", "rm", "s", "held"]);
    let held = ["--command", "sh hold.sh {model} again", "--name-glob", "bob"];
    sandbox.ok(&[&["test", "add", "s", "held"][..], &held].concat());
    let mut child = start(&sandbox, &MERGE);
    wait_for_program(&sandbox, &mut child);
    sandbox.ok(&[&["test", "add", "s", "calm"][..], &test].concat());
    let_go(&sandbox);
    // Run again with both; nothing of the first trial is kept.
    wait_for_program(&sandbox, &mut child);
    let_go(&sandbox);
    let (code, _, stderr) = end(child);
    assert!(code == Some(1) && stderr.contains("calm"), "{stderr}");

    // Nor is a side to go away.
    sandbox.ok(&["test", "rm", "s", "calm"]);
    let mut child = start(&sandbox, &MERGE);
    wait_for_program(&sandbox, &mut child);
    sandbox.ok(&["rm", "s", "both@1"]);
    sandbox.ok(&["rm", "s", "bob"]);
    let_go(&sandbox);
    let (code, _, stderr) = end(child);
    assert!(code == Some(1) && stderr.contains("bob@1"), "{stderr}");
    assert!(stderr.contains("removed meanwhile"), "{stderr}");
    assert!(!sandbox.models().iter().any(|model| model.starts_with("both")));
}

/// The path that a message names.
fn kept_in(message: &str) -> &str {
    let kept = message.split_once("kept, to be imported: ").expect("a path").1;
    kept.split(": ").next().unwrap()
}

#[test]
fn what_was_made_of_a_model_that_is_gone_is_kept_beside() {
    let sandbox = Sandbox::with_store();
    programs(&sandbox);
    sandbox.import(0, "base", &[]);
    let line = "sh hold.sh {parent:base} {out}";
    let make = ["make", "s", "--name", "made", "--parent", "base", "--command", line, "--json"];
    let mut child = start(&sandbox, &make);
    wait_for_program(&sandbox, &mut child);
    sandbox.ok(&["rm", "s", "base"]);
    let_go(&sandbox);
    let (code, stdout, _) = end(child);
    let error = &serde_json::from_str::<serde_json::Value>(&stdout).unwrap()["error"];
    assert_eq!((code, &error["code"]), (Some(1), &"input-removed".into()), "{stdout}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("base@1, which made was made from, was removed"), "{message}");
    let kept = kept_in(message);
    assert_eq!(fs::read(kept).unwrap(), model(0));
    assert!(sandbox.models().is_empty());

    // So it is when the store is held for too long.
    sandbox.import(0, "base", &[]);
    let mut child = start(&sandbox, &[&make[..], &["--wait=0"]].concat());
    wait_for_program(&sandbox, &mut child);
    let store = mgit::Store::open(sandbox.path("s")).unwrap();
    let_go(&sandbox);
    let (code, stdout, _) = end(child);
    drop(store);
    let error = &serde_json::from_str::<serde_json::Value>(&stdout).unwrap()["error"];
    assert_eq!((code, &error["code"]), (Some(1), &"locked".into()), "{stdout}");
    let kept = kept_in(error["message"].as_str().unwrap());
    sandbox.ok(&["import", "s", kept, "--name", "made", "--parent", "base"]);
}

#[test]
fn a_version_that_comes_meanwhile_is_no_parent_and_a_vacuum_is_followed() {
    let sandbox = Sandbox::with_store();
    programs(&sandbox);
    sandbox.import(0, "base", &[]);
    let line = "sh hold.sh {parent:base} {out}";
    let make = ["make", "s", "--name", "base", "--parent", "base", "--command", line];
    let mut child = start(&sandbox, &make);
    wait_for_program(&sandbox, &mut child);
    sandbox.import(1, "base", &[]);
    sandbox.ok(&["vacuum", "s"]);
    let_go(&sandbox);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let shown = sandbox.json(&["show", "s", "base@3"]);
    assert_eq!(shown["parents"][0]["model"], "base@1", "{shown}");
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn who_waits_is_told_for_whom() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let store = mgit::Store::open(sandbox.path("s")).unwrap();
    // Nobody has written.
    let refused = sandbox.failure(&["tag", "s", "stable", "base", "--wait=0"], 1);
    assert_eq!(refused["code"], "locked");
    let own = format!("process {}", std::process::id());
    let message = refused["message"].as_str().unwrap();
    let known = std::path::Path::new("/proc/self/fdinfo").exists();
    let holder = if known { own.as_str() } else { "another process" };
    assert!(message.starts_with(holder), "{message}");
    for wrong in ["--wait=x", "--wait=-1", "--wait="] {
        sandbox.refused(&["ls", "s", wrong], 2);
    }
    let mut child = start(&sandbox, &["tag", "s", "stable", "base", "--wait", "--json"]);
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert!(told.starts_with("waiting: ") && told.contains(holder), "{told}");
    drop(store);
    let (code, stdout, _) = end(child);
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).unwrap()["schema"], 1);
    told.clear();
    assert_eq!(stderr.read_line(&mut told).unwrap(), 0, "it is said once: {told}");
}

#[test]
fn what_a_program_writes_is_shown_as_it_comes() {
    let sandbox = Sandbox::with_store();
    programs(&sandbox);
    sandbox.import(0, "base", &[]);
    let line = "sh hold.sh {parent:base} {out}";
    let make = ["make", "s", "--parent", "base", "--command", line, "--name"];
    let mut child = start(&sandbox, &[&make[..], &["one"]].concat());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    // It has not ended: nobody has let it go.
    stderr.read_line(&mut told).unwrap();
    assert_eq!(told, "started\n");
    wait_for_program(&sandbox, &mut child);
    let_go(&sandbox);
    assert_eq!(end(child).0, Some(0));

    let mut child = start(&sandbox, &[&make[..], &["two"]].concat());
    wait_for_program(&sandbox, &mut child);
    let_go(&sandbox);
    assert_eq!(end(child).0, Some(0));
    // The recipes are followed by a program that need not be let go.
    sandbox.write("hold.sh", b"echo started >&2; printf unended; cp $1 $2");
    sandbox.import(1, "base", &[]);
    let child = start(&sandbox, &["update", "s", "base@1", "base@2", "--jobs", "2", "--no-tests"]);
    let (code, stdout, stderr) = end(child);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let mut lines: Vec<&str> = stderr.lines().collect();
    lines.sort_unstable();
    let expected = ["one@1: started", "one@1: unended", "two@1: started", "two@1: unended"];
    assert_eq!(lines, expected);
}

#[test]
fn of_a_failure_the_end_is_shown() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let script = "seq 1 20000; printf '%0900d\\n' 7; echo the reason; exit 3\n";
    sandbox.write("fail.sh", script.as_bytes());
    let line = "sh fail.sh {out}";
    let make = ["make", "s", "--name", "m", "--parent", "base", "--command", line, "--json"];
    let error = sandbox.run(&make).json()["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.ends_with("the reason") && message.contains("exit code 3"), "{message}");
    assert!(message.len() < 1000, "{message}");
    sandbox.ok(&["test", "add", "s", "wrong", "--command", "sh fail.sh {model}"]);
    let answer = sandbox.run(&["test", "run", "s"]);
    let text = answer.text();
    assert!(text.contains("    the reason\n") && text.contains("lines before)"), "{text}");
    assert!(!text.contains("    1\n"), "{text}");
}

/// Runs the tool behind a line of a shell; `None` where the shell's part does not work.
fn behind(sandbox: &Sandbox, shell: &str, arguments: &[&str]) -> Option<common::Answer> {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{shell} || exit 77; exec \"$@\""), "sh"]);
    let tool = sandbox.command(arguments);
    command.arg(tool.get_program()).args(tool.get_args()).current_dir(sandbox.path(""));
    let config = sandbox.path("config");
    let output = command.env("XDG_CONFIG_HOME", config).output().ok()?;
    let stderr = String::from_utf8(output.stderr).unwrap();
    let code = output.status.code().filter(|code| *code != 77 && !stderr.contains("unshare"))?;
    Some(common::Answer { code: Some(code), stdout: output.stdout, stderr })
}

#[test]
fn a_full_disk_is_called_so() {
    let sandbox = Sandbox::with_store();
    two_sides(&sandbox);
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "child", &["--parent", "base"]);
    sandbox.import(2, "base", &[]);
    let test = ["--builtin", "finite", "--name-glob", "bob"];
    sandbox.ok(&[&["test", "add", "s", "finite"][..], &test].concat());
    let make = ["make", "small/s", "--name", "m", "--parent", "base", "--command"];
    let copying = [&make[..], &["cp {parent:base} {out}"]].concat();
    sandbox.ok(&["make", "s", "--name", "copy", "--parent", "base", "--command", copying[7]]);
    fs::create_dir(sandbox.path("small")).unwrap();
    let mount = "mount -t tmpfs -o size=4m none small && cp s small/s && \
                 { cat /dev/zero > small/fill 2>/dev/null; true; }";
    let with_temporary = format!("{mount} && export TMPDIR=$PWD/small");
    let merge = [&["merge", "small/s"][..], &MERGE[2..]].concat();
    let export = ["export", "small/s", "base", "small/out.safetensors"];
    let import = ["import", "small/s", "child.safetensors", "--name", "other"];
    for (shell, arguments) in [
        (mount, &["update", "small/s", "base@1", "base@2"][..]),
        (mount, &merge),
        (mount, &export),
        (mount, &import),
        (mount, &["remake", "small/s", "copy", "--out", "small/again.safetensors"]),
        (mount, &["backup", "small/s", "small/copy"]),
        (mount, &["vacuum", "small/s"]),
        (mount, &["init", "small/new"]),
        (mount, &["clone", "s", "small/clone"]),
        (mount, &["bundle", "create", "small/s", "small/b"]),
        (&with_temporary, &copying),
        (&with_temporary, &["remake", "small/s", "copy"]),
    ] {
        let words = [arguments, &["--json"]].concat();
        let Some(answer) = behind(&sandbox, shell, &words) else {
            println!("skipped: a small tmpfs cannot be mounted here");
            return;
        };
        assert_eq!(answer.code, Some(1), "{arguments:?}: {answer:?}");
        let error = answer.json()["error"].clone();
        // Where the records find room it is the commit that fails, as the catalogue grows.
        let commits = ["update", "import"].contains(&arguments[0]);
        let is_code = error["code"] == "disk-full" || commits && error["code"] == "outcome-unknown";
        assert!(is_code, "{arguments:?}: {error}");
        let message = error["message"].as_str().unwrap();
        assert_eq!(message.matches("the disk is full").count(), 1, "{arguments:?}: {message}");
    }
}

#[test]
fn what_has_run_out_is_no_damage() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let limited = |limit: String, arguments: &[&str]| {
        let tool = sandbox.command(&[arguments, &["--json"]].concat());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
        command.arg(tool.get_program()).args(tool.get_args()).current_dir(sandbox.path(""));
        let output = command.output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{limit}, {arguments:?}: {error}: {output:?}"));
        (output.status.code(), document)
    };
    for arguments in [
        &["verify", "s"][..],
        &["ls", "s"],
        &["tag", "s", "here", "base"],
        &["salvage", "s", "new"],
    ] {
        let mut refused = 0;
        for files in 4..64 {
            let (code, document) = limited(format!("-n {files}"), arguments);
            if code == Some(0) {
                break;
            }
            refused += 1;
            let error = &document["error"]["code"];
            assert_eq!(error, "too-many-open-files", "{arguments:?}, {files}: {document}");
        }
        assert!((1..59).contains(&refused), "{arguments:?}: {refused} limits were too low");
    }
    sandbox.ok(&["verify", "s"]);
    // A file that is longer than the address space.
    fs::File::options().write(true).open(sandbox.path("s")).unwrap().set_len(8 << 30).unwrap();
    for arguments in [&["ls", "s"][..], &["verify", "s"], &["tag", "s", "there", "base"]] {
        let (code, document) = limited("-v 4000000".to_owned(), arguments);
        let error = &document["error"];
        assert_eq!((code, &error["code"]), (Some(1), &"out-of-memory".into()), "{document}");
        assert!(!error["message"].as_str().unwrap().contains("verify"), "{document}");
    }
    sandbox.ok(&["ls", "s"]);
}
