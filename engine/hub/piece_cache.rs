//! Decoded blocks that are kept for whoever asks next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;
use crate::tensor::ContentId;

/// Which block of which content.
type Key = (ContentId, u64);
/// A block, once somebody has decoded it. Whoever comes meanwhile waits for the lock.
type Cell = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

/// Decoded blocks of contents, shared by all downloads: the most recently used ones, up to a bound in
/// bytes. A block is decoded once, however many ask for it at the same time. Contents are known by
/// their identity, so that one cache serves several stores.
#[derive(Debug)]
pub struct PieceCache {
    bound: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    blocks: HashMap<Key, Block>,
    /// By when they were asked for last.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Block {
    cell: Cell,
    asked: u64,
    /// 0 until it is decoded.
    len: u64,
}

impl PieceCache {
    /// A cache of at most `bound` bytes. Blocks that are being decoded, and those that are being
    /// copied, are not counted.
    pub fn new(bound: u64) -> Self {
        PieceCache { bound, inner: Mutex::default() }
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> u64 {
        locked(&self.inner).bytes
    }

    /// A block: the one that is there, or what `decode` gives.
    pub(super) fn block(
        &self,
        key: Key,
        decode: impl FnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Arc<Vec<u8>>, StoreError> {
        let cell = locked(&self.inner).cell(key);
        let mut block = locked(&cell);
        if let Some(block) = &*block {
            return Ok(Arc::clone(block));
        }
        match decode() {
            Ok(bytes) => {
                let bytes = Arc::new(bytes);
                *block = Some(Arc::clone(&bytes));
                locked(&self.inner).decoded(key, bytes.len() as u64, self.bound);
                Ok(bytes)
            }
            Err(error) => {
                locked(&self.inner).forget(key);
                Err(error)
            }
        }
    }
}

impl Inner {
    /// The place of a block, which is now the one that was asked for last.
    fn cell(&mut self, key: Key) -> Cell {
        self.clock += 1;
        let asked = self.clock;
        let block = self.blocks.entry(key);
        let block = block.or_insert_with(|| Block { cell: Cell::default(), asked, len: 0 });
        self.order.remove(&block.asked);
        block.asked = asked;
        self.order.insert(asked, key);
        Arc::clone(&block.cell)
    }

    /// Counts a block, and forgets those that were asked for longest ago.
    fn decoded(&mut self, key: Key, len: u64, bound: u64) {
        if let Some(block) = self.blocks.get_mut(&key) {
            self.bytes = self.bytes - block.len + len;
            block.len = len;
        }
        while self.bytes > bound {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            self.forget(*oldest);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(block) = self.blocks.remove(&key) {
            self.order.remove(&block.asked);
            self.bytes -= block.len;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(at: u64) -> Key {
        (ContentId::of(b"content"), at)
    }

    #[test]
    fn the_oldest_goes_first() {
        let cache = PieceCache::new(25);
        for at in [0, 1, 0, 2] {
            assert_eq!(cache.block(key(at), || Ok(vec![at as u8; 10])).unwrap().len(), 10);
        }
        assert_eq!(cache.bytes(), 20);
        let is_there = |at| cache.block(key(at), || Err(StoreError::ReadOnly)).is_ok();
        assert!(is_there(0) && is_there(2) && !is_there(1));
        assert_eq!(cache.bytes(), 20);
    }

    #[test]
    fn nothing_is_kept_of_what_is_too_long_or_has_failed() {
        let cache = PieceCache::new(5);
        assert!(cache.block(key(0), || Err(StoreError::ReadOnly)).is_err());
        assert_eq!(cache.block(key(0), || Ok(vec![1; 10])).unwrap().len(), 10);
        assert_eq!((cache.bytes(), locked(&cache.inner).blocks.len()), (0, 0));
    }

    #[test]
    fn a_block_is_decoded_once() {
        let cache = PieceCache::new(1000);
        let decoded = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let block = cache.block(key(0), || {
                        decoded.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        std::thread::yield_now();
                        Ok(vec![7; 100])
                    });
                    assert_eq!(*block.unwrap(), [7; 100]);
                });
            }
        });
        assert_eq!(decoded.into_inner(), 1);
    }
}
