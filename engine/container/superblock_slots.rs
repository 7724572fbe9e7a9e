//! Finding the superblock that counts.

use crate::format::{
    DATA_START, FORMAT_VERSION, FormatError, READER_FLAGS_KNOWN, SUPERBLOCK_LEN, Superblock,
    superblock_field,
};

use super::disk::Disk;
use super::error::{ContainerError, NoStore};

/// What each slot says, or what is wrong with it.
pub type Slots = [Result<Superblock, FormatError>; 2];

/// What each slot says in the file now.
///
/// # Errors
///
/// Those of the disk.
pub(crate) fn superblock_slots(disk: &dyn Disk) -> Result<Slots, ContainerError> {
    let len = disk.len().map_err(ContainerError::io("read length", 0))?;
    let mut head = vec![0; len.min(DATA_START) as usize];
    disk.read_at(0, &mut head).map_err(ContainerError::io("read", 0))?;
    let (first, second) = head.split_at(head.len().min(SUPERBLOCK_LEN));
    Ok([Superblock::decode(first), Superblock::decode(second)])
}

/// The valid superblock with the higher generation.
///
/// # Errors
///
/// No valid slot: says whether the file is not a store, is cut off, is newer, or is damaged.
pub(super) fn read_superblock(disk: &dyn Disk) -> Result<Superblock, ContainerError> {
    let len = disk.len().map_err(ContainerError::io("read length", 0))?;
    let head_len = len.min(DATA_START) as usize;
    let mut head = vec![0; head_len];
    disk.read_at(0, &mut head).map_err(ContainerError::io("read", 0))?;
    let (first, second) = head.split_at(head_len.min(SUPERBLOCK_LEN));
    if !Superblock::has_magic(first) && !Superblock::has_magic(second) {
        let found = match head.get(..8).unwrap_or(&head) {
            [] => NoStore::EmptyFile,
            begins => NoStore::Other { begins: begins.to_vec() },
        };
        return Err(ContainerError::NotAStore { found });
    }
    if len < DATA_START {
        return Err(ContainerError::Truncated { expected: DATA_START, found: len });
    }
    let slots = [Superblock::decode(first), Superblock::decode(second)];
    // A newer version counts only when its slot's checksum is right, which decode asks first.
    for error in slots.iter().filter_map(|slot| slot.as_ref().err()) {
        if error.offset == superblock_field::FORMAT_VERSION as u64
            && let Ok(found) = error.found.parse()
        {
            return Err(ContainerError::NewerVersion { found, supported: FORMAT_VERSION });
        }
    }
    let [first, second] = slots;
    let superblock = match (first, second) {
        (Ok(a), Ok(b)) => {
            if a.generation >= b.generation {
                a
            } else {
                b
            }
        }
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => only,
        (Err(source), Err(_)) => return Err(ContainerError::Format { offset: 0, source }),
    };
    let unknown = superblock.reader_flags & !READER_FLAGS_KNOWN;
    if unknown != 0 {
        return Err(ContainerError::UnknownFeatures { flags: unknown, writing_only: false });
    }
    Ok(superblock)
}

/// Whether the other slot says what `current` says, but for the generation: then either alone
/// will do.
pub(super) fn other_slot_agrees(
    disk: &dyn Disk,
    current: &Superblock,
) -> Result<bool, ContainerError> {
    let slot = (current.generation.wrapping_add(1) % 2) * SUPERBLOCK_LEN as u64;
    let mut bytes = vec![0; SUPERBLOCK_LEN];
    disk.read_at(slot, &mut bytes).map_err(ContainerError::io("read", slot))?;
    let same = |other| Superblock { generation: current.generation, ..other } == *current;
    Ok(Superblock::decode(&bytes).is_ok_and(same))
}
