//! The superblock: two slots at the head of the file, written in turn.

use super::{ByteReader, ByteWriter, FormatError};

/// Length of one superblock slot in bytes.
pub const SUPERBLOCK_LEN: usize = 4096;
/// The first eight bytes of a store. The line end and the 0x1a tell a text-mode copy.
pub const SUPERBLOCK_MAGIC: [u8; 8] = *b"\x89mgit\r\n\x1a";
/// The version of the file format that this code writes.
pub const FORMAT_VERSION: u16 = 1;

/// Byte offsets of the superblock's fields.
pub mod superblock_field {
    /// Magic bytes, 8.
    pub const MAGIC: usize = 0;
    /// Format version, u16.
    pub const FORMAT_VERSION: usize = MAGIC + 8;
    /// Reserved, u16.
    pub const RESERVED_A: usize = FORMAT_VERSION + 2;
    /// State of the store, u32.
    pub const STATE: usize = RESERVED_A + 2;
    /// Random id of the store, 16 bytes.
    pub const STORE_ID: usize = STATE + 4;
    /// Generation, u64: the valid slot with the higher one counts.
    pub const GENERATION: usize = STORE_ID + 16;
    /// Feature flags that a reader must know, u64.
    pub const READER_FLAGS: usize = GENERATION + 8;
    /// Feature flags that a writer must know, u64.
    pub const WRITER_FLAGS: usize = READER_FLAGS + 8;
    /// Length of the catalogue in its own address space, u64.
    pub const CATALOG_LEN: usize = WRITER_FLAGS + 8;
    /// Number of extents, u32.
    pub const EXTENT_COUNT: usize = CATALOG_LEN + 8;
    /// Reserved, 28 bytes.
    pub const RESERVED_B: usize = EXTENT_COUNT + 4;
    /// The extents, 16 bytes each.
    pub const EXTENTS: usize = RESERVED_B + 28;
    /// The first 16 bytes of the BLAKE3 hash of all before it.
    pub const CHECKSUM: usize = super::SUPERBLOCK_LEN - 16;
}
use superblock_field as field;

/// The most extents a superblock has room for.
pub const SUPERBLOCK_EXTENTS_MAX: usize = (field::CHECKSUM - field::EXTENTS) / 16;
const _: () = assert!(field::EXTENTS == 96 && SUPERBLOCK_EXTENTS_MAX == 249);

/// A contiguous range of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Extent {
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Extent {
    /// The offset after the last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// Whether a store is in use or has been replaced by another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreState {
    /// In use.
    Live,
    /// Replaced (by a vacuum): whoever waited for its lock opens the path again.
    Retired,
}

/// What one superblock slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The version of the format the file was written in.
    pub format_version: u16,
    /// Live or retired.
    pub state: StoreState,
    /// Random id of the store, the same for the store's whole life.
    pub store_id: [u8; 16],
    /// Counts the superblocks written.
    pub generation: u64,
    /// Features a reader must know.
    pub reader_flags: u64,
    /// Features a writer must know.
    pub writer_flags: u64,
    /// Length of the catalogue (redb) in its own address space.
    pub catalog_len: u64,
    /// Where the catalogue lies in the file, in order of its address space.
    pub extents: Vec<Extent>,
}

/// What errors call a slot.
const WHAT: &str = "superblock";

impl Superblock {
    /// The checksum of a slot's bytes before the checksum.
    fn checksum(slot: &[u8]) -> [u8; 16] {
        let mut checksum = [0; 16];
        for (to, from) in checksum.iter_mut().zip(blake3::hash(slot).as_bytes()) {
            *to = *from;
        }
        checksum
    }

