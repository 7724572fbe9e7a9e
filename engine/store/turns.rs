//! Whose turn it is to write, among the threads of one handle.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use super::error::{Result, StoreError};

/// The transaction of a handle that is open, if one is.
#[derive(Debug, Default)]
pub(in crate::store) struct Turns {
    /// The thread that began it.
    taken: Mutex<Option<ThreadId>>,
    free: Condvar,
}

/// The right to have a transaction open; given back when it is dropped.
#[derive(Debug)]
pub(in crate::store) struct Turn(Arc<Turns>);

impl Turns {
    /// Waits for the transaction that another thread has open: so long, or as long as it takes.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyWriting`] when this thread has begun it; [`StoreError::Busy`] at the
    /// limit.
    pub(in crate::store) fn take(self: &Arc<Self>, limit: Option<Duration>) -> Result<Turn> {
        let (start, own) = (Instant::now(), std::thread::current().id());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(thread) = *taken {
            if thread == own {
                return Err(StoreError::AlreadyWriting);
            }
            let waited = start.elapsed();
            taken = match limit.map(|limit| limit.saturating_sub(waited)) {
                Some(Duration::ZERO) => return Err(StoreError::Busy { waited }),
                Some(left) => {
                    let wait = self.free.wait_timeout(taken, left);
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.free.wait(taken).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *taken = Some(own);
        Ok(Turn(Arc::clone(self)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.free.notify_one();
    }
}
