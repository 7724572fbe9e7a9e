//! A connection that is given up when its client takes too little of what it asked for.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A connection whose writes fail when less than `least` bytes leave in `pace` while there is more to
/// send.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    pace: Duration,
    least: u64,
    /// When what has left is looked at, while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
    left: u64,
}

impl Patient {
    /// A connection that was just accepted.
    pub fn new(stream: TcpStream, pace: Duration, least: u64) -> Self {
        Patient { stream, pace, least, deadline: None, left: 0 }
    }

    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Ok(count)) => self.left += count as u64,
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let pace = self.pace;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(pace)));
                while deadline.as_mut().poll(cx).is_ready() {
                    if std::mem::take(&mut self.left) < self.least {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    deadline.as_mut().reset(Instant::now() + pace);
                }
            }
        }
        wrote
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, out)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.judge(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An answer is out: the next one is judged anew.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            (self.deadline, self.left) = (None, 0);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
