//! An embedded, transactional, single-file store for families of machine-learning models.
//!
//! A [`Store`] is one file: the lineage graph of models and every tensor of them. Identical tensors
//! are kept once, a model derived from another as its lossless difference, and a tensor that lies
//! raw in the file is read without a copy.
//!
//! ```
//! use mgit::{How, NewModel, Store, interchange::ModelSource};
//! # use mgit::{NewTensor, interchange::export_to_path};
//! # fn main() -> mgit::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = |name: &str| folder.path().join(name);
//! # let (base, tuned) = (path("b.safetensors"), path("t.safetensors"));
//! # {
//! #     let store = Store::create(folder.path().join("other.mgit"))?;
//! #     let mut transaction = store.begin_write()?;
//! #     for (name, byte) in [("b", 1u8), ("t", 2)] {
//! #         let tensor = NewTensor::from_vec("head.weight", [64], vec![byte; 64]);
//! #         transaction.add_model(NewModel::new(name).tensor(tensor))?;
//! #     }
//! #     transaction.commit()?;
//! #     let snapshot = store.snapshot()?;
//! #     export_to_path(&snapshot.model("b")?, &base, &|_| ())?;
//! #     export_to_path(&snapshot.model("t")?, &tuned, &|_| ())?;
//! # }
//!
//! let store = Store::create(folder.path().join("family.mgit"))?;
//! let (base, tuned) = (ModelSource::open(base)?, ModelSource::open(tuned)?);
//! let mut transaction = store.begin_write()?;
//! transaction.add_model(NewModel::new("base").source(&base))?;
//! transaction.add_model(NewModel::new("sst2").parent("base", How::FineTune).source(&tuned))?;
//! transaction.commit()?;
//!
//! let snapshot = store.snapshot()?;
//! for tensor in snapshot.model("sst2")?.tensors() {
//!     let view = tensor.view()?;
//!     println!("{} {} {}: {} bytes", tensor.name(), tensor.dtype(), tensor.shape(), view.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where to go
//!
//! | to | see |
//! |---|---|
//! | open or make a store | [`Store`], [`OpenOptions`] |
//! | read | [`Snapshot`], [`Model`], [`Tensor`], [`TensorView`]; [`interchange`] writes models as files |
//! | write | [`Transaction`], [`NewModel`], [`NewTensor`]; [`interchange`] reads files |
//! | name a model | [`ModelRef`]: `name`, `name@version`, a node, its id |
//! | follow the lineage | [`Node`], [`lineage`]; [`diff`] compares two models, [`infer`] finds who descends from whom |
//! | bring in models of which nothing is told | [`adoption`]: models in folders, their parents and versions |
//! | bring in models of the Hugging Face Hub | [`hub_client`] |
//! | test models | [`model_tests`]: built-in tests, commands and functions, with bounds; bisection |
//! | make models from models | [`update`]: creation functions, recipes, what must follow a new version; [`merge`] |
//! | share | [`transfer`]: push, pull, fetch, bundles; a clone is [`Store::create`] and a pull |
//! | look after a store | [`upkeep`]: verify, measure, collect, vacuum, back up, salvage; [`StoreInfo`] |
//! | end in an orderly way | [`shutdown`] |
//!
//! # Errors
//!
//! Every room has an error of its own, which names the tensor, the model or the place. [`Error`]
//! takes all of them: a program that returns [`mgit::Result`](Result) writes `?` everywhere. No
//! function panics because of the contents of a file, or of what a caller gives.
//!
//! # Threads
//!
//! A [`Store`], a [`Snapshot`] and what is taken from them are [`Send`] and [`Sync`]. One
//! [`Transaction`] is open at a time in a store, in all processes; any number of snapshots are read
//! meanwhile, in any process. What is decoded and encoded is spread over all cores by rayon's pool.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `remote` | object stores (S3, GCS, Azure, static hosts) as places for [`transfer`]; [`hub_client`] |
//! | `unstable-format` | the rooms that know the bytes of the file (`container`, `catalog`, `format`, `planning`, `codec`), for tools that look at the format; any version may change them |
//!
//! Three packages show in signatures, by choice, and are re-exported: [`bytemuck`] and [`half`] for
//! elements of tensors, [`serde_json`] for metadata, which is JSON. Nodes and reports implement
//! [`serde::Serialize`].
//!
//! # Platforms
//!
//! 64-bit little-endian Linux: the file is read through a memory map, and locked by open file
//! descriptions. Elsewhere this does not compile.
//!
//! Differences are coded with AVX-512 or AVX2 where the processor has them, and give the same bytes
//! without. The environment variable `MGIT_CPU` (`portable`, `avx2` or `avx512`) lowers what is used;
//! another value is not.
//!
//! # Safety of maps
//!
//! Raw tensors are slices of a memory map. The store never changes or frees bytes that a
//! snapshot can see. A program that shortens or overwrites the file from outside while it is open
//! breaks that, as with every memory map.

#![warn(unreachable_pub)]
#![cfg_attr(not(feature = "unstable-format"), warn(unnameable_types))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_endian = "little", target_pointer_width = "64")))]
compile_error!(
    "mgit runs on 64-bit little-endian Linux only: its file is read through a memory map, and \
     locked by open file descriptions"
);

pub mod adoption;
pub mod architecture;
pub mod command;
pub mod diff;
pub mod error;
pub mod hub;
pub mod hub_client;
pub mod infer;
pub mod interchange;
pub mod lineage;
pub mod merge;
pub mod model_tests;
#[cfg(feature = "remote")]
mod network;
pub mod shutdown;
pub mod store;
pub mod tensor;
pub mod transfer;
pub mod update;
pub mod upkeep;

// The rooms that know the bytes of the file: public for tools that look at the format.
#[cfg(feature = "unstable-format")]
pub mod catalog;
#[cfg(feature = "unstable-format")]
pub mod codec;
#[cfg(feature = "unstable-format")]
pub mod container;
#[cfg(feature = "unstable-format")]
pub mod format;
#[cfg(feature = "unstable-format")]
pub mod planning;

#[cfg(not(feature = "unstable-format"))]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "public with the feature")]
mod catalog;
#[cfg(not(feature = "unstable-format"))]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "public with the feature")]
mod codec;
#[cfg(not(feature = "unstable-format"))]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "public with the feature")]
mod container;
#[cfg(not(feature = "unstable-format"))]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "public with the feature")]
mod format;
#[cfg(not(feature = "unstable-format"))]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "public with the feature")]
mod planning;

pub use bytemuck;
pub use codec::{Lossy, Profile};
pub use error::{Error, Result, full_message};
pub use half;
pub use lineage::{How, ModelRef, Node, NodeId, OnChildren};
pub use serde_json;
pub use store::{Model, NewModel, NewPart, NewTensor, Snapshot, Store, Tensor, TensorView};
pub use store::{OpenOptions, StoreInfo, Transaction, WritableView};
pub use tensor::{ContentId, Dtype, Element, IntoShape, Shape};

/// The programs of the README, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
