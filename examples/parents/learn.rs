//! The weights of signs that make what is known likeliest.

/// Signs of two neighbours: with a direction, and without; and which is true: the first is the parent
/// (0), the second is (1), neither (2).
pub struct Sample {
    pub directed: Vec<f64>,
    pub undirected: Vec<f64>,
    pub truth: usize,
}

/// Signs for each of three members as the one that the other two hang on, and which does: one of them,
/// or none (3).
pub struct Three {
    pub signs: [Vec<f64>; 3],
    pub truth: usize,
}

/// How much a large weight costs.
const PENALTY: f64 = 0.3;
const ROUNDS: i32 = 4000;

/// The weights of the signs of two neighbours: with a direction, and without.
pub fn weights(samples: &[Sample]) -> (Vec<f64>, Vec<f64>) {
    let Some(first) = samples.first() else { return Default::default() };
    let (split, count) = (first.directed.len(), first.directed.len() + first.undirected.len());
    let mut weights = by_adam(count, samples.len(), |weights, slopes| {
        for sample in samples {
            let found = probabilities(sample, weights.split_at(split));
            let missed = |at: usize| found[at] - f64::from(u8::from(sample.truth == at));
            let odds = (missed(0) - missed(1)) / 2.0;
            for (slope, sign) in slopes.iter_mut().zip(&sample.directed) {
                *slope += odds * sign;
            }
            for (slope, sign) in slopes.iter_mut().skip(split).zip(&sample.undirected) {
                *slope += missed(2) * sign;
            }
        }
    });
    let undirected = weights.split_off(split);
    (weights, undirected)
}

/// The weights of the signs of three, and what speaks for none of them.
pub fn weights_of_threes(samples: &[Three]) -> (Vec<f64>, f64) {
    let Some(first) = samples.first() else { return Default::default() };
    let count = first.signs[0].len();
    let mut weights = by_adam(count + 1, samples.len(), |weights, slopes| {
        for sample in samples {
            let score = |signs: &Vec<f64>| dot(signs, weights);
            let scores: Vec<f64> = sample.signs.iter().map(score).chain([weights[count]]).collect();
            let sum: f64 = scores.iter().map(|score| score.exp()).sum();
            for (at, score) in scores.iter().enumerate() {
                let missed = score.exp() / sum - f64::from(u8::from(sample.truth == at));
                match sample.signs.get(at) {
                    Some(signs) => slopes.iter_mut().zip(signs).for_each(|(slope, sign)| {
                        *slope += missed * sign;
                    }),
                    None => slopes[count] += missed,
                }
            }
        }
    });
    let none = weights.pop().unwrap_or_default();
    (weights, none)
}

/// Weights by Adam from zero; `add` adds the slopes of all samples.
fn by_adam(count: usize, samples: usize, add: impl Fn(&[f64], &mut [f64])) -> Vec<f64> {
    let mut weights = vec![0.0f64; count];
    let mut moments = vec![(0.0f64, 0.0f64); count];
    for round in 1..=ROUNDS {
        let mut slopes: Vec<f64> = weights.iter().map(|weight| PENALTY * weight).collect();
        add(&weights, &mut slopes);
        for ((weight, slope), (first, second)) in weights.iter_mut().zip(slopes).zip(&mut moments) {
            let slope = slope / samples as f64;
            *first = 0.9 * *first + 0.1 * slope;
            *second = 0.999 * *second + 0.001 * slope * slope;
            let size = (*second / (1.0 - 0.999f64.powi(round))).sqrt() + 1e-9;
            *weight -= 0.02 * (*first / (1.0 - 0.9f64.powi(round))) / size;
        }
    }
    weights
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn probabilities(sample: &Sample, (directed, undirected): (&[f64], &[f64])) -> [f64; 3] {
    let odds = dot(&sample.directed, directed);
    let powers = [odds / 2.0, -odds / 2.0, dot(&sample.undirected, undirected)].map(f64::exp);
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}
