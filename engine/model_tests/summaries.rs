//! The summaries of all tensors of some models, in columns: there can be millions.

use std::collections::HashMap;

use super::Summary;
use crate::format::ManifestTensor;
use crate::store::{Model, Result, Store, Tensor, TestResultRow};
use crate::tensor::{ContentId, Dtype};

/// Tensors that are read side by side before what was found is put away.
pub(super) const BATCH_MAX: usize = 1 << 12;

/// A content and its type, and a tensor that has it: the number of its model, its place there.
type Placed = ((ContentId, u16), (u32, u32));

/// What is known of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was not looked at.
    Unknown,
    /// Its elements cannot be read: there is no summary.
    None,
    /// There is a summary, which is kept in the store.
    Kept,
    /// There is a summary that was made now.
    New,
    /// It could not be read: why is among the errors.
    Error,
}

/// A content seen as a type, each once, and its summary.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    dtypes: Vec<Dtype>,
    /// Content, and which of the types; sorted.
    keys: Vec<(ContentId, u16)>,
    /// A tensor of each: which of the models, and its place there.
    places: Vec<(u32, u32)>,
    states: Vec<State>,
    found: Vec<Summary>,
    errors: HashMap<usize, String>,
}

impl Summaries {
    /// The tensors of models, of which nothing is known yet.
    pub(super) fn of(models: &[&Model]) -> Self {
        let mut summaries = Summaries::default();
        let mut all: Vec<Placed> = Vec::new();
        // What earlier models have is not wanted twice.
        let settle = |all: &mut Vec<Placed>| {
            all.sort_unstable();
            all.dedup_by_key(|(key, _)| *key);
        };
        let mut settled = 0;
        for (model, number) in models.iter().zip(0..) {
            for (tensor, place) in model.manifest().tensors.iter().zip(0..) {
                let known = summaries.dtype(tensor.dtype);
                let dtype = known.unwrap_or_else(|| {
                    summaries.dtypes.push(tensor.dtype.clone());
                    summaries.dtypes.len() as u16 - 1
                });
                all.push(((tensor.content_id, dtype), (number, place)));
            }
            if all.len() > 2 * settled {
                settle(&mut all);
                settled = all.len();
            }
        }
        settle(&mut all);
        summaries.keys = all.iter().map(|(key, _)| *key).collect();
        summaries.places = all.into_iter().map(|(_, place)| place).collect();
        summaries.states = vec![State::Unknown; summaries.keys.len()];
        summaries.found = vec![Summary::default(); summaries.keys.len()];
        summaries
    }

    fn dtype(&self, dtype: &Dtype) -> Option<u16> {
        self.dtypes.iter().position(|known| known == dtype).map(|at| at as u16)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The content and the type at a place.
    pub(super) fn key(&self, at: usize) -> Option<(ContentId, &Dtype)> {
        let (id, dtype) = *self.keys.get(at)?;
        Some((id, self.dtypes.get(usize::from(dtype))?))
    }

    /// A tensor of one of the models that has the content at a place.
    pub(super) fn tensor(&self, at: usize, models: &[&Model]) -> Option<Tensor> {
        let (model, place) = *self.places.get(at)?;
        models.get(model as usize)?.tensor_at(place as usize)
    }

    /// The length of the content at a place.
    pub(super) fn byte_len(&self, at: usize, models: &[&Model]) -> u64 {
        let tensor = self.places.get(at).and_then(|(model, place)| {
            models.get(*model as usize)?.manifest().tensors.get(*place as usize)
        });
        tensor.map_or(0, |tensor| tensor.byte_len)
    }

    /// Notes what the store knew, or that there is nothing to know.
    pub(super) fn set(&mut self, at: usize, found: std::result::Result<Option<Summary>, String>) {
        let state = match found {
            Ok(Some(summary)) => {
                self.found.get_mut(at).into_iter().for_each(|found| *found = summary);
                State::Kept
            }
            Ok(None) => State::None,
            Err(reason) => {
                self.errors.insert(at, reason);
                State::Error
            }
        };
        self.states.get_mut(at).into_iter().for_each(|it| *it = state);
    }

    /// Notes what was found now.
    pub(super) fn set_new(
        &mut self,
        at: usize,
        found: std::result::Result<Option<Summary>, String>,
    ) {
        self.set(at, found);
        if let Some(state @ State::Kept) = self.states.get_mut(at) {
            *state = State::New;
        }
    }

    /// What is known of a tensor: its summary, if it can have one; `None` where it was not looked
    /// at.
    pub(super) fn get(
        &self,
        tensor: ManifestTensor<'_>,
    ) -> Option<std::result::Result<Option<Summary>, &str>> {
        let key = (tensor.content_id, self.dtype(tensor.dtype)?);
        let at = self.keys.binary_search(&key).ok()?;
        match self.states.get(at)? {
            State::Unknown => None,
            State::None => Some(Ok(None)),
            State::Kept | State::New => Some(Ok(self.found.get(at).copied())),
            State::Error => Some(Err(self.errors.get(&at).map_or("", String::as_str))),
        }
    }

    /// Rows of what was found now.
    fn rows(&self) -> impl Iterator<Item = TestResultRow> + '_ {
        let runs: Vec<ContentId> = self.dtypes.iter().map(Summary::run_id).collect();
        let all = self.keys.iter().zip(&self.states).zip(&self.found);
        all.filter(|((_, state), _)| **state == State::New).filter_map(move |((key, _), found)| {
            Some((*runs.get(usize::from(key.1))?, key.0, found.encode()))
        })
    }
}

/// What tests have found and no store keeps.
#[derive(Debug, Default)]
pub struct Unkept {
    pub(super) rows: Vec<TestResultRow>,
    pub(super) summaries: Summaries,
}

impl Unkept {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && !self.summaries.states.contains(&State::New)
    }

    /// Keeps it in a store, in a commit of its own that changes nothing else.
    ///
    /// # Errors
    ///
    /// [`StoreError::ReadOnly`](crate::store::StoreError::ReadOnly); those of a commit.
    pub fn keep(&self, store: &Store) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        store.keep_test_results(self.rows.iter().cloned().chain(self.summaries.rows()))
    }
}

/// A model, and the summaries of all its tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summarised<'m> {
    pub(super) model: &'m Model,
    pub(super) summaries: &'m Summaries,
}

impl<'m> Summarised<'m> {
    /// Name and summary of every tensor, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'m str, Option<Summary>)> + use<'m> {
        let (model, summaries) = (self.model, self.summaries);
        let of = move |tensor: ManifestTensor<'_>| {
            summaries.get(tensor).and_then(std::result::Result::ok).flatten()
        };
        let tensors = model.manifest().tensors.iter();
        tensors.map(move |tensor| (tensor.name, of(tensor)))
    }

    /// Why nothing of its weights was looked into, if nothing was.
    pub(super) fn why_unseen(&self) -> Option<&'static str> {
        let weights = self.model.weights().len();
        let has_files = self.model.manifest().version() > 1;
        match weights {
            0 => has_files.then_some("no tensor is seen in its weights"),
            _ => self
                .iter()
                .take(weights)
                .all(|(_, summary)| summary.is_none())
                .then_some("none of its weights is of a type that is looked into"),
        }
    }

    /// The summary of the tensor of a name.
    pub(super) fn named(&self, name: &str) -> Option<Summary> {
        let tensors = &self.model.manifest().tensors;
        let tensor = tensors.get(tensors.place_of(name)?)?;
        self.summaries.get(tensor)?.ok()?
    }
}
