//! What is believed of a file at most.

pub(super) use crate::format::HEADER_PREFIX_LEN as LENGTH_PREFIX_BYTES;
pub use crate::format::METADATA_KEY;

/// The most bytes a header may have, as in the reference implementation.
pub const HEADER_LEN_MAX: u64 = 100_000_000;
/// The most bytes a tensor's name may have.
pub const NAME_LEN_MAX: usize = 65_535;
/// The most bytes the name of an element type may have.
pub const DTYPE_NAME_LEN_MAX: usize = 64;
/// The most bytes an index may have.
pub const INDEX_LEN_MAX: u64 = 100_000_000;
/// The most shards a model may have.
pub const SHARDS_MAX: usize = 65_535;
/// The most bytes of memory that the graph of an ONNX file may take, beside its tensors' data.
pub const ONNX_GRAPH_LEN_MAX: u64 = 1 << 28;
/// The most files that a model may have.
pub const FILES_MAX: usize = 65_535;
/// The most bytes that a file's path in its folder may have.
pub const PATH_LEN_MAX: usize = 4096;
/// How deep folders may lie in a model's folder.
pub const FOLDER_DEPTH_MAX: usize = 32;
