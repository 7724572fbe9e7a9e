//! A file of a revision, or a range of it.

use super::answer::{Answer, Body};
use super::files::{file_at, tag};
use super::range::{Wanted, names_tag, wanted};
use super::reading::FileReader;
use super::repository::sha;
use super::request::Request;
use super::request_error::RequestError;
use crate::store::Model;

/// The file at `path`: whole, a range of it, or nothing where the client has it already.
pub(super) fn resolve(
    model: &Model,
    path: &str,
    request: &Request<'_>,
) -> Result<Answer, RequestError> {
    let file = file_at(model, path)?;
    let len = file.byte_len();
    let tag = format!("\"{}\"", tag(&file));
    if request.if_none_match.is_some_and(|known| names_tag(known, &tag)) {
        return Ok(with_tags(Answer::new(304, Body::Bytes(vec![])), model, &tag));
    }
    // A range of another file than the client has begun with is of no use to it.
    let is_same = request.if_range.is_none_or(|known| known == tag);
    let range = request.range.filter(|_| is_same && request.method == "GET");
    let (status, range) = match wanted(range, len) {
        Wanted::Whole => (200, 0..len),
        Wanted::Part(part) => (206, part),
        Wanted::BehindEnd => return Err(RequestError::RangeBehindEnd { len }),
    };
    let mut answer = Answer::new(status, Body::Bytes(vec![]));
    if status == 206 {
        let last = range.end.saturating_sub(1);
        answer.header("content-range", &format!("bytes {}-{last}/{len}", range.start));
    }
    answer.header("content-type", content_type(path));
    answer.header("content-disposition", &disposition(path));
    answer.header("accept-ranges", "bytes");
    answer.body = Body::File(Box::new(FileReader::new(file, range)));
    Ok(with_tags(answer, model, &tag))
}

fn with_tags(mut answer: Answer, model: &Model, tag: &str) -> Answer {
    answer.header("etag", tag);
    answer.header("x-repo-commit", &sha(model.node()));
    // A revision may be a name for another version later: whoever keeps a file asks for its tag.
    answer.header("cache-control", "no-cache");
    answer
}

/// Nothing that a browser would run or draw: what is in a model is anybody's.
fn content_type(path: &str) -> &'static str {
    let end = path.rsplit('.').next().unwrap_or_default();
    match end {
        "json" => "application/json",
        "txt" | "md" | "yaml" | "yml" | "jinja" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn disposition(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let plain = |letter: char| match letter {
        '"' | '\\' => '_',
        letter => letter,
    };
    let name: String = name.chars().map(plain).collect();
    format!("attachment; filename=\"{name}\";")
}
