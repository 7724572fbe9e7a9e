//! What goes wrong from outside: power, disks, rotten bytes, other processes, places where nothing
//! can be written.

#[path = "../common/mod.rs"]
mod common;
mod corruption;
mod io_faults;
mod model_based;
mod multiprocess;
mod pages;
mod power_cuts;
mod refusals;
mod rot;
mod salvage;
#[path = "../simulation/mod.rs"]
mod simulation;
mod unreadable;
