//! In which order tensors travel: each behind what it is decoded from.

use super::source::RecordSource;
use super::{Result, TransferError};
use crate::tensor::ContentId;

/// Tensors that travel, each behind its bases.
#[derive(Clone, Debug, Default)]
pub(super) struct Ordered {
    /// Each with about the length of its record.
    pub(super) tensors: Vec<(ContentId, u64)>,
    /// Of these, sorted, those that are to stand alone there: what they are coded against is there
    /// for nothing else and takes more than that saves.
    alone: Vec<ContentId>,
}

impl Ordered {
    /// Bytes of the tensors' records.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, (_, len)| sum.saturating_add(*len))
    }

    /// Whether a tensor is to stand alone.
    pub(super) fn is_alone(&self, id: ContentId) -> bool {
        self.alone.binary_search(&id).is_ok()
    }
}

/// What is known of tensors that may travel: columns, since there can be a million.
#[derive(Debug, Default)]
struct Pieces {
    ids: Vec<ContentId>,
    lens: Vec<u64>,
    /// [`NEVER`] of one that cannot be sent so that it stands alone.
    raw_lens: Vec<u64>,
    places: Vec<(u32, u64)>,
    /// Where the bases of each that are not there end in `bases`.
    base_ends: Vec<u32>,
    /// Rows of this table.
    bases: Vec<u32>,
    /// The number of tensors, from the first, that models name.
    named: u32,
}

/// The length of a content that cannot be had.
const NEVER: u64 = u64::MAX;

impl Pieces {
    fn count(&self) -> u32 {
        self.ids.len() as u32
    }

    fn is_named(&self, row: u32) -> bool {
        row < self.named
    }

    fn len(&self, row: u32) -> u64 {
        self.lens.get(row as usize).copied().unwrap_or(0)
    }

    fn raw_len(&self, row: u32) -> Option<u64> {
        self.raw_lens.get(row as usize).copied().filter(|len| *len != NEVER)
    }

    fn bases(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let end = self.base_ends.get(row).copied().unwrap_or(0);
        let start = row.checked_sub(1).and_then(|before| self.base_ends.get(before)).copied();
        self.bases.get(start.unwrap_or(0) as usize..end as usize).unwrap_or_default()
    }

    /// Reads what is known of these tensors, sorted, and of the bases that they need and that are
    /// not there: some that no model names any more.
    fn read(
        source: &dyn RecordSource,
        named: Vec<ContentId>,
        missing: &dyn Fn(ContentId) -> TransferError,
        has_tensor: &dyn Fn(ContentId) -> Result<bool>,
    ) -> Result<Self> {
        let mut pieces = Pieces { named: named.len() as u32, ..Pieces::default() };
        pieces.lens.reserve_exact(named.len());
        pieces.raw_lens.reserve_exact(named.len());
        pieces.places.reserve_exact(named.len());
        let mut ends: Vec<u32> = Vec::with_capacity(named.len());
        let mut bases: Vec<ContentId> = Vec::new();
        pieces.ids = named;
        let (mut by_id, mut from) = (Vec::new(), 0);
        while from < pieces.ids.len() {
            let bases_from = bases.len();
            for at in from..pieces.ids.len() {
                let Some(id) = pieces.ids.get(at).copied() else { break };
                let piece = source.piece(id)?.ok_or_else(|| missing(id))?;
                pieces.lens.push(piece.len);
                pieces.raw_lens.push(piece.raw_len.unwrap_or(NEVER));
                pieces.places.push((piece.place.0 as u32, piece.place.1));
                bases.extend(piece.bases);
                ends.push(bases.len() as u32);
            }
            from = pieces.ids.len();
            by_id = pieces.by_id();
            let mut more = Vec::new();
            for base in bases.get(bases_from..).unwrap_or_default() {
                if pieces.find(&by_id, *base).is_none() && !has_tensor(*base)? {
                    more.push(*base);
                }
            }
            more.sort_unstable();
            more.dedup();
            pieces.ids.extend(more);
        }
        pieces.base_ends.reserve_exact(ends.len());
        let mut start = 0;
        for end in ends {
            let own = bases.get(start..end as usize).unwrap_or_default();
            for base in own {
                let row = pieces.find(&by_id, *base);
                pieces.bases.extend(row);
            }
            pieces.base_ends.push(pieces.bases.len() as u32);
            start = end as usize;
        }
        Ok(pieces)
    }

    /// All rows, in the order of their ids.
    fn by_id(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..self.count()).collect();
        rows.sort_by_key(|row| self.ids.get(*row as usize));
        rows
    }

    fn find(&self, by_id: &[u32], id: ContentId) -> Option<u32> {
        let at = by_id.binary_search_by_key(&Some(&id), |row| self.ids.get(*row as usize)).ok()?;
        by_id.get(at).copied()
    }
}

