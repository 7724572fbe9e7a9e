//! The tool: every command, run as a user does.

mod address_space;
mod adopt;
mod advice;
mod browser;
mod checks;
mod commands;
mod common;
mod demo;
mod edges;
mod families;
mod faults;
mod found_store;
mod graph;
mod history;
#[cfg(feature = "remote")]
mod hub;
#[cfg(feature = "remote")]
#[path = "../../../../tests/common/hub_stub.rs"]
mod hub_stub;
mod import;
mod instructions;
mod interruptions;
mod locked;
mod log;
mod lossy;
mod many_models;
mod merge;
mod outputs;
mod partial;
mod repack;
mod rot;
#[cfg(feature = "serve")]
mod serve;
mod siblings;
mod standard_output;
mod transfer;
mod update;
mod waiting;
mod ways_out;
