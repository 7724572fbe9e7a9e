//! A store over HTTP: the protocol of the Hugging Face Hub, and pages to look at.
//!
//! What is answered is decided in the library ([`mgit::hub`]) and in `pages`; here are sockets, and
//! what keeps strangers from using up the process.
//!
//! Invariants of this room:
//!
//! - A request is answered from one snapshot, which its download keeps until it ends.
//! - A client costs no thread. What a slow one holds is bounded: two pieces of its file, and a place
//!   among the downloads, which it loses when it takes less than a least rate.
//! - A body that cannot be finished is cut off, so that the client knows; why is said on standard
//!   error.

mod access_log;
mod body;
mod credentials;
mod hosts;
mod io_patience;
mod limits;
mod listener;
mod mount;
mod respond;
mod show;
mod target;

pub use credentials::Credentials;
pub use limits::Limits;
pub use listener::{Site, serve};
pub use mount::{Mount, mounts};
