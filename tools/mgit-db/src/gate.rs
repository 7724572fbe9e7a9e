//! The quality gate of lossy models: a command that measures a model file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use mgit::ContentId;
use mgit::codec::Lossy;
use mgit::command::{Bounds, run};
use mgit::container::{TemporaryFolder, TemporaryKind};
use mgit::full_message;
use mgit::interchange::{draft_extension, export_draft, export_draft_to_folder};
use mgit::store::{LossyDraft, LossyReport};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::text::count;

/// What stands for the model's path in the command.
const PLACE: &str = "{model}";
/// What stands for a folder with the whole model.
const FOLDER: &str = "{folder}";

/// How a model is made lossy, and what it must still be good for.
#[derive(Debug, clap::Args)]
pub struct LossyArguments {
    /// Round the differences from the parents: fp16, or quantised:EPS to multiples of 2 ln(1 +
    /// EPS). The model is marked as lossy permanently
    #[arg(long, value_name = "METHOD", value_parser = lossy_parser())]
    pub lossy: Option<Lossy>,
    /// A command that measures the model file {model}, or the whole model in the folder {folder}: the
    /// last line that it prints is the metric, as a number or as {"metric": N, "direction":
    /// "higher"}. It is split at spaces, and run without a shell; quotes keep spaces
    #[arg(long, value_name = "COMMAND", requires = "lossy", requires = "max_drop")]
    pub gate: Option<String>,
    /// The amount by which the metric may get worse
    #[arg(long, value_name = "X", requires = "gate", value_parser = parse_drop)]
    pub max_drop: Option<f64>,
    /// Higher metrics are better
    #[arg(long, requires = "gate", conflicts_with = "lower_is_better")]
    pub higher_is_better: bool,
    /// Lower metrics are better
    #[arg(long, requires = "gate")]
    pub lower_is_better: bool,
}

fn lossy_parser() -> impl TypedValueParser<Value = Lossy> {
    clap::builder::StringValueParser::new().try_map(|text| text.parse::<Lossy>())
}

fn parse_drop(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(drop) if drop.is_finite() && drop >= 0.0 => Ok(drop),
        _ => Err("write a number that is not negative".to_owned()),
    }
}

/// Which metrics are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    Higher,
    Lower,
}

/// Bytes that are kept of what the command prints: its last line is looked for at the end.
const OUTPUT_LIMIT: usize = 64 << 10;

/// A draft that is to be measured.
#[derive(Debug)]
struct Asked {
    id: ContentId,
    /// Removed when it was measured.
    _folder: TemporaryFolder,
    /// What stands for each of the places that the command has.
    paths: Vec<(&'static str, PathBuf)>,
}

/// A command that judges lossy models. It runs while nothing is being written: a transaction that
/// asks for what is not known yet fails and is begun anew when it is, and looks at everything again
/// then.
#[derive(Debug)]
pub struct Gate {
    words: Vec<String>,
    max_drop: f64,
    better: Option<Better>,
    /// The metrics of drafts, by their ids.
    known: HashMap<ContentId, f64>,
    asked: Option<Asked>,
}

impl Gate {
    /// The gate that was asked for, if one was.
    ///
    /// # Errors
    ///
    /// A command that does not say where the model's path goes.
    pub fn new(arguments: &LossyArguments) -> Result<Option<Self>, Failure> {
        let (Some(command), Some(max_drop)) = (&arguments.gate, arguments.max_drop) else {
            return Ok(None);
        };
        let words = split(command).map_err(Failure::usage)?;
        if !words.iter().skip(1).any(|word| word.contains(PLACE) || word.contains(FOLDER)) {
            let message = format!(
                "--gate {command:?} measures nothing: write {PLACE} where the path of the model \
                 goes, or {FOLDER} for a folder with the whole of it"
            );
            return Err(Failure::usage(message));
        }
        let better = match (arguments.higher_is_better, arguments.lower_is_better) {
            (true, _) => Some(Better::Higher),
            (_, true) => Some(Better::Lower),
            _ => None,
        };
        let known = HashMap::new();
        Ok(Some(Gate { words, max_drop, better, known, asked: None }))
    }

    /// Runs `work`, in which drafts are [judged](Self::judge), until all that it asks is known.
    ///
    /// # Errors
    ///
    /// Those of `work`; a draft that cannot be measured.
    pub fn settle<T>(
        gate: &mut Option<Self>,
        mut work: impl FnMut(Option<&mut Self>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            let done = work(gate.as_mut());
            let Some((gate, asked)) = gate.as_mut().and_then(|it| it.asked.take().map(|a| (it, a)))
            else {
                return done;
            };
            let measured = gate.measure(&asked.paths);
            let measured = measured.map_err(|reason| mgit::store::StoreError::Gate { reason })?;
            gate.known.insert(asked.id, measured);
        }
    }

    /// Whether the metric of a draft is near enough to that of the model without loss.
    ///
    /// # Errors
    ///
    /// Says why that is not known, or not known yet.
    pub fn judge(&mut self, draft: &LossyDraft<'_>) -> Result<bool, String> {
        let original = self.metric(&draft.original())?;
        let found = self.metric(draft)?;
        let better = self.better.ok_or(
            "it does not say which metrics are better: add --higher-is-better or \
             --lower-is-better",
        )?;
        let drop = match better {
            Better::Higher => original - found,
            Better::Lower => found - original,
        };
        Ok(drop <= self.max_drop)
    }

