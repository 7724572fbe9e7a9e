//! Calling the engine from Python, and Python from the engine.
//!
//! A long call runs on a thread of its own. The thread that called waits for it without the
//! interpreter, and meanwhile looks for signals (so that Ctrl-C ends an import), tells the
//! caller's function of the progress, and runs what the engine asks of Python: tests, gates,
//! creation functions. These so run where their author expects, on one thread, with its settings
//! and its signals.
//!
//! A call ends early by unwinding out of the engine's report of progress: all that it has begun is
//! dropped on the way, and a transaction that is dropped has done nothing.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

use crate::{error, pool};

/// How often signals are looked for, and progress is told.
const TICK: Duration = Duration::from_millis(50);

/// Runs work of the engine that takes a moment, the interpreter free meanwhile.
pub(crate) fn short<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> mgit::Result<T> + Send,
) -> PyResult<T> {
    py.detach(|| pool::install(work)).map_err(|error| error::raised(py, error))
}

/// What ends a call that is unwound.
struct Cancelled;

/// What is said to the thread that called the engine.
enum Message {
    /// This is to be run.
    Ask(Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>),
    /// The work has ended.
    Ended,
}

/// A long call, as the engine's side of it sees it.
pub(crate) struct Call {
    done: AtomicU64,
    is_cancelled: AtomicBool,
    messages: Sender<Message>,
}

impl Call {
    /// Notes that so many bytes are done; unwinds where the call is to end.
    pub(crate) fn progress(&self, bytes: u64) {
        if self.is_cancelled() {
            resume_unwind(Box::new(Cancelled));
        }
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the call is to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Set when the call is to end.
    pub(crate) fn cancel_flag(&self) -> &AtomicBool {
        &self.is_cancelled
    }

    /// Runs `ask` on the thread that called, and returns what it gives; none where the call is to
    /// end. An exception that stops the program (`KeyboardInterrupt`, `SystemExit`) ends the call.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Python<'_>) -> PyResult<T> + Send + 'static,
    ) -> Option<PyResult<T>> {
        let (answer, answered) = channel();
        let ask = move |py: Python<'_>| match ask(py) {
            Err(error) if error::stops(py, &error) => Err(error),
            result => {
                // Whoever asked waits for it.
                let _ = answer.send(result);
                Ok(())
            }
        };
        if self.is_cancelled() {
            return None;
        }
        self.messages.send(Message::Ask(Box::new(ask))).ok()?;
        answered.recv().ok()
    }
}

/// Says that the work has ended, however it has.
struct Ending<'c>(&'c Call);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let _ = self.0.messages.send(Message::Ended);
    }
}

/// Runs long work of the engine, and serves it meanwhile. `progress` is a function of Python that is
/// told how many bytes were done since it was told last.
pub(crate) fn long<T: Send>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Arc<Call>) -> mgit::Result<T> + Send,
) -> PyResult<T> {
    let (messages, said) = channel();
    let (done, is_cancelled) = (AtomicU64::new(0), AtomicBool::new(false));
    let call = Arc::new(Call { done, is_cancelled, messages });
    let mut server = Server {
        call: &call,
        progress: progress.map(|progress| progress.clone().unbind()),
        told: 0,
        raised: None,
    };
    let outcome = py.detach(|| {
        thread::scope(|scope| {
            let call = &call;
            let worker =
                thread::Builder::new().name("mgit".to_owned()).spawn_scoped(scope, move || {
                    let _ending = Ending(call);
                    pool::install(|| work(call))
                });
            match worker {
                Ok(worker) => {
                    server.serve(said);
                    worker.join()
                }
                Err(error) => Ok(Err(error.into())),
            }
        })
    });
    if let Some(raised) = server.raised {
        return Err(raised);
    }
    match outcome {
        Ok(result) => result.map_err(|error| error::raised(py, error)),
        // A fault of the engine: pyo3 makes an exception of it.
        Err(panic) => resume_unwind(panic),
    }
}

/// The side of the thread that called.
struct Server<'c> {
    call: &'c Call,
    progress: Option<Py<PyAny>>,
    /// Bytes that the function of the progress was told of.
    told: u64,
    /// The exception that ends the call.
    raised: Option<PyErr>,
}

impl Server<'_> {
    /// Serves until the work has ended.
    fn serve(&mut self, said: Receiver<Message>) {
        loop {
            let result = match said.recv_timeout(TICK) {
                // Dropped where the call is to end: whoever asked gets no answer.
                Ok(Message::Ask(_)) if self.raised.is_some() => Ok(()),
                Ok(Message::Ask(ask)) => Python::attach(ask),
                Err(RecvTimeoutError::Timeout) => Python::attach(|py| self.look_up(py)),
                Ok(Message::Ended) | Err(RecvTimeoutError::Disconnected) => break,
            };
            self.note(result);
        }
        if self.raised.is_none() && self.progress.is_some() {
            let result = Python::attach(|py| self.tell(py));
            self.note(result);
        }
    }

    fn note(&mut self, result: PyResult<()>) {
        if let Err(error) = result {
            self.call.is_cancelled.store(true, Ordering::Relaxed);
            self.raised.get_or_insert(error);
        }
    }

    /// Looks for signals, and tells the progress.
    fn look_up(&mut self, py: Python<'_>) -> PyResult<()> {
        py.check_signals()?;
        if self.raised.is_some() { Ok(()) } else { self.tell(py) }
    }

    fn tell(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some(progress) = &self.progress else { return Ok(()) };
        let done = self.call.done.load(Ordering::Relaxed);
        if done > self.told {
            progress.call1(py, (done - self.told,))?;
            self.told = done;
        }
        Ok(())
    }
}