/// Tensors, sorted by their ids, and the bases that they need and that are not there, each behind
/// its bases; apart from that in the order of the medium. `missing` says what it means that one is
/// not there.
pub(super) fn in_order(
    source: &dyn RecordSource,
    named: Vec<ContentId>,
    missing: &dyn Fn(ContentId) -> TransferError,
    has_tensor: &dyn Fn(ContentId) -> Result<bool>,
) -> Result<Ordered> {
    let pieces = Pieces::read(source, named, missing, has_tensor)?;
    let mut starts: Vec<u32> = (0..pieces.count()).collect();
    starts.sort_unstable_by_key(|row| (pieces.places.get(*row as usize), *row));
    let next = |row: u32, below: &mut Vec<u32>| {
        below.extend_from_slice(pieces.bases(row));
        Ok(())
    };
    let order = below_first(pieces.ids.len(), &starts, &next, &|row| {
        let id = pieces.ids.get(row as usize).copied().unwrap_or(ContentId::NONE);
        TransferError::damaged(source.name(), format!("tensor {} is its own base", id.short()))
    })?;
    drop(starts);
    let fates = stand_alone(&order, &pieces);
    let fate = |row: u32| fates.get(row as usize).copied().unwrap_or(Fate::AsStored);
    let mut ordered = Ordered { tensors: Vec::with_capacity(order.len()), alone: Vec::new() };
    for row in order.into_iter().filter(|row| fate(*row) != Fate::Stays) {
        let Some(id) = pieces.ids.get(row as usize).copied() else { continue };
        let mut len = pieces.len(row);
        if fate(row) == Fate::Alone {
            ordered.alone.push(id);
            len = pieces.raw_len(row).unwrap_or(len);
        }
        ordered.tensors.push((id, len));
    }
    ordered.alone.sort_unstable();
    Ok(ordered)
}

/// How a tensor travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    AsStored,
    Alone,
    /// Not at all.
    Stays,
}

/// Of bases that no model names: those that take more than it costs to send what stands on them
/// alone stay where they are, and that is sent alone. `order` has each behind its bases. Gives the
/// fate of each row, or nothing where all go as they are stored.
fn stand_alone(order: &[u32], pieces: &Pieces) -> Vec<Fate> {
    if pieces.named == pieces.count() {
        return Vec::new();
    }
    let mut fates = vec![Fate::AsStored; pieces.ids.len()];
    // What stands on each base, by base, and how much of it still does.
    let mut over: Vec<(u32, u32)> = Vec::new();
    for row in 0..pieces.count() {
        over.extend(pieces.bases(row).iter().map(|base| (*base, row)));
    }
    over.sort_unstable();
    over.dedup();
    let mut standing = vec![0u32; pieces.ids.len()];
    for (base, _) in &over {
        standing.get_mut(*base as usize).into_iter().for_each(|count| *count += 1);
    }
    for base in order.iter().rev().filter(|row| !pieces.is_named(**row)) {
        let from = over.partition_point(|(other, _)| other < base);
        let all = over.iter().skip(from).take_while(|(other, _)| other == base);
        let as_stored = |row: &u32| fates.get(*row as usize) == Some(&Fate::AsStored);
        let above: Vec<u32> = all.map(|(_, row)| *row).filter(as_stored).collect();
        let (mut raw, mut saved) = (Some(0u64), 0u64);
        for row in &above {
            raw = raw.zip(pieces.raw_len(*row)).map(|(sum, len)| sum.saturating_add(len));
            saved = saved.saturating_add(pieces.len(*row));
        }
        // Bases that nothing stands on without them stay, and so on down.
        let (mut going, mut stays, mut taken) = (above.clone(), Vec::new(), Vec::new());
        while let Some(row) = going.pop() {
            let mut below = pieces.bases(row).to_vec();
            below.sort_unstable();
            below.dedup();
            for below in below {
                let Some(count) = standing.get_mut(below as usize) else { continue };
                *count = count.saturating_sub(1);
                taken.push(below);
                if *count == 0 && !pieces.is_named(below) && above.binary_search(&below).is_err() {
                    saved = saved.saturating_add(pieces.len(below));
                    stays.push(below);
                    going.push(below);
                }
            }
        }
        if !above.is_empty() && raw.is_some_and(|raw| raw < saved) {
            let alone = above.into_iter().map(|row| (row, Fate::Alone));
            for (row, new) in alone.chain(stays.into_iter().map(|row| (row, Fate::Stays))) {
                fates.get_mut(row as usize).into_iter().for_each(|fate| *fate = new);
            }
        } else {
            for row in taken {
                standing.get_mut(row as usize).into_iter().for_each(|count| *count += 1);
            }
        }
    }
    fates
}

