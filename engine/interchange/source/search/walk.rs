//! The walk through folders that hold models.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::folder::{Entry, FolderKind, holds_weights_below, kind_of, loose_units};
use super::found::{ENTRIES_MAX, FoundForm, FoundModel, FoundModels};
use super::hub;
use super::naming::{join, part, stem, whole, with_ending};
use crate::interchange::InterchangeError;
use crate::interchange::limits::FOLDER_DEPTH_MAX;
use crate::interchange::source::left_out::LeftOut;
use crate::interchange::source::links::Inside;
use crate::interchange::source::options::SourceOptions;
use crate::interchange::source::passed_over;
use crate::interchange::source::walk::holds_weights;

pub(super) struct Search<'s> {
    root: &'s Path,
    inside: &'s Inside,
    options: &'s SourceOptions,
    entries: usize,
    found: FoundModels,
}

/// A folder on the walk.
struct Here {
    shown: PathBuf,
    real: PathBuf,
    /// The name of the folder's own model; what lies in it has `prefix` before its name.
    name: String,
    prefix: String,
    /// It belongs to a model: only runs are looked for.
    in_model: bool,
}

impl<'s> Search<'s> {
    pub(super) fn new(root: &'s Path, inside: &'s Inside, options: &'s SourceOptions) -> Self {
        Search { root, inside, options, entries: 0, found: FoundModels::default() }
    }

    /// Looks at the folder that was named itself.
    pub(super) fn root(&mut self, real: &Path) -> Result<(), InterchangeError> {
        // What is wrong with this one is wrong with all.
        fs::read_dir(real).map_err(|error| InterchangeError::io(self.root, "list", error))?;
        let name_of = |path: &Path| path.file_name().map(|it| it.to_string_lossy().into_owned());
        let name = name_of(real).unwrap_or_default();
        let shown = self.root.to_owned();
        if let Some((repository, revision)) = hub::snapshot_of(real) {
            self.add(shown, repository, FoundForm::Snapshot { revision });
            return Ok(());
        }
        if hub::is_repository(&name, real) {
            self.repository(&name, &shown, real);
            return Ok(());
        }
        let run = real.parent().and_then(name_of);
        if let (Some(step), Some(run), true) = (step_of(&name), run, holds_weights(real)) {
            self.add(shown, part(&run), FoundForm::Checkpoint { step });
            return Ok(());
        }
        let here = Here {
            shown,
            real: real.to_owned(),
            name: part(&name),
            prefix: String::new(),
            in_model: false,
        };
        self.visit(here, &mut vec![real.to_owned()]);
        Ok(())
    }

    /// What was found, each name legal; a file that has the name of another model is known by all
    /// of its name.
    pub(super) fn finish(self) -> FoundModels {
        let mut found = self.found;
        let mut names: HashMap<String, HashSet<usize>> = HashMap::new();
        for (at, model) in found.models.iter_mut().enumerate() {
            model.name = whole(&model.name);
            names.entry(model.name.clone()).or_default().insert(at);
        }
        let is_shared = |name: &str| names.get(name).is_some_and(|places| places.len() > 1);
        for model in &mut found.models {
            if model.form != FoundForm::File {
                continue;
            }
            model.other_name = with_ending(&model.path, &model.name);
            if let (Some(other), true) = (&mut model.other_name, is_shared(&model.name)) {
                std::mem::swap(&mut model.name, other);
            }
        }
        found.left_out.sort();
        found
    }

    fn add(&mut self, path: PathBuf, name: String, form: FoundForm) {
        self.found.models.push(FoundModel { path, name, other_name: None, form });
    }

    fn leave_out(&mut self, path: &Path, is_folder: bool, reason: impl Into<String>) {
        let mut path = path.display().to_string();
        if is_folder && !path.ends_with('/') {
            path.push('/');
        }
        self.found.left_out.push(LeftOut { path, reason: reason.into() });
    }

    fn fail(&mut self, path: &Path, error: InterchangeError) {
        self.found.failed.push((path.to_owned(), error));
    }

