//! Promise: `test` names what is wrong in one command, in text, JSON and JUnit XML, with exit code
//! 1; commands of a store run only when they were typed here, or with `--trust`; `bisect` finds
//! the first failing version and says what it did not look at.

use crate::common::{Sandbox, file_of};
use safetensors::tensor::Dtype;
use serde_json::json;

/// A model of one tensor, whose first value is `value`.
fn import(sandbox: &Sandbox, name: &str, value: f32, more: &[&str]) {
    let mut numbers = vec![1.0f32; 64];
    numbers[0] = value;
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    sandbox.write("f.safetensors", &file_of(&[("w", Dtype::F32, &[64], bytes)]));
    sandbox.ok(&[&["import", "s", "f.safetensors", "--name", name, "--force"], more].concat());
}

#[test]
fn one_command_names_what_is_not_finite() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "good", 1.0, &[]);
    import(&sandbox, "bad", f32::NAN, &["--parent", "good"]);
    let answer = sandbox.run(&["test", "run", "s", "--builtin", "finite", "--junit", "r.xml"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(1), ""));
    let text = answer.text();
    assert!(text.contains("failed finite  bad@1  1 NaN and 0 infinite elements in 1 tensors"));
    assert!(text.contains("1 passed, 1 failed"), "{text}");
    let xml = String::from_utf8(sandbox.read("r.xml")).unwrap();
    assert!(xml.contains("<testsuite name=\"finite\" tests=\"2\" failures=\"1\""), "{xml}");
    assert!(xml.contains("<testcase classname=\"finite\" name=\"good@1\""), "{xml}");
    let answer = sandbox.run(&["--json", "test", "run", "s", "bad", "--builtin", "finite"]);
    assert_eq!(answer.code, Some(1));
    let document = answer.json();
    // Known of the first run.
    assert_eq!((&document["failed"], &document["bytes_read"]), (&json!(1), &json!(0)));
    assert_eq!(document["results"][0]["model"], "bad@1");
    sandbox.ok(&["test", "run", "s", "g*", "--builtin", "finite", "--failed"]);
    sandbox.refused(&["test", "run", "s"], 1);
    sandbox.refused(&["test", "run", "s", "x*", "--builtin", "finite"], 1);
    assert_eq!(sandbox.failure(&["test", "run", "s", "-t", "no"], 1)["code"], "no-such-test");
    sandbox.refused(&["test", "run", "s", "--builtin", "no"], 2);
}

