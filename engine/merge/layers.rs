//! The layers of three models side by side, in columns: there can be a million.

use std::collections::{HashMap, HashSet};

use crate::architecture::{Architecture, Layer, LayerSource};
use crate::diff::{Kind, LayerGraph, Mode, Outline, match_layers};
use crate::store::{Model, Result, Tensor};

/// A value for each of the three models: the base, ours, theirs.
pub(super) type Three<T> = [T; 3];

pub(super) const BASE: usize = 0;
pub(super) const OURS: usize = 1;
pub(super) const THEIRS: usize = 2;

/// The place of what a model does not have.
const NONE: u32 = u32::MAX;
/// Tensors of one last name that are looked at for the partner of another.
const ALIKE_MAX: usize = 64;

/// A tensor, as each model has it.
pub(super) type Slot = Three<Option<Tensor>>;

pub(super) fn is_same(a: &Tensor, b: &Tensor) -> bool {
    a.is_same(b)
}

fn same(a: Option<&Tensor>, b: Option<&Tensor>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => is_same(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The layers of three models, and their edges between entries.
#[derive(Debug)]
pub(super) struct Layers {
    sides: Three<Outline>,
    /// Every layer's place in each model.
    entries: Vec<Three<u32>>,
    /// Every tensor's place in each model, entry by entry.
    slots: Vec<Three<u32>>,
    /// Where each entry's tensors end in `slots`.
    slot_ends: Vec<u32>,
    pub(super) edges: Three<Vec<(u32, u32)>>,
}

/// A layer as each model has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'l> {
    layers: &'l Layers,
    at: usize,
}

impl<'l> Entry<'l> {
    /// Its place in a model.
    fn place(&self, side: usize) -> Option<usize> {
        let place = *self.layers.entries.get(self.at)?.get(side)?;
        (place != NONE).then_some(place as usize)
    }

    /// Whether a model has it.
    pub(super) fn has(&self, side: usize) -> bool {
        self.place(side).is_some()
    }

    /// How each model that has it calls it: the base, ours, theirs.
    pub(super) fn names(&self) -> impl Iterator<Item = &'l str> {
        let (entry, sides) = (*self, self.layers.sides.iter().enumerate());
        sides.filter_map(move |(side, outline)| Some(outline.name(entry.place(side)?)))
    }

    /// The name in the merged model: ours, else theirs, else the base's.
    pub(super) fn name(&self) -> &'l str {
        let name = |side: usize| Some(self.layers.sides.get(side)?.name(self.place(side)?));
        name(OURS).or(name(THEIRS)).or(name(BASE)).unwrap_or_default()
    }

    fn kind(&self, side: usize) -> Option<&'l Kind> {
        self.layers.sides.get(side)?.kind(self.place(side)?)
    }

    fn range(&self) -> std::ops::Range<usize> {
        let ends = &self.layers.slot_ends;
        let start = self.at.checked_sub(1).and_then(|before| ends.get(before)).copied();
        start.unwrap_or(0) as usize..ends.get(self.at).copied().unwrap_or(0) as usize
    }

    /// The places of its tensors among those of all entries.
    pub(super) fn slot_places(&self) -> std::ops::Range<usize> {
        self.range()
    }

    /// Its tensors.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + 'l {
        let layers = self.layers;
        self.range().map(|at| layers.slot(at))
    }

    /// Whether two models have the layer with the same kind, attributes and contents, or neither
    /// has it.
    pub(super) fn is_equal(&self, a: usize, b: usize) -> bool {
        let source = |side: usize| self.layers.sides.get(side).map(Outline::source);
        let layers = match (self.kind(a), self.kind(b)) {
            // Kinds that were given and kinds that were inferred say nothing about each other.
            (Some(of_a), Some(of_b)) => source(a) != source(b) || of_a == of_b,
            (None, None) => true,
            _ => false,
        };
        layers
            && self.slots().all(|slot| {
                let of = |model: usize| slot.get(model).and_then(Option::as_ref);
                same(of(a), of(b))
            })
    }

    /// The layer as a model has it, under its name in the merged model and with these tensors.
    pub(super) fn layer(&self, side: usize, tensors: Vec<String>) -> Option<Layer> {
        let (kind, attributes) = self.kind(side)?.clone();
        Some(Layer { name: self.name().to_owned(), kind, attributes, tensors })
    }
}

