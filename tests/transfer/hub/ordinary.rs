//! The ordinary way: folders of any files come, go into a store, and out again.

use std::collections::BTreeMap;
use std::fs;

use mgit::error::HubError;
use mgit::hub_client::{HubAdvance, HubFolder, HubModel, HubOptions, download};
use mgit::interchange::{ModelSource, SourceOptions, export_to_folder};
use mgit::{NewModel, Store, full_message};

use super::{comes, get, hashed, kept, options, read, tiny};
use crate::common::{self, Random};
use crate::hub_stub::{COMMIT, Stub, StubFile};

/// A safetensors file of one tensor.
fn weights(seed: u64, count: usize) -> Vec<u8> {
    let bytes = common::weights(seed, count);
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[{count}],"data_offsets":[0,{}]}}}}"#,
        bytes.len()
    );
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat()
}

/// Names as people give them, and worse.
const NAMES: [&str; 9] = [
    "config.json",
    "a b.txt",
    "100%.txt",
    "%2e%2e",
    "ü/ö.txt",
    "a?b#c",
    "1_Pooling/config.json",
    "+plus&and=.txt",
    "deep/er/and/deeper.bin.txt",
];

#[test]
fn what_is_served_is_imported_and_comes_out_equal() {
    let seed = common::seed();
    let mut random = Random(seed);
    for round in 0..12 {
        let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        files.insert("model.safetensors", weights(random.next(), 1 + random.below(200_000)));
        for name in NAMES {
            if random.below(2) == 0 {
                let len = [0, 1, 1000, 300_000][random.below(4)];
                files.insert(name, common::noise(random.next(), len));
            }
        }
        let served = files.iter().map(|(path, bytes)| {
            let mut file = hashed(bytes.clone());
            if random.below(2) == 0 {
                file.sha256 = None;
            }
            if random.below(3) == 0 {
                file.etag = None;
            }
            (*path, file)
        });
        let stub = Stub::new(served.collect::<Vec<_>>());
        let beside = common::folder();
        let folder = comes(&stub, beside.path());
        let store = Store::create(beside.path().join("s")).unwrap();
        let source = ModelSource::open(folder.path()).unwrap();
        assert_eq!(source.facts()["hub.repository"], "org/tiny");
        assert_eq!(source.facts()["hub.revision"], COMMIT);
        let mut transaction = store.begin_write().unwrap();
        transaction.add_model(NewModel::new("tiny").source(&source)).unwrap();
        transaction.commit().unwrap();
        folder.remove().unwrap();
        assert_eq!(kept(beside.path()), [beside.path().join("s")]);
        let out = beside.path().join("out");
        let model = store.snapshot().unwrap().model("tiny").unwrap();
        export_to_folder(&model, &out, &|_| ()).unwrap();
        for (path, bytes) in &files {
            let found = fs::read(out.join(path)).unwrap();
            assert!(found == *bytes, "seed {seed}, round {round}: {path}");
        }
    }
}

#[test]
fn the_requests_are_those_of_the_hubs_own_client() {
    let stub = Stub::new([("a b/ü.txt", StubFile::new("text"))]);
    let beside = common::folder();
    let model: HubModel = "hub:org/tiny@refs/pr/1".parse().unwrap();
    let hub = HubOptions::new(format!("{}/team/", stub.endpoint())).token("hf_secret");
    let folder = download(&model, &hub, &SourceOptions::new(), beside.path(), &|_| ()).unwrap();
    assert_eq!((read(&folder, "a b/ü.txt"), folder.commit()), (b"text".to_vec(), COMMIT));
    let seen = stub.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path.as_str()).collect();
    let file = format!("/team/org/tiny/resolve/{COMMIT}/a%20b/%C3%BC.txt");
    let listing = "/team/api/models/org/tiny/revision/refs%2Fpr%2F1?blobs=true";
    assert_eq!(paths, [listing, file.as_str()]);
    for seen in &seen {
        assert_eq!(seen.header("authorization"), Some("Bearer hf_secret"));
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!(seen.header("range"), None);
    }
}

