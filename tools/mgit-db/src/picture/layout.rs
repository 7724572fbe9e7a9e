//! Where the boxes and lines of a graph go: in layers from left to right, after Sugiyama.
//!
//! Each connected part is laid out alone: layers by longest path, lines that pass a layer get a
//! place in it, the order within layers by barycentres (the one with the fewest crossings is
//! kept), heights by the places of neighbours as near as the order allows. The parts are then put
//! on shelves. Everything is deterministic, and nothing is recursive: a graph may be a long chain.

use std::collections::HashMap;

use super::order::order_layers;

/// Between layers: room for lines and their labels.
const LAYER_GAP: f64 = 124.0;
/// Between boxes of a layer.
const BOX_GAP: f64 = 26.0;
/// Between a line and its neighbour in a layer.
const LINE_GAP: f64 = 10.0;
/// Between connected parts.
const PART_GAP: f64 = 44.0;
/// Rounds of fitting heights.
const FIT_ROUNDS: usize = 12;
/// The most places that lines may take in layers they pass; beyond, long lines go straight.
const PASSES_MAX: usize = 100_000;

/// A point.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Point {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
}

/// A box.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Rect {
    /// Its left edge.
    pub x: f64,
    /// Its top.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

impl Rect {
    /// Its middle from the top.
    pub fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// A graph laid out.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The boxes, in the order of the nodes.
    pub boxes: Vec<Rect>,
    /// For each edge the points between its ends, in pairs: where it enters a layer and leaves it.
    pub lines: Vec<Vec<Point>>,
    /// Of everything.
    pub width: f64,
    /// Of everything.
    pub height: f64,
}

/// One connected part on the way to its layout. Places below the number of boxes are boxes, those
/// behind are lines passing a layer.
#[derive(Debug, Default)]
struct Part {
    /// The graph's number of each box.
    nodes: Vec<usize>,
    layer_of: Vec<usize>,
    layers: Vec<Vec<usize>>,
    /// Neighbours in the layer before and behind, of boxes and passing lines alike.
    before: Vec<Vec<usize>>,
    behind: Vec<Vec<usize>>,
    /// For each edge of the graph in this part: its places in the layers it passes.
    passes: Vec<(usize, Vec<usize>)>,
    sizes: Vec<(f64, f64)>,
}

/// Lays out boxes of these sizes (width, height) with edges from box to box.
pub fn lay_out(sizes: &[(f64, f64)], edges: &[(usize, usize)]) -> Layout {
    let mut layout = Layout {
        boxes: sizes
            .iter()
            .map(|(width, height)| Rect { width: *width, height: *height, ..Rect::default() })
            .collect(),
        lines: vec![Vec::new(); edges.len()],
        ..Layout::default()
    };
    let parts = split(sizes.len(), edges);
    let mut places = Vec::new();
    for (nodes, edge_ids) in parts {
        let mut part = Part::new(nodes, &edge_ids, sizes, edges);
        order_layers(&mut part.layers, &part.before, &part.behind);
        let heights = part.fit();
        places.push(part.place(&heights, &mut layout));
    }
    put_on_shelves(places, &mut layout);
    layout
}

/// The connected parts: nodes and edges of each.
fn split(count: usize, edges: &[(usize, usize)]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut root: Vec<usize> = (0..count).collect();
    fn find(root: &mut [usize], mut at: usize) -> usize {
        while root[at] != at {
            root[at] = root[root[at]];
            at = root[at];
        }
        at
    }
    for (from, to) in edges {
        let (a, b) = (find(&mut root, *from), find(&mut root, *to));
        root[a.max(b)] = a.min(b);
    }
    let mut parts: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let mut part_of: HashMap<usize, usize> = HashMap::new();
    for node in 0..count {
        let root = find(&mut root, node);
        let part = *part_of.entry(root).or_insert_with(|| {
            parts.push(Default::default());
            parts.len() - 1
        });
        parts[part].0.push(node);
    }
    for (at, (from, _)) in edges.iter().enumerate() {
        let part = part_of[&find(&mut root, *from)];
        parts[part].1.push(at);
    }
    parts
}

