//! The catalogue with its changes kept in memory: checks and repairs that do not touch the file.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::backend::read_catalog;
use super::error::ContainerError;
use super::open::Container;

const PAGE_LEN: usize = 4096;

#[derive(Debug)]
struct Pages {
    len: u64,
    /// How much of the file still shows through; what was cut off comes back as zero.
    original_len: u64,
    changed: HashMap<u64, Box<[u8; PAGE_LEN]>>,
}

/// Reads the catalogue of a container that no writer can open, and keeps writes to itself.
#[derive(Debug)]
pub(crate) struct OverlayBackend {
    container: Arc<Container>,
    pages: Mutex<Pages>,
}

impl OverlayBackend {
    /// An overlay over `container`, opened with [`Container::open_view`].
    ///
    /// # Errors
    ///
    /// An empty catalogue: redb would silently make a new one (rule 1).
    pub(crate) fn new(container: Arc<Container>) -> Result<Self, ContainerError> {
        let len = container.catalog_len();
        if len == 0 {
            return Err(ContainerError::Truncated { expected: 1, found: 0 });
        }
        let pages = Mutex::new(Pages { len, original_len: len, changed: HashMap::new() });
        Ok(OverlayBackend { container, pages })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page of the file below the overlay; zero behind `original_len`.
    fn original(&self, page: u64, original_len: u64) -> io::Result<Box<[u8; PAGE_LEN]>> {
        let mut bytes = Box::new([0; PAGE_LEN]);
        let offset = page * PAGE_LEN as u64;
        let there = original_len.saturating_sub(offset).min(PAGE_LEN as u64);
        if let Some(part) = bytes.get_mut(..there as usize) {
            read_catalog(&self.container, offset, part)?;
        }
        Ok(bytes)
    }
}

/// The parts of `offset..offset + len` page by page: page, offset in it, length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let (page, inner) = (at / PAGE_LEN as u64, (at % PAGE_LEN as u64) as usize);
        let part = (PAGE_LEN - inner).min((end - at) as usize);
        at += part as u64;
        (part > 0).then_some((page, inner, part))
    })
}

impl StorageBackend for OverlayBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.pages().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pages = self.pages();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > pages.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (page, inner, len) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(len);
            rest = behind;
            let original;
            let bytes = match pages.changed.get(&page) {
                Some(bytes) => bytes,
                None => {
                    original = self.original(page, pages.original_len)?;
                    &original
                }
            };
            part.copy_from_slice(bytes.get(inner..inner + len).unwrap_or_default());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut pages = self.pages();
        pages.len = len;
        pages.original_len = pages.original_len.min(len);
        pages.changed.retain(|page, _| page * (PAGE_LEN as u64) < len);
        if let Some(cut) = pages.changed.get_mut(&(len / PAGE_LEN as u64)) {
            cut.iter_mut().skip((len % PAGE_LEN as u64) as usize).for_each(|byte| *byte = 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut pages = self.pages();
        let mut rest = data;
        for (page, inner, len) in parts(offset, data.len()) {
            let (part, behind) = rest.split_at(len);
            rest = behind;
            let original_len = pages.original_len;
            if let std::collections::hash_map::Entry::Vacant(entry) = pages.changed.entry(page) {
                entry.insert(self.original(page, original_len)?);
            }
            let target = pages.changed.get_mut(&page).and_then(|b| b.get_mut(inner..inner + len));
            if let Some(target) = target {
                target.copy_from_slice(part);
            }
        }
        Ok(())
    }
}
