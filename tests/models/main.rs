//! What is done with models: compared, tested, merged, made from others, rounded, adapted.

mod adapters;
mod adoption;
mod architecture;
mod blend;
#[path = "../common/mod.rs"]
mod common;
mod diff;
mod eight_bits;
mod files_kept;
mod float8_casts;
mod functions;
mod hub;
mod infer;
mod lossy;
mod made_of_files;
mod merge;
mod model_tests;
mod moments;
mod oracles;
mod parents;
mod real_models;
mod real_packages;
mod real_sizes;
mod training_state;
mod update;
mod values;
