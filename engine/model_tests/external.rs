//! A test that is a command, on a copy of the model.

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::{Finding, Metric, Test};
use crate::command::{Bounds, CommandError, Exit, Template, TrustFile, check_trust, run};
use crate::container::{TemporaryFolder, TemporaryKind, full_message};
use crate::interchange::{export_to_folder, export_to_path};
use crate::store::Model;

/// Bytes that are kept of a command's output while it runs: metrics are looked for in them.
const OUTPUT_LIMIT: usize = 1 << 20;
/// Bytes that are kept of the end of each output with the result.
const KEPT_LIMIT: usize = 8 << 10;

/// Which commands may run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum CommandTrust {
    /// None that comes from a store.
    #[default]
    Nothing,
    /// Those in a file of this user's.
    File(TrustFile),
    /// All: somebody has looked at them.
    Everything,
}

impl CommandTrust {
    /// Those that this user has trusted before.
    pub fn of_user() -> Self {
        TrustFile::of_user().map_or(CommandTrust::Nothing, CommandTrust::File)
    }

    /// Whether a command may run.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotTrusted`]; a file that cannot be read or believed.
    pub fn check(&self, command: &Template) -> Result<(), CommandError> {
        match self {
            CommandTrust::Nothing => check_trust(None, command),
            CommandTrust::File(file) => check_trust(Some(file), command),
            CommandTrust::Everything => Ok(()),
        }
    }
}

/// What a run found, and whether it would find it again.
pub(super) struct External {
    pub(super) finding: Finding,
    pub(super) is_lasting: bool,
}

/// Runs a command on a copy of a model in a new folder in `work`. An error is one of this machine:
/// the model could not be written, the command not started.
pub(super) fn run_command(
    test: &Test,
    template: &Template,
    model: &Model,
    work: &Path,
    cancel: Option<&AtomicBool>,
) -> Result<External, String> {
    let folder = TemporaryFolder::create(work, TemporaryKind::Test);
    let folder = folder
        .map_err(|e| format!("cannot make a folder in {}: {}", work.display(), full_message(&e)))?;
    let file = folder.path().join(if model.is_folder() {
        "model".to_owned()
    } else {
        format!("model.{}", model.extension())
    });
    let asks = |asked: &str| template.placeholders().any(|name| name == asked);
    if asks("model") {
        export_to_path(model, &file, &|_| ()).map_err(|error| full_message(&error))?;
    }
    let whole = folder.path().join("folder");
    if asks("folder") {
        export_to_folder(model, &whole, &|_| ()).map_err(|error| full_message(&error))?;
    }
    let words = template.fill(&|name| match name {
        "model" => Some(file.clone().into_os_string()),
        "folder" => Some(whole.clone().into_os_string()),
        "name" => Some(OsString::from(model.full_name())),
        _ => None,
    });
    let bounds = Bounds {
        time_limit: Some(test.time_limit),
        output_limit: OUTPUT_LIMIT,
        variables: vec![("MGIT_MODEL".into(), model.full_name().into())],
        cancel,
        ..Bounds::default()
    };
    let outcome = words.and_then(|words| run(&words, &bounds)).map_err(|e| full_message(&e))?;
    let stdout = outcome.stdout.text();
    let (metrics, wrong) = match Metric::from_lines(&stdout) {
        Ok(metrics) => (metrics, None),
        Err(wrong) => (Vec::new(), Some(wrong)),
    };
    let failed = (!outcome.exit.is_success()).then(|| outcome.exit.to_string());
    let finding = Finding {
        metrics,
        failure: failed.or(wrong),
        output: outcome.stdout.end(KEPT_LIMIT) + &outcome.stderr.end(KEPT_LIMIT),
        seconds: outcome.time.as_secs_f64(),
    };
    Ok(External { finding, is_lasting: matches!(outcome.exit, Exit::Code(_)) })
}
