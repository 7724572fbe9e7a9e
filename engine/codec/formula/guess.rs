//! Which formula may have made a tensor: cheap looks at its beginning.
//!
//! A guess is only a guess: whoever uses it codes the tensor against it and sees.

use super::Formula;
use super::arithmetic::{Mean, MeanOrder, Prune, Scale, TaskVector, singles};
use super::cast::FloatType;
use super::lora::Lora;
use crate::tensor::Dtype;

/// Elements looked at, at most.
const LOOK: usize = 1 << 12;

/// Share of elements that a guess must get exactly right, as a divisor: one in two.
const RIGHT: usize = 2;

/// How many elements a formula makes exactly.
fn hits(formula: &Formula, width: usize, bases: &[&[u8]], child: &[u8]) -> usize {
    let mut out = vec![0; child.len()];
    formula.predict(&(0..child.len() as u64), bases, &mut out);
    out.chunks(width).zip(child.chunks(width)).filter(|(a, b)| a == b).count()
}

fn cut(bytes: &[u8], width: usize) -> &[u8] {
    bytes.get(..bytes.len().min(LOOK * width)).unwrap_or_default()
}

/// The best of some formulas, if it makes enough elements, and more than the first base has.
fn best(
    formulas: impl IntoIterator<Item = Formula>,
    width: usize,
    bases: &[&[u8]],
    child: &[u8],
) -> Option<Formula> {
    let plain = bases.first().map_or(0, |base| hits(&Formula::Resize, width, &[base], child));
    let counted =
        formulas.into_iter().map(|formula| (hits(&formula, width, bases, child), formula));
    let (count, formula) = counted.max_by_key(|(count, _)| *count)?;
    (count > plain && count * RIGHT > child.len() / width).then_some(formula)
}

/// A factor that a person may have chosen, near a computed one.
fn rounded(factor: f64) -> impl Iterator<Item = f32> {
    let exact = factor as f32;
    let near = [100.0, 64.0, 30.0].map(|unit: f64| ((factor * unit).round() / unit) as f32);
    near.into_iter().chain([exact, exact.next_up(), exact.next_down()])
}

impl Formula {
    /// A formula of one base of the same type: pruning by magnitude, or a factor. Both arguments
    /// begin at the tensor's first element; with all of the tensor a pruning is exact.
    pub fn guess_of_one(dtype: &Dtype, base: &[u8], child: &[u8]) -> Option<Self> {
        let of = FloatType::of(dtype)?;
        if let Some(prune) = Prune::fit(of, base, child) {
            return Some(Formula::Prune(prune));
        }
        if of == FloatType::F64 {
            return None;
        }
        let (base, child) = (cut(base, of.bytes()), cut(child, of.bytes()));
        let count = child.len() / of.bytes();
        let (from, to) = (singles(of, base, count), singles(of, child, count));
        // The largest magnitudes tell the factor best.
        let mut places: Vec<usize> = (0..count).collect();
        let magnitude = |place: &usize| from.get(*place).map_or(0.0, |value| value.abs());
        let few = 4.min(count);
        if few == 0 {
            return None;
        }
        places.select_nth_unstable_by(few - 1, |a, b| magnitude(b).total_cmp(&magnitude(a)));
        let factors: Vec<f32> = places
            .iter()
            .take(few)
            .filter_map(|place| Some(f64::from(*to.get(*place)?) / f64::from(*from.get(*place)?)))
            .filter(|factor| factor.is_normal())
            .flat_map(rounded)
            .collect();
        let scale = |factor| Formula::Scale(Scale { of, factor });
        best(factors.into_iter().map(scale), of.bytes(), &[base], child)
    }

    /// The mean of several bases of the same type.
    pub fn guess_mean(dtype: &Dtype, bases: &[&[u8]], child: &[u8]) -> Option<Self> {
        let of = FloatType::of(dtype).filter(|of| *of != FloatType::F64)?;
        let (width, count) = (of.bytes(), bases.len());
        let bases: Vec<&[u8]> = bases.iter().map(|base| cut(base, width)).collect();
        let mean = |order| Formula::Mean(Mean { of, count, order });
        best(MeanOrder::ALL.map(mean), width, &bases, cut(child, width))
    }

    /// A base plus a multiple of the difference of two others, of the same type: in the order given.
    pub fn guess_task_vector(dtype: &Dtype, bases: [&[u8]; 3], child: &[u8]) -> Option<Self> {
        let of = FloatType::of(dtype).filter(|of| *of != FloatType::F64)?;
        let width = of.bytes();
        let (bases, child) = (bases.map(|base| cut(base, width)), cut(child, width));
        let count = child.len() / width;
        let [a, b, c] = bases.map(|base| singles(of, base, count));
        let x = singles(of, child, count);
        let (mut both, mut square) = (0f64, 0f64);
        for (((a, b), c), x) in a.iter().zip(&b).zip(&c).zip(&x) {
            let task = f64::from(*b) - f64::from(*c);
            both += (f64::from(*x) - f64::from(*a)) * task;
            square += task * task;
        }
        let factors = [1.0].into_iter().chain(rounded(both / square));
        let task = |factor| Formula::TaskVector(TaskVector { of, factor });
        best(factors.map(task), width, &bases, child)
    }

    /// A base of `columns` columns plus a multiple of the product of `left` and `right`, both of
    /// type `factors`: whole matrices. `base` and `child` begin at the first element.
    pub fn guess_lora(
        dtype: &Dtype,
        factors: &Dtype,
        (columns, rank): (u64, u32),
        [base, left, right]: [&[u8]; 3],
        child: &[u8],
    ) -> Option<Self> {
        let single = |dtype| FloatType::of(dtype).filter(|of| *of != FloatType::F64);
        let (of, factors) = (single(dtype)?, single(factors)?);
        let lora = |scale| Lora { of, factors, columns, rank, scale };
        if !lora(1.0).fits() {
            return None;
        }
        let width = of.bytes();
        let (base, child) = (cut(base, width), cut(child, width));
        let count = child.len() / width;
        let mut product = vec![0; count * 4];
        let whole = Lora { of: FloatType::F32, ..lora(1.0) };
        whole.predict(&(0..product.len() as u64), &[&[], left, right], &mut product);
        let (mut both, mut square) = (0f64, 0f64);
        let product = singles(FloatType::F32, &product, count);
        let (from, to) = (singles(of, base, count), singles(of, child, count));
        for ((from, to), product) in from.iter().zip(&to).zip(&product) {
            both += (f64::from(*to) - f64::from(*from)) * f64::from(*product);
            square += f64::from(*product) * f64::from(*product);
        }
        let formulas = rounded(both / square).map(|scale| Formula::Lora(lora(scale)));
        best(formulas, width, &[base, left, right], child)
    }
}
