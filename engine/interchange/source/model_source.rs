//! A model as it lies in files, of any form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::facts::{self, Facts};
use super::faults::Faults;
use super::file::{FileRole, SourceFile};
use super::gather::{Gathered, gather};
use super::left_out::LeftOut;
use super::names::{Names, are_names, name_aside};
use super::options::SourceOptions;
use super::read_file::{ReadFile, join_data};
use super::units::{Unit, WeightUnits, find_units, weights_among};
use crate::architecture::Architecture;
use crate::format::{FileFormat, PackedBytes};
use crate::interchange::InterchangeError;
use crate::interchange::limits::METADATA_KEY;
use crate::interchange::safetensors::read_header_bytes;

/// A model as it lies in files: which they are, and which of their bytes are tensors.
///
/// The files stay open until this is dropped; nothing of the tensors is read before the model is
/// added by [`NewModel::source`](crate::NewModel::source). Other forms than files are given
/// part by part: [`NewModel::part`](crate::NewModel::part).
#[derive(Debug)]
pub struct ModelSource {
    path: PathBuf,
    files: Vec<SourceFile>,
    left_out: Vec<LeftOut>,
    is_single: bool,
    kind: Option<String>,
    facts: Map<String, Value>,
    strings: BTreeMap<String, String>,
    architecture: Option<Architecture>,
    pub(super) plain: Plain,
}

/// What models were before they had files of other formats: kept as it was.
#[derive(Debug, Default)]
pub(super) enum Plain {
    /// It has such files.
    #[default]
    No,
    /// One safetensors file, of this header.
    Single(PackedBytes),
    /// Safetensors files of these headers, and nothing but them and their index: its name and its
    /// bytes. The index is the last file.
    Sharded(Vec<PackedBytes>, String, Vec<u8>),
}

