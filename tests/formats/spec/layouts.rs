//! Promise: `format-spec.md` and the code say the same. The page's tables are read and held
//! against the constants, the layouts that encoding produces, and the worked example.

use std::collections::BTreeSet;

use mgit::catalog::{RecordRow, Table};
use mgit::codec::{Encoding, Lane};
use mgit::container::{REGISTER_LOCK_BYTE, SNAPSHOT_LOCK_BASE, VIEW_LOCK_BYTE, WRITER_LOCK_BYTE};
use mgit::format::{self, *};
use mgit::lineage::NAME_LEN_MAX;
use mgit::tensor::{ContentId, Dtype, RANK_MAX, Shape};
use mgit::{NewModel, NewTensor, Store};
use serde_json::{Value, json};

use super::example::*;
use super::page::*;

#[test]
fn constants() {
    let code = [
        ("superblock length", SUPERBLOCK_LEN as u64),
        ("data start", DATA_START),
        ("record header length", RECORD_HEADER_LEN as u64),
        ("chunk entry length", CHUNK_ENTRY_LEN as u64),
        ("record row length", RecordRow::LEN as u64),
        ("record alignment", RECORD_ALIGN),
        ("payload alignment", PAYLOAD_ALIGN),
        ("page alignment", PAGE_ALIGN),
        ("page alignment from", PAGE_ALIGN_FROM),
        ("chunk length written (log2)", CHUNK_LOG2.into()),
        ("format version", FORMAT_VERSION.into()),
        ("manifest version", MANIFEST_VERSION.into()),
    ];
    assert_numbers("Constants", 0, 1, &code);
    let limits = [
        ("extents", SUPERBLOCK_EXTENTS_MAX as u64),
        ("chain depth", CHAIN_DEPTH_LIMIT.into()),
        ("chunk length, smallest (log2)", CHUNK_LOG2_MIN.into()),
        ("chunk length, largest (log2)", CHUNK_LOG2_MAX.into()),
        ("dimensions", RANK_MAX as u64),
        ("model name", NAME_LEN_MAX as u64),
        ("text", u16::MAX.into()),
        ("metadata and headers", u32::MAX.into()),
        ("offsets and lengths", i64::MAX as u64),
        ("commits", (1 << 62) - SNAPSHOT_LOCK_BASE),
    ];
    assert_numbers("Limits", 0, 1, &limits);
    let written = format!("this code writes at most {}", mgit::planning::CHAIN_DEPTH_MAX);
    assert!(table("Limits").iter().any(|row| row[2].contains(&written)));
    let flags = |word: &str| -> u64 {
        let rows = table("Feature flags");
        let of_word = rows.iter().filter(|row| row[1] == word);
        of_word.filter_map(|row| row[0].parse::<u32>().ok()).map(|bit| 1 << bit).sum()
    };
    assert_eq!(flags("reader"), READER_FLAGS_KNOWN);
    assert_eq!(flags("writer"), WRITER_FLAGS_KNOWN);
}

