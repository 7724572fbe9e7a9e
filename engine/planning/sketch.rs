//! A small sample of a tensor's elements, by which tensors are compared without their bytes.
//!
//! The elements sampled depend on the number of elements alone, so that a tensor and whatever was
//! derived from it element by element, in whatever type, are sampled at the same places.

use std::borrow::Borrow;

use crate::codec::formula::Formula;
use crate::format::{ByteReader, ByteWriter, FormatError};
use crate::tensor::{ContentId, Dtype, float8_cast, number, number_bytes};

/// The most elements that are sampled.
pub const SKETCH_SAMPLES: usize = 64;
/// A tensor of no more bytes is read whole for its samples.
const READ_WHOLE_MAX: u64 = 1 << 14;
/// A tensor of fewer elements has no sketch: it cannot tell, having less than eight samples of one
/// sign, and there can be a million of them.
const SKETCHED_FROM: u64 = 16;
/// A tensor of no more elements has a sketch, but none that is kept: it would be as long as the
/// tensor, which is read as quickly. A model can have many of them: biases, normalisations.
const UNKEPT_MAX: u64 = 256;
/// Bits an element that a difference from a scaled or pruned parent takes: rounding, at most.
const MADE_BITS: f64 = 1.0;
/// The version of the sketch's layout.
pub const SKETCH_VERSION: u8 = 1;
/// The version of a sketch of doubles, which has what rounding has taken from them.
pub const SKETCH_VERSION_F64: u8 = 2;

/// Up to 64 elements of a tensor, evenly spread, as `F32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    dtype: Dtype,
    elements: u64,
    samples: Vec<f32>,
    /// Of doubles, what rounding has taken from each sample; else empty.
    rests: Vec<f32>,
}

/// What two sketches say about a child and its possible parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Pearson's correlation of the samples; 0 where either side is constant.
    pub correlation: f64,
    /// The share of samples that are equal in the coarser of the two types.
    pub equal: f64,
    /// Predicted bits an element that the child's difference takes, at most what it takes alone.
    /// They are bits of the child: what a coarser parent cannot say counts.
    pub bits: f64,
    /// The same in steps of the coarser of the two types: how near the two are, whichever is the
    /// child.
    pub coarse_bits: f64,
    /// Elements of the tensor.
    pub elements: u64,
    /// Samples with which the estimate was made.
    pub samples: usize,
}

impl Estimate {
    /// Predicted bytes that the child takes as a difference. Made from 64 elements: good to half a
    /// bit an element or so for one tensor, and to a few hundredths over a whole model.
    pub fn delta_bytes(&self) -> u64 {
        (self.bits * self.elements as f64 / 8.0) as u64
    }
}

/// The version of the layout of a sketch of this type.
fn version_of(dtype: &Dtype) -> u8 {
    if *dtype == Dtype::F64 { SKETCH_VERSION_F64 } else { SKETCH_VERSION }
}

/// The SplitMix64 generator's output function.
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Where the `at`th of the samples of `elements` elements lies.
fn place(elements: u64, at: usize) -> u64 {
    let count = SKETCH_SAMPLES as u64;
    if elements <= count {
        return at as u64;
    }
    let border = |at: u64| (u128::from(elements) * u128::from(at) / u128::from(count)) as u64;
    let (start, end) = (border(at as u64), border(at as u64 + 1));
    start + mix(elements ^ (at as u64) << 56) % (end - start)
}

/// Bytes an element takes, for the types that are sampled: scales without a mantissa tell nothing.
fn sampled_bytes(dtype: &Dtype) -> Option<usize> {
    number_bytes(dtype).filter(|_| *dtype != Dtype::F8E8M0)
}

/// Takes a sketch of bytes that come piece by piece, in order.
#[derive(Debug)]
pub struct Sketcher {
    sketch: Sketch,
    /// Bytes an element; 0 when the type is not sampled.
    width: usize,
    /// The bytes of an element that two pieces share.
    partial: Vec<u8>,
}

