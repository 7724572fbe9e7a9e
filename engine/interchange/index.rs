//! The JSON index of a sharded model, read as a stream.
//!
//! Invariants: every tensor is listed once; every shard's name is the plain name of a file, so
//! the path made of it stays in the index's folder; shards are in the order of their names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::json::{Refusal, Skipped, explain, is_wrong_type};
use super::limits::{INDEX_LEN_MAX, SHARDS_MAX};
use super::{InterchangeError, OpenFile};

/// The most bytes of a file name on the file systems there are.
const FILE_NAME_LEN_MAX: usize = 255;

/// Reads an index.
pub(super) fn read_index(file: &OpenFile) -> Result<WeightMap, InterchangeError> {
    let (index, found) = (file.path(), file.len());
    if found > INDEX_LEN_MAX {
        return Err(InterchangeError::IndexTooLarge { index: index.into(), found });
    }
    WeightMap::parse(index, &file.bytes(0, found)?)
}

/// What an index says: which tensor is in which shard.
#[derive(Debug)]
pub(super) struct WeightMap {
    /// The shards' file names, sorted.
    pub(super) shards: Vec<String>,
    /// The tensors with their shards' positions in `shards`, sorted by name.
    pub(super) tensors: Vec<(String, usize)>,
}

impl WeightMap {
    /// Reads the index of these `bytes`; `index` is its path, for messages only.
    pub(super) fn parse(index: &Path, bytes: &[u8]) -> Result<Self, InterchangeError> {
        let text = std::str::from_utf8(bytes).map_err(|error| InterchangeError::IndexNotJson {
            index: index.into(),
            offset: error.valid_up_to() as u64,
            detail: "not UTF-8".into(),
        })?;
        let context =
            Context { index, refusal: Refusal::default(), in_weight_map: RefCell::default() };
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json
            .deserialize_map(IndexVisitor(&context))
            .and_then(|listed| json.end().map(|()| listed));
        let error = match read {
            Ok(listed) => return listed.finish(index),
            Err(error) => error,
        };
        let Context { refusal, in_weight_map, .. } = context;
        if let Some(refusal) = refusal.into_inner() {
            return Err(refusal);
        }
        let (offset, detail) = explain(text, &error);
        let index = index.to_path_buf();
        Err(match in_weight_map.into_inner() {
            Some(tensor) if is_wrong_type(&error) => {
                InterchangeError::WeightMapNotStrings { index, tensor, offset, detail }
            }
            _ => InterchangeError::IndexNotJson { index, offset, detail },
        })
    }

    /// Refuses unless every tensor of these shards is listed, in one shard, and in the one that it
    /// is listed for.
    pub(super) fn check_agreement<'s, T: Iterator<Item = &'s str>>(
        &self,
        index: &Path,
        shards: impl Iterator<Item = (&'s str, T)>,
    ) -> Result<(), InterchangeError> {
        let index = || index.to_path_buf();
        let mut found_in: Vec<Option<&str>> = vec![None; self.tensors.len()];
        for (shard, tensors) in shards {
            for tensor in tensors {
                match self.find(tensor).and_then(|at| found_in.get_mut(at)) {
                    None => {
                        let (shard, tensor) = (shard.to_owned(), tensor.to_owned());
                        let index = index();
                        return Err(InterchangeError::UnlistedTensor { index, shard, tensor });
                    }
                    Some(Some(first)) => {
                        return Err(InterchangeError::TensorInTwoShards {
                            index: index(),
                            tensor: tensor.to_owned(),
                            first: (*first).to_owned(),
                            second: shard.to_owned(),
                        });
                    }
                    Some(place) => *place = Some(shard),
                }
            }
        }
        for ((tensor, listed_for), found_in) in self.tensors.iter().zip(found_in) {
            let listed_for = self.shards.get(*listed_for).map(String::as_str);
            if found_in != listed_for {
                return Err(InterchangeError::TensorNotInShard {
                    index: index(),
                    shard: listed_for.unwrap_or_default().to_owned(),
                    tensor: tensor.clone(),
                    found_in: found_in.map(String::from),
                });
            }
        }
        Ok(())
    }

    /// The position in `tensors` of the tensor of this name.
    fn find(&self, tensor: &str) -> Option<usize> {
        self.tensors.binary_search_by(|(name, _)| name.as_str().cmp(tensor)).ok()
    }
}

/// A weight map as it is read: shards numbered as they come.
#[derive(Default)]
struct Listed {
    shards: BTreeMap<String, usize>,
    tensors: Vec<(String, usize)>,
}

impl Listed {
    fn push(
        &mut self,
        index: &Path,
        tensor: String,
        shard: String,
    ) -> Result<(), InterchangeError> {
        let position = match self.shards.get(&shard) {
            Some(position) => *position,
            None => {
                let index = || index.to_path_buf();
                if !is_plain_file_name(&shard) {
                    let index = index();
                    return Err(InterchangeError::ShardNameNotPlain { index, tensor, shard });
                }
                let position = self.shards.len();
                if position == SHARDS_MAX {
                    let index = index();
                    return Err(InterchangeError::TooManyShards { index, tensor, shard });
                }
                self.shards.insert(shard, position);
                position
            }
        };
        self.tensors.push((tensor, position));
        Ok(())
    }

