//! The models that come, opened one after the other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::error::AdoptionError;
use super::input::ModelInput;
use super::lines::lines_of;
use crate::container::full_message;
use crate::infer::{Line, Member};
use crate::interchange::{FoundForm, FoundModel, FoundModels, LeftOut};
use crate::interchange::{SourceOptions, models_in};
use crate::store::StoreError;

/// A model that comes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Arrival {
    /// Where it is.
    pub path: PathBuf,
    /// The name that the place suggests.
    pub name: String,
    /// The name that an earlier search may have given it, with other files beside it.
    pub other_name: Option<String>,
    /// What it is.
    pub form: FoundForm,
    /// Its files.
    pub input: ModelInput,
}

/// A model that cannot be read or imported, and why.
///
/// As JSON: `path`, the error's `code`, and its whole text as `message`.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedArrival {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub error: AdoptionError,
}

impl Serialize for FailedArrival {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("FailedArrival", 3)?;
        fields.serialize_field("path", &self.path.display().to_string())?;
        fields.serialize_field("code", self.error.code())?;
        fields.serialize_field("message", &full_message(&self.error))?;
        fields.end()
    }
}

/// Models that come together.
#[derive(Debug)]
pub struct Arrivals {
    pub(super) all: Vec<Arrival>,
    /// The places of those of one name, oldest first.
    pub(super) lines: Vec<Line>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) failed: Vec<FailedArrival>,
    pub(super) options: SourceOptions,
}

impl Arrivals {
    /// Finds the models at these paths, and opens them: a file is a model, a folder is one or is
    /// searched with all its folders, as [`models_in`] does.
    ///
    /// A model that is found and cannot be opened does not hide the others: it is among the
    /// [`failed`](Self::failed).
    ///
    /// Cost: lists folders, and reads what files say of themselves; no weights. No file stays open.
    ///
    /// # Errors
    ///
    /// A path at which nothing is, a folder without models, two models of one name.
    pub fn find<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        options: &SourceOptions,
    ) -> Result<Self, AdoptionError> {
        let (all, lines, options) = (Vec::new(), Vec::new(), options.clone());
        let mut arrivals =
            Arrivals { all, lines, left_out: Vec::new(), failed: Vec::new(), options };
        let mut found = Vec::new();
        for path in paths {
            found.extend(arrivals.search(path.as_ref())?);
        }
        lines_of(&found)?;
        let opened = arrivals.open(found);
        // What is named by itself is not left out.
        let parts = arrivals.all.iter().flat_map(|arrival| arrival.input.parts());
        let named: HashSet<String> = parts.map(|path| path.display().to_string()).collect();
        arrivals.left_out.retain(|left| !named.contains(left.path.trim_end_matches('/')));
        arrivals.lines = lines_of(&opened)?;
        Ok(arrivals)
    }

    /// The models at a path.
    fn search(&mut self, path: &Path) -> Result<Vec<FoundModel>, AdoptionError> {
        ModelInput::check_there(path)?;
        let not_taken = AdoptionError::not_taken(path);
        let FoundModels { models, left_out, failed, .. } =
            models_in(path, &self.options).map_err(&not_taken)?;
        if models.is_empty() && failed.is_empty() {
            return Err(AdoptionError::NoModels { folder: path.to_owned(), left_out });
        }
        self.left_out.extend(left_out);
        let failed = failed.into_iter();
        let failed = failed.map(|(path, error)| FailedArrival { path, error: not_taken(error) });
        self.failed.extend(failed);
        Ok(models)
    }

    /// Opens models; returns those that can be.
    fn open(&mut self, found: Vec<FoundModel>) -> Vec<FoundModel> {
        let options = self.options.clone().closed(true);
        let mut opened: Vec<FoundModel> = Vec::new();
        for model in found {
            match ModelInput::open(&model.path, &options) {
                Ok(input) => {
                    // What a model's own folder has besides it. Its checkpoints are among the
                    // models that come, and are not left out then.
                    let left_out = input.source().left_out().iter();
                    self.left_out.extend(left_out.map(|left| left.below(&model.path)));
                    opened.push(model.clone());
                    let FoundModel { path, name, other_name, form, .. } = model;
                    self.all.push(Arrival { path, name, other_name, form, input });
                }
                Err(error) => self.failed.push(FailedArrival { path: model.path, error }),
            }
        }
        opened
    }

    /// The models, in the order in which they were found.
    pub fn models(&self) -> &[Arrival] {
        &self.all
    }

    /// What is in the folders and no part of a model.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// What was found and cannot be opened, and why.
    pub fn failed(&self) -> &[FailedArrival] {
        &self.failed
    }

    /// Takes out what cannot be read to its end, and says whether there was any.
    pub(super) fn keep_readable(&mut self) -> bool {
        let broken = self.all.iter().enumerate().filter_map(|(at, arrival)| {
            let read = arrival.input.member(&arrival.name);
            read.err().map(|error| (at, error.into()))
        });
        let broken: Vec<(usize, AdoptionError)> = broken.collect();
        let is_any = !broken.is_empty();
        self.drop_failed(broken);
        is_any
    }

    /// Takes out those of these places, which could not be read.
    fn drop_failed(&mut self, broken: Vec<(usize, AdoptionError)>) {
        for (at, error) in broken.into_iter().rev() {
            let arrival = self.all.remove(at);
            self.failed.push(FailedArrival { path: arrival.path, error });
            for line in &mut self.lines {
                line.retain(|place| *place != at);
                line.iter_mut().filter(|place| **place > at).for_each(|place| *place -= 1);
            }
        }
        self.lines.retain(|line| !line.is_empty());
    }

    /// All as models to be compared. Reads their weights.
    pub(super) fn members(&self) -> Result<Vec<Member<'_>>, StoreError> {
        self.all.iter().map(|arrival| arrival.input.member(&arrival.name)).collect()
    }
}