impl Part {
    fn new(
        nodes: Vec<usize>,
        edge_ids: &[usize],
        sizes: &[(f64, f64)],
        edges: &[(usize, usize)],
    ) -> Self {
        let place_of: HashMap<usize, usize> =
            nodes.iter().enumerate().map(|(place, node)| (*node, place)).collect();
        let local: Vec<(usize, usize)> =
            edge_ids.iter().map(|at| (place_of[&edges[*at].0], place_of[&edges[*at].1])).collect();
        let layer_of = longest_paths(nodes.len(), &local);
        let mut part = Part {
            sizes: nodes.iter().map(|node| sizes[*node]).collect(),
            before: vec![Vec::new(); nodes.len()],
            behind: vec![Vec::new(); nodes.len()],
            layers: vec![Vec::new(); layer_of.iter().max().map_or(0, |last| last + 1)],
            nodes,
            layer_of,
            passes: Vec::new(),
        };
        let mut room = PASSES_MAX;
        for (id, (from, to)) in edge_ids.iter().zip(&local) {
            part.add_edge(*id, *from, *to, &mut room);
        }
        part.first_order();
        part
    }

    fn add_edge(&mut self, id: usize, from: usize, to: usize, room: &mut usize) {
        let (first, last) = (self.layer_of[from], self.layer_of[to]);
        // Only a damaged graph has edges that do not lead on; they are drawn straight.
        let span = last.saturating_sub(first);
        if span == 0 || span - 1 > *room {
            return;
        }
        *room -= span - 1;
        let mut at = from;
        let mut passes = Vec::with_capacity(span - 1);
        for layer in first + 1..last {
            let place = self.layer_of.len();
            self.layer_of.push(layer);
            self.sizes.push((0.0, 0.0));
            self.before.push(Vec::new());
            self.behind.push(Vec::new());
            self.join(at, place);
            passes.push(place);
            at = place;
        }
        self.join(at, to);
        self.passes.push((id, passes));
    }

    fn join(&mut self, from: usize, to: usize) {
        self.behind[from].push(to);
        self.before[to].push(from);
    }

    /// Depth first from the roots, so that what belongs together begins together.
    fn first_order(&mut self) {
        let mut seen = vec![false; self.layer_of.len()];
        let roots = (0..self.layer_of.len()).filter(|place| self.before[*place].is_empty());
        let mut stack: Vec<usize> = roots.collect();
        stack.reverse();
        while let Some(place) = stack.pop() {
            if std::mem::replace(&mut seen[place], true) {
                continue;
            }
            self.layers[self.layer_of[place]].push(place);
            stack.extend(self.behind[place].iter().rev().filter(|next| !seen[**next]));
        }
        for place in (0..seen.len()).filter(|place| !seen[*place]) {
            self.layers[self.layer_of[place]].push(place);
        }
    }

    fn is_line(&self, place: usize) -> bool {
        place >= self.nodes.len()
    }

    /// The least distance between the middles of two neighbours in a layer.
    fn apart(&self, upper: usize, lower: usize) -> f64 {
        let gap = match (self.is_line(upper), self.is_line(lower)) {
            (false, false) => BOX_GAP,
            _ => LINE_GAP,
        };
        (self.sizes[upper].1 + self.sizes[lower].1) / 2.0 + gap
    }

    /// The middle of every place: each as near to its neighbours as the order of its layer lets
    /// it, going to and fro.
    fn fit(&self) -> Vec<f64> {
        let mut middles = vec![0.0; self.layer_of.len()];
        for layer in &self.layers {
            let mut at = 0.0;
            for pair in layer.windows(2) {
                let step = self.apart(pair[0], pair[1]);
                at += step;
                middles[pair[1]] = at;
            }
            let shift = at / 2.0;
            layer.iter().for_each(|place| middles[*place] -= shift);
        }
        for round in 0..FIT_ROUNDS {
            let is_last = round + 2 >= FIT_ROUNDS;
            let mut fit_layer = |at: usize| {
                let wanted = |place: &usize| {
                    let place = *place;
                    let (before, behind) = (&self.before[place], &self.behind[place]);
                    let near: Box<dyn Iterator<Item = &usize>> = match round % 2 {
                        _ if is_last => Box::new(before.iter().chain(behind)),
                        0 => Box::new(before.iter()),
                        _ => Box::new(behind.iter()),
                    };
                    let (mut sum, mut weights) = (0.0, 0.0);
                    for next in near {
                        // Long lines are to be straight.
                        let weight = match (self.is_line(place), self.is_line(*next)) {
                            (true, true) => 8.0,
                            (false, false) => 1.0,
                            _ => 2.0,
                        };
                        sum += middles[*next] * weight;
                        weights += weight;
                    }
                    if weights == 0.0 { (middles[place], 0.1) } else { (sum / weights, weights) }
                };
                let layer = &self.layers[at];
                let wanted: Vec<(f64, f64)> = layer.iter().map(wanted).collect();
                let apart: Vec<f64> =
                    layer.windows(2).map(|pair| self.apart(pair[0], pair[1])).collect();
                for (place, middle) in layer.iter().zip(spread(&wanted, &apart)) {
                    middles[*place] = middle;
                }
            };
            match round % 2 {
                0 => (0..self.layers.len()).for_each(&mut fit_layer),
                _ => (0..self.layers.len()).rev().for_each(&mut fit_layer),
            }
        }
        middles
    }

