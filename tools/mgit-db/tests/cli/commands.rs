//! Promise: every command does what its help says, on files of any shape; with `--json` it
//! prints one document that carries the schema number; wrong usage is refused with exit code 2
//! and failures with 1, both with a message that says what to do.

use crate::common::{Sandbox, file_of, files, model, write_sharded};
use half::{bf16, f16};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

const COMMANDS: [&str; 43] = [
    "clone",
    "push",
    "pull",
    "fetch",
    "remote",
    "bundle",
    "adopt",
    "diff",
    "init",
    "import",
    "export",
    "rm",
    "recode",
    "repack",
    "ls",
    "show",
    "log",
    "cat",
    "stat",
    "du",
    "verify",
    "dump",
    "completions",
    "demo",
    "tag",
    "mv",
    "note",
    "meta",
    "parent",
    "test",
    "bisect",
    "graph",
    "browse",
    "make",
    "remake",
    "update",
    "merge",
    "pin",
    "unpin",
    "gc",
    "vacuum",
    "backup",
    "salvage",
];

#[test]
fn help_has_an_example_for_every_command() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let help = sandbox.ok(&[command, "--help"]);
        assert!(help.contains("Example") && help.contains(&format!("mgit-db {command}")), "{help}");
        let document = sandbox.json(&[command, "--help"]);
        assert!(document["help"].as_str().unwrap().contains("Usage:"), "{document}");
    }
    let help = sandbox.ok(&["--help"]);
    assert!(COMMANDS.iter().all(|command| help.contains(&format!("\n  {command} "))), "{help}");
    assert!(sandbox.ok(&["--version"]).starts_with("mgit-db "));
}

#[test]
fn init_makes_a_store_once() {
    let sandbox = Sandbox::new();
    assert!(sandbox.ok(&["init", "s"]).contains("next: mgit-db import s"));
    let before = sandbox.read("s");
    let message = sandbox.refused(&["init", "s"], 1);
    assert!(message.contains("already there"), "{message}");
    assert_eq!(sandbox.read("s"), before);
    assert_eq!(sandbox.json(&["init", "t"])["store"], "t");
    sandbox.refused(&["init", "no/such/folder"], 1);
    assert_eq!(sandbox.ok(&["ls", "s"]), "no models yet: import brings some in\n");
    assert_eq!(sandbox.ok(&["log", "s"]), "no models yet: import brings some in\n");
}

#[test]
fn import_says_what_it_kept_how() {
    let sandbox = Sandbox::with_store();
    let base = &sandbox.import(0, "base", &[])["imported"][0];
    assert_eq!(base["model"], "base@1");
    assert_eq!((&base["raw"]["tensors"], &base["delta"]["tensors"]), (&json!(3), &json!(0)));
    let tuned = &sandbox.import(1, "tuned", &["--parent", "base"])["imported"][0];
    assert_eq!(tuned["deduplicated"]["tensors"], 1);
    // The layer, and the head: of 64 numbers that are its own, a difference is a little shorter.
    assert_eq!((&tuned["raw"]["tensors"], &tuned["delta"]["tensors"]), (&json!(0), &json!(2)));
    assert!(tuned["added_bytes"].as_u64() < base["added_bytes"].as_u64());
    assert!(tuned["delta"]["stored_bytes"].as_u64() < tuned["delta"]["bytes"].as_u64());

    sandbox.write("again.safetensors", &model(1));
    let text = sandbox.ok(&["import", "s", "again.safetensors", "--name", "again"]);
    assert!(text.starts_with("again@1 <- again.safetensors (3 tensors,"), "{text}");
    assert!(text.contains("deduplicated") && !text.contains("raw"), "{text}");
    let again = ["import", "s", "again.safetensors", "--name", "again", "--force"];
    let again = sandbox.json(&again);
    assert_eq!(again["imported"][0]["model"], "again@2");
    assert_eq!(again["imported"][0]["deduplicated"]["tensors"], 3);
    assert_eq!(sandbox.json(&["stat", "s"])["distinct_tensors"], 5);
}

