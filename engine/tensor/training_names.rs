//! Which names are those of a training's state: by what they begin with, and by what stands among
//! them.

use std::collections::HashSet;

use super::names::{is_training_key, path_len, training_key};

/// What an optimizer keeps of a parameter, and nobody calls a weight below a key `state`.
const MOMENTS: [&str; 6] =
    ["exp_avg", "exp_avg_sq", "exp_avg_sq_row", "exp_inf", "momentum_buffer", "square_avg"];
/// What most of them keep. A weight may be called so, but not beside one of the next.
const STEP: &str = "step";
const BESIDE_STEP: [&str; 6] = ["sum", "acc_delta", "row_var", "variance", "prev", "state1"];
/// The key of an optimizer below which its parameters are, each with a number or a name.
const STATE: &str = "state";
/// The other key of one.
const GROUPS: &str = "param_groups";

/// The names of a training's state among the names of a model: those whose first key says so
/// ([`training_key`]), and those of optimizers that are called otherwise, such as `opt`, or `1` in a
/// tuple: below some `P.state.` there are what optimizers keep, and nothing else.
///
/// All below `P.state` and `P.param_groups` is then such a state, and all below `P` where `P` is
/// called like an optimizer: a key that has other things too may have weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrainingNames {
    /// What they are below, without the dot.
    below: HashSet<String>,
}

/// Where a name has the parts of `P.state.PARAMETER.LEAF`.
struct Entry<'n> {
    /// `P.state`.
    state: &'n str,
    /// `P.state.PARAMETER`.
    parameter: &'n str,
    leaf: &'n str,
}

fn entry(name: &str) -> Option<Entry<'_>> {
    let (parameter, leaf) = name.rsplit_once('.')?;
    if !(MOMENTS.contains(&leaf) || leaf == STEP || BESIDE_STEP.contains(&leaf)) {
        return None;
    }
    let start = path_len(parameter);
    let rest = parameter.get(start..)?;
    // The last one: a file's own first key may be `state` too.
    let state_len = match rest.rfind(".state.") {
        Some(at) => at + ".state".len(),
        None => rest.strip_prefix(STATE)?.strip_prefix('.').map(|_| STATE.len())?,
    };
    Some(Entry { state: parameter.get(..start + state_len)?, parameter, leaf })
}

/// What a name is below, the shortest first.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let dots = name.match_indices('.').map(|(at, _)| at);
    dots.filter_map(|at| name.get(..at)).filter(|prefix| !prefix.is_empty())
}

impl TrainingNames {
    /// Those among the names that `each` gives, the same ones each time.
    pub(crate) fn among(each: impl Fn(&mut dyn FnMut(&str))) -> Self {
        let mut parameters = HashSet::new();
        let (mut with_step, mut with_other) = (HashSet::new(), HashSet::new());
        let mut states: HashSet<String> = HashSet::new();
        each(&mut |name| {
            let Some(found) = entry(name) else { return };
            let parameter = found.parameter.to_owned();
            match found.leaf {
                STEP => drop(with_step.insert(parameter)),
                leaf if BESIDE_STEP.contains(&leaf) => drop(with_other.insert(parameter)),
                _ => drop(parameters.insert(parameter)),
            }
        });
        parameters.extend(with_step.intersection(&with_other).cloned());
        if parameters.is_empty() {
            return TrainingNames::default();
        }
        each(&mut |name| {
            let found = entry(name).filter(|found| parameters.contains(found.parameter));
            if let Some(found) = found.filter(|found| !states.contains(found.state)) {
                states.insert(found.state.to_owned());
            }
        });
        let mut mixed: HashSet<String> = HashSet::new();
        each(&mut |name| {
            let is_known = || prefixes(name).any(|prefix| parameters.contains(prefix));
            let state = prefixes(name).filter(|prefix| states.contains(*prefix));
            let state: Vec<&str> = state.collect();
            if !state.is_empty() && !is_known() {
                mixed.extend(state.into_iter().map(str::to_owned));
            }
        });
        let mut below = HashSet::new();
        for state in &states {
            let owner = state.get(..state.len() - STATE.len()).unwrap_or_default();
            let key = owner.trim_end_matches('.').rsplit(['.', ':']).next().unwrap_or_default();
            if is_called_optimizer(key) {
                below.insert(owner.trim_end_matches('.').to_owned());
            } else if !mixed.contains(state) {
                below.extend([state.clone(), format!("{owner}{GROUPS}")]);
            }
        }
        // Where something else is there too, only the parameters with a state.
        let is_below = |name: &str, below: &HashSet<String>| {
            prefixes(name).any(|prefix| below.contains(prefix)) || below.contains(name)
        };
        parameters.retain(|parameter| !is_below(parameter, &below));
        below.extend(parameters);
        TrainingNames { below }
    }