#[test]
fn superblock_fields() {
    use format::superblock_field as field;
    let code = [
        ("MAGIC", field::MAGIC),
        ("FORMAT_VERSION", field::FORMAT_VERSION),
        ("RESERVED_A", field::RESERVED_A),
        ("STATE", field::STATE),
        ("STORE_ID", field::STORE_ID),
        ("GENERATION", field::GENERATION),
        ("READER_FLAGS", field::READER_FLAGS),
        ("WRITER_FLAGS", field::WRITER_FLAGS),
        ("CATALOG_LEN", field::CATALOG_LEN),
        ("EXTENT_COUNT", field::EXTENT_COUNT),
        ("RESERVED_B", field::RESERVED_B),
        ("EXTENTS", field::EXTENTS),
        ("CHECKSUM", field::CHECKSUM),
    ];
    assert_numbers("Superblock fields", 2, 0, &code.map(|(name, at)| (name, at as u64)));
    assert!(table("Superblock fields")[0][3].starts_with(&hex(&SUPERBLOCK_MAGIC)));

    let bytes = example_superblock().encode().unwrap();
    let covered = blake3_prefix(&bytes[..field::CHECKSUM]);
    let (generation, len) = (1u64.to_le_bytes(), 73_728u64.to_le_bytes());
    let reserved = |len| vec![0; len];
    for (offset, size, name) in fields("Superblock fields", SUPERBLOCK_LEN) {
        let expected = match name.as_str() {
            "MAGIC" => SUPERBLOCK_MAGIC.to_vec(),
            "FORMAT_VERSION" => FORMAT_VERSION.to_le_bytes().to_vec(),
            "STORE_ID" => (0..16).collect(),
            "GENERATION" => generation.to_vec(),
            "CATALOG_LEN" => len.to_vec(),
            "READER_FLAGS" => FEATURE_SHARED_TABLE.to_le_bytes().to_vec(),
            "EXTENT_COUNT" => 1u32.to_le_bytes().to_vec(),
            "EXTENTS" => {
                let mut bytes = [DATA_START.to_le_bytes(), len].concat();
                bytes.resize(size, 0);
                bytes
            }
            "CHECKSUM" => covered.clone(),
            _ => reserved(size),
        };
        assert_eq!(bytes[offset..offset + size], expected, "{name}");
    }
    let extent = fields("Extent fields", 16);
    assert_eq!(extent.iter().map(|field| field.2.as_str()).collect::<Vec<_>>(), ["offset", "len"]);

    for row in table("States") {
        let state = match row[1].as_str() {
            "Live" => StoreState::Live,
            "Retired" => StoreState::Retired,
            other => panic!("{other}"),
        };
        let bytes = Superblock { state, ..example_superblock() }.encode().unwrap();
        assert_eq!(u64::from(bytes[field::STATE]), number(&row[0]));
    }
    assert_eq!(table("States").len(), 2);
}

fn blake3_prefix(bytes: &[u8]) -> Vec<u8> {
    ContentId::of(bytes).as_bytes()[..16].to_vec()
}

#[test]
fn record_fields() {
    use format::record_field as field;
    let code = [
        ("MAGIC", field::MAGIC),
        ("KIND", field::KIND),
        ("DTYPE", field::DTYPE),
        ("CHUNK_LOG2", field::CHUNK_LOG2),
        ("DEPTH", field::DEPTH),
        ("PAYLOAD_OFFSET", field::PAYLOAD_OFFSET),
        ("RAW_LEN", field::RAW_LEN),
        ("STORED_LEN", field::STORED_LEN),
        ("CONTENT_ID", field::CONTENT_ID),
        ("BASE_ID", field::BASE_ID),
        ("SEQUENCE", field::SEQUENCE),
        ("FLAGS", field::FLAGS),
        ("STORE_TAG", field::STORE_TAG),
        ("INDEX_CRC", field::INDEX_CRC),
        ("FORMULA_LEN", field::FORMULA_LEN),
        ("FORMULA_CRC", field::FORMULA_CRC),
        ("HEADER_CRC", field::HEADER_CRC),
    ];
    assert_numbers("Record fields", 2, 0, &code.map(|(name, at)| (name, at as u64)));
    assert!(table("Record fields")[0][3].starts_with(&hex(&RECORD_MAGIC)));

    let header = RecordHeader {
        depth: 3,
        base_id: ContentId::of(b"base"),
        sequence: 0x0102,
        raw_len: 0x0a0b,
        stored_len: 0x0304,
        formula_len: 0x05,
        formula_crc: 0x0607,
        ..example_header()
    };
    let bytes = header.encode();
    for (offset, size, name) in fields("Record fields", RECORD_HEADER_LEN) {
        let expected = match name.as_str() {
            "MAGIC" => RECORD_MAGIC.to_vec(),
            "KIND" => vec![1],
            "DTYPE" => vec![18],
            "CHUNK_LOG2" => vec![20],
            "DEPTH" => vec![3],
            "PAYLOAD_OFFSET" => 192u32.to_le_bytes().to_vec(),
            "RAW_LEN" => 0x0a0bu64.to_le_bytes().to_vec(),
            "STORED_LEN" => 0x0304u64.to_le_bytes().to_vec(),
            "CONTENT_ID" => header.content_id.as_bytes().to_vec(),
            "BASE_ID" => header.base_id.as_bytes().to_vec(),
            "SEQUENCE" => 0x0102u64.to_le_bytes().to_vec(),
            "STORE_TAG" => vec![0, 1, 2, 3],
            "INDEX_CRC" => header.index_crc.to_le_bytes().to_vec(),
            "FORMULA_LEN" => header.formula_len.to_le_bytes().to_vec(),
            "FORMULA_CRC" => header.formula_crc.to_le_bytes().to_vec(),
            "HEADER_CRC" => bytes[field::HEADER_CRC..].to_vec(),
            _ => vec![0; size],
        };
        assert_eq!(bytes[offset..offset + size], expected, "{name}");
    }

    let kinds = [RecordKind::Tensor, RecordKind::Manifest, RecordKind::Change];
    let kinds: Vec<_> =
        kinds.iter().map(|kind| (format!("{kind:?}"), u64::from(kind.code()))).collect();
    let kinds: Vec<_> = kinds.iter().map(|(name, code)| (name.as_str(), *code)).collect();
    assert_numbers("Record kinds", 1, 0, &kinds);

    let entry = ChunkEntry { stored_len: 0x01020304, crc: 0x05060708, encoding: 0x090a };
    let bytes = ChunkEntry::encode_all(&[entry]);
    for (offset, size, name) in fields("Chunk index entry", CHUNK_ENTRY_LEN) {
        let expected: &[u8] = match name.as_str() {
            "stored_len" => &[4, 3, 2, 1],
            "crc" => &[8, 7, 6, 5],
            "encoding" => &[0x0a, 9],
            "reserved" => &[0, 0],
            other => panic!("{other}"),
        };
        assert_eq!(&bytes[offset..offset + size], expected, "{name}");
    }
}

