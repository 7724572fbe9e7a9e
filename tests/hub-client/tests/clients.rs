//! Promise: the Hub's clients for Rust download what the store holds, at any revision, and meet the
//! errors that they know.
//!
//! `MGIT_DB` names the tool; by default it is that of the project's debug build.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hf_hub::{HFClientBuilder, HFError};
use hf_hub_of_candle::api::sync::{ApiBuilder, ApiError};
use hf_hub_of_candle::{Repo, RepoType};
use mgit::interchange::{ModelSource, export_to_path};
use mgit::{How, NewModel, NewTensor, Store};

struct Served {
    child: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tool() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/mgit-db");
    std::env::var_os("MGIT_DB").map_or(built, PathBuf::from)
}

fn values(version: usize) -> Vec<f32> {
    (0..1 << 20).map(|at| (at as f32 * 0.37).sin() + version as f32 * 1e-4).collect()
}

/// The folder of each version of `team/tuned`, and a store that is served.
fn family() -> (Served, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("family.mgit");
    let store = Store::create(&path).unwrap();
    let mut sources = Vec::new();
    for version in 1..=2 {
        let source = folder.path().join(format!("v{version}"));
        fs::create_dir_all(source.join("1_Pooling")).unwrap();
        let scratch = Store::create(folder.path().join(format!("scratch{version}"))).unwrap();
        let mut transaction = scratch.begin_write().unwrap();
        let tensor = NewTensor::from_vec("w", [1 << 20], values(version));
        transaction.add_model(NewModel::new("m").tensor(tensor)).unwrap();
        transaction.commit().unwrap();
        let model = scratch.snapshot().unwrap().model("m").unwrap();
        export_to_path(&model, source.join("model.safetensors"), &|_| ()).unwrap();
        fs::write(source.join("config.json"), format!("{{\"version\": {version}}}")).unwrap();
        fs::write(source.join("1_Pooling/config.json"), "{}").unwrap();
        let opened = ModelSource::open(&source).unwrap();
        let mut transaction = store.begin_write().unwrap();
        let mut model = NewModel::new("team/tuned").source(&opened);
        if version > 1 {
            model = model.parent("team/tuned@1", How::FineTune);
        }
        transaction.add_model(model).unwrap();
        transaction.commit().unwrap();
        sources.push(source);
    }
    drop(store);
    let mut command = Command::new(tool());
    command.arg("serve").arg(&path).args(["--listen", "127.0.0.1:0"]);
    let mut child =
        command.stdout(Stdio::piped()).spawn().expect("the tool: build it, or set MGIT_DB");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let endpoint = line[line.find("http://").expect(&line)..].trim().to_owned();
    (Served { child, endpoint, folder }, sources)
}

const FILES: [&str; 3] = ["model.safetensors", "config.json", "1_Pooling/config.json"];

#[test]
fn the_present_client() {
    let (served, sources) = family();
    let client = HFClientBuilder::new()
        .endpoint(&served.endpoint)
        .cache_dir(served.folder.path().join("cache"))
        .build_sync()
        .unwrap();
    let repo = client.model("team", "tuned");
    let info = repo.info().send().unwrap();
    let sha = info.sha.clone().expect("a sha");
    for (revision, source) in
        [("1", &sources[0]), ("2", &sources[1]), ("main", &sources[1]), (&*sha, &sources[1])]
    {
        let got = repo.snapshot_download().revision(revision).send().unwrap();
        for file in FILES {
            let expected = fs::read(source.join(file)).unwrap();
            assert!(fs::read(got.join(file)).unwrap() == expected, "{revision} {file}");
            let one = repo.download_file().filename(file).revision(revision).send().unwrap();
            assert!(fs::read(one).unwrap() == expected, "{revision} {file}");
        }
        let part = repo.download_file_to_bytes().filename(FILES[0]).revision(revision);
        let part = part.range(1_000_000..3_000_000).send().unwrap();
        let expected = fs::read(source.join(FILES[0])).unwrap();
        assert!(part[..] == expected[1_000_000..3_000_000], "{revision}");
    }
    assert!(repo.exists().send().unwrap());
    assert!(!client.model("team", "nothing").exists().send().unwrap());
    assert!(repo.revision_exists().revision("1").send().unwrap());
    assert!(!repo.revision_exists().revision("9").send().unwrap());
    assert!(repo.file_exists().filename("config.json").send().unwrap());
    assert!(!repo.file_exists().filename("missing").send().unwrap());
    let missing = repo.download_file().filename("missing").send();
    assert!(matches!(missing, Err(HFError::EntryNotFound { .. })), "{missing:?}");
    // Whatever is missing for a download, this client calls it the file.
    for (repo, revision) in [(&repo, "9"), (&client.model("team", "nothing"), "main")] {
        let missing = repo.download_file().filename("config.json").revision(revision).send();
        assert!(matches!(missing, Err(HFError::EntryNotFound { .. })), "{missing:?}");
    }
    let missing = client.model("team", "nothing").info().send();
    assert!(matches!(missing, Err(HFError::RepoNotFound { .. })), "{missing:?}");
}

#[test]
fn the_client_that_candle_uses() {
    let (served, sources) = family();
    let api = ApiBuilder::new()
        .with_endpoint(served.endpoint.clone())
        .with_cache_dir(served.folder.path().join("cache"))
        .with_progress(false)
        .build()
        .unwrap();
    for (revision, source) in [("1", &sources[0]), ("2", &sources[1]), ("main", &sources[1])] {
        let repo = Repo::with_revision("team/tuned".into(), RepoType::Model, revision.into());
        let repo = api.repo(repo);
        let info = repo.info().unwrap();
        let mut names: Vec<&str> = info.siblings.iter().map(|it| &*it.rfilename).collect();
        names.sort_unstable();
        let mut expected = FILES;
        expected.sort_unstable();
        assert_eq!(names, expected);
        for file in FILES {
            let got = repo.get(file).unwrap();
            let expected = fs::read(source.join(file)).unwrap();
            assert!(fs::read(got).unwrap() == expected, "{revision} {file}");
        }
        assert!(matches!(repo.get("missing"), Err(ApiError::RequestError(_))));
    }
}
