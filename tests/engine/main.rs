//! The store: what goes in comes out, what is done to it does what it says, and it stays small.

mod chains;
#[path = "../common/mod.rs"]
mod common;
mod estimates;
mod folds;
mod formulas;
mod give_back;
mod kept;
mod lineage;
mod recode;
mod remaking;
mod removal;
mod repack;
mod space;
mod store;
mod threads;
mod unwinding;
mod upkeep;
mod verify;
mod waiting;
mod zero_copy;
