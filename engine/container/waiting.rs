//! Waiting for the writer's byte.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{Disk, FileId};
use super::error::{ContainerError, LockHolder, Locked};
use super::holder::writer_of;
use super::locks::{LockSpace, VIEW_LOCK_BYTE, WRITER_LOCK_BYTE, announce_view, byte};
use super::pins::lock_error;

/// How long readers that are just opening are waited for when nobody says how long.
const READER_CHECK_WAIT: Duration = Duration::from_secs(5);
/// When somebody who waits is told for whom.
const TOLD_AFTER: Duration = Duration::from_millis(400);
/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Who is told for whom is waited.
type Told = Arc<dyn Fn(&Locked) + Send + Sync>;

/// How long whoever holds a store is waited for, and who is told.
#[derive(Clone, Default)]
pub struct Waiting {
    /// After so long it is given up. `None`: for a writer not at all, and a few seconds for a
    /// reader that is just opening the store.
    pub limit: Option<Duration>,
    /// Called once in a wait that takes more than a moment.
    pub told: Option<Told>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Waiting {
    /// So long, from now on.
    pub(crate) fn begin(&self) -> Wait<'_> {
        Wait { waiting: self, start: Instant::now(), pause: PAUSES.0, told: false }
    }

    fn limit_for(&self, holder: LockHolder) -> Duration {
        match (self.limit, holder) {
            (Some(limit), _) => limit,
            (None, LockHolder::Writer) => Duration::ZERO,
            (None, _) => READER_CHECK_WAIT,
        }
    }
}

/// A wait that has begun.
#[derive(Debug)]
pub(crate) struct Wait<'w> {
    waiting: &'w Waiting,
    start: Instant,
    pause: Duration,
    told: bool,
}

impl Wait<'_> {
    /// Sleeps a little, since `holder` is in the way.
    ///
    /// # Errors
    ///
    /// [`ContainerError::Locked`] at the limit.
    pub(crate) fn go_on(
        &mut self,
        holder: LockHolder,
        file: Option<FileId>,
    ) -> Result<(), ContainerError> {
        let (waited, limit) = (self.start.elapsed(), self.waiting.limit_for(holder));
        let locked = || {
            // Only a writer's lock can be told from others by looking at its process.
            let process = file.filter(|_| holder == LockHolder::Writer).and_then(writer_of);
            Locked { holder, process, waited }
        };
        if waited >= limit {
            return Err(ContainerError::Locked(Box::new(locked())));
        }
        if let (Some(told), false, true) = (&self.waiting.told, self.told, waited >= TOLD_AFTER) {
            self.told = true;
            told(&locked());
        }
        std::thread::sleep(self.pause.min(limit - waited));
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// Takes the writer's byte, waiting for it.
///
/// # Errors
///
/// [`ContainerError::Locked`] at the limit; lock calls that fail.
pub(super) fn lock_for_writing(
    locks: &dyn LockSpace,
    disk: &dyn Disk,
    waiting: &Waiting,
) -> Result<(), ContainerError> {
    let mut wait = waiting.begin();
    loop {
        if locks.try_lock(byte(WRITER_LOCK_BYTE), false).map_err(lock_error)? {
            return Ok(());
        }
        let holder = holder(locks)?;
        wait.go_on(holder, disk.file_id().ok().flatten())?;
    }
}

/// Holds the writer's byte shared, as a reader does that must not be disturbed, waiting for whoever
/// writes.
///
/// # Errors
///
/// [`ContainerError::Locked`] at the limit; lock calls that fail.
pub(crate) fn lock_out_writers(
    locks: &dyn LockSpace,
    disk: &dyn Disk,
    waiting: &Waiting,
) -> Result<(), ContainerError> {
    let mut wait = waiting.begin();
    while !locks.try_lock(byte(WRITER_LOCK_BYTE), true).map_err(lock_error)? {
        wait.go_on(LockHolder::Writer, disk.file_id().ok().flatten())?;
    }
    announce_view(locks)
}

/// Who is in a writer's way. It may be gone by now; then it is called a reader that opens.
fn holder(locks: &dyn LockSpace) -> Result<LockHolder, ContainerError> {
    // Shared with others: they are readers.
    if !locks.try_lock(byte(WRITER_LOCK_BYTE), true).map_err(lock_error)? {
        return Ok(LockHolder::Writer);
    }
    locks.unlock(byte(WRITER_LOCK_BYTE)).map_err(lock_error)?;
    match locks.is_locked(byte(VIEW_LOCK_BYTE)).map_err(lock_error)? {
        true => Ok(LockHolder::RecoveryView),
        false => Ok(LockHolder::OpeningReader),
    }
}
