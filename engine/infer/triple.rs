//! Three members, and which of them the other two hang on.
//!
//! A training moves each weight by a step of its own. So of a parent and two children, or of three
//! that follow each other, one is *between* the other two: where they agree, it seldom differs. Of
//! three siblings none is, for each has made steps of its own. Two things show it: how often a
//! weight of one is far from those of the others while these are near each other (of most use where
//! many steps are small), and the cosine of the angle at which it sees them (0 for a parent and
//! children that went their own ways, 0.5 for siblings that went equally far). A training that moves a
//! weight by nothing but its decay has not moved it: the factor that all such weights have in common
//! is taken out.

use super::compare::DECAY_ROUNDING;

/// A weight is far from two others when these are nearer to each other by these factors.
const FACTORS: [f32; 2] = [0.1, 0.01];
/// Elements that differ at all, from which on three can be compared.
const CHANGED_MIN: u32 = 50;
/// What counts of weights that are far begin with, so that few say little.
const COUNT_PRIOR: f64 = 5.0;
/// Elements of a tensor, from which on its own angles are looked at.
const PART_MIN: usize = 64;

/// How many signs a triple has of each of its members.
pub(super) const SIGNS: usize = 4;
/// What these weigh for a member as the one that the other two hang on: between, alone, cosine, parts.
/// Learnt like the weights of neighbours (`examples/parents`), and what speaks for none of the three.
const WEIGHTS: [f64; SIGNS] = [0.48, 0.63, -1.21, -3.91];
const NONE: f64 = 0.03;

/// How three members are to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Triple {
    /// How far each is between the other two: the logarithm of how much less often it is far from
    /// both than the next.
    pub(super) between: [f64; 3],
    /// The same of how often it alone has moved.
    pub(super) alone: [f64; 3],
    /// The cosine of the angle at which each sees the other two.
    pub(super) cosine: [f64; 3],
    /// The mean of the cosines of single tensors, where these are positive.
    pub(super) parts: [f64; 3],
}

impl Triple {
    /// Of some weights of three, of tensors that end at `ends`, with the factors of decay from the
    /// second to the third, the first to the third, and the first to the second.
    pub(super) fn of(
        [a, b, c]: [&[f32]; 3],
        ends: &[usize],
        decays: [Option<f32>; 3],
    ) -> Option<Self> {
        let (mut all, mut parts, mut elements) = (Counts::default(), [0.0; 3], 0.0);
        let mut start = 0;
        for end in ends {
            let part = start..*end;
            let part = [a.get(part.clone())?, b.get(part.clone())?, c.get(part.clone())?];
            let counts = Counts::of(part, decays);
            if *end - start >= PART_MIN && counts.changed > 0 {
                let weight = (*end - start) as f64;
                elements += weight;
                for (sum, cosine) in parts.iter_mut().zip(counts.cosines()) {
                    *sum += weight * cosine.max(0.0);
                }
            }
            all.add(&counts);
            start = *end;
        }
        if all.changed < CHANGED_MIN || all.squares.iter().any(|square| *square <= 0.0) {
            return None;
        }
        Some(Triple {
            between: all.between(),
            alone: margins(all.alone),
            cosine: all.cosines(),
            parts: parts.map(|sum| sum / f64::max(elements, 1.0)),
        })
    }

    /// The same with its members in another order, by their places.
    pub(super) fn in_order(&self, places: [usize; 3]) -> Self {
        let of = |values: [f64; 3]| places.map(|at| values.get(at).copied().unwrap_or_default());
        Triple {
            between: of(self.between),
            alone: of(self.alone),
            cosine: of(self.cosine),
            parts: of(self.parts),
        }
    }

    /// The signs for each as the one that the other two hang on.
    pub(super) fn signs(&self) -> [[f64; SIGNS]; 3] {
        let [a, b, c] = self.between;
        let mut signs = [[a], [b], [c]].map(|[between]| [between, 0.0, 0.0, 0.0]);
        let others = self.alone.iter().zip(self.cosine).zip(self.parts);
        for ([_, own, angle, tensors], ((alone, cosine), parts)) in signs.iter_mut().zip(others) {
            (*own, *angle, *tensors) = (*alone, cosine.max(0.0), parts);
        }
        signs
    }

    /// How much speaks for each.
    pub(super) fn scores(&self) -> [f64; 3] {
        self.signs().map(|signs| signs.iter().zip(WEIGHTS).map(|(sign, it)| sign * it).sum())
    }

    /// How likely the other two hang on each, and that they do on none of the three.
    pub(super) fn probabilities(&self) -> ([f64; 3], f64) {
        let scores = self.scores();
        let largest = scores.iter().copied().fold(NONE, f64::max);
        let (powers, none) = (scores.map(|score| (score - largest).exp()), (NONE - largest).exp());
        let sum = powers.iter().sum::<f64>() + none;
        (powers.map(|power| power / sum), none / sum)
    }
}

/// What is counted of three members' weights.
#[derive(Debug, Default)]
struct Counts {
    /// Weights that are not the same in all.
    changed: u32,
    /// Of each how often it is far from the other two, by each factor.
    far: [[u32; 3]; FACTORS.len()],
    /// How often it alone has moved.
    alone: [u32; 3],
    /// The squares of the sides opposite of each.
    squares: [f64; 3],
}