#[test]
fn several_files_are_successive_versions() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "tuned", &[]);
    sandbox.write("a", &model(1));
    sandbox.write("b", &model(2));
    let arguments = [
        "import",
        "s",
        "a",
        "b",
        "--name",
        "tuned",
        "--parent",
        "tuned",
        "--how",
        "prune",
        "--kind",
        "bert",
        "--meta",
        "note=x y",
        "--meta",
        "score=0.5",
    ];
    sandbox.ok(&arguments);
    assert_eq!(sandbox.models(), ["tuned@1", "tuned@2", "tuned@3"]);
    let last = sandbox.json(&["show", "s", "tuned"]);
    assert_eq!((&last["model"], &last["previous"]), (&json!("tuned@3"), &json!("tuned@2")));
    assert_eq!(last["kind"], "bert");
    assert_eq!(last["metadata"], json!({ "note": "x y", "score": 0.5 }));
    // The parent is the version that was the highest when the command began.
    assert_eq!(last["parents"][0]["model"], "tuned@1");
    assert_eq!(last["parents"][0]["how"], "prune");
}

/// An adapter is no model of its own, and that is said wherever it is shown.
#[test]
fn an_adapter_is_shown_as_one() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "adapter", &["--parent", "base", "--how", "adapter"]);
    assert!(sandbox.ok(&["log", "s"]).contains("adapter of base@1"));
    let change = ["parent", "set", "s", "adapter", "base", "--how", "finetune"];
    sandbox.ok(&change);
    assert!(sandbox.ok(&["log", "s"]).contains("finetune of base@1"));
}

