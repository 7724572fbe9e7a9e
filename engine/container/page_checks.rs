//! The pages of the catalogue's trees, each checked when it is read.
//!
//! The database trusts its pages. But it keeps the checksum of each beside the number of the page:
//! of a root in its header, or in the row of its table; of every other page in the branch above it.
//! A page is therefore believed only if a page that was believed before leads to it, and if its
//! bytes have the checksum that is kept there and the form of a node. What leads out of the
//! catalogue is refused with the page that says so, before room is made for it. That a tree does
//! not lead to a page twice is not seen here: whoever walks through a tree sees to it by the order
//! of its keys.
//!
//! A page may be led to in several snapshots. It is not written anew as long as one that reads it
//! lives, so that what was said of it last is true for all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twox_hash::XxHash3_128;

use crate::format::{ByteReader, FormatError};

/// Bytes of a page of the lowest order; the header has one of its own.
const PAGE_LEN: u64 = 4096;
/// Bytes of the header that say something; the first bytes alone are read to know the file.
pub(super) const HEADER_LEN: usize = 320;
/// Where the header says how long a region is, and where its two commit slots begin.
const REGION_AT: usize = 16;
const SLOTS_AT: [usize; 2] = [64, 192];
/// What of a commit slot its checksum is of.
const SLOT_SUMMED: usize = 112;
/// The highest order of a page: so many doublings of its length.
const ORDER_MAX: u64 = 20;
/// What a page begins with.
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// What the row of a table begins with that has one value for a key.
const PLAIN_TABLE: u8 = 3;

/// What the leaves of a tree hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tree {
    /// The roots of tables.
    Tables,
    /// Rows of a table.
    Rows,
}

/// What is known of a page before it is read.
#[derive(Clone, Copy, Debug)]
struct Claim {
    len: u64,
    checksum: u128,
    tree: Tree,
}

#[derive(Debug, Default)]
struct Known {
    /// Pages of a region before its first, and all of its others.
    region: (u32, u32),
    /// By the place of the page.
    claims: HashMap<u64, Claim>,
}

/// What is known of the catalogue's pages. Memory: some 64 bytes for each page that was led to.
#[derive(Debug, Default)]
pub(super) struct PageChecks(Mutex<Known>);

impl PageChecks {
    /// Checks what was read at `offset` of a catalogue of `catalog_len` bytes.
    ///
    /// # Errors
    ///
    /// A page that nothing leads to, or that is not what was said of it.
    pub(super) fn check(
        &self,
        offset: u64,
        bytes: &[u8],
        catalog_len: u64,
    ) -> Result<(), FormatError> {
        if offset == 0 {
            return if bytes.len() < HEADER_LEN { Ok(()) } else { self.header(bytes, catalog_len) };
        }
        let known = self.known();
        let wrong = |what, expected: &str, found: String| {
            Err(FormatError { what, offset, expected: expected.to_owned(), found })
        };
        let Some(claim) = known.claims.get(&offset).copied() else {
            return wrong("catalogue page", "a page that another leads to", "none".to_owned());
        };
        let region = known.region;
        drop(known);
        if claim.len != bytes.len() as u64 {
            let expected = claim.len.to_string();
            return wrong("length of a catalogue page", &expected, bytes.len().to_string());
        }
        let node = Node::read(bytes)?;
        let summed = bytes.get(..node.len()).unwrap_or_default();
        if XxHash3_128::oneshot(summed) != claim.checksum {
            return wrong("catalogue page", "bytes of its checksum", "others".to_owned());
        }
        let room = Room { region, catalog_len };
        let below = match (&node, claim.tree) {
            (Node::Branch { .. }, tree) => node.children(bytes, tree, room)?,
            (Node::Leaf { .. }, Tree::Tables) => node.tables(bytes, room)?,
            (Node::Leaf { .. }, Tree::Rows) => return Ok(()),
        };
        self.known().claims.extend(below);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the roots of both commits that the header knows. A slot without its checksum is not
    /// read from: the database sees to that.
    fn header(&self, bytes: &[u8], catalog_len: u64) -> Result<(), FormatError> {
        let mut reader = ByteReader::new("header of the catalogue", bytes);
        reader.take(REGION_AT)?;
        let region = (reader.u32()?, reader.u32()?);
        self.known().region = region;
        for at in SLOTS_AT {
            let slot = bytes.get(at..at + SLOT_SUMMED + 16).unwrap_or_default();
            let (summed, checksum) = slot.split_at_checked(SLOT_SUMMED).unwrap_or_default();
            if XxHash3_128::oneshot(summed).to_le_bytes() != *checksum {
                continue;
            }
            let mut reader = ByteReader::new("commit slot of the catalogue", summed);
            let (_, has_root) = (reader.u8()?, reader.u8()? != 0);
            reader.take(6)?;
            // That of an older commit may have lain where the catalogue has ended since.
            let room = Room { region, catalog_len };
            if has_root && let Ok(root) = room.root(&mut reader, Tree::Tables) {
                self.known().claims.extend([root]);
            }
        }
        Ok(())
    }
}

/// Where pages can be.
#[derive(Clone, Copy)]
struct Room {
    region: (u32, u32),
    catalog_len: u64,
}

impl Room {
    /// The place and the length of a page by its number.
    fn place(self, number: u64) -> Result<(u64, u64), FormatError> {
        let (order, region) = (number >> 59, number >> 20 & 0xf_ffff);
        let inside = || {
            let len = (order <= ORDER_MAX).then(|| PAGE_LEN << order)?;
            let index = number & 0xf_ffff >> order;
            let (header, pages) = (u64::from(self.region.0), u64::from(self.region.1));
            let start = region
                .checked_mul((header + pages).checked_mul(PAGE_LEN)?)?
                .checked_add((1 + header) * PAGE_LEN)?
                .checked_add(index.checked_mul(len)?)?;
            (start.checked_add(len)? <= self.catalog_len).then_some((start, len))
        };
        inside().ok_or_else(|| {
            let number = format!("page {number:#x}");
            FormatError::new("page of the catalogue", 0, "a page inside of it", number)
        })
    }

