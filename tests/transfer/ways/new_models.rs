//! Models of tensors in hand: of these alone, or of files.

use mgit::interchange::FileFormat;
use mgit::{NewModel, NewPart, NewTensor};

use super::history::InHand;
use crate::common::{noise, shape};

fn new_tensor(tensor: &InHand) -> NewTensor<'_> {
    let (name, dtype) = (tensor.name.as_str(), tensor.dtype.clone());
    NewTensor::from_bytes(name, dtype, shape(&tensor.dims), &tensor.bytes)
}

/// A model of these tensors; of every second name one of files.
pub(super) fn new_model<'a>(name: &str, tensors: &'a [InHand]) -> NewModel<'a> {
    let aside = tensors.iter().any(|tensor| tensor.name.starts_with(ASIDE));
    match blake3::hash(name.as_bytes()).as_bytes()[0] % 4 {
        kind @ 0..2 => files_model(name, tensors, kind),
        _ if aside => files_model(name, tensors, 1),
        _ => tensors.iter().map(new_tensor).fold(NewModel::new(name), NewModel::tensor),
    }
}

/// What the names of tensors begin with that are not weights.
pub(super) const ASIDE: &str = "state/opt.bin:";

/// A folder with a file of weights in a format that nobody knows, a configuration, a text that all
/// such models have, and the state of an optimizer.
fn files_model<'a>(name: &str, tensors: &'a [InHand], kind: u8) -> NewModel<'a> {
    let format = if kind == 0 { FileFormat::Gguf } else { FileFormat::PyTorch };
    let (own, others): (Vec<_>, Vec<_>) =
        tensors.iter().partition(|tensor| !tensor.name.starts_with(ASIDE));
    let gaps: Vec<u64> = (0..own.len() as u64).map(|at| (at * 7) % 20).collect();
    let skeleton = noise(u64::from(kind), gaps.iter().sum::<u64>() as usize + 11);
    let weights = NewPart::file("weights.own", format);
    let weights = weights.woven(gaps, skeleton.len() as u64, skeleton);
    let weights = own.into_iter().map(new_tensor).fold(weights, NewPart::tensor);
    let text = "a text that all such models have\n".repeat(200).into_bytes();
    let side = |path: &str, bytes: Vec<u8>| {
        NewPart::file(path, FileFormat::Bytes).woven(vec![], bytes.len() as u64, bytes).aside()
    };
    let mut state = NewPart::file("state/opt.bin", FileFormat::PyTorch).aside();
    state =
        state.woven(vec![3; others.len()], 3 * others.len() as u64, vec![b'-'; 3 * others.len()]);
    state = others.into_iter().map(new_tensor).fold(state, NewPart::tensor);
    let model = NewModel::new(name).part(weights).part(side("config.json", name.into()));
    model.part(side("a/tokenizer.txt", text)).part(state).part(side("empty", Vec::new()))
}
