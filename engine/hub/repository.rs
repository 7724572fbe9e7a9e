//! Which model a request means, and which version of it.

use super::repo_id::alias;
use super::request_error::RequestError;
use crate::lineage::{LineageError, ModelName, Node, NodeId};
use crate::store::Snapshot;

/// A model as clients see one: a name with its versions.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// What the client has called it.
    pub(super) asked: String,
    /// What `main` is: the latest version, or the node that was asked for by tag or id.
    pub(super) main: Node,
}

impl Repository {
    /// The model of this name; else the node that has this tag or id; else the model whose name is
    /// this one when the second and later slashes are written as dots.
    pub(super) fn find(snapshot: &Snapshot, asked: &str) -> Result<Self, RequestError> {
        let similar = match snapshot.graph().find(asked) {
            Ok(main) => return Ok(Repository { asked: asked.to_owned(), main }),
            Err(LineageError::NoSuchModel { similar, .. }) => similar,
            Err(LineageError::InvalidName { .. }) => vec![],
            Err(error) => return Err(error.into()),
        };
        let mut names = of_alias(snapshot, asked)?;
        match (names.pop(), names.is_empty()) {
            (Some(name), true) => {
                Ok(Repository { asked: asked.to_owned(), main: snapshot.graph().find(&name)? })
            }
            (Some(name), false) => {
                names.push(name);
                Err(RequestError::SeveralModels { repo: asked.to_owned(), names })
            }
            (None, _) => Err(RequestError::NoSuchModel { repo: asked.to_owned(), similar }),
        }
    }

    /// The version that a revision names: by its number, by a tag on it, by its sha; `main` is the
    /// latest.
    pub(super) fn revision(
        &self,
        snapshot: &Snapshot,
        revision: &str,
    ) -> Result<Node, RequestError> {
        if revision == "main" {
            return Ok(self.main.clone());
        }
        let graph = snapshot.graph();
        let name = self.main.name();
        let is_number = revision.bytes().all(|byte| byte.is_ascii_digit());
        if is_number
            && let Ok(version) = revision.parse::<u32>()
            && let Some(node) = found(graph.find(format!("{name}@{version}")))?
        {
            return Ok(node);
        }
        if let Ok(tag) = revision.parse::<ModelName>()
            && let Some(id) = graph.tagged(&tag)?
            && let Some(node) = graph.node(id)?.filter(|node| node.name() == name)
        {
            return Ok(node);
        }
        if revision.len() == SHA_LEN {
            let versions: ModelName = name.parse().map_err(|error: LineageError| error)?;
            for id in graph.versions(&versions)?.into_iter().rev() {
                if let Some(node) = graph.node(id)?.filter(|node| sha(node) == revision) {
                    return Ok(node);
                }
            }
        }
        let (repo, revision) = (self.asked.clone(), revision.to_owned());
        Err(RequestError::NoSuchRevision { repo, revision })
    }
}

fn found(node: Result<Node, LineageError>) -> Result<Option<Node>, LineageError> {
    match node {
        Ok(node) => Ok(Some(node)),
        Err(LineageError::NoSuchModel { .. } | LineageError::InvalidName { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names whose alias is `asked`. Cost: every name, for those that may be aliases.
fn of_alias(snapshot: &Snapshot, asked: &str) -> Result<Vec<String>, RequestError> {
    if !asked.contains('.') || asked.matches('/').count() != 1 {
        return Ok(vec![]);
    }
    let mut names: Vec<String> = Vec::new();
    for node in snapshot.nodes()? {
        let is_new = names.last().is_none_or(|last| last != node.name());
        if is_new && node.name() != asked && alias(node.name()) == asked {
            names.push(node.name().to_owned());
        }
    }
    Ok(names)
}

/// Hex digits of a sha.
const SHA_LEN: usize = 40;

/// What a version is called in the clients' caches: 40 hex digits, of the node and of what it is
/// made of. It is the same in every copy of the store, and another where the model is made anew.
pub(super) fn sha(node: &Node) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("mgit 2026 hub revision");
    let NodeId(id) = node.id();
    hasher.update(&id);
    hasher.update(node.manifest_id().as_bytes());
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(SHA_LEN);
    hex
}