impl Sketcher {
    /// Begins the sketch of a tensor of `byte_len` bytes.
    pub fn new(dtype: &Dtype, byte_len: u64) -> Self {
        let width = sampled_bytes(dtype).unwrap_or(0);
        let elements = byte_len.checked_div(width as u64).unwrap_or(0);
        let (elements, width) = if elements < SKETCHED_FROM { (0, 0) } else { (elements, width) };
        let samples = Vec::with_capacity(elements.min(SKETCH_SAMPLES as u64) as usize);
        let sketch = Sketch { dtype: dtype.clone(), elements, samples, rests: Vec::new() };
        Sketcher { sketch, width, partial: Vec::new() }
    }

    /// Whether there will be a sketch: not of types that are not sampled, nor of few elements.
    pub(crate) fn makes_one(&self) -> bool {
        self.sketch.elements > 0
    }

    /// Whether there will be one that the catalogue does not keep.
    pub(crate) fn makes_unkept(&self) -> bool {
        self.makes_one() && !self.sketch.is_kept()
    }

    /// Takes the bytes from `offset` on, where the last piece ended.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        let sketch = &mut self.sketch;
        let wanted = sketch.elements.min(SKETCH_SAMPLES as u64) as usize;
        let end = offset + bytes.len() as u64;
        while sketch.samples.len() < wanted {
            let start = place(sketch.elements, sketch.samples.len()) * self.width as u64;
            let from = start + self.partial.len() as u64;
            if from >= end {
                return;
            }
            let first = from.saturating_sub(offset) as usize;
            let last = (start + self.width as u64).min(end).saturating_sub(offset) as usize;
            self.partial.extend_from_slice(bytes.get(first..last).unwrap_or_default());
            if self.partial.len() < self.width {
                return;
            }
            let value = number(&sketch.dtype, &self.partial);
            sketch.samples.push(value as f32);
            if sketch.dtype == Dtype::F64 {
                let rest = value - f64::from(value as f32);
                sketch.rests.push(if rest.is_finite() { rest as f32 } else { 0.0 });
            }
            self.partial.clear();
        }
    }

    /// The sketch of what was fed.
    pub fn finish(self) -> Sketch {
        self.sketch
    }
}

/// Mantissa bits of a float type.
fn mantissa_bits(dtype: &Dtype) -> Option<u32> {
    match dtype {
        Dtype::F64 => Some(52),
        Dtype::F32 | Dtype::C64 => Some(23),
        Dtype::F16 => Some(10),
        Dtype::Bf16 => Some(7),
        Dtype::F8E4M3 | Dtype::F8E4M3Fnuz => Some(3),
        Dtype::F8E5M2 | Dtype::F8E5M2Fnuz => Some(2),
        _ => None,
    }
}

/// Floats as integers that sort as they do, in steps of a float of `bits` mantissa bits.
fn ordered(value: f64, bits: u32) -> i64 {
    let (shift, word) = (52 - bits.min(52), value.to_bits());
    let magnitude = word & (u64::MAX >> 1);
    // To the nearest, ties to even, as a cast does.
    let half = if shift == 0 { 0 } else { (1 << (shift - 1)) - 1 + (magnitude >> shift & 1) };
    let magnitude = ((magnitude + half) >> shift) as i64;
    if word >> 63 == 1 { -magnitude } else { magnitude }
}

/// The code of a float of eight bits as an integer that sorts as the floats do.
fn ordered_eight(code: u8) -> i64 {
    let magnitude = i64::from(code & 0x7f);
    if code >> 7 == 1 { -magnitude } else { magnitude }
}

/// Bits an element, from the share of zero steps and the mean logarithm of the others.
fn bits_of_steps(zero_share: f64, mean_log2: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    part(zero_share) + part(1.0 - zero_share) + (1.0 - zero_share) * (mean_log2 + 1.5)
}

/// What steps between two types are counted in.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Floats of so many mantissa bits.
    Float(u32),
    /// Codes of floats of eight bits; the parent's numbers are multiplied by this first, and rounded.
    Eight(fn(f32) -> u8, f64),
    /// Whole numbers; those of the parent are multiplied by this first.
    Whole(f64),
    /// Nothing: no such parent tells anything of such a child.
    None,
}

