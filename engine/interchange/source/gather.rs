//! Which files a path stands for.

use std::path::Path;

use serde_json::{Map, Value};

use super::faults::Faults;
use super::left_out::LeftOut;
use super::links::Inside;
use super::options::SourceOptions;
use super::read_file::{ReadFile, read_files, read_one};
use super::shard_name::ShardName;
use super::walk::{Found, Listing, walk};
use crate::format::{FileFormat, is_inner_path};
use crate::interchange::formats::HEAD_LEN;
use crate::interchange::index::read_index;
use crate::interchange::{FileLayout, InterchangeError, OpenFile, impostor};

/// The files of a model.
pub(super) struct Gathered {
    pub(super) files: Vec<ReadFile>,
    pub(super) left_out: Vec<LeftOut>,
    /// What the path says, in a Hugging Face cache.
    pub(super) path_facts: Map<String, Value>,
    /// It is one file, which was named itself.
    pub(super) is_single: bool,
    /// It is a folder, which was named itself.
    pub(super) is_folder: bool,
}

/// Finds and reads the files of the model at `path`.
pub(super) fn gather(path: &Path, options: &SourceOptions) -> Result<Gathered, InterchangeError> {
    if path.is_dir() {
        let inside = Inside::of(path, options.follow_links)?;
        let mut faults = Faults::default();
        let Listing { files, mut left_out } = walk(path, &inside, options, &mut faults)?;
        left_out.extend(options.left_out_before.iter().cloned());
        left_out.sort();
        left_out.dedup();
        let files = read_files(path, files, options, &mut faults)?;
        faults.refuse(path)?;
        let path_facts = inside.facts().clone();
        return Ok(Gathered { files, left_out, path_facts, is_single: false, is_folder: true });
    }
    // That it is there, and a file.
    let file = OpenFile::open(path)?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| InterchangeError::PathNotUtf8 { path: path.to_owned() })?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let inside = Inside::of(folder, options.follow_links)?;
    let (files, is_single) = match index_of(name, folder)? {
        Some(index) => (listed(&index, folder, &inside, options)?, false),
        None => match ShardName::of(name).filter(|name| name.count > 1) {
            Some(name) => (present(name.all(), folder, &inside, options)?, false),
            None => {
                let files = alone(&file, name, folder, &inside, options)?;
                let is_single = files.len() == 1;
                (files, is_single)
            }
        },
    };
    let (left_out, path_facts) = (Vec::new(), Map::new());
    Ok(Gathered { files, left_out, path_facts, is_single, is_folder: false })
}

/// The name of the list that a file is, or that names it.
fn index_of(name: &str, folder: &Path) -> Result<Option<String>, InterchangeError> {
    if name.ends_with(".index.json") {
        return Ok(Some(name.to_owned()));
    }
    let Some(ShardName { stem, ending, .. }) = ShardName::of(name) else { return Ok(None) };
    let index = format!("{stem}{ending}.index.json");
    match OpenFile::open(folder.join(&index)) {
        Ok(file) => {
            let is_listed = read_index(&file)?.shards.iter().any(|shard| shard == name);
            Ok(is_listed.then_some(index))
        }
        Err(InterchangeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A list and the files that it names; those that are missing are found out by whoever looks at the
/// list.
fn listed(
    index: &str,
    folder: &Path,
    inside: &Inside,
    options: &SourceOptions,
) -> Result<Vec<ReadFile>, InterchangeError> {
    let mut list = read_one(folder, found(index, folder, inside)?, options)?;
    list.is_index = true;
    let shards = read_index(&list.file)?.shards;
    let mut files = present(shards.into_iter(), folder, inside, options)?;
    files.push(list);
    Ok(files)
}

/// Those of these files that are there.
fn present(
    names: impl Iterator<Item = String>,
    folder: &Path,
    inside: &Inside,
    options: &SourceOptions,
) -> Result<Vec<ReadFile>, InterchangeError> {
    let (mut all, mut faults) = (Vec::new(), Faults::default());
    for name in names {
        if folder.join(&name).symlink_metadata().is_ok() {
            all.extend(faults.take(found(&name, folder, inside))?);
        }
    }
    let mut files = read_files(folder, all, options, &mut faults)?;
    faults.refuse(folder)?;
    files.iter_mut().for_each(|file| file.is_named = true);
    Ok(files)
}

fn found(path: &str, folder: &Path, inside: &Inside) -> Result<Found, InterchangeError> {
    let real = inside.resolve(&folder.join(path))?;
    Ok(Found { path: path.to_owned(), real })
}

/// One file, which was named as the model, wherever it lies; with the data of an ONNX file.
fn alone(
    file: &OpenFile,
    name: &str,
    folder: &Path,
    inside: &Inside,
    options: &SourceOptions,
) -> Result<Vec<ReadFile>, InterchangeError> {
    impostor::refuse(file.path(), &file.head(HEAD_LEN)?, file.len())?;
    let found_here = Found { path: name.to_owned(), real: file.path().to_owned() };
    let mut first = read_one(folder, found_here, options)?;
    first.is_named = true;
    let FileLayout { format, tensors, notes, beside, .. } = &first.layout;
    let is_seen = !(tensors.is_empty() && beside.is_empty());
    // What may hold tensors that are not seen has a note that says so.
    if *format == FileFormat::Bytes && !is_seen && notes.is_empty() {
        return Err(InterchangeError::NotAModel { file: file.path().to_owned() });
    }
    let data: Vec<String> = first.layout.beside.iter().map(|data| data.path.clone()).collect();
    let mut files = vec![first];
    for path in data {
        let is_known = files.iter().any(|file| file.path == path);
        if !is_known && is_inner_path(&path) && folder.join(&path).symlink_metadata().is_ok() {
            files.push(read_one(folder, found(&path, folder, inside)?, options)?);
        }
    }
    Ok(files)
}
