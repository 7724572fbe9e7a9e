//! What is found out of models that come, from their weights and from the store.

use std::collections::HashMap;

use super::arrivals::{Arrival, Arrivals};
use super::error::AdoptionError;
use super::parentage::{Parentage, RelativePlace};
use super::plan::{AdoptionPlan, FileNote, PlannedLine, PlannedModel, PlannedParent, StoredParent};
use super::standing::{Known, Standing};
use crate::infer::{
    Arrangement, DeclaredBase, Kinship, Line, Member, Origin, Parent, arrange_lines,
};
use crate::store::{Snapshot, StoreError};

impl Arrivals {
    /// Finds out where the models belong: which are in the store already, which versions the others
    /// become, and who descends from whom, among them and in the store.
    ///
    /// A model whose weights cannot be read to their end is not planned for: it is among the plan's
    /// [`failed`](AdoptionPlan::failed). The plan keeps no snapshot alive.
    ///
    /// Cost: reads the weights of all models once, of some again; that of [`arrange_lines`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn plan(mut self, snapshot: &Snapshot) -> Result<AdoptionPlan, AdoptionError> {
        let found = plan_of(&self, snapshot);
        let (models, lines, arrangement, bases) = match found {
            Err(_) if self.keep_readable() => plan_of(&self, snapshot)?,
            found => found?,
        };
        let Arrivals { left_out, failed, options, .. } = self;
        let unsure = arrangement.unsure;
        Ok(AdoptionPlan { models, lines, unsure, bases, left_out, failed, options })
    }
}

/// What a plan is made of: the models, their lines, how they are arranged, and their bases.
type Found = (Vec<PlannedModel>, Vec<PlannedLine>, Arrangement, Vec<DeclaredBase>);

/// Reads the models, and what of the store may be their relatives.
fn plan_of(arrivals: &Arrivals, snapshot: &Snapshot) -> Result<Found, AdoptionError> {
    let findings = Findings::of(arrivals, snapshot)?;
    let count = arrivals.all.len();
    let models = (0..count).filter_map(|at| findings.planned(at)).collect();
    let lines = findings.order();
    Ok((models, lines, findings.arrangement, findings.bases))
}

/// What was found of models.
struct Findings<'f> {
    arrivals: &'f Arrivals,
    standing: Standing,
    /// What they are called: a name, and the version where there are several.
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
    fn of(arrivals: &'f Arrivals, snapshot: &Snapshot) -> Result<Self, AdoptionError> {
        let members = arrivals.members()?;
        let repeated = repeated(arrivals, &members);
        let standing = Standing::of(arrivals, &members, snapshot)?;
        let count = members.len();
        let known: Vec<bool> = (0..count).map(|at| standing.is_known(at)).collect();
        let (arrangement, bases) = arrange_lines(snapshot, members, &arrivals.lines, &known)?;
        let stored_parents = (0..count).map(|at| stored_parent(&standing, at, snapshot));
        let stored_parents = stored_parents.collect::<Result<_, _>>()?;
        let labels = labels(arrivals, &standing);
        Ok(Findings { arrivals, standing, labels, arrangement, bases, stored_parents, repeated })
    }

    fn planned(&self, at: usize) -> Option<PlannedModel> {
        let (arrival, origin) = (self.arrivals.all.get(at)?, self.arrangement.origins.get(at)?);
        let notes = arrival.input.source().notes();
        let note = |(file, note): (&str, &str)| FileNote { file: file.into(), note: note.into() };
        Some(PlannedModel {
            path: arrival.path.clone(),
            form: arrival.form.clone(),
            name: name_of(arrival, self.standing.known(at)).to_owned(),
            version: self.standing.version(at),
            label: self.labels.get(at).cloned().unwrap_or_default(),
            known: self.standing.known(at).clone(),
            previous: match origin {
                Origin::Version { previous } => Some(*previous),
                _ => None,
            },
            same_weights: self.repeated.get(at).copied().flatten(),
            parentage: Parentage::of(origin, &self.labels),
            parent: planned_parent(origin, &arrival.name),
            stored_parent: self.stored_parent(at).cloned(),
            kin: self.kin_of(at),
            notes: notes.map(note).collect(),
        })
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

    /// All lines, each with its depth: parents before children.
    fn order(&self) -> Vec<PlannedLine> {
        let lines = &self.arrivals.lines;
        let mut line_of: HashMap<usize, usize> = HashMap::new();
        for (line, places) in lines.iter().enumerate() {
            line_of.extend(places.iter().map(|at| (*at, line)));
        }
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (line, places) in lines.iter().enumerate() {
            let parent = places.first().and_then(|at| self.place_of_parent(*at));
            let parent = parent.and_then(|at| line_of.get(&at).copied());
            children.entry(parent).or_default().push(line);
        }
        let below = |line: Option<usize>| children.get(&line).into_iter().flatten().rev();
        let mut order = Vec::with_capacity(lines.len());
        let mut stack: Vec<(usize, usize)> = below(None).map(|root| (*root, 0)).collect();
        let mut left: Vec<Option<&Line>> = lines.iter().map(Some).collect();
        // Versions of two names can descend from each other in turn: no line is below none then.
        let mut rest = (0..lines.len()).map(|line| (line, 0));
        while let Some((line, depth)) = stack.pop().or_else(|| rest.next()) {
            let Some(places) = left.get_mut(line).and_then(Option::take) else { continue };
            order.push(PlannedLine { places: places.clone(), depth });
            stack.extend(below(Some(line)).map(|child| (*child, depth + 1)));
        }
        order
    }

    /// The place of the parent of a model, where it is among those that come.
    fn place_of_parent(&self, at: usize) -> Option<usize> {
        if self.standing.is_known(at) {
            return self.stored_parent(at)?.place;
        }
        match self.arrangement.origins.get(at)?.parent()? {
            (Parent::Member(place), _) => Some(place),
            (Parent::Stored(_), _) => None,
        }
    }

    fn stored_parent(&self, at: usize) -> Option<&StoredParent> {
        self.stored_parents.get(at)?.as_ref()
    }
}

