//! The formula of a record: what its chunks are coded against, when that is not simply the base.

use super::{ByteReader, ByteWriter, FormatError};
use crate::tensor::{ContentId, Dtype};

/// The most bases that a formula takes.
pub const FORMULA_BASES_MAX: usize = 8;

/// A base of a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaBase {
    /// The content's id.
    pub content_id: ContentId,
    /// Code of the element type that the formula sees the content as.
    pub dtype_code: u8,
}

/// A record's formula as bytes: which formula, over which bases. The parameters are the codec's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaBlock {
    /// Code of the formula.
    pub code: u8,
    /// The bases, in the formula's order; the first is the record's base.
    pub bases: Vec<FormulaBase>,
    /// The formula's parameters.
    pub parameters: Vec<u8>,
}

impl FormulaBlock {
    /// The block's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ByteWriter::with_capacity(4 + 33 * self.bases.len() + self.parameters.len());
        out.u8(self.code).u8(self.bases.len() as u8).u16(0);
        for base in &self.bases {
            out.put(base.content_id.as_bytes()).u8(base.dtype_code);
        }
        out.put(&self.parameters);
        out.into_bytes()
    }

    /// Reads a block.
    ///
    /// # Errors
    ///
    /// Too few bytes, no base or too many, a base without id or type, a reserved byte that is not
    /// zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("formula", bytes);
        let (code, count) = (input.u8()?, usize::from(input.u8()?));
        input.reserved(2)?;
        if !(1..=FORMULA_BASES_MAX).contains(&count) {
            return Err(FormatError::new("formula bases", 1, "1 to 8", count));
        }
        let mut bases = Vec::with_capacity(count);
        for _ in 0..count {
            let content_id = ContentId::from_bytes(input.array()?);
            let dtype_code = input.u8()?;
            if content_id.is_none() || Dtype::from_code(dtype_code).is_none() {
                let found = format!("{} of type {dtype_code}", content_id.short());
                return Err(FormatError::new("formula base", 4, "an id and a known type", found));
            }
            bases.push(FormulaBase { content_id, dtype_code });
        }
        let at = 4 + 33 * count;
        let parameters = bytes.get(at..).unwrap_or_default().to_vec();
        Ok(FormulaBlock { code, bases, parameters })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn round_trip_and_contradictions() {
        let base = |byte: u8| FormulaBase { content_id: ContentId::of(&[byte]), dtype_code: 18 };
        let block =
            FormulaBlock { code: 2, bases: vec![base(1), base(2)], parameters: vec![1, 2, 3] };
        let bytes = block.encode();
        assert_eq!(FormulaBlock::decode(&bytes), Ok(block.clone()));
        assert!(FormulaBlock::decode(&bytes[..69]).is_err());
        let spoiled = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            FormulaBlock::decode(&bytes).is_err()
        };
        assert!(spoiled(1, 0) && spoiled(1, 9) && spoiled(2, 1) && spoiled(36, 0));
        let none = FormulaBase { content_id: ContentId::NONE, dtype_code: 18 };
        let block = FormulaBlock { bases: vec![none], ..block };
        assert!(FormulaBlock::decode(&block.encode()).is_err());
    }
}
