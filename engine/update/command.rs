//! A creation function that is a command: inputs out to files, the command over them, its file in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Creation, Draft, Inputs, UpdateError};
use crate::command::{Bounds, Captured, Stream, Template, Watch, run};
use crate::container::{DestinationError, TemporaryFolder, TemporaryKind, full_message};
use crate::format::FileFormat;
use crate::interchange::{
    ExportError, InterchangeError, ModelSource, export_to_folder, export_to_path,
};
use crate::lineage::How;
use crate::model_tests::CommandTrust;
use crate::store::Model;

/// The name of the function in recipes.
pub const COMMAND_FUNCTION: &str = "command";

/// Bytes of each output that are kept for a message.
const OUTPUT_LIMIT: usize = 16 << 10;
/// Lines of it that a message has, and letters.
const SAID_MAX: (usize, usize) = (3, 400);

/// Is shown what a command writes, as it comes: which model it makes, which
/// output, and a piece.
type Show = Arc<dyn Fn(&str, Stream, &[u8]) + Send + Sync>;

/// Runs the command of the inputs, if it is trusted.
///
/// In its line, `{parent:ROLE}` stands for a file with that parent (`{parent}` for the only one), or
/// its folder when it is several files; `{folder:ROLE}` and `{folder}` for a folder with the whole
/// of it; `{old}` for a file with the version to be replaced; `{out}` for the file, or the folder,
/// that it is to write, `{param:K}` for a parameter, `{seed}` for the seed. It runs in a folder of
/// its own, which is removed when the model is in the store.
///
/// What it writes may be of any form. A folder is taken as it is. With a single file of weights come
/// the files beside those of the first parent, when that is a folder: configuration, tokenizer.
#[derive(Clone, Default)]
pub struct CommandFunction {
    trust: CommandTrust,
    time_limit: Option<Duration>,
    work: Option<PathBuf>,
    show: Option<Show>,
}

impl std::fmt::Debug for CommandFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandFunction").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl CommandFunction {
    /// A function that runs what is trusted so.
    pub fn new(trust: CommandTrust) -> Self {
        CommandFunction { trust, ..CommandFunction::default() }
    }

    /// Kills a command after so long; otherwise it may take for ever.
    pub fn time_limit(mut self, limit: Option<Duration>) -> Self {
        self.time_limit = limit;
        self
    }

    /// Shows what a command writes to either of its outputs, as it comes: `show` is given which model
    /// it makes, which output it is, and a piece of what it wrote, which may end inside a line.
    pub fn show(mut self, show: impl Fn(&str, Stream, &[u8]) + Send + Sync + 'static) -> Self {
        self.show = Some(Arc::new(show));
        self
    }

    /// Puts the files into new folders in this one; otherwise where the system has temporary files.
    pub fn work(mut self, folder: impl Into<PathBuf>) -> Self {
        self.work = Some(folder.into());
        self
    }
}

/// Writes a model to a file, or to a folder when it is several files.
fn write(model: &Model, folder: &Path, name: &str) -> Result<OsString, UpdateError> {
    let file = folder.join(if model.is_folder() {
        name.to_owned()
    } else {
        format!("{name}.{}", model.extension())
    });
    written(export_to_path(model, &file, &|_| ()))?;
    Ok(file.into_os_string())
}

/// Writes a model into a folder.
fn write_folder(model: &Model, folder: &Path, name: &str) -> Result<OsString, UpdateError> {
    let path = folder.join(name);
    written(export_to_folder(model, &path, &|_| ()))?;
    Ok(path.into_os_string())
}

fn written(result: Result<(), ExportError>) -> Result<(), UpdateError> {
    result.map_err(|error| match error {
        ExportError::Store(error) => UpdateError::Store(error),
        ExportError::Destination(DestinationError::Io { path, source }) => {
            UpdateError::Work { path, source }
        }
        error => UpdateError::failed(full_message(&error)),
    })
}

/// A parameter as a word: a text as it is, anything else as JSON.
fn word(value: &serde_json::Value) -> OsString {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
}