#[test]
fn what_is_left_out_is_not_asked_for_and_is_told() {
    let names = [
        ".gitattributes",
        ".cache/x",
        "checkpoint-5/model.safetensors",
        "checkpoint-5/config.json",
        "model.safetensors",
        "onnx/model.onnx",
        "flax_model.msgpack",
        "x.tmp",
    ];
    let stub = Stub::new(names.map(|name| (name, StubFile::new(weights(1, 10)))));
    let beside = common::folder();
    let files = SourceOptions::new().exclude("onnx").exclude("*.msgpack").exclude("*.none");
    let folder = download(&tiny(), &options(&stub), &files, beside.path(), &|_| ()).unwrap();
    let asked: Vec<String> = stub.seen().into_iter().skip(1).map(|seen| seen.path).collect();
    let file = |name: &str| format!("/org/tiny/resolve/{COMMIT}/{name}");
    assert_eq!(asked, [file(".gitattributes"), file("model.safetensors")]);
    let expected = [
        (".cache/", "a cache"),
        ("checkpoint-5/", "a model of its own"),
        ("flax_model.msgpack", "fits \"*.msgpack\", which is excluded"),
        ("onnx/", "fits \"onnx\", which is excluded"),
        ("x.tmp", "a temporary file"),
    ];
    let told = |left_out: &[mgit::interchange::LeftOut]| {
        let told = left_out.iter().map(|left| (left.path.clone(), left.reason.clone()));
        assert_eq!(told.collect::<Vec<_>>(), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    };
    told(folder.left_out());
    let source = ModelSource::open_with(folder.path(), &folder.source_options(&files)).unwrap();
    told(source.left_out());
    assert_eq!(files.unused_excludes().collect::<Vec<_>>(), ["*.none"]);
}

#[test]
fn what_a_walk_leaves_out_is_what_is_not_downloaded() {
    let names = [
        "a.safetensors",
        "b/.git/x",
        "b/c.part",
        "run/checkpoint-1/model.safetensors",
        "run/checkpoint-1/sub/x",
        "checkpoint-2/config.json",
        "k/l/m.txt",
        "n.lock",
        ".DS_Store",
    ];
    let local = common::folder();
    for name in names {
        fs::create_dir_all(local.path().join(name).parent().unwrap()).unwrap();
        fs::write(local.path().join(name), weights(1, 10)).unwrap();
    }
    let stub = Stub::new(names.map(|name| (name, StubFile::new(weights(1, 10)))));
    for globs in [&[][..], &["l"], &["*.txt", "b"], &["run"], &["checkpoint-*"]] {
        let files = globs.iter().fold(SourceOptions::new(), |files, glob| files.exclude(*glob));
        let beside = common::folder();
        let folder = download(&tiny(), &options(&stub), &files, beside.path(), &|_| ()).unwrap();
        let (here, there) = (
            ModelSource::open_with(local.path(), &files).unwrap(),
            ModelSource::open_with(folder.path(), &folder.source_options(&files)).unwrap(),
        );
        let paths = |source: &ModelSource| {
            source.files().iter().map(|file| file.path().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((here.left_out(), paths(&here)), (there.left_out(), paths(&there)), "{globs:?}");
    }
}

#[test]
fn progress_is_of_all_bytes() {
    let stub = Stub::new([
        ("a", StubFile::new(vec![1; 300_000])),
        ("b", StubFile::new(vec![2; 5])),
        ("c", StubFile::new("")),
    ]);
    let beside = common::folder();
    let told = std::cell::RefCell::new(Vec::new());
    let progress = |HubAdvance { bytes, of, .. }: HubAdvance| told.borrow_mut().push((bytes, of));
    download(&tiny(), &options(&stub), &SourceOptions::new(), beside.path(), &progress).unwrap();
    let told = told.into_inner();
    assert!(told.iter().all(|(_, of)| *of == 300_005) && told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&(300_005, 300_005)));
}

#[test]
fn one_process_at_a_time_has_a_folder_and_it_is_its_users_own() {
    let stub = Stub::new([("a", StubFile::new("text"))]);
    let beside = common::folder();
    let folder = comes(&stub, beside.path());
    let place = HubFolder::place(&tiny(), &options(&stub), beside.path());
    match get(&options(&stub), beside.path()) {
        Err(HubError::UnderWay { folder }) => assert_eq!(folder, place),
        other => panic!("{other:?}"),
    }
    drop(folder);
    comes(&stub, beside.path()).remove().unwrap();
    // A link that somebody has put there is not followed.
    let other = common::folder();
    std::os::unix::fs::symlink(other.path(), &place).unwrap();
    let error = get(&options(&stub), beside.path()).unwrap_err();
    assert!(full_message(&error).ends_with("it is not a folder of this user"), "{error:?}");
    assert!(kept(other.path()).is_empty());
}
