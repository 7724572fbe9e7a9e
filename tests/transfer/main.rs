//! Between places: stores, folders, bundles and object stores; and every other way out of a store.

mod churn;
#[path = "../common/mod.rs"]
mod common;
mod every_way_out;
mod failing;
#[cfg(feature = "remote")]
mod hub;
#[cfg(feature = "remote")]
#[path = "../common/hub_stub.rs"]
mod hub_stub;
#[cfg(feature = "remote")]
mod objects;
mod partial;
mod places;
mod remote_checks;
#[allow(dead_code, reason = "the bytes are what is compared here")]
#[path = "../second/mod.rs"]
mod second;
mod ways;
