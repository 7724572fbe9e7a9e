//! The models into the store, one after the other, and what is said of each.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mgit::Store;
use mgit::adoption::{Added, AdoptionOptions, AdoptionPlan, Advance, Outcome};
use mgit::store::Repack;

use crate::arrival;
use crate::failure::Failure;
use crate::output::Output;
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

/// Imports the models in the order of the plan, and says so of each.
///
/// # Errors
///
/// One that is not about a single model.
pub fn bring(
    store: &Store,
    plan: &AdoptionPlan,
    repack: Option<Repack>,
    output: &Output,
) -> Result<Brought, Failure> {
    let mut brought = Brought::default();
    let bar: Mutex<Option<Progress>> = Mutex::new(None);
    let advance = |Advance { path, bytes, of, .. }: Advance<'_>| {
        if let Ok(mut bar) = bar.lock() {
            let new = || Progress::new(format!("import {}", path.display()), of);
            bar.get_or_insert_with(new).advance(bytes);
        }
    };
    let options = AdoptionOptions::new().repack(repack).progress(&advance);
    for it in plan.run(store, options) {
        // The next one has its own.
        if let Ok(mut bar) = bar.lock() {
            bar.take();
        }
        let it = it?;
        let path = shown_path(&it.path);
        let mut is_import = plan.models.get(it.place).is_some_and(|model| !model.is_known());
        let told = match it.outcome {
            Outcome::AlreadyThere(node) => {
                brought.models.push((it.place, node.full_name()));
                format!("{path} is already there as {}\n", node.full_name())
            }
            Outcome::Added(added) => {
                let name = added.report.node.full_name();
                brought.models.push((it.place, name.clone()));
                brought.added.push(name);
                is_import = true;
                told_of(&path, &added)
            }
            Outcome::Failed(failed) => {
                let failure = Failure::from(failed.error);
                let told = format!("{path} was not imported: {}\n", shown(&failure.to_string()));
                brought.failed.push((failed.path, failure));
                is_import = false;
                told
            }
            _ => continue,
        };
        // What was added before is named with an import.
        let added: &[String] = if is_import { &brought.added } else { &[] };
        output.text(&told).map_err(|failure| failure.after(added))?;
    }
    Ok(brought)
}

fn told_of(path: &str, Added { report, around, without_parent, .. }: &Added) -> String {
    let name = report.node.full_name();
    let without = match without_parent {
        true => ", without its parent, which was not imported",
        false => "",
    };
    format!("{path} imported as {name}{without}\n{}", arrival::describe(around))
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}
