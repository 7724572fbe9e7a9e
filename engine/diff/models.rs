//! The difference of two models, layer by layer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicU64;

use super::graph::LayerGraph;
use super::matching::{Mode, divergence, match_layers};
use super::outline::Outline;
use super::tensors::{TensorDistance, distance};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::architecture::LayerKind;
use crate::store::{Model, Result, Tensor};
use crate::tensor::{Dtype, Shape};

/// What happened to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Change {
    /// Only the second model has it.
    Added,
    /// Only the first model has it.
    Removed,
    /// Both have it, with other tensors.
    Changed,
}

/// What a tensor is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Shape,
    /// Its length in bytes.
    pub bytes: u64,
    /// Bytes that it takes in the store.
    pub stored_bytes: u64,
}

/// A tensor that is not the same in both.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct TensorChange {
    /// The tensor of the first model.
    pub from: Option<TensorFacts>,
    /// The tensor of the second model.
    pub to: Option<TensorFacts>,
    /// How far apart they are, when both are there and can be compared.
    pub distance: Option<TensorDistance>,
}

/// A layer that is not the same in both.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct LayerChange {
    /// What happened.
    pub change: Change,
    /// Its name in the first model.
    pub from: Option<String>,
    /// Its name in the second model.
    pub to: Option<String>,
    /// What it does.
    pub kind: LayerKind,
    /// The length of the change over that of the first model's tensors; 1 for layers that were
    /// added or removed.
    pub weight: f64,
    /// Its tensors that are not the same.
    pub tensors: Vec<TensorChange>,
}

/// The difference of two models.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelDiff {
    /// The divergence by kinds and attributes.
    pub structural: f64,
    /// The divergence by contents too.
    pub contextual: f64,
    /// Layers that are the same.
    pub unchanged: usize,
    /// Bytes of tensors that were read for it.
    pub bytes_read: u64,
    from: Outline,
    to: Outline,
    rows: Vec<Row>,
    /// What was found of the tensors of all rows, row by row.
    found: Vec<Found>,
    edges_removed: Vec<(usize, usize)>,
    edges_added: Vec<(usize, usize)>,
}

/// A layer that is not the same in both. What the two models tell of it is looked up in them when
/// it is asked for: there can be a million.
#[derive(Clone, Copy, Debug)]
struct Row {
    change: Change,
    from: Option<u32>,
    to: Option<u32>,
    weight: f64,
    /// Bytes of its tensors.
    bytes: u64,
    /// Where its tensors begin in `found`.
    first: usize,
    tensors: u32,
}

/// Two tensors of a layer that are not the same, by their places, with the bytes that they take in
/// the store.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    from: Option<(u32, u64)>,
    to: Option<(u32, u64)>,
    distance: Option<TensorDistance>,
}

/// A tensor's place, and the bytes that it takes in the store.
fn stored(tensor: &Tensor, place: u32) -> Result<Option<(u32, u64)>> {
    Ok(Some((place, tensor.stored_as()?.stored_len)))
}

fn facts(side: &Outline, found: Option<(u32, u64)>) -> Option<TensorFacts> {
    let (place, stored_bytes) = found?;
    let tensor = side.tensor(place)?;
    Some(TensorFacts {
        name: tensor.name().to_owned(),
        dtype: tensor.dtype().clone(),
        shape: tensor.shape().clone(),
        bytes: tensor.byte_len(),
        stored_bytes,
    })
}

/// As an object of its numbers and its [`layers`](ModelDiff::layers), one after the other.
impl Serialize for ModelDiff {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut diff = serializer.serialize_struct("ModelDiff", 7)?;
        diff.serialize_field("structural", &self.structural)?;
        diff.serialize_field("contextual", &self.contextual)?;
        diff.serialize_field("unchanged_layers", &self.unchanged)?;
        diff.serialize_field("layers", &InTurn(|| self.layers()))?;
        diff.serialize_field("edges_removed", &InTurn(|| self.edges_removed()))?;
        diff.serialize_field("edges_added", &InTurn(|| self.edges_added()))?;
        diff.serialize_field("bytes_read", &self.bytes_read)?;
        diff.end()
    }
}

/// A list that is made item by item: there can be a million.
pub(crate) struct InTurn<F>(pub(crate) F);

