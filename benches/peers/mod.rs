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
use mgit::codec::{Cpu, Profile};

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
pub struct Entry {
    pub name: String,
    /// Which of ours it is.
    pub profile: Option<Profile>,
    /// Most bytes of a piece; a tensor is cut into such.
    pub piece: usize,
    /// Measured on all cores too.
    pub all_cores: bool,
    /// So slow that it runs once, and only when asked for.
    pub slow: bool,
    pub make: Box<dyn Fn() -> Box<dyn Method + Send>>,
}

const MIB: usize = 1 << 20;

/// Every method: ours first, a profile after the other on every way of this processor, the widest
/// first; then the peers.
pub fn entries() -> Vec<Entry> {
    type Make = fn() -> Box<dyn Method + Send>;
    let entry = |name: &str, piece, make: Make| Entry {
        name: name.to_owned(),
        profile: None,
        piece,
        all_cores: false,
        slow: false,
        make: Box::new(make),
    };
    let slow = |name: &str, piece, make: Make| Entry { slow: true, ..entry(name, piece, make) };
    let mut ways: Vec<Cpu> = Cpu::available().filter(|cpu| *cpu <= Cpu::current()).collect();
    ways.reverse();
    let ours = |profile: Profile| {
        ways.iter().map(move |cpu| {
            let (cpu, widest) = (*cpu, *cpu == Cpu::current());
            Entry {
                name: if widest { profile.to_string() } else { format!("{profile} {cpu}") },
                profile: Some(profile),
                piece: MIB,
                all_cores: widest,
                slow: false,
                make: Box::new(move || Box::new(ours::Ours(profile, cpu))),
            }
        })
    };
    let profiles = [Profile::Balanced, Profile::Fast, Profile::Dense];
    let mut entries: Vec<Entry> = profiles.into_iter().flat_map(ours).collect();
    entries.extend([
        Entry {
            all_cores: true,
            ..entry("TensorDex", 2 * MIB, || Box::new(tensordex::TensorDex::new()))
        },
        entry("BitX", usize::MAX, || Box::new(bitx::BitX::new())),
        entry("FM-Delta", usize::MAX, || Box::new(fm_delta::FmDelta)),
        entry("ZipNN alone", MIB / 4, || Box::new(zipnn::ZipNn::default())),
        slow("pco steps", usize::MAX, || Box::new(pco::Pco)),
        slow("zstd-19 XOR", usize::MAX, || Box::new(plain::XorZstd::new())),
        slow("zstd-19 plain", usize::MAX, || Box::new(plain::Zstd::new())),
        slow("LZMA plain", usize::MAX, || Box::new(plain::Lzma)),
    ]);
    entries
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
