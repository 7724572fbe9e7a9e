//! The store on the command line. In the definition of each command it is a positional argument,
//! the first; here it becomes the option `--store`, and what was typed is brought into that form
//! before it is parsed:
//!
//! - `--store PATH` names the store; no positional argument is taken for one then;
//! - a first positional argument that is called `*.mgit`, or leads to a file that is a store, is the
//!   store;
//! - one positional argument more than the command takes: the first is the store;
//! - else the store is searched for ([`search`]); where none is found, the first
//!   positional argument is it, as long as the command has all that it needs besides.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::store_search::{STORE_VARIABLE, Search, is_called_store, nowhere, search};

/// What the definitions call the argument.
const STORE: &str = "store";

/// Whether a command has the store as its first positional argument, and a store that is there: one
/// that is made is always named.
fn takes_store(command: &Command) -> bool {
    let first = command.get_positionals().next();
    first.is_some_and(|argument| argument.get_id() == STORE) && command.get_name() != "init"
}

/// The definition of the command line, with the store as an option, to be parsed by. What is told of
/// it is by [`command_told`].
pub fn command() -> Command {
    let option = Arg::new(STORE)
        .long(STORE)
        .value_name("PATH")
        .value_parser(clap::value_parser!(PathBuf))
        .help(format!(
            "The store [default: {STORE_VARIABLE}, or the only *.mgit of this folder or of the \
             nearest folder above it that has any]"
        ));
    with_option(Arguments::command()).arg(option)
}

/// As [`command`], with `[STORE]` in each usage. Cost: builds the definitions of all commands, which
/// is only worth it where one of them is shown.
pub fn command_told() -> Command {
    let command = command();
    let mut built = command.clone();
    built.build();
    with_usage(command, &built)
}

/// Refuses a `--store` before the name of a command that takes none.
///
/// # Errors
///
/// It is there: for other commands it was moved behind the name.
pub fn check_early(matches: &ArgMatches) -> Result<(), Failure> {
    match (matches.try_contains_id(STORE), matches.subcommand_name()) {
        (Ok(true), Some(command)) => {
            Err(Failure::usage(format!("--store does not go with {command}")))
        }
        _ => Ok(()),
    }
}

/// Makes the positional argument of each command an option.
fn with_option(command: Command) -> Command {
    let command = match takes_store(&command) {
        false => command,
        true => command.mut_arg(STORE, |argument| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let more = "it may be named first instead, or be found (see `mgit-db --help`)";
            argument.long(STORE).value_name("PATH").required(false).help(format!("{help}; {more}"))
        }),
    };
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_option))
}

/// Writes `[STORE]` into each usage. `built` knows the usages.
fn with_usage(command: Command, built: &Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        let Some(built) = built.find_subcommand(&name) else { return command };
        command.mut_subcommand(&name, |inner| {
            let has_store = inner.get_opts().any(|argument| argument.get_id() == STORE);
            let inner = match has_store {
                true => inner.override_usage(usage(built)),
                false => inner,
            };
            with_usage(inner, built)
        })
    })
}

fn usage(built: &Command) -> String {
    let usage = built.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    match usage.split_once(" [OPTIONS]") {
        Some((before, after)) => format!("{before} [OPTIONS] [STORE]{after}"),
        None => usage.to_owned(),
    }
}

/// What was typed, with `ls` behind a command that is named without what it is to do (`remote`,
/// `test family.mgit`), and can list: as git does.
pub fn with_ls(command: &Command, mut typed: Vec<OsString>) -> Vec<OsString> {
    let is_named = |words: &[OsString]| match words {
        [before, word] => before != "--store" && command.find_subcommand(word).is_some(),
        _ => false,
    };
    let Some(at) = typed.windows(2).position(is_named).map(|at| at + 1) else { return typed };
    let inner = typed.get(at).and_then(|name| command.find_subcommand(name));
    let Some(inner) = inner.filter(|inner| inner.find_subcommand("ls").is_some()) else {
        return typed;
    };
    let (_, behind) = typed.split_at(at + 1);
    let may_list = match behind.first() {
        None => true,
        Some(word) => word == "--json" || word == "--store" || is_store(word),
    };
    if may_list && !behind.iter().any(|word| inner.find_subcommand(word).is_some()) {
        typed.insert(at + 1, "ls".into());
    }
    typed
}

/// What was typed, with the store as an option; unchanged where the command takes none, is not
/// known or is asked for its help.
///
/// # Errors
///
/// No store is named and none is found, or several are.
pub fn with_store(command: &Command, typed: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    match Typed::read(command, &typed) {
        Some(read) => read.with_store(typed, search),
        None => Ok(typed),
    }
}

/// Where things stand in what was typed.
struct Typed<'c> {
    command: &'c Command,
    /// Behind the last name of a command.
    begin: usize,
    positionals: Vec<usize>,
    /// Where `--store` stands before the command's name.
    early: Option<usize>,
    has_option: bool,
}

