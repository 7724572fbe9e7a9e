//! Promise: where the medium cannot read a block, `verify` reports the models that it hurts and
//! goes on; it asks the disk, and never touches the map, where such a block is a signal.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{add, add_one, model, new_store, nudged, one, weights};
use mgit::Store;
use mgit::container::{Disk, FileDisk, LockSpace, Mapping};
use mgit::upkeep::{VerifyDepth, dump, verify};

/// A disk that cannot read one range, once it is told so. To touch the range's map is a failure
/// of the test.
#[derive(Debug)]
struct BadBlocks {
    inner: FileDisk,
    bad: Range<u64>,
    armed: Arc<AtomicBool>,
}

#[derive(Debug)]
struct BadMapping {
    inner: Arc<dyn Mapping>,
    bad: Range<u64>,
    armed: Arc<AtomicBool>,
}

fn meet(bad: &Range<u64>, offset: u64, len: u64) -> bool {
    offset < bad.end && bad.start < offset + len
}

impl Mapping for BadMapping {
    unsafe fn bytes(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let touched = self.armed.load(Ordering::SeqCst) && meet(&self.bad, offset, len);
        assert!(!touched, "the map was touched where it is a signal");
        // SAFETY: the caller has the same duty.
        unsafe { self.inner.bytes(offset, len) }
    }
}

impl Disk for BadBlocks {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.armed.load(Ordering::SeqCst) && meet(&self.bad, offset, out.len() as u64) {
            // EIO.
            return Err(io::Error::from_raw_os_error(5));
        }
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, data)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn map(&self) -> io::Result<Arc<dyn Mapping>> {
        let (bad, armed) = (self.bad.clone(), Arc::clone(&self.armed));
        Ok(Arc::new(BadMapping { inner: self.inner.map()?, bad, armed }))
    }

    fn locks(&self) -> io::Result<Box<dyn LockSpace>> {
        self.inner.locks()
    }
}

#[test]
fn an_unreadable_block_is_a_finding_and_never_a_signal() {
    let (_folder, path, store) = new_store();
    let base = weights(1, 300_000);
    add(&store, model("base", &[], &one(base.clone()))).unwrap();
    add(&store, model("child", &["base"], &one(nudged(&base, 2, 5000)))).unwrap();
    add_one(&store, "other", &[], &weights(3, 1000)).unwrap();
    // Closing it may move records.
    drop(store);
    let store = Store::open_read_only(&path).unwrap();
    let records = dump(&store, &store.snapshot().unwrap()).unwrap().records;
    drop(store);
    // The header, the second chunk's bytes, and the last byte of every record.
    let mut seen = [0; 3];
    for record in &records {
        let header = record.header.as_ref().unwrap();
        let end = record.offset + record.row_len;
        let second = record.offset + u64::from(header.payload_offset) + (1 << 20);
        for bad in [record.offset, second, end - 1] {
            if bad >= end {
                continue;
            }
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let armed = Arc::new(AtomicBool::new(false));
            let disk = BadBlocks {
                inner: FileDisk::new(file),
                bad: bad..bad + 1,
                armed: Arc::clone(&armed),
            };
            let store = Store::open_on(Arc::new(disk), &path).unwrap();
            armed.store(true, Ordering::SeqCst);
            for depth in [VerifyDepth::Quick, VerifyDepth::Full] {
                let report = verify(&store, &store.snapshot().unwrap(), depth, &|_| ()).unwrap();
                let finding = report.findings.first().expect("a finding");
                assert_eq!(finding.offset, Some(record.offset), "{report:#?}");
                assert!(finding.message.contains("Input/output error"), "{finding:?}");
                assert_eq!(report.hurt_models.len() + report.whole_models.len(), 3);
                seen[report.hurt_models.len().min(2)] += 1;
            }
            dump(&store, &store.snapshot().unwrap()).unwrap();
            armed.store(false, Ordering::SeqCst);
        }
    }
    // Change records hurt no model, others one, a base two.
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
