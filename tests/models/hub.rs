//! Promise: a store answers the clients of the Hugging Face Hub with what it holds, byte for byte, at
//! any range; every name that a client can send is a model's or is refused by what it is; and no
//! request reads outside of the store, or makes it fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mgit::hub::{Answer, Body, PieceCache, Request, answer, repo_id};
use mgit::interchange::{ModelSource, export_to_folder};
use mgit::{How, NewModel, Snapshot, Store};
use serde_json::Value;

use crate::common::{Random, add_one, new_store, noise, nudged, seed, weights, write};

const ORIGIN: &str = "http://here";

fn ask(snapshot: &Snapshot, path: &str, range: Option<&str>) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let request =
        Request { method: "GET", path, query, range, origin: ORIGIN, ..Request::default() };
    answer(snapshot, &request).unwrap_or_else(|| panic!("{path} is none of the protocol"))
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
}

fn body(answer: Answer, cache: &PieceCache) -> Vec<u8> {
    let len = answer.len();
    let bytes = match answer.body {
        Body::Bytes(bytes) => bytes,
        Body::Shared(_) => unreachable!("the protocol shares nothing"),
        Body::File(mut file) => {
            let mut bytes = Vec::new();
            while let Some(piece) = file.next(cache).unwrap() {
                assert!(!piece.is_empty() && piece.len() <= 1 << 20);
                bytes.extend_from_slice(&piece);
                assert_eq!(file.left(), len - bytes.len() as u64);
            }
            bytes
        }
    };
    assert_eq!(bytes.len() as u64, len);
    bytes
}

fn json(snapshot: &Snapshot, path: &str) -> Value {
    let found = ask(snapshot, path, None);
    assert_eq!(found.status, 200, "{path}");
    serde_json::from_slice(&body(found, &PieceCache::new(0))).unwrap()
}

