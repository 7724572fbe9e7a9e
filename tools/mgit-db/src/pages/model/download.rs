//! How to get a model: a line for each of the usual ways.

use std::fmt::Write as _;

use mgit::Model;
use mgit::hub::repo_id;

use super::files::path_of;
use crate::pages::{Site, links};
use crate::picture::escaped;
use crate::text::quoted;

/// A text in Python and in Rust, in quotes.
fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The section.
pub fn download(model: &Model, site: &Site) -> String {
    let node = model.node();
    let mut out = String::from("<section id=\"get\">\n<h3>Download</h3>\n");
    // A name that the clients do not take has another: that of its node.
    let id = repo_id(node.name()).unwrap_or_else(|| node.id().to_string());
    let version = node.version().to_string();
    let endpoint = format!("HF_ENDPOINT={}", quoted(site.endpoint.as_ref()));
    let first = model.files().find(|file| file.is_weights()).or_else(|| model.files().next());
    let path = first.as_ref().map(path_of).unwrap_or_default();
    let url = links::file(&site.endpoint, node, &path);
    let (id_text, version_text) = (literal(&id), literal(&version));
    let python = |code: String| format!("{endpoint} python -c {}", quoted(code.as_ref()));
    let lines = [
        ("hf", format!("{endpoint} hf download {} --revision {version}", quoted(id.as_ref()))),
        (
            "huggingface_hub",
            python(format!(
                "from huggingface_hub import snapshot_download as get; \
                 print(get({id_text}, revision={version_text}))"
            )),
        ),
        (
            "transformers",
            python(format!(
                "from transformers import AutoModel; \
                 print(AutoModel.from_pretrained({id_text}, revision={version_text}))"
            )),
        ),
        ("curl", format!("curl -fLO {}", quoted(url.as_ref()))),
        (
            "hf-hub 0.4 (Rust)",
            format!(
                "hf_hub::api::sync::ApiBuilder::from_env().with_endpoint({}.into()).build()?\
                 .repo(hf_hub::Repo::with_revision({id_text}.into(), hf_hub::RepoType::Model, \
                 {version_text}.into())).get({})?",
                literal(&site.endpoint),
                literal(&path)
            ),
        ),
    ];
    out += "<dl class=\"ways\">\n";
    for (name, line) in lines {
        let _ = writeln!(out, "<dt>{name}</dt><dd><code>{}</code></dd>", escaped(&line));
    }
    out += "</dl>\n";
    if id != node.name() {
        let _ = writeln!(
            out,
            "<p class=\"dim\">Hugging Face clients know this model as <code>{}</code>.</p>",
            escaped(&id)
        );
    }
    out += "</section>\n";
    out
}
