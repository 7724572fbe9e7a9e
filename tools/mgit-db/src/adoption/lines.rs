//! Which of the models that are found are versions of one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mgit::interchange::{FoundForm, FoundModel};

use crate::failure::Failure;

/// The places of models by name, each group oldest first.
///
/// # Errors
///
/// Two models of one name that are no versions of one; one that is found twice.
pub fn lines_of(found: &[FoundModel]) -> Result<Vec<Vec<usize>>, Failure> {
    let mut lines: Vec<Vec<usize>> = Vec::new();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (at, model) in found.iter().enumerate() {
        let line = *by_name.entry(&model.name).or_insert(lines.len());
        match lines.get_mut(line) {
            Some(line) => line.push(at),
            None => lines.push(vec![at]),
        }
    }
    let model = |at: &usize| found.get(*at);
    for line in &mut lines {
        for (nth, at) in line.iter().enumerate() {
            let Some(second) = model(at) else { continue };
            for first in line.iter().take(nth).filter_map(model) {
                if is_one(first, second) || series_of(first) != series_of(second) {
                    return Err(name_twice(&second.name, &first.path, &second.path));
                }
            }
        }
        // Stable: revisions stay as they were found.
        line.sort_by_key(|at| match model(at).map(|model| &model.form) {
            Some(FoundForm::Checkpoint { step }) => (0, *step),
            _ => (1, 0),
        });
    }
    Ok(lines)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn is_one(first: &FoundModel, second: &FoundModel) -> bool {
    real(&first.path) == real(&second.path)
}

/// What models have in common that are versions of one: the folder of the run, the repository.
fn series_of(model: &FoundModel) -> PathBuf {
    let path = real(&model.path);
    let above = match model.form {
        FoundForm::Checkpoint { .. } => path.parent(),
        FoundForm::Snapshot { .. } => path.parent().and_then(Path::parent),
        _ => None,
    };
    above.map_or_else(|| path.clone(), Path::to_owned)
}

fn name_twice(name: &str, first: &Path, second: &Path) -> Failure {
    let message = if first == second {
        format!("{first:?} is given twice, by its name or with its folder: give it once")
    } else if real(first) == real(second) {
        format!("{first:?} and {second:?} are the same file: give it once")
    } else {
        format!(
            "two models would be called {name}, {first:?} and {second:?}: rename one, or bring it \
             in with `mgit-db import --name`"
        )
    };
    Failure::failed("name-twice", message)
}
