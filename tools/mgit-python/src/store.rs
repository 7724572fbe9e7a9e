//! An open store.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mgit::OpenOptions;
use mgit::error::{ContainerError, StoreError};
use mgit::upkeep::{VerifyDepth, stat, verify};
use pyo3::prelude::*;

use crate::call::{long, short};
use crate::convert::to_python;
use crate::error::{bad_value, closed, raised};
use crate::owned::Owned;
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// How long a writer waits before it tries again, at most.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// An open store. It is open until `close`; what was read through it stays readable.
#[pyclass(frozen, module = "mgit_store._engine")]
pub(crate) struct Store {
    path: PathBuf,
    opened: Mutex<Option<Owned<mgit::Store>>>,
}

impl Store {
    fn new(path: PathBuf, store: mgit::Store) -> Self {
        Store { path, opened: Mutex::new(Some(Owned::new(store))) }
    }

    /// A handle of the store, while it is open.
    pub(crate) fn get(&self) -> PyResult<mgit::Store> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().ok_or_else(|| closed("store"))?.get().cloned()
    }
}

/// Whether another writer has its turn.
fn is_busy(error: &StoreError) -> bool {
    match error {
        StoreError::Busy { .. } => true,
        StoreError::Container(error) => matches!(error, ContainerError::Locked { .. }),
        _ => false,
    }
}

#[pymethods]
impl Store {
    /// Makes a new store, and closes it.
    #[staticmethod]
    fn create(py: Python<'_>, path: PathBuf) -> PyResult<()> {
        short(py, || {
            drop(mgit::Store::create(path)?);
            Ok(())
        })
    }

    /// Opens a store. With `exclusive`, other writers are kept out as long as it is open, rather
    /// than by each transaction.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, write: bool, exclusive: bool) -> PyResult<Self> {
        let at = path.clone();
        let store = short(py, move || {
            let options = OpenOptions::new().lock_per_transaction(!exclusive);
            Ok(if write { options.open(&at)? } else { options.open_read_only(&at)? })
        })?;
        Ok(Store::new(path, store))
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Closes the store. Snapshots and what was taken from them stay readable.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(opened));
        Ok(())
    }

    fn snapshot(&self, py: Python<'_>) -> PyResult<Snapshot> {
        let store = self.get()?;
        Ok(Snapshot::new(short(py, || Ok(store.snapshot()?))?))
    }

    /// Begins a transaction. Waits for other writers, in this process and in others, as many
    /// seconds as `wait` says; without a number, as long as it takes.
    #[pyo3(signature = (wait))]
    fn begin(&self, py: Python<'_>, wait: Option<f64>) -> PyResult<Transaction> {
        let store = self.get()?;
        let limit = wait.map(Duration::try_from_secs_f64).transpose();
        let limit = limit.map_err(|_| bad_value("wait is a number of seconds, not below 0"))?;
        let (begun, mut pause) = (Instant::now(), Duration::from_millis(1));
        loop {
            // Not through `short`: whose turn it is, is asked of the thread that calls.
            match py.detach(|| store.try_begin_write()) {
                Ok(transaction) => return Ok(Transaction::new(transaction)),
                Err(error) if is_busy(&error) => {
                    let left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
                    if left.is_some_and(|left| left.is_zero()) {
                        return Err(raised(py, error));
                    }
                    py.check_signals()?;
                    py.detach(|| std::thread::sleep(left.unwrap_or(pause).min(pause)));
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(raised(py, error)),
            }
        }
    }

    /// What the store says of itself: a dict.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = self.get()?;
        let info = short(py, || Ok(store.info()?))?;
        to_python(py, &info)
    }

    /// What it holds: a dict of numbers and sizes.
    fn stat<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = self.get()?;
        let stat = long(py, None, |_| Ok(stat(&store, &store.snapshot()?)?))?;
        to_python(py, &stat)
    }

    /// Bounds the memory for reconstructed tensors that are kept for the next reader.
    fn set_cache_bytes(&self, bytes: u64) -> PyResult<()> {
        self.get()?.set_cache_bytes(bytes);
        Ok(())
    }

    /// Looks for damage: a dict.
    #[pyo3(signature = (depth, progress))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        depth: &str,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let depth = match depth {
            "quick" => VerifyDepth::Quick,
            "full" => VerifyDepth::Full,
            _ => return Err(bad_value(format!("depth is \"quick\" or \"full\", not {depth:?}"))),
        };
        let store = self.get()?;
        let report = long(py, progress, |call| {
            Ok(verify(&store, &store.snapshot()?, depth, &|bytes| call.progress(bytes))?)
        })?;
        to_python(py, &report)
    }
}
