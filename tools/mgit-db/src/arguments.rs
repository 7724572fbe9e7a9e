//! What may stand on the command line.

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::commands::{
    adopt, backup, bisect, browse, bundle, cat, clone, completions, demo, diff, du, dump, export,
    gc, graph, import, infer, init, log, ls, make, merge, meta, mv, note, parent, pin, pull, push,
    recode, remake, remote, repack, rm, salvage, show, stat, tag, test, update, vacuum, verify,
};
use crate::opening::{WAIT_FOR_EVER, WAIT_SECONDS, parse_wait};

const START: &str = "\
Start with:
  mgit-db demo                                         see it work on real models
  mgit-db init family.mgit                             make a store
  mgit-db import family.mgit base.safetensors --name base
  mgit-db import family.mgit tuned.safetensors --name tuned --parent base

MODEL is a name (its highest version), name@version, a tag, or a node id.
Exit codes: 0 done, 1 failed or damage found, 2 wrong usage. Interrupted (INT, TERM, HUP), a command
removes what is temporary, says what it has done, and ends by the signal; the second one ends it at
once.";

/// Keeps families of machine-learning models in one file.
#[derive(Debug, Parser)]
#[command(name = "mgit-db", version, after_help = START)]
pub struct Arguments {
    /// Print one JSON document on standard output, and nothing else
    #[arg(long, global = true)]
    pub json: bool,

    /// Wait so long for another writer of the store, zero for not at all; --wait alone: for ever
    #[arg(long, global = true, value_name = "SECONDS", value_parser = parse_wait,
          num_args = 0..=1, require_equals = true,
          default_value = WAIT_SECONDS, default_missing_value = WAIT_FOR_EVER)]
    pub wait: Duration,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, each in a file of its own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty store
    Init(init::Arguments),
    /// Bring model files into a store
    Import(import::Arguments),
    /// Find which models files descend from, and import them so
    Infer(infer::Arguments),
    /// Import a folder of files, arranged as the families they are
    Adopt(adopt::Arguments),
    /// Write a model as the files it was imported from
    Export(export::Arguments),
    /// Remove a model
    Rm(rm::Arguments),
    /// Make a model of others by a function, and keep the recipe with it
    Make(make::Arguments),
    /// Make a model again by the recipe that is kept with it
    Remake(remake::Arguments),
    /// Bring everything that descends from a model up to date with a new version of it
    Update(update::Arguments),
    /// Merge two models of one family, layer by layer
    Merge(merge::Arguments),
    /// Encode stored tensors anew, for speed or for size
    Recode(recode::Arguments),
    /// Keep a model raw, so that it is read without a copy
    Pin(pin::Arguments),
    /// Let a pinned model be encoded as others are
    Unpin(pin::Arguments),
    /// Choose anew what tensors are differences from, for size
    Repack(repack::Arguments),
    /// List the models
    Ls(ls::Arguments),
    /// Show a model and its tensors
    Show(show::Arguments),
    /// Show what is different between two models
    Diff(diff::Arguments),
    /// Draw the lineage graph, newest first
    Log(log::Arguments),
    /// Draw the family: text, picture, or a page to explore
    Graph(graph::Arguments),
    /// Look around in a store, in the terminal
    Browse(browse::Arguments),
    /// Set, list or remove tags
    Tag(tag::Arguments),
    /// Give a model another name
    Mv(mv::Arguments),
    /// Write, read or remove the note beside a model
    Note(note::Arguments),
    /// Read or change the metadata of a model, or its kind
    Meta(meta::Arguments),
    /// Change what a model was derived from
    Parent(parent::Arguments),
    /// Register tests of models, run them, show and compare what they found
    Test(test::Arguments),
    /// Find the first model on a way that fails a test
    Bisect(bisect::Arguments),
    /// Print a tensor: its bytes, or its first numbers
    Cat(cat::Arguments),
    /// Show how much is in a store, and what it takes
    Stat(stat::Arguments),
    /// Show where the bytes are: by model, by family, by encoding
    Du(du::Arguments),
    /// Check that a store is intact
    Verify(verify::Arguments),
    /// Show the structures of a store's file
    Dump(dump::Arguments),
    /// Free what nothing needs, and give free blocks back to the disk
    Gc(gc::Arguments),
    /// Write a store anew, without its free space
    Vacuum(vacuum::Arguments),
    /// Copy a store as of its last commit, while writers go on
    Backup(backup::Arguments),
    /// Make a new store of what is whole in a damaged one
    Salvage(salvage::Arguments),
    /// Make a new store with the models of another place
    Clone(clone::Arguments),
    /// Give a remote, or another store, what it does not have
    Push(push::Arguments),
    /// Take in what a remote, or another store, has and this one has not
    Pull(pull::Arguments),
    /// Bring tensors for a later pull
    Fetch(pull::FetchArguments),
    /// Keep, list or forget places to exchange models with
    Remote(remote::Arguments),
    /// Models in one file: write, check, take in
    Bundle(bundle::Arguments),
    /// See it work on real models
    Demo(demo::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
}
