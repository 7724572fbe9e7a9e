//! Promise: a room of the engine imports only from rooms on lower floors, and no files import each
//! other in a circle.
//!
//! The floors are those of the table in `docs/architecture.md`. What is read is the text: the
//! `use` lines of each file, and the paths that begin with `crate::` or `super::`, without
//! comments and without the tests of the room. What a room gives on with `pub use` counts as an
//! import of the file that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex_lite::Regex;

/// A module by its path, such as `store`, `read`, `chain`.
type Module = Vec<String>;

/// The modules of the engine, and their code.
#[derive(Default)]
struct Engine {
    code: BTreeMap<Module, String>,
    /// Modules that have modules: `mod.rs`.
    rooms: BTreeSet<Module>,
    /// What each module gives on with `pub use`.
    given_on: BTreeMap<Module, Vec<String>>,
}

impl Engine {
    fn read() -> Self {
        let mut engine = Engine::default();
        engine.read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("engine"), &[]);
        let given_on = engine.code.iter().map(|(module, code)| (module.clone(), uses(code, true)));
        engine.given_on = given_on.collect();
        engine
    }

    fn read_folder(&mut self, folder: &Path, module: &[String]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let inner: Module = module.iter().cloned().chain([name.clone()]).collect();
            if path.is_dir() {
                self.read_folder(&path, &inner);
            } else if matches!(name.as_str(), "mod" | "lib") {
                self.rooms.insert(module.to_vec());
                self.code.insert(module.to_vec(), code_of(&path));
            } else {
                self.code.insert(inner, code_of(&path));
            }
        }
    }

    /// The module that has what `path` names, seen from `from`.
    fn module_of(&self, from: &[String], path: &str, steps: usize) -> Option<Module> {
        let mut parts = path.split("::").map(str::trim).peekable();
        let mut at: Module = from.to_vec();
        match *parts.peek()? {
            "crate" => {
                parts.next();
                at.clear();
            }
            "self" | "super" => {
                while let Some(step) = parts.next_if(|part| matches!(*part, "self" | "super")) {
                    if step == "super" {
                        at.pop();
                    }
                }
            }
            name if self.code.contains_key(&child(&at, name)) => {}
            _ => return None,
        }
        while let Some(name) = parts.next_if(|part| self.code.contains_key(&child(&at, part))) {
            at.push(name.to_owned());
        }
        let Some(name) = parts.next().filter(|name| !matches!(*name, "*" | "self")) else {
            return Some(at);
        };
        let given_on = self.given_on.get(&at)?;
        let given_on = given_on.iter().find(|given| given.rsplit("::").next() == Some(name));
        match given_on.filter(|_| steps < 5) {
            Some(given) => self.module_of(&at, given, steps + 1).or(Some(at)),
            None => Some(at),
        }
    }

    /// What each module imports.
    fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let path = Regex::new(r"\b(?:crate|super)(?:::\w+)+").unwrap();
        let mut imports = BTreeMap::new();
        for (module, code) in &self.code {
            let mut paths = uses(code, false);
            paths.extend(path.find_iter(code).map(|found| found.as_str().to_owned()));
            let mut found: BTreeSet<Module> =
                paths.iter().filter_map(|path| self.module_of(module, path, 0)).collect();
            // A room names its own files, of course.
            let is_room = self.rooms.contains(module);
            found.retain(|other| other != module && !(is_room && other.starts_with(module)));
            imports.insert(module.clone(), found);
        }
        imports
    }
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// A file without comments and without its tests.
fn code_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths that the `use` lines name; only those that are given on.
fn uses(code: &str, given_on: bool) -> Vec<String> {
    let line = Regex::new(r"(?m)^\s*(pub(?:\([^)]*\))? )?use ([\w:][^;]*);").unwrap();
    let found = line.captures_iter(code).filter(|found| !given_on || found.get(1).is_some());
    found.flat_map(|found| paths(&found[2])).collect()
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split_whitespace().collect()];
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..at].trim();
                if !part.is_empty() {
                    all.extend(paths(part).iter().map(|path| format!("{}{path}", before.trim())));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    all
}