#[test]
fn import_refuses_before_the_first_commit() {
    let sandbox = Sandbox::with_store();
    sandbox.write("a", &model(1));
    let import = |more: &[&'static str]| [&["import", "s", "a"], more].concat();
    let failed = |more: &[&'static str]| sandbox.refused(&import(more), 1);
    let misused = |more: &[&'static str]| sandbox.refused(&import(more), 2);
    assert!(failed(&["missing", "--name", "x"]).contains("check the path"));
    assert!(failed(&["--name", "x", "--parent", "nobody"]).contains("no model \"nobody\""));
    assert!(failed(&["--name", "x", "--parent", "x"]).contains("no model \"x\""));
    for name in ["", "auto", "a b", "a@1", "r:a"] {
        sandbox.refused(&["import", "s", "a", "--name", name], 2);
    }
    misused(&[]);
    misused(&["--name", "x", "--meta", "novalue"]);
    misused(&["--name", "x", "--meta", "=1"]);
    misused(&["--name", "x", "--meta", "a=1", "--meta", "a=2"]);
    misused(&["--name", "x", "--parent", "y@z"]);
    misused(&["--name", "x", "--how", "prune"]);
    assert!(misused(&["--name", "x", "--parent", "y", "--how", "magic"]).contains("lora-merge"));
    sandbox.refused(&["import", "s", "--name", "x"], 2);
    assert!(sandbox.refused(&["import", "t", "a", "--name", "x"], 1).contains("init"));
    assert!(sandbox.models().is_empty());
}

#[test]
fn a_file_that_is_no_model_leaves_those_before_it() {
    let sandbox = Sandbox::with_store();
    sandbox.write("good", &model(1));
    sandbox.write("bad", b"not a model at all");
    let failure = sandbox.failure(&["import", "s", "bad", "--name", "x"], 1);
    assert_eq!(failure["code"], "malformed-file");
    assert!(sandbox.models().is_empty());
    let failure = sandbox.failure(&["import", "s", "good", "bad", "--name", "x"], 1);
    assert!(failure["message"].as_str().unwrap().ends_with("already in the store: x@1"));
    assert_eq!(sandbox.models(), ["x@1"]);
}

#[test]
fn export_gives_the_same_bytes() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    let text = sandbox.ok(&["export", "s", "tuned", "out.safetensors"]);
    assert!(text.starts_with("tuned@1 -> out.safetensors"), "{text}");
    assert_eq!(sandbox.read("out.safetensors"), model(1));
    assert_eq!(sandbox.run(&["export", "s", "base@1", "-"]).stdout, model(0));
    // What is there is replaced when that is asked for.
    let again = ["export", "s", "base", "out.safetensors"];
    assert!(sandbox.refused(&again, 1).contains("--force"));
    assert_eq!(sandbox.json(&[&again[..], &["--force"]].concat())["model"], "base@1");
    assert_eq!(sandbox.read("out.safetensors"), model(0));
    sandbox.refused(&["export", "s", "nobody", "other"], 1);
    assert!(sandbox.refused(&["export", "s", "base", "no/such/file"], 1).contains("make it first"));
    let told = sandbox.refused(&["export", "s", "base", "."], 1);
    assert!(told.contains("base.safetensors is already there"), "{told}");
    assert!(sandbox.refused(&["export", "s", "base", "./s"], 1).contains("is a store"));
    let left: Vec<_> = files(&sandbox.path("")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["base.safetensors", "out.safetensors", "s", "tuned.safetensors"]);
}

#[test]
fn sharded_models_go_in_and_out_as_folders() {
    let sandbox = Sandbox::with_store();
    let folder = sandbox.path("sharded");
    write_sharded(&folder);
    sandbox.ok(&["import", "s", "sharded", "--name", "big"]);
    let index = "sharded/model.safetensors.index.json";
    let again = sandbox.json(&["import", "s", index, "--name", "big"]);
    assert_eq!(again["imported"][0]["deduplicated"]["tensors"], 2);
    let document = sandbox.json(&["export", "s", "big", "out"]);
    assert_eq!(document["sharded"], true);
    assert_eq!(files(&sandbox.path("out")), files(&folder));
    assert_eq!(sandbox.json(&["show", "s", "big"])["shards"].as_array().unwrap().len(), 2);
    assert!(sandbox.refused(&["export", "s", "big", "out"], 1).contains("not empty"));
    let answer = sandbox.run(&["export", "s", "big", "-"]);
    assert_eq!((answer.code, answer.stdout.len()), (Some(1), 0));
    assert!(answer.stderr.contains("name a folder"), "{answer:?}");
}

#[test]
fn rm_keeps_what_others_need() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "mid", &["--parent", "base"]);
    sandbox.import(2, "leaf", &["--parent", "mid"]);
    let message = sandbox.refused(&["rm", "s", "mid"], 1);
    assert!(message.contains("leaf@1") && message.contains("--reparent-children"), "{message}");
    assert_eq!(sandbox.failure(&["rm", "s", "mid"], 1)["code"], "has-children");
    sandbox.refused(&["rm", "s", "mid", "--reparent-children", "--detach-children"], 2);
    sandbox.refused(&["rm", "s", "nobody"], 1);
    assert_eq!(sandbox.models().len(), 3);

    let document = sandbox.json(&["rm", "s", "mid", "--reparent-children"]);
    assert_eq!(document["removed"], "mid@1");
    assert_eq!(document["changed_children"], json!(["leaf@1"]));
    assert!(document["freed_bytes"].as_u64() > Some(0));
    assert!(document["hidden_bases"].is_u64());
    assert_eq!(sandbox.json(&["show", "s", "leaf"])["parents"][0]["model"], "base@1");
    let text = sandbox.ok(&["rm", "s", "base", "--detach-children"]);
    assert!(text.starts_with("removed base@1:") && text.contains("hidden"), "{text}");
    assert_eq!(sandbox.json(&["show", "s", "leaf"])["parents"], json!([]));
    assert_eq!(sandbox.run(&["export", "s", "leaf", "-"]).stdout, model(2));
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn ls_and_show_tell_what_there_is() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &["--kind", "bert"]);
    sandbox.import(1, "tuned", &["--parent", "base", "--how", "distil"]);
    let list = sandbox.ok(&["ls", "s"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(lines[0].starts_with("MODEL") && lines[1].starts_with("base@1"), "{list}");
    assert!(lines[2].ends_with("base@1") && lines[3].starts_with("2 models"), "{list}");
    let models = &sandbox.json(&["ls", "s"])["models"];
    assert_eq!(models[0]["kind"], "bert");
    assert_eq!(models[1]["tensors"], 3);
    assert_eq!(models[1]["logical_bytes"], json!(model(1).len()));
    assert!(models[1]["created"].as_str().unwrap().ends_with('Z'));

    let show = sandbox.json(&["show", "s", "tuned@1"]);
    let layer = show["tensors"].as_array().unwrap().iter().find(|t| t["name"] == "layer").unwrap();
    assert_eq!(layer["dtype"], "F32");
    assert_eq!(layer["shape"], json!([200, 100]));
    assert_eq!(layer["bytes"], 80_000);
    assert!(layer["stored_bytes"].as_u64() < Some(80_000));
    assert_eq!((&layer["encoding"], &layer["chain_depth"]), (&json!("float-delta-2"), &json!(1)));
    let text = sandbox.ok(&["show", "s", "tuned"]);
    assert!(text.contains("distil of base@1") && text.contains("[200, 100]"), "{text}");
    let id = show["id"].as_str().unwrap();
    assert_eq!(sandbox.json(&["show", "s", id])["model"], "tuned@1");
    assert!(sandbox.refused(&["show", "s", "tune"], 1).contains("did you mean tuned@1"));
    sandbox.refused(&["show", "s", "tuned@x"], 2);
}

/// A model with a tensor of each kind of element.
fn zoo() -> Vec<u8> {
    let halves =
        |value: f32| [f16::from_f32(value).to_le_bytes(), bf16::from_f32(value).to_le_bytes()];
    let floats = [1.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(f32::to_le_bytes).concat();
    let [f16_bytes, bf16_bytes] = halves(-0.25).map(Vec::from);
    file_of(&[
        ("f32", Dtype::F32, &[4], floats),
        ("f16", Dtype::F16, &[1], f16_bytes),
        ("bf16", Dtype::BF16, &[1], bf16_bytes),
        ("i64", Dtype::I64, &[1], i64::MIN.to_le_bytes().into()),
        ("u8", Dtype::U8, &[3], vec![0, 127, 255]),
        ("i8", Dtype::I8, &[1], vec![0xff]),
        ("bool", Dtype::BOOL, &[2], vec![1, 0]),
        ("f8", Dtype::F8_E4M3, &[2], vec![0x38, 0x7f]),
        ("f4", Dtype::F4, &[2], vec![0x21]),
        ("none", Dtype::F32, &[0], vec![]),
    ])
}

#[test]
fn cat_prints_bytes_or_numbers() {
    let sandbox = Sandbox::with_store();
    sandbox.write("zoo", &zoo());
    sandbox.ok(&["import", "s", "zoo", "--name", "zoo"]);
    let values = |tensor: &str| sandbox.json(&["cat", "s", "zoo", tensor, "--values", "9"]);
    assert_eq!(values("f32")["values"], json!([1.5, "NaN", "Infinity", "-Infinity"]));
    assert_eq!(values("f16")["values"], json!([-0.25]));
    assert_eq!(values("bf16")["values"], json!([-0.25]));
    assert_eq!(values("i64")["values"], json!([i64::MIN]));
    assert_eq!(values("i8")["values"], json!([-1]));
    assert_eq!(values("bool")["values"], json!([true, false]));
    assert_eq!(values("f8")["values"], json!([1.0, "NaN"]));
    assert_eq!(values("none")["values"], json!([]));
    assert_eq!(sandbox.ok(&["cat", "s", "zoo", "f32", "--values", "2"]), "1.5\nNaN\n");
    assert_eq!(sandbox.run(&["cat", "s", "zoo", "u8"]).stdout, [0, 127, 255]);
    assert!(sandbox.run(&["cat", "s", "zoo", "none"]).stdout.is_empty());
    let message = sandbox.refused(&["cat", "s", "zoo", "f4", "--values", "1"], 1);
    assert!(message.contains("raw bytes"), "{message}");
    assert!(sandbox.refused(&["cat", "s", "zoo", "no", "--values", "1"], 1).contains("show"));
    sandbox.refused(&["cat", "s", "zoo", "f32", "--values", "-1"], 2);
}

#[test]
fn elements_of_unknown_types_are_bytes() {
    let sandbox = Sandbox::with_store();
    let header = br#"{"t":{"dtype":"F128","shape":[1],"data_offsets":[0,3]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, b"xyz"].concat();
    sandbox.write("odd", &file);
    sandbox.ok(&["import", "s", "odd", "--name", "odd"]);
    assert_eq!(sandbox.run(&["cat", "s", "odd", "t"]).stdout, b"xyz");
    let message = sandbox.refused(&["cat", "s", "odd", "t", "--values", "1"], 1);
    assert!(message.contains("F128"), "{message}");
    assert_eq!(sandbox.run(&["export", "s", "odd", "-"]).stdout, file);
}

#[test]
fn stat_counts_what_there_is() {
    let sandbox = Sandbox::with_store();
    assert_eq!(sandbox.json(&["stat", "s"])["models"], 0);
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    let stat = sandbox.json(&["stat", "s"]);
    assert_eq!((&stat["models"], &stat["tensors"]), (&json!(2), &json!(6)));
    assert_eq!(stat["distinct_tensors"], 5);
    let number = |key: &str| stat[key].as_u64().unwrap_or_else(|| panic!("{key}: {stat}"));
    assert_eq!(number("logical_bytes"), (model(0).len() + model(1).len()) as u64);
    assert_eq!(number("file_bytes"), sandbox.read("s").len() as u64);
    assert!(number("stored_tensor_bytes") < number("logical_bytes"));
    assert!(number("allocated_bytes") > 0);
    let ratio = number("logical_bytes") as f64 / number("file_bytes") as f64;
    assert!((stat["ratio"].as_f64().unwrap() - ratio).abs() < 1e-9);
    assert!(sandbox.ok(&["stat", "s"]).contains("plain files"));
}

/// The records of the file, as `dump` lists them.
fn records(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.json(&["dump", "s"])["records"].as_array().unwrap().clone()
}

#[test]
fn verify_finds_damage_and_names_the_models() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    assert!(sandbox.ok(&["verify", "s"]).contains("no damage"));
    assert_eq!(sandbox.json(&["verify", "s", "--quick"])["clean"], true);

    // The head of `tuned` is its own.
    let records = records(&sandbox);
    let head = records.iter().find(|record| record["commit"] == 2 && record["raw_bytes"] == 256);
    let head = head.unwrap();
    let at = head["offset"].as_u64().unwrap() + head["payload_offset"].as_u64().unwrap();
    let mut bytes = sandbox.read("s");
    bytes[at as usize] ^= 1;
    sandbox.write("s", &bytes);
    for arguments in [&["verify", "s"][..], &["verify", "s", "--quick"]] {
        let answer = sandbox.run(&[arguments, &["--json"]].concat());
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(1), ""));
        let document = answer.json();
        assert_eq!(document["clean"], false);
        assert_eq!(document["findings"][0]["offset"], head["offset"]);
        assert_eq!(document["hurt_models"], json!(["tuned@1"]));
        assert_eq!(document["whole_models"], json!(["base@1"]));
        let answer = sandbox.run(arguments);
        assert_eq!(answer.code, Some(1));
        assert!(answer.text().contains("hurt models: tuned@1"), "{answer:?}");
    }
    assert_eq!(sandbox.failure(&["export", "s", "tuned", "out"], 1)["code"], "damaged");
    assert!(!sandbox.path("out").exists());
    assert_eq!(sandbox.run(&["export", "s", "base", "-"]).stdout, model(0));
}