    fn metric(&mut self, draft: &LossyDraft<'_>) -> Result<f64, String> {
        let id = draft.id().map_err(|error| full_message(&error))?;
        if let Some(metric) = self.known.get(&id) {
            return Ok(*metric);
        }
        let folder = TemporaryFolder::create(&std::env::temp_dir(), TemporaryKind::Gate);
        let folder =
            folder.map_err(|error| format!("no temporary folder: {}", full_message(&error)))?;
        let mut paths = Vec::new();
        if self.asks(PLACE) {
            let name = match draft.is_folder() {
                true => "model".to_owned(),
                false => format!("model.{}", draft_extension(draft)),
            };
            let path = folder.path().join(name);
            export_draft(draft, &path).map_err(|error| full_message(&error))?;
            paths.push((PLACE, path));
        }
        if self.asks(FOLDER) {
            let path = folder.path().join("folder");
            export_draft_to_folder(draft, &path).map_err(|error| full_message(&error))?;
            paths.push((FOLDER, path));
        }
        self.asked = Some(Asked { id, _folder: folder, paths });
        Err("it has not measured this draft yet".to_owned())
    }

    /// Whether the command has a place of this name.
    fn asks(&self, place: &str) -> bool {
        self.words.iter().any(|word| word.contains(place))
    }

    fn measure(&mut self, paths: &[(&str, PathBuf)]) -> Result<f64, String> {
        let printed = self.run(paths)?;
        let (metric, said) = parse_metric(&printed)?;
        if let (Some(said), Some(asked)) = (said, self.better)
            && said != asked
        {
            return Err(format!("it says that {said:?} metrics are better, you say {asked:?}"));
        }
        self.better = self.better.or(said);
        Ok(metric)
    }

    fn run(&self, paths: &[(&str, PathBuf)]) -> Result<String, String> {
        let mut words = self.words.clone();
        for (place, path) in paths {
            let path = path.to_str().ok_or("the temporary folder's name is not UTF-8")?;
            words.iter_mut().for_each(|word| *word = word.replace(place, path));
        }
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        let bounds = Bounds {
            time_limit: None,
            output_limit: OUTPUT_LIMIT,
            shows_errors: true,
            ..Bounds::default()
        };
        let outcome = run(&words, &bounds).map_err(|error| full_message(&error))?;
        if !outcome.exit.is_success() {
            let program = self.words.first().map_or("", String::as_str);
            return Err(format!("{program:?} failed: {}", outcome.exit));
        }
        Ok(outcome.stdout.end(OUTPUT_LIMIT))
    }
}

/// The metric in the last line that is not empty, and which are better, if it says so.
fn parse_metric(printed: &str) -> Result<(f64, Option<Better>), String> {
    let line = printed.lines().rev().find(|line| !line.trim().is_empty());
    let line = line.ok_or("it printed nothing")?.trim();
    let wrong = || format!("its last line is no metric: {line:?}");
    let value: Value = serde_json::from_str(line).map_err(|_| wrong())?;
    let metric = value.as_f64().or_else(|| value.get("metric")?.as_f64()).ok_or_else(wrong)?;
    let better = match value.get("direction").map(|direction| direction.as_str()) {
        None => None,
        Some(Some("higher")) => Some(Better::Higher),
        Some(Some("lower")) => Some(Better::Lower),
        Some(_) => return Err(format!("a direction is higher or lower: {line:?}")),
    };
    Ok((metric, better))
}

/// The words of a command: split at white space, but not inside quotes.
fn split(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("--gate {command:?} ends inside {open}")),
        None => Ok(words),
    }
}

/// What was made lossy, for programs.
pub fn document(report: &LossyReport) -> Value {
    json!(report)
}

/// What was made lossy, for people.
pub fn describe(lossy: Lossy, report: &LossyReport) -> String {
    let mut text = format!("lossy ({lossy}): {} rounded", count(report.tensors, "tensor"));
    if report.kept_tensors > 0 {
        text += &format!(", {} kept lossless for the gate", report.kept_tensors);
    }
    if report.exact_elements > 0 {
        text += &format!(", {} of {} elements exact", report.exact_elements, report.elements);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_without_a_shell() {
        let words = |text| split(text).unwrap();
        assert_eq!(words("eval --model  {model}"), ["eval", "--model", "{model}"]);
        assert_eq!(words("a 'b c' d\"e f\"''  \"\""), ["a", "b c", "de f", ""]);
        assert_eq!(words("a;b|c $(d)"), ["a;b|c", "$(d)"]);
        assert!(split("a 'b").is_err());
    }

    #[test]
    fn metrics_are_numbers_or_say_more() {
        assert_eq!(parse_metric("loading\n0.5\n\n"), Ok((0.5, None)));
        let higher = r#"{"metric": 91, "direction": "higher"}"#;
        assert_eq!(parse_metric(higher), Ok((91.0, Some(Better::Higher))));
        for wrong in ["", "good", "nan", r#"{"metric": 1, "direction": "up"}"#, r#"{"value": 1}"#] {
            assert!(parse_metric(wrong).is_err(), "{wrong:?}");
        }
    }
}
