//! The weights of signs that make what is known likeliest.

/// Signs of two neighbours: with a direction, and without; and which is true: the first is the parent
/// (0), the second is (1), neither (2).
pub struct Sample {
    pub directed: Vec<f64>,
    pub undirected: Vec<f64>,
    pub truth: usize,
}

/// How much a large weight costs.
const PENALTY: f64 = 0.3;
const ROUNDS: i32 = 4000;

/// The weights, by Adam from zero.
pub fn weights(samples: &[Sample]) -> (Vec<f64>, Vec<f64>) {
    let Some(first) = samples.first() else { return Default::default() };
    let (split, count) = (first.directed.len(), first.directed.len() + first.undirected.len());
    let mut weights = vec![0.0f64; count];
    let mut moments = vec![(0.0f64, 0.0f64); count];
    for round in 1..=ROUNDS {
        let mut slopes: Vec<f64> = weights.iter().map(|weight| PENALTY * weight).collect();
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
        for ((weight, slope), (first, second)) in weights.iter_mut().zip(slopes).zip(&mut moments) {
            let slope = slope / samples.len() as f64;
            *first = 0.9 * *first + 0.1 * slope;
            *second = 0.999 * *second + 0.001 * slope * slope;
            let size = (*second / (1.0 - 0.999f64.powi(round))).sqrt() + 1e-9;
            *weight -= 0.02 * (*first / (1.0 - 0.9f64.powi(round))) / size;
        }
    }
    let undirected = weights.split_off(split);
    (weights, undirected)
}

fn probabilities(sample: &Sample, (directed, undirected): (&[f64], &[f64])) -> [f64; 3] {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let odds = dot(&sample.directed, directed);
    let powers = [odds / 2.0, -odds / 2.0, dot(&sample.undirected, undirected)].map(f64::exp);
    let sum: f64 = powers.iter().sum();
    powers.map(|power| power / sum)
}
