//! Promise: what `format-spec.md` says of the database's pages, of marks and of the header of a
//! model that came without one is what is in files: they are read by the page alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::page::{little_endian, number, table};
use crate::common;
use crate::common::remote::{ALL, family};
use mgit::catalog::{ReadTables, Table};
use mgit::format::{SUPERBLOCK_LEN, Superblock};
use mgit::transfer::pull_from_store;
use mgit::{Dtype, NewModel, NewTensor, Shape, Snapshot, Store};
use serde_json::{Map, Value};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The catalogue of a file: its extents, one behind the other.
fn catalogue(file: &[u8]) -> Vec<u8> {
    let slots =
        file.chunks(SUPERBLOCK_LEN).take(2).filter_map(|slot| Superblock::decode(slot).ok());
    let superblock = slots.max_by_key(|slot| slot.generation).unwrap();
    let mut bytes = Vec::new();
    for extent in &superblock.extents {
        let end = (extent.offset + extent.len).min(file.len() as u64);
        bytes.extend_from_slice(&file[extent.offset as usize..end as usize]);
    }
    bytes.resize(superblock.catalog_len as usize, 0);
    bytes
}

/// The pages of a database, found by their numbers.
struct Pages {
    bytes: Vec<u8>,
    page: u64,
    region_header: u64,
    region_data: u64,
    /// How many pages of each order were read.
    orders: BTreeMap<u64, usize>,
    branches: usize,
}

/// Order, region and index, by the table of bits.
fn parts(page_number: u64) -> [u64; 3] {
    let mut parts = BTreeMap::new();
    for row in table("Page number") {
        let (first, last) = row[0].split_once(" to ").unwrap();
        let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
        let bits = page_number >> first & ((1u64 << (last - first + 1)) - 1);
        parts.insert(row[1].split([' ', ':']).next().unwrap().to_owned(), bits);
    }
    assert_eq!(parts["reserved"], 0);
    let order = parts["order"];
    [order, parts["region"], parts["index"] & (0xf_ffff >> order)]
}

impl Pages {
    fn new(bytes: Vec<u8>) -> Self {
        assert_eq!(&bytes[..9], b"redb\x1a\x0a\xa9\x0d\x0a");
        let at = |offset: usize| little_endian(&bytes[offset..offset + 4]);
        let (page, region_header, region_data) = (at(12), at(16), at(20));
        assert_eq!((page, region_header), (4096, 0));
        Pages { bytes, page, region_header, region_data, orders: BTreeMap::new(), branches: 0 }
    }

    /// Where a page begins, and its length.
    fn place(&self, page_number: u64) -> (u64, u64) {
        let ([order, region, index], page) = (parts(page_number), self.page);
        let of_region = region * (self.region_header + self.region_data) * page;
        let begin = page + of_region + self.region_header * page + index * (page << order);
        (begin, page << order)
    }

    /// Every row of a tree.
    fn walk(&mut self, page_number: u64, rows: &mut Rows) {
        let (begin, len) = self.place(page_number);
        *self.orders.entry(parts(page_number)[0]).or_default() += 1;
        let page = self.bytes[begin as usize..(begin + len) as usize].to_vec();
        let count = little_endian(&page[2..4]) as usize;
        let ends = |from: usize| -> Vec<usize> {
            let end = |at: usize| little_endian(&page[from + 4 * at..from + 4 * at + 4]) as usize;
            (0..count).map(end).collect()
        };
        match page[0] {
            1 => {
                let (keys, values) = (ends(4), ends(4 + 4 * count));
                let mut key = 4 + 8 * count;
                let mut value = *keys.last().unwrap();
                for (key_end, value_end) in keys.into_iter().zip(values) {
                    let row = (page[key..key_end].to_vec(), page[value..value_end].to_vec());
                    assert!(rows.insert(row.0, row.1).is_none());
                    (key, value) = (key_end, value_end);
                }
            }
            2 => {
                self.branches += 1;
                let children = 8 + 16 * (count + 1);
                for at in 0..=count {
                    let child = children + 8 * at;
                    self.walk(little_endian(&page[child..child + 8]), rows);
                }
            }
            other => panic!("a page of type {other}"),
        }
    }

