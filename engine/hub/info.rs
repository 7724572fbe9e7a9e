//! What a repository says of itself.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::files::{blob_id, files_of, tag};
use super::paging::{Page, next_link};
use super::repo_id::repo_id;
use super::repository::{Repository, sha};
use super::request::Request;
use super::request_error::RequestError;
use crate::lineage::{Node, NodeId};
use crate::store::{Model, Snapshot};

/// What the clients' lists of models hold of one: its latest version.
pub(super) fn summary(snapshot: &Snapshot, node: &Node, id: &str) -> Result<Value, RequestError> {
    let graph = snapshot.graph();
    let tags = graph.tags_of(node.id())?;
    let mut parents = Vec::new();
    for edge in graph.parents(node.id())? {
        if let Some(parent) = graph.node(edge.parent)? {
            parents.push(json!({ "name": parent.full_name(), "how": edge.how.name() }));
        }
    }
    let created = date(node);
    Ok(json!({
        "_id": node.id().to_string(),
        "id": id,
        "modelId": id,
        "sha": sha(node),
        "createdAt": created,
        "lastModified": created,
        "private": false,
        "gated": false,
        "disabled": false,
        "downloads": 0,
        "likes": 0,
        "tags": tags,
        "mgit": {
            "name": node.name(),
            "version": node.version(),
            "kind": node.kind(),
            "node": node.id().to_string(),
            "bytes": node.logical_bytes(),
            "tensors": node.tensor_count(),
            "parents": parents,
        },
    }))
}

/// The first moment that no date is written for, in milliseconds: the year 10000.
const DATES_END_MS: u64 = 253_402_300_800_000;

/// When a node was made, as `2024-05-31T08:15:30.000Z`.
fn date(node: &Node) -> Option<String> {
    let is_written = node.created_ms() < DATES_END_MS;
    is_written.then(|| humantime::format_rfc3339_millis(node.created()).to_string())
}

/// A revision with its files.
pub(super) fn info(repository: &Repository, model: &Model) -> Result<Answer, RequestError> {
    let mut siblings = Vec::new();
    for file in files_of(model) {
        let tag = tag(&file.file);
        let (size, id) = (file.file.byte_len(), blob_id(&tag));
        siblings.push(json!({ "rfilename": file.path, "size": size, "blobId": id }));
    }
    let mut summary = summary(model.snapshot(), model.node(), &repository.asked)?;
    if let Value::Object(summary) = &mut summary {
        summary.insert("siblings".to_owned(), Value::Array(siblings));
        let metadata = model.metadata()?;
        summary.insert("cardData".to_owned(), Value::Object(card(&metadata)));
        if let Some(Value::Object(own)) = summary.get_mut("mgit") {
            own.insert("metadata".to_owned(), Value::Object(metadata));
        }
    }
    let mut answer = Answer::json(200, &summary);
    answer.header("x-repo-commit", &sha(model.node()));
    Ok(answer)
}

/// What the model's card said of these, which an import keeps among the metadata.
const CARD: [&str; 4] = ["base_model", "base_model_relation", "license", "model_type"];

fn card(metadata: &Map<String, Value>) -> Map<String, Value> {
    let own = CARD.iter().filter_map(|key| Some(((*key).to_owned(), metadata.get(*key)?.clone())));
    own.collect()
}

/// The branch, and the versions and tags as tags.
pub(super) fn refs(snapshot: &Snapshot, repository: &Repository) -> Result<Answer, RequestError> {
    let graph = snapshot.graph();
    let entry = |kind: &str, name: &str, node: &Node| json!({ "name": name, "ref": format!("refs/{kind}/{name}"), "targetCommit": sha(node) });
    let mut tags = Vec::new();
    for node in versions(snapshot, repository)? {
        tags.push(entry("tags", &node.version().to_string(), &node));
        for tag in graph.tags_of(node.id())? {
            tags.push(entry("tags", &tag, &node));
        }
    }
    let branches = [entry("heads", "main", &repository.main)];
    Ok(Answer::json(200, &json!({ "branches": branches, "converts": [], "tags": tags })))
}

/// The most versions of a page.
const PAGE_LEN: usize = 1000;

/// The versions up to a revision, the newest first, as commits, in pages.
pub(super) fn commits(
    snapshot: &Snapshot,
    repository: &Repository,
    revision: &Node,
    request: &Request<'_>,
) -> Result<Answer, RequestError> {
    let page = Page::of(request, PAGE_LEN)?;
    let until: Option<u32> = page.cursor().and_then(|cursor| cursor.parse().ok());
    let first = revision.version();
    let is_shown =
        |node: &Node| node.version() <= first && until.is_none_or(|until| node.version() < until);
    let versions = versions(snapshot, repository)?.into_iter().rev();
    let mut rest = versions.filter(is_shown);
    let shown: Vec<Node> = rest.by_ref().take(page.limit).collect();
    let commit = |node: &Node| {
        json!({
            "id": sha(node),
            "title": node.full_name(),
            "message": "",
            "authors": [],
            "date": date(node),
        })
    };
    let mut answer = Answer::json(200, &Value::Array(shown.iter().map(commit).collect()));
    if let Some(last) = shown.last().filter(|_| rest.next().is_some()) {
        answer.header("link", &next_link(request, &last.version().to_string())?);
    }
    Ok(answer)
}

fn versions(snapshot: &Snapshot, repository: &Repository) -> Result<Vec<Node>, RequestError> {
    let graph = snapshot.graph();
    let ids: Vec<NodeId> = graph.versions(&repository.main.name().parse()?)?;
    let nodes: Result<Vec<Option<Node>>, _> = ids.into_iter().map(|id| graph.node(id)).collect();
    Ok(nodes?.into_iter().flatten().collect())
}

/// The id that a list gives a model of: one that the clients take.
pub(super) fn listed_id(node: &Node) -> String {
    repo_id(node.name()).unwrap_or_else(|| node.id().to_string())
}
