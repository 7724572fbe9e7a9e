//! Parents and children to measure the delta codec with: those of the folders of `MGIT_MODELS`,
//! of the repository's demo, and some that are made here from either.

use std::fs;
use std::path::{Path, PathBuf};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::Kind;
use crate::common::models;

/// A child and its parent: the tensors that differ, and are floats of the same type and shape.
pub struct Pair {
    pub name: &'static str,
    pub tensors: Vec<Tensor>,
}

pub struct Tensor {
    pub kind: Kind,
    pub base: Vec<u8>,
    pub child: Vec<u8>,
    name: String,
    rank: usize,
}

impl Pair {
    pub fn bytes(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.child.len()).sum()
    }
}

/// A pair that can be read or made.
pub struct Source {
    pub name: &'static str,
    files: [PathBuf; 2],
    change: fn(Vec<Tensor>) -> Vec<Tensor>,
}

impl Source {
    pub fn load(&self) -> Pair {
        let [base, child] = self.files.each_ref().map(|path| fs::read(path).expect("a model file"));
        let mut tensors = (self.change)(tensors(&base, &child));
        tensors.retain(|tensor| tensor.base != tensor.child);
        Pair { name: self.name, tensors }
    }
}

type Change = fn(Vec<Tensor>) -> Vec<Tensor>;

const PAIRS: [(&str, &str, &str, Change); 16] = [
    ("f32 base > A-v1", "minilm-base", "minilm-A-v1", as_they_are),
    ("f32 base > B-lora-merged", "minilm-base", "minilm-B-lora-merged", as_they_are),
    ("f32 base > pruned 50 %", "minilm-base", "minilm-base", pruned),
    ("bf16 base > A-bf16-mixed-v1", "minilm-base-bf16", "minilm-A-bf16-mixed-v1", as_they_are),
    ("bf16 base > A-bf16-pure", "minilm-base-bf16", "minilm-A-bf16-pure", as_they_are),
    ("bf16 casts of base > A-v1", "minilm-base", "minilm-A-v1", cast_bf16),
    ("f16 casts of base > A-v1", "minilm-base", "minilm-A-v1", cast_f16),
    ("f32 ANI-1x > 1ccx", "ani-1x-m0", "ani-1ccx-m0", as_they_are),
    ("f32 CHGNet > r2SCAN", "chgnet-0.3.0", "chgnet-r2scan", as_they_are),
    ("bf16 99 % unchanged", "minilm-base-bf16", "minilm-base-bf16", few::<100>),
    ("bf16 97 % unchanged", "minilm-base-bf16", "minilm-base-bf16", few::<33>),
    ("bf16 95 % unchanged", "minilm-base-bf16", "minilm-base-bf16", few::<20>),
    ("f32 slice base > A-v1", "minilm-slice-base", "minilm-slice-A-v1", as_they_are),
    (
        "bf16 slice base > A-bf16-mixed-v1",
        "minilm-slice-base-bf16",
        "minilm-slice-A-bf16-mixed-v1",
        as_they_are,
    ),
    (
        "bf16 slice base > A-bf16-pure",
        "minilm-slice-base-bf16",
        "minilm-slice-A-bf16-pure",
        as_they_are,
    ),
    ("bf16 slice 97 % unchanged", "minilm-slice-base-bf16", "minilm-slice-base-bf16", few::<33>),
];

/// Every pair whose files are found.
pub fn found() -> Vec<Source> {
    let sources = PAIRS.into_iter().map(|(name, base, child, change)| {
        let files = [file(base)?, file(child)?];
        Some(Source { name, files, change })
    });
    sources.flatten().collect()
}

fn file(name: &str) -> Option<PathBuf> {
    let name = format!("{name}.safetensors");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/mgit-db/demo").join(&name);
    models::find(&name).or_else(|| demo.is_file().then_some(demo))
}

fn tensors(base: &[u8], child: &[u8]) -> Vec<Tensor> {
    let [base, child] =
        [base, child].map(|bytes| SafeTensors::deserialize(bytes).expect("a model file"));
    let of = |name: &str| {
        let (base, child) = (base.tensor(name).ok()?, child.tensor(name).ok()?);
        let kind = match child.dtype() {
            Dtype::F32 => Kind::F32,
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::Bf16,
            _ => return None,
        };
        (base.dtype() == child.dtype() && base.shape() == child.shape()).then(|| Tensor {
            kind,
            base: base.data().to_vec(),
            child: child.data().to_vec(),
            name: name.to_owned(),
            rank: child.shape().len(),
        })
    };
    let mut names = child.names();
    names.sort();
    names.into_iter().filter_map(of).collect()
}

fn as_they_are(tensors: Vec<Tensor>) -> Vec<Tensor> {
    tensors
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Both sides as bf16.
fn cast_bf16(tensors: Vec<Tensor>) -> Vec<Tensor> {
    cast(tensors, Kind::Bf16, |values| {
        let mut out = vec![bf16::ZERO; values.len()];
        out.convert_from_f32_slice(values);
        out.iter().flat_map(|value| value.to_le_bytes()).collect()
    })
}

/// Both sides as f16.
fn cast_f16(tensors: Vec<Tensor>) -> Vec<Tensor> {
    cast(tensors, Kind::F16, |values| {
        let mut out = vec![f16::ZERO; values.len()];
        out.convert_from_f32_slice(values);
        out.iter().flat_map(|value| value.to_le_bytes()).collect()
    })
}

fn cast(mut tensors: Vec<Tensor>, kind: Kind, to: fn(&[f32]) -> Vec<u8>) -> Vec<Tensor> {
    tensors.retain(|tensor| tensor.kind == Kind::F32);
    for tensor in &mut tensors {
        tensor.kind = kind;
        tensor.base = to(&f32s(&tensor.base));
        tensor.child = to(&f32s(&tensor.child));
    }
    tensors
}

/// One in so many elements is a step away, to either side.
fn few<const ONE_IN: u64>(mut tensors: Vec<Tensor>) -> Vec<Tensor> {
    let mut state = ONE_IN;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    tensors.retain(|tensor| tensor.kind == Kind::Bf16);
    for tensor in &mut tensors {
        for element in tensor.child.as_chunks_mut::<2>().0 {
            if random().is_multiple_of(ONE_IN) {
                let step = if random() & 1 == 0 { 1 } else { -1 };
                *element = u16::from_le_bytes(*element).wrapping_add_signed(step).to_le_bytes();
            }
        }
    }
    tensors
}

/// The smaller half of each matrix of the layers (not of the embeddings) is zero, with its sign,
/// as multiplying by a mask leaves it.
fn pruned(mut tensors: Vec<Tensor>) -> Vec<Tensor> {
    tensors.retain(|tensor| tensor.name.contains("encoder.layer") && tensor.rank == 2);
    for tensor in &mut tensors {
        let values = f32s(&tensor.base);
        let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
        let middle = sizes.len() / 2;
        let threshold = *sizes.select_nth_unstable_by(middle, f32::total_cmp).1;
        let keep = |value: f32| if value.abs() < threshold { value * 0.0 } else { value };
        tensor.child = values.iter().flat_map(|value| keep(*value).to_le_bytes()).collect();
    }
    tensors
}
