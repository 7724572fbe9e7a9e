//! What is asked of a block of short floats, in lanes of 16 bits: twice as many at once as
//! [`Pairs`](super::pairs::Pairs) takes, against which it is property-tested.

use super::BLOCK_LEN;
use super::floats::FloatLayout;
use super::pairs::BlockSum;
use super::symbols::{EXACT, symbol_of};

/// A whole block of parents and children of 2 bytes, and the steps between them.
pub(super) struct ShortPairs {
    parents: [u16; BLOCK_LEN],
    children: [u16; BLOCK_LEN],
    pub(super) magnitudes: [u16; BLOCK_LEN],
    /// 1 for a negative step, else 0.
    negatives: [u16; BLOCK_LEN],
    /// All ones where only the magnitude was lost, else 0.
    zeroed: [u16; BLOCK_LEN],
}

impl ShortPairs {
    pub(super) fn new() -> Self {
        let zeros = [0; BLOCK_LEN];
        let [parents, children, magnitudes, negatives] = [zeros; 4];
        ShortPairs { parents, children, magnitudes, negatives, zeroed: zeros }
    }

    #[inline(always)]
    pub(super) fn fill(
        &mut self,
        layout: FloatLayout,
        chunk: &[[u8; 2]; BLOCK_LEN],
        base: &[[u8; 2]; BLOCK_LEN],
    ) {
        self.children = chunk.map(u16::from_le_bytes);
        self.parents = base.map(u16::from_le_bytes);
        let (sign, mask) = (layout.sign() as u16, layout.magnitude_mask() as u16);
        let steps = self.magnitudes.iter_mut().zip(&mut self.negatives).zip(&mut self.zeroed);
        let pairs = self.parents.iter().zip(&self.children);
        for (((magnitude, negative), zeroed), (parent, child)) in steps.zip(pairs) {
            let (p, c) = (parent & mask, child & mask);
            let same = (parent ^ child) & sign == 0;
            let across = c.wrapping_add(p).wrapping_add(1);
            *magnitude = if same { c.abs_diff(p) } else { across };
            *negative = u16::from(!same) | u16::from(c < p);
            *zeroed = if *child == parent & sign && parent != child { u16::MAX } else { 0 };
        }
    }

    /// What [`Pairs::sum`](super::pairs::Pairs::sum) gives.
    #[inline(always)]
    pub(super) fn sum(
        &self,
        layout: FloatLayout,
        exponents: &mut [u8; BLOCK_LEN],
        symbols: &mut [u8; BLOCK_LEN],
    ) -> BlockSum {
        let mask = layout.magnitude_mask() as u16;
        for (exponent, parent) in exponents.iter_mut().zip(&self.parents) {
            *exponent = ((parent & mask) >> layout.mantissa_bits).max(1) as u8;
        }
        let any = self.magnitudes.iter().fold(0, |any, magnitude| any | magnitude);
        let steps = self.magnitudes.iter().zip(&self.negatives).zip(&self.zeroed);
        // Short steps are the rule in some blocks.
        if u32::from(any) < EXACT {
            for (symbol, ((magnitude, negative), zeroed)) in symbols.iter_mut().zip(steps) {
                let moved = (2 * magnitude + negative).saturating_sub(1);
                *symbol = (moved | zeroed) as u8;
            }
        } else {
            for (symbol, ((magnitude, negative), zeroed)) in symbols.iter_mut().zip(steps) {
                *symbol = symbol_of((*magnitude).into(), (*negative).into()) | *zeroed as u8;
            }
        }
        // A block has fewer than 256 elements.
        let moved = symbols.iter().fold(0u8, |count, symbol| count + u8::from(*symbol != 0));
        let zeroed = self.zeroed.iter().fold(0u16, |count, zeroed| count + (zeroed & 1));
        let (moved, zeroed) = (moved.into(), zeroed.into());
        let scale = if moved > zeroed { self.scale(layout) } else { None };
        BlockSum { moved, steps: any.into(), zeroed, scale }
    }

    #[inline(always)]
    fn scale(&self, layout: FloatLayout) -> Option<i32> {
        let mut sums = [0f32; 16];
        let parents = self.parents.as_chunks::<16>().0;
        let parts = parents.iter().zip(self.children.as_chunks::<16>().0);
        for ((parents, children), zeroed) in parts.zip(self.zeroed.as_chunks::<16>().0) {
            // Where the magnitude was lost, nothing is left of either.
            let mut pairs = [[0u32; 2]; 16];
            for (pair, ((parent, child), zeroed)) in
                pairs.iter_mut().zip(parents.iter().zip(children).zip(zeroed))
            {
                *pair = [(parent & !zeroed).into(), (child & !zeroed).into()];
            }
            for (sum, [parent, child]) in sums.iter_mut().zip(pairs) {
                let distance = (layout.value(parent) - layout.value(child)).abs();
                // Also takes the place of what is not a number.
                *sum += if distance < 1e30 { distance } else { 0.0 };
            }
        }
        BlockSum::scale(&sums, layout, BLOCK_LEN)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::pairs::Pairs;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_pairs_are_as_pairs(
            pairs in proptest::collection::vec(
                (
                    0u16..,
                    prop_oneof![
                        4 => (0u16..3).prop_map(|step| (0u16.wrapping_sub(1), step)),
                        2 => (0u16..).prop_map(|child| (0, child)),
                        1 => Just((1 << 15, 0)),
                    ],
                ),
                BLOCK_LEN,
            ),
            still: bool,
        ) {
            // A child is some bits of the parent and something added.
            let child = |(parent, (kept, more)): &(u16, (u16, u16))| {
                if still { *parent } else { (parent & kept).wrapping_add(*more) }
            };
            let parents: Vec<[u8; 2]> = pairs.iter().map(|pair| pair.0.to_le_bytes()).collect();
            let children: Vec<[u8; 2]> = pairs.iter().map(|pair| child(pair).to_le_bytes()).collect();
            for layout in [FloatLayout::F16, FloatLayout::BF16] {
                let (mut wide, mut short) = (Pairs::new(), ShortPairs::new());
                wide.fill(layout, children.as_flattened(), parents.as_flattened());
                short.fill(
                    layout,
                    children.as_slice().try_into().unwrap(),
                    parents.as_slice().try_into().unwrap(),
                );
                let (mut exponents, mut symbols) = ([[0; BLOCK_LEN]; 2], [[0; BLOCK_LEN]; 2]);
                let [wide_exponents, short_exponents] = &mut exponents;
                let [wide_symbols, short_symbols] = &mut symbols;
                let sums = (
                    wide.sum(layout, wide_exponents, wide_symbols),
                    short.sum(layout, short_exponents, short_symbols),
                );
                prop_assert_eq!(sums.0, sums.1);
                prop_assert_eq!(wide_exponents, short_exponents);
                prop_assert_eq!(wide_symbols, short_symbols);
                prop_assert_eq!(wide.magnitudes, short.magnitudes.map(u32::from));
            }
        }
    }
}
