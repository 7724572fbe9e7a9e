//! Which layer of one model is which of the other.

use std::collections::{HashMap, HashSet, VecDeque};

use super::graph::{Hash, LayerGraph};

/// The most edges of one layer that are tried for one edge of the other model.
const EDGES_TRIED_MAX: usize = 1024;

/// What makes two layers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Mode {
    /// Kind and attributes.
    Structural,
    /// The contents of their tensors too.
    Contextual,
}

/// Pairs of layers, one of each model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// The pairs, ascending in both models.
    pub pairs: Vec<(usize, usize)>,
}

/// A matching that grows: for every layer its partner.
struct Growing<'g> {
    a: &'g LayerGraph,
    b: &'g LayerGraph,
    there: Vec<Option<usize>>,
    here: Vec<Option<usize>>,
}

impl Growing<'_> {
    fn there(&self, a: usize) -> Option<usize> {
        self.there.get(a).copied().flatten()
    }

    fn is_free(&self, b: usize) -> bool {
        self.here.get(b).is_some_and(Option::is_none)
    }

    fn pair(&mut self, a: usize, b: usize) {
        if let (Some(there), Some(here)) = (self.there.get_mut(a), self.here.get_mut(b)) {
            (*there, *here) = (Some(b), Some(a));
        }
    }
}

/// Matches the layers of two models, as MGit does:
///
/// 1. Edges whose ends have the same structural hashes are paired, the rarest first (of equally
///    rare ones the earliest), as far as they agree with the layers paired before.
/// 2. Left-over layers of the same structural hash are paired in topological order.
/// 3. Of all pairs the most that keep the order stay.
/// 4. With [`Mode::Contextual`], only pairs of equal contents stay.
///
/// Cost: O(e log e) for `e` edges and layers, whatever they are.
pub fn match_layers(a: &LayerGraph, b: &LayerGraph, mode: Mode) -> Matching {
    let mut pairs = in_order(&grown(a, b));
    if mode == Mode::Contextual {
        pairs.retain(|(left, right)| a.contextual(*left) == b.contextual(*right));
    }
    Matching { pairs }
}

/// The pairs of the first two steps, ascending in the first model.
fn grown(a: &LayerGraph, b: &LayerGraph) -> Vec<(usize, usize)> {
    let mut growing = Growing { a, b, there: vec![None; a.len()], here: vec![None; b.len()] };
    match_edges(&mut growing);
    match_left_over(&mut growing);
    let pairs = growing.there.iter().enumerate();
    pairs.filter_map(|(a, b)| Some((a, (*b)?))).collect()
}

/// Edges, as pairs of places of layers.
type Edges = Vec<(usize, usize)>;

/// Edges of one hash, of both models.
type Bucket = (Edges, Edges);

fn match_edges(growing: &mut Growing<'_>) {
    let mut buckets: HashMap<[Hash; 2], Bucket> = HashMap::new();
    for edge in growing.a.edges() {
        buckets.entry(growing.a.edge_hash(*edge)).or_default().0.push(*edge);
    }
    // The same edges by their ends.
    let mut incoming: Edges = growing.b.edges().iter().map(|(from, to)| (*to, *from)).collect();
    incoming.sort_unstable();
    for edge in growing.b.edges() {
        if let Some(bucket) = buckets.get_mut(&growing.b.edge_hash(*edge)) {
            bucket.1.push(*edge);
        }
    }
    let mut buckets: Vec<Bucket> =
        buckets.into_values().filter(|bucket| !bucket.1.is_empty()).collect();
    buckets.sort_by_key(|(a, b)| (a.len() + b.len(), a.first().copied()));
    for (left, right) in buckets {
        let is_right: HashSet<(usize, usize)> = right.iter().copied().collect();
        let mut next_free = right.iter();
        let mut free = next_free.next();
        for (from, to) in left {
            match (growing.there(from), growing.there(to)) {
                // Nothing is left to be paired.
                (Some(_), Some(_)) => {}
                (Some(from_b), None) => {
                    let edges = growing.b.edges();
                    let first = edges.partition_point(|(from, _)| *from < from_b);
                    let own = edges.iter().skip(first).take(EDGES_TRIED_MAX);
                    let mut own = own.take_while(|(from, _)| *from == from_b);
                    let found = own
                        .find(|edge| is_right.contains(edge) && growing.is_free(edge.1))
                        .map(|(_, to)| *to);
                    found.into_iter().for_each(|to_b| growing.pair(to, to_b));
                }
                (None, Some(to_b)) => {
                    let first = incoming.partition_point(|(to, _)| *to < to_b);
                    let own = incoming.iter().skip(first).take(EDGES_TRIED_MAX);
                    let own = own.take_while(|(to, _)| *to == to_b);
                    let mut own = own.map(|(_, from)| *from);
                    let found = own.find(|from_b| {
                        is_right.contains(&(*from_b, to_b)) && growing.is_free(*from_b)
                    });
                    found.into_iter().for_each(|from_b| growing.pair(from, from_b));
                }
                (None, None) => {
                    // What was taken once is never free again: each edge is passed once.
                    while let Some((from_b, to_b)) = free.copied() {
                        if growing.is_free(from_b) && growing.is_free(to_b) {
                            growing.pair(from, from_b);
                            growing.pair(to, to_b);
                            break;
                        }
                        free = next_free.next();
                    }
                }
            }
        }
    }
}

