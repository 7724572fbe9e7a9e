//! Addresses of models and files, and what is asked behind them.

use std::fmt::Write as _;

use mgit::lineage::Node;

use super::Site;

/// A path of a URL: its parts stay, everything that is not plain in them is percent-encoded.
pub fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

/// A value of a query, as a form sends it.
pub fn decoded(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(*other),
        }
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The value of a key in a query, such as of `find` in `tensors=2&find=head`.
pub fn asked(query: &str, key: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| decoded(value))
}

/// The page of a name's highest version.
pub fn latest(site: &Site, name: &str) -> String {
    format!("{}/{}", site.base, encoded(name))
}

/// The page of a node.
pub fn node(site: &Site, node: &Node) -> String {
    format!("{}/tree/{}", latest(site, node.name()), node.version())
}

/// A file of a node, below what comes first: the base of the site or its endpoint.
pub fn file(first: &str, node: &Node, path: &str) -> String {
    let (name, version) = (encoded(node.name()), node.version());
    format!("{first}/{name}/resolve/{version}/{}", encoded(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_and_values_decoded() {
        assert_eq!(encoded("a b/\u{e9}?#%"), "a%20b/%C3%A9%3F%23%25");
        assert_eq!(decoded("a+b%2fc%zz%4"), "a b/c%zz%4");
        assert_eq!(asked("tensors=2&find=a%20b", "find").as_deref(), Some("a b"));
        assert_eq!(asked("tensors=2", "find"), None);
    }
}
