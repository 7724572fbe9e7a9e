//! Which of a new model's relatives its tensors are coded against, by what sketches predict.

use super::sketch::{Estimate, Sketch};

/// The correlation from which on a tensor counts as inherited.
pub const INHERITED_FROM: f64 = 0.5;

/// Bits by which one tensor's estimate must be better before it is believed against the model's:
/// three times what 64 samples are off.
const TENSOR_BITS: f64 = 0.8;

/// Relatives whose models are predicted to be within this share of the best are tried for real.
const NEAR_SHARE: f64 = 1.05;

/// The most relatives that are ranked for one tensor.
pub const RANKED_MAX: usize = 2;

/// What the sketches of two models say about their being kin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likeness {
    /// Tensors that can tell.
    pub tensors: f64,
    /// Sum of their correlations.
    pub correlation: f64,
    /// Sum of their correlations as standard deviations of strangers'.
    pub deviations: f64,
    /// Elements of those that are inherited.
    pub inherited: f64,
}

impl Likeness {
    /// Takes a pair of tensors in whose sketches estimate to this. `identical` ones are the same
    /// content.
    pub fn add(&mut self, (a, b): (&Sketch, &Sketch), estimate: &Estimate, identical: bool) {
        if !a.is_telling() || !b.is_telling() {
            return;
        }
        let correlation = if identical { 1.0 } else { estimate.correlation };
        self.tensors += 1.0;
        self.correlation += correlation;
        // Fisher's transform; strangers' sums stay within a few.
        let spread = (estimate.samples as f64 - 3.0).max(1.0).sqrt();
        self.deviations += correlation.clamp(-0.999, 0.999).atanh() * spread;
        if correlation > INHERITED_FROM {
            self.inherited += estimate.elements as f64;
        }
    }

    /// How many standard deviations the correlation is from what strangers have.
    pub fn deviations(&self) -> f64 {
        if self.tensors > 0.0 { self.deviations / self.tensors.sqrt() } else { 0.0 }
    }

    /// Whether one descends from the other, or both from a third. `telling` are the elements of
    /// tensors that can tell in the smaller of the two.
    pub fn is_kinship(&self, telling: f64) -> bool {
        self.deviations() > 8.0 && self.inherited / telling.max(1.0) > 0.1
    }
}

/// Which relatives to try for a tensor, the most promising first, at most [`RANKED_MAX`]. Bits are
/// predicted bits an element, of each relative for every tensor, `None` where there is no
/// prediction; sizes are elements, and bits an element that each takes alone.
///
/// One tensor's prediction is rough, the sum over a model's is not: a tensor follows the model
/// unless its own prediction is far better elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// What the whole model is predicted to take against each relative.
    totals: Vec<f64>,
    /// The relatives, the best first.
    order: Vec<usize>,
}

impl Ranking {
    /// Ranks relatives by their predictions for all tensors.
    pub fn new(
        bits: &[impl AsRef<[Option<f64>]>],
        sizes: impl Iterator<Item = (u64, f64)> + Clone,
    ) -> Self {
        let total = |bits: &[Option<f64>]| -> f64 {
            let bits = bits.iter().copied().chain(std::iter::repeat(None));
            let each = sizes.clone().zip(bits);
            each.map(|((elements, alone), bits)| bits.unwrap_or(alone).min(alone) * elements as f64)
                .sum()
        };
        let totals: Vec<f64> = bits.iter().map(|bits| total(bits.as_ref())).collect();
        let mut order: Vec<usize> = (0..totals.len()).collect();
        order.sort_by(|a, b| totals[*a].total_cmp(&totals[*b]));
        Ranking { totals, order }
    }

    /// The relatives to try for a tensor, of which `bits` gives the prediction of each.
    pub fn of(&self, bits: impl Fn(usize) -> Option<f64>) -> Vec<usize> {
        let Ranking { totals, order } = self;
        let with: Vec<(usize, f64)> = order.iter().filter_map(|j| Some((*j, bits(*j)?))).collect();
        let Some(&(first, first_bits)) = with.first() else { return Vec::new() };
        let better = |own: f64| {
            own < first_bits - TENSOR_BITS || (own == 0.0 && first_bits > TENSOR_BITS / 8.0)
        };
        let own = with.iter().filter(|(_, own)| better(*own));
        let own = own.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(j, _)| *j);
        let near = |j: &usize| totals[*j] <= totals[first] * NEAR_SHARE;
        let near = with.iter().skip(1).map(|(j, _)| *j).filter(near);
        let mut ranked: Vec<usize> = own.into_iter().chain([first]).collect();
        for j in near {
            if !ranked.contains(&j) {
                ranked.push(j);
            }
        }
        ranked.truncate(RANKED_MAX);
        ranked
    }
}

