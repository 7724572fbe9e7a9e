//! The bytes of a blended tensor, made in pieces as they are asked for.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::super::UpdateError;
use super::super::draft_tensor::as_io;
use super::numbers::{BLOCK, PIECE_LEN, doubles, elements, read};
use super::select::{Cut, difference};
use super::{BlendSettings, Strategy, slerp};
use crate::store::{Tensor, TensorSource};

/// What has to be known of whole tensors before the first element is made.
#[derive(Debug)]
enum Prepared {
    Nothing,
    /// The factors of two tensors.
    Factors(f64, f64),
    /// Of each model's difference what is kept.
    Cuts(Vec<Cut>),
}

/// A tensor that is mixed of others. Memory: a mebibyte for each of them and each core.
pub(super) struct Blended {
    strategy: Strategy,
    settings: BlendSettings,
    base: Option<Tensor>,
    parts: Vec<Tensor>,
    /// What the random numbers of each model begin from.
    keys: Vec<u64>,
    prepared: Mutex<Option<Arc<Prepared>>>,
}

/// What the random numbers of a model's tensor begin from: the first eight bytes of a hash.
fn key(seed: u64, model: usize, tensor: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"mgit dare 1\0").update(&seed.to_le_bytes());
    hasher.update(&(model as u64).to_le_bytes()).update(tensor.as_bytes());
    let first = hasher.finalize();
    u64::from_le_bytes(*first.as_bytes().first_chunk().unwrap_or(&[0; 8]))
}

/// Whether the element at `place` is kept: the place alone decides, so that pieces may be made in
/// any order. The generator is SplitMix64, of which 53 bits are compared with the density.
fn is_kept(key: u64, place: u64, density: f64) -> bool {
    let mut z = key.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 11) as f64) < density * (1u64 << 53) as f64
}

impl Blended {
    pub(super) fn new(
        strategy: Strategy,
        settings: &BlendSettings,
        base: Option<&Tensor>,
        parts: &[Tensor],
    ) -> Result<Self, UpdateError> {
        let models = parts.len();
        if settings.weights.len() != models || settings.densities.len() != models {
            return Err(UpdateError::parameter("weight", format!("not one for {models} models")));
        }
        let name = parts.first().map(Tensor::name).unwrap_or_default();
        Ok(Blended {
            strategy,
            settings: settings.clone(),
            base: base.cloned(),
            parts: parts.to_vec(),
            keys: (0..models).map(|model| key(settings.seed, model, name)).collect(),
            prepared: Mutex::new(None),
        })
    }

