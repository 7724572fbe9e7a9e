//! The element types of GGUF tensors: plain numbers, and blocks of quantised ones.
//!
//! The numbers are those of `ggml.h` and `ggml-common.h`
//! (<https://github.com/ggml-org/ggml>), 2026-11.

use crate::tensor::Dtype;

/// How the elements of a tensor are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockType {
    /// Its number in the file.
    code: u32,
    /// Its name; of plain numbers the one that [`Dtype`] has too.
    name: &'static str,
    /// Elements in a block; a row has whole blocks.
    pub(super) elements: u64,
    /// Bytes of a block.
    pub(super) bytes: u64,
}

const fn of(code: u32, name: &'static str, elements: u64, bytes: u64) -> BlockType {
    BlockType { code, name, elements, bytes }
}

/// Every type that is known. 4 and 5 were removed before GGUF was made. 31 to 33 and 36 to 38 are
/// in files of 2024 only: the blocks of another type in another order.
const KNOWN: [BlockType; 40] = [
    of(0, "F32", 1, 4),
    of(1, "F16", 1, 2),
    of(2, "Q4_0", 32, 18),
    of(3, "Q4_1", 32, 20),
    of(6, "Q5_0", 32, 22),
    of(7, "Q5_1", 32, 24),
    of(8, "Q8_0", 32, 34),
    of(9, "Q8_1", 32, 36),
    of(10, "Q2_K", 256, 84),
    of(11, "Q3_K", 256, 110),
    of(12, "Q4_K", 256, 144),
    of(13, "Q5_K", 256, 176),
    of(14, "Q6_K", 256, 210),
    of(15, "Q8_K", 256, 292),
    of(16, "IQ2_XXS", 256, 66),
    of(17, "IQ2_XS", 256, 74),
    of(18, "IQ3_XXS", 256, 98),
    of(19, "IQ1_S", 256, 50),
    of(20, "IQ4_NL", 32, 18),
    of(21, "IQ3_S", 256, 110),
    of(22, "IQ2_S", 256, 82),
    of(23, "IQ4_XS", 256, 136),
    of(24, "I8", 1, 1),
    of(25, "I16", 1, 2),
    of(26, "I32", 1, 4),
    of(27, "I64", 1, 8),
    of(28, "F64", 1, 8),
    of(29, "IQ1_M", 256, 56),
    of(30, "BF16", 1, 2),
    of(31, "Q4_0_4_4", 32, 18),
    of(32, "Q4_0_4_8", 32, 18),
    of(33, "Q4_0_8_8", 32, 18),
    of(34, "TQ1_0", 256, 54),
    of(35, "TQ2_0", 256, 66),
    of(36, "IQ4_NL_4_4", 32, 18),
    of(37, "IQ4_NL_4_8", 32, 18),
    of(38, "IQ4_NL_8_8", 32, 18),
    of(39, "MXFP4", 32, 17),
    of(40, "NVFP4", 64, 36),
    of(41, "Q1_0", 128, 18),
];

impl BlockType {
    /// The type of this number; `None` for one that this version does not know.
    pub(super) fn of_code(code: u32) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.code == code)
    }

    /// The element type that a tensor of it has: of blocks, opaque bytes with the name.
    pub(super) fn dtype(&self) -> Dtype {
        Dtype::from_name(self.name)
    }

    /// The bytes of a tensor of these dimensions, innermost first; `None` when a row is no whole
    /// number of blocks, or the number does not fit.
    pub(super) fn byte_len(&self, dims: &[u64]) -> Option<u64> {
        let row = dims.first().copied().unwrap_or(1);
        if row % self.elements != 0 {
            return None;
        }
        let blocks = dims
            .iter()
            .skip(1)
            .try_fold(row / self.elements, |product, dim| product.checked_mul(*dim))?;
        blocks.checked_mul(self.bytes)
    }
}
