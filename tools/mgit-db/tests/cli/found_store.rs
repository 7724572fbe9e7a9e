//! Promise: a store need not be named where it can be found without doubt; what is named is never
//! taken for anything else; and where there is doubt, nothing is done.

use std::fs;

use crate::common::{Answer, Sandbox, model};

/// A sandbox with the store `family.mgit`, its model `base`, and an empty folder `deep/down`.
fn family() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok(&["init", "family.mgit"]);
    sandbox.write("base.safetensors", &model(1));
    sandbox.ok(&["import", "base.safetensors", "--name", "base"]);
    fs::create_dir_all(sandbox.path("deep/down")).unwrap();
    sandbox
}

/// Runs in a folder of the sandbox.
fn run_in(sandbox: &Sandbox, folder: &str, arguments: &[&str]) -> Answer {
    let mut command = sandbox.command(arguments);
    let output = command.current_dir(sandbox.path(folder)).output().unwrap();
    Answer {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_only_store_of_a_folder_is_found_by_every_kind_of_command() {
    let sandbox = family();
    let file = "base.safetensors";
    for arguments in [
        &["ls"][..],
        &["show", "base"],
        &["log"],
        &["stat"],
        &["verify", "--quick"],
        &["tag", "best", "base"],
        &["tag"],
        &["import", file, "--name", "tuned", "--parent", "base", "--force"],
        &["diff", "base", "tuned"],
        &["export", "tuned", "tuned.safetensors"],
        &["test", "add", "sane", "--builtin", "finite"],
        &["test", "run", "tuned", "-t", "sane"],
        &["remote", "ls"],
        &["meta", "tuned", "a=1", "b=2"],
        &["parent", "set", "tuned", "base@1"],
        &["bundle", "create", "all.bundle"],
        &["rm", "tuned"],
        &["gc"],
    ] {
        sandbox.ok(arguments);
    }
    assert_eq!(sandbox.read("tuned.safetensors"), model(1));
}

#[test]
fn one_above_is_found_and_named() {
    let sandbox = family();
    let answer = run_in(&sandbox, "deep/down", &["show", "base"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), "store: ../../family.mgit\n"));
    // The nearest counts.
    fs::copy(sandbox.path("family.mgit"), sandbox.path("deep/near.mgit")).unwrap();
    let answer = run_in(&sandbox, "deep/down", &["ls", "--json"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), "store: ../near.mgit\n"));
    assert_eq!(answer.json()["models"][0]["model"], "base@1");
}

#[test]
fn what_is_named_counts() {
    let sandbox = family();
    sandbox.ok(&["init", "other.mgit"]);
    // Without the ending a file that is a store is one too, and so is one argument too many.
    sandbox.ok(&["init", "plain"]);
    for named in ["other.mgit", "plain"] {
        let empty = "no models yet: import brings some in\n";
        assert_eq!(sandbox.ok(&["ls", named]), empty);
        assert_eq!(sandbox.ok(&["ls", "--store", named]), empty);
        assert_eq!(sandbox.ok(&["--store", named, "ls"]), empty);
        assert_eq!(sandbox.ok(&[&format!("--store={named}"), "ls"]), empty);
        assert!(sandbox.refused(&["show", named, "base"], 1).contains("no model"));
        assert!(sandbox.refused(&["--store", named, "test", "show", "x"], 2).contains("show"));
        assert_eq!(sandbox.ok(&["test", "ls", named]), "no tests\n");
    }
    // Behind --store a store's file is an argument like any other.
    let told = sandbox.refused(&["import", "--store", "plain", "other.mgit", "--name", "x"], 1);
    assert!(told.contains("other.mgit"), "{told}");
    assert!(sandbox.refused(&["show", "gone.mgit", "base"], 1).contains("no store at gone.mgit"));
    // The variable goes over the search, and a path over the variable.
    let set = [("MGIT_STORE", "family.mgit")];
    let answer = sandbox.run_with(&set, &["ls"]);
    assert!(answer.text().contains("base@1"), "{answer:?}");
    let answer = sandbox.run_with(&set, &["ls", "other.mgit"]);
    assert!(answer.text().contains("no models yet"), "{answer:?}");
    let answer = sandbox.run_with(&[("MGIT_STORE", "gone")], &["ls"]);
    assert!(answer.stderr.contains("no store at gone"), "{answer:?}");
}

