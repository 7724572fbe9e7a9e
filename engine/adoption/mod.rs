//! Models that come into a store together: which they are, where they belong, and how they go in.
//!
//! Three steps. [`Arrivals::find`] finds the models in folders and files, and opens them;
//! [`Arrivals::plan`] finds out which the store has already, which versions the others become, and
//! who descends from whom; [`AdoptionPlan::run`] imports them so. A program looks at the plan, or
//! shows it, before it runs it: the plan is of plain values, and implements
//! [`serde::Serialize`]. For one model that comes alone there is [`find_parent`].
//!
//! The words: an *arrival* is a model that comes; its *place* is its number among them; a *line* is
//! those of one name, which are versions, oldest first; *kin* are relatives without a direction.
//!
//! Invariants of this room:
//!
//! - What cannot be read does not hide the rest: it is named, and the others go in.
//! - What the store has already, whichever version it is, makes no version.
//! - The files of a few models are open at a time, whatever the number of models.
//! - A parent is written only where it is sure enough to be claimed; kin without a direction are
//!   noted in the metadata of the one that comes second, under [`KIN_KEY`].
//! - Edges go to nodes, not to names: these may be given to others meanwhile.
//!
//! ```
//! use mgit::adoption::{AdoptionOptions, Arrivals};
//! use mgit::interchange::SourceOptions;
//! # use mgit::interchange::export_to_path;
//! # use mgit::{NewModel, NewTensor, Store};
//! # fn main() -> mgit::Result<()> {
//! # let home = tempfile::tempdir()?;
//! # let downloads = home.path().join("downloads");
//! # std::fs::create_dir(&downloads)?;
//! # let mut seed = 1u32;
//! # let mut random = || {
//! #     seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
//! #     (f64::from(seed) / 4_294_967_296.0 - 0.5) as f32
//! # };
//! # let base: Vec<f32> = (0..4096).map(|_| random()).collect();
//! # let scratch = Store::create(home.path().join("scratch.mgit"))?;
//! # for (name, weights) in [("a", base.clone()), ("b", base)] {
//! #     let mut transaction = scratch.begin_write()?;
//! #     let mut model = NewModel::new(name).tensor(NewTensor::from_vec("w", [64, 64], weights));
//! #     if name == "b" {
//! #         model = model.tensor(NewTensor::from_vec("head", [2], vec![1f32; 2]));
//! #     }
//! #     transaction.add_model(model)?;
//! #     transaction.commit()?;
//! #     let path = downloads.join(name).with_extension("safetensors");
//! #     export_to_path(&scratch.snapshot()?.model(name)?, path, &|_| ())?;
//! # }
//! // Two files of which nothing is known: b.safetensors is a.safetensors with a tensor more.
//! let store = Store::create(home.path().join("family.mgit"))?;
//! let arrivals = Arrivals::find([&downloads], &SourceOptions::new())?;
//! let plan = arrivals.plan(&store.snapshot()?)?;
//! for model in &plan.models {
//!     let parent = model.parentage.parent().map(|parent| (&parent.name, &parent.kinship.reasons));
//!     println!("{}: {parent:?}", model.label);
//! }
//!
//! let adopted = plan.run(&store, AdoptionOptions::new()).finish()?;
//! assert_eq!((adopted.added.len(), adopted.failed.len()), (2, 0));
//! let snapshot = store.snapshot()?;
//! let graph = snapshot.graph();
//! assert_eq!(graph.parents(graph.find("b")?.id())?[0].parent, graph.find("a")?.id());
//! # Ok(())
//! # }
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod arrivals;
mod error;
mod findings;
mod input;
mod lines;
mod parentage;
mod plan;
mod run;
mod standing;

pub use arrivals::{Arrival, Arrivals, FailedArrival};
pub use error::AdoptionError;
pub use input::ModelInput;
pub use parentage::find_parent;
pub use parentage::{Candidate, Descent, KIN_KEY, Kin, Parentage, Relative, RelativePlace};
pub use plan::{AdoptionPlan, FileNote, PlannedLine, PlannedModel, PlannedParent, StoredParent};
pub use run::{Added, Adopted, Adoption, AdoptionOptions, Advance, Brought, Outcome, add};
pub use standing::Known;
