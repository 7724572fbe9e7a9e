//! Which tensors of a checkpoint are the state of a training.

use std::collections::{BTreeMap, BTreeSet};

use super::Manifest;
use crate::tensor::TrainingNames;

/// Whether nobody calls a tensor so: it is the storage of a PyTorch file, such as `data/3`.
fn is_storage(name: &str) -> bool {
    let key = name.rsplit_once('/').map_or("", |(_, key)| key);
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

impl Manifest {
    /// Which names of the files of weights, those of views too, are those of a training's state.
    pub(crate) fn training_names(&self) -> TrainingNames {
        TrainingNames::among(|each| {
            self.tensors.iter().take(self.weights()).for_each(|tensor| each(tensor.name));
            let views = self.views.iter().filter(|view| (view.tensor as usize) < self.weights());
            views.for_each(|view| each(&view.name));
        })
    }

    /// The places of those tensors of the files of weights that are the state of a training, by
    /// their names: a checkpoint may hold its optimizer's moments beside its weights. What has a
    /// name among the weights too, as a view, is weights.
    pub(crate) fn training_state(&self) -> BTreeSet<usize> {
        let names = self.training_names();
        let weights = self.tensors.iter().take(self.weights()).enumerate();
        let named = weights.filter(|(_, tensor)| names.has(tensor.name));
        let mut state: BTreeSet<usize> = named.map(|(at, _)| at).collect();
        let mut views: BTreeMap<usize, bool> = BTreeMap::new();
        for view in self.views.iter() {
            let all = views.entry(view.tensor as usize).or_insert(true);
            *all &= names.has(&view.name);
        }
        for (at, all) in views {
            let name = self.tensors.get(at).map_or("", |tensor| tensor.name);
            if !all {
                state.remove(&at);
            } else if at < self.weights() && is_storage(name) {
                state.insert(at);
            }
        }
        state
    }
}
