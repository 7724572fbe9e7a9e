//! What breaks on the way, and goes on.

use std::fs;
use std::time::Duration;

use mgit::error::{HubError, HubFault};
use mgit::full_message;

use super::{comes, fault, file, get, hashed, hasty, kept, options, read};
use crate::common;
use crate::hub_stub::{COMMIT, Reply, Seen, Stub, StubFile};

/// Rules are for files only.
fn of_files(mut rule: impl FnMut(&Seen) -> Reply + Send) -> impl FnMut(&Seen) -> Reply + Send {
    move |seen| if seen.is_listing() { Reply::Honest } else { rule(seen) }
}

fn ranges(stub: &Stub) -> Vec<Option<String>> {
    let seen = stub.seen();
    let files = seen.iter().filter(|seen| !seen.is_listing());
    files.map(|seen| seen.header("range").map(str::to_owned)).collect()
}

#[test]
fn a_cut_file_goes_on_behind_what_came() {
    let (bytes, served) = file();
    let etag = served.etag.clone();
    let stub = Stub::new([("m", served)]).on(of_files(|_| Reply::Cut(100_000)));
    let beside = common::folder();
    let folder = comes(&stub, beside.path());
    assert!(read(&folder, "m") == bytes);
    let seen = stub.seen();
    let asked = seen.iter().skip(1).map(|seen| (seen.header("range"), seen.header("if-range")));
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 7);
    for (at, (range, if_range)) in asked.into_iter().enumerate().skip(1) {
        assert_eq!(range, Some(format!("bytes={}-", at * 100_000).as_str()));
        assert_eq!(if_range, etag.as_deref());
    }
}

#[test]
fn a_server_that_ignores_ranges_begins_the_file_again() {
    let (bytes, served) = file();
    let rule = |seen: &Seen| Reply::Whole(if seen.before < 2 { 100_000 } else { usize::MAX });
    let stub = Stub::new([("m", served)]).on(of_files(rule));
    let beside = common::folder();
    assert!(read(&comes(&stub, beside.path()), "m") == bytes);
    assert_eq!(ranges(&stub).len(), 3);
    // One that also never comes further is given up.
    stub.answer_by(of_files(|_| Reply::Whole(100_000)));
    let other = common::folder();
    assert!(matches!(fault(get(&options(&stub), other.path())), HubFault::Connection { .. }));
    // The first comes further than nothing, and counts as the first of three.
    assert_eq!(ranges(&stub).len(), 3);
}

#[test]
fn a_range_that_was_not_asked_for_is_not_put_behind_what_came() {
    let (bytes, served) = file();
    let etag = served.etag.clone().unwrap();
    let all = bytes.len();
    for range in [
        format!("bytes 99999-{}/{all}", all - 1),
        format!("bytes 100000-{}/{}", all - 1, all + 1),
        format!("bytes 100000-{}/{all}", all - 2),
        "bytes 0-5/6".to_owned(),
        "bytes */700000".to_owned(),
        "nonsense".to_owned(),
        String::new(),
    ] {
        let (wrong, rest) = (range.clone(), bytes[100_000..].to_vec());
        let etag = etag.clone();
        let rule = move |seen: &Seen| match seen.before {
            0 => Reply::Cut(100_000),
            1 => {
                let headers = vec![("ETag", etag.clone()), ("Content-Range", wrong.clone())];
                Reply::Status(206, headers, rest.clone())
            }
            _ => Reply::Honest,
        };
        let stub = Stub::new([("m", served.clone())]).on(of_files(rule));
        let beside = common::folder();
        assert!(read(&comes(&stub, beside.path()), "m") == bytes, "{range}");
        assert_eq!(ranges(&stub), [None, Some("bytes=100000-".to_owned()), None], "{range}");
    }
    // Without a range that was asked for, a part is no file.
    let headers = move || vec![("Content-Range", format!("bytes 0-{}/{all}", all - 1))];
    let rule = move |_: &Seen| Reply::Status(206, headers(), bytes.clone());
    let stub = Stub::new([("m", served)]).on(of_files(rule));
    let beside = common::folder();
    assert!(matches!(fault(get(&options(&stub), beside.path())), HubFault::Range { from: 0, .. }));
}

