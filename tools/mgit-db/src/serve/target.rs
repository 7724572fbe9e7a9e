//! Which store a path is of.

use mgit::hub::{Answer, RequestError};

use super::listener::Site;
use super::mount::Mount;
use super::show;

/// What a path leads to.
pub enum Target<'s> {
    /// A store, and the path in it.
    Store(&'s Mount, &'s str),
    /// The list of all stores.
    Stores,
    /// What else is above the stores.
    Answer(Answer),
}

/// What a path leads to.
pub fn target<'s>(site: &'s Site, path: &'s str) -> Target<'s> {
    for mount in &site.mounts {
        match path.strip_prefix(&mount.prefix) {
            Some("") => return Target::Store(mount, "/"),
            Some(rest) if rest.starts_with('/') => return Target::Store(mount, rest),
            _ => {}
        }
    }
    if path == "/" {
        return Target::Stores;
    }
    if let Some(asset) = path.strip_prefix("/-/").and_then(show::asset) {
        return Target::Answer(asset);
    }
    if !path.starts_with('/') {
        let why = "a path begins with a slash".to_owned();
        return Target::Answer(RequestError::BadRequest { why }.into());
    }
    let prefixes: Vec<&str> = site.mounts.iter().map(|mount| &*mount.prefix).collect();
    let why = format!(
        "no store is served here: the endpoints are {}, each of one store",
        prefixes.join(", ")
    );
    Target::Answer(RequestError::NoSuchPage { why }.into())
}
