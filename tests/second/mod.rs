//! A reader of stores that was written from `format-spec.md`, and shares nothing with the engine.
//!
//! It is slow and obvious: it looks through the file for records, rebuilds the graph from the
//! change records, and decodes every tensor. It needs no catalogue, and panics where the bytes
//! are not as the page says.

mod coded;
pub mod encodings;
pub mod entropy;
pub mod factor_delta;
pub mod float_delta;
pub mod formulas;
pub mod int_delta;
pub mod json;
pub mod record;
pub mod rice_delta;
pub mod sparse_delta;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use json::Json;
use record::{Bytes, Kind, Record, scan};

/// A model as a user sees it.
#[derive(Debug, Default)]
pub struct Model {
    /// `name@version` of its provenance parents, with how it was derived.
    pub parents: Vec<(String, String)>,
    /// `name@version` of the version before.
    pub previous: Option<String>,
    pub metadata: Json,
    /// Of its manifest.
    pub version: u64,
    pub parts: Vec<Part>,
    pub views: Vec<View>,
}

/// A file of a model.
#[derive(Debug)]
pub struct Part {
    pub path: String,
    /// The bytes that belong to no tensor; empty where the model never was a file.
    pub skeleton: Vec<u8>,
    /// How many of them are between each tensor and what is before it.
    pub gaps: Vec<u64>,
    pub tensors: Vec<Tensor>,
}

impl Part {
    /// The file that was imported, if the model came as one.
    pub fn file(&self) -> Option<Vec<u8>> {
        let (mut file, mut rest) = (Vec::new(), &self.skeleton[..]);
        for (tensor, gap) in self.tensors.iter().zip(&self.gaps) {
            file.extend_from_slice(&rest[..*gap as usize]);
            rest = &rest[*gap as usize..];
            file.extend_from_slice(&tensor.bytes);
        }
        file.extend_from_slice(rest);
        (!self.skeleton.is_empty() || !self.path.is_empty()).then_some(file)
    }
}

/// Another name for elements of a tensor.
#[derive(Debug)]
pub struct View {
    pub name: String,
    pub dims: Vec<u64>,
    /// Its elements, the last dimension innermost.
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct Tensor {
    pub name: String,
    /// The code of its type, and the name of an unknown one.
    pub dtype: (u8, String),
    pub dims: Vec<u64>,
    pub bytes: Vec<u8>,
}

/// The records of a file by what they hold, decoded when they are asked for.
pub struct Contents<'f> {
    file: &'f [u8],
    /// The newest first.
    records: HashMap<(Kind, [u8; 32]), Vec<Record>>,
    /// Tensors that are decoded, by their ids, and the depth of what they were decoded from: many
    /// may stand on one.
    known: RefCell<Known>,
}

type Known = HashMap<[u8; 32], (u64, Vec<u8>)>;

impl Contents<'_> {
    /// The content of this id; its hash is checked.
    pub fn get(&self, kind: Kind, id: [u8; 32]) -> Vec<u8> {
        self.get_below(kind, id, u64::MAX).expect("a record of the content")
    }

    /// As `get`, from a record that is less deep. What an earlier state or an unfinished
    /// transaction has left in the file may stand on what stands on it now: of several records the
    /// newest counts whose bases are there, each less deep than what stands on it.
    fn get_below(&self, kind: Kind, id: [u8; 32], below: u64) -> Option<Vec<u8>> {
        if let Some((depth, content)) = self.known.borrow().get(&id)
            && *depth < below
            && kind == Kind::Tensor
        {
            return Some(content.clone());
        }
        let records = self.records.get(&(kind, id))?;
        records.iter().filter(|record| record.depth < below).find_map(|record| {
            let base = |id| self.get_below(Kind::Tensor, id, record.depth);
            let bases: Option<Vec<Vec<u8>>> = record.bases().into_iter().map(base).collect();
            let content = record.decode(self.file, &bases?);
            assert_eq!(*blake3::hash(&content).as_bytes(), id, "the content has its id");
            if kind == Kind::Tensor {
                self.known.borrow_mut().insert(id, (record.depth, content.clone()));
            }
            Some(content)
        })
    }
}

