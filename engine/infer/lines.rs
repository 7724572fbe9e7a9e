//! Models that come together, some of which are versions of one name; and what the weights say of
//! the bases that they are said to have.

use std::collections::BTreeMap;

use super::CLAIMED_FROM;
use super::adapter;
use super::arrangement::{Arrangement, Origin, Parent, arrange_known};
use super::belief::{Signs, probabilities};
use super::compare::{Comparison, kin};
use super::declared::{Fit, bases_of, fits};
use super::evidence::{Evidence, Reason};
use super::family::Kinship;
use super::member::Member;
use super::placement::Placement;
use crate::lineage::{How, Node, NodeId};
use crate::store::{Model, Result, Snapshot};

/// The natural logarithm of the odds that an adapter, whose matrices fit those of the base that it
/// names, is one of that base.
const FITS: f64 = 6.0;

/// Models of one name that come: their places, oldest first.
pub type Line = Vec<usize>;

/// A base that a model is said to have.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct DeclaredBase {
    /// The place of the first model of the line that says so.
    pub member: usize,
    /// The name, as it was declared.
    pub name: String,
    /// What the weights say.
    pub verdict: BaseVerdict,
}

/// What the weights say of a base that is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BaseVerdict {
    /// The model descends from it.
    Agrees,
    /// They are relatives; it does not descend from it, as far as is sure.
    Related,
    /// They are no relatives; the matrices of the adapter do not fit.
    Contradicts,
    /// It is not among the models that come, nor in the store.
    NotThere,
}

/// As [`arrange_in`](super::arrange_in), of models that are versions of names: the first of each
/// line gets a place, the others follow it. A model that descends from a line descends from its
/// nearest version. An adapter belongs to the base that it names, where its matrices fit. Each model
/// is in one line; `is_known` tells which are in the store already: these have no place there.
///
/// Returns also what the weights say of each base that is declared by a model that is new.
///
/// Cost: that of [`arrange_in`](super::arrange_in) for the first of each line, a comparison with
/// each version of a parent's line, and the names of all models of the store where a base is
/// declared.
///
/// # Errors
///
/// Those of the catalogue and of reading.
pub fn arrange_lines(
    snapshot: &Snapshot,
    mut members: Vec<Member<'_>>,
    lines: &[Line],
    is_known: &[bool],
) -> Result<(Arrangement, Vec<DeclaredBase>)> {
    for line in lines {
        // The card lies beside the last version.
        let Some((first, others)) = line.split_first() else { continue };
        let more = others.iter().filter_map(|at| members.get(*at)).map(Member::metadata);
        let more: Vec<_> = more.cloned().collect();
        if let Some(first) = members.get_mut(*first) {
            more.iter().for_each(|metadata| first.take_bases(metadata));
        }
    }
    let mut lineup = Lineup { snapshot, members: &members, lines, named: None };
    let adapters = lineup.adapters()?;
    // What is hung on its base by its settings is compared with nothing: its whole tensors may be
    // those of a model that it was merged into.
    let heads = lines.iter().filter_map(|line| line.first().copied());
    let places: Vec<usize> = heads.filter(|at| !adapters.contains_key(at)).collect();
    let known: Vec<bool> =
        places.iter().map(|at| is_known.get(*at).copied().unwrap_or_default()).collect();
    let heads: Vec<&Member<'_>> = places.iter().filter_map(|at| members.get(*at)).collect();
    let arranged = arrange_known(snapshot, &heads, &known)?;
    let mut arrangement = lineup.spread(arranged, &places)?;
    for (at, origin) in adapters {
        if let Some(slot) = arrangement.origins.get_mut(at) {
            *slot = origin;
        }
    }
    lineup.believe(&mut arrangement, is_known)?;
    let declared = lineup.verdicts(&arrangement, is_known)?;
    Ok((arrangement, declared))
}

/// A model that is named as a base.
enum Target {
    /// One that comes: the last of the line of this place.
    Line(usize),
    Stored(Node),
}

struct Lineup<'m, 'a> {
    snapshot: &'m Snapshot,
    members: &'m [Member<'a>],
    lines: &'m [Line],
    /// The models of the store, the latest version of each name, once they are asked for.
    named: Option<Vec<Node>>,
}

