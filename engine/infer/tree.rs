//! The tree of the strongest ties, and where it hangs.

use std::collections::{HashMap, HashSet};

use super::belief::{PairSigns, probabilities};

/// Which of two is the other with zeros put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pruned {
    #[default]
    Neither,
    First,
    Second,
}

/// A tie between two members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tie {
    pub(super) ends: (usize, usize),
    /// How strong it is.
    pub(super) score: f64,
    /// The logarithm of the factor by which what was not moved has decayed, from the first to the
    /// second.
    pub(super) decay: Option<f64>,
    /// Whether the second is the first with zeros put in, or the other way round.
    pub(super) pruned: Pruned,
    /// What the two alone say of which came first.
    pub(super) signs: PairSigns,
}

/// How often the ties are gone through to hang what is in a wrong place.
const ROUNDS: usize = 3;

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

/// Hangs members that hang on a neighbour of where they belong: of a tie between `y` and `z`, and an
/// `x` that is tied to `y` and near `z`, `rather(x, y, z)` says how much more the other two hang on
/// `x` than on `y`. Cost: a few calls for each tie.
pub(super) fn straighten(
    (ties, near): (&[Tie], &[Vec<usize>]),
    chosen: &mut [usize],
    rather: &dyn Fn(usize, usize, usize) -> f64,
) {
    let places: HashMap<(usize, usize), usize> =
        ties.iter().enumerate().map(|(at, tie)| (tie.ends, at)).collect();
    let between = |a: usize, b: usize| places.get(&(a.min(b), a.max(b))).copied();
    let mut hung: HashSet<usize> = chosen.iter().copied().collect();
    for _ in 0..ROUNDS {
        let mut is_changed = false;
        for slot in chosen.iter_mut() {
            let Some(tie) = ties.get(*slot).filter(|tie| tie.signs.function == 0.0) else {
                continue;
            };
            let mut best: Option<(f64, usize)> = None;
            for (y, z) in [tie.ends, (tie.ends.1, tie.ends.0)] {
                for x in near.get(z).into_iter().flatten().filter(|x| **x != y) {
                    let is_next = between(*x, y).is_some_and(|at| hung.contains(&at));
                    let Some(at) = between(*x, z).filter(|_| is_next) else { continue };
                    let lead = rather(*x, y, z);
                    if lead > 0.0 && best.is_none_or(|(most, _)| lead > most) {
                        best = Some((lead, at));
                    }
                }
            }
            if let Some((_, at)) = best {
                hung.remove(slot);
                hung.insert(at);
                *slot = at;
                is_changed = true;
            }
        }
        if !is_changed {
            break;
        }
    }
}

/// The places of the ends that each member is tied to, with the ties' places.
fn neighbours(members: usize, ties: &[(usize, usize)]) -> Vec<Vec<(usize, usize)>> {
    let mut neighbours: Vec<Vec<(usize, usize)>> = vec![Vec::new(); members];
    for (at, ends) in ties.iter().enumerate() {
        for (end, other) in [*ends, (ends.1, ends.0)] {
            if let Some(list) = neighbours.get_mut(end) {
                list.push((other, at));
            }
        }
    }
    neighbours
}

/// The trees of a forest: of each its members, each with the tie that leads to it, parents first.
fn trees(neighbours: &[Vec<(usize, usize)>]) -> Vec<Vec<(usize, Option<usize>)>> {
    let mut seen = vec![false; neighbours.len()];
    let mut trees = Vec::new();
    for start in 0..neighbours.len() {
        if seen.get(start) != Some(&false) {
            continue;
        }
        let mut tree = vec![(start, None)];
        let mut next = 0;
        while let Some((member, via)) = tree.get(next).copied() {
            next += 1;
            if let Some(seen) = seen.get_mut(member) {
                *seen = true;
            }
            for (other, at) in neighbours.get(member).into_iter().flatten() {
                if Some(*at) != via {
                    tree.push((*other, Some(*at)));
                }
            }
        }
        trees.push(tree);
    }
    trees
}

/// The members of each tree of a forest.
pub(super) fn groups(members: usize, ties: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let trees = trees(&neighbours(members, ties)).into_iter();
    trees.map(|tree| tree.into_iter().map(|(member, _)| member).collect()).collect()
}

