//! The end of the file, given back: what lies last is moved into free space before it.
//!
//! A record is moved as it is, byte for byte: its content, the commit that wrote it and all that
//! stands on it stay. So no commit is counted, and no change record is written; only the rows say
//! other places. Old places are free when no snapshot can read by the old rows.

use std::ops::ControlFlow;

use crate::catalog::{CatalogError, ReadTables, RecordRow, Table, WriteTables};
use crate::format::{DATA_START, Extent, FormatError, PAGE_ALIGN, RECORD_ALIGN};
use crate::shutdown::critical;
use crate::store::error::Result;
use crate::store::shared::Shared;

/// Pages of the catalogue that the database needs to close it: what is free, and the roots anew.
const CLOSING_PAGES: u64 = 5;
/// Bytes that closing a catalogue which is not short may take.
const CLOSING_ROOM: u64 = 16 * PAGE_ALIGN;
/// A catalogue of no more bytes is made short each time.
const SHORT_CATALOG: u64 = 2 << 20;

/// What giving back did to the file. Lengths are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct GivenBack {
    /// Length of the file before.
    pub before_bytes: u64,
    /// Its length now.
    pub after_bytes: u64,
    /// Records that were moved to free space before them.
    pub moved_bytes: u64,
    /// What is free and stays in the file, because a snapshot may still read there.
    pub waiting_bytes: u64,
    /// The oldest commit that a snapshot reads, in this process or another, where something waits.
    pub oldest_reader: Option<u64>,
}

/// How often what was moved may make room for more.
const ROUNDS_MAX: usize = 32;
/// How often all is tried, and the bytes by which one time has to make the file shorter for another.
const PASSES_MAX: usize = 4;
const PASS_WORTH: u64 = 64 << 10;

/// Records and free ranges that are looked at for room for a long record.
const STEPS_MAX: usize = 1 << 22;

/// The end of a file is written anew for so many free bytes, or this part of it; and no longer end.
const REFILLED_FROM: u64 = 2 * PAGE_ALIGN;
const REFILLED_ONE_IN: u64 = 512;
const REFILLED_MAX: u64 = 256 << 20;

/// A shorter file is not worth the syncs when it is closed, a longer one not the time: `give_back`
/// may be asked.
const SMALL_FILE_MIN: u64 = 512 << 10;
const SMALL_FILE_MAX: u64 = 16 << 20;
/// A small store that is closed may have this part of its length free.
const SPARE_WHEN_CLOSED: u64 = 32;
/// A catalogue may have this part of itself free.
const SPARE_PART: u64 = 16;

/// Where a record lies, and the key of its row: there can be millions.
struct Place {
    offset: u64,
    len: u64,
    table: Table,
    key_len: u8,
    key: [u8; 32],
}

impl Place {
    fn extent(&self) -> Extent {
        Extent { offset: self.offset, len: self.len }
    }

    fn key(&self) -> &[u8] {
        self.key.get(..self.key_len.into()).unwrap_or_default()
    }
}

/// Makes the file as short as moving records and the catalogue can, or `down_to` bytes long if it is
/// longer: what lies before stays. Whoever calls it has the turn to write, and no transaction.
///
/// # Errors
///
/// Those of the catalogue and of the disk. Nothing is lost by them.
pub(in crate::store) fn give_back(shared: &Shared, down_to: u64) -> Result<GivenBack> {
    let container = &shared.container;
    let before_bytes = container.disk_len()?;
    let moved_bytes = passes(shared, down_to);
    container.grow_behind(false);
    let (moved_bytes, after_bytes) = (moved_bytes?, container.disk_len()?);
    let (_, waiting_bytes) = container.free_bytes();
    let oldest_reader = match waiting_bytes {
        0 => None,
        _ => container.pins().oldest_reader(container.last_commit())?,
    };
    Ok(GivenBack { before_bytes, after_bytes, moved_bytes, waiting_bytes, oldest_reader })
}

fn passes(shared: &Shared, down_to: u64) -> Result<u64> {
    let container = &shared.container;
    let down_to = down_to.next_multiple_of(RECORD_ALIGN);
    let (mut moved_bytes, mut len) = (0, container.disk_len()?);
    for number in 0..PASSES_MAX {
        // What costs more comes when the rest is done.
        let moved = pass(shared, down_to, number > 0)?;
        moved_bytes += moved;
        let before_pass = std::mem::replace(&mut len, container.disk_len()?);
        // A catalogue that was moved may have left room for more.
        let more = number == 0 || before_pass > len.saturating_add(PASS_WORTH) || moved > 0;
        if len <= down_to || !more {
            break;
        }
    }
    Ok(moved_bytes)
}