/// The floor of each room, as the table says.
fn floors() -> BTreeMap<String, usize> {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = fs::read_to_string(text).unwrap();
    let row = Regex::new(r"(?m)^\| (\d+) \| `(\w+)(?:/|\.rs)` \|").unwrap();
    let rows = row.captures_iter(&text);
    rows.map(|row| (row[2].to_owned(), row[1].parse().unwrap())).collect()
}

#[test]
fn rooms_import_from_lower_floors_only() {
    let (engine, floors) = (Engine::read(), floors());
    let mut wrong = Vec::new();
    for (module, imports) in engine.imports() {
        let Some(room) = module.first() else { continue };
        let floor = floors.get(room).unwrap_or_else(|| panic!("{room}/ is not in the table"));
        for other in imports.iter().filter(|other| other.first() != Some(room)) {
            // The root gives on what the rooms have.
            let Some(below) = other.first().and_then(|other| floors.get(other)) else {
                wrong.push(format!("{} imports the root", module.join("/")));
                continue;
            };
            if below >= floor {
                wrong.push(format!("{} imports {}", module.join("/"), other.join("/")));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(floors.len() > 10, "{floors:?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = Engine::read().imports();
    // What imports nothing that is left goes, until nothing does.
    let mut left: BTreeSet<&Module> = imports.keys().collect();
    loop {
        let is_done =
            |module: &&&Module| !imports[**module].iter().any(|other| left.contains(other));
        let done: Vec<&Module> = left.iter().filter(is_done).copied().collect();
        if done.is_empty() {
            break;
        }
        left.retain(|module| !done.contains(module));
    }
    // What only leads to a circle is not in one.
    let mut in_circle = left.clone();
    loop {
        let is_used = |module: &&&Module| {
            in_circle.iter().any(|other| *other != **module && imports[*other].contains(**module))
        };
        let unused: Vec<&Module> =
            in_circle.iter().filter(|module| !is_used(module)).copied().collect();
        if unused.is_empty() {
            break;
        }
        in_circle.retain(|module| !unused.contains(module));
    }
    let shown: Vec<String> = in_circle
        .iter()
        .map(|module| {
            let inside = imports[*module].iter().filter(|other| in_circle.contains(other));
            let inside: Vec<String> = inside.map(|other| other.join("/")).collect();
            format!("{} -> {}", module.join("/"), inside.join(", "))
        })
        .collect();
    assert!(shown.is_empty(), "files import each other in a circle:\n{}", shown.join("\n"));
}

/// Impl blocks of one type scattered over a room are a hall again.
#[test]
fn a_transaction_is_in_few_files() {
    let block = Regex::new(r"(?m)^impl (?:\w+ for )?Transaction\b").unwrap();
    let engine = Engine::read();
    let files = engine.code.iter().filter(|(_, code)| block.is_match(code));
    let files: Vec<String> = files.map(|(module, _)| module.join("/")).collect();
    assert!((1..=4).contains(&files.len()), "{files:?}");
}

/// A thread that goes on writing must not make a temporary folder again that an interruption has
/// just removed.
#[test]
fn folders_are_made_in_one_place() {
    let engine = Engine::read();
    let makers = engine.code.iter().filter(|(_, code)| code.contains("create_dir_all"));
    let makers: Vec<String> = makers.map(|(module, _)| module.join("/")).collect();
    assert_eq!(makers, ["container/temporary"]);
}

/// The table of behaviours in `docs/architecture.md` is a promise to whoever looks for one.
#[test]
fn what_is_told_to_be_somewhere_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let table = text.split("### Where is ...").nth(1).expect("the table");
    let table = table.split("\n\n").nth(1).expect("its rows");
    let file = Regex::new(r"`([\w/-]+\.rs)`").unwrap();
    let rows = table.lines().skip(2);
    let files: Vec<Vec<String>> = rows
        .map(|row| file.captures_iter(row).map(|found| found[1].to_owned()).collect())
        .collect();
    assert!(files.len() >= 12 && files.iter().all(|row| !row.is_empty()), "{files:?}");
    let missing = files
        .iter()
        .flatten()
        .filter(|file| !root.join("engine").join(file).is_file() && !root.join(file).is_file());
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new());
}
