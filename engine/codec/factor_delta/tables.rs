//! Which cells share a table: merged, two at a time, as long as that costs less.

use super::CELLS;
use crate::codec::coded::tables::{SYMBOL_BITS, entropy_bits};
use crate::codec::float_delta::frequencies::{CONTEXTS_MAX, Histogram, SYMBOLS_MAX};

/// What a table takes beside its symbols, in bits.
const TABLE_BITS: f32 = 16.0;

/// Counts of the symbols that occur at all, and what they cost with a table of their own.
struct Group {
    counts: Vec<u32>,
    bits: f32,
    cells: Vec<usize>,
}

fn bits(counts: impl Iterator<Item = u32>) -> f32 {
    let mut kept = [0u32; SYMBOLS_MAX];
    let mut len = 0;
    for (to, count) in kept.iter_mut().zip(counts.filter(|count| *count > 0)) {
        *to = count;
        len += 1;
    }
    let occurring = kept.get(..len).unwrap_or_default();
    entropy_bits(occurring.iter()) + SYMBOL_BITS * len as f32 + TABLE_BITS
}

fn bits_of_both(one: &Group, other: &Group) -> f32 {
    bits(one.counts.iter().zip(&other.counts).map(|(one, other)| one + other))
}

/// The table of each cell, and the counts of each table. Cells without symbols have the table of
/// the cell before.
#[inline(never)]
pub(super) fn share(cells: &[Histogram]) -> ([u8; CELLS], Vec<Histogram>) {
    let occurs = |symbol: usize| cells.iter().any(|cell| cell.get(symbol) > Some(&0));
    let used: Vec<usize> = (0..SYMBOLS_MAX).filter(|symbol| occurs(*symbol)).collect();
    let mut groups: Vec<Group> = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let counts: Vec<u32> =
            used.iter().map(|symbol| cell.get(*symbol).copied().unwrap_or(0)).collect();
        if counts.iter().any(|count| *count > 0) {
            let bits = bits(counts.iter().copied());
            groups.push(Group { counts, bits, cells: vec![at] });
        }
    }
    merge(&mut groups);
    groups.sort_by_key(|group| group.cells.iter().copied().min());
    let mut tables = vec![[0; SYMBOLS_MAX]; groups.len()];
    let mut places = [None; CELLS];
    for ((at, group), table) in groups.iter().enumerate().zip(&mut tables) {
        for (symbol, count) in used.iter().zip(&group.counts) {
            if let Some(to) = table.get_mut(*symbol) {
                *to = *count;
            }
        }
        for cell in &group.cells {
            if let Some(place) = places.get_mut(*cell) {
                *place = Some(at as u8);
            }
        }
    }
    let mut before = 0;
    let places = places.map(|place| {
        before = place.unwrap_or(before);
        before
    });
    (places, tables)
}

/// Merges groups while two are cheaper together, or there are too many.
#[expect(clippy::indexing_slicing, reason = "places of the groups that there are")]
fn merge(groups: &mut Vec<Group>) {
    let count = groups.len();
    let mut more = vec![f32::INFINITY; count * count];
    for one in 0..count {
        for other in one + 1..count {
            let (a, b) = (&groups[one], &groups[other]);
            more[one * count + other] = bits_of_both(a, b) - a.bits - b.bits;
        }
    }
    let mut left = count;
    while left > 1 {
        let Some(least) = (0..more.len()).min_by(|a, b| more[*a].total_cmp(&more[*b])) else {
            return;
        };
        if more[least] >= 0.0 && left <= CONTEXTS_MAX {
            break;
        }
        let (one, other) = (least / count, least % count);
        let taken = std::mem::take(&mut groups[other].counts);
        let cells = std::mem::take(&mut groups[other].cells);
        let kept = &mut groups[one];
        kept.counts.iter_mut().zip(taken).for_each(|(to, count)| *to += count);
        kept.cells.extend(cells);
        kept.bits = bits(kept.counts.iter().copied());
        left -= 1;
        for at in 0..count {
            more[at.min(other) * count + at.max(other)] = f32::INFINITY;
            if at != one && !groups[at].cells.is_empty() {
                let (a, b) = (&groups[one], &groups[at]);
                more[at.min(one) * count + at.max(one)] = bits_of_both(a, b) - a.bits - b.bits;
            }
        }
    }
    groups.retain(|group| !group.cells.is_empty());
}
