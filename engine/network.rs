//! A thread that talks to the network, behind calls that block.

use std::future::Future;
use std::io;
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};

/// A thread of its own for the network, so that calls may be made from anywhere, also from inside
/// of another runtime. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Network {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Network {
    /// Starts the thread.
    pub(crate) fn new() -> io::Result<Self> {
        let builder = &mut Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_name("mgit-remote").enable_all();
        Ok(Network { runtime: Some(builder.build()?) })
    }

    /// Runs `work` on the thread and waits for it.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let gone = || io::Error::other("the thread for the network is gone");
        let (done, answer) = mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        runtime.spawn(async move {
            // Whoever waited may have gone.
            let _ = done.send(work.await);
        });
        answer.recv().map_err(|_| gone())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropped in the usual way it would panic inside another program's runtime.
            runtime.shutdown_background();
        }
    }
}
