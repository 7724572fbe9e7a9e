//! Promise: what `format-spec.md` says of the catalogue's tables, keys and rows is what the code
//! makes.

use mgit::catalog::{
    EdgeKind, FoldsRow, MissingRow, NodeRow, ParentRow, RecordRow, Table, keys, meta,
};
use mgit::lineage::How;
use mgit::tensor::{ContentId, Dtype};

use super::page::{fields, number, table};

#[test]
fn catalogue_tables() {
    let column = |heading: &str, at: usize| -> Vec<String> {
        table(heading).iter().map(|row| row[at].clone()).collect()
    };
    assert_eq!(column("Tables", 0), Table::ALL.map(Table::name));
    let shared: Vec<String> =
        table("Shared table").iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    let mut coded: Vec<(u8, &str)> =
        Table::ALL.iter().filter_map(|table| Some((table.code()?, table.name()))).collect();
    coded.sort_unstable();
    assert_eq!(
        shared,
        coded.iter().map(|(code, name)| format!("{code} {name}")).collect::<Vec<_>>()
    );
    assert_eq!(
        column("Meta keys", 0),
        [meta::COMMIT, meta::LAST_CHANGE, meta::CREATED_MS, meta::FOLDS]
    );
    assert_eq!(column("Ways of derivation", 0), How::ALL.map(How::name));
    let kinds = [EdgeKind::Provenance, EdgeKind::Version];
    assert_eq!(column("Edge kinds", 1), kinds.map(|kind| format!("{kind:?}")));
    assert_eq!(column("Edge kinds", 0), kinds.map(|kind| (kind as u8).to_string()));

    let (a, b) = ([1; 16], [2; 16]);
    assert_eq!(keys::version("ab", 3), b"ab\0\0\0\0\x03");
    assert_eq!(keys::parent(&a, EdgeKind::Version, 0x0102), [&a[..], &[1, 1, 2]].concat());
    assert_eq!(keys::child(&a, EdgeKind::Provenance, &b), [&a[..], &[0], &b].concat());
    assert_eq!(keys::metadata(&a, "k"), [&a[..], b"k"].concat());
    assert_eq!(keys::tag_of(&a, "t"), [&a[..], b"t"].concat());
    let edge = keys::edge_metadata(&a, EdgeKind::Version, &b, "k");
    assert_eq!(edge, [&a[..], &[1], &b, b"k"].concat());
    assert_eq!(keys::sketch(&[3; 32], 18), [&[3; 32][..], &[18]].concat());
    assert_eq!(keys::test_result(&[4; 32], &[5; 32]), [[4; 32], [5; 32]].concat());
    assert_eq!(keys::band(2, &a), [&[0, 0, 0, 0, 0, 0, 0, 2][..], &a].concat());
}

#[test]
fn sketches() {
    use mgit::planning::{SKETCH_SAMPLES, SKETCH_VERSION, Sketch, model_bands};

    let values: Vec<f32> = (0..1000).map(|at| ((at * 37 % 101) as f32 - 50.0) / 64.0).collect();
    let sketch = Sketch::of(&Dtype::F32, mgit::bytemuck::cast_slice(&values));
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    // The page's rules, word by word.
    let (n, count) = (1000u64, SKETCH_SAMPLES as u64);
    let samples: Vec<f32> = (0..count)
        .map(|i| {
            let (s, e) = (n * i / count, n * (i + 1) / count);
            values[(s + mix(n ^ (i << 56)) % (e - s)) as usize]
        })
        .collect();
    let mut expected: Vec<u8> = Vec::new();
    for row in table("Sketch") {
        if row[2] == "rests" {
            continue;
        }
        assert_eq!(expected.len() as u64, number(&row[0]), "{}", row[2]);
        match row[2].as_str() {
            "version" => expected.push(SKETCH_VERSION),
            "dtype" => expected.push(Dtype::F32.code()),
            "count" => expected.extend(64u16.to_le_bytes()),
            "elements" => expected.extend(n.to_le_bytes()),
            "samples" => expected.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
            other => panic!("{other}"),
        }
    }
    assert_eq!(sketch.encode(), expected);
    // Doubles of which rounding takes something: their rests follow the samples.
    let rest = |sample: f32| f64::from(sample) * 2f64.powi(-30);
    let doubles: Vec<f64> = values.iter().map(|it| f64::from(*it) + rest(*it)).collect();
    let double = Sketch::of(&Dtype::F64, mgit::bytemuck::cast_slice(&doubles)).encode();
    expected[0] = mgit::planning::SKETCH_VERSION_F64;
    expected[1] = Dtype::F64.code();
    expected.extend(samples.iter().flat_map(|it| (rest(*it) as f32).to_le_bytes()));
    assert_eq!(double, expected);
    let b = samples.iter().step_by(4).fold(0u64, |b, sample| b << 1 | u64::from(*sample < 0.0));
    let squares: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let rms = (squares / 64.0).sqrt();
    let cell = |sample: &f32| (f64::from(*sample) * 4.0 / rms).round() as i64 as u64;
    let h = samples.iter().skip(1).step_by(8).fold(0, |h, sample| mix(h ^ cell(sample)));
    let id = ContentId::of(b"w");
    let first = u64::from_le_bytes(id.as_bytes()[..8].try_into().unwrap());
    let mut bands = [mix(mix(n) ^ b), mix(mix(n ^ (1 << 63)) ^ h), mix(first)];
    bands.sort_unstable();
    assert_eq!(model_bands([(&id, &sketch)]), bands);
}

