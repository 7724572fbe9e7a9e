//! What is wrong with files of one model, told together: who mends it need not try once for each.

use std::path::Path;

use crate::container::Shortage;
use crate::interchange::InterchangeError;

/// Faults that are kept to be told; of others only the number is.
const TOLD_MAX: usize = 5;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    told: Vec<InterchangeError>,
    more: u64,
}

impl Faults {
    /// Notes that a file cannot be taken, so that the others can be looked at.
    ///
    /// # Errors
    ///
    /// The fault itself, where the next file would meet it too: there are too many, or the system
    /// is short of something.
    pub(super) fn add(&mut self, fault: InterchangeError) -> Result<(), InterchangeError> {
        let is_of_all = match &fault {
            InterchangeError::TooManyFiles { .. } => true,
            InterchangeError::Io { source, .. } => Shortage::of(source).is_some(),
            _ => false,
        };
        if is_of_all {
            return Err(fault);
        }
        match self.told.len() < TOLD_MAX {
            true => self.told.push(fault),
            false => self.more += 1,
        }
        Ok(())
    }

    /// Notes the fault of a result.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub(super) fn take<T>(
        &mut self,
        result: Result<T, InterchangeError>,
    ) -> Result<Option<T>, InterchangeError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(fault) => self.add(fault).map(|()| None),
        }
    }

    /// Refuses the model at `path` where anything is wrong with its files.
    pub(super) fn refuse(mut self, path: &Path) -> Result<(), InterchangeError> {
        match (self.told.len(), self.more) {
            (0, _) => Ok(()),
            (1, 0) => self.told.pop().map_or(Ok(()), Err),
            (_, more) => {
                Err(InterchangeError::Several { path: path.to_owned(), faults: self.told, more })
            }
        }
    }
}
