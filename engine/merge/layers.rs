//! The layers of three models side by side.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::architecture::{Architecture, Layer, Source};
use crate::diff::{LayerGraph, Mode, match_layers};
use crate::store::{Model, Result, Tensor};

/// A value for each of the three models: the base, ours, theirs.
pub(super) type Three<T> = [T; 3];

pub(super) const BASE: usize = 0;
pub(super) const OURS: usize = 1;
pub(super) const THEIRS: usize = 2;

/// A layer as each model has it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) layers: Three<Option<Layer>>,
    /// Its tensors, as each model has them.
    pub(super) slots: Vec<Three<Option<Tensor>>>,
    /// Where each model's layers come from: kinds that were given and kinds that were inferred say
    /// nothing about each other.
    sources: Three<Source>,
}

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

impl Entry {
    /// The name in the merged model: ours, else theirs, else the base's.
    pub(super) fn name(&self) -> &str {
        let [base, ours, theirs] = &self.layers;
        let layer = ours.as_ref().or(theirs.as_ref()).or(base.as_ref());
        layer.map(|layer| layer.name.as_str()).unwrap_or_default()
    }

    /// Whether two models have the layer with the same kind, attributes and contents, or neither
    /// has it.
    pub(super) fn is_equal(&self, a: usize, b: usize) -> bool {
        let of = |model: usize| self.layers.get(model).and_then(Option::as_ref);
        let layers = match (of(a), of(b)) {
            (Some(of_a), Some(of_b)) => {
                self.sources.get(a) != self.sources.get(b)
                    || (of_a.kind == of_b.kind && of_a.attributes == of_b.attributes)
            }
            (None, None) => true,
            _ => false,
        };
        layers
            && self.slots.iter().all(|slot| {
                let of = |model: usize| slot.get(model).and_then(Option::as_ref);
                same(of(a), of(b))
            })
    }
}

/// The layers of three models, and their edges between entries.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) entries: Vec<Entry>,
    pub(super) edges: Three<Vec<(usize, usize)>>,
    /// Whether layers were given with one of the models.
    pub(super) given: bool,
}

/// The last part of a tensor's name.
fn short(tensor: &Tensor) -> &str {
    tensor.name().rsplit(['.', '/']).next().unwrap_or_default()
}

/// Tensors that belong together: by name, and else by the last part of it.
fn slots(tensors: Three<Vec<Tensor>>) -> Vec<Three<Option<Tensor>>> {
    let mut slots: Vec<Three<Option<Tensor>>> = Vec::new();
    for (model, tensors) in tensors.into_iter().enumerate() {
        let all: HashSet<String> = tensors.iter().map(|it| it.name().to_owned()).collect();
        for tensor in tensors {
            let is_free =
                |slot: &&mut Three<Option<Tensor>>| slot.get(model).is_some_and(Option::is_none);
            let any = |slot: &Three<Option<Tensor>>, fits: &dyn Fn(&Tensor) -> bool| {
                slot.iter().flatten().any(fits)
            };
            let named = slots.iter().position(|slot| any(slot, &|it| it.name() == tensor.name()));
            // Not one that another tensor of this model has the name of.
            let alike = || {
                slots.iter().position(|slot| {
                    any(slot, &|it| short(it) == short(&tensor) && !all.contains(it.name()))
                })
            };
            let place = named.or_else(alike);
            match place.and_then(|at| slots.get_mut(at)).filter(is_free) {
                Some(slot) => slot.iter_mut().skip(model).take(1).for_each(|it| {
                    *it = Some(tensor.clone());
                }),
                None => {
                    let mut slot = Three::default();
                    slot.iter_mut().skip(model).take(1).for_each(|it| *it = Some(tensor.clone()));
                    slots.push(slot);
                }
            }
        }
    }
    slots
}