#[test]
fn values_of_options_are_no_stores() {
    let sandbox = family();
    fs::copy(sandbox.path("family.mgit"), sandbox.path("deep/out.mgit")).unwrap();
    // -o and --name take what stands behind them.
    sandbox.ok(&["graph", "-o", "picture.svg"]);
    sandbox.ok(&["graph", "--output", "again.svg"]);
    sandbox.ok(&["import", "--name", "deep/out.mgit", "base.safetensors", "--force"]);
    let answer = run_in(&sandbox, "deep", &["ls", "--json"]);
    assert_eq!(answer.json()["models"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.json(&["ls"])["models"].as_array().unwrap().len(), 2);
}

#[test]
fn what_can_list_lists_when_it_is_told_nothing_else() {
    let sandbox = family();
    for command in ["test", "remote"] {
        let listed = sandbox.ok(&[command, "ls", "family.mgit"]);
        assert_eq!(sandbox.ok(&[command]), listed);
        assert_eq!(sandbox.ok(&[command, "family.mgit"]), listed);
        assert_eq!(sandbox.ok(&[command, "--store", "family.mgit"]), listed);
        assert_eq!(sandbox.ok(&["--store", "family.mgit", command]), listed);
        assert_eq!(sandbox.json(&[command]), sandbox.json(&[command, "ls"]));
        // An option may stand before what it is to do.
        let between = sandbox.run(&[command, "--json", "ls", "family.mgit"]);
        assert_eq!(between.json(), sandbox.json(&[command]));
        assert!(sandbox.ok(&[command, "--help"]).contains("Commands:"));
        sandbox.refused(&[command, "nonsense"], 2);
    }
}

#[test]
fn a_slip_is_understood_and_other_words_are_known() {
    let sandbox = family();
    for slip in ["bse", "bsae", "basee"] {
        assert!(sandbox.refused(&["show", slip], 1).contains("did you mean base@1?"), "{slip}");
    }
    sandbox.ok(&["tag", "released", "base"]);
    let told = sandbox.refused(&["show", "relaesed"], 1);
    assert!(told.contains("did you mean the tag released?"), "{told}");
    for (how, name) in [("fine-tune", "a"), ("lora_merge", "b"), ("distill", "c")] {
        let file = "base.safetensors";
        sandbox.ok(&["import", file, "--name", name, "--parent", "base", "--how", how]);
    }
    let models = sandbox.json(&["ls"])["models"].clone();
    assert_eq!(models[0]["parents"][0]["how"], "finetune");
    assert_eq!(models[1]["parents"][0]["how"], "lora-merge");
    assert_eq!(models[3]["parents"][0]["how"], "distil");
    sandbox.refused(&["import", "f", "--name", "x", "--parent", "base", "--how", "magic"], 2);
    let make = ["make", "--with", "cast", "--parent", "base", "--name", "h", "--param"];
    for dtype in ["dtype=fp16", "dtype=float16", "dtype=F16"] {
        sandbox.ok(&[&make[..], &[dtype]].concat());
    }
    let half = sandbox.json(&["show", "h"]);
    assert_eq!(half["tensors"][0]["dtype"], "F16", "{half}");
}

#[test]
fn addresses_are_remotes() {
    let sandbox = family();
    // Not a store: what is pushed is the one that is found.
    let told = sandbox.refused(&["push", "nowhere://bucket/x"], 1);
    assert!(!told.contains("no store"), "{told}");
    fs::create_dir(sandbox.path("remote")).unwrap();
    assert!(sandbox.ok(&["push", "remote"]).contains("base@1"));
    assert!(sandbox.ok(&["verify", "remote"]).contains("no damage"));
}

#[test]
fn doubt_is_refused() {
    let sandbox = family();
    sandbox.ok(&["init", "other.mgit"]);
    let told = sandbox.refused(&["ls"], 2);
    assert!(told.contains("which store? family.mgit, other.mgit are there"), "{told}");
    assert_eq!(sandbox.failure(&["rm", "base"], 2)["code"], "usage");
    let told = sandbox.refused(&["--store", "family.mgit", "completions", "bash"], 2);
    assert!(told.contains("--store does not go with completions"), "{told}");
    let empty = Sandbox::new();
    let told = empty.refused(&["ls"], 2);
    assert!(told.contains("no store: name one first, set MGIT_STORE"), "{told}");
    let told = empty.refused(&["show", "tuned"], 2);
    assert!(told.contains("no store: tuned is none"), "{told}");
    // A store is made where it is told to be.
    assert!(sandbox.refused(&["init"], 2).contains("<STORE>"));
    for help in [&["show", "--help"][..], &["help", "show"], &["show", "-h"]] {
        assert!(empty.ok(help).contains("mgit-db show [OPTIONS] [STORE] <MODEL>"), "{help:?}");
    }
}
