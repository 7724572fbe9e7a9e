//! A simulated disk, what a power cut may leave of it, a plain model of a store, and random
//! histories of everything that can be done to one. Shared by the tests and the fuzz targets.
//!
//! An operation is added in one place: a change inside a transaction in [`changes::CHANGES`], a
//! step of the store as a whole in [`session::STEPS`].

#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod changes;
pub mod choices;
pub mod crash;
pub mod disk;
pub mod faults;
pub mod plain;
pub mod power_cut;
pub mod session;
