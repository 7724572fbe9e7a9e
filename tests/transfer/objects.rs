//! Promise: an object store is a remote as a folder is.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common;
use crate::common::remote::{ALL, assert_same, assert_sound, family, grown};
use crate::common::{add, model, weights};
use mgit::Store;
use mgit::error::TransferError;
use mgit::store::OpenOptions;
use mgit::transfer::{
    FolderRemote, ObjectRemote, Place, Remote, open_remote, pull, pull_from_remote, push,
    push_to_remote,
};
use object_store::memory::InMemory;
use object_store::path::Path;

fn remote() -> ObjectRemote {
    ObjectRemote::on(Arc::new(InMemory::new()), Path::from("deep/family"), "memory").unwrap()
}

#[test]
fn families_go_by_way_of_an_object_store() {
    let folder = common::folder();
    let remote = remote();
    let a = family(&folder.path().join("a.mgit"));
    push_to_remote(&a, &remote, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_remote(&b, &remote, ALL).unwrap();
    assert_same(&a, &b, "cloned");
    grown(&a, "tuned", "base", 20);
    grown(&b, "tuned", "base", 21);
    push_to_remote(&a, &remote, ALL).unwrap();
    assert!(matches!(
        push_to_remote(&b, &remote, ALL).unwrap_err(),
        TransferError::Diverged { .. }
    ));
    pull_from_remote(&b, &remote, ALL).unwrap();
    push_to_remote(&b, &remote, ALL).unwrap();
    pull_from_remote(&a, &remote, ALL).unwrap();
    assert_same(&a, &b, "together");
}

#[test]
fn long_packs_go_in_parts() {
    let folder = common::folder();
    let remote = remote();
    let a = Store::create(folder.path().join("a.mgit")).unwrap();
    let list: Vec<_> = (0..3).map(|at| (format!("t{at}"), weights(at, 3_000_000))).collect();
    add(&a, model("long", &[], &list)).unwrap();
    push_to_remote(&a, &remote, ALL).unwrap();
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull_from_remote(&b, &remote, ALL).unwrap();
    assert_same(&a, &b, "in parts");
}

#[test]
fn files_are_made_once_and_lengths_are_believed_only_when_kept() {
    let remote = remote();
    assert!(remote.put_new("refs/00000001", b"one").unwrap());
    assert!(!remote.put_new("refs/00000001", b"two").unwrap());
    assert_eq!(remote.get("refs/00000001", 3).unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(remote.get("refs/00000002", 3).unwrap(), None);
    assert!(remote.get("refs/00000001", 2).is_err());
    assert!(remote.get_range("refs/00000001", 1, &mut [0; 3]).is_err());
    assert!(remote.put("packs/a", 5, &mut &b"four"[..]).is_err());
    let long = vec![7; 40 << 20];
    assert!(remote.put("packs/b", long.len() as u64 + 1, &mut &long[..]).is_err());
    assert_eq!(remote.list("packs").unwrap(), Some(Vec::new()));
    assert_eq!(remote.list("refs").unwrap(), Some(vec![("00000001".to_owned(), 3)]));
}

#[test]
fn a_remote_can_be_used_inside_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let remote = remote();
        assert!(remote.put_new("refs/00000001", b"one").unwrap());
    });
}

#[test]
fn addresses_are_told_by_their_beginnings() {
    for (address, lists) in [("s3://bucket/a", true), ("https://host.example/a", false)] {
        let remote = open_remote(&Place::parse(address).unwrap()).unwrap();
        assert_eq!(remote.place(), address);
        if !lists {
            assert_eq!(remote.list("refs").unwrap(), None);
        }
    }
    assert!(open_remote(&Place::parse("nonsense://x/y").unwrap()).is_err());
}