/// Moves records, makes the catalogue short, and cuts off the free end; where `all` of it is asked
/// for, writes the end anew. Says how many bytes of records were moved.
fn pass(shared: &Shared, down_to: u64, all: bool) -> Result<u64> {
    let container = &shared.container;
    container.release_space()?;
    // Before the records: they go where it lay. A short one always: closing it takes fewer pages
    // then, which might else be needed behind the end.
    let end = container.used_end().0;
    // What the catalogue needs meanwhile is cut off with the end, or goes where there is room.
    container.grow_behind(end > down_to);
    let is_short = container.catalog_len() <= SHORT_CATALOG;
    if is_short && end.saturating_add(CLOSING_ROOM) > down_to
        || end > down_to && shared.catalog.could_save()? > container.catalog_len() / SPARE_PART
    {
        settle_catalog(shared)?;
    }
    let mut moved_bytes = 0;
    for _ in 0..ROUNDS_MAX {
        container.release_space()?;
        let moved = match move_down(shared, down_to)? {
            0 => make_room(shared, down_to)?,
            moved => moved,
        };
        moved_bytes += moved;
        if moved == 0 {
            break;
        }
    }
    container.release_space()?;
    let end = container.used_end().0;
    if all && end > down_to && (down_to > 0 || end < SMALL_FILE_MAX) {
        moved_bytes += refill_end(shared, down_to)?;
    }
    if moved_bytes > 0 && container.used_end().0 > down_to {
        settle_catalog(shared)?;
    }
    container.cut_free_end()?;
    Ok(moved_bytes)
}

/// What a writer that closes the store does: a small store becomes about as short as it can be. What
/// the end of any file has free is cut off when the file is closed.
///
/// # Errors
///
/// As [`give_back`]. What is not done now, the next writer does.
pub(in crate::store) fn close(shared: &Shared) -> Result<()> {
    let container = &shared.container;
    if !container.is_writer() || !container.knows_used() || container.check_writable().is_err() {
        return Ok(());
    }
    container.release_space()?;
    let (end, free_bytes) = container.used_end();
    if (SMALL_FILE_MIN..SMALL_FILE_MAX).contains(&end)
        && free_bytes.saturating_add(shared.catalog.could_save()?) > end / SPARE_WHEN_CLOSED
    {
        pass(shared, 0, false)?;
    }
    // To the end, that is to what the database needs for closing.
    container.grow_behind(true);
    // Closing it, the database writes once more, and may need room: not behind a free end.
    container.cut_free_end()?;
    Ok(())
}

/// Makes the catalogue short, and lets it lie before the end of the file. Behind everything else
/// that writes to it: each commit needs pages that are free.
fn settle_catalog(shared: &Shared) -> Result<()> {
    shared.catalog.compact()?;
    shared.container.give_up_extents(CLOSING_PAGES * PAGE_ALIGN)?;
    Ok(shared.container.move_extents_down()?)
}

/// Moves records from the end of the file, the last one first, into free space before them, until
/// one finds none. Says how many bytes. Memory: 56 bytes a record that lies behind `down_to`.
fn move_down(shared: &Shared, down_to: u64) -> Result<u64> {
    let container = &shared.container;
    if container.free_bytes().0 == 0 {
        return Ok(0);
    }
    let mut places = places(shared, down_to)?;
    places.sort_unstable_by_key(|place| std::cmp::Reverse(place.offset));
    let reserve = |from: Extent, inner| container.reserve_before(from.offset, from, inner);
    relocate(shared, &places, Without::Stop, &reserve)
}

/// Writes the end of the file anew: all records there go behind it, then the catalogue's extents and
/// the records, the longest first, to the lowest places of what is free now. Says how many bytes were
/// moved; 0 where it could not be worth it. The file is longer meanwhile, by what is moved. Cost: the
/// end is written twice, with a few commits.
fn refill_end(shared: &Shared, down_to: u64) -> Result<u64> {
    let container = &shared.container;
    let (end, free_bytes) = container.used_end();
    let from = if down_to > 0 { PAGE_ALIGN } else { REFILLED_FROM.max(end / REFILLED_ONE_IN) };
    if free_bytes < from {
        return Ok(0);
    }
    // As much of the end as has free what is wanted, and some more.
    let wanted = end.saturating_sub(down_to).saturating_add(CLOSING_ROOM);
    let (mut start, mut found) = (DATA_START, 0);
    for range in container.free_before(end).iter().rev() {
        found += range.len;
        if found >= wanted {
            start = range.offset;
            break;
        }
    }
    if end - start > REFILLED_MAX {
        return Ok(0);
    }
    let mut places = places(shared, start)?;
    places.retain(|place| place.offset >= start);
    let behind = |from, inner| Some(container.reserve_behind(from, inner));
    let mut moved_bytes = relocate(shared, &places, Without::Stop, &behind)?;
    // What it has grown by for that is not to lie in front.
    shared.catalog.compact()?;
    container.give_up_extents(CLOSING_PAGES * PAGE_ALIGN)?;
    container.move_extents_to_lowest(start)?;
    container.release_space()?;
    places = self::places(shared, end)?;
    places.sort_unstable_by_key(|place| (std::cmp::Reverse(place.len), place.offset));
    let lowest = |from, inner| container.reserve_lowest(from, inner);
    moved_bytes += relocate(shared, &places, Without::Skip, &lowest)?;
    container.release_space()?;
    Ok(moved_bytes)
}

