//! Promise: of the demo's store, hurt in each of the twenty ways that `docs/reliability.md` lists,
//! `verify`, `show`, `export` and `salvage` do what its table says, and no export ever gives a
//! wrong byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::Sandbox;
use serde_json::Value;

const PAGE: &str = include_str!("../../../../docs/reliability.md");

/// What `dump` says of a whole store, and the ranges that are hurt by it.
struct Places {
    dump: Value,
    file_len: u64,
}

/// What becomes of a range of bytes.
enum Hurt {
    /// One bit of each of these bytes is another.
    Flip(Vec<u64>),
    /// The ranges are zeros.
    Zero(Vec<(u64, u64)>),
    /// The file ends here.
    Cut(u64),
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

impl Places {
    fn records(&self, kind: &str, deep: bool) -> Vec<&Value> {
        let records = self.dump["records"].as_array().unwrap().iter();
        let mut records: Vec<&Value> = records
            .filter(|record| record["kind"] == kind && (number(&record["chain_depth"]) > 0) == deep)
            .collect();
        records.sort_by_key(|record| (number(&record["commit"]), number(&record["offset"])));
        records
    }

    /// The longest root that a delta stands on.
    fn base(&self) -> &Value {
        let bases: Vec<&Value> =
            self.records("tensor", true).into_iter().map(|record| &record["base"]).collect();
        let roots = self.records("tensor", false).into_iter();
        let roots = roots.filter(|root| bases.contains(&&root["content_id"]));
        roots.max_by_key(|root| number(&root["raw_bytes"])).unwrap()
    }

    /// The longest delta.
    fn delta(&self) -> &Value {
        let deltas = self.records("tensor", true).into_iter();
        deltas.max_by_key(|delta| number(&delta["stored_bytes"])).unwrap()
    }

    /// The longest tensor of the first model that no delta stands on.
    fn lone(&self) -> &Value {
        let bases: Vec<&Value> =
            self.records("tensor", true).into_iter().map(|record| &record["base"]).collect();
        let roots = self.records("tensor", false).into_iter();
        let lone = roots
            .filter(|root| number(&root["commit"]) == 1 && !bases.contains(&&root["content_id"]));
        lone.max_by_key(|root| number(&root["raw_bytes"])).unwrap()
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        let extents = self.dump["superblock"]["extents"].as_array().unwrap().iter();
        extents.map(|extent| (number(&extent["offset"]), number(&extent["len"]))).collect()
    }

    /// A byte between a record's end and the next multiple of 64.
    fn behind_a_record(&self) -> u64 {
        let records = self.dump["records"].as_array().unwrap().iter();
        let ends = records.map(|record| number(&record["offset"]) + number(&record["len"]));
        ends.clone().find(|end| end % 64 != 0 && end + 64 < self.file_len).unwrap()
    }
}

fn payload(record: &Value) -> u64 {
    number(&record["offset"]) + number(&record["payload_offset"])
}

fn at(record: &Value) -> u64 {
    number(&record["offset"])
}

/// A part of the file, as the page names it, and how it is hurt.
type Part = (&'static str, fn(&Places) -> Hurt);

/// The twenty, in the order of the page.
const PARTS: [Part; 20] = [
    ("superblock, slot 0: one bit", |_| Hurt::Flip(vec![100])),
    ("superblock, slot 1: one bit", |_| Hurt::Flip(vec![4096 + 100])),
    ("both slots: one bit each", |_| Hurt::Flip(vec![100, 4096 + 100])),
    ("both slots: zeros", |_| Hurt::Zero(vec![(0, 8192)])),
    ("catalogue: the page of its header", |p| Hurt::Zero(vec![(p.extents()[0].0, 4096)])),
    ("catalogue: its last extent", |p| Hurt::Zero(p.extents().into_iter().rev().take(1).collect())),
    ("catalogue: all of it", |p| Hurt::Zero(p.extents())),
    ("catalogue and superblock", |p| Hurt::Zero([vec![(0, 8192)], p.extents()].concat())),
    ("a root's header, no delta on it", |p| Hurt::Flip(vec![at(p.lone()) + 40])),
    ("a root's chunk index, no delta on it", |p| Hurt::Flip(vec![at(p.lone()) + 130])),
    ("a root's payload, no delta on it", |p| Hurt::Flip(vec![payload(p.lone())])),
    ("a root's payload, deltas on it", |p| Hurt::Flip(vec![payload(p.base()) + 1000])),
    ("a delta's header", |p| Hurt::Flip(vec![at(p.delta()) + 70])),
    ("a delta's payload", |p| Hurt::Flip(vec![payload(p.delta()) + 50])),
    ("a manifest's header", |p| Hurt::Flip(vec![at(p.records("manifest", false)[0])])),
    ("a manifest's payload", |p| Hurt::Flip(vec![payload(p.records("manifest", false)[0]) + 9])),
    ("the first change record", |p| Hurt::Flip(vec![payload(p.records("change", false)[0])])),
    ("a change record and the catalogue", |p| {
        let change = (at(p.records("change", false)[2]), 128);
        Hurt::Zero([vec![change], p.extents()].concat())
    }),
    ("padding behind a record", |p| Hurt::Flip(vec![p.behind_a_record()])),
    ("the second half of the file", |p| Hurt::Cut(p.file_len / 2)),
];

/// The rows of the page's table, by part.
fn table() -> BTreeMap<String, Vec<String>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with("## Twenty hurt copies"));
    let rows = lines.skip(1).take_while(|line| !line.starts_with('#'));
    let rows = rows.filter(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|line| {
            let mut cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            (cells.remove(0), cells)
        })
        .collect()
}

