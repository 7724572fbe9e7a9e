//! A request in, a response out.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use mgit::hub::{self, Answer, Body, RequestError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::access_log::{Entry, tell};
use super::body::Sent;
use super::hosts::is_allowed;
use super::listener::{HEAD_LEN_MAX, Site};
use super::show;
use super::target::{Target, target};

/// A body of a POST at most: the paths that it names.
const BODY_LEN_MAX: usize = 1 << 20;

/// Answers a request.
pub async fn respond(
    site: Arc<Site>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Infallible> {
    let method = request.method().clone();
    let asked = request.uri().path_and_query().map_or("", |it| it.as_str()).to_owned();
    let entry = Entry::new(site.access_log, peer, method.as_str(), &asked);
    let (answer, place) = match answer(&site, request).await {
        Ok((answer, place)) => (answer, Some(place)),
        Err(problem) => (problem.into(), None),
    };
    let message = answer.headers.iter().find(|(name, _)| *name == "x-error-message");
    if let (500, Some((_, message))) = (answer.status, message) {
        tell(&asked, message);
    }
    Ok(send(&site, (&method, asked), answer, place, entry).await)
}

async fn answer(
    site: &Arc<Site>,
    request: Request<Incoming>,
) -> Result<(Answer, OwnedSemaphorePermit), RequestError> {
    // What is read at a time may be longer than what hyper bounds.
    let length = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if length.sum::<usize>() > HEAD_LEN_MAX {
        return Err(RequestError::LongHead { most: HEAD_LEN_MAX });
    }
    let header = |name: HeaderName| request.headers().get(name)?.to_str().ok();
    let host = request.uri().authority().map(|it| it.as_str()).or_else(|| header(HOST));
    if !is_allowed(site, host) {
        return Err(RequestError::OtherHost { host: host.unwrap_or_default().to_owned() });
    }
    if !site.credentials.accept(header(AUTHORIZATION)) {
        return Err(RequestError::NoToken);
    }
    let origin = site.origin(host);
    let (parts, body) = request.into_parts();
    let (body, post) = match parts.method {
        Method::POST => {
            let post = place_of(site, &site.posts).await?;
            let read = Limited::new(body, BODY_LEN_MAX).collect();
            let read = timeout(site.limits.patience, read).await.ok().and_then(Result::ok);
            let why = || "the body is too long, or did not come".to_owned();
            let read = read.ok_or_else(|| RequestError::BadRequest { why: why() })?;
            (read.to_bytes(), Some(post))
        }
        _ => (Bytes::new(), None),
    };
    let place = place_of(site, &site.places).await?;
    // Who waits for the family to be drawn is not to keep the threads that read for others.
    let turn = match target(site, parts.uri.path()) {
        Target::Store(mount, "/") => Some(Arc::clone(&mount.drawing).lock_owned().await),
        _ => None,
    };
    let site = Arc::clone(site);
    // The place goes with the work, which is done even where the client has gone.
    let answered =
        spawn_blocking(move || (answer_now(&site, &parts, &body, &origin), place, post, turn));
    let (answer, place, ..) = answered.await.map_err(|_| RequestError::Unanswered)?;
    Ok((answer, place))
}

/// A place of these, if there is one in time.
async fn place_of(
    site: &Site,
    places: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, RequestError> {
    let place = timeout(site.limits.patience, Arc::clone(places).acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or(RequestError::Busy)
}

/// Answers from the store as it is now.
fn answer_now(site: &Site, parts: &Parts, body: &[u8], origin: &str) -> Answer {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let (mount, path) = match target(site, parts.uri.path()) {
        Target::Store(mount, path) => (mount, path),
        Target::Stores => return show::stores(site, origin),
        Target::Answer(answer) => return answer,
    };
    let seen = match mount.snapshot() {
        Ok(seen) => seen,
        Err(error) => return RequestError::from(error).into(),
    };
    let origin = format!("{origin}{}", mount.prefix);
    let request = hub::Request {
        method: parts.method.as_str(),
        path,
        query: parts.uri.query().unwrap_or_default(),
        range: text("range"),
        if_range: text("if-range"),
        if_none_match: text("if-none-match"),
        body,
        origin: &origin,
    };
    let in_html = text("accept").is_some_and(|accept| accept.contains("text/html"));
    hub::answer(&seen.snapshot, &request)
        .unwrap_or_else(|| show::show(mount, &seen, &request, in_html))
}

/// Makes an answer into a response. What cannot be read of a file is answered while it still can be.
async fn send(
    site: &Site,
    (method, asked): (&Method, String),
    answer: Answer,
    place: Option<OwnedSemaphorePermit>,
    entry: Entry,
) -> Response<Sent> {
    let is_head = method == Method::HEAD;
    let (mut status, mut len, mut headers) = (answer.status, answer.len(), answer.headers);
    let short = |bytes: Bytes| if is_head { Bytes::new() } else { bytes };
    let mut sent = match (answer.body, place) {
        (Body::Bytes(bytes), place) => Sent::bytes(short(bytes.into()), place, entry),
        (Body::Shared(bytes), place) => Sent::bytes(short(Bytes::from_owner(bytes)), place, entry),
        (Body::File(_), _) if is_head => Sent::bytes(Bytes::new(), None, entry),
        (Body::File(_), None) => Sent::bytes(Bytes::new(), None, entry),
        (Body::File(reader), Some(place)) => {
            match Sent::file(reader, &site.cache, (place, asked.clone()), entry).await {
                Ok(sent) => sent,
                Err((problem, entry)) => {
                    tell(&asked, &mgit::full_message(&problem));
                    let answer = Answer::from(problem);
                    (status, len, headers) = (answer.status, answer.len(), answer.headers);
                    let Body::Bytes(bytes) = answer.body else {
                        unreachable!("a problem is short")
                    };
                    Sent::bytes(bytes.into(), None, entry)
                }
            }
        }
    };
    sent.entry().status = status;
    let mut response = Response::new(sent);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    if status != 304 {
        response.headers_mut().insert("content-length", len.into());
    }
    response
}

/// Of every answer: what it is stays what it is called, and no page of another site shows it.
const ALWAYS: [(&str, &str); 4] = [
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];
