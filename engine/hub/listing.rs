//! The models of a store as a list.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::Value;

use super::answer::Answer;
use super::info::{listed_id, summary};
use super::paging::{Page, next_link};
use super::repo_id::alias;
use super::request::Request;
use super::request_error::RequestError;
use crate::lineage::Node;
use crate::store::Snapshot;

/// Models of a page.
const PAGE_LEN: usize = 1000;

/// Parameters at most: each is held against every model.
const PARAMETERS_MAX: usize = 64;

/// What narrows or orders the list. All else that narrows a list on the Hub is refused: its answer
/// would be taken for what was asked.
const UNDERSTOOD: [&str; 6] = ["search", "author", "filter", "sort", "limit", "cursor"];
/// What asks for more of each model, or of an order that there is anyway.
const NOT_NEEDED: [&str; 7] =
    ["full", "config", "cardData", "expand", "direction", "fetch_config", "blobs"];

/// The latest version of each name.
pub(super) fn models(snapshot: &Snapshot, request: &Request<'_>) -> Result<Answer, RequestError> {
    let page = Page::of(request, PAGE_LEN)?;
    check(&page)?;
    let latest = latest(snapshot)?;
    let ids = Ids::of(&latest);
    let mut found = Vec::new();
    for node in latest {
        if fits(snapshot, &page, &node)? {
            found.push(node);
        }
    }
    let by_time = match page.values("sort").last() {
        // Nobody counts downloads and likes here: all are alike.
        None | Some("downloads" | "likes" | "trendingScore" | "trending_score") => false,
        Some("lastModified" | "createdAt" | "last_modified" | "created_at") => true,
        Some(other) => {
            let why =
                format!("models are not sorted by {other:?} here: by lastModified or createdAt");
            return Err(RequestError::BadRequest { why });
        }
    };
    let place = |node: &Node| Place::of(node, by_time);
    found.sort_by_key(place);
    let behind = page.cursor().map(|cursor| Place::read(cursor, by_time));
    let from = behind.map_or(0, |last| found.partition_point(|node| place(node) <= last));
    let mut rest = found.iter().skip(from);
    let shown: Vec<&Node> = rest.by_ref().take(page.limit).collect();
    let list = shown.iter().map(|node| summary(snapshot, node, &ids.of_node(node)));
    let list = list.collect::<Result<Vec<Value>, RequestError>>()?;
    let mut answer = Answer::json(200, &Value::Array(list));
    if let Some(last) = shown.last().filter(|_| rest.next().is_some()) {
        answer.header("link", &next_link(request, &place(last).written())?);
    }
    Ok(answer)
}

/// How often an id would be given: to models whose names it is, or becomes with dots.
struct Ids(HashMap<String, u32>);

impl Ids {
    fn of(latest: &[Node]) -> Self {
        let mut ids = HashMap::new();
        for node in latest {
            *ids.entry(alias(node.name())).or_default() += 1;
        }
        Ids(ids)
    }

    /// The id of a model: one that the clients take, and that means no other.
    fn of_node(&self, node: &Node) -> String {
        let id = listed_id(node);
        let is_own = id == node.name() || self.0.get(&id).is_none_or(|count| *count == 1);
        if is_own { id } else { node.id().to_string() }
    }
}

/// Where a model stands in the list. A page begins behind the last place of the one before, also when
/// the model that stood there has gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Reverse<u64>, String);

impl Place {
    fn of(node: &Node, by_time: bool) -> Self {
        Place(Reverse(if by_time { node.created_ms() } else { 0 }), node.name().to_owned())
    }

    fn written(&self) -> String {
        match self.0.0 {
            0 => self.1.clone(),
            time => format!("{time}:{}", self.1),
        }
    }

    fn read(cursor: &str, by_time: bool) -> Self {
        let timed = cursor.split_once(':').filter(|_| by_time);
        let (time, name) = timed.unwrap_or(("0", cursor));
        Place(Reverse(time.parse().unwrap_or(0)), name.to_owned())
    }
}

fn check(page: &Page) -> Result<(), RequestError> {
    if page.parameters.len() > PARAMETERS_MAX {
        let why = format!("more than {PARAMETERS_MAX} parameters");
        return Err(RequestError::BadRequest { why });
    }
    let known =
        |key: &str| UNDERSTOOD.contains(&key) || NOT_NEEDED.contains(&key.trim_end_matches("[]"));
    match page.parameters.iter().find(|(key, _)| !known(key)) {
        None => Ok(()),
        Some((key, _)) => {
            let why = format!(
                "a store does not know the parameter {key:?}: {} narrow and order its list",
                UNDERSTOOD.join(", ")
            );
            Err(RequestError::BadRequest { why })
        }
    }
}

/// The latest version of each name, by name.
fn latest(snapshot: &Snapshot) -> Result<Vec<Node>, RequestError> {
    let mut latest: Vec<Node> = Vec::new();
    for node in snapshot.nodes()? {
        match latest.last_mut().filter(|last| last.name() == node.name()) {
            Some(last) => *last = node,
            None => latest.push(node),
        }
    }
    Ok(latest)
}

fn fits(snapshot: &Snapshot, page: &Page, node: &Node) -> Result<bool, RequestError> {
    let name = node.name().to_lowercase();
    let id = listed_id(node).to_lowercase();
    let has = |text: &str| name.contains(&text.to_lowercase()) || id.contains(&text.to_lowercase());
    let of_author = |author: &str| {
        node.name().split_once('/').is_some_and(|(own, _)| own.eq_ignore_ascii_case(author))
    };
    if !page.values("search").all(has) || !page.values("author").all(of_author) {
        return Ok(false);
    }
    let mut filters = page.values("filter").flat_map(|text| text.split(',')).peekable();
    if filters.peek().is_none() {
        return Ok(true);
    }
    let tags = snapshot.graph().tags_of(node.id())?;
    Ok(filters.all(|filter| filter == node.kind() || tags.iter().any(|tag| tag == filter)))
}