impl ModelSource {
    /// Opens the model at `path`: a file of any format, with the data that an ONNX file has beside
    /// it; a list of shards (`*.index.json`) or any of several numbered files (`-00001-of-00003`),
    /// with all of them; or a folder, with all that belongs to the model in it.
    ///
    /// Cost: reads what the files say of themselves, none of the tensors. Keeps up to 256 files
    /// open.
    ///
    /// # Errors
    ///
    /// [`InterchangeError`]: what is there is no model, or not all of it; a file that is damaged or
    /// cannot be read; a link out of the folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InterchangeError> {
        Self::open_with(path, &SourceOptions::new())
    }

    /// As [`open`](Self::open), with a say in which files are taken.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        path: impl AsRef<Path>,
        options: &SourceOptions,
    ) -> Result<Self, InterchangeError> {
        let path = path.as_ref();
        if path.join("snapshots").is_dir() && path.join("blobs").is_dir() {
            let detail = "; it is a repository of a Hugging Face cache: name a folder of its \
                snapshots, or adopt it";
            return Err(InterchangeError::NoModel { folder: path.into(), detail: detail.into() });
        }
        let Gathered { mut files, left_out, path_facts, is_single, is_folder } =
            gather(path, options)?;
        join_data(&mut files)?;
        let units = find_units(&files)?;
        let weights = match weights_among(&units) {
            None if is_folder && !options.weights_elsewhere => {
                return Err(no_model(path, &left_out));
            }
            weights => weights.unwrap_or_default(),
        };
        let mut facts = Facts::default();
        if is_folder || files.iter().all(|file| file.layout.format == FileFormat::Gguf) {
            facts = facts::collect(&files, path_facts);
        }
        note_facts(&mut files, &mut facts);
        let mut faults = Faults::default();
        let chosen = choose(&mut files, &units, &weights, &left_out, &mut faults)?;
        faults.refuse(path)?;
        let mut source = ModelSource {
            path: path.to_owned(),
            plain: Plain::No,
            strings: BTreeMap::new(),
            architecture: None,
            files: Vec::new(),
            left_out,
            is_single,
            kind: facts.kind,
            facts: facts.metadata,
        };
        source.arrange(files, &chosen)?;
        Ok(source)
    }

    /// Puts the files in order, weights first, and names their tensors.
    fn arrange(&mut self, files: Vec<ReadFile>, chosen: &Chosen) -> Result<(), InterchangeError> {
        let mut slots: Vec<Option<ReadFile>> = files.into_iter().map(Some).collect();
        let (mut weights, mut aside) = (Vec::new(), Vec::new());
        let mut names = Names::default();
        for at in &chosen.files {
            let Some(mut file) = slots.get_mut(*at).and_then(Option::take) else { continue };
            let architecture = file.layout.architecture.take();
            let strings = std::mem::take(&mut file.layout.facts).remove(METADATA_KEY);
            let mut file = source_file(file, FileRole::Weights);
            let is_taken = match chosen.names_are_given_once {
                _ if chosen.in_folders => true,
                true => are_names(&file),
                false => names.take(&file),
            };
            if !is_taken {
                let note = "its tensors have the file's path before their names: others have them";
                file.notes.push(note.to_owned());
                file.role = FileRole::Aside;
                aside.push((*at, file));
                continue;
            }
            self.add_strings(strings);
            self.architecture = self.architecture.take().or(architecture);
            weights.push((*at, file));
        }
        for at in 0..slots.len() {
            let file = slots.get_mut(at).and_then(Option::take);
            aside.extend(file.map(|file| (at, source_file(file, FileRole::Aside))));
        }
        aside.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        let only_list = |index: usize| matches!(aside.as_slice(), [(at, _)] if *at == index);
        let is_sharded = chosen.index.is_some_and(only_list);
        self.files = weights.into_iter().chain(aside).map(|(_, file)| file).collect();
        name_aside(&mut self.files, chosen.in_folders);
        self.plain = self.plain_form(is_sharded)?;
        Ok(())
    }

    fn add_strings(&mut self, strings: Option<Value>) {
        let Some(Value::Object(strings)) = strings else { return };
        let texts = strings.into_iter().filter_map(|(key, value)| match value {
            Value::String(text) => Some((key, text)),
            _ => None,
        });
        self.strings.extend(texts);
    }

    fn plain_form(&self, is_sharded: bool) -> Result<Plain, InterchangeError> {
        let is_safetensors = |file: &SourceFile| file.format == FileFormat::Safetensors;
        let header = |file: &SourceFile| read_header_bytes(&file.file).map(PackedBytes::from);
        match self.files.as_slice() {
            [file] if self.is_single && is_safetensors(file) => Ok(Plain::Single(header(file)?)),
            [shards @ .., index] if is_sharded && shards.iter().all(is_safetensors) => {
                let headers = shards.iter().map(header).collect::<Result<_, _>>()?;
                let bytes = index.file.bytes(0, index.len())?;
                Ok(Plain::Sharded(headers, index.path.clone(), bytes))
            }
            _ => Ok(Plain::No),
        }
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files: those with the model's weights first, in the order of the shards, then the
    /// others by path.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// What of the folder is not taken, and why, by path.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// What is not seen of the files, and why, with their paths.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .flat_map(|file| file.notes.iter().map(|note| (file.path.as_str(), note.as_str())))
    }

    /// Whether it is one file that was named itself, not a folder.
    pub fn is_single(&self) -> bool {
        self.is_single
    }

    /// What kind of model it is, where the files say so: `bert`.
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// What the files say about the model, under the keys of metadata that it becomes: the type of
    /// the model, its base, its licence, the settings of an adapter.
    pub fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// The strings that the headers of its safetensors files have.
    pub fn header_strings(&self) -> &BTreeMap<String, String> {
        &self.strings
    }

    /// The layers, where the weights have a graph of operators.
    pub fn architecture(&self) -> Option<&Architecture> {
        self.architecture.as_ref()
    }

    /// Bytes of all files.
    pub fn logical_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.len()))
    }
}

fn source_file(file: ReadFile, role: FileRole) -> SourceFile {
    let ReadFile { path, file, layout, .. } = file;
    SourceFile {
        path,
        file,
        format: layout.format,
        role,
        tensors: layout.tensors,
        views: layout.views,
        notes: layout.notes,
    }
}

/// The files that the weights are in.
struct Chosen {
    /// Their places.
    files: Vec<usize>,
    /// No two of their tensors have one name: that is checked.
    names_are_given_once: bool,
    /// Names are given once in each folder: the files' paths stand before them.
    in_folders: bool,
    /// The place of the index of all of them.
    index: Option<usize>,
}

