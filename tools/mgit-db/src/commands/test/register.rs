//! `test add`, `rm` and `ls`.

use std::path::PathBuf;
use std::time::Duration;

use mgit::Snapshot;
use mgit::command::{Template, TrustFile};
use mgit::lineage::ModelName;
use mgit::model_tests::{Bound, Builtin, CommandTrust, Selector, Test, What};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::model_argument::ModelArgument;
use crate::opening;
use crate::output::Output;
use crate::text::{Side, Table};

/// Register a test, also for models that are added later.
///
/// Without a selection the test is for all models. A command that you register is thereby trusted;
/// a command that came with a store runs only after `test add`, or with `test run --trust`.
#[derive(Debug, clap::Args)]
pub struct AddArguments {
    /// The store
    store: PathBuf,
    /// The test's name; the rules are those of a model's name
    name: ModelName,
    #[command(flatten)]
    what: WhatArguments,
    /// Only this model: name, name@version, tag or node id
    #[arg(long, group = "selection")]
    model: Option<ModelArgument>,
    /// Only models of this kind
    #[arg(long, group = "selection")]
    kind: Option<String>,
    /// Only models whose name matches: * for any characters, ? for one
    #[arg(long, value_name = "GLOB", group = "selection")]
    name_glob: Option<String>,
    /// Only models whose name contains a match of this regular expression
    #[arg(long, value_name = "REGEX", group = "selection")]
    name_regex: Option<String>,
    /// A bound on a metric: accuracy>=0.9, loss<=parent*1.02, accuracy>=previous-0.01
    #[arg(long, value_parser = parse_bound)]
    bound: Vec<Bound>,
    /// Seconds after which a command is killed
    #[arg(long, value_name = "SECONDS", default_value_t = Test::TIME_LIMIT.as_secs_f64(),
          value_parser = parse_seconds)]
    time_limit: f64,
    /// Replace the test of this name
    #[arg(short, long)]
    force: bool,
}

/// What is run.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct WhatArguments {
    /// A built-in test: finite, norm-drift, sparsity, statistics
    #[arg(long, value_name = "TEST", value_parser = parse_builtin)]
    builtin: Option<Builtin>,
    /// A command, as one argument; {model} is the model's file, {folder} a folder with
    /// the whole model
    #[arg(long, value_name = "COMMAND", value_parser = parse_command)]
    command: Option<Template>,
}

fn parse_bound(text: &str) -> Result<Bound, String> {
    text.parse::<Bound>().map_err(|error| error.to_string())
}

/// Reads the name of a built-in test.
///
/// # Errors
///
/// Says which there are.
pub fn parse_builtin(text: &str) -> Result<Builtin, String> {
    let names = Builtin::ALL.map(Builtin::name).join(", ");
    text.parse::<Builtin>().map_err(|_| format!("the built-in tests are {names}"))
}

fn parse_command(text: &str) -> Result<Template, String> {
    text.parse::<Template>().map_err(|error| error.to_string())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| *s > 0.0 && *s <= 1e9);
    seconds.ok_or_else(|| "a number of seconds above 0".to_owned())
}

/// Registers a test.
///
/// # Errors
///
/// There is one of its name; the model is not there; the file of trusted commands cannot be
/// written.
pub fn add(arguments: &AddArguments, output: &Output) -> Result<(), Failure> {
    let what = match (&arguments.what.builtin, &arguments.what.command) {
        (Some(builtin), _) => What::Builtin(*builtin),
        (_, Some(command)) => What::Command(command.clone()),
        _ => return Err(Failure::usage("name a built-in test or a command")),
    };
    let store = opening::open(&arguments.store)?;
    let mut test = Test::new(arguments.name.as_str(), what);
    test.bounds.clone_from(&arguments.bound);
    test.time_limit = Duration::from_secs_f64(arguments.time_limit);
    let snapshot = store.snapshot()?;
    test.on = match arguments {
        AddArguments { model: Some(model), .. } => {
            Selector::Node(snapshot.graph().find(model)?.id())
        }
        AddArguments { kind: Some(kind), .. } => Selector::Kind(kind.clone()),
        AddArguments { name_glob: Some(glob), .. } => Selector::glob(glob)?,
        AddArguments { name_regex: Some(regex), .. } => Selector::regex(regex)?,
        _ => Selector::All,
    };
    if !arguments.force && snapshot.tests()?.iter().any(|(name, _)| *name == test.name) {
        let message = format!("there is a test {}: --force replaces it", test.name);
        return Err(Failure::failed("test-exists", message));
    }
    let models = snapshot.nodes()?.iter().filter(|node| test.on.matches(node)).count();
    let mut transaction = store.begin_write()?;
    test.register(&mut transaction)?;
    // Trusted first: a test that is registered can then be run by whoever registered it.
    let mut note = String::new();
    if let What::Command(command) = &test.what {
        match TrustFile::of_user() {
            Some(file) => file.add(command)?,
            None => note = "no HOME to remember trust in: run it with --trust\n".to_owned(),
        }
    }
    transaction.commit()?;
    let mut document = document(&test, &snapshot)?;
    document["models"] = models.into();
    let plural = if models == 1 { "" } else { "s" };
    let text = format!("test {} is for {models} model{plural} now here\n{note}", test.name);
    output.print(document, &text)
}

