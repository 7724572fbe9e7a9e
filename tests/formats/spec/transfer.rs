//! Promise: the section on remotes of `format-spec.md` is what is written: a remote in a folder is
//! read by nothing but the page's tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::page::{fields, little_endian, section, table};
use crate::common;
use crate::common::remote::{ALL, family};
use mgit::format::{RECORD_HEADER_LEN, RecordHeader, RecordKind};
use mgit::transfer::{FolderRemote, push_to_remote};
use mgit::{ContentId, Store};
use serde_json::Value;

/// Values of fields, by name.
type Values = BTreeMap<String, Vec<u8>>;
/// Tells the length of a field that the table has in words.
type Lengths<'l> = &'l dyn Fn(&str, &Values) -> Option<u64>;

/// Numbers and bytes one after the other.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, len: u64) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(len as usize);
        self.0 = rest;
        taken
    }

    /// The fields of a table; `lengths` are those that the table tells in words.
    fn fields(&mut self, heading: &str, lengths: Lengths<'_>) -> Values {
        let mut values = BTreeMap::new();
        for row in table(heading) {
            let len = match row[1].as_str() {
                "u8" => 1,
                "u16" => 2,
                "u32" => 4,
                "u64" => 8,
                text if text.ends_with(" bytes") => text[..text.len() - 6].parse().unwrap(),
                _ => match lengths(&row[0], &values) {
                    Some(len) => len,
                    None => break,
                },
            };
            let value = self.take(len).to_vec();
            assert!(row[0] != "reserved" || value.iter().all(|byte| *byte == 0), "{heading}");
            values.insert(row[0].clone(), value);
        }
        values
    }
}

fn names(heading: &str, at: usize) -> BTreeSet<String> {
    table(heading).into_iter().map(|row| row[at].clone()).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_remote_is_read_by_the_page() {
    let folder = common::folder();
    let store: Store = family(&folder.path().join("a.mgit"));
    let remote = folder.path().join("remote");
    push_to_remote(&store, &FolderRemote::new(&remote), ALL).unwrap();
    let last: Value =
        serde_json::from_slice(&fs::read(remote.join("refs/00000001")).unwrap()).unwrap();
    let mut wanted = names("Ref fields", 0);
    assert!(wanted.remove("replaced"), "absent where nothing was lost");
    assert_eq!(keys(&last), wanted);
    assert_eq!((&last["format"], &last["version"]), (&"mgit-ref".into(), &1.into()));
    assert_eq!((&last["number"], &last["previous"]), (&1.into(), &"".into()));
    let packs = last["packs"].as_array().unwrap();
    assert_eq!(packs.len(), 1);
    let pack = &packs[0];
    let said = section("Ref fields").join(" ");
    assert!(keys(pack).iter().all(|key| said.contains(&format!("`{key}`"))), "{pack}");

    let id = pack["id"].as_str().unwrap();
    let bytes = fs::read(remote.join(format!("packs/{id}.pack"))).unwrap();
    assert_eq!(bytes.len() as u64, pack["bytes"].as_u64().unwrap());
    assert_eq!(&bytes[..10], b"MGITPACK\x01\0");
    let (rest, end) = bytes.split_at(bytes.len() - 64);
    let trailer: BTreeMap<String, &[u8]> = fields("Pack trailer", 64)
        .into_iter()
        .map(|(offset, len, name)| (name, &end[offset..offset + len]))
        .collect();
    assert_eq!(trailer["magic"], b"MGITPEND");
    let offset = little_endian(trailer["index_offset"]);
    assert_eq!(offset, pack["index_offset"].as_u64().unwrap());
    let index = &rest[offset as usize..];
    assert_eq!(little_endian(trailer["index_bytes"]), index.len() as u64);
    assert_eq!(trailer["id"], ContentId::of(index).as_bytes());
    assert_eq!(ContentId::of(index).to_string(), id);
    assert_eq!(little_endian(trailer["crc"]), u64::from(crc32fast::hash(&end[..60])));

    let mut read = Bytes(index);
    let head = read.fields("Pack index", &|_, _| None);
    assert_eq!((&head["magic"][..], little_endian(&head["version"])), (&b"MGITPIDX"[..], 1));
    let snapshot = store.snapshot().unwrap();
    let mut tensors = BTreeSet::new();
    for _ in 0..little_endian(&head["record_count"]) {
        let bases = |_: &str, values: &BTreeMap<String, Vec<u8>>| {
            Some(32 * little_endian(&values["base_count"]))
        };
        let record = read.fields("Packed record", &bases);
        let (at, len) = (little_endian(&record["offset"]), little_endian(&record["len"]));
        let stored = &bytes[at as usize..(at + len) as usize];
        let header = RecordHeader::decode(stored).unwrap();
        assert_eq!(header.content_id.as_bytes()[..], record["content_id"]);
        assert_eq!((header.raw_len, header.record_len()), (little_endian(&record["raw_len"]), len));
        assert_eq!(little_endian(&record["kind"]), u64::from(header.kind.code()));
        assert_eq!((header.sequence, header.store_tag, at % 64), (0, [0; 4], 0));
        let before = header.formula_at() + u64::from(header.formula_len);
        assert_eq!(u64::from(header.payload_offset), before.next_multiple_of(64));
        assert!(before >= RECORD_HEADER_LEN as u64);
        if header.kind == RecordKind::Tensor {
            let first = record["bases"].get(..32).unwrap_or(&[0; 32]);
            assert_eq!(header.base_id.as_bytes()[..], *first);
            tensors.insert(header.content_id);
        }
    }
    for node in snapshot.nodes().unwrap() {
        let model = snapshot.model_of(node).unwrap();
        assert!(model.tensors().all(|tensor| tensors.contains(&tensor.content_id())));
    }
    let (len, packed) = (little_endian(read.take(8)), little_endian(read.take(8)));
    let rows = lz4_flex::block::decompress(read.take(packed), len as usize).unwrap();
    assert!(read.0.is_empty());
    let rows: Value = serde_json::from_slice(&rows).unwrap();
    let models = rows["models"].as_array().unwrap();
    assert_eq!(models.len(), 3);
    let optional = |row: &Vec<String>| row[2] == "may be absent";
    let mut seen = BTreeSet::new();
    for model in models {
        let found = keys(model);
        for row in table("Packed model") {
            assert!(optional(&row) || found.contains(&row[0]), "{}: {model}", row[0]);
        }
        seen.extend(found);
    }
    assert_eq!(seen, names("Packed model", 0), "each is there at least once, and no others");
}