impl<'c> Typed<'c> {
    /// None where no store is to be found.
    fn read(root: &'c Command, typed: &[OsString]) -> Option<Self> {
        let mut read = Typed {
            command: root,
            begin: 0,
            positionals: Vec::new(),
            early: None,
            has_option: false,
        };
        let mut at = 1;
        while let Some(word) = typed.get(at) {
            let bytes = word.as_encoded_bytes();
            if bytes == b"--" {
                read.positionals.extend(at + 1..typed.len());
                break;
            }
            if let Some(long) = bytes.strip_prefix(b"--") {
                let name = long.split(|byte| *byte == b'=').next().unwrap_or_default();
                if name == b"help" || name == b"version" {
                    return None;
                }
                if name == STORE.as_bytes() {
                    read.has_option = true;
                    if read.begin == 0 {
                        read.early = Some(at);
                    }
                }
                let is_named = |argument: &Arg| is_long(argument, name);
                at += read.values_behind(root, is_named, name.len() < long.len());
            } else if bytes.len() > 1
                && let Some(cluster) = bytes.strip_prefix(b"-")
            {
                at += read.values_of_cluster(root, cluster)?;
            } else if read.command.has_subcommands() {
                read.command = read.command.find_subcommand(word)?;
                read.begin = at;
            } else {
                read.positionals.push(at);
            }
            at += 1;
        }
        let takes = read.command.get_opts().any(|argument| argument.get_id() == STORE);
        (takes && read.begin > 0).then_some(read)
    }

    /// How many words behind an option are its values.
    fn values_behind(
        &self,
        root: &Command,
        is_named: impl Fn(&Arg) -> bool,
        is_given: bool,
    ) -> usize {
        let options = self.command.get_arguments().chain(root.get_arguments());
        let option = options.into_iter().find(|argument| is_named(argument));
        match option {
            Some(option) if !is_given => values(option),
            _ => 0,
        }
    }

    /// As [`values_behind`](Self::values_behind), of `-abc`: the first that takes a value takes the
    /// rest. None where help or the version is asked for.
    fn values_of_cluster(&self, root: &Command, cluster: &[u8]) -> Option<usize> {
        for (at, letter) in cluster.iter().enumerate() {
            let is_named = |argument: &Arg| argument.get_short() == Some(char::from(*letter));
            let values = self.values_behind(root, is_named, false);
            if values > 0 {
                return Some(if at + 1 == cluster.len() { values } else { 0 });
            }
            if b"hV".contains(letter) {
                return None;
            }
        }
        Some(0)
    }

    fn with_store(
        &self,
        mut typed: Vec<OsString>,
        search: impl Fn() -> Result<Search, Failure>,
    ) -> Result<Vec<OsString>, Failure> {
        if let Some(at) = self.early {
            // The option belongs to the command: it goes behind its name.
            let is_long = typed.get(at).is_some_and(|word| word == "--store");
            let words: Vec<OsString> = typed.drain(at..=at + usize::from(is_long)).collect();
            let begin = self.begin + 1 - words.len();
            typed.splice(begin..begin, words);
            return Ok(typed);
        }
        if self.has_option {
            return Ok(typed);
        }
        let named = self.positionals.first().copied().filter(|at| {
            self.positionals.len() > self.positionals_max() || typed.get(*at).is_some_and(is_store)
        });
        let store = match named {
            Some(at) => typed.remove(at),
            None => match search()?.path() {
                Some(path) => path.into_os_string(),
                None => self.take_first(&mut typed)?,
            },
        };
        let mut option = OsString::from("--store=");
        option.push(store);
        typed.insert(self.begin + 1, option);
        Ok(typed)
    }

    /// Takes the first positional argument for the store, since there is no other.
    fn take_first(&self, typed: &mut Vec<OsString>) -> Result<OsString, Failure> {
        let Some(at) = self.positionals.first() else { return Err(nowhere(None)) };
        let word = typed.remove(*at);
        if self.positionals.len() <= self.positionals_min() && !Path::new(&word).exists() {
            return Err(nowhere(Some(&word.to_string_lossy())));
        }
        Ok(word)
    }

    /// How many positional arguments the command takes at most, besides the store.
    fn positionals_max(&self) -> usize {
        let most = |argument: &Arg| match argument.get_action() {
            ArgAction::Append => usize::MAX,
            _ => argument.get_num_args().map_or(1, |range| range.max_values()),
        };
        self.command.get_positionals().map(most).fold(0, usize::saturating_add)
    }

    /// How many it needs.
    fn positionals_min(&self) -> usize {
        self.command.get_positionals().filter(|argument| argument.is_required_set()).count()
    }
}

fn is_long(argument: &Arg, name: &[u8]) -> bool {
    let aliases = argument.get_all_aliases().unwrap_or_default();
    argument.get_long().into_iter().chain(aliases).any(|long| long.as_bytes() == name)
}

fn values(option: &Arg) -> usize {
    if !option.get_action().takes_values() || option.is_require_equals_set() {
        return 0;
    }
    option.get_num_args().map_or(1, |range| range.min_values())
}

/// Whether a word names a store by its looks, or leads to one.
fn is_store(word: &OsString) -> bool {
    let path = Path::new(word);
    is_called_store(path) || mgit::container::is_store_at(path)
}