#[test]
fn tests_are_registered_listed_run_compared_and_removed() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", 1.0, &[]);
    sandbox.write(
        "eval.sh",
        b"test -s $1 && wc -c < $1 | \
        sed 's/.*/{\"metric\": \"bytes\", \"value\": &, \"direction\": \"lower\"}/'",
    );
    let add = ["test", "add", "s", "size", "--command", "sh eval.sh {model}"];
    let document = sandbox.json(&[&add[..], &["--bound", "bytes<=parent"]].concat());
    assert_eq!((&document["models"], &document["trusted"]), (&json!(1), &json!(true)));
    sandbox.refused(&add, 1);
    sandbox.ok(&["test", "add", "s", "finite", "--builtin", "finite", "--name-regex", "^b"]);
    for wrong in ["x {out}", "'", ""] {
        let wrong = ["test", "add", "s", "x", "--command", wrong];
        assert_ne!(sandbox.run(&wrong).code, Some(0), "{wrong:?}");
    }
    sandbox.refused(&["test", "add", "s", "x", "--builtin", "finite", "--name-regex", "("], 1);
    sandbox.refused(&["test", "add", "s", "x", "--builtin", "finite", "--bound", "a=1"], 2);
    sandbox.refused(&["test", "add", "s", "x"], 2);
    assert_eq!(sandbox.json(&["test", "ls", "s"])["tests"].as_array().unwrap().len(), 2);
    assert!(sandbox.ok(&["test", "results", "s"]).contains("not-run size"));
    let first = sandbox.json(&["test", "run", "s"]);
    assert_eq!((&first["passed"], &first["runs"]), (&json!(2), &json!(1)));
    assert_eq!(sandbox.json(&["test", "run", "s"])["runs"], 0);
    import(&sandbox, "base", 2.0, &[]);
    sandbox.ok(&["test", "run", "s"]);
    assert!(sandbox.ok(&["test", "compare", "s", "base@1", "base@2"]).contains("bytes"));
    // Pictures tell it too.
    assert!(sandbox.ok(&["log", "s"]).contains("2 tests passed"));
    import(&sandbox, "bad", f32::NAN, &[]);
    sandbox.run(&["test", "run", "s"]);
    for format in ["text", "dot", "mermaid", "svg", "html"] {
        let picture = sandbox.ok(&["graph", "s", "--format", format]);
        assert!(picture.contains("fails finite"), "{format}: {picture}");
    }
    let logged = sandbox.json(&["log", "s"]);
    assert!(logged.to_string().contains(r#""failed":["finite"]"#), "{logged}");
    let compared = sandbox.json(&["test", "compare", "s", "base@1", "base@2"]);
    assert_eq!(compared["tests"][1]["metrics"][0]["metric"], "bytes");
    assert!(sandbox.ok(&["test", "rm", "s", "size"]).contains("is gone"));
    sandbox.refused(&["test", "rm", "s", "size"], 1);
}

#[test]
fn a_command_that_came_with_a_store_needs_trust() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", 1.0, &[]);
    sandbox.ok(&["test", "add", "s", "mark", "--command", "touch mark"]);
    // Another user's machine.
    std::fs::remove_dir_all(sandbox.path("config")).unwrap();
    let answer = sandbox.run(&["test", "run", "s"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.text().contains("not trusted") && !sandbox.path("mark").exists());
    assert!(sandbox.ok(&["test", "ls", "s"]).contains("(not trusted)"));
    sandbox.ok(&["test", "run", "s", "--trust"]);
    assert!(sandbox.path("mark").exists());
    assert!(!sandbox.path("config").exists(), "trust for one run is not remembered");
}

#[test]
fn bisect_names_the_first_failing_version() {
    let sandbox = Sandbox::with_store();
    let broken = |version: usize| version >= 12;
    for version in 1..=20 {
        // Of equal content there would be no new version.
        let nan = f32::from_bits(f32::NAN.to_bits() + version as u32);
        let value = if broken(version) { nan } else { version as f32 };
        import(&sandbox, "base", value, &[]);
    }
    let found = sandbox.json(&["bisect", "s", "base@1", "base@20", "--builtin", "finite"]);
    assert_eq!((&found["first_failing"], &found["by"]), (&json!("base@12"), &json!("versions")));
    // The two ends, and log2 of the 19 behind the first.
    assert!(found["runs"].as_u64().unwrap() <= 2 + 5, "{found}");
    assert_eq!((&found["exact"], &found["contradictions"]), (&json!(true), &json!([])));
    assert!(found["not_looked_at"].as_u64().unwrap() > 0);
    for (good, bad, words) in [
        ("base@12", "base@20", "base@12 must pass and fails"),
        ("base@1", "base@11", "base@11 must fail and passes"),
        ("base@2", "base@2", "base@2 must fail and passes"),
    ] {
        let refused = sandbox.failure(&["bisect", "s", good, bad, "--builtin", "finite"], 1);
        assert_eq!(refused["code"], "wrong-end", "{refused}");
        assert!(refused["message"].as_str().unwrap().starts_with(words), "{refused}");
    }
    let refused = sandbox.failure(&["bisect", "s", "base@20", "base@1", "--builtin", "finite"], 1);
    assert_eq!(refused["code"], "no-path");
    // It comes back, and a result that is known says so.
    import(&sandbox, "base", 3.0, &[]);
    import(&sandbox, "base", f32::NAN, &[]);
    sandbox.run(&["test", "run", "s", "base@21", "--builtin", "finite"]);
    let found = sandbox.json(&["bisect", "s", "base@1", "base@22", "--builtin", "finite", "--all"]);
    assert_ne!(found["contradictions"], json!([]), "{found}");
    let text = sandbox.ok(&["bisect", "s", "base@1", "base@22", "--builtin", "finite"]);
    assert!(text.contains("back and forth"), "{text}");
}

#[test]
fn bisect_follows_what_was_derived_from_what() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "m0", 1.0, &[]);
    for at in 1..6 {
        let value = if at >= 4 { f32::INFINITY } else { at as f32 + 1.0 };
        import(&sandbox, &format!("m{at}"), value, &["--parent", &format!("m{}", at - 1)]);
    }
    let found = sandbox.json(&["bisect", "s", "m0", "m5", "--builtin", "finite"]);
    assert_eq!((&found["first_failing"], &found["by"]), (&json!("m4@1"), &json!("provenance")));
}
