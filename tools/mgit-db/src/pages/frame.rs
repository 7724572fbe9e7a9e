//! What stands around every page, and the pages that hold little else.

use std::fmt::Write as _;

use super::{HTML, Page, Site};
use crate::picture::escaped;
use crate::text::count;

/// A page: `body` is elements, `scripts` are names of assets.
pub fn frame(site: &Site, title: &str, body: &str, scripts: &[&str]) -> Page {
    let (base, title) = (escaped(&site.base), escaped(title));
    let scripts: String = scripts
        .iter()
        .map(|script| format!("<script src=\"{base}/-/{script}\" defer></script>\n"))
        .collect();
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"{base}/-/icon.svg\">\n\
         <link rel=\"stylesheet\" href=\"{base}/-/page.css\">\n\
         <script src=\"{base}/-/early.js\"></script>\n{scripts}</head>\n\
         {body}</html>\n"
    );
    Page { content_type: HTML, body: body.into_bytes() }
}

/// A text of at most `max` characters, escaped; what is cut is counted.
pub fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => escaped(text),
        Some((end, _)) => {
            let (shown, rest) = text.split_at(end);
            let left = count(rest.chars().count() as u64, "more character");
            format!("{} <em class=\"rest\">and {left}</em>", escaped(shown))
        }
    }
}

/// The stores that are served, each by its prefix, its title and the number of its models.
pub fn stores(list: &[(String, String, u64)], site: &Site) -> Page {
    let mut rows = String::new();
    for (prefix, title, models) in list {
        let href = escaped(&format!("{}/{}/", site.base, prefix.trim_matches('/')));
        let _ = writeln!(
            rows,
            "<tr><td class=\"name\"><a href=\"{href}\">{}</a></td>\
             <td class=\"number\">{models}</td></tr>",
            escaped(title)
        );
    }
    let body = format!(
        "<body class=\"text\">\n<header><h1>{}</h1></header>\n<main>\n<table class=\"sorted\">\n\
         <thead><tr><th>Store</th><th class=\"number\">Models</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</main>\n</body>\n",
        escaped(&site.title)
    );
    frame(site, &site.title, &body, &["picture.js", "table.js"])
}

/// What went wrong.
pub fn problem(status: u16, message: &str, site: &Site) -> Page {
    let body = format!(
        "<body class=\"text\">\n<header><h1><a href=\"{}/\">{}</a></h1></header>\n<main>\n\
         <h2>{status}</h2>\n<p class=\"problem\">{}</p>\n\
         <p><a href=\"{}/\">All models</a></p>\n</main>\n</body>\n",
        escaped(&site.base),
        escaped(&site.title),
        cut(message, 4000),
        escaped(&site.base)
    );
    frame(site, &format!("{status}: {}", site.title), &body, &[])
}
