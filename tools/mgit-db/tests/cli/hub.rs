//! Promise: a model of a hub is imported as a folder is; what was downloaded is kept until it is in
//! the store, and no longer; a store is as it was where it fails.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Answer, Sandbox, model};
use crate::hub_stub::{COMMIT, Reply, Seen, Stub, StubFile};

const CARD: &[u8] = b"---\nlicense: mit\nbase_model: org/base\n---\n# Tiny";

fn stub() -> Stub {
    Stub::new([
        ("README.md", StubFile::new(CARD)),
        ("config.json", StubFile::new(r#"{"model_type": "bert"}"#)),
        ("model.safetensors", StubFile::new(model(1))),
        ("onnx/model.txt", StubFile::new("a lot")),
    ])
}

/// The variables of a run: nothing of whoever tests.
fn variables<'v>(endpoint: &'v str, home: &'v str) -> Vec<(&'v str, &'v str)> {
    vec![("HF_ENDPOINT", endpoint), ("HF_TOKEN", ""), ("HF_TOKEN_PATH", ""), ("HF_HOME", home)]
}

fn run(sandbox: &Sandbox, stub: &Stub, arguments: &[&str]) -> Answer {
    let (endpoint, home) = (stub.endpoint(), sandbox.path("hf").display().to_string());
    sandbox.run_with(&variables(&endpoint, &home), arguments)
}

fn ok(sandbox: &Sandbox, stub: &Stub, arguments: &[&str]) -> String {
    let answer = run(sandbox, stub, arguments);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    answer.text()
}

fn refused(sandbox: &Sandbox, stub: &Stub, arguments: &[&str], code: i32) -> String {
    let answer = run(sandbox, stub, arguments);
    assert_eq!(answer.code, Some(code), "{arguments:?}: {answer:?}");
    answer.stderr
}

/// The folders of downloads beside the store.
fn kept(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.display().to_string().contains("/.mgit-hub-")).collect()
}

fn commits(sandbox: &Sandbox) -> Value {
    sandbox.json(&["stat", "s"])["commits"].clone()
}