fn hurt(path: &Path, whole: &[u8], hurt: Hurt) {
    let mut bytes = whole.to_vec();
    match hurt {
        Hurt::Flip(places) => places.into_iter().for_each(|at| bytes[at as usize] ^= 0x10),
        Hurt::Zero(ranges) => {
            for (at, len) in ranges {
                let end = bytes.len().min((at + len) as usize);
                bytes[at as usize..end].fill(0);
            }
        }
        Hurt::Cut(len) => bytes.truncate(len as usize),
    }
    fs::write(path, bytes).unwrap();
}

fn names(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// What `verify` does, in the words of the page.
fn verify(sandbox: &Sandbox) -> String {
    let answer = sandbox.run(&["verify", "hurt", "--json"]);
    let document = answer.json();
    if let Some(code) = document["error"]["code"].as_str() {
        return format!("refuses: {code}");
    }
    let (whole, hurt) = (names(&document["whole_models"]), names(&document["hurt_models"]));
    let findings = names(&document["findings"]);
    assert_eq!(answer.code, Some(i32::from(findings > 0)), "{document:#}");
    match (findings, document["catalogue_error"].is_string()) {
        (0, _) => "clean".to_owned(),
        (_, true) => format!("scans: {whole} whole, {hurt} hurt"),
        (_, false) => format!("finds it: {whole} whole, {hurt} hurt"),
    }
}

/// Which models `show` and `export` give; an export must be the file that was imported.
fn show_and_export(sandbox: &Sandbox, store: &str, models: &[(String, Vec<u8>)]) -> (usize, usize) {
    let (mut shown, mut exported) = (0, 0);
    for (name, file) in models {
        shown += usize::from(sandbox.run(&["show", store, name]).code == Some(0));
        let answer = sandbox.run(&["export", store, name, "out"]);
        if answer.code == Some(0) {
            assert!(sandbox.read("out") == *file, "{name}: a wrong byte");
            fs::remove_file(sandbox.path("out")).unwrap();
            exported += 1;
        } else {
            assert!(!sandbox.path("out").exists() && !answer.stderr.contains("panicked"));
        }
    }
    (shown, exported)
}

fn salvage(sandbox: &Sandbox, models: &[(String, Vec<u8>)]) -> String {
    let answer = sandbox.run(&["salvage", "hurt", "new", "--json"]);
    let document = answer.json();
    if let Some(code) = document["error"]["code"].as_str() {
        return format!("refuses: {code}");
    }
    assert_eq!(answer.code, Some(i32::from(document["complete"] != true)), "{document:#}");
    assert_eq!(sandbox.json(&["verify", "new"])["clean"], true);
    let saved = names(&document["saved"]);
    let (lost, renamed) = (names(&document["lost"]), names(&document["renamed"]));
    let (_, exported) = show_and_export(sandbox, "new", models);
    assert_eq!(exported, saved, "{document:#}");
    let mut words = vec![format!("saves {saved}")];
    if renamed > 0 {
        words.push(format!("{renamed} without name"));
    }
    if lost > 0 {
        words.push(format!("{lost} lost"));
    }
    if document["source"] == "catalogue" {
        // The names of the lost ones are known.
        assert_eq!(saved + lost, models.len(), "{document:#}");
    }
    if document["uncertain_commit"].is_u64() {
        words.push("the last commit in doubt".to_owned());
    }
    fs::remove_file(sandbox.path("new")).unwrap();
    words.join(", ")
}

#[test]
fn twenty_hurt_copies_do_as_the_page_says() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["demo", "demo"]);
    let whole = sandbox.read("demo/family.mgit");
    let dump = sandbox.json(&["dump", "demo/family.mgit"]);
    let places = Places { dump, file_len: whole.len() as u64 };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    let lineage: Value =
        serde_json::from_slice(&fs::read(folder.join("lineage.json")).unwrap()).unwrap();
    let models: Vec<(String, Vec<u8>)> = lineage["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| {
            let file = folder.join(model["file"].as_str().unwrap());
            (model["name"].as_str().unwrap().to_owned(), fs::read(file).unwrap())
        })
        .collect();

    let mut found = String::new();
    for (part, choose) in PARTS {
        hurt(&sandbox.path("hurt"), &whole, choose(&places));
        let (shown, exported) = show_and_export(&sandbox, "hurt", &models);
        let of = models.len();
        let cells = [
            verify(&sandbox),
            format!("{shown} of {of}"),
            format!("{exported} of {of}"),
            salvage(&sandbox, &models),
        ];
        found += &format!("| {part} | {} |\n", cells.join(" | "));
    }
    let said = table();
    let page: String = PARTS
        .iter()
        .map(|(part, _)| {
            let cells = said.get(*part).map(|cells| cells.join(" | ")).unwrap_or_default();
            format!("| {part} | {cells} |\n")
        })
        .collect();
    assert!(found == page, "the page says\n{page}and it is\n{found}");
    assert_eq!(said.len(), PARTS.len());
}
