//! Promise: `make` keeps a recipe, `remake` follows it to the same bytes, and `update` makes what
//! descends from a new version: planned first, each once, resumed after a kill, with the registered
//! tests side by side; whatever a command does, the store stays whole.

use std::time::Duration;

use crate::common::{Sandbox, file_of};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

/// A model of one matrix: `values` in its first places, ones in the others.
fn import(sandbox: &Sandbox, name: &str, values: &[f32], more: &[&str]) {
    let mut numbers = vec![1.0f32; 64];
    numbers[..values.len()].copy_from_slice(values);
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    sandbox.write("f.safetensors", &file_of(&[("w", Dtype::F32, &[8, 8], bytes)]));
    sandbox.ok(&[&["import", "s", "f.safetensors", "--name", name], more].concat());
}

/// The first values of a model's matrix.
fn values(sandbox: &Sandbox, model: &str, count: usize) -> Vec<f32> {
    let out = sandbox.path("out.safetensors");
    let _ = std::fs::remove_file(&out);
    sandbox.ok(&["export", "s", model, "out.safetensors"]);
    let bytes = std::fs::read(out).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor("w").unwrap().data().to_vec();
    data.as_chunks::<4>().0.iter().take(count).map(|b| f32::from_le_bytes(*b)).collect()
}

/// base, two children of it, and a child of both.
fn diamond(sandbox: &Sandbox) {
    import(sandbox, "base", &[1.0, 2.0], &[]);
    import(sandbox, "left", &[1.5, 2.0], &["--parent", "base"]);
    import(sandbox, "right", &[1.0, 2.5], &["--parent", "base"]);
    import(sandbox, "both", &[1.5, 2.5], &["--parent", "left", "--parent", "right"]);
}

fn is_whole(sandbox: &Sandbox) {
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn a_model_that_was_made_can_be_made_again() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", &[1.0, 2.0], &[]);
    let made = sandbox.json(&[
        "make",
        "s",
        "--name",
        "half",
        "--with",
        "cast",
        "--parent",
        "base",
        "--param",
        "dtype=bf16",
    ]);
    assert_eq!((&made["model"], &made["function"]), (&json!("half@1"), &json!("cast")));
    assert!(sandbox.ok(&["remake", "s", "half"]).contains("the same, bit for bit"));
    sandbox.ok(&["remake", "s", "half", "--out", "half.safetensors"]);
    sandbox.ok(&["export", "s", "half", "stored.safetensors"]);
    assert_eq!(sandbox.read("half.safetensors"), sandbox.read("stored.safetensors"));
    // A command, with its parameter and its seed.
    sandbox.write("train.sh", b"cp $1 $2; echo $3 $4 > told");
    let line = "sh train.sh {parent:base} {out} {param:lr} {seed}";
    let command = ["make", "s", "--name", "tuned", "--parent", "base", "--command", line];
    sandbox.ok(&[&command[..], &["--param", "lr=0.5", "--seed", "7"]].concat());
    assert_eq!(sandbox.read("told"), b"0.5 7\n");
    std::fs::remove_file(sandbox.path("told")).unwrap();
    assert!(sandbox.ok(&["remake", "s", "tuned"]).contains("the same"));
    assert_eq!(sandbox.read("told"), b"0.5 7\n");
    is_whole(&sandbox);
}

#[test]
fn wrong_arguments_are_refused_and_leave_nothing() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", &[1.0], &[]);
    let make = ["make", "s", "--name", "m"];
    let refused = |more: &[&str], code: i32| sandbox.refused(&[&make[..], more].concat(), code);
    assert!(refused(&["--with", "no-such", "--parent", "base"], 1).contains("no-such"));
    refused(&["--with", "cast"], 1);
    refused(&["--with", "cast", "--parent", "base"], 1);
    refused(&["--with", "cast", "--parent", "base", "--param", "dtype=f3"], 1);
    refused(&["--with", "cast", "--parent", "gone", "--param", "dtype=f16"], 1);
    refused(&["--parent", "base"], 2);
    refused(&["--with", "cast", "--command", "true"], 2);
    sandbox.refused(&["remake", "s", "base"], 1);
    sandbox.refused(&["update", "s", "base", "base"], 1);
    sandbox.refused(&["update", "s", "base", "gone"], 1);
    sandbox.refused(&["update", "s", "base"], 2);
    sandbox.refused(&["update", "s", "base", "base@2", "--with", "magic"], 2);
    sandbox.refused(&["update", "s", "base", "base@2", "--jobs", "0"], 2);
    assert_eq!(sandbox.models(), ["base@1"]);
}

