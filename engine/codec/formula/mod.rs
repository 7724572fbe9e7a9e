//! What a chunk is coded against, when that is not simply the base: bytes that a formula makes of
//! one or more bases.
//!
//! Every formula is elementwise or rowwise, exact to the bit on every machine (format
//! specification, "Formulas"), and works on any range of chunks. Where the base is too short for a
//! range, zeros stand for it.

mod absmax;
mod arithmetic;
mod cast;
mod decay;
mod eight;
mod guess;
mod increment;
mod int8;
mod lora;
mod scaled;

#[cfg(test)]
mod tests;

use std::ops::Range;

use absmax::Absmax;
pub use absmax::AbsmaxOrder;
pub use arithmetic::MeanOrder;
pub(super) use arithmetic::settled;
use arithmetic::{Mean, Prune, Scale, TaskVector, common_type};
pub use cast::FloatType;
use decay::Decay;
pub use eight::FloatEight;
use increment::{Added, Increment};
use int8::Requantise;
use lora::Lora;
pub(crate) use lora::multiply_add;
use scaled::Scaled;

use crate::tensor::Dtype;

/// The code of [`Formula::Increment`], which takes a feature flag of its own.
pub const INCREMENT_CODE: u8 = 11;

/// The code of [`Formula::Absmax`] as integers.
const ABSMAX_INT8_CODE: u8 = 3;

/// The code of [`Formula::Absmax`] as floats, which takes a feature flag of its own.
pub const ABSMAX_F8_CODE: u8 = 12;

/// The code of [`Formula::Cast`] to or from floats of eight bits, which takes a feature flag of its
/// own.
pub const CAST_F8_CODE: u8 = 13;

/// The code of [`Formula::Decay`], which takes a feature flag of its own.
pub const DECAY_CODE: u8 = 14;

/// The code of [`Formula::Scaled`], which takes a feature flag of its own.
pub const SCALED_F8_CODE: u8 = 15;

/// A row that has to be seen as a whole is no longer than this many bytes of its base.
const ROW_BYTES_MAX: u64 = 16 << 20;

/// How the bytes that chunks are coded against come from the bases.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Formula {
    /// The base's elements, as far as there are any; zeros behind them.
    Resize,
    /// Every element of the base in another float type.
    Cast {
        /// The base's type.
        from: FloatType,
        /// The content's type.
        to: FloatType,
    },
    /// Every row of a float base as 8-bit integers, the largest magnitude of the row as 127, or as
    /// 8-bit floats, that as 448.
    Absmax(Absmax),
    /// 8-bit integers, every row times a factor of its own.
    Requantise(Requantise),
    /// Every element times a factor.
    Scale(Scale),
    /// Elements of small magnitude as zeros.
    Prune(Prune),
    /// The mean of several bases.
    Mean(Mean),
    /// A base plus a factor times the difference of two others.
    TaskVector(TaskVector),
    /// A base plus a factor times the product of two matrices.
    Lora(Lora),
    /// A base plus a factor times the numbers of another.
    Increment(Increment),
    /// Every element shrunk by a factor, again and again.
    Decay(Decay),
    /// Every element with one scale as a float of eight bits.
    Scaled(Scaled),
}

/// Bytes that are not the parameters of a formula, or a formula that does not fit its bases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a formula: {0}")]
pub struct FormulaError(String);

fn wrong<T>(reason: impl Into<String>) -> Result<T, FormulaError> {
    Err(FormulaError(reason.into()))
}

impl Formula {
    /// The cast from one type to another; `None` when either is not a float that is cast.
    pub fn cast(from: &Dtype, to: &Dtype) -> Option<Self> {
        let (from, to) = (FloatType::cast_of(from)?, FloatType::cast_of(to)?);
        (from != to).then_some(Formula::Cast { from, to })
    }

    /// Rows of `columns` floats of type `from` as type `to`, I8 or F8_E4M3; `None` when these are
    /// other types, there are no columns, or too many for a row to be seen as a whole.
    pub fn absmax(from: &Dtype, to: &Dtype, columns: u64, order: AbsmaxOrder) -> Option<Self> {
        Absmax::new(from, to, columns, order).map(Formula::Absmax)
    }

    /// The factors that bring rows of `columns` integers of `base` nearest to those of `child`,
    /// in the sense of least squares; `None` when there are no whole rows.
    pub fn requantise(columns: u64, base: &[u8], child: &[u8]) -> Option<Self> {
        Requantise::fit(columns, base, child).map(Formula::Requantise)
    }

