//! What is known of the lineage of models in a folder: its `lineage.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A folder of models whose lineage is known.
pub struct Known {
    pub kind: String,
    pub seed: Option<u64>,
    /// The names and the files of those that are there.
    pub files: Vec<(String, PathBuf)>,
    /// Of each, there or not, those that it was made of.
    parents: BTreeMap<String, Vec<String>>,
    hows: BTreeMap<String, String>,
}

/// What two models are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The first is a parent of the second.
    Parent,
    Child,
    /// One comes from the other by way of more.
    Ancestor,
    /// Neither comes from the other; both from a third.
    Siblings,
    Strangers,
}

impl Known {
    pub fn read(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read(folder.join("lineage.json"))?;
        let lineage: serde_json::Value = serde_json::from_slice(&text)?;
        let members = lineage["members"].as_array().ok_or("no members")?;
        let text = |member: &serde_json::Value, key: &str| member[key].as_str().map(str::to_owned);
        let names: Vec<String> = members.iter().filter_map(|it| text(it, "name")).collect();
        let (mut files, mut parents) = (Vec::new(), BTreeMap::new());
        let mut hows = BTreeMap::new();
        for member in members {
            let (name, file) = (text(member, "name"), text(member, "file"));
            let (name, file) = name.zip(file).ok_or("a member without a name or a file")?;
            // "int8 of A-v1": made of that one, whoever is listed as the parent.
            let how = text(member, "how").unwrap_or_default();
            let of = how.split_once("int8 of ").map(|(_, of)| of);
            let made_of = of.and_then(|of| names.iter().find(|name| name.ends_with(of)));
            let listed = member["parents"].as_array().into_iter().flatten();
            let mut own: Vec<String> =
                listed.filter_map(|it| it.as_str().map(str::to_owned)).collect();
            if own.is_empty() {
                own.extend(made_of.cloned().or(text(member, "parent")));
            }
            parents.insert(name.clone(), own);
            hows.insert(name.clone(), how);
            let path = folder.join(file);
            if path.is_file() {
                files.push((name, path));
            }
        }
        let kind = text(&lineage, "kind").unwrap_or_else(|| folder.display().to_string());
        Ok(Known { kind, seed: lineage["seed"].as_u64(), files, parents, hows })
    }

    /// How a model was made, in words.
    pub fn how(&self, name: &str) -> &str {
        self.hows.get(name).map_or("", String::as_str)
    }

    fn parents_of(&self, name: &str) -> &[String] {
        self.parents.get(name).map_or(&[], Vec::as_slice)
    }

    fn ancestors(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = self.parents_of(name).iter().map(String::as_str).collect();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(self.parents_of(next).iter().map(String::as_str));
            }
        }
        found
    }

    pub fn relation(&self, a: &str, b: &str) -> Relation {
        let has = |child: &str, parent: &str| self.parents_of(child).iter().any(|it| it == parent);
        let (of_a, of_b) = (self.ancestors(a), self.ancestors(b));
        match () {
            () if has(b, a) => Relation::Parent,
            () if has(a, b) => Relation::Child,
            () if of_a.contains(b) || of_b.contains(a) => Relation::Ancestor,
            () if of_a.intersection(&of_b).next().is_some() => Relation::Siblings,
            () => Relation::Strangers,
        }
    }

    /// Which of three the other two hang on, or 3 where these are siblings; nothing where it is
    /// otherwise, or one of them was not trained but is a function of others.
    pub fn middle(&self, names: [&str; 3]) -> Option<usize> {
        let is_function = |name: &str| {
            ["written", "pruned", "mean"].iter().any(|how| self.how(name).starts_with(how))
        };
        if names.iter().any(|name| is_function(name)) {
            return None;
        }
        let [a, b, c] = names;
        let relations = [(b, c), (a, c), (a, b)].map(|(a, b)| self.relation(a, b));
        let is_edge = |at: usize| matches!(relations[at], Relation::Parent | Relation::Child);
        match (0..3).filter(|at| is_edge(*at)).count() {
            2 => (0..3).find(|at| !is_edge(*at)),
            0 => relations.iter().all(|it| *it == Relation::Siblings).then_some(3),
            _ => None,
        }
    }

    /// The places of those that are there, parents before their children.
    pub fn parents_first(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.files.len()).collect();
        places.sort_by_key(|at| self.ancestors(&self.files[*at].0).len());
        places
    }

    /// Whether a parent of this one is there.
    pub fn has_parent_here(&self, name: &str) -> bool {
        let is_here = |parent: &String| self.files.iter().any(|(name, _)| name == parent);
        self.parents_of(name).iter().any(is_here)
    }

    /// Whether its parent is known and not there.
    pub fn lacks_parent(&self, name: &str) -> bool {
        !self.parents_of(name).is_empty() && !self.has_parent_here(name)
    }

    /// How many families there are that have nothing in common.
    pub fn families(&self) -> usize {
        let mut firsts: Vec<&str> = Vec::new();
        for (name, _) in &self.files {
            let is_new = firsts
                .iter()
                .all(|first| self.relation(first, name) == Relation::Strangers && *first != name);
            if is_new {
                firsts.push(name);
            }
        }
        firsts.len()
    }
}
