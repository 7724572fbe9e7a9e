//! Adapters: low-rank matrices for those of a base, by the names that the PEFT library gives them.

use std::collections::HashMap;

use super::member::Member;
use crate::tensor::Shape;

/// The pairs of an adapter: the module's name, and the shapes of A and B.
fn pairs<'m>(member: &'m Member<'_>) -> Vec<(&'m str, &'m Shape, &'m Shape)> {
    let by_name: HashMap<&str, &Shape> =
        member.tensors().iter().map(|it| (it.name.as_str(), &it.shape)).collect();
    let pair = |(name, a): (&&'m str, &&'m Shape)| {
        let (module, marker) = [".lora_A", ".lora_embedding_A"]
            .into_iter()
            .find_map(|marker| Some((name.split_once(marker)?.0, marker)))?;
        let left = name.replacen(marker, &marker.replace('A', "B"), 1);
        Some((module, *a, *by_name.get(left.as_str())?))
    };
    by_name.iter().filter_map(pair).collect()
}

/// Whether a model is an adapter.
pub(super) fn is_adapter(member: &Member<'_>) -> bool {
    !pairs(member).is_empty()
}

/// Whether the matrices of an adapter fit those of a base: at least half of their modules are
/// there, and each of these has the shape of the product.
pub(super) fn fits(adapter: &Member<'_>, base: &Member<'_>) -> bool {
    let weights: HashMap<&str, &Shape> = base
        .tensors()
        .iter()
        .filter_map(|it| Some((it.name.strip_suffix(".weight")?, &it.shape)))
        .collect();
    let find = |module: &str| {
        // A model with a head has a prefix before the names of the model without.
        let inner = module.match_indices('.').filter_map(|(at, _)| module.get(at + 1..));
        let exact = [module].into_iter().chain(inner).find_map(|name| weights.get(name));
        exact.copied().or_else(|| {
            let mut longer = weights.iter().filter(|(name, _)| {
                name.strip_suffix(module).is_some_and(|before| before.ends_with('.'))
            });
            longer.next().map(|(_, shape)| *shape).filter(|_| longer.next().is_none())
        })
    };
    let pairs = pairs(adapter);
    let mut found = 0;
    for (module, a, b) in &pairs {
        let module = module.strip_prefix("base_model.model.").unwrap_or(module);
        let Some(shape) = find(module) else { continue };
        let at = |shape: &Shape, at: usize| shape.dims().get(at).copied();
        let (rows, columns) = (at(b, 0), at(a, 1));
        let (first, second) = (at(shape, 0), at(shape, 1));
        let is_product = (first, second) == (rows, columns) || (second, first) == (rows, columns);
        if !is_product || at(a, 0) != at(b, 1) {
            return false;
        }
        found += 1;
    }
    found > 0 && found * 2 >= pairs.len()
}
