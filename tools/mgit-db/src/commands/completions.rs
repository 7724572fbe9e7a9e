//! `completions`: scripts for shells.

use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::{Output, write_stdout};

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  mgit-db completions bash > ~/.local/share/bash-completion/completions/mgit-db")]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    output.refuse_json("a completion script")?;
    let mut command = crate::store_argument::command_told();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "mgit-db", &mut script);
    write_stdout(&script)
}
