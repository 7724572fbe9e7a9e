//! The models into the store, one after the other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mgit::interchange::SourceOptions;
use mgit::store::{AroundReport, ImportReport, Repack};
use mgit::{How, Store};
use serde_json::Value;

use super::comers::{Comer, Comers};
use super::plan::{ParentId, Plan, Step};
use super::standing::Known;
use crate::arrival;
use crate::failure::Failure;
use crate::model_input::{ModelInput, add, with_imported};
use crate::output::Output;
use crate::parentage::{KIN_KEY, kin_document};
use crate::progress::Progress;
use crate::text::shown;

/// What was done.
#[derive(Default)]
pub struct Brought {
    /// The places and the names of the models that are in the store now.
    pub models: Vec<(usize, String)>,
    /// Those of them that were added.
    pub added: Vec<String>,
    /// What could not be imported, and why.
    pub failed: Vec<(PathBuf, Failure)>,
}

/// Failures that are about one model; after another, the next would fail as well.
const OF_ONE_MODEL: [&str; 9] = [
    "file-not-found",
    "malformed-file",
    "unreadable-file",
    "io",
    "name-taken",
    "invalid-name",
    "bad-tensor",
    "bad-file",
    "own-key",
];

/// Imports the models in the order of the steps, and says so of each.
///
/// # Errors
///
/// One that is not about a single model.
pub fn bring(
    store: &Store,
    comers: &Comers,
    plan: &Plan,
    (options, repack): (&SourceOptions, Option<&Repack>),
    output: &Output,
) -> Result<Brought, Failure> {
    let mut brought = Brought::default();
    let mut nodes: HashMap<usize, (String, String)> = HashMap::new();
    for Step { at, parent, kin, stored_kin } in &plan.steps {
        let Some(comer) = comers.all.get(*at) else { continue };
        let path = shown_path(&comer.path);
        let there = match plan.standing.known(*at) {
            Known::No => None,
            Known::Stored(node) => Some((node.id().to_string(), node.full_name())),
            Known::Comer(other) => nodes.get(other).cloned(),
        };
        if let Some((id, name)) = there {
            output.text(&format!("{path} is already there as {name}\n"))?;
            brought.models.push((*at, name.clone()));
            nodes.insert(*at, (id, name));
            continue;
        }
        let (mut edge, mut without) = (None, "");
        match parent {
            Some((ParentId::Stored(id), how)) => edge = Some((id.clone(), *how)),
            Some((ParentId::Comer(place), how)) => match nodes.get(place) {
                Some((id, _)) => edge = Some((id.clone(), *how)),
                None => without = ", without its parent, which was not imported",
            },
            None => {}
        }
        // Of two, the one that comes second names the first.
        let mut kin: Vec<Value> = kin
            .iter()
            .filter_map(|place| nodes.get(place))
            .map(|(id, name)| kin_document(name, id))
            .collect();
        kin.extend(stored_kin.clone());
        let (report, around) = match import(store, comer, edge, kin, (options, repack)) {
            Ok(done) => done,
            Err(failure) if OF_ONE_MODEL.contains(&failure.code()) => {
                output
                    .text(&format!("{path} was not imported: {}\n", shown(&failure.to_string())))?;
                brought.failed.push((comer.path.clone(), failure));
                continue;
            }
            Err(failure) => return Err(with_imported(failure.of(path), &brought.added)),
        };
        let name = report.node.full_name();
        let told = match report.already_there {
            true => format!("{path} is already there as {name}\n"),
            false => {
                let around = arrival::describe(&around);
                format!("{path} imported as {name}{without}\n{around}")
            }
        };
        nodes.insert(*at, (report.node.id().to_string(), name.clone()));
        if !report.already_there {
            brought.added.push(name.clone());
        }
        brought.models.push((*at, name));
        output.text(&told).map_err(|failure| with_imported(failure, &brought.added))?;
    }
    Ok(brought)
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

fn import(
    store: &Store,
    comer: &Comer,
    parent: Option<(String, How)>,
    kin: Vec<Value>,
    (options, repack): (&SourceOptions, Option<&Repack>),
) -> Result<(ImportReport, AroundReport), Failure> {
    // Its files are open for as long as it is imported.
    let input = ModelInput::open_with(&comer.path, options)?;
    let label = format!("import {}", comer.path.display());
    let bar = Progress::new(label, input.logical_bytes());
    let progress = |bytes| bar.advance(bytes);
    let mut model = input.model(&comer.name).unless_known().progress(&progress);
    if let Some((parent, how)) = parent {
        model = model.parent(parent, how);
    }
    if !kin.is_empty() {
        model = model.metadata(KIN_KEY, kin);
    }
    add(store, model, repack)
}
