//! The files of a model as they are read, before it is known what each is to the model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::faults::Faults;
use super::options::SourceOptions;
use super::walk::Found;
use crate::format::FileFormat;
use crate::interchange::weights_name::{is_training_state, is_weights_name};
use crate::interchange::{
    FileLayout, InterchangeError, LaidBeside, LaidTensor, OpenFile, read_layout_with,
};

/// Files that are held open at a time; the others are opened again to be read.
const OPEN_MAX: usize = 256;

/// A file, and what a reader has found in it.
#[derive(Debug)]
pub(super) struct ReadFile {
    /// Its path in the model's folder.
    pub(super) path: String,
    pub(super) file: OpenFile,
    pub(super) layout: FileLayout,
    /// It was named as the list of the model's files.
    pub(super) is_index: bool,
    /// It, or a list of it, was named as the model.
    pub(super) is_named: bool,
    /// An ONNX file says what is in it.
    pub(super) is_data: bool,
    /// Of an ONNX file: the places of the files that its data is in.
    pub(super) data: Vec<usize>,
    /// Of an ONNX file: what should be there of these.
    pub(super) missing_data: Vec<String>,
}

impl ReadFile {
    /// Its name in its folder.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The path of its folder in the model, empty for the model's own.
    pub(super) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether tensors are seen, in it or in the files that it describes.
    pub(super) fn has_tensors(&self) -> bool {
        !(self.layout.tensors.is_empty() && self.data.is_empty())
    }

    /// Whether it may be weights of the model.
    pub(super) fn may_be_weights(&self) -> bool {
        let name = Path::new(&self.path);
        let by_name = !is_training_state(name) && (self.has_tensors() || is_weights_name(name));
        self.is_named || by_name
    }
}

/// Opens the files and looks for their tensors. A file that is not called weights may break the
/// rules of what it seems to be: it stays bytes, with a note. What cannot be read is a fault.
pub(super) fn read_files(
    folder: &Path,
    found: Vec<Found>,
    options: &SourceOptions,
    faults: &mut Faults,
) -> Result<Vec<ReadFile>, InterchangeError> {
    let many = options.closed || found.len() > OPEN_MAX;
    let read = |Found { path, real }: Found| {
        let mut file = OpenFile::open_as(&folder.join(&path), &real)?;
        let layout = match read_layout_with(&file, &options.readers) {
            Err(error) if may_stay_bytes(&file, &error) => {
                let mut layout = FileLayout::default();
                layout.notes.push(format!("kept as bytes: {error}"));
                layout
            }
            layout => layout?,
        };
        if many {
            file.close(&real)?;
        }
        Ok(read_file(path, file, layout))
    };
    let mut files = Vec::with_capacity(found.len());
    for found in found {
        files.extend(faults.take(read(found))?);
    }
    Ok(files)
}

/// Whether a file that a reader cannot read is kept all the same.
fn may_stay_bytes(file: &OpenFile, error: &InterchangeError) -> bool {
    let is_of_reader = matches!(error, InterchangeError::BadLayout { .. });
    error.is_malformed() && !is_of_reader && !is_weights_name(file.path())
}

/// Opens a file that was named itself, or by another, and looks for its tensors.
pub(super) fn read_one(
    folder: &Path,
    Found { path, real }: Found,
    options: &SourceOptions,
) -> Result<ReadFile, InterchangeError> {
    let mut file = OpenFile::open_as(&folder.join(&path), &real)?;
    let layout = read_layout_with(&file, &options.readers)?;
    if options.closed {
        file.close(&real)?;
    }
    Ok(read_file(path, file, layout))
}

fn read_file(path: String, file: OpenFile, layout: FileLayout) -> ReadFile {
    ReadFile {
        path,
        file,
        layout,
        is_index: false,
        is_named: false,
        is_data: false,
        data: Vec::new(),
        missing_data: Vec::new(),
    }
}

/// Gives the files that ONNX files describe their tensors.
pub(super) fn join_data(files: &mut [ReadFile]) -> Result<(), InterchangeError> {
    let named: Vec<(usize, String, LaidBeside)> = files
        .iter_mut()
        .enumerate()
        .flat_map(|(at, file)| {
            let beside = std::mem::take(&mut file.layout.beside);
            let folder = PathBuf::from(file.folder());
            let named = beside
                .into_iter()
                .map(move |it| (at, folder.join(&it.path).to_string_lossy().into_owned(), it));
            named.collect::<Vec<_>>()
        })
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let places: HashMap<String, usize> =
        files.iter().enumerate().map(|(at, file)| (file.path.clone(), at)).collect();
    let mut described: BTreeMap<usize, Vec<LaidBeside>> = BTreeMap::new();
    for (at, path, beside) in named {
        let Some(file) = files.get_mut(at) else { continue };
        match places.get(&path) {
            Some(data) => {
                file.data.push(*data);
                described.entry(*data).or_default().push(beside);
            }
            None => file.missing_data.push(beside.path),
        }
    }
    for (at, parts) in described {
        let Some(file) = files.get_mut(at) else { continue };
        if file.layout.tensors.is_empty() {
            file.layout = data_layout(&file.file, parts)?;
            file.is_data = true;
        }
    }
    Ok(())
}

/// What ONNX files say of the data in a file; several may say the same.
fn data_layout(file: &OpenFile, parts: Vec<LaidBeside>) -> Result<FileLayout, InterchangeError> {
    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else { return Ok(FileLayout::default()) };
    let key = |tensor: &LaidTensor| (tensor.name.clone(), tensor.begin, tensor.end);
    let mut known = HashSet::new();
    for more in parts {
        if known.is_empty() {
            known.extend(all.tensors.iter().map(key));
        }
        let is_new = |tensor: &LaidTensor| known.insert(key(tensor));
        all.tensors.extend(more.tensors.into_iter().filter(is_new));
    }
    let laid = all.check(file)?;
    let mut layout = FileLayout::new(FileFormat::OnnxData);
    (layout.tensors, layout.views, layout.notes) = (laid.tensors, laid.views, laid.notes);
    Ok(layout)
}