#[test]
fn a_file_that_changes_on_the_way_is_not_put_together_from_two() {
    let (bytes, served) = file();
    let other = StubFile::new(common::noise(2, bytes.len()));
    // One that heeds If-Range gives the whole new file.
    let mut is_first = true;
    let rule = move |_: &Seen| match std::mem::take(&mut is_first) {
        true => Reply::Cut(100_000),
        false => Reply::Honest,
    };
    let stub = Stub::new([("m", served.clone())]).on(of_files(rule));
    let beside = common::folder();
    let hub = options(&stub).tries(1);
    assert!(matches!(fault(get(&hub, beside.path())), HubFault::Connection { .. }));
    stub.change("m", other.clone(), COMMIT);
    assert!(read(&comes(&stub, beside.path()), "m") == other.bytes);
    // One that does not is found out by the ETag of what it gives.
    let (rest, etag) = (other.bytes[100_000..].to_vec(), other.etag.clone().unwrap());
    let rule = move |seen: &Seen| match seen.before {
        0 => Reply::Cut(100_000),
        1 => {
            let range = ("Content-Range", "bytes 100000-699999/700000".to_owned());
            Reply::Status(206, vec![("ETag", etag.clone()), range], rest.clone())
        }
        _ => Reply::Honest,
    };
    let stub = Stub::new([("m", served)]).on(of_files(rule));
    let beside = common::folder();
    assert!(read(&comes(&stub, beside.path()), "m") == bytes);
}

#[test]
fn what_cannot_be_known_to_belong_together_begins_again() {
    let (bytes, served) = file();
    for etag in [None, Some("W/\"weak\"".to_owned()), Some("bare".to_owned())] {
        let served = StubFile { etag: etag.clone(), ..served.clone() };
        let rule = |seen: &Seen| Reply::Cut(if seen.before == 0 { 100_000 } else { usize::MAX });
        let stub = Stub::new([("m", served)]).on(of_files(rule));
        let beside = common::folder();
        assert!(read(&comes(&stub, beside.path()), "m") == bytes, "{etag:?}");
        assert_eq!(ranges(&stub), [None, None], "{etag:?}");
    }
    // A hash tells it at the end.
    let served = StubFile { etag: None, ..hashed(bytes.clone()) };
    let rule = |seen: &Seen| Reply::Cut(if seen.before == 0 { 100_000 } else { usize::MAX });
    let stub = Stub::new([("m", served)]).on(of_files(rule));
    let beside = common::folder();
    assert!(read(&comes(&stub, beside.path()), "m") == bytes);
    assert_eq!(ranges(&stub), [None, Some("bytes=100000-".to_owned())]);
}

#[test]
fn what_has_another_hash_comes_again_and_is_then_refused() {
    let (bytes, served) = file();
    let other = hashed(common::noise(2, bytes.len()));
    let wrong = StubFile { sha256: other.sha256.clone(), ..served };
    let stub = Stub::new([("m", wrong)]);
    let beside = common::folder();
    match fault(get(&options(&stub), beside.path())) {
        HubFault::Hash { expected, .. } => assert_eq!(Some(expected), other.sha256),
        other => panic!("{other:?}"),
    }
    assert_eq!(ranges(&stub), [None, None, None]);
    stub.change("m", other.clone(), COMMIT);
    assert!(read(&comes(&stub, beside.path()), "m") == other.bytes);
}

#[test]
fn the_next_run_goes_on_where_one_has_failed() {
    let (bytes, served) = file();
    let small = StubFile::new("small");
    let rule = |seen: &Seen| match seen.path.ends_with("/m") {
        true => Reply::Cut(if seen.before == 0 { 300_000 } else { 0 }),
        false => Reply::Honest,
    };
    let stub = Stub::new([("a", small), ("m", served.clone())]).on(rule);
    let beside = common::folder();
    let error = get(&options(&stub), beside.path()).unwrap_err();
    let message = full_message(&error);
    match error {
        HubError::File { file, came, len, kept, total, folder, .. } => {
            assert_eq!(
                (file.as_str(), came, len, kept, total),
                ("m", 300_000, 700_000, 300_005, 700_005)
            );
            assert_eq!(super::kept(beside.path()), [folder]);
        }
        other => panic!("{other:?}"),
    }
    for part in ["300005 of 700005 bytes", "\"m\"", "the same again goes on", "connection"] {
        assert!(message.contains(part), "{message}");
    }
    stub.seen();
    stub.answer_by(|_| Reply::Honest);
    let folder = comes(&stub, beside.path());
    assert!(read(&folder, "m") == bytes && read(&folder, "a") == b"small");
    let paths: Vec<String> = stub.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    folder.remove().unwrap();
    assert!(kept(beside.path()).is_empty());
}

#[test]
fn another_commit_begins_anew() {
    let (_, served) = file();
    let rule = of_files(|seen: &Seen| Reply::Cut(if seen.before == 0 { 300_000 } else { 0 }));
    let stub = Stub::new([("a", StubFile::new("old")), ("m", served)]).on(rule);
    let beside = common::folder();
    get(&options(&stub), beside.path()).unwrap_err();
    let commit = "f".repeat(40);
    let new = common::noise(9, 700_000);
    stub.change("m", StubFile::new(new.clone()), &commit);
    stub.answer_by(|_| Reply::Honest);
    stub.seen();
    let folder = comes(&stub, beside.path());
    assert_eq!(folder.commit(), commit);
    assert!(read(&folder, "m") == new);
    assert_eq!(ranges(&stub), [None, None]);
    let snapshots = folder.path().parent().unwrap();
    assert_eq!(fs::read_dir(snapshots).unwrap().count(), 1);
}

