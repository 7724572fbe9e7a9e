//! The body of an answer as it is sent: bytes that are there, or a file read piece by piece.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use mgit::full_message;
use mgit::hub::{FileReader, Piece, PieceCache, RequestError};
use mgit::store::StoreError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use super::access_log::{Entry, tell};

type Read = (Box<FileReader>, Result<Option<Piece>, StoreError>);

/// The body of an answer.
#[derive(Debug)]
pub struct Sent {
    source: Source,
    left: u64,
    entry: Entry,
    /// Its place among the downloads, where it is long.
    _place: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Source {
    Bytes(Bytes),
    File {
        /// The first piece, which is read before anything is sent.
        first: Option<Piece>,
        /// The next piece, which is read while the one before is sent.
        next: JoinHandle<Read>,
        cache: Arc<PieceCache>,
        what: String,
    },
}

fn read(mut reader: Box<FileReader>, cache: &Arc<PieceCache>) -> JoinHandle<Read> {
    let cache = Arc::clone(cache);
    spawn_blocking(move || {
        let piece = reader.next(&cache);
        (reader, piece)
    })
}

/// Bodies that need no place among the downloads.
const SHORT_LEN: usize = 16 << 10;

impl Sent {
    /// Bytes that are there.
    pub fn bytes(bytes: Bytes, place: Option<OwnedSemaphorePermit>, mut entry: Entry) -> Self {
        entry.is_whole = bytes.is_empty();
        let place = place.filter(|_| bytes.len() > SHORT_LEN);
        Sent { left: bytes.len() as u64, source: Source::Bytes(bytes), entry, _place: place }
    }

    /// A file, of which the first piece is read now; `what` it is for who reads why it failed.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn file(
        reader: Box<FileReader>,
        cache: &Arc<PieceCache>,
        (place, what): (OwnedSemaphorePermit, String),
        mut entry: Entry,
    ) -> Result<Self, (RequestError, Entry)> {
        let left = reader.left();
        let (reader, first) = match read(reader, cache).await {
            Ok((reader, Ok(first))) => (reader, first),
            Ok((_, Err(error))) => return Err((error.into(), entry)),
            Err(_) => return Err((RequestError::Unanswered, entry)),
        };
        entry.is_whole = left == 0;
        let next = read(reader, cache);
        let source = Source::File { first, next, cache: Arc::clone(cache), what };
        Ok(Sent { source, left, entry, _place: Some(place) })
    }

    /// What is said of it in the log.
    pub fn entry(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = match ready!(this.source.poll_bytes(cx)) {
            Ok(bytes) => bytes,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        this.left -= this.left.min(bytes.len() as u64);
        this.entry.sent += bytes.len() as u64;
        this.entry.is_whole = this.left == 0;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Source {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (first, next, cache, what) = match self {
            Source::Bytes(bytes) => return Poll::Ready(Ok(std::mem::take(bytes))),
            Source::File { first, next, cache, what } => (first, next, cache, what),
        };
        if let Some(piece) = first.take() {
            return Poll::Ready(Ok(Bytes::from_owner(piece)));
        }
        let why = match ready!(Pin::new(&mut *next).poll(cx)) {
            Ok((reader, Ok(Some(piece)))) => {
                if reader.left() > 0 {
                    *next = read(reader, cache);
                }
                return Poll::Ready(Ok(Bytes::from_owner(piece)));
            }
            Ok((_, Ok(None))) => "it ends too early".to_owned(),
            Ok((_, Err(error))) => full_message(&error),
            Err(error) => error.to_string(),
        };
        tell(what, &format!("cut off: {why}"));
        Poll::Ready(Err(io::Error::other(why)))
    }
}
