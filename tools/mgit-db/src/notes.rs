//! What is to be said of how tensors were made.

use mgit::store::Note;
use serde_json::{Value, json};

/// One line for each thing that is to be said, with the tensors that it is said of.
pub fn notes_text(notes: &[Note]) -> String {
    let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
    for note in notes {
        match lines.iter_mut().find(|(text, _)| *text == note.text) {
            Some((_, tensors)) => tensors.push(&note.tensor),
            None => lines.push((&note.text, vec![&note.tensor])),
        }
    }
    let line = |(text, tensors): &(&str, Vec<&str>)| match tensors.as_slice() {
        [""] => format!("{text}\n"),
        tensors => format!("{text}: {}\n", tensors.join(", ")),
    };
    lines.iter().map(line).collect()
}

/// The same for programs.
pub fn notes_json(notes: &[Note]) -> Value {
    json!(notes)
}
