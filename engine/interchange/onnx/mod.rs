//! ONNX files: their tensors, and the graph of their operators.
//!
//! Invariants of this room:
//!
//! - A tensor is a range of the file, or of a file beside it: `raw_data`, `float_data` and
//!   `double_data` of initializers and of operators' attributes, in the main graph, in the graphs
//!   that its operators hold, in functions and in training. Nothing is decoded: numbers that are
//!   varints stay where they are, and a note says so.
//! - No path leads out of the folder of the file.
//! - The graph costs at most [`ONNX_GRAPH_LEN_MAX`](crate::interchange::ONNX_GRAPH_LEN_MAX) of
//!   memory, and a fixed amount of stack, however its graphs are nested.
//!
//! The format: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>, 2026-11.

mod attribute;
mod external;
mod graph;
mod names;
mod tensor;
mod unseen;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::file_layout::{FileLayout, LaidBeside, LaidTensor, LayoutBuilder};
use super::{InterchangeError, OpenFile};
use crate::architecture::Architecture;
use crate::format::FileFormat;
use crate::tensor::{Dtype, Shape};
use external::External;
use graph::Graphs;
use names::Names;
use tensor::{Place, TensorProto};
use unseen::Unseen;
use wire::{Reader, Span};

pub use graph::ONNX_GRAPH_DEPTH_MAX;

/// Whether a file is one: by its name, since such a file begins as many others do.
pub(in crate::interchange) fn recognises(_head: &[u8], path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

/// Reads where the tensors of an ONNX file are, and its layers: one for each operator, those of
/// branches and bodies too. Files beside it are named, not opened. Cost: reads the graph once, and
/// no tensor; memory in proportion to the graph.
///
/// # Errors
///
/// [`InterchangeError::Malformed`], [`InterchangeError::PathOutside`],
/// [`InterchangeError::LayoutTooLarge`], [`InterchangeError::Io`].
pub(in crate::interchange) fn read(file: &OpenFile) -> Result<FileLayout, InterchangeError> {
    let mut reader = Reader::new(file);
    let mut graphs = graph::read(&mut reader, file.len())?;
    let mut names = Names::new(&graphs.graphs);
    let mut found = Found { unseen: Unseen::default(), beside: BTreeMap::new() };
    let mut builder = LayoutBuilder::new(file.len());
    for (graph, names) in graphs.graphs.iter_mut().zip(std::mem::take(&mut names.tensors)) {
        for (tensor, name) in std::mem::take(&mut graph.tensors).into_iter().zip(names) {
            found.add(file, &mut builder, &tensor, name)?;
        }
    }
    let laid = builder.finish();
    let mut layout = FileLayout::new(FileFormat::Onnx);
    (layout.tensors, layout.views) = (laid.tensors, laid.views);
    layout.notes = found.unseen.notes();
    layout.notes.extend(laid.notes);
    let beside = found.beside.into_iter().map(|(path, tensors)| LaidBeside { path, tensors });
    layout.beside = beside.collect();
    match architecture(&layout, &names, graphs) {
        Ok(architecture) => layout.architecture = Some(architecture),
        Err(note) => layout.notes.push(note),
    }
    Ok(layout)
}

/// The layers; a note in their place when the operators make none.
fn architecture(
    layout: &FileLayout,
    names: &Names,
    graphs: Graphs,
) -> Result<Architecture, String> {
    let own = layout.tensors.iter().map(|tensor| tensor.name.as_str());
    let views = layout.views.iter().map(|view| view.name.as_str());
    let beside = layout.beside.iter().flat_map(|beside| &beside.tensors);
    let beside = beside.map(|tensor| tensor.name.as_str());
    let tensors: HashSet<&str> = own.chain(views).chain(beside).collect();
    let operators = names.operators(graphs);
    Architecture::from_operators(&operators, &|name| tensors.contains(name))
        .map_err(|error| format!("its layers are taken from the tensors' names: {error}"))
}

/// What was found in the graphs, beside the tensors in the file itself.
struct Found {
    unseen: Unseen,
    /// By path.
    beside: BTreeMap<String, Vec<LaidTensor>>,
}

impl Found {
    fn add(
        &mut self,
        file: &OpenFile,
        builder: &mut LayoutBuilder,
        tensor: &TensorProto,
        name: String,
    ) -> Result<(), InterchangeError> {
        // A path is refused whatever else is wrong with the tensor.
        let external = match tensor.place() {
            Place::Beside => Some(External::of(file, tensor)?),
            _ => None,
        };
        match (describe(tensor, external.as_ref()), external) {
            (Err(reason), _) => self.unseen.add(reason, name),
            (Ok((dtype, shape, Span { start, end })), None) => {
                builder.tensor(name, dtype, shape, start, end);
            }
            (Ok((dtype, shape, Span { start: begin, end })), Some(external)) => {
                let list = self.beside.entry(external.path).or_default();
                list.push(LaidTensor { name, dtype, shape, begin, end });
            }
        }
        Ok(())
    }
}

/// What a tensor is, and its range in the file that it is in; or why it is kept, not seen.
fn describe(
    tensor: &TensorProto,
    external: Option<&External>,
) -> Result<(Dtype, Shape, Span), &'static str> {
    const OUT_OF_RANGE: &str = "their dimensions are out of range";
    let place = tensor.place();
    if let Place::Unseen(reason) = place {
        return Err(reason);
    }
    let dtype = tensor.dtype().ok_or("they have no element type")?;
    let shape = Shape::new(&tensor.dims).map_err(|_| OUT_OF_RANGE)?;
    let all_bits = |bits: u64| bits.checked_mul(shape.elements()).ok_or(OUT_OF_RANGE);
    let expected = tensor.bits().map(all_bits).transpose()?.map(|bits| bits.div_ceil(8));
    let span = match (place, external) {
        (Place::Here(span), _) => span,
        (_, Some(external)) => external.span(expected)?,
        _ => return Err("they have no data"),
    };
    if expected.is_some_and(|expected| expected != span.len()) {
        return Err("they are not as long as their type and dimensions say");
    }
    Ok((dtype, shape, span))
}
