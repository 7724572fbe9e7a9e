//! Addresses of models and files, and what is asked behind them.

use mgit::hub;
use mgit::lineage::Node;

use super::Site;

/// A path of a URL: its parts stay, everything that is not plain in them is percent-encoded.
pub fn encoded(path: &str) -> String {
    path.split('/').map(hub::encoded).collect::<Vec<_>>().join("/")
}

/// The value of a key in a query, such as of `find` in `tensors=2&find=head`.
pub fn asked(query: &str, key: &str) -> Option<String> {
    let pairs = hub::parameters(query).unwrap_or_default();
    pairs.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
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
        assert_eq!(asked("find=a+b%2fc%zz%4", "find").as_deref(), Some("a b/c%zz%4"));
        assert_eq!(asked("tensors=2&find=a%20b", "find").as_deref(), Some("a b"));
        assert_eq!(asked("tensors=2", "find"), None);
    }
}
