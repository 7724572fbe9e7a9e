//! Which model of a hub.

use std::fmt;
use std::str::FromStr;

use super::HubError;

/// What an address begins with.
const SCHEME: &str = "hub:";
/// The revision that is meant where none is named.
const MAIN: &str = "main";
/// The most bytes of a repository's name, as the Hugging Face Hub has it, and of a revision's.
const REPOSITORY_LEN_MAX: usize = 96;
const REVISION_LEN_MAX: usize = 256;

/// A model of a hub, at a revision: `hub:ORG/NAME`, `hub:ORG/NAME@REVISION`.
///
/// ```
/// use mgit::hub_client::HubModel;
///
/// let model: HubModel = "hub:org/tiny@refs/pr/1".parse()?;
/// assert_eq!((model.repository(), model.revision()), ("org/tiny", "refs/pr/1"));
/// assert_eq!("hub:tiny".parse::<HubModel>()?.revision(), "main");
/// assert!("hub:../tiny".parse::<HubModel>().is_err());
/// # Ok::<(), mgit::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HubModel {
    repository: String,
    revision: String,
}

impl HubModel {
    /// Whether a text is meant as the address of a model of a hub, whatever is wrong with it.
    pub fn is_address(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The repository: `ORG/NAME`, or `NAME`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The revision that is asked for: a branch, a tag, a commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}", self.repository, self.revision)
    }
}

impl FromStr for HubModel {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let bad = |reason| HubError::BadAddress { address: text.to_owned(), reason };
        let form = "write hub:ORG/NAME, or hub:ORG/NAME@REVISION";
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad(form))?;
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, MAIN));
        if !is_repository(repository) {
            return Err(bad(
                "expected ORG/NAME of letters, digits, '.', '_' and '-', neither '..' nor '--', at \
                 most 96",
            ));
        }
        let is_revision = !matches!(revision, "" | "." | "..")
            && revision.len() <= REVISION_LEN_MAX
            && !revision.contains(char::is_control);
        if !is_revision {
            return Err(bad("expected a branch, a tag or a commit behind the @"));
        }
        Ok(HubModel { repository: repository.to_owned(), revision: revision.to_owned() })
    }
}

/// As the Hub names repositories.
fn is_repository(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && part.bytes().all(is_letter) && !part.starts_with(['.', '-'])
    };
    name.len() <= REPOSITORY_LEN_MAX
        && name.split('/').count() <= 2
        && name.split('/').all(is_part)
        && !name.contains("..")
        && !name.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "hub:",
            "hub:/",
            "hub:a/",
            "hub:/a",
            "hub:a/b/c",
            "hub:a//b",
            "hub:.a",
            "hub:a/..",
            "hub:a--b/c",
            "hub:a b",
            "hub:a@",
            "hub:a@..",
            "hub:a@x\ny",
            "a/b",
            "hub:a?x",
            "hub:ä",
        ] {
            assert!(text.parse::<HubModel>().is_err(), "{text}");
        }
        let long = format!("hub:{}", "a".repeat(97));
        assert!(long.parse::<HubModel>().is_err());
        for text in ["hub:a@main", "hub:Org.x/n_1-2.b@v1.0", "hub:a/b@x@y"] {
            assert_eq!(
                text.parse::<HubModel>().map(|it| it.to_string()).ok().as_deref(),
                Some(text)
            );
        }
    }
}
