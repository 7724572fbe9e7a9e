//! The function that a child may be of its parent: a table of steps by the highest mantissa bits.

use super::BLOCK_LEN;
use super::elements::Elements;
use super::floats::FloatLayout;
use super::pairs::Pairs;
use super::symbols::STEP_MAX;

/// A step this near to the function's counts as following it.
const NEAR: u32 = 2;
/// Steps below this are not so long that what is left of them by a function could be too long.
const STEP_SHORT: u32 = 1 << 30;
/// Mantissa bits that select an entry of the function table.
const FUNCTION_BITS: u32 = 10;
/// Fewer elements are too few to see a function in.
const FUNCTION_FROM: usize = 1 << 13;
/// At most one block of so many is asked whether there is a function.
const FUNCTION_SAMPLE: usize = 4;
/// So many blocks are enough to ask: 384 gave the same bytes on every pair that was measured.
const ASKED: usize = 128;
/// So many blocks that follow a function are enough to tell it.
const VOTERS: usize = 384;

/// The table of steps by the highest mantissa bits of the parent.
pub(super) struct Function {
    shift: u32,
    pub(super) steps: Vec<i32>,
}

impl Function {
    /// The function that the blocks of a chunk follow, if it pays, and which do.
    #[inline(always)]
    pub(super) fn find(elements: &Elements<'_>) -> Option<(Function, Vec<bool>)> {
        if elements.count() < FUNCTION_FROM || elements.layout.mantissa_bits <= FUNCTION_BITS {
            return None;
        }
        let mut pairs = Pairs::new();
        let blocks = elements.blocks().len();
        // A part of the blocks shows whether there is a function, those that follow it say which.
        let every = (blocks / ASKED).max(FUNCTION_SAMPLE);
        let sample = || (0..blocks).step_by(every);
        let seen = Function::majority(elements, sample(), &mut pairs);
        let mut following = 0;
        for at in sample() {
            following += usize::from(seen.fits(elements, at, &mut pairs));
        }
        if !seen.pays(2 * every * following) {
            return None;
        }
        let mut follows = vec![false; blocks];
        for (at, follows) in follows.iter_mut().enumerate() {
            *follows = seen.fits(elements, at, &mut pairs);
        }
        let following = follows.iter().filter(|follows| **follows).count();
        let inside = follows.iter().enumerate().filter(|(_, follows)| **follows).map(|(at, _)| at);
        let voters = inside.step_by((following / VOTERS).max(1));
        let known = Function::majority(elements, voters, &mut pairs);
        known.pays(following).then_some((known, follows))
    }

    /// The function that moves nothing.
    pub(super) fn zero(layout: FloatLayout) -> Function {
        Function { shift: layout.mantissa_bits - 1, steps: vec![0; 2] }
    }

    /// Whether it moves nothing.
    pub(super) fn is_zero(&self) -> bool {
        self.steps.iter().all(|step| *step == 0)
    }

    /// Whether a table pays for so many blocks. A change of it costs about 20 bits, a block saves
    /// about 8 bits an element.
    fn pays(&self, following: usize) -> bool {
        let changes = self.steps.windows(2).filter(|pair| pair.first() != pair.last()).count();
        following * BLOCK_LEN * 8 >= changes * 20 + 1000
    }

    /// The place of a parent's step.
    #[inline(always)]
    fn place(&self, parent: u32) -> usize {
        (parent >> self.shift) as usize & (self.steps.len() - 1)
    }

    /// The step of a parent.
    #[inline(always)]
    pub(super) fn step(&self, parent: u32) -> i32 {
        self.steps.get(self.place(parent)).copied().unwrap_or(0)
    }

    /// For every place, the step that most of the elements there take, if most take one.
    #[inline(always)]
    fn majority(
        elements: &Elements<'_>,
        voters: impl Iterator<Item = usize>,
        pairs: &mut Pairs,
    ) -> Function {
        let shift = elements.layout.mantissa_bits - FUNCTION_BITS;
        let mut function = Function { shift, steps: vec![0; 1 << FUNCTION_BITS] };
        let mut votes = vec![0i32; 1 << FUNCTION_BITS];
        for at in voters {
            elements.pairs(at, pairs);
            let steps = pairs.magnitudes.iter().zip(&pairs.negatives).take(pairs.len);
            for (parent, (magnitude, negative)) in pairs.parents.iter().zip(steps) {
                let place = function.place(*parent);
                let Ok(magnitude) = i32::try_from(*magnitude) else { continue };
                let step = if *negative == 0 { magnitude } else { -magnitude };
                let (Some(vote), Some(known)) =
                    (votes.get_mut(place), function.steps.get_mut(place))
                else {
                    continue;
                };
                // The choice is anyone's guess: no branch.
                let same = *known == step;
                let taken = !same && *vote == 0;
                *known = if taken { step } else { *known };
                *vote += if same || taken { 1 } else { -1 };
            }
        }
        // Where nobody voted, nothing is said: equal to the one before costs least.
        let mut before = 0;
        for (step, vote) in function.steps.iter_mut().zip(votes) {
            if vote == 0 {
                *step = before;
            }
            before = *step;
        }
        function
    }

    /// Whether most of a block follows the table, and next to nothing in it became zero: which
    /// elements do is better told by their size.
    #[inline(always)]
    fn fits(&self, elements: &Elements<'_>, at: usize, pairs: &mut Pairs) -> bool {
        elements.pairs(at, pairs);
        let steps = pairs.magnitudes.iter().zip(&pairs.negatives).take(pairs.len);
        let near = |(parent, (magnitude, negative)): (&u32, (&u32, &u32))| {
            let step = (magnitude ^ 0u32.wrapping_sub(*negative)).wrapping_add(*negative);
            let far = step.wrapping_sub(self.step(*parent) as u32).wrapping_add(NEAR);
            u32::from(*magnitude < STEP_SHORT) & u32::from(far <= 2 * NEAR)
        };
        let count: u32 = pairs.parents.iter().zip(steps).map(near).sum();
        let zeroed = elements.blocks().get(at).map_or(0, |block| block.zeroed);
        2 * count as usize > pairs.len && 16 * zeroed < pairs.len
    }

    /// Whether symbols can tell how far each element of a block is from the table.
    #[inline(always)]
    pub(super) fn reaches(&self, elements: &Elements<'_>, at: usize, pairs: &mut Pairs) -> bool {
        if elements.blocks().get(at).is_some_and(|block| block.steps < STEP_SHORT) {
            return true;
        }
        elements.pairs(at, pairs);
        let far = |(parent, step): (u32, i64)| {
            (step - i64::from(self.step(parent))).unsigned_abs() > STEP_MAX
        };
        !pairs.steps().fold(false, |any, pair| any | far(pair))
    }

    /// Takes the steps of the function off those of `pairs`.
    #[inline(always)]
    pub(super) fn take_off(&self, pairs: &mut Pairs) {
        let steps = pairs.magnitudes.iter_mut().zip(&mut pairs.negatives);
        for ((magnitude, negative), parent) in steps.zip(&pairs.parents).take(pairs.len) {
            let own = self.step(*parent);
            let opposed = *negative ^ u32::from(own >= 0);
            let own = own.unsigned_abs();
            // Opposed steps leave the sign of the longer one.
            let turned = opposed & u32::from(own > *magnitude);
            let sum = magnitude.wrapping_add(own);
            *magnitude = if opposed == 0 { sum } else { own.abs_diff(*magnitude) };
            *negative ^= turned;
        }
    }
}