#[test]
fn element_types_and_encodings() {
    let types: Rows = Dtype::all_known()
        .map(|(dtype, code)| {
            let (bits, lane) = (dtype.bits().unwrap(), dtype.lane_bytes());
            vec![code.to_string(), dtype.name().to_owned(), bits.to_string(), lane.to_string()]
        })
        .collect();
    assert_eq!(table("Element types"), types);
    let encodings: Rows = Encoding::ALL
        .iter()
        .map(|encoding| {
            let needs = if encoding.needs_base() { "yes" } else { "no" };
            vec![encoding.code().to_string(), encoding.name().to_owned(), needs.to_owned()]
        })
        .collect();
    assert_eq!(table("Encodings"), encodings);
}

/// The xor-lz4 procedure of the page, word by word.
#[test]
fn a_delta_decodes_as_the_page_says() {
    for (dtype, len) in [
        (Dtype::U8, 999),
        (Dtype::I16, 1000),
        (Dtype::I32, 4096),
        (Dtype::F64, 4096),
        (Dtype::I32, 1002),
    ] {
        let lane = dtype.lane_bytes();
        let base: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let mut chunk = base.clone();
        // What LZ4 sees and a count of steps does not: planes that repeat, are zero, are noise.
        let mut noise = 1u32;
        for (at, byte) in chunk.iter_mut().enumerate() {
            noise = noise.wrapping_mul(1664525).wrapping_add(1013904223);
            let random = if at % 4 == 2 && at % 3 < 2 { (noise >> 24) as u8 } else { 0 };
            *byte ^= [0x93, 0x4d, 0, 0xe1, 0x72, 0x2b, 0, 0xe1][at % 8] ^ random;
        }
        let mut stored = Vec::new();
        let encoding = mgit::codec::encode_delta(
            mgit::codec::Profile::Balanced,
            Lane::of(&dtype),
            &chunk,
            &base,
            &mut stored,
        );
        assert_eq!(encoding.code(), 3, "lane {lane}");
        let w = if len % lane == 0 { lane } else { 1 };
        let plane_len = len / w;
        let mut at = 4 * w;
        let mut decoded = base.clone();
        for k in 0..w {
            let length: [u8; 4] = stored[4 * k..4 * k + 4].try_into().unwrap();
            let bytes = &stored[at..at + u32::from_le_bytes(length) as usize];
            at += bytes.len();
            let plane = match bytes.len() {
                0 => vec![0; plane_len],
                len if len == plane_len => bytes.to_vec(),
                _ => lz4_block(bytes),
            };
            assert_eq!(plane.len(), plane_len);
            (0..plane_len).for_each(|i| decoded[i * w + k] ^= plane[i]);
        }
        assert_eq!((at, decoded), (stored.len(), chunk));
    }
}