impl<F: Fn() -> I, I: IntoIterator<Item: Serialize>> Serialize for InTurn<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

impl ModelDiff {
    /// Layers that are not the same: added, removed, changed, each group by weight.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerChange> + '_ {
        self.rows.iter().map(|row| self.layer(row))
    }

    /// How many layers have been changed so.
    pub fn count(&self, change: Change) -> usize {
        self.rows.iter().filter(|row| row.change == change).count()
    }

    fn layer(&self, row: &Row) -> LayerChange {
        let found = self.found.get(row.first..row.first + row.tensors as usize);
        let tensor = |found: &Found| TensorChange {
            from: facts(&self.from, found.from),
            to: facts(&self.to, found.to),
            distance: found.distance,
        };
        let name = |side: &Outline, at: Option<u32>| at.map(|at| side.name(at as usize).to_owned());
        let kind = match (row.from, row.to) {
            (_, Some(to)) => self.to.kind(to as usize),
            (from, None) => from.and_then(|from| self.from.kind(from as usize)),
        };
        LayerChange {
            change: row.change,
            from: name(&self.from, row.from),
            to: name(&self.to, row.to),
            kind: kind.map_or(LayerKind::Other, |(kind, _)| kind.clone()),
            weight: row.weight,
            tensors: found.unwrap_or_default().iter().map(tensor).collect(),
        }
    }

    /// Edges that only the first model has, by the names of their layers.
    pub fn edges_removed(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.edges_removed.iter().map(|(from, to)| (self.from.name(*from), self.from.name(*to)))
    }

    /// Edges that only the second model has.
    pub fn edges_added(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.edges_added.iter().map(|(from, to)| (self.to.name(*from), self.to.name(*to)))
    }
}

/// The difference of two models, which may be of different stores.
///
/// Cost: the bytes of tensors that differ and have a counterpart with the same number of elements.
/// Tensors of equal content are not read. Memory: some 200 bytes for each tensor.
///
/// # Errors
///
/// Those of the catalogue; a damaged record.
pub fn diff(a: &Model, b: &Model) -> Result<ModelDiff> {
    let read = AtomicU64::new(0);
    let mut found = compare(a, b, Some(&read))?;
    found.bytes_read = read.into_inner();
    Ok(found)
}

/// As [`diff`], by the contents' ids alone: no values are read, so that no distance is known, and
/// every layer has the weight 1.
///
/// Cost: a row for each tensor that is not the same in both; as [`diff`] otherwise.
///
/// # Errors
///
/// Those of the catalogue; a damaged record.
pub fn diff_contents(a: &Model, b: &Model) -> Result<ModelDiff> {
    compare(a, b, None)
}

/// The difference; of values only where the bytes that are read are to be counted.
fn compare(a: &Model, b: &Model, read: Option<&AtomicU64>) -> Result<ModelDiff> {
    let (from, to) = (Outline::of(a)?, Outline::of(b)?);
    let (graph_a, graph_b) = (LayerGraph::of_outline(&from), LayerGraph::of_outline(&to));
    let structural = divergence(&graph_a, &graph_b, Mode::Structural);
    let contextual = divergence(&graph_a, &graph_b, Mode::Contextual);
    let matching = match_layers(&graph_a, &graph_b, Mode::Structural);
    let (edges_removed, edges_added) = matching.changed_edges(&graph_a, &graph_b);
    drop((graph_a, graph_b));
    let mut found = ModelDiff {
        structural,
        contextual,
        unchanged: 0,
        bytes_read: 0,
        from,
        to,
        rows: Vec::new(),
        found: Vec::new(),
        edges_removed,
        edges_added,
    };
    let mut paired = [vec![false; found.from.len()], vec![false; found.to.len()]];
    for (left, right) in &matching.pairs {
        for (paired, at) in paired.iter_mut().zip([left, right]) {
            paired.get_mut(*at).into_iter().for_each(|paired| *paired = true);
        }
        found.compare(*left, *right, read)?;
    }
    drop(matching);
    let [paired_a, paired_b] = paired;
    for (paired, change) in [(paired_a, Change::Removed), (paired_b, Change::Added)] {
        for (at, _) in paired.iter().enumerate().filter(|(_, paired)| !**paired) {
            found.lonely(at, change)?;
        }
    }
    found.rows.sort_by(|a, b| {
        let weight = b.weight.total_cmp(&a.weight);
        a.change.cmp(&b.change).then(weight).then_with(|| b.bytes.cmp(&a.bytes))
    });
    Ok(found)
}