/// Every model of a store's file, by `name@version`.
pub fn read(file: &[u8]) -> BTreeMap<String, Model> {
    let mut records = HashMap::new();
    let mut changes: Vec<(u64, [u8; 32])> = Vec::new();
    for record in scan(file) {
        if record.kind == Kind::Change {
            changes.push((record.sequence, record.content_id));
        }
        let key = (record.kind, record.content_id);
        records.entry(key).or_insert_with(Vec::new).push(record);
    }
    for records in records.values_mut() {
        records.sort_by_key(|record: &Record| std::cmp::Reverse(record.sequence));
    }
    let contents = Contents { file, records, known: RefCell::default() };
    replay(&contents, history(&contents, changes))
}

fn id_of(text: &str) -> [u8; 32] {
    let digits = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(digits)
}

/// The change records from the first to the last, by following `previous` from the highest.
fn history(contents: &Contents<'_>, mut changes: Vec<(u64, [u8; 32])>) -> Vec<Json> {
    changes.sort_unstable();
    let mut next = changes.last().map(|(_, id)| *id);
    let mut history = Vec::new();
    while let Some(id) = next {
        let text = String::from_utf8(contents.get(Kind::Change, id)).unwrap();
        let change = json::parse(&text);
        let previous = change.text("previous");
        // A fold says all that the records before it said.
        next = (!previous.is_empty() && !change.has("fold")).then(|| id_of(&previous));
        history.push(change);
    }
    history.reverse();
    history
}

struct Node {
    full_name: String,
    manifest: [u8; 32],
    previous: Option<String>,
    parents: Vec<(String, String)>,
    metadata: Json,
}

fn replay(contents: &Contents<'_>, history: Vec<Json>) -> BTreeMap<String, Model> {
    let edges = |value: &Json| -> Vec<(String, String)> {
        value.list("parents").iter().map(|edge| (edge.text("parent"), edge.text("how"))).collect()
    };
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    let first = history.first().map_or(1, |change| change.number("sequence"));
    for (change, sequence) in history.iter().zip(first..) {
        assert_eq!(change.number("sequence"), sequence, "commits ascend by one");
        let fold = change.has("fold").then(|| change.get("fold"));
        for operation in fold.as_ref().unwrap_or(change).list("operations") {
            // Operations of the whole store, and tags that went, have none.
            let id = operation.optional("id").unwrap_or_default();
            match operation.text("op").as_str() {
                "add-node" => {
                    let (name, version) = (operation.text("name"), operation.number("version"));
                    let node = Node {
                        full_name: format!("{name}@{version}"),
                        manifest: id_of(&operation.text("manifest")),
                        previous: operation.optional("previous"),
                        parents: edges(&operation),
                        metadata: operation.get("metadata"),
                    };
                    nodes.insert(id, node);
                }
                "remove-node" => drop(nodes.remove(&id)),
                "set-parents" => nodes.get_mut(&id).unwrap().parents = edges(&operation),
                "set-previous" => {
                    nodes.get_mut(&id).unwrap().previous = operation.optional("previous");
                }
                "replace-content" => {
                    let node = nodes.get_mut(&id).unwrap();
                    node.manifest = id_of(&operation.text("manifest"));
                    node.metadata = operation.get("metadata");
                }
                "set-metadata" => {
                    nodes.get_mut(&id).unwrap().metadata = operation.get("metadata");
                }
                "rename-node" => {
                    let (name, version) = (operation.text("name"), operation.number("version"));
                    nodes.get_mut(&id).unwrap().full_name = format!("{name}@{version}");
                }
                // The page says so.
                _ => {}
            }
        }
    }
    let name = |id: &String| nodes[id].full_name.clone();
    let model = |node: &Node| {
        let (version, parts, views) = manifest(contents, node.manifest);
        Model {
            parents: node.parents.iter().map(|(id, how)| (name(id), how.clone())).collect(),
            previous: node.previous.as_ref().map(name),
            metadata: node.metadata.clone(),
            version,
            parts,
            views,
        }
    };
    nodes.values().map(|node| (node.full_name.clone(), model(node))).collect()
}