fn tensor<'m>(
    name: &'m str,
    dtype: &'m Dtype,
    shape: &'m Shape,
    byte_len: u64,
) -> ManifestTensor<'m> {
    let content_id = ContentId::of(name.as_bytes());
    ManifestTensor { name, dtype, shape, byte_len, content_id }
}

#[test]
fn manifests() {
    let part = |path: &str, header: &[u8], tensor_count| ManifestPart {
        path: path.into(),
        skeleton: Skeleton::Header(header.into()),
        tensor_count,
        ..ManifestPart::default()
    };
    let shapes = [&[2, 3][..], &[], &[5]].map(|dims| Shape::new(dims).unwrap());
    let odd = Dtype::from_name("F128");
    let manifest = Manifest {
        index_name: "index.json".into(),
        index: b"{}".to_vec(),
        parts: vec![part("a", b"{header}", 2), part("b", b"", 1)],
        tensors: [
            tensor("w", &Dtype::F32, &shapes[0], 24),
            tensor("odd", &odd, &shapes[1], 16),
            tensor("v", &Dtype::U8, &shapes[2], 5),
        ]
        .into_iter()
        .collect(),
        ..Manifest::default()
    };
    let bytes = manifest.encode().unwrap();
    let mut walk = Walk { bytes: &bytes, at: 0 };
    let head = walk.fields("Manifest header");
    assert_eq!(
        json!(head),
        json!({"version": 1, "reserved": 0, "part_count": 2, "tensor_count": 3,
        "index_name": "index.json", "index": b"{}"})
    );
    for part in &manifest.parts {
        assert_eq!(
            json!(walk.fields("Manifest part")),
            json!({"name": part.path, "header": header_of(part), "tensor_count": part.tensor_count})
        );
    }
    walk.tensors(&manifest);
    assert_eq!(walk.at, bytes.len());
}

fn header_of(part: &ManifestPart) -> Vec<u8> {
    match &part.skeleton {
        Skeleton::Header(header) => header.to_vec(),
        Skeleton::Woven { .. } => panic!("a header in the manifest"),
    }
}

/// The tensors of a manifest, whatever its version.
trait WalkTensors {
    fn tensors(&mut self, manifest: &Manifest);
}

impl WalkTensors for Walk<'_> {
    fn tensors(&mut self, manifest: &Manifest) {
        for tensor in &manifest.tensors {
            let mut expected = json!({"name": tensor.name, "dtype": tensor.dtype.code(),
                "rank": tensor.shape.rank(), "dims": tensor.shape.dims(),
                "byte_len": tensor.byte_len, "content_id": tensor.content_id.as_bytes()});
            if tensor.dtype.code() == 0 {
                expected["dtype_name"] = json!(tensor.dtype.name());
            }
            assert_eq!(json!(self.fields("Manifest tensor")), expected);
        }
    }
}

