//! An embedded, transactional, single-file store for families of machine-learning models.

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("mgit reads its file through a memory map: 64-bit little-endian targets only");

pub mod interchange;
pub mod tensor;
