//! The command-line tool over mgit stores: arguments in, a call of the engine, its answer out.
//!
//! Exit codes: 0 done, 1 failed or damage found, 2 wrong usage.

mod arguments;
mod browse;
mod commands;
mod demo_data;
mod failure;
mod family;
mod functions;
mod gate;
mod lanes;
mod model_input;
mod opening;
mod output;
mod partial;
mod picture;
mod program_output;
mod progress;
mod select;
mod side_by_side;
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
    opening::set_wait(arguments.wait);
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
    let text = error.render().to_string();
    let answer = match error.kind() {
        ErrorKind::DisplayHelp => Some("help"),
        ErrorKind::DisplayVersion => Some("version"),
        _ => None,
    };
    let printed = match (output.is_json(), answer) {
        (true, Some(answer)) => output.print(json!({ answer: text.trim_end() }), ""),
        (true, None) => Err(Failure::usage(message_of(error.kind(), &text))),
        (false, _) => {
            let printed = error.print().map_err(|error| Failure::stdout(&error));
            if answer.is_none() {
                return ExitCode::from(2);
            }
            printed
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

/// What clap says, in one line, without its heading and its pointer to `--help`.
fn message_of(kind: ErrorKind, text: &str) -> String {
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command is given: --help lists them".to_owned();
    }
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let mut message = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("For more information") {
            continue;
        }
        match message.as_bytes().last() {
            None => {}
            Some(b':') => message.push(' '),
            Some(_) => message.push_str("; "),
        }
        message.push_str(line);
    }
    message
}