impl Counts {
    fn of([a, b, c]: [&[f32]; 3], [of_a, of_b, of_c]: [Option<f32>; 3]) -> Self {
        let mut counts = Counts::default();
        for ((a, b), c) in a.iter().zip(b).zip(c) {
            let (a, b, c) = (*a, *b, *c);
            // Opposite of each.
            let steps = [(b - c).abs(), (a - c).abs(), (a - b).abs()];
            let sum: f32 = steps.iter().sum();
            if sum <= 0.0 || !sum.is_finite() {
                continue;
            }
            counts.changed += 1;
            let sides = [moved(b, c, of_a), moved(a, c, of_b), moved(a, b, of_c)];
            let [to_a, to_b, to_c] = sides;
            let bounds = [to_b.min(to_c), to_a.min(to_c), to_a.min(to_b)];
            let own = || sides.iter().zip(bounds);
            for (square, step) in counts.squares.iter_mut().zip(steps) {
                *square += f64::from(step).powi(2);
            }
            for (alone, (side, bound)) in counts.alone.iter_mut().zip(own()) {
                *alone += u32::from(*side == 0.0 && bound > 0.0);
            }
            for (far, factor) in counts.far.iter_mut().zip(FACTORS) {
                for (far, (side, bound)) in far.iter_mut().zip(own()) {
                    *far += u32::from(*side < factor * bound);
                }
            }
        }
        counts
    }

    fn add(&mut self, other: &Counts) {
        self.changed += other.changed;
        let all = |own: &mut [u32; 3], other: &[u32; 3]| {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        };
        all(&mut self.alone, &other.alone);
        self.far.iter_mut().zip(&other.far).for_each(|(own, other)| all(own, other));
        let squares = self.squares.iter_mut().zip(other.squares);
        squares.for_each(|(own, other)| *own += other);
    }

    fn between(&self) -> [f64; 3] {
        let [wide, narrow] = self.far.map(margins);
        let mut between = wide;
        between.iter_mut().zip(narrow).for_each(|(own, other)| *own = (*own + other) / 2.0);
        between
    }

    /// Of the angles; 0 where one of them has not moved.
    fn cosines(&self) -> [f64; 3] {
        let [a, b, c] = self.squares;
        let cosine = |own: f64, x: f64, y: f64| {
            if x * y > 0.0 { (x + y - own) / (2.0 * (x * y).sqrt()) } else { 0.0 }
        };
        [cosine(a, b, c), cosine(b, a, c), cosine(c, a, b)]
    }
}

/// How much a weight has moved but for its decay.
fn moved(from: f32, to: f32, decay: Option<f32>) -> f32 {
    let Some(decay) = decay else { return (to - from).abs() };
    let step = (to - decay * from).abs();
    if step < DECAY_ROUNDING as f32 * from.abs() { 0.0 } else { step }
}

/// Of each of three the logarithm of how much less often something was counted than of the next.
fn margins(counts: [u32; 3]) -> [f64; 3] {
    let [a, b, c] = counts.map(|count| (f64::from(count) + COUNT_PRIOR).ln());
    [b.min(c) - a, a.min(c) - b, a.min(b) - c]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A thousand weights, and steps from them; `decay` shrinks what is not moved as well.
    fn stepped(from: &[f32], seed: u64, every: usize, decay: f32) -> Vec<f32> {
        let mut state = seed;
        let step = |(at, weight): (usize, &f32)| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let step = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            weight * decay
                + if (at + seed as usize).is_multiple_of(every) { 0.1 * step } else { 0.0 }
        };
        from.iter().enumerate().map(step).collect()
    }

    fn found(members: [&[f32]; 3], decays: [Option<f32>; 3]) -> ([f64; 3], f64) {
        Triple::of(members, &[members[0].len()], decays).unwrap().probabilities()
    }

    #[test]
    fn two_children_hang_on_their_parent_and_siblings_on_none() {
        let start = stepped(&vec![0.0; 1000], 9, 1, 1.0);
        let [a, b, c] = [1, 2, 3].map(|seed| stepped(&start, seed, 2, 1.0));
        let ([parent, ..], none) = found([&start, &a, &b], [None; 3]);
        assert!(parent > 0.9 && none < 0.1, "{parent} {none}");
        let after = stepped(&b, 5, 2, 1.0);
        let ([_, middle, _], _) = found([&start, &b, &after], [None; 3]);
        assert!(middle > 0.8, "{middle}");
        let (_, none) = found([&a, &b, &c], [None; 3]);
        assert!(none > 0.6, "{none}");
    }

    #[test]
    fn what_only_decayed_was_not_moved() {
        let start = stepped(&vec![0.0; 1000], 9, 1, 1.0);
        // The second decayed more: where neither was moved, the first is between it and the parent.
        let (a, b) = (stepped(&start, 1, 3, 0.999), stepped(&start, 2, 3, 0.998));
        let decays = [Some(0.998 / 0.999), Some(0.998), Some(0.999)];
        let triple = |decays| Triple::of([&start, &a, &b], &[1000], decays).unwrap();
        let (without, with) = (triple([None; 3]), triple(decays));
        assert!(with.between[0] > without.between[0] && with.alone[0] > without.alone[0]);
        assert!(with.probabilities().0[0] > 0.9, "{with:?}");
    }

    #[test]
    fn a_triple_is_the_same_in_any_order() {
        let start = stepped(&vec![0.0; 1000], 9, 1, 1.0);
        let (a, b) = (stepped(&start, 1, 3, 1.0), stepped(&start, 2, 3, 1.0));
        let found = |members: [&[f32]; 3]| Triple::of(members, &[1000], [None; 3]).unwrap();
        let (first, second) = (found([&start, &a, &b]), found([&b, &start, &a]));
        let same = first.in_order([2, 0, 1]);
        let close = |(x, y): (f64, f64)| (x - y).abs() < 1e-9;
        assert!(same.scores().into_iter().zip(second.scores()).all(close));
    }
}
