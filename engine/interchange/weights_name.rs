//! Which files are weights, by their names.

use std::path::Path;

/// How the names of weights end.
const EXTENSIONS: [&str; 23] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "tar",
    "gguf",
    "ggml",
    "onnx",
    "npz",
    "npy",
    "h5",
    "hdf5",
    "keras",
    "msgpack",
    "pb",
    "tflite",
    "mlmodel",
    "mar",
    "t7",
    "params",
    "pdparams",
    "onnx_data",
];

/// Files of a training run that are no weights of the model, by how their names begin.
const TRAINING_STATE: [&str; 7] =
    ["optimizer", "optim_", "scheduler", "scaler", "rng_state", "random_states", "training_args"];

/// Whether a file of this name is to hold weights, or the state of a training.
pub(super) fn is_weights_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Whether a file of this name holds the state of a training: an optimizer's, a generator's of
/// random numbers.
pub(super) fn is_training_state(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    TRAINING_STATE.iter().any(|known| name.starts_with(known)) || name.contains("optim_states")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_told_from_the_state_of_a_training_and_from_all_else() {
        for (name, weights, state) in [
            ("a/model.safetensors", true, false),
            ("MODEL.PT", true, false),
            ("optimizer.pt", true, true),
            ("rng_state_0.pth", true, true),
            ("zero_pp_rank_0_mp_rank_00_optim_states.pt", true, true),
            ("README.md", false, false),
            ("bin", false, false),
        ] {
            let path = Path::new(name);
            assert_eq!(
                (is_weights_name(path), is_training_state(path)),
                (weights, state),
                "{name}"
            );
        }
    }
}