/// The steps between a parent's and a child's elements, one pair after the other: how large they
/// are decides what a difference costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    unit: Unit,
    limit: f64,
    zeros: f64,
    log2: f64,
    count: f64,
}

impl Steps {
    /// Steps of the coarser of two types: how near two tensors are. `scale` is what a parent's
    /// numbers are multiplied by where one of them has whole numbers.
    pub(crate) fn coarse(parent: &Dtype, child: &Dtype, scale: f64) -> Self {
        let unit = match (mantissa_bits(parent), mantissa_bits(child)) {
            (Some(a), Some(b)) => Unit::Float(a.min(b)),
            _ => Unit::Whole(scale),
        };
        Self::counted_in(unit, child)
    }

    /// Steps of the child's type: what it takes to say them. Nothing is told where no formula makes
    /// the one type of the other: floats of integers, integers of floats of eight bits.
    pub(crate) fn coded(parent: &Dtype, child: &Dtype, scale: f64) -> Self {
        let unit = match (mantissa_bits(parent), mantissa_bits(child)) {
            (Some(_), Some(bits)) => match float8_cast(child) {
                Some(cast) => Unit::Eight(cast, if parent == child { 1.0 } else { scale }),
                None => Unit::Float(bits),
            },
            (Some(_), None) if is_wide(parent) && *child == Dtype::I8 => Unit::Whole(scale),
            (None, None) if parent == child => Unit::Whole(scale),
            _ => Unit::None,
        };
        Self::counted_in(unit, child)
    }

    fn counted_in(unit: Unit, child: &Dtype) -> Self {
        let limit = child.bits().map_or(8.0, f64::from).min(match mantissa_bits(child) {
            // Alone, a float takes its sign, its mantissa and about 2.6 bits of exponent.
            Some(bits) if child.bits() != Some(64) => f64::from(bits) + 3.6,
            _ => 64.0,
        });
        Steps { unit, limit, zeros: 0.0, log2: 0.0, count: 0.0 }
    }

    pub(crate) fn add(&mut self, parent: f64, child: f64) {
        let step = match self.unit {
            Unit::Float(bits) => {
                ordered(child, bits).wrapping_sub(ordered(parent, bits)).unsigned_abs() as f64
            }
            Unit::Eight(cast, scale) => {
                let parent = ordered_eight(cast((scale * parent) as f32));
                (ordered_eight(cast(child as f32)) - parent).unsigned_abs() as f64
            }
            Unit::Whole(scale) => (child - scale * parent).abs().round(),
            Unit::None => f64::MAX,
        };
        self.count += 1.0;
        if step > 0.0 { self.log2 += step.log2() } else { self.zeros += 1.0 }
    }

    pub(crate) fn equal(&self) -> f64 {
        if self.count > 0.0 { self.zeros / self.count } else { 0.0 }
    }

    pub(crate) fn bits(&self) -> f64 {
        let moved = self.count - self.zeros;
        let mean = if moved > 0.0 { self.log2 / moved } else { 0.0 };
        bits_of_steps(self.equal(), mean).min(self.limit)
    }

    /// Bits that an element of the child takes alone.
    pub(crate) fn limit(&self) -> f64 {
        self.limit
    }
}

/// Whether a float type is one of more than eight bits: rows of those are quantised.
fn is_wide(float: &Dtype) -> bool {
    float.bits() != Some(8)
}

impl Sketch {
    /// The sketch of a tensor whose bytes are in memory. Cost: 64 elements are looked at.
    pub fn of(dtype: &Dtype, bytes: &[u8]) -> Self {
        let mut sketcher = Sketcher::new(dtype, bytes.len() as u64);
        sketcher.feed(0, bytes);
        sketcher.finish()
    }

