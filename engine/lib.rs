//! An embedded, transactional, single-file store for families of machine-learning models.

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("mgit reads its file through a memory map: 64-bit little-endian targets only");

pub mod catalog;
pub mod codec;
pub mod container;
pub mod format;
pub mod interchange;
pub mod lineage;
pub mod planning;
pub mod store;
pub mod tensor;
pub mod upkeep;

pub use bytemuck;
pub use half;
pub use lineage::{How, OnChildren};
pub use store::{Error, Model, NewModel, NewTensor, Result, Snapshot, Store, Tensor, TensorView};
pub use tensor::{ContentId, Dtype, Element, Shape};
