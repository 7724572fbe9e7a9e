//! The tree of the strongest ties, and where it hangs.

use std::collections::{HashMap, HashSet};

/// A tie between two members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tie {
    pub(super) ends: (usize, usize),
    /// How strong it is.
    pub(super) score: f64,
    /// The distance of the weights.
    pub(super) distance: f64,
    /// The logarithm of the odds that the first end is the parent of the second.
    pub(super) odds: f64,
}

/// Of two ties nearly as strong, the difference in bits an element that does not count; and where
/// the weights' distance says the opposite.
const NEAR_BITS: f64 = 0.1;
const CONTRADICTED_BITS: f64 = 0.5;
/// The same for distances, as a factor.
const NEAR_DISTANCE: f64 = 1.03;
/// The cosine from which on a step is one back.
const BACKWARDS: f64 = 0.05;

/// How much centrality counts beside evidence.
const CENTRALITY: f64 = 0.5;

/// Whether a model at these distances is not on the way: the step from `middle` to `far` goes back
/// towards `near`, though `near` is as close to `far`. Then the two are rather siblings.
pub(super) fn turns_back(near_middle: f64, middle_far: f64, near_far: f64) -> bool {
    let product = near_middle * middle_far;
    if product <= 0.0 || near_far > NEAR_DISTANCE * middle_far {
        return false;
    }
    let cosine = (near_middle.powi(2) + middle_far.powi(2) - near_far.powi(2)) / (2.0 * product);
    cosine > BACKWARDS
}

/// Whether one tie may stand in for another.
pub(super) fn is_near(tie: &Tie, other: &Tie) -> bool {
    let nearer = tie.distance < other.distance;
    tie.score >= other.score - if nearer { CONTRADICTED_BITS } else { NEAR_BITS }
}

fn find(groups: &mut [usize], at: usize) -> usize {
    let mut root = at;
    while let Some(next) = groups.get(root).copied().filter(|next| *next != root) {
        root = next;
    }
    if let Some(group) = groups.get_mut(at) {
        *group = root;
    }
    root
}

/// The places of the ties of the strongest forest.
pub(super) fn strongest_forest(members: usize, ties: &[Tie]) -> Vec<usize> {
    let mut order: Vec<(usize, &Tie)> = ties.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score).then(a.ends.cmp(&b.ends)));
    let mut groups: Vec<usize> = (0..members).collect();
    let mut chosen = Vec::new();
    for (at, tie) in order {
        let (a, b) = (find(&mut groups, tie.ends.0), find(&mut groups, tie.ends.1));
        if a != b {
            if let Some(group) = groups.get_mut(b) {
                *group = a;
            }
            chosen.push(at);
        }
    }
    chosen
}

/// Hangs members that only seem to stand between two others beside them.
pub(super) fn straighten(ties: &[Tie], chosen: &mut [usize]) {
    let between =
        |a: usize, b: usize| ties.iter().position(|tie| tie.ends == (a, b) || tie.ends == (b, a));
    let other_end = |tie: &Tie, end: usize| match tie.ends {
        (a, b) if a == end => Some(b),
        (a, b) if b == end => Some(a),
        _ => None,
    };
    for place in 0..chosen.len() {
        let Some(tie) = chosen.get(place).and_then(|at| ties.get(*at)).copied() else { continue };
        for (middle, far) in [tie.ends, (tie.ends.1, tie.ends.0)] {
            let neighbours = chosen.iter().filter_map(|at| ties.get(*at));
            let better = neighbours
                .filter_map(|next| Some((next, other_end(next, middle)?)))
                .filter(|(_, near)| *near != far)
                .find_map(|(next, near)| {
                    let at = between(near, far)?;
                    let direct = ties.get(at)?;
                    let fits = is_near(direct, &tie)
                        && turns_back(next.distance, tie.distance, direct.distance);
                    fits.then_some(at)
                });
            if let (Some(at), Some(slot)) = (better, chosen.get_mut(place)) {
                *slot = at;
                break;
            }
        }
    }
}

/// For every tie of a forest the probability that its first end is the parent of its second.
///
/// Every member of a tree may be its root. A root is as likely as the odds of all ties, directed
/// away from it, say, and as the number of orders in which the tree can have grown from it
/// (the centrality of Shah and Zaman, "Rumors in a Network"), with half its weight.
pub(super) fn directions(members: usize, ties: &[Tie]) -> Vec<f64> {
    let mut neighbours: Vec<Vec<(usize, usize)>> = vec![Vec::new(); members];
    for (at, tie) in ties.iter().enumerate() {
        for (end, other) in [tie.ends, (tie.ends.1, tie.ends.0)] {
            if let Some(list) = neighbours.get_mut(end) {
                list.push((other, at));
            }
        }
    }
    let mut towards = vec![0.5; ties.len()];
    let mut seen = vec![false; members];
    for start in 0..members {
        if seen.get(start).copied().unwrap_or(true) {
            continue;
        }
        let tree = walk(&neighbours, start);
        for (member, _) in &tree {
            if let Some(seen) = seen.get_mut(*member) {
                *seen = true;
            }
        }
        let roots: Vec<usize> = tree.iter().map(|(member, _)| *member).collect();
        let logs: Vec<f64> =
            roots.iter().map(|root| likelihood(&neighbours, ties, *root)).collect();
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|log| (log - highest).exp()).sum();
        for (_, via) in &tree {
            let Some((at, tie)) = via.and_then(|at| Some((at, ties.get(at)?))) else { continue };
            // Members on the first end's side: those that a walk reaches without this tie.
            let side = walk_without(&neighbours, tie.ends.0, Some(at));
            let side: HashSet<usize> = side.into_iter().map(|(member, _)| member).collect();
            let weight: f64 = roots
                .iter()
                .zip(&logs)
                .filter(|(root, _)| side.contains(root))
                .map(|(_, log)| (log - highest).exp())
                .sum();
            if let Some(slot) = towards.get_mut(at) {
                *slot = weight / total;
            }
        }
    }
    towards
}

