//! The models that come, opened one after the other.

use std::path::{Path, PathBuf};

use mgit::Snapshot;
use mgit::infer::Member;
use mgit::interchange::{
    FoundForm, FoundModel, FoundModels, LeftOut, ModelSource, SourceOptions, models_in,
};
use mgit::lineage::{ModelName, Node};

use super::lines::lines_of;
use crate::failure::Failure;
use crate::model_input::{ModelInput, check_there};

/// Whether a model that comes is there already.
#[derive(Clone, Debug, Default)]
pub enum Known {
    #[default]
    No,
    /// As this version of the store.
    Stored(Node),
    /// As the version that another becomes, of this place.
    Comer(usize),
}

/// A model that comes.
pub struct Comer {
    pub path: PathBuf,
    pub name: String,
    pub form: FoundForm,
    pub input: ModelInput,
    pub known: Known,
    /// The version that it is or becomes.
    pub version: u32,
}

impl Comer {
    fn source(&self) -> &ModelSource {
        self.input.source()
    }

    fn tensor_count(&self) -> u64 {
        self.source().files().iter().map(|file| file.tensors().len() as u64).sum()
    }

    /// Whether both can have the same content.
    fn may_equal(&self, bytes: u64, tensors: u64) -> bool {
        self.input.logical_bytes() == bytes && self.tensor_count() == tensors
    }
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
                models_in(path, options)?;
            if models.is_empty() && bad.is_empty() {
                return Err(no_models(path, &others));
            }
            found.extend(models);
            left_out.extend(others);
            failed.extend(bad.into_iter().map(|(path, error)| (path, error.into())));
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
                    let FoundModel { path, name, form, .. } = model;
                    let known = Known::No;
                    comers.all.push(Comer { path, name, form, input, known, version: 0 });
                }
                Err(failure) => comers.failed.push((model.path, failure)),
            }
        }
        // What is named by itself is not left out.
        let named: Vec<String> =
            comers.all.iter().flat_map(|comer| comer.input.parts(&comer.path)).map(shown).collect();
        comers.left_out.retain(|left| !named.contains(&left.path));
        comers.lines = lines_of(&opened)?;
        Ok(comers)
    }

    /// What a model's own folder has besides it; its checkpoints are models that are found.
    fn leave_out(&mut self, path: &Path, input: &ModelInput) {
        let others = input.source().left_out().iter();
        let others = others.filter(|left| left.reason != LeftOut::A_MODEL);
        self.left_out.extend(others.map(|left| left.below(path)));
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

    /// Finds out which are in the store already, and which version the others become. Reads all of
    /// a model only where something of its size has its name.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn compare_with(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        let mut broken = Vec::new();
        for line in self.lines.clone() {
            let Some(first) = line.first().and_then(|at| self.all.get(*at)) else { continue };
            let name: ModelName = first.name.parse()?;
            let graph = snapshot.graph();
            let stored = graph.versions(&name)?.into_iter().map(|id| graph.expect(id));
            let stored: Vec<Node> = stored.collect::<Result<_, _>>()?;
            let mut next = graph.highest_version(&name)?;
            let mut seen: Vec<(usize, mgit::ContentId)> = Vec::new();
            for (nth, at) in line.iter().enumerate() {
                let Some(comer) = self.all.get(*at) else { continue };
                let alike = |node: &&Node| {
                    comer.may_equal(node.logical_bytes(), node.tensor_count().into())
                };
                let others = line.iter().enumerate().filter(|(other, _)| *other != nth);
                let mut others = others.filter_map(|(_, place)| self.all.get(*place));
                let is_asked = stored.iter().any(|node| alike(&node))
                    || others
                        .any(|it| it.may_equal(comer.input.logical_bytes(), comer.tensor_count()));
                let id = match is_asked.then(|| comer.input.model(&comer.name).content_id()) {
                    Some(Ok(id)) => Some(id),
                    Some(Err(error)) => {
                        broken.push((*at, error.into()));
                        continue;
                    }
                    None => None,
                };
                let node = stored.iter().find(|node| id == Some(node.manifest_id()));
                let other = seen.iter().find(|(_, known)| id == Some(*known));
                let (known, version) = match (node, other) {
                    (Some(node), _) => (Known::Stored(node.clone()), node.version()),
                    (None, Some((other, _))) => {
                        (Known::Comer(*other), self.all.get(*other).map_or(0, |it| it.version))
                    }
                    (None, None) => {
                        next += 1;
                        (Known::No, next)
                    }
                };
                seen.extend(id.filter(|_| matches!(known, Known::No)).map(|id| (*at, id)));
                if let Some(comer) = self.all.get_mut(*at) {
                    (comer.known, comer.version) = (known, version);
                }
            }
        }
        broken.sort_by_key(|(at, _)| *at);
        let is_whole = broken.is_empty();
        self.drop_failed(broken);
        // The versions of what came after them are others.
        if is_whole { Ok(()) } else { self.compare_with(snapshot) }
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

    /// How many are not in the store.
    pub fn new_count(&self) -> u64 {
        self.all.iter().filter(|comer| matches!(comer.known, Known::No)).count() as u64
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
