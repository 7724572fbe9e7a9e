//! Promise: a store that is served answers each client from one snapshot, whole or not at all, while
//! others write to it; no client, however slow, greedy or hostile, costs more than a bounded amount of
//! it; and it ends as it is told.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use safetensors::tensor::Dtype;

use crate::common::{Sandbox, bytes_of, file_of, noise};

/// Longer than anything that a test waits for.
const LONG: Duration = Duration::from_secs(120);

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        Self::start_with(sandbox, arguments, &[])
    }

    fn start_with(sandbox: &Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let words = [&["serve"], arguments, &["--listen", "127.0.0.1:0"]].concat();
        let mut command = sandbox.command_for_signals(&words);
        command.envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line:?}"));
        let address = address.trim().split('/').next().unwrap().parse().unwrap();
        Server { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads the answer to its end.
    fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        // A server that refuses does not read to the end.
        let _ = stream.write_all(request);
        Reply::read(stream)
    }

    fn get_with(&self, path: &str, headers: &str) -> Reply {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        self.raw(request.as_bytes())
    }

    fn get(&self, path: &str) -> Reply {
        self.get_with(path, "")
    }

    /// The memory that it has, in bytes.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it; its exit code and what it said on standard error.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Reply {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    /// Reads to the end of the connection; status 0 where it was closed without an answer.
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is cut off is what some wait for.
        let _ = stream.read_to_end(&mut bytes);
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
            return Reply { status: 0, headers: HashMap::new(), body: bytes };
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Reply { status, headers, body: bytes[end + 4..].to_vec() }
    }

    fn len(&self) -> usize {
        self.headers["content-length"].parse().unwrap()
    }

    fn is_whole(&self) -> bool {
        self.status == 200 && self.body.len() == self.len()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A model of `count` floats like weights, and one trained from there.
fn models(count: usize) -> [Vec<u8>; 2] {
    let base = noise(3, count);
    let tuned: Vec<f32> = base.iter().zip(noise(4, count)).map(|(a, b)| a + b * 1e-4).collect();
    [base, tuned].map(|values| file_of(&[("w", Dtype::F32, &[count], bytes_of(&values))]))
}

/// A store `s` with a raw and a delta-coded model.
fn family(count: usize) -> (Sandbox, [Vec<u8>; 2]) {
    let sandbox = Sandbox::with_store();
    let files = models(count);
    sandbox.write("base.safetensors", &files[0]);
    sandbox.write("tuned.safetensors", &files[1]);
    sandbox.ok(&["import", "s", "base.safetensors", "--name", "base"]);
    sandbox.ok(&["import", "s", "tuned.safetensors", "--name", "team/tuned", "--parent", "base"]);
    (sandbox, files)
}

const BASE: &str = "/base/resolve/main/model.safetensors";
const TUNED: &str = "/team/tuned/resolve/main/model.safetensors";

#[test]
fn files_are_sent_whole_and_in_parts() {
    let (sandbox, [base, tuned]) = family(400_000);
    let server = Server::start(&sandbox, &["s"]);
    for (path, file) in [(BASE, &base), (TUNED, &tuned)] {
        let whole = server.get(path);
        assert!(whole.is_whole() && whole.body == *file, "{path}");
        let part = server.get_with(path, "range: bytes=1000-1999999\r\n");
        let until = file.len().min(2_000_000);
        assert_eq!((part.status, part.len()), (206, until - 1000));
        assert!(part.body == file[1000..until]);
        assert_eq!(server.get_with(path, "range: bytes=99999999-\r\n").status, 416);
    }
    // Two requests over one connection.
    let mut stream = server.connect();
    let request = format!("HEAD {BASE} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
        .write_all(request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let length = format!("content-length: {}", base.len());
    assert_eq!((text.matches("HTTP/1.1 200").count(), text.matches(&length).count()), (2, 2));
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn pages_are_shown_beside_the_protocol() {
    let (sandbox, _) = family(1000);
    let server = Server::start(&sandbox, &["s"]);
    let html = "accept: text/html\r\n";
    for path in ["/", "/base", "/team/tuned", "/team/tuned/tree/1", "/-/page.css", "/-/family.js"] {
        let page = server.get_with(path, html);
        assert!(page.is_whole(), "{path}: {}", page.status);
        let policy = &page.headers["content-security-policy"];
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
    let commit = server.get("/-/commit").text();
    sandbox.ok(&["tag", "s", "best", "base"]);
    assert_ne!(server.get("/-/commit").text(), commit);
    assert!(server.get_with("/", html).text().contains("best"));
    let missing = server.get_with("/nothing/here", html);
    assert_eq!((missing.status, &*missing.headers["x-error-code"]), (404, "RepoNotFound"));
    assert!(missing.text().contains("<html"));
    assert!(server.get("/nothing/here").text().starts_with("{\"error\""));
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn requests_of_every_wrong_kind_get_the_right_status() {
    let (sandbox, _) = family(1000);
    let server = Server::start(&sandbox, &["s", "--patience", "2"]);
    let long = "x".repeat(100_000);
    let close = "connection: close\r\n";
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\n{close}x: {long}\r\n\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n"), 431),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("\0\u{1}\u{2}\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nhost: evil.example\r\n{close}\r\n"), 421),
        (format!("GET / HTTP/1.1\r\nhost: 10.0.0.1\r\n{close}\r\n"), 421),
        (format!("DELETE /base HTTP/1.1\r\nhost: localhost\r\n{close}\r\n"), 405),
        (format!("POST /api/models HTTP/1.1\r\nhost: localhost\r\n{close}\r\n"), 405),
        (
            format!(
                "POST /api/models/base/paths-info/main HTTP/1.1\r\nhost: localhost\r\n{close}\
                 content-length: 3000000\r\n\r\n{}",
                "a".repeat(3_000_000)
            ),
            400,
        ),
        (
            format!(
                "POST /api/models/base/paths-info/main HTTP/1.1\r\nhost: localhost\r\n{close}\
                 content-length: 3000\r\n\r\npaths=a"
            ),
            400,
        ),
        (format!("GET /%ff HTTP/1.1\r\nhost: localhost\r\n{close}\r\n"), 400),
    ] {
        let shown: String = request.chars().take(90).collect();
        let reply = server.raw(request.as_bytes());
        // One that sends on after it was refused may lose the answer to a reset.
        let is_lost = reply.status == 0 && request.len() > 1 << 20;
        let status = if reply.status == 414 { 431 } else { reply.status };
        assert!(status == expected || is_lost, "{shown:?}: {status}");
    }
    for path in
        ["/../../etc/passwd", "/base/resolve/main/../../../s", "/base/resolve/main/%2e%2e%2fs"]
    {
        let reply = server.get(path);
        assert_eq!(reply.status, 404, "{path}");
    }
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn who_says_nothing_and_who_reads_nothing_is_cut_off() {
    let (sandbox, [base, _]) = family(8 << 20);
    let server = Server::start(&sandbox, &["s", "--patience", "1", "--downloads", "64"]);
    assert!(server.get(TUNED).is_whole());
    let before = server.memory();
    let idle: Vec<TcpStream> = (0..500).map(|_| server.connect()).collect();
    let half = (0..50).map(|_| {
        let mut stream = server.connect();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: local").unwrap();
        stream
    });
    let half: Vec<TcpStream> = half.collect();
    let slow = (0..60).map(|at| {
        let mut stream = server.connect();
        let path = if at % 2 == 0 { BASE } else { TUNED };
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    });
    let slow: Vec<TcpStream> = slow.collect();
    // Others are served meanwhile.
    assert!(server.get(BASE).is_whole());
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more");
    for stream in slow {
        // Only what was in the buffers of the sockets comes when it is read at last.
        std::thread::sleep(Duration::from_millis(50));
        let reply = Reply::read(stream);
        assert!(reply.body.len() <= base.len(), "{}", reply.body.len());
    }
    for stream in idle {
        assert_eq!(Reply::read(stream).status, 0);
    }
    for stream in half {
        let status = Reply::read(stream).status;
        assert!(matches!(status, 0 | 408), "{status}");
    }
    let (code, told) = server.stop();
    assert_eq!((code, &*told), (Some(0), ""));
}

#[test]
fn too_many_downloads_wait_and_are_told() {
    let (sandbox, _) = family(8 << 20);
    let server = Server::start(&sandbox, &["s", "--patience", "1", "--downloads", "2"]);
    let stalled = (0..2).map(|_| {
        let mut stream = server.connect();
        let request = format!("GET {TUNED} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // The answer has begun: it has its place.
        stream.read_exact(&mut [0]).unwrap();
        stream
    });
    let stalled: Vec<TcpStream> = stalled.collect();
    let began = Instant::now();
    loop {
        let reply = server.get("/api/models");
        if reply.status == 200 {
            break;
        }
        assert_eq!((reply.status, &*reply.headers["retry-after"]), (503, "5"));
        assert!(began.elapsed() < LONG, "the stalled ones keep their places");
    }
    drop(stalled);
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn behind_another_server_links_begin_with_its_address() {
    let (sandbox, _) = family(1000);
    let listen = "127.0.0.1:0";
    let words = ["serve", "x=s", "--base-url", "https://models.example/hub", "--json"];
    let mut child = sandbox.command_for_signals(&[&words[..], &["--listen", listen]].concat());
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let document: String = lines.map(Result::unwrap).take_while(|line| line != "}").collect();
    let told: serde_json::Value = serde_json::from_str(&(document + "}")).unwrap();
    assert_eq!(told["stores"][0]["endpoint"], "https://models.example/hub/x");
    let server = Server { child, address: told["listening"].as_str().unwrap().parse().unwrap() };
    let host = "accept: text/html\r\n";
    let get = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: models.example\r\nconnection: close\r\n");
        server.raw(format!("{request}{host}\r\n").as_bytes())
    };
    let page = get("/x/").text();
    assert!(page.contains("\"/hub/x/-/page.css\"") && page.contains("\"/hub/x/base"), "{page}");
    assert!(get("/x/base").text().contains("https://models.example/hub/x/base/resolve/1/"));
    let list = get("/x/api/models?limit=1");
    assert!(list.headers["link"].starts_with("<https://models.example/hub/x/api/models?"));
    assert!(get("/").text().contains("\"/hub/x/\""));
    let other = "GET /x/ HTTP/1.1\r\nhost: other.example\r\nconnection: close\r\n\r\n";
    assert_eq!(server.raw(other.as_bytes()).status, 421);
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn who_has_not_the_token_reads_nothing() {
    let (sandbox, [base, _]) = family(1000);
    let arguments = ["s", "--token-env", "HUB_TOKEN"];
    let server = Server::start_with(&sandbox, &arguments, &[("HUB_TOKEN", "sesame")]);
    for path in ["/", "/-/page.css", BASE, "/api/models", "/nothing"] {
        for header in ["", "authorization: Bearer other\r\n", "authorization: sesame\r\n"] {
            let reply = server.get_with(path, header);
            assert_eq!(reply.status, 401, "{path} {header}");
            assert!(reply.headers["www-authenticate"].contains("Basic"));
            assert!(!reply.text().contains("base"));
        }
    }
    assert!(server.get_with(BASE, "authorization: Bearer sesame\r\n").body == base);
    // c2VzYW1l is `sesame`: any user, with the token as the password.
    let reply = server.get_with("/", "authorization: Basic YW55OnNlc2FtZQ==\r\n");
    assert_eq!(reply.status, 200);
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn downloads_are_of_one_snapshot_while_others_write() {
    let (sandbox, [base, tuned]) = family(300_000);
    let other = models(310_000);
    sandbox.write("other.safetensors", &other[1]);
    let server = Server::start(&sandbox, &["s"]);
    let known = [base, tuned, other[1].clone()];
    let (is_done, whole) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for at in 0..4usize {
            let (server, known, is_done, whole) = (&server, &known, &is_done, &whole);
            scope.spawn(move || {
                let paths = [BASE, TUNED, "/more/resolve/main/model.safetensors"];
                let mut turn = at;
                while !is_done.load(Ordering::SeqCst) {
                    let path = paths[turn % 3];
                    let reply = server.get(path);
                    match reply.status {
                        200 => {
                            assert!(
                                reply.is_whole(),
                                "{path}: {} of {}",
                                reply.body.len(),
                                reply.len()
                            );
                            assert!(known.contains(&reply.body), "{path}: a mixture");
                            whole.fetch_add(1, Ordering::SeqCst);
                        }
                        404 => assert!(path.starts_with("/more"), "{path}"),
                        other => panic!("{path}: {other}: {}", reply.text()),
                    }
                    turn += 1;
                }
            });
        }
        let write = |words: &[&str]| sandbox.run(&[words, &["--wait=60"]].concat());
        for round in 0..6 {
            let done =
                write(&["import", "s", "other.safetensors", "--name", "more", "--parent", "base"]);
            assert_eq!(done.code, Some(0), "{done:?}");
            if round % 2 == 1 {
                assert_eq!(write(&["vacuum", "s"]).code, Some(0));
            }
            let done = write(&["rm", "s", "more"]);
            assert_eq!(done.code, Some(0), "{done:?}");
            assert_eq!(write(&["gc", "s"]).code, Some(0));
        }
        is_done.store(true, Ordering::SeqCst);
    });
    assert!(whole.into_inner() > 0);
    assert_eq!(server.get("/more/resolve/main/model.safetensors").status, 404);
    assert_eq!(server.stop(), (Some(0), String::new()));
    sandbox.ok(&["verify", "s"]);
}

#[test]
fn a_file_that_cannot_be_read_is_never_taken_for_whole() {
    let (sandbox, _) = family(4 << 20);
    // In the last third of a raw tensor of 16 MiB.
    let mut bytes = sandbox.read("s");
    let at = bytes.len() / 2;
    let end = bytes.len().min(at + (8 << 20));
    (at..end).step_by(1 << 20).for_each(|at| bytes[at] ^= 0x55);
    fs::remove_file(sandbox.path("s")).unwrap();
    sandbox.write("s", &bytes);
    let server = Server::start(&sandbox, &["s"]);
    let (base, tuned) = (server.get(BASE), server.get(TUNED));
    for reply in [&base, &tuned] {
        // Cut off before its head had left, it is an end without an answer.
        let is_loud = matches!(reply.status, 0 | 500) || reply.body.len() < reply.len();
        assert!(is_loud || reply.is_whole(), "{}", reply.status);
    }
    assert!(!(base.is_whole() && tuned.is_whole()), "nothing was damaged");
    let (code, told) = server.stop();
    assert_eq!(code, Some(0));
    let was_cut = [&base, &tuned].into_iter().any(|it| it.status != 500 && !it.is_whole());
    assert_eq!(told.contains("cut off") && told.contains("model.safetensors"), was_cut, "{told}");
}

#[test]
fn it_ends_when_it_is_told_and_finishes_what_runs() {
    let (sandbox, [_, tuned]) = family(4 << 20);
    for signal in [Signal::TERM, Signal::HUP] {
        let mut server = Server::start(&sandbox, &["s", "--access-log"]);
        let mut stream = server.connect();
        let request = format!("GET {TUNED} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 100];
        stream.read_exact(&mut first).unwrap();
        server.signal(signal);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.ends_with(&tuned[tuned.len() - 1000..]));
        let mut told = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(server.child.wait().unwrap().code(), Some(0), "{told}");
        assert!(told.contains(&format!("GET {TUNED} 200 {}", tuned.len())), "{told}");
    }
}

#[cfg(feature = "remote")]
#[test]
fn a_store_is_filled_from_one_that_is_served() {
    let (sandbox, _) = family(200_000);
    let server = Server::start_with(
        &sandbox,
        &["x=s", "--token-env", "HUB_TOKEN"],
        &[("HUB_TOKEN", "sesame")],
    );
    let endpoint = format!("http://{}/x", server.address);
    let import = |store: &str, model: &str, token: &str| {
        let mut command = sandbox.command(&["import", store, model]);
        command.env("HF_ENDPOINT", &endpoint).env("HF_TOKEN", token);
        command.output().unwrap()
    };
    sandbox.ok(&["init", "t"]);
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    for (model, token) in
        [("hub:base", "other"), ("hub:nobody/nothing", "sesame"), ("hub:base@9", "sesame")]
    {
        let refused = import("t", model, token);
        assert_eq!(refused.status.code(), Some(1), "{model}: {}", told(&refused));
    }
    for model in ["base", "team/tuned"] {
        let done = import("t", &format!("hub:{model}@1"), "sesame");
        assert_eq!(done.status.code(), Some(0), "{model}: {}", told(&done));
        sandbox.ok(&["export", "s", model, "out-s", "--force"]);
        sandbox.ok(&["export", "t", model, "out-t", "--force"]);
        let [a, b] = ["out-s", "out-t"].map(|name| sandbox.path(name));
        let own = |path: &std::path::Path| match path.is_dir() {
            true => fs::read(path.join("model.safetensors")).unwrap(),
            false => fs::read(path).unwrap(),
        };
        assert!(own(&a) == own(&b), "{model}");
        let _ = fs::remove_dir_all(b);
    }
    sandbox.ok(&["verify", "t"]);
    assert_eq!(server.stop(), (Some(0), String::new()));
}

#[test]
fn a_client_that_stalls_does_not_keep_it_from_ending() {
    let (sandbox, _) = family(8 << 20);
    let mut server = Server::start(&sandbox, &["s"]);
    let mut stalled = server.connect();
    let request = format!("GET {TUNED} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stalled.write_all(request.as_bytes()).unwrap();
    stalled.read_exact(&mut [0]).unwrap();
    server.signal(Signal::TERM);
    let mut told = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(1), "{told}");
    assert!(told.contains("1 answer was cut off"), "{told}");
}

#[test]
fn another_file_in_the_place_of_a_store_is_served() {
    let (sandbox, [base, tuned]) = family(1000);
    sandbox.ok(&["init", "t"]);
    sandbox.ok(&["import", "t", "tuned.safetensors", "--name", "base"]);
    let server = Server::start(&sandbox, &["s"]);
    let html = "accept: text/html\r\n";
    assert!(server.get(BASE).body == base && server.get_with("/", html).text().contains("team"));
    fs::rename(sandbox.path("t"), sandbox.path("s")).unwrap();
    assert!(server.get(BASE).body == tuned);
    assert!(!server.get_with("/", html).text().contains("team"), "the page of the store before");
    fs::remove_file(sandbox.path("s")).unwrap();
    let gone = server.get(BASE);
    assert!(gone.status == 500 && gone.text().contains("cannot be read"), "{}", gone.text());
    // A file that was spoilt for a while is right again when it is.
    sandbox.write("s", &[7; 100_000]);
    assert_eq!(server.get(BASE).status, 500);
    fs::remove_file(sandbox.path("s")).unwrap();
    sandbox.ok(&["init", "s"]);
    sandbox.ok(&["import", "s", "base.safetensors", "--name", "base"]);
    assert!(server.get(BASE).body == base);
    let (code, told) = server.stop();
    assert_eq!((code, told.matches("cannot be read").count()), (Some(0), 2), "{told}");
}

#[test]
fn what_cannot_be_served_is_refused_before_it_listens() {
    let (sandbox, _) = family(10);
    sandbox.ok(&["init", "t"]);
    for (words, expected) in [
        (&["serve", "nothing"][..], 1),
        (&["serve", "base.safetensors"], 1),
        (&["serve"], 2),
        (&["serve", "s", "--listen", "here"], 2),
        (&["serve", "s", "--token-env", "MGIT_NO_SUCH_VARIABLE"], 2),
        (&["serve", "s", "--base-url", "models.example.com"], 2),
        (&["serve", "x=s", "x=t"], 2),
        (&["serve", "a/b=s", "t"], 2),
        (&["serve", "=s", "x=t"], 2),
        (&["serve", "s", "--downloads", "0"], 2),
    ] {
        sandbox.refused(words, expected);
    }
    let server = Server::start(&sandbox, &["first=s", "t"]);
    assert_eq!(server.get(&format!("/first{BASE}")).status, 200);
    assert_eq!(server.get("/t/api/models").text(), "[]");
    assert_eq!(server.get(BASE).status, 404);
    let list = server.get_with("/", "accept: text/html\r\n").text();
    assert!(list.contains("/first/") && list.contains("/t/"), "{list}");
    let taken = server.address.to_string();
    assert!(sandbox.refused(&["serve", "s", "--listen", &taken], 1).contains("listen at"));
    assert_eq!(server.stop(), (Some(0), String::new()));
}
