//! What a chunk's symbols are coded with: the choice of contexts, their frequencies, the function
//! table. Written before the symbols.

use super::bits::{BitReader, BitWriter};
use super::frequencies::{CONTEXTS_MAX, Histogram, SYMBOLS_MAX, read_freqs, write_freqs};

/// Contexts of steps by predicted size; the next one is that of the function's rest.
pub(super) const SIZE_CONTEXTS: usize = CONTEXTS_MAX - 1;
/// The context of what is left over in blocks that follow the function.
pub(super) const FUNCTION_CONTEXT: u8 = SIZE_CONTEXTS as u8;
/// Contexts of block classes: by what the block before was.
pub(super) const CLASS_CONTEXTS: usize = 3;
/// The most mantissa bits that select an entry of the function table.
pub(super) const FUNCTION_BITS_MAX: u32 = 12;

/// The largest difference of scales that a symbol can tell.
pub(super) const SCALE_JUMP_MAX: i32 = 126;

/// How a block of elements differs from its parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockClass {
    /// Not at all.
    Unchanged,
    /// As the function table says, nearly.
    Function,
    /// By steps of about this size: twice the binary logarithm, in the float's exponents.
    Scale(i32),
}

impl BlockClass {
    /// The context of the class after this one.
    pub(super) fn context(self) -> u8 {
        match self {
            BlockClass::Unchanged => 0,
            BlockClass::Function => 1,
            BlockClass::Scale(_) => 2,
        }
    }
}

/// Turns block classes into symbols: a scale as its difference from the scale before.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassCoder {
    scale: i32,
    context: u8,
}

impl ClassCoder {
    pub(super) fn new(first_scale: i32) -> Self {
        ClassCoder { scale: first_scale, context: 2 }
    }

    /// The context and symbol of the next class. Scales differ by at most
    /// [`SCALE_JUMP_MAX`].
    pub(super) fn symbol(&mut self, class: BlockClass) -> (u8, u8) {
        let context = self.context;
        self.context = class.context();
        let symbol = match class {
            BlockClass::Unchanged => 0,
            BlockClass::Function => 1,
            BlockClass::Scale(scale) => {
                let difference = scale - self.scale;
                debug_assert!(difference.abs() <= SCALE_JUMP_MAX, "a scale of {difference} more");
                self.scale = scale;
                2 + ((difference << 1) ^ (difference >> 31)) as u8
            }
        };
        (context, symbol)
    }

    /// The context that the next symbol is coded in.
    pub(super) fn next_context(&self) -> u8 {
        self.context
    }

    /// The class of the next symbol.
    pub(super) fn class(&mut self, symbol: u8) -> BlockClass {
        let class = match symbol {
            0 => BlockClass::Unchanged,
            1 => BlockClass::Function,
            _ => {
                let zigzag = i32::from(symbol - 2);
                self.scale += (zigzag >> 1) ^ -(zigzag & 1);
                BlockClass::Scale(self.scale)
            }
        };
        self.context = class.context();
        class
    }
}

/// The model of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// The scale that the first difference of scales starts from.
    pub(super) first_scale: i32,
    /// What is taken from a predicted size before it selects a context.
    pub(super) context_low: i32,
    /// By how many bits a predicted size is shortened to select a context.
    pub(super) context_shift: u32,
    /// The function: a step for each value of the highest mantissa bits. Empty without one.
    pub(super) function: Vec<i32>,
    /// Frequencies of block classes.
    pub(super) class_freqs: [Histogram; CLASS_CONTEXTS],
    /// Frequencies of steps.
    pub(super) step_freqs: Vec<Histogram>,
}

fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn unzigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

fn write_tables(tables: &[Histogram], out: &mut BitWriter) {
    for freqs in tables {
        let used = freqs.iter().any(|freq| *freq > 0);
        out.put(u32::from(used), 1);
        if used {
            write_freqs(freqs, out);
        }
    }
}

fn read_table<const BITS: u32>(input: &mut BitReader<'_>) -> Result<Histogram, String> {
    if input.take(1) == 0 { Ok([0; SYMBOLS_MAX]) } else { read_freqs::<BITS>(input) }
}