    /// The 4,096 bytes of a slot.
    ///
    /// # Errors
    ///
    /// More than [`SUPERBLOCK_EXTENTS_MAX`] extents do not fit.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        if self.extents.len() > SUPERBLOCK_EXTENTS_MAX {
            return Err(FormatError::new(
                "superblock extents",
                field::EXTENT_COUNT,
                format!("at most {SUPERBLOCK_EXTENTS_MAX}"),
                self.extents.len(),
            ));
        }
        let mut out = ByteWriter::with_capacity(SUPERBLOCK_LEN);
        out.put(&SUPERBLOCK_MAGIC).u16(self.format_version).u16(0);
        out.u32(match self.state {
            StoreState::Live => 0,
            StoreState::Retired => 1,
        });
        out.put(&self.store_id).u64(self.generation);
        out.u64(self.reader_flags).u64(self.writer_flags).u64(self.catalog_len);
        out.u32(self.extents.len() as u32).pad_to(field::EXTENTS);
        for extent in &self.extents {
            out.u64(extent.offset).u64(extent.len);
        }
        out.pad_to(field::CHECKSUM);
        let checksum = Self::checksum(out.as_bytes());
        out.put(&checksum);
        Ok(out.into_bytes())
    }

    /// Whether the bytes begin as a store does.
    pub fn has_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(&SUPERBLOCK_MAGIC)
    }

    /// Reads a slot: magic, then checksum, then version, then the rest.
    ///
    /// # Errors
    ///
    /// Says which field is wrong. A newer version is an error of `superblock format version`.
    pub fn decode(slot: &[u8]) -> Result<Self, FormatError> {
        Self::check_slot(slot)?;
        let mut input = ByteReader::new(WHAT, slot);
        let _magic: [u8; 8] = input.array()?;
        let format_version = input.u16()?;
        if format_version != FORMAT_VERSION {
            return Err(FormatError::new(
                "superblock format version",
                field::FORMAT_VERSION,
                format!("at most {FORMAT_VERSION}"),
                format_version,
            ));
        }
        input.reserved(2)?;
        let state = match input.u32()? {
            0 => StoreState::Live,
            1 => StoreState::Retired,
            other => {
                return Err(FormatError::new("superblock state", field::STATE, "0 or 1", other));
            }
        };
        let store_id = input.array()?;
        let generation = input.u64()?;
        let reader_flags = input.u64()?;
        let writer_flags = input.u64()?;
        let catalog_len = input.u64()?;
        let extents = read_extents(&mut input)?;
        input.reserved(field::CHECKSUM - input.position())?;
        let superblock = Superblock {
            format_version,
            state,
            store_id,
            generation,
            reader_flags,
            writer_flags,
            catalog_len,
            extents,
        };
        superblock.check_extents()?;
        Ok(superblock)
    }

    /// Magic and checksum.
    fn check_slot(slot: &[u8]) -> Result<(), FormatError> {
        let magic: [u8; 8] = ByteReader::new(WHAT, slot).array()?;
        if magic != SUPERBLOCK_MAGIC {
            return Err(FormatError::new(
                "superblock magic",
                field::MAGIC,
                format!("{SUPERBLOCK_MAGIC:02x?}"),
                format!("{magic:02x?}"),
            ));
        }
        let covered = slot.get(..field::CHECKSUM).ok_or_else(|| {
            FormatError::new(WHAT, slot.len(), format!("{SUPERBLOCK_LEN} bytes"), slot.len())
        })?;
        let expected = Self::checksum(covered);
        let found = slot.get(field::CHECKSUM..SUPERBLOCK_LEN).unwrap_or_default();
        if found != expected {
            return Err(FormatError::new(
                "superblock checksum",
                field::CHECKSUM,
                format!("{expected:02x?}"),
                format!("{found:02x?}"),
            ));
        }
        Ok(())
    }

    /// Extents lie after the superblocks, do not overlap, and cover the catalogue.
    fn check_extents(&self) -> Result<(), FormatError> {
        let wrong = |expected: &str, found: String| {
            Err(FormatError::new("superblock extents", field::EXTENTS, expected, found))
        };
        let mut sorted = self.extents.clone();
        sorted.sort_unstable();
        let mut end = super::DATA_START;
        let mut covered = 0u64;
        for extent in sorted {
            if extent.offset < end || extent.len == 0 || extent.end() > i64::MAX as u64 {
                return wrong("disjoint extents behind the superblocks", format!("{extent:?}"));
            }
            end = extent.end();
            covered = covered.saturating_add(extent.len);
        }
        if covered < self.catalog_len {
            let found = format!("{covered} for a catalogue of {}", self.catalog_len);
            return wrong("extents that cover the catalogue", found);
        }
        Ok(())
    }
}

fn read_extents(input: &mut ByteReader<'_>) -> Result<Vec<Extent>, FormatError> {
    let extent_count = input.u32()? as usize;
    if extent_count > SUPERBLOCK_EXTENTS_MAX {
        return Err(FormatError::new(
            "superblock extents",
            field::EXTENT_COUNT,
            format!("at most {SUPERBLOCK_EXTENTS_MAX}"),
            extent_count,
        ));
    }
    input.reserved(field::EXTENTS - input.position())?;
    let mut extents = Vec::with_capacity(extent_count);
    for _ in 0..extent_count {
        extents.push(Extent { offset: input.u64()?, len: input.u64()? });
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn sample() -> Superblock {
        Superblock {
            format_version: FORMAT_VERSION,
            state: StoreState::Live,
            store_id: [7; 16],
            generation: 9,
            reader_flags: 0,
            writer_flags: 0,
            catalog_len: 5000,
            extents: vec![Extent { offset: 8192, len: 4096 }, Extent { offset: 16384, len: 4096 }],
        }
    }

    #[test]
    fn round_trip() {
        let bytes = sample().encode().unwrap();
        assert_eq!(bytes.len(), SUPERBLOCK_LEN);
        assert_eq!(Superblock::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let bytes = sample().encode().unwrap();
        for at in 0..bytes.len() {
            let mut hurt = bytes.clone();
            hurt[at] ^= 0x40;
            assert!(Superblock::decode(&hurt).is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(Superblock::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn extents_are_checked() {
        let mut overlap = sample();
        overlap.extents[1].offset = 9000;
        assert!(Superblock::decode(&overlap.encode().unwrap()).is_err());
        let mut short = sample();
        short.catalog_len = 8193;
        assert!(Superblock::decode(&short.encode().unwrap()).is_err());
        let mut many = sample();
        many.extents = vec![Extent { offset: 0, len: 1 }; SUPERBLOCK_EXTENTS_MAX + 1];
        assert!(many.encode().is_err());
    }
}