#[test]
fn commands_that_go_wrong_leave_nothing() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", &[1.0], &[]);
    let cases = [
        ("sh -c 'exit 3' {out}", "3"),
        ("true {out}", "out"),
        ("true", "{out}"),
        ("sh -c 'kill -9 $$' {out}", "signal"),
        ("sh -c 'echo rubbish > {out}'", ""),
        ("sh -c 'head -c 100 {parent:base} > {out}'", ""),
        ("sh -c 'mkdir {out}'", ""),
        ("no-such-program-here {out}", "no-such-program-here"),
    ];
    let make = ["make", "s", "--name", "m", "--parent", "base", "--command"];
    let late = [&make[..], &["sh -c 'sleep 1000' {out}", "--time-limit", "0.5"]].concat();
    assert!(sandbox.refused(&late, 1).contains("0.5"));
    for (line, told) in cases {
        let refused = sandbox.refused(&[&make[..], &[line]].concat(), 1);
        assert!(refused.contains(told), "{line}: {refused}");
        assert_eq!(sandbox.models(), ["base@1"], "{line}");
    }
    is_whole(&sandbox);
}

#[test]
fn an_update_is_planned_made_once_and_tested_side_by_side() {
    let sandbox = Sandbox::with_store();
    diamond(&sandbox);
    sandbox.ok(&["test", "add", "s", "finite", "--builtin", "finite"]);
    sandbox.write("first.sh", b"echo '{\"metric\": \"size\", \"value\": '$(wc -c < $1)'}'");
    sandbox.ok(&["test", "add", "s", "size", "--command", "sh first.sh {model}"]);
    import(&sandbox, "base", &[3.0, 2.0], &[]);
    let update = ["update", "s", "base@1", "base@2"];
    let dry = sandbox.json(&[&update[..], &["--dry-run"]].concat());
    assert_eq!(dry["plan"]["steps"].as_array().unwrap().len(), 3);
    let tree = sandbox.ok(&[&update[..], &["--dry-run"]].concat());
    assert!(tree.contains("base@1 -> base@2: 3 models to make"), "{tree}");
    assert!(tree.contains("└─ both@1") || tree.contains("─ both@1"), "{tree}");
    assert_eq!(sandbox.models().len(), 5, "a dry run makes nothing");
    let text = sandbox.ok(&[&update[..], &["--jobs", "2"]].concat());
    assert!(
        text.contains("left@1 -> left@2") && text.contains("3 models made, 0 failed"),
        "{text}"
    );
    assert!(text.contains("TEST") && text.contains("finite") && text.contains("size"), "{text}");
    // New parent + (child - old parent), along both ways.
    assert_eq!(values(&sandbox, "left@2", 2), [3.5, 2.0]);
    assert_eq!(values(&sandbox, "right@2", 2), [3.0, 2.5]);
    assert_eq!(values(&sandbox, "both@2", 2), [3.5, 2.5]);
    let again = sandbox.json(&update);
    assert_eq!((&again["made"], &again["tests"]), (&json!([]), &json!([])));
    assert_eq!(sandbox.models().len(), 8);
    is_whole(&sandbox);
}

