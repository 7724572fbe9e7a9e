//! A remote in an object store: S3 and what speaks its language, GCS, Azure, a static host.

use std::future::Future;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutPayload, WriteMultipart,
    parse_url_opts,
};
use url::Url;

use super::Remote;
use crate::network::Network;
use crate::shutdown::{critical, note_written};

/// A longer file is sent in parts.
const PUT_WHOLE_MAX: u64 = 16 << 20;
/// No service takes more parts than 10,000.
const PARTS_MAX: u64 = 9_000;
/// Parts under way at a time.
const PARTS_AT_A_TIME: usize = 4;

/// A remote in an object store. Calls block, on a thread of its own that talks to the network, so
/// that they may be made from anywhere.
#[derive(Debug)]
pub struct ObjectRemote {
    store: Arc<dyn ObjectStore>,
    root: Path,
    place: String,
    can_list: bool,
    network: Network,
}

/// The same kind of error for a few of the many that services give.
fn io_error(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            ErrorKind::PermissionDenied
        }
        Error::NotImplemented { .. } | Error::NotSupported { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl ObjectRemote {
    /// Opens the remote at an address: `s3://bucket/path`, `gs://bucket/path`,
    /// `az://container/path`, or `https://host/path` of a static host, which can only be read.
    /// Credentials and settings are those of the environment: variables that begin with `AWS_`,
    /// `GOOGLE_` or `AZURE_`.
    ///
    /// # Errors
    ///
    /// An address that is none, or settings that contradict each other.
    pub fn open(address: &str) -> io::Result<Self> {
        let bad = |error: &dyn std::fmt::Display| {
            io::Error::new(ErrorKind::InvalidInput, error.to_string())
        };
        let url = Url::parse(address).map_err(|error| bad(&error))?;
        let (scheme, _) = ObjectStoreScheme::parse(&url).map_err(|error| bad(&error))?;
        let settings = std::env::vars_os().filter_map(|(key, value)| {
            let key = key.into_string().ok()?;
            let ours = ["AWS_", "GOOGLE_", "AZURE_"];
            ours.iter()
                .any(|prefix| key.starts_with(prefix))
                .then_some((key.to_ascii_lowercase(), value.into_string().ok()?))
        });
        // Who writes http means it; what comes is checked in any case.
        let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
        let settings = settings.chain(plain);
        let (store, root) = parse_url_opts(&url, settings).map_err(|error| bad(&error))?;
        let can_list = !matches!(scheme, ObjectStoreScheme::Http);
        let mut remote = Self::on(Arc::from(store), root, address)?;
        remote.can_list = can_list;
        Ok(remote)
    }

    /// A remote on a store that a program has opened itself, at `root` in it. `place` is for
    /// messages.
    ///
    /// # Errors
    ///
    /// No thread can be had.
    pub fn on(
        store: Arc<dyn ObjectStore>,
        root: Path,
        place: impl Into<String>,
    ) -> io::Result<Self> {
        let place = place.into();
        Ok(ObjectRemote { store, root, place, can_list: true, network: Network::new()? })
    }

    fn at(&self, path: &str) -> Path {
        path.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Runs `work` on the remote's own thread and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.network.wait(work)
    }

    /// Remembers a file that is there now.
    fn note(&self, path: &str) {
        note_written(std::path::Path::new(&format!("{}/{path}", self.place)));
    }

    fn put_parts(&self, path: Path, len: u64, content: &mut dyn Read) -> io::Result<()> {
        let part_len = PUT_WHOLE_MAX.max(len.div_ceil(PARTS_MAX));
        let store = Arc::clone(&self.store);
        let upload = self.wait(async move { store.put_multipart(&path).await })?;
        let upload = upload.map_err(io_error)?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, part_len as usize);
        let mut left = len;
        while left > 0 {
            let part = match read_part(content, part_len.min(left)) {
                Ok(part) => part,
                Err(error) => {
                    // The answer to that would hide the reason.
                    let _ = self.wait(writer.abort());
                    return Err(error);
                }
            };
            left -= part.len() as u64;
            let (back, written) = self.wait(async move {
                let mut writer = writer;
                let ready = writer.wait_for_capacity(PARTS_AT_A_TIME).await;
                writer.put(part.into());
                (writer, ready)
            })?;
            writer = back;
            if let Err(error) = written {
                let _ = self.wait(writer.abort());
                return Err(io_error(error));
            }
        }
        self.wait(writer.finish())?.map_err(io_error).map(drop)
    }
}

/// The next `len` bytes.
fn read_part(content: &mut dyn Read, len: u64) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    part.try_reserve_exact(len as usize).map_err(|_| ErrorKind::OutOfMemory)?;
    content.take(len).read_to_end(&mut part)?;
    match part.len() as u64 {
        found if found == len => Ok(part),
        found => Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{found} of {len}"))),
    }
}

impl Remote for ObjectRemote {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn get(&self, path: &str, len_max: u64) -> io::Result<Option<Vec<u8>>> {
        let (store, path) = (Arc::clone(&self.store), self.at(path));
        let found = self.wait(async move {
            let found = store.get(&path).await?;
            match found.meta.size > len_max {
                true => Ok(Err(found.meta.size)),
                false => found.bytes().await.map(Ok),
            }
        })?;
        match found {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(io_error(error)),
            Ok(Ok(bytes)) if bytes.len() as u64 <= len_max => Ok(Some(bytes.into())),
            Ok(_) => Err(io::Error::new(ErrorKind::InvalidData, "longer than it may be")),
        }
    }

    fn get_range(&self, path: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let (store, path) = (Arc::clone(&self.store), self.at(path));
        let end = offset.saturating_add(out.len() as u64);
        let found = self.wait(async move { store.get_range(&path, offset..end).await })?;
        let bytes = found.map_err(io_error)?;
        if bytes.len() != out.len() {
            let message = format!("{} bytes of {}", bytes.len(), out.len());
            return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }

    fn put(&self, path: &str, len: u64, content: &mut dyn Read) -> io::Result<()> {
        let written = || self.note(path);
        let path = self.at(path);
        if len > PUT_WHOLE_MAX {
            return self.put_parts(path, len, content).map(|()| written());
        }
        let payload = PutPayload::from(read_part(content, len)?);
        let store = Arc::clone(&self.store);
        self.wait(async move { store.put(&path, payload).await })?.map_err(io_error)?;
        written();
        Ok(())
    }

    fn put_new(&self, path: &str, content: &[u8]) -> io::Result<bool> {
        let written = || self.note(path);
        let (store, path) = (Arc::clone(&self.store), self.at(path));
        let payload = PutPayload::from(content.to_vec());
        let mode = PutMode::Create.into();
        // What a push is decided by: an interruption waits for the answer.
        critical(|| match self.wait(async move { store.put_opts(&path, payload, mode).await })? {
            Ok(_) => {
                written();
                Ok(true)
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(io_error(error)),
        })
    }

    fn list(&self, folder: &str) -> io::Result<Option<Vec<(String, u64)>>> {
        if !self.can_list {
            return Ok(None);
        }
        let (store, path) = (Arc::clone(&self.store), self.at(folder));
        let listed = self.wait(async move { store.list_with_delimiter(Some(&path)).await })?;
        let objects = listed.map_err(io_error)?.objects;
        let file = |object: object_store::ObjectMeta| {
            Some((object.location.filename()?.to_owned(), object.size))
        };
        Ok(Some(objects.into_iter().filter_map(file).collect()))
    }
}