/// Makes room for the record that lies last, which no free range before it can take: empties the
/// cheapest stretch that is long enough, by moving what lies there into other free ranges or behind
/// the end. Says how many bytes were moved; 0 where that would not make the file shorter.
fn make_room(shared: &Shared, down_to: u64) -> Result<u64> {
    let container = &shared.container;
    let mut places = places(shared, 0)?;
    places.sort_unstable_by_key(|place| place.offset);
    let extents: Vec<Extent> = places.iter().map(Place::extent).collect();
    let Some(last) = extents.last().filter(|last| last.end() > down_to) else { return Ok(0) };
    let free = container.free_before(last.offset);
    let Some(stretch) = cheapest_stretch(&extents, &free, last) else { return Ok(0) };
    let inside = |extent: &Extent| extent.offset < stretch.end() && extent.end() > stretch.offset;
    let kept: Vec<Extent> = free.into_iter().filter(inside).collect();
    if !container.keep_free(&kept) {
        return Ok(0);
    }
    places.retain(|place| inside(&place.extent()));
    let reserve = |from, inner| Some(container.reserve_elsewhere(from, inner));
    let moved = relocate(shared, &places, Without::Stop, &reserve);
    kept.into_iter().for_each(|range| container.give_back(range));
    moved
}

/// Of the stretches that could take `last`, and consist of free ranges and records alone, the one
/// whose records take the least: less than `last` by an eighth at least, so that the file becomes
/// shorter even where they have to lie behind its end. `records` and `free` are by offset.
fn cheapest_stretch(records: &[Extent], free: &[Extent], last: &Extent) -> Option<Extent> {
    let needed = last.len + PAGE_ALIGN;
    let mut best: Option<(u64, Extent)> = None;
    let mut steps = STEPS_MAX;
    for (first, range) in free.iter().enumerate() {
        let mut end = range.offset;
        let (mut cost, mut free) = (0, free[first..].iter().peekable());
        let from = records.partition_point(|record| record.offset < range.offset);
        let mut records = records[from..].iter().peekable();
        while end - range.offset < needed && steps > 0 {
            steps -= 1;
            if let Some(next) = free.next_if(|next| next.offset == end) {
                end = next.end();
            } else if let Some(next) = records.next_if(|next| next.offset == end) {
                end = next.end().next_multiple_of(RECORD_ALIGN);
                cost += next.len;
            } else {
                // The catalogue, or what somebody may still read.
                break;
            }
        }
        let fits = end - range.offset >= needed && end <= last.offset;
        if fits && cost <= last.len / 8 * 7 && best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, Extent { offset: range.offset, len: end - range.offset }));
        }
    }
    best.map(|(_, stretch)| stretch)
}

/// What comes of a record that has no place to go to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    /// It stays, and those behind it in the list.
    Stop,
    /// It stays alone.
    Skip,
}

/// Moves records to where `reserve` says. Says how many bytes.
fn relocate(
    shared: &Shared,
    places: &[Place],
    without: Without,
    reserve: &dyn Fn(Extent, u64) -> Option<Extent>,
) -> Result<u64> {
    let container = &shared.container;
    let mut tables = shared.catalog.begin_write()?;
    let (mut moved, mut old): (u64, Vec<Extent>) = (0, Vec::new());
    let mut new: Vec<Extent> = Vec::new();
    let mut work = || -> Result<()> {
        for place in places {
            let Some(row) = tables.get(place.table, place.key())? else { continue };
            let row = RecordRow::decode(&row).map_err(CatalogError::Row)?;
            let from = row.extent();
            let inner = row.len.saturating_sub(row.stored_len);
            let to = match reserve(from, inner) {
                Some(to) => to,
                None if without == Without::Skip => continue,
                None => break,
            };
            new.push(to);
            container.copy_within(from, to.offset)?;
            let row = RecordRow { offset: to.offset, ..row };
            tables.put(place.table, place.key(), &row.encode())?;
            old.push(from);
            moved += from.len;
        }
        Ok(())
    };
    if let Err(error) = work() {
        new.into_iter().for_each(|place| container.give_back(place));
        return Err(error);
    }
    if old.is_empty() {
        return Ok(0);
    }
    critical(|| tables.commit().map_err(|error| shared.refuse_after_failure(error)))?;
    shared.forget(old.iter().map(|extent| extent.offset));
    container.free_moved(old);
    Ok(moved)
}

/// The records that lie behind `down_to`.
fn places(shared: &Shared, down_to: u64) -> Result<Vec<Place>> {
    let tables = shared.catalog.begin_read()?;
    let mut places = Vec::new();
    for table in [Table::Tensors, Table::Manifests, Table::Changes] {
        tables.scan(table, &[], &mut |key, value| {
            let row = RecordRow::decode(value)?;
            if row.extent().end() > down_to {
                let (offset, len, key_len) = (row.offset, row.len, key.len() as u8);
                let mut place = Place { offset, len, table, key_len, key: [0; 32] };
                match place.key.get_mut(..key.len()) {
                    Some(room) => room.copy_from_slice(key),
                    None => {
                        return Err(
                            FormatError::new("key of a record", 0, "32 bytes", key.len()).into()
                        );
                    }
                }
                places.push(place);
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(places)
}
