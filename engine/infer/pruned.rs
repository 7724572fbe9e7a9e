//! Members that are others with zeros put in.
//!
//! A pruned member has everything that is left from the one that it was made of, and so is as near to
//! all of its family where it was not pruned. Who comes from which is seen where the zeros are.

use std::collections::{HashMap, HashSet};

use super::geometry::Geometry;
use super::tree::{Pruned, Tie};

/// Removes the ties of what was pruned to others than the member that it was made of and those that
/// were made of it, and from that member to the latter.
pub(super) fn cut_detours(geometry: &Geometry, ties: &mut Vec<Tie>) {
    // Of each pruned member the nearest source.
    let mut sources: HashMap<usize, (f64, usize)> = HashMap::new();
    for tie in ties.iter() {
        let (source, pruned) = match tie.pruned {
            Pruned::Neither => continue,
            Pruned::Second => tie.ends,
            Pruned::First => (tie.ends.1, tie.ends.0),
        };
        let own = sources.entry(pruned).or_insert((f64::NEG_INFINITY, source));
        if tie.score > own.0 {
            *own = (tie.score, source);
        }
    }
    let mut pruned_of: HashMap<usize, Vec<usize>> = HashMap::new();
    for (pruned, (_, source)) in &sources {
        pruned_of.entry(*source).or_default().push(*pruned);
    }
    let all: HashSet<(usize, usize)> = ties.iter().map(|tie| tie.ends).collect();
    let is_tied = |a: usize, b: usize| all.contains(&(a.min(b), a.max(b)));
    // Whether another is nearer to `first` than to `second`, and tied to it.
    let nearer = |other: usize, first: usize, second: usize| {
        let distances = geometry.distance2(first, other).zip(geometry.distance2(second, other));
        is_tied(first, other) && distances.is_some_and(|(first, second)| first < second)
    };
    let is_detour = |at: usize, other: usize| {
        let of_source = sources
            .get(&at)
            .is_some_and(|(_, source)| sources.contains_key(&other) || nearer(other, *source, at));
        let mut pruned = pruned_of.get(&at).into_iter().flatten();
        of_source
            || !sources.contains_key(&other) && pruned.any(|pruned| nearer(other, *pruned, at))
    };
    ties.retain(|tie| {
        let (a, b) = tie.ends;
        tie.signs.function != 0.0 || !is_detour(a, b) && !is_detour(b, a)
    });
}
