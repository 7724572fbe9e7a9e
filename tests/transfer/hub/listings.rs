//! Lists of files that are none, or hostile.

use std::time::Duration;

use mgit::error::HubFault;
use serde_json::{Value, json};

use super::{fault, get, hasty, kept, options};
use crate::common;
use crate::hub_stub::{COMMIT, Reply, Stub};

/// The fault of a download whose list of files is this.
fn refused(text: Vec<u8>) -> HubFault {
    let stub = Stub::new([]).on(move |_| Reply::Status(200, Vec::new(), text.clone()));
    let beside = common::folder();
    let fault = fault(get(&options(&stub), beside.path()));
    assert_eq!(stub.seen().len(), 1);
    assert!(kept(beside.path()).is_empty());
    fault
}

fn of_files(files: &[&str]) -> Value {
    let files = files.iter().map(|path| json!({ "rfilename": path, "size": 1 }));
    json!({ "sha": COMMIT, "siblings": files.collect::<Vec<_>>() })
}

#[test]
fn what_is_no_list_is_refused() {
    let file = json!([{ "rfilename": "a", "size": 1 }]);
    let lists = [
        json!([]),
        json!({}),
        json!({ "sha": COMMIT }),
        json!({ "siblings": file }),
        json!({ "sha": 7, "siblings": file }),
        json!({ "sha": "", "siblings": file }),
        json!({ "sha": "../..", "siblings": file }),
        json!({ "sha": "..", "siblings": file }),
        json!({ "sha": "a/b", "siblings": file }),
        json!({ "sha": "a".repeat(129), "siblings": file }),
        json!({ "sha": COMMIT, "siblings": {} }),
        json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a" }] }),
        json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a", "size": -1 }] }),
        json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a", "size": 1.5 }] }),
        json!({ "sha": COMMIT, "siblings": [{ "rfilename": "a", "size": u64::MAX }] }),
        json!({ "sha": COMMIT, "siblings": [{ "size": 1 }] }),
    ];
    let texts = lists.iter().map(|list| list.to_string().into_bytes());
    let others = ["", "no JSON", "<html>", "{", "\u{0}", "null"];
    let others = others.iter().map(|text| text.as_bytes().to_vec());
    let deep = [vec![b'['; 100_000]];
    for text in texts.chain(others).chain(deep) {
        let shown = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        let fault = refused(text);
        assert!(matches!(fault, HubFault::ListingMalformed { .. }), "{shown}: {fault:?}");
    }
}

#[test]
fn paths_that_lead_out_of_the_folder_or_stand_twice_are_refused() {
    let deep = vec!["a"; 33].join("/");
    let long = "a".repeat(4097);
    for paths in [
        &["../x"][..],
        &["a", "b/../../x"],
        &["/x"],
        &["a//b"],
        &["a/"],
        &["."],
        &[""],
        &["a\0b"],
        &["a", "b", "a"],
        &["a/b", "a"],
        &["a/b/c", "a-b", "a"],
        &[&deep],
        &[&long],
    ] {
        let fault = refused(of_files(paths).to_string().into_bytes());
        let HubFault::BadPath { path } = &fault else { panic!("{paths:?}: {fault:?}") };
        assert!(paths.contains(&path.as_str()), "{paths:?}: {path}");
        assert!(fault.to_string().len() < 600 && !fault.to_string().contains('\0'));
    }
}

#[test]
fn lists_that_are_too_long_are_refused() {
    let names: Vec<String> = (0..100_001).map(|at| at.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = refused(of_files(&names).to_string().into_bytes());
    assert!(matches!(many, HubFault::ListingMalformed { .. }), "{many:?}");
    let fewer = refused(of_files(&names[..65_536]).to_string().into_bytes());
    assert!(matches!(fewer, HubFault::TooManyFiles { found: 65_536 }), "{fewer:?}");
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    for (more, pause) in [(vec![b' '; 1 << 20], 0), (b" ".to_vec(), 20)] {
        let head = head.clone();
        let rule =
            move |_: &_| Reply::Endless(head.clone(), more.clone(), Duration::from_millis(pause));
        let stub = Stub::new([]).on(rule);
        let beside = common::folder();
        match (fault(get(&hasty(&stub), beside.path())), pause) {
            (HubFault::ListingTooLong, 0) | (HubFault::Silent { .. }, 20) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}
