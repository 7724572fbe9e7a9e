//! The rules of others, beside which ours is put.

use mgit::diff::{LayerGraph, Mode, divergence};
use mgit::{Dtype, Model, Tensor};

/// A parent and a child, by their places.
pub type Edge = (usize, usize);

/// Tensors of two stored models that have one name and as many elements, as numbers.
fn common_values(a: &Model, b: &Model) -> Vec<(Vec<f32>, Vec<f32>)> {
    let mut pairs = Vec::new();
    for tensor in a.tensors().filter(|tensor| tensor.shape().elements() > 1) {
        let Ok(other) = b.tensor(tensor.name()) else { continue };
        if other.shape() == tensor.shape() {
            pairs.extend(values(&tensor).zip(values(&other)));
        }
    }
    pairs
}

fn values(tensor: &Tensor) -> Option<Vec<f32>> {
    let view = tensor.view().expect("a tensor");
    match tensor.dtype() {
        Dtype::F32 => Some(view.as_slice::<f32>().expect("F32").to_vec()),
        Dtype::Bf16 => {
            let halves = view.as_slice::<mgit::half::bf16>().expect("BF16");
            Some(halves.iter().map(|half| half.to_f32()).collect())
        }
        Dtype::I8 => Some(view.iter().map(|byte| f32::from(byte.cast_signed())).collect()),
        _ => None,
    }
}

fn kurtosis(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let power = |n| values.iter().map(|v| (f64::from(*v) - mean).powi(n)).sum::<f64>() / count;
    let variance = power(2);
    if variance > 0.0 { power(4) / (variance * variance) } else { 0.0 }
}

/// MoTHer (Horwitz, Shul, Hoshen: "Unsupervised Model Tree Heritage Recovery", full fine-tuning):
/// the distance of two models is that of their weights; of two, the one with the higher kurtosis
/// is the parent; a wrong direction costs 0.3 of the mean distance; the tree is the cheapest
/// directed one. The number of trees is given, as in the paper: as many edges are left out, the
/// longest first. Only models that share half of their tensors are compared.
pub fn mother(models: &[Model], trees: usize) -> Vec<Edge> {
    let count = models.len();
    let mut distance = vec![vec![f64::INFINITY; count]; count];
    let mut wrong_way = vec![vec![0.0; count]; count];
    let mut sum = (0.0, 0.0);
    for a in 0..count {
        for b in 0..a {
            let pairs = common_values(&models[a], &models[b]);
            if 2 * pairs.len() < models[a].tensors().len().max(models[b].tensors().len()) {
                continue;
            }
            let squares = pairs.iter().flat_map(|(a, b)| a.iter().zip(b));
            let d = squares.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
            let lean: f64 = pairs.iter().map(|(a, b)| kurtosis(a) - kurtosis(b)).sum();
            (distance[a][b], distance[b][a]) = (d, d);
            // parent, child: wrong when the child's is the higher.
            wrong_way[a][b] = f64::from(u8::from(lean < 0.0));
            wrong_way[b][a] = f64::from(u8::from(lean > 0.0));
            sum = (sum.0 + d, sum.1 + 1.0);
        }
    }
    let mean = sum.0 / f64::max(sum.1, 1.0);
    let cost = |parent: usize, child: usize| {
        distance[parent][child] + 0.3 * mean * wrong_way[parent][child]
    };
    // The forest without the longest edges, each tree hung by its cheapest root: with a cost of
    // direction that is the same for all edges, that is the cheapest directed tree.
    let mut edges: Vec<(usize, usize)> =
        (0..count).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    edges.retain(|(a, b)| distance[*a][*b].is_finite());
    edges.sort_by(|x, y| distance[x.0][x.1].total_cmp(&distance[y.0][y.1]));
    let mut group: Vec<usize> = (0..count).collect();
    let mut forest: Vec<Edge> = Vec::new();
    for (a, b) in edges {
        if group[a] != group[b] && forest.len() + trees < count {
            let (from, to) = (group[a], group[b]);
            group.iter_mut().filter(|own| **own == from).for_each(|own| *own = to);
            forest.push((a, b));
        }
    }
    let hang = |root: usize| -> Vec<Edge> {
        let mut hung: Vec<Edge> = Vec::new();
        let mut reached = vec![root];
        let mut next = 0;
        while next < reached.len() {
            let at = reached[next];
            for (a, b) in &forest {
                for (parent, child) in [(*a, *b), (*b, *a)] {
                    if parent == at && !reached.contains(&child) {
                        hung.push((parent, child));
                        reached.push(child);
                    }
                }
            }
            next += 1;
        }
        hung
    };
    let mut groups = group.clone();
    groups.sort_unstable();
    groups.dedup();
    let mut all = Vec::new();
    for own in groups {
        let roots = (0..count).filter(|at| group[*at] == own);
        let price = |edges: &Vec<Edge>| edges.iter().map(|(p, c)| cost(*p, *c)).sum::<f64>();
        let hung = roots.map(hang).min_by(|a, b| price(a).total_cmp(&price(b)));
        all.extend(hung.unwrap_or_default());
    }
    all
}

/// MGit's rule: each model, as it comes, becomes the child of the one before it from which it
/// diverges least by contents; where nothing is equal, by structure; else it is a root.
pub fn mgit_rule(models: &[Model]) -> Vec<Edge> {
    let graphs: Vec<LayerGraph> =
        models.iter().map(|model| LayerGraph::of(model).expect("layers")).collect();
    let mut edges = Vec::new();
    for child in 1..models.len() {
        let nearest = |mode| {
            let scores = (0..child).map(|at| (divergence(&graphs[at], &graphs[child], mode), at));
            scores.min_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score < 1.0)
        };
        let found = nearest(Mode::Contextual).or_else(|| nearest(Mode::Structural));
        edges.extend(found.map(|(_, parent)| (parent, child)));
    }
    edges
}
