//! The pages of a store that is served: the family, a model, several stores, what went wrong.
//!
//! Invariants: a page is a function of a snapshot; it names nothing outside of its own server, has
//! neither a style nor a handler on an element, and holds of a store's texts only escaped ones. All
//! of it can be read without a program; what is long is cut, and the page says so. Nothing here
//! reads a tensor's values.

mod family;
mod frame;
mod links;
mod list;
mod model;
#[cfg(test)]
mod tests;

use crate::picture;

pub use family::family;
pub use frame::{problem, stores};
pub use model::model;

/// What a page may do, for the header `Content-Security-Policy`: ask its own server, and nothing
/// else; no program or style that stands in the page itself is obeyed.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is sent to a browser.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its type, with its charset.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Where a store is served.
#[derive(Clone, Debug)]
pub struct Site {
    /// What every path begins with: empty, or such as `/team`.
    pub base: String,
    /// What a Hugging Face client takes as its endpoint, such as `http://127.0.0.1:8420/team`.
    pub endpoint: String,
    /// What the store is called.
    pub title: String,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// A file that pages ask for, by its name behind `/-/`; `None` when there is none of this name.
pub fn asset(name: &str) -> Option<Page> {
    let (content_type, text) = match name {
        "page.css" => (STYLE, [picture::STYLE, include_str!("pages.css")].concat()),
        "early.js" => (SCRIPT, include_str!("early.js").to_owned()),
        "picture.js" => (SCRIPT, picture::PROGRAM.to_owned()),
        "table.js" => (SCRIPT, include_str!("table.js").to_owned()),
        "family.js" => (SCRIPT, include_str!("family.js").to_owned()),
        "model.js" => (SCRIPT, include_str!("model.js").to_owned()),
        "icon.svg" => (ICON, include_str!("icon.svg").to_owned()),
        _ => return None,
    };
    Some(Page { content_type, body: text.into_bytes() })
}