impl Model {
    /// The context of a step in a block of this scale, whose parent's exponent is `exponent`.
    #[inline(always)]
    pub(super) fn context(&self, scale: i32, exponent: i32) -> u8 {
        let size = (scale - 2 * exponent - self.context_low) >> self.context_shift;
        size.clamp(0, SIZE_CONTEXTS as i32 - 1) as u8
    }

    /// Appends the model.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.put(zigzag(self.first_scale) & 0xffff, 16);
        out.put(zigzag(self.context_low) & 0xffff, 16);
        out.put(self.context_shift, 4);
        let bits = if self.function.is_empty() { 0 } else { self.function.len().ilog2() };
        out.put(bits, 4);
        let mut before = 0i32;
        let mut equal = 0;
        for step in &self.function {
            if *step == before {
                equal += 1;
                continue;
            }
            out.put_gamma(equal + 1);
            out.put_gamma(zigzag(step.wrapping_sub(before)));
            (before, equal) = (*step, 0);
        }
        if equal > 0 {
            out.put_gamma(equal + 1);
        }
        write_tables(&self.class_freqs, out);
        out.put(self.step_freqs.len() as u32, 6);
        write_tables(&self.step_freqs, out);
    }

    /// Reads what [`write`](Self::write) wrote of frequencies that sum to 2^`BITS`.
    pub(super) fn read<const BITS: u32>(input: &mut BitReader<'_>) -> Result<Self, String> {
        let first_scale = unzigzag(input.take(16));
        let context_low = unzigzag(input.take(16));
        let context_shift = input.take(4);
        let bits = input.take(4);
        if bits > FUNCTION_BITS_MAX {
            return Err(format!("a function of {bits} bits"));
        }
        let function_len = if bits == 0 { 0 } else { 1usize << bits };
        let mut function = Vec::with_capacity(function_len);
        let mut before = 0i32;
        while function.len() < function_len {
            let equal = input.take_gamma().ok_or("a run beyond the function")? as usize - 1;
            if equal > function_len - function.len() {
                return Err("a run beyond the function".to_owned());
            }
            function.resize(function.len() + equal, before);
            if function.len() < function_len {
                let difference = input.take_gamma().ok_or("a step beyond its bits")?;
                before = before.wrapping_add(unzigzag(difference));
                function.push(before);
            }
        }
        let mut class_freqs = [[0; SYMBOLS_MAX]; CLASS_CONTEXTS];
        for freqs in &mut class_freqs {
            *freqs = read_table::<BITS>(input)?;
        }
        let count = input.take(6) as usize;
        if count > CONTEXTS_MAX {
            return Err(format!("{count} contexts"));
        }
        let mut step_freqs = Vec::with_capacity(count);
        for _ in 0..count {
            step_freqs.push(read_table::<BITS>(input)?);
        }
        Ok(Model { first_scale, context_low, context_shift, function, class_freqs, step_freqs })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::codec::float_delta::frequencies::{COARSE, normalise};

    #[test]
    fn models_come_back() {
        let mut counts = [0; SYMBOLS_MAX];
        counts[3] = 5;
        counts[200] = 1;
        let model = Model {
            first_scale: -300,
            context_low: -7,
            context_shift: 2,
            function: (0..256).map(|at| if at < 100 { 5 } else { -at }).collect(),
            class_freqs: [
                normalise::<COARSE>(&counts),
                [0; SYMBOLS_MAX],
                normalise::<COARSE>(&counts),
            ],
            step_freqs: vec![normalise::<COARSE>(&counts); 3],
        };
        let mut out = BitWriter::default();
        model.write(&mut out);
        let bytes = out.finish();
        let mut input = BitReader::new(&bytes);
        assert_eq!(Model::read::<COARSE>(&mut input), Ok(model));
        assert!(input.is_finished());
    }

    #[test]
    fn classes_come_back() {
        let classes = [
            BlockClass::Scale(-9),
            BlockClass::Unchanged,
            BlockClass::Function,
            BlockClass::Scale(100),
            BlockClass::Scale(99),
        ];
        let (mut there, mut back) = (ClassCoder::new(3), ClassCoder::new(3));
        for class in classes {
            let (context, symbol) = there.symbol(class);
            assert_eq!(back.next_context(), context);
            assert_eq!(back.class(symbol), class);
        }
    }
}
