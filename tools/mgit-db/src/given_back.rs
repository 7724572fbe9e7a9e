//! The store's file behind a command that has written elsewhere first: made shorter, and what is said
//! of it.

use std::path::Path;

use mgit::Store;
use mgit::upkeep::{GivenBack, give_back, give_back_to};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::text::size;

/// How long the store's file was before the command.
#[derive(Clone, Copy, Debug)]
pub struct Before(u64);

impl Before {
    /// Looks at the file. One that cannot be looked at is reported by whoever opens it.
    pub fn of(path: &Path) -> Self {
        Before(std::fs::metadata(path).map_or(0, |file| file.len()))
    }

    /// Makes the file as short as it can be in place with little work, and with more where it would
    /// be longer than before.
    ///
    /// # Errors
    ///
    /// Those of the store. What the command did is committed.
    pub fn give_back(self, store: &Store) -> Result<Shorter, Failure> {
        self.finish(store, give_back(store)?)
    }

    /// As [`give_back`](Self::give_back), behind a command that has done the first part.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn finish(self, store: &Store, given: GivenBack) -> Result<Shorter, Failure> {
        if given.after_bytes <= self.0 || given.oldest_reader.is_some() {
            return Ok(self.with(given));
        }
        let mut more = give_back_to(store, self.0)?;
        more.before_bytes = given.before_bytes;
        more.moved_bytes += given.moved_bytes;
        Ok(self.with(more))
    }

    /// Makes the file as long as before, if it is longer now: cheaper, and enough for a command that
    /// is to be fast.
    ///
    /// # Errors
    ///
    /// As [`give_back`](Self::give_back).
    pub fn give_back_growth(self, store: &Store) -> Result<Shorter, Failure> {
        Ok(self.with(give_back_to(store, self.0)?))
    }

    /// With what was given back by other means.
    fn with(self, given: GivenBack) -> Shorter {
        Shorter { before: self.0, given }
    }
}

/// What became of the file's length.
#[derive(Clone, Copy, Debug)]
pub struct Shorter {
    before: u64,
    given: GivenBack,
}

impl Shorter {
    /// For `--json`.
    pub fn document(&self) -> Value {
        json!({
            "before_bytes": self.before,
            "after_bytes": self.given.after_bytes,
            "waiting_bytes": self.given.waiting_bytes,
            "oldest_reader": self.given.oldest_reader,
        })
    }

    /// A line, and one more where a reader is in the way.
    pub fn describe(&self) -> String {
        let (before, after) = (size(self.before), size(self.given.after_bytes));
        let mut text = format!("  the file: {before} -> {after}\n");
        if let Some(oldest) = self.given.oldest_reader {
            let waiting = size(self.given.waiting_bytes);
            text += &format!(
                "  {waiting} of it wait for a reader of commit {oldest}: `mgit-db gc` gives them \
                 back when it has ended\n"
            );
        }
        text
    }
}