/// Of each that has the weights of the version before it: the tensors that only one of them has.
fn repeated(arrivals: &Arrivals, members: &[Member<'_>]) -> Vec<Option<(usize, usize)>> {
    let mut repeated = vec![None; members.len()];
    for line in &arrivals.lines {
        for (previous, at) in line.iter().zip(line.iter().skip(1)) {
            let both = members.get(*previous).zip(members.get(*at));
            if let (Some((previous, member)), Some(slot)) = (both, repeated.get_mut(*at)) {
                *slot = member.beyond(previous);
            }
        }
    }
    repeated
}

/// The name that a model has in the store where it is there, else the one that it comes with.
fn name_of<'n>(arrival: &'n Arrival, known: &'n Known) -> &'n str {
    match known {
        Known::Stored(node) => node.name(),
        _ => &arrival.name,
    }
}

/// What the models are called: a name, and the version where there are several.
fn labels(arrivals: &Arrivals, standing: &Standing) -> Vec<String> {
    let all = arrivals.all.iter().enumerate();
    let names = all.map(|(at, arrival)| name_of(arrival, standing.known(at)).to_owned());
    let mut labels: Vec<String> = names.collect();
    for line in &arrivals.lines {
        for at in line {
            let version = standing.version(*at);
            if let Some(label) = labels.get_mut(*at).filter(|_| line.len() > 1 || version > 1) {
                *label += &format!("@{version}");
            }
        }
    }
    labels
}

/// The parent that an edge goes to. A version of the same name has its own kind of edge.
fn planned_parent(origin: &Origin, name: &str) -> Option<PlannedParent> {
    let (parent, kinship) = origin.parent()?;
    let place = match parent {
        Parent::Member(place) => RelativePlace::Arrival(place),
        Parent::Stored(model) if model.node().name() == name => return None,
        Parent::Stored(model) => RelativePlace::Store(model.node().id()),
    };
    Some(PlannedParent { place, how: kinship.how })
}

/// The first parent that a model has in the store, where it is there.
fn stored_parent(
    standing: &Standing,
    at: usize,
    snapshot: &Snapshot,
) -> Result<Option<StoredParent>, StoreError> {
    let Known::Stored(node) = standing.known(at) else { return Ok(None) };
    let graph = snapshot.graph();
    let Some(edge) = graph.parents(node.id())?.into_iter().next() else { return Ok(None) };
    let name = graph.expect(edge.parent)?.full_name();
    let place = standing.place_of(edge.parent);
    Ok(Some(StoredParent { name, how: edge.how, place }))
}