    /// Every table by name, by the slot that the god byte names and the table of definitions.
    fn tables(&mut self) -> BTreeMap<String, Rows> {
        let god = self.bytes[9];
        let slot = 64 + 128 * usize::from((god ^ god >> 3) & 1);
        let slot = self.bytes[slot..slot + 128].to_vec();
        assert_eq!((slot[0], slot[1]), (3, 1));
        let mut definitions = Rows::new();
        self.walk(little_endian(&slot[8..16]), &mut definitions);
        assert_eq!(definitions.len() as u64, little_endian(&slot[32..40]));
        let table_of = |(name, definition): (Vec<u8>, Vec<u8>)| {
            let mut rows = Rows::new();
            let fields = definition_fields(&definition);
            let count = little_endian(&fields["number of rows"]);
            match fields["1 if the table has a root, 0 if it is empty"][0] {
                1 => {
                    self.walk(little_endian(&fields["page number of the root"]), &mut rows);
                    assert_eq!(little_endian(&fields["number of rows in the tree, again"]), count);
                }
                other => {
                    assert_eq!(other, 0);
                    assert!(definition[10..42].iter().all(|byte| *byte == 0), "{definition:?}");
                }
            }
            assert_eq!(rows.len() as u64, count);
            (String::from_utf8(name).unwrap(), rows)
        };
        let mut tables: BTreeMap<String, Rows> = definitions.into_iter().map(table_of).collect();
        if let Some(shared) = tables.remove("rows") {
            for row in table("Shared table") {
                let code = number(&row[0]) as u8;
                let own = shared.iter().filter(|(key, _)| key[0] == code);
                let rows = own.map(|(key, value)| (key[1..].to_vec(), value.clone())).collect();
                assert!(tables.insert(row[1].clone(), rows).is_none(), "{}", row[1]);
            }
            assert!(shared.keys().all(|key| usize::from(key[0]) < table("Shared table").len()));
        }
        tables
    }
}

/// The fields of a table's definition by what the page calls them; what it says of them holds.
fn definition_fields(definition: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut fields = BTreeMap::new();
    let mut at = 0;
    let mut names_len = 0;
    for row in table("Table definition") {
        let sizes: Vec<usize> = row[1]
            .split(" and ")
            .map(|size| match size {
                "k" => names_len,
                "to the end" => definition.len() - at,
                size => number(size) as usize,
            })
            .collect();
        assert_eq!(row[0].replace("64 + k", &(64 + names_len).to_string()), at.to_string());
        let value = definition[at..at + sizes.iter().sum::<usize>()].to_vec();
        at += value.len();
        match row[2].as_str() {
            "3: a table of one value a key" => assert_eq!(value, [3]),
            what if what.ends_with("zeros here") => assert_eq!(value, [0; 5], "{what}"),
            what if what.starts_with("alignment of") => {
                assert_eq!(little_endian(&value), 1, "{what}")
            }
            what if what.starts_with("length k") => names_len = little_endian(&value) as usize,
            what if what.starts_with("name of the") => assert_eq!(value, b"\x01&[u8]", "{what}"),
            what => drop(fields.insert(what.to_owned(), value)),
        }
    }
    assert_eq!(at, definition.len());
    fields
}