    /// Writes boxes and lines as if the part were alone; returns its size.
    fn place(&self, middles: &[f64], layout: &mut Layout) -> Placed {
        let top = (0..middles.len())
            .map(|place| middles[place] - self.sizes[place].1 / 2.0)
            .fold(f64::INFINITY, f64::min);
        let mut lefts = Vec::with_capacity(self.layers.len());
        let mut at = 0.0;
        for layer in &self.layers {
            let width = layer.iter().map(|place| self.sizes[*place].0).fold(0.0, f64::max);
            lefts.push((at, width));
            at += width + LAYER_GAP;
        }
        let mut height: f64 = 0.0;
        for (place, node) in self.nodes.iter().enumerate() {
            let rect = &mut layout.boxes[*node];
            rect.x = lefts[self.layer_of[place]].0;
            rect.y = middles[place] - rect.height / 2.0 - top;
            height = height.max(rect.y + rect.height);
        }
        for (edge, passes) in &self.passes {
            let points = passes.iter().flat_map(|place| {
                let ((x, width), y) = (lefts[self.layer_of[*place]], middles[*place] - top);
                [Point { x, y }, Point { x: x + width, y }]
            });
            layout.lines[*edge] = points.collect();
            height = layout.lines[*edge].iter().fold(height, |height, point| height.max(point.y));
        }
        Placed {
            nodes: self.nodes.clone(),
            edges: self.passes.iter().map(|(edge, _)| *edge).collect(),
            width: at - LAYER_GAP,
            height,
        }
    }
}