#[test]
fn dump_makes_the_format_visible() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let dump = sandbox.json(&["dump", "s"]);
    assert_eq!(dump["superblock"]["format_version"], 1);
    assert_eq!(dump["slots"].as_array().unwrap().len(), 2);
    assert!(dump["superblock"]["extents"][0]["offset"].is_u64());
    let kinds: Vec<_> = records(&sandbox).iter().map(|record| record["kind"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "tensor").count(), 3);
    assert!(kinds.contains(&json!("manifest")) && kinds.contains(&json!("change")));
    let text = sandbox.ok(&["dump", "s"]);
    assert!(text.contains("slot at byte 4096") && text.contains("records"), "{text}");
}

#[test]
fn completions_are_scripts() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(sandbox.ok(&["completions", shell]).contains("reparent-children"), "{shell}");
    }
    sandbox.refused(&["completions", "nosuchshell"], 2);
}

#[test]
fn json_does_not_go_with_raw_bytes() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let cases: [&[&str]; 3] =
        [&["cat", "s", "base", "embed"], &["export", "s", "base", "-"], &["completions", "bash"]];
    for arguments in cases {
        assert_eq!(sandbox.run(arguments).code, Some(0));
        let failure = sandbox.failure(arguments, 2);
        assert_eq!(failure["code"], "usage");
        assert!(failure["message"].as_str().unwrap().contains("--json"), "{failure}");
    }
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let sandbox = Sandbox::new();
    sandbox.refused(&["nosuchcommand"], 2);
    sandbox.refused(&["ls"], 2);
    sandbox.refused(&["stat", "s", "more"], 2);
    sandbox.refused(&["ls", "--nosuchflag", "s"], 2);
    assert_eq!(sandbox.run(&[]).code, Some(2));
    let failure = sandbox.failure(&[], 2);
    assert_eq!(failure["code"], "usage");
    for command in ["ls", "log", "stat", "verify", "dump"] {
        assert!(sandbox.refused(&[command, "missing"], 1).contains("check the path"));
        assert_eq!(sandbox.failure(&[command, "missing"], 1)["code"], "store-not-found");
    }
    sandbox.write("text", b"this is a text, and not a store at all");
    assert_eq!(sandbox.failure(&["ls", "text"], 1)["code"], "not-a-store");
    assert!(sandbox.refused(&["rm", "text", "x"], 1).contains("not an mgit store"));
    sandbox.refused(&["ls", "."], 1);
    // Behind --, it is a file's name.
    let answer = sandbox.run(&["ls", "--", "--json"]);
    assert!(answer.code == Some(1) && answer.stderr.contains("no store at --json"), "{answer:?}");
}

