//! Random histories over every verb that writes records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use mgit::codec::Lossy;
use mgit::lineage::NodeId;
use mgit::merge::{Merge, MergeOptions, Resolution};
use mgit::model_tests::RunOptions;
use mgit::store::Repack;
use mgit::transfer::pull_from_store;
use mgit::update::{Functions, Make, Update, UpdateMethod};
use mgit::upkeep::{gc, vacuum};
use mgit::{Dtype, How, NewModel, OnChildren, Profile, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::new_models::{ASIDE, new_model};
use crate::common::remote::ALL;
use crate::common::{Random, file_bytes, memory_folder, noise, write};

/// More models than so many are made half as many first; of long ones less.
const MODELS_MAX: usize = 18;
const LONG_MODELS_MAX: usize = 8;

/// A verb: its name, how often it is chosen among the others, and what it does. It says whether
/// it could be done.
type Verb = (&'static str, usize, fn(&mut History) -> Done);
type Done = Result<(), String>;

const VERBS: [Verb; 22] = [
    ("import a root", 3, History::import_root),
    ("import a child", 8, History::import_child),
    ("import without its parent", 3, History::import_alone),
    ("import a version", 4, History::import_version),
    ("import integers", 2, History::import_integers),
    ("import a low rank", 3, History::import_low_rank),
    ("import lossy", 3, History::import_lossy),
    ("cast", 5, History::cast),
    ("prune", 2, History::prune),
    ("quantise", 2, History::quantise),
    ("average", 3, History::average),
    ("blend", 4, History::blend),
    ("lora-merge", 3, History::lora_merge),
    ("rebase", 3, History::rebase),
    ("update", 3, History::update),
    ("merge", 3, History::merge),
    ("rm", 5, History::remove),
    ("recode", 3, History::recode),
    ("repack", 5, History::repack),
    ("pin", 2, History::pin),
    ("exchange", 4, History::exchange),
    ("gc and vacuum", 1, History::tidy),
];

/// Bytes of every model that was ever seen, by its id: its tensors' names and hashes.
type Seen = BTreeMap<NodeId, Vec<(String, blake3::Hash)>>;

/// A store, another that it exchanges models with, and what was put in.
pub struct History {
    pub random: Random,
    folder: TempDir,
    /// `None` only while its file is replaced.
    store: Option<Store>,
    other: Store,
    seen: Seen,
    /// Names that were given out.
    names: usize,
    /// Rows and columns of a model's matrix.
    dims: [u64; 2],
    /// How often each verb was done.
    pub done: BTreeMap<&'static str, usize>,
}

fn text(error: impl std::fmt::Display, code: &str) -> String {
    // A verb may not fit the models that were chosen for it; a store may not break.
    let fits_not = [
        "bad-inputs",
        "bad-parameter",
        "bad-tensor",
        "bad-file",
        "nothing-lossy",
        "already-lossy",
        "pinned",
        "no-common-ancestor",
        "nothing-taken",
        "merge-conflict",
        "same-model",
        "no-such-model",
        "function-failed",
        "duplicate-parent",
        "no-such-tensor",
    ];
    assert!(fits_not.contains(&code), "{code}: {error}");
    format!("{code}: {error}")
}

fn stored(error: mgit::store::StoreError) -> String {
    let code = error.code();
    text(&error, code)
}

/// Numbers such as weights are.
fn floats(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| (random.next() >> 40) as f32 / (1u64 << 24) as f32 * 0.2 - 0.1).collect()
}

fn bytes_of(dtype: &Dtype, values: &[f32]) -> Vec<u8> {
    let each = |value: &f32| match dtype {
        Dtype::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
        Dtype::Bf16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
        Dtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    values.iter().flat_map(each).collect()
}

fn values_of(dtype: &Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let two = |value: fn([u8; 2]) -> f32| bytes.as_chunks().0.iter().map(|b| value(*b)).collect();
    Some(match dtype {
        Dtype::F16 => two(|bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::Bf16 => two(|bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => return None,
    })
}

/// A tensor in hand.
pub(super) struct InHand {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) dims: Vec<u64>,
    pub(super) bytes: Vec<u8>,
}

impl History {
    /// An empty store. One in four has matrices of more than a chunk.
    pub fn of_seed(seed: u64) -> Self {
        let folder = memory_folder();
        let store = Store::create(folder.path().join("models.mgit")).unwrap();
        let other = Store::create(folder.path().join("other.mgit")).unwrap();
        let mut random = Random(seed);
        let dims = if random.below(4) == 0 { [600, 512] } else { [48, 96] };
        let (seen, done) = (Seen::new(), BTreeMap::new());
        History { random, folder, store: Some(store), other, seen, names: 0, dims, done }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("models.mgit")
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Does one verb, and gives back its name.
    pub fn step(&mut self) -> &'static str {
        let max = if self.dims[0] > 100 { LONG_MODELS_MAX } else { MODELS_MAX };
        if self.models().len() > max {
            while self.models().len() > max / 2 {
                self.remove().unwrap();
            }
            return "rm of many";
        }
        for _ in 0..100 {
            let all: usize = VERBS.iter().map(|(_, weight, _)| weight).sum();
            let mut at = self.random.below(all);
            let chosen = VERBS.iter().find(|(_, weight, _)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            let (name, _, verb) = chosen.unwrap();
            if verb(self).is_ok() {
                *self.done.entry(name).or_default() += 1;
                return name;
            }
        }
        "nothing"
    }

    /// Every model that is still there has the bytes that it had when it was seen first.
    pub fn assert_nothing_changed(&mut self, context: &str) {
        let snapshot = self.store().snapshot().unwrap();
        for node in snapshot.nodes().unwrap() {
            let id = node.id();
            let model = snapshot.model_of(node).unwrap();
            let hash = |tensor: mgit::Tensor| {
                (tensor.name().to_owned(), blake3::hash(&tensor.view().unwrap()))
            };
            let mut now: Vec<_> = model.tensors().map(hash).collect();
            let file = |file: mgit::store::StoredFile| {
                (file.path().to_owned(), blake3::hash(&file_bytes(&file).unwrap()))
            };
            now.extend(model.files().map(file));
            let before = self.seen.entry(id).or_insert_with(|| now.clone());
            assert!(*before == now, "{context}: {} has other bytes", model.full_name());
        }
    }

    fn models(&self) -> Vec<String> {
        let mut nodes = self.store().snapshot().unwrap().nodes().unwrap();
        // Ids are random: the order must be that of the seed.
        nodes.sort_by_key(|node| node.full_name());
        nodes.iter().map(|node| node.full_name()).collect()
    }

    fn some(&mut self) -> Result<String, String> {
        let models = self.models();
        match models.len() {
            0 => Err("no models".to_owned()),
            len => Ok(models[self.random.below(len)].clone()),
        }
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    fn profile(&mut self) -> Profile {
        [Profile::Fast, Profile::Balanced, Profile::Balanced, Profile::Dense][self.random.below(4)]
    }

    fn tensors(&self, model: &str) -> Vec<InHand> {
        let model = self.store().snapshot().unwrap().model(model).unwrap();
        let tensor = |tensor: mgit::Tensor| InHand {
            name: tensor.name().to_owned(),
            dtype: tensor.dtype().clone(),
            dims: tensor.shape().dims().to_vec(),
            bytes: tensor.view().unwrap().to_vec(),
        };
        model.tensors().map(tensor).collect()
    }

    /// Tensors as training leaves them: most a little off, some as they were.
    fn trained(&mut self, model: &str) -> Vec<InHand> {
        let mut tensors = self.tensors(model);
        for tensor in &mut tensors {
            let Some(mut values) = values_of(&tensor.dtype, &tensor.bytes) else { continue };
            if self.random.below(5) == 0 {
                continue;
            }
            let (one_in, far) = (1 + self.random.below(12), [0.0005, 0.01][self.random.below(2)]);
            for value in &mut values {
                if self.random.below(one_in) == 0 {
                    *value += (self.random.below(2001) as f32 - 1000.0) / 1000.0 * far;
                }
            }
            tensor.bytes = bytes_of(&tensor.dtype, &values);
        }
        tensors
    }

    fn add(&self, store: &Store, model: NewModel<'_>) -> Done {
        write(store, |transaction| transaction.add_model(model)).map(drop).map_err(stored)
    }

    fn import_root(&mut self) -> Done {
        let name = self.fresh("root");
        let dtypes = [Dtype::F32, Dtype::F32, Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::F64];
        let dtype = dtypes[self.random.below(dtypes.len())].clone();
        let dims = self.dims;
        let matrix = floats(&mut self.random, (dims[0] * dims[1]) as usize);
        let norm = floats(&mut self.random, 200);
        let tensor = |name: &str, dims: &[u64], bytes| {
            let (name, dims) = (name.to_owned(), dims.to_vec());
            InHand { name, dtype: dtype.clone(), dims, bytes }
        };
        let mut tensors = vec![
            tensor("q.weight", &dims, bytes_of(&dtype, &matrix)),
            tensor("norm.weight", &[200], bytes_of(&dtype, &norm)),
        ];
        if self.random.below(4) == 0 {
            tensors.push(tensor(&format!("{ASIDE}m"), &dims, bytes_of(&dtype, &matrix)));
        }
        let model = new_model(&name, &tensors).profile(self.profile());
        self.add(self.store(), model)
    }

    fn import_child(&mut self) -> Done {
        let (parent, name) = (self.some()?, self.fresh("child"));
        let tensors = self.trained(&parent);
        let model = new_model(&name, &tensors).profile(self.profile());
        self.add(self.store(), model.parent(parent, How::FineTune))
    }

    fn import_alone(&mut self) -> Done {
        let (parent, name) = (self.some()?, self.fresh("kin"));
        let tensors = self.trained(&parent);
        self.add(self.store(), new_model(&name, &tensors))
    }

    fn import_version(&mut self) -> Done {
        let model = self.some()?;
        let tensors = self.trained(&model);
        let (name, _) = model.split_once('@').unwrap();
        self.add(self.store(), new_model(name, &tensors))
    }

    /// A matrix of small integers, and a second version of it.
    fn import_integers(&mut self) -> Done {
        let (name, dims) = (self.fresh("int"), self.dims);
        let mut bytes = noise(self.random.next(), (dims[0] * dims[1]) as usize);
        let tensor = |bytes: &[u8]| {
            let (name, dims) = ("q.weight".to_owned(), dims.to_vec());
            [InHand { name, dtype: Dtype::I8, dims, bytes: bytes.to_vec() }]
        };
        self.add(self.store(), new_model(&name, &tensor(&bytes)))?;
        for byte in &mut bytes {
            *byte = byte.wrapping_add((self.random.below(8) == 0).into());
        }
        self.add(self.store(), new_model(&name, &tensor(&bytes)))
    }

    /// A child that differs by a product of two narrow matrices.
    fn import_low_rank(&mut self) -> Done {
        let (parent, name) = (self.some()?, self.fresh("narrow"));
        let mut tensors = self.tensors(&parent);
        let Some(tensor) = tensors.iter_mut().find(|tensor| tensor.dtype == Dtype::F32) else {
            return Err("no matrix of F32".to_owned());
        };
        let &[rows, columns] = tensor.dims.as_slice() else { return Err("a vector".to_owned()) };
        let mut values = values_of(&tensor.dtype, &tensor.bytes).unwrap();
        let left = floats(&mut self.random, rows as usize * 2);
        let right = floats(&mut self.random, columns as usize * 2);
        for (at, value) in values.iter_mut().enumerate() {
            let (row, column) = (at / columns as usize, at % columns as usize);
            let product = left[row * 2] * right[column * 2];
            *value += product + left[row * 2 + 1] * right[column * 2 + 1];
        }
        tensor.bytes = bytes_of(&tensor.dtype, &values);
        let model = new_model(&name, &tensors).profile(Profile::Dense);
        self.add(self.store(), model.parent(parent, How::FineTune))
    }

    fn import_lossy(&mut self) -> Done {
        let lossy = [Lossy::Fp16, Lossy::Quantised { eps: 1e-4 }][self.random.below(2)];
        let parent = self.some()?;
        if self.random.below(3) == 0 {
            return write(self.store(), |transaction| {
                transaction.recode_lossy(&parent, lossy, None, &|_| ())
            })
            .map(drop)
            .map_err(stored)
            .map(|()| self.forget(&parent));
        }
        let name = self.fresh("lossy");
        let tensors = self.trained(&parent);
        let model = new_model(&name, &tensors).lossy(lossy);
        self.add(self.store(), model.parent(parent, How::FineTune))
    }

    /// A model whose bytes may have changed.
    fn forget(&mut self, model: &str) {
        let id = self.store().snapshot().unwrap().model(model).unwrap().node().id();
        self.seen.remove(&id);
    }

    fn make(&mut self, make: Make) -> Done {
        let made = make.profile(self.profile()).run(self.store(), &Functions::new());
        made.map(drop).map_err(|error| text(&error, error.code()))
    }

    fn cast(&mut self) -> Done {
        let dtype = ["bf16", "f16", "f32", "f64"][self.random.below(4)];
        let (parent, name) = (self.some()?, self.fresh("cast"));
        self.make(Make::new(name, "cast").parent(parent, None).parameter("dtype", dtype))
    }

    fn prune(&mut self) -> Done {
        let sparsity = self.random.below(10) as f64 / 10.0;
        let (parent, name) = (self.some()?, self.fresh("pruned"));
        self.make(Make::new(name, "prune").parent(parent, None).parameter("sparsity", sparsity))
    }

    fn quantise(&mut self) -> Done {
        let (parent, name) = (self.some()?, self.fresh("rounded"));
        let make = Make::new(name, "quantise").parent(parent, None);
        let make = match self.random.below(3) {
            0 => make,
            1 => make.parameter("to", "int8"),
            _ => make.parameter("to", "fp8"),
        };
        self.make(make)
    }

    fn average(&mut self) -> Done {
        let (a, b, name) = (self.some()?, self.some()?, self.fresh("mean"));
        self.make(Make::new(name, "average").parent(a, None).parent(b, None))
    }

    fn blend(&mut self) -> Done {
        let strategies: [(&str, usize, Value); 5] = [
            ("linear", 2, json!({ "weight": [0.25, 0.75] })),
            ("slerp", 2, json!({})),
            ("task-arithmetic", 3, json!({ "weight": [1, 0.5] })),
            ("ties", 3, json!({ "density": 0.5 })),
            ("dare", 3, json!({ "density": 0.5 })),
        ];
        let (strategy, parents, parameters) = strategies[self.random.below(5)].clone();
        let mut make = Make::new(self.fresh("blend"), strategy);
        for _ in 0..parents {
            make = make.parent(self.some()?, None);
        }
        for (key, value) in parameters.as_object().unwrap() {
            make = make.parameter(key, value.clone());
        }
        self.make(make.seed(7))
    }

    fn lora_merge(&mut self) -> Done {
        let (base, name) = (self.some()?, self.fresh("adapter"));
        let Some(matrix) = self.tensors(&base).into_iter().find(|it| it.name == "q.weight") else {
            return Err("an adapter".to_owned());
        };
        if values_of(&matrix.dtype, &matrix.bytes).is_none() {
            return Err("integers".to_owned());
        }
        let factor = |name: &str, dims: [u64; 2], random: &mut Random| {
            let bytes = bytes_of(&Dtype::F32, &floats(random, (dims[0] * dims[1]) as usize));
            let name = format!("base_model.model.q.lora_{name}.weight");
            InHand { name, dtype: Dtype::F32, dims: dims.to_vec(), bytes }
        };
        let tensors = [
            factor("A", [4, matrix.dims[1]], &mut self.random),
            factor("B", [matrix.dims[0], 4], &mut self.random),
        ];
        self.add(self.store(), new_model(&name, &tensors))?;
        let make = Make::new(self.fresh("merged"), "lora-merge").parent(base, None);
        // What is made may be refused; the adapter has come in any case.
        let _ = self.make(make.parent(name, None).parameter("alpha", 8));
        Ok(())
    }

    /// A model with a parent, and another model in the place of that.
    fn child_and_parent(&mut self) -> Result<(String, String), String> {
        let snapshot = self.store().snapshot().unwrap();
        let graph = snapshot.graph();
        let mut pairs = Vec::new();
        for child in snapshot.nodes().unwrap() {
            if let [edge] = graph.parents(child.id()).unwrap()[..] {
                pairs.push((child.full_name(), graph.expect(edge.parent).unwrap().full_name()));
            }
        }
        pairs.sort();
        match pairs.len() {
            0 => Err("no child".to_owned()),
            len => Ok(pairs[self.random.below(len)].clone()),
        }
    }

    fn rebase(&mut self) -> Done {
        let (child, parent) = self.child_and_parent()?;
        let name = self.fresh("newer");
        let tensors = self.trained(&parent);
        self.add(self.store(), new_model(&name, &tensors).parent(parent, How::FineTune))?;
        let make = Make::new(self.fresh("rebased"), "rebase").parent(name, None);
        let _ = self.make(make.old(child));
        Ok(())
    }

    fn update(&mut self) -> Done {
        let (_, parent) = self.child_and_parent()?;
        let (name, _) = parent.split_once('@').unwrap();
        let tensors = self.trained(&parent);
        self.add(self.store(), new_model(name, &tensors))?;
        let new = self.store().snapshot().unwrap().model(name).unwrap().full_name();
        let method = [UpdateMethod::Auto, UpdateMethod::Rebase][self.random.below(2)].clone();
        let update = Update::new(&parent, &new).method(method).profile(self.profile());
        match update.run(self.store(), &Functions::new()) {
            Ok(_) => Ok(()),
            // The new version is there.
            Err(error) => {
                text(&error, error.code());
                Ok(())
            }
        }
    }

    /// Two children of one model, each changed on its own, into one.
    fn merge(&mut self) -> Done {
        let (parent, ours, theirs) = (self.some()?, self.fresh("ours"), self.fresh("theirs"));
        for name in [&ours, &theirs] {
            let tensors = self.trained(&parent);
            let model = new_model(name, &tensors).parent(&parent, How::FineTune);
            self.add(self.store(), model)?;
        }
        let settled = [Resolution::Ours, Resolution::Theirs][self.random.below(2)];
        let options = MergeOptions { on_conflict: Some(settled), ..MergeOptions::default() };
        let merge = Merge::new(ours, theirs, self.fresh("both")).options(options);
        match merge.profile(self.profile()).run(self.store(), RunOptions::default()) {
            Ok(_) => Ok(()),
            Err(error) => {
                text(&error, error.code());
                Ok(())
            }
        }
    }

    fn remove(&mut self) -> Done {
        let model = self.some()?;
        let on_children = [OnChildren::Detach, OnChildren::Reparent][self.random.below(2)];
        write(self.store(), |transaction| transaction.remove_model(&model, on_children))
            .map(drop)
            .map_err(stored)
    }

    fn recode(&mut self) -> Done {
        let (model, profile) = (self.some()?, self.profile());
        let model = (self.random.below(2) == 0).then_some(model.as_str());
        let recode = |transaction: &mut mgit::Transaction| match model {
            Some(model) => transaction.recode(model, profile, &|_| ()),
            None => transaction.recode_all(profile, &|_| ()),
        };
        write(self.store(), recode).map(drop).map_err(stored)
    }

    fn repack(&mut self) -> Done {
        let mut how = Repack::default().depth_max(1 + self.random.below(4) as u8);
        how.profile = self.profile();
        write(self.store(), |transaction| transaction.repack(&how, &|_| ()))
            .map(drop)
            .map_err(stored)
    }

    fn pin(&mut self) -> Done {
        let (model, profile) = (self.some()?, self.profile());
        let unpins = self.random.below(2) == 0;
        write(self.store(), |transaction| match unpins {
            true => transaction.unpin(&model, profile),
            false => transaction.pin(&model),
        })
        .map(drop)
        .map_err(stored)
    }

    /// The other store takes in what is here, grows, is kept in another way, and gives back.
    fn exchange(&mut self) -> Done {
        let store = self.store.take().unwrap();
        if self.random.below(2) == 0 {
            pull_from_store(&self.other, &store, ALL).unwrap();
        }
        self.store = Some(store);
        let (name, model) = (self.fresh("other"), self.some());
        let kept = match model {
            Ok(model) => self.trained(&model),
            Err(_) => Vec::new(),
        };
        self.add(&self.other, new_model(&name, &kept))?;
        let mut how = Repack::default().depth_max(self.random.below(5) as u8);
        how.profile = self.profile();
        write(&self.other, |transaction| transaction.repack(&how, &|_| ())).unwrap();
        pull_from_store(self.store(), &self.other, ALL).unwrap();
        // Else it keeps what is removed here.
        if self.random.below(2) == 0 {
            let path = self.folder.path().join(format!("other{}.mgit", self.names));
            self.other = Store::create(path).unwrap();
        }
        Ok(())
    }

    fn tidy(&mut self) -> Done {
        let path = self.path();
        gc(self.store()).unwrap();
        self.store = None;
        vacuum(Path::new(&path), &|_| ()).unwrap();
        self.store = Some(Store::open(&path).unwrap());
        Ok(())
    }
}
