//! What the tensors of an adapter are, by the names that the PEFT library gives them.

use std::collections::{BTreeMap, BTreeSet};

/// The tensors of an adapter for one module, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// `lora_A`, or `lora_embedding_A`.
    pub(super) a: Option<String>,
    /// `lora_B`, or `lora_embedding_B`.
    pub(super) b: Option<String>,
    /// `lora_B.bias`.
    pub(super) bias: Option<String>,
    /// DoRA's lengths of rows, or of an embedding's columns.
    pub(super) magnitude: Option<String>,
    /// Whether it is for an embedding, whose matrix is the product's transpose.
    pub(super) is_embedding: bool,
}

impl Parts {
    /// The names of all that are there.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        [&self.a, &self.b, &self.bias, &self.magnitude].into_iter().flatten()
    }
}

/// An adapter, sorted by what its tensors are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Adapter {
    /// By module.
    pub(super) modules: BTreeMap<String, Parts>,
    /// Whole tensors that take the place of the base's, by the base's name.
    pub(super) whole: BTreeMap<String, String>,
    /// Tensors that stand in the place of another of the same adapter.
    pub(super) twice: Vec<String>,
    /// Other adapters in the same file.
    pub(super) others: BTreeSet<String>,
}

enum Role {
    A,
    B,
    Bias,
    Magnitude,
    Whole,
}

/// A tensor's module, what it is to it, whether of an embedding, and the adapter's name.
fn role(tensor: &str) -> (String, Role, bool, String) {
    let path = tensor.strip_prefix("base_model.model.").unwrap_or(tensor);
    let words: Vec<&str> = path.split('.').collect();
    let at = words.iter().rposition(|word| word.starts_with("lora_"));
    if let Some(at) = at
        && let (module, [marker, rest @ ..]) = words.split_at(at)
    {
        let embedding = marker.starts_with("lora_embedding_");
        let known = match (*marker, rest) {
            ("lora_A", ["weight"]) => Some((Role::A, "")),
            ("lora_A", [name, "weight"]) => Some((Role::A, *name)),
            ("lora_B", ["weight"]) => Some((Role::B, "")),
            ("lora_B", [name, "weight"]) => Some((Role::B, *name)),
            ("lora_B", ["bias"]) => Some((Role::Bias, "")),
            ("lora_B", [name, "bias"]) => Some((Role::Bias, *name)),
            ("lora_embedding_A", []) => Some((Role::A, "")),
            ("lora_embedding_A", [name]) => Some((Role::A, *name)),
            ("lora_embedding_B", []) => Some((Role::B, "")),
            ("lora_embedding_B", [name]) => Some((Role::B, *name)),
            ("lora_magnitude_vector", [] | ["weight"]) => Some((Role::Magnitude, "")),
            ("lora_magnitude_vector", [name] | [name, "weight"]) => Some((Role::Magnitude, *name)),
            _ => None,
        };
        if let Some((role, name)) = known {
            return (module.join("."), role, embedding, name.to_owned());
        }
    }
    let (mut kept, mut name) = (Vec::new(), "");
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "base_layer" => {}
            "modules_to_save" => name = words.next().unwrap_or_default(),
            word => kept.push(word),
        }
    }
    (kept.join("."), Role::Whole, false, name.to_owned())
}

impl Adapter {
    /// Sorts the tensors of these names: those of the adapter `chosen`, or, without, of the only
    /// one that there is.
    pub(super) fn of<'t>(
        tensors: impl Iterator<Item = &'t str>,
        chosen: Option<&str>,
    ) -> Result<Self, BTreeSet<String>> {
        let all: Vec<_> = tensors.map(|tensor| (tensor, role(tensor))).collect();
        let names: BTreeSet<String> = all
            .iter()
            .filter(|(_, (_, role, ..))| !matches!(role, Role::Whole))
            .map(|(_, (.., name))| name.clone())
            .collect();
        let chosen = match chosen {
            Some(chosen) => chosen.to_owned(),
            None if names.len() > 1 => return Err(names),
            None => names.first().cloned().unwrap_or_default(),
        };
        let mut adapter = Adapter::default();
        adapter.others.extend(names.iter().filter(|name| **name != chosen).cloned());
        for (tensor, (module, role, is_embedding, name)) in all {
            // A whole tensor may be without a name where the others have one.
            let is_unnamed = matches!(role, Role::Whole) && name.is_empty();
            if name != chosen && !is_unnamed && !(matches!(role, Role::Whole) && chosen.is_empty())
            {
                adapter.others.insert(name);
                continue;
            }
            let tensor = tensor.to_owned();
            let place = match role {
                Role::Whole => {
                    if let Some(before) = adapter.whole.insert(module, tensor) {
                        adapter.twice.push(before);
                    }
                    continue;
                }
                _ => adapter.modules.entry(module).or_default(),
            };
            place.is_embedding |= is_embedding;
            let place = match role {
                Role::A => &mut place.a,
                Role::B => &mut place.b,
                Role::Bias => &mut place.bias,
                _ => &mut place.magnitude,
            };
            adapter.twice.extend(place.replace(tensor));
        }
        Ok(adapter)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_library_are_sorted_by_what_they_are() {
        let names = [
            "base_model.model.a.q.lora_A.weight",
            "base_model.model.a.q.lora_B.weight",
            "base_model.model.a.q.lora_B.bias",
            "base_model.model.a.q.lora_magnitude_vector",
            "base_model.model.e.lora_embedding_A",
            "base_model.model.e.lora_embedding_B",
            "base_model.model.head.weight",
            "base_model.model.a.q.base_layer.bias",
        ];
        let adapter = Adapter::of(names.into_iter(), None).unwrap();
        let whole: Vec<&str> = adapter.whole.keys().map(String::as_str).collect();
        assert_eq!(whole, ["a.q.bias", "head.weight"]);
        assert_eq!(adapter.modules["a.q"].names().count(), 4);
        assert!(adapter.modules["e"].is_embedding && !adapter.modules["a.q"].is_embedding);
        assert!(adapter.twice.is_empty() && adapter.others.is_empty());
    }

    #[test]
    fn of_several_adapters_one_is_chosen() {
        let names = ["q.lora_A.one.weight", "q.lora_A.two.weight", "h.modules_to_save.two.weight"];
        let all = Adapter::of(names.into_iter(), None).unwrap_err();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), ["one", "two"]);
        let two = Adapter::of(names.into_iter(), Some("two")).unwrap();
        assert_eq!(two.modules["q"].a.as_deref(), Some(names[1]));
        assert_eq!(two.whole["h.weight"], names[2]);
        assert_eq!(two.others.into_iter().collect::<Vec<_>>(), ["one"]);
    }
}