#[test]
fn a_test_that_fails_on_what_was_made_gives_exit_code_1() {
    let sandbox = Sandbox::with_store();
    diamond(&sandbox);
    sandbox.ok(&["test", "add", "s", "finite", "--builtin", "finite"]);
    import(&sandbox, "base", &[f32::NAN], &[]);
    let answer = sandbox.run(&["update", "s", "base@1", "base@2", "--skip", "right"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(1), ""));
    assert!(answer.text().contains("fails now"), "{}", answer.text());
    assert_eq!(sandbox.models().iter().filter(|name| name.starts_with("right")).count(), 1);
    let sandbox = Sandbox::with_store();
    diamond(&sandbox);
    sandbox.ok(&["test", "add", "s", "finite", "--builtin", "finite"]);
    import(&sandbox, "base", &[f32::NAN], &[]);
    sandbox.ok(&["update", "s", "base@1", "base@2", "--no-tests"]);
}

#[test]
fn a_failing_model_keeps_back_only_what_stands_on_it() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", &[1.0], &[]);
    sandbox.write("make.sh", b"test ! -e broken || exit 3; cp $1 $2");
    for name in ["good", "bad"] {
        let script = if name == "good" {
            "cp {parent:base} {out}"
        } else {
            "sh make.sh {parent:base} {out}"
        };
        sandbox.ok(&["make", "s", "--name", name, "--parent", "base", "--command", script]);
    }
    import(&sandbox, "child", &[1.0, 5.0], &["--parent", "bad"]);
    import(&sandbox, "base", &[2.0], &[]);
    sandbox.write("broken", b"");
    let update = ["update", "s", "base@1", "base@2", "--json"];
    let answer = sandbox.run(&update);
    assert_eq!(answer.code, Some(1));
    let document = answer.json();
    assert_eq!(document["made"][0]["of"], "good@1");
    assert_eq!(document["failed"][0]["model"], "bad@1");
    assert_eq!(document["blocked"], json!(["child@1"]));
    std::fs::remove_file(sandbox.path("broken")).unwrap();
    let refused = sandbox.failure(&["update", "s", "base@1", "base@2"], 1);
    assert_eq!(refused["code"], "update-begun");
    let rest = sandbox.json(&["update", "s", "base@1", "base@2", "--resume"]);
    let made: Vec<&Value> = rest["made"].as_array().unwrap().iter().map(|it| &it["of"]).collect();
    assert_eq!(made, [&json!("bad@1"), &json!("child@1")]);
    is_whole(&sandbox);
}

/// Kills an update again and again, at moments further and further on, until one is quick enough.
/// Says how often: not at all on a machine so busy that the first was done before it was killed.
fn kill_updates() -> u32 {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "base", &[1.0], &[]);
    let names: Vec<String> = (0..12).map(|at| format!("m{at:02}")).collect();
    for (at, name) in names.iter().enumerate() {
        let parent = if at == 0 { "base" } else { &names[at - 1] };
        import(&sandbox, name, &[1.0, at as f32], &["--parent", parent]);
    }
    import(&sandbox, "base", &[2.0], &[]);
    let mut kills = 0;
    for round in 0.. {
        let update = ["update", "s", "base@1", "base@2", "--resume"];
        let mut child = sandbox.command(&update);
        let child = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = child.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(4 * round));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        if ended.success() {
            break;
        }
        kills += 1;
        is_whole(&sandbox);
    }
    let models = sandbox.models();
    assert_eq!(models.len(), 2 * 13, "{models:?}");
    for (at, name) in names.iter().enumerate() {
        assert!(models.contains(&format!("{name}@2")), "{models:?}");
        assert_eq!(values(&sandbox, &format!("{name}@2"), 2), [2.0, at as f32]);
    }
    kills
}

#[test]
fn an_update_that_is_killed_goes_on_and_makes_nothing_twice() {
    let kills = std::iter::repeat_with(kill_updates).find(|kills| *kills > 0);
    println!("{} updates were killed", kills.unwrap_or_default());
}