/// The last part of a tensor's name.
fn short(name: &str) -> &str {
    name.rsplit(['.', '/']).next().unwrap_or_default()
}

/// Tensors that belong together: by name, and else by the last part of it.
fn slots(sides: &Three<Outline>, tensors: Three<&[u32]>) -> Vec<Three<u32>> {
    let mut slots: Vec<Three<u32>> = Vec::new();
    // The first slot that has a tensor of this name; slots that have one of this last name.
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut by_short: HashMap<&str, Vec<(usize, &str)>> = HashMap::new();
    for (model, (places, outline)) in tensors.into_iter().zip(sides).enumerate() {
        let list = &outline.model().manifest().tensors;
        let name_of = |place: u32| list.get(place as usize).map_or("", |tensor| tensor.name);
        let all: HashSet<&str> = places.iter().map(|place| name_of(*place)).collect();
        for place in places {
            let name = name_of(*place);
            // Not one that another tensor of this model has the name of.
            let alike = || {
                let known = by_short.get(short(name)).into_iter().flatten().take(ALIKE_MAX);
                known.filter(|(_, other)| !all.contains(other)).map(|(at, _)| *at).min()
            };
            let known = by_name.get(name).copied().or_else(alike);
            let is_free = |at: &usize| slots.get(*at).and_then(|it| it.get(model)) == Some(&NONE);
            let at = known.filter(is_free).unwrap_or_else(|| {
                slots.push([NONE; 3]);
                slots.len() - 1
            });
            let slot = slots.get_mut(at).and_then(|slot| slot.get_mut(model));
            slot.into_iter().for_each(|slot| *slot = *place);
            by_name.entry(name).or_insert(at);
            by_short.entry(short(name)).or_default().push((at, name));
        }
    }
    slots
}

/// Which layer of `side` is which of the base, for each of its layers: by name, and those that are
/// left by MGit's matching.
fn partners(base: &Outline, side: &Outline) -> Vec<u32> {
    let named: HashMap<&str, usize> = (0..base.len()).map(|at| (base.name(at), at)).collect();
    let mut partners = vec![NONE; side.len()];
    let mut taken = vec![false; base.len()];
    let mut left = side.len();
    for (at, slot) in partners.iter_mut().enumerate() {
        if let Some(partner) = named.get(side.name(at)) {
            *slot = *partner as u32;
            left -= 1;
            taken.get_mut(*partner).into_iter().for_each(|taken| *taken = true);
        }
    }
    drop(named);
    if left > 0 && !taken.iter().all(|taken| *taken) {
        let graphs = [base, side].map(LayerGraph::of_outline);
        let [of_base, of_side] = &graphs;
        for (in_base, in_side) in match_layers(of_base, of_side, Mode::Structural).pairs {
            if let (Some(slot @ &mut NONE), Some(taken @ false)) =
                (partners.get_mut(in_side), taken.get_mut(in_base))
            {
                (*slot, *taken) = (in_base as u32, true);
            }
        }
    }
    partners
}

