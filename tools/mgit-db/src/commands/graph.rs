//! `graph`: the family as a picture.

use std::path::PathBuf;

use clap::ValueEnum;
use mgit::Snapshot;
use mgit::container::Destination;
use serde_json::{Map, Value, json};

use super::log::Log;
use crate::destination::{Force, write_text};
use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::picture::{Look, MARK, Picture, dot, html, mermaid, svg};
use crate::text::shown;

/// Draw the family: a tree as text, a picture, or an interactive page.
///
/// Lines lead from a model to the models derived from it; dashed lines lead from a version to the
/// next. A model's second size is the stored size of its tensors that no older model has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db graph family.mgit
  mgit-db graph family.mgit --format svg -o family.svg
  mgit-db graph family.mgit --format html -o family.html
  mgit-db graph family.mgit --format dot | dot -Tpdf > family.pdf")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// Text as `log` draws it, the languages of Graphviz and Mermaid, a picture, or one
    /// self-contained page [default: by the extension of FILE, else text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write into this file [default: standard output]. A picture that this command drew there
    /// before is replaced, another file only with --force
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
}

/// A format of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Dot,
    Mermaid,
    Svg,
    Html,
}

impl Format {
    fn of(arguments: &Arguments) -> Self {
        let end = arguments.output.as_deref().and_then(|path| path.extension());
        let by_end = match end.and_then(|end| end.to_str()) {
            Some("dot" | "gv") => Format::Dot,
            Some("mmd" | "mermaid") => Format::Mermaid,
            Some("svg") => Format::Svg,
            Some("html" | "htm") => Format::Html,
            _ => Format::Text,
        };
        arguments.format.unwrap_or(by_end)
    }
}

/// Draws the family.
///
/// # Errors
///
/// Those of the store; the file cannot be written.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    if arguments.output.is_none() {
        output.refuse_json("a picture on standard output: name a file with -o")?;
    }
    let overwrite = arguments.force.overwrite_marked(MARK);
    let destination = arguments.output.as_deref().map(|path| Destination::new(path, overwrite));
    let destination = destination.transpose()?;
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let format = Format::of(arguments);
    let drawn = draw(arguments, format, &snapshot, output)?;
    let Some(destination) = destination else { return output.text(&drawn) };
    write_text(&destination, &drawn)?;
    let models = snapshot.nodes()?.len();
    let name = destination.path().display().to_string();
    let word = format.to_possible_value().map(|value| value.get_name().to_owned());
    let document = json!({ "file": name, "format": word, "models": models, "bytes": drawn.len() });
    let text = format!("{} models drawn into {}\n", models, shown(&name));
    output.print(document, &text)
}

fn draw(
    arguments: &Arguments,
    format: Format,
    snapshot: &Snapshot,
    output: &Output,
) -> Result<String, Failure> {
    if format == Format::Text {
        // Colours are for terminals.
        let plain = Output::plain();
        let ink = if arguments.output.is_some() { &plain } else { output };
        return Ok(Log::read(snapshot, ink)?.text);
    }
    let title = arguments.store.file_name().unwrap_or(arguments.store.as_os_str());
    let look = if format == Format::Html { Look::Lists } else { Look::Sizes(u64::MAX) };
    let picture = Picture::read(snapshot, title.to_string_lossy().into_owned(), look)?;
    Ok(match format {
        Format::Text => String::new(),
        Format::Dot => dot(&picture),
        Format::Mermaid => mermaid(&picture),
        Format::Svg => svg(&picture),
        Format::Html => {
            let graph = snapshot.graph();
            let metadata: Vec<Map<String, Value>> = picture
                .nodes
                .iter()
                .map(|node| graph.metadata(node.node.id()))
                .collect::<Result<_, _>>()?;
            html(&picture, &metadata)
        }
    })
}