/// Which layer of `side` is which of the base: by name, and those that are left by MGit's matching.
fn partners(base: (&Model, &Architecture), side: (&Model, &Architecture)) -> HashMap<usize, usize> {
    let named: HashMap<&str, usize> =
        base.1.layers().iter().enumerate().map(|(at, layer)| (layer.name.as_str(), at)).collect();
    let mut partners = HashMap::new();
    let mut taken = HashSet::new();
    for (at, layer) in side.1.layers().iter().enumerate() {
        if let Some(partner) = named.get(layer.name.as_str()) {
            partners.insert(at, *partner);
            taken.insert(*partner);
        }
    }
    if partners.len() < side.1.layers().len() && taken.len() < base.1.layers().len() {
        let graph = |of: (&Model, &Architecture)| LayerGraph::new(of.1, &of.0.manifest().tensors);
        for (in_base, in_side) in match_layers(&graph(base), &graph(side), Mode::Structural).pairs {
            if !partners.contains_key(&in_side) && taken.insert(in_base) {
                partners.insert(in_side, in_base);
            }
        }
    }
    partners
}

impl Layers {
    pub(super) fn of(models: Three<&Model>) -> Result<Self> {
        let [base, ours, theirs] = models;
        let architectures = [base.architecture()?, ours.architecture()?, theirs.architecture()?];
        let [of_base, of_ours, of_theirs] = &architectures;
        let mut entries: Vec<Three<Option<Layer>>> = Vec::new();
        // The entry of every layer of each model.
        let mut places: Three<Vec<usize>> = Three::default();
        places[BASE] = (0..of_base.layers().len()).collect();
        entries.extend(of_base.layers().iter().map(|layer| [Some(layer.clone()), None, None]));
        // Layers that a side has added, by name: both may have added the same.
        let mut added: BTreeMap<String, usize> = BTreeMap::new();
        for (side, model, architecture) in [(OURS, ours, of_ours), (THEIRS, theirs, of_theirs)] {
            let partners = partners((base, of_base), (model, architecture));
            for (at, layer) in architecture.layers().iter().enumerate() {
                let known = partners.get(&at).or_else(|| added.get(&layer.name)).copied();
                let place = known.unwrap_or(entries.len());
                if known.is_none() {
                    added.insert(layer.name.clone(), place);
                    entries.push(Three::default());
                }
                if let Some(slot) = entries.get_mut(place).and_then(|entry| entry.get_mut(side)) {
                    *slot = Some(layer.clone());
                }
                places.iter_mut().skip(side).take(1).for_each(|places| places.push(place));
            }
        }
        let edges = |model: usize, architecture: &Architecture| -> Vec<(usize, usize)> {
            let place = |at: &usize| places.get(model).and_then(|it| it.get(*at)).copied();
            let edges = architecture.edges().iter();
            edges.filter_map(|(from, to)| Some((place(from)?, place(to)?))).collect()
        };
        let edges = [edges(BASE, of_base), edges(OURS, of_ours), edges(THEIRS, of_theirs)];
        let sources = [of_base.source(), of_ours.source(), of_theirs.source()];
        let given = architectures.iter().any(|it| it.source() == Source::Given);
        let tensors = |model: &Model, layer: &Option<Layer>| -> Vec<Tensor> {
            let names = layer.iter().flat_map(|layer| &layer.tensors);
            names.filter_map(|name| model.tensor(name).ok()).collect()
        };
        let entry = |layers: Three<Option<Layer>>| {
            let [in_base, in_ours, in_theirs] = &layers;
            let slots =
                slots([tensors(base, in_base), tensors(ours, in_ours), tensors(theirs, in_theirs)]);
            Entry { layers, slots, sources }
        };
        Ok(Layers { entries: entries.into_iter().map(entry).collect(), edges, given })
    }

    /// The edges of all three models: what a path may lead along.
    pub(super) fn all_edges(&self) -> Vec<(usize, usize)> {
        let mut edges: Vec<(usize, usize)> = self.edges.iter().flatten().copied().collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// The merged model's layers, where some were given: of its entries those that are `kept`, with
    /// the edges that a side has added, without those that a side has removed.
    pub(super) fn architecture(&self, kept: &[Option<Layer>]) -> Option<Architecture> {
        if !self.given {
            return None;
        }
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
        let stays = |edge: &(usize, usize)| match base.contains(edge) {
            true => ours.contains(edge) && theirs.contains(edge),
            false => true,
        };
        let place = |at: usize| places.get(at).copied().flatten();
        let edges: Vec<(usize, usize)> = ours
            .union(&theirs)
            .filter(|edge| stays(edge))
            .filter_map(|(from, to)| Some((place(*from)?, place(*to)?)))
            .collect();
        Architecture::new(Source::Given, layers, edges).ok()
    }
}
