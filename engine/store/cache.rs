//! Reconstructed tensors that are kept for whoever asks next.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::tensor::{AlignedBuffer, ContentId};

/// Bytes that a store keeps unless it is told otherwise.
pub(in crate::store) const CACHE_BYTES: u64 = 32 << 20;

/// What is known of a content's buffer.
#[derive(Debug)]
struct Known {
    buffer: Weak<AlignedBuffer>,
    /// When it was last asked for, if it is kept.
    kept: Option<u64>,
}

/// Buffers by content. The most recently used are kept, up to the bound in bytes; others are known
/// as long as somebody uses them.
#[derive(Debug)]
pub(in crate::store) struct Cache {
    known: HashMap<ContentId, Known>,
    kept: BTreeMap<u64, (ContentId, Arc<AlignedBuffer>)>,
    kept_bytes: u64,
    bound: u64,
    clock: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            known: HashMap::new(),
            kept: BTreeMap::new(),
            kept_bytes: 0,
            bound: CACHE_BYTES,
            clock: 0,
        }
    }
}

fn len(buffer: &AlignedBuffer) -> u64 {
    buffer.as_bytes().len() as u64
}

impl Cache {
    /// The buffer of a content, if there is one.
    pub(in crate::store) fn get(&mut self, id: ContentId) -> Option<Arc<AlignedBuffer>> {
        let buffer = self.known.get(&id)?.buffer.upgrade()?;
        self.keep(id, &buffer);
        Some(buffer)
    }

    /// Remembers a buffer; returns the one to use, which may be an older one.
    pub(in crate::store) fn put(
        &mut self,
        id: ContentId,
        buffer: AlignedBuffer,
    ) -> Arc<AlignedBuffer> {
        if let Some(known) = self.get(id) {
            return known;
        }
        if self.known.len() >= 64 + 2 * self.kept.len() {
            self.known.retain(|_, known| known.buffer.strong_count() > 0);
        }
        let buffer = Arc::new(buffer);
        self.known.insert(id, Known { buffer: Arc::downgrade(&buffer), kept: None });
        self.keep(id, &buffer);
        buffer
    }

    /// Keeps a buffer as the one that was asked for last.
    fn keep(&mut self, id: ContentId, buffer: &Arc<AlignedBuffer>) {
        let Some(known) = self.known.get_mut(&id) else { return };
        if len(buffer) > self.bound {
            return;
        }
        self.clock += 1;
        match known.kept.replace(self.clock) {
            Some(before) => _ = self.kept.remove(&before),
            None => self.kept_bytes += len(buffer),
        }
        self.kept.insert(self.clock, (id, Arc::clone(buffer)));
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.kept_bytes > self.bound
            && let Some((_, (id, buffer))) = self.kept.pop_first()
        {
            self.kept_bytes -= len(&buffer);
            if let Some(known) = self.known.get_mut(&id) {
                known.kept = None;
            }
        }
    }

    /// Sets how many bytes are kept.
    pub(in crate::store) fn set_bound(&mut self, bound: u64) {
        self.bound = bound;
        self.shrink();
    }

    /// How many bytes are kept.
    pub(in crate::store) fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn buffer(len: usize) -> AlignedBuffer {
        AlignedBuffer::zeroed(len).unwrap()
    }

    #[test]
    fn what_was_asked_for_last_is_kept_within_the_bound() {
        let ids: Vec<ContentId> = (0..4u8).map(|at| ContentId::of(&[at])).collect();
        let mut cache = Cache::default();
        cache.set_bound(250);
        for id in &ids[..2] {
            cache.put(*id, buffer(100));
        }
        assert!(cache.get(ids[0]).is_some());
        cache.put(ids[2], buffer(100));
        assert_eq!(cache.kept_bytes(), 200);
        assert!(cache.get(ids[1]).is_none(), "the one that was not asked for is gone");
        assert!(cache.get(ids[0]).is_some() && cache.get(ids[2]).is_some());

        // What is too long, or pushed out, is shared while somebody looks at it.
        let long = cache.put(ids[3], buffer(251));
        assert!(Arc::ptr_eq(&long, &cache.put(ids[3], buffer(251))));
        let seen = cache.get(ids[0]).unwrap();
        cache.set_bound(0);
        assert_eq!(cache.kept_bytes(), 0);
        assert!(Arc::ptr_eq(&seen, &cache.get(ids[0]).unwrap()));
        drop((long, seen));
        assert!(ids.iter().all(|id| cache.get(*id).is_none()));
    }
}