#[test]
fn a_second_writer_is_told_to_wait() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let store = mgit::Store::open(sandbox.path("s")).unwrap();
    let message = sandbox.refused(&["rm", "s", "base", "--wait=0"], 1);
    assert!(message.contains("process "), "{message}");
    assert_eq!(sandbox.failure(&["rm", "s", "base", "--wait=0"], 1)["code"], "locked");
    // Reading goes on.
    assert_eq!(sandbox.models(), ["base@1"]);
    drop(store);
    sandbox.ok(&["rm", "s", "base"]);
}

#[test]
fn new_names_are_neither_options_nor_ids() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    let id = "0123456789abcdef0123456789abcdef";
    for name in ["-x", id] {
        let name = format!("--name={name}");
        let refused = sandbox.refused(&["import", "s", "base.safetensors", &name], 1);
        assert!(refused.contains("is not a model name"), "{refused}");
    }
    sandbox.refused(&["mv", "s", "base", id], 1);
    sandbox.refused(&["tag", "s", id, "base"], 1);
    sandbox.refused(&["test", "add", "s", id, "--builtin", "finite"], 1);
    sandbox.refused(&["remote", "add", "s", "--", "-x", "elsewhere"], 1);
    assert_eq!(sandbox.models(), ["base@1"]);
}

