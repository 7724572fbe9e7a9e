//! Where random choices come from: a seed, or the bytes of a fuzzer first.

use std::collections::VecDeque;

use crate::common::Random;

/// A row of choices that can be made again.
#[derive(Clone, Debug)]
pub struct Choices {
    given: Option<VecDeque<u8>>,
    random: Random,
}

impl Choices {
    /// Choices of a seed, without an end.
    pub fn of_seed(seed: u64) -> Self {
        Choices { given: None, random: Random(seed) }
    }

    /// Choices of these bytes; when they are spent, every choice is the first.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Choices { given: Some(bytes.iter().copied().collect()), random: Random(0) }
    }

    /// Whether bytes were given and are used up.
    pub fn are_spent(&self) -> bool {
        self.given.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        match &mut self.given {
            None => self.random.below(bound),
            Some(given) => {
                let mut byte = || usize::from(given.pop_front().unwrap_or(0));
                let number = if bound > 256 { byte() << 8 | byte() } else { byte() };
                number % bound
            }
        }
    }

    /// Whether something that happens once in `count` happens.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    /// A seed for contents.
    pub fn seed(&mut self) -> u64 {
        match &mut self.given {
            None => self.random.next(),
            Some(given) => u64::from(given.pop_front().unwrap_or(0)),
        }
    }

    /// One of these, each as likely as its weight says.
    pub fn weighted<'a, T>(&mut self, all: &'a [T], weight: impl Fn(&T) -> usize) -> &'a T {
        let mut at = self.below(all.iter().map(&weight).sum());
        for one in all {
            match at.checked_sub(weight(one)) {
                Some(rest) => at = rest,
                None => return one,
            }
        }
        unreachable!("the weights add up")
    }
}
