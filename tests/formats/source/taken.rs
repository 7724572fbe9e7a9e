//! Promise: what is in a folder is taken or listed as left out; weights are told from the rest.

use std::os::unix::fs::symlink;

use mgit::interchange::{
    FileFormat, FileLayout, FormatReader, InterchangeError, LayoutBuilder, ModelSource, OpenFile,
    SourceOptions,
};
use mgit::{Dtype, Shape};
use tempfile::tempdir;

use super::{files, index, left_out, paths, put, safetensors, tree};

#[test]
fn a_folder_is_all_its_files_and_the_weights_come_first() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    for (path, bytes) in [
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", safetensors(&["a", "b"])),
        ("other.safetensors", safetensors(&["c"])),
        ("2_Dense/model.safetensors", safetensors(&["linear"])),
        ("optimizer.pt", safetensors(&["exp_avg"])),
        (".gitattributes", b"*.bin filter=lfs".to_vec()),
        ("z.txt", Vec::new()),
    ] {
        put(root, path, bytes);
    }
    let source = ModelSource::open(root).unwrap();
    let aside = |path: &str, tensors: &[&str]| {
        let tensors = tensors.iter().map(|tensor| format!("{path}:{tensor}")).collect();
        (path.to_owned(), false, tensors)
    };
    assert_eq!(
        files(&source),
        [
            ("model.safetensors".to_owned(), true, vec!["a".to_owned(), "b".to_owned()]),
            aside(".gitattributes", &[]),
            aside("2_Dense/model.safetensors", &["linear"]),
            aside("config.json", &[]),
            aside("optimizer.pt", &["exp_avg"]),
            aside("other.safetensors", &["c"]),
            aside("z.txt", &[]),
        ]
    );
    assert_eq!((left_out(&source), source.notes().count()), (Vec::new(), 0));
    assert!(!source.is_single());
    let len: u64 = source.files().iter().map(|file| file.len()).sum();
    assert_eq!(source.logical_bytes(), len);
    let mut bytes = [0; 2];
    source.files()[0].read_tensor_at(1, 1, &mut bytes).unwrap();
    assert_eq!(bytes, [5, 6]);
    assert!(source.files()[0].read_tensor_at(1, 3, &mut bytes).is_err());
    assert!(source.files()[0].read_tensor_at(2, 0, &mut bytes).is_err());
}

#[test]
fn what_belongs_to_no_model_is_left_out_with_the_reason() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    for path in
        [".git/HEAD", "sub/.cache/x", "__pycache__/a.pyc", ".DS_Store", "a.safetensors.part"]
    {
        put(root, path, "x");
    }
    put(root, "checkpoint-500/model.safetensors", safetensors(&["a"]));
    put(root, "checkpoint-7/notes.txt", "not a model");
    put(root, "w.lock", "");
    put(root, "uv.lock", "packages");
    std::fs::create_dir(root.join("empty")).unwrap();
    rustix_fifo(&root.join("pipe"));
    mgit::Store::create(root.join("family.mgit")).unwrap();
    let source = ModelSource::open(root).unwrap();
    assert_eq!(
        left_out(&source),
        [
            (".DS_Store", "of a file manager"),
            (".git/", "of version control"),
            ("__pycache__/", "a cache"),
            ("a.safetensors.part", "a temporary file"),
            ("checkpoint-500/", "a model of its own"),
            ("empty/", "an empty folder"),
            ("family.mgit", "a store of models"),
            ("pipe", "a pipe"),
            ("sub/.cache/", "a cache"),
            ("w.lock", "a lock file"),
        ]
    );
    let others = ["checkpoint-7/notes.txt", "uv.lock"];
    assert_eq!(paths(&source), (vec!["model.safetensors"], others.to_vec()));
}

fn rustix_fifo(path: &std::path::Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn globs_say_what_is_taken() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    put(root, "pytorch_model.bin", safetensors(&["a"]));
    put(root, "onnx/model.onnx", "x");
    put(root, "config.json", "{}");
    let options = SourceOptions::new().exclude("*.bin").exclude("onnx/");
    let source = ModelSource::open_with(root, &options).unwrap();
    assert_eq!(paths(&source), (vec!["model.safetensors"], vec!["config.json"]));
    assert_eq!(
        left_out(&source),
        [
            ("onnx/", "fits \"onnx/\", which is excluded"),
            ("pytorch_model.bin", "fits \"*.bin\", which is excluded"),
        ]
    );
    let options = SourceOptions::new().include("*.bin").include("config.json");
    let source = ModelSource::open_with(root, &options).unwrap();
    assert_eq!(paths(&source), (vec!["pytorch_model.bin"], vec!["config.json"]));
    let left = [
        ("model.safetensors", "fits no glob that is included"),
        ("onnx/model.onnx", "fits no glob that is included"),
    ];
    assert_eq!(left_out(&source), left);
}

