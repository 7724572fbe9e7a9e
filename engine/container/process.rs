//! A process of this system, as messages name it.

use std::fmt;

/// A process that holds a lock, as the system tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its command line, cut short; control characters are replaced. Empty where it is not told.
    pub command: String,
}

impl Process {
    /// Whether it is this process.
    pub fn is_this(&self) -> bool {
        self.pid == std::process::id()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_this(), self.command.as_str()) {
            (true, _) => write!(f, "this process"),
            (false, "") => write!(f, "process {}", self.pid),
            (false, command) => write!(f, "process {} ({command})", self.pid),
        }
    }
}
