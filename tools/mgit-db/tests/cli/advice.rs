//! Promise: a failure says which file it is about and what to do, each once, however deep the
//! library met it.

use crate::common::Sandbox;

/// A store `h` whose model `base` has a byte in a tensor that is wrong, and an empty store `e`.
fn hurt() -> Sandbox {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "tuned", &["--parent", "base"]);
    let dump = sandbox.json(&["dump", "s"]);
    let id = &sandbox.json(&["show", "s", "base"])["tensors"][0]["content_id"];
    let record = dump["records"].as_array().unwrap().iter().find(|it| it["content_id"] == *id);
    let number = |key: &str| record.unwrap()[key].as_u64().unwrap() as usize;
    let mut bytes = sandbox.read("s");
    bytes[number("offset") + number("payload_offset")] ^= 1;
    sandbox.write("h", &bytes);
    sandbox.ok(&["init", "e.mgit"]);
    sandbox
}

#[test]
fn damage_below_another_failure_is_told_with_its_store_and_what_to_do() {
    let sandbox = hurt();
    for command in [
        &["push", "h", "./remote"][..],
        &["push", "h", "./e.mgit"],
        &["pull", "e.mgit", "./h"],
        &["clone", "h", "new"],
        &["bundle", "create", "h", "bundle"],
        &["make", "h", "--with", "average", "--parent", "base", "--parent", "tuned", "--name", "z"],
        &["export", "h", "base", "out.safetensors"],
        &["backup", "h", "copy"],
    ] {
        let told = sandbox.refused(command, 1);
        assert_eq!(told.matches("mgit-db verify").count(), 1, "{command:?}: {told}");
        let named = [" h: damaged record", " ./h: damaged record", " h: the store is damaged"];
        let named = named.iter().filter(|named| told.contains(*named)).count();
        assert_eq!(named, 1, "{command:?}: {told}");
    }
    let told = sandbox.run(&["test", "add", "h", "whole", "--builtin", "finite"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let told = sandbox.run(&["test", "run", "h"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.text().matches("mgit-db verify").count(), 1, "{told:?}");
}

#[test]
fn a_lock_is_told_of_with_its_store_and_one_advice() {
    let sandbox = Sandbox::with_store();
    let _held = mgit::Store::open(sandbox.path("s")).unwrap();
    for command in [&["tag", "s", "a", "b", "--wait=0"][..], &["vacuum", "s", "--wait=0"]] {
        let told = sandbox.refused(command, 1);
        let end = "has the store s open for writing: --wait waits until it is done\n";
        assert!(told.ends_with(end), "{command:?}: {told}");
    }
}

#[test]
fn commands_that_need_what_is_in_a_store_do_not_have_one_made() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    for command in [&["verify", "nope"][..], &["salvage", "nope", "new"], &["rm", "nope", "base"]] {
        let told = sandbox.refused(command, 1);
        assert_eq!(told, "error: no store at nope: check the path\n", "{command:?}");
    }
    let told = sandbox.refused(&["import", "nope", "base.safetensors", "--name", "b"], 1);
    assert_eq!(told, "error: no store at nope: check the path; `mgit-db init` makes one\n");
}

#[test]
fn nothing_is_said_twice() {
    let sandbox = Sandbox::with_store();
    sandbox.import(1, "base", &[]);
    sandbox.import(2, "tuned", &["--parent", "base"]);
    let told = sandbox.refused(&["rm", "s", "base"], 1);
    assert!(told.contains("(tuned@1): say --reparent-children"), "{told}");
    let told = sandbox.refused(&["bundle", "verify", "s"], 1);
    let expected =
        "s is a store, not a bundle: `mgit-db clone` and `mgit-db pull` take it as it is";
    assert_eq!(told, format!("error: {expected}\n"));
    let told = sandbox.refused(&["salvage", "base.safetensors", "new"], 1);
    assert!(told.starts_with("error: base.safetensors: there is nothing to save"), "{told}");

    sandbox.ok(&["push", "s", "./far"]);
    sandbox.ok(&["clone", "./far", "part", "--graph-only"]);
    let told = sandbox.refused(&["push", "part", "./third"], 1);
    let far = sandbox.path("far").canonicalize().unwrap();
    let fetch = format!("`mgit-db fetch part {} --name base` brings it\n", far.display());
    assert!(told.ends_with(&fetch) && !told.contains("to be fetched"), "{told}");
    std::fs::remove_dir_all(sandbox.path("far")).unwrap();
    let told = sandbox.refused(&["export", "part", "base", "out.safetensors"], 1);
    let (cause, advice) = (told.find("no store, remote or bundle"), told.find("try again when"));
    assert!(cause.is_some() && cause < advice, "{told}");
}
