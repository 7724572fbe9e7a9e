//! The commands: a file each, with its arguments and what it does.

pub mod adopt;
pub mod backup;
pub mod bisect;
pub mod browse;
pub mod bundle;
pub mod cat;
pub mod clone;
pub mod completions;
pub mod demo;
pub mod diff;
pub mod du;
pub mod dump;
pub mod export;
pub mod gc;
pub mod graph;
pub mod import;
pub mod init;
pub mod log;
pub mod ls;
pub mod make;
pub mod merge;
pub mod meta;
pub mod mv;
pub mod note;
pub mod parent;
pub mod pin;
pub mod pull;
pub mod push;
pub mod recode;
pub mod remake;
pub mod remote;
pub mod repack;
pub mod rm;
pub mod salvage;
#[cfg(feature = "serve")]
pub mod serve;
pub mod show;
pub mod stat;
pub mod tag;
pub mod test;
pub mod transfer;
pub mod update;
pub mod vacuum;
pub mod verify;
pub mod verify_remote;

use std::process::ExitCode;

use crate::arguments::Command;
use crate::failure::Failure;
use crate::output::Output;

/// Does what was asked.
///
/// # Errors
///
/// What the command answers when it cannot be done.
pub fn run(command: Command, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(arguments) => init::run(&arguments, output),
        Command::Import(arguments) => import::run(&arguments, output),
        Command::Infer(arguments) => return adopt::run_infer(arguments, output),
        Command::Adopt(arguments) => return adopt::run(&arguments, output),
        Command::Export(arguments) => export::run(&arguments, output),
        Command::Rm(arguments) => rm::run(&arguments, output),
        Command::Make(arguments) => make::run(&arguments, output),
        Command::Remake(arguments) => return remake::run(&arguments, output),
        Command::Update(arguments) => return update::run(&arguments, output),
        Command::Merge(arguments) => return merge::run(&arguments, output),
        Command::Recode(arguments) => recode::run(&arguments, output),
        Command::Pin(arguments) => pin::run(&arguments, true, output),
        Command::Unpin(arguments) => pin::run(&arguments, false, output),
        Command::Repack(arguments) => repack::run(&arguments, output),
        Command::Ls(arguments) => return ls::run(&arguments, output),
        Command::Show(arguments) => show::run(&arguments, output),
        Command::Diff(arguments) => diff::run(&arguments, output),
        Command::Log(arguments) => log::run(&arguments, output),
        Command::Graph(arguments) => graph::run(&arguments, output),
        Command::Browse(arguments) => browse::run(&arguments, output),
        Command::Tag(arguments) => tag::run(&arguments, output),
        Command::Mv(arguments) => mv::run(&arguments, output),
        Command::Note(arguments) => note::run(&arguments, output),
        Command::Meta(arguments) => meta::run(&arguments, output),
        Command::Test(arguments) => return test::run(&arguments, output),
        Command::Bisect(arguments) => return bisect::run(&arguments, output),
        Command::Parent(arguments) => parent::run(&arguments, output),
        Command::Cat(arguments) => cat::run(&arguments, output),
        Command::Stat(arguments) => stat::run(&arguments, output),
        Command::Verify(arguments) => return verify::run(&arguments, output),
        Command::Du(arguments) => du::run(&arguments, output),
        Command::Dump(arguments) => return dump::run(&arguments, output),
        Command::Gc(arguments) => gc::run(&arguments, output),
        Command::Vacuum(arguments) => vacuum::run(&arguments, output),
        Command::Backup(arguments) => backup::run(&arguments, output),
        Command::Salvage(arguments) => return salvage::run(&arguments, output),
        Command::Clone(arguments) => clone::run(&arguments, output),
        Command::Push(arguments) => push::run(&arguments, output),
        Command::Pull(arguments) => pull::run(&arguments, output),
        Command::Fetch(arguments) => pull::run_fetch(&arguments, output),
        Command::Remote(arguments) => remote::run(&arguments, output),
        Command::Bundle(arguments) => bundle::run(&arguments, output),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(&arguments, output),
        Command::Demo(arguments) => demo::run(&arguments, output),
        Command::Completions(arguments) => completions::run(&arguments, output),
    }?;
    Ok(ExitCode::SUCCESS)
}
