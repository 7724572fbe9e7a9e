//! What a power cut may leave of a recording.

use std::collections::HashSet;
use std::sync::Arc;

use mgit::format::{Extent, SUPERBLOCK_LEN, Superblock};

use super::disk::{Entry, Mark, Recording};
use super::plain::PlainStore;
use crate::common::Random;

/// Written whole or not at all.
const SECTOR: u64 = 512;
/// What a file system gives to a file at a time.
const BLOCK: u64 = 4096;

/// Does to `bytes` what the entry did to the file.
pub fn apply(entry: &Entry, bytes: &mut Vec<u8>) {
    match entry {
        Entry::Write { offset, data } => {
            let end = *offset as usize + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[end - data.len()..end].copy_from_slice(data);
        }
        Entry::SetLen(len) => bytes.resize(*len as usize, 0),
        Entry::Punch { offset, len } => {
            let there = bytes.iter_mut().skip(*offset as usize).take(*len as usize);
            there.for_each(|byte| *byte = 0);
        }
        Entry::Sync { .. } | Entry::Mark(_) => {}
    }
}

/// What is left after a cut, and how it came to be.
#[derive(Clone, Debug)]
pub struct Image {
    /// The file.
    pub bytes: Vec<u8>,
    /// What was kept, in words.
    pub how: String,
    /// The newest superblock names more than the file has.
    pub is_short: bool,
}

/// A medium while a recording runs over it.
#[derive(Debug)]
pub struct Medium<'r> {
    recording: &'r Recording,
    at: usize,
    durable: Vec<u8>,
    /// Entries that no sync has covered.
    unsynced: Vec<usize>,
    /// Blocks that the medium has been given for the file: behind a lost write to another one may
    /// lie anything.
    allocated: HashSet<u64>,
    /// The states that a store may show after a cut here. Empty: it has no name yet.
    allowed: Vec<Arc<PlainStore>>,
    /// How many promised states may be lost: a broken rule promises less.
    unsure: usize,
}

/// What becomes of an unsynced entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Torn,
}

impl<'r> Medium<'r> {
    /// The medium before the first entry.
    pub fn new(recording: &'r Recording) -> Self {
        let blocks = (recording.start.len() as u64).div_ceil(BLOCK);
        Medium {
            recording,
            at: 0,
            durable: recording.start.clone(),
            unsynced: Vec::new(),
            allocated: (0..blocks).collect(),
            allowed: Vec::new(),
            unsure: 0,
        }
    }

    /// One that shows one of these states already.
    pub fn showing(self, states: &[Arc<PlainStore>]) -> Self {
        Medium { allowed: states.to_vec(), ..self }
    }

    /// Lets the last promised state be lost.
    pub fn unsure(self) -> Self {
        Medium { unsure: 1, ..self }
    }

    /// What a sync has brought to the medium.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// The states that a store may show after a cut here; empty while it has no name.
    pub fn allowed(&self) -> &[Arc<PlainStore>] {
        &self.allowed
    }

    /// Goes on to where the first `to` entries are done.
    pub fn advance(&mut self, to: usize) {
        let recording = self.recording;
        for (at, entry) in recording.entries.iter().enumerate().take(to).skip(self.at) {
            match entry {
                Entry::Write { .. } | Entry::SetLen(_) | Entry::Punch { .. } => {
                    self.unsynced.push(at);
                }
                Entry::Sync { left, lost } => {
                    for at in std::mem::take(&mut self.unsynced) {
                        if left.contains(&at) {
                            self.unsynced.push(at);
                        } else if !lost.contains(&at) {
                            self.settle(&recording.entries[at]);
                        }
                    }
                }
                Entry::Mark(mark) => self.say(mark),
            }
        }
        self.at = to;
    }

    fn settle(&mut self, entry: &Entry) {
        apply(entry, &mut self.durable);
        if let Entry::Write { offset, data } = entry {
            let end = offset + data.len() as u64;
            self.allocated.extend(offset / BLOCK..end.div_ceil(BLOCK));
        }
    }

    fn say(&mut self, mark: &Mark) {
        match mark {
            Mark::Visible(state) => self.allowed = vec![Arc::clone(state)],
            Mark::Trying(state) => self.allowed.push(Arc::clone(state)),
            Mark::Promised => {
                let kept = self.allowed.len().min(1 + self.unsure);
                self.allowed.drain(..self.allowed.len() - kept);
            }
            Mark::Found(state) => {
                self.allowed.truncate(1);
                self.allowed.push(Arc::clone(state));
            }
        }
    }