#[test]
fn names_from_files_cannot_move_the_cursor() {
    let sandbox = Sandbox::with_store();
    sandbox.write("evil", &file_of(&[("\u{1b}[2J\n", Dtype::U8, &[1], vec![1])]));
    sandbox.ok(&["import", "s", "evil", "--name", "evil", "--meta", "k=\u{1b}[1m"]);
    let text = sandbox.ok(&["show", "s", "evil"]);
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J\\n"), "{text}");
    let show = sandbox.json(&["show", "s", "evil"]);
    assert_eq!(show["tensors"][0]["name"], "\u{1b}[2J\n");
}

#[test]
fn recode_changes_the_encoding_and_nothing_else() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    let before = sandbox.ok(&["ls", "s"]);
    assert!(sandbox.refused(&["recode", "s"], 2).contains("--profile"));
    assert!(sandbox.refused(&["recode", "s", "--profile", "tiny"], 2).contains("balanced"));
    sandbox.refused(&["recode", "s", "nobody", "--profile", "fast"], 1);
    for profile in ["fast", "dense", "balanced"] {
        let document = sandbox.json(&["recode", "s", "--profile", profile]);
        assert_eq!(document["profile"], profile);
        let text = sandbox.ok(&["recode", "s", "--profile", profile]);
        assert!(text.starts_with(&format!("{profile}: 0 of ")), "{text}");
        assert_eq!(sandbox.ok(&["ls", "s"]), before);
        sandbox.ok(&["verify", "s"]);
    }
}