    /// The entries of a folder, by name, without what is never a part of a model.
    fn list(&mut self, shown: &Path, real: &Path, is_quiet: bool) -> Vec<Entry> {
        let listed = fs::read_dir(real).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.fail(shown, InterchangeError::io(shown, "list", error));
                return Vec::new();
            }
        };
        self.entries = self.entries.saturating_add(listed.len());
        if self.entries > ENTRIES_MAX {
            self.fail(shown, InterchangeError::TooManyFiles { folder: shown.to_owned() });
            return Vec::new();
        }
        let mut entries = Vec::new();
        for entry in listed {
            let name = entry.file_name();
            let path = shown.join(&name);
            let taken = match name.to_str() {
                Some(name) => self.entry(name, &path, entry.path()),
                None => Err(self.not_utf8(&path, &entry.path())),
            };
            match taken {
                Ok(entry) => entries.extend(entry),
                Err((is_folder, reason)) if !is_quiet => self.leave_out(&path, is_folder, reason),
                Err(_) => {}
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// Whether what has a name that is not UTF-8 is a folder, and why it is left out.
    fn not_utf8(&self, path: &Path, real: &Path) -> (bool, String) {
        let is_folder = real.symlink_metadata().is_ok_and(|found| found.is_dir());
        let relative = path.strip_prefix(self.root).unwrap_or(path).to_string_lossy();
        let reason = self.options.reason(&relative, is_folder);
        (is_folder, reason.unwrap_or_else(|| "its name is not UTF-8".to_owned()))
    }

    /// An entry of a folder; else whether it is a folder, and why it is left out. Nothing of what
    /// is gone meanwhile.
    fn entry(
        &self,
        name: &str,
        path: &Path,
        real: PathBuf,
    ) -> Result<Option<Entry>, (bool, String)> {
        let Ok(mut found) = real.symlink_metadata() else { return Ok(None) };
        let relative = path.strip_prefix(self.root).unwrap_or(path).to_string_lossy();
        if let Some(reason) = self.options.reason(&relative, found.is_dir()) {
            return Err((found.is_dir(), reason));
        }
        if let Some(reason) = passed_over::file(name, found.len()).filter(|_| !found.is_dir()) {
            return Err((false, reason.to_owned()));
        }
        let mut target = real;
        if found.is_symlink() {
            target = self.inside.resolve(path).map_err(|error| (false, error.to_string()))?;
            let Ok(behind) = target.metadata() else { return Ok(None) };
            found = behind;
        }
        if let Some(reason) = passed_over::folder(name).filter(|_| found.is_dir()) {
            return Err((true, reason.to_owned()));
        }
        if !found.is_dir() && !found.is_file() {
            return Err((false, "neither a file nor a folder".to_owned()));
        }
        let (name, path) = (name.to_owned(), path.to_owned());
        Ok(Some(Entry { name, path, real: target, is_folder: found.is_dir() }))
    }

    /// Finds the models of a folder; `trail` are the folders that it lies in, and it.
    fn visit(&mut self, here: Here, trail: &mut Vec<PathBuf>) {
        if trail.len() > FOLDER_DEPTH_MAX {
            self.fail(&here.shown, InterchangeError::TooDeep { folder: here.shown.clone() });
            return;
        }
        let entries = self.list(&here.shown, &here.real, here.in_model);
        if entries.is_empty() && !here.in_model && trail.len() > 1 {
            self.leave_out(&here.shown, true, "nothing in it is a model");
            return;
        }
        let (folders, files): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.is_folder);
        let kind = match here.in_model {
            true => FolderKind::Other,
            false => kind_of(&here.real, &files, &folders),
        };
        self.run(&here, &folders);
        match kind {
            FolderKind::Model => {
                self.add(here.shown.clone(), here.name.clone(), FoundForm::Folder);
            }
            FolderKind::Other if here.in_model => {}
            FolderKind::Other => self.loose(&here, &files),
        }
        let in_model = here.in_model || kind == FolderKind::Model;
        for folder in folders {
            if is_checkpoint_model(&folder) {
                continue;
            }
            if hub::is_repository(&folder.name, &folder.real) && !in_model {
                self.repository(&folder.name, &folder.path, &folder.real);
                continue;
            }
            if trail.contains(&folder.real) {
                if !in_model {
                    self.leave_out(&folder.path, true, "a link to a folder that it lies in");
                }
                continue;
            }
            let name = join(&here.prefix, &part(&folder.name));
            trail.push(folder.real.clone());
            let next = Here {
                shown: folder.path,
                real: folder.real,
                prefix: name.clone(),
                name,
                in_model,
            };
            self.visit(next, trail);
            trail.pop();
        }
    }

    /// The checkpoints of a run, by their steps.
    fn run(&mut self, here: &Here, folders: &[Entry]) {
        let checkpoints = folders.iter().filter(|folder| is_checkpoint_model(folder));
        let mut steps: Vec<(u64, &Entry)> =
            checkpoints.filter_map(|folder| Some((step_of(&folder.name)?, folder))).collect();
        steps.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        for (step, folder) in steps {
            self.add(folder.path.clone(), here.name.clone(), FoundForm::Checkpoint { step });
        }
    }

    /// The revisions of a repository of a cache.
    fn repository(&mut self, name: &str, shown: &Path, real: &Path) {
        if let Some(reason) = hub::is_no_model(name) {
            self.leave_out(shown, true, reason);
            return;
        }
        let snapshots = Path::new("snapshots");
        let listed = self.list(&shown.join(snapshots), &real.join(snapshots), false);
        let (there, others): (Vec<Entry>, Vec<Entry>) = listed
            .into_iter()
            .filter(|entry| entry.is_folder)
            .partition(|entry| holds_weights_below(&entry.real, FOLDER_DEPTH_MAX));
        for entry in others {
            self.leave_out(&entry.path, true, "no weights of this revision are in the cache");
        }
        for entry in hub::in_order(there, real) {
            let form = FoundForm::Snapshot { revision: entry.name };
            self.add(entry.path, hub::model_name(name), form);
        }
    }

    /// Files of weights that are a model each.
    fn loose(&mut self, here: &Here, files: &[Entry]) {
        let units = loose_units(files, self.options);
        for file in units.models {
            let name = join(&here.prefix, &part(&stem(&file.name)));
            self.add(file.path.clone(), name, FoundForm::File);
        }
        for (file, reason) in units.others {
            self.leave_out(&file.path, false, reason);
        }
    }
}

/// Whether weights lie in a folder of this name, of a run.
fn is_checkpoint_model(folder: &Entry) -> bool {
    step_of(&folder.name).is_some() && holds_weights(&folder.real)
}

/// The step in the name of a checkpoint's folder; a number too large to count is the last.
fn step_of(name: &str) -> Option<u64> {
    let digits = passed_over::is_checkpoint(name).then(|| name.get("checkpoint-".len()..))??;
    Some(digits.parse().unwrap_or(u64::MAX))
}