/// Take a test away; what it found stays.
#[derive(Debug, clap::Args)]
pub struct RmArguments {
    /// The store
    store: PathBuf,
    /// The test
    name: ModelName,
}

/// Takes a test away.
///
/// # Errors
///
/// There is none of this name.
pub fn rm(arguments: &RmArguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open(&arguments.store)?;
    let mut transaction = store.begin_write()?;
    let name = arguments.name.to_string();
    if !transaction.remove_test(&name)? {
        return Err(mgit::model_tests::TestError::NoSuchTest { test: name }.into());
    }
    transaction.commit()?;
    output.print(json!({ "removed": name }), &format!("test {name} is gone\n"))
}

/// List the tests.
#[derive(Debug, clap::Args)]
pub struct LsArguments {
    /// The store
    store: PathBuf,
}

fn selection(test: &Test, snapshot: &Snapshot) -> Result<String, Failure> {
    Ok(match &test.on {
        Selector::All => "all".to_owned(),
        Selector::Node(id) => match snapshot.graph().node(*id)? {
            Some(node) => node.full_name(),
            None => format!("{id} (gone)"),
        },
        Selector::Kind(kind) => format!("kind {kind}"),
        Selector::Glob(glob) => glob.clone(),
        Selector::Regex(regex) => format!("/{}/", regex.as_str()),
    })
}

fn document(test: &Test, snapshot: &Snapshot) -> Result<Value, Failure> {
    let mut object = test.to_json();
    object.insert("test".to_owned(), test.name.clone().into());
    object.insert("for".to_owned(), selection(test, snapshot)?.into());
    if let What::Command(command) = &test.what {
        let is_trusted = CommandTrust::of_user().check(command).is_ok();
        object.insert("trusted".to_owned(), is_trusted.into());
        object.insert("trust_id".to_owned(), command.trust_id().to_string().into());
    }
    Ok(Value::Object(object))
}

/// Lists the tests.
///
/// # Errors
///
/// A definition cannot be understood.
pub fn ls(arguments: &LsArguments, output: &Output) -> Result<(), Failure> {
    let store = opening::open_read_only(&arguments.store)?;
    let snapshot = store.snapshot()?;
    let columns = ["TEST", "FOR", "RUNS", "BOUNDS"].map(|name| (name, Side::Left));
    let mut table = Table::new(&columns);
    let mut documents = Vec::new();
    for test in Test::all(&snapshot)? {
        let document = document(&test, &snapshot)?;
        let runs = match &test.what {
            What::Builtin(builtin) => builtin.name().to_owned(),
            What::Command(command) if document["trusted"] == true => command.to_string(),
            What::Command(command) => format!("{command} (not trusted)"),
            What::Code(name) => format!("{name} (of a program)"),
        };
        let bounds: Vec<String> = test.bounds.iter().map(Bound::to_string).collect();
        table.row([test.name.clone(), selection(&test, &snapshot)?, runs, bounds.join(" ")]);
        documents.push(document);
    }
    let text = if documents.is_empty() { "no tests\n".to_owned() } else { table.lines("") };
    output.print(json!({ "tests": documents }), &text)
}
