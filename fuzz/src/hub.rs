//! Requests of the Hub's protocol, to a store with a few models.

use std::cell::OnceCell;

use mgit::hub::{Answer, Body, PieceCache, Request, answer};
use mgit::{NewModel, NewTensor, Snapshot, Store};

/// Lines of an input: the method, the path with its query, and four headers and a body.
const LINES: usize = 7;
/// The bytes of a body that are read: a fuzzer wants answers.
const READ_MAX: usize = 1 << 16;

thread_local! {
    static STORE: OnceCell<(tempfile::TempDir, Snapshot)> = const { OnceCell::new() };
}

/// The bytes are a request: lines of a method, a path, the headers `Range`, `If-Range` and
/// `If-None-Match`, an origin, and a body.
///
/// Invariants checked:
///
/// - No answer, or one whose headers are visible ASCII, and whose body is as long as it says.
/// - A part of a file is what the whole file has there.
pub fn hub(data: &[u8]) {
    let mut lines = data.splitn(LINES, |byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (method, target) = (text(), text());
    let headers = [text(), text(), text()];
    let origin = text();
    let [range, if_range, if_none_match] =
        headers.each_ref().map(|it| Some(&**it).filter(|it| !it.is_empty()));
    let body = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let request = Request {
        method: &method,
        path,
        query,
        range,
        if_range,
        if_none_match,
        body,
        origin: &origin,
    };
    STORE.with(|store| {
        let (_, snapshot) = store.get_or_init(family);
        let Some(found) = answer(snapshot, &request) else { return };
        let part = found.headers.iter().find(|(name, _)| *name == "content-range");
        let part = part.map(|(_, value)| value.clone());
        let status = found.status;
        let bytes = checked(found);
        if status == 206 {
            let whole = Request { range: None, ..request };
            let whole = checked(answer(snapshot, &whole).expect("the same path"));
            let part = part.expect("a part says which");
            let begin = part.trim_start_matches("bytes ").split('-').next().unwrap_or_default();
            let begin: usize = begin.parse().expect("a number");
            let same = &whole[begin.min(whole.len())..];
            assert!(same.starts_with(&bytes[..bytes.len().min(same.len())]), "another part");
        }
    });
}

/// The beginning of the body of an answer that is what it says.
fn checked(found: Answer) -> Vec<u8> {
    assert!((200..600).contains(&found.status));
    for (name, value) in &found.headers {
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value:?}");
    }
    let len = found.len();
    match found.body {
        Body::Bytes(bytes) => {
            assert_eq!(bytes.len() as u64, len);
            bytes
        }
        Body::Shared(_) => panic!("the protocol shares nothing"),
        Body::File(mut file) => {
            let cache = PieceCache::new(1 << 20);
            let mut bytes = Vec::new();
            while bytes.len() < READ_MAX
                && let Some(piece) = file.next(&cache).expect("a sound store")
            {
                bytes.extend_from_slice(&piece);
                assert_eq!(file.left() + bytes.len() as u64, len);
            }
            bytes
        }
    }
}

fn family() -> (tempfile::TempDir, Snapshot) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::create(folder.path().join("s")).expect("a store");
    let mut transaction = store.begin_write().expect("a transaction");
    for name in ["base", "team/tuned", "team/tuned", "a/b/c", "a/resolve/b"] {
        let model = NewModel::new(name).tensor(NewTensor::from_vec("w", [3], vec![1f32, 2.0, 3.0]));
        transaction.add_model(model).expect("a model");
    }
    transaction.set_tag("production", "team/tuned@1").expect("a tag");
    transaction.commit().expect("a commit");
    (folder, store.snapshot().expect("a snapshot"))
}
