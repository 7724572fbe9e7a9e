//! What a hub refuses, where it leads, and what is shown to whom.

use std::time::{Duration, Instant};

use mgit::error::{Error, HubError, HubFault};
use mgit::full_message;
use mgit::hub_client::HubOptions;

use super::{comes, fault, get, options, read};
use crate::common;
use crate::hub_stub::{Reply, Seen, Stub, StubFile};

const SECRET: &str = "hf_verysecret";

fn text() -> StubFile {
    StubFile::new("text")
}

#[test]
fn refusals_say_what_is_wrong() {
    let code = |code: &str| vec![("X-Error-Code", code.to_owned())];
    for (status, headers, error_code, part) in [
        (404, code("RepoNotFound"), "hub-not-found", "there is no such model"),
        (404, code("RevisionNotFound"), "hub-not-found", "there is no such revision of it"),
        (404, code("EntryNotFound"), "hub-not-found", "there is no such file in it"),
        (404, Vec::new(), "hub-not-found", "there is no such model, revision or file"),
        (401, code("RepoNotFound"), "hub-needs-token", "no such model, or it is not for everybody"),
        (401, Vec::new(), "hub-needs-token", "give a token that may read it (HF_TOKEN)"),
        (403, code("GatedRepo"), "hub-needs-token", "accepted its conditions"),
        (403, Vec::new(), "hub-needs-token", "status 403"),
        (418, Vec::new(), "hub-unreachable", "status 418"),
        (500, Vec::new(), "hub-unreachable", "status 500"),
    ] {
        for of_listing in [true, false] {
            let headers = headers.clone();
            let rule = move |seen: &Seen| match seen.is_listing() == of_listing {
                true => {
                    let said = ("X-Error-Message", "it says\tso".repeat(100));
                    Reply::Status(status, [headers.clone(), vec![said]].concat(), b"{}".to_vec())
                }
                false => Reply::Honest,
            };
            let stub = Stub::new([("a", text())]).on(rule);
            let beside = common::folder();
            let error: Error = get(&options(&stub), beside.path()).unwrap_err().into();
            let message = full_message(&error);
            assert_eq!(error.code(), error_code, "{message}");
            assert!(message.contains(part) && message.len() < 1000, "{message}");
            assert!(!message.contains('\t'), "{message}");
            let tries = stub.seen().len() - usize::from(!of_listing);
            assert_eq!(tries, if status == 500 { 3 } else { 1 }, "{message}");
        }
    }
}

#[test]
fn what_passes_is_tried_again() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let rule = move |seen: &Seen| match seen.before {
            0 | 1 => Reply::Status(status, vec![("Retry-After", "0".to_owned())], Vec::new()),
            _ => Reply::Honest,
        };
        let stub = Stub::new([("a", text())]).on(rule);
        let beside = common::folder();
        assert_eq!(read(&comes(&stub, beside.path()), "a"), b"text");
        assert_eq!(stub.seen().len(), 6, "{status}");
    }
    // A second is waited for where it is asked for, an hour is not.
    for (after, is_waited_for) in [("1", true), ("3600", false)] {
        let rule = move |seen: &Seen| match seen.before {
            0 => Reply::Status(429, vec![("Retry-After", after.to_owned())], Vec::new()),
            _ => Reply::Honest,
        };
        let stub = Stub::new([]).on(rule);
        let (beside, begun) = (common::folder(), Instant::now());
        match get(&options(&stub), beside.path()) {
            Ok(_) => assert!(is_waited_for && begun.elapsed() >= Duration::from_secs(1)),
            Err(error) => assert!(!is_waited_for, "{error:?}"),
        }
    }
}

#[test]
fn nobody_there_is_an_error_of_the_connection() {
    let stub = Stub::new([]);
    let hub = options(&stub);
    drop(stub);
    let beside = common::folder();
    // What is just being closed may still take a connection, and break it.
    assert!(matches!(fault(get(&hub, beside.path())), HubFault::Connection { .. }));
}

