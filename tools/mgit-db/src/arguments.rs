//! What may stand on the command line.

use std::time::Duration;

use clap::{Parser, Subcommand};

#[cfg(feature = "serve")]
use crate::commands::serve;
use crate::commands::{
    adopt, backup, bisect, browse, bundle, cat, clone, completions, demo, diff, du, dump, export,
    gc, graph, import, init, log, ls, make, merge, meta, mv, note, parent, pin, pull, push, recode,
    remake, remote, repack, rm, salvage, show, stat, tag, test, update, vacuum, verify,
};
use crate::opening::{WAIT_FOR_EVER, WAIT_SECONDS, parse_wait};

const START: &str = "\
Start with:
  mgit-db demo                                         a demo on real models
  mgit-db init family.mgit                             make a store
  mgit-db import family.mgit base.safetensors --name base
  mgit-db import family.mgit tuned.safetensors --name tuned --parent base

STORE may be left out: it is the one of MGIT_STORE, else the only *.mgit of this folder, or of the
nearest folder above it that has any (MGIT_CEILING ends the search). A path that ends in .mgit, or is
a store, counts first; with --store PATH nothing else is taken for the store.
MODEL is a name (its highest version), name@version, a tag, or a node id.
Exit codes: 0 done, 1 failed or damage found, 2 wrong usage. An interrupted command (INT, TERM,
HUP) removes its temporary files, reports what it has done, and ends by the signal; a second signal
ends it at once.";

/// Keeps families of machine-learning models in one file.
#[derive(Debug, Parser)]
#[command(name = "mgit-db", version, after_help = START)]
pub struct Arguments {
    /// Print one JSON document on standard output, and nothing else
    #[arg(long, global = true)]
    pub json: bool,

    /// How long to wait for another writer of the store; 0: do not wait; --wait alone: wait for
    /// ever
    #[arg(long, global = true, value_name = "SECONDS", value_parser = parse_wait,
          num_args = 0..=1, require_equals = true,
          default_value = WAIT_SECONDS, default_missing_value = WAIT_FOR_EVER)]
    pub wait: Duration,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, each in a file of its own, with what its help says. (A comment here would hide it.)
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Arguments),
    Import(import::Arguments),
    Adopt(adopt::Arguments),
    #[command(hide = true)]
    Infer(adopt::Arguments),
    Export(export::Arguments),
    Rm(rm::Arguments),
    Make(make::Arguments),
    Remake(remake::Arguments),
    Update(update::Arguments),
    Merge(merge::Arguments),
    Recode(recode::Arguments),
    /// Keep models raw, so that they are read without a copy
    Pin(pin::Arguments),
    /// Let pinned models be encoded as others are
    Unpin(pin::Arguments),
    Repack(repack::Arguments),
    Ls(ls::Arguments),
    Show(show::Arguments),
    Diff(diff::Arguments),
    Log(log::Arguments),
    Graph(graph::Arguments),
    Browse(browse::Arguments),
    Tag(tag::Arguments),
    Mv(mv::Arguments),
    Note(note::Arguments),
    Meta(meta::Arguments),
    Parent(parent::Arguments),
    Test(test::Arguments),
    Bisect(bisect::Arguments),
    Cat(cat::Arguments),
    Stat(stat::Arguments),
    Du(du::Arguments),
    Verify(verify::Arguments),
    Dump(dump::Arguments),
    Gc(gc::Arguments),
    Vacuum(vacuum::Arguments),
    Backup(backup::Arguments),
    Salvage(salvage::Arguments),
    Clone(clone::Arguments),
    Push(push::Arguments),
    Pull(pull::Arguments),
    Fetch(pull::FetchArguments),
    Remote(remote::Arguments),
    Bundle(bundle::Arguments),
    #[cfg(feature = "serve")]
    Serve(serve::Arguments),
    Demo(demo::Arguments),
    Completions(completions::Arguments),
}