/// Where a new version goes when the chain of the one before it is full: against which of that
/// chain, from the one before (0) down to the root. `costs` are what it is predicted to take
/// against each, `dependents` how many stand on each already.
///
/// Going further down costs more now and gives later versions a nearer base. It is done once what
/// those that stand on the nearer one have lost by its distance, taken to be what this one loses,
/// is as much: about the square root of their number for changes that add up.
pub fn level(costs: &[f64], dependents: &[f64]) -> usize {
    let (Some(top), last) = (costs.first(), costs.len().saturating_sub(1)) else { return 0 };
    let mut level = 1.min(last);
    while level < last {
        let more = costs[level + 1] - costs[level];
        let lost = dependents.get(level).copied().unwrap_or(0.0) * (costs[level] - top);
        if lost < more {
            break;
        }
        level += 1;
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank_relatives(bits: &[Vec<Option<f64>>], sizes: &[(u64, f64)]) -> Vec<Vec<usize>> {
        let ranking = Ranking::new(bits, sizes.iter().copied());
        (0..sizes.len()).map(|tensor| ranking.of(|relative| bits[relative][tensor])).collect()
    }

    #[test]
    fn a_tensor_follows_the_model_unless_it_is_far_better_elsewhere() {
        let sizes = [(1000, 26.6); 4];
        let some = |bits: [f64; 4]| bits.map(Some).to_vec();
        // The second is the parent; the third gave one tensor.
        let bits = vec![some([12.0; 4]), some([9.2, 8.8, 9.0, 9.1]), some([26.6, 26.6, 26.6, 2.0])];
        assert_eq!(rank_relatives(&bits, &sizes), [vec![1], vec![1], vec![1], vec![2, 1]]);
        // Noise of a tensor does not count.
        let bits = vec![some([9.0; 4]), some([8.5, 11.0, 11.0, 11.0])];
        assert_eq!(rank_relatives(&bits, &sizes), vec![vec![0]; 4]);
        // As good as equal: both are tried; at most two.
        let bits = vec![some([9.0; 4]), some([9.1; 4]), some([9.05; 4])];
        assert_eq!(rank_relatives(&bits, &sizes), vec![vec![0, 2]; 4]);
        let bits = vec![vec![None, Some(3.0), None, None], vec![None; 4]];
        assert_eq!(rank_relatives(&bits, &sizes), [vec![], vec![0], vec![], vec![]]);
    }

    /// Total cost of versions whose difference costs `cost(steps)`, under a depth of two.
    fn of_versions(cost: impl Fn(f64) -> f64, versions: usize, fixed: Option<usize>) -> f64 {
        // Of every version: its depth, its base, how many stand on it.
        let mut rows: Vec<(usize, usize, f64)> = vec![(0, 0, 0.0)];
        let mut sum = 0.0;
        for new in 1..versions {
            let mut path = vec![new - 1];
            while rows[*path.last().unwrap()].0 > 0 {
                path.push(rows[*path.last().unwrap()].1);
            }
            let at = |place: &usize| cost((new - place) as f64);
            let costs: Vec<f64> = path.iter().map(at).collect();
            let stand: Vec<f64> = path.iter().map(|place| rows[*place].2).collect();
            let full = rows[new - 1].0 == 2;
            let chosen = if full { fixed.unwrap_or_else(|| level(&costs, &stand)) } else { 0 };
            rows.push((rows[path[chosen]].0 + 1, path[chosen], 0.0));
            rows[path[chosen]].2 += 1.0;
            sum += costs[chosen];
        }
        sum
    }

    #[test]
    fn levels_beat_staying_near_and_going_to_the_root() {
        for versions in [20, 100] {
            let sparse = |fixed| of_versions(|steps| steps.min(30.0), versions, fixed);
            let (ours, near, root) = (sparse(None), sparse(Some(1)), sparse(Some(2)));
            assert!(ours < 0.8 * near && ours < 0.8 * root, "{ours} {near} {root}");
            let dense = |fixed| of_versions(|steps| 9.0 + steps.log2() / 2.0, versions, fixed);
            let (ours, near, root) = (dense(None), dense(Some(1)), dense(Some(2)));
            assert!(ours < near && ours < 1.01 * root, "{ours} {near} {root}");
        }
        assert_eq!((level(&[], &[]), level(&[1.0], &[0.0])), (0, 0));
    }
}
