//! Names of tensors and layers.

/// A name that comes twice. Sorts instead of hashing: there can be a million.
pub(crate) fn first_duplicate<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).find_map(|pair| match pair {
        [a, b] if a == b => Some(*a),
        _ => None,
    })
}

/// What the first keys of learning rate schedules, and of generators of random numbers, begin with.
const STATE_KEYS: [&str; 7] = [
    "lr_sched",
    "scheduler_state",
    "grad_scaler",
    "scaler_state",
    "rng_state",
    "cuda_rng_state",
    "random_states",
];
/// Such keys as a whole.
const STATE_KEYS_WHOLE: [&str; 4] = ["scheduler", "schedulers", "opt_state", "opt_states"];
/// What stands before the first key in the files of some trainers.
const WRAPPERS: [&str; 3] = ["state", "checkpoint", "trainer"];

/// The first key of a tensor's name where it says that what is below it is the state of a training:
/// an optimizer's moments, a schedule. An average of the weights (`ema`) is weights.
pub(crate) fn training_key(name: &str) -> Option<&str> {
    let name = name.get(path_len(name)..)?;
    let key = first_key(name);
    let wrapped = name.get(key.len()..).filter(|_| WRAPPERS.contains(&key));
    let key = match wrapped {
        Some(rest) => first_key(rest.strip_prefix('.')?),
        None => key,
    };
    is_training_key(key).then_some(key)
}

/// The length of the path, with its colon, that stands before the names of weights in several
/// folders.
pub(super) fn path_len(name: &str) -> usize {
    match name.split_once(':') {
        Some((path, _)) if path.contains(['/', '.']) => path.len() + 1,
        _ => 0,
    }
}

pub(super) fn first_key(name: &str) -> &str {
    name.split_once('.').map_or(name, |(key, _)| key)
}

pub(super) fn is_training_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_optimizer = |word: &str| {
        word == "optim" || word.starts_with("optimizer") || word.starts_with("optimiser")
    };
    key.split(|letter: char| !letter.is_ascii_alphanumeric()).any(is_optimizer)
        || STATE_KEYS.iter().any(|known| key.starts_with(known))
        || STATE_KEYS_WHOLE.contains(&key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_training_is_known_by_its_first_key() {
        for (name, key) in [
            ("optimizer.state.0.exp_avg", Some("optimizer")),
            ("optimizer_state_dict.state.0.step", Some("optimizer_state_dict")),
            ("optimizer_states.0.state.1.exp_avg_sq", Some("optimizer_states")),
            ("optimizerG.state.0.exp_avg", Some("optimizerG")),
            ("gen_optimizer.state.0.exp_avg", Some("gen_optimizer")),
            ("state.optimizers.Adam.state.w.exp_avg", Some("optimizers")),
            ("a/m.pt:optim.state.0.exp_avg", Some("optim")),
            ("lr_schedulers.0.base_lrs", Some("lr_schedulers")),
            ("scheduler.last", Some("scheduler")),
            ("rng_state", Some("rng_state")),
            ("model.optimizer.weight", None),
            ("optimal_transport.weight", None),
            ("state_dict.encoder.weight", None),
            ("state.model.encoder.weight", None),
            ("ema.encoder.weight", None),
            ("noise_scheduler.betas", None),
            ("state", None),
            ("", None),
        ] {
            assert_eq!(training_key(name), key, "{name}");
        }
    }
}