/// Of each tie of a forest how many members are on the side of its first end and of its second.
pub(super) fn sides(members: usize, ties: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut sides = vec![(1, 1); ties.len()];
    for tree in trees(&neighbours(members, ties)) {
        let mut below = vec![1usize; members];
        for (member, via) in tree.iter().rev() {
            let Some((at, ends)) = via.and_then(|at| Some((at, *ties.get(at)?))) else { continue };
            let own = below.get(*member).copied().unwrap_or(1);
            let above = if ends.0 == *member { ends.1 } else { ends.0 };
            if let Some(sum) = below.get_mut(above) {
                *sum += own;
            }
            if let Some(slot) = sides.get_mut(at) {
                let rest = tree.len() - own;
                *slot = if ends.0 == *member { (own, rest) } else { (rest, own) };
            }
        }
    }
    sides
}

/// What a part of a tree is worth, as a factor, when the tie that leads out of it comes from its
/// member's parent, and when it does not.
#[derive(Clone, Copy, Debug)]
struct Part {
    has_parent: f64,
    has_none: f64,
}

/// For every tie of a forest how likely it is that its first end is the parent of its second, its
/// second of its first, and neither, where `scores` says so of each tie alone and no member has two
/// parents. Exact: sums over all ways, passed along the tree. Cost: linear.
pub(super) fn consistent(
    members: usize,
    ties: &[(usize, usize)],
    scores: &[[f64; 3]],
) -> Vec<[f64; 3]> {
    let worth: Vec<[f64; 3]> = scores.iter().map(|scores| probabilities(*scores)).collect();
    let neighbours = neighbours(members, ties);
    let mut found = worth.clone();
    // Of each tie the part behind its first end, and behind its second.
    let mut parts: Vec<[Option<Part>; 2]> = vec![[None; 2]; ties.len()];
    for tree in trees(&neighbours) {
        let up = tree.iter().rev().filter_map(|(member, via)| Some((*member, (*via)?)));
        let down = tree.iter().flat_map(|(member, via)| {
            let all = neighbours.get(*member).into_iter().flatten();
            all.filter(move |(_, at)| Some(*at) != *via).map(move |(_, at)| (*member, *at))
        });
        for (member, at) in up.chain(down) {
            let part = part_of(member, at, &neighbours, (ties, &worth, &parts));
            let is_second = ties.get(at).is_some_and(|ends| ends.1 == member);
            if let Some([first, second]) = parts.get_mut(at) {
                *(if is_second { second } else { first }) = Some(part);
            }
        }
    }
    for ((found, worth), parts) in found.iter_mut().zip(&worth).zip(&parts) {
        let ([Some(first), Some(second)], [forward, backward, neither]) = (parts, worth) else {
            continue;
        };
        let forward = forward * first.has_none * second.has_parent;
        let backward = backward * first.has_parent * second.has_none;
        let neither = neither * first.has_none * second.has_none;
        let sum = forward + backward + neither;
        if sum > 0.0 {
            *found = [forward / sum, backward / sum, neither / sum];
        }
    }
    found
}

/// The ends of all ties, what each is worth, and the parts behind its ends that are known.
type Known<'t> = (&'t [(usize, usize)], &'t [[f64; 3]], &'t [[Option<Part>; 2]]);

