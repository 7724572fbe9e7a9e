//! Names of models and kinds of derivation.

use std::fmt;
use std::str::FromStr;

use super::LineageError;
use super::id::NodeId;

/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 512;

/// A model's name: parts of `[A-Za-z0-9._-]` joined by `/`, such as `bert/sst2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses what is no name for a model, tag or test that is yet to be named: one that begins
    /// with `-`, which command lines take for an option, or that looks like a node id. What older
    /// programs named so keeps its name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](LineageError::InvalidName).
    pub fn check_new(&self) -> Result<(), LineageError> {
        let refuse = |reason| Err(LineageError::InvalidName { name: self.0.clone(), reason });
        if self.0.starts_with('-') {
            return refuse("a name does not begin with '-'");
        }
        if NodeId::from_hex(&self.0).is_some() {
            return refuse("32 hex digits are a node id");
        }
        Ok(())
    }
}

impl FromStr for ModelName {
    type Err = LineageError;

    fn from_str(name: &str) -> Result<Self, LineageError> {
        let refuse = |reason| Err(LineageError::InvalidName { name: name.to_owned(), reason });
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            return refuse("a name has 1 to 512 bytes");
        }
        if name.contains('@') {
            return refuse("the version after @ is given by the store");
        }
        if name.contains(':') {
            return refuse("a name with : belongs to another store");
        }
        if matches!(name, "auto" | "none") {
            return refuse("auto and none are reserved");
        }
        for part in name.split('/') {
            if matches!(part, "" | "." | "..") {
                return refuse("the parts between / are not empty, . or ..");
            }
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if !part.bytes().all(legal) {
                return refuse("only letters, digits, '.', '_', '-' and '/' are allowed");
            }
        }
        Ok(ModelName(name.to_owned()))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As its text.
impl serde::Serialize for ModelName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a model was derived from a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum How {
    /// Trained further.
    #[default]
    FineTune,
    /// Some weights set to zero or removed.
    Prune,
    /// Weights in fewer bits, with scales.
    Quantise,
    /// Another element type.
    Cast,
    /// Trained to imitate.
    Distil,
    /// Made of several models.
    Merge,
    /// A low-rank adapter added.
    LoraMerge,
    /// A low-rank adapter on it: not a model of its own.
    Adapter,
    /// The mean of several models.
    Average,
    /// Anything else.
    Other,
}

impl How {
    /// Every way, in the order of the documentation.
    pub const ALL: [How; 10] = [
        How::FineTune,
        How::Prune,
        How::Quantise,
        How::Cast,
        How::Distil,
        How::Merge,
        How::LoraMerge,
        How::Adapter,
        How::Average,
        How::Other,
    ];

    /// The word in the file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            How::FineTune => "finetune",
            How::Prune => "prune",
            How::Quantise => "quantise",
            How::Cast => "cast",
            How::Distil => "distil",
            How::Merge => "merge",
            How::LoraMerge => "lora-merge",
            How::Adapter => "adapter",
            How::Average => "average",
            How::Other => "other",
        }
    }
}

impl FromStr for How {
    type Err = LineageError;

    fn from_str(text: &str) -> Result<Self, LineageError> {
        How::ALL
            .into_iter()
            .find(|how| how.name() == text)
            .ok_or_else(|| LineageError::InvalidHow { how: text.to_owned() })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As its text.
impl serde::Serialize for How {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for good in ["base", "bert/sst2", "a.b-c_d", "7"] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
        let long = "a".repeat(513);
        for bad in [
            "", "auto", "none", "a@1", "r:a", "a//b", "/a", "a/", "..", "a/../b", "ä", "a b", &long,
        ] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn new_names_are_neither_options_nor_ids() {
        let is_new = |name: &str| name.parse::<ModelName>().unwrap().check_new().is_ok();
        let id = "0123456789abcdef0123456789abcdef";
        for good in ["a-", "a/-b", "0", &id[1..], &format!("a/{id}")] {
            assert!(is_new(good), "{good}");
        }
        for bad in ["-", "-a", "--help", id, &id.to_uppercase()] {
            assert!(!is_new(bad), "{bad}");
        }
    }

    #[test]
    fn ids_are_hex() {
        let id = NodeId([0xab; 16]);
        assert_eq!(NodeId::from_hex(&id.to_string()), Some(id));
        assert_eq!(NodeId::from_hex("ab"), None);
        assert_eq!(NodeId::from_hex(&"+".repeat(32)), None);
    }
}