#[test]
fn a_model_of_a_hub_is_imported_as_a_folder() {
    let (sandbox, stub) = (Sandbox::with_store(), stub());
    let text = ok(&sandbox, &stub, &["import", "s", "hub:org/tiny", "--exclude", "onnx"]);
    for part in [
        &format!("org/tiny@1 <- hub:org/tiny@{COMMIT} (3 tensors, "),
        "\n  3 files: 1 safetensors, 2 as bytes\n",
        "\n  left out onnx/: fits \"onnx\", which is excluded\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(kept(&sandbox).is_empty());
    assert!(stub.seen().iter().all(|seen| !seen.path.contains("onnx")));
    let shown = sandbox.json(&["show", "s", "org/tiny"]);
    assert_eq!(shown["kind"], "bert");
    for (key, value) in [
        ("license", "mit"),
        ("base_model", "org/base"),
        ("hub.repository", "org/tiny"),
        ("hub.revision", COMMIT),
        ("hub.endpoint", &stub.endpoint()),
    ] {
        assert_eq!(shown["metadata"][key], value, "{key}");
    }
    sandbox.ok(&["export", "s", "org/tiny", "out"]);
    assert_eq!(sandbox.read("out/model.safetensors"), model(1));
    assert_eq!(sandbox.read("out/README.md"), CARD);
    assert!(!sandbox.path("out/onnx").exists());
    // The same again is no version.
    let again = ["import", "s", "hub:org/tiny", "--exclude", "onnx"];
    assert!(ok(&sandbox, &stub, &again).contains("already there"));
    assert!(kept(&sandbox).is_empty());
    let document =
        run(&sandbox, &stub, &[&again[..], &["--json", "--name", "mine"]].concat()).json();
    assert_eq!(document["imported"][0]["file"], format!("hub:org/tiny@{COMMIT}"));
    assert_eq!(document["imported"][0]["left_out"][0]["path"], "onnx/");
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn several_are_versions_and_names_are_given_where_they_must_be() {
    let (sandbox, stub) = (Sandbox::with_store(), stub());
    sandbox.write("m.safetensors", &model(2));
    let text = ok(&sandbox, &stub, &["import", "s", "m.safetensors", "hub:tiny@v1", "--name", "t"]);
    assert!(text.contains("t@1 <- m.safetensors") && text.contains("t@2 <- hub:tiny@"), "{text}");
    let none = refused(&sandbox, &stub, &["import", "s", "hub:a", "hub:b"], 2);
    assert!(none.contains("--name is missing"), "{none}");
    refused(&sandbox, &stub, &["import", "s", "hub:a", "m.safetensors"], 2);
    refused(&sandbox, &stub, &["import", "s", "m.safetensors"], 2);
    for address in ["hub:", "hub:a/b/c", "hub:../x", "hub:a@"] {
        let message = refused(&sandbox, &stub, &["import", "s", address, "--name", "x"], 2);
        assert!(message.contains("is no model of a hub"), "{message}");
    }
    // A path may be called so.
    sandbox.write("hub:x", &model(3));
    fs::rename(sandbox.path("hub:x"), sandbox.path("hub:x.safetensors")).unwrap();
    ok(&sandbox, &stub, &["import", "s", "./hub:x.safetensors", "--name", "x"]);
    let child = ["import", "s", "hub:org/tuned", "--parent", "t", "--meta", "hub.endpoint=mine"];
    ok(&sandbox, &stub, &child);
    let shown = sandbox.json(&["show", "s", "org/tuned"]);
    assert_eq!(shown["metadata"]["hub.endpoint"], json!("mine"));
    assert_eq!(shown["parents"].as_array().map(Vec::len), Some(1));
    assert_eq!(sandbox.models(), ["org/tuned@1", "t@1", "t@2", "x@1"]);
}

#[test]
fn a_failure_leaves_the_store_as_it_was_and_keeps_what_came() {
    let (sandbox, stub) = (Sandbox::with_store(), stub());
    let before = commits(&sandbox);
    let import = ["import", "s", "hub:org/tiny"];
    stub.answer_by(|seen: &Seen| match seen.path.ends_with("model.safetensors") {
        true => Reply::Status(403, Vec::new(), Vec::new()),
        false => Reply::Honest,
    });
    let message = refused(&sandbox, &stub, &import, 1);
    let folder = kept(&sandbox)[0].display().to_string();
    for part in ["model.safetensors", "HF_TOKEN", "the same again goes on", &folder] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let answer = run(&sandbox, &stub, &[&["--json"], &import[..]].concat());
    assert_eq!(answer.json()["error"]["code"], "hub-needs-token");
    assert_eq!((commits(&sandbox), sandbox.models().len()), (before, 0));
    stub.answer_by(|_| Reply::Honest);
    stub.seen();
    ok(&sandbox, &stub, &import);
    let asked = stub.seen().into_iter().filter(|seen| !seen.is_listing());
    let asked: Vec<String> = asked.map(|seen| seen.path).collect();
    let ends = ["/model.safetensors", "/onnx/model.txt"];
    assert!(asked.iter().zip(ends).all(|(path, end)| path.ends_with(end)), "{asked:?}");
    assert!(asked.len() == 2 && kept(&sandbox).is_empty());
    // What is no model is kept too, and it is said where.
    let stub = Stub::new([("README.md", StubFile::new(CARD))]);
    let message = refused(&sandbox, &stub, &["import", "s", "hub:org/card"], 1);
    assert!(message.contains("holds no model") && message.contains(" is kept in "), "{message}");
    assert_eq!(kept(&sandbox).len(), 1);
    assert_eq!(sandbox.models(), ["org/tiny@1"]);
}

/// Starts an import that stays in the middle of a file.
fn stuck(sandbox: &Sandbox, stub: &Stub) -> Child {
    let rest = model(1);
    let head = format!(
        "HTTP/1.1 200 OK\r\nETag: {}\r\nContent-Length: {}\r\n\r\n",
        StubFile::new(model(1)).etag.unwrap(),
        rest.len()
    );
    let half = [head.as_bytes(), &rest[..rest.len() / 2]].concat();
    stub.answer_by(move |seen: &Seen| match seen.path.ends_with("model.safetensors") {
        true if seen.header("range").is_none() => {
            Reply::Endless(half.clone(), Vec::new(), Duration::from_millis(5))
        }
        _ => Reply::Honest,
    });
    let (endpoint, home) = (stub.endpoint(), sandbox.path("hf").display().to_string());
    let mut command = sandbox.command_for_signals(&["import", "s", "hub:org/tiny"]);
    command.envs(variables(&endpoint, &home)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let begun = Instant::now();
    while part_len(sandbox) < 10_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing comes");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// The length of the file that is on its way.
fn part_len(sandbox: &Sandbox) -> u64 {
    let parts = kept(sandbox).pop().and_then(|folder| fs::read_dir(folder.join("parts")).ok());
    let files = parts.into_iter().flatten().flatten().map(|entry| entry.path());
    let parts = files.filter(|path| path.extension().is_some_and(|it| it == "part"));
    parts.filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
}

#[test]
fn what_came_before_a_signal_is_kept_and_the_next_run_goes_on() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (sandbox, stub) = (Sandbox::with_store(), stub());
        let before = commits(&sandbox);
        let child = stuck(&sandbox, &stub);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        if signal != Signal::KILL {
            assert!(message.contains("interrupted: nothing was changed"), "{message}");
            assert!(message.contains("the same command goes on from there"), "{message}");
            assert!(message.contains(&kept(&sandbox)[0].display().to_string()), "{message}");
        }
        assert_eq!((commits(&sandbox), sandbox.models().len()), (before, 0));
        let came = part_len(&sandbox);
        assert!(came > 0);
        stub.seen();
        ok(&sandbox, &stub, &["import", "s", "hub:org/tiny"]);
        let asked = stub.seen().into_iter().find(|seen| seen.path.ends_with("model.safetensors"));
        assert_eq!(asked.unwrap().header("range"), Some(format!("bytes={came}-").as_str()));
        sandbox.ok(&["export", "s", "org/tiny", "out"]);
        assert!(sandbox.read("out/model.safetensors") == model(1));
        assert!(kept(&sandbox).is_empty());
    }
}

#[test]
fn the_token_is_found_where_the_hubs_own_client_has_it() {
    let (sandbox, stub) = (Sandbox::with_store(), stub());
    fs::create_dir_all(sandbox.path("hf")).unwrap();
    fs::create_dir_all(sandbox.path("cache/huggingface")).unwrap();
    sandbox.write("hf/token", b"of_home\n");
    sandbox.write("cache/huggingface/token", b"of_cache");
    sandbox.write("elsewhere", b"of_path");
    sandbox.write("empty", b" \n");
    let path = |name: &str| sandbox.path(name).display().to_string();
    let (endpoint, hf, cache) = (stub.endpoint(), path("hf"), path("cache"));
    let (elsewhere, empty, missing) = (path("elsewhere"), path("empty"), path("missing"));
    let base = variables(&endpoint, &hf);
    type Case<'v> = (&'v [(&'v str, &'v str)], Option<&'v str>);
    let cases: [Case<'_>; 7] = [
        (&[("HF_TOKEN", " given "), ("HF_TOKEN_PATH", &elsewhere)], Some("given")),
        (&[("HF_TOKEN_PATH", &elsewhere)], Some("of_path")),
        (&[], Some("of_home")),
        (&[("HF_HOME", ""), ("XDG_CACHE_HOME", &cache)], Some("of_cache")),
        (&[("HF_TOKEN_PATH", &empty)], None),
        (&[("HF_TOKEN_PATH", &missing)], None),
        (&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "true")], None),
    ];
    for (more, token) in cases {
        let variables = [&base[..], more].concat();
        let import = ["import", "s", "hub:org/tiny", "--force"];
        assert_eq!(sandbox.run_with(&variables, &import).code, Some(0), "{more:?}");
        let expected = token.map(|token| format!("Bearer {token}"));
        let seen = stub.seen();
        assert!(
            seen.iter().all(|it| it.header("authorization") == expected.as_deref()),
            "{more:?}"
        );
    }
    let folder = [("HF_TOKEN_PATH", hf.as_str())];
    let answer = sandbox.run_with(&[&base[..], &folder].concat(), &["import", "s", "hub:org/tiny"]);
    assert!(answer.stderr.contains("cannot read the hub's token"), "{answer:?}");
}
