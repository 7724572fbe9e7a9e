//! What was found of the models that come, in words, as JSON, and as what is to be done.

use std::collections::HashMap;

use mgit::infer::{
    Arrangement, BaseVerdict, CLAIMED_FROM, DeclaredBase, Kinship, Member, Origin, Parent,
    arrange_lines,
};
use mgit::{How, Snapshot};
use serde_json::{Value, json};

use super::comers::{Comer, Comers};
use super::standing::{Known, Standing};
use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::parentage::{
    NO_RELATIVE, Parentage, parent_place, reasons, same_weights, sibling_in, unsure,
    unsure_document,
};
use crate::text::{count, shown};

/// Lines of what is left out that are shown; `--json` has all.
const SHOWN_MAX: usize = 20;

/// What is to be done, in texts and ids: nothing here keeps a snapshot of the store alive, so that
/// the imports can use again what earlier ones have freed.
pub struct Plan {
    /// For people.
    pub text: String,
    /// Of each model, for programs.
    pub documents: Vec<Value>,
    pub unsure: Vec<Value>,
    /// Of each model, parents before children, versions in their order.
    pub steps: Vec<Step>,
    /// What is there already.
    pub standing: Standing,
}

/// A model to be imported.
pub struct Step {
    pub at: usize,
    /// The parent, and how the model was made of it.
    pub parent: Option<(ParentId, How)>,
    /// Relatives without a direction among those that come.
    pub kin: Vec<usize>,
    /// And the one in the store, as it is kept with the model.
    pub stored_kin: Option<Value>,
}

pub enum ParentId {
    /// That of the comer at this place, when it is imported.
    Comer(usize),
    /// A model of the store: names may be given to others meanwhile.
    Stored(String),
}

/// The parent that a model has in the store.
struct StoredParent {
    name: String,
    how: How,
    /// The comer that it is.
    at: Option<usize>,
}

/// What was found of models.
pub struct Findings<'f> {
    comers: &'f Comers,
    standing: Standing,
    /// What they are called here: a name, and the version where there are several.
    labels: Vec<String>,
    arrangement: Arrangement,
    bases: Vec<DeclaredBase>,
    /// Of each that is there already: its parent there.
    stored_parents: Vec<Option<StoredParent>>,
    /// Of each that has the weights of the version before it: how many tensors only that one has,
    /// and only this one.
    repeated: Vec<Option<(usize, usize)>>,
}

impl<'f> Findings<'f> {
    /// Reads the models, and what of the store may be their relatives.
    ///
    /// # Errors
    ///
    /// A model that cannot be read to its end; those of the store.
    pub fn of(comers: &'f Comers, snapshot: &Snapshot) -> Result<Self, Failure> {
        let members: Vec<Member<'_>> = comers.members()?;
        let mut repeated = vec![None; comers.all.len()];
        for line in &comers.lines {
            for (previous, at) in line.iter().zip(line.iter().skip(1)) {
                let both = members.get(*previous).zip(members.get(*at));
                if let (Some((previous, member)), Some(slot)) = (both, repeated.get_mut(*at)) {
                    *slot = member.beyond(previous);
                }
            }
        }
        let standing = Standing::of(comers, &members, snapshot)?;
        let known: Vec<bool> = (0..members.len()).map(|at| standing.is_known(at)).collect();
        let (arrangement, bases) = arrange_lines(snapshot, members, &comers.lines, &known)?;
        let stored_parents = (0..comers.all.len()).map(|at| stored_parent(&standing, at, snapshot));
        let stored_parents = stored_parents.collect::<Result<_, Failure>>()?;
        let name = |(at, comer): (usize, &Comer)| {
            standing.stored_name(at).unwrap_or(&comer.name).to_owned()
        };
        let mut labels: Vec<String> = comers.all.iter().enumerate().map(name).collect();
        for line in &comers.lines {
            for at in line {
                let version = standing.version(*at);
                if let Some(label) = labels.get_mut(*at).filter(|_| line.len() > 1 || version > 1) {
                    *label += &format!("@{version}");
                }
            }
        }
        Ok(Findings { comers, standing, labels, arrangement, bases, stored_parents, repeated })
    }

