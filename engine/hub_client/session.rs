//! Requests to a hub, and to where it leads.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};
use url::{Host, Url};

use super::limits::REDIRECTS_MAX;
use super::{HubError, HubFault, HubOptions};
use crate::network::Network;

/// Bytes that are given at a time, where as many come at once.
const BLOCK_LEN: usize = 256 << 10;
/// How long is waited for more than the first of them.
const BLOCK_TIME: Duration = Duration::from_millis(100);
/// The fewest bytes that must come within the time that is waited.
const SLOW_MIN: u64 = 16 << 10;

type Result<T, E = HubFault> = std::result::Result<T, E>;

/// A hub, to be asked.
#[derive(Debug)]
pub(super) struct Session {
    network: Network,
    client: Client,
    endpoint: Url,
    token: Option<HeaderValue>,
    patience: Duration,
}

impl Session {
    pub(super) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let endpoint = endpoint(&options.endpoint)?;
        let token = options.token.as_deref().map(authorization).transpose()?;
        let mut builder = Client::builder()
            .user_agent(concat!("mgit/", env!("CARGO_PKG_VERSION")))
            // Where it leads, and what is shown there, is decided here.
            .redirect(Policy::none())
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd();
        if is_loopback(&endpoint) {
            builder = builder.no_proxy();
        }
        let unusable =
            |reason: String| HubError::BadEndpoint { endpoint: options.endpoint.clone(), reason };
        let client = builder.build().map_err(|error| unusable(error.to_string()))?;
        let network = Network::new().map_err(|error| unusable(error.to_string()))?;
        Ok(Session { network, client, endpoint, token, patience: options.patience })
    }

    /// The address of what lies below the endpoint: each part is escaped whole.
    pub(super) fn address<'p>(&self, parts: impl IntoIterator<Item = &'p str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    /// What is at `url`, wherever it leads.
    pub(super) fn get(&self, mut url: Url, headers: &HeaderMap) -> Result<Answer<'_>> {
        for _ in 0..=REDIRECTS_MAX {
            let response = self.send(&url, headers)?;
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => url = next(&url, response.headers())?,
                _ => return Answer::of(self, response, host(&url)),
            }
        }
        Err(HubFault::TooManyRedirects)
    }

    fn send(&self, url: &Url, headers: &HeaderMap) -> Result<Response> {
        let mut request = Request::new(reqwest::Method::GET, url.clone());
        request.headers_mut().extend(headers.clone());
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(token) = self.token.as_ref().filter(|_| url.origin() == self.endpoint.origin())
        {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let (client, patience) = (self.client.clone(), self.patience);
        match self.network.wait(async move { timeout(patience, client.execute(request)).await }) {
            Err(error) => Err(HubFault::Connection { host: host(url), source: error.into() }),
            Ok(Err(_)) => Err(HubFault::Silent { host: host(url), waited: self.patience, came: 0 }),
            Ok(Ok(sent)) => sent.map_err(|error| connection(host(url), error)),
        }
    }
}

fn connection(host: String, error: reqwest::Error) -> HubFault {
    // An address may have a signature in it.
    HubFault::Connection { host, source: error.without_url().into() }
}

fn endpoint(text: &str) -> Result<Url, HubError> {
    let bad = |reason: &str| HubError::BadEndpoint {
        endpoint: text.to_owned(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| match text.rsplit_once('@') {
        // What stands before it may be a password.
        Some((_, behind)) => {
            HubError::BadEndpoint { endpoint: format!("...@{behind}"), reason: error.to_string() }
        }
        None => bad(&error.to_string()),
    })?;
    if has_credentials(&url) {
        // They would be in every message.
        let reason = "give the token beside it, not in it".to_owned();
        return Err(HubError::BadEndpoint { endpoint: host(&url), reason });
    }
    match url.scheme() {
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
            Err(bad("expected an address without ? and #"))
        }
        "http" | "https" => Ok(url),
        _ => Err(bad("expected http:// or https://")),
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn authorization(token: &str) -> Result<HeaderValue, HubError> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| HubError::BadToken)?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The host and the port, for messages.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
}

/// Where an answer leads.
fn next(from: &Url, headers: &HeaderMap) -> Result<Url> {
    let bad = |reason| HubFault::BadRedirect { reason };
    let location = header(headers, &LOCATION);
    let url = from.join(location.as_deref().ok_or(bad("it names none"))?);
    let url = url.map_err(|_| bad("it is malformed"))?;
    match url.scheme() {
        _ if has_credentials(&url) => Err(bad("it has a user or a password in it")),
        "http" if from.scheme() == "https" => Err(bad("it gives up the encryption")),
        "http" | "https" => Ok(url),
        _ => Err(bad("it is neither http nor https")),
    }
}