    /// A base of `columns` columns plus `scale` times the product of two matrices of type
    /// `factors`; `None` when they are too large, or not of floats of at most 4 bytes.
    pub fn lora(
        own: &Dtype,
        factors: &Dtype,
        (columns, rank): (u64, u32),
        scale: f32,
    ) -> Option<Self> {
        let single = |dtype| FloatType::of(dtype).filter(|of| *of != FloatType::F64);
        let lora = Lora { of: single(own)?, factors: single(factors)?, columns, rank, scale };
        lora.fits().then_some(Formula::Lora(lora))
    }

    /// A base of a content of type `own`, plus `factor` times numbers of type `added`: I8, as one
    /// base or, when they are `wide`, as two, or F16. `None` for other types.
    pub fn increment(own: &Dtype, added: &Dtype, wide: bool, factor: f32) -> Option<Self> {
        let of = common_type(own, &[]).ok()?;
        let added = match added {
            Dtype::I8 if wide => Added::Wide,
            Dtype::I8 => Added::Narrow,
            Dtype::F16 => Added::Half,
            _ => return None,
        };
        Some(Formula::Increment(Increment { of, added, factor }))
    }

    /// Whether what a formula of this code makes is of the type and the shape of its first base.
    pub fn keeps_elements(code: u8) -> bool {
        !matches!(code, 1..=3 | ABSMAX_F8_CODE | CAST_F8_CODE | SCALED_F8_CODE)
    }

    /// The code in the file.
    pub fn code(&self) -> u8 {
        match self {
            Formula::Resize => 1,
            Formula::Cast { from, to } if from.is_eight() || to.is_eight() => CAST_F8_CODE,
            Formula::Cast { .. } => 2,
            Formula::Absmax(absmax) => absmax.code(),
            Formula::Requantise(_) => 4,
            Formula::Scale(_) => 6,
            Formula::Prune(_) => 7,
            Formula::Mean(_) => 8,
            Formula::TaskVector(_) => 9,
            Formula::Lora(_) => 10,
            Formula::Increment(_) => INCREMENT_CODE,
            Formula::Decay(_) => DECAY_CODE,
            Formula::Scaled(_) => SCALED_F8_CODE,
        }
    }