    /// What says that a name is one of them: its first key, or what it is below.
    pub(crate) fn key<'n>(&self, name: &'n str) -> Option<&'n str> {
        let by_name = training_key(name);
        if by_name.is_some() || self.below.is_empty() {
            return by_name;
        }
        let found = prefixes(name).find(|prefix| self.below.contains(*prefix))?;
        found.get(path_len(name)..)
    }

    /// Whether a name is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.key(name).is_some()
    }
}

/// Whether what has an optimizer's state below it is called like one.
fn is_called_optimizer(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    is_training_key(key) || lower.starts_with("opt") || lower.ends_with("opt")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys<'n>(names: &[&'n str]) -> Vec<Option<&'n str>> {
        let all = TrainingNames::among(|each| names.iter().for_each(|name| each(name)));
        names.iter().map(|name| all.key(name)).collect()
    }

    #[test]
    fn optimizers_of_any_name_are_known_by_what_they_keep() {
        for (names, wanted) in [
            (
                &["model.w", "ema.w", "opt.state.0.exp_avg", "opt.state.0.step", "opt.more.x"][..],
                &[None, None, Some("opt"), Some("opt"), Some("opt")][..],
            ),
            (
                &["0.w", "0.state.0.w", "1.state.0.momentum_buffer", "1.param_groups.0.lr"],
                &[None, None, Some("1.state"), Some("1.param_groups")],
            ),
            // By a parameter's name; the last key `state` counts.
            (
                &["state.model.a.w", "state.b.state.a.w.exp_avg", "state.b.state.a.w.step"],
                &[None, Some("state.b.state"), Some("state.b.state")],
            ),
            (&["state.0.square_avg", "state.0.step"], &[Some("state"), Some("state")]),
            (&["a/m.pt:g.state.0.exp_avg", "a/m.pt:w"], &[Some("g.state"), None]),
            (&["a/m.pt:state.0.exp_avg", "a/m.pt:w"], &[Some("state"), None]),
            (&["x.state.0.step", "x.state.0.sum"], &[Some("x.state"), Some("x.state")]),
            // Beside the optimizer's keys there may be weights.
            (&["all.model.w", "all.state.0.exp_avg"], &[None, Some("all.state")]),
            (
                &["m.state.proj.w", "m.state.0.exp_avg", "m.state.0.step", "m.param_groups.w"],
                &[None, Some("m.state.0"), Some("m.state.0"), None],
            ),
        ] {
            assert_eq!(keys(names), wanted, "{names:?}");
        }
    }

    #[test]
    fn weights_of_such_names_stay_weights() {
        for names in [
            &["state.0.weight", "state.0.bias", "model.state.proj.weight"][..],
            &["model.state.0.step", "model.state.0.weight"],
            &["model.state.0.sum", "model.state.1.step"],
            &["model.exp_avg", "model.state.exp_avg", "opt.weight", "momentum_buffer", "", "."],
            &["ema.state.weight", "estate.0.exp_avg", "model.states.0.exp_avg"],
        ] {
            assert!(keys(names).iter().all(Option::is_none), "{names:?}");
        }
    }
}