    pub fn plan(self, why: bool, output: &Output) -> Plan {
        let mut steps = Vec::with_capacity(self.comers.all.len());
        for (line, _) in self.order() {
            for at in self.line(line) {
                let (parent, kin) = (self.parent_of(*at), self.kin_of(*at));
                steps.push(Step { at: *at, parent, kin, stored_kin: self.stored_kin(*at) });
            }
        }
        let unsure = self.arrangement.unsure.iter();
        let unsure =
            unsure.map(|it| unsure_document(self.label(it.parent), self.label(it.child), it));
        Plan {
            text: self.describe(why, output),
            documents: self.documents(),
            unsure: unsure.collect(),
            steps,
            standing: self.standing,
        }
    }

    /// The parent that an edge goes to. A version of the same name has its own kind of edge.
    fn parent_of(&self, at: usize) -> Option<(ParentId, How)> {
        let (parent, kinship) = self.arrangement.origins.get(at)?.parent()?;
        let name = self.comers.all.get(at)?.name.as_str();
        match parent {
            Parent::Member(place) => Some((ParentId::Comer(place), kinship.how)),
            Parent::Stored(model) => (model.node().name() != name)
                .then(|| (ParentId::Stored(model.node().id().to_string()), kinship.how)),
        }
    }

    /// The places of those that it may be a sibling of.
    fn kin_of(&self, at: usize) -> Vec<usize> {
        let siblings = self.arrangement.unsure.iter().filter(|kinship| kinship.are_siblings());
        let other = |kinship: &Kinship| match (kinship.parent, kinship.child) {
            (parent, child) if child == at => Some(parent),
            (parent, child) if parent == at => Some(child),
            _ => None,
        };
        siblings.filter_map(other).collect()
    }

    fn stored_kin(&self, at: usize) -> Option<Value> {
        match self.arrangement.origins.get(at)? {
            Origin::Store(placement) => sibling_in(placement),
            _ => None,
        }
    }

    fn label(&self, at: usize) -> &str {
        self.labels.get(at).map_or("", String::as_str)
    }

    fn line(&self, line: usize) -> &[usize] {
        self.comers.lines.get(line).map_or(&[], Vec::as_slice)
    }

