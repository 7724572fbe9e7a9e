//! The command-line tool over mgit stores: arguments in, a call of the engine, its answer out.
//!
//! Exit codes: 0 done, 1 failed or damage found, 2 wrong usage; INT, TERM and HUP end it as they do
//! by default, when what is temporary is removed.

mod adoption;
mod arguments;
mod arrival;
mod browse;
mod causes;
mod closed_stdout;
mod commands;
mod demo_data;
mod destination;
mod document;
mod failure;
mod family;
mod functions;
mod gate;
mod given_back;
mod globs;
mod interrupt;
mod kept;
mod lanes;
mod model_argument;
mod notes;
mod opening;
mod origin;
mod output;
#[cfg(feature = "serve")]
mod pages;
mod parentage;
mod partial;
mod picture;
mod program_output;
mod progress;
mod question;
mod refusal;
mod select;
#[cfg(feature = "serve")]
mod serve;
mod side_by_side;
mod store_argument;
mod store_search;
mod taken;
mod text;
mod threads;
mod values;
mod what_to_do;

use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use serde_json::json;

use arguments::Arguments;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let output = Output::new(arguments.json);
    opening::set_wait(arguments.wait);
    if let Err(error) = interrupt::watch(output) {
        let failure = Failure::io("watch for signals", &error);
        output.print_failure(&failure);
        return failure.exit_code();
    }
    let ready = threads::check_instructions().and_then(|()| threads::start());
    let done = ready.and_then(|()| commands::run(arguments.command, &output));
    let done = done.map_err(opening::of_first);
    let code = match done {
        Ok(code) => code,
        Err(failure) => {
            output.print_failure(&failure);
            failure.exit_code()
        }
    };
    // Else the program would end by itself, as if nobody had told it to.
    interrupt::wait_if_told();
    code
}

/// Reads the command line; where that cannot be done, says why and returns the exit code.
fn arguments() -> Result<Arguments, ExitCode> {
    let mut command = store_argument::command();
    let typed = store_argument::with_ls(&command, std::env::args_os().collect());
    let told = |failure: Failure| {
        Output::new(asks_for_json()).print_failure(&failure);
        failure.exit_code()
    };
    let typed = store_argument::with_store(&command, typed).map_err(told)?;
    let matches = command.try_get_matches_from_mut(&typed).or_else(|_| {
        // Read again by the definition that tells where the store may stand.
        let told = store_argument::command_told().try_get_matches_from(&typed);
        told.map_err(|error| refuse(&error))
    })?;
    store_argument::check_early(&matches).map_err(told)?;
    let arguments = Arguments::from_arg_matches(&matches);
    arguments.map_err(|error| refuse(&error.format(&mut command)))
}

/// Whether `--json` is there, of arguments that cannot be read.
fn asks_for_json() -> bool {
    let arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    arguments.into_iter().any(|argument| argument == "--json")
}

/// Answers arguments that are wrong, or that ask for help.
fn refuse(error: &clap::Error) -> ExitCode {
    // The arguments could not be read, so that nothing better than a look at them is left.
    let output = Output::new(asks_for_json());
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
            // Of wrong arguments it is told on standard error.
            let open = if answer.is_some() { output::check_stdout() } else { Ok(()) };
            let printed = error.print().map_err(|error| Failure::stdout(&error));
            if answer.is_none() {
                return ExitCode::from(2);
            }
            open.and(printed)
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
