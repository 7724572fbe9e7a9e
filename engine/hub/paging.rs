//! Long lists in pages: which page a request asks for, and the link to the next one.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::request::Request;
use super::request_error::RequestError;

/// What is not encoded in a query, or in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A part of a path or of a query, percent-encoded: what is no letter, digit, `-`, `_`, `.` or `~` is.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The parameters of a list.
pub(super) struct Page {
    pub(super) parameters: Vec<(String, String)>,
    /// Entries at most.
    pub(super) limit: usize,
    cursor: Option<String>,
}

impl Page {
    /// Reads what is asked for; a page has `most` entries at most.
    pub(super) fn of(request: &Request<'_>, most: usize) -> Result<Self, RequestError> {
        let parameters = request.parameters()?;
        let value = |name: &str| {
            let mut found = parameters.iter().filter(|(key, _)| key == name);
            found.next_back().map(|(_, value)| value.clone())
        };
        let limit = match value("limit").map(|limit| limit.parse::<usize>()) {
            None => most,
            Some(Ok(limit)) => limit.clamp(1, most),
            Some(Err(_)) => {
                return Err(RequestError::BadRequest { why: "limit is no number".to_owned() });
            }
        };
        let cursor = value("cursor");
        Ok(Page { parameters, limit, cursor })
    }

    /// The values of a parameter.
    pub(super) fn values<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.values(name)
            .any(|value| matches!(value, "" | "1") || value.eq_ignore_ascii_case("true"))
    }

    /// The place in a list where the last page ended.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Whether an entry of a list by `key` stands behind the last page.
    pub(super) fn is_behind_cursor(&self, key: &str) -> bool {
        self.cursor().is_none_or(|cursor| key > cursor)
    }
}

/// The header that leads to the page behind `cursor`.
pub(super) fn next_link(request: &Request<'_>, cursor: &str) -> Result<String, RequestError> {
    let mut query = String::new();
    for (key, value) in request.parameters()?.iter().filter(|(key, _)| key != "cursor") {
        query += &format!("{}={}&", encoded(key), encoded(value));
    }
    let (origin, path) = (request.origin, request.path);
    // A path that was sent with marks which would end the link was not sent by a client.
    let path: String = path.chars().filter(|letter| !matches!(letter, '<' | '>' | '"')).collect();
    Ok(format!("<{origin}{path}?{query}cursor={}>; rel=\"next\"", encoded(cursor)))
}
