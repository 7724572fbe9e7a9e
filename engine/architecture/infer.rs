//! Layers from the names and shapes of tensors.

use std::collections::HashSet;
use std::sync::Arc;

use super::kinds::{
    LayerKind, is_attention, is_norm, is_parallel, is_shortcut, kind_of, rank_among_siblings,
};
use super::modules::{Module, modules, number, split};
use super::{Architecture, Attributes, Layer, LayerSource, TensorInfo};

/// The layers whose sum, or whatever else joins them, is read next.
type Stream = Vec<usize>;

/// The most parts that are taken to work side by side.
const STREAM_MAX: usize = 256;
/// Edges from which on a layer gets one only.
const EDGES_MAX: usize = 1 << 18;

struct Builder<'t, 'a> {
    tensors: &'t [TensorInfo<'a>],
    modules: Vec<Module<'a>>,
    layers: Vec<Layer>,
    edges: Vec<(usize, usize)>,
    /// Those of the layers so far, each once.
    attributes: HashSet<Arc<Attributes>>,
}

impl Architecture {
    /// The layers that names and shapes tell of: a module with tensors of its own is a layer.
    ///
    /// Parts of a module work one after the other, in the order of their numbers or of the roles
    /// that PyTorch's and Hugging Face's names give them; query, key and value, and parts that
    /// are built alike under different names, side by side. In a block with attention, what goes
    /// in also goes around attention and around the perceptron. Cost: linear, but for sorting.
    pub fn infer(tensors: &[TensorInfo<'_>]) -> Self {
        let modules = modules(tensors);
        let mut builder = Builder {
            tensors,
            modules,
            layers: Vec::new(),
            edges: Vec::new(),
            attributes: HashSet::new(),
        };
        builder.run(0, &mut Vec::new(), Vec::new());
        let Builder { layers, edges, .. } = builder;
        // Edges lead to layers made later, names are paths and differ: these rules cannot be
        // broken, but the reader of a hostile header need not trust that.
        match Architecture::try_new(LayerSource::Inferred, layers, edges) {
            Ok(architecture) => architecture,
            Err((_, mut layers)) => {
                layers.sort_by(|a, b| a.name.cmp(&b.name));
                layers.dedup_by(|a, b| a.name == b.name);
                layers.truncate(super::LAYERS_MAX);
                Architecture { source: LayerSource::Inferred, layers, edges: Vec::new() }
            }
        }
    }
}

impl<'a> Builder<'_, 'a> {
    fn name(&self, module: usize) -> &'a str {
        self.modules.get(module).map_or("", |module| module.name)
    }

    /// Adds what a module does with `input`; gives what it puts out.
    fn run(&mut self, module: usize, path: &mut Vec<&'a str>, input: Stream) -> Stream {
        let Some(this) = self.modules.get(module) else { return input };
        let (own, parts) = (this.tensors.clone(), this.parts.clone());
        let mut stream = input;
        if !own.is_empty() {
            let layer = self.layer(path, &own);
            self.connect(&stream, layer);
            stream = vec![layer];
        }
        let in_attention = path.last().is_some_and(|name| is_attention(name));
        if !in_attention && self.is_block(&parts) {
            return self.run_block(&parts, path, stream);
        }
        let mut parts = parts.as_slice();
        let mut around: Option<Stream> = None;
        while let Some(first) = parts.first() {
            let experts = path.last() == Some(&"experts");
            let count = if experts { parts.len() } else { self.side_by_side(parts) };
            let count = count.min(STREAM_MAX);
            let (group, rest) = parts.split_at(count);
            let shortcut = is_shortcut(self.name(*first));
            let mut out = Stream::new();
            let input =
                if shortcut { around.clone().unwrap_or(stream.clone()) } else { stream.clone() };
            around.get_or_insert_with(|| input.clone());
            for part in group {
                path.push(self.name(*part));
                out.extend(self.run(*part, path, input.clone()));
                path.pop();
            }
            stream = if shortcut { [stream, out].concat() } else { out };
            parts = rest;
        }
        stream
    }

    /// How many of the first parts read the same input.
    fn side_by_side(&self, parts: &[usize]) -> usize {
        let Some(first) = parts.first() else { return 0 };
        let name = self.name(*first);
        let rank = rank_among_siblings(name);
        if number(name).is_some() {
            return 1;
        }
        if is_parallel(rank) {
            let same = |part: &&usize| rank_among_siblings(self.name(**part)) == rank;
            return parts.iter().take(STREAM_MAX).take_while(same).count();
        }
        // Built alike, of several layers, under names that are no numbers.
        let alike = |part: &&usize| {
            let name = self.name(**part);
            let numbered = name.ends_with(|c: char| c.is_ascii_digit());
            !numbered && self.is_alike(*first, **part)
        };
        let parted = self.modules.get(*first).is_some_and(|module| !module.parts.is_empty());
        let parts = parts.iter().take(STREAM_MAX);
        if parted { parts.take_while(alike).count().max(1) } else { 1 }
    }

    fn is_alike(&self, a: usize, b: usize) -> bool {
        let mut pairs = vec![(a, b)];
        while let Some((a, b)) = pairs.pop() {
            let (Some(first), Some(second)) = (self.modules.get(a), self.modules.get(b)) else {
                return false;
            };
            let lasts = |module: &Module<'a>| -> Vec<&'a str> {
                let tensors = module.tensors.iter().map(|at| self.tensors.get(*at as usize));
                tensors.flatten().map(|tensor| split(tensor.name).1).collect()
            };
            if lasts(first) != lasts(second) || first.parts.len() != second.parts.len() {
                return false;
            }
            for (a, b) in first.parts.iter().zip(&second.parts) {
                if self.name(*a) != self.name(*b) {
                    return false;
                }
                pairs.push((*a, *b));
            }
        }
        true
    }

    /// Whether parts are those of a block with attention.
    fn is_block(&self, parts: &[usize]) -> bool {
        parts.iter().any(|part| is_attention(self.name(*part)))
    }

    /// A block with attention: what goes in also goes around attention, and what comes out of
    /// that also around the perceptron.
    fn run_block(&mut self, parts: &[usize], path: &mut Vec<&'a str>, input: Stream) -> Stream {
        let mut around = input.clone();
        let mut stream = input;
        let has_output = parts.iter().any(|part| rank_among_siblings(self.name(*part)) == 60);
        for part in parts {
            let name = self.name(*part);
            path.push(name);
            let out = self.run(*part, path, stream.clone());
            path.pop();
            let rank = rank_among_siblings(name);
            let joins = is_attention(name) || rank == 60 || ends_block_part(rank, has_output);
            let ends_in_norm = !is_norm(name)
                && out.iter().any(|layer| {
                    self.layers.get(*layer).is_some_and(|layer| layer.kind == LayerKind::Norm)
                });
            stream = if joins && ends_in_norm {
                // The normalisation is behind the sum.
                out.iter().for_each(|layer| self.connect(&around, *layer));
                around = out.clone();
                out
            } else if joins {
                let sum: Stream = out.into_iter().chain(around.last().copied()).collect();
                around = sum.iter().take(2).copied().rev().collect();
                sum
            } else {
                out
            };
        }
        stream
    }

    fn connect(&mut self, from: &[usize], to: usize) {
        // Names can spell far more edges than layers; then only the nearest is kept.
        let room = if self.edges.len() < EDGES_MAX { from.len() } else { 1 };
        let from = from.iter().rev().take(room).filter(|from| **from != to);
        self.edges.extend(from.map(|from| (*from, to)));
    }

    fn layer(&mut self, path: &[&str], own: &[u32]) -> usize {
        let tensors: Vec<(&TensorInfo<'_>, &str)> = own
            .iter()
            .filter_map(|place| self.tensors.get(*place as usize))
            .map(|tensor| (tensor, split(tensor.name).1))
            .collect();
        let rank = tensors.iter().map(|(tensor, _)| tensor.shape.rank()).max().unwrap_or(0);
        let kind = kind_of(path, rank);
        let attribute = |(tensor, last): &(&TensorInfo<'_>, &str)| {
            ((*last).to_owned(), tensor.shape.to_string())
        };
        let attributes: Attributes = tensors.iter().map(attribute).collect();
        let attributes = match self.attributes.get(&attributes) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(attributes);
                self.attributes.insert(Arc::clone(&new));
                new
            }
        };
        let names = tensors.iter().map(|(tensor, _)| tensor.name.to_owned()).collect();
        let separator =
            if tensors.iter().any(|(tensor, _)| tensor.name.contains('/')) { "/" } else { "." };
        self.layers.push(Layer { name: path.join(separator), kind, attributes, tensors: names });
        self.layers.len() - 1
    }
}

/// Whether the perceptron of a block ends with a part of this rank.
fn ends_block_part(rank: u32, has_output: bool) -> bool {
    (rank == 50 && !has_output) || rank == 53
}
