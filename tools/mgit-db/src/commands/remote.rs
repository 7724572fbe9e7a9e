//! `remote`: the places that a store exchanges models with.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use mgit::transfer::{add_remote, remotes, remove_remote};
use serde_json::json;

use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::text::{Side, Table, shown};

/// Add, list or remove remotes: places to exchange models with.
///
/// A remote is another store, a folder, or the address of an object store. Credentials are never
/// stored: they are taken from the environment, as each object store's own tools do
/// (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY, ...).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mgit-db remote add family.mgit origin s3://bucket/family
  mgit-db remote ls family.mgit
  mgit-db remote rm family.mgit origin")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a remote
    Add {
        /// The store
        store: PathBuf,
        /// Its name, such as origin
        name: String,
        /// A path, or an address such as s3://bucket/path
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        url: String,
    },
    /// List the remotes
    Ls {
        /// The store
        store: PathBuf,
    },
    /// Remove a remote; the models stay
    Rm {
        /// The store
        store: PathBuf,
        /// Its name
        name: String,
    },
}

/// Keeps, lists or forgets.
///
/// # Errors
///
/// An address with credentials; a remote that is not there; those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    match &arguments.command {
        Command::Add { store, name, url } => {
            let remote = add_remote(&opening::open(store)?, name, url)?;
            let text = format!("remote {} is {}\n", remote.name, shown(&remote.url));
            output.print(json!({ "name": remote.name, "url": remote.url }), &text)
        }
        Command::Rm { store, name } => {
            remove_remote(&opening::open(store)?, name)?;
            output.print(json!({ "name": name, "url": null }), &format!("remote {name} is gone\n"))
        }
        Command::Ls { store } => {
            let kept = remotes(&opening::open_read_only(store)?.snapshot()?)?;
            let mut table = Table::new(&[("REMOTE", Side::Left), ("PLACE", Side::Left)]);
            let mut documents = Vec::new();
            for remote in kept {
                documents.push(json!({ "name": remote.name, "url": remote.url }));
                table.row([shown(&remote.name), shown(&remote.url)]);
            }
            let text = match documents.as_slice() {
                [] => "no remotes\n".to_owned(),
                _ => table.lines(""),
            };
            output.print(json!({ "remotes": documents }), &text)
        }
    }
}
