//! Other people's ways to store a child of a model, in our own words and in this process, so that
//! they run beside ours on the same bytes. They are written to be fast: planes in wide registers,
//! contexts and scratch memory kept from piece to piece.

#![allow(dead_code, reason = "no benchmark uses every method")]

mod bitx;
mod fm_delta;
mod huffman;
mod order;
mod ours;
pub mod pairs;
mod pco;
mod plain;
mod planes;
mod range_coder;
mod tensordex;
mod zipnn;

use mgit::Dtype;
use mgit::codec::Profile;

/// A float type, as every method must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    F16,
    Bf16,
}

impl Kind {
    pub fn bytes(self) -> usize {
        if self == Kind::F32 { 4 } else { 2 }
    }

    pub fn dtype(self) -> Dtype {
        match self {
            Kind::F32 => Dtype::F32,
            Kind::F16 => Dtype::F16,
            Kind::Bf16 => Dtype::Bf16,
        }
    }
}

/// A way to store a piece of a tensor, with its scratch memory.
pub trait Method {
    /// Appends `child`, a piece of a tensor whose parent has `base` there, to `out`.
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>);

    /// Fills `out` with the child again.
    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]);
}

/// A method as the table names it.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// Which of ours it is.
    pub profile: Option<Profile>,
    /// Most bytes of a piece; a tensor is cut into such.
    pub piece: usize,
    /// Measured on all cores too.
    pub all_cores: bool,
    /// So slow that it runs once, and only when asked for.
    pub slow: bool,
    pub make: fn() -> Box<dyn Method + Send>,
}

const MIB: usize = 1 << 20;

/// Every method, ours first, a profile after the other.
pub fn entries() -> Vec<Entry> {
    let entry = |name, piece, make| Entry {
        name,
        profile: None,
        piece,
        all_cores: false,
        slow: false,
        make,
    };
    let ours = |profile, name, make| Entry {
        profile: Some(profile),
        all_cores: true,
        ..entry(name, MIB, make)
    };
    vec![
        ours(Profile::Balanced, "balanced", || Box::new(ours::Ours(Profile::Balanced))),
        ours(Profile::Fast, "fast", || Box::new(ours::Ours(Profile::Fast))),
        ours(Profile::Dense, "dense", || Box::new(ours::Ours(Profile::Dense))),
        Entry {
            all_cores: true,
            ..entry("TensorDex", 2 * MIB, || Box::new(tensordex::TensorDex::new()))
        },
        entry("BitX", usize::MAX, || Box::new(bitx::BitX::new())),
        entry("FM-Delta", usize::MAX, || Box::new(fm_delta::FmDelta)),
        entry("ZipNN alone", MIB / 4, || Box::new(zipnn::ZipNn::default())),
        Entry { slow: true, ..entry("pco steps", usize::MAX, || Box::new(pco::Pco)) },
        Entry {
            slow: true,
            ..entry("zstd-19 XOR", usize::MAX, || Box::new(plain::XorZstd::new()))
        },
        Entry { slow: true, ..entry("zstd-19 plain", usize::MAX, || Box::new(plain::Zstd::new())) },
        Entry { slow: true, ..entry("LZMA plain", usize::MAX, || Box::new(plain::Lzma)) },
    ]
}

/// A zstd context for both directions, kept from piece to piece.
struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
    scratch: Vec<u8>,
}

impl Zstd {
    fn new(level: i32) -> Self {
        Zstd {
            compressor: zstd::bulk::Compressor::new(level).expect("a level"),
            decompressor: zstd::bulk::Decompressor::new().expect("a context"),
            scratch: Vec::new(),
        }
    }

    fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.scratch).expect("room enough");
        out.extend_from_slice(&self.scratch);
    }

    fn decode(&mut self, stored: &[u8], out: &mut [u8]) {
        let len = self.decompressor.decompress_to_buffer(stored, out).expect("a frame");
        assert_eq!(len, out.len());
    }
}
