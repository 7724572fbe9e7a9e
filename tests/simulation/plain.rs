//! A store as a plain value.

use std::collections::{BTreeMap, BTreeSet};

use mgit::store::Result;
use mgit::{How, OnChildren, Snapshot};
use serde_json::{Map, Value};

use crate::common::contents;

/// A model as a plain value.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PlainModel {
    /// Names and bytes, in order.
    pub tensors: Vec<(String, Vec<u8>)>,
    /// Provenance parents in order, by `name@version`.
    pub parents: Vec<(String, How)>,
    /// The version before.
    pub previous: Option<String>,
    /// What the user says it is.
    pub kind: String,
    /// The user's own facts.
    pub metadata: Map<String, Value>,
}

/// A store as a plain value.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PlainStore {
    /// Models by `name@version`.
    pub models: BTreeMap<String, PlainModel>,
    /// The highest version ever given.
    pub highest: BTreeMap<String, u32>,
    /// Models by their tags.
    pub tags: BTreeMap<String, String>,
    /// Number of the last commit.
    pub sequence: u64,
}

impl PlainStore {
    /// The highest version of a name that is there.
    fn latest(&self, name: &str) -> Option<String> {
        let highest = self.highest.get(name)?;
        (1..=*highest)
            .rev()
            .map(|v| format!("{name}@{v}"))
            .find(|full| self.models.contains_key(full))
    }

    /// Adds the next version of a name.
    pub fn add(&mut self, name: &str, model: PlainModel) {
        let previous = self.latest(name);
        let version = self.highest.entry(name.to_owned()).or_default();
        *version += 1;
        self.models.insert(format!("{name}@{version}"), PlainModel { previous, ..model });
    }

    fn children(&self, full: &str) -> usize {
        let is_child = |model: &&PlainModel| model.parents.iter().any(|(parent, _)| parent == full);
        self.models.values().filter(is_child).count()
    }

    /// Whether edges of either kind lead from `full` up to `ancestor`.
    pub fn descends(&self, full: &str, ancestor: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![full];
        while let Some(at) = open.pop() {
            if at == ancestor {
                return true;
            }
            let Some(model) = self.models.get(at).filter(|_| seen.insert(at)) else { continue };
            open.extend(model.parents.iter().map(|(parent, _)| parent.as_str()));
            open.extend(model.previous.as_deref());
        }
        false
    }

    /// Removes a model; `false` when its children forbid it.
    pub fn remove(&mut self, full: &str, on_children: OnChildren) -> bool {
        if on_children == OnChildren::Refuse && self.children(full) > 0 {
            return false;
        }
        let Some(gone) = self.models.remove(full) else { return false };
        self.tags.retain(|_, model| model != full);
        for model in self.models.values_mut() {
            if model.previous.as_deref() == Some(full) {
                model.previous = gone.previous.clone();
            }
            let mut parents: Vec<(String, How)> = Vec::new();
            for (parent, how) in std::mem::take(&mut model.parents) {
                let given = gone.parents.iter().map(|(name, _)| (name.clone(), how));
                let instead: Vec<_> = match (parent == full, on_children) {
                    (false, _) => vec![(parent, how)],
                    (true, OnChildren::Reparent) => given.collect(),
                    (true, _) => Vec::new(),
                };
                for edge in instead {
                    if !parents.iter().any(|(name, _)| *name == edge.0) {
                        parents.push(edge);
                    }
                }
            }
            model.parents = parents;
        }
        true
    }

    /// Moves a model to another name, as its next version; `false`, and nothing done, when a
    /// circle would come of it.
    pub fn move_to(&mut self, full: &str, name: &str) -> bool {
        let mut after = self.clone();
        let Some(model) = after.models.remove(full) else { return false };
        let previous = after.latest(name);
        let version = after.highest.entry(name.to_owned()).or_default();
        *version += 1;
        let moved = format!("{name}@{version}");
        for other in after.models.values_mut() {
            if other.previous.as_deref() == Some(full) {
                other.previous = model.previous.clone();
            }
            let parents = other.parents.iter_mut().filter(|(parent, _)| parent == full);
            parents.for_each(|(parent, _)| *parent = moved.clone());
        }
        let tags = after.tags.values_mut().filter(|model| *model == full);
        tags.for_each(|model| *model = moved.clone());
        after.models.insert(moved.clone(), PlainModel { previous: None, ..model });
        if previous.as_deref().is_some_and(|previous| after.descends(previous, &moved)) {
            return false;
        }
        after.models.entry(moved).and_modify(|model| model.previous = previous);
        *self = after;
        true
    }

    /// Whether a snapshot shows this: every model, edge, fact, tag and byte, and the commit's
    /// number.
    pub fn is_shown(&self, snapshot: &Snapshot) -> Result<bool> {
        let (models, tags, sequence) = shown(snapshot)?;
        Ok(models == self.models && tags == self.tags && sequence == self.sequence)
    }
}

/// Models by `name@version`, the same by tags, and the number of the commit.
type Shown = (BTreeMap<String, PlainModel>, BTreeMap<String, String>, u64);

/// Everything a snapshot shows, through checked views.
pub fn shown(snapshot: &Snapshot) -> Result<Shown> {
    let graph = snapshot.graph();
    let mut names = BTreeMap::new();
    for node in snapshot.nodes()? {
        names.insert(node.id(), node.full_name());
    }
    let name_of = |id| names.get(&id).cloned().unwrap_or_else(|| format!("missing {id}"));
    let mut models = BTreeMap::new();
    let mut tensors = contents(snapshot)?;
    for node in snapshot.nodes()? {
        let edges = graph.parents(node.id())?;
        let model = PlainModel {
            tensors: tensors.remove(&node.full_name()).unwrap_or_default(),
            parents: edges.into_iter().map(|edge| (name_of(edge.parent), edge.how)).collect(),
            previous: graph.previous(node.id())?.map(name_of),
            kind: node.kind().to_owned(),
            metadata: graph.metadata(node.id())?,
        };
        models.insert(node.full_name(), model);
    }
    let tags = graph.tags()?.into_iter().map(|(tag, id)| (tag, name_of(id))).collect();
    Ok((models, tags, snapshot.sequence()))
}
