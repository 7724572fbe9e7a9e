//! `cat`: the bytes of a tensor or of a file, or the first numbers of a tensor.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use mgit::store::{StoreError, StoredFile};
use mgit::{ContentId, Model, Tensor};
use serde_json::json;

use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::output::{Output, write_stdout};
use crate::partial::open_to_read_contents;
use crate::values::{Number, decode, element_len};

/// Bytes that are printed at a time: whole chunks, so that each is decoded once.
const PIECE_LEN: u64 = 8 << 20;

/// Print a tensor or a file of a model: its bytes, or with --values a tensor's first numbers.
///
/// A name is a tensor's, and where there is no such tensor that of a file; --file means the file in
/// any case.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db cat family.mgit base embeddings.weight --values 8
  mgit-db cat family.mgit base embeddings.weight > weight.bin
  mgit-db cat family.mgit base config.json")]
pub struct Arguments {
    /// The store
    store: PathBuf,
    /// The model: name (its highest version), name@version or node id
    model: ModelArgument,
    /// The tensor's name, or the path of a file of the model; show lists both
    #[arg(value_name = "NAME")]
    name: String,
    /// NAME is a file, also where a tensor has that name
    #[arg(long, conflicts_with = "values")]
    file: bool,
    /// Print the first N elements as numbers, one on each line, instead of the bytes
    #[arg(long, value_name = "N")]
    values: Option<u64>,
}

/// What is printed.
enum Found {
    Tensor(Tensor),
    File(Box<StoredFile>),
}

impl Found {
    fn of(model: &Model, arguments: &Arguments) -> Result<Self, Failure> {
        let name = &arguments.name;
        if arguments.file {
            return Ok(Found::File(Box::new(model.file(name)?)));
        }
        match model.tensor(name) {
            Ok(tensor) => Ok(Found::Tensor(tensor)),
            Err(StoreError::NoSuchTensor { .. }) if model.file_names().any(|it| it == name) => {
                Ok(Found::File(Box::new(model.file(name)?)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The contents that it is made of.
    fn contents(&self) -> Vec<ContentId> {
        match self {
            Found::Tensor(tensor) => vec![tensor.content_id()],
            Found::File(file) => file.contents().collect(),
        }
    }

    fn byte_len(&self) -> u64 {
        match self {
            Found::Tensor(tensor) => tensor.byte_len(),
            Found::File(file) => file.byte_len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Failure> {
        match self {
            Found::Tensor(tensor) => Ok(tensor.read_range_into(offset, out)?),
            Found::File(file) => Ok(file.read_at(offset, out)?),
        }
    }

    fn print(&self) -> Result<(), Failure> {
        let mut piece = vec![0; self.byte_len().min(PIECE_LEN) as usize];
        let mut offset = 0;
        while offset < self.byte_len() {
            let len = (self.byte_len() - offset).min(PIECE_LEN);
            piece.truncate(len as usize);
            self.read(offset, &mut piece)?;
            if io::stdout().is_terminal() && !is_text(&piece) {
                let message = "these bytes are nothing for a terminal: use a pipe (of a tensor, \
                               --values N shows numbers)";
                return Err(Failure::usage(message));
            }
            write_stdout(&piece)?;
            offset += len;
        }
        Ok(())
    }
}

/// Whether a terminal shows these bytes as they are; it obeys control characters.
fn is_text(bytes: &[u8]) -> bool {
    let plain = |c: char| !c.is_control() || ['\n', '\t', '\r'].contains(&c);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().all(plain),
        Err(_) => false,
    }
}

/// Prints the tensor or the file.
///
/// # Errors
///
/// The model has neither, or is damaged; its numbers cannot be shown.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    if arguments.values.is_none() {
        output.refuse_json("raw bytes: add --values N")?;
    }
    let store = open_to_read_contents(&arguments.store, &arguments.model, |model| {
        Ok(Found::of(model, arguments)?.contents())
    })?;
    let model = store.snapshot()?.model(arguments.model.to_string())?;
    let found = Found::of(&model, arguments)?;
    let (count, tensor) = match (arguments.values, &found) {
        (None, found) => return found.print(),
        (Some(count), Found::Tensor(tensor)) => (count, tensor),
        (Some(_), Found::File(_)) => {
            let message =
                format!("--values shows numbers of a tensor: {:?} is a file", arguments.name);
            return Err(Failure::usage(message));
        }
    };
    let numbers = first_numbers(tensor, count)?;
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
