//! The engine as a Python module, `mgit_store._engine`: the classes that the package's own Python is
//! written on.
//!
//! Invariants:
//!
//! - Nothing here knows more of the engine than its public face.
//! - The interpreter is free while the engine works ([`call`]); Python code is called on the thread
//!   that called the engine, and on no other.
//! - What a process has opened, only that process reads, writes and closes ([`owned`]).
//! - Bytes are handed out as buffers ([`buffer`]), which keep what they lie in alive.

// What Python calls with keywords.
#![allow(clippy::too_many_arguments, clippy::type_complexity, reason = "signatures are Python's")]

mod adopting;
mod array;
mod buffer;
mod call;
mod convert;
mod error;
mod functions;
mod making;
mod model;
mod owned;
mod pool;
mod snapshot;
mod store;
mod tensor;
mod testing;
mod transaction;
mod transfer;
mod upkeep;

use pyo3::prelude::*;

#[pymodule]
mod _engine {
    #[pymodule_export]
    use crate::adopting::adopt;
    #[pymodule_export]
    use crate::buffer::Buffer;
    #[pymodule_export]
    use crate::making::{make, merge, merge_plan, remake, update, update_plan};
    #[pymodule_export]
    use crate::model::{Model, Node};
    #[pymodule_export]
    use crate::snapshot::Snapshot;
    #[pymodule_export]
    use crate::store::Store;
    #[pymodule_export]
    use crate::tensor::{Tensor, View};
    #[pymodule_export]
    use crate::testing::{bisect, path_between, run_tests};
    #[pymodule_export]
    use crate::transaction::Transaction;
    #[pymodule_export]
    use crate::transfer::{add_remote, bundle, fetch, pull, push, remotes, remove_remote};
    #[pymodule_export]
    use crate::upkeep::{backup, gc, repack, vacuum};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::pool::remember_process();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
