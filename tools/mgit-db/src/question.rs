//! A question before something is done that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::failure::Failure;
use crate::output::Output;

/// Whether somebody can be asked: a terminal, and no document is wanted.
pub fn can_ask(output: &Output) -> bool {
    !output.is_json() && io::stdin().is_terminal()
}

/// Asks; anything but a yes is a no.
///
/// # Errors
///
/// The question cannot be written, or the answer not be read.
pub fn ask(question: &str, output: &Output) -> Result<bool, Failure> {
    output.text(&format!("{question} [y/N] "))?;
    io::stdout().flush().map_err(|error| Failure::stdout(&error))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::io("read the answer", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
