//! What a tensor is, before any file: element type, shape, content identity, typed views.
//!
//! Invariants of this room:
//!
//! - A [`Shape`] has at most [`RANK_MAX`] dimensions and its element count fits in `u64`.
//! - [`Dtype::byte_len`] is the only place that turns a shape into a number of bytes.
//! - [`number`] is the only place that decodes elements by their type's definition.
//! - A typed view never reinterprets bytes of another element type.
//!
//! ```
//! use mgit::{Dtype, Shape};
//!
//! let shape = Shape::new(&[160, 384])?;
//! assert_eq!(Dtype::Bf16.byte_len(&shape)?, Some(160 * 384 * 2));
//! assert_eq!(Dtype::Unknown("F128".into()).byte_len(&shape)?, None);
//! # Ok::<(), mgit::Error>(())
//! ```

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod buffer;
mod content_id;
mod dtype;
mod element;
mod names;
mod number;
mod shape;
mod training_names;

pub use buffer::AlignedBuffer;
pub use content_id::{ContentId, ParseIdError};
pub use dtype::Dtype;
pub use element::{Element, ViewError, cast_slice};
pub(crate) use names::first_duplicate;
pub(crate) use number::float8_cast;
pub use number::{e4m3_bits, float8_bits, number, number_bytes};
pub use shape::{Dimension, IntoShape, RANK_MAX, Shape, ShapeError};
pub(crate) use training_names::TrainingNames;