    /// The sketch of a tensor of `byte_len` bytes, of which only the samples are read, by `read`:
    /// a short tensor at once, else an element at a time.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn read<E>(
        dtype: &Dtype,
        byte_len: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut sketcher = Sketcher::new(dtype, byte_len);
        let (elements, width) = (sketcher.sketch.elements, sketcher.width);
        if byte_len <= READ_WHOLE_MAX {
            let mut bytes = vec![0; if elements > 0 { byte_len as usize } else { 0 }];
            if !bytes.is_empty() {
                read(0, &mut bytes)?;
            }
            sketcher.feed(0, &bytes);
            return Ok(sketcher.finish());
        }
        let mut element = vec![0; width];
        for at in 0..elements.min(SKETCH_SAMPLES as u64) as usize {
            let offset = place(elements, at) * width as u64;
            read(offset, &mut element)?;
            sketcher.feed(offset, &element);
        }
        Ok(sketcher.finish())
    }

    /// Bits that an element takes without a parent.
    pub fn alone_bits(&self) -> f64 {
        Steps::coded(&self.dtype, &self.dtype, 1.0).limit()
    }

    /// The element type.
    pub fn dtype(&self) -> &Dtype {
        &self.dtype
    }

    /// Elements of the tensor; a complex one counts twice. 0 for types that are not sampled, and
    /// for tensors of fewer than sixteen elements.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// The sampled elements, rounded to `F32`.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// The samples, then what rounding has taken from them, where that is kept.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = &f32> {
        self.samples.iter().chain(&self.rests)
    }

    /// The sampled elements, as exactly as they are kept.
    fn values(&self) -> impl Iterator<Item = f64> {
        let rests = self.rests.iter().copied().chain(std::iter::repeat(0.0));
        self.samples.iter().zip(rests).map(|(value, rest)| f64::from(*value) + f64::from(rest))
    }

    /// Whether the catalogue keeps it: not of so few elements that it is made as quickly.
    pub fn is_kept(&self) -> bool {
        self.elements > UNKEPT_MAX
    }

    /// Whether comparing tells relatives from strangers: enough samples of both signs. A
    /// normalisation's weights are all near one in every model.
    pub fn is_telling(&self) -> bool {
        let signs = |sign: f32| self.samples.iter().filter(|value| **value * sign > 0.0).count();
        signs(1.0) >= 8 && signs(-1.0) >= 8
    }

    /// Whether `child` may be this scaled, pruned or quantised anew, with nothing added.
    pub fn may_make(&self, child: &Sketch) -> bool {
        let is_same = self.elements == child.elements && self.dtype == child.dtype;
        is_same && (self.dtype == Dtype::I8 || self.is_scaled_or_pruned(child))
    }

    /// Whether the samples of `child`, which has the same type, are these times a factor, or zeros.
    fn is_scaled_or_pruned(&self, child: &Sketch) -> bool {
        let pairs = || self.values().zip(child.values());
        let first = pairs().find(|(a, b)| *a != 0.0 && *b != 0.0);
        let scale = first.map_or(1.0, |(a, b)| b / a);
        let step = mantissa_bits(&self.dtype).map_or(0.0, |bits| 2.0 * (-f64::from(bits)).exp2());
        let near = |a: f64, b: f64| (b - scale * a).abs() <= step * b.abs();
        let pruned = pairs().any(|(a, b)| a != 0.0 && b == 0.0);
        let made = scale != 1.0 || pruned;
        made && pairs().all(|(a, b)| b == 0.0 || near(a, b))
    }

    /// What `self` would make of `child` as its parent; `None` when they have other numbers of
    /// elements, or none.
    pub fn estimate(&self, child: &Sketch) -> Option<Estimate> {
        if self.elements != child.elements || self.samples.is_empty() {
            return None;
        }
        let pairs = || self.values().zip(child.values());
        let count = self.samples.len() as f64;
        let finite = |sum: f64| if sum.is_finite() { sum } else { 0.0 };
        let mean_a = finite(pairs().map(|(a, _)| a).sum::<f64>() / count);
        let mean_b = finite(pairs().map(|(_, b)| b).sum::<f64>() / count);
        let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
        for (a, b) in pairs() {
            let (a, b) = (a - mean_a, b - mean_b);
            (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
        }
        let correlation = finite(ab / (aa * bb).sqrt());
        let scale = if aa > 0.0 { finite(ab / aa) } else { 1.0 };
        // A float of eight bits may be a cast, or may have a scale: what is rounded so much shows it
        // better by what it allows than by what is likely.
        let children = child.samples.iter().copied();
        let allowed = Formula::scale_between(&child.dtype, &self.samples, children);
        let mut scaled = Steps::coded(&self.dtype, &child.dtype, allowed.unwrap_or(scale));
        let unscaled = if float8_cast(&child.dtype).is_some() { 1.0 } else { scale };
        let mut cast = Steps::coded(&self.dtype, &child.dtype, unscaled);
        let mut coarse = Steps::coarse(&self.dtype, &child.dtype, scale);
        for (a, b) in pairs() {
            scaled.add(a, b);
            cast.add(a, b);
            coarse.add(a, b);
        }
        let is_made = self.dtype == child.dtype && self.is_scaled_or_pruned(child);
        let most = if is_made { MADE_BITS } else { scaled.limit() };
        Some(Estimate {
            correlation,
            equal: coarse.equal(),
            bits: scaled.bits().min(cast.bits()).min(most),
            coarse_bits: coarse.bits(),
            elements: self.elements,
            samples: self.samples.len(),
        })
    }

    /// Names of buckets that a tensor is likely to share with its relatives: one of the signs of
    /// sixteen samples, one of eight samples in steps of a quarter of their spread. None for
    /// tensors that are not telling, and where no sketch is kept.
    pub fn bands(&self) -> Option<[u64; 2]> {
        if !self.is_telling() || !self.is_kept() {
            return None;
        }
        let spread = self.samples.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let spread = (spread / self.samples.len() as f64).sqrt();
        let signs = self.samples.iter().step_by(4);
        let signs = signs.fold(0u64, |bits, value| bits << 1 | u64::from(*value < 0.0));
        let cells = self.samples.iter().skip(1).step_by(8);
        let cell = |value: &f32| (f64::from(*value) * 4.0 / spread).round() as i64 as u64;
        let cells = cells.fold(0u64, |hash, value| mix(hash ^ cell(value)));
        Some([mix(mix(self.elements) ^ signs), mix(mix(self.elements ^ 1 << 63) ^ cells)])
    }

    /// The sketch's bytes, as the catalogue keeps them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ByteWriter::with_capacity(12 + 8 * self.samples.len());
        out.u8(version_of(&self.dtype)).u8(self.dtype.code()).u16(self.samples.len() as u16);
        out.u64(self.elements);
        self.numbers().for_each(|number| {
            out.u32(number.to_bits());
        });
        out.into_bytes()
    }

    /// Reads a sketch; `None` for one of a later version, which is then made anew.
    ///
    /// # Errors
    ///
    /// Says which field is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        let mut input = ByteReader::new("sketch", bytes);
        let version = input.u8()?;
        if ![SKETCH_VERSION, SKETCH_VERSION_F64].contains(&version) {
            return Ok(None);
        }
        let dtype = Dtype::from_code(input.u8()?).unwrap_or(Dtype::Unknown("".into()));
        if version != version_of(&dtype) {
            return Ok(None);
        }
        let (count, elements) = (input.u16()?, input.u64()?);
        if u64::from(count) != elements.min(SKETCH_SAMPLES as u64) {
            return Err(FormatError::new("sketch samples", 2, elements.min(64), count));
        }
        let mut numbers = |count| -> Result<Vec<f32>, FormatError> {
            (0..count).map(|_| input.u32().map(f32::from_bits)).collect()
        };
        let samples = numbers(count)?;
        let rests = numbers(if version == SKETCH_VERSION_F64 { count } else { 0 })?;
        input.finish()?;
        Ok(Some(Sketch { dtype, elements, samples, rests }))
    }
}

