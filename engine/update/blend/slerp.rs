//! How much of each of two tensors makes the point on the arc between them.

use std::f64::consts::FRAC_PI_2;

use super::super::UpdateError;
use super::numbers::for_each_block;
use crate::store::Tensor;

/// Cosines beyond this, and the line is taken for the arc.
const COSINE_MAX: f64 = 0.9995;

/// Vectors shorter than this are not brought to length 1.
const NORM_MIN: f64 = 1e-8;

/// The factors of both tensors for the share `t` of the second. Sums are made of blocks of 4,096
/// elements, in order.
pub(super) fn factors(a: &Tensor, b: &Tensor, t: f64) -> Result<(f64, f64), UpdateError> {
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for_each_block((a, b), |_, a, b| {
        let (mut of_aa, mut of_bb, mut of_ab) = (0.0, 0.0, 0.0);
        for (a, b) in a.iter().zip(b) {
            of_aa += a * a;
            of_bb += b * b;
            of_ab += a * b;
        }
        aa += of_aa;
        bb += of_bb;
        ab += of_ab;
    })?;
    Ok(between(aa, bb, ab, t))
}

fn between(aa: f64, bb: f64, ab: f64, t: f64) -> (f64, f64) {
    let length = |square: f64| if square.sqrt() > NORM_MIN { square.sqrt() } else { 1.0 };
    let cosine = ab / (length(aa) * length(bb));
    // Also where it is no number.
    if !(-COSINE_MAX..=COSINE_MAX).contains(&cosine) {
        return (1.0 - t, t);
    }
    let angle = arc_cosine(cosine);
    let whole = sine(angle);
    (sine(angle - angle * t) / whole, sine(angle * t) / whole)
}

/// The functions of the machine's library are not the same everywhere to the last bit: these are.
/// Angles of up to two turns; the error is a few units in the last place.
fn sine_and_cosine(angle: f64) -> (f64, f64) {
    // Of an eighth of the angle by the series, then doubled thrice.
    let x = angle / 8.0;
    let (mut sine, mut cosine) = (0.0, 0.0);
    for step in (0..16).rev() {
        let n = f64::from(step);
        sine = 1.0 - x * x / ((2.0 * n + 2.0) * (2.0 * n + 3.0)) * sine;
        cosine = 1.0 - x * x / ((2.0 * n + 1.0) * (2.0 * n + 2.0)) * cosine;
    }
    sine *= x;
    for _ in 0..3 {
        (sine, cosine) = (2.0 * sine * cosine, cosine * cosine - sine * sine);
    }
    (sine, cosine)
}

fn sine(angle: f64) -> f64 {
    sine_and_cosine(angle).0
}

/// Newton's steps from a right angle, which come nearer from one side.
fn arc_cosine(cosine: f64) -> f64 {
    let mut angle = FRAC_PI_2;
    for _ in 0..24 {
        let (sine, found) = sine_and_cosine(angle);
        angle += (found - cosine) / sine;
    }
    angle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_those_of_the_library_to_thirteen_digits() {
        for step in -999..=999 {
            let cosine = f64::from(step) / 1000.0;
            if cosine.abs() <= COSINE_MAX {
                let angle = arc_cosine(cosine);
                assert!((angle - cosine.acos()).abs() < 1e-13, "{cosine} {angle}");
                assert!((sine(angle) - angle.sin()).abs() < 1e-14, "{angle}");
            }
        }
        let (x, y) = between(4.0, 9.0, 0.0, 0.5);
        assert!((x - 0.5f64.sqrt()).abs() < 1e-14 && (x - y).abs() < 1e-14, "{x} {y}");
        assert_eq!(between(1.0, 1.0, 1.0, 0.25), (0.75, 0.25));
        assert_eq!(between(f64::NAN, 1.0, 1.0, 0.25), (0.75, 0.25));
        assert_eq!(between(0.0, 0.0, 0.0, 0.0).1, 0.0);
    }
}
