//! A server of the pages for a browser, as long as nobody ends it: of the store that
//! `MGIT_PAGES_STORE` names, at the address that it prints.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use mgit::Store;

use super::{POLICY, Page, Site, asset, family, model, problem};

fn page(path: &str, query: &str, endpoint: &str, store: &Store) -> (u16, Page) {
    let title = "family.mgit".to_owned();
    let site = Site { base: String::new(), endpoint: endpoint.to_owned(), title };
    let snapshot = store.snapshot().unwrap();
    if path == "/-/commit" {
        let body = format!("{{\"sequence\": {}}}", snapshot.sequence()).into_bytes();
        return (200, Page { content_type: "application/json", body });
    }
    if let Some(name) = path.strip_prefix("/-/") {
        return asset(name)
            .map_or_else(|| (404, problem(404, "no asset", &site)), |page| (200, page));
    }
    if path == "/" {
        return (200, family(&snapshot, &site).unwrap());
    }
    let path = super::links::decoded(path.trim_start_matches('/'));
    let reference = match path.rsplit_once("/tree/") {
        Some((name, version)) => format!("{name}@{version}"),
        None => path,
    };
    match snapshot.model(reference) {
        Ok(found) => (200, model(&found, &site, query).unwrap()),
        Err(error) => (404, problem(404, &error.to_string(), &site)),
    }
}

fn answer(stream: TcpStream, endpoint: &str, store: &Store) -> Option<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    reader.read_line(&mut line).ok()?;
    let mut header = String::new();
    while reader.read_line(&mut header).ok()? > 2 {
        header.clear();
    }
    let address = line.split(' ').nth(1)?;
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let begun = std::time::Instant::now();
    let (status, page) = page(path, query, endpoint, store);
    eprintln!("{path}: {status}, {} bytes, {:?}", page.body.len(), begun.elapsed());
    let mut stream = stream;
    let (length, kind) = (page.body.len(), page.content_type);
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         content-security-policy: {POLICY}\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    stream.write_all(&page.body).ok()
}

#[test]
#[ignore = "a server that does not end by itself"]
fn serves_a_browser() {
    let store = Store::open_read_only(std::env::var("MGIT_PAGES_STORE").unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    println!("{endpoint}");
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            scope.spawn(|| answer(stream, &endpoint, &store));
        }
    });
}