/// Answers one connection's requests for files: whole, or a range; nothing else. `stop` is called
/// before a range is given.
fn serve(
    stream: TcpStream,
    root: &std::path::Path,
    stop: &(dyn Fn() + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (method, path) = {
            let mut words = line.split(' ');
            (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned())
        };
        let mut range = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some((start, end)) =
                header.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'))
            {
                range = Some((start.parse::<usize>().unwrap(), end.parse::<usize>().unwrap()));
            }
        }
        let found = (method == "GET").then(|| std::fs::read(root.join(&path[1..])).ok()).flatten();
        let head = |status: &str, len: usize, more: String| {
            let date = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: \"e\"\r\n";
            format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{date}{more}\r\n")
        };
        match (found, range) {
            (None, _) => writer.write_all(head("404 Not Found", 0, String::new()).as_bytes())?,
            (Some(bytes), None) => {
                writer.write_all(head("200 OK", bytes.len(), String::new()).as_bytes())?;
                writer.write_all(&bytes)?;
            }
            (Some(bytes), Some((start, end))) => {
                stop();
                let part = &bytes[start..=end.min(bytes.len() - 1)];
                let last = start + part.len() - 1;
                let more = format!("Content-Range: bytes {start}-{last}/{}\r\n", bytes.len());
                writer.write_all(head("206 Partial Content", part.len(), more).as_bytes())?;
                writer.write_all(part)?;
            }
        }
        writer.flush()?;
    }
}

/// A host of the files in a folder, as long as the program runs; the place of the family in it.
fn host(root: PathBuf, stop: impl Fn() + Clone + Send + Sync + 'static) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (root, stop) = (root.clone(), stop.clone());
            // A client that goes away is no failure of the host.
            std::thread::spawn(move || drop(serve(stream, &root, &stop)));
        }
    });
    Place::parse(&format!("http://{address}/family")).unwrap()
}

/// Whenever a pull waits for the host, this store can be written to, by this handle and another.
#[test]
fn others_write_while_a_pull_waits_for_its_host() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    for _ in 0..2 {
        push_to_remote(&a, &FolderRemote::new(folder.path().join("www/family")), ALL).unwrap();
        grown(&a, "tuned", "base", 20);
    }
    let (told, stops) = channel();
    let (go_on, waits) = channel::<()>();
    let waits = Arc::new(Mutex::new(waits));
    let place = host(folder.path().join("www"), move || {
        // Once the test is over nobody listens, and nothing stops.
        if told.send(()).is_ok() {
            let _ = waits.lock().unwrap().recv();
        }
    });
    let path = folder.path().join("b.mgit");
    Store::create(&path).unwrap();
    let open = || OpenOptions::new().lock_per_transaction(true).open(&path).unwrap();
    let (b, other) = (open(), open());
    let mut written = 0;
    std::thread::scope(|scope| {
        let (go_on, b) = (go_on, &b);
        let (done, ends) = channel();
        scope.spawn(move || done.send(pull(b, &place, ALL)).unwrap());
        let report = loop {
            match stops.recv_timeout(Duration::from_millis(10)) {
                Ok(()) => {
                    let store = if written % 2 == 0 { b } else { &other };
                    let mut transaction = store.try_begin_write().unwrap();
                    let body = [("w".to_owned(), weights(written, 100))];
                    let name = format!("beside-{written}");
                    transaction.add_model(model(&name, &[], &body)).unwrap();
                    transaction.commit().unwrap();
                    written += 1;
                    go_on.send(()).unwrap();
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Ok(report) = ends.try_recv() {
                        break report;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => panic!("the host is gone"),
            }
        };
        assert_eq!(report.unwrap().models.len(), 4);
    });
    // An index, the manifests, the tensors.
    assert!(written >= 3, "the pull waited {written} times");
    let snapshot = b.snapshot().unwrap();
    assert_eq!(snapshot.nodes().unwrap().len() as u64, 4 + written);
    drop(snapshot);
    assert_sound(&b, "written beside a pull");
}

#[test]
fn a_host_of_files_serves_pulls() {
    let folder = common::folder();
    let a = family(&folder.path().join("a.mgit"));
    push_to_remote(&a, &FolderRemote::new(folder.path().join("www/family")), ALL).unwrap();
    grown(&a, "tuned", "base", 20);
    push_to_remote(&a, &FolderRemote::new(folder.path().join("www/family")), ALL).unwrap();
    let place = host(folder.path().join("www"), || ());
    let b = Store::create(folder.path().join("b.mgit")).unwrap();
    pull(&b, &place, ALL).unwrap();
    assert_same(&a, &b, "from a host of files");
    grown(&b, "tuned", "base", 21);
    assert!(push(&b, &place, ALL).is_err(), "a host of files takes none");
}