fn match_left_over(growing: &mut Growing<'_>) {
    let mut free: HashMap<Hash, VecDeque<usize>> = HashMap::new();
    for layer in (0..growing.b.len()).filter(|layer| growing.is_free(*layer)) {
        free.entry(growing.b.structural(layer)).or_default().push_back(layer);
    }
    for layer in 0..growing.a.len() {
        if growing.there(layer).is_none()
            && let Some(queue) = free.get_mut(&growing.a.structural(layer))
            && let Some(found) = queue.pop_front()
        {
            growing.pair(layer, found);
        }
    }
}

/// The longest part of `pairs`, which ascend in their first numbers, that ascends in the second
/// ones too.
fn in_order(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // tails[n]: the place of the pair that ends the best sequence of n + 1 so far.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let second = |at: &usize| pairs.get(*at).map(|pair| pair.1);
    for (at, pair) in pairs.iter().enumerate() {
        let len = tails.partition_point(|tail| second(tail) < Some(pair.1));
        before.push(len.checked_sub(1).and_then(|len| tails.get(len)).copied());
        match tails.get_mut(len) {
            Some(tail) => *tail = at,
            None => tails.push(at),
        }
    }
    let mut kept = Vec::with_capacity(tails.len());
    let mut next = tails.last().copied();
    while let Some(at) = next {
        kept.extend(pairs.get(at));
        next = before.get(at).copied().flatten();
    }
    kept.reverse();
    kept
}

impl Matching {
    /// Edges of the first model without a counterpart, and of the second.
    pub fn changed_edges(&self, a: &LayerGraph, b: &LayerGraph) -> (Edges, Edges) {
        let there: HashMap<usize, usize> = self.pairs.iter().copied().collect();
        let edges_b: HashSet<(usize, usize)> = b.edges().iter().copied().collect();
        let image = |(from, to): &(usize, usize)| Some((*there.get(from)?, *there.get(to)?));
        let kept = |edge: &(usize, usize)| image(edge).filter(|image| edges_b.contains(image));
        let matched: HashSet<(usize, usize)> = a.edges().iter().filter_map(&kept).collect();
        let deleted = a.edges().iter().filter(|edge| kept(edge).is_none()).copied().collect();
        let added = b.edges().iter().filter(|edge| !matched.contains(*edge)).copied().collect();
        (deleted, added)
    }

    /// (Edges added + edges deleted) / (edges of both). Models without edges are held together by
    /// their layers instead.
    pub fn divergence(&self, a: &LayerGraph, b: &LayerGraph) -> f64 {
        let (deleted, added) = self.changed_edges(a, b);
        let (changed, all) = match a.edges().len() + b.edges().len() {
            0 => (a.len() + b.len() - 2 * self.pairs.len(), a.len() + b.len()),
            all => (deleted.len() + added.len(), all),
        };
        if all == 0 { 0.0 } else { changed as f64 / all as f64 }
    }
}

