//! Where a model comes from, and what comes of it.

use std::fmt::Write as _;

use mgit::lineage::{EdgeKind, Node, NodeId};
use mgit::{Model, Snapshot};
use serde_json::{Map, Value};

use super::{linked, rest};
use crate::failure::Failure;
use crate::pages::Site;
use crate::pages::frame::cut;
use crate::picture::escaped;
use crate::text::time;

/// What a model derives from.
pub struct Origins {
    parents: Vec<Origin>,
    previous: Option<Origin>,
}

/// One of the models that a model derives from.
pub struct Origin {
    /// Its node.
    pub node: Node,
    /// How the model was derived, in words.
    pub told: String,
    /// What was noted of it.
    pub metadata: Map<String, Value>,
    /// The model, unless its manifest is damaged.
    pub model: Option<Model>,
}

impl Origin {
    fn of(snapshot: &Snapshot, id: NodeId, told: String) -> Result<Self, Failure> {
        let node = snapshot.graph().expect(id)?;
        let model = snapshot.model_of(node.clone()).ok();
        Ok(Origin { node, told, metadata: Map::new(), model })
    }
}

impl Origins {
    /// Looks them up. Cost: their manifests.
    pub fn of(model: &Model) -> Result<Self, Failure> {
        let (snapshot, id) = (model.snapshot(), model.node().id());
        let graph = snapshot.graph();
        let mut parents = Vec::new();
        for edge in graph.parents(id)? {
            let mut origin = Origin::of(snapshot, edge.parent, format!("{} of", edge.how))?;
            origin.metadata = graph.edge_metadata(id, EdgeKind::Provenance, edge.parent)?;
            parents.push(origin);
        }
        let previous = graph.previous(id)?;
        let told = || "next version of".to_owned();
        let previous = previous.map(|id| Origin::of(snapshot, id, told())).transpose()?;
        Ok(Origins { parents, previous })
    }

    /// The parents, then the version before.
    pub fn all(&self) -> impl Iterator<Item = &Origin> {
        self.parents.iter().chain(&self.previous)
    }
}

/// The section.
pub fn lineage(model: &Model, origins: &Origins, site: &Site) -> Result<String, Failure> {
    let mut out = String::from("<section id=\"lineage\">\n<h3>Lineage</h3>\n<dl>\n");
    for origin in origins.all().take(super::ROWS_MAX) {
        let notes = origin.metadata.iter().take(super::ROWS_MAX);
        let notes: String = notes
            .map(|(key, value)| {
                format!(
                    " <span class=\"dim\">{} = {}</span>",
                    escaped(key),
                    cut(&plain(value), 300)
                )
            })
            .collect();
        let damaged = match origin.model {
            Some(_) => "",
            None => " <span class=\"problem\">its tensors cannot be read</span>",
        };
        let (told, link) = (escaped(&origin.told), linked(site, &origin.node));
        let _ = writeln!(out, "<dt>{told}</dt><dd>{link}{notes}{damaged}</dd>");
    }
    let (snapshot, id) = (model.snapshot(), model.node().id());
    for (kind, told) in [(EdgeKind::Provenance, "parent of"), (EdgeKind::Version, "followed by")] {
        let children = snapshot.graph().children(id, kind)?;
        let mut links = Vec::new();
        for child in children.iter().take(super::ROWS_MAX) {
            let child = snapshot.graph().expect(*child)?;
            let edges = snapshot.graph().parents(child.id())?;
            let edge = edges.into_iter().find(|edge| edge.parent == id);
            let how = edge.filter(|_| kind == EdgeKind::Provenance);
            let how = how.map(|edge| format!(" <span class=\"dim\">{}</span>", edge.how));
            links.push(linked(site, &child) + &how.unwrap_or_default());
        }
        if !links.is_empty() {
            let more = rest(children.len(), super::ROWS_MAX, "model");
            let _ = writeln!(out, "<dt>{told}</dt><dd>{}{more}</dd>", links.join(", "));
        }
    }
    out += "</dl>\n</section>\n";
    Ok(out)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// All versions of a model's name, each with its tags; the newest first.
pub fn versions(model: &Model, site: &Site) -> Result<String, Failure> {
    let graph = model.snapshot().graph();
    let ids = graph.versions(&model.node().name().parse()?)?;
    let mut links = Vec::new();
    for id in ids.iter().rev().take(super::ROWS_MAX) {
        let node = graph.expect(*id)?;
        let mut tags = String::new();
        for tag in graph.tags_of(*id)?.iter().take(super::ROWS_MAX) {
            let _ = write!(tags, " <span class=\"tag\">{}</span>", escaped(tag));
        }
        let link = match *id == model.node().id() {
            true => format!("<strong>{}</strong>", node.version()),
            false => {
                let (href, when) =
                    (crate::pages::links::node(site, &node), time(node.created_ms()));
                let (href, when) = (escaped(&href), escaped(&when));
                format!("<a href=\"{href}\" title=\"{when}\">{}</a>", node.version())
            }
        };
        links.push(link + &tags);
    }
    Ok(links.join(" ") + &rest(ids.len(), super::ROWS_MAX, "version"))
}