    /// The number and the checksum of a root.
    fn root(self, reader: &mut ByteReader<'_>, tree: Tree) -> Result<(u64, Claim), FormatError> {
        let (start, len) = self.place(reader.u64()?)?;
        let checksum = u128::from_le_bytes(reader.array()?);
        Ok((start, Claim { len, checksum, tree }))
    }
}

/// A page, its offsets in order and inside it.
enum Node {
    /// Where the keys of a leaf begin, and where each of them and each of the values ends.
    Leaf { start: usize, ends: Vec<usize> },
    /// How many pages a branch leads to, and where its last key ends.
    Branch { children: usize, end: usize },
}

impl Node {
    fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = ByteReader::new("node of the catalogue", bytes);
        let (kind, _, count) = (reader.u8()?, reader.u8()?, usize::from(reader.u16()?));
        let offsets = match kind {
            LEAF => 2 * count,
            BRANCH => {
                reader.take(4 + 24 * (count + 1))?;
                count
            }
            _ => return Err(FormatError::new("kind of a catalogue node", 0, "1 or 2", kind)),
        };
        if count == 0 {
            return Err(FormatError::new("keys of a catalogue node", 2, "1 or more", count));
        }
        let start = reader.position() + 4 * offsets;
        let (mut ends, mut end) = (Vec::with_capacity(offsets), start);
        for _ in 0..offsets {
            let next = reader.u32()? as usize;
            if next < end || next > bytes.len() {
                let expected = format!("an end in {end}..={}", bytes.len());
                let at = reader.position() - 4;
                return Err(FormatError::new("catalogue node", at, expected, next));
            }
            end = next;
            ends.push(end);
        }
        Ok(match kind {
            LEAF => Node::Leaf { start, ends },
            _ => Node::Branch { children: count + 1, end },
        })
    }

    /// How many of the page's bytes say something: its checksum is of them.
    fn len(&self) -> usize {
        match self {
            Node::Leaf { start, ends } => ends.last().copied().unwrap_or(*start),
            Node::Branch { end, .. } => *end,
        }
    }