#[test]
fn catalogue_rows() {
    let row = RecordRow {
        offset: 0x1101,
        len: 0x1102,
        raw_len: 0x1103,
        stored_len: 0x1104,
        base_id: ContentId::of(b"base"),
        depth: 5,
        formula: 3,
        encodings: 0x0906,
        holders: 0x1107,
        dependents: 0x1108,
        more_bases: Vec::new(),
    };
    let bytes = row.encode();
    for (offset, size, name) in fields("Record row", RecordRow::LEN) {
        let mut expected = match name.as_str() {
            "offset" => row.offset.to_le_bytes().to_vec(),
            "len" => row.len.to_le_bytes().to_vec(),
            "raw_len" => row.raw_len.to_le_bytes().to_vec(),
            "stored_len" => row.stored_len.to_le_bytes().to_vec(),
            "base_id" => row.base_id.as_bytes().to_vec(),
            "depth" => vec![row.depth],
            "formula" => vec![3],
            "encodings" => row.encodings.to_le_bytes().to_vec(),
            "holders" => row.holders.to_le_bytes().to_vec(),
            "dependents" => row.dependents.to_le_bytes().to_vec(),
            "reserved" => vec![],
            other => panic!("{other}"),
        };
        expected.resize(expected.len().max(size), 0);
        assert_eq!(bytes[offset..offset + size], expected, "{name}");
    }

    let folds = FoldsRow { last: 0x2101, before: 0x2102, behind: 0x2103, due: 0x2104 };
    let bytes = folds.encode();
    for (offset, size, name) in fields("Folds row", bytes.len()) {
        let expected = match name.as_str() {
            "last" => folds.last,
            "before" => folds.before,
            "behind" => folds.behind,
            "due" => folds.due,
            other => panic!("{other}"),
        };
        assert_eq!(bytes[offset..offset + size], expected.to_le_bytes(), "{name}");
    }

    let node = NodeRow {
        name: "base".into(),
        version: 0x21,
        kind: "bert".into(),
        created_ms: 0x22,
        manifest: ContentId::of(b"manifest"),
        logical_bytes: 0x23,
        tensor_count: 0x24,
        revision: 0x25,
    };
    let bytes = node.encode().unwrap();
    let mut end = 0;
    for row in table("Node row") {
        let offset = if row[0].is_empty() { end } else { number(&row[0]) as usize };
        assert_eq!(offset, end, "{}", row[2]);
        let expected = match row[2].as_str() {
            "version" => node.version.to_le_bytes().to_vec(),
            "tensor_count" => node.tensor_count.to_le_bytes().to_vec(),
            "created_ms" => node.created_ms.to_le_bytes().to_vec(),
            "logical_bytes" => node.logical_bytes.to_le_bytes().to_vec(),
            "revision" => node.revision.to_le_bytes().to_vec(),
            "reserved" => vec![0; number(&row[1]) as usize],
            "manifest" => node.manifest.as_bytes().to_vec(),
            "name" => b"\x04\0base".to_vec(),
            "kind" => b"\x04\0bert".to_vec(),
            other => panic!("{other}"),
        };
        assert!(row[1].is_empty() || number(&row[1]) as usize == expected.len(), "{}", row[2]);
        end += expected.len();
        assert_eq!(bytes[offset..end], expected, "{}", row[2]);
    }
    assert_eq!(end, bytes.len());

    let promise = MissingRow { raw_len: 0x31, holders: 0x32, promisor: "/m".into() };
    let rows: Vec<_> = table("Promise row").iter().map(|row| row[..3].join(" ")).collect();
    assert_eq!(rows, ["0 8 raw_len", "8 4 holders", "12 4 reserved", "16  place"]);
    let expected =
        [&0x31u64.to_le_bytes()[..], &0x32u32.to_le_bytes(), &[0; 4], b"\x02\0/m"].concat();
    assert_eq!(promise.encode().unwrap(), expected);

    let parent = ParentRow { parent: [3; 16], how: "cast".into() };
    let rows: Vec<_> = table("Parent row").iter().map(|row| row[..3].join(" ")).collect();
    assert_eq!(rows, ["0 16 parent", "16  how"]);
    assert_eq!(parent.encode().unwrap(), [&[3; 16][..], b"\x04\0cast"].concat());
}
