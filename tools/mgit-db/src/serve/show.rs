//! What a browser is shown: everything that is none of the Hub's protocol.

use mgit::Snapshot;
use mgit::hub::{Answer, Body, Request, RequestError, node_of};
use mgit::lineage::Node;
use serde_json::json;

use super::listener::Site;
use super::mount::{Mount, Seen};
use crate::failure::Failure;
use crate::pages::{self, POLICY, Page};

/// The page at a path, of one store. `in_html` is whether who asks understands a page.
pub fn show(mount: &Mount, seen: &Seen, request: &Request<'_>, in_html: bool) -> Answer {
    let (endpoint, title) = (request.origin.to_owned(), mount.title.clone());
    let site = pages::Site { base: path_of(&endpoint).to_owned(), endpoint, title };
    let found = match request.method {
        "GET" | "HEAD" => page(mount, seen, request, &site),
        method => {
            let method = method.to_owned();
            Err(Wrong::Asked(RequestError::Method { method, allowed: "GET, HEAD" }))
        }
    };
    match found {
        Ok(answer) => answer,
        Err(Wrong::Asked(problem)) if !in_html => problem.into(),
        Err(Wrong::Asked(problem)) => {
            let (status, message) = (problem.status(), mgit::full_message(&problem));
            let mut answer = Answer::from(problem);
            let page = of_page(pages::problem(status, &message, &site));
            answer.headers.retain(|(name, _)| *name != "content-type");
            answer.headers.extend(page.headers);
            Answer { status, headers: answer.headers, body: page.body }
        }
        Err(Wrong::Failed(failure)) => {
            Answer { status: 500, ..of_page(pages::problem(500, &failure.to_string(), &site)) }
        }
    }
}

/// The list of all stores, where several are served.
pub fn stores(site: &Site, origin: &str) -> Answer {
    let list = site.mounts.iter().map(|mount| {
        let models = mount.snapshot().and_then(|seen| Ok(seen.snapshot.nodes()?.len()));
        let (title, models) = match models {
            Ok(models) => (mount.title.clone(), models as u64),
            Err(error) => (format!("{}: {}", mount.title, mgit::full_message(&error)), 0),
        };
        (mount.prefix.clone(), title, models)
    });
    let (list, title) = (list.collect::<Vec<_>>(), "mgit".to_owned());
    let (base, endpoint) = (path_of(origin).to_owned(), origin.to_owned());
    let shown = pages::Site { base, endpoint, title };
    of_page(pages::stores(&list, &shown))
}

/// What every path begins with, of an address such as `https://models.example.com/hub/team`.
fn path_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
}

/// A file that pages need, by its name.
pub fn asset(name: &str) -> Option<Answer> {
    pages::asset(name).map(of_page)
}

enum Wrong {
    Asked(RequestError),
    Failed(Failure),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Wrong::Failed(failure)
    }
}

fn page(
    mount: &Mount,
    seen: &Seen,
    request: &Request<'_>,
    site: &pages::Site,
) -> Result<Answer, Wrong> {
    let snapshot = &seen.snapshot;
    let path = request.path.trim_start_matches('/');
    if path.is_empty() {
        let page = mount
            .family_page(seen.state, || pages::family(snapshot, site).map(|page| page.body))?;
        let head = of_page(Page { content_type: "text/html; charset=utf-8", body: Vec::new() });
        return Ok(Answer { body: Body::Shared(page), ..head });
    }
    if path == "-/commit" {
        let body = json!({ "sequence": snapshot.sequence() }).to_string().into_bytes();
        return Ok(of_page(Page { content_type: "application/json", body }));
    }
    let none = || Wrong::Asked(RequestError::NoSuchPage { why: "no such page".to_owned() });
    if let Some(name) = path.strip_prefix("-/") {
        return asset(name).ok_or_else(none);
    }
    let node = node_at(snapshot, request).map_err(Wrong::Asked)?;
    let model =
        snapshot.model_of(node).map_err(|error| Wrong::Failed(mgit::Error::from(error).into()))?;
    Ok(of_page(pages::model(&model, site, request.query)?))
}

/// The version that `REPO` or `REPO/tree/REV` is the page of.
fn node_at(snapshot: &Snapshot, request: &Request<'_>) -> Result<Node, RequestError> {
    let parts = request.segments()?;
    match (node_of(snapshot, &parts.join("/"), "main"), parts.as_slice()) {
        (Err(RequestError::NoSuchModel { .. }), [repo @ .., tree, revision]) if tree == "tree" => {
            node_of(snapshot, &repo.join("/"), revision)
        }
        (found, _) => found,
    }
}

fn of_page(page: Page) -> Answer {
    let headers = [
        ("content-type", page.content_type),
        ("content-security-policy", POLICY),
        ("cache-control", "no-cache"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
    Answer { status: 200, headers, body: Body::Bytes(page.body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_begin_with_the_path_of_the_address() {
        assert_eq!(path_of("https://models.example.com/hub/team"), "/hub/team");
        assert_eq!(path_of("http://127.0.0.1:8420"), "");
    }
}
