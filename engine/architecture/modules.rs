//! The tree of modules that the names of tensors spell.

use std::collections::HashMap;

use super::TensorInfo;
use super::kinds::{is_shortcut, rank_among_siblings};

/// The deepest path; what is deeper stays in one name.
const DEPTH_MAX: usize = 32;

/// A module: its own tensors and its parts.
#[derive(Debug, Default)]
pub(super) struct Module<'a> {
    pub(super) name: &'a str,
    /// Places of its own tensors.
    pub(super) tensors: Vec<u32>,
    /// Places of its parts in the list of all modules.
    pub(super) parts: Vec<usize>,
}

/// The path of a tensor's module, the last part of its name, and what parts the two.
pub(super) fn split(name: &str) -> (&str, &str, char) {
    let separator = if name.contains('/') { '/' } else { '.' };
    let (path, last) = name.rsplit_once(separator).unwrap_or((name, "value"));
    (path, last, separator)
}

/// All modules; the first is the whole model. A part stands behind its module.
pub(super) fn modules<'a>(tensors: &[TensorInfo<'a>]) -> Vec<Module<'a>> {
    let mut modules = vec![Module::default()];
    let mut known: HashMap<(usize, &str), usize> = HashMap::new();
    for (place, tensor) in tensors.iter().enumerate() {
        let (path, _, separator) = split(tensor.name);
        let mut at = 0;
        for name in path.splitn(DEPTH_MAX, separator) {
            let next = modules.len();
            let part = *known.entry((at, name)).or_insert(next);
            if part == next {
                modules.push(Module { name, ..Module::default() });
                if let Some(module) = modules.get_mut(at) {
                    module.parts.push(part);
                }
            }
            at = part;
        }
        if let Some(module) = modules.get_mut(at) {
            module.tensors.push(place as u32);
        }
    }
    order_parts(&mut modules);
    modules
}

/// Parts in the order they probably work: numbers by value, known words by their rank, others as
/// they came.
fn order_parts(modules: &mut [Module<'_>]) {
    let names: Vec<&str> = modules.iter().map(|module| module.name).collect();
    for module in modules {
        module.parts.sort_by_key(|part| {
            let name = names.get(*part).copied().unwrap_or_default();
            match number(name) {
                Some(number) => (54, number),
                // What goes around its siblings is seen when they are.
                None if is_shortcut(name) => (95, 0),
                None => (rank_among_siblings(name), numbered_end(name)),
            }
        });
    }
}

/// The number that a name is.
pub(super) fn number(name: &str) -> Option<u64> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

/// The number a name ends in, so that `layer10` comes behind `layer9`.
fn numbered_end(name: &str) -> u64 {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name.get(name.len() - digits..).and_then(|text| text.parse().ok()).unwrap_or(0)
}