#[test]
fn manifests_of_files() {
    let shapes = [&[2, 3][..], &[10], &[0]].map(|dims| Shape::new(dims).unwrap());
    let part = |path: &str, format, is_weights, gaps: &[u64]| ManifestPart {
        path: path.into(),
        format,
        is_weights,
        skeleton: Skeleton::Woven { gaps: gaps.into() },
        tensor_count: gaps.len() as u32,
    };
    let view = ManifestView {
        name: "w.T".into(),
        tensor: 0,
        offset: 4,
        dtype: Dtype::from_name("I16"),
        shape: Shape::new(&[2, 2]).unwrap(),
        strides: vec![1, 3],
    };
    let manifest = Manifest {
        parts: vec![
            part("w.pt", FileFormat::PyTorch, true, &[7, 3]),
            part("a/b.json", FileFormat::Bytes, false, &[]),
        ],
        tensors: [tensor("w", &Dtype::F32, &shapes[0], 24), tensor("v", &Dtype::U8, &shapes[2], 0)]
            .into_iter()
            .collect(),
        skeletons: [
            tensor("w.pt", &Dtype::U8, &shapes[1], 10),
            tensor("a/b.json", &Dtype::U8, &shapes[2], 0),
        ]
        .into_iter()
        .collect(),
        views: [view].into_iter().collect(),
        ..Manifest::default()
    };
    let bytes = manifest.encode().unwrap();
    let mut walk = Walk { bytes: &bytes, at: 0 };
    assert_eq!(
        json!(walk.fields("Manifest header of version 2")),
        json!({"version": 2, "flags": 0, "part_count": 2, "tensor_count": 2, "view_count": 1})
    );
    for (part, skeleton) in manifest.parts.iter().zip(&manifest.skeletons) {
        let Skeleton::Woven { gaps } = &part.skeleton else { panic!("a skeleton of its own") };
        assert_eq!(
            json!(walk.fields("Manifest part of version 2")),
            json!({"path": part.path, "format": part.format.code(),
            "role": u8::from(part.is_weights), "skeleton_len": skeleton.byte_len,
            "skeleton_id": skeleton.content_id.as_bytes(), "tensor_count": part.tensor_count,
            "gaps": &**gaps})
        );
    }
    walk.tensors(&manifest);
    assert_eq!(
        json!(walk.fields("Manifest view")),
        json!({"name": "w.T", "tensor": 0, "offset": 4, "dtype": 12, "rank": 2, "dims": [2, 2],
        "strides": [1, 3]})
    );
    assert_eq!(walk.at, bytes.len());
}

/// The field names of a JSON object against a table; and those that may be absent.
fn assert_object(heading: &str, full: &Value, sparse: &Value) {
    let names = |value: &Value| -> BTreeSet<String> {
        let keys = value.as_object().unwrap().keys();
        keys.filter(|key| *key != "op").cloned().collect()
    };
    let rows = table(heading);
    let said = |absent: bool| -> BTreeSet<String> {
        let kept = rows.iter().filter(|row| absent || row[2] != "may be absent");
        kept.map(|row| row[0].clone()).collect()
    };
    assert_eq!(names(full), said(true), "{heading}");
    for row in &rows {
        let kind = match &full[&row[0]] {
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            other => panic!("{heading}: {other}"),
        };
        let word = row[1].split(|c: char| !c.is_alphabetic()).next();
        assert_eq!(word, Some(kind), "{heading}: {}", row[0]);
    }
    assert_eq!(names(sparse), said(false), "{heading}");
}

