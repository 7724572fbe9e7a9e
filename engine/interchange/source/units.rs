//! Which files are one model together, and which of these the folder is about.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::read_file::ReadFile;
use super::shard_name::ShardName;
use crate::format::FileFormat;
use crate::interchange::InterchangeError;
use crate::interchange::index::{WeightMap, read_index};

/// How the names of indexes end that are looked for in folders.
const INDEX_ENDINGS: [&str; 2] = [SAFETENSORS_INDEX, ".bin.index.json"];
const SAFETENSORS_INDEX: &str = ".safetensors.index.json";

/// Weights that lie in one file, or in several as its shards.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// The places of its files, in order; of an ONNX file also those of its data.
    pub(super) files: Vec<usize>,
    /// Its index, if it has one.
    pub(super) index: Option<Index>,
    /// The names of files that should be there.
    pub(super) missing: Vec<String>,
    /// How much it is what a folder is about: the least is.
    rank: u8,
    /// Of its folder in the model, empty for the model's own.
    folder: String,
}

/// The list of the tensors of several files.
#[derive(Debug)]
pub(super) struct Index {
    /// Its place among the files.
    pub(super) at: usize,
    pub(super) weights: WeightMap,
}

impl Unit {
    /// Whether it is a list below the model's own folder of files that are not there.
    fn is_lost(&self) -> bool {
        self.files.is_empty() && !self.folder.is_empty()
    }

    /// Refuses one of which files are missing.
    pub(super) fn check_whole(&self, files: &[ReadFile]) -> Result<(), InterchangeError> {
        let Some(shard) = self.missing.first() else { return Ok(()) };
        if let (Some(Index { at, weights }), 1) = (&self.index, self.missing.len()) {
            let position = weights.shards.iter().position(|name| name == shard);
            let tensor = weights.tensors.iter().find(|(_, at)| Some(*at) == position);
            return Err(InterchangeError::MissingShard {
                index: files.get(*at).map(|file| file.file.path().into()).unwrap_or_default(),
                shard: shard.clone(),
                tensor: tensor.map(|(tensor, _)| tensor.clone()).unwrap_or_default(),
            });
        }
        let index = self.index.as_ref().map(|index| index.at);
        let first = index.or(self.files.first().copied()).and_then(|at| files.get(at));
        let file = first.map(|file| file.file.path().into()).unwrap_or_default();
        Err(InterchangeError::MissingFiles { file, missing: self.missing.clone() })
    }

    /// Refuses one whose files have other tensors than its index lists. What is read by other
    /// readers than that of safetensors files may be understood in part only: `false` then.
    pub(super) fn agrees(&self, files: &[ReadFile]) -> Result<bool, InterchangeError> {
        let Some(Index { at, weights }) = &self.index else { return Ok(true) };
        let index = files.get(*at).map(|file| file.file.path()).unwrap_or(Path::new(""));
        let shards = self.files.iter().filter_map(|at| files.get(*at));
        let is_strict = shards.clone().all(|file| file.layout.format == FileFormat::Safetensors);
        let names = shards.map(|file| {
            let views = file.layout.views.iter().map(|view| view.name.as_str());
            let tensors = file.layout.tensors.iter().map(|tensor| tensor.name.as_str());
            (file.name(), tensors.chain(views))
        });
        match weights.check_agreement(index, names) {
            Err(error) if is_strict => Err(error),
            agreement => Ok(agreement.is_ok()),
        }
    }
}

/// Finds what belongs together among the files of a model, folder by folder.
pub(super) fn find_units(files: &[ReadFile]) -> Result<Vec<Unit>, InterchangeError> {
    let mut folders: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (at, file) in files.iter().enumerate() {
        // The data of an ONNX file belongs to it.
        if !file.is_data {
            folders.entry(file.folder()).or_default().insert(file.name(), at);
        }
    }
    let mut units = Vec::new();
    for (folder, names) in folders {
        let mut folder_units =
            FolderUnits { files, names, taken: HashSet::new(), found: Vec::new() };
        folder_units.indexed()?;
        folder_units.numbered();
        folder_units.alone();
        for mut unit in folder_units.found {
            unit.rank = rank(files, &unit);
            folder.clone_into(&mut unit.folder);
            units.push(unit);
        }
    }
    Ok(units)
}

/// What belongs together in one folder.
struct FolderUnits<'f> {
    files: &'f [ReadFile],
    names: BTreeMap<&'f str, usize>,
    /// The places of files that are in a unit.
    taken: HashSet<usize>,
    found: Vec<Unit>,
}

