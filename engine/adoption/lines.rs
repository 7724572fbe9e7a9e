//! Which of the models that are found are versions of one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::AdoptionError;
use crate::infer::Line;
use crate::interchange::{FoundForm, FoundModel};

/// The places of models by name, each group oldest first.
///
/// # Errors
///
/// Two models of one name that are no versions of one; one that is found twice.
pub(super) fn lines_of(found: &[FoundModel]) -> Result<Vec<Line>, AdoptionError> {
    let mut lines: Vec<Line> = Vec::new();
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
                    return Err(name_twice(first, second));
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

fn name_twice(first: &FoundModel, second: &FoundModel) -> AdoptionError {
    let is_one = is_one(first, second);
    let (first, second, name) = (first.path.clone(), second.path.clone(), second.name.clone());
    match is_one {
        true => AdoptionError::GivenTwice { first, second },
        false => AdoptionError::NameTwice { name, first, second },
    }
}
