//! What a folder is, by what lies in it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::container::is_store_at;
use crate::interchange::limits::FOLDER_DEPTH_MAX;
use crate::interchange::source::options::SourceOptions;
use crate::interchange::source::passed_over;
use crate::interchange::source::shard_name::ShardName;
use crate::interchange::source::walk::holds_weights;
use crate::interchange::unseen::is_unknown;
use crate::interchange::weights_name::{is_training_state, is_weights_name};
use crate::interchange::{OpenFile, read_layout_with};

/// Something in a folder.
pub(super) struct Entry {
    pub(super) name: String,
    /// Where it was found.
    pub(super) path: PathBuf,
    /// Where it is, links followed.
    pub(super) real: PathBuf,
    pub(super) is_folder: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FolderKind {
    /// A model, with all that is in it.
    Model,
    /// Files of weights in it are models each.
    Other,
}

/// Files that lie beside the weights of a model.
const BESIDE_WEIGHTS: [&str; 8] = [
    "config.json",
    "adapter_config.json",
    "model_index.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "trainer_state.json",
    "params.json",
];
/// Files that say that the weights lie in folders.
const ABOVE_WEIGHTS: [&str; 2] = ["model_index.json", "modules.json"];
/// How libraries call the weights of a model's folder.
const STEMS: [&str; 7] = [
    "model",
    "adapter_model",
    "pytorch_model",
    "tf_model",
    "flax_model",
    "diffusion_pytorch_model",
    "consolidated",
];

/// What a folder is that has these files and folders.
pub(super) fn kind_of(folder: &Path, files: &[Entry], folders: &[Entry]) -> FolderKind {
    let has = |names: &[&str]| files.iter().any(|file| names.contains(&file.name.as_str()));
    let is_index = |file: &Entry| {
        [".safetensors.index.json", ".bin.index.json"].iter().any(|it| file.name.ends_with(it))
    };
    let own: Vec<&Entry> = files.iter().filter(|file| is_weights(&file.name)).collect();
    let is_model = match own.as_slice() {
        // What an index lists may be missing: that is said when the folder is opened.
        [] if files.iter().any(is_index) => true,
        [] if has(&ABOVE_WEIGHTS) => holds_weights_below(folder, FOLDER_DEPTH_MAX),
        [] if has(&["config.json"]) => {
            let parts = folders.iter().filter(|inner| {
                !passed_over::is_checkpoint(&inner.name) && holds_weights(&inner.real)
            });
            // Folders that have one of their own are models of their own.
            let mut owns = parts.map(|inner| inner.real.join("config.json").exists()).peekable();
            owns.peek().is_some() && !owns.any(|own| own)
        }
        [] => false,
        _ if has(&BESIDE_WEIGHTS) || files.iter().any(is_index) => true,
        own => own.iter().all(|file| is_called_so(&file.name)),
    };
    if is_model { FolderKind::Model } else { FolderKind::Other }
}

fn is_weights(name: &str) -> bool {
    is_weights_name(Path::new(name)) && !is_training_state(Path::new(name))
}

fn is_called_so(name: &str) -> bool {
    let follows = |stem: &str| name.strip_prefix(stem).is_some_and(|it| it.starts_with(['.', '-']));
    STEMS.iter().any(|stem| follows(stem))
}

/// Whether weights lie in a folder or in one of its folders, but for the checkpoints of a run.
pub(super) fn holds_weights_below(folder: &Path, depth: usize) -> bool {
    holds_weights(folder)
        || depth > 0 && {
            let folders = fs::read_dir(folder).into_iter().flatten().flatten();
            folders.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())).any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_part =
                    passed_over::folder(&name).is_none() && !passed_over::is_checkpoint(&name);
                is_part && holds_weights_below(&entry.path(), depth - 1)
            })
        }
}

/// The files of a folder that is no model itself.
#[derive(Default)]
pub(super) struct LooseUnits<'f> {
    /// Each a model; of several that belong together, the first.
    pub(super) models: Vec<&'f Entry>,
    /// The others that are no part of these, and why they are no models.
    pub(super) others: Vec<(&'f Entry, String)>,
}

/// Which of these files are models.
pub(super) fn loose_units<'f>(files: &'f [Entry], options: &SourceOptions) -> LooseUnits<'f> {
    let mut units = LooseUnits::default();
    let parts = parts_of_others(files, options);
    let mut sets: HashSet<(&str, &str, usize)> = HashSet::new();
    for file in files {
        if parts.contains(&file.name) {
            continue;
        }
        let shard = ShardName::of(&file.name).filter(|name| name.count > 1);
        match no_model(file, options) {
            Some(reason) => units.others.push((file, reason)),
            None => match shard {
                Some(name) if !sets.insert((name.stem, name.ending, name.count)) => {}
                _ => units.models.push(file),
            },
        }
    }
    units
}

/// The names of files that others say belong to them: the data of ONNX files, given layers.
fn parts_of_others(files: &[Entry], options: &SourceOptions) -> HashSet<String> {
    let mut parts = HashSet::new();
    for file in files {
        let path = Path::new(&file.name);
        if is_weights(&file.name) {
            parts.insert(path.with_extension("layers.json").to_string_lossy().into_owned());
        }
        if path.extension().is_some_and(|extension| extension == "onnx") {
            let opened = OpenFile::open_as(&file.path, &file.real);
            let layout = opened.and_then(|file| read_layout_with(&file, &options.readers));
            let beside = layout.into_iter().flat_map(|layout| layout.beside);
            parts.extend(beside.map(|data| data.path));
        }
    }
    parts
}

/// Why a file is no model.
fn no_model(file: &Entry, options: &SourceOptions) -> Option<String> {
    let (name, path) = (file.name.as_str(), Path::new(&file.name));
    // Not every file of a large folder is opened.
    let may_be_store = is_weights_name(path) || path.extension().is_none_or(|it| it == "mgit");
    if may_be_store && is_store_at(&file.real) {
        return Some("a store of models".to_owned());
    }
    if is_training_state(path) {
        return Some("the state of a training, without a model beside it".to_owned());
    }
    if !is_weights_name(path) {
        return Some("not weights, by its name".to_owned());
    }
    if name.ends_with(".tar") && ![".pth.tar", ".pt.tar"].iter().any(|it| name.ends_with(it)) {
        return Some("an archive: name it itself to bring it in".to_owned());
    }
    let opened = OpenFile::open_as(&file.path, &file.real);
    // What is wrong with it is found when it is opened as a model.
    let layout = opened.and_then(|file| read_layout_with(&file, &options.readers)).ok()?;
    let is_seen = !layout.tensors.is_empty() || !is_unknown(&layout.notes);
    (!is_seen).then(|| "of no format that is read: name it itself to keep its bytes".to_owned())
}
