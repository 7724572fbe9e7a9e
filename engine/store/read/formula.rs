//! A formula together with the bases it stands on.

use crate::codec::formula::{Formula, FormulaError};
use crate::format::{FormulaBase, FormulaBlock, RecordHeader};
use crate::tensor::{ContentId, Dtype};

/// The formula of a record: what its chunks are coded against.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFormula {
    formula: Formula,
    block: FormulaBlock,
}

impl StoredFormula {
    /// A formula over bases of these ids and types.
    pub(in crate::store) fn new(
        formula: Formula,
        bases: impl Iterator<Item = (ContentId, Dtype)>,
    ) -> Self {
        let base = |(content_id, dtype): (ContentId, Dtype)| FormulaBase {
            content_id,
            dtype_code: dtype.code(),
        };
        let bases = bases.map(base).collect();
        let (code, parameters) = (formula.code(), formula.parameters());
        StoredFormula { formula, block: FormulaBlock { code, bases, parameters } }
    }

    /// Reads the formula of the record of `header`.
    pub(in crate::store) fn read(header: &RecordHeader, bytes: &[u8]) -> Result<Self, String> {
        let crc = crc32fast::hash(bytes);
        if crc != header.formula_crc {
            return Err(format!("formula checksum {crc:#010x}, not {:#010x}", header.formula_crc));
        }
        let block = FormulaBlock::decode(bytes).map_err(|error| error.to_string())?;
        if block.bases.first().map(|base| base.content_id) != Some(header.base_id) {
            return Err("the formula's first base is not the record's".to_owned());
        }
        let Some(own) = Dtype::from_code(header.dtype_code) else {
            return Err("a formula for an unknown element type".to_owned());
        };
        let formula = parse(&block, &own).map_err(|error| error.to_string())?;
        Ok(StoredFormula { formula, block })
    }

    /// Whether a record of this type can be read with it. Contents have no type: one that models
    /// have under two, of zeros say, has that of its record, and a formula may be for the other.
    pub(in crate::store) fn is_for(&self, own: &Dtype) -> bool {
        parse(&self.block, own).is_ok_and(|formula| formula == self.formula)
    }

    /// The block's bytes in the record.
    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        self.block.encode()
    }

    /// The formula itself.
    pub fn formula(&self) -> &Formula {
        &self.formula
    }

    /// The same formula over other bases, of the same types.
    pub(in crate::store) fn over(&self, other: &dyn Fn(ContentId) -> ContentId) -> Self {
        let mut formula = self.clone();
        for base in &mut formula.block.bases {
            base.content_id = other(base.content_id);
        }
        formula
    }

    /// Whether what it adds to its first base is stored: it is then a difference like others.
    pub(in crate::store) fn adds_stored(&self) -> bool {
        matches!(self.formula, Formula::Increment(_))
    }

    /// Its bases, in order, and the types that it sees them as.
    pub(in crate::store) fn bases(&self) -> impl Iterator<Item = (ContentId, Dtype)> + '_ {
        let known =
            |base: &FormulaBase| Some((base.content_id, Dtype::from_code(base.dtype_code)?));
        self.block.bases.iter().filter_map(known)
    }

    /// The content ids of its bases, in order.
    pub fn base_ids(&self) -> impl Iterator<Item = ContentId> + '_ {
        self.block.bases.iter().map(|base| base.content_id)
    }
}

fn parse(block: &FormulaBlock, own: &Dtype) -> Result<Formula, FormulaError> {
    let dtype = |base: &FormulaBase| Dtype::from_code(base.dtype_code);
    let bases: Vec<Dtype> = block.bases.iter().filter_map(dtype).collect();
    Formula::parse(block.code, own, &bases, &block.parameters)
}

/// The content ids of what a record of this header and formula stands on.
pub(in crate::store) fn base_ids(
    header: &RecordHeader,
    formula: Option<&StoredFormula>,
) -> Vec<ContentId> {
    match formula {
        Some(formula) => formula.base_ids().collect(),
        None if header.base_id.is_none() => Vec::new(),
        None => vec![header.base_id],
    }
}