#[test]
fn any_way_to_name_shards_is_all_of_them() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let list = "model.safetensors.index.json";
    put(root, one, safetensors(&["b"]));
    put(root, two, safetensors(&["a", "c"]));
    put(root, list, index(&[("a", two), ("b", one), ("c", two)]));
    for path in [root.to_owned(), root.join(one), root.join(two), root.join(list)] {
        let source = ModelSource::open(&path).unwrap();
        assert_eq!(paths(&source), (vec![one, two], vec![list]), "{path:?}");
        assert!(!source.is_single());
    }
    put(root, "config.json", "{}");
    let source = ModelSource::open(root).unwrap();
    assert_eq!(paths(&source), (vec![one, two], vec!["config.json", list]));
    // Without a list, by their numbers.
    std::fs::remove_file(root.join(list)).unwrap();
    for path in [root.join(one), root.join(two)] {
        let source = ModelSource::open(&path).unwrap();
        assert_eq!(paths(&source), (vec![one, two], vec![]), "{path:?}");
    }
}

#[test]
fn shards_that_are_not_what_the_folder_is_about_may_be_missing() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.safetensors", safetensors(&["a"]));
    let (one, two) = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin");
    put(root, "pytorch_model.bin.index.json", index(&[("a", one), ("b", two)]));
    put(root, "fp16/model-00002-of-00003.safetensors", safetensors(&["a"]));
    let source = ModelSource::open(root).unwrap();
    assert_eq!(paths(&source).0, ["model.safetensors"]);
    let notes: Vec<(&str, &str)> = source.notes().collect();
    let what = "of the files that it names are not here";
    assert_eq!(
        notes,
        [
            (
                "fp16/model-00002-of-00003.safetensors",
                &*format!("2 {what}: \"model-00001-of-00003.safetensors\" first")
            ),
            ("pytorch_model.bin.index.json", &*format!("2 {what}: {one:?} first")),
        ]
    );
}

#[test]
fn names_that_others_have_get_the_path_before_them() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "first.safetensors", safetensors(&["a", "b"]));
    put(root, "second.safetensors", safetensors(&["b", "c"]));
    put(root, "third.safetensors", safetensors(&["d", "optimizer.pt:e"]));
    put(root, "optimizer.pt", safetensors(&["e"]));
    let source = ModelSource::open(root).unwrap();
    let names: Vec<Vec<String>> = files(&source).into_iter().map(|(.., names)| names).collect();
    assert_eq!(paths(&source).0, ["first.safetensors", "third.safetensors"]);
    let expected: [&[&str]; 4] = [
        &["a", "b"],
        &["d", "optimizer.pt:e"],
        &["optimizer.pt:e#2"],
        &["second.safetensors:b", "second.safetensors:c"],
    ];
    assert_eq!(names, expected);
    let notes: Vec<&str> = source.notes().map(|(path, _)| path).collect();
    assert_eq!(notes, ["second.safetensors"]);
}

#[test]
fn weights_below_the_folder_are_its_weights_where_there_are_no_others() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "onnx/model.safetensors", safetensors(&["a"]));
    put(root, "training_args.bin", "state");
    assert_eq!(paths(&ModelSource::open(root).unwrap()).0, ["onnx/model.safetensors"]);
    put(root, "unet/model.safetensors", safetensors(&["a"]));
    let source = ModelSource::open(root).unwrap();
    // Each folder is a model of its own: the path stands before the names.
    assert_eq!(paths(&source).0, ["onnx/model.safetensors", "unet/model.safetensors"]);
    assert_eq!(files(&source)[0].2, ["onnx/model.safetensors:a"]);
    assert_eq!(files(&source)[1].2, ["unet/model.safetensors:a"]);
}

#[test]
fn links_are_followed_inside_the_folder_and_into_the_blobs_of_its_cache() {
    let cache = tempdir().unwrap();
    let repository = cache.path().join("models--org--name");
    let snapshot = repository.join("snapshots/0123abc");
    put(&repository, "blobs/aa", safetensors(&["a"]));
    put(&repository, "blobs/bb", "{}");
    put(&snapshot, "own.txt", "text");
    symlink("../../blobs/aa", snapshot.join("model.safetensors")).unwrap();
    symlink("../../blobs/bb", snapshot.join("config.json")).unwrap();
    symlink("own.txt", snapshot.join("link.txt")).unwrap();
    std::fs::create_dir(snapshot.join("sub")).unwrap();
    symlink("..", snapshot.join("sub/up")).unwrap();
    let source = ModelSource::open(&snapshot).unwrap();
    let others = vec!["config.json", "link.txt", "own.txt"];
    assert_eq!(paths(&source), (vec!["model.safetensors"], others));
    assert_eq!(source.files()[0].format(), FileFormat::Safetensors);
    assert_eq!(left_out(&source), [("sub/up/", "a link to a folder that it lies in")]);
    assert_eq!(source.facts()["hub.revision"], "0123abc");
}

