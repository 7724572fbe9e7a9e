//! `init`: an empty store.

use std::path::PathBuf;

use mgit::Store;
use serde_json::json;

use crate::destination::check_new;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::quoted;

/// Make an empty store.
///
/// Nothing is replaced, and there is no --force: replacing a file by an empty store could only lose
/// data.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db init family.mgit")]
pub struct Arguments {
    /// The file to make; it must not exist
    store: PathBuf,
}

/// Makes the store.
///
/// # Errors
///
/// Those of [`Store::create`].
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    check_new(&arguments.store)?;
    drop(Store::create(&arguments.store)?);
    let store = arguments.store.display();
    let text = format!(
        "made {store}\n\
         next: mgit-db import {} FILE.safetensors --name NAME\n",
        quoted(&arguments.store)
    );
    output.print(json!({ "store": store.to_string() }), &text)
}