/// What a function left as it was, or settled by a rule, is said by name; an adapter's settings come
/// from a file and are kept with the recipe.
#[test]
fn make_says_what_it_left_and_reads_an_adapters_settings() {
    let sandbox = Sandbox::with_store();
    let float = |value: f32| value.to_le_bytes().to_vec();
    for (name, count) in [("a", 4i64), ("b", 9)] {
        let count = count.to_le_bytes().to_vec();
        let tensors =
            [("steps", Dtype::I64, &[][..], count), ("q.weight", Dtype::F32, &[1, 1], float(1.0))];
        sandbox.write("f.safetensors", &file_of(&tensors));
        sandbox.ok(&["import", "s", "f.safetensors", "--name", name]);
    }
    let cast = ["make", "s", "--name", "h", "--with", "cast", "--parent", "a"];
    let text = sandbox.ok(&[&cast[..], &["--param", "dtype=bf16"]].concat());
    assert!(text.contains("left as it was: I64 is not cast: steps"), "{text}");
    let mean = ["make", "s", "--name", "m", "--with", "average", "--parent", "a", "--parent", "b"];
    let text = sandbox.ok(&mean);
    assert!(text.contains("the greatest is taken: steps"), "{text}");
    let text = sandbox.ok(&[&mean[..], &["--param", "take=st*=a"]].concat());
    assert!(!text.contains("steps"), "{text}");

    let adapter = [
        ("base_model.model.q.lora_A.weight", Dtype::F32, &[1, 1][..], float(2.0)),
        ("base_model.model.q.lora_B.weight", Dtype::F32, &[1, 1], float(3.0)),
    ];
    sandbox.write("f.safetensors", &file_of(&adapter));
    sandbox.ok(&["import", "s", "f.safetensors", "--name", "adapter"]);
    let with = ["make", "s", "--name", "merged", "--with", "lora-merge", "--parent", "a"];
    let with = [&with[..], &["--parent", "adapter", "--param", "config=adapter_config.json"]];
    let error = sandbox.refused(&with.concat(), 1);
    assert!(error.contains("parameter config: adapter_config.json"), "{error}");
    sandbox.write("adapter_config.json", b"{\"lora_alpha\": 4, \"r\": 1, \"peft_type\": \"LORA\"}");
    sandbox.ok(&with.concat());
    std::fs::remove_file(sandbox.path("adapter_config.json")).unwrap();
    sandbox.ok(&["remake", "s", "merged"]);
    let text = sandbox.ok(&["cat", "s", "merged", "q.weight", "--values", "1"]);
    assert!(text.contains("25"), "{text}");
}

/// The help says which functions take `tensors`: just these do.
#[test]
fn the_functions_that_work_on_some_tensors_are_those_of_the_help() {
    let sandbox = Sandbox::with_store();
    import(&sandbox, "a", &[1.0], &[]);
    import(&sandbox, "b", &[2.0], &[]);
    let help = sandbox.ok(&["make", "--help"]);
    let lines: Vec<&str> = help.lines().collect();
    let at = lines.iter().position(|line| line.contains("--param 'tensors=")).unwrap();
    let listed: Vec<&str> = lines[at - 1].trim().split(", ").collect();
    assert!(listed.contains(&"quantise"), "{listed:?}");
    let known = |function: &mgit::update::Builtin| function.name();
    for function in mgit::update::Builtin::ALL.iter().map(known) {
        let make = ["make", "s", "--name", "x", "--with", function, "--parent", "a"];
        let count = match function {
            "cast" | "prune" | "quantise" | "dequantise" | "rebase" => 1,
            _ => 2,
        };
        let make = [&make[..], &["--parent", "b"][..(count - 1) * 2]].concat();
        let parameter = match function {
            "cast" => "dtype=bf16",
            "prune" => "sparsity=0.5",
            _ => "tensors=nothing",
        };
        let more = ["--param", "tensors=nothing", "--param", parameter];
        let error = sandbox.refused(&[&make[..], &more].concat(), 1);
        let is_taken = error.contains("fits no tensor of");
        assert_eq!(is_taken, listed.contains(&function), "{function}: {error}");
    }
}