/// Checks the units that the weights are in; says of the others what is wrong with them.
fn choose(
    files: &mut [ReadFile],
    units: &[Unit],
    WeightUnits { places: weights, in_folders }: &WeightUnits,
    left_out: &[LeftOut],
    faults: &mut Faults,
) -> Result<Chosen, InterchangeError> {
    let mut chosen = Chosen {
        files: Vec::new(),
        names_are_given_once: false,
        in_folders: *in_folders,
        index: None,
    };
    for (at, unit) in units.iter().enumerate() {
        let is_weights = weights.contains(&at);
        let data = unit.files.iter().filter_map(|at| files.get(*at));
        let missing: Vec<String> = data.flat_map(|file| file.missing_data.clone()).collect();
        let missing = [unit.missing.as_slice(), &missing].concat();
        let first = unit.index.as_ref().map(|index| index.at).or(unit.files.first().copied());
        let first_file = first.and_then(|at| files.get(at));
        let not_taken = first_file.and_then(|file| not_taken(file, &missing, left_out));
        if let (Some((left_out, reason)), Some(file), true) = (&not_taken, first_file, is_weights) {
            let (file, left_out, reason) =
                (file.file.path().into(), left_out.clone(), reason.clone());
            faults.add(InterchangeError::FilesLeftOut { file, left_out, reason })?;
            continue;
        }
        if is_weights && faults.take(unit.check_whole(files))?.is_none() {
            continue;
        }
        let Some(first) = first else { continue };
        if let (Some(_), true) = (missing.first(), is_weights) {
            let file = files.get(first).map(|file| file.file.path().into()).unwrap_or_default();
            faults.add(InterchangeError::MissingFiles { file, missing })?;
            continue;
        }
        let mut notes = Vec::new();
        if let Some(shown) = missing.first() {
            let count = missing.len();
            let reason = not_taken.map(|(_, reason)| format!(", left out: {reason}"));
            let reason = reason.unwrap_or_default();
            notes.push(format!(
                "{count} of the files that it names are not here: {shown:?} first{reason}"
            ));
        } else if is_weights && !unit.agrees(files)? {
            notes.push("it does not list the tensors that are seen in its files".to_owned());
        }
        if let Some(file) = files.get_mut(first) {
            file.layout.notes.extend(notes);
        }
        if is_weights {
            note_empty(files, &unit.files);
            chosen.files.extend(&unit.files);
            chosen.index = unit.index.as_ref().map(|index| index.at);
        }
    }
    let of_safetensors = |at: &usize| {
        files.get(*at).is_some_and(|file| file.layout.format == FileFormat::Safetensors)
    };
    let is_one = weights.len() == 1;
    let is_listed = chosen.index.is_some() && chosen.files.iter().all(of_safetensors);
    chosen.names_are_given_once = is_one && (is_listed || chosen.files.len() == 1);
    chosen.index = chosen.index.filter(|_| is_one);
    Ok(chosen)
}

/// Those of the files missing beside `file` that are there and left out, and why the first is.
fn not_taken(
    file: &ReadFile,
    missing: &[String],
    left_out: &[LeftOut],
) -> Option<(Vec<String>, String)> {
    let reason_of = |name: &String| {
        let path = Path::new(file.folder()).join(name).to_string_lossy().into_owned();
        let is_it = |left: &&LeftOut| {
            path == left.path || left.path.ends_with('/') && path.starts_with(&left.path)
        };
        left_out.iter().find(is_it).map(|left| left.reason.as_str())
    };
    let found = missing.iter().filter_map(|name| Some((name.clone(), reason_of(name)?)));
    let (names, reasons): (Vec<String>, Vec<&str>) = found.unzip();
    Some((names, (*reasons.first()?).to_owned()))
}

/// Says of weights that nothing is seen in them, where nothing else is said.
fn note_empty(files: &mut [ReadFile], places: &[usize]) {
    for at in places {
        let Some(file) = files.get_mut(*at).filter(|file| !file.has_tensors()) else { continue };
        if file.layout.views.is_empty() && file.layout.notes.is_empty() {
            file.layout.notes.push("no tensors are seen in it".to_owned());
        }
    }
}

fn note_facts(files: &mut [ReadFile], facts: &mut Facts) {
    for (at, note) in facts.notes.drain(..) {
        if let Some(file) = files.get_mut(at) {
            file.layout.notes.push(note);
        }
    }
}

/// A folder in which no weights are.
fn no_model(folder: &Path, left_out: &[LeftOut]) -> InterchangeError {
    let detail = LeftOut::told(left_out);
    InterchangeError::NoModel { folder: folder.to_owned(), detail }
}