fn rows_of(snapshot: &Snapshot, table: Table) -> Rows {
    let mut rows = Rows::new();
    let tables = snapshot.tables();
    tables
        .scan(table, &[], &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    rows
}

/// Holds every table that the pages have against what the engine finds in it.
fn compare(path: &Path) -> Pages {
    let mut pages = Pages::new(catalogue(&fs::read(path).unwrap()));
    let found = pages.tables();
    let snapshot = Store::open_read_only(path).unwrap().snapshot().unwrap();
    for table in Table::ALL {
        let rows = rows_of(&snapshot, table);
        match found.get(table.name()) {
            Some(found) => assert!(*found == rows, "{} of {}", table.name(), path.display()),
            None => assert!(rows.is_empty() && !table.is_from_the_start(), "{}", table.name()),
        }
    }
    pages
}

#[test]
fn every_golden_catalogue_is_read_by_the_page() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for folder in [golden.clone(), golden.join("partial")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "mgit") {
                seen += compare(&path).orders.values().sum::<usize>();
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

/// What the golden stores, which are small, do not have: pages of higher orders, and branches.
#[test]
fn long_rows_and_many_of_them_are_read_by_the_page() {
    let (_folder, path, store) = common::new_store();
    for at in 0..60u64 {
        let noise = common::noise(at, if at % 10 == 0 { 3000 << (at / 10) } else { 200 });
        let text: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
        let model = NewModel::new(format!("m{at}")).metadata("long", text);
        common::write(&store, |transaction| transaction.add_model(model)).unwrap();
    }
    drop(store);
    let pages = compare(&path);
    println!("pages by order: {:?}, {} branches", pages.orders, pages.branches);
    assert!(pages.orders.len() > 3 && pages.branches > 0, "{:?}", pages.orders);
}

#[test]
fn a_page_number_says_order_region_and_index() {
    // Written by hand from the page's text: order 2, region 3, index 5.
    let page_number = 2 << 59 | 3 << 20 | 5;
    assert_eq!(parts(page_number), [2, 3, 5]);
    let mut header = vec![0; 24];
    header[..9].copy_from_slice(b"redb\x1a\x0a\xa9\x0d\x0a");
    header[12..16].copy_from_slice(&4096u32.to_le_bytes());
    header[20..24].copy_from_slice(&1024u32.to_le_bytes());
    let begin = 4096 + 3 * 1024 * 4096 + 5 * 16_384;
    assert_eq!(Pages::new(header).place(page_number), (begin, 16_384));
    // Of the index only the lowest bits count, as many fewer as the order is higher.
    assert_eq!(parts(2 << 59 | 0xf_ffff), [2, 0, 0x3_ffff]);
}

/// A model's row as a packed model, by the page's table and the rows of the catalogue.
fn packed(snapshot: &Snapshot, id: &[u8]) -> String {
    let tables = |table: Table, prefix: &[u8]| -> Rows {
        let rows = rows_of(snapshot, table).into_iter();
        rows.filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key[prefix.len()..].to_vec(), value))
            .collect()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let object = |rows: Rows| -> Map<String, Value> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let rows = rows.into_iter().filter(|(name, _)| name != b"mgit.pinned");
        rows.map(|(name, value)| (text(name), serde_json::from_slice(&value).unwrap())).collect()
    };
    let edges = |kind: u8| -> Vec<Value> {
        let rows = tables(Table::Parents, &[id, &[kind]].concat());
        let edge = |row: &Vec<u8>| {
            let (parent, how) = (&row[..16], String::from_utf8(row[18..].to_vec()).unwrap());
            let mut edge = Map::new();
            edge.insert("parent".into(), hex(parent).into());
            if kind == 0 {
                edge.insert("how".into(), how.into());
            }
            let metadata = object(tables(Table::EdgeMetadata, &[id, &[kind], parent].concat()));
            if !metadata.is_empty() {
                edge.insert("metadata".into(), metadata.into());
            }
            Value::Object(edge)
        };
        rows.values().map(edge).collect()
    };
    let node = &rows_of(snapshot, Table::Nodes)[id];
    let name_end = 74 + little_endian(&node[72..74]) as usize;
    let text = |bytes: &[u8]| Value::from(String::from_utf8(bytes.to_vec()).unwrap());
    let tags = tables(Table::TagsOf, id).into_keys().map(|tag| text(&tag)).collect::<Vec<_>>();
    let mut row = Map::new();
    for field in table("Packed model") {
        let value = match field[0].as_str() {
            "id" => hex(id).into(),
            "name" => text(&node[74..name_end]),
            "version" => little_endian(&node[..4]).into(),
            "kind" => text(&node[name_end + 2..]),
            "created_ms" => little_endian(&node[8..16]).into(),
            "manifest" => hex(&node[40..72]).into(),
            "logical_bytes" => little_endian(&node[16..24]).into(),
            "previous" => edges(1).pop().unwrap_or("".into()),
            "parents" => edges(0).into(),
            "metadata" => object(tables(Table::Metadata, id)).into(),
            "tags" => tags.clone().into(),
            other => panic!("a field {other}"),
        };
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !(empty && field[2] == "may be absent") {
            row.insert(field[0].clone(), value);
        }
    }
    serde_json::to_string(&row).unwrap()
}

