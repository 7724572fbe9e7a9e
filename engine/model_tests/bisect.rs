//! The first node on a way that fails, in as few runs as can be.

use super::TestError;
use crate::lineage::{Edges, Graph, Node, NodeId, Via};

/// What a bisection found. Places are those on the way, from the one that passes on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Bisection {
    /// The last place before it that was seen to pass.
    pub last_good: usize,
    /// The first failing place: the one behind `last_good`, unless places between them could not
    /// be tested. Then it is the first that was seen to fail.
    pub first_bad: usize,
    /// What was looked at, in order: place, and whether it passed; none where that could not be
    /// told.
    pub looked_at: Vec<(usize, Option<bool>)>,
    /// Places whose result was known before, and contradicts that everything passes before
    /// `first_bad` and fails from there on: the history goes back and forth, and this is one of
    /// several places where it turns.
    pub contradictions: Vec<usize>,
}

impl Bisection {
    /// Whether it is known which place is the first that fails, as far as the history turns once.
    pub fn is_exact(&self) -> bool {
        self.first_bad == self.last_good + 1
    }
}

/// Searches a way of `len` places, of which the first passes and the last fails, for a place that
/// fails behind one that passes. `probe` tests a place; `known` gives what is known of a place
/// without a test. Runs: 2 for the ends, and log2 of the places behind the first, rounded up, if
/// all of them can be tested.
///
/// # Errors
///
/// Those of `probe`. `Ok(Err(place))` for an end that is not what it must be.
pub fn bisect<E>(
    len: usize,
    known: &dyn Fn(usize) -> Option<bool>,
    probe: &mut dyn FnMut(usize) -> Result<Option<bool>, E>,
) -> Result<Result<Bisection, (usize, Option<bool>)>, E> {
    let mut looked_at = Vec::new();
    let mut look = |place: usize, looked_at: &mut Vec<_>| -> Result<Option<bool>, E> {
        let passed = probe(place)?;
        looked_at.push((place, passed));
        Ok(passed)
    };
    let (mut good, mut bad) = (0, len.saturating_sub(1));
    for (end, wanted) in [(good, true), (bad, false)] {
        let passed = look(end, &mut looked_at)?;
        if passed != Some(wanted) || good == bad {
            return Ok(Err((end, passed)));
        }
    }
    loop {
        let middle = good + (bad - good) / 2;
        // The nearest to the middle that was not found impossible to test.
        let is_open = |place: &usize| !looked_at.iter().any(|(seen, _)| seen == place);
        let open = (good + 1..bad).filter(is_open);
        let Some(place) = open.min_by_key(|place| place.abs_diff(middle)) else { break };
        match look(place, &mut looked_at)? {
            Some(true) => good = place,
            Some(false) => bad = place,
            None => {}
        }
    }
    let contradicts = |place: &usize| match known(*place) {
        Some(passed) => passed != (*place < bad) && !(good < *place && *place < bad),
        None => false,
    };
    let contradictions = (0..len).filter(contradicts).collect();
    Ok(Ok(Bisection { last_good: good, first_bad: bad, looked_at, contradictions }))
}

/// The nodes from `good` to `bad`, both among them: the versions between two of one history, else
/// a shortest way of derivations, else one of both kinds of edge. Says which edges it follows.
///
/// # Errors
///
/// [`TestError::NoPath`]; those of the catalogue.
pub fn path_between(
    graph: &Graph<'_>,
    good: &Node,
    bad: &Node,
) -> Result<(Vec<NodeId>, Edges), TestError> {
    for edges in [Edges::Version, Edges::Provenance, Edges::Both] {
        if let Some(steps) = graph.path(good.id, bad.id, edges, Via::Descent)? {
            let first = std::iter::once(good.id);
            return Ok((first.chain(steps.into_iter().map(|step| step.node)).collect(), edges));
        }
    }
    Err(TestError::NoPath { good: good.full_name(), bad: bad.full_name() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn search(history: &[Option<bool>]) -> Result<Bisection, (usize, Option<bool>)> {
        let mut probe = |place: usize| Ok::<_, Infallible>(history[place]);
        bisect(history.len(), &|place| history[place], &mut probe).unwrap()
    }

    /// log2, rounded up.
    fn log2(n: usize) -> usize {
        n.next_power_of_two().trailing_zeros() as usize
    }

    proptest! {
        /// Against a look at every place: the same answer, in no more runs than promised.
        #[test]
        fn one_turn_is_found(good in 1usize..200, bad in 1usize..200) {
            let history: Vec<_> = (0..good + bad).map(|place| Some(place < good)).collect();
            let naive = history.iter().position(|passed| *passed == Some(false)).unwrap();
            let found = search(&history).unwrap();
            prop_assert_eq!((found.first_bad, found.is_exact()), (naive, true));
            prop_assert!(found.contradictions.is_empty());
            prop_assert!(found.looked_at.len() <= 2 + log2(history.len() - 1));
        }

        /// A history that goes back and forth, some of it impossible to test: what is said to be a
        /// turn is one, and where results say otherwise that is told.
        #[test]
        fn what_is_said_is_so(
            middle in proptest::collection::vec(prop_oneof![
                4 => Just(Some(true)), 4 => Just(Some(false)), 1 => Just(None)
            ], 0..80),
        ) {
            let ends = (std::iter::once(Some(true)), std::iter::once(Some(false)));
            let history: Vec<_> = ends.0.chain(middle).chain(ends.1).collect();
            let found = search(&history).unwrap();
            prop_assert_eq!(history[found.last_good], Some(true));
            prop_assert_eq!(history[found.first_bad], Some(false));
            prop_assert!(history[found.last_good + 1..found.first_bad].iter().all(Option::is_none));
            let turns = (1..history.len()).filter(|place| {
                let before = history[..*place].iter().rev().flatten().next();
                history[*place] == Some(false) && before == Some(&true)
            });
            prop_assert_eq!(found.contradictions.is_empty(), turns.count() == 1);
            let mut seen: Vec<_> = found.looked_at.iter().map(|(place, _)| *place).collect();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), found.looked_at.len());
        }
    }

    #[test]
    fn wrong_ends_are_told() {
        assert_eq!(search(&[Some(false), Some(false)]), Err((0, Some(false))));
        assert_eq!(search(&[Some(true), Some(true)]), Err((1, Some(true))));
        assert_eq!(search(&[None, Some(false)]), Err((0, None)));
        assert_eq!(search(&[Some(true)]), Err((0, Some(true))));
        assert_eq!(search(&[Some(true), Some(false)]).unwrap().looked_at.len(), 2);
    }
}