fn manifest(contents: &Contents<'_>, id: [u8; 32]) -> (u64, Vec<Part>, Vec<View>) {
    let bytes = contents.get(Kind::Manifest, id);
    let mut input = Bytes::new(&bytes);
    let (version, flags) = (input.number(2), input.number(2));
    assert!((version == 1 && flags == 0) || (version == 2 && flags < 2), "version and flags");
    let (parts, tensors) = (input.number(4), input.number(4));
    let mut views = 0;
    let mut files = Vec::new();
    if version == 1 {
        let _index_name = input.text();
        let _index = input.blob();
        for _ in 0..parts {
            let (path, header, count) = (input.text(), input.blob(), input.number(4));
            let head = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
            let skeleton = if header.is_empty() { Vec::new() } else { head };
            let mut gaps = vec![0; count as usize];
            gaps.iter_mut().take(1).for_each(|gap| *gap = skeleton.len() as u64);
            files.push(Part { path, skeleton, gaps, tensors: Vec::new() });
        }
    } else {
        views = input.number(4);
        for _ in 0..parts {
            let (path, _format, role) = (input.text(), input.number(1), input.number(1));
            assert!(role < 2, "a role");
            let len = input.number(8);
            let skeleton = contents.get(Kind::Tensor, input.array());
            assert_eq!(skeleton.len() as u64, len);
            let count = input.number(4);
            let gaps = (0..count).map(|_| input.number(8)).collect();
            files.push(Part { path, skeleton, gaps, tensors: Vec::new() });
        }
    }
    assert_eq!(files.iter().map(|file| file.gaps.len() as u64).sum::<u64>(), tensors);
    for file in &mut files {
        file.tensors = (0..file.gaps.len()).map(|_| tensor(contents, &mut input)).collect();
    }
    let views = (0..views).map(|_| view(&files, &mut input)).collect();
    assert!(input.is_empty(), "nothing is behind the manifest");
    (version, files, views)
}

/// A type, the name of an unknown one, and dimensions.
fn type_of(input: &mut Bytes<'_>) -> (u8, String) {
    let code = input.number(1) as u8;
    (code, if code == 0 { input.text() } else { String::new() })
}

fn tensor(contents: &Contents<'_>, input: &mut Bytes<'_>) -> Tensor {
    let name = input.text();
    let dtype = type_of(input);
    let rank = input.number(1);
    let dims: Vec<u64> = (0..rank).map(|_| input.number(8)).collect();
    let len = input.number(8);
    let bytes = contents.get(Kind::Tensor, input.array());
    assert_eq!(bytes.len() as u64, len);
    Tensor { name, dtype, dims, bytes }
}

fn view(files: &[Part], input: &mut Bytes<'_>) -> View {
    let name = input.text();
    let (place, offset) = (input.number(4) as usize, input.number(8));
    let (code, _) = type_of(input);
    let rank = input.number(1);
    let dims: Vec<u64> = (0..rank).map(|_| input.number(8)).collect();
    let strides: Vec<u64> = (0..rank).map(|_| input.number(8)).collect();
    let tensor = files.iter().flat_map(|file| &file.tensors).nth(place).expect("the tensor");
    let width = match code {
        1 | 5..=11 => 1,
        12..=15 => 2,
        16..=18 => 4,
        19..=22 => 8,
        _ => panic!("a type of whole bytes"),
    };
    let mut bytes = Vec::new();
    for number in 0..dims.iter().product::<u64>() {
        let (mut rest, mut at) = (number, 0);
        for (dim, stride) in dims.iter().zip(&strides).rev() {
            at += rest % dim * stride;
            rest /= dim;
        }
        let begin = (offset + at * width) as usize;
        bytes.extend_from_slice(&tensor.bytes[begin..begin + width as usize]);
    }
    View { name, dims, bytes }
}
