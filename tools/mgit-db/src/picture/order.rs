//! The order of places within layers: few crossings of lines.

/// Rounds to and fro; fewer where there is much to count.
const ROUNDS: usize = 16;
/// Edges from which on there are fewer rounds.
const EDGES_MANY: usize = 20_000;

/// Orders each layer by the mean place of neighbours in the layer before, then behind, and so on;
/// keeps the order with the fewest crossings. Cost: a few times the edges, times a logarithm.
pub fn order_layers(layers: &mut [Vec<usize>], before: &[Vec<usize>], behind: &[Vec<usize>]) {
    let edges: usize = before.iter().map(Vec::len).sum();
    let rounds = if edges > EDGES_MANY { 4 } else { ROUNDS };
    let mut place = vec![0usize; before.len()];
    let number = |layer: &[usize], place: &mut [usize]| {
        layer.iter().enumerate().for_each(|(at, node)| place[*node] = at);
    };
    layers.iter().for_each(|layer| number(layer, &mut place));
    let mut best: (usize, Vec<Vec<usize>>) = (crossings(layers, behind, &place), layers.to_vec());
    for round in 0..rounds {
        if best.0 == 0 {
            break;
        }
        let (near, order): (_, Vec<usize>) = match round % 2 {
            0 => (before, (1..layers.len()).collect()),
            _ => (behind, (0..layers.len().saturating_sub(1)).rev().collect()),
        };
        for at in order {
            let layer = &mut layers[at];
            let mean = |node: &usize| -> Option<f64> {
                let near = &near[*node];
                let sum: usize = near.iter().map(|other| place[*other]).sum();
                (!near.is_empty()).then(|| sum as f64 / near.len() as f64)
            };
            // What has no neighbours there stays where it is; the rest goes around it.
            let mut keyed: Vec<(f64, usize)> = Vec::with_capacity(layer.len());
            for (now, node) in layer.iter().enumerate() {
                keyed.push((mean(node).unwrap_or(now as f64), *node));
            }
            // Every other round turns ties round, to get out of a dead end.
            match round % 4 < 2 {
                true => keyed.sort_by(|a, b| a.0.total_cmp(&b.0)),
                false => {
                    keyed.reverse();
                    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                }
            }
            layer.clear();
            layer.extend(keyed.into_iter().map(|(_, node)| node));
            number(layer, &mut place);
        }
        let count = crossings(layers, behind, &place);
        if count < best.0 {
            best = (count, layers.to_vec());
        }
    }
    layers.iter_mut().zip(best.1).for_each(|(layer, best)| *layer = best);
}

/// How many pairs of lines cross between all layers.
pub fn crossings(layers: &[Vec<usize>], behind: &[Vec<usize>], place: &[usize]) -> usize {
    let mut count = 0;
    for pair in layers.windows(2) {
        // In the order of their beginnings, ends that come behind a higher end cross its line.
        let mut sums = Sums(vec![0; pair[1].len() + 1]);
        let mut seen = 0;
        for node in &pair[0] {
            let mut ends: Vec<usize> = behind[*node].iter().map(|next| place[*next]).collect();
            ends.sort_unstable();
            count += ends.iter().map(|end| seen - sums.up_to(*end)).sum::<usize>();
            seen += ends.len();
            ends.into_iter().for_each(|end| sums.add(end));
        }
    }
    count
}

/// Counts of places, with the sum up to any of them in logarithmic time (Fenwick).
struct Sums(Vec<usize>);

impl Sums {
    fn add(&mut self, place: usize) {
        let mut at = place + 1;
        while at < self.0.len() {
            self.0[at] += 1;
            at += at & at.wrapping_neg();
        }
    }

    fn up_to(&self, place: usize) -> usize {
        let (mut at, mut sum) = (place + 1, 0);
        while at > 0 {
            sum += self.0[at];
            at &= at - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers of `count` nodes, and edges between them.
    fn two(count: usize, edges: &[(usize, usize)]) -> [Vec<Vec<usize>>; 3] {
        let layers = vec![(0..count).collect(), (count..2 * count).collect()];
        let (mut before, mut behind) = (vec![Vec::new(); 2 * count], vec![Vec::new(); 2 * count]);
        for (from, to) in edges {
            behind[*from].push(count + to);
            before[count + to].push(*from);
        }
        [layers, before, behind]
    }

    fn place(layers: &[Vec<usize>]) -> Vec<usize> {
        let mut place = vec![0; layers.iter().map(Vec::len).sum()];
        layers.iter().for_each(|layer| {
            layer.iter().enumerate().for_each(|(at, node)| place[*node] = at);
        });
        place
    }

    #[test]
    fn crossings_are_counted_as_a_naive_program_counts_them() {
        let edges = [(0, 3), (0, 1), (1, 0), (1, 3), (2, 2), (2, 0), (3, 1), (3, 1)];
        let [layers, _, behind] = two(4, &edges);
        let naive = edges.iter().enumerate().map(|(at, (a, b))| {
            edges[at + 1..].iter().filter(|(c, d)| (a < c && b > d) || (a > c && b < d)).count()
        });
        assert_eq!(crossings(&layers, &behind, &place(&layers)), naive.sum::<usize>());
    }

    #[test]
    fn what_can_be_drawn_without_crossings_is() {
        let [mut layers, before, behind] = two(5, &[(0, 4), (1, 3), (2, 2), (3, 1), (4, 0)]);
        order_layers(&mut layers, &before, &behind);
        assert_eq!(crossings(&layers, &behind, &place(&layers)), 0);
    }
}
