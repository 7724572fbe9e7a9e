//! Promise: `demo` works from any folder and as often as one likes, brings every model back
//! byte for byte, and never touches a folder that is not a demo's.

use std::fs;

use crate::common::{Sandbox, files};

#[test]
fn a_first_run_shows_the_main_job() {
    let sandbox = Sandbox::new();
    let text = sandbox.ok(&["demo"]);
    for part in [
        "ani-1ccx-m0@1",
        "finetune of chgnet-0.3.0@1",
        "are the same, byte for byte",
        "no damage",
        "nothing was copied",
        "mgit-db log mgit-demo/family.mgit",
        "times smaller",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let store = "mgit-demo/family.mgit";
    assert_eq!(sandbox.json(&["stat", store])["models"], 7);
    assert_eq!(sandbox.json(&["verify", store])["clean"], true);
    let names: Vec<_> =
        files(&sandbox.path("mgit-demo")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".mgit-demo", "family.mgit"]);
}

#[test]
fn a_second_run_makes_the_store_anew() {
    let sandbox = Sandbox::new();
    let first = sandbox.json(&["demo", "here and there"]);
    assert_eq!(first["identical"], true);
    assert_eq!(first["zero_copy"]["mapped"], true);
    assert!(first["ratio"].as_f64() > Some(1.0));
    let store = "here and there/family.mgit";
    sandbox.ok(&["rm", store, "chgnet-r2scan"]);
    sandbox.write("here and there/mine.txt", b"mine");
    let text = sandbox.ok(&["demo", "here and there"]);
    assert!(text.contains("mgit-db log 'here and there/family.mgit'"), "{text}");
    assert_eq!(sandbox.json(&["stat", store])["models"], 7);
    assert_eq!(sandbox.read("here and there/mine.txt"), b"mine");
}

#[test]
fn a_folder_of_others_is_left_alone() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("work")).unwrap();
    sandbox.write("work/family.mgit", b"precious");
    let before = files(&sandbox.path("work"));
    let message = sandbox.refused(&["demo", "work"], 1);
    assert!(message.contains("name another folder"), "{message}");
    assert_eq!(sandbox.failure(&["demo", "work"], 1)["code"], "foreign-folder");
    assert_eq!(files(&sandbox.path("work")), before);
    sandbox.refused(&["demo", "work/family.mgit"], 1);
    assert_eq!(files(&sandbox.path("work")), before);
}

#[test]
fn an_empty_folder_will_do() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("a/b")).unwrap();
    sandbox.ok(&["demo", "a/b"]);
    assert!(sandbox.path("a/b/family.mgit").is_file());
}