    fn comer(&self, at: usize) -> Option<&'f Comer> {
        self.comers.all.get(at)
    }

    fn is_known(&self, at: usize) -> bool {
        self.standing.is_known(at)
    }

    /// All lines, each with its depth: parents before children.
    fn order(&self) -> Vec<(usize, usize)> {
        let mut line_of: HashMap<usize, usize> = HashMap::new();
        for (line, places) in self.comers.lines.iter().enumerate() {
            line_of.extend(places.iter().map(|at| (*at, line)));
        }
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (line, places) in self.comers.lines.iter().enumerate() {
            let parent = places.first().and_then(|at| self.place_of_parent(*at));
            let parent = parent.and_then(|at| line_of.get(&at).copied());
            children.entry(parent).or_default().push(line);
        }
        let below = |line: Option<usize>| children.get(&line).into_iter().flatten().rev();
        let mut order = Vec::with_capacity(self.comers.lines.len());
        let mut stack: Vec<(usize, usize)> = below(None).map(|root| (*root, 0)).collect();
        let mut is_in = vec![false; self.comers.lines.len()];
        // Versions of two names can descend from each other in turn: no line is below none then.
        let mut rest = (0..self.comers.lines.len()).map(|line| (line, 0));
        while let Some((line, depth)) = stack.pop().or_else(|| rest.next()) {
            let Some(is_in) = is_in.get_mut(line).filter(|is_in| !**is_in) else { continue };
            *is_in = true;
            order.push((line, depth));
            stack.extend(below(Some(line)).map(|child| (*child, depth + 1)));
        }
        order
    }

    /// The place of the parent of a model, where it is among those that come.
    fn place_of_parent(&self, at: usize) -> Option<usize> {
        match self.is_known(at) {
            true => self.stored_parent(at)?.at,
            false => self.arrangement.origins.get(at).and_then(parent_place),
        }
    }

    fn stored_parent(&self, at: usize) -> Option<&StoredParent> {
        self.stored_parents.get(at)?.as_ref()
    }

    fn parentage(&self, at: usize) -> Option<Parentage<'_>> {
        let origin = self.arrangement.origins.get(at)?;
        Some(Parentage::of(self.label(at), origin, &self.labels))
    }

    fn describe(&self, why: bool, output: &Output) -> String {
        let mut text = String::new();
        for (line, depth) in self.order() {
            text += &self.describe_line(self.line(line), &"  ".repeat(depth), why, output);
        }
        for kinship in &self.arrangement.unsure {
            let (parent, child) = (self.label(kinship.parent), self.label(kinship.child));
            text += &format!("{}\n", unsure(parent, child, kinship));
            text += &if why { reasons(kinship, "    ") } else { String::new() };
        }
        for parentage in (0..self.labels.len()).filter_map(|at| self.parentage(at)) {
            let Some(doubt) = parentage.doubt() else { continue };
            text += &format!("{doubt}\n");
            text += &if why { parentage.reasons("    ") } else { String::new() };
        }
        self.bases.iter().for_each(|base| text += &format!("{}\n", self.describe_base(base)));
        text += &self.sum();
        text + &self.others()
    }

    /// The models of a name.
    fn describe_line(&self, line: &[usize], indent: &str, why: bool, output: &Output) -> String {
        let Some((first, comer)) = line.first().and_then(|at| Some((*at, self.comer(*at)?))) else {
            return String::new();
        };
        let name = self.standing.stored_name(first).unwrap_or(&comer.name);
        let mut text = format!("{indent}{}", output.paint(Ink::Name, &shown(name)));
        if self.is_known(first) {
            let stored = self.stored_parent(first);
            let claim = stored.map(|StoredParent { name, how, .. }| format!("  {how} of {name}"));
            text += &output.paint(Ink::Faint, &claim.unwrap_or_default());
            text.push('\n');
            text += &self.disagreement(first, indent);
        } else if let Some(parentage) = self.parentage(first) {
            match parentage.claim() {
                Some(claim) => {
                    text += &output.paint(Ink::Faint, &format!("  {claim}"));
                    text.push('\n');
                    text += &if why {
                        parentage.reasons(&format!("{indent}    "))
                    } else {
                        String::new()
                    };
                }
                None if self.is_alone(first, &parentage) => text += &format!("  {NO_RELATIVE}\n"),
                None => text.push('\n'),
            }
        }
        let is_plain =
            line.len() == 1 && self.standing.version(first) <= 1 && !self.is_known(first);
        if is_plain {
            return text;
        }
        for at in line {
            let Some(comer) = self.comer(*at) else { continue };
            let path = shown(&comer.path.display().to_string());
            let mut told = match self.standing.known(*at) {
                Known::No if self.standing.version(*at) > 1 => {
                    format!("the next version, {}", self.label(*at))
                }
                Known::No => "the first version".to_owned(),
                Known::Stored(node) => format!("already there: {}", node.full_name()),
                Known::Comer(other) => format!("already there: {}", self.label(*other)),
            };
            let repeated = self.repeated.get(*at).copied().flatten();
            if let Some(more) = repeated.filter(|_| !self.is_known(*at)) {
                told += &format!("; {} as the version before", same_weights(more));
            }
            text += &format!("{indent}  {path}: {told}\n");
        }
        text
    }

    /// That another parent of a model is found than it has in the store.
    fn disagreement(&self, at: usize, indent: &str) -> String {
        let parentage = self.parentage(at);
        let Some((claim, parent)) = parentage.as_ref().and_then(|it| it.claim().zip(it.parent()))
        else {
            return String::new();
        };
        let stored = self.stored_parent(at);
        let is_same = stored.is_some_and(|stored| {
            stored.name == parent || stored.at.is_some_and(|at| self.label(at) == parent)
        });
        let there = stored.map_or("no parent".to_owned(), |stored| stored.name.clone());
        match is_same {
            true => String::new(),
            false => format!(
                "{indent}  found: {claim}; in the store it has {there}, and that stays: \
                 `mgit-db parent set` changes it\n"
            ),
        }
    }

    fn describe_base(&self, base: &DeclaredBase) -> String {
        let (member, name) = (self.label(base.member), shown(&base.name));
        let origin = self.parentage(base.member);
        let found = origin.as_ref().and_then(Parentage::parent);
        match base.verdict {
            BaseVerdict::Agrees => {
                format!("{member} names {name} as its base: the weights agree")
            }
            BaseVerdict::NotThere => format!(
                "{member} names {name} as its base, which is neither among these models nor in the \
                 store"
            ),
            BaseVerdict::Contradicts => format!(
                "{member} names {name} as its base, but the weights contradict that: they are not \
                 related"
            ),
            _ => match found {
                Some(found) => format!(
                    "{member} names {name} as its base; the weights are related, but nearer to \
                     {found}"
                ),
                None => format!(
                    "{member} names {name} as its base; the weights are related, but do not say \
                     that it comes from there"
                ),
            },
        }
    }

    fn sum(&self) -> String {
        let heads = self.comers.lines.iter().filter_map(|line| line.first());
        let roots = heads.filter(|at| {
            let origin = self.arrangement.origins.get(**at);
            origin.is_some_and(|origin| origin.parent().is_none()) && !self.is_known(**at)
        });
        let known = self.labels.len() - self.standing.new_count();
        let known = if known > 0 { format!(" ({known} already there)") } else { String::new() };
        format!(
            "{}{known}, {}; directions are claimed from {:.0} % on\n",
            count(self.labels.len() as u64, "model"),
            count(roots.count() as u64, "root"),
            CLAIMED_FROM * 100.0
        )
    }

    /// What is not taken, and what is to be said of files.
    fn others(&self) -> String {
        let left_out = self.comers.left_out.iter();
        let left_out = left_out.map(|left| format!("left out {}: {}", left.path, left.reason));
        let notes = self.comers.all.iter().flat_map(|comer| {
            let path = comer.path.display();
            comer.input.source().notes().map(move |(file, note)| match comer.path.is_dir() {
                true => format!("{path}/{file}: {note}"),
                false => format!("{path}: {note}"),
            })
        });
        let failed = self.comers.failed.iter();
        let failed = failed.map(|(path, it)| format!("cannot take {}: {it}", path.display()));
        let lines: Vec<String> = left_out.collect();
        first_lines(&lines) + &first_lines(&notes.collect::<Vec<_>>()) + &all_lines(failed)
    }

    /// Whether no relative was found, in the store or among the models.
    fn is_alone(&self, at: usize, parentage: &Parentage<'_>) -> bool {
        let origins = self.arrangement.origins.iter();
        let mut unsure = self.arrangement.unsure.iter();
        let line = self.comers.lines.iter().find(|line| line.contains(&at));
        let is_of_line = |place: &usize| line.is_some_and(|line| line.contains(place));
        !parentage.has_nearest()
            && !self.is_known(at)
            && !origins.filter_map(parent_place).any(|parent| is_of_line(&parent))
            && !unsure.any(|kinship| kinship.parent == at || kinship.child == at)
    }

    fn documents(&self) -> Vec<Value> {
        let document = |at: usize| {
            let (comer, parentage) = (self.comer(at)?, self.parentage(at)?);
            let mut document = parentage.document();
            document["file"] = comer.path.display().to_string().into();
            document["name"] = self.standing.stored_name(at).unwrap_or(&comer.name).into();
            document["version"] = self.standing.version(at).into();
            document["found"] = json!(comer.form);
            let known = match self.standing.known(at) {
                Known::No => None,
                Known::Stored(node) => Some(node.full_name()),
                Known::Comer(other) => Some(self.label(*other).to_owned()),
            };
            document["already_there"] = known.into();
            if self.is_known(at) {
                let stored = self.stored_parent(at);
                document["parent"] = stored.map(|stored| stored.name.as_str()).into();
                document["how"] = stored.map(|stored| stored.how.to_string()).into();
            }
            let previous = match self.arrangement.origins.get(at) {
                Some(Origin::Version { previous }) => Some(self.label(*previous)),
                _ => None,
            };
            document["previous"] = previous.into();
            document["same_weights_as_previous"] =
                self.repeated.get(at).is_some_and(Option::is_some).into();
            let bases = self.bases.iter().filter(|base| base.member == at);
            let bases = bases.map(|base| json!({ "name": base.name, "verdict": base.verdict }));
            document["bases"] = bases.collect();
            document["notes"] = comer
                .input
                .source()
                .notes()
                .map(|(file, note)| json!({ "file": file, "note": note }))
                .collect();
            Some(document)
        };
        (0..self.labels.len()).filter_map(document).collect()
    }
}

/// The first parent that a model has in the store, where it is there.
fn stored_parent(
    standing: &Standing,
    at: usize,
    snapshot: &Snapshot,
) -> Result<Option<StoredParent>, Failure> {
    let Known::Stored(node) = standing.known(at) else { return Ok(None) };
    let graph = snapshot.graph();
    let Some(edge) = graph.parents(node.id())?.into_iter().next() else { return Ok(None) };
    let name = graph.expect(edge.parent)?.full_name();
    let at = standing.place_of(edge.parent);
    Ok(Some(StoredParent { name, how: edge.how, at }))
}

fn first_lines(lines: &[String]) -> String {
    let text = all_lines(lines.iter().take(SHOWN_MAX).cloned());
    match lines.len().saturating_sub(SHOWN_MAX) {
        0 => text,
        more => format!("{text}and {more} more, which --json lists\n"),
    }
}

fn all_lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| format!("{}\n", shown(&line))).collect()
}