    /// The name, for people.
    pub fn name(&self) -> &'static str {
        Self::name_of(self.code()).unwrap_or_default()
    }

    /// The name of the formula of this code; `None` for one that this version does not know.
    pub fn name_of(code: u8) -> Option<&'static str> {
        Self::NAMES.into_iter().find(|(known, _)| *known == code).map(|(_, name)| name)
    }

    /// The codes and names of all formulas.
    pub const NAMES: [(u8, &str); 14] = [
        (1, "resize"),
        (2, "cast"),
        (ABSMAX_INT8_CODE, "absmax-int8"),
        (4, "requantise-int8"),
        (6, "scale"),
        (7, "prune"),
        (8, "mean"),
        (9, "task-vector"),
        (10, "lora"),
        (11, "increment"),
        (ABSMAX_F8_CODE, "absmax-f8"),
        (CAST_F8_CODE, "cast-f8"),
        (DECAY_CODE, "decay"),
        (SCALED_F8_CODE, "scaled-f8"),
    ];

    /// The parameters' bytes in the file.
    pub fn parameters(&self) -> Vec<u8> {
        match self {
            Formula::Resize | Formula::Cast { .. } => Vec::new(),
            Formula::Absmax(absmax) => absmax.parameters(),
            Formula::Requantise(requantise) => requantise.parameters(),
            Formula::Scale(scale) => scale.factor.to_le_bytes().to_vec(),
            Formula::Prune(prune) => prune.parameters(),
            Formula::Mean(mean) => mean.parameters(),
            Formula::TaskVector(task) => task.factor.to_le_bytes().to_vec(),
            Formula::Lora(lora) => lora.parameters(),
            Formula::Increment(increment) => increment.factor.to_le_bytes().to_vec(),
            Formula::Decay(decay) => decay.parameters(),
            Formula::Scaled(scaled) => scaled.parameters(),
        }
    }

    /// Reads a formula for a content of type `own` over bases of types `bases`.
    ///
    /// # Errors
    ///
    /// An unknown code, bases that the formula does not take, parameters that are not its own.
    pub fn parse(
        code: u8,
        own: &Dtype,
        bases: &[Dtype],
        parameters: &[u8],
    ) -> Result<Self, FormulaError> {
        match (code, bases.len()) {
            (8, count @ 2..) => {
                let of = common_type(own, bases)?;
                return Mean::parse(of, count, parameters).map(Formula::Mean);
            }
            (9, 3) => {
                let of = common_type(own, bases)?;
                return TaskVector::parse(of, parameters).map(Formula::TaskVector);
            }
            (10, 3) => return Lora::parse(own, bases, parameters).map(Formula::Lora),
            (11, 2..) => return Increment::parse(own, bases, parameters).map(Formula::Increment),
            _ => {}
        }
        let [base] = bases else { return wrong(format!("{} bases", bases.len())) };
        if matches!(code, 1 | 2 | CAST_F8_CODE) && !parameters.is_empty() {
            return wrong(format!("{} bytes of parameters", parameters.len()));
        }
        match code {
            1 if own == base => Ok(Formula::Resize),
            1 => wrong(format!("a resize of {base} to {own}")),
            2 | CAST_F8_CODE => Formula::cast(base, own)
                .filter(|cast| cast.code() == code)
                .ok_or_else(|| FormulaError(format!("a cast of {base} to {own}"))),
            ABSMAX_INT8_CODE if *own == Dtype::I8 => {
                Absmax::parse(own, base, parameters).map(Formula::Absmax)
            }
            ABSMAX_F8_CODE if *own == Dtype::F8E4M3 => {
                Absmax::parse(own, base, parameters).map(Formula::Absmax)
            }
            4 if *own == Dtype::I8 && *base == Dtype::I8 => {
                Requantise::parse(parameters).map(Formula::Requantise)
            }
            6 => Scale::parse(common_type(own, bases)?, parameters).map(Formula::Scale),
            DECAY_CODE => Decay::parse(common_type(own, bases)?, parameters).map(Formula::Decay),
            SCALED_F8_CODE => Scaled::parse(own, base, parameters).map(Formula::Scaled),
            7 => Prune::parse(own, base, parameters).map(Formula::Prune),
            ABSMAX_INT8_CODE | 4 | ABSMAX_F8_CODE => {
                wrong(format!("formula {code} of {base} to {own}"))
            }
            _ => wrong(format!("code {code}")),
        }
    }

    /// Which bytes of each base the bytes `range` of the content come from. A range may go beyond
    /// its base: zeros stand there.
    pub fn needs(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let needed = match self {
            Formula::Resize
            | Formula::Requantise(_)
            | Formula::Scale(_)
            | Formula::Prune(_)
            | Formula::Decay(_) => range.clone(),
            Formula::Mean(mean) => return vec![range.clone(); mean.count],
            Formula::TaskVector(_) => return vec![range.clone(); 3],
            Formula::Lora(lora) => return lora.needs(range),
            Formula::Increment(increment) => return increment.needs(range),
            Formula::Cast { from, to } => {
                let (from, to) = (from.bytes() as u64, to.bytes() as u64);
                range.start / to * from..range.end.div_ceil(to).saturating_mul(from)
            }
            Formula::Absmax(absmax) => absmax.needs(range),
            Formula::Scaled(scaled) => {
                let from = scaled.element_bytes() as u64;
                range.start.saturating_mul(from)..range.end.saturating_mul(from)
            }
        };
        vec![needed]
    }

    /// Makes the bytes `range` of the content, into `out`, of what [`needs`](Self::needs) asks
    /// for. Ranges begin and end at whole elements; what is left of an element is zero.
    pub fn predict(&self, range: &Range<u64>, bases: &[&[u8]], out: &mut [u8]) {
        let base = bases.first().copied().unwrap_or_default();
        match self {
            Formula::Resize => {
                let len = base.len().min(out.len());
                let (covered, behind) = out.split_at_mut(len);
                covered.copy_from_slice(base.get(..len).unwrap_or_default());
                behind.fill(0);
            }
            Formula::Cast { from, to } => cast::cast(*from, *to, base, out),
            Formula::Absmax(absmax) => absmax.predict(range, base, out),
            Formula::Requantise(requantise) => requantise.predict(range.start, base, out),
            Formula::Scale(scale) => scale.predict(base, out),
            Formula::Prune(prune) => prune.predict(base, out),
            Formula::Mean(mean) => mean.predict(bases, out),
            Formula::TaskVector(task) => task.predict(bases, out),
            Formula::Lora(lora) => lora.predict(range, bases, out),
            Formula::Increment(increment) => increment.predict(bases, out),
            Formula::Decay(decay) => decay.predict(base, out),
            Formula::Scaled(scaled) => scaled.predict(base, out),
        }
    }
}