/// The layer of each node: how many edges the longest way to it has. A root stands right before
/// the first of its children.
fn longest_paths(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0usize; count];
    let mut waits_for = vec![0usize; count];
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges {
        waits_for[*to] += 1;
        behind[*from].push(*to);
    }
    let mut is_root: Vec<bool> = waits_for.iter().map(|waits| *waits == 0).collect();
    let mut ready: Vec<usize> = (0..count).filter(|node| is_root[*node]).collect();
    while let Some(node) = ready.pop() {
        for next in &behind[node] {
            layers[*next] = layers[*next].max(layers[node] + 1);
            waits_for[*next] -= 1;
            if waits_for[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    for node in 0..count {
        is_root[node] &= !behind[node].is_empty();
        if is_root[node] {
            let first = behind[node].iter().map(|next| layers[*next]).min().unwrap_or(1);
            layers[node] = first.saturating_sub(1);
        }
    }
    layers
}

/// The values nearest to those wanted (value, weight) that rise by at least `apart` from one to
/// the next: least squares, by pooling neighbours that are in each other's way.
fn spread(wanted: &[(f64, f64)], apart: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(wanted.len());
    // Sum of weighted values, sum of weights, how many.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (at, (value, weight)) in wanted.iter().enumerate() {
        if at > 0 {
            offset += apart[at - 1];
        }
        offsets.push(offset);
        pools.push(((value - offset) * weight, *weight, 1));
        while let [.., before, last] = pools.as_mut_slice()
            && before.0 / before.1 > last.0 / last.1
        {
            *before = (before.0 + last.0, before.1 + last.1, before.2 + last.2);
            pools.pop();
        }
    }
    let means =
        pools.iter().flat_map(|(sum, weights, count)| std::iter::repeat_n(sum / weights, *count));
    means.zip(offsets).map(|(mean, offset)| mean + offset).collect()
}

/// A part that is laid out, at the origin.
#[derive(Debug)]
struct Placed {
    nodes: Vec<usize>,
    edges: Vec<usize>,
    width: f64,
    height: f64,
}

/// Puts the parts beside and below each other, the tall ones first.
fn put_on_shelves(mut parts: Vec<Placed>, layout: &mut Layout) {
    let area: f64 =
        parts.iter().map(|part| (part.width + PART_GAP) * (part.height + PART_GAP)).sum();
    let widest = parts.iter().map(|part| part.width).fold(0.0, f64::max);
    let room = widest.max((area * 1.6).sqrt());
    parts.sort_by(|a, b| b.height.total_cmp(&a.height));
    let (mut x, mut y, mut shelf) = (0.0, 0.0, 0.0f64);
    for part in parts {
        if x > 0.0 && x + part.width > room {
            y += shelf + PART_GAP;
            (x, shelf) = (0.0, 0.0);
        }
        for node in &part.nodes {
            layout.boxes[*node].x += x;
            layout.boxes[*node].y += y;
        }
        for edge in &part.edges {
            for point in &mut layout.lines[*edge] {
                *point = Point { x: point.x + x, y: point.y + y };
            }
        }
        layout.width = layout.width.max(x + part.width);
        layout.height = layout.height.max(y + part.height);
        x += part.width + PART_GAP;
        shelf = shelf.max(part.height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(count: usize) -> Vec<(f64, f64)> {
        (0..count)
            .map(|at| (100.0 + (at % 7) as f64 * 10.0, 40.0 + (at % 3) as f64 * 8.0))
            .collect()
    }

    /// What every layout must be: no box on another, edges from left to right.
    fn check(layout: &Layout, edges: &[(usize, usize)]) {
        for (at, a) in layout.boxes.iter().enumerate() {
            assert!(a.x >= 0.0 && a.x + a.width <= layout.width + 0.001);
            assert!(a.y >= -0.001 && a.y + a.height <= layout.height + 0.001);
            for b in &layout.boxes[at + 1..] {
                let beside = a.x + a.width <= b.x || b.x + b.width <= a.x;
                let below = a.y + a.height <= b.y + 0.001 || b.y + b.height <= a.y + 0.001;
                assert!(beside || below, "{a:?} on {b:?}");
            }
        }
        for ((from, to), line) in edges.iter().zip(&layout.lines) {
            let (from, to) = (layout.boxes[*from], layout.boxes[*to]);
            let mut x = from.x + from.width;
            for point in line.iter().copied().chain([Point { x: to.x, y: to.middle() }]) {
                assert!(point.x >= x, "{line:?}");
                x = point.x;
            }
        }
    }

    #[test]
    fn random_graphs_are_laid_out_without_overlap() {
        let mut state = 7u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % bound
        };
        for count in [1, 2, 3, 10, 40, 120] {
            let mut edges = Vec::new();
            for to in 1..count {
                for _ in 0..below(3) {
                    edges.push((below(to), to));
                }
            }
            check(&lay_out(&boxes(count), &edges), &edges);
        }
        check(&lay_out(&[], &[]), &[]);
    }

    #[test]
    fn a_chain_is_straight_and_a_diamond_even() {
        let same = vec![(100.0, 40.0); 4];
        let chain = lay_out(&same, &[(0, 1), (1, 2), (2, 3)]);
        assert!(chain.boxes.iter().all(|rect| rect.y == chain.boxes[0].y));
        let diamond = lay_out(&same, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let middle = (diamond.boxes[1].y + diamond.boxes[2].y) / 2.0;
        assert!((diamond.boxes[0].y - middle).abs() < 0.5, "{diamond:?}");
        assert!((diamond.boxes[3].y - middle).abs() < 0.5, "{diamond:?}");
    }

    #[test]
    fn a_long_chain_with_long_lines_ends() {
        let count = 20_000;
        let mut edges: Vec<(usize, usize)> = (1..count).map(|to| (to - 1, to)).collect();
        edges.extend((2..count).step_by(2).map(|to| (0, to)));
        let layout = lay_out(&vec![(100.0, 40.0); count], &edges);
        assert!(layout.boxes.windows(2).all(|pair| pair[0].x < pair[1].x));
    }

    #[test]
    fn a_circle_of_a_damaged_graph_is_drawn_all_the_same() {
        let layout = lay_out(&boxes(3), &[(0, 1), (1, 2), (2, 0), (1, 1)]);
        assert_eq!(layout.boxes.len(), 3);
    }

    #[test]
    fn values_are_spread_as_little_as_can_be() {
        assert_eq!(spread(&[(5.0, 1.0), (5.0, 1.0)], &[10.0]), [0.0, 10.0]);
        assert_eq!(spread(&[(0.0, 1.0), (50.0, 1.0)], &[10.0]), [0.0, 50.0]);
        assert_eq!(spread(&[(0.0, 3.0), (0.0, 1.0)], &[8.0]), [-2.0, 6.0]);
    }
}