impl FolderUnits<'_> {
    /// A unit of the files of these names.
    fn unit_of(&self, names: impl Iterator<Item = String>) -> Unit {
        let mut unit = Unit::default();
        for name in names {
            match self.names.get(name.as_str()) {
                Some(at) => unit.files.push(*at),
                None => unit.missing.push(name),
            }
        }
        unit
    }

    /// Files that an index lists.
    fn indexed(&mut self) -> Result<(), InterchangeError> {
        for (name, at) in &self.names {
            let Some(file) = self.files.get(*at) else { continue };
            if !(file.is_index || INDEX_ENDINGS.iter().any(|ending| name.ends_with(ending))) {
                continue;
            }
            let weights = read_index(&file.file)?;
            let mut unit = self.unit_of(weights.shards.iter().cloned());
            // A second list of the same files is a file like others.
            if unit.files.iter().any(|at| self.taken.contains(at)) {
                continue;
            }
            self.taken.extend(&unit.files);
            unit.index = Some(Index { at: *at, weights });
            self.found.push(unit);
        }
        Ok(())
    }

    /// Places of files that may be weights and are in no unit, with their names.
    fn rest(&self) -> impl Iterator<Item = (&str, usize, &ReadFile)> {
        let rest = self.names.iter().filter(|(_, at)| !self.taken.contains(at));
        let rest = rest.filter_map(|(name, at)| Some((*name, *at, self.files.get(*at)?)));
        rest.filter(|(.., file)| file.may_be_weights())
    }

    /// Files that have a number in their names.
    fn numbered(&mut self) {
        let names = self.rest().filter_map(|(name, ..)| ShardName::of(name));
        let mut names: Vec<ShardName<'_>> = names.filter(|name| name.count > 1).collect();
        names.sort_unstable();
        names.dedup();
        let found: Vec<Unit> = names.iter().map(|name| self.unit_of(name.all())).collect();
        self.taken.extend(found.iter().flat_map(|unit| &unit.files));
        self.found.extend(found);
    }

    /// Each file that is in no set.
    fn alone(&mut self) {
        let unit = |(_, at, file): (&str, usize, &ReadFile)| Unit {
            files: [at].into_iter().chain(file.data.iter().copied()).collect(),
            ..Unit::default()
        };
        let found: Vec<Unit> = self.rest().map(unit).collect();
        self.found.extend(found);
    }
}

/// The order in which formats are what a folder is about, and the names that come first in each. A
/// list none of whose files is there counts as they would.
fn rank(files: &[ReadFile], unit: &Unit) -> u8 {
    let mut all = unit.files.iter().filter_map(|at| files.get(*at));
    let is_seen = all.any(ReadFile::has_tensors);
    let first = unit.files.first().and_then(|at| files.get(*at));
    let index = unit.index.as_ref().and_then(|index| files.get(index.at));
    let (name, format) = match (first, index) {
        // No tensor is seen in it.
        (Some(_), _) if !is_seen => return 9,
        (Some(file), _) => (file.name(), file.layout.format),
        (None, Some(index)) if index.name().ends_with(SAFETENSORS_INDEX) => {
            (index.name(), FileFormat::Safetensors)
        }
        (None, Some(index)) => (index.name(), FileFormat::PyTorch),
        (None, None) => return u8::MAX,
    };
    let is_called =
        |stem: &str| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-']));
    match format {
        FileFormat::Safetensors if is_called("model") => 0,
        FileFormat::Safetensors if is_called("adapter_model") => 1,
        FileFormat::Safetensors => 2,
        FileFormat::PyTorch if is_called("pytorch_model") => 3,
        FileFormat::PyTorch => 4,
        FileFormat::Gguf => 5,
        FileFormat::Onnx => 6,
        FileFormat::Npz | FileFormat::Npy => 7,
        _ => 8,
    }
}

/// The units that the model's weights are in.
#[derive(Debug, Default)]
pub(super) struct WeightUnits {
    /// Their places.
    pub(super) places: Vec<usize>,
    /// They lie in several folders, each a model of its own: names are given once in each.
    pub(super) in_folders: bool,
}

/// Those of the first format in the model's own folder; where none is there, of each folder below
/// it. `None` where there is no unit at all.
pub(super) fn weights_among(units: &[Unit]) -> Option<WeightUnits> {
    let first = |folder: &str| {
        let here =
            || units.iter().enumerate().filter(|(_, it)| it.folder == folder && !it.is_lost());
        let rank = here().map(|(_, unit)| unit.rank).min()?;
        let first = here().filter(|(_, unit)| unit.rank == rank);
        Some(first.map(|(at, _)| at).collect::<Vec<usize>>())
    };
    if let Some(places) = first("") {
        return Some(WeightUnits { places, in_folders: false });
    }
    let mut folders: Vec<&str> = units.iter().map(|unit| unit.folder.as_str()).collect();
    folders.dedup();
    let places: Vec<usize> = folders.iter().filter_map(|folder| first(folder)).flatten().collect();
    let in_folders = places.len() > 1;
    (!places.is_empty()).then_some(WeightUnits { places, in_folders })
}
