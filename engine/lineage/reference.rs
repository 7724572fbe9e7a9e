//! How a caller names a model.

use std::fmt;
use std::str::FromStr;

use super::id::NodeId;
use super::name::ModelName;
use super::{LineageError, Node};

/// How a caller names a model: `name` (its highest version, or the model that a tag of this name
/// is set on), `name@version`, or a node's id.
///
/// Everything that names a model takes `impl Into<ModelRef>`: a `&str`, a [`String`], a [`NodeId`],
/// a [`Node`] or a [`Model`](crate::Model). Whether the text can be a name is looked at where the
/// reference is used: there it is an error, and never a panic here. [`str::parse`] looks at once.
///
/// ```
/// use mgit::{ModelRef, NewModel, Store};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let store = Store::create(folder.path().join("models.mgit"))?;
/// let mut transaction = store.begin_write()?;
/// let first = transaction.add_model(NewModel::new("bert"))?.node;
/// transaction.add_model(NewModel::new("bert"))?;
/// transaction.commit()?;
///
/// let snapshot = store.snapshot()?;
/// assert_eq!(snapshot.model("bert")?.full_name(), "bert@2");
/// assert_eq!(snapshot.model("bert@1")?.node(), &first);
/// assert_eq!(snapshot.model(first.id())?.full_name(), "bert@1");
/// assert!(snapshot.model("no such name").is_err());
/// assert!("bert@first".parse::<ModelRef>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelRef(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    Text(String),
    Id(NodeId),
}

/// What a reference says, once its text has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParsedRef {
    /// The highest version of a name; should there be no such name, the node that has a tag of
    /// this name, or this id.
    Latest(ModelName),
    /// One version of a name.
    Version(ModelName, u32),
    /// A node.
    Id(NodeId),
}

impl ModelRef {
    /// The name, where the reference gives no version and no id.
    pub fn bare_name(&self) -> Option<ModelName> {
        match self.read() {
            Ok(ParsedRef::Latest(name)) => Some(name),
            _ => None,
        }
    }

    /// Reads the text.
    pub(super) fn read(&self) -> Result<ParsedRef, LineageError> {
        let text = match &self.0 {
            Repr::Id(id) => return Ok(ParsedRef::Id(*id)),
            Repr::Text(text) => text,
        };
        let Some((name, version)) = text.split_once('@') else {
            return Ok(ParsedRef::Latest(text.parse()?));
        };
        let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        match version.parse() {
            Ok(version) if digits && version > 0 => Ok(ParsedRef::Version(name.parse()?, version)),
            _ => Err(LineageError::InvalidName {
                name: text.clone(),
                reason: "the version after @ is a number from 1",
            }),
        }
    }
}

impl FromStr for ModelRef {
    type Err = LineageError;

    fn from_str(text: &str) -> Result<Self, LineageError> {
        let reference = ModelRef::from(text);
        reference.read()?;
        Ok(reference)
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Text(text) => f.write_str(text),
            Repr::Id(id) => id.fmt(f),
        }
    }
}

impl From<String> for ModelRef {
    fn from(text: String) -> Self {
        ModelRef(Repr::Text(text))
    }
}

impl From<NodeId> for ModelRef {
    fn from(id: NodeId) -> Self {
        ModelRef(Repr::Id(id))
    }
}

macro_rules! reference_from {
    ($($named:ty: $item:ident => $reference:expr,)*) => {
        $(impl From<$named> for ModelRef {
            fn from($item: $named) -> Self {
                ModelRef::from($reference)
            }
        })*
    };
}

reference_from! {
    &str: text => text.to_owned(),
    &&str: text => (*text).to_owned(),
    &String: text => text.clone(),
    ModelName: name => name.as_str().to_owned(),
    &ModelName: name => name.as_str().to_owned(),
    &NodeId: id => *id,
    Node: node => node.id,
    &Node: node => node.id,
}

impl From<&ModelRef> for ModelRef {
    fn from(reference: &ModelRef) -> Self {
        reference.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_version_or_the_highest() {
        let read = |text: &str| ModelRef::from(text).read();
        assert!(matches!(read("a"), Ok(ParsedRef::Latest(_))));
        assert!(matches!(read("a@12"), Ok(ParsedRef::Version(_, 12))));
        for bad in ["a@", "a@0", "a@+1", "a@x", "@1", "a@1@2", "a@99999999999"] {
            assert!(read(bad).is_err(), "{bad}");
            assert!(bad.parse::<ModelRef>().is_err(), "{bad}");
        }
        let id = NodeId([7; 16]);
        assert!(matches!(ModelRef::from(id).read(), Ok(ParsedRef::Id(read)) if read == id));
        assert_eq!(ModelRef::from(&id).to_string(), id.to_string());
        assert_eq!(ModelRef::from("a@1").bare_name(), None);
    }
}
