//! Model files of others: safetensors files, single or sharded, read without trust.
//!
//! Invariants of this room:
//!
//! - A file that opens keeps every rule of the format: its tensors cover its data buffer with
//!   no hole and no overlap, and their lengths agree with type and shape.
//! - What a file claims is checked before memory is spent on it: a header costs memory in
//!   proportion to its own length, whatever the numbers in it.
//! - A header's and an index's own bytes are kept, so that a file can be given back byte for
//!   byte, whatever its order, spacing and padding.
//! - No path is ever made from a tensor's name, and from a shard's name only when it is the
//!   plain name of a file.
//! - Nothing is read through a memory map: a file that shrinks gives an error, not a signal.
//!
//! What is accepted is what the reference implementation (the `safetensors` crate) accepts,
//! with these differences. Refused here alone: a tensor's name that is empty, stands twice
//! however it is spelled, or is longer than [`NAME_LEN_MAX`]; a shape of more than
//! [`RANK_MAX`](crate::tensor::RANK_MAX) dimensions, or one that overflows once its zeros are
//! left out; white space before the header's `{`. Accepted here alone: a type that is not
//! known, kept as opaque bytes.
//!
//! The format: <https://github.com/huggingface/safetensors#format>.
//!
//! ```
//! use mgit::interchange::{ModelFile, export_to_path};
//! use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("family.mgit"))?;
//! # let mut transaction = store.begin_write()?;
//! # transaction.add_model(NewModel::new("base").tensor(NewTensor::from_vec("w", [2], vec![1f32; 2])))?;
//! # transaction.commit()?;
//! let path = folder.path().join("base.safetensors");
//! export_to_path(&store.snapshot()?.model("base")?, &path, &|_| ())?;
//!
//! let file = ModelFile::open(&path)?;
//! let mut transaction = store.begin_write()?;
//! let report = transaction.add_model(NewModel::new("copy").file(&file))?;
//! assert_eq!((report.deduplicated, report.raw), (1, 0));
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod budget;
mod counted;
mod draft;
mod entry;
mod error;
mod export;
mod export_error;
mod file_layout;
mod formats;
mod gguf;
mod header;
mod header_json;
mod import;
mod impostor;
mod index;
mod json;
mod layout;
mod limits;
mod model_file;
mod model_folder;
mod npy;
mod onnx;
mod onnx_file;
mod open_file;
mod pytorch;
mod regular_file;
mod safetensors;
mod sharded;
mod source;
mod unseen;
mod weights_name;
mod window;
mod zip;

pub use crate::container::{Destination, DestinationError, Overwrite};
pub use crate::format::FileFormat;
pub use crate::format::write_header;
pub use draft::export_draft;
pub use entry::TensorEntry;
pub use error::InterchangeError;
pub use export::{export_to, export_to_path, export_to_stream};
pub use export_error::ExportError;
pub use file_layout::{
    FileLayout, Laid, LaidBeside, LaidTensor, LaidView, LayoutBuilder, contiguous,
};
pub use formats::{FormatReader, HEAD_LEN, read_layout, read_layout_with};
pub use gguf::{GGUF_LAYOUT_MEMORY_MAX, Q8_0_BLOCK_BYTES, Q8_0_BLOCK_ELEMENTS, q8_0_as_f32};
pub use header::SafetensorsHeader;
pub(crate) use import::FileTensor;
pub use limits::{DTYPE_NAME_LEN_MAX, HEADER_LEN_MAX, METADATA_KEY, NAME_LEN_MAX};
pub use limits::{
    FILES_MAX, FOLDER_DEPTH_MAX, INDEX_LEN_MAX, ONNX_GRAPH_LEN_MAX, PATH_LEN_MAX, SHARDS_MAX,
};
pub use model_file::ModelFile;
pub use onnx::ONNX_GRAPH_DEPTH_MAX;
pub use onnx_file::{OnnxFile, OnnxTensor};
pub use open_file::OpenFile;
pub use safetensors::SafetensorsFile;
pub use sharded::{Shard, ShardedModel};
pub use source::{FileRole, LeftOut, ModelSource, SourceFile, SourceOptions};