/// The last part of a tensor's name.
fn last(tensor: &Tensor) -> &str {
    tensor.name().rsplit(['.', '/']).next().unwrap_or_default()
}

impl ModelDiff {
    /// Adds a layer that only one of them has.
    fn lonely(&mut self, layer: usize, change: Change) -> Result<()> {
        let is_removed = change == Change::Removed;
        let side = if is_removed { &self.from } else { &self.to };
        let (first, mut bytes) = (self.found.len(), 0);
        for place in side.tensors(layer) {
            let Some(tensor) = side.tensor(*place) else { continue };
            bytes += tensor.byte_len();
            let one = stored(&tensor, *place)?;
            let (from, to) = if is_removed { (one, None) } else { (None, one) };
            self.found.push(Found { from, to, distance: None });
        }
        let at = Some(layer as u32);
        let (from, to) = if is_removed { (at, None) } else { (None, at) };
        let tensors = (self.found.len() - first) as u32;
        self.rows.push(Row { change, from, to, weight: 1.0, bytes, first, tensors });
        Ok(())
    }

    /// Adds the change of two layers that belong together, if there is one. Tensors are paired by
    /// their names in the layer, and else in order.
    fn compare(&mut self, left: usize, right: usize, read: Option<&AtomicU64>) -> Result<()> {
        let of = |side: &Outline, layer: usize| -> Vec<(u32, Tensor)> {
            let places = side.tensors(layer).iter();
            places.filter_map(|place| Some((*place, side.tensor(*place)?))).collect()
        };
        let (tensors_a, tensors_b) = (of(&self.from, left), of(&self.to, right));
        let mut named: HashMap<&str, VecDeque<usize>> = HashMap::new();
        for (at, (_, tensor)) in tensors_b.iter().enumerate() {
            named.entry(last(tensor)).or_default().push_back(at);
        }
        let mut free = vec![true; tensors_b.len()];
        let is_free = |free: &[bool], at: usize| free.get(at).copied().unwrap_or(false);
        let (first, mut bytes) = (self.found.len(), 0);
        let (mut difference, mut norm) = (0.0, 0.0);
        for (at, (place_a, tensor_a)) in tensors_a.iter().enumerate() {
            let mut partner = None;
            while let Some(at) = named.get_mut(last(tensor_a)).and_then(VecDeque::pop_front) {
                if is_free(&free, at) {
                    partner = Some(at);
                    break;
                }
            }
            let partner = partner.or_else(|| is_free(&free, at).then_some(at));
            let Some((place, (place_b, tensor_b))) =
                partner.and_then(|place| Some((place, tensors_b.get(place)?)))
            else {
                bytes += tensor_a.byte_len();
                let from = stored(tensor_a, *place_a)?;
                self.found.push(Found { from, ..Found::default() });
                continue;
            };
            free.get_mut(place).into_iter().for_each(|free| *free = false);
            if tensor_a.is_same(tensor_b) {
                continue;
            }
            let distance =
                read.map(|read| distance(tensor_a, tensor_b, read)).transpose()?.flatten();
            if let Some(found) = distance {
                difference += found.l2 * found.l2;
                norm += found.norm * found.norm;
            }
            bytes += tensor_b.byte_len();
            let (from, to) = (stored(tensor_a, *place_a)?, stored(tensor_b, *place_b)?);
            self.found.push(Found { from, to, distance });
        }
        for ((place, tensor), _) in tensors_b.iter().zip(free).filter(|(_, free)| *free) {
            bytes += tensor.byte_len();
            let to = stored(tensor, *place)?;
            self.found.push(Found { to, ..Found::default() });
        }
        let tensors = (self.found.len() - first) as u32;
        if tensors == 0 {
            self.unchanged += 1;
            return Ok(());
        }
        let weight = if norm > 0.0 { (difference / norm).sqrt() } else { 1.0 };
        let (from, to) = (Some(left as u32), Some(right as u32));
        let change = Change::Changed;
        self.rows.push(Row { change, from, to, weight, bytes, first, tensors });
        Ok(())
    }
}