/// How far two models are apart: 0 when they are equal, 1 when they have nothing in common. The
/// smaller of both orders of arguments.
pub fn divergence(a: &LayerGraph, b: &LayerGraph, mode: Mode) -> f64 {
    let one = match_layers(a, b, mode).divergence(a, b);
    let other = match_layers(b, a, mode).divergence(b, a);
    one.min(other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn chain(layers: &[(u64, u64)]) -> LayerGraph {
        let edges: Vec<_> = (1..layers.len()).map(|at| (at - 1, at)).collect();
        LayerGraph::from_parts(layers, &edges)
    }

    fn both(a: &LayerGraph, b: &LayerGraph) -> (f64, f64) {
        (divergence(a, b, Mode::Structural), divergence(a, b, Mode::Contextual))
    }

    #[test]
    fn equal_and_empty_models() {
        let model = chain(&[(1, 1), (2, 2), (3, 3)]);
        assert_eq!(both(&model, &model), (0.0, 0.0));
        let empty = LayerGraph::default();
        assert_eq!(both(&empty, &empty), (0.0, 0.0));
        assert_eq!(both(&empty, &model), (1.0, 1.0));
        let lonely = LayerGraph::from_parts(&[(1, 1)], &[]);
        assert_eq!(both(&lonely, &lonely), (0.0, 0.0));
        assert_eq!(both(&lonely, &LayerGraph::from_parts(&[(1, 2)], &[])), (0.0, 1.0));
        assert_eq!(both(&lonely, &empty), (1.0, 1.0));
    }

    #[test]
    fn one_changed_layer_of_a_chain() {
        // Three edges each; two touch the changed layer, in both models.
        let a = chain(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
        let b = chain(&[(1, 1), (2, 9), (3, 3), (4, 4)]);
        assert_eq!(both(&a, &b), (0.0, 4.0 / 6.0));
        // Of another kind: structurally the same loss.
        let c = chain(&[(1, 1), (7, 2), (3, 3), (4, 4)]);
        assert_eq!(both(&a, &c), (4.0 / 6.0, 4.0 / 6.0));
    }

    #[test]
    fn a_head_that_was_added() {
        let a = chain(&[(1, 1), (2, 2), (3, 3)]);
        let b = chain(&[(1, 1), (2, 2), (3, 3), (4, 4)]);
        assert_eq!(both(&a, &b), (1.0 / 5.0, 1.0 / 5.0));
    }

    #[test]
    fn a_diamond_that_loses_an_arm() {
        //   1          1
        //  2 3   and   2
        //   4          4
        let a = LayerGraph::from_parts(
            &[(1, 1), (2, 2), (3, 3), (4, 4)],
            &[(0, 1), (0, 2), (1, 3), (2, 3)],
        );
        let b = chain(&[(1, 1), (2, 2), (4, 4)]);
        assert_eq!(both(&a, &b), (2.0 / 6.0, 2.0 / 6.0));
    }

    #[test]
    fn duplicated_layers() {
        // Two equal blocks against three: two edges of (1, 2, 1, 2, 1, 2) are new.
        let a = chain(&[(1, 1), (2, 2), (1, 1), (2, 2)]);
        let b = chain(&[(1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (2, 2)]);
        assert_eq!(both(&a, &b), (2.0 / 8.0, 2.0 / 8.0));
        assert_eq!(match_layers(&a, &b, Mode::Structural).pairs, [(0, 0), (1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn matches_that_cross_are_dropped() {
        // 1-2 and 3-4 have changed places: one of the two pairs of edges is kept.
        let a = LayerGraph::from_parts(&[(1, 1), (2, 2), (3, 3), (4, 4)], &[(0, 1), (2, 3)]);
        let b = LayerGraph::from_parts(&[(3, 3), (4, 4), (1, 1), (2, 2)], &[(0, 1), (2, 3)]);
        assert_eq!(both(&a, &b), (2.0 / 4.0, 2.0 / 4.0));
    }

    #[test]
    fn many_equal_layers_take_no_quadratic_time() {
        let layers = vec![(1, 1); 60_000];
        let (a, b) = (chain(&layers), chain(&layers[1..]));
        assert_eq!(match_layers(&a, &b, Mode::Structural).pairs.len(), 59_999);
    }

    /// The rules, word by word: every edge tries every other.
    fn naive(a: &LayerGraph, b: &LayerGraph) -> Vec<(usize, usize)> {
        let mut hashes: Vec<[Hash; 2]> = a.edges().iter().map(|edge| a.edge_hash(*edge)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let of = |graph: &LayerGraph, hash: &[Hash; 2]| -> Vec<(usize, usize)> {
            graph.edges().iter().copied().filter(|edge| graph.edge_hash(*edge) == *hash).collect()
        };
        hashes.retain(|hash| !of(b, hash).is_empty());
        hashes.sort_by_key(|hash| (of(a, hash).len() + of(b, hash).len(), of(a, hash)[0]));
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        let agrees = |pairs: &[(usize, usize)], x: usize, y: usize| {
            pairs.iter().all(|(l, r)| (*l == x) == (*r == y))
        };
        for hash in &hashes {
            for (from, to) in of(a, hash) {
                let mapped =
                    |pairs: &[(usize, usize)], x: usize| pairs.iter().any(|(l, _)| *l == x);
                if mapped(&pairs, from) && mapped(&pairs, to) {
                    continue;
                }
                for (from_b, to_b) in of(b, hash) {
                    if agrees(&pairs, from, from_b) && agrees(&pairs, to, to_b) {
                        for pair in [(from, from_b), (to, to_b)] {
                            if !pairs.contains(&pair) {
                                pairs.push(pair);
                            }
                        }
                        break;
                    }
                }
            }
        }
        for x in 0..a.len() {
            for y in 0..b.len() {
                let free = |pairs: &[(usize, usize)]| pairs.iter().all(|(l, r)| *l != x && *r != y);
                if a.structural(x) == b.structural(y) && free(&pairs) {
                    pairs.push((x, y));
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }

    fn longest_in_order(pairs: &[(usize, usize)]) -> usize {
        let ascends = |mask: &u32| {
            let picked = (0..pairs.len()).filter(|at| mask >> at & 1 == 1);
            let picked: Vec<usize> = picked.map(|at| pairs[at].1).collect();
            picked.windows(2).all(|pair| pair[0] < pair[1])
        };
        (0u32..1 << pairs.len()).filter(ascends).map(u32::count_ones).max().unwrap() as usize
    }

    fn graphs() -> impl Strategy<Value = LayerGraph> {
        let layers = proptest::collection::vec((0u64..3, 0u64..2), 0..7);
        let edges = proptest::collection::vec((0usize..7, 0usize..7), 0..10);
        (layers, edges).prop_map(|(layers, edges)| LayerGraph::from_parts(&layers, &edges))
    }

    proptest! {
        #[test]
        fn matches_are_those_of_the_rules(a in graphs(), b in graphs()) {
            let expected = naive(&a, &b);
            prop_assert_eq!(&grown(&a, &b), &expected);
            let structural = match_layers(&a, &b, Mode::Structural).pairs;
            // Of several longest orders any will do: the number is what the rules fix.
            prop_assert_eq!(structural.len(), longest_in_order(&expected));
            prop_assert!(structural.iter().all(|(l, r)| a.structural(*l) == b.structural(*r)));
            prop_assert!(structural.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
            let contextual = match_layers(&a, &b, Mode::Contextual).pairs;
            let equal = |pair: &&(usize, usize)| a.contextual(pair.0) == b.contextual(pair.1);
            let equal: Vec<_> = structural.iter().filter(equal).copied().collect();
            prop_assert_eq!(contextual, equal);
            for mode in [Mode::Structural, Mode::Contextual] {
                let d = divergence(&a, &b, mode);
                prop_assert!((0.0..=1.0).contains(&d));
                prop_assert_eq!(d, divergence(&b, &a, mode));
                prop_assert_eq!(divergence(&a, &a, mode), 0.0);
            }
        }
    }
}