    /// Sorts tensors and shards by name and refuses a tensor that is listed twice.
    fn finish(mut self, index: &Path) -> Result<WeightMap, InterchangeError> {
        self.tensors.sort_unstable();
        let twice = self.tensors.windows(2).find_map(|pair| match pair {
            [(a, _), (b, _)] if a == b => Some(a.clone()),
            _ => None,
        });
        if let Some(tensor) = twice {
            return Err(InterchangeError::DuplicateWeight { index: index.into(), tensor });
        }
        let mut sorted = vec![0; self.shards.len()];
        for (by_name, by_appearance) in self.shards.values().enumerate() {
            if let Some(place) = sorted.get_mut(*by_appearance) {
                *place = by_name;
            }
        }
        for (_, shard) in &mut self.tensors {
            *shard = sorted.get(*shard).copied().unwrap_or(*shard);
        }
        Ok(WeightMap { shards: self.shards.into_keys().collect(), tensors: self.tensors })
    }
}

/// Whether `name` names a file in a folder and cannot lead out of it, here or elsewhere.
pub(super) fn is_plain_file_name(name: &str) -> bool {
    (1..=FILE_NAME_LEN_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', '\0'])
}

struct Context<'a> {
    index: &'a Path,
    refusal: Refusal,
    /// Set when the error is in the weight map, with the tensor where there is one.
    in_weight_map: RefCell<Option<Option<String>>>,
}

impl Context<'_> {
    /// Notes that `error` is in the weight map, unless its tensor has been noted already.
    fn blame<E>(&self, tensor: Option<&str>, error: E) -> E {
        self.in_weight_map.borrow_mut().get_or_insert_with(|| tensor.map(String::from));
        error
    }

    fn stop<E: de::Error>(&self, refusal: impl FnOnce(PathBuf) -> InterchangeError) -> E {
        self.refusal.stop(refusal(self.index.to_path_buf()))
    }
}

struct IndexVisitor<'a>(&'a Context<'a>);

/// A key of the index. Others, such as `metadata`, are kept with the bytes but not looked at.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    WeightMap,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for IndexVisitor<'_> {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a weight_map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        let context = self.0;
        let mut listed = None;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Other => {
                    map.next_value::<Skipped>()?;
                }
                Key::WeightMap if listed.is_some() => {
                    return Err(
                        context.stop(|index| InterchangeError::DuplicateWeightMap { index })
                    );
                }
                Key::WeightMap => {
                    let seed = WeightMapSeed(context);
                    let read = map.next_value_seed(seed);
                    listed = Some(read.map_err(|error| context.blame(None, error))?);
                }
            }
        }
        listed.ok_or_else(|| context.stop(|index| InterchangeError::WeightMapMissing { index }))
    }
}

struct WeightMapSeed<'a>(&'a Context<'a>);

impl<'de> DeserializeSeed<'de> for WeightMapSeed<'_> {
    type Value = Listed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listed, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMapSeed<'_> {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        let context = self.0;
        let mut listed = Listed::default();
        while let Some(tensor) = map.next_key::<String>()? {
            let shard: String =
                map.next_value().map_err(|error| context.blame(Some(&tensor), error))?;
            listed
                .push(context.index, tensor, shard)
                .map_err(|error| context.refusal.stop::<A::Error>(error))?;
        }
        Ok(listed)
    }
}