    /// What the power leaves if it goes here.
    pub fn cut(&self, random: &mut Random) -> Image {
        let count = self.unsynced.len();
        let some = |random: &mut Random| random.below(count.max(1));
        let (name, fates): (_, Vec<Fate>) = match random.below(8) {
            0 => ("all", vec![Fate::Kept; count]),
            1 | 2 => {
                let kept = random.below(count + 1);
                let torn = random.below(2) == 0;
                let fate = |at: usize| match at.cmp(&kept) {
                    std::cmp::Ordering::Less => Fate::Kept,
                    std::cmp::Ordering::Equal if torn => Fate::Torn,
                    _ => Fate::Lost,
                };
                ("prefix", (0..count).map(fate).collect())
            }
            3 => {
                let lost = some(random);
                let fate = if random.below(2) == 0 { Fate::Lost } else { Fate::Torn };
                let one = |at| if at == lost { fate } else { Fate::Kept };
                ("all but one", (0..count).map(one).collect())
            }
            4 => {
                let kept = some(random);
                let one = |at| if at == kept { Fate::Kept } else { Fate::Lost };
                ("one", (0..count).map(one).collect())
            }
            5 | 6 => {
                let of_ten = [2, 5, 8][random.below(3)];
                let fate = |_| if random.below(10) < of_ten { Fate::Kept } else { Fate::Lost };
                ("subset", (0..count).map(fate).collect())
            }
            _ => {
                let fate = |_| [Fate::Kept, Fate::Lost, Fate::Torn, Fate::Torn][random.below(4)];
                ("torn subset", (0..count).map(fate).collect())
            }
        };
        let mut bytes = self.durable.clone();
        let mut lost = Vec::new();
        let mut kept = HashSet::new();
        for (at, fate) in self.unsynced.iter().zip(&fates) {
            let entry = &self.recording.entries[*at];
            match (entry, fate) {
                (_, Fate::Kept) => {
                    apply(entry, &mut bytes);
                    if let Entry::Write { offset, data } = entry {
                        let end = offset + data.len() as u64;
                        kept.extend(offset / SECTOR..end.div_ceil(SECTOR));
                    }
                }
                (Entry::Write { offset, data }, Fate::Torn) => {
                    for (sector, part) in sectors(*offset, data) {
                        if random.below(2) == 0 {
                            apply(&part, &mut bytes);
                            kept.insert(sector);
                        } else {
                            lost.push(sector);
                        }
                    }
                }
                (Entry::Write { offset, data }, Fate::Lost) => {
                    let end = offset + data.len() as u64;
                    lost.extend(offset / SECTOR..end.div_ceil(SECTOR));
                }
                _ => {}
            }
        }
        let mut how = format!("{name} of {count} unsynced");
        if random.below(4) == 0 {
            self.any_length(&mut bytes, random);
            how += &format!(", {} bytes long", bytes.len());
        }
        if random.below(3) == 0 {
            lost.retain(|sector| {
                !kept.contains(sector) && !self.allocated.contains(&(sector * SECTOR / BLOCK))
            });
            self.leave_garbage(&lost, &mut bytes, random);
            how += &format!(", {} sectors of garbage", lost.len());
        }
        let slots = bytes.chunks(SUPERBLOCK_LEN).take(2);
        let newest = slots.filter_map(|slot| Superblock::decode(slot).ok());
        let newest = newest.max_by_key(|superblock| superblock.generation);
        let ends = newest.iter().flat_map(|superblock| &superblock.extents).map(Extent::end);
        let is_short = ends.max().is_some_and(|end| end > bytes.len() as u64);
        Image { bytes, how, is_short }
    }

    /// A length that the file may have kept: as it was, or as any of the unsynced entries made it,
    /// or in between.
    fn any_length(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let mut lens = vec![self.durable.len() as u64];
        for at in &self.unsynced {
            match &self.recording.entries[*at] {
                Entry::Write { offset, data } => lens.push(offset + data.len() as u64),
                Entry::SetLen(len) => lens.push(*len),
                _ => {}
            }
        }
        lens.retain(|len| *len >= self.durable.len() as u64);
        let Some(mut len) = lens.get(random.below(lens.len().max(1))).copied() else { return };
        if random.below(3) == 0 {
            let least = self.durable.len() as u64;
            len = least + random.below((len - least) as usize + 1) as u64;
        }
        bytes.resize(len as usize, 0);
    }

    /// Fills new sectors that were not written with what a medium may have had there.
    fn leave_garbage(&self, lost: &[u64], bytes: &mut [u8], random: &mut Random) {
        let kind = if bytes.len() < 512 { 2 } else { random.below(3) };
        let original = if kind == 0 { bytes.to_vec() } else { Vec::new() };
        for sector in lost {
            let from = (sector * SECTOR) as usize;
            let to = (from + SECTOR as usize).min(bytes.len());
            let Some(out) = bytes.get_mut(from..to) else { continue };
            match kind {
                // Another place of the same file: pages and records that were right once.
                0 => {
                    let source = random.below(original.len() / 512) * 512;
                    let stale = &original[source..(source + out.len()).min(original.len())];
                    out[..stale.len()].copy_from_slice(stale);
                }
                1 => out.fill(0xff),
                _ => out.iter_mut().for_each(|byte| *byte = random.next() as u8),
            }
        }
    }
}

/// A write in pieces that reach the medium whole or not at all.
fn sectors(offset: u64, data: &[u8]) -> Vec<(u64, Entry)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let place = offset + at as u64;
        let len = ((SECTOR - place % SECTOR) as usize).min(data.len() - at);
        let part = Entry::Write { offset: place, data: data[at..at + len].into() };
        parts.push((place / SECTOR, part));
        at += len;
    }
    parts
}