#[test]
fn what_is_longer_than_listed_in_the_folder_comes_again() {
    let (bytes, served) = file();
    let rule = of_files(|seen: &Seen| Reply::Cut(if seen.before == 0 { 300_000 } else { 0 }));
    let stub = Stub::new([("m", served)]).on(rule);
    let beside = common::folder();
    get(&options(&stub), beside.path()).unwrap_err();
    let parts = kept(beside.path())[0].join("parts");
    for entry in fs::read_dir(&parts).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "part") {
            fs::write(&path, vec![7; 800_000]).unwrap();
        }
    }
    stub.answer_by(|_| Reply::Honest);
    assert!(read(&comes(&stub, beside.path()), "m") == bytes);
    // So does what no note tells of, or one of before the machine was started anew.
    for note in ["", "{}", r#"{"etag":"\"x\"","boot":"other"}"#, "\u{0}"] {
        stub.answer_by(of_files(|seen: &Seen| {
            Reply::Cut(if seen.before == 0 { 300_000 } else { 0 })
        }));
        let beside = common::folder();
        stub.seen();
        get(&options(&stub), beside.path()).unwrap_err();
        for entry in fs::read_dir(kept(beside.path())[0].join("parts")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "json") {
                fs::write(&path, note).unwrap();
            }
        }
        stub.answer_by(|_| Reply::Honest);
        stub.seen();
        assert!(read(&comes(&stub, beside.path()), "m") == bytes, "{note}");
        assert_eq!(ranges(&stub), [None], "{note}");
    }
}

#[test]
fn another_length_than_listed_is_refused() {
    let (bytes, served) = file();
    let head = |len: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
    let replies: Vec<(Vec<u8>, u64)> = vec![
        ([head(5).as_bytes(), b"short"].concat(), 5),
        ([head(700_001).as_bytes(), &bytes, b"x"].concat(), 700_001),
        ([b"HTTP/1.0 200 OK\r\n\r\n", &bytes[..], b"more"].concat(), 700_001),
        (b"HTTP/1.1 204 Nothing\r\nContent-Length: 0\r\n\r\n".to_vec(), 0),
    ];
    for (reply, at_least) in replies {
        let rule = of_files(move |_: &Seen| Reply::Raw(reply.clone()));
        let stub = Stub::new([("m", served.clone())]).on(rule);
        let beside = common::folder();
        match fault(get(&options(&stub), beside.path())) {
            HubFault::Length { expected, found } => {
                assert!(expected == 700_000 && found >= at_least, "{found} {at_least}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A body without a length that ends too early is cut.
    let rule = |_: &Seen| Reply::Raw(b"HTTP/1.0 200 OK\r\n\r\nshort".to_vec());
    let stub = Stub::new([("m", served)]).on(of_files(rule));
    let beside = common::folder();
    assert!(matches!(fault(get(&options(&stub), beside.path())), HubFault::Cut { .. }));
}

#[test]
fn nothing_that_never_ends_is_waited_for() {
    let (bytes, served) = file();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n".to_vec();
    let started = [&head[..], &bytes[..50_000]].concat();
    let slowly = || Duration::from_millis(20);
    let at_once = || Duration::ZERO;
    type Make = Box<dyn Fn() -> Reply + Send>;
    let replies: Vec<(&str, Make)> = vec![
        ("no answer", Box::new(|| Reply::Stall(Vec::new()))),
        ("half a head", Box::new(|| Reply::Stall(b"HTTP/1.1 200 OK\r\nX: ".to_vec()))),
        ("no body", Box::new(move || Reply::Stall(head.clone()))),
        ("half a body", Box::new(move || Reply::Stall(started.clone()))),
        (
            "heads",
            Box::new(move || {
                Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".to_vec(), at_once())
            }),
        ),
        (
            "slow heads",
            Box::new(move || {
                Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".to_vec(), slowly())
            }),
        ),
        (
            "slow body",
            Box::new(move || {
                Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"x".to_vec(), slowly())
            }),
        ),
        (
            "a body",
            Box::new(move || {
                Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 99_999], at_once())
            }),
        ),
    ];
    for (what, make) in replies {
        let is_endless_body = what == "a body";
        let stub = Stub::new([("m", served.clone())]).on(of_files(move |_: &Seen| make()));
        let beside = common::folder();
        let fault = fault(get(&hasty(&stub), beside.path()));
        match fault {
            HubFault::Silent { .. } | HubFault::Connection { .. } if !is_endless_body => {}
            HubFault::Length { .. } if is_endless_body => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}
