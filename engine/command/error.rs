use std::io;
use std::path::PathBuf;

/// Why a command was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The line is not one of words and placeholders.
    #[error("not a command: {reason}")]
    BadTemplate {
        /// What is wrong.
        reason: String,
    },
    /// A placeholder that nothing is known for.
    #[error("the command asks for {{{name}}}, which there is not")]
    UnknownPlaceholder {
        /// What stands between the braces.
        name: String,
    },
    /// The command came with a store and this user has not trusted it.
    #[error("the command {template:?} came with the store and is not trusted (hash {trust_id})")]
    NotTrusted {
        /// The command's line.
        template: String,
        /// The hash to trust, 64 hex digits.
        trust_id: String,
    },
    /// The file of trusted commands cannot be read, written, or believed.
    #[error("the file of trusted commands, {}", .path.display())]
    TrustFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start {program:?}")]
    Start {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refused something while the command ran; it was killed.
    #[error("lost the command")]
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
