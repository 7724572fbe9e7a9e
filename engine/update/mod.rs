//! How models are made from others: creation functions, the recipes that tell of them, and the
//! update of everything that descends from a model.
//!
//! Invariants of this room:
//!
//! - A function sees its inputs and nothing else of the store; what it makes becomes visible in one
//!   commit, with its edges and its recipe, or not at all.
//! - A built-in function makes the same bytes on every machine.
//! - Which models an update has made is told by the models themselves: it can be interrupted
//!   anywhere and goes on without making one twice.
//!
//! ```
//! use mgit::update::{Draft, Functions, Inputs, Make, Update, UpdateMethod};
//! use mgit::{Dtype, How, NewModel, NewTensor, Shape, Store};
//! # let folder = tempfile::tempdir()?;
//! let store = Store::create(folder.path().join("family.mgit"))?;
//! # let add = |name: &str, value: f32| -> mgit::Result<()> {
//! #     let bytes = value.to_le_bytes();
//! #     let tensor = NewTensor::from_bytes("w", Dtype::F32, Shape::new(&[1])?, &bytes);
//! #     let mut transaction = store.begin_write()?;
//! #     transaction.add_model(NewModel::new(name).tensor(tensor))?;
//! #     Ok(transaction.commit()?)
//! # };
//! # add("base", 1.0)?;
//! // A function of this program's own: any closure.
//! let functions = Functions::new().with("double", |inputs: &Inputs| {
//!     let base = inputs.only_parent()?;
//!     let mut draft = Draft::new();
//!     for tensor in base.tensors() {
//!         let view = tensor.view()?;
//!         let twice = view.as_slice::<f32>()?.iter().map(|value| value * 2.0).collect();
//!         draft = draft.floats(tensor.name(), tensor.shape().dims(), twice)?;
//!     }
//!     Ok(draft)
//! });
//! Make::new("task", "double").parent("base", Some(How::FineTune)).run(&store, &functions)?;
//!
//! # add("base", 2.0)?;
//! // There is a new base: what descends from the old one follows, by its own function.
//! let update = Update::new("base@1", "base@2").method(UpdateMethod::Recorded);
//! let outcome = update.run(&store, &functions)?;
//! assert_eq!(outcome.made.len(), 1);
//! let task = store.snapshot()?.model("task@2")?;
//! assert_eq!(task.tensor("w")?.view()?.as_slice::<f32>()?, [4.0]);
//! # Ok::<(), mgit::Error>(())
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod beside;
mod blend;
mod builtin;
mod cascade;
mod chosen;
mod command;
mod draft;
mod draft_files;
mod draft_part;
mod draft_tensor;
mod error;
mod function;
mod functions;
mod make;
mod marker;
mod plan;
mod recipe;
mod remake;

pub(crate) use beside::passed_over;
pub(crate) use blend::blend_tensor;
pub use blend::{BlendSettings, Strategy};
pub use builtin::Builtin;
pub use cascade::{Outcome, Stopped};
pub(crate) use chosen::Chosen;
pub use command::{COMMAND_FUNCTION, CommandFunction};
pub use draft::{Draft, DraftTensor};
pub use error::UpdateError;
pub use function::{Creation, Input, Inputs};
pub use functions::Functions;
pub use make::Make;
pub use marker::{UPDATE_KEY, UpdateMarker};
pub use plan::{Event, Step, StepParent, StepSource, StepState, Update, UpdateMethod, UpdatePlan};
pub use recipe::{RECIPE_KEY, Recipe, RecipeParent};
pub use remake::{Remade, remake};
