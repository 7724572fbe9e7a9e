//! A request as it came over the wire, and the names in it.

use percent_encoding::percent_decode_str;

use super::request_error::RequestError;

/// A request of the protocol, as a server has read it. Nothing in it is trusted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    /// The method, such as `GET`.
    pub method: &'r str,
    /// The path as it was sent, percent-encoded, without the prefix that the store is served under.
    pub path: &'r str,
    /// What stands behind `?`, as it was sent.
    pub query: &'r str,
    /// The header `Range`.
    pub range: Option<&'r str>,
    /// The header `If-Range`.
    pub if_range: Option<&'r str>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<&'r str>,
    /// The body of a POST.
    pub body: &'r [u8],
    /// By which address the client reaches the store, such as `http://127.0.0.1:8420`: what links to
    /// further pages begin with.
    pub origin: &'r str,
}

impl Request<'_> {
    /// The parts of the path, decoded one by one: an encoded slash is part of a name.
    ///
    /// # Errors
    ///
    /// [`RequestError::BadRequest`]: they are not UTF-8.
    pub fn segments(&self) -> Result<Vec<String>, RequestError> {
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        path.split('/').map(decoded).collect()
    }

    /// The parameters of the query, in order.
    pub(super) fn parameters(&self) -> Result<Vec<(String, String)>, RequestError> {
        parameters(self.query)
    }

    pub(super) fn is_get(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }
}

/// Reads what a query, or a form, holds: names with values, in order.
///
/// # Errors
///
/// [`RequestError::BadRequest`]: they are not UTF-8.
pub fn parameters(text: &str) -> Result<Vec<(String, String)>, RequestError> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(&key.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<String, RequestError> {
    let text = percent_decode_str(text).decode_utf8();
    let text =
        text.map_err(|_| RequestError::BadRequest { why: "a name that is not UTF-8".into() })?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_decoded_one_by_one() {
        let request = Request { path: "/a%2Fb/c%20d//e", ..Request::default() };
        assert_eq!(request.segments().unwrap(), ["a/b", "c d", "", "e"]);
        let bad = Request { path: "/%ff", ..Request::default() };
        assert!(matches!(bad.segments(), Err(RequestError::BadRequest { .. })));
        let query = Request { query: "a=b+c&d&e=%26", ..Request::default() };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let read = query.parameters().unwrap();
        assert_eq!(read, [pair("a", "b c"), pair("d", ""), pair("e", "&")]);
    }
}