impl Layers {
    pub(super) fn of(models: Three<&Model>) -> Result<Self> {
        let [base, ours, theirs] = models;
        let base = Outline::of(base)?;
        let ours = Outline::of(ours)?.like(&base);
        let theirs = Outline::of(theirs)?.like(&base).like(&ours);
        let sides = [base, ours, theirs];
        let [of_base, of_ours, of_theirs] = &sides;
        let mut entries: Vec<Three<u32>> =
            (0..of_base.len() as u32).map(|at| [at, NONE, NONE]).collect();
        let mut edges: Three<Vec<(u32, u32)>> = Three::default();
        edges[BASE] = of_base.edges().to_vec();
        // Layers that a side has added, by name: both may have added the same.
        let mut added: HashMap<&str, u32> = HashMap::new();
        for (side, outline) in [(OURS, of_ours), (THEIRS, of_theirs)] {
            // From here on the entry of every layer of this side.
            let mut places = partners(of_base, outline);
            for (at, place) in places.iter_mut().enumerate() {
                if *place == NONE {
                    *place = *added.entry(outline.name(at)).or_insert_with(|| {
                        entries.push([NONE; 3]);
                        entries.len() as u32 - 1
                    });
                }
                let entry = entries.get_mut(*place as usize).and_then(|it| it.get_mut(side));
                entry.into_iter().for_each(|entry| *entry = at as u32);
            }
            let place = |at: &u32| places.get(*at as usize).copied();
            let between = outline.edges().iter();
            let between = between.filter_map(|(a, b)| Some((place(a)?, place(b)?))).collect();
            edges.iter_mut().skip(side).take(1).zip([between]).for_each(|(it, found)| *it = found);
        }
        drop(added);
        let mut layers = Layers { sides, entries, slots: Vec::new(), slot_ends: Vec::new(), edges };
        for entry in &layers.entries {
            let of = |side: usize| match (entry.get(side), layers.sides.get(side)) {
                (Some(at), Some(outline)) if *at != NONE => outline.tensors(*at as usize),
                _ => &[],
            };
            layers.slots.extend(slots(&layers.sides, [of(BASE), of(OURS), of(THEIRS)]));
            layers.slot_ends.push(layers.slots.len() as u32);
        }
        layers.entries.shrink_to_fit();
        layers.slots.shrink_to_fit();
        layers.slot_ends.shrink_to_fit();
        layers.edges.iter_mut().for_each(Vec::shrink_to_fit);
        Ok(layers)
    }

    /// Whether layers were given with one of the models.
    pub(super) fn is_given(&self) -> bool {
        self.sides.iter().any(|side| side.source() == LayerSource::Given)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entry(&self, at: usize) -> Entry<'_> {
        Entry { layers: self, at }
    }

    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        (0..self.len()).map(|at| self.entry(at))
    }

    /// A tensor, by its place among those of all entries.
    pub(super) fn slot(&self, at: usize) -> Slot {
        let places = self.slots.get(at).copied().unwrap_or([NONE; 3]);
        let mut slot = Slot::default();
        for ((tensor, place), side) in slot.iter_mut().zip(places).zip(&self.sides) {
            *tensor = if place == NONE { None } else { side.tensor(place) };
        }
        slot
    }

    /// The edges of all three models: what a path may lead along.
    pub(super) fn all_edges(&self) -> Vec<(u32, u32)> {
        let mut edges: Vec<(u32, u32)> = self.edges.iter().flatten().copied().collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// The merged model's layers, where some were given: of its entries those that are `kept`, with
    /// the edges that a side has added, without those that a side has removed.
    pub(super) fn architecture(&self, kept: &[Option<Layer>]) -> Option<Architecture> {
        let mut places = vec![None; kept.len()];
        let mut layers = Vec::new();
        for (layer, place) in kept.iter().zip(&mut places) {
            if let Some(layer) = layer {
                *place = Some(layers.len());
                layers.push(layer.clone());
            }
        }
        let [base, ours, theirs] =
            self.edges.each_ref().map(|edges| edges.iter().copied().collect::<HashSet<_>>());
        let stays = |edge: &(u32, u32)| match base.contains(edge) {
            true => ours.contains(edge) && theirs.contains(edge),
            false => true,
        };
        let place = |at: u32| places.get(at as usize).copied().flatten();
        let edges: Vec<(usize, usize)> = ours
            .union(&theirs)
            .filter(|edge| stays(edge))
            .filter_map(|(from, to)| Some((place(*from)?, place(*to)?)))
            .collect();
        Architecture::new(LayerSource::Given, layers, edges).ok()
    }
}
