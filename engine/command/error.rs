use std::path::PathBuf;
use std::{fmt, io};

/// Why a command was not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// The line is not one of words and placeholders.
    BadTemplate {
        /// What is wrong.
        reason: String,
    },
    /// A placeholder that nothing is known for.
    UnknownPlaceholder {
        /// What stands between the braces.
        name: String,
    },
    /// The command came with a store and this user has not trusted it.
    NotTrusted {
        /// The command's line.
        template: String,
        /// The hash to trust, 64 hex digits.
        trust_id: String,
    },
    /// The file of trusted commands cannot be read, written, or believed.
    TrustFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The program could not be started.
    Start {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refused something while the command ran; it was killed.
    Wait {
        /// The system's answer.
        source: io::Error,
    },
}

impl CommandError {
    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            CommandError::BadTemplate { .. } => "bad-command",
            CommandError::UnknownPlaceholder { .. } => "unknown-placeholder",
            CommandError::NotTrusted { .. } => "not-trusted",
            CommandError::TrustFile { .. } => "trust-file",
            CommandError::Start { .. } => "command-not-started",
            CommandError::Wait { .. } => "command-lost",
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::BadTemplate { reason } => write!(f, "not a command: {reason}"),
            CommandError::UnknownPlaceholder { name } => {
                write!(f, "the command asks for {{{name}}}, which there is not")
            }
            CommandError::NotTrusted { template, trust_id } => write!(
                f,
                "the command {template:?} came with the store and is not trusted (hash {trust_id})"
            ),
            CommandError::TrustFile { path, source } => {
                write!(f, "the file of trusted commands, {}: {source}", path.display())
            }
            CommandError::Start { program, source } => {
                write!(f, "cannot start {program:?}: {source}")
            }
            CommandError::Wait { source } => write!(f, "lost the command: {source}"),
        }
    }
}

impl std::error::Error for CommandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CommandError::TrustFile { source, .. }
            | CommandError::Start { source, .. }
            | CommandError::Wait { source } => Some(source),
            _ => None,
        }
    }
}
