//! Files that are one model by their names: `model-00002-of-00005.safetensors`.

use crate::interchange::limits::SHARDS_MAX;

/// A name of one of several files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShardName<'n> {
    /// What stands before the numbers.
    pub(super) stem: &'n str,
    /// What stands behind them.
    pub(super) ending: &'n str,
    /// How many there are.
    pub(super) count: usize,
    digits: usize,
}

impl<'n> ShardName<'n> {
    /// Reads the name of a file.
    pub(super) fn of(name: &'n str) -> Option<Self> {
        let (before, after) = name.rsplit_once("-of-")?;
        let is_digit = |c: char| c.is_ascii_digit();
        let ending = after.trim_start_matches(is_digit);
        let count = after.strip_suffix(ending)?;
        let stem = before.trim_end_matches(is_digit);
        let number = before.strip_prefix(stem)?;
        let stem = stem.strip_suffix('-')?;
        let read = |digits: &str| digits.parse::<usize>().ok().filter(|it| *it <= SHARDS_MAX);
        let is_in = |number: usize, count: usize| (1..=count).contains(&number);
        let (number, digits, count) = (read(number)?, number.len(), read(count)?);
        is_in(number, count).then_some(ShardName { stem, ending, count, digits })
    }

    /// The names of all of them, in order.
    pub(super) fn all(self) -> impl Iterator<Item = String> {
        let ShardName { stem, ending, count, digits } = self;
        (1..=count)
            .map(move |number| format!("{stem}-{number:0digits$}-of-{count:0digits$}{ending}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_in_names_tell_files_that_belong_together() {
        let name = ShardName::of("a-b-00002-of-00003.safetensors").unwrap();
        assert_eq!((name.stem, name.ending, name.count), ("a-b", ".safetensors", 3));
        let all: Vec<String> = name.all().collect();
        assert_eq!(all.last().unwrap(), "a-b-00003-of-00003.safetensors");
        for name in
            ["a.bin", "a-of-2.bin", "a-0-of-2.bin", "a-3-of-2.bin", "a-1-of-65536.bin", "1-of-2"]
        {
            assert_eq!(ShardName::of(name), None, "{name}");
        }
    }
}
