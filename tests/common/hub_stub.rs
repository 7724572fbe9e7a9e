//! A server of the Hugging Face Hub's protocol on the loopback interface, honest or not.
//!
//! Each connection is one request. A test may answer any of them in its own way.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The commit that the stub serves.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request, as the stub has seen it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// With what is behind the `?`.
    pub path: String,
    /// Their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// How often this path was asked for before.
    pub before: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_listing(&self) -> bool {
        self.path.contains("/api/models/")
    }
}

/// How a request is answered.
pub enum Reply {
    /// As the protocol says.
    Honest,
    /// So, but only so many bytes of the body.
    Cut(usize),
    /// The whole file, whatever range was asked for; only so many bytes of it.
    Whole(usize),
    /// A status, headers and a body.
    Status(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes, and then the end.
    Raw(Vec<u8>),
    /// These bytes, and then nothing, with the connection open.
    Stall(Vec<u8>),
    /// The first bytes once, the others until nobody takes them; with a pause between.
    Endless(Vec<u8>, Vec<u8>, Duration),
}

type Rule = Box<dyn FnMut(&Seen) -> Reply + Send>;

/// A file that is served.
#[derive(Clone, Debug)]
pub struct StubFile {
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
    pub sha256: Option<String>,
}

impl StubFile {
    /// With a strong ETag, of its length and its first bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let sum =
            bytes.iter().fold(7u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(*b)));
        StubFile { etag: Some(format!("\"{sum:x}\"")), bytes, sha256: None }
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, StubFile>,
    commit: String,
    seen: Vec<Seen>,
    rule: Option<Rule>,
}

/// The server; it ends when this is dropped.
pub struct Stub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
}

impl Stub {
    /// Serves files by their paths.
    pub fn new<'f>(files: impl IntoIterator<Item = (&'f str, StubFile)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let files = files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect();
        let state = State { files, commit: COMMIT.to_owned(), ..State::default() };
        let stub = Stub {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(state)),
            is_over: Arc::default(),
        };
        let (state, is_over) = (Arc::clone(&stub.state), Arc::clone(&stub.is_over));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (state, is_over) = (Arc::clone(&state), Arc::clone(&is_over));
                // Whoever asked may have gone: that is no fault of the stub.
                let _ =
                    stream.map(|stream| thread::spawn(move || answer(stream, &state, &is_over)));
            }
        });
        stub
    }

    /// Answers by a rule of the test's own.
    pub fn on(self, rule: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        self.answer_by(rule);
        self
    }

    pub fn answer_by(&self, rule: impl FnMut(&Seen) -> Reply + Send + 'static) {
        self.state.lock().unwrap().rule = Some(Box::new(rule));
    }

    /// Serves another file in the place of one, maybe of another commit.
    pub fn change(&self, path: &str, file: StubFile, commit: &str) {
        let mut state = self.state.lock().unwrap();
        state.files.insert(path.to_owned(), file);
        state.commit = commit.to_owned();
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, and from now on none of them.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn read_request(stream: &TcpStream, state: &Mutex<State>) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(|line| line.ok().filter(|line| !line.is_empty()))
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let mut state = state.lock().unwrap();
    let before = state.seen.iter().filter(|seen| seen.path == path).count();
    let seen = Seen { path, headers, before };
    state.seen.push(seen.clone());
    Some(seen)
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, is_over: &AtomicBool) {
    let Some(seen) = read_request(&stream, state) else { return };
    let (reply, honest) = {
        let mut state = state.lock().unwrap();
        let reply = state.rule.as_mut().map_or(Reply::Honest, |rule| rule(&seen));
        let ignores_range = matches!(reply, Reply::Whole(_));
        (reply, honest(&state, &seen, ignores_range))
    };
    let cut = |(head, body): (String, Vec<u8>), len: usize| {
        [head.as_bytes(), body.get(..len).unwrap_or(&body)].concat()
    };
    let written = match reply {
        Reply::Honest => stream.write_all(&cut(honest, usize::MAX)),
        Reply::Cut(len) | Reply::Whole(len) => stream.write_all(&cut(honest, len)),
        Reply::Status(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
            for (name, value) in headers {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat())
        }
        Reply::Raw(bytes) => stream.write_all(&bytes),
        Reply::Stall(bytes) => {
            let written = stream.write_all(&bytes);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            // Until whoever asked has gone.
            let _ = stream.read(&mut [0]);
            written
        }
        Reply::Endless(first, more, pause) => {
            let mut written = stream.write_all(&first);
            while written.is_ok() && !is_over.load(Ordering::SeqCst) {
                thread::sleep(pause);
                written = stream.write_all(&more);
            }
            written
        }
    };
    // Whoever asked may have gone.
    let _ = written.and_then(|()| stream.flush());
}

/// The head and the body that the protocol says.
fn honest(state: &State, seen: &Seen, ignores_range: bool) -> (String, Vec<u8>) {
    let close = "Connection: close\r\n";
    if seen.is_listing() {
        let body = listing(&state.commit, &state.files).to_string().into_bytes();
        let head = format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {}\r\n\r\n", body.len());
        return (head, body);
    }
    let path = seen.path.split_once(&format!("/resolve/{}/", state.commit));
    let path = path.map(|(_, path)| decoded(path));
    let Some(file) = path.and_then(|path| state.files.get(&path)) else {
        let head = "HTTP/1.1 404 Not Found\r\nX-Error-Code: EntryNotFound\r\n";
        return (format!("{head}{close}Content-Length: 0\r\n\r\n"), Vec::new());
    };
    let etag = file.etag.as_ref().map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
    let len = file.bytes.len();
    let is_same = seen.header("if-range").is_none_or(|etag| Some(etag) == file.etag.as_deref());
    let from =
        seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let from = from.and_then(|from| from.parse::<usize>().ok());
    match from.filter(|from| is_same && !ignores_range && *from < len) {
        Some(from) => {
            let body = file.bytes[from..].to_vec();
            let range = format!("Content-Range: bytes {from}-{}/{len}\r\n", len - 1);
            let head = format!("HTTP/1.1 206 Partial Content\r\n{close}{etag}{range}");
            (format!("{head}Content-Length: {}\r\n\r\n", body.len()), body)
        }
        None => {
            let head = format!("HTTP/1.1 200 OK\r\n{close}{etag}Content-Length: {len}\r\n\r\n");
            (head, file.bytes.clone())
        }
    }
}

fn listing(commit: &str, files: &BTreeMap<String, StubFile>) -> Value {
    let siblings = files.iter().map(|(path, file)| {
        let mut sibling = json!({ "rfilename": path, "size": file.bytes.len() });
        if let Some(hash) = &file.sha256 {
            sibling["lfs"] = json!({ "sha256": hash, "size": file.bytes.len() });
        }
        sibling
    });
    json!({ "sha": commit, "siblings": siblings.collect::<Vec<Value>>() })
}

fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let code = path.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        match (*byte, code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap()
}