fn problem(snapshot: &Snapshot, path: &str) -> (u16, Option<String>) {
    let found = ask(snapshot, path, None);
    (found.status, header(&found, "x-error-code").map(str::to_owned))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The files of a folder by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut below = vec![folder.to_owned()];
    while let Some(at) = below.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A family with everything that a file may be made of: raw and delta-coded tensors, long and short
/// ones, many in one chunk, none, files without tensors, single files.
fn family(folder: &Path, store: &Store) {
    let base = weights(seed(), 700_000);
    add_one(store, "base", &[], &base).unwrap();
    add_one(store, "team/tuned", &["base"], &nudged(&base, 7, 3)).unwrap();
    let tensors: Vec<(String, Vec<u8>)> = (0..300)
        .map(|at| (format!("t{at:03}"), weights(at, [1, 16_000, 50, 20_000, 0][at as usize % 5])))
        .collect();
    let changed: Vec<(String, Vec<u8>)> =
        tensors.iter().map(|(name, bytes)| (name.clone(), nudged(bytes, 3, 4))).collect();
    for (name, parents, tensors) in
        [("a/b/many", vec![], &tensors), ("a/b/more", vec!["a/b/many"], &changed)]
    {
        write(store, |t| t.add_model(crate::common::model(name, &parents, tensors))).unwrap();
    }
    write(store, |t| t.add_model(NewModel::new("empty"))).unwrap();
    let whole = folder.join("whole");
    export_to_folder(&store.snapshot().unwrap().model("a/b/more").unwrap(), &whole, &|_| ())
        .unwrap();
    fs::create_dir_all(whole.join("1_Pooling/deep")).unwrap();
    fs::write(whole.join("config.json"), "{}").unwrap();
    fs::write(whole.join("1_Pooling/config.json"), "{\"a\": 1}").unwrap();
    fs::write(whole.join("1_Pooling/deep/a b+c%ü.txt"), "odd").unwrap();
    fs::write(whole.join("training.log"), noise(5, 3 << 20)).unwrap();
    fs::write(whole.join("zero.txt"), "").unwrap();
    for at in 0..2 {
        fs::write(whole.join("version.txt"), format!("{at}")).unwrap();
        let source = ModelSource::open(&whole).unwrap();
        let model = NewModel::new("whole").parent("a/b/more", How::FineTune).source(&source);
        write(store, |t| t.add_model(model)).unwrap();
    }
    write(store, |t| t.set_tag("production", "whole@1")).unwrap();
}

#[test]
fn every_file_comes_back_at_any_range() {
    let (folder, _path, store) = new_store();
    family(folder.path(), &store);
    let snapshot = store.snapshot().unwrap();
    let mut random = Random(seed());
    let caches = [0, 3 << 20, 1 << 30].map(PieceCache::new);
    for node in snapshot.nodes().unwrap() {
        let out = folder.path().join("out").join(node.full_name());
        let model = snapshot.model_of(node.clone()).unwrap();
        export_to_folder(&model, &out, &|_| ()).unwrap();
        let files = match out.is_dir() {
            true => files(&out),
            false => BTreeMap::from([("model.safetensors".to_owned(), fs::read(&out).unwrap())]),
        };
        let id = repo_id(node.name()).unwrap();
        let info = json(&snapshot, &format!("/api/models/{id}/revision/{}", node.version()));
        let told: BTreeMap<&str, u64> = (info["siblings"].as_array().unwrap().iter())
            .map(|it| (it["rfilename"].as_str().unwrap(), it["size"].as_u64().unwrap()))
            .collect();
        let expected = files.iter().map(|(name, bytes)| (name.as_str(), bytes.len() as u64));
        assert_eq!(told, expected.collect(), "{node}", node = node.full_name());
        for (name, bytes) in &files {
            let path = format!("/{id}/resolve/{}/{}", node.version(), encoded(name));
            for _ in 0..12 {
                let cache = &caches[random.below(caches.len())];
                let len = bytes.len() as u64;
                let from = random.next() % (len + 1);
                let to = from + random.next() % (len + 1).min(3 << 20);
                let found = ask(&snapshot, &path, Some(&format!("bytes={from}-{to}")));
                if from == len {
                    assert_eq!(found.status, 416);
                    let expected = format!("bytes */{len}");
                    assert_eq!(header(&found, "content-range"), Some(&*expected));
                    continue;
                }
                let end = (to + 1).min(len);
                let expected = format!("bytes {from}-{}/{len}", end - 1);
                assert_eq!(
                    (found.status, header(&found, "content-range")),
                    (206, Some(&*expected))
                );
                assert!(
                    body(found, cache) == bytes[from as usize..end as usize],
                    "{path} {from}-{to}"
                );
            }
            for cache in &caches {
                assert!(&body(ask(&snapshot, &path, None), cache) == bytes, "{path}");
                assert!(cache.bytes() <= 1 << 30);
            }
        }
    }
    assert!(caches[0].bytes() == 0 && caches[1].bytes() <= 3 << 20 && caches[2].bytes() > 0);
}

#[test]
fn what_lies_raw_is_not_copied() {
    let (_folder, _path, store) = new_store();
    add_one(&store, "base", &[], &noise(1, 4 << 20)).unwrap();
    let found = ask(&store.snapshot().unwrap(), "/base/resolve/main/model.safetensors", None);
    let Body::File(mut file) = found.body else { panic!("a file") };
    let cache = PieceCache::new(1 << 30);
    let (mut mapped, mut copied) = (0, 0);
    while let Some(piece) = file.next(&cache).unwrap() {
        *(if piece.is_mapped() { &mut mapped } else { &mut copied }) += piece.len();
    }
    assert!(mapped == 4 << 20 && copied < 1024, "{mapped} mapped, {copied} copied");
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn revisions_and_names_mean_one_thing() {
    let (folder, _path, store) = new_store();
    family(folder.path(), &store);
    let snapshot = store.snapshot().unwrap();
    let version = |path: &str| json(&snapshot, path)["mgit"]["version"].as_u64().unwrap();
    assert_eq!(version("/api/models/whole"), 2);
    assert_eq!(version("/api/models/production"), 1);
    for (revision, expected) in [("main", 2), ("1", 1), ("2", 2), ("production", 1)] {
        assert_eq!(version(&format!("/api/models/whole/revision/{revision}")), expected);
    }
    let sha = json(&snapshot, "/api/models/whole/revision/1")["sha"].as_str().unwrap().to_owned();
    assert!(sha.len() == 40 && sha.bytes().all(|it| it.is_ascii_hexdigit()));
    assert_eq!(version(&format!("/api/models/whole/revision/{sha}")), 1);
    let node = snapshot.find("whole@1").unwrap().id();
    assert_eq!(version(&format!("/api/models/{node}")), 1);
    for path in ["/api/models/a/b/more", "/api/models/a/b.more", "/api/models/a%2Fb%2Fmore"] {
        assert_eq!(version(path), 1);
    }
    let not = |what: &str| (404, Some(what.to_owned()));
    for revision in
        ["3", "0", "-1", "nightly", "", "99999999999999", &"0".repeat(40), "..", "a%2Fb"]
    {
        let path = format!("/api/models/whole/revision/{revision}");
        assert_eq!(problem(&snapshot, &path), not("RevisionNotFound"), "{revision}");
    }
    // A tag on another model is no revision of this one.
    let path = "/api/models/base/revision/production";
    assert_eq!(problem(&snapshot, path), not("RevisionNotFound"));
    for name in ["nothing", "whole@3", "a.b.more", "a", "a/b", "", "..", "whole/", "-", "%00"] {
        let path = format!("/api/models/{name}/revision/main");
        assert_eq!(problem(&snapshot, &path), not("RepoNotFound"), "{name}");
    }
    // What may be two names is neither.
    for name in ["x/y.z.w", "x/y/z/w", "x/u/v.t", "x/u/v/t"] {
        write(&store, |t| t.add_model(NewModel::new(name))).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    // The first is a name, so that the other has no such id in a list.
    assert_eq!(json(&snapshot, "/api/models/x/y.z.w")["mgit"]["name"], "x/y.z.w");
    let list = json(&snapshot, "/api/models?author=x");
    for model in list.as_array().unwrap() {
        let id = model["id"].as_str().unwrap();
        let told = json(&snapshot, &format!("/api/models/{id}"));
        assert_eq!(told["mgit"]["name"], model["mgit"]["name"], "{id}");
    }
    assert_eq!(problem(&snapshot, "/api/models/x/u.v.t"), not("RepoNotFound"));
    // Words of the protocol in names.
    for name in ["a/resolve/b", "resolve", "tree", "tree/main", "refs"] {
        add_one(&store, name, &[], &weights(1, 10)).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    for name in ["a/resolve/b", "resolve", "tree", "tree/main", "refs"] {
        let path = format!("/{name}/resolve/main/model.safetensors");
        assert_eq!(ask(&snapshot, &path, None).status, 200, "{name}");
        let told = json(&snapshot, &format!("/api/models/{name}"));
        assert_eq!(told["mgit"]["name"], name);
    }
}

#[test]
fn lists_come_in_pages_and_no_parameter_is_passed_over() {
    let (_folder, _path, store) = new_store();
    let count = 2_345;
    write(&store, |t| {
        for at in 0..count {
            let name = format!("{}/m{at:04}", ["x", "y"][at % 2]);
            t.add_model(NewModel::new(name))?;
        }
        Ok(())
    })
    .unwrap();
    let snapshot = store.snapshot().unwrap();
    let pages = |first: &str| {
        let (mut names, mut path, mut pages) = (Vec::new(), first.to_owned(), 0);
        loop {
            let found = ask(&snapshot, &path, None);
            let next = header(&found, "link").map(str::to_owned);
            let list: Vec<Value> =
                serde_json::from_slice(&body(found, &PieceCache::new(0))).unwrap();
            names.extend(list.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = next else { return (names, pages) };
            let next = next.strip_prefix(&format!("<{ORIGIN}")).unwrap();
            path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
    };
    let (names, told) = pages("/api/models");
    assert_eq!((names.len(), told), (count, 3));
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    for sorted in ["createdAt", "lastModified", "downloads"] {
        let (mut sorted, _) = pages(&format!("/api/models?limit=100&sort={sorted}"));
        sorted.sort();
        assert_eq!(sorted, names);
    }
    assert_eq!(pages("/api/models?author=X&limit=500").0.len(), count.div_ceil(2));
    assert_eq!(pages("/api/models?search=M00&limit=7").0.len(), 100);
    assert_eq!(pages("/api/models?filter=nothing").0.len(), 0);
    for refused in ["pipeline_tag=x", "sort=name", "limit=many", "gated=true", "other="] {
        let found = ask(&snapshot, &format!("/api/models?{refused}"), None);
        assert_eq!(found.status, 400, "{refused}");
        assert!(header(&found, "x-error-message").is_some_and(|it| it.len() > 10));
    }
}

#[test]
fn trees_have_the_folders_that_files_lie_in() {
    let (folder, _path, store) = new_store();
    family(folder.path(), &store);
    let snapshot = store.snapshot().unwrap();
    let paths = |path: &str| -> Vec<String> {
        let list = json(&snapshot, path);
        let kind = |it: &Value| if it["type"] == "directory" { "/" } else { "" };
        let list = list.as_array().unwrap().iter();
        list.map(|it| format!("{}{}", it["path"].as_str().unwrap(), kind(it))).collect()
    };
    let top = ["1_Pooling/", "config.json", "model.safetensors", "training.log", "version.txt"];
    assert_eq!(paths("/api/models/whole/tree/main")[..5], top);
    assert_eq!(
        paths("/api/models/whole/tree/main/1_Pooling?recursive=True"),
        ["1_Pooling/config.json", "1_Pooling/deep/", "1_Pooling/deep/a b+c%ü.txt"]
    );
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("recursive=1&limit=2&cursor={}", encoded(&cursor));
        let page = paths(&format!("/api/models/whole/tree/main?{query}"));
        let Some(last) = page.last() else { break };
        cursor = last.trim_end_matches('/').to_owned();
        all.extend(page);
    }
    assert_eq!(all, paths("/api/models/whole/tree/main?recursive=true"));
    let not = (404, Some("EntryNotFound".to_owned()));
    for missing in ["2_Pooling", "1_Pool", "config.json/x", "..", "1_Pooling/.."] {
        let path = format!("/api/models/whole/tree/main/{missing}");
        assert_eq!(problem(&snapshot, &path), not, "{missing}");
    }
}

#[test]
fn no_path_leads_out_of_the_store() {
    let (folder, path, store) = new_store();
    family(folder.path(), &store);
    let snapshot = store.snapshot().unwrap();
    let secret = path.file_name().unwrap().to_str().unwrap();
    for way in [
        "../{}",
        "..%2F{}",
        "%2e%2e/{}",
        "%2e%2e%2f{}",
        "....//{}",
        "..\\{}",
        "..%5c{}",
        "/{}",
        "//{}",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "./{}",
        "1_Pooling/../{}",
        "1_Pooling/..%2f..%2f{}",
        "%00{}",
        "{}%00.txt",
        "config.json%00",
        "..%c0%af{}",
        "..%252f{}",
        "~/{}",
        "file:///{}",
        "CON",
        "config.json/",
        "config.json/.",
        "/config.json",
        "./config.json",
        "",
        " ",
        "%20",
        "*",
        "?",
    ] {
        let way = way.replace("{}", secret);
        for model in ["whole", "base", "empty"] {
            let path = format!("/{model}/resolve/main/{way}");
            let request = Request { method: "GET", path: &path, ..Request::default() };
            let Some(found) = answer(&snapshot, &request) else { continue };
            assert!(matches!(found.status, 400 | 404), "{path}: {}", found.status);
        }
    }
    for (method, path, expected) in [
        ("POST", "/whole/resolve/main/config.json", 405),
        ("DELETE", "/api/models/whole", 405),
        ("PUT", "/api/models", 405),
        ("GET", "/api/models/whole/paths-info/main", 405),
        ("", "/api/models", 405),
        ("HEAD", "/whole/resolve/main/config.json", 200),
        ("POST", "/api/models/whole/paths-info/main", 400),
        ("GET", "/api/whoami-v2", 404),
        ("GET", "/api/datasets/x", 404),
    ] {
        let request = Request { method, path, ..Request::default() };
        assert_eq!(answer(&snapshot, &request).unwrap().status, expected, "{method} {path}");
    }
    for path in ["/", "", "/whole", "/api", "/whole/tree/main", "/resolve/main/x"] {
        assert!(
            answer(&snapshot, &Request { method: "GET", path, ..Request::default() }).is_none()
        );
    }
}

#[test]
fn paths_are_answered_once_and_in_bounds() {
    let (folder, _path, store) = new_store();
    family(folder.path(), &store);
    let snapshot = store.snapshot().unwrap();
    let post = |body: &str| {
        let path = "/api/models/whole/paths-info/main";
        let request = Request { method: "POST", path, body: body.as_bytes(), ..Request::default() };
        answer(&snapshot, &request).unwrap()
    };
    let list = |body: &str| -> Vec<String> {
        let found = post(body);
        assert_eq!(found.status, 200, "{body}");
        let list: Vec<Value> =
            serde_json::from_slice(&super::hub::body(found, &PieceCache::new(0))).unwrap();
        list.iter().map(|it| it["path"].as_str().unwrap().to_owned()).collect()
    };
    let json = r#"{"paths": ["zero.txt", "1_Pooling/", "zero.txt", "1_Pool", "missing", ""]}"#;
    assert_eq!(list(json), ["1_Pooling", "zero.txt"]);
    assert_eq!(
        list("paths=config.json&expand=False&paths=1_Pooling%2Fdeep"),
        ["1_Pooling/deep", "config.json"]
    );
    let many = vec!["\"config.json\""; 1001].join(",");
    assert_eq!(post(&format!("{{\"paths\": [{many}]}}")).status, 400);
    for bad in ["{", "{}", "{\"paths\": 1}", "{\"paths\": [1]}", "paths=%ff"] {
        assert_eq!(post(bad).status, 400, "{bad}");
    }
}

#[test]
fn a_file_that_the_client_has_is_not_sent_again() {
    let (folder, _path, store) = new_store();
    family(folder.path(), &store);
    let snapshot = store.snapshot().unwrap();
    let tag = |path: &str| header(&ask(&snapshot, path, None), "etag").unwrap().to_owned();
    let path = "/whole/resolve/1/training.log";
    let own = tag(path);
    assert_eq!((own.len(), tag("/whole/resolve/2/training.log")), (66, own.clone()));
    assert_ne!(tag("/whole/resolve/1/version.txt"), tag("/whole/resolve/2/version.txt"));
    // The single file and the one in the folder are the same bytes, with the same tensors.
    let model = tag("/whole/resolve/main/model.safetensors");
    assert_eq!(model, tag("/a/b/more/resolve/main/model.safetensors"));
    let with = |if_none_match, if_range| {
        let range = Some("bytes=1-2");
        let request =
            Request { method: "GET", path, range, if_none_match, if_range, ..Request::default() };
        let found = answer(&snapshot, &request).unwrap();
        (found.status, found.len())
    };
    let len = 3 << 20;
    assert_eq!(with(Some(&*own), None), (304, 0));
    assert_eq!(with(Some("\"other\""), None), (206, 2));
    assert_eq!(with(None, Some(&*own)), (206, 2));
    assert_eq!(with(None, Some("\"other\"")), (200, len));
    assert_eq!(with(None, Some(&*format!("W/{own}"))), (200, len));
}