/// The text of a header; what is no text of ASCII is no header.
fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// An answer whose status says that it has what was asked for.
#[derive(Debug)]
pub(super) struct Answer<'s> {
    session: &'s Session,
    host: String,
    status: StatusCode,
    headers: HeaderMap,
    /// As long as something may follow.
    response: Option<Response>,
    /// Why nothing follows, once what came before is taken.
    fault: Option<HubFault>,
    /// How long was waited, and how much came, since enough has come in that time.
    waited: Duration,
    came: u64,
}

/// How the reading of a block ended.
enum End {
    More(Response),
    Whole,
    Failed(reqwest::Error),
}

impl<'s> Answer<'s> {
    fn of(session: &'s Session, response: Response, host: String) -> Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(refusal(status, &headers, host));
        }
        match header(&headers, &CONTENT_ENCODING) {
            Some(encoding) if !matches!(encoding.as_str(), "" | "identity") => {
                return Err(HubFault::Encoded { encoding });
            }
            _ => {}
        }
        let (response, waited) = (Some(response), Duration::ZERO);
        Ok(Answer { session, host, status, headers, response, fault: None, waited, came: 0 })
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<String> {
        header(&self.headers, name)
    }

    /// The next bytes; none at the end.
    pub(super) fn block(&mut self) -> Result<Option<Vec<u8>>> {
        while let Some(response) = self.response.take() {
            let block = self.next_block(response)?;
            if !block.is_empty() {
                return Ok(Some(block));
            }
        }
        self.fault.take().map_or(Ok(None), Err)
    }

    /// What comes next, which may be nothing; what follows it, and why nothing does, is kept.
    fn next_block(&mut self, response: Response) -> Result<Vec<u8>> {
        let patience = self.session.patience;
        let (begun, left) = (Instant::now(), patience.saturating_sub(self.waited));
        let host = || self.host.clone();
        let (block, end) = self
            .session
            .network
            .wait(read_block(response, left))
            .map_err(|error| HubFault::Connection { host: host(), source: error.into() })?;
        self.came += block.len() as u64;
        self.waited += begun.elapsed();
        if self.came >= SLOW_MIN {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        match end {
            End::Whole => {}
            End::Failed(error) => self.fault = Some(connection(host(), error)),
            End::More(_) if self.waited >= patience => {
                let (waited, came) = (self.waited, self.came);
                self.fault = Some(HubFault::Silent { host: host(), waited, came });
            }
            End::More(response) => self.response = Some(response),
        }
        Ok(block)
    }
}

/// The next bytes: what comes at once, if something comes within `patience`.
async fn read_block(mut response: Response, patience: Duration) -> (Vec<u8>, End) {
    let (mut block, mut until) = (Vec::new(), Instant::now() + patience);
    loop {
        match timeout_at(until, response.chunk()).await {
            Err(_) => return (block, End::More(response)),
            Ok(Err(error)) => return (block, End::Failed(error)),
            Ok(Ok(None)) => return (block, End::Whole),
            Ok(Ok(Some(chunk))) => {
                if block.is_empty() {
                    until = until.min(Instant::now() + BLOCK_TIME);
                }
                block.extend_from_slice(&chunk);
            }
        }
        if block.len() >= BLOCK_LEN {
            return (block, End::More(response));
        }
    }
}

/// What a status says that is no success.
fn refusal(status: StatusCode, headers: &HeaderMap, host: String) -> HubFault {
    let text = |name| header(headers, &HeaderName::from_static(name)).unwrap_or_default();
    let (message, status) = (text("x-error-message"), status.as_u16());
    let retry_after = header(headers, &RETRY_AFTER).and_then(|it| it.trim().parse().ok());
    match (text("x-error-code").as_str(), status) {
        ("RepoNotFound", 401 | 403) => {
            let what = "there is no such model, or it is not for everybody";
            HubFault::NeedsToken { what, status, message }
        }
        ("GatedRepo", _) => {
            let what = "it is for those who have accepted its conditions at the hub";
            HubFault::NeedsToken { what, status, message }
        }
        ("RepoNotFound", _) => HubFault::NotFound { what: "such model", message },
        ("RevisionNotFound", _) => HubFault::NotFound { what: "such revision of it", message },
        ("EntryNotFound", _) => HubFault::NotFound { what: "such file in it", message },
        (_, 401 | 403) => {
            let what = "it is not given to everybody";
            HubFault::NeedsToken { what, status, message }
        }
        (_, 404 | 410) => HubFault::NotFound { what: "such model, revision or file", message },
        _ => {
            let retry_after = retry_after.map(Duration::from_secs);
            HubFault::Status { host, status, message, retry_after }
        }
    }
}