#[test]
fn repack_tells_before_and_after_and_changes_no_model() {
    let sandbox = Sandbox::with_store();
    sandbox.import(0, "base", &[]);
    sandbox.import(1, "tuned", &["--parent", "base"]);
    let before = sandbox.ok(&["ls", "s"]);
    let dry = sandbox.json(&["repack", "s", "--dry-run", "--max-depth", "1"]);
    assert_eq!((&dry["dry_run"], &dry["max_depth"]), (&true.into(), &1.into()));
    sandbox.refused(&["repack", "s", "--max-depth", "65"], 2);
    let document = sandbox.json(&["repack", "s", "--max-depth", "1"]);
    assert_eq!(document["changed"], dry["changed"]);
    let bytes = |side: &str| document[side]["bytes"].as_u64().unwrap();
    assert!(bytes("after") <= bytes("before"), "{document}");
    let text = sandbox.ok(&["repack", "s"]);
    assert!(text.starts_with("0 of "), "{text}");
    assert_eq!(sandbox.ok(&["ls", "s"]), before);
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn du_says_what_removing_a_model_frees() {
    let family = || {
        let sandbox = Sandbox::with_store();
        sandbox.import(0, "base", &[]);
        sandbox.import(1, "tuned", &["--parent", "base"]);
        sandbox.import(2, "again", &["--parent", "tuned"]);
        sandbox.import(1, "copy", &["--parent", "base"]);
        sandbox
    };
    let sandbox = family();
    let usage = sandbox.json(&["du", "s"]);
    let models = usage["models"].as_array().unwrap();
    assert_eq!((models.len(), usage["families"].as_array().unwrap().len()), (4, 1));
    let text = sandbox.ok(&["du", "s"]);
    for heading in ["MODEL", "FAMILY", "ENCODING"] {
        assert!(text.contains(heading), "{text}");
    }
    for model in models {
        let name = model["model"].as_str().unwrap();
        let removed = family().json(&["rm", "s", name, "--detach-children"]);
        assert_eq!(removed["freed_bytes"], model["freed_bytes"], "{name}");
    }
}
