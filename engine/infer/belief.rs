//! How sure: what is found of two neighbours, turned into probabilities.
//!
//! Of two neighbours in a family's tree the first is the parent of the second, or the second of the
//! first, or neither: siblings whose parent is not among the members, or relatives that are farther
//! apart. Each of the three has a score that is linear in the signs; the probabilities are in
//! proportion to the exponentials of the scores. The weights are those that made the truth of
//! families of small networks, trained for this, likeliest (`examples/parents`), not what anybody
//! thought; what a file's own words weigh ([`PairSigns::given`]) cannot be learnt there, and is set.

/// Signs of two members, from the comparison of the two alone. Positive: for the first as the parent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PairSigns {
    /// One is a function of the other: a cast, rounded, pruned, a mean.
    pub(super) function: f64,
    /// Many weights are smaller by one and the same factor: weight decay.
    pub(super) decay: f64,
    /// The logarithm of the odds by metadata, by tensors that were added, by who came later.
    pub(super) given: f64,
    /// How much less likely that makes it that neither comes from the other.
    pub(super) bound: f64,
}

/// Signs of two neighbours from the family around them: of the two and a third near them, and of where
/// all of these stand. Those with a direction are positive for the first as the parent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FamilySigns {
    /// The logarithm of the ratio of how many members are on the side of each.
    pub(super) side: f64,
    /// How much likelier the first is the one that the other two hang on than the second: the mean.
    pub(super) lead: f64,
    /// The same of any two others near them, in the place of the second and a third.
    pub(super) middle: f64,
    /// How much wider the angles at the first are: the cosines' difference.
    pub(super) angle: f64,
    /// Whether there is a third member to compare with.
    pub(super) third: f64,
    /// How likely the two others hang on that of the two on which they are less likely to: the mean.
    pub(super) lesser: f64,
    /// The same of the likelier one, for the third that says so least.
    pub(super) least: f64,
    /// How likely others hang on the one of the two where that is likelier.
    pub(super) own: f64,
    /// How likely of three near them they hang on none.
    pub(super) none: f64,
    /// How much one of the two has stayed where the other and a third have moved: the most.
    pub(super) most: f64,
    /// The means of the lesser cosine at the two: of all weights, and of single tensors.
    pub(super) cosine: f64,
    pub(super) parts: f64,
    /// The smallest mean cosine of single tensors at a member.
    pub(super) straightest: f64,
}

/// How many signs have a direction, and how many have none.
pub(super) const DIRECTED: usize = 6;
pub(super) const UNDIRECTED: usize = 12;

/// The weights of the signs that have a direction: function, decay, side, lead, middle, angle.
const DIRECTED_WEIGHTS: [f64; DIRECTED] = [5.89, 3.80, 1.52, -2.84, 5.46, 1.18];
/// Of a constant and those that have none: function, decay, third, lesser, least, own, none, most,
/// cosine, parts, straightest.
const UNDIRECTED_WEIGHTS: [f64; UNDIRECTED] =
    [0.05, -2.60, 1.58, 0.64, -3.58, -3.63, -2.90, 2.97, 0.42, 1.02, 1.91, -2.51];

/// All signs of two neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Signs {
    pub(super) pair: PairSigns,
    pub(super) family: FamilySigns,
}

impl Signs {
    pub(super) fn of_pair(pair: PairSigns) -> Self {
        Signs { pair, family: FamilySigns::default() }
    }

    pub(super) fn directed(&self) -> [f64; DIRECTED] {
        let (PairSigns { function, decay, .. }, it) = (self.pair, self.shape());
        [function, decay, it.side, it.lead, it.middle, it.angle]
    }

    pub(super) fn undirected(&self) -> [f64; UNDIRECTED] {
        let (PairSigns { function, decay, .. }, it) = (self.pair, self.shape());
        [
            1.0,
            function.abs(),
            decay.abs(),
            it.third,
            it.lesser,
            it.least,
            it.own,
            it.none,
            it.most,
            it.cosine,
            it.parts,
            it.straightest,
        ]
    }

    /// Distances say nothing of a function of the other.
    fn shape(&self) -> FamilySigns {
        if self.pair.function == 0.0 { self.family } else { FamilySigns::default() }
    }

    /// The logarithm of the odds of one direction against the other, by the pair alone, and by the
    /// family around it.
    pub(super) fn odds(&self) -> (f64, f64) {
        let family =
            dot(&Signs { pair: PairSigns::default(), ..*self }.directed(), &DIRECTED_WEIGHTS);
        let all = dot(&self.directed(), &DIRECTED_WEIGHTS);
        let family = if self.pair.function == 0.0 { family } else { 0.0 };
        (all - family + self.pair.given, family)
    }

    /// What the three are worth, in logarithms: the first is the parent, the second is, neither.
    pub(super) fn scores(&self) -> [f64; 3] {
        let (pair, family) = self.odds();
        let odds = pair + family;
        let neither = dot(&self.undirected(), &UNDIRECTED_WEIGHTS) - self.pair.bound;
        [odds / 2.0, -odds / 2.0, neither]
    }
}

/// The logarithm of the odds that a sign gives by itself.
pub(super) fn weight_of(pair: PairSigns) -> f64 {
    Signs::of_pair(pair).odds().0
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How likely each of the three is, of two members of which no more is known.
pub(super) fn probabilities(scores: [f64; 3]) -> [f64; 3] {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers = scores.map(|score| (score - largest).exp());
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}
