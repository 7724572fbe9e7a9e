//! The functions that `make`, `remake` and `update` know, and which commands they may run.

use std::time::Duration;

use mgit::command::{Template, TrustFile};
use mgit::model_tests::CommandTrust;
use mgit::update::{COMMAND_FUNCTION, CommandFunction, Functions};

use crate::failure::Failure;
use crate::program_output::ProgramOutput;

/// Which commands may run, and how long.
#[derive(Debug, clap::Args)]
pub struct Commands {
    /// Run commands of the store that you have not trusted before: read them first
    #[arg(long)]
    trust: bool,
    /// The time in seconds after which a command is killed [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    time_limit: Option<Duration>,
}

/// Reads a number of seconds.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
    duration.ok_or_else(|| "write a number of seconds above 0".to_owned())
}

impl Commands {
    /// Which commands of the store may run.
    pub fn trust(&self) -> CommandTrust {
        match self.trust {
            true => CommandTrust::Everything,
            false => CommandTrust::of_user(),
        }
    }

    /// The built-in functions, and commands as far as they may run, at most `jobs` at a time. Their
    /// output is shown on standard error while they run.
    pub fn functions(&self, jobs: usize) -> Functions {
        let output = ProgramOutput::new(jobs);
        let command = CommandFunction::new(self.trust())
            .time_limit(self.time_limit)
            .show(move |model, stream, piece| output.show(model, stream, piece));
        mgit::merge::functions(Functions::new()).with(COMMAND_FUNCTION, command)
    }
}

/// Trusts a command that this user has typed.
///
/// # Errors
///
/// A line that is none; the file of trusted commands cannot be written.
pub fn trust_typed(line: &str) -> Result<(), Failure> {
    let template: Template = line.parse()?;
    let Some(file) = TrustFile::of_user() else {
        let message = "neither HOME nor XDG_CONFIG_HOME is set: trusted commands have no list";
        return Err(Failure::failed("not-trusted", message));
    };
    Ok(file.add(&template)?)
}
