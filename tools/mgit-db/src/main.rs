//! The command-line tool over mgit stores: arguments in, a call of the engine, its answer out.
//!
//! Exit codes: 0 done, 1 failed or damage found, 2 wrong usage.

mod arguments;
mod commands;
mod failure;
mod family;
mod lanes;
mod output;
mod progress;
mod text;
mod values;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;

use arguments::Arguments;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let output = Output::new(arguments.json);
    match commands::run(arguments.command, &output) {
        Ok(code) => code,
        Err(failure) => {
            output.print_failure(&failure);
            failure.exit_code()
        }
    }
}

/// Answers arguments that are wrong, or that ask for help.
fn refuse(error: &clap::Error) -> ExitCode {
    // The arguments could not be read, so that nothing better than a look at them is left.
    let arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    let output = Output::new(arguments.into_iter().any(|argument| argument == "--json"));
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let text = error.render().to_string();
    let printed = match (output.is_json(), is_help) {
        (true, true) => output.print(json!({ "help": text }), ""),
        (true, false) => Err(Failure::usage(message_of(&text))),
        (false, true) => error.print().map_err(|error| Failure::stdout(&error)),
        (false, false) => {
            let _ = error.print();
            return ExitCode::from(2);
        }
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.print_failure(&failure);
            failure.exit_code()
        }
    }
}

/// What clap says, without its heading and its pointer to `--help`.
fn message_of(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("For more information")).collect();
    lines.join("; ")
}