/// Fills the placeholders in, and writes the files that they stand for.
fn words(
    template: &Template,
    inputs: &Inputs,
    folder: &Path,
    out: &Path,
) -> Result<Vec<OsString>, UpdateError> {
    let mut files: Vec<(String, OsString)> = Vec::new();
    for name in template.placeholders() {
        if files.iter().any(|(known, _)| known == name) {
            continue;
        }
        let role = name.strip_prefix("parent:").or_else(|| name.strip_prefix("folder:"));
        let model = match (name, role) {
            (_, Some(role)) => inputs.parent(role)?,
            ("parent" | "folder", _) => inputs.only_parent()?,
            ("old", _) => match &inputs.old {
                Some(old) => old,
                None => return Err(UpdateError::inputs("{old} has nothing to stand for")),
            },
            _ => continue,
        };
        let input = format!("input-{}", files.len());
        let file = match name.starts_with("folder") {
            true => write_folder(model, folder, &input)?,
            false => write(model, folder, &input)?,
        };
        files.push((name.to_owned(), file));
    }
    let fill = |name: &str| match (name, name.strip_prefix("param:")) {
        ("out", _) => Some(out.as_os_str().to_owned()),
        ("seed", _) => Some(inputs.seed.to_string().into()),
        (_, Some(parameter)) => inputs.parameters.get(parameter).map(word),
        _ => files.iter().find(|(known, _)| known == name).map(|(_, file)| file.clone()),
    };
    Ok(template.fill(&fill)?)
}

/// The end of what a command said, for a message.
fn said(output: &Captured) -> String {
    let text = output.end(OUTPUT_LIMIT);
    let lines = text.lines().rev().filter(|line| !line.trim().is_empty()).take(SAID_MAX.0);
    let mut lines: Vec<&str> = lines.collect();
    lines.reverse();
    let line = lines.join(" | ");
    let letters = line.chars().filter(|c| !c.is_control()).collect::<Vec<char>>();
    let cut = letters.len().saturating_sub(SAID_MAX.1);
    let clean: String = letters.into_iter().skip(cut).collect();
    match (clean.is_empty(), cut > 0) {
        (true, _) => clean,
        (false, false) => format!(": {clean}"),
        (false, true) => format!(": ...{clean}"),
    }
}

impl Creation for CommandFunction {
    fn how(&self) -> How {
        How::FineTune
    }

    fn takes_old(&self, inputs: &Inputs) -> bool {
        inputs.command.contains("{old}")
    }

    fn make(&self, inputs: &Inputs) -> Result<Draft, UpdateError> {
        let template: Template = inputs.command.parse()?;
        if !template.placeholders().any(|name| name == "out") {
            return Err(UpdateError::inputs("the command has no {out}: it would write no model"));
        }
        self.trust.check(&template)?;
        let work = self.work.clone().unwrap_or_else(std::env::temp_dir);
        let folder = TemporaryFolder::create(&work, TemporaryKind::Make);
        let folder = folder.map_err(UpdateError::work(&work))?;
        let out = folder.path().join("out.safetensors");
        let words = words(&template, inputs, folder.path(), &out)?;
        let watch = self
            .show
            .as_ref()
            .map(|show| |stream, piece: &[u8]| show(&inputs.making, stream, piece));
        let bounds = Bounds {
            time_limit: self.time_limit,
            output_limit: OUTPUT_LIMIT,
            variables: vec![("MGIT_SEED".into(), inputs.seed.to_string().into())],
            watch: watch.as_ref().map(|watch| watch as &Watch<'_>),
            ..Bounds::default()
        };
        let outcome = run(&words, &bounds)?;
        if !outcome.exit.is_success() {
            let said = match said(&outcome.stderr) {
                nothing if nothing.is_empty() => said(&outcome.stdout),
                said => said,
            };
            return Err(UpdateError::failed(format!("the command failed, {}{said}", outcome.exit)));
        }
        let (source, out) = open_made(out).map_err(|error| {
            UpdateError::failed(format!(
                "the command has not written a model: {}",
                full_message(&error)
            ))
        })?;
        let draft = Draft::source(source, Some(Arc::new(folder))).written_to(out);
        let [first, others @ ..] = inputs.parents.as_slice() else { return Ok(draft) };
        let draft = draft.with_files_beside(&first.model)?;
        if draft.sides.is_empty() {
            return Ok(draft);
        }
        let others: Vec<_> = others.iter().map(|input| &input.model).collect();
        draft.said_of_others(&first.model, &others, &[])
    }
}

/// Opens what a command has written. A file of another format than its name says gets another name:
/// it is called so in the store.
fn open_made(out: PathBuf) -> Result<(ModelSource, PathBuf), InterchangeError> {
    let source = ModelSource::open(&out)?;
    let format = match source.files() {
        [file] if source.is_single() => file.format(),
        _ => return Ok((source, out)),
    };
    let renamed = out.with_extension(format.extension());
    if matches!(format, FileFormat::Safetensors | FileFormat::Bytes)
        || std::fs::rename(&out, &renamed).is_err()
    {
        return Ok((source, out));
    }
    Ok((ModelSource::open(&renamed)?, renamed))
}
