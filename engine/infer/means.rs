//! Members that are means of others: merged ones.

use super::geometry::Geometry;

/// A mean: no more of it is outside the plane of its sources, by squares, than this share of their
/// distance. Rounding to singles leaves less of weights whose sources differ by a ten thousandth.
const OUTSIDE_MAX: f64 = 1e-6;
/// The least share of a source.
const SHARE_MIN: f64 = 0.04;

/// What a member is a mean of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mean {
    /// The places of the sources, the one with the largest share first.
    pub(super) of: Vec<usize>,
}

/// The mean of two or three of `near` that a member is.
pub(super) fn mean_of(geometry: &Geometry, at: usize, near: &[usize]) -> Option<Mean> {
    let places = || near.iter().copied().filter(|other| *other != at);
    for (nth, a) in places().enumerate() {
        for b in places().skip(nth + 1) {
            if let Some(mean) = of_two(geometry, at, (a, b)) {
                return Some(mean);
            }
        }
    }
    for (nth, a) in places().enumerate() {
        for (next, b) in places().enumerate().skip(nth + 1) {
            for c in places().skip(next + 1) {
                if let Some(mean) = of_three(geometry, at, (a, b, c)) {
                    return Some(mean);
                }
            }
        }
    }
    None
}

fn of_two(geometry: &Geometry, at: usize, (a, b): (usize, usize)) -> Option<Mean> {
    let distance2 = |a, b| geometry.distance2(a, b);
    let (base, to_a) = (distance2(a, b)?, distance2(at, a)?);
    let along = (to_a + base - distance2(at, b)?) / (2.0 * base);
    sorted(&[(1.0 - along, a), (along, b)], to_a - along * along * base, base)
}

fn of_three(geometry: &Geometry, at: usize, (a, b, c): (usize, usize, usize)) -> Option<Mean> {
    let distance2 = |a, b| geometry.distance2(a, b);
    let (bb, cc, own) = (distance2(a, b)?, distance2(a, c)?, distance2(at, a)?);
    let product = |x: f64, y: f64, between: f64| (x + y - between) / 2.0;
    let bc = product(bb, cc, distance2(b, c)?);
    let (to_b, to_c) = (product(own, bb, distance2(at, b)?), product(own, cc, distance2(at, c)?));
    let area = bb * cc - bc * bc;
    if area <= 1e-6 * bb * cc {
        return None;
    }
    let along_b = (to_b * cc - to_c * bc) / area;
    let along_c = (to_c * bb - to_b * bc) / area;
    let outside = own - along_b * to_b - along_c * to_c;
    sorted(&[(1.0 - along_b - along_c, a), (along_b, b), (along_c, c)], outside, bb.min(cc))
}

fn sorted(shares: &[(f64, usize)], outside: f64, base: f64) -> Option<Mean> {
    let is_mean = base > 0.0
        && outside.abs() <= OUTSIDE_MAX * base
        && shares.iter().all(|(share, _)| (SHARE_MIN..=1.0).contains(share));
    let mut shares = shares.to_vec();
    shares.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    is_mean.then(|| Mean { of: shares.into_iter().map(|(_, at)| at).collect() })
}