impl<'a> Lineup<'_, 'a> {
    fn line_of(&self, member: usize) -> Option<(usize, &Line)> {
        self.lines.iter().enumerate().find(|(_, line)| line.contains(&member))
    }

    /// From places of heads to places of all: a parent is the nearest version of its line.
    fn spread(&self, arranged: Arrangement, places: &[usize]) -> Result<Arrangement> {
        let place = |at: usize| places.get(at).copied().unwrap_or_default();
        let mut origins = vec![Origin::Store(Placement::default()); self.members.len()];
        for line in self.lines {
            for (previous, at) in line.iter().zip(line.iter().skip(1)) {
                if let Some(slot) = origins.get_mut(*at) {
                    *slot = Origin::Version { previous: *previous };
                }
            }
        }
        for (at, origin) in places.iter().zip(arranged.origins) {
            let origin = match origin {
                Origin::Member(kinship) => {
                    let parent = self.nearest_version(place(kinship.parent), *at)?;
                    Origin::Member(Kinship { parent, child: *at, ..kinship })
                }
                origin => origin,
            };
            if let Some(slot) = origins.get_mut(*at) {
                *slot = origin;
            }
        }
        let unsure = arranged.unsure.into_iter().map(|kinship| Kinship {
            parent: place(kinship.parent),
            child: place(kinship.child),
            ..kinship
        });
        Ok(Arrangement { origins, unsure: unsure.collect() })
    }

    /// The version of a line that has most in common with a model; of equal ones the latest.
    fn nearest_version(&self, head: usize, child: usize) -> Result<usize> {
        let Some((_, line)) = self.line_of(head).filter(|(_, line)| line.len() > 1) else {
            return Ok(head);
        };
        let Some(member) = self.members.get(child) else { return Ok(head) };
        let mut best = (head, f64::NEG_INFINITY, f64::INFINITY);
        for at in line {
            let Some(version) = self.members.get(*at) else { continue };
            let (bits, distance) = Comparison::of(version, member)?.shared(&|_| true);
            if bits > best.1 || (bits == best.1 && distance <= best.2) {
                best = (*at, bits, distance);
            }
        }
        Ok(best.0)
    }

    /// The origins of adapters that fit a base which they name, by their places.
    fn adapters(&mut self) -> Result<BTreeMap<usize, Origin>> {
        let mut found = BTreeMap::new();
        for first in self.lines.iter().filter_map(|line| line.first().copied()) {
            let Some(member) = self.members.get(first) else { continue };
            if !adapter::is_adapter(member) {
                continue;
            }
            for base in bases_of(member) {
                let origin = match self.target(&base, first)? {
                    Some(Target::Line(last)) => self
                        .members
                        .get(last)
                        .filter(|base| adapter::fits(member, base))
                        .map(|_| Origin::Member(adapter_of(last, first))),
                    Some(Target::Stored(node)) => {
                        let model = self.snapshot.model_of(node)?;
                        let fits = adapter::fits(member, &Member::stored(model.clone())?);
                        fits.then(|| Origin::Store(adapter_of_stored(model)))
                    }
                    None => None,
                };
                if let Some(origin) = origin {
                    found.insert(first, origin);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Hangs what has no parent so far on the base that it names, where the weights do not say
    /// otherwise: they are related, and the evidence for the direction is for it.
    fn believe(&mut self, arrangement: &mut Arrangement, is_known: &[bool]) -> Result<()> {
        for first in self.lines.iter().filter_map(|line| line.first().copied()) {
            let (Some(member), Some(origin)) =
                (self.members.get(first), arrangement.origins.get(first))
            else {
                continue;
            };
            if is_known.get(first) == Some(&true) || origin.parent().is_some() {
                continue;
            }
            for name in bases_of(member) {
                let found = match self.target(&name, first)? {
                    Some(Target::Line(last)) => {
                        let own = Target::Line(self.last_of(first));
                        let head = self.line_of(last).and_then(|(_, line)| line.first().copied());
                        let is_below = match head {
                            Some(head) => self.descends_from(arrangement, head, &own)?,
                            None => true,
                        };
                        let base = self.members.get(last).filter(|_| !is_below);
                        let kinship =
                            base.map(|base| declared_kinship(base, member)).transpose()?;
                        let kinship = kinship.flatten();
                        kinship
                            .map(|it| Origin::Member(Kinship { parent: last, child: first, ..it }))
                    }
                    Some(Target::Stored(node)) => {
                        let model = self.snapshot.model_of(node)?;
                        // Of what was not pulled yet there is nothing to compare.
                        let kinship = match model.missing_tensors()? {
                            0 => declared_kinship(&Member::stored(model.clone())?, member)?,
                            _ => None,
                        };
                        let before = match arrangement.origins.get(first) {
                            Some(Origin::Store(placement)) => placement.clone(),
                            _ => Placement::default(),
                        };
                        kinship.map(|kinship| {
                            let (nearest, kinship) = (Some(model), Some(kinship));
                            Origin::Store(Placement { nearest, kinship, ..before })
                        })
                    }
                    None => None,
                };
                if let (Some(found), Some(slot)) = (found, arrangement.origins.get_mut(first)) {
                    *slot = found;
                    break;
                }
            }
        }
        let Arrangement { origins, unsure } = arrangement;
        unsure.retain(|Kinship { parent, child, .. }| {
            let is_parent = |parent: usize, child: usize| {
                let found = origins.get(child).and_then(Origin::parent);
                matches!(found, Some((Parent::Member(place), _)) if place == parent)
            };
            !is_parent(*parent, *child) && !is_parent(*child, *parent)
        });
        Ok(())
    }

    fn last_of(&self, member: usize) -> usize {
        let line = self.line_of(member).and_then(|(_, line)| line.last().copied());
        line.unwrap_or(member)
    }

    /// The model that a declared name means: one that comes, else one of the store; a name that
    /// fits wholly first.
    fn target(&mut self, base: &str, member: usize) -> Result<Option<Target>> {
        let own = self.line_of(member).map(|(at, _)| at);
        let own_name = self.members.get(member).map(|it| it.label().to_owned()).unwrap_or_default();
        let mut best: Option<(Fit, Target)> = None;
        let mut offer = |fit: Option<Fit>, target: Target| {
            let Some(fit) = fit else { return };
            if best.as_ref().is_none_or(|(found, _)| fit > *found) {
                best = Some((fit, target));
            }
        };
        for (_, line) in self.lines.iter().enumerate().filter(|(at, _)| Some(*at) != own) {
            let last = line.last().and_then(|last| Some((*last, self.members.get(*last)?)));
            if let Some((last, member)) = last {
                offer(fits(base, member.label()), Target::Line(last));
            }
        }
        if self.named.is_none() {
            self.named = Some(latest_of(self.snapshot.nodes()?));
        }
        for node in self.named.iter().flatten().filter(|node| node.name() != own_name) {
            offer(fits(base, node.name()), Target::Stored(node.clone()));
        }
        Ok(best.map(|(_, target)| target))
    }

    fn verdicts(
        &mut self,
        arrangement: &Arrangement,
        is_known: &[bool],
    ) -> Result<Vec<DeclaredBase>> {
        let mut declared = Vec::new();
        for first in self.lines.iter().filter_map(|line| line.first().copied()) {
            // Its parents are those that it has in the store.
            if is_known.get(first) == Some(&true) {
                continue;
            }
            let Some(member) = self.members.get(first) else { continue };
            for name in bases_of(member) {
                if fits(&name, member.label()).is_some() {
                    continue;
                }
                let verdict = match self.target(&name, first)? {
                    None => BaseVerdict::NotThere,
                    Some(target) => self.verdict(arrangement, first, &target)?,
                };
                declared.push(DeclaredBase { member: first, name, verdict });
            }
        }
        Ok(declared)
    }

    fn verdict(
        &self,
        arrangement: &Arrangement,
        first: usize,
        target: &Target,
    ) -> Result<BaseVerdict> {
        if self.descends_from(arrangement, first, target)? {
            return Ok(BaseVerdict::Agrees);
        }
        let Some(member) = self.members.get(first) else { return Ok(BaseVerdict::Contradicts) };
        let is_related = match target {
            Target::Line(last) => self.members.get(*last).is_some_and(|it| is_related(member, it)),
            Target::Stored(node) => {
                let model = self.snapshot.model_of(node.clone())?;
                is_related(member, &Member::stored(model)?)
            }
        };
        Ok(if is_related { BaseVerdict::Related } else { BaseVerdict::Contradicts })
    }

    /// Whether the target is on the way from a model to its root.
    fn descends_from(
        &self,
        arrangement: &Arrangement,
        first: usize,
        target: &Target,
    ) -> Result<bool> {
        let mut at = first;
        // A tree: more steps than there are models would be a circle.
        for _ in 0..=self.members.len() {
            let origin = arrangement.origins.get(at);
            match origin.and_then(Origin::parent) {
                Some((Parent::Member(parent), _)) => {
                    let Some((_, line)) = self.line_of(parent) else { return Ok(false) };
                    if matches!(target, Target::Line(last) if line.contains(last)) {
                        return Ok(true);
                    }
                    at = line.first().copied().unwrap_or(parent);
                }
                Some((Parent::Stored(model), _)) => return self.stored_descends(model, target),
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    fn stored_descends(&self, model: &Model, target: &Target) -> Result<bool> {
        let Target::Stored(base) = target else { return Ok(false) };
        let graph = self.snapshot.graph();
        let mut seen: Vec<NodeId> = vec![model.node().id()];
        let mut next = 0;
        while let Some(id) = seen.get(next).copied() {
            next += 1;
            let Some(node) = graph.node(id)? else { continue };
            if node.name() == base.name() {
                return Ok(true);
            }
            let above = graph.parents(id)?.into_iter().map(|edge| edge.parent);
            for id in above.chain(graph.previous(id)?) {
                if !seen.contains(&id) {
                    seen.push(id);
                }
            }
        }
        Ok(false)
    }
}

fn is_related(member: &Member<'_>, base: &Member<'_>) -> bool {
    kin(base, member).is_some() || adapter::is_adapter(member) && adapter::fits(member, base)
}

/// The kinship of a model with a base that it names, where the weights let it be claimed.
fn declared_kinship(base: &Member<'_>, member: &Member<'_>) -> Result<Option<Kinship>> {
    if kin(base, member).is_none() {
        return Ok(None);
    }
    let comparison = Comparison::of(base, member)?;
    let evidence = Evidence::between(base, member, &comparison);
    let [confidence, _, neither] = probabilities(Signs::of_pair(evidence.signs).scores());
    let kinship = Kinship {
        parent: 0,
        child: 1,
        how: evidence.how,
        confidence,
        neither,
        bits_per_element: comparison.shared(&|_| true).0,
        same_weights: comparison.is_equal(),
        alone: comparison.alone,
        reasons: evidence.reasons,
    };
    Ok(Some(kinship).filter(Kinship::is_claimed))
}

/// The latest version of each name.
fn latest_of(nodes: Vec<Node>) -> Vec<Node> {
    let mut latest: BTreeMap<String, Node> = BTreeMap::new();
    for node in nodes {
        let known = latest.get(node.name());
        if known.is_none_or(|known| known.version() < node.version()) {
            latest.insert(node.name().to_owned(), node);
        }
    }
    latest.into_values().collect()
}

fn adapter_of(parent: usize, child: usize) -> Kinship {
    let text = "its settings name the other as its base, and its matrices fit".to_owned();
    let confidence = 1.0 / (1.0 + (-FITS).exp());
    debug_assert!(confidence >= CLAIMED_FROM);
    Kinship {
        parent,
        child,
        how: How::Adapter,
        confidence,
        neither: 0.0,
        bits_per_element: 0.0,
        reasons: vec![Reason { text, weight: FITS }],
        same_weights: false,
        alone: (0, 0),
    }
}

fn adapter_of_stored(model: Model) -> Placement {
    Placement { nearest: Some(model), kinship: Some(adapter_of(0, 1)), ..Placement::default() }
}