/// Everything that is reached from `starts`, each behind what it leads to, which `next` adds. All
/// are numbers below `count`.
pub(super) fn below_first(
    count: usize,
    starts: &[u32],
    next: &dyn Fn(u32, &mut Vec<u32>) -> Result<()>,
    circle: &dyn Fn(u32) -> TransferError,
) -> Result<Vec<u32>> {
    #[derive(Clone, Copy)]
    enum State {
        New,
        Begun,
        Done,
    }
    let mut states = vec![State::New; count];
    let (mut order, mut stack, mut below) = (Vec::with_capacity(starts.len()), vec![], vec![]);
    for start in starts {
        stack.push((*start, false));
        while let Some((number, is_left)) = stack.pop() {
            let Some(state) = states.get_mut(number as usize) else { continue };
            if is_left {
                *state = State::Done;
                order.push(number);
                continue;
            }
            match state {
                State::Done => continue,
                State::Begun => return Err(circle(number)),
                State::New => *state = State::Begun,
            }
            stack.push((number, true));
            below.clear();
            next(number, &mut below)?;
            for number in &below {
                match states.get(*number as usize) {
                    Some(State::Begun) => return Err(circle(*number)),
                    Some(State::New) => stack.push((*number, false)),
                    _ => {}
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Tensors by letter, those that models name first: bytes of the record, of the content, bases.
    /// Lower case: no model names it. Each stands behind its bases in `order`. Gives what is sent
    /// alone, and what stays.
    fn alone(tensors: &[(char, u64, u64, &str)]) -> (String, String) {
        let mut rows: Vec<&(char, u64, u64, &str)> = tensors.iter().collect();
        rows.sort_by_key(|(letter, ..)| letter.is_lowercase());
        let row = |letter: char| rows.iter().position(|row| row.0 == letter).unwrap() as u32;
        let mut pieces = Pieces::default();
        for (letter, len, raw_len, bases) in &rows {
            pieces.ids.push(ContentId::of(&[*letter as u8]));
            pieces.lens.push(*len);
            pieces.raw_lens.push(*raw_len);
            pieces.places.push((0, 0));
            pieces.bases.extend(bases.chars().map(row));
            pieces.base_ends.push(pieces.bases.len() as u32);
            pieces.named += u32::from(letter.is_uppercase());
        }
        let order: Vec<u32> = tensors.iter().map(|(letter, ..)| row(*letter)).collect();
        let fates = stand_alone(&order, &pieces);
        let letters = |fate: Fate| -> String {
            let all = tensors.iter().map(|(letter, ..)| *letter);
            all.filter(|letter| fates.get(row(*letter) as usize) == Some(&fate)).collect()
        };
        (letters(Fate::Alone), letters(Fate::Stays))
    }

    #[test]
    fn hidden_bases_stay_where_they_cost_more_than_they_save() {
        let is = |found: (String, String), alone: &str, left: &str| {
            assert_eq!((found.0.as_str(), found.1.as_str()), (alone, left));
        };
        // What a model names goes anyway.
        is(alone(&[('B', 100, 100, ""), ('T', 30, 100, "B")]), "", "");
        is(alone(&[('b', 100, 100, ""), ('T', 30, 100, "b")]), "T", "b");
        is(alone(&[('b', 100, 100, ""), ('S', 30, 100, "b"), ('T', 30, 100, "b")]), "", "");
        is(alone(&[('b', 100, 100, ""), ('S', 70, 100, "b"), ('T', 70, 100, "b")]), "ST", "b");
        // What stands on one that is sent alone stays a difference.
        is(alone(&[('b', 100, 100, ""), ('S', 30, 100, "b"), ('T', 30, 100, "S")]), "S", "b");
        // A whole chain of hidden ones, and one whose foot another tensor needs.
        is(alone(&[('a', 100, 100, ""), ('b', 30, 100, "a"), ('T', 30, 100, "b")]), "T", "ab");
        let foot = [('A', 100, 100, ""), ('b', 30, 100, "A"), ('T', 30, 100, "b")];
        is(alone(&foot), "", "");
        // Of a formula over a parent and small hidden differences nothing is gained.
        is(alone(&[('P', 100, 100, ""), ('h', 25, 25, ""), ('T', 1, 100, "Ph")]), "", "");
        // Two bases of one tensor, one of them shared.
        let shared = [
            ('a', 90, 90, ""),
            ('b', 90, 90, ""),
            ('S', 9, 90, "ab"),
            ('T', 9, 90, "b"),
            ('U', 9, 90, "b"),
        ];
        is(alone(&shared), "S", "a");
    }
}
