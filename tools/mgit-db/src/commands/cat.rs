//! `cat`: the bytes, or the first numbers, of a tensor.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use mgit::Tensor;
use serde_json::json;

use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::output::{Output, write_stdout};
use crate::partial::open_to_read_contents;
use crate::values::{Number, decode, element_len};

/// Bytes that are printed at a time: whole chunks, so that each is decoded once.
const PIECE_LEN: u64 = 8 << 20;

/// Print a tensor: its bytes, or with --values its first numbers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db cat family.mgit base embeddings.weight --values 8
  mgit-db cat family.mgit base embeddings.weight > weight.bin")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id
    model: ModelArgument,
    /// The tensor's name; show lists them
    tensor: String,
    /// Print the first N elements as numbers, one on each line, instead of the bytes
    #[arg(long, value_name = "N")]
    values: Option<u64>,
}

/// Prints the tensor.
///
/// # Errors
///
/// Model or tensor is not there or damaged; its numbers cannot be shown.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    if arguments.values.is_none() {
        output.refuse_json("raw bytes: add --values N")?;
        if io::stdout().is_terminal() {
            let message =
                "a tensor's bytes are not written to a terminal: add --values N, or use a pipe";
            return Err(Failure::usage(message));
        }
    }
    let store = open_to_read_contents(&arguments.store, &arguments.model, |model| {
        Ok(vec![model.tensor(&arguments.tensor)?.content_id()])
    })?;
    let model = store.snapshot()?.model(arguments.model.to_string())?;
    let tensor = model.tensor(&arguments.tensor)?;
    let Some(count) = arguments.values else { return print_bytes(&tensor) };

    let numbers = first_numbers(&tensor, count)?;
    let values: Vec<_> = numbers.iter().map(|number| number.json.clone()).collect();
    let document = json!({
        "model": model.full_name(),
        "tensor": tensor.name(),
        "dtype": tensor.dtype().name(),
        "shape": tensor.shape().dims(),
        "values": values,
    });
    let lines: String = numbers.iter().map(|number| format!("{}\n", number.text)).collect();
    output.print(document, &lines)
}

/// The first `count` elements, or all when there are fewer. Reads only the chunks they lie in.
///
/// # Errors
///
/// Elements of this type cannot be shown; damaged bytes.
pub fn first_numbers(tensor: &Tensor, count: u64) -> Result<Vec<Number>, Failure> {
    let unknown = |reason: String| Failure::failed("unknown-dtype", reason);
    let element_len = element_len(tensor.dtype()).map_err(unknown)?;
    let len = count.saturating_mul(element_len).min(tensor.byte_len());
    let too_long = |_| Failure::from(mgit::store::StoreError::OutOfMemory { bytes: len });
    let mut bytes = vec![0; usize::try_from(len).map_err(too_long)?];
    tensor.read_range_into(0, &mut bytes)?;
    decode(tensor.dtype(), &bytes).map_err(unknown)
}

fn print_bytes(tensor: &Tensor) -> Result<(), Failure> {
    let mut piece = vec![0; tensor.byte_len().min(PIECE_LEN) as usize];
    let mut offset = 0;
    while offset < tensor.byte_len() {
        let len = (tensor.byte_len() - offset).min(PIECE_LEN);
        piece.truncate(len as usize);
        tensor.read_range_into(offset, &mut piece)?;
        write_stdout(&piece)?;
        offset += len;
    }
    Ok(())
}
