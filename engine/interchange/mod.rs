//! Models as files, in and out: of any format, single or many, read without trust.
//!
//! A file is a skeleton (the bytes that belong to no tensor, in order) with tensors woven in. A
//! reader for each format finds the tensors ([`read_layout`]); what it does not understand stays
//! skeleton. [`ModelSource`] is a model as its files; [`export_to_path`] gives them back.
//!
//! Invariants of this room:
//!
//! - Every file comes back byte for byte, whatever was understood of it. What is not seen of a
//!   file, or left out of a folder, is said.
//! - What a file claims is checked before memory is spent on it. Nothing in a file is run.
//! - A safetensors file that opens keeps every rule of the format: its tensors cover its data
//!   buffer with no hole and no overlap, and their lengths agree with type and shape.
//! - No path is ever made from a tensor's name, and from another name in a file only when it stays
//!   in the folder of that file.
//! - Nothing is read through a memory map: a file that shrinks gives an error, not a signal.
//!
//! Of safetensors files that is accepted which the reference implementation (the `safetensors`
//! crate) accepts, with these differences. Refused here alone: a tensor's name that is empty,
//! stands twice however it is spelled, or is longer than [`NAME_LEN_MAX`]; a shape of more than
//! [`RANK_MAX`](crate::tensor::RANK_MAX) dimensions, or one that overflows once its zeros are left
//! out; white space before the header's `{`. Accepted here alone: a type that is not known, kept as
//! opaque bytes. The format: <https://github.com/huggingface/safetensors#format>.
//!
//! ```
//! use mgit::interchange::{ModelSource, export_to_path};
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
//! let file = ModelSource::open(&path)?;
//! let mut transaction = store.begin_write()?;
//! let report = transaction.add_model(NewModel::new("copy").source(&file))?;
//! assert_eq!((report.deduplicated, report.raw), (1, 0));
//! # Ok(())
//! # }
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod budget;
mod conversion;
mod counted;
mod draft;
mod entry;
mod error;
mod export;
mod export_error;
mod export_options;
mod file_layout;
mod formats;
mod gguf;
mod header;
mod header_json;
mod impostor;
mod index;
mod json;
mod layout;
mod limits;
mod model_folder;
mod npy;
mod onnx;
mod open_file;
mod out_name;
mod pytorch;
mod regular_file;
mod safetensors;
mod source;
mod unseen;
mod weights_name;
mod window;
mod zip;

pub use crate::container::{Destination, DestinationError, Overwrite};
pub use crate::format::FileFormat;
pub use crate::format::{contiguous, write_header};
pub use draft::{draft_extension, export_draft, export_draft_to_folder};
pub use entry::TensorEntry;
pub use error::InterchangeError;
pub(crate) use error::Quoted;
pub use export::{contents_to_export, export_one_to_stream, export_to, export_to_folder};
pub use export::{export_to_path, export_to_stream, export_with};
pub use export_error::ExportError;
pub use export_options::{ExportOptions, ExportReport, ExportedFile};
pub use file_layout::{FileLayout, Laid, LaidBeside, LaidTensor, LaidView, LayoutBuilder};
pub use formats::{FormatReader, HEAD_LEN, read_layout, read_layout_with};
pub use gguf::{GGUF_LAYOUT_MEMORY_MAX, Q8_0_BLOCK_BYTES, Q8_0_BLOCK_ELEMENTS, q8_0_as_f32};
pub use header::SafetensorsHeader;
pub use limits::{DTYPE_NAME_LEN_MAX, HEADER_LEN_MAX, METADATA_KEY, NAME_LEN_MAX};
pub use limits::{
    FILES_MAX, FOLDER_DEPTH_MAX, INDEX_LEN_MAX, ONNX_GRAPH_LEN_MAX, PATH_LEN_MAX, SHARDS_MAX,
};
pub use onnx::ONNX_GRAPH_DEPTH_MAX;
pub use open_file::OpenFile;
pub(crate) use out_name::name_in_folder;
pub use safetensors::SafetensorsFile;
pub(crate) use safetensors::stored_header;
#[cfg(feature = "remote")]
pub(crate) use source::left_out_of;
pub use source::{FileRole, LeftOut, ModelSource, SourceFile, SourceOptions};
pub use source::{FoundForm, FoundModel, FoundModels, models_in, name_of_file};