#[test]
fn marks_are_what_the_page_says() {
    let folder = common::folder();
    let from = family(&folder.path().join("from.mgit"));
    let metadata = Map::from_iter([
        ("weight".to_owned(), Value::from(0.5)),
        ("by".to_owned(), serde_json::json!(["a", { "b": 1 }])),
    ]);
    common::write(&from, |transaction| {
        transaction.set_edge_metadata(
            "tuned@2",
            mgit::catalog::EdgeKind::Provenance,
            "base",
            metadata,
        )
    })
    .unwrap();
    let store = Store::create(folder.path().join("to.mgit")).unwrap();
    pull_from_store(&store, &from, ALL).unwrap();
    let snapshot = store.snapshot().unwrap();
    let marks = rows_of(&snapshot, Table::Agreed);
    assert_eq!(marks.len(), 3);
    let mut texts = BTreeSet::new();
    for (key, mark) in marks {
        let text = packed(&snapshot, &key[16..]);
        assert_eq!(mark, blake3::hash(text.as_bytes()).as_bytes()[..16], "{text}");
        texts.insert(text);
    }
    // Each part of a row was in one of them.
    for part in ["kind", "previous", "parents", "how", "metadata", "tags"] {
        assert!(texts.iter().any(|text| text.contains(&format!("\"{part}\":"))), "{part}");
    }
}

#[test]
fn a_model_without_a_file_is_exported_as_the_page_says() {
    let (_folder, _path, store) = common::new_store();
    let strange = "a\"b\\c\u{8}\t\n\u{c}\r\u{1}/\u{7f}é\u{2028}😀";
    let (floats, bytes) = (common::weights(1, 6), common::noise(2, 5));
    let dims = |dims: &[u64]| Shape::new(dims).unwrap();
    let model = NewModel::new("m")
        .tensor(NewTensor::from_bytes(strange, Dtype::F32, dims(&[2, 3]), &floats))
        .tensor(NewTensor::from_bytes("empty", Dtype::Bf16, dims(&[0, 7]), &[]))
        .tensor(NewTensor::from_bytes("scalar", Dtype::U8, dims(&[]), &bytes[..1]))
        .tensor(NewTensor::from_bytes("x", Dtype::I8, dims(&[4]), &bytes[1..]));
    common::add(&store, model).unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut file = Vec::new();
    let model = snapshot.model("m").unwrap();
    mgit::interchange::export_to_stream(&model, &mut file, &|_| ()).unwrap();
    let name = r#""a\"b\\c\b\t\n\f\r\u0001/"#.to_owned() + "\u{7f}é\u{2028}😀\"";
    let mut header = format!(
        "{{{name}:{{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}},\
         \"empty\":{{\"dtype\":\"BF16\",\"shape\":[0,7],\"data_offsets\":[24,24]}},\
         \"scalar\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[24,25]}},\
         \"x\":{{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[25,29]}}}}"
    );
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let expected =
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &floats, &bytes].concat();
    assert_eq!(file, expected, "{}", String::from_utf8_lossy(&file[8..]));
}