    /// The lock is not held meanwhile: what is reckoned here may run on other threads' stacks.
    fn prepared(&self) -> Result<Arc<Prepared>, UpdateError> {
        let lock = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = &*lock() {
            return Ok(Arc::clone(prepared));
        }
        let prepared = match (self.strategy, self.parts.as_slice(), &self.base) {
            (Strategy::Slerp, [a, b], _) => {
                let [first, second] = self.settings.weights.first_chunk().unwrap_or(&[1.0, 1.0]);
                let (a, b) = slerp::factors(a, b, second / (first + second))?;
                Prepared::Factors(a, b)
            }
            (Strategy::Ties, parts, Some(base)) => {
                let densities = parts.iter().zip(&self.settings.densities);
                let cuts = densities.map(|(part, density)| Cut::of(part, base, *density));
                Prepared::Cuts(cuts.collect::<Result<_, _>>()?)
            }
            _ => Prepared::Nothing,
        };
        let prepared = Arc::new(prepared);
        *lock() = Some(Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Makes whole elements from `start` on.
    fn make(&self, start: u64, out: &mut [u8]) -> Result<(), UpdateError> {
        let Some(first) = self.parts.first() else { return Ok(()) };
        let prepared = self.prepared()?;
        let lane = first.dtype().lane_bytes().max(1);
        let count = out.len() / lane;
        let base = self.base.as_ref().map(|base| read(base, start, count)).transpose()?;
        let parts = self.parts.iter().map(|part| read(part, start, count));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let mut columns = vec![vec![0.0; BLOCK]; parts.len()];
        let (mut bases, mut mixed) = (vec![0.0; BLOCK], vec![0.0; BLOCK]);
        let mut row = vec![0.0; parts.len()];
        for (block, out) in out.chunks_mut(BLOCK * lane).enumerate() {
            let (at, len) = (block * BLOCK, out.len() / lane);
            for ((part, bytes), column) in self.parts.iter().zip(&parts).zip(&mut columns) {
                doubles(part.dtype(), bytes, at, column);
            }
            if let (Some(tensor), Some(bytes)) = (&self.base, &base) {
                doubles(tensor.dtype(), bytes, at, &mut bases);
            }
            let made = mixed.iter_mut().zip(&bases).take(len);
            for (place, (mixed, base)) in made.enumerate() {
                for (cell, column) in row.iter_mut().zip(&columns) {
                    *cell = column.get(place).copied().unwrap_or_default();
                }
                *mixed = self.element(&prepared, start + (at + place) as u64, *base, &mut row);
            }
            elements(first.dtype(), &mixed, out);
        }
        Ok(())
    }

    /// One element of the models' in `row`, which is changed.
    fn element(&self, prepared: &Prepared, place: u64, base: f64, row: &mut [f64]) -> f64 {
        let BlendSettings { weights, densities, scale, normalise, .. } = &self.settings;
        match (self.strategy, prepared) {
            (Strategy::Linear, _) => {
                let sum: f64 = row.iter().zip(weights).fold(0.0, |sum, (x, w)| sum + part(*w, *x));
                if *normalise { sum / self.settings.divisor() } else { sum }
            }
            (Strategy::Slerp, Prepared::Factors(first, second)) => match row {
                [a, b] => part(*first, *a) + part(*second, *b),
                _ => f64::NAN,
            },
            (Strategy::Slerp, _) => f64::NAN,
            (Strategy::TaskArithmetic, _) => {
                let parts = row.iter().zip(weights).map(|(x, w)| part(*w, difference(*x, base)));
                let sum = parts.fold(0.0, |sum, part| sum + part);
                base + scale * if *normalise { sum / self.settings.divisor() } else { sum }
            }
            (Strategy::Dare, _) => {
                let mut sum = 0.0;
                for (((x, w), density), key) in
                    row.iter().zip(weights).zip(densities).zip(&self.keys)
                {
                    if *density >= 1.0 || is_kept(*key, place, *density) {
                        sum += part(*w, difference(*x, base) / density);
                    }
                }
                base + scale * if *normalise { sum / self.settings.divisor() } else { sum }
            }
            (Strategy::Ties, prepared) => {
                let Prepared::Cuts(cuts) = prepared else { return f64::NAN };
                for ((x, w), cut) in row.iter_mut().zip(weights).zip(cuts) {
                    let difference = difference(*x, base);
                    *x = if cut.keeps(place, difference) { part(*w, difference) } else { 0.0 };
                }
                let total = row.iter().fold(0.0, |sum, value| sum + value);
                if total.is_nan() {
                    return total;
                }
                let (mut sum, mut weight) = (0.0, 0.0);
                for (value, w) in row.iter().zip(weights) {
                    if (total >= 0.0 && *value > 0.0) || (total < 0.0 && *value < 0.0) {
                        (sum, weight) = (sum + value, weight + w);
                    }
                }
                let divisor = if *normalise && weight != 0.0 { weight } else { 1.0 };
                base + scale * (sum / divisor)
            }
        }
    }
}

/// A weight times an element: what has no weight does not count, be it infinite or no number.
fn part(weight: f64, element: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * element }
}

impl TensorSource for Blended {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let lane = self.parts.first().map_or(1, |part| part.dtype().lane_bytes().max(1)) as u64;
        if offset.is_multiple_of(lane) && (out.len() as u64).is_multiple_of(lane) {
            let pieces = out.par_chunks_mut(PIECE_LEN).enumerate();
            let made = pieces.try_for_each(|(at, piece)| {
                self.make(offset / lane + (at * PIECE_LEN) as u64 / lane, piece)
            });
            return made.map_err(as_io);
        }
        // Ends inside of elements: those are made whole.
        let (start, end) = (offset / lane, (offset + out.len() as u64).div_ceil(lane));
        let mut whole = vec![0; ((end - start) * lane) as usize];
        self.make(start, &mut whole).map_err(as_io)?;
        let skip = (offset - start * lane) as usize;
        let part = whole.get(skip..skip + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }
}
