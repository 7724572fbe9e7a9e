//! What a user wants of an encoding: speed, or size.

use std::fmt;
use std::str::FromStr;

/// Which encodings may be tried, named by what they promise. Any reader reads all of them: a
/// store can mix them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Profile {
    /// Encoded and decoded fast.
    Fast,
    /// Small, and decoded fast; a tensor without a parent stays raw, to be read without a copy.
    #[default]
    Balanced,
    /// As small as it can be, at many times the work of encoding: factors are looked for in the
    /// difference of matrices. A tensor without a parent is compressed too.
    Dense,
}

impl Profile {
    /// Every profile, the fastest first.
    pub const ALL: [Profile; 3] = [Profile::Fast, Profile::Balanced, Profile::Dense];

    /// The name, for people and for command lines.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Fast => "fast",
            Profile::Balanced => "balanced",
            Profile::Dense => "dense",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let known = Self::ALL.into_iter().find(|profile| profile.name() == name);
        known.ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

/// A name that no profile has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no profile is named {0:?}: fast, balanced or dense")]
pub struct UnknownProfile(String);
