//! The bodies of the fuzz targets, as plain functions: a finding is a panic. They run under
//! cargo-fuzz and, on a stable compiler, in the smoke run.

mod archives;
mod codec;
mod differential;
mod folder;
mod format;
mod formula;
mod hub;
mod layout;
mod operations;
mod repair;
mod store;

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/simulation/mod.rs"]
mod simulation;
#[path = "../../tests/formats/zip_writer.rs"]
#[allow(dead_code, reason = "the tests spoil what it writes")]
pub mod zip_writer;

pub mod mutate;

pub use archives::{numpy, pickle, pytorch};
pub use codec::{codec_decode, codec_roundtrip, lane};
pub use differential::safetensors_header;
pub use folder::{NAMES, folder};
pub use format::{change_record, manifest, record_header, superblock};
pub use formula::formula;
pub use hub::hub;
pub use layout::{gguf, onnx};
pub use operations::operations;
pub use store::{open_store, salvage};

/// A target: its name, its body, and what makes checksums and lengths right again behind a
/// mutation, so that it is not turned away at the door.
pub struct Target {
    /// The name, also of the folder of its seeds.
    pub name: &'static str,
    /// What is fuzzed.
    pub run: fn(&[u8]),
    /// What repairs a mutated input.
    pub repair: fn(&mut [u8]),
}

/// Every target.
pub const TARGETS: [Target; 18] = [
    Target {
        name: "safetensors_header",
        run: safetensors_header,
        repair: repair::safetensors_length,
    },
    Target { name: "superblock", run: superblock, repair: repair::superblock },
    Target { name: "record_header", run: record_header, repair: repair::record_header },
    Target { name: "manifest", run: manifest, repair: repair::nothing },
    Target { name: "change_record", run: change_record, repair: repair::nothing },
    Target { name: "codec_decode", run: codec_decode, repair: repair::nothing },
    Target { name: "codec_roundtrip", run: codec_roundtrip, repair: repair::nothing },
    Target { name: "formula", run: formula, repair: repair::nothing },
    Target { name: "gguf", run: gguf, repair: repair::nothing },
    Target { name: "onnx", run: onnx, repair: repair::nothing },
    Target { name: "pytorch", run: pytorch, repair: repair::zip },
    Target { name: "pickle", run: pickle, repair: repair::nothing },
    Target { name: "numpy", run: numpy, repair: repair::zip },
    Target { name: "folder", run: folder, repair: repair::nothing },
    Target { name: "hub", run: hub, repair: repair::nothing },
    Target { name: "operations", run: operations, repair: repair::nothing },
    Target { name: "open_store", run: open_store, repair: repair::store },
    Target { name: "salvage", run: salvage, repair: repair::store },
];
