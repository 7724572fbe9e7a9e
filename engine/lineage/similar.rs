//! Names that somebody may have meant.

/// The most names that are told.
const TOLD: usize = 3;
/// The most slips of a finger (a letter left out, added, another, or two in the wrong order).
const SLIPS: usize = 2;

/// Collects those names that are like one that was asked for, the most alike first. Letter case does
/// not count.
pub(super) struct Similar {
    asked: String,
    found: Vec<(usize, String)>,
}

impl Similar {
    pub(super) fn to(asked: &str) -> Self {
        Similar { asked: asked.to_lowercase(), found: Vec::new() }
    }

    /// Looks at a name, which is told as `shown`. Names come in any order; of equally alike ones the
    /// first are told.
    pub(super) fn look_at(&mut self, name: &str, shown: impl FnOnce() -> String) {
        let Some(unlike) = self.unlike(&name.to_lowercase()) else { return };
        let place = self.found.partition_point(|(other, _)| *other <= unlike);
        if place < TOLD {
            self.found.insert(place, (unlike, shown()));
            self.found.truncate(TOLD);
        }
    }

    /// How unlike a name is: slips, or one more than there may be where one contains the other.
    fn unlike(&self, name: &str) -> Option<usize> {
        let asked = self.asked.as_str();
        let length = asked.chars().count();
        // What is shorter than the slips is like everything.
        let may_slip = length.abs_diff(name.chars().count()) <= SLIPS && length > SLIPS;
        let slips = may_slip.then(|| strsim::osa_distance(asked, name));
        slips
            .filter(|slips| *slips <= SLIPS)
            .or_else(|| (name.contains(asked) || asked.contains(name)).then_some(SLIPS + 1))
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.found.into_iter().map(|(_, name)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(asked: &str, names: &[&str]) -> Vec<String> {
        let mut similar = Similar::to(asked);
        names.iter().for_each(|name| similar.look_at(name, || (*name).to_owned()));
        similar.into_names()
    }

    #[test]
    fn a_slip_of_one_or_two_keys_is_understood() {
        for slip in ["bse", "bsae", "Base", "basse", "bace", "ase", "base1", "absse"] {
            assert_eq!(like(slip, &["other", "base", "tuned"]), ["base"], "{slip}");
        }
        assert!(like("tuned", &["base", "other"]).is_empty());
    }

    #[test]
    fn the_most_alike_come_first() {
        let names = ["base-of-all", "vase", "base", "bases-2", "lease"];
        assert_eq!(like("bases", &names), ["base", "vase", "bases-2"]);
        assert_eq!(like("bert", &["org/bert-tiny", "org/gpt"]), ["org/bert-tiny"]);
    }

    #[test]
    fn short_names_are_not_like_everything() {
        assert!(like("x", &["a", "b"]).is_empty());
        assert!(like("ab", &["cd"]).is_empty());
    }
}