/// The members of a tree, each with the tie that leads to it, parents first.
fn walk(neighbours: &[Vec<(usize, usize)>], root: usize) -> Vec<(usize, Option<usize>)> {
    walk_without(neighbours, root, None)
}

/// The same of the part of the tree that is reached from `root` without a tie of it.
fn walk_without(
    neighbours: &[Vec<(usize, usize)>],
    root: usize,
    without: Option<usize>,
) -> Vec<(usize, Option<usize>)> {
    let mut order = vec![(root, without)];
    let mut next = 0;
    while let Some((member, via)) = order.get(next).copied() {
        next += 1;
        for (other, at) in neighbours.get(member).into_iter().flatten() {
            if Some(*at) != via {
                order.push((*other, Some(*at)));
            }
        }
    }
    order
}

fn likelihood(neighbours: &[Vec<(usize, usize)>], ties: &[Tie], root: usize) -> f64 {
    let order = walk(neighbours, root);
    let mut sizes = HashMap::new();
    let mut log = 0.0;
    for (member, via) in order.iter().rev() {
        let size = 1 + sizes.get(member).copied().unwrap_or(0usize);
        log -= CENTRALITY * (size as f64).ln();
        let Some(tie) = via.and_then(|at| ties.get(at)) else { continue };
        let (parent, odds) = match tie.ends {
            (parent, child) if child == *member => (parent, tie.odds),
            (_, parent) => (parent, -tie.odds),
        };
        *sizes.entry(parent).or_default() += size;
        // The logarithm of the probability with these odds.
        log -= (-odds).exp().ln_1p();
    }
    log
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn tie(a: usize, b: usize, score: f64, distance: f64, odds: f64) -> Tie {
        Tie { ends: (a, b), score, distance, odds }
    }

    #[test]
    fn two_members_have_the_odds_of_their_tie() {
        let towards = directions(2, &[tie(0, 1, 1.0, 1.0, 2.0)]);
        assert!((towards[0] - 1.0 / (1.0 + (-2f64).exp())).abs() < 1e-12);
        assert_eq!(directions(2, &[tie(0, 1, 1.0, 1.0, 0.0)]), [0.5]);
    }

    #[test]
    fn one_sure_tie_turns_the_others() {
        // 0 - 1 - 2: the evidence says 1 comes from 0; then 2 comes from 1.
        let towards = directions(3, &[tie(0, 1, 1.0, 1.0, 5.0), tie(1, 2, 1.0, 1.0, 0.0)]);
        assert!(towards[0] > 0.9 && towards[1] > 0.6, "{towards:?}");
        let towards = directions(3, &[tie(0, 1, 1.0, 1.0, 5.0), tie(2, 1, 1.0, 1.0, 3.0)]);
        // A tree has one root: two parents of one member contradict each other.
        assert!(towards[0] > 0.8 && towards[1] < 0.5, "{towards:?}");
    }

    #[test]
    fn the_forest_takes_the_strongest_ties() {
        let ties = [tie(0, 1, 1.0, 1.0, 0.0), tie(1, 2, 3.0, 1.0, 0.0), tie(0, 2, 2.0, 1.0, 0.0)];
        assert_eq!(strongest_forest(3, &ties), [1, 2]);
        assert_eq!(strongest_forest(4, &[]), [0usize; 0]);
    }

    #[test]
    fn siblings_that_went_the_same_way_are_hung_beside_each_other() {
        // Base 0; 1 has gone a little, 2 far and in part the same way: nearer to 1 than to 0.
        let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        let (base, one, two) = ([0.0, 0.0], [1.0, 0.0], [0.6, 3.0]);
        let ties = [
            tie(0, 1, 8.0, distance(base, one), 0.0),
            tie(1, 2, 5.02, distance(one, two), 0.0),
            tie(0, 2, 5.0, distance(base, two), 0.0),
        ];
        let mut chosen = strongest_forest(3, &ties);
        assert_eq!(chosen, [0, 1]);
        straighten(&ties, &mut chosen);
        assert_eq!(chosen, [0, 2]);
        // A chain goes on: nothing is changed.
        let two = [2.0, 0.3];
        let ties = [
            tie(0, 1, 8.0, distance(base, one), 0.0),
            tie(1, 2, 5.0, distance(one, two), 0.0),
            tie(0, 2, 4.95, distance(base, two), 0.0),
        ];
        let mut chosen = strongest_forest(3, &ties);
        straighten(&ties, &mut chosen);
        assert_eq!(chosen, [0, 1]);
    }
}