#[test]
fn change_records() {
    let edge = ProvenanceEdge { parent: "22".into(), how: "cast".into() };
    let add = |full: bool| Operation::AddNode {
        id: "00".into(),
        name: "base".into(),
        version: 1,
        kind: String::new(),
        created_ms: 5,
        manifest: "11".into(),
        logical_bytes: 9,
        previous: full.then(|| "33".into()),
        parents: if full { vec![edge.clone()] } else { vec![] },
        metadata: serde_json::Map::from_iter(full.then(|| ("k".to_owned(), json!(1)))),
    };
    let remove = Operation::RemoveNode { id: "00".into() };
    let parents = |parents| Operation::SetParents { id: "00".into(), parents };
    let metadata = Operation::SetMetadata { id: "00".into(), metadata: serde_json::Map::new() };
    let previous = |previous| Operation::SetPrevious { id: "00".into(), previous };
    let recode = Operation::Recode { profile: "dense".into(), tensors: 3 };
    let rename = Operation::RenameNode { id: "00".into(), name: "b".into(), version: 2 };
    let kind = Operation::SetKind { id: "00".into(), kind: "bert".into() };
    let replace = Operation::ReplaceContent {
        id: "00".into(),
        manifest: "11".into(),
        metadata: serde_json::Map::new(),
    };
    let tag = |id| Operation::SetTag { tag: "best".into(), id };
    let edge_metadata = Operation::SetEdgeMetadata {
        id: "00".into(),
        parent: "22".into(),
        kind: "version".into(),
        metadata: serde_json::Map::new(),
    };
    let reserve = Operation::ReserveVersions { name: "base".into(), version: 3 };
    let test = |definition| Operation::SetTest { name: "sane".into(), definition };
    let pairs = [
        (test(Some(serde_json::Map::new())), test(None)),
        (recode.clone(), recode),
        (reserve.clone(), reserve),
        (add(true), add(false)),
        (remove.clone(), remove),
        (parents(vec![edge.clone()]), parents(vec![])),
        (previous(Some("44".into())), previous(None)),
        (metadata.clone(), metadata),
        (rename.clone(), rename),
        (replace.clone(), replace),
        (kind.clone(), kind),
        (tag(Some("00".into())), tag(None)),
        (edge_metadata.clone(), edge_metadata),
    ];
    let mut named = BTreeSet::new();
    for (full, sparse) in &pairs {
        let [full, sparse] = [full, sparse].map(|op| serde_json::to_value(op).unwrap());
        let heading = format!("Operation {}", full["op"].as_str().unwrap());
        assert_object(&heading, &full, &sparse);
        named.insert(heading);
    }
    let headings = SPEC.lines().filter_map(|line| line.strip_prefix("### "));
    let said: BTreeSet<String> =
        headings.filter(|h| h.starts_with("Operation ")).map(str::to_owned).collect();
    assert_eq!(said, named);
    let edge = serde_json::to_value(edge).unwrap();
    assert_object("Change record edge", &edge, &edge);
    let operations: Vec<_> = pairs.into_iter().map(|(full, _)| full).collect();
    let change = |fold| ChangeRecord {
        sequence: 1,
        time_ms: 2,
        previous: String::new(),
        operations: operations.clone(),
        fold,
    };
    let fold = Fold { created_ms: 3, operations: operations.clone() };
    let value =
        |fold| -> Value { serde_json::from_slice(&change(fold).encode().unwrap()).unwrap() };
    let (full, sparse) = (value(Some(fold)), value(None));
    assert_object("Change record fields", &full, &sparse);
    assert_object("Change record fold", &full["fold"], &full["fold"]);
}

#[test]
fn lock_bytes() {
    let code = [
        ("writer", WRITER_LOCK_BYTE),
        ("register", REGISTER_LOCK_BYTE),
        ("view", VIEW_LOCK_BYTE),
        ("snapshot", SNAPSHOT_LOCK_BASE),
        ("redb", 1 << 62),
    ];
    assert_numbers("Lock bytes", 0, 1, &code);
}

#[test]
fn the_worked_example() {
    assert_hexdump("Superblock bytes", &example_superblock().encode().unwrap());
    assert_hexdump("Record bytes", &example_record());
    assert_hexdump("Record row bytes", &example_row().encode());
}

/// The example is what a store really writes, its random id apart.
#[test]
fn the_worked_example_is_a_store() {
    use mgit::catalog::ReadTables;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.mgit");
    let store = Store::create(&path).unwrap();
    let mut transaction = store.begin_write().unwrap();
    let (shape, bytes) = (Shape::new(&[3]).unwrap(), mgit::bytemuck::cast_slice(&VALUES));
    let model = NewModel::new("m").tensor(NewTensor::from_bytes("w", Dtype::F32, shape, bytes));
    transaction.add_model(model).unwrap();
    transaction.commit().unwrap();
    let snapshot = store.snapshot().unwrap();
    let row = snapshot.tables().get(Table::Tensors, example_header().content_id.as_bytes());
    assert_eq!(row.unwrap().unwrap(), example_row().encode());
    let file = std::fs::read(&path).unwrap();
    let slots = [&file[..SUPERBLOCK_LEN], &file[SUPERBLOCK_LEN..2 * SUPERBLOCK_LEN]];
    let [second, first] = slots.map(|slot| Superblock::decode(slot).unwrap());
    let store_id = first.store_id;
    assert_eq!(first, Superblock { store_id, ..example_superblock() });
    assert_eq!(second, Superblock { generation: 2, ..first });
    let record = &file[81_920..81_920 + 204];
    let header = RecordHeader::decode(record).unwrap();
    let store_tag = header.store_tag;
    assert_eq!(header, RecordHeader { store_tag, ..example_header() });
    assert!(store_id.starts_with(&store_tag));
    assert_eq!(record[RECORD_HEADER_LEN..], example_record()[RECORD_HEADER_LEN..]);
}
