//! What stands between the database and the tables: a panic or damage in it ends all use of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::TableDefinition;

use super::home::Arrangement;
use super::{CatalogError, Visit, Visitor};
use crate::container::{Container, ContainerError};
use crate::format::FEATURE_SHARED_TABLE;

pub(super) const fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// Whether the database has panicked: its state is then unknown, and it is not asked again.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) container: Arc<Container>,
    /// How its tables lie: a store never changes that.
    pub(super) arrangement: Arrangement,
    broken: AtomicBool,
    /// Rows that were asked for or shown.
    rows: AtomicU64,
}

impl Health {
    pub(super) fn new(container: &Arc<Container>) -> Arc<Self> {
        let arrangement = match container.superblock().reader_flags & FEATURE_SHARED_TABLE {
            0 => Arrangement::Apart,
            _ => Arrangement::Shared,
        };
        let (container, rows) = (Arc::clone(container), AtomicU64::new(0));
        Arc::new(Health { container, arrangement, broken: AtomicBool::new(false), rows })
    }

    /// Rows that were asked for or shown.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn count_row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// `visit`, with what it is shown counted.
    pub(super) fn counting<'v>(
        &'v self,
        visit: &'v mut Visitor<'_>,
    ) -> impl FnMut(&[u8], &[u8]) -> Result<Visit, CatalogError> + 'v {
        |key, value| {
            self.count_row();
            visit(key, value)
        }
    }

    /// Nothing is asked of the database any more, and nothing it does in closing is written.
    fn set_broken(&self) {
        self.broken.store(true, Ordering::Release);
        self.container.poison();
    }
}

/// A part of the database. A panic while it is dropped ends there.
#[derive(Debug)]
pub(super) struct Guarded<T> {
    /// `None` only while it is dropped.
    pub(super) value: Option<T>,
    pub(super) health: Arc<Health>,
}

impl<T> Guarded<T> {
    pub(super) fn new(value: T, health: &Arc<Health>) -> Self {
        Guarded { value: Some(value), health: Arc::clone(health) }
    }

    pub(super) fn get(&self) -> Result<&T, CatalogError> {
        self.value.as_ref().ok_or(ContainerError::Poisoned.into())
    }

    pub(super) fn get_mut(&mut self) -> Result<&mut T, CatalogError> {
        self.value.as_mut().ok_or(ContainerError::Poisoned.into())
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
            self.health.set_broken();
        }
    }
}

/// Runs `work` on the database. A panic becomes an error, for ever, as damage that it finds does.
pub(super) fn guard<T>(
    health: &Health,
    work: impl FnOnce() -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    let damaged = |message: String| Err(CatalogError::Damaged { message });
    if health.broken.load(Ordering::Acquire) {
        return damaged("found earlier by this handle".to_owned());
    }
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        damaged(message.unwrap_or_else(|| "the database gave up".to_owned()))
    });
    if matches!(result, Err(CatalogError::Damaged { .. })) {
        health.set_broken();
    }
    result
}
