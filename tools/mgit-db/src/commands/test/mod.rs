//! `test`: tests of models.

mod junit;
mod register;
pub mod run;
mod show;

use std::process::ExitCode;

use crate::failure::Failure;
use crate::output::Output;

/// Register tests of models, run them, show and compare their results.
///
/// A test is built in, or it is a command. It returns metrics; bounds limit their values. Results
/// are stored by content: a test runs only once on equal content.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db test run family.mgit --builtin finite            which models contain NaN?
  mgit-db test add family.mgit sane --builtin finite
  mgit-db test add family.mgit accuracy --command 'python eval.py {model}' \\
      --name-glob 'tasks/*' --bound 'accuracy>=0.9' --bound 'accuracy>=parent-0.02'
  mgit-db test run family.mgit --junit results.xml
  mgit-db test compare family.mgit tuned@1 tuned@2

A command prints metrics as lines of JSON, such as
  {\"metric\": \"accuracy\", \"value\": 0.93, \"direction\": \"higher\"}
It is split into words and run without a shell: {model} is a temporary file with the model (a folder,
if the model is several files), {folder} a folder with the whole of it, also where it is one file,
for from_pretrained(\"{folder}\"); {name} is name@version. Exit code 0 means that the test passes.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Register a test, also for models that are added later
    Add(register::AddArguments),
    /// Remove a test
    Rm(register::RmArguments),
    /// List the tests
    Ls(register::LsArguments),
    /// Run tests; a test that fails gives exit code 1
    Run(run::Arguments),
    /// Show the stored results, without running anything
    Results(show::ResultsArguments),
    /// Show the results of two models side by side
    Compare(show::CompareArguments),
}

/// Does what was asked.
///
/// # Errors
///
/// Those of the part.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Add(arguments) => register::add(arguments, output)?,
        Command::Rm(arguments) => register::rm(arguments, output)?,
        Command::Ls(arguments) => register::ls(arguments, output)?,
        Command::Run(arguments) => return run::run(arguments, output),
        Command::Results(arguments) => show::results(arguments, output)?,
        Command::Compare(arguments) => show::compare(arguments, output)?,
    }
    Ok(ExitCode::SUCCESS)
}