/// The most tensors of a model whose bands are kept.
pub const BANDED_TENSORS_MAX: usize = 12;

/// The buckets in which a model is found: for the twelve of its telling tensors whose sign bands
/// are the smallest numbers (so that relatives choose the same tensors) their two bands and the
/// first eight bytes of their content ids.
pub fn model_bands<I: Borrow<ContentId>, S: Borrow<Sketch>>(
    tensors: impl IntoIterator<Item = (I, S)>,
) -> Vec<u64> {
    let tensors = tensors.into_iter();
    let banded = tensors.filter_map(|(id, sketch)| Some((sketch.borrow().bands()?, *id.borrow())));
    let mut banded: Vec<([u64; 2], ContentId)> = banded.collect();
    banded.sort_unstable();
    banded.dedup();
    banded.truncate(BANDED_TENSORS_MAX);
    let first = |id: &ContentId| id.as_bytes().first_chunk().copied().unwrap_or_default();
    let bands = |([signs, cells], id): &([u64; 2], ContentId)| {
        [*signs, *cells, mix(u64::from_le_bytes(first(id)))]
    };
    let mut bands: Vec<u64> = banded.iter().flat_map(bands).collect();
    bands.sort_unstable();
    bands.dedup();
    bands
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;
    use proptest::prelude::*;

    fn noise(seed: u64, len: usize) -> Vec<f32> {
        let unit = |at: u64| mix(seed << 32 ^ at) as f64 / u64::MAX as f64 - 0.5;
        (0..len as u64)
            .map(|at| (unit(4 * at) + unit(4 * at + 1) + unit(4 * at + 2)) as f32)
            .collect()
    }

    fn sketch(values: &[f32]) -> Sketch {
        Sketch::of(&Dtype::F32, bytemuck::cast_slice(values))
    }

    #[test]
    fn relatives_are_told_from_strangers() {
        let parent = noise(1, 10_000);
        let child: Vec<f32> =
            parent.iter().zip(noise(2, 10_000)).map(|(p, n)| p + n / 100.0).collect();
        let near = sketch(&parent).estimate(&sketch(&child)).unwrap();
        let far = sketch(&parent).estimate(&sketch(&noise(3, 10_000))).unwrap();
        assert!(near.correlation > 0.99 && far.correlation.abs() < 0.5, "{near:?} {far:?}");
        assert!(near.bits < far.bits, "{near:?} {far:?}");
        let same = sketch(&parent).estimate(&sketch(&parent)).unwrap();
        assert_eq!((same.equal, same.bits), (1.0, 0.0));
        assert_eq!(sketch(&parent).estimate(&sketch(&parent[1..])), None);
    }

    #[test]
    fn a_cast_costs_nothing() {
        let parent = noise(1, 5000);
        let child: Vec<u16> = parent.iter().map(|v| bf16::from_f32(*v).to_bits()).collect();
        let child = Sketch::of(&Dtype::Bf16, bytemuck::cast_slice(&child));
        let estimate = sketch(&parent).estimate(&child).unwrap();
        assert_eq!((estimate.equal, estimate.delta_bytes()), (1.0, 0));
        assert_eq!(sketch(&parent).bands().is_some(), child.bands().is_some());
        assert_eq!(sketch(&parent).bands().unwrap()[0], child.bands().unwrap()[0]);
    }

    #[test]
    fn places_are_inside_and_ascend() {
        for elements in [1u64, 63, 64, 65, 1000, 1 << 40] {
            let places: Vec<u64> =
                (0..elements.min(64) as usize).map(|at| place(elements, at)).collect();
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(places.iter().all(|place| *place < elements));
        }
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_sketch(
            len in 0usize..9000,
            cuts in proptest::collection::vec(1usize..97, 1..9),
        ) {
            let values = noise(7, len);
            let bytes: &[u8] = bytemuck::cast_slice(&values);
            let mut sketcher = Sketcher::new(&Dtype::F32, bytes.len() as u64);
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < bytes.len() {
                let next = (at + cut.next().unwrap()).min(bytes.len());
                sketcher.feed(at as u64, &bytes[at..next]);
                at = next;
            }
            let pieces = sketcher.finish();
            prop_assert_eq!(&pieces, &sketch(&values));
            let read = Sketch::read(&Dtype::F32, bytes.len() as u64, |at, out| {
                out.copy_from_slice(bytes.get(at as usize..at as usize + out.len()).ok_or(())?);
                Ok::<_, ()>(())
            });
            prop_assert_eq!(read, Ok(pieces.clone()));
            prop_assert_eq!(Sketch::decode(&pieces.encode()), Ok(Some(pieces.clone())));
            let encoded = pieces.encode();
            for len in 1..encoded.len() {
                prop_assert!(Sketch::decode(&encoded[..len]).is_err());
            }
        }
    }
}