    /// What a branch says of the pages below it.
    fn children(
        &self,
        bytes: &[u8],
        tree: Tree,
        room: Room,
    ) -> Result<Vec<(u64, Claim)>, FormatError> {
        let Node::Branch { children, .. } = *self else { return Ok(Vec::new()) };
        let mut reader = ByteReader::new("branch of the catalogue", bytes);
        reader.take(8)?;
        let checksums: Result<Vec<_>, _> = (0..children).map(|_| reader.array()).collect();
        let claims = checksums?.into_iter().map(|checksum| {
            let (start, len) = room.place(reader.u64()?)?;
            Ok((start, Claim { len, checksum: u128::from_le_bytes(checksum), tree }))
        });
        claims.collect()
    }

    /// What a leaf of the tree of tables says of their roots. Tables of other kinds than ours are
    /// never opened.
    fn tables(&self, bytes: &[u8], room: Room) -> Result<Vec<(u64, Claim)>, FormatError> {
        let Node::Leaf { start, ends } = self else { return Ok(Vec::new()) };
        let (keys, values) = ends.split_at(ends.len() / 2);
        let mut from = keys.last().copied().unwrap_or(*start);
        let mut roots = Vec::new();
        for end in values {
            let row = bytes.get(std::mem::replace(&mut from, *end)..*end).unwrap_or_default();
            let mut reader = ByteReader::new("table of the catalogue", row);
            let (kind, _, has_root) = (reader.u8()?, reader.u64()?, reader.u8()? != 0);
            let mut root = ByteReader::new("root of a table", reader.take(32)?);
            // Neither its keys nor its values are of one length.
            let is_ours = kind == PLAIN_TABLE && reader.array::<10>()? == [0; 10];
            if has_root && is_ours {
                roots.push(room.root(&mut root, Tree::Rows)?);
            }
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A branch of two pages, and its checksum.
    fn branch(numbers: [u64; 2]) -> (Vec<u8>, u128) {
        let mut page = vec![BRANCH, 0, 1, 0, 0, 0, 0, 0];
        page.extend_from_slice(&[7; 32]);
        numbers.iter().for_each(|number| page.extend_from_slice(&number.to_le_bytes()));
        let end = page.len() as u32 + 4 + 3;
        page.extend_from_slice(&end.to_le_bytes());
        page.extend_from_slice(b"key");
        let checksum = XxHash3_128::oneshot(&page);
        page.resize(PAGE_LEN as usize, 0);
        (page, checksum)
    }

    /// Checks that know one page, at 8192 of a catalogue of a region of a million pages.
    fn knowing(checksum: u128) -> PageChecks {
        let checks = PageChecks::default();
        let claim = Claim { len: PAGE_LEN, checksum, tree: Tree::Rows };
        let claims = HashMap::from([(8192, claim)]);
        *checks.known() = Known { region: (0, 1 << 20), claims };
        checks
    }

    #[test]
    fn a_page_is_believed_by_the_page_above_it_alone() {
        let (page, checksum) = branch([3, 4]);
        assert!(knowing(checksum ^ 1).check(8192, &page, 1 << 20).is_err());
        assert!(knowing(checksum).check(12_288, &page, 1 << 20).is_err());
        assert!(
            knowing(checksum).check(8192, &[page.clone(), page.clone()].concat(), 1 << 20).is_err()
        );
        let checks = knowing(checksum);
        checks.check(8192, &page, 1 << 20).unwrap();
        let led_to = [16_384, 20_480].map(|at| checks.known().claims.contains_key(&at));
        assert_eq!(led_to, [true; 2]);
    }

    #[test]
    fn what_leads_out_of_the_catalogue_is_refused_with_the_page_that_says_so() {
        // Behind the end, of an order that ends behind it, of one that is none, in another region.
        for number in [300, 1 << 59 | 127, 8 << 59, 31 << 59, 1 << 20, 0xf_ffff << 20] {
            let (page, checksum) = branch([3, number]);
            assert!(knowing(checksum).check(8192, &page, 1 << 20).is_err(), "{number:#x}");
        }
    }

    #[test]
    fn a_page_that_is_no_node_is_refused() {
        let (page, _) = branch([3, 4]);
        // Another kind, no key, more keys than there is room for, a key that ends before it begins.
        for (at, byte) in [(0, 3), (2, 0), (3, 0xff), (56, 0)] {
            let mut page = page.clone();
            page[at] = byte;
            for len in [page.len(), 60, 9, 0] {
                assert!(Node::read(&page[..len]).is_err(), "{at} of {len}");
            }
        }
    }
}