/// Files of a format of its own: a line, and numbers of a byte each.
struct Lines;

impl FormatReader for Lines {
    fn name(&self) -> &str {
        "lines"
    }

    fn recognises(&self, head: &[u8], _: &std::path::Path) -> bool {
        head.starts_with(b"lines\n")
    }

    fn read(&self, file: &OpenFile) -> Result<FileLayout, InterchangeError> {
        let mut builder = LayoutBuilder::new(file.len());
        let shape = Shape::new(&[file.len() - 6]).unwrap();
        builder.tensor("numbers", Dtype::U8, shape, 6, file.len());
        let mut layout = FileLayout::new(FileFormat::Bytes);
        layout.tensors = builder.finish().tensors;
        if file.len() == 7 {
            layout.tensors[0].begin = 2;
        }
        Ok(layout)
    }
}

#[test]
fn readers_of_other_formats_are_asked_first_and_their_answers_checked() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "model.own", "lines\n1234");
    put(root, "config.json", "{}");
    let options = SourceOptions::new().reader(Lines);
    let source = ModelSource::open_with(root, &options).unwrap();
    let tensors = vec!["numbers".to_owned()];
    assert_eq!(files(&source)[0], ("model.own".to_owned(), true, tensors));
    put(root, "model.own", "lines\n1");
    let error = ModelSource::open_with(root.join("model.own"), &options).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("the reader lines finds what cannot be: \"\\\"numbers\\\" is not"),
        "{text}"
    );
}

#[test]
fn a_folder_of_more_files_than_are_held_open_is_read_as_others_are() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    for at in 0..300 {
        put(root, &format!("{at:03}.safetensors"), safetensors(&[&format!("t{at}")]));
    }
    let source = ModelSource::open(root).unwrap();
    let mut bytes = [0; 4];
    for file in source.files() {
        file.read_tensor_at(0, 0, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 2, 3]);
    }
    put(root, "007.safetensors", safetensors(&["other", "more"]));
    let file = source.files().iter().find(|file| file.path() == "007.safetensors").unwrap();
    let error = file.read_tensor_at(0, 0, &mut bytes).unwrap_err();
    assert!(error.to_string().contains("replaced or changed meanwhile"), "{error}");
}

#[test]
fn what_is_taken_comes_out_as_it_was() {
    let home = tempdir().unwrap();
    let store = mgit::Store::create(home.path().join("models.mgit")).unwrap();
    let folder = home.path().join("model");
    put(&folder, "config.json", "{}");
    put(&folder, "empty.txt", "");
    put(&folder, "2_Dense/model.safetensors", safetensors(&["linear"]));
    put(&folder, "own.own", "lines\n1234");
    put(&folder, "model.safetensors", safetensors(&["a", "b"]));
    put(&folder, "optimizer.pt", safetensors(&["state"]));
    let options = SourceOptions::new().reader(Lines);
    for path in [folder.clone(), folder.join("own.own"), folder.join("model.safetensors")] {
        let source = ModelSource::open_with(&path, &options).unwrap();
        let mut transaction = store.begin_write().unwrap();
        let report = transaction.add_model(mgit::NewModel::new("m").source(&source)).unwrap();
        transaction.commit().unwrap();
        assert_eq!(report.node.logical_bytes(), source.logical_bytes());
        let out = home.path().join("out");
        let model = store.snapshot().unwrap().model("m").unwrap();
        mgit::interchange::export_to_path(&model, &out, &|_| ()).unwrap();
        if path.is_dir() {
            assert_eq!(tree(&out, ""), tree(&path, ""));
            std::fs::remove_dir_all(&out).unwrap();
        } else {
            assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&path).unwrap(), "{path:?}");
            std::fs::remove_file(&out).unwrap();
        }
    }
    let names: Vec<String> = {
        let model = store.snapshot().unwrap().model("m@1").unwrap();
        model.tensors().map(|tensor| tensor.name().to_owned()).collect()
    };
    let aside = ["2_Dense/model.safetensors:linear", "optimizer.pt:state", "own.own:numbers"];
    assert_eq!(names, [&["a", "b"][..], &aside].concat());
}

#[test]
fn a_file_that_is_named_itself_is_the_model_whatever_it_is_called() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    put(root, "optimizer.pt", safetensors(&["state"]));
    put(root, "archive", b"7z\xbc\xaf\x27\x1c");
    let source = ModelSource::open(root.join("optimizer.pt")).unwrap();
    assert_eq!(files(&source), [("optimizer.pt".to_owned(), true, vec!["state".to_owned()])]);
    let source = ModelSource::open(root.join("archive")).unwrap();
    assert_eq!(files(&source), [("archive".to_owned(), true, Vec::new())]);
    assert_eq!(source.notes().count(), 1);
}