/// The part of a tree behind `member`, seen from its tie `out`.
fn part_of(
    member: usize,
    out: usize,
    neighbours: &[Vec<(usize, usize)>],
    (ties, worth, parts): Known<'_>,
) -> Part {
    // All other ties: none of them, or one of them, leads to the member's parent.
    let mut part = Part { has_parent: 1.0, has_none: 1.0 };
    for (_, at) in neighbours.get(member).into_iter().flatten().filter(|(_, at)| *at != out) {
        let all = ties.get(*at).zip(worth.get(*at)).zip(parts.get(*at));
        let Some(((ends, [forward, backward, neither]), [first, second])) = all else { continue };
        let is_first = ends.0 == member;
        let behind = if is_first { second } else { first };
        let Some(behind) = behind else { continue };
        let (to_child, to_parent) =
            if is_first { (forward, backward) } else { (backward, forward) };
        let open = to_child * behind.has_parent + neither * behind.has_none;
        let parent = to_parent * behind.has_none;
        part.has_none = part.has_none * open + part.has_parent * parent;
        part.has_parent *= open;
        // Only their ratio counts.
        let sum = part.has_none + part.has_parent;
        if sum > 0.0 {
            part = Part { has_parent: part.has_parent / sum, has_none: part.has_none / sum };
        }
    }
    part
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn tie(a: usize, b: usize, score: f64) -> Tie {
        let (signs, pruned) = (PairSigns::default(), Pruned::Neither);
        Tie { ends: (a, b), score, decay: None, pruned, signs }
    }

    #[test]
    fn two_members_are_what_their_tie_says() {
        let found = consistent(2, &[(0, 1)], &[[1.0, -1.0, 0.0]]);
        let expected = probabilities([1.0, -1.0, 0.0]);
        assert!(found[0].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn a_member_has_one_parent() {
        // 0 - 1 - 2: it is sure that 1 comes from 0, so it does not come from 2.
        let ties = [(0, 1), (1, 2)];
        let found = consistent(3, &ties, &[[5.0, -5.0, -5.0], [0.0, 0.0, -2.0]]);
        assert!(found[0][0] > 0.99 && found[1][0] > 0.8 && found[1][1] < 0.01, "{found:?}");
        // Two that are as sure contradict each other, whatever the order of their ends.
        let found = consistent(3, &[(0, 1), (2, 1)], &[[3.0, -3.0, -2.0], [3.0, -3.0, -2.0]]);
        assert!(found.iter().all(|it| it[0] < 0.6), "{found:?}");
    }

    /// The same by trying all ways.
    #[test]
    fn sums_along_the_tree_are_those_over_all_ways() {
        let ties = [(0, 1), (2, 1), (1, 3), (4, 3), (5, 6)];
        let scores =
            [[1.0, 0.0, -1.0], [0.5, 0.3, 0.2], [-0.4, 0.9, 0.1], [0.0, 0.7, 0.4], [2.0, 0.0, 0.0]];
        let mut sums = vec![[0.0; 3]; ties.len()];
        for way in 0..3usize.pow(5) {
            let of = |tie: usize| way / 3usize.pow(tie as u32) % 3;
            let mut parents = [0; 7];
            let mut worth = 0.0;
            for (at, (a, b)) in ties.iter().enumerate() {
                worth += scores[at][of(at)];
                match of(at) {
                    0 => parents[*b] += 1,
                    1 => parents[*a] += 1,
                    _ => {}
                }
            }
            if parents.iter().all(|parents| *parents < 2) {
                (0..ties.len()).for_each(|at| sums[at][of(at)] += f64::exp(worth));
            }
        }
        let found = consistent(7, &ties, &scores);
        for (sums, found) in sums.iter().zip(&found) {
            let all: f64 = sums.iter().sum();
            let same = sums.iter().zip(found).all(|(sum, it)| (sum / all - it).abs() < 1e-9);
            assert!(same, "{sums:?} {found:?}");
        }
    }

    #[test]
    fn members_are_counted_on_both_sides() {
        let ties = [(1, 0), (1, 2), (2, 3), (4, 5)];
        assert_eq!(sides(6, &ties), [(3, 1), (2, 2), (3, 1), (1, 1)]);
        assert_eq!(groups(3, &[(2, 0)]), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn the_forest_takes_the_strongest_ties() {
        let ties = [tie(0, 1, 1.0), tie(1, 2, 3.0), tie(0, 2, 2.0)];
        assert_eq!(strongest_forest(3, &ties), [1, 2]);
        assert_eq!(strongest_forest(4, &[]), [0usize; 0]);
    }

    #[test]
    fn siblings_that_went_the_same_way_are_hung_beside_each_other() {
        // Base 0; 1 has gone a little, 2 far and in part the same way: nearer to 1 than to 0.
        let ties = [tie(0, 1, 8.0), tie(0, 2, 5.0), tie(1, 2, 5.02)];
        let near = [vec![1, 2], vec![0, 2], vec![1, 0]];
        let mut chosen = strongest_forest(3, &ties);
        assert_eq!(chosen, [0, 2]);
        let base = |x: usize, _: usize, _: usize| if x == 0 { 1.0 } else { -1.0 };
        straighten((&ties, &near), &mut chosen, &base);
        assert_eq!(chosen, [0, 1]);
        // A chain goes on: nothing is changed, nor where nothing is known.
        let mut chosen = strongest_forest(3, &ties);
        straighten((&ties, &near), &mut chosen, &|x, _, _| if x == 1 { 1.0 } else { -1.0 });
        straighten((&ties, &near), &mut chosen, &|_, _, _| 0.0);
        assert_eq!(chosen, [0, 2]);
    }
}
