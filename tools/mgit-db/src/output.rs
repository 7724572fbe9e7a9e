//! Where results go: text for people, or one JSON document for programs.
//!
//! Invariant: with `--json`, standard output gets exactly one document, whatever happens.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde_json::{Value, json};

use crate::document::Document;
use crate::failure::Failure;
use crate::interrupt;

/// The version of the documents' layout: raised when a key changes its meaning or goes.
pub const SCHEMA: u64 = 1;

/// How the user wants results.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
}

/// The colours in use.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    /// Names of models.
    Name,
    /// What may be passed over.
    Faint,
    /// What is well.
    Good,
    /// What is damaged.
    Bad,
}

impl Output {
    /// Text, or JSON; colours only where a person looks who has not refused them.
    pub fn new(json: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Output { json, colour: !json && !refused && io::stdout().is_terminal() }
    }

    /// Text without colours, for files.
    pub fn plain() -> Self {
        Output { json: false, colour: false }
    }

    /// Whether results are JSON documents.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Refuses `--json` for a command whose result is bytes.
    ///
    /// # Errors
    ///
    /// Wrong usage.
    pub fn refuse_json(&self, what: &str) -> Result<(), Failure> {
        match self.json {
            true => Err(Failure::usage(format!("--json does not go with {what}"))),
            false => Ok(()),
        }
    }

    /// How long a line may be, in characters: None where no terminal shows it. COLUMNS goes over what
    /// the terminal says.
    pub fn width(&self) -> Option<usize> {
        if self.json || !io::stdout().is_terminal() {
            return None;
        }
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let asked = || ratatui::crossterm::terminal::size().ok().map(|(columns, _)| columns);
        columns.or_else(|| asked().map(usize::from)).filter(|columns| *columns > 0)
    }

    /// `text` in a colour, where there are colours.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Name => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Bad => "31",
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Prints the result: `document`'s keys behind the schema number, or `text`.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written.
    pub fn print(&self, document: Value, text: &str) -> Result<(), Failure> {
        self.wait_for_turn();
        match self.json {
            true => write_stdout(&document_bytes(document)),
            false => write_stdout(text.as_bytes()),
        }
    }

    /// Prints the result, piece by piece: `document`'s keys behind the schema number, or `text`.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written.
    pub fn print_long(
        &self,
        document: Document<'_>,
        text: impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        self.wait_for_turn();
        check_stdout()?;
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let written = if self.json {
            let schema = Document::new().keys(json!({ "schema": SCHEMA }));
            let document = schema.and(document);
            let written = serde_json::to_writer_pretty(&mut out, &document);
            written.map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
        } else {
            let mut text = text;
            text.try_for_each(|text| out.write_all(text.as_bytes()))
        };
        let written = written.and_then(|()| out.flush());
        written.map_err(|error| Failure::stdout(&error))
    }

    /// Prints a part of the text; nothing with `--json`.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        interrupt::wait_if_told();
        write_stdout(text.as_bytes())
    }

    /// Says why the command was not done; nothing when the program is being ended, which says so.
    pub fn print_failure(&self, failure: &Failure) {
        if matches!(failure, Failure::ClosedPipe) {
            return;
        }
        self.wait_for_turn();
        self.print_last(failure);
    }

    /// Returns, unless the program is being ended: whatever it would say, a failure that comes of
    /// that among it, is not to be said.
    fn wait_for_turn(&self) {
        interrupt::wait_if_told();
        if self.json && !interrupt::takes_the_document() {
            interrupt::wait_if_told();
        }
    }

    /// As [`print_failure`](Self::print_failure), from where the program is ended.
    pub fn print_last(&self, failure: &Failure) {
        let error = json!({ "code": failure.code(), "message": failure.to_string() });
        let document = || document_bytes(json!({ "error": error }));
        // Also what standard output does not take is said. There is nowhere left to report a
        // failure to report.
        let is_told =
            self.json && !crate::closed_stdout::was_closed() && write_stdout(&document()).is_ok();
        if !is_told {
            let _ = writeln!(io::stderr(), "error: {failure}");
            if matches!(failure, Failure::Usage { .. }) {
                let _ = writeln!(io::stderr(), "\nFor more information, try '--help'.");
            }
        }
    }
}

fn document_bytes(document: Value) -> Vec<u8> {
    let mut keys = serde_json::Map::new();
    keys.insert("schema".to_owned(), SCHEMA.into());
    if let Value::Object(rest) = document {
        keys.extend(rest);
    }
    format!("{:#}\n", Value::Object(keys)).into_bytes()
}

/// Refuses to write to a standard output that was closed from the start.
///
/// # Errors
///
/// It was.
pub fn check_stdout() -> Result<(), Failure> {
    match crate::closed_stdout::was_closed() {
        true => Err(Failure::failed("io", "cannot write the output: standard output is closed")),
        false => Ok(()),
    }
}

/// Writes bytes to standard output.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    check_stdout()?;
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::stdout(&error))
}

/// A number for JSON, which has none for NaN and the infinities: these become strings.
pub fn json_float(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_begin_with_the_schema() {
        let bytes = document_bytes(json!({ "a": 1 }));
        assert_eq!(String::from_utf8_lossy(&bytes), "{\n  \"schema\": 1,\n  \"a\": 1\n}\n");
    }

    #[test]
    fn numbers_that_json_lacks_are_strings() {
        assert_eq!(json_float(0.5), json!(0.5));
        assert_eq!(json_float(f64::NAN), json!("NaN"));
        assert_eq!(json_float(f64::INFINITY), json!("Infinity"));
        assert_eq!(json_float(f64::NEG_INFINITY), json!("-Infinity"));
    }
}
