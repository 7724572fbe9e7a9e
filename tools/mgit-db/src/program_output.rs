//! What programs write while they run, on standard error as it comes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use mgit::command::Stream;

/// A line is shown at this length, ended or not: a program may never end one.
const LINE_LEN_MAX: usize = 4 << 10;

/// The lines that have begun, by model and output.
type Lines = HashMap<(String, Stream), Vec<u8>>;

/// Shows what programs write.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Where several programs write at a time: the lines that each has begun.
    lines: Option<Mutex<Lines>>,
}

impl ProgramOutput {
    /// For at most `jobs` programs at a time. The output of one is shown byte for byte; that of
    /// several line by line, after the name of the model.
    pub fn new(jobs: usize) -> Self {
        ProgramOutput { lines: (jobs > 1).then(Mutex::default) }
    }

    /// Shows a piece of what the program for a model has written. That nobody can be shown it is no
    /// failure of the program.
    pub fn show(&self, model: &str, stream: Stream, piece: &[u8]) {
        let Some(lines) = &self.lines else {
            let _ = io::stderr().write_all(piece);
            return;
        };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = lines.entry((model.to_owned(), stream)).or_default();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(part);
            if part.ends_with(b"\n") || begun.len() >= LINE_LEN_MAX {
                write_line(model, begun);
                begun.clear();
            }
        }
    }
}

impl Drop for ProgramOutput {
    fn drop(&mut self) {
        let Some(lines) = &mut self.lines else { return };
        for ((model, _), line) in lines.get_mut().unwrap_or_else(PoisonError::into_inner) {
            if !line.is_empty() {
                write_line(model, line);
            }
        }
    }
}

fn write_line(model: &str, line: &[u8]) {
    let mut text = [model.as_bytes(), b": ", line].concat();
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    // In one call, so that lines of several programs do not mix.
    let _ = io::stderr().write_all(&text);
}
