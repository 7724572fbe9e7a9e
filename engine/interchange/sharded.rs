//! A model in several safetensors files, with their index.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::index::WeightMap;
use super::limits::INDEX_LEN_MAX;
use super::{InterchangeError, SafetensorsFile, regular_file};

/// How the file name of an index ends, after the model's own name.
const INDEX_SUFFIX: &str = ".safetensors.index.json";

/// A model in several safetensors files with an index that says which tensor is in which.
///
/// Index and shards agree: every tensor of the index is in the one shard it names, and every
/// tensor of a shard is in the index.
#[derive(Debug)]
pub struct ShardedModel {
    index_path: PathBuf,
    index_name: String,
    index_bytes: Box<[u8]>,
    shards: Vec<Shard>,
}

/// One file of a [`ShardedModel`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Shard {
    /// The plain file name, as the index gives it.
    pub name: String,
    /// The open file.
    pub file: SafetensorsFile,
}

impl ShardedModel {
    /// Opens the model whose index is at `path`, or in the folder at `path`, which must then
    /// hold exactly one `*.safetensors.index.json`.
    ///
    /// Cost: reads the index and the shards' headers, none of the tensors; keeps every shard open,
    /// so a process needs a file handle for each.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::NoIndex`], [`InterchangeError::SeveralIndexes`] and
    /// [`InterchangeError::IndexNameNotUtf8`] for what `path` leads to,
    /// [`InterchangeError::MissingShard`]; those of [`SafetensorsFile::open`] for a shard; else
    /// the first rule found broken by the index or between it and the shards.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, InterchangeError> {
        let path = path.as_ref();
        if path.is_dir() { Self::open_index(&find_index(path)?) } else { Self::open_index(path) }
    }

    fn open_index(index: &Path) -> Result<Self, InterchangeError> {
        let (file, found) = regular_file::open(index)?;
        if found > INDEX_LEN_MAX {
            return Err(InterchangeError::IndexTooLarge { index: index.into(), found });
        }
        let index_name = index
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| InterchangeError::IndexNameNotUtf8 { path: index.into() })?;
        let mut bytes = regular_file::zeroed(index, found)?;
        file.read_exact_at(&mut bytes, 0)
            .map_err(|error| InterchangeError::io(index, "read", error))?;
        let weights = WeightMap::parse(index, &bytes)?;
        let shards = open_shards(index, &weights)?;
        let listed = shards.iter().map(|shard| {
            let names = shard.file.header().tensors().iter().map(|entry| entry.name.as_str());
            (shard.name.as_str(), names)
        });
        weights.check_agreement(index, listed)?;
        Ok(ShardedModel {
            index_path: index.to_path_buf(),
            index_name: index_name.to_string(),
            index_bytes: bytes.into(),
            shards,
        })
    }

    /// The path of the index.
    pub fn index_path(&self) -> &Path {
        &self.index_path
    }

    /// The plain file name of the index.
    pub fn index_name(&self) -> &str {
        &self.index_name
    }

    /// The index's own bytes.
    pub fn index_bytes(&self) -> &[u8] {
        &self.index_bytes
    }

    /// The shards, in the order of their file names.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

/// The one index in `folder`.
fn find_index(folder: &Path) -> Result<PathBuf, InterchangeError> {
    let io_error = |error| InterchangeError::io(folder, "list", error);
    let mut found: Option<String> = None;
    for item in fs::read_dir(folder).map_err(io_error)? {
        let name = item.map_err(io_error)?.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(INDEX_SUFFIX)) else {
            continue;
        };
        if let Some(other) = found {
            let (first, second) =
                if other.as_str() < name { (other, name.into()) } else { (name.into(), other) };
            return Err(InterchangeError::SeveralIndexes { folder: folder.into(), first, second });
        }
        found = Some(name.to_string());
    }
    match found {
        Some(name) => Ok(folder.join(name)),
        None => Err(InterchangeError::NoIndex { folder: folder.into() }),
    }
}

fn open_shards(index: &Path, weights: &WeightMap) -> Result<Vec<Shard>, InterchangeError> {
    let open = |(position, name): (usize, &String)| {
        // The name is a plain one, so this stays in the index's folder.
        let opened = SafetensorsFile::open(index.with_file_name(name));
        let file = opened.map_err(|error| match error {
            InterchangeError::NotFound { .. } => {
                let tensor = weights.tensors.iter().find(|(_, shard)| *shard == position);
                InterchangeError::MissingShard {
                    index: index.to_path_buf(),
                    shard: name.clone(),
                    tensor: tensor.map(|(tensor, _)| tensor.clone()).unwrap_or_default(),
                }
            }
            other => other,
        })?;
        Ok(Shard { name: name.clone(), file })
    };
    weights.shards.iter().enumerate().map(open).collect()
}
