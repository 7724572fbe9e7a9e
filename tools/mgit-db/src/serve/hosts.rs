//! Under which names the server answers.

use std::net::IpAddr;

use super::listener::Site;

/// Whether a request for this host is for this server. On the loopback interface only its own names
/// are: a page of any other site could give its name this address, and read the stores.
pub fn is_allowed(site: &Site, host: Option<&str>) -> bool {
    if !site.address.ip().is_loopback() || site.credentials.are_asked() {
        return true;
    }
    let Some(host) = host.map(name_of) else { return true };
    let is_base =
        site.base_url.as_deref().is_some_and(|base| host.eq_ignore_ascii_case(host_of(base)));
    let is_local = host.eq_ignore_ascii_case("localhost");
    is_base || is_local || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of an address such as `https://models.example.com/hub`.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    name_of(rest.split('/').next().unwrap_or_default())
}

/// A host without its port, and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Whether a host header can stand in an answer.
pub fn is_plain(host: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    !host.is_empty() && host.len() <= 255 && host.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_ports() {
        for (host, name) in [
            ("a:1", "a"),
            ("a", "a"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("127.0.0.1:8", "127.0.0.1"),
        ] {
            assert_eq!(name_of(host), name);
        }
        assert_eq!(host_of("https://models.example.com:8/hub"), "models.example.com");
        assert!(is_plain("a.b:1") && !is_plain("") && !is_plain("a/b") && !is_plain("a b"));
    }
}
