//! Models to measure with: real ones from the folders of `MGIT_MODELS` (separated by `:`) where
//! it is set, else generated ones of the same size, the same on every machine.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use mgit::interchange::{ModelSource, write_header};
use mgit::store::ImportReport;
use mgit::{Dtype, How, NewModel, Shape, Store};

/// A folder for one benchmark's files: under `MGIT_BENCH_FOLDER` where that is set, else where
/// the build puts its own, which is a real disk more often than the system's temporary folder.
pub fn scratch() -> tempfile::TempDir {
    let folder = std::env::var_os("MGIT_BENCH_FOLDER")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    fs::create_dir_all(&folder).expect("a folder for the benchmark");
    tempfile::tempdir_in(folder).expect("a folder for the benchmark")
}

/// A model file called `name` in one of the folders of `MGIT_MODELS`.
pub fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("MGIT_MODELS")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A root of about 90 MB in f32 and a fine-tuned child of it.
pub fn root_and_child(folder: &Path) -> (PathBuf, PathBuf) {
    let (root, child) = (folder.join("root.safetensors"), folder.join("child.safetensors"));
    match find("minilm-base.safetensors").zip(find("minilm-A-v1.safetensors")) {
        Some((real_root, real_child)) => {
            println!("root {}, child {}", real_root.display(), real_child.display());
            // On the same medium as the stores.
            for (from, to) in [(real_root, &root), (real_child, &child)] {
                fs::write(to, fs::read(from).expect("a model file")).expect("room for a copy");
            }
        }
        None => {
            println!("root and child are generated");
            let mut weights = Weights::new(1);
            weights.write(&root);
            weights.fine_tune();
            weights.write(&child);
        }
    }
    [&root, &child].into_iter().for_each(|path| warm(path));
    (root, child)
}

/// Brings a file into the page cache as reading it from the medium does, whoever wrote it and
/// however: the size of the writes decides the size of the cache's pages, and with it what a page
/// fault costs, by a factor of ten. Nobody may have the file mapped.
pub fn warm(path: &Path) {
    let mut file = File::open(path).expect("the file");
    file.sync_all().expect("a sync");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
    std::io::copy(&mut file, &mut std::io::sink()).expect("the file's bytes");
}

/// Weights that imitate a small language model: an embedding table, then layers of matrices and
/// short vectors, 22.7 million numbers, normally distributed.
pub struct Weights {
    random: Random,
    tensors: Vec<(String, Vec<u64>, Vec<f32>)>,
    /// Mean absolute change of one version to the next.
    step: f32,
}

/// The SplitMix64 generator.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal, mean 0, variance 1: the sum of four 16-bit numbers.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|k| bits >> (16 * k) & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 1.732
    }
}

impl Weights {
    /// The same weights for the same seed.
    pub fn new(seed: u64) -> Self {
        Self::of_layers(seed, 30_522, 6)
    }

    /// As [`new`](Self::new), with so many rows of the embedding table and so many layers.
    pub fn of_layers(seed: u64, rows: u64, layers: usize) -> Self {
        let mut shapes = vec![("embeddings".to_owned(), vec![rows, 384])];
        for layer in 0..layers {
            let mut add = |name: &str, shape: &[u64]| {
                shapes.push((format!("layer.{layer}.{name}"), shape.to_vec()));
            };
            for name in ["query", "key", "value", "output"] {
                add(&format!("{name}.weight"), &[384, 384]);
                add(&format!("{name}.bias"), &[384]);
            }
            add("up.weight", &[1536, 384]);
            add("up.bias", &[1536]);
            add("down.weight", &[384, 1536]);
            add("down.bias", &[384]);
            add("norm.weight", &[384]);
        }
        let mut random = Random(seed);
        let mut fill = |shape: &[u64]| -> Vec<f32> {
            (0..shape.iter().product::<u64>()).map(|_| random.normal() * 0.05).collect()
        };
        let tensors = shapes
            .into_iter()
            .map(|(name, shape)| {
                let values = fill(&shape);
                (name, shape, values)
            })
            .collect();
        Weights { random, tensors, step: 2e-5 }
    }

    /// One more version, as some hundred steps of AdamW at a small learning rate leave it: a
    /// little weight decay everywhere, and a step of about the same size for every weight of a
    /// tensor but the rows of the embedding table that no batch has touched (four of five).
    pub fn fine_tune(&mut self) {
        let step = self.step;
        for (name, shape, values) in &mut self.tensors {
            let row = shape.last().copied().unwrap_or(1) as usize;
            for row in values.chunks_mut(row) {
                let touched =
                    !name.starts_with("embeddings") || self.random.next().is_multiple_of(5);
                for value in row {
                    let moved = if touched { self.random.normal() * step } else { 0.0 };
                    *value = *value * (1.0 - 2e-6) + moved;
                }
            }
        }
    }

    /// One more version that differs in one of 64 weights, anywhere, by the last few bits: late
    /// training at a low precision, where most steps vanish.
    pub fn step_sparsely(&mut self) {
        for value in self.tensors.iter_mut().flat_map(|(_, _, values)| values) {
            let bits = self.random.next();
            if bits.is_multiple_of(64) {
                *value = f32::from_bits(value.to_bits() ^ (bits >> 6 & 0xfff) as u32);
            }
        }
    }

    /// The same with steps of another mean size.
    pub fn with_step(mut self, step: f32) -> Self {
        self.step = step;
        self
    }

    pub fn write(&self, path: &Path) {
        self.write_as(path, &Dtype::F32, 4, &|values| mgit::bytemuck::cast_slice(values).to_vec());
    }

    /// Writes what mixed-precision training keeps of its F32 weights.
    pub fn write_bf16(&self, path: &Path) {
        self.write_as(path, &Dtype::Bf16, 2, &|values| {
            values.iter().flat_map(|v| mgit::half::bf16::from_f32(*v).to_le_bytes()).collect()
        });
    }

    fn write_as(&self, path: &Path, dtype: &Dtype, width: u64, bytes: &dyn Fn(&[f32]) -> Vec<u8>) {
        let shapes: Vec<Shape> =
            self.tensors.iter().map(|(_, shape, _)| Shape::new(shape).expect("a shape")).collect();
        let entries = self.tensors.iter().zip(&shapes).map(|((name, _, values), shape)| {
            (name.as_str(), dtype, shape, values.len() as u64 * width)
        });
        let header = write_header(entries, None);
        let mut out = BufWriter::with_capacity(8 << 20, File::create(path).expect("a new file"));
        let mut put = |bytes: &[u8]| out.write_all(bytes).expect("room for the model");
        put(&(header.len() as u64).to_le_bytes());
        put(&header);
        self.tensors.iter().for_each(|(_, _, values)| put(&bytes(values)));
        out.flush().expect("room for the model");
    }
}

/// Imports a file; gives the report back.
pub fn import(store: &Store, file: &Path, name: &str, parent: Option<&str>) -> ImportReport {
    import_as(store, file, name, parent, |model| model)
}

/// Imports a file as a model that `change` has changed.
pub fn import_as(
    store: &Store,
    file: &Path,
    name: &str,
    parent: Option<&str>,
    change: impl for<'m> FnOnce(NewModel<'m>) -> NewModel<'m>,
) -> ImportReport {
    let file = ModelSource::open(file).expect("a model file");
    let mut model = change(NewModel::new(name).source(&file));
    if let Some(parent) = parent {
        model = model.parent(parent, How::FineTune);
    }
    let mut transaction = store.begin_write().expect("a transaction");
    let report = transaction.add_model(model).expect("the model goes in");
    transaction.commit().expect("the commit");
    report
}