#[test]
fn the_token_goes_to_the_endpoint_and_to_nobody_else() {
    let there = Stub::new([("a", text())]);
    let other = there.endpoint();
    let rule = move |seen: &Seen| match seen.path.contains("/renamed/") {
        _ if seen.is_listing() && !seen.path.contains("new") => {
            let location = "/api/models/org/new/revision/main?blobs=true".to_owned();
            Reply::Status(307, vec![("Location", location)], Vec::new())
        }
        _ if seen.is_listing() => Reply::Honest,
        _ => Reply::Status(
            302,
            vec![("Location", format!("{other}{}?signed", seen.path))],
            Vec::new(),
        ),
    };
    there.answer_by(|seen| match seen.path.strip_suffix("?signed") {
        Some(_) => Reply::Status(200, Vec::new(), b"text".to_vec()),
        None => Reply::Honest,
    });
    let stub = Stub::new([("a", text())]).on(rule);
    let beside = common::folder();
    let folder = get(&options(&stub).token(SECRET), beside.path()).unwrap();
    assert_eq!(read(&folder, "a"), b"text");
    let (ours, theirs) = (stub.seen(), there.seen());
    assert_eq!((ours.len(), theirs.len()), (3, 1));
    let bearer = format!("Bearer {SECRET}");
    assert!(ours.iter().all(|seen| seen.header("authorization") == Some(bearer.as_str())));
    assert!(theirs.iter().all(|seen| !format!("{seen:?}").contains(SECRET)), "{theirs:?}");
}

#[test]
fn the_token_is_in_no_message() {
    for status in [401, 403, 404, 500] {
        let stub = Stub::new([]).on(move |_| Reply::Status(status, Vec::new(), Vec::new()));
        let hub = options(&stub).token(SECRET);
        assert!(!format!("{hub:?}").contains(SECRET));
        let beside = common::folder();
        let error = get(&hub, beside.path()).unwrap_err();
        assert!(!format!("{error:?}{}", full_message(&error)).contains(SECRET));
    }
    let beside = common::folder();
    let bad = HubOptions::new("http://127.0.0.1:1").token("two\nlines");
    let error = get(&bad, beside.path()).unwrap_err();
    assert!(matches!(error, HubError::BadToken) && !format!("{error:?}").contains("two"));
    let within = HubOptions::new(format!("http://user:{SECRET}@127.0.0.1:1"));
    let error = get(&within, beside.path()).unwrap_err();
    assert!(!format!("{error:?}{}", full_message(&error)).contains(SECRET), "{error:?}");
}

#[test]
fn leading_on_ends() {
    let to = |location: &str| vec![("Location", location.to_owned())];
    let round = |seen: &Seen| Reply::Status(302, vec![("Location", seen.path.clone())], Vec::new());
    let stub = Stub::new([]).on(round);
    let beside = common::folder();
    assert!(matches!(fault(get(&options(&stub), beside.path())), HubFault::TooManyRedirects));
    assert_eq!(stub.seen().len(), 11);
    for location in
        ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://u:p@127.0.0.1/x", "http://[", "data:x"]
    {
        let headers = to(location);
        let stub = Stub::new([]).on(move |_| Reply::Status(301, headers.clone(), Vec::new()));
        let fault = fault(get(&options(&stub), beside.path()));
        assert!(matches!(fault, HubFault::BadRedirect { .. }), "{location}: {fault:?}");
    }
    let stub = Stub::new([]).on(|_| Reply::Status(302, Vec::new(), Vec::new()));
    assert!(matches!(fault(get(&options(&stub), beside.path())), HubFault::BadRedirect { .. }));
}

#[test]
fn what_is_compressed_on_the_way_is_refused() {
    let headers = || vec![("Content-Encoding", "gzip".to_owned())];
    let stub = Stub::new([]).on(move |_| Reply::Status(200, headers(), b"{}".to_vec()));
    let beside = common::folder();
    match fault(get(&options(&stub), beside.path())) {
        HubFault::Encoded { encoding } => assert_eq!(encoding, "gzip"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn endpoints_that_are_none_are_refused() {
    let beside = common::folder();
    for endpoint in ["", "x", "ftp://host", "http://", "http://h?x", "https://h#x", "file:///x"] {
        let error = get(&HubOptions::new(endpoint), beside.path()).unwrap_err();
        assert!(matches!(error, HubError::BadEndpoint { .. }), "{endpoint}: {error:?}");
    }
}
