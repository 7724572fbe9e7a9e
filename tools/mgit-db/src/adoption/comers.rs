//! The models that come, opened one after the other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use mgit::infer::Member;
use mgit::interchange::{FoundForm, FoundModel, FoundModels, LeftOut, SourceOptions, models_in};

use super::lines::lines_of;
use crate::failure::Failure;
use crate::model_input::{ModelInput, check_there};
use crate::refusal::refused;

/// A model that comes.
pub struct Comer {
    pub path: PathBuf,
    pub name: String,
    /// The name that an earlier search may have given it, with other files beside it.
    pub other_name: Option<String>,
    pub form: FoundForm,
    pub input: ModelInput,
}

/// Models that come together.
pub struct Comers {
    pub all: Vec<Comer>,
    /// The places of those of one name, oldest first.
    pub lines: Vec<Vec<usize>>,
    /// What is in the folders and no part of a model.
    pub left_out: Vec<LeftOut>,
    /// What cannot be read, and why.
    pub failed: Vec<(PathBuf, Failure)>,
}

impl Comers {
    /// Finds the models at these paths, and opens them.
    ///
    /// # Errors
    ///
    /// A path at which nothing is, a folder without models, two models of one name.
    pub fn find(paths: &[PathBuf], options: &SourceOptions) -> Result<Self, Failure> {
        let mut found = Vec::new();
        let (mut left_out, mut failed) = (Vec::new(), Vec::new());
        for path in paths {
            check_there(path)?;
            let FoundModels { models, left_out: others, failed: bad, .. } =
                models_in(path, options).map_err(|error| refused(error, path))?;
            if models.is_empty() && bad.is_empty() {
                return Err(no_models(path, &others));
            }
            found.extend(models);
            left_out.extend(others);
            failed.extend(bad.into_iter().map(|(bad, error)| (bad, refused(error, path))));
        }
        lines_of(&found)?;
        let mut comers = Comers { all: Vec::new(), lines: Vec::new(), left_out, failed };
        let options = options.clone().closed(true);
        let mut opened: Vec<FoundModel> = Vec::new();
        for model in found {
            match ModelInput::open_with(&model.path, &options) {
                Ok(input) => {
                    comers.leave_out(&model.path, &input);
                    opened.push(model.clone());
                    let FoundModel { path, name, other_name, form, .. } = model;
                    comers.all.push(Comer { path, name, other_name, form, input });
                }
                Err(failure) => comers.failed.push((model.path, failure)),
            }
        }
        // What is named by itself is not left out.
        let parts = comers.all.iter().flat_map(|comer| comer.input.parts(&comer.path));
        let named: HashSet<String> = parts.map(shown).collect();
        comers.left_out.retain(|left| !named.contains(left.path.trim_end_matches('/')));
        comers.lines = lines_of(&opened)?;
        Ok(comers)
    }

    /// What a model's own folder has besides it. Its checkpoints are among the models that come, and
    /// are not left out then.
    fn leave_out(&mut self, path: &Path, input: &ModelInput) {
        self.left_out.extend(input.source().left_out().iter().map(|left| left.below(path)));
    }

    /// Takes out those of these places, which could not be read.
    fn drop_failed(&mut self, broken: Vec<(usize, Failure)>) {
        for (at, failure) in broken.into_iter().rev() {
            let comer = self.all.remove(at);
            self.failed.push((comer.path, failure));
            for line in &mut self.lines {
                line.retain(|place| *place != at);
                line.iter_mut().filter(|place| **place > at).for_each(|place| *place -= 1);
            }
        }
        self.lines.retain(|line| !line.is_empty());
    }

    /// Takes out what cannot be read to its end, and says whether there was any.
    pub fn keep_readable(&mut self) -> bool {
        let broken = self.all.iter().enumerate().filter_map(|(at, comer)| {
            let read = comer.input.member(&comer.name);
            read.err().map(|failure| (at, failure))
        });
        let broken: Vec<(usize, Failure)> = broken.collect();
        let is_any = !broken.is_empty();
        self.drop_failed(broken);
        is_any
    }

    /// All as models to be compared. Reads their weights.
    ///
    /// # Errors
    ///
    /// The first that cannot be read.
    pub fn members(&self) -> Result<Vec<Member<'_>>, Failure> {
        self.all.iter().map(|comer| comer.input.member(&comer.name)).collect()
    }
}

fn shown(path: PathBuf) -> String {
    path.display().to_string()
}

fn no_models(folder: &Path, others: &[LeftOut]) -> Failure {
    const NAMED_MAX: usize = 5;
    let mut message = format!(
        "no models in {folder:?}: no weights are in it (.safetensors, .bin, .pt, .gguf, .onnx and \
         others)"
    );
    for LeftOut { path, reason, .. } in others.iter().take(NAMED_MAX) {
        message += &format!("; left out {path:?}: {reason}");
    }
    let more = others.len().saturating_sub(NAMED_MAX);
    message += &if more > 0 { format!("; and {more} more") } else { String::new() };
    Failure::failed("file-not-found", message)
}
